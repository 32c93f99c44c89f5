"""Pulling: what each kind of task does with an archive, and what follows from it.

    slice   studies of some days (or hours, or without a date): lists them; narrows itself when
            the archive cuts its answers, widens when there are few
    find    studies with an accession number, a patient, a UID
    study   the series of a study: lists them; those that the lake lacks become tasks
    series  the headers or objects of a series, into the lake

Tasks are done many at a time: what they bring is left in one batch, then all of them end.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dicomlake.contracts import Found, Object
from dicomlake.contracts.archives import Archive, Match, uri_of
from dicomlake.contracts.queues import Lease, Queue, Task
from dicomlake.errors import DataError, Incomplete, Paused, Refused, ServiceError, UsageError
from dicomlake.jobs.care import Care
from dicomlake.jobs.holdings import Holdings
from dicomlake.jobs.inbox import Inbox, Leaving
from dicomlake.jobs.requests import digest, slice_task
from dicomlake.jobs.writing import Origin
from dicomlake.lake.keeping import Kept
from dicomlake.readers.batch import Batch
from dicomlake.readers.contents import ContentsReader
from dicomlake.readers.fold import Folder
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import Settings, Source

log = logging.getLogger(__name__)

MOST_OBJECTS = 1500
MOST_BYTES = 48 * 1024**2
MOST_TASKS = 96
MOST_SECONDS = 1.0
"""A batch is left when it has so many objects, bytes of headers or tasks, or is so old."""
FEW, MANY = 50, 500
"""Answers to a query for some days after which the next one asks for more days, or fewer."""
WIDEST = 366
MISTAKES = 3
"""After so many tries in vain that only other settings can mend, a source is paused."""
WAITS = (5.0, 20.0, 80.0, 300.0, 1200.0, 3600.0)
"""Seconds before a task is tried again, by attempt."""
MOST_WAITING = 50_000
"""Tasks of a source that wait, after which no more dates are looked through for now."""
_WHOLE = {"headers": ("headers", "all"), "complete": ("all",)}
"""By depth, what a series of the lake is called of which nothing more is to be had."""
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_./ "


class Lost(Exception):
    """The lease of a task is gone: somebody else has it, or it was cancelled."""


class Elsewhere(Exception):
    """A source that only the process with the listener can retrieve from."""


@dataclass(slots=True)
class Outcome:
    """What a task did, and what follows from it."""

    result: dict[str, Any] = field(default_factory=dict)
    then: list[Task] = field(default_factory=list)


@dataclass(slots=True)
class _Ended:
    lease: Lease
    outcome: Outcome


class Puller:
    """Does tasks of archives; used by one thread. `open_archive` connects to a source by name."""

    def __init__(
        self,
        lake: Path,
        settings: Settings,
        queue: Queue,
        care: Care,
        open_archive: Callable[[str], Archive],
        kept: Kept,
    ) -> None:
        self.settings, self.queue, self.care, self.kept = settings, queue, care, kept
        self.inbox, self.holdings = Inbox(lake), Holdings(lake)
        self.lost: Callable[[Lease], bool] = lambda lease: False
        self._open_archive = open_archive
        self._archives: dict[str, Archive] = {}
        self._reader, self._folder, self._contents = HeaderReader(), Folder(), ContentsReader()
        self._ended: list[_Ended] = []
        self._began = time.monotonic()
        self._mistakes: dict[str, set[str]] = {}
        self._answered: set[str] = set()
        self._taken = 0
        self._leaving = self._new()

    def _new(self) -> Leaving:
        return Leaving(Batch(contents=self._contents))

    # Doing tasks

    def do(self, lease: Lease) -> None:
        """Do a task; whatever goes wrong becomes a retry or a dead task, with the reason.

        OSError when the disk of the lake is full: the task is not ended.
        """
        task = lease.task
        began = time.monotonic()
        self._taken = 0
        if not self._ended:
            self._began = began
        try:
            source = self.settings.of(task.source)
            outcome = _KINDS[task.kind](self, lease, source, self._archive(task.source))
        except (Elsewhere, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - one task must never stop a worker
            self._failed(lease, error)
        else:
            self._mistakes.pop(task.source, None)
            self._answered.add(task.source)
            self.care.went_well(task.source, time.monotonic() - began, self._taken)
            self._ended.append(_Ended(lease, outcome))

    def _failed(self, lease: Lease, error: Exception) -> None:
        """What becomes of a task by what went wrong."""
        source = lease.task.source
        if isinstance(error, Refused):
            self._refused(lease, error)
        elif isinstance(error, UsageError):
            self._mistaken(lease, str(error))
        elif isinstance(error, ServiceError | DataError) and not isinstance(error, Paused):
            self._again(lease, str(error))
        else:
            self._drop(source)
            if isinstance(error, Paused):
                self._settle()
                self.queue.give_back(lease, 5.0)
            elif not isinstance(error, Lost):
                self._unexpected(lease, error)

    def _unexpected(self, lease: Lease, error: Exception) -> None:
        """A mistake of ours, or an answer nobody thought of; its text may quote an answer."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
        kind = type(error).__name__
        log.error("task stopped", extra={"kind": lease.task.kind, "error": kind, "where": where})
        self._again(lease, f"it could not be done ({kind})")

    def _refused(self, lease: Lease, error: Refused) -> None:
        """An archive that is away for everybody does not count against the task."""
        source = lease.task.source
        self._drop(source)
        self.care.refused(source, error.wait_s)
        if self.care.refusals(source) >= 3 and not self._taken:
            self._settle()
            self.queue.give_back(lease, WAITS[0] * random.uniform(0.5, 1.5))
        else:
            self._again(lease, str(error), at_least=error.wait_s)

    def _mistaken(self, lease: Lease, why: str) -> None:
        """A mistake that happens again and again is one of the settings: the source is paused.

        When the source answers other tasks, it takes several tasks for that, not one task alone.
        """
        source = lease.task.source
        self._drop(source)
        tasks = self._mistakes.setdefault(source, set())
        tasks.add(f"{lease.id}/{lease.attempt}" if source not in self._answered else lease.id)
        new = source not in self._answered and lease.attempt >= MISTAKES
        if new or len(tasks) >= MISTAKES:
            self.care.pause(source, why)
            log.error("source paused", extra={"source": source, "why": why})
            self._settle()
            self.queue.give_back(lease, 5.0)
        else:
            self._again(lease, why)

    def _again(self, lease: Lease, why: str, at_least: float = 0.0) -> None:
        """Try a task later; when it is dead, what it did not bring becomes a failure."""
        self._settle()
        wait = WAITS[min(lease.attempt, len(WAITS)) - 1] * random.uniform(0.75, 1.25)
        if self.queue.retry(lease, why, max(wait, at_least)) and lease.task.kind == "series":
            what = lease.task.what
            uri = uri_of(lease.task.source, str(what["series"]))
            some = f"{len(what['instances'])} objects: " if what.get("instances") else ""
            self._leaving.batch.fail(_found(uri), uri, "retrieve", some + why)
            self.flush()

    def _settle(self) -> None:
        """Before a task is given away, what it brought so far goes its way."""
        self.flush()

    def _archive(self, source: str) -> Archive:
        if source not in self._archives:
            self._archives[source] = self._open_archive(source)
        return self._archives[source]

    def disconnect(self, source: str) -> None:
        """Close the connection to a source that is not needed now."""
        self._drop(source)

    def _drop(self, source: str) -> None:
        """Close the connection to a source that failed."""
        archive = self._archives.pop(source, None)
        if archive is not None:
            archive.close()

    # Leaving what was brought

    @property
    def due(self) -> bool:
        """Whether a batch is large or old enough to be left."""
        batch = self._leaving.batch
        return bool(
            batch.objects >= MOST_OBJECTS
            or batch.bytes >= MOST_BYTES
            or len(self._ended) >= MOST_TASKS
            or (self._ended and time.monotonic() - self._began > MOST_SECONDS)
        )

    def flush(self) -> int:
        """Leave what was brought in the inbox, then end the tasks that brought it; how many."""
        ended = self._ended
        leaving = self._leaving
        leaving.tasks = [one.lease.id for one in ended]
        written = bool(self.inbox.leave(leaving, self._reader, self._folder))
        for uid in leaving.erased:
            self.kept.drop(uid)
        self._leaving, self._ended = self._new(), []
        for one in ended:
            self.queue.done(one.lease, one.outcome.result, then=one.outcome.then, written=written)
        self._began = time.monotonic()
        return len(ended)

    def held(self) -> list[Lease]:
        """Leases of tasks that are done but not ended."""
        return [one.lease for one in self._ended]

    def close(self) -> None:
        """Leave what is left, and close all connections."""
        try:
            self.flush()
        finally:
            for source in list(self._archives):
                self._drop(source)

    # Kinds of tasks

    def slice(self, lease: Lease, source: Source, archive: Archive) -> Outcome:
        """Look for the studies of a part of the archive."""
        what = lease.task.what
        if self._crowded(lease.task):
            raise Paused("Enough tasks of this source are waiting.")
        if "undated" in what:
            return self._undated(lease, archive)
        days = _days(what)
        match = archive.find("STUDY", _keys(what, days))
        outcome = self._found(lease.task, match)
        outcome.result["days"] = "-".join(days)
        if suspicious(match):
            self._narrow(lease.task, narrower(what, days, match.rows), match, outcome)
        if not what.get("part"):
            following = _next(what, days, len(match.rows))
            outcome.then += [self._follow(lease.task, part) for part in following]
        return outcome

    def _found(self, task: Task, match: Match) -> Outcome:
        """What follows from studies that a slice found."""
        self._list(task.source, "STUDY", match)
        outcome = Outcome({"answers": len(match.rows), "status": match.status})
        self._studies(task, match, outcome, later=1)
        return outcome

    def _narrow(
        self, task: Task, parts: list[dict[str, Any]], match: Match, outcome: Outcome
    ) -> None:
        """Ask for the parts of a slice whose answer may have been cut."""
        if parts:
            outcome.result["cut"] = True
            outcome.then += [self._follow(task, part) for part in parts]
        elif match.cut:
            outcome.result["missing"] = "the archive cuts its answers even for one patient"

    def _crowded(self, task: Task) -> bool:
        """Whether so much waits for this source that looking for more can wait, too."""
        if task.priority < 3:
            return False
        counts = self.queue.counts()
        mine = sum(c.tasks for c in counts if c.source == task.source and c.state == "waiting")
        return mine > MOST_WAITING

    def _undated(self, lease: Lease, archive: Archive) -> Outcome:
        """Look for studies without a date, which no range of dates finds, by patients."""
        what = lease.task.what
        match = archive.find("STUDY", {"StudyDate": "", **_patients(what)})
        rows = [row for row in match.rows if not row.get("StudyDate")]
        outcome = self._found(lease.task, Match(rows, match.cut, match.status))
        if suspicious(match):
            parts = by_patients({**what, "part": True}, match.rows)
            self._narrow(lease.task, parts, match, outcome)
        return outcome

    def _follow(self, task: Task, what: dict[str, Any]) -> Task:
        return slice_task(task.source, task.job, task.priority, what)

    def find(self, lease: Lease, source: Source, archive: Archive) -> Outcome:
        """Look for studies, or a series, by the value of an attribute."""
        task = lease.task
        keys: dict[str, str] = task.what["keys"]
        (keyword, value), *_ = keys.items()
        level = "SERIES" if keyword == "SeriesInstanceUID" else "STUDY"
        match = archive.find(level, keys)
        # An archive that ignores a key would answer with everybody's studies.
        rows = [r for r in match.rows if r.get(keyword, "").strip().lower() == value.lower()]
        found = Match(rows, match.cut, match.status)
        self._list(task.source, level, found)
        result: dict[str, Any] = {"answers": len(rows), "status": match.status}
        if not rows:
            result["missing"] = "the archive has none with this value"
        elif match.cut:
            result["missing"] = "the archive cuts its answer: more studies may be there"
        if level == "STUDY":
            outcome = Outcome(result)
            self._studies(task, found, outcome)
            return outcome
        outcome = self._series(task, rows, source)
        return Outcome({**result, **outcome.result}, outcome.then)

    def _studies(self, task: Task, match: Match, outcome: Outcome, later: int = 0) -> None:
        """Tasks for the studies found, but those of which nothing is missing."""
        priority = min(9, task.priority + later)
        flags = {name: task.what[name] for name in ("depth", "keep", "again")}
        for row in match.rows:
            uid = row.get("StudyInstanceUID", "")
            if not uid:
                continue
            if not flags["again"] and self._whole(row, flags):
                outcome.result.setdefault("held", []).extend(self.holdings.series(uid))
                continue
            what = {**flags, "study": uid}
            key = f"study/{task.source}/{uid}/{digest(flags)}"
            outcome.then.append(Task(key, "study", what, priority, task.source, task.job))

    def _whole(self, row: Mapping[str, str], flags: dict[str, Any]) -> bool:
        """Whether the lake holds all that the archive says a study has."""
        instances = _number(row.get("NumberOfStudyRelatedInstances"))
        if instances is None or flags["depth"] == "catalogue" or flags["keep"]:
            return False
        held = self.holdings.series(row["StudyInstanceUID"])
        enough = _WHOLE[flags["depth"]]
        return (
            bool(held)
            and all(complete in enough for complete, _ in held.values())
            and sum(count for _, count in held.values()) >= instances
        )

    def study(self, lease: Lease, source: Source, archive: Archive) -> Outcome:
        """List the series of a study; those that the lake lacks become tasks."""
        task = lease.task
        match = archive.find("SERIES", {"StudyInstanceUID": task.what["study"]})
        rows = [{**r, "StudyInstanceUID": task.what["study"]} for r in match.rows]
        rows = [row for row in rows if row.get("SeriesInstanceUID")]
        self._list(task.source, "SERIES", Match(rows))
        outcome = self._series(task, rows, source)
        if not rows:
            outcome.result["missing"] = "the archive lists no series of this study"
        elif match.cut:
            outcome.result["missing"] = "the archive cuts its answer: more series may be there"
        return outcome

    def _series(self, task: Task, rows: list[dict[str, str]], source: Source) -> Outcome:
        """Tasks for the series of one study that the lake lacks."""
        outcome = Outcome({"answers": len(rows), "held": []})
        if task.what["depth"] == "catalogue":
            return outcome
        held = self.holdings.series(rows[0]["StudyInstanceUID"]) if rows else {}
        flags = {name: task.what[name] for name in ("depth", "keep", "again")}
        for row in rows:
            uid = row["SeriesInstanceUID"]
            expected = _number(row.get("NumberOfSeriesRelatedInstances"))
            if not flags["again"] and _enough(held.get(uid), expected, flags):
                outcome.result["held"].append(uid)
                continue
            what = {**flags, "study": row["StudyInstanceUID"], "series": uid, "expected": expected}
            key = f"series/{task.source}/{uid}/{flags['depth']}{'/keep' if flags['keep'] else ''}"
            outcome.then.append(Task(key, "series", what, task.priority, task.source, task.job))
        return outcome

    def series(self, lease: Lease, source: Source, archive: Archive) -> Outcome:
        """Bring the headers or the objects of a series."""
        what = lease.task.what
        asked: tuple[str, ...] = tuple(what.get("instances", ()))
        came: set[str] = set()
        why, failed = "", tuple[str, ...]()
        try:
            for thing in self._things(archive, source, what, asked):
                if self.lost(lease):
                    raise Lost
                uid = thing.uri.rpartition("/")[2]
                if uid not in came and self._take(lease, thing):
                    came.add(uid)
        except Incomplete as error:
            why, failed = str(error), error.failed
        expected = len(asked) if asked else what.get("expected")
        if not came and (why or expected != 0):
            raise Incomplete(why or "the archive sent nothing of this series", failed)
        result: dict[str, Any] = {"objects": len(came)}
        if not (asked or what["depth"] == "complete" or archive.whole_headers):
            self._origin(lease, "all" if expected == 1 else "first")
            return Outcome(result)
        missing, why = self._left(archive, what, came, (why, failed))
        full = "all" if what["depth"] == "complete" else "headers"
        self._origin(lease, "some" if missing or why else full)
        if why and not missing:
            result["missing"] = why
        return Outcome(result, self._rest(lease.task, missing))

    def _left(
        self,
        archive: Archive,
        what: dict[str, Any],
        came: set[str],
        failed: tuple[str, Sequence[str]],
    ) -> tuple[list[str], str]:
        """Which objects did not come, and why not all are here; "" when they are.

        What an archive lists of a series counts for more than the number that it says.
        """
        if what.get("instances"):
            return sorted(set(what["instances"]) - came), ""
        why, expected = failed[0], what.get("expected")
        if not why and (expected is None or len(came) >= expected):
            return [], ""
        missing = set(failed[1]) - came
        if missing and expected is not None and len(came) + len(missing) >= expected:
            return sorted(missing), why
        listed = self._listed(archive, what)
        missing |= set(listed) - came
        if missing or listed:
            return sorted(missing), why if missing else ""
        return [], why or "the archive sent fewer objects than it said"

    def _things(
        self, archive: Archive, source: Source, what: dict[str, Any], asked: tuple[str, ...]
    ) -> Iterator[Object]:
        if what["depth"] == "complete" or asked:
            return archive.objects(what["study"], what["series"], asked)
        return archive.headers(what["study"], what["series"], first=not source.metadata)

    def _listed(self, archive: Archive, what: dict[str, Any]) -> list[str]:
        """The objects that the archive says a series has."""
        keys = {"StudyInstanceUID": what["study"], "SeriesInstanceUID": what["series"]}
        match = archive.find("IMAGE", keys, ("SOPInstanceUID",))
        return [row["SOPInstanceUID"] for row in match.rows if row.get("SOPInstanceUID")]

    def _rest(self, task: Task, missing: list[str]) -> list[Task]:
        """A task for what is missing of a series, asked for one by one."""
        if not missing:
            return []
        what = {**task.what, "instances": missing}
        key = f"series/{task.source}/{task.what['series']}/rest/{digest(what)}"
        later = time.time() + WAITS[0]
        return [Task(key, "series", what, task.priority, task.source, task.job, later)]

    def _take(self, lease: Lease, thing: Object) -> bool:
        """Read an object that came, keep it if asked; whether it is one of those asked for.

        One that cannot be read is noted as a failure, and not asked for again.
        """
        task, batch = lease.task, self._leaving.batch
        if batch.objects >= MOST_OBJECTS or batch.bytes >= MOST_BYTES:
            self.flush()
            batch = self._leaving.batch
        self.care.pace(task.source, self.settings.of(task.source).limits, priority=task.priority)
        uid = thing.uri.rpartition("/")[2]
        if not uid:
            thing = replace(thing, uri=uri_of(task.source, task.what["series"]))
        if task.what["keep"] and thing.header is None and uid:
            self.kept.put(uid, thing.fetch, thing.size)
        failures = len(batch.failures)
        batch.add(_found(thing.uri, thing.size), thing, self._reader)
        self._taken += 1
        part = batch.series.get(task.what["series"])
        ours = part is not None and uid in part.places
        # Until the last object came, the series is known in part; others that came instead, too.
        for series in (task.what["series"],) if ours else batch.series:
            self._leaving.origins.setdefault(series, Origin(task.source, "some"))
        return ours or (bool(uid) and len(batch.failures) > failures)

    def _origin(self, lease: Lease, complete: str) -> None:
        """Note where the series of a task came from."""
        self._leaving.origins[lease.task.what["series"]] = Origin(lease.task.source, complete)

    def _list(self, source: str, level: str, match: Match) -> None:
        """Add what an archive lists to the catalogue."""
        now = datetime.now(UTC)
        for row in match.rows:
            if listed := listing(source, level, row, now):
                self._leaving.catalogue[listed["key"]] = listed


