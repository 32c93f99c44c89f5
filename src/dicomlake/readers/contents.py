"""Reading what is inside of objects: asks every installed reader of contents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from dicomlake import plugins, tables
from dicomlake.contracts import ContentReader, Contents
from dicomlake.dicom.dictionary import tag_of
from dicomlake.errors import UsageError
from dicomlake.readers.header import FIRST

Wants = tuple[tuple[int, str], ...]
"""Which readers want an object: their places, and what the object stands for ("" for itself)."""

_ROWS_AT_ONCE = 10_000


def installed() -> list[ContentReader]:
    """The installed readers of contents, those first that others follow."""
    return in_order([plugins.load("contents", name)() for name in plugins.names("contents")])


def in_order(readers: Iterable[ContentReader]) -> list[ContentReader]:
    """Readers in an order in which each comes behind those that it names in `after`."""
    left = {reader.name: reader for reader in sorted(readers, key=lambda r: r.name)}
    ordered: list[ContentReader] = []
    while left:
        free = [r for r in left.values() if left.keys().isdisjoint(r.after)]
        if not free:
            raise UsageError(f"Readers of contents wait for each other: {', '.join(left)}.")
        ordered += free
        for reader in free:
            del left[reader.name]
    return ordered


def first_of(header: dict[str, Any]) -> dict[str, str]:
    """The first values of a header in JSON that readers are asked about, as `Header.first`."""
    found = {}
    for key, keyword in _KEYS.items():
        if key in header and keyword.endswith("Sequence"):
            found[keyword] = "1"
        elif values := header.get(key, {}).get("Value"):
            found[keyword] = str(values[0]).strip()
    return found


_KEYS = {f"{tag_of(keyword):08X}": keyword for keyword in FIRST}


class ContentsReader:
    """Reads the contents of objects with all readers that want them; never raises."""

    def __init__(self, readers: Iterable[ContentReader] | None = None) -> None:
        self.readers = installed() if readers is None else in_order(readers)

    @property
    def versions(self) -> dict[str, int]:
        """The version of each reader by its name."""
        return {reader.name: reader.version for reader in self.readers}

    def wanted(self, first: Mapping[str, str]) -> Wants:
        """Which readers want an object with these first values."""
        found = []
        for place, reader in enumerate(self.readers):
            try:
                what = reader.wants(first)
            except Exception:  # noqa: BLE001 - a foreign reader must never stop a run
                continue
            if what is not None:
                found.append((place, what))
        return tuple(found)

    def read(self, header: str | bytes | dict[str, Any], places: Iterable[int]) -> Contents:
        """What some readers find in a header in JSON, decoded or not."""
        contents = Contents()
        item = header if isinstance(header, dict) else orjson.loads(header)
        for place in places:
            reader = self.readers[place]
            contents.reader = reader.name
            try:
                reader.read(item, contents)
            except Exception as error:  # noqa: BLE001 - what it has read so far stays
                why = f"contents not readable by {reader.name} ({type(error).__name__})"
                contents.problem("", "", why)
        return contents


def chosen(wanted: Mapping[str, Wants]) -> dict[str, list[int]]:
    """Which readers read which of the objects of a series, by SOPInstanceUID.

    Of objects that stand for the same, it is the one with the smallest UID.

    >>> chosen({"1.3": ((0, "a"), (1, "")), "1.2": ((0, "a"),)})
    {'1.3': [1], '1.2': [0]}
    """
    first: dict[tuple[int, str], str] = {}
    for uid, some in wanted.items():
        for place, what in some:
            if what:
                first[place, what] = min(uid, first.get((place, what), uid))
    found: dict[str, list[int]] = {}
    for uid, some in wanted.items():
        places = [p for p, what in some if not what or first[p, what] == uid]
        if places:
            found[uid] = places
    return found


class ContentRows:
    """Collects the rows of contents of many objects as Arrow tables."""

    def __init__(self) -> None:
        self._held: dict[str, list[dict[str, Any]]] = {name: [] for name in tables.CONTENTS}
        self._done: dict[str, list[pa.Table]] = {name: [] for name in tables.CONTENTS}

    def add(self, series_id: int, uid: str, contents: Contents) -> None:
        """Take the rows of one object."""
        for name, rows in contents.rows.items():
            if rows:
                for row in rows:
                    row["series_id"], row["SOPInstanceUID"] = series_id, uid
                self._held[name] += rows
                if len(self._held[name]) >= _ROWS_AT_ONCE:
                    self._flush(name)

    @property
    def many(self) -> bool:
        """Whether there are so many rows that they should be taken."""
        return any(self._done.values())

    def take(self, name: str) -> pa.Table | None:
        """The rows of a table so far, which are forgotten; None when there are none."""
        self._flush(name)
        rows, self._done[name] = self._done[name], []
        return pa.concat_tables(rows) if rows else None

    def _flush(self, name: str) -> None:
        if self._held[name]:
            self._done[name].append(pa.Table.from_pylist(self._held[name], tables.ALL[name]))
            self._held[name] = []

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """The tables that have rows, by name."""
        for name in tables.CONTENTS:
            if (rows := self.take(name)) is not None:
                yield name, rows


class Collector:
    """Collects rows of contents of objects that come in any order; some stand for others."""

    def __init__(self, reader: ContentsReader) -> None:
        self.rows = ContentRows()
        self._reader = reader
        self._standing: dict[tuple[int, int, str], tuple[str, str]] = {}

    def take(
        self, series_id: int, uid: str, text: str, header: dict[str, Any], wanted: Wants
    ) -> None:
        """Read what an object tells of itself; note whether it is to tell of its series.

        `text` and `header` are the same header in JSON, `wanted` who wants the object.
        """
        itself = [place for place, what in wanted if not what]
        if itself:
            self.rows.add(series_id, uid, self._reader.read(header, itself))
        for place, what in wanted:
            key = series_id, place, what
            if what and uid <= self._standing.get(key, (uid, ""))[0]:
                self._standing[key] = uid, text

    def tell(self, below: int | None = None) -> None:
        """Read the objects that stand for others; `below`: only of series with smaller numbers."""
        for key in [key for key in self._standing if below is None or key[0] < below]:
            uid, text = self._standing.pop(key)
            self.rows.add(key[0], uid, self._reader.read(text, [key[1]]))
