"""Open versions of one lake, for services: the newest one as soon as it is there, and older ones.

Versions are opened once and shared by all threads. The newest stays open; of the others, the ones
asked for last.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from dicomlake.errors import LakeError
from dicomlake.lake.store import is_lake

T = TypeVar("T")

LOOK_EVERY_S = 1.0
MOST_OPEN = 3


def newest_version(lake: Path) -> int:
    """The newest version of a lake, from the names of its log; -1 where there is none."""
    found = (lake / "series" / "_delta_log").glob("[0-9]*.json")
    return max((int(path.stem) for path in found if path.stem.isdigit()), default=-1)


class NoVersion(LakeError):
    """A version that there is not, or not any more."""


class Snapshots(Generic[T]):
    """Open versions of a lake; `opener` opens one of them."""

    def __init__(self, path: Path, opener: Callable[[Path, int | None], T]) -> None:
        self.path, self._opener = Path(path), opener
        self._open: OrderedDict[int, T] = OrderedDict()
        self._newest, self._looked = -1, 0.0
        self._lock = threading.RLock()

    def at(self, version: int | None = None) -> T:
        """A version of the lake, the newest one unless another is named.

        LakeError when there is no such version, or no lake.
        """
        with self._lock:
            newest = self._look()
            wanted = newest if version is None else version
            if wanted not in self._open:
                if not 0 <= wanted <= newest:
                    raise NoVersion(f"The lake has no version {wanted}; the newest is {newest}.")
                self._open[wanted] = self._opened(wanted, newest)
                self._forget()
            self._open.move_to_end(wanted)
            return self._open[wanted]

    def _opened(self, wanted: int, newest: int) -> T:
        try:
            return self._opener(self.path, wanted)
        except LakeError as error:
            if wanted == newest:
                raise
            raise NoVersion(str(error)) from error

    def _look(self) -> int:
        now = time.monotonic()
        if now - self._looked > LOOK_EVERY_S or self._newest < 0:
            if not is_lake(self.path):
                raise LakeError(
                    f"{self.path} is no lake. Make one with: dicomlake index FOLDER --lake "
                    f"{self.path}"
                )
            self._newest, self._looked = newest_version(self.path), now
        return self._newest

    def _forget(self) -> None:
        while len(self._open) > MOST_OPEN:
            oldest = next(version for version in self._open if version != self._newest)
            del self._open[oldest]