_KINDS: dict[str, Callable[[Puller, Lease, Source, Archive], Outcome]] = {
    "slice": Puller.slice,
    "find": Puller.find,
    "study": Puller.study,
    "series": Puller.series,
}


def listing(
    source: str, level: str, row: Mapping[str, str], now: datetime
) -> dict[str, Any] | None:
    """A row of `catalogue` out of an answer; None when it has no UID."""
    study, series = row.get("StudyInstanceUID", ""), row.get("SeriesInstanceUID", "")
    if not study or (level == "SERIES" and not series):
        return None
    found: dict[str, Any] = {name: row.get(name) or None for name in _TEXTS}
    found |= {name: _number(row.get(name)) for name in _NUMBERS}
    modalities = row.get("ModalitiesInStudy", "")
    return {
        **found,
        "key": f"{source}/{study}/{series}" if level == "SERIES" else f"{source}/{study}",
        "source": source,
        "level": level,
        "StudyDate": _date(row.get("StudyDate", "")),
        "ModalitiesInStudy": [m for m in modalities.split("\\") if m] or None,
        "listed": now,
    }


_TEXTS = """StudyInstanceUID SeriesInstanceUID PatientID IssuerOfPatientID StudyTime AccessionNumber
StudyID StudyDescription Modality SeriesDescription BodyPartExamined""".split()
_NUMBERS = """NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances SeriesNumber
NumberOfSeriesRelatedInstances""".split()


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text.replace(".", ""), "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _found(uri: str, size: int = 0) -> Found:
    return Found(uri, size, time.time_ns() // 1000)


def _enough(held: tuple[str, int] | None, expected: int | None, flags: dict[str, Any]) -> bool:
    """Whether what the lake holds of a series is all that is asked for."""
    if held is None or flags["keep"]:
        return False
    complete, instances = held
    if complete == "first":
        return bool(flags["depth"] == "headers")
    return complete in _WHOLE[flags["depth"]] and (expected is None or instances >= expected)


# Slices of dates


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first}-{last}"


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()


