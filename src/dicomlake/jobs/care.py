"""Care for archives: pauses, quiet hours, slots, pace and back-off, shared by all processes.

What is known lies in one SQLite file on a local disk. Each archive is asked by as many workers at a
time as its settings allow; fewer when it refuses or becomes slow, more again after a while.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicomlake.contracts.queues import NOW
from dicomlake.errors import Paused
from dicomlake.queues.files import SqliteFile
from dicomlake.settings import Limits

log = logging.getLogger(__name__)

ALL = ""
"""The name under which everything is paused."""
BY_SOMEBODY = "paused by somebody"
"""Why a source is paused that did nothing wrong."""
PAUSED_S = 5.0
"""How long to wait before a paused source is asked about again."""
SLOT_S = 120.0
"""A slot whose process does not hold it any more is free after this time."""
LONGEST_S = 600.0
"""The longest back-off that we choose ourselves."""

_VERSION = 1
_GOOD = 20  # tasks in a row, until one more slot is allowed
_SLOW = 4.0  # times the usual
_NOTHING = {"object": 0.05, "task": 0.5}  # seconds; what is quicker is never slow
_RECENT = 0.2  # weight of the newest task
_USUAL = 0.02  # step towards the median
_BATCH_S = 0.1  # objects of this time are reserved at once
_STEP_S = 0.2  # nobody waits longer without looking whether the source was paused
_DAY = 86_400
_TABLES = """
create table pause (source text primary key, since real not null, why text not null)
without rowid;
create table source (
    name text primary key,
    most integer not null default 0,
    allowed integer,
    good integer not null default 0,
    refusals integer not null default 0,
    until real not null default 0,
    asked real not null default 0,
    next real not null default 0
) without rowid;
create table speed (
    source text not null,
    per text not null,
    recent real not null,
    usual real not null,
    seen integer not null default 0,
    slow integer not null default 0,
    primary key (source, per)
) without rowid;
create table slot (
    id integer primary key autoincrement,
    source text not null,
    owner text not null,
    until real not null
);
create index slot_source on slot (source, until);
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to ask a source, for one worker at a time."""

    id: int
    source: str
    owner: str


@dataclass(frozen=True, slots=True)
class SourceCare:
    """How a source fares: `until` when (seconds since 1970) it is left alone, and why.

    `allowed` slots at a time, `in_use` now; `refusals` in a row; `seconds_per_object` lately,
    0.0 when not known.
    """

    source: str
    paused: bool
    until: float
    why: str
    allowed: int
    in_use: int
    refusals: int
    seconds_per_object: float


class Care:
    """What all processes that share the file `path` know about archives.

    `sleep` waits a number of seconds, `chance` gives numbers from 0 to 1 for jitter.
    """

    def __init__(
        self,
        path: str | Path,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._file = SqliteFile(path, _TABLES, _VERSION)
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._lock = threading.Lock()
        self._slots: dict[int, Slot] = {}
        self._held = 0.0
        self._credit: dict[str, tuple[int, float]] = {}
        self._process = os.getpid()

    # Pauses and hours

    def pause(self, source: str | None = None, why: str = "") -> None:
        """Leave a source alone, or all of them, until `resume`; `why` if it is not by request."""
        with self._file.write() as connection:
            connection.execute(
                "insert or ignore into pause values (?, ?, ?)", (source or ALL, self._clock(), why)
            )

    def resume(self, source: str | None = None) -> None:
        """End a pause; that of everything and that of one source are two things."""
        with self._file.write() as connection:
            connection.execute("delete from pause where source = ?", (source or ALL,))

    def paused(self) -> dict[str, float]:
        """Paused sources, and since when (seconds since 1970); "" is everything."""
        with self._file.read() as connection:
            return dict(connection.execute("select source, since from pause").fetchall())

    def why_paused(self, source: str) -> str:
        """Why a source was paused by itself; "" when it was not, or somebody asked for it."""
        with self._file.read() as connection:
            row = connection.execute("select why from pause where source = ?", (source,)).fetchone()
        return str(row[0]) if row else ""

    def may_start(
        self, source: str, limits: Limits, priority: int, now: datetime | None = None
    ) -> float:
        """Seconds until it may be asked again whether a task may start; 0.0: it may start now.

        `now` is the local time; without it, that of the clock.
        """
        if self._is_paused(source):
            return PAUSED_S
        quiet = self._quiet_s(limits, priority, now)
        with self._file.read() as connection:
            row = connection.execute(
                "select until from source where name = ?", (source,)
            ).fetchone()
        return max(quiet, row[0] - self._clock() if row else 0.0, 0.0)

    def _is_paused(self, source: str) -> bool:
        with self._file.read() as connection:
            found = connection.execute(
                "select 1 from pause where source in (?, ?)", (source, ALL)
            ).fetchone()
        return found is not None

    def _quiet_s(self, limits: Limits, priority: int, now: datetime | None = None) -> float:
        if priority <= NOW or not limits.quiet_hours:
            return 0.0
        return quiet_s(limits.quiet_hours, now or datetime.fromtimestamp(self._clock()))

    def _check(self, source: str, limits: Limits, priority: int) -> None:
        if self._is_paused(source):
            raise Paused(f"Somebody paused {source}.")
        if self._quiet_s(limits, priority):
            raise Paused(f"The quiet hours of {source} have begun.")

    # Slots

    def acquire(self, source: str, limits: Limits, owner: str) -> Slot | None:
        """A slot, or None when all that are allowed are in use. It must be released."""
        now = self._clock()
        with self._file.write() as connection:
            connection.execute(
                "insert into source (name, most) values (?, ?) on conflict do update set most = ?",
                (source, limits.associations, limits.associations),
            )
            connection.execute("delete from slot where source = ? and until <= ?", (source, now))
            used, allowed = connection.execute(
                "select (select count(*) from slot where source = name), "
                "min(coalesce(allowed, most), most) from source where name = ?",
                (source,),
            ).fetchone()
            if used >= allowed:
                return None
            id = connection.execute(
                "insert into slot (source, owner, until) values (?, ?, ?)",
                (source, owner, now + SLOT_S),
            ).lastrowid
        slot = Slot(id or 0, source, owner)
        with self._lock:
            self._mine()[slot.id] = slot
        return slot

    def release(self, slot: Slot) -> None:
        """Let somebody else have a slot; doing so twice does no harm."""
        with self._lock:
            self._mine().pop(slot.id, None)
        with self._file.write() as connection:
            connection.execute("delete from slot where id = ?", (slot.id,))

    def release_of(self, gone: Callable[[str], bool]) -> None:
        """Let others have the slots of owners that are gone."""
        with self._file.write() as connection:
            owners = connection.execute("select distinct owner from slot").fetchall()
            ended = [(owner,) for (owner,) in owners if gone(owner)]
            connection.executemany("delete from slot where owner = ?", ended)

    @contextlib.contextmanager
    def slot(
        self, source: str, limits: Limits, owner: str, *, priority: int = NOW
    ) -> Iterator[Slot]:
        """A slot, waiting for one; Paused when it may not be waited for any longer."""
        while (found := self.acquire(source, limits, owner)) is None:
            self._check(source, limits, priority)
            self._sleep(_STEP_S)
        try:
            yield found
        finally:
            self.release(found)

    def hold(self) -> None:
        """Keep the slots of this process for longer; `pace` does so as well."""
        now = self._clock()
        with self._lock:
            held = list(self._mine().values())
            if not held or now - self._held < SLOT_S / 6:
                return
            self._held = now
        with self._file.write() as connection:
            connection.executemany(
                "insert into slot values (?, ?, ?, ?) on conflict do update set until = ?",
                [(s.id, s.source, s.owner, now + SLOT_S, now + SLOT_S) for s in held],
            )

    def _mine(self) -> dict[int, Slot]:
        """The slots of this process; those of a process that it was forked from are not its own."""
        if self._process != os.getpid():
            self._process, self._slots, self._credit = os.getpid(), {}, {}
        return self._slots

    # Pace

    def pace(self, source: str, limits: Limits, objects: int = 1, *, priority: int = NOW) -> None:
        """Wait until some more objects may be asked for; Paused as soon as it must stop."""
        self._check(source, limits, priority)
        self.hold()
        if limits.objects_per_second is None or objects < 1:
            return
        start = self._spend(source, limits.objects_per_second, objects)
        while (wait := start - self._clock()) > 0:
            self._sleep(min(wait, _STEP_S))
            self._check(source, limits, priority)

    def _spend(self, source: str, rate: float, objects: int) -> float:
        """The time from which these objects may be asked for.

        Objects are reserved in batches, so that the file is seldom written.
        """
        with self._lock:
            self._mine()
            left, start = self._credit.get(source, (0, 0.0))
            if self._clock() - start > 10 * _BATCH_S:
                left = 0
            if left < objects:
                batch = max(objects - left, math.floor(rate * _BATCH_S), 1)
                start = self._reserve(source, batch / rate)
                left += batch
            self._credit[source] = (left - objects, start)
            return start

    def _reserve(self, source: str, seconds: float) -> float:
        """When the next free stretch of time begins: the generic cell rate algorithm."""
        now = self._clock()
        with self._file.write() as connection:
            row = connection.execute("select next from source where name = ?", (source,)).fetchone()
            start = max(row[0] if row else 0.0, now)
            if start > now + LONGEST_S:  # the clock of the machine was set back
                start = now
            connection.execute(
                "insert into source (name, next) values (?, ?) on conflict do update set next = ?",
                (source, start + seconds, start + seconds),
            )
        return start

    # What archives answer

    def refused(self, source: str, wait_s: float = 0.0) -> None:
        """A source refused: leave it alone for a while, longer each time, at least `wait_s`.

        Refusals that come while it is left alone are of the same occasion.
        """
        now = self._clock()
        with self._file.write() as connection:
            connection.execute("insert or ignore into source (name) values (?)", (source,))
            until, asked, refusals = connection.execute(
                "select until, asked, refusals from source where name = ?", (source,)
            ).fetchone()
            asked = max(asked, now + wait_s if wait_s > 0 else 0.0)
            if until <= now:
                refusals += 1
                step = min(2.0 ** min(refusals - 1, 20) * (0.8 + 0.4 * self._chance()), LONGEST_S)
                until = now + step
                _halve(connection, source)
            connection.execute(
                "update source set until = ?, asked = ?, refusals = ?, good = 0 where name = ?",
                (max(until, asked), asked, refusals, source),
            )
        log.info("source refused", extra={"source": source, "refusals": refusals})

    def went_well(self, source: str, seconds: float, objects: int = 0) -> None:
        """A task of a source went well: it ends a back-off of our own choice.

        `objects` that came in `seconds`; 0 when only headers or a catalogue were asked for.
        """
        with self._file.write() as connection:
            connection.execute("insert or ignore into source (name) values (?)", (source,))
            became_slow, slow = _measure(connection, source, seconds, objects)
            connection.execute(
                "update source set refusals = 0, until = asked where name = ?", (source,)
            )
            if became_slow:
                _halve(connection, source)
            elif not slow:
                _one_more(connection, source)
        if became_slow:
            log.warning("source became slow", extra={"source": source})

    def refusals(self, source: str) -> int:
        """How often a source refused since it last went well."""
        with self._file.read() as connection:
            row = connection.execute(
                "select refusals from source where name = ?", (source,)
            ).fetchone()
        return int(row[0]) if row else 0

    def state(self) -> list[SourceCare]:
        """How all sources fare that anything is known of, by name."""
        now = self._clock()
        with self._file.read() as connection:
            rows = connection.execute(
                "select name, until, refusals, min(coalesce(allowed, most), most) as allowed, "
                "(select count(*) from slot where slot.source = name and slot.until > ?) as used, "
                "(select recent from speed where source = name and per = 'object') as recent, "
                "(select max(slow) from speed where source = name) as slow, "
                "coalesce((select why from pause where source = name), '') as paused_why from "
                "(select name from source union select source from pause where source != '') "
                "left join source using (name) order by name",
                (now,),
            ).fetchall()
        paused = self.paused()
        return [_cared(row, ALL in paused or row["name"] in paused, now) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def quiet_s(spans: tuple[str, ...], now: datetime) -> float:
    """Seconds until quiet hours end; 0.0 outside of them, a day when they never end.

    Spans may go over midnight, and end at 24:00; one that ends when it begins is a whole day.

    >>> quiet_s(("07:00-18:00",), datetime(2026, 1, 5, 17, 59))
    60.0
    >>> quiet_s(("22:00-24:00", "00:00-06:00"), datetime(2026, 1, 5, 23, 0))
    25200.0
    >>> quiet_s(("22:00-06:00",), datetime(2026, 1, 5, 12, 0))
    0.0
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = end = (now - midnight).total_seconds()
    moved = True
    while moved and end - begin < _DAY:
        moved = False
        for span in spans:
            left = _left(span, end % _DAY)
            end, moved = end + left, moved or left > 0
    return min(end - begin, float(_DAY))


