"""The status of a lake on the screen."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dicomlake.contracts.queues import STATES
from dicomlake.jobs.requests import queue_of
from dicomlake.jobs.status import Status, status
from dicomlake.settings import Settings

NAMES = ((2, "now"), (6, "today"), (9, "later"))
"""The largest priority number of each band, and its name."""


def band(priority: int) -> str:
    """The name of a priority.

    >>> band(0), band(4), band(8)
    ('now', 'today', 'later')
    """
    return next(name for most, name in NAMES if priority <= most)


def drawn(found: Status) -> Group:
    """A status as tables."""
    parts: list[Table | Text] = []
    if found.everything_paused:
        parts.append(Text("Everything is paused. Go on with: dicomlake resume", style="bold red"))
    parts += [_sources(found), _tasks(found), _speed(found)]
    if found.failures:
        parts.append(_failures(found))
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _sources(found: Status) -> Table:
    table = _table("Sources", "source", "kind", "state", "associations", "ms per object", "why")
    for one in found.sources:
        waits = one.until > found.when
        state = "paused" if one.paused else "backs off" if waits else "ready"
        speed = f"{one.seconds_per_object * 1000:.1f}" if one.seconds_per_object else ""
        slots = f"{one.in_use} of {one.allowed}"
        table.add_row(one.name, one.kind, state, slots, speed, one.why)
    return table


def _tasks(found: Status) -> Table:
    states = [state for state in STATES if found.states.get(state)]
    table = _table("Tasks", "source", "kind", "priority", *states)
    counts: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    for row in found.tasks:
        key = (row["source"], row["kind"], band(row["priority"]))
        counts[key][row["state"]] = counts[key].get(row["state"], 0) + row["tasks"]
    for key, tasks in sorted(counts.items()):
        table.add_row(*key, *(f"{tasks[s]:,}" if s in tasks else "" for s in states))
    return table


def _speed(found: Status) -> Table:
    table = _table("Throughput and lag", "", "")
    for window, speed in found.throughput.items():
        text = f"{speed['series']:,.0f} series, {speed['objects']:,.0f} objects per minute"
        table.add_row(f"last {window}", text)
    for name, seconds in sorted(found.lag.items()):
        what = "written, not committed" if name == "written" else f"priority {name} waits"
        table.add_row(what, f"since {seconds:,.0f} s")
    table.add_row("batches for the writer", f"{found.inbox:,}")
    table.add_row("workers", ", ".join(found.workers) or "none with a task")
    return table


def _failures(found: Status) -> Table:
    table = _table("Dead tasks", "id", "source", "what", "value", "attempts", "why")
    for one in found.failures[:10]:
        table.add_row(one.id, one.source, one.what, one.value, str(one.attempts), one.why)
    return table


def watched(lake: Path, settings: Settings, console: Console) -> None:
    """Show the status again every second until stopped."""
    queue = queue_of(lake, settings)
    try:
        with Live(drawn(status(lake, settings, queue)), console=console, screen=True) as live:
            while True:
                time.sleep(1.0)
                live.update(drawn(status(lake, settings, queue)))
    finally:
        queue.close()