def _text(day: date) -> str:
    return day.isoformat().replace("-", "")


def _days(what: dict[str, Any]) -> tuple[str, str]:
    """The days of a slice that are asked for now, out of those that are left."""
    if what.get("part"):
        return what["from"], what["to"]
    span = timedelta(days=int(what["span"]) - 1)
    if what["backwards"]:
        if what["span"] > WIDEST:  # everything before
            return what["from"], what["to"]
        first = _text(_day(what["to"]) - span)
        return max(first, what["from"]), what["to"]
    last = _text(_day(what["from"]) + span)
    return what["from"], min(last, what["to"])


def _next(what: dict[str, Any], days: tuple[str, str], answers: int) -> list[dict[str, Any]]:
    """The slice after this one: wider when there were few answers, narrower when many."""
    first, last = days
    span = int(what["span"])
    if span > WIDEST:
        return []
    if answers < FEW:
        span = min(2 * span, WIDEST)
    elif answers > MANY:
        span = max(1, span // 2)
    one = timedelta(days=1)
    if what["backwards"]:
        if first == what["from"]:
            return []
        if not what["from"] and not answers and what["span"] == WIDEST:
            span = WIDEST + 1
        return [{**what, "to": _text(_day(first) - one), "span": span}]
    if last >= what["to"]:
        return []
    return [{**what, "from": _text(_day(last) + one), "span": span}]


def suspicious(match: Match) -> bool:
    """Whether an answer may have been cut: archives cap them at round numbers, some silently.

    >>> [n for n in range(45, 260) if suspicious(Match([{}] * n))]
    [50, 64, 100, 128, 150, 200, 250, 256]
    """
    answers = len(match.rows)
    return match.cut or (answers >= 50 and (answers % 50 == 0 or answers.bit_count() == 1))


def narrower(
    what: dict[str, Any], days: tuple[str, str], rows: Sequence[Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Parts of a slice: of its days, of the hours of a day, of the patients of one minute.

    A range of times finds no study without a time: where `rows`, what was found, has some, the
    patients of the day are asked for as well. None are left when it is one patient.
    """
    first, last = days
    part = {**what, "part": True}
    if "undated" in what or "patients" in what:
        return by_patients(part, rows)
    if first != last:
        return _halves(part, first, last)
    low, high = (_minutes(text) for text in what.get("times") or ("0000", "2359"))
    part |= {"from": first, "to": last}
    if low == high:
        return by_patients({**part, "patients": ""}, rows)
    half = (low + high) // 2
    spans = (low, half), (half + 1, high)
    parts = [{**part, "times": [_clock(a), _clock(b)]} for a, b in spans]
    if not what.get("times") and not all(row.get("StudyTime") for row in rows):
        parts += by_patients({**part, "patients": ""}, rows)
    return parts


def _halves(part: dict[str, Any], first: str, last: str) -> list[dict[str, Any]]:
    """Two halves of the days of a slice; what lies beyond all likely days is cut off first."""
    if not first and last <= _OLDEST:
        first = "00010101"
    if not last and first >= _NEWEST:
        last = "99991231"
    if first and last:
        middle = _day(first) + (_day(last) - _day(first)) // 2
    else:
        middle = _day(_NEWEST if first else _OLDEST)
    after = _text(middle + timedelta(days=1))
    return [{**part, "from": first, "to": _text(middle)}, {**part, "from": after, "to": last}]


_OLDEST, _NEWEST = "19000101", "21000101"


def by_patients(what: dict[str, Any], rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Parts of a slice by one more letter of the PatientID, and the patient of just these.

    Letters beyond the usual ones are those that `rows` have.
    """
    name = "undated" if "undated" in what else "patients"
    prefix = str(what[name])
    if what.get("exact") or len(prefix) >= 64:
        return []
    met = {row.get("PatientID", "")[len(prefix) : len(prefix) + 1] for row in rows}
    letters = sorted({*_LETTERS, *met} - set("*?\\"))
    parts = [{**what, name: prefix + letter} for letter in letters if letter]
    return parts + ([{**what, "exact": True}] if prefix else [])


def _patients(what: Mapping[str, Any]) -> dict[str, str]:
    """The key for the patients of a slice."""
    prefix = str(what.get("undated") or what.get("patients") or "")
    return {"PatientID": prefix if what.get("exact") else prefix + "*"} if prefix else {}


def _keys(what: Mapping[str, Any], days: tuple[str, str]) -> dict[str, str]:
    """What the studies of a slice are asked by."""
    keys = {"StudyDate": _span(*days), **_patients(what)}
    if what.get("times"):
        begin, end = what["times"]
        keys["StudyTime"] = f"{begin}00-{end}59.999999"
    return keys


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[2:4])


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}{minutes % 60:02}"
