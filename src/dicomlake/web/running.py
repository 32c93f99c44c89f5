"""Questions that are being answered: in threads, with a time limit, to be cancelled by name.

A question ends when its client goes away, when somebody deletes it by its X-Query-Id, or when its
time is over.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Header, Request

from dicomlake.api import Lake
from dicomlake.errors import Cancelled
from dicomlake.web.access.needs import who_of
from dicomlake.web.problems import Failed

T = TypeVar("T")

LOOK_EVERY_S = 0.05
LONGEST_S = 120.0
"""What an answer may take unless it has a limit of its own."""
MOST_AT_ONCE = 4 * (os.cpu_count() or 1)
"""Questions that are answered at the same time; others wait for their turn."""

QueryId = Annotated[
    str | None,
    Header(
        alias="X-Query-Id",
        pattern=r"^[\w.-]{1,64}$",
        description="A name for this question, by which DELETE /api/query/{id} stops it",
    ),
]


@dataclass(slots=True, eq=False)
class Running:
    """A question that is being answered.

    `engine`: what answers it; `over`: it took too long; `rows` of `whole`: how far an export is,
    where whole is not -1.
    """

    name: str = ""
    engine: Any = None
    cancelled: bool = False
    over: bool = False
    began: float = field(default_factory=time.monotonic)
    rows: int = 0
    whole: int = -1

    def use(self, lake: Lake) -> Lake:
        """The lake, whose engine is from now on told to stop; Cancelled when it is too late."""
        self.engine = lake.engine
        self.check()
        return lake

    def check(self) -> None:
        """Cancelled when somebody has stopped it."""
        if self.cancelled:
            raise Cancelled("The answer was cancelled.")

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return round(time.monotonic() - self.began, 6)

    def cancel(self) -> None:
        """Stop it, now or as soon as it begins."""
        self.cancelled = True
        if self.engine is not None:
            self.engine.cancel(self)


class Board:
    """All questions that are being answered; used by many threads."""

    def __init__(self) -> None:
        self._running: list[Running] = []
        self._lock = threading.Lock()

    def add(self, name: str) -> Running:
        """A new question."""
        run = Running(name)
        with self._lock:
            self._running.append(run)
        return run

    def remove(self, run: Running) -> None:
        """A question that is over."""
        with self._lock:
            self._running.remove(run)

    def exporting(self, name: str) -> Running | None:
        """The export of a name, if there is one now."""
        with self._lock:
            return next((r for r in self._running if r.name == name and r.whole >= 0), None)

    def cancel(self, name: str) -> int:
        """Stop the questions of a name, and say how many there are."""
        with self._lock:
            found = [run for run in self._running if run.name == name]
        for run in found:
            run.cancel()
        return len(found)


def named(http: Request, name: str | None) -> str:
    """A name for a question that is its caller's own: nobody stops those of others.

    Empty when there is none.
    """
    who = who_of(http)
    return f"{who.name}\n{who.how}\n{name}" if name else ""


async def answered(
    http: Request,
    board: Board,
    work: Callable[[Running], T],
    name: str | None = None,
    limit_s: float = LONGEST_S,
) -> T:
    """What `work` finds in a thread; 409 or 503 when it was stopped before."""
    run = board.add(named(http, name))
    watch = asyncio.create_task(_watch(http, run, limit_s))
    try:
        return await anyio.to_thread.run_sync(work, run, limiter=_limiter())
    except Cancelled as error:
        raise _stopped(run, limit_s) from error
    finally:
        watch.cancel()
        board.remove(run)


async def _watch(http: Request, run: Running, limit_s: float) -> None:
    """Stop a question whose client went away, or whose time is over; again, until it is over."""
    while True:
        run.over = run.over or time.monotonic() - run.began > limit_s
        if run.over or run.cancelled or await http.is_disconnected():
            run.cancel()
        await asyncio.sleep(LOOK_EVERY_S)


def _stopped(run: Running, limit_s: float) -> Failed:
    if run.over:
        return Failed(
            503, f"The answer took longer than {limit_s:g} s. Ask for less, or narrow the question."
        )
    return Failed(409, "The answer was cancelled.")


_limiters: dict[int, anyio.CapacityLimiter] = {}


def _limiter() -> anyio.CapacityLimiter:
    """One per event loop."""
    loop = id(asyncio.get_running_loop())
    if loop not in _limiters:
        _limiters.clear()
        _limiters[loop] = anyio.CapacityLimiter(MOST_AT_ONCE)
    return _limiters[loop]
