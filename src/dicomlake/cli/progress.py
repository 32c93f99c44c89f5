"""Progress of a job as a bar with rate and remaining time."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Files per second."""
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "files")
        return Text(f"{speed:,.0f} {unit}/s" if speed and task.total else "")


class Bar:
    """A `dicomlake.contracts.Progress` drawn with rich; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self.cancelled = False
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
        """Begin a new part of the job."""
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total, unit=unit)

    def advance(self, count: int = 1) -> None:
        """Move the bar on."""
        self._bar.advance(self._task, count)

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
