"""Objects on their way from the listener's threads to the one that asked for a C-MOVE."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from dicomlake.contracts import Object
from dicomlake.contracts.archives import uri_of
from dicomlake.errors import Refused

MOST = 8
"""Objects that may wait; senders of more wait for their turn."""


class Arrivals:
    """A queue with a socket to wait at; use as a context manager.

    Whoever puts an object waits until it was used, so its sender does.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._room = threading.Semaphore(MOST)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Object, threading.Event]] = deque()
        self._refusing = False
        self._used: set[threading.Event] = set()
        self.socket, self._wake = socket.socketpair()

    def __enter__(self) -> Arrivals:
        return self

    def __exit__(self, *error: object) -> None:
        self.refuse()
        self.socket.close()
        self._wake.close()

    @property
    def waiting(self) -> int:
        """Objects that nobody has taken yet."""
        return len(self._waiting)

    def arrived(self, found: Object) -> None:
        """Called by the listener; returns when the object was used, Refused when it never is."""
        with self._room:
            done = threading.Event()
            with self._lock:
                if self._refusing:
                    raise Refused("The retrieval has ended.")
                self._waiting.append((found, done))
                self._wake.send(b"\0")
            done.wait()
            with self._lock:
                if done not in self._used:
                    raise Refused("The retrieval has ended.")
                self._used.remove(done)

    def taken(self, got: set[str]) -> Iterator[Object]:
        """The next object, if there is one; its sender goes on when this does."""
        self.socket.recv(1)
        with self._lock:
            if not self._waiting:
                return
            found, done = self._waiting.popleft()
        uid = found.uri.rpartition("/")[2]
        got.add(unquote(uid))
        used = False
        try:
            yield replace(found, uri=uri_of(self._source, uid))
            used = True
        finally:
            with self._lock:
                if used:
                    self._used.add(done)
            done.set()

    def refuse(self) -> None:
        """Take nothing any longer; those who wait are told so."""
        with self._lock, contextlib.suppress(IndexError):
            self._refusing = True
            while True:
                self._waiting.popleft()[1].set()
