"""Enriching by workers: tasks, their order, workers that die, and enrichers that work alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest

from dicomlake import settings
from dicomlake.contracts.enrichers import Enriched, Subject
from dicomlake.contracts.queues import DEAD, DONE, LATER, TODAY, WAITING, WRITTEN, Queue
from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.enriching import provenance
from dicomlake.jobs.enrichtasks import Automatic, EnrichWorker, submit, tasks_of
from dicomlake.jobs.inbox import Inbox, Intake
from dicomlake.jobs.index import index
from dicomlake.jobs.requests import queue_of
from dicomlake.lake import Store
from dicomlake.settings import Settings
from dicomlake.testing.enrichers import Told

from .test_enriching import object_, structure, told, uid, volumes

Lines = Callable[[str], Settings]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of four CT series of four patients, a to d, each a day later."""
    folder = tmp_path / "objects"
    folder.mkdir()
    for day, series in enumerate("abcd", 1):
        (folder / f"{series}.dcm").write_bytes(object_(series, StudyDate=f"2024010{day}"))
    index([folder], tmp_path / "lake", workers=1)
    return tmp_path / "lake"


@pytest.fixture
def queue(lake: Path) -> Iterator[Queue]:
    found = queue_of(lake, Settings())
    yield found
    found.close()


def worker(lake: Path, enricher: Told, name: str = "one") -> EnrichWorker:
    return EnrichWorker(lake, Settings(), name, queue=queue_of(lake, Settings()),
                        made={enricher.name: enricher})  # fmt: skip


def put(lake: Path, queue: Queue, enricher: Told, **how: object) -> int:
    return queue.put(tasks_of(Store(lake), enricher, today=date(2024, 1, 4), **how))  # type: ignore[arg-type]


def take_in(lake: Path, queue: Queue) -> int:
    return Intake(Store(lake), queue).take()["statements"]


def states(queue: Queue) -> list[str]:
    return sorted(state.state for state in queue.tasks())


class TestTasks:
    def test_recent_series_come_first(self, lake: Path, queue: Queue) -> None:
        enricher = told("a", at_once=1)
        assert put(lake, queue, enricher) == 4
        leases = queue.lease("x", 10)
        assert [lease.task.priority for lease in leases] == [TODAY, TODAY, LATER, LATER]
        assert [lease.task.what["series"][0] for lease in leases][:2] == [uid("d"), uid("c")]
        assert {lease.task.source for lease in leases} == {"enrich-cpu"}

    def test_what_is_queued_is_not_queued_twice(self, lake: Path, queue: Queue) -> None:
        assert put(lake, queue, told("a", at_once=2)) == 2
        assert put(lake, queue, told("a", at_once=2)) == 0
        assert put(lake, queue, told("a", at_once=2, version="2")) == 2

    def test_a_worker_does_them_and_the_writer_takes_them_in(
        self, lake: Path, queue: Queue
    ) -> None:
        enricher = Told({uid(one): [structure(1)] for one in "abcd"}, at_once=1)
        put(lake, queue, enricher)
        one = worker(lake, enricher)
        while not one.turn():
            pass
        assert volumes(lake) == []
        assert states(queue) == [WRITTEN] * 4
        assert take_in(lake, queue) == 4
        assert states(queue) == [DONE] * 4
        assert volumes(lake) == [1, 1, 1, 1]
        numbers = Store(lake).read("enrichments").column("enrichment_id").to_pylist()
        assert len(set(numbers)) == 4
        assert put(lake, queue, enricher) == 0

    def test_statements_of_series_that_are_gone_are_dropped(self, lake: Path, queue: Queue) -> None:
        enricher = Told({uid(one): [structure(1)] for one in "abcd"}, at_once=1)
        put(lake, queue, enricher)
        one = worker(lake, enricher)
        while not one.turn():
            pass
        (lake.parent / "objects" / "a2.dcm").write_bytes(object_("a", 2, StudyDate="20240101"))
        index([lake.parent / "objects"], lake, workers=1)
        take_in(lake, queue)
        assert volumes(lake) == [1, 1, 1]
        assert put(lake, queue, enricher) == 1  # the grown one waits

    def test_a_dead_worker_costs_one_attempt(self, lake: Path, queue: Queue) -> None:
        enricher = told("a", at_once=100)
        put(lake, queue, enricher)
        (lease,) = queue.lease("dead", 1, 0.05)
        time.sleep(0.1)
        worker(lake, enricher, "two").turn()
        assert take_in(lake, queue) == 4
        (state,) = queue.tasks()
        assert (state.state, state.attempts) == (DONE, 2)
        assert state.id == lease.id

    def test_an_archive_that_is_away_is_asked_again(self, lake: Path, queue: Queue) -> None:
        enricher = Away(at_once=100)
        put(lake, queue, enricher)
        worker(lake, enricher).turn()
        (state,) = queue.tasks()
        assert (state.state, state.error) == (WAITING, "The archive is away.")
        assert Inbox(lake).batches() == []

    def test_an_enricher_that_cannot_work_ends_its_task(self, lake: Path, queue: Queue) -> None:
        put(lake, queue, told("a", name="nonsense", at_once=100))
        EnrichWorker(lake, Settings(), "one").turn()
        (state,) = queue.tasks()
        assert state.state == DEAD
        assert "no plugin 'nonsense'" in state.error

    def test_a_cancelled_task_leaves_nothing(self, lake: Path, queue: Queue) -> None:
        enricher = Cancelling(at_once=1)
        put(lake, queue, enricher, job="job")
        enricher.cancel = lambda: queue.cancel(job="job")
        one = worker(lake, enricher)
        one.turn()
        assert states(queue) == ["cancelled"] * 4
        assert take_in(lake, queue) == 0 or volumes(lake) == []

    def test_submitting_an_unknown_enricher(self, lake: Path) -> None:
        with pytest.raises(UsageError, match="no plugin 'nonsense'"):
            submit(lake, Settings(), "nonsense")