def _left(span: str, at: float) -> float:
    """Seconds that a span still has at a second of the day, 0.0 outside of it."""
    first, last = (int(t[:2]) * 3600 + int(t[3:]) * 60 for t in span.split("-"))
    length = (min(last, _DAY) - first) % _DAY or _DAY
    gone = (at - first) % _DAY
    return length - gone if gone < length else 0.0


def _halve(connection: sqlite3.Connection, source: str) -> None:
    connection.execute(
        "update source set good = 0, allowed = max(min(coalesce(allowed, most), most) / 2, 1) "
        "where name = ?",
        (source,),
    )


def _one_more(connection: sqlite3.Connection, source: str) -> None:
    """Count a good task; after enough of them in a row, one more slot is allowed."""
    connection.execute("update source set good = good + 1 where name = ?", (source,))
    connection.execute(
        "update source set good = 0, allowed = nullif(min(allowed + 1, most), most) "
        f"where name = ? and good >= {_GOOD}",
        (source,),
    )


def _measure(
    connection: sqlite3.Connection, source: str, seconds: float, objects: int
) -> tuple[bool, bool]:
    """Note how long it took; whether the source became slow by it, and whether it is slow.

    The usual time moves by a small step up or down, so it tends to the median.
    """
    per, value = ("object", seconds / objects) if objects > 0 else ("task", seconds)
    value = max(value, 1e-6)
    row = connection.execute(
        "select recent, usual, seen, slow from speed where source = ? and per = ?", (source, per)
    ).fetchone()
    recent, usual, seen, was_slow = row or (value, value, 0, 0)
    recent += _RECENT * (value - recent)
    step = max(_USUAL, 1 / (seen + 1))
    usual *= math.exp(math.copysign(step, value - usual) if value != usual else 0.0)
    limit = max((_SLOW / 2 if was_slow else _SLOW) * usual, _NOTHING[per])
    slow = seen >= _GOOD and recent > limit
    connection.execute(
        "insert or replace into speed values (?, ?, ?, ?, ?, ?)",
        (source, per, recent, usual, seen + 1, slow),
    )
    return slow and not was_slow, slow


def _cared(row: sqlite3.Row, paused: bool, now: float) -> SourceCare:
    until = row["until"] if row["until"] and row["until"] > now else 0.0
    if paused:
        why = row["paused_why"] or BY_SOMEBODY
    elif until and row["refusals"]:
        why = f"it refused {row['refusals']} times in a row"
    elif until:
        why = "it asked to wait"
    else:
        why = "slower than usual" if row["slow"] else ""
    return SourceCare(
        row["name"],
        paused,
        until,
        why,
        row["allowed"] or 0,
        row["used"],
        row["refusals"] or 0,
        row["recent"] or 0.0,
    )
