"""Originals of a lake that must not have any: nothing of them is kept or noted.

Objects get the same UIDs every time by the key of its door, so a file converted again is the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicomlake.jobs.converting.originals import Originals, Uids
from dicomlake.jobs.door.cleaning import Door


class Unkept(Originals):
    """The originals of a lake with a door."""

    def __init__(self, folder: Path, door: Door) -> None:
        super().__init__(folder)
        self._secret = door.seal.short("objects of converted files").encode()

    def uids(self) -> Uids:
        """What makes UIDs here."""
        return Uids(self._secret)

    def keep(self, digest: str, data: bytes) -> Path:
        """Where the original would be."""
        return self.path(digest)

    def state(self, digest: str, how: str) -> tuple[str, str] | None:
        """Nobody knows what was converted before."""
        return None

    def note(self, digest: str, how: str, **said: Any) -> None:
        """Nothing is noted."""


__all__ = ["Unkept"]
