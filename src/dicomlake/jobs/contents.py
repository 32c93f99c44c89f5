"""Reading what is inside of objects again, from the headers in the lake: no object is opened.

Needed when a reader of contents is new or has changed, and for lakes of an older layout.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.contracts import Progress
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.tidy import tidy
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.compaction import delete, leftovers
from dicomlake.lake.files import Stream
from dicomlake.lake.store import REWRITTEN, is_lake
from dicomlake.readers.contents import Collector, ContentRows, ContentsReader, first_of


@dataclass(slots=True)
class ContentsReport:
    """What was read: objects looked at, and rows by table. `readers`: names and versions."""

    run_id: str = ""
    objects: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    readers: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def outdated(store: Store, readers: ContentsReader) -> bool:
    """Whether readers are installed that have not read all of a lake, or read it differently."""
    return store.content_readers != readers.versions


def contents(
    lake: str | Path | Store,
    *,
    progress: Progress | None = None,
    readers: ContentsReader | None = None,
) -> ContentsReport:
    """Read what is inside of all objects of a lake again, with all installed readers.

    The rows change in one commit per table; stopped before, the lake is as it was. Measured
    volumes stay. What readers find wrong is not added to `instances.problems`, which says what
    was found when the object was indexed: all headers would have to be written again. LakeError
    when it is no lake, or somebody else is writing.
    """
    began = time.monotonic()
    store = lake if isinstance(lake, Store) else _opened(lake)
    with store.lock(), running(store, "contents", {}, progress) as run:
        delete(leftovers(store))
        report = read_again(store, run, readers or ContentsReader())
        store.note_content_readers(report.readers)
        tidy(store, run.progress)
        rebuild(store, progress=run.progress)
    report.seconds = time.monotonic() - began
    return report


def _opened(lake: str | Path) -> Store:
    """The lake at a folder, brought up to date when it has an older layout."""
    return Store.create(lake) if is_lake(lake) else Store(lake)


def read_again(store: Store, run: Run, readers: ContentsReader) -> ContentsReport:
    """Read what is inside of all objects; only while the writer's lock is held."""
    report = ContentsReport(run.run_id, readers=readers.versions)
    streams = {name: Stream(store.path / name, name, sort=True) for name in tables.CONTENTS}
    groups = _groups(store)
    run.progress.stage("reading contents", sum(group.rows for group in groups), "objects")
    collected, measured = Collector(readers), _measured(store)
    for looked in _read(store, groups, run, readers, collected):
        report.objects += looked
        if collected.rows.many:
            _write(collected.rows, streams, report, measured)
    _write(collected.rows, streams, report, measured)
    files = {name: stream.close() for name, stream in streams.items()}
    for name in tables.CONTENTS:
        store.exchange(name, files[name], run_id=run.run_id, **{REWRITTEN: "contents"})
    run.counts = {"objects": report.objects, **report.rows}
    return report


def _write(
    rows: ContentRows, streams: dict[str, Stream], report: ContentsReport, measured: _Measured
) -> None:
    for name, found in rows.tables():
        report.rows[name] = report.rows.get(name, 0) + found.num_rows
        streams[name].write(_with_volumes(found, measured) if name == "segments" else found)


_SEGMENT = ("series_id", "SOPInstanceUID", "number")
_VOLUME = ("volume", "volume_problem", "present")
_Measured = dict[tuple[Any, ...], tuple[Any, ...]]
"""A segment -> what was measured of it."""


def _measured(store: Store) -> _Measured:
    """What was measured of segments: it does not depend on readers, and objects may be away."""
    columns = ", ".join(f'"{name}"' for name in (*_SEGMENT, *_VOLUME))
    with store.database() as db:
        found = db.execute(
            f"select {columns} from segments where volume is not null or volume_problem is not null"
        ).fetchall()
    return {row[: len(_SEGMENT)]: row[len(_SEGMENT) :] for row in found}


def _with_volumes(rows: pa.Table, measured: _Measured) -> pa.Table:
    """Rows of segments with what was measured of them."""
    if not measured:
        return rows
    keys = zip(*(rows.column(name).to_pylist() for name in _SEGMENT), strict=True)
    before = zip(*(rows.column(name).to_pylist() for name in _VOLUME), strict=True)
    after = [measured.get(key, was) for key, was in zip(keys, before, strict=True)]
    for name, values in zip(_VOLUME, zip(*after, strict=True), strict=True):
        place, kind = rows.schema.get_field_index(name), tables.SEGMENTS.field(name)
        rows = rows.set_column(place, kind, pa.array(values, kind.type))
    return rows


class _Group(NamedTuple):
    """A row group of `instances`: its lowest series_id, where it is, and how many rows it has."""

    lowest: int
    file: str
    place: int
    rows: int


def _groups(store: Store) -> list[_Group]:
    """All row groups, those with the lowest series_id first."""
    found = []
    for file in store.files("instances"):
        meta = pq.read_metadata(store.path / "instances" / file.name)
        for place in range(meta.num_row_groups):
            group = meta.row_group(place)
            range_ = group.column(0).statistics
            lowest = range_.min if range_ is not None and range_.has_min_max else 0
            found.append(_Group(lowest, file.name, place, group.num_rows))
    return sorted(found)


def _read(
    store: Store, groups: list[_Group], run: Run, readers: ContentsReader, collected: Collector
) -> Iterator[int]:
    """Read objects, some hundred at a time; how many each time."""
    current = store.read("series", ["series_id"]).column(0)
    columns = ["series_id", "SOPInstanceUID", "header"]
    for group in groups:
        # What lies below this number is complete: no other group holds more of those series.
        collected.tell(group.lowest)
        with pq.ParquetFile(store.path / "instances" / group.file) as file:
            found = file.read_row_group(group.place, columns)
        seen = found.filter(pc.is_in(found.column("series_id"), value_set=current))
        for batch in seen.to_batches(max_chunksize=512):
            run.check()
            _take(batch, readers, collected)
            yield batch.num_rows
        run.progress.advance(group.rows)
    run.check()
    collected.tell()


def _take(batch: pa.RecordBatch, readers: ContentsReader, collected: Collector) -> None:
    for number, uid, text in zip(*(c.to_pylist() for c in batch.columns), strict=True):
        header = orjson.loads(text)
        collected.take(number, uid, text, header, readers.wanted(first_of(header)))
