"""Objects behind the door: opened where they lie, de-identified, and kept for the next time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dicomlake.contracts import Object
from dicomlake.errors import UsageError
from dicomlake.jobs.door.cleaning import Cleaning, Door, KnownInLake
from dicomlake.jobs.door.places import opened_row
from dicomlake.lake import Store
from dicomlake.lake.keeping import Kept
from dicomlake.sources.opening import Elsewhere, bytes_of


class Behind:
    """Opens objects that lie in sealed places; used by any threads.

    `inner`: where the objects lie as they are; `kept`: for those that were made harmless; `lake`:
    the one that knows their patients.
    """

    def __init__(
        self,
        door: Door,
        inner: Callable[[], Elsewhere],
        kept: Kept,
        lake: Path | None = None,
    ) -> None:
        self._door, self._inner, self._kept, self._lake = door, inner, kept, lake
        self._seal = door.seal
        self._made: Cleaning | None = None

    @contextlib.contextmanager
    def __call__(self, row: Mapping[str, Any]) -> Iterator[Object]:
        """The object of a row; Unresolved when it cannot be made harmless."""
        data = bytes_of(opened_row(self._seal, row), self._inner())
        if self._made is None:
            known = KnownInLake(Store(self._lake)) if self._lake is not None else None
            self._made = self._door.cleaning(known)
        cleaned = self._made.object(data)
        del data
        asked = row.get("SOPInstanceUID")
        if asked and asked != cleaned.SOPInstanceUID:
            raise UsageError("Another object lies there now. Bring the lake up to date.")
        found = cleaned.data

        def fetch(offset: int, length: int) -> bytes:
            return found[offset : offset + length]

        with contextlib.suppress(OSError):  # a full disk does not keep it from the caller
            self._kept.put(cleaned.SOPInstanceUID, fetch, len(found))
        yield Object(str(row["uri"]), 0, len(found), fetch)
