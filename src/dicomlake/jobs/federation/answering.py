"""What a site answers to a study: ranges, never a number that few patients make up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from dicomlake.engines.groups import By, Grouped
from dicomlake.jobs.access import masking
from dicomlake.jobs.federation.asked import Asked, Patients, refusal
from dicomlake.jobs.federation.studies import Study
from dicomlake.lake import Store
from dicomlake.query import Node
from dicomlake.settings import Federation

COUNTED = ("patients", "studies", "series")
_BY = {
    "modality": By("Modality"),
    "year": By("StudyDate", "year"),
    "sex": By("PatientSex"),
    "age": By("PatientAge", "steps", steps=tuple(365.25 * years for years in range(0, 100, 10))),
    "device": By("ManufacturerModelName"),
}
_one_at_a_time = threading.Lock()
"""Two questions at the same moment would not know of each other."""
Range = list[int | None]
"""The least and the most that it can be; None: nobody knows."""


def answer(
    store: Store, engine: Any, study: Study, rules: Federation, least: int, name: str
) -> dict[str, Any]:
    """What a lake says to a study of a caller: ranges by section; nothing that points at persons.

    `engine` asks that version of the lake, or the part that the caller sees. `least`: the fewest
    patients of whom a number may tell.
    """
    least = max(least, rules.least)
    keys = _keys(store)
    with _one_at_a_time, contextlib.closing(Asked(store.path, rules.days)) as asked:
        before = [(_found(engine, keys, n, level), n, who) for n, level, who in asked.before()]
        sections = []
        for title, node in study.nodes.items():
            mine = _found(engine, keys, node, study.level)
            others = ((theirs, who == name) for theirs, known, who in before if known != node)
            why = refusal(mine, others, least, rules.overlapping)
            sections.append(_section(engine, study, title, node, least, why))
            if not why:
                before.append((mine, node, name))
                asked.note(node, study.level, name, study.digest)
    return {
        "study": study.digest,
        "name": study.name,
        "lake_version": store.version,
        "least": least,
        "sections": sections,
    }


def _section(
    engine: Any, study: Study, title: str, node: Node, least: int, why: str
) -> dict[str, Any]:
    if why:
        return {"name": title, "refused": why, "counts": {}, "by": {}}
    totals = engine.count(node, study.level)
    return {
        "name": title,
        "refused": "",
        "counts": {n: _range(totals[n], totals["patients"], least, n) for n in COUNTED},
        "by": {by: list(_groups(engine, study.level, node, by, least)) for by in study.by},
    }


def _range(number: int, patients: int, least: int, what: str) -> Range:
    """What a number may be, as those are told who only count.

    >>> _range(3, 3, 5, "patients"), _range(12, 12, 5, "patients"), _range(80, 2, 5, "series")
    ([0, 4], [10, 14], [0, None])
    """
    shown = masking.cell(number, patients, least)
    if patients < least:
        return [0, least - 1 if what == "patients" else None]
    return [shown, shown + least - 1]


def _groups(engine: Any, level: str, node: Node, by: str, least: int) -> Iterator[list[Any]]:
    """Groups of enough patients: what they are called, and the range of their patients."""
    found = engine.groups(Grouped((_BY[by],), node, level, "patients", limit=200))
    for row in found.to_pylist():
        if row["value"] >= least and row["g0"] is not None:
            yield [_called(row["g0"], by), _range(row["value"], row["value"], least, "patients")]


def _called(value: Any, by: str) -> str:
    if by == "year":
        return str(getattr(value, "year", value))[:4]
    if by == "age":
        years = round(float(value) / 365.25)
        return f"{years} to {years + 9} years"
    return str(value)


def _keys(store: Store) -> tuple[Patients, Patients]:
    """Numbers of all series, in order, and of their patients."""
    rows = store.read("series", ["series_id", "patient_key"]).sort_by("series_id")
    return rows.column(0).to_numpy(), rows.column(1).to_numpy()


def _found(engine: Any, keys: tuple[Patients, Patients], node: Node, level: str) -> Patients:
    """The patients whom a condition finds."""
    with engine.chosen(node, level) as (search, mask):
        ids = np.asarray(search.snapshot.ids)[np.asarray(mask)]
    at = np.searchsorted(keys[0], ids)
    found: Patients = np.unique(keys[1][at])
    return found
