"""Pulling in one go: a request, and the workers that do it, until it is over."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dicomlake import settings
from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.queues import RUNNING, WRITTEN
from dicomlake.jobs.care import Care
from dicomlake.jobs.requests import Job, Request, Requests
from dicomlake.jobs.working import Crew, care_of
from dicomlake.lake.store import QUEUE
from dicomlake.settings import Settings

LOOK_EVERY_S = 0.3


@dataclass(slots=True)
class Pulled:
    """What came of a request: its job, how much is in the lake and how much is missing.

    `notes` say why it ended before its time.
    """

    job: Job
    series: int = 0
    objects: int = 0
    held: int = 0
    missing: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@contextlib.contextmanager
def crew_lock(lake: str | Path) -> Iterator[bool]:
    """Whether no other crew works for a lake; holds that place as long as the block runs."""
    folder = Path(lake).absolute() / QUEUE
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "crew.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def pull(
    lake: str | Path,
    request: Request,
    *,
    found: Settings | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Pulled:
    """Pull something into a lake and wait until all of it is there, or is known to be missing.

    When workers run for this lake already (`dicomlake worker`), they do it. Stopped and started
    again, it goes on from where it was. It ends, too, when the source is paused for a mistake that
    would happen each time, such as a wrong password; what is asked for stays queued then.
    """
    found = settings.read(lake) if found is None else found
    progress = progress or Silent()
    began = time.monotonic()
    with Requests(lake, found) as requests, contextlib.closing(care_of(lake)) as care:
        job = requests.submit(request)
        watch = _Watch(requests, care, job, progress)
        with crew_lock(lake) as ours:
            if ours:
                crew = Crew(lake, found, workers, schedule=False)
                crew.run(watch.over)
            else:
                while not watch.over():
                    time.sleep(LOOK_EVERY_S)
        if progress.cancelled:
            requests.cancel(job.id)
        pulled = _pulled(requests, job.id, time.monotonic() - began)
        pulled.notes += watch.notes
        return pulled


class _Watch:
    """Looks at a job now and then, and moves the progress on."""

    def __init__(self, requests: Requests, care: Care, job: Job, progress: Progress) -> None:
        self._requests, self._care, self._progress = requests, care, progress
        self._id, self._source = job.id, job.request.source
        self.notes: list[str] = []
        self._total = self._done = -1
        self._last = 0.0
        self._over = False

    def over(self) -> bool:
        """Whether the job is over, or somebody asked to stop."""
        now = time.monotonic()
        if self._over or self._progress.cancelled:
            return True
        if now - self._last < LOOK_EVERY_S:
            return False
        self._last = now
        job = self._requests.job(self._id)
        total = sum(job.tasks.values())
        done = sum(count for state, count in job.tasks.items() if state in ("done", "dead"))
        if total != self._total:
            self._progress.stage("pulling", total, "tasks")
            self._progress.advance(done)
        elif done > self._done:
            self._progress.advance(done - self._done)
        self._total, self._done, self._over = total, done, job.over
        if not (self._over or job.tasks.get(RUNNING) or job.tasks.get(WRITTEN)):
            self._look_whether_paused()
        return self._over

    def _look_whether_paused(self) -> None:
        """A source that was paused for a mistake will not go on by itself."""
        if why := self._care.why_paused(self._source):
            self.notes.append(
                f"{self._source} is paused: {why.rstrip('.')}. What is queued stays queued. When "
                f"that is mended: dicomlake resume {self._source}"
            )
            self._over = True


def _pulled(requests: Requests, id_: str, seconds: float) -> Pulled:
    pulled = Pulled(requests.job(id_), seconds=seconds)
    for state in requests.tasks(id_, ("done",), 1 << 40):
        pulled.held += len(state.result.get("held", ()))
        if state.task.kind == "series":
            pulled.series += 1
            pulled.objects += int(state.result.get("objects", 0))
    pulled.missing = sum(1 for _ in requests.missing(id_))
    return pulled
