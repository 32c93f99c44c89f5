"""Work to do: tasks, and the Protocol of the queues that hold them.

Delivery is at least once: a task whose worker dies is given to another one when its lease ends, so
what a task does must have the same effect twice as once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

NOW, TODAY, LATER = 0, 4, 8
"""Priorities: somebody waits for it; today's work; the legacy archive. Any 0 (first) to 9 goes."""

WAITING, RUNNING, WRITTEN, DONE, DEAD, CANCELLED = (
    "waiting",
    "running",
    "written",
    "done",
    "dead",
    "cancelled",
)
"""States of a task. `written`: what it brought waits for the writer of the lake. `dead`: it failed
so often that it is not tried again unless somebody asks for it."""
STATES = (WAITING, RUNNING, WRITTEN, DONE, DEAD, CANCELLED)
OPEN = (WAITING, RUNNING, WRITTEN)
"""States of tasks that are not over."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do.

    `key` is unique among tasks that are not over. `what` is plain JSON. `source` is the archive it
    burdens, `job` the request it belongs to; `not_before` is in seconds since 1970; after `most`
    attempts it is dead.
    """

    key: str
    kind: str
    what: dict[str, Any] = field(default_factory=dict)
    priority: int = TODAY
    source: str = ""
    job: str = ""
    not_before: float = 0.0
    most: int = 5


@dataclass(frozen=True, slots=True)
class Lease:
    """A task that one worker has until `until` (seconds since 1970); `attempt` counts from 1."""

    id: str
    task: Task
    owner: str
    attempt: int
    until: float


@dataclass(frozen=True, slots=True)
class State:
    """A task as people see it: its state, attempts, last error, and what it did.

    Times are in seconds since 1970, 0 where there is none.
    """

    id: str
    task: Task
    state: str
    attempts: int = 0
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """How many tasks of a source, kind and priority are in a state; `oldest`: since when."""

    source: str
    kind: str
    priority: int
    state: str
    tasks: int
    oldest: float


class Queue(Protocol):
    """Holds tasks; safe to use from many processes, each with a Queue object of its own.

    ServiceError when it cannot be reached.
    """

    def put(self, tasks: Iterable[Task]) -> int:
        """Add tasks; how many are new.

        One whose key is open already is not added; it takes over a better (smaller) priority.
        """

    def lease(
        self,
        owner: str,
        count: int = 1,
        seconds: float = 120.0,
        *,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> list[Lease]:
        """Tasks that are due, best priority first, then oldest; none when there are none.

        `only` and `without` name sources. Tasks whose lease has ended are due again.
        """

    def renew(self, leases: Iterable[Lease], seconds: float = 120.0) -> set[str]:
        """Hold leases longer; ids of those that are still ours (others: stop working on them)."""

    def done(
        self,
        lease: Lease,
        result: dict[str, Any],
        *,
        then: Iterable[Task] = (),
        written: bool = False,
    ) -> bool:
        """End a task and add those that follow from it, both or neither; False: lease was lost.

        `written`: what it brought is on its way into the lake, so it is done only once `committed`.
        """

    def committed(self, ids: Iterable[str]) -> None:
        """The lake holds what these tasks brought; unknown ids and other states do no harm."""

    def lost(self, ids: Iterable[str], error: str) -> int:
        """What these tasks brought did not reach the lake: those that are written are tried again.

        Those that had all their attempts are dead. How many were written.
        """

    def retry(self, lease: Lease, error: str, delay_s: float = 0.0) -> bool:
        """Try a task again later, or let it die when it had all its attempts; True: it is dead."""

    def refuse(self, lease: Lease, error: str) -> None:
        """Let a task die at once: trying again cannot help."""

    def give_back(self, lease: Lease, delay_s: float = 0.0) -> None:
        """Let somebody else do a task; does not count as an attempt."""

    def cancel(self, *, job: str = "", keys: Collection[str] = ()) -> int:
        """Cancel tasks of a job, or with some keys; how many were open. Running ones lose their
        lease, so `renew` and `done` tell their workers."""

    def revive(self, *, job: str = "", ids: Collection[str] = ()) -> int:
        """Let dead tasks of a job, with some ids, or all dead ones, wait again with no attempts."""

    def counts(self, job: str = "") -> list[Count]:
        """How many tasks there are, of a job or of all."""

    def tasks(
        self, states: Collection[str] = STATES, job: str = "", limit: int = 100
    ) -> list[State]:
        """Tasks in some states, newest first."""

    def forget(self, before: float) -> int:
        """Drop tasks that were over before a time (seconds since 1970); how many."""

    def close(self) -> None:
        """Let go of files and connections."""
