"""Work of enrichers in the queue: how much is left, how fast it goes, and whether anybody does it.

What they have done with a lake is told by `dicomlake.jobs.enriching.standings`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from dicomlake.contracts.queues import (
    DEAD,
    DONE,
    OPEN,
    RUNNING,
    WAITING,
    WRITTEN,
    Count,
    Queue,
    State,
)
from dicomlake.jobs.enrichtasks import KIND, is_enriching, kind_of

WINDOW_S = 900.0
"""Over which the pace is counted."""
PATIENCE_S = 5.0
"""A task that waits longer, while none of its kind of hardware runs, has no worker."""
_LOOKED = 5_000


@dataclass(frozen=True, slots=True)
class Work:
    """Tasks of an enricher: `waiting`, `running` (what they brought may still be on its way into
    the lake), `failed` for good.

    `series_per_minute` and `seconds_left`: by what was done lately; None where nothing was.
    `advice`: what to do when nobody works.
    """

    waiting: int = 0
    running: int = 0
    failed: int = 0
    series_per_minute: float | None = None
    seconds_left: float | None = None
    advice: str = ""


def work(queue: Queue, names: Iterable[str], now: float | None = None) -> dict[str, Work]:
    """The work of some enricher in the queue, by name."""
    now = time.time() if now is None else now
    counts = [count for count in queue.counts() if is_enriching(count.source)]
    over = [s for s in queue.tasks((DONE, WRITTEN), limit=_LOOKED) if is_enriching(s.task.source)]
    busy = {count.source for count in counts if count.state == RUNNING}
    return {
        name: _work(
            [count for count in counts if count.kind == kind_of(name)],
            [state for state in over if state.task.kind == kind_of(name)],
            busy,
            now,
        )
        for name in names
    }


def _work(counts: list[Count], over: list[State], busy: set[str], now: float) -> Work:
    tasks: Counter[str] = Counter()
    for count in counts:
        tasks[count.state] += count.tasks
    pace, series = _pace(over, now)
    left = tasks[WAITING] + tasks[RUNNING]
    return Work(
        tasks[WAITING],
        tasks[RUNNING] + tasks[WRITTEN],
        tasks[DEAD],
        series * 60 if series else None,
        left / pace if pace and left else None,
        _advice(counts, busy, now),
    )


def _pace(over: list[State], now: float) -> tuple[float, float]:
    """Tasks and series per second over the last while."""
    lately = [state for state in over if (state.ended or state.started) >= now - WINDOW_S]
    if not lately:
        return 0.0, 0.0
    seconds = max(now - min(state.started for state in lately), 1.0)
    series = sum(
        int(state.result.get(name, 0)) for state in lately for name in ("done", "skipped", "failed")
    )
    return len(lately) / seconds, series / seconds


def _advice(counts: list[Count], busy: set[str], now: float) -> str:
    """What to do when tasks wait and nobody does them."""
    idle = [
        count.source
        for count in counts
        if count.state == WAITING
        and count.source not in busy
        and (not count.oldest or now - count.oldest > PATIENCE_S)
    ]
    if not idle:
        return ""
    hardware = idle[0].removeprefix(f"{KIND}-")
    more = "" if hardware == "cpu" else f" --hardware {hardware}"
    return f"No worker does this. Start one with: dicomlake worker --enrichers 1{more}"


def cancel(queue: Queue, name: str) -> int:
    """Cancel what is open of an enricher; how many tasks. What it stated stays."""
    kind = kind_of(name)
    keys = [s.task.key for s in queue.tasks(OPEN, limit=1_000_000) if s.task.kind == kind]
    return queue.cancel(keys=keys) if keys else 0
