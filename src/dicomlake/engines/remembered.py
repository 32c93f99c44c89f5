"""What was found once and may be asked again: the newest findings, up to a size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_LOOK_EVERY_S = 0.05
"""Whether what another one finds is still wanted."""


class Remembered(Generic[K, V]):
    """Findings by what was asked, for many threads; the one unused for longest is forgotten first.

    >>> known = Remembered(most=2, size=len)
    >>> known["a"], known["b"] = "1", "2"
    >>> known.get("a")
    '1'
    >>> known["c"] = "3"
    >>> known.get("b") is None
    True
    """

    def __init__(self, most: int, size: Callable[[V], int]) -> None:
        self._most, self._size = most, size
        self._held: OrderedDict[K, V] = OrderedDict()
        self._sought: dict[K, threading.Event] = {}
        self._sum = 0
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """What is known, or None."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def once(self, key: K, find: Callable[[], V], check: Callable[[], object] = bool) -> V:
        """What is known, or what `find` finds.

        Who asks the same meanwhile waits for it instead of finding it, too; `check` raises when
        nobody wants it any more. `find` must not ask for its own key.
        """
        while True:
            with self._lock:
                if key in self._held:
                    self._held.move_to_end(key)
                    return self._held[key]
                sought = self._sought.get(key)
                if sought is None:
                    mine = self._sought[key] = threading.Event()
                    break
            while not sought.wait(_LOOK_EVERY_S):
                check()
        try:
            found = self[key] = find()
        finally:
            with self._lock:
                del self._sought[key]
            mine.set()
        return found

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            if key in self._held:
                self._sum -= self._size(self._held.pop(key))
            self._held[key] = value
            self._sum += self._size(value)
            while self._sum > self._most and len(self._held) > 1:
                self._sum -= self._size(self._held.popitem(last=False)[1])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self._sum = 0

    def __len__(self) -> int:
        return len(self._held)
