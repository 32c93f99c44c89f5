"""An archive that a clinic needs by day: who goes first, and how much it is burdened with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicomlake.contracts.queues import LATER, NOW, TODAY, WAITING
from dicomlake.errors import ServiceError
from dicomlake.jobs import pull, working
from dicomlake.jobs.care import Care
from dicomlake.jobs.requests import Request, Requests
from dicomlake.jobs.schedule import Scheduler
from dicomlake.jobs.working import Worker
from dicomlake.lake import Store
from dicomlake.lake.store import QUEUE
from dicomlake.settings import Limits, Schedule, Settings, read
from dicomlake.testing.dicom import uid

from .made import PACS, Held, Lake, Pacs, away, held
from .served import Service, add, command, serving, until

OLD, NEW = "20200105", "20240105"


def studies(names: range, date: str, images: int = 1) -> list[Held]:
    """Studies of one series each."""
    return [held(f"{s}/0", n, StudyDate=date) for s in names for n in range(images)]


def of(study: object) -> str:
    """The series of a study."""
    return uid("series", f"{study}/0")


@pytest.fixture
def pacs() -> Pacs:
    return Pacs()


@pytest.fixture
def make(tmp_path: Path, pacs: Pacs) -> Iterator[Callable[..., Lake]]:
    made: list[Lake] = []

    def make(**limits: object) -> Lake:
        made.append(Lake(tmp_path / "lake", pacs, Limits(**limits)))
        return made[-1]

    yield make
    for lake in made:
        lake.close()


def series_in_order(pacs: Pacs) -> list[str]:
    """SeriesInstanceUIDs as they were retrieved."""
    series = {one.sop: one.series for one in pacs.objects}
    return list(dict.fromkeys(series[sop] for sop in pacs.retrieved))


# Priorities


def legacy(lake: Lake) -> str:
    request = Request(PACS, {}, ("20200101", "20200131"), "complete", LATER, backwards=True)
    return lake.submit(request).id


def test_the_legacy_archive_yields_to_the_work_of_today(make, pacs):
    pacs.objects = studies(range(20), OLD) + studies(range(100, 110), NEW)
    lake = make()
    legacy(lake)
    lake.submit(dates=(NEW, NEW), priority=TODAY)
    lake.run()
    assert set(series_in_order(pacs)[:10]) == {of(study) for study in range(100, 110)}
    lake.all_there()


def test_what_somebody_waits_for_goes_in_between(make, pacs, monkeypatch):
    monkeypatch.setattr(working, "MOST_LEASED", 4)
    monkeypatch.setattr(pull, "MOST_SECONDS", 0.0)
    pacs.objects = studies(range(40), OLD) + studies(range(100, 101), NEW)
    lake = make()

    def sent(one: Held) -> Held:
        if len(pacs.retrieved) == 5:
            lake.submit(keys={"AccessionNumber": ("A100",)}, priority=NOW)
        return one

    pacs.sent = sent
    legacy(lake)
    lake.run()
    place = series_in_order(pacs).index(of(100))
    assert 5 < place <= 5 + 4 * 4, "it waits for what is leased already: study, series and itself"
    lake.all_there()


# Quiet hours


def around(lake: Lake, before_s: float, after_s: float) -> str:
    """A span of local hours, seconds from now."""
    spans = (datetime.fromtimestamp(lake.now() + s) for s in (before_s, after_s))
    return "-".join(f"{time:%H:%M}" for time in spans)


def test_in_quiet_hours_only_what_somebody_waits_for_is_asked(make, pacs, tmp_path):
    pacs.objects = studies(range(5), OLD) + studies(range(100, 102), NEW)
    now = datetime.now()
    hours = [f"{now + timedelta(hours=h):%H:%M}" for h in (-2, 3)]
    lake = make(quiet_hours=["-".join(hours)])
    bulk = lake.submit(dates=(OLD, OLD), priority=TODAY)
    urgent = lake.submit(keys={"AccessionNumber": ("A100", "A101")}, priority=NOW)
    lake.run(turns=40, step_s=30)
    assert lake.requests.job(urgent.id).state == "finished"
    assert series_in_order(pacs) == [of(100), of(101)]
    assert lake.requests.job(bulk.id).tasks == {WAITING: 1}
    assert lake.requests.tasks(bulk.id)[0].attempts == 0
    lake.ahead += 4 * 3600
    lake.run()
    assert lake.requests.job(bulk.id).state == "finished"
    lake.all_there()


def test_quiet_hours_that_begin_in_the_middle_of_a_series(make, pacs):
    pacs.objects = studies(range(1), OLD, images=10)
    now = datetime.now()
    hours = [f"{now + timedelta(hours=h):%H:%M}" for h in (2, 4)]
    lake = make(quiet_hours=["-".join(hours)])

    def sent(one: Held) -> Held:
        if len(pacs.retrieved) == 4:
            lake.ahead += 3 * 3600
        return one

    pacs.sent = sent
    job = lake.submit(dates=(OLD, OLD), priority=TODAY)
    lake.run(turns=12, step_s=60)
    assert len(pacs.retrieved) == 5, "it stops at the next object"
    assert lake.series()[of(0)][1:] == ("some", 4)
    lake.ahead += 3 * 3600
    lake.run()
    assert lake.requests.job(job.id).state == "finished"
    lake.all_there()


# Pause and cancel


@pytest.mark.parametrize("source", [PACS, None])
def test_paused_in_the_middle_of_a_series(make, pacs, source):
    pacs.objects = studies(range(2), OLD, images=10)
    lake = make()

    def sent(one: Held) -> Held:
        if len(pacs.retrieved) == 4:
            lake.care.pause(source)
        return one

    pacs.sent = sent
    job = lake.submit(dates=(OLD, OLD))
    lake.run(turns=10)
    assert len(pacs.retrieved) == 5, "it stops at the next object"
    assert pacs.open == 0, "and leaves the archive alone"
    states = lake.requests.tasks(job.id, (WAITING,))
    assert {state.attempts for state in states} == {0}
    lake.care.resume(source)
    lake.run()
    assert lake.requests.job(job.id).state == "finished"
    lake.all_there()


def test_cancelled_in_the_middle_and_others_go_on(make, pacs):
    pacs.objects = studies(range(3), OLD, images=10)
    lake = make()

    def sent(one: Held) -> Held:
        if one.sop == uid("instance", "1/0", 4):
            lake.requests.cancel(job.id)
            lake.worker.renew()
        return one

    pacs.sent = sent
    job = lake.submit(keys={"StudyInstanceUID": (uid("study", 1),)})
    other = lake.submit(keys={"StudyInstanceUID": (uid("study", 0), uid("study", 2))})
    lake.run()
    assert lake.requests.job(job.id).state == "cancelled"
    assert lake.requests.job(other.id).state == "finished"
    assert {one.series for one in pacs.objects if one.sop in lake.shown()} == {of(0), of(1), of(2)}
    assert lake.series()[of(1)][1:] == ("some", 4)
    assert len(pacs.retrieved) == 25
    pacs.sent = lambda one: one
    lake.pull(keys={"StudyInstanceUID": (uid("study", 1),)})
    lake.all_there()


# Limits of several workers


def test_never_more_associations_than_allowed(make, pacs):
    pacs.objects = studies(range(40), OLD)
    lake = make(associations=2)

    def asked(kind: str, *what: object) -> None:
        if kind == "objects":
            until(lambda: pacs.most_open > 1, 30, "nobody else works")

    pacs.asked = asked
    job = lake.submit(dates=(OLD, OLD))
    over = threading.Event()
    workers = [
        Worker(lake.path, lake.settings, f"host:{n}:0", opener=pacs.connect) for n in range(5)
    ]
    threads = [threading.Thread(target=w.run, args=(over.is_set,)) for w in workers]
    for thread in threads:
        thread.start()

    def finished() -> bool:
        lake.intake.take()
        return lake.stopped()

    try:
        until(finished)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert lake.requests.job(job.id).state == "finished"
    assert pacs.most_open == 2
    assert pacs.open == 0
    lake.all_there()


@pytest.mark.service
def test_never_more_requests_at_once_than_allowed_by_processes(network, tmp_path):
    service = Service(10, 3)
    service.pause_s = 0.005
    lake = tmp_path / "lake"
    with serving(service) as url:
        add(lake, url, limits={"associations": 1}, depth="headers")
        with Requests(lake, read(lake)) as requests:
            requests.submit(Request("pacs", dates=("20240101", "20240110")))
        process = command("worker", "--once", "-n", "3", lake=lake)
        said = process.communicate(timeout=120)[1].decode()
        assert process.returncode == 0, said
    assert service.most == 1
    assert Store(lake).read("series").num_rows == 30


def another(lake: Lake, number: int) -> Worker:
    """A worker like those of other processes: what they share are files."""
    care = Care(lake.path / QUEUE / "care.sqlite", lake.now, lake.sleep)
    opener = lake.pacs.connect
    owner = f"host:{number}:0"
    return Worker(lake.path, lake.settings, owner, queue=lake.queue, care=care, opener=opener)


def test_objects_per_second_are_those_of_all_workers(make, pacs):
    pacs.objects = studies(range(6), OLD, images=5)
    lake = make(objects_per_second=2, associations=3)
    workers = [lake.worker, another(lake, 2), another(lake, 3)]
    used: dict[str, int] = dict.fromkeys((w.owner for w in workers), 0)
    lake.submit(dates=(OLD, OLD))
    began = lake.now()
    while not lake.stopped():
        for worker in workers:
            before = len(pacs.retrieved)
            worker._count = 1
            worker.turn(lambda: False)
            used[worker.owner] += len(pacs.retrieved) - before
        if lake.idle():
            lake.intake.take()
    assert all(used.values()), "one worker did everything"
    assert lake.now() - began >= 30 / 2 - 1
    lake.all_there()
    for worker in workers[1:]:
        worker.puller.close()
        worker.care.close()


def test_a_refusal_is_one_for_all_workers(make, pacs):
    pacs.objects = studies(range(6), OLD)
    lake = make(associations=4)
    other = another(lake, 2)
    pacs.asked = away(1, "find")
    lake.submit(dates=(OLD, OLD))
    assert lake.worker.turn(lambda: False) == 0.0
    lake.submit(keys={"AccessionNumber": ("A1",)})
    asked = pacs.queries.total()
    for worker in (other, lake.worker, other):
        assert worker.turn(lambda: False) > 0
    assert pacs.queries.total() == asked, "it is left alone by all"
    assert lake.care.state()[0].refusals == 1
    lake.ahead += 3
    assert other.turn(lambda: False) == 0.0
    assert pacs.queries.total() > asked
    assert lake.care.state()[0].refusals == 0
    other.puller.close()
    other.care.close()
    lake.run()
    lake.all_there()


# The schedule


class Night:
    """A clock of local time that is set by hand, and a lake's schedule that follows it."""

    def __init__(self, lake: Lake, **entry: object) -> None:
        schedule = Schedule(source=PACS, at="02:00", depth="complete", **entry)
        self.settings = Settings(source=lake.settings.source, schedule=(schedule,))
        self.lake, self.time = lake, datetime(2024, 1, 6)
        self.scheduler = self.opened()

    def opened(self) -> Scheduler:
        return Scheduler(self.lake.path, self.settings, self.lake.queue, lambda: self.time)

    def at(self, day: int, hour: int, minute: int = 0) -> int:
        """How many requests are submitted at a time of January 2024."""
        self.time = datetime(2024, 1, day, hour, minute)
        return self.scheduler.look()

    def close(self) -> None:
        self.scheduler.close()


