"""Open versions of one lake, for services: the newest one as soon as it is there, and older ones.

Versions are opened once and shared by all threads. The newest stays open; of the others, the ones
asked for last. In a small lake the newest version is there at once. In a large one, which takes
its time to open, the one before is shown until the newest is ready, and for a while longer: a lake
that grows all day would otherwise be opened again for every question.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from dicomlake.errors import Cancelled, LakeError
from dicomlake.lake.store import is_lake

T = TypeVar("T")

LOOK_EVERY_S = 1.0
MOST_OPEN = 3
SHOWN_FOR = 20
"""A version is shown so many times longer, at least, than it took to open."""


def newest_version(lake: Path) -> int:
    """The newest version of a lake, from the names of its log; -1 where there is none."""
    found = (lake / "series" / "_delta_log").glob("[0-9]*.json")
    return max((int(path.stem) for path in found if path.stem.isdigit()), default=-1)


class NoVersion(LakeError):
    """A version that there is not, or not any more."""


class Snapshots(Generic[T]):
    """Open versions of a lake; `opener` opens one of them.

    `large`: whether a version takes its time to open; then `warm` asks it what everybody asks
    before it is shown.
    """

    def __init__(
        self,
        path: Path,
        opener: Callable[[Path, int | None], T],
        large: Callable[[T], bool] = lambda _: False,
        warm: Callable[[T], object] = bool,
    ) -> None:
        self.path, self._opener = Path(path), opener
        self._large, self._warm = large, warm
        self._open: OrderedDict[int, T] = OrderedDict()
        self._newest, self._looked = -1, 0.0
        self._shown, self._took, self._since = -1, 0.0, 0.0
        self._preparing = self._slow = False
        self._lock = threading.RLock()

    def at(self, version: int | None = None) -> T:
        """A version of the lake, the newest one that is ready unless another is named.

        LakeError when there is no such version, or no lake.
        """
        with self._lock:
            newest = self._look()
            if version is None:
                return self._ready(newest)
            if version not in self._open:
                if not 0 <= version <= newest:
                    raise NoVersion(f"The lake has no version {version}; the newest is {newest}.")
                self._open[version] = self._opened(version, newest)
                self._forget()
            self._open.move_to_end(version)
            return self._open[version]

    def renew(self) -> None:
        """Let go of all versions: their files are gone."""
        with self._lock:
            self._open.clear()
            self._newest = self._shown = -1

    def _ready(self, newest: int) -> T:
        """The newest version, or the one before while it is prepared."""
        now = time.monotonic()
        if newest in self._open:
            self._shown = newest
        elif self._shown not in self._open or not self._slow:
            self._show(newest, self._opened(newest, newest), now)
        elif not self._preparing and now - self._since > SHOWN_FOR * self._took:
            self._preparing = True
            threading.Thread(target=self._prepare, args=(newest,), daemon=True).start()
        self._open.move_to_end(self._shown)
        return self._open[self._shown]

    def _prepare(self, newest: int) -> None:
        """Open a version beside the one that is shown, then show it."""
        began = time.monotonic()
        try:
            with contextlib.suppress(LakeError, Cancelled):  # who asks next tries again
                found = self._opened(newest, newest)
                self._warm(found)
                with self._lock:
                    self._show(newest, found, began)
        finally:
            self._preparing = False

    def _show(self, version: int, found: T, began: float) -> None:
        self._open[version] = found
        self._slow = self._large(found)  # later its files may be gone
        self._since = time.monotonic()
        self._shown, self._took = version, self._since - began
        self._forget()

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
            oldest = next(version for version in self._open if version != self._shown)
            del self._open[oldest]
