"""Clinical facts as tasks of the queue: what comes into watched folders, and what people send.

FOLDER/person.csv               waits until nobody changes any file of the folder any more
FOLDER/done/person.csv          was brought in; a .reason.txt beside it says which lines were not
FOLDER/refused/person.csv       could not be read at all; a .reason.txt beside it says why

All files of a folder that are there are one task, since they refer to each other.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from dicomlake.contracts.queues import (
    DEAD,
    NOW,
    OPEN,
    RUNNING,
    STATES,
    TODAY,
    Lease,
    Queue,
    State,
    Task,
)
from dicomlake.errors import DicomlakeError, LakeError, ServiceError, UsageError
from dicomlake.jobs.clinical.bringing import Taken, bring
from dicomlake.jobs.folders import Ready, put_aside, ready
from dicomlake.jobs.requests import Job, Request, Requests, digest, queue_of
from dicomlake.lake import Store
from dicomlake.lake.store import FACTS
from dicomlake.settings import FactsFolder, Settings

log = logging.getLogger(__name__)

KIND = "facts"
"""Of tasks."""
SENT = "facts--sent"
"""What the queue calls files that people send; no folder has such a name."""
LEASE_S = 120.0
IDLE_S = 1.0
LOOK_EVERY_S = 2.0
MOST_ATTEMPTS = 3
WAITS = (2.0, 10.0, 60.0)
"""Seconds before a task is tried again, by attempt."""
_MOST_REASONS = 20
"""Of a file, beside it."""
_SWEEP_EVERY_S = 60.0
_MAPPING, _FILES = "mapping.yaml", "files"


def source_of(name: str) -> str:
    """What the queue calls a watched folder of facts.

    >>> source_of("labs")
    'facts-labs'
    """
    return f"facts-{name}"


# Asking


def waiting(folder: Path, quiet_s: float, now: float | None = None) -> list[Ready]:
    """The files of a folder, once nobody changed any of them for so long; until then none."""
    there = list(ready(folder, float("-inf"), now))
    return there if len(list(ready(folder, quiet_s, now))) == len(there) else []


def submit(lake: Path, settings: Settings, name: str, requests: Requests) -> Job | None:
    """Queue what is in a watched folder as one task; None when there is nothing new.

    UsageError when there is no such folder.
    """
    said = settings.facts_of(name)
    source = source_of(name)
    if any(count.source == source and count.state in OPEN for count in requests.queue.counts()):
        return None
    found = _unseen(lake, name, said)
    if not found:
        return None
    mark = digest({"files": [asdict(one) for one in found]})
    key = f"{KIND}/{name}/{mark}"
    states = requests.queue.tasks(STATES, limit=1 << 40)
    if any(state.task.key == key for state in states):
        return None  # tried before, and nothing changed
    what = {"name": name, "files": len(found)}
    request = Request(source, priority=TODAY, label=f"facts of the watched folder {name}")
    return requests.add(
        request, lambda job: [Task(key, KIND, what, TODAY, source, job, most=MOST_ATTEMPTS)]
    )


def _unseen(lake: Path, name: str, said: FactsFolder) -> list[Ready]:
    seen = _seen(lake, name)
    found = waiting(said.folder, said.quiet_s)
    return [one for one in found if seen.get(one.file) != [one.size, one.modified]]


def place_of_sent(lake: Path) -> Path:
    """A new folder for files that somebody sends, readable by its owner alone."""
    place = lake / FACTS / "sent" / secrets.token_hex(8)
    for folder in (place.parent, place, place / _FILES):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place / _FILES


def submit_sent(
    files: Path, requests: Requests, *, source: str, issuer: str = "", mapping: Path | None = None
) -> Job:
    """Queue the files of such a folder; its job."""
    place = files.parent
    if mapping is not None:
        shutil.copyfile(mapping, place / _MAPPING)
    what = {"sent": place.name, "source": source, "issuer": issuer}
    key = f"{KIND}/{place.name}"
    request = Request(SENT, priority=NOW, label=f"facts of {source}")
    return requests.add(
        request, lambda job: [Task(key, KIND, what, NOW, SENT, job, most=MOST_ATTEMPTS)]
    )


def needed(lake: Path, settings: Settings) -> bool:
    """Whether a lake needs somebody who brings facts in."""
    return bool(settings.facts) or any((lake / FACTS / "sent").glob("*"))


@dataclass(frozen=True, slots=True)
class How:
    """How far a task is: the stage, so many of `total` units; -1 when that is not known."""

    stage: str = ""
    done: int = 0
    total: int = -1
    unit: str = ""


def how_far(lake: Path, state: State) -> How | None:
    """How far a task is that is running; None where that is not known."""
    if state.state != RUNNING:
        return None
    try:
        return How(**json.loads(_note_of(lake, state.id).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _note_of(lake: Path, id_: str) -> Path:
    return lake / FACTS / "progress" / f"{digest({'id': id_})}.json"


# Looking


class FactsWatchers:
    """Looks into all watched folders of facts now and then; used by one thread."""

    def __init__(self, lake: str | Path, settings: Settings) -> None:
        self._lake, self._settings = Path(lake).absolute(), settings
        self._requests = Requests(self._lake, settings)
        self._last = self._swept = float("-inf")
        self._problems: dict[str, str] = {}

    def tick(self) -> None:
        """Queue what came; looks every two seconds only."""
        now = time.monotonic()
        if now - self._last < LOOK_EVERY_S:
            return
        self._last = now
        for name in self._settings.facts:
            try:
                submit(self._lake, self._settings, name, self._requests)
                self._problems.pop(name, None)
            except UsageError as error:
                if self._problems.get(name) != str(error):  # said once
                    self._problems[name] = str(error)
                    log.error("folder cannot be watched", extra={"folder": name})
        if now - self._swept > _SWEEP_EVERY_S:
            self._swept = now
            sweep(self._lake, self._requests.queue)

    def close(self) -> None:
        """Let go of files and connections."""
        self._requests.close()


def sweep(lake: Path, queue: Queue, older_s: float = 3600.0) -> None:
    """Remove files that were sent and whose task is over, or was never made."""
    places = [p for p in (lake / FACTS / "sent").glob("*") if time.time() - _age(p) > older_s]
    if places:
        states = queue.tasks((*OPEN, DEAD), limit=1 << 40)
        held = {state.task.what.get("sent") for state in states if state.task.kind == KIND}
        for place in places:
            if place.name not in held:
                shutil.rmtree(place, ignore_errors=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


# Doing


class _Told:
    """How far an import is, kept where others can read it."""

    def __init__(self, path: Path, stop: Callable[[], bool]) -> None:
        self._path, self._stop = path, stop
        self._how = How()
        self._written = float("-inf")
        self.lost = False

    @property
    def cancelled(self) -> bool:
        return self.lost or self._stop()

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self.lost = value

    def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
        self._how = How(name, 0, -1 if total is None else total, unit)
        self._write()

    def advance(self, count: int = 1) -> None:
        now = self._how
        self._how = How(now.stage, now.done + count, now.total, now.unit)
        if time.monotonic() - self._written > 1.0:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(asdict(self._how)))
            part.replace(self._path)

    def clear(self) -> None:
        """Nobody needs to know any more."""
        self._path.unlink(missing_ok=True)


class FactsWorker:
    """Leases tasks of facts and does them until told to stop; one thread."""

    def __init__(
        self, lake: Path, settings: Settings, owner: str, *, queue: Queue | None = None
    ) -> None:
        self.lake, self.settings, self.owner = Path(lake).absolute(), settings, owner
        self.queue = queue or queue_of(lake, settings)
        self._sources = {SENT, *map(source_of, settings.facts)}

    def run(self, stop: Callable[[], bool]) -> None:
        """Do tasks until `stop`; what is begun is given back, and goes on where it was."""
        try:
            while not stop():
                until = time.monotonic() + self.turn(stop)
                while not stop() and time.monotonic() < until:
                    time.sleep(0.1)
        finally:
            self.queue.close()

    def turn(self, stop: Callable[[], bool] = lambda: False) -> float:
        """Do one task; seconds to wait before the next turn."""
        try:
            leases = self.queue.lease(self.owner, 1, LEASE_S, only=self._sources)
            if not leases:
                return IDLE_S * random.uniform(0.5, 1.5)
            told = _Told(_note_of(self.lake, leases[0].id), stop)
            with _renewing(self.queue, leases[0], told):
                self._do(leases[0], told)
            told.clear()
        except (ServiceError, OSError) as error:
            why = str(error) if isinstance(error, ServiceError) else error.strerror
            log.error("worker waits", extra={"why": why})
            return 5.0
        return 0.0

    def _do(self, lease: Lease, told: _Told) -> None:
        try:
            made = self._sent(lease, told) if "sent" in lease.task.what else self._came(lease, told)
        except KeyboardInterrupt:
            if not told.lost:
                self.queue.give_back(lease)
        except LakeError:  # somebody else is writing
            self.queue.give_back(lease, WAITS[0])
        except UsageError as error:
            self.queue.refuse(lease, str(error))
        except (DicomlakeError, OSError) as error:
            why = str(error) if isinstance(error, DicomlakeError) else "I/O error"
            self.queue.retry(lease, why, WAITS[min(lease.attempt, len(WAITS)) - 1])
        else:
            self.queue.done(lease, _result(made))
            if "sent" in lease.task.what:
                shutil.rmtree(self._place(lease), ignore_errors=True)

    def _place(self, lease: Lease) -> Path:
        return self.lake / FACTS / "sent" / str(lease.task.what["sent"])

    def _sent(self, lease: Lease, told: _Told) -> Taken:
        what, place = lease.task.what, self._place(lease)
        if not (place / _FILES).is_dir():
            raise UsageError("The files that were sent are not there any more. Send them again.")
        mapping = place / _MAPPING
        return bring(
            self.lake,
            [place / _FILES],
            source=str(what["source"]),
            issuer=str(what["issuer"]),
            mapping=mapping if mapping.exists() else None,
            settings=self.settings,
            progress=told,
        )

    def _came(self, lease: Lease, told: _Told) -> Taken:
        name = str(lease.task.what["name"])
        said = self.settings.facts_of(name)
        found = _unseen(self.lake, name, said)
        made = bring(
            self.lake,
            [said.folder / one.file for one in found],
            source=said.source or name,
            issuer=said.issuer,
            mapping=said.mapping,
            settings=self.settings,
            progress=told,
        )
        _settle(self.lake, name, said, found, made)
        return made


def _result(made: Taken) -> dict[str, Any]:
    names = ("run_id", "files", "added", "replaced", "removed", "unchanged", "failures")
    facts = {"facts": sum(made.facts.values()), "documents": made.documents}
    return {**facts, **{name: getattr(made, name) for name in names}}


def _settle(lake: Path, name: str, said: FactsFolder, found: list[Ready], made: Taken) -> None:
    """Put files aside that are over, or note that they are, as the settings say."""
    if said.done == "keep":
        _see(lake, name, found)
        return
    reasons = _reasons(lake, made.run_id) if made.failures else {}
    for one in found:
        listed = reasons.get((said.folder / one.file).absolute().as_uri(), [])
        refused = any(not place for place, _ in listed)
        lines = [f"{place}: {why}" if place else why for place, why in listed[:_MOST_REASONS]]
        if len(listed) > _MOST_REASONS:
            lines.append(f"and {len(listed) - _MOST_REASONS:,} more: dicomlake failures")
        with contextlib.suppress(FileNotFoundError):
            put_aside(said.folder, one.file, "\n".join(lines), refused=refused)


def _reasons(lake: Path, run_id: str) -> dict[str, list[tuple[str, str]]]:
    """What could not be read in a run, by file: place and reason."""
    rows = Store(lake).read("failures", ["uri", "run_id", "reason"])
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows.filter(pc.equal(rows.column("run_id"), run_id)).to_pylist():
        file, colon, place = row["uri"].rpartition(":")
        if not colon or "/" in place:  # the file as a whole
            file, place = row["uri"], ""
        found.setdefault(file, []).append((place, row["reason"]))
    return found


def _seen_of(lake: Path, name: str) -> Path:
    return lake / FACTS / f"seen-{name}.json"


def _seen(lake: Path, name: str) -> dict[str, list[int]]:
    """Files of a folder that were brought in and stay where they are: size and time of change."""
    try:
        found: dict[str, list[int]] = json.loads(_seen_of(lake, name).read_text())
    except (OSError, ValueError):
        return {}
    return found


def _see(lake: Path, name: str, found: list[Ready]) -> None:
    path = _seen_of(lake, name)
    path.parent.mkdir(exist_ok=True)
    said = _seen(lake, name) | {one.file: [one.size, one.modified] for one in found}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(said))
    part.replace(path)


@contextlib.contextmanager
def _renewing(queue: Queue, lease: Lease, told: _Told) -> Iterator[None]:
    """Hold a lease as long as the block runs; `told` learns when it is lost."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(2.0):
            with contextlib.suppress(ServiceError):
                told.lost = told.lost or lease.id not in queue.renew([lease], LEASE_S)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5)