@pytest.fixture
def night(make) -> Iterator[Night]:
    with closing(Night(make())) as night:
        yield night


def test_what_is_due_is_submitted_once_a_day(night):
    assert night.at(6, 1, 59) == 0
    assert night.at(6, 2) == 1
    assert night.at(6, 2) == night.at(6, 23, 59) == 0
    with closing(night.opened()) as other:
        assert other.look() == 0, "another crew has done it"
    assert night.at(7, 1, 59) == 0
    assert night.at(7, 9, 30) == 1, "after a night switched off"
    first, second = reversed(night.lake.requests.jobs())
    assert first.request.dates == ("20240103", "20240105")
    assert second.request.dates == ("20240104", "20240106")
    assert first.request.priority == TODAY
    night.time = datetime(2024, 1, 7, 23)
    with closing(night.opened()) as later:
        assert later.tick() == 0


def test_a_queue_that_is_away_is_tried_again_the_same_day(night, monkeypatch):
    put = night.lake.queue.put

    def refuse(tasks: object) -> int:
        raise ServiceError("The queue is away.")

    monkeypatch.setattr(night.lake.queue, "put", refuse)
    assert night.at(6, 2) == 0
    assert night.at(6, 3) == 0
    assert night.lake.requests.jobs() == [], "nothing looks as if it was done"
    monkeypatch.setattr(night.lake.queue, "put", put)
    assert night.at(6, 4) == 1
    assert night.at(6, 5) == 0
    assert len(night.lake.requests.jobs()) == 1


