"""Watched folders: files that come are converted once they stop growing, as tasks of the queue.

FOLDER/result.xml               waits
FOLDER/done/result.xml          was converted; unless the settings say keep
FOLDER/refused/result.xml       was refused; result.xml.reason.txt beside it says why
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dicomlake.contracts.converters import Converter
from dicomlake.contracts.queues import STATES, TODAY, WAITING, Lease, Queue, Task
from dicomlake.errors import DicomlakeError, LakeError, ServiceError, UsageError
from dicomlake.jobs.converting.hands import DICOM, Outcome, Way
from dicomlake.jobs.converting.making import SOURCE, Place, Report, place_of, way_of
from dicomlake.jobs.converting.mappings import mapping_of
from dicomlake.jobs.converting.originals import DONE, REFUSED, Originals, originals_of
from dicomlake.jobs.folders import ASIDE, Ready, put_aside, ready
from dicomlake.jobs.requests import Job, Request, Requests, digest
from dicomlake.settings import Settings, WatchedFolder

log = logging.getLogger(__name__)

KIND = "convert"
"""Of tasks."""
_PREFIX = "convert-"
LEASE_S = 120.0
IDLE_S = 1.0
LOOK_EVERY_S = 2.0
MOST_ATTEMPTS = 3
WAITS = (2.0, 10.0, 60.0)
"""Seconds before a task is tried again, by attempt."""
MOST_AT_ONCE = 10_000
"""Files that one look takes; the others follow."""
_JOBS, _DAY_S = 200, 24 * 3600.0
_ALREADY = "the file is DICOM already; dicomlake index takes it in"


def source_of(name: str) -> str:
    """What the queue calls a watched folder.

    >>> source_of("ecgs")
    'convert-ecgs'
    """
    return f"{_PREFIX}{name}"


def task_of(name: str, one: Ready, job: str = "") -> Task:
    """The task that converts a file of a watched folder."""
    what = {"name": name, "file": one.file, "size": one.size, "modified": one.modified}
    key = f"{KIND}/{name}/{digest(what)}"
    return Task(key, KIND, what, TODAY, source_of(name), job, most=MOST_ATTEMPTS)


def submit(lake: Path, settings: Settings, name: str, requests: Requests) -> Job | None:
    """Queue what came into a watched folder; its job of the day, None when there is nothing new.

    UsageError when there is no such folder.
    """
    said = settings.watched(name)
    over = originals_of(lake, settings).seen(name)
    found = [
        one
        for one in ready(said.folder, said.quiet_s)
        if over.get(one.file, (0, 0, ""))[:2] != (one.size, one.modified)
    ]
    if not found:
        return None
    source = source_of(name)
    known = {
        state.task.key
        for state in requests.queue.tasks(STATES, limit=1 << 40)
        if state.task.source == source
    }
    new = [one for one in found if task_of(name, one).key not in known][:MOST_AT_ONCE]
    if not new:
        return None
    for job in requests.jobs(_JOBS):  # one job a day, not one for each file that drops in
        lately = time.time() - job.created < _DAY_S
        if job.request.source == source and job.state != "cancelled" and lately:
            requests.queue.put([task_of(name, one, job.id) for one in new])
            return requests.job(job.id)
    request = Request(source, priority=TODAY, label=f"watched folder {name}")
    return requests.add(request, lambda job: [task_of(name, one, job) for one in new])


class Watchers:
    """Looks into all watched folders now and then; used by one thread."""

    def __init__(self, lake: str | Path, settings: Settings) -> None:
        self._lake, self._settings = Path(lake).absolute(), settings
        self._requests = Requests(self._lake, settings) if settings.convert else None
        self._last = -LOOK_EVERY_S
        self._problems: dict[str, str] = {}

    def tick(self) -> int:
        """Queue what came; how many tasks wait of that. Looks every two seconds only."""
        now = time.monotonic()
        if self._requests is None or now - self._last < LOOK_EVERY_S:
            return 0
        self._last = now
        count = 0
        for name in self._settings.convert:
            try:
                job = submit(self._lake, self._settings, name, self._requests)
                count += job.tasks.get(WAITING, 0) if job else 0
                self._problems.pop(name, None)
            except UsageError as error:
                if self._problems.get(name) != str(error):  # said once
                    self._problems[name] = str(error)
                    log.error("folder cannot be watched", extra={"folder": name})
        return count

    def close(self) -> None:
        """Let go of files and connections."""
        if self._requests is not None:
            self._requests.close()


class ConvertWorker:
    """Leases files of watched folders and converts them until told to stop; one thread.

    `converters`: to use instead of the installed ones.
    """

    def __init__(
        self,
        lake: Path,
        settings: Settings,
        owner: str,
        *,
        queue: Queue | None = None,
        converters: list[Converter] | None = None,
    ) -> None:
        from dicomlake.jobs.requests import queue_of

        self.lake, self.settings, self.owner = Path(lake).absolute(), settings, owner
        self.queue = queue or queue_of(lake, settings)
        self._converters = converters
        self._sources = {source_of(name) for name in settings.convert}
        self._originals = originals_of(self.lake, settings)

    def run(self, stop: Callable[[], bool]) -> None:
        """Do tasks until `stop`."""
        try:
            while not stop():
                until = time.monotonic() + self.turn()
                while not stop() and time.monotonic() < until:
                    time.sleep(0.1)
        finally:
            self.queue.close()

    def turn(self) -> float:
        """Do one task; seconds to wait before the next turn."""
        try:
            leases = self.queue.lease(self.owner, 1, LEASE_S, only=self._sources)
            if not leases:
                return IDLE_S * random.uniform(0.5, 1.5)
            with _renewing(self.queue, leases[0]):
                self._do(leases[0])
        except (ServiceError, OSError) as error:
            why = str(error) if isinstance(error, ServiceError) else error.strerror
            log.error("worker waits", extra={"why": why})
            return 5.0
        return 0.0

    def _do(self, lease: Lease) -> None:
        try:
            outcome, made, waits = self._convert(lease)
        except LakeError:  # somebody else is writing, which says nothing about the file
            self.queue.give_back(lease, WAITS[0])
        except UsageError as error:  # of the settings: the file stays where it is
            self.queue.refuse(lease, str(error))
        except (DicomlakeError, OSError) as error:
            self._later(lease, str(error) if isinstance(error, DicomlakeError) else "I/O error")
        else:
            if outcome.state == REFUSED:
                self.queue.refuse(lease, outcome.reason)
                return
            result = {
                "state": outcome.state,
                "format": outcome.format,
                "objects": made.objects,
                "facts": made.facts,
                "refused": made.parts,
            }
            self.queue.done(lease, result, written=waits)

    def _later(self, lease: Lease, why: str) -> None:
        self.queue.retry(lease, why, WAITS[min(lease.attempt, len(WAITS)) - 1])

    def _convert(self, lease: Lease) -> tuple[Outcome, Report, bool]:
        """What became of a file at last, all counts, and whether it waits for the writer."""
        what = lease.task.what
        name, file = str(what["name"]), str(what["file"])
        said = self.settings.watched(name)
        folder = _holding(said.folder, file)
        place = place_of(
            None, self.lake, source=said.source or name, settings=self.settings, patience_s=0.0
        )
        mapping = {} if said.mapping is None else mapping_of(said.mapping)
        way = way_of(place, mapping, said.header, None, self._converters)
        made = Report()
        outcome = _taken(way, str(folder / file), place, [made])
        waits = place.flush([lease.id] if outcome.state == DONE else [])
        if folder.name == ASIDE[1] and outcome.state != REFUSED:
            folder = _brought_back(folder, file, said.folder)  # it is not refused any more
        if folder == said.folder:
            one = Ready(file, what["size"], what["modified"])
            settle(self._originals, name, said, one, outcome)
        return outcome, made, waits


def _taken(way: Way, file: str, place: Place, reports: list[Report]) -> Outcome:
    """What became of a file at last; all that it became is taken and counted."""
    for outcome in way().parts(file):
        if outcome.state == DICOM:
            outcome.state, outcome.reason = REFUSED, _ALREADY
        for report in reports:
            report.count(outcome)
        place.take(outcome, way)
    return outcome


def settle(
    originals: Originals, name: str, said: WatchedFolder, one: Ready, outcome: Outcome
) -> None:
    """Put a file aside that is over, or note that it is, as the settings say."""
    state = REFUSED if outcome.state == REFUSED else DONE
    why = outcome.reason or "\n".join(outcome.refused)
    if said.done == "move":
        put_aside(said.folder, one.file, why, refused=state == REFUSED)
    else:
        originals.see(name, one.file, one.size, one.modified, state)


def watch(
    folders: Sequence[Path],
    *,
    out: str | Path | None = None,
    lake: str | Path | None = None,
    mapping: Mapping[str, Any] | None = None,
    header: Mapping[str, str] | None = None,
    images: str | Path | None = None,
    source: str = SOURCE,
    quiet_s: float = 5.0,
    converters: Sequence[Converter] | None = None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[str], None] = lambda line: None,
) -> Report:
    """Convert what comes into some folders until `stop`; files are put aside when they are over.

    `told` hears of every round in which something came.
    """
    place = place_of(out, lake, source=source)
    way = way_of(place, mapping or {}, header or {}, images, converters)
    whole = Report()
    while not stop():
        report = Report()
        for folder in folders:
            over = []
            for one in list(ready(folder, quiet_s)):
                outcome = _taken(way, str(folder / one.file), place, [report, whole])
                over.append((one, outcome))
            place.flush()
            for one, outcome in over:
                settle(place.originals, "", WatchedFolder(folder=folder), one, outcome)
        if report.converted or report.there or report.refused:
            report.waits = not place.taken_in()
            told(str(report))
        _rest(stop)
    return whole


def _rest(stop: Callable[[], bool]) -> None:
    until = time.monotonic() + LOOK_EVERY_S
    while not stop() and time.monotonic() < until:
        time.sleep(0.1)


def _holding(folder: Path, file: str) -> Path:
    """The folder that holds a file: the watched one, or one to which it was put aside."""
    for place in (folder, *(folder / name for name in ASIDE)):
        if (place / file).is_file():
            return place
    raise UsageError("The file is not in the watched folder any more.")


def _brought_back(aside: Path, file: str, folder: Path) -> Path:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (aside / file).replace(folder / file)
    reason = aside / f"{file}.reason.txt"
    reason.unlink(missing_ok=True)
    return folder


@contextlib.contextmanager
def _renewing(queue: Queue, lease: Lease) -> Iterator[None]:
    """Hold a lease as long as the block runs."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE_S / 4):
            with contextlib.suppress(ServiceError):
                queue.renew([lease], LEASE_S)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5)
