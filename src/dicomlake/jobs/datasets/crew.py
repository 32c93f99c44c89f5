"""Several processes that work on a dataset, or this one alone.

They are started as plain programs, so a script that makes a dataset needs no
`if __name__ == "__main__"`. What they are given is a module-level class and what it is made with.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from dicomlake.errors import DicomlakeError, ServiceError, UsageError
from dicomlake.jobs.processes import started

_PROGRAM = "import sys; from dicomlake.jobs.datasets.crew import serve; serve(int(sys.argv[1]))"


class Hand(Protocol):
    """Does pieces of work; used by one thread."""

    def do(self, piece: Any) -> Any:
        """What came of a piece."""

    def close(self) -> None:
        """Let go of what is open."""


Pieces = Iterator[tuple[Any, Any]]


def done_by(
    make: Callable[[], Hand], pieces: Iterable[Any], workers: int, check: Callable[[], None]
) -> Pieces:
    """Pieces and what came of them, in any order; `make` makes a hand, in each process.

    `check` may raise to stop. ServiceError when a process died.
    """
    if workers <= 1 or not sys.executable:
        hand = make()
        try:
            for piece in pieces:
                check()
                yield piece, hand.do(piece)
        finally:
            hand.close()
        return
    processes: list[_Process] = []
    try:
        yield from _rounds(processes, make, iter(pieces), workers, check)
    finally:
        for process in processes:
            process.stop()


def _rounds(
    processes: list[_Process],
    make: Callable[[], Hand],
    pieces: Iterator[Any],
    workers: int,
    check: Callable[[], None],
) -> Pieces:
    following = next(pieces, None)
    while True:
        while following is not None:
            process = next((p for p in processes if p.piece is None), None)
            if process is None:
                if len(processes) == workers:
                    break
                process = _Process(make)
                processes.append(process)
            process.give(following)
            following = next(pieces, None)
        busy: dict[Any, _Process] = {p.connection: p for p in processes if p.piece is not None}
        if not busy:
            return
        for connection in wait(list(busy), 0.5):
            yield busy[connection].take()
            if following is None:
                following = next(pieces, None)
        check()


class _Process:
    """A working process, seen from the one that started it; `piece` is what it works on."""

    def __init__(self, make: Callable[[], Hand]) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = started(_PROGRAM, str(theirs.fileno()), [theirs.fileno()])
        finally:
            theirs.close()
        self.connection = Connection(ours.detach())
        self.piece: Any = None
        self._send((make, os.getpid()))

    def give(self, piece: Any) -> None:
        """Let it work on a piece."""
        self.piece = piece
        self._send(piece)

    def _send(self, thing: Any) -> None:
        try:
            self.connection.send(thing)
        except OSError as error:
            raise self._died() from error

    def take(self) -> tuple[Any, Any]:
        """What it was given, and what came of it; waits for it."""
        try:
            found = self.connection.recv()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise self._died() from error
        if isinstance(found, Exception):
            raise found
        piece, self.piece = self.piece, None
        return piece, found

    def _died(self) -> ServiceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return ServiceError(
            f"A working process died (exit status {self._process.returncode}; out of memory?). "
            "What is written is safe; go on with fewer workers: dicomlake dataset resume"
        )

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.connection.close()
        self._process.kill()
        self._process.wait()


def serve(handle: int) -> None:
    """What a working process does: pieces that come, until the parent is gone."""
    connection = Connection(handle)
    make, parent = connection.recv()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        hand = make()
        while True:
            connection.send(hand.do(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except DicomlakeError as error:
        kind = UsageError if isinstance(error, UsageError) else ServiceError
        with contextlib.suppress(OSError):
            connection.send(kind(str(error)))
    except Exception as error:  # noqa: BLE001 - the parent says it
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        with contextlib.suppress(OSError):
            connection.send(ServiceError(f"{type(error).__name__} in {where}."))


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone."""
    gone = threading.Event()
    while not gone.wait(1):
        if os.getppid() != parent:
            os._exit(0)