def test_daily_runs_bring_what_has_changed(night, pacs):
    pacs.objects = studies(range(3), NEW, images=3)
    night.at(6, 2)
    night.lake.run()
    before = night.lake.series()
    assert len(before) == 3
    night.at(7, 2)
    night.lake.run()
    assert night.lake.series() == before
    assert len(pacs.retrieved) == 9, "what has not changed is not retrieved again"
    pacs.objects[0] = held("0/0", 0, StudyDate=NEW, PatientName="Corrected^Name")
    pacs.objects.append(held("0/0", 3, StudyDate=NEW))
    pacs.objects += studies(range(7, 8), NEW)
    night.at(8, 2)
    night.lake.run()
    night.lake.all_there()
    changed = {series for series, row in before.items() if night.lake.series()[series] != row}
    assert changed == {of(0)}
    assert {job.state for job in night.lake.requests.jobs()} == {"finished"}


def test_the_legacy_archive_by_night(make, pacs):
    pacs.objects = studies(range(5), OLD) + studies(range(10, 15), NEW)
    lake = make()
    with closing(Night(lake, what="legacy")) as night:
        assert night.at(6, 2) == 1
        lake.run()
    first = series_in_order(pacs)[:5]
    assert set(first) == {of(study) for study in range(10, 15)}, "newest first"
    lake.all_there()
