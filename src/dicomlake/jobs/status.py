"""Status: what goes on at a lake, for people and for monitoring."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dicomlake.contracts.queues import DEAD, DONE, RUNNING, WAITING, WRITTEN, Queue, State
from dicomlake.jobs.care import ALL
from dicomlake.jobs.inbox import waiting
from dicomlake.jobs.requests import asked, queue_of
from dicomlake.jobs.working import care_of
from dicomlake.settings import Settings

WINDOWS = (1, 15, 60)
"""Minutes over which throughput is counted."""
PACE = 60


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source: whether it may be asked, how many associations it has of how many."""

    name: str
    kind: str
    paused: bool = False
    why: str = ""
    until: float = 0.0
    allowed: int = 0
    in_use: int = 0
    refusals: int = 0
    seconds_per_object: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A dead task: which attribute with which value it was about, and why."""

    id: str
    source: str
    kind: str
    what: str
    value: str
    why: str
    attempts: int
    ended: float


@dataclass(frozen=True, slots=True)
class Status:
    """What goes on at a lake.

    `tasks`: rows of source, kind, priority, state, tasks, oldest. `throughput`: series and objects
    per minute over the last minutes. `pace`: series done in each of the last PACE minutes, the
    oldest first. `lag`: age in seconds of the oldest waiting task by priority,
    and of the oldest one that is written but not committed. `inbox`: batches for the writer.
    """

    when: float
    sources: list[SourceStatus] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    throughput: dict[str, dict[str, float]] = field(default_factory=dict)
    pace: list[int] = field(default_factory=list)
    lag: dict[str, float] = field(default_factory=dict)
    failures: list[Failed] = field(default_factory=list)
    inbox: int = 0
    workers: list[str] = field(default_factory=list)
    everything_paused: bool = False

    def as_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


def status(lake: str | Path, settings: Settings, queue: Queue | None = None) -> Status:
    """What goes on at a lake now."""
    opened = queue or queue_of(lake, settings)
    try:
        return _status(Path(lake), settings, opened)
    finally:
        if queue is None:
            opened.close()


def _status(lake: Path, settings: Settings, queue: Queue) -> Status:
    now = time.time()
    counts = queue.counts()
    done = [s for s in queue.tasks((DONE, WRITTEN), limit=20_000) if s.task.kind == "series"]
    states: Counter[str] = Counter()
    lag: dict[str, float] = {}
    for count in counts:
        states[count.state] += count.tasks
        if count.state == WAITING and count.oldest:
            name = str(count.priority)
            lag[name] = max(lag.get(name, 0.0), now - count.oldest)
        if count.state == WRITTEN and count.oldest:
            lag["written"] = max(lag.get("written", 0.0), now - count.oldest)
    with contextlib.closing(care_of(lake)) as care:
        known = {state.source: state for state in care.state()}
        everything_paused = ALL in care.paused()
    sources = []
    for name, source in settings.source.items():
        state = known.get(name)
        if state is None:
            limit = source.limits.associations
            sources.append(SourceStatus(name, source.kind, allowed=limit))
            continue
        sources.append(
            SourceStatus(
                name,
                source.kind,
                state.paused,
                state.why,
                state.until,
                min(state.allowed, source.limits.associations),
                state.in_use,
                state.refusals,
                state.seconds_per_object,
            )
        )
    running = queue.tasks((RUNNING,), limit=1000)
    return Status(
        now,
        sources,
        [asdict(count) for count in counts],
        dict(states),
        _throughput(done, now),
        _pace(done, now),
        lag,
        [_failed(state) for state in queue.tasks((DEAD,), limit=20)],
        waiting(lake),
        sorted({state.owner for state in running}),
        everything_paused,
    )


def _pace(done: list[State], now: float) -> list[int]:
    found = [0] * PACE
    for state in done:
        minute = int((now - state.ended) // 60)
        if 0 <= minute < PACE:
            found[PACE - 1 - minute] += 1
    return found


def _throughput(done: list[State], now: float) -> dict[str, dict[str, float]]:
    """Series and objects per minute over the last minutes, from tasks that are done."""
    found = {}
    for minutes in WINDOWS:
        since = now - 60 * minutes
        recent = [s for s in done if s.ended >= since]
        objects = sum(int(state.result.get("objects", 0)) for state in recent)
        found[f"{minutes} min"] = {
            "series": len(recent) / minutes,
            "objects": objects / minutes,
        }
    return found


def _failed(state: Any) -> Failed:
    what, value = asked(state.task)
    return Failed(
        state.id,
        state.task.source,
        state.task.kind,
        what,
        value,
        state.error,
        state.attempts,
        state.ended,
    )
