"""A SQLite file that many processes and threads share."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dicomlake.errors import ServiceError, UsageError

_files: weakref.WeakSet[SqliteFile] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process. They are never closed: that would end what the parent does."""

_WRONG = {
    "FULL": "cannot be written: its disk is full. Make room and try again.",
    "SQLITE_IOERR_WRITE": "cannot be written: its disk is full, or the file may not grow. "
    "Make room and try again.",
    "IOERR": "cannot be read or written: look at its disk. It must be a local one.",
    "BUSY": "has been locked by another program for {busy_s:g} s. End that one and try again.",
    "LOCKED": "is locked by another part of this program. Try again.",
    "CORRUPT": "is damaged. Put back a copy of it, or move it away together with its -wal and "
    "-shm files: an empty one is made then.",
    "NOTADB": "is no SQLite file. Move it away: an empty one is made then.",
    "CANTOPEN": "cannot be opened. May this user read and write it and its folder?",
    "READONLY": "may not be written by this user.",
}


@dataclass(slots=True)
class _Side:
    """A connection, and who may use it now."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    connection: sqlite3.Connection | None = None


class SqliteFile:
    """The SQLite file `path` with `tables` (statements with ; between), made when there is none.

    Use it from any thread, and after a fork. Readers and writers do not wait for each other;
    writers wait up to `busy_s` seconds for other writers. Whatever SQLite raises becomes a
    ServiceError that says what to do. The file must lie on a local disk.
    """

    def __init__(self, path: str | Path, tables: str, version: int, busy_s: float = 30.0) -> None:
        self.path = Path(path)
        self._tables, self._current, self._busy_s = tables, version, busy_s
        self._writer, self._reader = _Side(), _Side()
        _files.add(self)

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that nobody else writes beside: all of it happens, or nothing."""
        with self._use(self._writer) as connection:
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("rollback")
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to ask; what it finds must be fetched before it is given back."""
        with self._use(self._reader) as connection:
            yield connection

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        for side in (self._writer, self._reader):
            with side.lock:
                if side.connection is not None:
                    side.connection.close()
                    side.connection = None

    @contextlib.contextmanager
    def _use(self, side: _Side) -> Iterator[sqlite3.Connection]:
        with side.lock:
            try:
                if side.connection is None:
                    side.connection = self._opened()
                yield side.connection
            except sqlite3.Error as error:
                raise ServiceError(self._sentence(error)) from error

    def _opened(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServiceError(
                f"The folder of {self.path} cannot be made: {error.strerror}."
            ) from error
        connection = sqlite3.connect(
            self.path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.row_factory = sqlite3.Row
            _patiently(self._busy_s, lambda: connection.execute("pragma journal_mode = wal"))
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma journal_size_limit = 67108864")
            self._make(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == self._current:
            return
        connection.execute("begin immediate")
        if self._version(connection) == 0:
            for statement in self._tables.split(";"):
                connection.execute(statement)
            connection.execute(f"pragma user_version = {self._current}")
        connection.execute("commit")

    def _version(self, connection: sqlite3.Connection) -> int:
        found = int(connection.execute("pragma user_version").fetchone()[0])
        if found > self._current:
            raise UsageError(f"{self.path} was made by a newer dicomlake: install that one.")
        return found

    def _sentence(self, error: sqlite3.Error) -> str:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        kind = name.removeprefix("SQLITE_").partition("_")[0]
        what = _WRONG.get(name) or _WRONG.get(kind) or f"cannot be used ({name})."
        return f"The file {self.path} {what.format(busy_s=self._busy_s)}"

    def forked(self) -> None:
        """Leave the connections of the parent process alone; called in every new process."""
        for side in (self._writer, self._reader):
            if side.connection is not None:
                _inherited.append(side.connection)
        self._writer, self._reader = _Side(), _Side()


def _patiently(seconds: float, call: Callable[[], object]) -> None:
    """Call until no other process is in the way: SQLite does not wait when it changes journals."""
    until = time.monotonic() + seconds
    while True:
        try:
            call()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def _forked() -> None:
    for file in _files:
        file.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