class Away(Told):
    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        raise ServiceError("The archive is away.")


class Cancelling(Told):
    cancel: Callable[[], object]

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        self.cancel()
        yield from super().enrich(subjects)


class TestAutomatic:
    def test_new_series_are_queued_by_themselves(self, lake: Path, queue: Queue) -> None:
        (lake / "dicomlake.toml").write_text("[enrich.codes]\nautomatic = true\ndays = 3\n")
        automatic = Automatic(lake, settings.read(lake), queue, lambda name: Told(name=name))
        assert automatic.look() == 1
        assert automatic.look() == 0
        (state,) = queue.tasks()
        assert state.task.what["enricher"] == "codes"
        assert sorted(state.task.what["series"]) == sorted(uid(one) for one in "abcd")

    def test_nothing_is_queued_that_nobody_asked_for(self, lake: Path, queue: Queue) -> None:
        (lake / "dicomlake.toml").write_text('[enrich.codes]\ntables = "t"\n')
        found = settings.read(lake)
        assert Automatic(lake, found, queue).look() == 0
        assert found.enrich["codes"].options == {"tables": "t"}


_DIES = """
import os, signal, sys
from pathlib import Path
from dicomlake.jobs.enrichtasks import EnrichWorker
from dicomlake.settings import Settings
from dicomlake.testing.dicom import uid
from dicomlake.testing.enrichers import Told
told = Told({uid(one): [{"kind": "structure", "volume": 1.0}] for one in "abcd"}, at_once=2)
one = EnrichWorker(Path(sys.argv[1]), Settings(), "dying", made={"told": told})
one.queue.done = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
one.turn()
"""


def test_a_killed_worker_process_loses_nothing(lake: Path, queue: Queue) -> None:
    """Killed between its work and its word, twice; the statements come once."""
    enricher = Told({uid(one): [structure(1)] for one in "abcd"}, at_once=2)
    put(lake, queue, enricher)
    for _ in range(2):
        program = subprocess.run([sys.executable, "-c", _DIES, str(lake)], check=False)
        assert program.returncode == -signal.SIGKILL
    assert len(Inbox(lake).batches()) == 2
    take_in(lake, queue)
    for state in queue.tasks(("running",)):
        queue.revive(ids=[state.id])
    assert volumes(lake) == [1, 1, 1, 1]
    assert {r["counts"] for r in provenance(Store(lake), uid("a"))} == {True}
