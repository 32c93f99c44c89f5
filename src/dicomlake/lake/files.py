"""Parquet files of the tables, and what Delta wants to know of them."""

from __future__ import annotations

import bisect
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from dicomlake import tables

GROUP_ROWS = 120_000
GROUP_BYTES = 64 * 1024**2
"""A row group ends at so many rows, or so many bytes of Arrow memory."""
LARGEST_FILE = 256 * 1024**2
"""Bytes on disk after which a stream of rows goes on in another file."""
ORDER = {
    "elements": ("path", "text", "number", "series_id"),
    "instances": ("series_id", "InstanceNumber", "SOPInstanceUID"),
    "series": ("Modality", "BodyPartExamined", "StudyDate", "series_id"),
    "items": ("concept", "path", "number", "text", "series_id"),
    "segments": ("type", "series_id"),
    "waveforms": ("lead", "series_id"),
    "dose_events": ("series_id", "event_key"),
    "dose_totals": ("series_id",),
    "annotations": ("structure", "code", "series_id"),
    "findings": ("rule", "series_id"),
    "enrichments": ("series_id", "enrichment_id"),
    "clinical_events": ("code", "patient_key", "started"),
    "documents": ("patient_key", "written"),
    "runs": ("run_id",),
    "failures": ("uri",),
    "files": ("uri",),
    "catalogue": ("source", "StudyDate", "key"),
    "vocabulary": ("path",),
}
"""The order of rows that questions want."""
_PLAIN = frozenset(["header", "uri"])
"""Columns that hardly repeat whole, so that a dictionary is of no use."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a table: its name, bytes, rows, and the range of its series_id where it has one."""

    name: str
    size: int
    rows: int
    lowest: int | None = None
    highest: int | None = None


def order_of(name: str) -> list[tuple[str, str]]:
    """The order of a table as Arrow sorts."""
    return [(column, "ascending") for column in ORDER.get(name, ())]


def order_by(name: str) -> str:
    """The order of a table as SQL sorts."""
    columns = ", ".join(f'"{column}"' for column in ORDER.get(name, ()))
    return f"order by {columns}" if columns else ""


def new_name() -> str:
    """A name for a file that no other file has."""
    return f"part-{uuid.uuid4().hex}.parquet"


def write_parquet(path: Path, name: str, rows: pa.Table) -> None:
    """Write rows of the table `name` to a file, whole or not at all."""
    stream = _OneFile(path, name)
    try:
        stream.write(rows)
    except BaseException:
        stream.abandon()
        raise
    stream.finish()


class _OneFile:
    """A file that gets its name when it is complete."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.part = path, path.with_name(f".{path.name}.part")
        self._schema = tables.ALL[name]
        self._dictionaries = [c for c in self._schema.names if c not in _PLAIN]
        self._writer = pq.ParquetWriter(
            self.part, self._schema, compression="zstd", use_dictionary=self._dictionaries
        )

    def write(self, rows: pa.Table) -> None:
        """Append rows, in row groups of a bounded size."""
        step = GROUP_ROWS
        if rows.num_rows and rows.nbytes > GROUP_BYTES:
            step = max(1, min(step, rows.num_rows * GROUP_BYTES // rows.nbytes))
        self._writer.write_table(rows.cast(self._schema), row_group_size=step)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.part.stat().st_size

    def finish(self) -> None:
        """Complete the file."""
        self._writer.close()
        os.replace(self.part, self.path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._writer.close()
        self.part.unlink(missing_ok=True)


class Stream:
    """Rows of a table that go to one file after another, with bounded memory.

    `sort` orders the rows of each row group; leave it out where they come in order.
    """

    def __init__(self, folder: Path, name: str, *, sort: bool = False) -> None:
        self._folder, self._name, self._sort = folder, name, sort
        self._held: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._file: _OneFile | None = None
        self._names: list[str] = []

    def write(self, rows: pa.Table) -> None:
        """Take rows; they are written when there are enough of them."""
        if rows.num_rows:
            self._held.append(rows)
            self._rows += rows.num_rows
            self._bytes += rows.nbytes
            if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        rows = pa.concat_tables(self._held)
        self._held, self._rows, self._bytes = [], 0, 0
        if self._sort:
            rows = rows.sort_by(order_of(self._name))
        if self._file is None:
            self._names.append(new_name())
            self._file = _OneFile(self._folder / self._names[-1], self._name)
        self._file.write(rows)
        if self._file.size > LARGEST_FILE:
            self._file.finish()
            self._file = None

    def close(self) -> list[str]:
        """Complete the last file; the names of all of them."""
        self._flush()
        if self._file is not None:
            self._file.finish()
            self._file = None
        return self._names


def row_groups(path: Path, ids: Sequence[int] | None = None) -> Iterator[pa.Table]:
    """The row groups of a file, one at a time; with sorted `ids`, those that may hold them."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            range_ = file.metadata.row_group(group).column(0).statistics
            if ids is None or range_ is None or holds(ids, range_.min, range_.max):
                yield file.read_row_group(group)


def holds(wanted: Sequence[int], lowest: int | None, highest: int | None) -> bool:
    """Whether one of some sorted numbers lies in a range; an unknown range may hold any.

    >>> holds([3, 9], 4, 8), holds([3, 9], 9, 12), holds([3, 9], None, None)
    (False, True, True)
    """
    if lowest is None or highest is None:
        return True
    at = bisect.bisect_left(wanted, lowest)
    return at < len(wanted) and wanted[at] <= highest


def add_action(folder: Path, file: str, *, change: bool = True) -> AddAction:
    """What Delta wants to know of a new file: its size, rows, and the range of its series_id."""
    path = folder / file
    meta = pq.read_metadata(path)
    stats: dict[str, Any] = {"numRecords": meta.num_rows}
    if meta.num_rows and meta.schema.to_arrow_schema().names[0] == "series_id":
        groups = [meta.row_group(i).column(0).statistics for i in range(meta.num_row_groups)]
        stats["minValues"] = {"series_id": min(g.min for g in groups)}
        stats["maxValues"] = {"series_id": max(g.max for g in groups)}
        stats["nullCount"] = {"series_id": 0}
    info = path.stat()
    when = int(info.st_mtime * 1000)
    return AddAction(file, info.st_size, {}, when, change, json.dumps(stats))


def remove_action(file: File, *, change: bool = True) -> RemoveAction:
    """A file that gave way to others; `change`: whether visible rows differ."""
    now = int(time.time() * 1000)
    return RemoveAction(file.name, data_change=change, deletion_timestamp=now, size=file.size)
