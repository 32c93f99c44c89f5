"""Reading what is inside of objects again, from the headers in the lake: no object is opened.

Needed when a reader of contents is new or has changed, and for lakes of an older layout.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake import tables
from dicomlake.contracts import Progress
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.tidy import tidy
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.files import Stream, row_groups
from dicomlake.readers.contents import ContentRows, ContentsReader, first_of

_HELD = 2_000
"""Headers held that stand for others, before they are read."""


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

    The rows change in one commit per table; stopped before, the lake is as it was. LakeError when
    somebody else is writing.
    """
    began = time.monotonic()
    store = lake if isinstance(lake, Store) else Store.create(lake)
    with store.lock(), running(store, "contents", {}, progress) as run:
        report = read_again(store, run, readers or ContentsReader())
        tidy(store, run.progress)
        rebuild(store, progress=run.progress, full=True)
        store.note_content_readers(report.readers)
    report.seconds = time.monotonic() - began
    return report


def read_again(store: Store, run: Run, readers: ContentsReader) -> ContentsReport:
    """Read what is inside of all objects; only while the writer's lock is held."""
    report = ContentsReport(run.run_id, readers=readers.versions)
    streams = {name: Stream(store.path / name, name, sort=True) for name in tables.CONTENTS}
    total = sum(file.rows for file in store.files("instances"))
    run.progress.stage("reading contents", total, "objects")
    rows = ContentRows()
    for looked in _read(store, run, readers, rows):
        report.objects += looked
        _write(rows, streams, report)
    files = {name: stream.close() for name, stream in streams.items()}
    for name in tables.CONTENTS:
        store.exchange(name, files[name], run_id=run.run_id)
    run.counts = {"objects": report.objects, **report.rows}
    return report


def _write(rows: ContentRows, streams: dict[str, Stream], report: ContentsReport) -> None:
    for name, stream in streams.items():
        found = rows.take(name)
        if found is not None:
            report.rows[name] = report.rows.get(name, 0) + found.num_rows
            stream.write(found)


def _read(store: Store, run: Run, readers: ContentsReader, rows: ContentRows) -> Iterator[int]:
    """Read objects, some hundred at a time; how many each time."""
    current = store.read("series", ["series_id"]).column(0)
    standing: dict[tuple[int, int, str], tuple[str, str]] = {}
    for file in store.files("instances"):
        for group in row_groups(store.path / "instances" / file.name):
            run.progress.advance(group.num_rows)
            seen = group.filter(pc.is_in(group.column("series_id"), value_set=current))
            picked = seen.select(["series_id", "SOPInstanceUID", "header"])
            for batch in picked.to_batches(max_chunksize=512):
                run.check()
                _batch(batch, readers, rows, standing)
                yield batch.num_rows
                if len(standing) > _HELD:
                    _standing(readers, rows, standing)
        _standing(readers, rows, standing)
    yield 0


def _batch(
    batch: pa.RecordBatch,
    readers: ContentsReader,
    rows: ContentRows,
    standing: dict[tuple[int, int, str], tuple[str, str]],
) -> None:
    for number, uid, text in zip(*(c.to_pylist() for c in batch.columns), strict=True):
        header = orjson.loads(text)
        wanted = readers.wanted(first_of(header))
        itself = [place for place, what in wanted if not what]
        if itself:
            rows.add(number, uid, readers.read(header, itself))
        for place, what in wanted:
            key = number, place, what
            if what and uid <= standing.get(key, (uid, ""))[0]:
                standing[key] = uid, text


def _standing(
    readers: ContentsReader,
    rows: ContentRows,
    standing: dict[tuple[int, int, str], tuple[str, str]],
) -> None:
    """Read the objects that stand for others of their series."""
    for (number, place, _), (uid, text) in standing.items():
        rows.add(number, uid, readers.read(text, [place]))
    standing.clear()
