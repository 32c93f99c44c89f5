"""Requests: what somebody wants of an archive, as tasks of a queue, and how far they are."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dicomlake import plugins
from dicomlake.contracts.queues import (
    CANCELLED,
    DEAD,
    DONE,
    NOW,
    OPEN,
    RUNNING,
    STATES,
    WAITING,
    Queue,
    State,
    Task,
)
from dicomlake.errors import DicomlakeError, ServiceError, UsageError
from dicomlake.jobs.door.entrance import refuse_tasks
from dicomlake.lake.store import QUEUE
from dicomlake.settings import Settings

KEYWORDS = ("AccessionNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID")
"""Attributes by which something can be asked for."""
DEPTHS = ("catalogue", "headers", "complete")
"""catalogue: only list what there is; headers: the cheapest way to the headers of every series;
complete: all objects."""
_TABLES = """
create table if not exists requests (
    id text primary key, request text not null, created real not null, cancelled integer not null
);
create index if not exists requests_created on requests (created);
"""


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of a source.

    `keys`: values by one of KEYWORDS; `dates`: first and last StudyDate (YYYYMMDD, either may be
    ""); neither: the whole archive. `keep`: keep the objects, too; `again`: also what the lake
    holds already; `backwards`: newest dates first; `undated`: look for studies without a date, too.
    `features`: parts of the documents that are wanted in the end.
    """

    source: str
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dates: tuple[str, str] | None = None
    depth: str = "headers"
    priority: int = NOW
    keep: bool = False
    again: bool = False
    backwards: bool = False
    undated: bool = False
    features: tuple[str, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise UsageError(f"{self.depth!r} is no depth. There are: {', '.join(DEPTHS)}.")
        for keyword, values in self.keys.items():
            if keyword not in KEYWORDS:
                raise UsageError(f"{keyword!r} cannot be asked for; {', '.join(KEYWORDS)} can.")
            if any("*" in v or "?" in v or "\\" in v or not v.strip() for v in values):
                raise UsageError(
                    f"A value of {keyword} is empty or has a wildcard (*, ?) or a backslash, which "
                    "would ask for others, too. Leave it out."
                )
        if self.dates:
            for text in self.dates:
                _check_date(text)
            if all(self.dates) and self.dates[0] > self.dates[1]:
                raise UsageError(f"The first date {self.dates[0]} is after {self.dates[1]}.")
        if not 0 <= self.priority <= 9:
            raise UsageError("A priority is a number from 0 (first) to 9 (last).")

    def flags(self) -> dict[str, Any]:
        """What its tasks pass on to those that follow from them."""
        return {"depth": self.depth, "keep": self.keep, "again": self.again}


def _check_date(text: str) -> None:
    if text:
        try:
            datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
        except ValueError as error:
            raise UsageError(f"{text!r} is no date; write it like 20240131.") from error


@dataclass(frozen=True, slots=True)
class Job:
    """A request and how far it is; times in seconds since 1970, 0 when there is none yet.

    `state`: waiting, running, finished, failed (over, but some tasks are dead) or cancelled.
    """

    id: str
    request: Request
    created: float
    state: str = "waiting"
    tasks: dict[str, int] = field(default_factory=dict)
    ended: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in ("finished", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that was asked for and is not in the lake, and why."""

    what: str
    value: str
    why: str
    state: str
    attempts: int = 0
    id: str = ""


def queue_of(lake: str | Path, settings: Settings) -> Queue:
    """The queue of a lake, as its settings say."""
    folder = Path(lake).absolute() / QUEUE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}.") from error
    kind = settings.queue.kind
    made = plugins.load("queues", kind)
    opened: Queue = made(folder / "tasks.sqlite") if kind == "sqlite" else made(settings.queue)
    return opened


class Requests:
    """The requests of a lake; safe from several threads and processes."""

    def __init__(self, lake: str | Path, settings: Settings, queue: Queue | None = None) -> None:
        self.lake, self.settings = Path(lake).absolute(), settings
        self.queue = queue or queue_of(lake, settings)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                self.lake / QUEUE / "requests.sqlite",
                timeout=30,
                isolation_level=None,
                check_same_thread=False,
            )
            self._db.execute("pragma journal_mode = wal")
            self._db.executescript(_TABLES)
        except sqlite3.Error as error:
            raise _unusable(error) from error

    def submit(self, request: Request) -> Job:
        """Put the tasks of a request into the queue; its job."""
        self.settings.of(request.source)
        refuse_tasks(self.lake)
        return self.add(request, lambda id_: first_tasks(request, id_))

    def add(self, request: Request, tasks: Callable[[str], Iterable[Task]]) -> Job:
        """Put some tasks into the queue as a job; `tasks` makes them by the id of the job."""
        now = time.time()
        id_ = f"{datetime.fromtimestamp(now, UTC):%Y%m%d%H%M%S}-{secrets.token_hex(4)}"
        self._do(
            "insert into requests values (?, ?, ?, 0)", (id_, json.dumps(asdict(request)), now)
        )
        try:
            self.queue.put(tasks(id_))
        except DicomlakeError:  # else it would look finished, without any task
            self._do("delete from requests where id = ?", (id_,))
            raise
        return self.job(id_)

    def jobs(self, limit: int = 100) -> list[Job]:
        """The newest jobs, newest first."""
        rows = self._do("select * from requests order by created desc limit ?", (limit,))
        return [self._job(row) for row in rows]

    def job(self, id_: str) -> Job:
        """A job; UsageError when there is none of that id."""
        rows = self._do("select * from requests where id = ?", (id_,))
        if not rows:
            raise UsageError(f"There is no job {id_!r}. See: dicomlake jobs")
        return self._job(rows[0])

    def _job(self, row: tuple[Any, ...]) -> Job:
        id_, text, created, cancelled = row
        said = json.loads(text)
        said["keys"] = {name: tuple(values) for name, values in said["keys"].items()}
        said["dates"] = tuple(said["dates"]) if said["dates"] else None
        said["features"] = tuple(said["features"])
        tasks: Counter[str] = Counter()
        for count in self.queue.counts(id_):
            tasks[count.state] += count.tasks
        state = _state(tasks, cancelled=bool(cancelled))
        ended = 0.0
        if state in ("finished", "failed", "cancelled"):
            last = self.queue.tasks((DONE, DEAD, CANCELLED), id_, limit=1)
            ended = max((task.ended for task in last), default=created)
        return Job(id_, Request(**said), created, state, dict(tasks), ended)

    def tasks(self, id_: str, states: Iterable[str] = STATES, limit: int = 100) -> list[State]:
        """Tasks of a job, newest first."""
        self.job(id_)
        return self.queue.tasks(tuple(states), id_, limit)

    def missing(self, id_: str) -> Iterator[Missing]:
        """What a job has not brought, or not yet: values asked for, studies and series."""
        self.job(id_)
        for state in self.queue.tasks(STATES, id_, limit=1 << 40):
            what, value = asked(state.task)
            if state.state == DONE:
                yield from _told(state, what, value)
                continue
            why = state.error or _WHY[state.state]
            yield Missing(what, value, why, state.state, state.attempts, state.id)

    def series(self, id_: str) -> list[str]:
        """SeriesInstanceUIDs that a job asked for and the lake holds, also those held before."""
        self.job(id_)
        found: dict[str, None] = {}
        for state in self.queue.tasks((DONE,), id_, limit=1 << 40):
            found.update(dict.fromkeys(state.result.get("held", ())))
            if state.task.kind == "series" and state.result.get("objects"):
                found[state.task.what["series"]] = None
        return sorted(found)

    def cancel(self, id_: str) -> int:
        """Cancel a job; how many of its tasks were open."""
        self.job(id_)
        self._do("update requests set cancelled = 1 where id = ?", (id_,))
        return self.queue.cancel(job=id_)

    def retry(self, id_: str) -> int:
        """Let dead tasks of a job wait again; how many."""
        self.job(id_)
        return self.queue.revive(job=id_)

    def _do(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _unusable(error) from error

    def close(self) -> None:
        """Let go of files and connections."""
        with self._lock:
            self._db.close()
        self.queue.close()

    def __enter__(self) -> Requests:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


_WHY = {
    WAITING: "not asked yet",
    RUNNING: "being asked now",
    "written": "on its way into the lake",
    CANCELLED: "cancelled",
    DEAD: "failed",
}


def _unusable(error: sqlite3.Error) -> ServiceError:
    return ServiceError(f"The requests of the lake cannot be read or written ({error}).")


def _state(tasks: Counter[str], *, cancelled: bool) -> str:
    if any(tasks[state] for state in OPEN):
        begun = tasks[RUNNING] or any(tasks[s] for s in STATES if s != WAITING)
        return "running" if begun else "waiting"
    if cancelled:
        return "cancelled"
    return "failed" if tasks[DEAD] else "finished"


def asked(task: Task) -> tuple[str, str]:
    """Which attribute with which value a task is about.

    >>> asked(Task("series/a/1.2", "series", {"study": "1", "series": "1.2"}))
    ('SeriesInstanceUID', '1.2')
    """
    what = task.what
    if task.kind == "series":
        return "SeriesInstanceUID", str(what["series"])
    if task.kind == "study":
        return "StudyInstanceUID", str(what["study"])
    if task.kind in ("convert", "facts"):  # names of files may tell who somebody is
        return "file", task.key.rpartition("/")[2]
    if task.kind == "find":
        keyword, value = next(iter(what["keys"].items()), ("", ""))
        return str(keyword), str(value)
    times = f" {what['times'][0]}-{what['times'][1]}" if what.get("times") else ""
    return "StudyDate", f"{what.get('from', '')}-{what.get('to', '')}{times}"


def _told(state: State, what: str, value: str) -> Iterator[Missing]:
    """What a task that is done says is not there."""
    why = state.result.get("missing")
    if why:
        yield Missing(what, value, str(why), state.state, state.attempts, state.id)


def first_tasks(request: Request, job: str) -> Iterator[Task]:
    """The tasks that a request begins with; others follow from them."""
    for keyword, values in request.keys.items():
        for value in dict.fromkeys(values):
            yield find_task(request, job, {keyword: value.strip()})
    if request.keys:
        return
    first, last = request.dates or ("", "")
    today = date.today()
    tomorrow = f"{today + timedelta(days=1):%Y%m%d}"
    what = {**request.flags(), "from": first, "to": last or f"{today:%Y%m%d}", "span": 1}
    what |= {"backwards": request.backwards or not first}
    if first <= what["to"]:
        yield slice_task(request.source, job, request.priority, what)
    if not last:  # studies of days to come: some clock was wrong
        later = {**what, "from": max(first, tomorrow), "to": "", "part": True}
        yield slice_task(request.source, job, request.priority, later)
    if request.undated:
        undated = {**request.flags(), "undated": ""}
        yield slice_task(request.source, job, request.priority, undated)


def find_task(request: Request, job: str, keys: dict[str, str]) -> Task:
    """A task that looks for studies by the value of an attribute."""
    what = {**request.flags(), "keys": keys}
    key = f"find/{request.source}/{digest(what)}"
    return Task(key, "find", what, request.priority, request.source, job)


def slice_task(source: str, job: str, priority: int, what: dict[str, Any]) -> Task:
    """A task that looks for the studies of some days, hours, or without a date."""
    return Task(f"slice/{source}/{digest(what)}", "slice", what, priority, source, job)


def digest(what: dict[str, Any]) -> str:
    """A short name for what a task is about, from which nobody learns it."""
    text = json.dumps(what, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=12).hexdigest()
