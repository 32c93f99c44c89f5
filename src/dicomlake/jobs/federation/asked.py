"""What a site was asked, so that nobody learns of few patients by asking again and again.

Two questions whose patients differ by a few would tell of those few by their difference, so the
second one is refused. Of questions that overlap, each caller has a budget. Only questions are kept,
no patients: those are found anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dicomlake.lake.store import ACCESS
from dicomlake.query import Node, from_json, to_json
from dicomlake.queues.files import SqliteFile

OVERLAP = 0.5
"""From this share of common patients on (of those of either), two questions overlap."""
_DAY = 86_400.0
_TABLES = """
create table asked (
    condition text not null, level text not null, name text not null, study text not null,
    at real not null, primary key (condition, level, name)) without rowid
"""
Patients = npt.NDArray[np.int64]
"""Sorted numbers of patients, each once."""


class Asked:
    """The questions of the last days at a site; safe for many threads and processes."""

    def __init__(self, lake: Path, days: float, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(Path(lake) / ACCESS / "federation.sqlite", _TABLES, 1)
        self._days, self._clock = days, clock

    def before(self) -> list[tuple[Node, str, str]]:
        """Conditions with level and who asked; those that are too old are forgotten."""
        with self._file.write() as db:
            db.execute("delete from asked where at < ?", (self._clock() - self._days * _DAY,))
            rows = db.execute("select condition, level, name from asked order by at").fetchall()
        found = ((from_json(json.loads(row[0])), row[1], row[2]) for row in rows)
        return [(node, level, who) for node, level, who in found if isinstance(node, Node)]

    def note(self, node: Node, level: str, name: str, study: str) -> None:
        """Remember a question that was answered."""
        condition = json.dumps(to_json(node), sort_keys=True)
        with self._file.write() as db:
            db.execute(
                "insert or replace into asked values (?, ?, ?, ?, ?)",
                (condition, level, name, study, self._clock()),
            )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def refusal(
    mine: Patients, others: Iterable[tuple[Patients, bool]], least: int, budget: int
) -> str:
    """Why a question is not answered, "" when it is.

    `others`: patients of questions that were answered, and whether the same caller asked.

    >>> few, many = np.arange(20), np.arange(22)
    >>> refusal(many, [(few, False)], 5, 10)[:30]
    'It differs by fewer than 5 pat'
    >>> refusal(many, [(many, False), (np.arange(50, 90), True)], 5, 10)
    ''
    """
    overlapping = 0
    for theirs, same in others:
        common = len(np.intersect1d(mine, theirs, assume_unique=True))
        either = len(mine) + len(theirs) - common
        apart = either - common
        if 0 < apart < least:
            return (
                f"It differs by fewer than {least} patients from a question that was answered "
                "before: the difference would tell of them. Ask for more, or for fewer."
            )
        overlapping += same and apart > 0 and common > OVERLAP * either
    if overlapping > budget:
        return (
            f"More than {budget} questions of yours overlap with it. Ask again in some days, or "
            "ask the site to answer by hand."
        )
    return ""
