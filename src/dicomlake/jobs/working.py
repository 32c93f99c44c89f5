"""Workers: processes that do the tasks of a queue, and the crew that keeps them going.

The crew is one process that starts the workers anew when they die, takes in what they leave, and
puts scheduled work into the queue. Any of them may be killed at any time.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomlake import settings
from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.archives import Archive, Listener
from dicomlake.contracts.queues import OPEN, RUNNING, Lease, Queue
from dicomlake.errors import LakeError, ServiceError
from dicomlake.jobs.archives import archive_of, kept_of
from dicomlake.jobs.care import Care, Slot
from dicomlake.jobs.clinical.watching import FactsWatchers, FactsWorker, needed
from dicomlake.jobs.converting.watching import ConvertWorker, Watchers
from dicomlake.jobs.door.entrance import made
from dicomlake.jobs.dose.calling import Caller
from dicomlake.jobs.enrichtasks import Automatic, EnrichWorker
from dicomlake.jobs.fhir.following import Followers
from dicomlake.jobs.inbox import Inbox, Intake
from dicomlake.jobs.processes import started
from dicomlake.jobs.pull import Elsewhere, Puller
from dicomlake.jobs.requests import queue_of
from dicomlake.jobs.schedule import Scheduler
from dicomlake.lake.store import QUEUE
from dicomlake.settings import Settings

log = logging.getLogger(__name__)

LEASE_S = 120.0
MOST_LEASED = 24
"""Tasks that a worker has at a time when they are quick."""
IDLE_S = 0.25
TROUBLE_S = 5.0
"""How long a worker waits when the disk is full, or the queue out of reach."""
LET_GO_S = 3.0
"""A worker without tasks of a source leaves its association to others after so long."""


def care_of(lake: str | Path) -> Care:
    """What limits and pauses the sources of a lake."""
    folder = Path(lake).absolute() / QUEUE
    folder.mkdir(parents=True, exist_ok=True)
    return Care(folder / "care.sqlite")


Opener = Callable[[str, Settings, Listener | None], Archive]
"""Connects to a source by its name."""


class Worker:
    """Leases tasks and does them until told to stop; runs in one thread."""

    def __init__(
        self,
        lake: Path,
        found: Settings,
        owner: str,
        listener: Listener | None = None,
        sources: set[str] | None = None,
        *,
        queue: Queue | None = None,
        care: Care | None = None,
        opener: Opener = archive_of,
    ) -> None:
        self.settings, self.owner, self.listener = found, owner, listener
        self.queue = queue or queue_of(lake, found)
        self.care = care or care_of(lake)
        self._opener = opener
        self.puller = Puller(lake, found, self.queue, self.care, self._open, kept_of(lake, found))
        self.puller.lost = lambda lease: lease.id in self._lost
        pulled = {n for n, s in found.source.items() if s.kind in ("dimse", "dicomweb")}
        self._sources = pulled if sources is None else pulled & sources
        self._slots: dict[str, Slot] = {}
        self._used: dict[str, float] = {}
        self._lost: set[str] = set()
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._owed: list[Lease] = []
        self._count = 4
        self._stopped = threading.Event()

    def _open(self, name: str) -> Archive:
        archive = self._opener(name, self.settings, self.listener)
        if self.listener is None and archive.way == "move":
            archive.close()
            raise Elsewhere(name)
        return archive

    def run(self, stop: Callable[[], bool]) -> None:
        """Do tasks until `stop`; what is begun is finished or given back."""
        renewing = threading.Thread(target=self._renew, daemon=True)
        renewing.start()
        try:
            while not stop():
                _wait(stop, self.turn(stop))
        finally:
            self._stopped.set()
            with contextlib.suppress(ServiceError, OSError):
                self.puller.close()
                self._forget()
            for source in list(self._slots):
                self._let_go(source)
            renewing.join(5)
            self.queue.close()
            self.care.close()

    def turn(self, stop: Callable[[], bool]) -> float:
        """Do some tasks, or leave what was brought; seconds to wait before the next turn."""
        leases: list[Lease] = []
        try:
            self._repay()
            ready = self._ready()
            if ready:
                leases = self.queue.lease(self.owner, self._count, LEASE_S, only=ready)
            if leases:
                self._work(leases, stop)
                return 0.0
            if self.puller.flush():
                self._held()
                return 0.0  # more may follow from what has just ended
            self._idle()
            return IDLE_S * random.uniform(0.5, 1.5)
        except (ServiceError, OSError) as error:
            why = str(error) if isinstance(error, ServiceError) else error.strerror
            log.error("worker waits", extra={"why": why})
            self._give_back(leases)
            return TROUBLE_S

    def _work(self, leases: list[Lease], stop: Callable[[], bool]) -> None:
        with self._lock:
            self._leases.update({lease.id: lease for lease in leases})
        began = time.monotonic()
        for done, lease in enumerate(leases):
            if stop():
                for other in leases[done:]:
                    self.queue.give_back(other)
                break
            self._do(lease)
        took = (time.monotonic() - began) / len(leases)
        self._count = max(1, min(MOST_LEASED, round(1.0 / max(took, 0.001))))
        self._held()

    def _give_back(self, leases: list[Lease]) -> None:
        """Let tasks wait that were begun in vain; what they have to do with us is over."""
        held = {lease.id for lease in self.puller.held()}
        self._owed += [lease for lease in leases if lease.id not in held]
        with contextlib.suppress(ServiceError, OSError):
            self._repay()
        self._held()

    def _repay(self) -> None:
        """Give back what could not be given back when it was time: others would wait for it."""
        while self._owed:
            self.queue.give_back(self._owed[-1], TROUBLE_S)
            self._owed.pop()

    def _do(self, lease: Lease) -> None:
        source = lease.task.source
        limits = self.settings.of(source).limits
        wait = self.care.may_start(source, limits, lease.task.priority)
        if wait > 0:
            self.queue.give_back(lease, wait)
            return
        self._used[source] = time.monotonic()
        try:
            self.puller.do(lease)
        except Elsewhere:
            self._sources.discard(source)
            self._let_go(source)
            self.queue.give_back(lease)
        if self.puller.due:
            self.puller.flush()

    def _ready(self) -> set[str]:
        """Sources that may be asked now and have an association left for us."""
        ready = set()
        for source in self._sources:
            limits = self.settings.of(source).limits
            if self.care.may_start(source, limits, 0) > 0:
                continue
            if source not in self._slots:
                slot = self.care.acquire(source, limits, self.owner)
                if slot is None:
                    continue
                self._slots[source], self._used[source] = slot, time.monotonic()
            ready.add(source)
        self.care.hold()
        return ready

    def _idle(self) -> None:
        """Leave associations to others that are not needed."""
        now = time.monotonic()
        for source in list(self._slots):
            if now - self._used[source] > LET_GO_S:
                self._let_go(source)

    def _let_go(self, source: str) -> None:
        slot = self._slots.pop(source, None)
        self.puller.disconnect(source)
        if slot is not None:
            with contextlib.suppress(ServiceError):
                self.care.release(slot)

    def _held(self) -> None:
        """Only leases of tasks that are not ended yet have to be renewed."""
        held = {lease.id: lease for lease in self.puller.held()}
        with self._lock:
            self._leases = held
            self._lost &= held.keys()

    def _forget(self) -> None:
        with self._lock:
            self._leases.clear()
            self._lost.clear()

    def _renew(self) -> None:
        while not self._stopped.wait(min(LEASE_S / 4, 2.0)):
            with contextlib.suppress(ServiceError):
                self.renew()

    def renew(self) -> None:
        """Hold the leases of tasks that are not ended yet for longer."""
        with self._lock:
            leases = list(self._leases.values())
        if leases:
            ours = self.queue.renew(leases, LEASE_S)
            with self._lock:
                self._lost |= {lease.id for lease in leases} - ours


def _wait(stop: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not stop() and time.monotonic() < until:
        time.sleep(min(0.1, seconds))


# Processes


_PROGRAM = "from dicomlake.jobs.working import work; work()"


@dataclass(slots=True)
class _Process:
    number: int
    listens: bool
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)


class Crew:
    """Workers of a lake as processes, the writer, the listener, the schedule, and publication."""

    def __init__(
        self,
        lake: str | Path,
        found: Settings,
        processes: int = 2,
        *,
        schedule: bool = True,
        listen: bool = True,
        enrichers: int = 0,
        hardware: Iterable[str] = ("cpu",),
        publish: bool = False,
        log_level: str = "WARNING",
        log_json: bool = False,
    ) -> None:
        self.lake, self.settings, self.number = Path(lake).absolute(), found, processes
        self._enrichers, self._hardware = enrichers, tuple(hardware)
        self._listens = listen and found.listener is not None
        self._publishes = publish
        self._log = (log_level, log_json)
        self._processes: list[_Process] = []
        self._followers = Followers(self.lake, found, self._log)
        self._caller = Caller(self.lake, found)
        self._failures = 0
        store = made(self.lake, self.settings)
        self.queue = queue_of(lake, found)
        self._care = care_of(lake)
        self._intake = Intake(store, self.queue)
        self._scheduler = Scheduler(lake, found, self.queue) if schedule else None
        self._automatic = Automatic(self.lake, found, self.queue) if schedule else None
        self._watchers = Watchers(self.lake, found) if schedule else None
        self._facts = FactsWatchers(self.lake, found) if schedule else None
        self._converts = 1 if found.convert and processes else 0

    def run(self, stop: Callable[[], bool], progress: Progress | None = None) -> None:
        """Keep everything going until `stop`; then workers end, and what they left is taken in."""
        Inbox(self.lake).sweep()

        def over() -> bool:
            self._tend()
            return stop()

        try:
            self._release()
            while not over():
                self._take(progress, 0.3, over)
                _wait(stop, 0.1)
        finally:
            self.stop()
            self._take(progress, 0.0)
            if self._scheduler is not None:
                self._scheduler.close()
            for watchers in (self._watchers, self._facts):
                if watchers is not None:
                    watchers.close()
            self.queue.close()
            self._care.close()

    def _tend(self) -> None:
        """What has to be looked after also while batches keep coming."""
        try:
            self._keep()
            if self._publishes:
                self._followers.keep()
            self._intake.settle()
            if self._scheduler is not None:
                self._scheduler.tick()
            if self._automatic is not None:
                self._automatic.tick()
            if self._watchers is not None:
                self._watchers.tick()
            if self._facts is not None:
                self._facts.tick()
            self._caller.tick()
        except ServiceError as error:  # a full disk: the next time
            log.warning("the crew waits", extra={"why": str(error)})

    def _take(
        self,
        progress: Progress | None,
        idle_s: float,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        try:
            self._intake.take(progress or Silent(), idle_s, over)
            self._failures = 0
        except (LakeError, ServiceError, OSError) as error:
            # Somebody else is writing, or the disk is full: what came stays in the inbox.
            self._failures += 1
            why = error.strerror if isinstance(error, OSError) else str(error)
            log.warning("the writer waits", extra={"why": why})
            time.sleep(min(5.0, 0.2 * self._failures))

    def _keep(self) -> None:
        """Start workers that are not there, or died."""
        died = [one for one in self._processes if one.process.poll() is not None]
        for one in died:
            self._processes.remove(one)
            if not one.listens or one.process.returncode != 0:
                log.warning("worker died", extra={"status": one.process.returncode})
            time.sleep(0.2 if time.monotonic() - one.began > 5 else 1.0)
        if died:
            self._release()
        there = {one.number for one in self._processes}
        pulling = max(self.number, 1 if self._listens else 0)
        roles = [""] * pulling + ["enriches"] * self._enrichers + ["converts"] * self._converts
        roles += ["facts"] if self.number and needed(self.lake, self.settings) else []
        for number, role in enumerate(roles):
            if number not in there:
                self._processes.append(self._start(number, role))

    def _release(self) -> None:
        """Let others have what workers of this machine held when they died."""
        for state in self.queue.tasks((RUNNING,), limit=10_000):
            if _gone(state.owner):
                lease = Lease(state.id, state.task, state.owner, state.attempts, 0.0)
                self.queue.retry(lease, "its worker died")
        self._care.release_of(_gone)

    def _start(self, number: int, role: str) -> _Process:
        listens = self._listens and number == 0 and not role
        said = json.dumps(
            {
                "lake": str(self.lake),
                "parent": os.getpid(),
                "listen": listens,
                "log": self._log,
                "works": number < self.number,
                "enriches": self._hardware if role == "enriches" else (),
                "role": role,
            }
        )
        return _Process(number, listens, started(_PROGRAM, said))

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [one.process.pid for one in self._processes]

    def stop(self) -> None:
        """Ask the workers to end, and wait for them."""
        self._followers.stop()
        self._caller.stop()
        for one in self._processes:
            one.process.terminate()
        until = time.monotonic() + 15
        for one in self._processes:
            try:
                one.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()
        self._processes.clear()


def idle(queue: Queue) -> Callable[[], bool]:
    """Whether nothing is left to be done, looked at once a second."""
    last = [0.0, False]

    def nothing() -> bool:
        if time.monotonic() - last[0] > 1.0:
            left = any(count.state in OPEN for count in queue.counts())
            last[:] = [time.monotonic(), not left]
        return bool(last[1])

    return nothing


def work() -> None:
    """What a worker process does, as its first argument says."""
    said: dict[str, Any] = json.loads(sys.argv[1])
    from dicomlake.log import configure

    configure(said["log"][0], as_json=said["log"][1])
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())

    def orphaned() -> None:
        while os.getppid() == said["parent"]:
            time.sleep(0.5)
        stopped.set()
        time.sleep(20)
        os._exit(1)

    threading.Thread(target=orphaned, daemon=True).start()
    lake = Path(said["lake"])
    found = settings.read(lake)
    with contextlib.ExitStack() as stack:
        if said["enriches"]:
            EnrichWorker(lake, found, _owner("e"), said["enriches"]).run(stopped.is_set)
            return
        if said["role"] == "converts":
            ConvertWorker(lake, found, _owner("c")).run(stopped.is_set)
            return
        if said["role"] == "facts":
            FactsWorker(lake, found, _owner("f")).run(stopped.is_set)
            return
        listener = None
        if said["listen"]:
            from dicomlake.jobs.reception import receiving

            listener = stack.enter_context(receiving(lake, found))
        if not said["works"]:
            stopped.wait()
            return
        for name in _threads(found, listener):
            sources = _moved(found)
            extra = Worker(lake, found, _owner(name), listener, sources)
            thread = threading.Thread(target=extra.run, args=(stopped.is_set,))
            thread.start()
            stack.callback(thread.join)
        Worker(lake, found, _owner("0"), listener).run(stopped.is_set)
        stopped.set()


def _threads(found: Settings, listener: Listener | None) -> Iterator[str]:
    """Further threads of the process that has the listener: its moves wait for the archive."""
    if listener is not None:
        most = max((found.source[n].limits.associations for n in _moved(found)), default=1)
        yield from map(str, range(1, min(most, 4)))


def _moved(found: Settings) -> set[str]:
    return {n for n, s in found.source.items() if s.kind == "dimse" and s.retrieve != "get"}


def _owner(thread: str) -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{thread}"


def _gone(owner: str) -> bool:
    """Whether an owner of a lease was a process of this machine that has ended."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
