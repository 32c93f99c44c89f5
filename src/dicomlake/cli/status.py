"""The status of a lake on the screen."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dicomlake.cli.output import shown
from dicomlake.contracts.queues import DEAD, LATER, NOW, STATES, TODAY
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
    tables = [_sources(found), _tasks(found), _speed(found)]
    if found.failures:
        tables.append(_failures(found))
    for table in tables:
        parts += [table, Text()]
    return Group(*parts[:-1])


def listed(rows: Sequence[Mapping[str, Any]], long: Collection[str], title: str = "") -> Table:
    """Rows as a table in which only the columns named in `long` are ever broken into lines."""
    table = _table(title, *(rows[0] if rows else ()), long=long)
    numbers = {n for n, value in (rows[0] if rows else {}).items() if isinstance(value, int)}
    for column in table.columns:
        column.justify = "right" if str(column.header) in numbers else "left"
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row.values()))
    return table


def _table(title: str, *columns: str, long: Collection[str] = (), head: bool = True) -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_header=head,
        show_edge=False,
        pad_edge=False,
    )
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name not in long)
    return table


def _sources(found: Status) -> Table:
    columns = ("source", "kind", "state", "in use", "ms/object", "why")
    table = _table("Sources", *columns, long=("why",))
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
    for column in table.columns[3:]:
        column.justify = "right"
    counts: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    for row in found.tasks:
        key = (row["source"], row["kind"], band(row["priority"]))
        counts[key][row["state"]] = counts[key].get(row["state"], 0) + row["tasks"]
    for key, tasks in sorted(counts.items()):
        table.add_row(*key, *(f"{tasks[s]:,}" if s in tasks else "" for s in states))
    return table


def _speed(found: Status) -> Table:
    table = _table("Throughput and lag", "what", "how much", long=("how much",), head=False)
    for window, speed in found.throughput.items():
        text = f"{_rate(speed['series'])} series, {_rate(speed['objects'])} objects per minute"
        table.add_row(f"last {window}", text)
    for name, seconds in sorted(found.lag.items()):
        what = "oldest not committed" if name == "written" else f"oldest that waits, {_level(name)}"
        table.add_row(what, f"{seconds:,.0f} s")
    table.add_row("batches for the writer", f"{found.inbox:,}")
    table.add_row("workers with tasks", ", ".join(found.workers) or "none")
    return table


def _rate(number: float) -> str:
    """A rate as people read it; small ones are not rounded to nothing.

    >>> _rate(0.05), _rate(1234.0), _rate(0.0)
    ('0.05', '1,234', '0')
    """
    return f"{number:.2g}" if 0 < number < 10 else f"{number:,.0f}"


def _level(name: str) -> str:
    """A priority as status says it: its band, and its number where it is another one.

    >>> _level("4"), _level("5")
    ('today', 'today (5)')
    """
    number = int(name)
    usual = number in (NOW, TODAY, LATER)
    return band(number) if usual else f"{band(number)} ({number})"


def _failures(found: Status) -> Table:
    rows = [
        {
            "source": one.source,
            "what": f"{one.what} {one.value}",
            "tried": one.attempts,
            "why": one.why,
        }
        for one in found.failures[:10]
    ]
    return listed(rows, ("what", "why"), f"Dead tasks ({found.states[DEAD]:,})")


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
