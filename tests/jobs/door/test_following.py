"""Facts and documents of a view: the same answers as in the lake, and nothing written freely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import dicomlake
from dicomlake.jobs.door.cleaning import Door, door_of
from dicomlake.jobs.door.views import bring_up
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.query import parse
from dicomlake.settings import Pseudonyms, Settings
from dicomlake.testing import engines, histories

from ...planted import KEY

FREE = ("fact.text", "document.text", "document.affirmed", "document.negated", "99HOUSE", "'P2'")
"""Questions with one of these find something in the lake, and nothing in a view."""
DATED = ("2014", "2019", "2020", "C34.9", "before 45 days")
"""Questions about days of the calendar, and about facts of which year or month alone is known."""


@dataclass(frozen=True)
class Both:
    """A lake and its view."""

    lake: dicomlake.Lake
    view: dicomlake.Lake
    door: Door

    def series(self, question: str) -> tuple[set[str], set[str]]:
        """What a question finds in both, by the UIDs of the view."""
        uid = self.door.cleaning().uid
        found = []
        for one in (self.lake, self.view):
            with one.engine.chosen(parse(question), "series") as (search, mask):
                ids = ", ".join(map(str, search.snapshot.ids[mask])) or "null"
            rows = one.sql(f'select "SeriesInstanceUID" from series where series_id in ({ids})')
            found.append(set(rows.column(0).to_pylist()))
        return {uid(one) for one in found[0]}, found[1]


def both_of(folder: Path, profile: str) -> Both:
    index([engines.write(folder / "objects")], folder / "lake", workers=1)
    histories.tell(Store(folder / "lake"))
    door = door_in(folder, profile)
    view = bring_up(folder / "lake", door)
    return Both(dicomlake.open(folder / "lake"), dicomlake.open(view), door)


def door_in(folder: Path, profile: str) -> Door:
    (folder / "study.key").write_text(KEY)
    settings = Settings(pseudonyms={"study": Pseudonyms(key_file=folder / "study.key")})
    return door_of(settings, profile, "study")


@pytest.fixture(scope="module", params=["times-and-device", "research"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return both_of(tmp_path_factory.mktemp(request.param), request.param)


def asked(both: Both) -> Iterator[tuple[str, str]]:
    moved = both.door.profile == "research"
    known = {"series": histories.SERIES, "patient": histories.PATIENTS, "study": histories.STUDIES}
    for level, questions in known.items():
        for question in questions:
            if any(word in question for word in FREE) or (
                moved and any(word in question for word in DATED)
            ):
                continue
            yield level, question


def test_questions_find_the_same_in_both(both: Both) -> None:
    different, count, some = {}, 0, 0
    for level, question in asked(both):
        if level == "series":
            here, there = both.series(question)
            some += bool(here)
        else:
            here, there = (
                one.engine.count(parse(question), level) for one in (both.lake, both.view)
            )
        count += 1
        if here != there:
            different[question] = here, there
    assert different == {}
    assert count > 50
    assert some > 30
