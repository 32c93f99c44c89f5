"""Tasks in one SQLite file on a local disk, for all processes of a machine.

Two tables, described in `docs/queue.md`: `task`, and `wish`, which says what jobs want a task. The
indexes that leasing uses hold only tasks that wait or run, so that history costs nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts.queues import (
    DONE,
    NOW,
    STATES,
    WRITTEN,
    Count,
    Lease,
    State,
    Task,
)
from dicomlake.queues.files import SqliteFile
from dicomlake.queues.tasks import WORST, batches, check, packed

_VERSION = 1
_BATCH = 1000
_TABLES = """
create table task (
    id integer primary key autoincrement,
    key text not null,
    kind text not null,
    what text not null,
    priority integer not null,
    source text not null,
    job text not null,
    not_before real not null,
    most integer not null,
    state text not null,
    due real not null,
    attempts integer not null default 0,
    owner text not null default '',
    until real not null default 0,
    error text not null default '',
    result text not null default '{}',
    created real not null,
    started real not null default 0,
    ended real not null default 0
);
create table wish (
    task integer not null,
    job text not null,
    primary key (task, job)
) without rowid;
create unique index task_open on task (key) where state in ('waiting', 'running', 'written');
create index task_due on task (priority, source, due, id) where state = 'waiting';
create index task_until on task (until) where state = 'running';
create index task_count on task (state, source, kind, priority, created);
create index task_state on task (state);
create index wish_job on wish (job, task) where job != '';
"""
_IS_OPEN = "state in ('waiting', 'running', 'written')"
_TASK = "id, key, kind, what, priority, source, job, not_before, most"
_STATE = f"{_TASK}, state, attempts, error, result, created, started, ended, owner"
_PUT = f"""
insert into task (key, kind, what, priority, source, job, not_before, most, state, due, created)
values (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?)
on conflict (key) where {_IS_OPEN} do update set priority = min(priority, excluded.priority)
returning id
"""
_OURS = "id = ? and owner = ? and attempts = ? and state = 'running'"
_AMONG = "(select value from json_each(?))"


class SqliteQueue:
    """Tasks in the SQLite file `path`, which is made when there is none (its folder as well).

    Use it from any thread, and after a fork; each process may also open its own. The file must lie
    on a local disk. `busy_s`: how long to wait for others who write.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Callable[[], float] = time.time,
        busy_s: float = 30.0,
    ) -> None:
        self._file = SqliteFile(path, _TABLES, _VERSION, busy_s)
        self._clock = clock

    # What the Protocol asks for

    def put(self, tasks: Iterable[Task]) -> int:
        """Add tasks; how many are new. See `dicomlake.contracts.queues.Queue`."""
        new = 0
        for batch in batches(tasks, _BATCH):
            rows = [_Row.of(task) for task in batch]
            with self._file.write() as connection:
                new += sum(self._add(connection, row, {row.task.job}) for row in rows)
        return new

    def lease(
        self,
        owner: str,
        count: int = 1,
        seconds: float = 120.0,
        *,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> list[Lease]:
        """Tasks that are due, best priority first, then oldest."""
        now = self._clock()
        with self._file.write() as connection:
            self._reap(connection, now)
            rows = _due(connection, now, count, only, without)
            if not rows:
                return []
            connection.execute(
                "update task set state = 'running', owner = ?, until = ?, started = ?, "
                f"attempts = attempts + 1 where id in {_AMONG}",
                (owner, now + seconds, now, _ids([row[0] for row in rows])),
            )
        return [
            Lease(str(row[0]), _task(row), owner, row["attempts"] + 1, now + seconds)
            for row in rows
        ]

    def renew(self, leases: Iterable[Lease], seconds: float = 120.0) -> set[str]:
        """Hold leases longer; ids of those that are still ours."""
        until = self._clock() + seconds
        with self._file.write() as connection:
            return {
                lease.id
                for lease in leases
                if _changed(
                    connection, f"update task set until = ? where {_OURS}", until, *_mine(lease)
                )
            }

    def done(
        self,
        lease: Lease,
        result: dict[str, Any],
        *,
        then: Iterable[Task] = (),
        written: bool = False,
    ) -> bool:
        """End a task and add those that follow from it, both or neither."""
        rows = [_Row.of(task) for task in then]
        state, ended = (WRITTEN, 0.0) if written else (DONE, self._clock())
        values = (state, ended, packed(result, lease.task.kind))
        statement = f"update task set state = ?, ended = ?, result = ?, until = 0 where {_OURS}"
        with self._file.write() as connection:
            if not _changed(connection, statement, *values, *_mine(lease)):
                return False
            wishes = _wishes(connection, int(lease.id))
            for row in rows:
                follows = row.task.job and row.task.job in {*wishes, lease.task.job}
                self._add(connection, row, wishes if follows else {row.task.job})
        return True

    def committed(self, ids: Iterable[str]) -> None:
        """The lake holds what these tasks brought."""
        for batch in batches(_numbers(ids), _BATCH):
            with self._file.write() as connection:
                connection.execute(
                    f"update task set state = 'done', ended = ? where id in {_AMONG} "
                    "and state = 'written'",
                    (self._clock(), _ids(batch)),
                )

    def lost(self, ids: Iterable[str], error: str) -> int:
        """What these tasks brought did not reach the lake: they are tried again, or die."""
        found = 0
        for batch in batches(_numbers(ids), _BATCH):
            with self._file.write() as connection:
                now = self._clock()
                found += connection.execute(
                    "update task set state = case when attempts < most then 'waiting' else 'dead' "
                    "end, ended = case when attempts < most then 0 else ? end, error = ?, due = ?, "
                    f"owner = '', until = 0 where id in {_AMONG} and state = 'written'",
                    (now, error, now, _ids(batch)),
                ).rowcount
        return found

    def retry(self, lease: Lease, error: str, delay_s: float = 0.0) -> bool:
        """Try a task again later; True: it had all its attempts and is dead."""
        if lease.attempt >= lease.task.most:
            return self._die(lease, error)
        self._wait(lease, delay_s, "error = ?", error)
        return False

    def refuse(self, lease: Lease, error: str) -> None:
        """Let a task die at once."""
        self._die(lease, error)

    def give_back(self, lease: Lease, delay_s: float = 0.0) -> None:
        """Let somebody else do a task; does not count as an attempt."""
        self._wait(lease, delay_s, "attempts = attempts - 1")

    def cancel(self, *, job: str = "", keys: Collection[str] = ()) -> int:
        """Cancel tasks of a job, or with some keys; how many were open.

        A task that other jobs want as well goes on for them.
        """
        found = 0
        for batch in batches(keys, _BATCH):
            with self._file.write() as connection:
                found += connection.execute(
                    "update task indexed by task_open "
                    "set state = 'cancelled', ended = ?, until = 0 "
                    f"where {_IS_OPEN} and key in {_AMONG}",
                    (self._clock(), orjson.dumps(batch).decode()),
                ).rowcount
        return found + (self._cancel_job(job) if job else 0)

    def revive(self, *, job: str = "", ids: Collection[str] = ()) -> int:
        """Let dead tasks of a job, with some ids, or all dead ones, wait again."""
        # A dead task stays dead while another one with its key is open.
        statement = (
            "update or ignore task set state = 'waiting', attempts = 0, due = ?, owner = '', "
            "started = 0, ended = 0 where state = 'dead'"
        )
        found = 0
        with self._file.write() as connection:
            if job:
                chosen = (
                    f"{statement} and id in (select task from wish where job = ? and job != '')"
                )
                found += connection.execute(chosen, (self._clock(), job)).rowcount
            if ids:
                chosen = f"{statement} and id in {_AMONG}"
                among = _ids(_numbers(ids))
                found += connection.execute(chosen, (self._clock(), among)).rowcount
            if not job and not ids:
                found += connection.execute(statement, (self._clock(),)).rowcount
        return found

    def counts(self, job: str = "") -> list[Count]:
        """How many tasks there are, of a job or of all."""
        group = "source, kind, priority, state"
        columns = f"select {group}, count(*), min(created) from"
        with self._file.read() as connection:
            if job:
                rows = connection.execute(
                    f"{columns} wish cross join task on id = wish.task "
                    f"where wish.job = ? and wish.job != '' group by {group} order by {group}",
                    (job,),
                )
            else:
                rows = connection.execute(
                    f"{columns} task indexed by task_count group by state, source, kind, priority "
                    f"order by {group}"
                )
            return [Count(*row) for row in rows]

    def tasks(
        self, states: Collection[str] = STATES, job: str = "", limit: int = 100
    ) -> list[State]:
        """Tasks in some states, newest first."""
        columns = ", ".join(f"task.{name}" for name in _STATE.split(", "))
        with self._file.read() as connection:
            if job:
                rows = connection.execute(
                    f"select {columns} from wish cross join task on id = wish.task "
                    f"where wish.job = ? and wish.job != '' and state in {_AMONG} "
                    "order by wish.task desc limit ?",
                    (job, orjson.dumps(list(states)).decode(), limit),
                ).fetchall()
                return [_state(row, job) for row in rows]
            found: list[sqlite3.Row] = []
            for state in set(states):
                found += connection.execute(
                    f"select {columns} from task indexed by task_state where state = ? "
                    "order by id desc limit ?",
                    (state, limit),
                )
        return [_state(row) for row in sorted(found, key=lambda row: -int(row[0]))[:limit]]

    def forget(self, before: float) -> int:
        """Drop tasks that were over before a time; how many."""
        last, found = 0, 0
        while True:
            with self._file.write() as connection:
                rows = connection.execute(
                    f"select id from task where id > ? and not {_IS_OPEN} and ended < ? "
                    "order by id limit ?",
                    (last, before, _BATCH),
                ).fetchall()
                among = _ids([row[0] for row in rows])
                connection.execute(f"delete from task where id in {_AMONG}", (among,))
                connection.execute(f"delete from wish where task in {_AMONG}", (among,))
            found += len(rows)
            if len(rows) < _BATCH:
                return found
            last = rows[-1][0]

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        self._file.close()

    # Parts of it

    def _add(self, connection: sqlite3.Connection, row: _Row, jobs: Collection[str]) -> bool:
        now = self._clock()
        last = connection.execute("select max(id) from task").fetchone()[0] or 0
        due = max(row.task.not_before, now)
        (found,) = connection.execute(_PUT, (*row.values, due, now)).fetchone()
        for job in jobs:
            connection.execute("insert or ignore into wish values (?, ?)", (found, job))
        return bool(found > last)

    def _reap(self, connection: sqlite3.Connection, now: float) -> None:
        expired = "select id from task indexed by task_until where state = 'running' and until <= ?"
        connection.execute(
            "update task set state = 'dead', ended = ?, until = 0, "
            "error = 'its worker ended or hung ' || attempts || ' times' "
            f"where id in ({expired} limit {_BATCH}) and attempts >= most",
            (now, now),
        )
        connection.execute(
            "update task set state = 'waiting', owner = '', until = 0 "
            f"where id in ({expired} limit {_BATCH})",
            (now,),
        )

    def _die(self, lease: Lease, error: str) -> bool:
        with self._file.write() as connection:
            return _changed(
                connection,
                f"update task set state = 'dead', ended = ?, error = ?, until = 0 where {_OURS}",
                self._clock(),
                error,
                *_mine(lease),
            )

    def _wait(self, lease: Lease, delay_s: float, change: str, *values: str) -> None:
        """Let a task wait again: at its old place, or after a while."""
        due, more = ("due = ?", (self._clock() + delay_s,)) if delay_s > 0 else ("due = due", ())
        statement = (
            f"update task set state = 'waiting', owner = '', until = 0, {due}, {change} "
            f"where {_OURS}"
        )
        with self._file.write() as connection:
            connection.execute(statement, (*more, *values, *_mine(lease)))

    def _cancel_job(self, job: str) -> int:
        last, found = 0, 0
        while True:
            with self._file.write() as connection:
                rows = connection.execute(
                    "select wish.task, (select count(*) from wish other "
                    "where other.task = wish.task) from wish cross join task on id = wish.task "
                    f"where wish.job = ? and wish.job != '' and wish.task > ? and {_IS_OPEN} "
                    "order by wish.task limit ?",
                    (job, last, _BATCH),
                ).fetchall()
                connection.execute(
                    "update task set state = 'cancelled', ended = ?, until = 0 "
                    f"where id in {_AMONG}",
                    (self._clock(), _ids([id for id, wanted in rows if wanted == 1])),
                )
                connection.execute(
                    f"delete from wish where job = ? and task in {_AMONG}",
                    (job, _ids([id for id, wanted in rows if wanted > 1])),
                )
            found += len(rows)
            if len(rows) < _BATCH:
                return found
            last = rows[-1][0]


@dataclass(frozen=True, slots=True)
class _Row:
    """A task that has been checked, and its first columns."""

    task: Task
    values: tuple[Any, ...]

    @classmethod
    def of(cls, task: Task) -> _Row:
        check(task)
        what = packed(task.what, task.kind)
        where = (task.priority, task.source, task.job, task.not_before, task.most)
        return cls(task, (task.key, task.kind, what, *where))


def _due(
    connection: sqlite3.Connection,
    now: float,
    count: int,
    only: Collection[str] | None,
    without: Collection[str],
) -> list[sqlite3.Row]:
    """Rows of the tasks to do next.

    The index is asked once per priority and source that wait, so that neither tasks for later nor
    those of sources left out are walked over.
    """
    found: list[sqlite3.Row] = []
    for priority, source in _waiting(connection):
        if count < 1 or (len(found) >= count and priority > found[-1]["priority"]):
            break
        if (only is None or source in only) and source not in without:
            found += connection.execute(
                f"select {_TASK}, attempts, due from task indexed by task_due "
                "where state = 'waiting' and priority = ? and source = ? and due <= ? "
                "order by due, id limit ?",
                (priority, source, now, count),
            )
    found.sort(key=lambda row: (row["priority"], row["due"], row["id"]))
    return found[: max(count, 0)]


def _waiting(connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    """Priorities and sources of tasks that wait, best priority first."""
    first = "from task indexed by task_due where state = 'waiting' and"
    for priority in range(NOW, WORST + 1):
        place = connection.execute(
            f"select source {first} priority = ? order by source limit 1", (priority,)
        ).fetchone()
        while place is not None:
            yield priority, place[0]
            place = connection.execute(
                f"select source {first} priority = ? and source > ? order by source limit 1",
                (priority, place[0]),
            ).fetchone()


def _changed(connection: sqlite3.Connection, statement: str, *values: Any) -> bool:
    return connection.execute(statement, values).rowcount == 1


def _mine(lease: Lease) -> tuple[Any, ...]:
    return (*(_numbers([lease.id]) or [-1]), lease.owner, lease.attempt)


def _wishes(connection: sqlite3.Connection, task: int) -> set[str]:
    return {job for (job,) in connection.execute("select job from wish where task = ?", (task,))}


def _numbers(ids: Iterable[str]) -> list[int]:
    """Ids as the table has them, without those that cannot be in it."""
    return [int(id) for id in ids if id.isascii() and id.isdecimal() and len(id) < 19]


def _ids(ids: Iterable[int]) -> str:
    return orjson.dumps(list(ids)).decode()


def _task(row: sqlite3.Row) -> Task:
    key, kind, what, priority, source, job, not_before, most = tuple(row)[1:9]
    return Task(key, kind, orjson.loads(what), priority, source, job, not_before, most)


def _state(row: sqlite3.Row, job: str = "") -> State:
    task = _task(row)
    state, attempts, error, result, created, started, ended, owner = tuple(row)[9:]
    return State(
        str(row[0]),
        replace(task, job=job) if job else task,
        state,
        attempts,
        error,
        orjson.loads(result),
        created,
        started,
        ended,
        owner,
    )
