"""Enriching by workers: what waits for an enricher as tasks of the queue, and who does them.

A task is some series of one enricher. Its statements are left in the inbox, and the one writer of
the lake takes them in. Any worker may be killed: its task is done again by another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from dicomlake.contracts.enrichers import Enricher
from dicomlake.contracts.queues import LATER, TODAY, WAITING, Lease, Queue, Task
from dicomlake.errors import DicomlakeError, ServiceError, UsageError
from dicomlake.jobs.enriching import Statements, enricher_of, said_of, subjects, waiting
from dicomlake.jobs.inbox import Inbox
from dicomlake.jobs.requests import queue_of
from dicomlake.lake import Store
from dicomlake.query import Node
from dicomlake.settings import Settings

log = logging.getLogger(__name__)

KIND = "enrich"
"""Of tasks, before the name of the enricher: a kind of task for each."""
LEASE_S = 120.0
IDLE_S = 0.5
CLOSE_S = 60.0
"""An enricher that had nothing to do for so long is closed, and gives its memory back."""
WAITS = (5.0, 30.0, 120.0, 600.0)
"""Seconds before a task is tried again, by attempt."""
MOST_ATTEMPTS = 3
MOST_WAITING = 5_000
"""Tasks of an enricher that are put by themselves; more follow when these are done."""
LOOK_EVERY_S = 20.0


def source_of(hardware: str) -> str:
    """What the queue calls the hardware that a task needs.

    >>> source_of("gpu")
    'enrich-gpu'
    """
    return f"enrich-{hardware}"


def kind_of(name: str) -> str:
    """What the queue calls tasks of an enricher.

    >>> kind_of("codes")
    'enrich-codes'
    """
    return f"{KIND}-{name}"


def is_enriching(source: str) -> bool:
    """Whether a source of tasks is one of ours."""
    return source.startswith("enrich-")


def tasks_of(
    store: Store,
    enricher: Enricher,
    *,
    where: str | Node | None = None,
    again: bool = False,
    failed: bool = True,
    priority: int | None = None,
    job: str = "",
    days: int = 1,
    today: date | None = None,
) -> Iterator[Task]:
    """Tasks for all series that wait for an enricher, the newest first.

    Without a `priority`, series of today and of `days` before it come before the legacy.
    """
    found = waiting(store, enricher, where=where, again=again, failed=failed)
    since = (today or date.today()) - timedelta(days=days)
    uids = found.column("SeriesInstanceUID").to_pylist()
    dates = found.column("StudyDate").to_pylist()
    what = {"enricher": enricher.name, "version": enricher.version, "model": enricher.model}
    for at in range(0, len(uids), enricher.at_once):
        some = uids[at : at + enricher.at_once]
        newest = dates[at]
        recent = newest is not None and newest >= since
        said = json.dumps([what, sorted(some), again and job], sort_keys=True)
        key = f"{KIND}:{enricher.name}:{hashlib.sha256(said.encode()).hexdigest()[:24]}"
        yield Task(
            key,
            kind_of(enricher.name),
            {**what, "series": some},
            priority if priority is not None else TODAY if recent else LATER,
            source_of(enricher.hardware),
            job,
            most=MOST_ATTEMPTS,
        )


def submit(
    lake: str | Path,
    settings: Settings,
    name: str,
    *,
    where: str | Node | None = None,
    again: bool = False,
    priority: int | None = None,
    queue: Queue | None = None,
) -> tuple[str, int]:
    """Queue everything that waits for an enricher: the name of the job, and how many tasks are new.

    UsageError when the enricher cannot work, or there is no such one.
    """
    job = f"{kind_of(name)}-{secrets.token_hex(4)}"
    store = Store(lake)
    owned = queue is None
    queue = queue or queue_of(lake, settings)
    try:
        with contextlib.closing(enricher_of(lake, name, options_of(settings, name))) as enricher:
            tasks = tasks_of(store, enricher, where=where, again=again, priority=priority, job=job)
            return job, queue.put(tasks)
    finally:
        if owned:
            queue.close()


def options_of(settings: Settings, name: str) -> dict[str, str]:
    """The options of an enricher that the settings of a lake give."""
    return settings.enrich[name].options if name in settings.enrich else {}


class Automatic:
    """Queues what waits for the enrichers that work by themselves; `make` makes one by name."""

    def __init__(
        self,
        lake: str | Path,
        settings: Settings,
        queue: Queue,
        make: Callable[[str], Enricher] | None = None,
    ) -> None:
        self._lake, self._settings, self._queue = Path(lake), settings, queue
        self._make = make or self._installed
        self._names = [name for name, said in settings.enrich.items() if said.automatic]
        self._last = -LOOK_EVERY_S
        self._problems: dict[str, str] = {}

    def tick(self) -> int:
        """Queue what is new; how many tasks. Looks every 20 seconds only."""
        now = time.monotonic()
        if not self._names or now - self._last < LOOK_EVERY_S:
            return 0
        self._last = now
        return self.look()

    def look(self) -> int:
        """Queue what is new; how many tasks."""
        count = 0
        store = Store(self._lake)
        open_ = self._open()
        for name in self._names:
            most = MOST_WAITING - open_[kind_of(name)]
            if most <= 0:
                continue
            try:
                count += self._queue.put(_first(self._tasks(store, name), most))
                self._problems.pop(name, None)
            except UsageError as error:
                if self._problems.get(name) != str(error):  # said once
                    self._problems[name] = str(error)
                    log.error("enricher cannot work", extra={"enricher": name, "why": str(error)})
        return count

    def _installed(self, name: str) -> Enricher:
        return enricher_of(self._lake, name, options_of(self._settings, name))

    def _tasks(self, store: Store, name: str) -> Iterator[Task]:
        with contextlib.closing(self._make(name)) as enricher:
            days = self._settings.enrich[name].days
            yield from tasks_of(store, enricher, failed=False, days=days)

    def _open(self) -> Counter[str]:
        """How many tasks of each kind wait."""
        found: Counter[str] = Counter()
        for count in self._queue.counts():
            found[count.kind] += count.tasks if count.state == WAITING else 0
        return found


def _first(tasks: Iterable[Task], most: int) -> Iterator[Task]:
    for count, task in enumerate(tasks, 1):
        yield task
        if count == most:
            return


class _LeaseLost(Exception):
    """Somebody else has the task, or it was cancelled."""


class EnrichWorker:
    """Leases tasks of enrichers and does them until told to stop; runs in one thread.

    `hardware`: what this machine offers, "cpu", "gpu" or both. `made`: enrichers to use instead of
    installed ones, by name.
    """

    def __init__(
        self,
        lake: Path,
        settings: Settings,
        owner: str,
        hardware: Iterable[str] = ("cpu",),
        *,
        queue: Queue | None = None,
        made: Mapping[str, Enricher] | None = None,
    ) -> None:
        self.lake, self.settings, self.owner = lake, settings, owner
        self.queue = queue or queue_of(lake, settings)
        self._sources = {source_of(kind) for kind in hardware}
        self._made = made or {}
        self._enrichers: dict[str, Enricher] = {}
        self._used: dict[str, float] = {}
        self._inbox = Inbox(lake)
        self._lease: Lease | None = None
        self._lost = False
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self, stop: Callable[[], bool]) -> None:
        """Do tasks until `stop`; what is begun is given back."""
        renewing = threading.Thread(target=self._renew, daemon=True)
        renewing.start()
        try:
            while not stop():
                waits = self.turn(stop)
                until = time.monotonic() + waits
                while not stop() and time.monotonic() < until:
                    time.sleep(min(0.1, waits))
        finally:
            self._stopped.set()
            self._close(0.0)
            renewing.join(5)
            self.queue.close()

    def turn(self, stop: Callable[[], bool] = lambda: False) -> float:
        """Do one task; seconds to wait before the next turn."""
        try:
            leases = self.queue.lease(self.owner, 1, LEASE_S, only=self._sources)
            if not leases:
                self._close(CLOSE_S)
                return IDLE_S * random.uniform(0.5, 1.5)
            self._do(leases[0], stop)
        except (ServiceError, OSError) as error:
            why = str(error) if isinstance(error, ServiceError) else error.strerror
            log.error("worker waits", extra={"why": why})
            return 5.0
        return 0.0

    def _do(self, lease: Lease, stop: Callable[[], bool]) -> None:
        with self._lock:
            self._lease, self._lost = lease, False

        def check() -> None:
            if self._lost:
                raise _LeaseLost
            if stop():
                raise KeyboardInterrupt

        try:
            result, written = self._work(lease, check)
        except _LeaseLost:
            log.info("a task was taken away", extra={"task": lease.id})
        except KeyboardInterrupt:
            self.queue.give_back(lease)
        except UsageError as error:
            self.queue.refuse(lease, str(error))
        except DicomlakeError as error:
            self.queue.retry(lease, str(error), WAITS[min(lease.attempt, len(WAITS)) - 1])
        else:
            self.queue.done(lease, result, written=written)
        finally:
            with self._lock:
                self._lease = None

    def _work(self, lease: Lease, check: Callable[[], None]) -> tuple[dict[str, Any], bool]:
        what = lease.task.what
        enricher = self._enricher(str(what["enricher"]))
        store = Store(self.lake)
        ids = _numbers(store, what["series"])
        held = Statements(enricher, options_of(self.settings, enricher.name))
        for subject, said, seconds in said_of(
            enricher, subjects(store, enricher, ids, self.settings), check
        ):
            held.take(subject, said, seconds)
        result = {**held.states, "annotations": held.count("annotations")}
        return result, bool(self._inbox.leave_statements(held.tables(), [lease.id]))

    def _enricher(self, name: str) -> Enricher:
        self._used[name] = time.monotonic()
        if name in self._made:
            return self._made[name]
        if name not in self._enrichers:
            self._enrichers[name] = enricher_of(self.lake, name, options_of(self.settings, name))
        return self._enrichers[name]

    def _close(self, unused_s: float) -> None:
        """Close enrichers that had nothing to do for so long."""
        now = time.monotonic()
        for name in [n for n in self._enrichers if now - self._used[n] >= unused_s]:
            self._enrichers.pop(name).close()

    def _renew(self) -> None:
        while not self._stopped.wait(2.0):
            with self._lock:
                lease = self._lease
            if lease is not None:
                with contextlib.suppress(ServiceError):
                    ours = self.queue.renew([lease], LEASE_S)
                    self._lost = self._lost or lease.id not in ours


def _numbers(store: Store, uids: list[str]) -> list[int]:
    """Numbers of the series of some UIDs that the lake holds, in their order."""
    with store.database(only=("series",)) as db:
        marks = ", ".join("?" * len(uids))
        found = dict(
            db.execute(
                'select "SeriesInstanceUID", series_id from series '
                f'where "SeriesInstanceUID" in ({marks})',
                uids,
            ).fetchall()
        )
    return [found[uid] for uid in uids if uid in found]
