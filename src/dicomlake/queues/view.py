"""What a stream of events says about tasks: the same for everybody who has read the same events.

An event is a whole task with a number that counts its changes. It holds only when its number is the
next one and, while its task is open, no other open task has its key. So of two programs that change
a task at once, all agree which one came first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from dicomlake.contracts.queues import DEAD, OPEN, Count, State, Task
from dicomlake.errors import DataError
from dicomlake.queues.tasks import check

FORGOTTEN = "forgotten"
"""The state of an event that drops a task."""


@dataclass(frozen=True, slots=True)
class Record:
    """A task after one of its changes: `jobs` want it, it is `due`, its lease ends `until`."""

    number: int
    state: State
    jobs: tuple[str, ...]
    due: float = 0.0
    until: float = 0.0

    @property
    def open(self) -> bool:
        """Whether the task is not over."""
        return self.state.state in OPEN

    def next(self, *, due: float | None = None, until: float = 0.0, **values: Any) -> Record:
        """The task after one more change; `values` are fields of its state."""
        return replace(
            self,
            number=self.number + 1,
            state=replace(self.state, **values),
            due=self.due if due is None else due,
            until=until,
        )

    def wanted(self, jobs: Collection[str], priority: int | None = None) -> Record:
        """The task after some jobs have come to want it, perhaps earlier."""
        task = self.state.task
        best = task.priority if priority is None else min(task.priority, priority)
        return replace(
            self,
            number=self.number + 1,
            jobs=tuple(dict.fromkeys((*self.jobs, *jobs))),
            state=replace(self.state, task=replace(task, priority=best)),
        )


@dataclass(frozen=True, slots=True)
class Event:
    """A change that somebody asked for, by a name that only this change has."""

    name: str
    record: Record
    then: tuple[Record, ...] = ()

    def packed(self) -> bytes:
        """The event as JSON."""
        whole = {"event": self.name, **_flat(self.record)}
        return orjson.dumps({**whole, "then": [_flat(record) for record in self.then]})

    @classmethod
    def read(cls, text: bytes) -> Event:
        """The event of a message; DataError when it is none."""
        try:
            found = orjson.loads(text)
            then = tuple(_record(child) for child in found.get("then", ()))
            return cls(found["event"], _record(found), then)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"A message is no event of a task ({type(error).__name__}).") from None


def read_task(text: bytes) -> tuple[str, Task]:
    """The id, or "", and the task of a message; DataError when it is none."""
    try:
        found = orjson.loads(text)
        task = Task(**found["task"])
        id, whole = found.get("id", ""), (task.key, task.kind, task.source, task.job)
        if not all(isinstance(value, str) for value in (id, *whole)):
            raise TypeError
        check(replace(task, not_before=float(task.not_before)))
        dict(task.what)
    except Exception as error:  # noqa: BLE001 - whatever others send
        raise DataError(f"A message is no task ({type(error).__name__}).") from None
    return id, task


def pack_task(id: str, task: Task) -> bytes:
    """The message of a task.

    >>> pack_task("7f", Task("study:1.2", "fetch"))[:51]
    b'{"id":"7f","task":{"key":"study:1.2","kind":"fetch"'
    """
    return orjson.dumps({"id": id, "task": asdict(task)})


def _flat(record: Record) -> dict[str, Any]:
    return {
        "number": record.number,
        **asdict(record.state),
        "jobs": list(record.jobs),
        "due": record.due,
        "until": record.until,
    }


_OF_STATE = ("attempts", "error", "result", "created", "started", "ended", "owner")


def _record(found: Mapping[str, Any]) -> Record:
    values = {name: found[name] for name in _OF_STATE}
    state = State(found["id"], Task(**found["task"]), found["state"], **values)
    return Record(found["number"], state, tuple(found["jobs"]), found["due"], found["until"])


class View:
    """All tasks that events have told of."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.open: dict[str, str] = {}
        self.then: dict[str, tuple[str, ...]] = {}
        self.forgotten: set[str] = set()
        self._jobs: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def apply(self, event: Event) -> bool:
        """Take an event; False: it came too late and does not hold."""
        if not self._holds(event.record):
            return False
        self._set(event.record)
        if event.then:
            self.then[event.record.state.id] = tuple(child.state.id for child in event.then)
        for child in event.then:
            if self._holds(child):
                self._set(child)
            elif known := self.of_key(child.state.task.key):
                self._set(known.wanted(child.jobs, child.state.task.priority))
        return True

    def knows(self, id: str) -> bool:
        """Whether there is, or was, a task of this id."""
        return id in self.records or id in self.forgotten

    def of_key(self, key: str) -> Record | None:
        """The open task of a key."""
        return self.records.get(self.open.get(key, ""))

    def of(self, job: str) -> Iterator[Record]:
        """Tasks of a job, or all, oldest first."""
        if not job:
            yield from self.records.values()
        for id in list(self._jobs.get(job, ())) if job else ():
            yield self.records[id]

    def counts(self, job: str) -> list[Count]:
        """How many tasks there are, of a job or of all."""
        found: dict[tuple[str, str, int, str], tuple[int, float]] = {}
        for record in self.of(job):
            state, task = record.state, record.state.task
            group = (task.source, task.kind, task.priority, state.state)
            count, oldest = found.get(group, (0, state.created))
            found[group] = (count + 1, min(oldest, state.created))
        return [Count(*group, *found[group]) for group in sorted(found)]

    def tasks(self, states: Collection[str], job: str, limit: int) -> list[State]:
        """Tasks in some states, newest first."""
        found = [r.state for r in self.of(job) if r.state.state in states][::-1][:limit]
        return [replace(s, task=replace(s.task, job=job)) if job else s for s in found]

    def dead(self, job: str, ids: Collection[str]) -> list[Record]:
        """Dead tasks of a job, with some ids, or all, one of a key, without those open again."""
        found: dict[str, Record] = {}
        for record in self.of(""):
            chosen = (job and job in record.jobs) or record.state.id in ids or not (job or ids)
            key = record.state.task.key
            if record.state.state == DEAD and chosen and key not in self.open:
                found.setdefault(key, record)
        return list(found.values())

    def _holds(self, record: Record) -> bool:
        known = self.records.get(record.state.id)
        id = record.state.id
        if id in self.forgotten or record.number != (known.number if known else 0) + 1:
            return False
        return not record.open or self.open.get(record.state.task.key, id) == id

    def _set(self, record: Record) -> None:
        id, key = record.state.id, record.state.task.key
        before = self.records.get(id)
        for job in set(before.jobs if before else ()) - set(record.jobs):
            del self._jobs[job][id]
        if self.open.get(key) == id and not record.open:
            del self.open[key]
        if record.state.state == FORGOTTEN:
            self.forgotten.add(id)
            self.records.pop(id, None)
            self.then.pop(id, None)
            for job in record.jobs:
                self._jobs[job].pop(id, None)
            return
        self.records[id] = record
        for job in record.jobs:
            self._jobs[job][id] = None
        if record.open:
            self.open[key] = id
