"""The catalogue of an archive that caps its answers is whole, for few queries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomlake.contracts.archives import Match
from dicomlake.contracts.queues import Lease
from dicomlake.jobs.archives import kept_of
from dicomlake.jobs.pull import Puller, by_patients
from dicomlake.jobs.requests import Request, first_tasks
from dicomlake.jobs.working import care_of
from dicomlake.queues.sqlite import SqliteQueue
from dicomlake.settings import Settings

from .made import PACS, Lake, Pacs, dimse, held, matches

Study = tuple[str, str, str]
"""StudyDate, StudyTime and PatientID."""


@dataclass
class Capped:
    """Studies, of which so many are told at a time, in no order."""

    studies: list[Study]
    cap: int
    tells: bool = True
    queries: int = 0
    chance: Random = field(default_factory=lambda: Random(1))

    def find(self, level: str, keys: dict[str, str], *more: Any) -> Match:
        self.queries += 1
        rows = [
            {"StudyInstanceUID": f"1.{n}", "StudyDate": d, "StudyTime": t, "PatientID": p}
            for n, (d, t, p) in enumerate(self.studies)
            if matches(d, "StudyDate", keys.get("StudyDate", ""))
            and matches(t, "StudyTime", keys.get("StudyTime", ""))
            and matches(p, "PatientID", keys.get("PatientID", ""))
        ]
        self.chance.shuffle(rows)
        if len(rows) > self.cap:
            return Match(rows[: self.cap], self.tells)
        return Match(rows)


@pytest.fixture(scope="module")
def puller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Puller]:
    lake = tmp_path_factory.mktemp("slices")
    found = Settings(source={PACS: dimse()})
    queue = SqliteQueue(lake / "tasks.sqlite")
    with closing(care_of(lake)) as care, closing(queue):
        yield Puller(lake, found, queue, care, lambda name: None, kept_of(lake, found))  # type: ignore[arg-type,return-value]


def catalogue(puller: Puller, archive: Capped, request: Request) -> tuple[set[int], list[str]]:
    """Numbers of the studies found, and what slices say is missing."""
    waiting = deque(first_tasks(request, "job"))
    keys, found, missing = set(), set(), []
    while waiting:
        task = waiting.popleft()
        if task.key in keys:
            continue
        keys.add(task.key)
        if task.kind != "slice":
            found.add(int(task.what["study"][2:]))
            continue
        assert len(keys) < 100_000
        outcome = puller.slice(Lease("1", task, "me", 1, 0.0), dimse(), archive)  # type: ignore[arg-type]
        missing += [outcome.result["missing"]] if "missing" in outcome.result else []
        waiting += outcome.then
    return found, missing


def whole(**more: Any) -> Request:
    return Request(PACS, depth="catalogue", **more)


DAYS = st.sampled_from(
    [f"{date(2023, 12, 30) + timedelta(days=n):%Y%m%d}" for n in (0, 1, 2, 3, 40, 400)]
    + ["19000101", "18991230", "20990101", "00010101"]
)
TIMES = st.one_of(
    st.just("120000"),
    st.just("000000"),
    st.just("235959.999999"),
    st.integers(0, 86_399).map(lambda s: f"{s // 3600:02}{s // 60 % 60:02}{s % 60:02}"),
)
PATIENTS = st.integers(0, 3000).map(lambda n: f"PAT{n}")


@settings(max_examples=40)
@given(
    st.lists(st.tuples(DAYS, TIMES, PATIENTS), max_size=120),
    st.integers(3, 60),
    st.booleans(),
)
def test_all_studies_are_found_whatever_the_cap(puller, studies, cap, backwards):
    archive = Capped(studies, cap)
    found, missing = catalogue(puller, archive, whole(backwards=backwards))
    lost = {n for n, _ in enumerate(studies)} - found
    assert not lost or missing
    many = {(d, t[:4], p) for d, t, p in studies}
    if len(many) == len(studies):
        assert not lost


@settings(max_examples=12)
@given(
    st.lists(st.tuples(DAYS, TIMES, PATIENTS), min_size=150, max_size=400),
    st.sampled_from([50, 64, 100, 128, 200, 250]),
)
def test_caps_at_round_numbers_are_noticed_although_nobody_tells(puller, studies, cap):
    studies = [(d, t, f"{p}-{n}") for n, (d, t, p) in enumerate(studies)]
    found, _ = catalogue(puller, Capped(studies, cap, tells=False), whole())
    assert found == set(range(len(studies)))


def spread(studies: int, days: int, seed: int = 1) -> list[Study]:
    chance = Random(seed)
    first = date.today() - timedelta(days=days)
    return [
        (
            f"{first + timedelta(days=chance.randrange(days)):%Y%m%d}",
            f"{chance.randrange(7, 19):02}{chance.randrange(60):02}{chance.randrange(60):02}",
            f"PAT{n:05}",
        )
        for n in range(studies)
    ]


@pytest.mark.parametrize(("cap", "tells"), [(100, True), (100, False), (500, True), (10**6, True)])
def test_thousands_of_studies_for_few_queries(puller, cap, tells):
    archive = Capped(spread(3000, 2000), cap, tells)
    found, missing = catalogue(puller, archive, whole())
    assert (len(found), missing) == (3000, [])
    assert archive.queries < 60 + 3 * 3000 / min(cap, 250)


@pytest.mark.parametrize("tells", [True, False])
def test_hundreds_on_one_day(puller, tells):
    archive = Capped(spread(700, 1), 50, tells)
    found, _ = catalogue(puller, archive, whole())
    assert len(found) == 700
    assert archive.queries < 150


def test_hundreds_in_the_same_minute_are_told_apart_by_patients(puller):
    studies = [("20240105", "120000", f"{n:03}") for n in range(300)]
    studies += [("20240105", "120000", "0")] * 3
    archive = Capped(studies, 40)
    found, missing = catalogue(puller, archive, whole(dates=("20240105", "20240105")))
    assert (len(found), missing) == (303, [])


def test_one_patient_with_too_many_studies_is_said_to_be_cut(puller):
    studies = [("20240105", "120000", "0")] * 70
    request = whole(dates=("20240105", "20240105"))
    found, missing = catalogue(puller, Capped(studies, 40), request)
    assert len(found) >= 40
    assert set(missing) == {"the archive cuts its answers even for one patient"}


def test_studies_without_a_time_on_a_day_that_is_cut(puller):
    studies = spread(200, 1) + [(spread(1, 1)[0][0], "", f"NOTIME{n}") for n in range(60)]
    found, _ = catalogue(puller, Capped(studies, 50), whole())
    assert len(found) == 260


@pytest.mark.parametrize("cap", [10**6, 20])
def test_studies_without_a_date(puller, cap):
    studies = [("", "", f"U{n}") for n in range(60)] + [("", "", "U1")] * 5
    studies += spread(100, 30)
    archive = Capped(studies, cap)
    found, missing = catalogue(puller, archive, whole(undated=True))
    assert (len(found), missing) == (len(studies), [])
    assert archive.queries < 2500


def test_letters_that_were_met_are_asked_for(puller):
    parts = by_patients({"undated": "A"}, [{"PatientID": "A\u00e9"}, {"PatientID": "A*"}])
    asked = [part["undated"] for part in parts]
    assert "A\u00e9" in asked
    assert "A*" not in asked
    assert parts[-1] == {"undated": "A", "exact": True}


def test_backwards_ends_and_begins_with_the_newest(puller):
    studies = spread(300, 900)
    order: list[str] = []

    class Watched(Capped):
        def find(self, level: str, keys: dict[str, str], *more: Any) -> Match:
            order.append(keys["StudyDate"])
            return super().find(level, keys, *more)

    today = f"{date.today():%Y%m%d}"
    archive = Watched(studies, 10**6)
    found, _ = catalogue(puller, archive, whole(dates=("", today), backwards=True))
    assert len(found) == 300
    assert order[0] == today
    assert order[-1].startswith("-")
    assert archive.queries < 40


def test_a_span_that_begins_in_the_future(puller):
    studies = [("20990101", "120000", "A"), ("20240101", "120000", "B")]
    found, _ = catalogue(puller, Capped(studies, 10), whole(dates=("20980101", "")))
    assert found == {0}


def test_stopped_in_the_middle_and_every_slice_can_be_listed(tmp_path: Path):
    pacs = Pacs(
        [held(n, 1, StudyDate=d, StudyTime=t) for n, (d, t, _) in enumerate(spread(150, 90))]
    )
    pacs.cap, pacs.tells = 10, True
    with closing(Lake(tmp_path / "lake", pacs)) as lake:
        job = lake.submit(whole())
        for _ in range(4):
            lake.worker.turn(lambda: False)
        assert sum(c.tasks for c in lake.queue.counts() if c.state != "done") > 0
        lake.worker = lake.hired("host:2:0")  # the first one is gone, with what it had begun
        lake.ahead += 200
        lake.run()
        assert lake.requests.job(job.id).state == "finished"
        assert lake.listed() == {one.study for one in pacs.objects}
        assert lake.listed("SERIES") == {one.series for one in pacs.objects}
        slices = [s for s in lake.requests.tasks(job.id, limit=10_000) if s.task.kind == "slice"]
        assert len(slices) == pacs.queries["STUDY"] or len(slices) >= 20
        for state in slices:
            assert state.state == "done"
            assert state.result["answers"] <= 10
            assert state.result["days"]
            assert state.result["status"] in ("success", "out of resources")
            assert ("cut" in state.result) == (state.result["status"] != "success")
            assert state.ended
