"""Compaction: fewer and sorted files, without rows that nobody can see; and what may be deleted.

Files that are large already stay as they are, so that a small addition never rewrites a large lake.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.lake.database import connect, parquet, view
from dicomlake.lake.files import File, Stream, order_by, row_groups
from dicomlake.lake.store import CHILDREN, WORK, Store

SMALL_BYTES = 32 * 1024**2
"""Files of fewer bytes are merged with others."""
MOST_UNSEEN = 0.2
"""A file with a larger share of rows that nobody can see is rewritten."""
MEMORY = "500MB"


@dataclass(frozen=True, slots=True)
class Compacted:
    """What compaction did to one table."""

    files_before: int
    files_after: int
    rows_dropped: int


def small_files(store: Store, name: str) -> int:
    """How many files of a table are so small that they should be merged."""
    return sum(file.size < SMALL_BYTES for file in store.files(name))


def compact_table(store: Store, name: str, *, full: bool = False) -> Compacted:
    """Merge and sort small files of a table; `full`: all files.

    The rows that can be seen stay the same; older versions can be read until their files are
    deleted. Only while the writer's lock is held.
    """
    before = store.files(name)
    picked = list(before) if full else _worth_it(store, name)
    if not picked or (len(picked) == 1 and not full and not _unseen(store, name, picked)):
        return Compacted(len(before), len(before), 0)
    written = _by_file(store, name, picked) if name == "instances" else _sorted(store, name, picked)
    rows = sum(pq.read_metadata(store.path / name / file).num_rows for file in written)
    store.commit(name, written, picked, {"reason": "compaction"}, same=True)
    dropped = sum(file.rows for file in picked) - rows
    return Compacted(len(before), len(store.files(name)), dropped)


def _worth_it(store: Store, name: str) -> list[File]:
    """Small files, and those with many rows that nobody can see."""
    unseen = _unseen(store, name, store.files(name))
    return [
        file
        for file in store.files(name)
        if file.size < SMALL_BYTES or unseen.get(file.name, 0) > MOST_UNSEEN * file.rows
    ]


def _unseen(store: Store, name: str, files: list[File]) -> dict[str, int]:
    """Rows that nobody can see by file, where there are any."""
    if name not in CHILDREN or not files:
        return {}
    paths = [str(store.path / name / file.name) for file in files]
    with connect(memory=MEMORY, spill=_spill(store)) as db:
        view(db, "series", store.paths("series"))
        found = db.execute(
            f"select filename, count(*) from {parquet(paths, ', filename = true')} "
            "where series_id not in (select series_id from series) group by 1"
        ).fetchall()
    return {Path(path).name: count for path, count in found}


def _spill(store: Store) -> Path:
    folder = store.path / WORK
    folder.mkdir(exist_ok=True)
    return folder


def _sorted(store: Store, name: str, picked: list[File]) -> list[str]:
    """New files with the visible rows of some files in the order of the table."""
    with connect(memory=MEMORY, spill=_spill(store)) as db:
        view(db, "series", store.paths("series"))
        view(db, "old", [str(store.path / name / file.name) for file in picked])
        where = "semi join series using (series_id)" if name in CHILDREN else ""
        statement = f"select old.* from old {where} {order_by(name)}"
        return store.write_stream(name, db.sql(statement).to_arrow_reader(100_000))


def _by_file(store: Store, name: str, picked: list[File]) -> list[str]:
    """New files with the visible rows of some files, file after file.

    Rows of a file lie close together already, and headers are too large to be sorted in memory.
    """
    with connect() as db:
        view(db, "series", store.paths("series"))
        current = db.sql("select series_id from series").to_arrow_table().column(0)
    stream = Stream(store.path / name, name, sort=True)
    for file in sorted(picked, key=lambda f: f.lowest or 0):
        for rows in row_groups(store.path / name / file.name):
            stream.write(rows.filter(pc.is_in(rows.column("series_id"), value_set=current)))
    return stream.close()


# What may be deleted


def leftovers(store: Store) -> list[Path]:
    """Files and folders that killed runs left and that no version of any table mentions.

    Only while the writer's lock is held: a running job has such files, too.
    """
    found = [path for path in (store.path / WORK).glob("*")]
    for name in tables.ALL:
        folder = store.path / name
        known = _mentioned(folder)
        found += [
            path
            for path in folder.iterdir()
            if path.is_file() and path.name not in known and ".parquet" in path.name
        ]
    return sorted(found)


def expired(store: Store, name: str, hours: float) -> list[Path]:
    """Files of a table that no version of the last `hours` hours needs."""
    table = store.table(name)
    gone = table.vacuum(_whole(hours), dry_run=True, enforce_retention_duration=False)
    return [path for file in gone if (path := store.path / name / file).exists()]


def _whole(hours: float) -> int:
    return max(0, round(hours))


def delete(paths: list[Path]) -> int:
    """Delete files and folders; how many bytes that freed."""
    freed = 0
    for path in paths:
        if path.is_dir():
            freed += sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
            shutil.rmtree(path, ignore_errors=True)
        else:
            freed += path.stat().st_size
            path.unlink()
    return freed


def _mentioned(folder: Path) -> set[str]:
    """Names of files that any version in the log of a table adds or removes."""
    names: set[str] = set()
    for log in (folder / "_delta_log").glob("*.json"):
        for line in log.read_text().splitlines():
            action = json.loads(line)
            names |= {action[key]["path"] for key in ("add", "remove") if key in action}
    for checkpoint in (folder / "_delta_log").glob("*.checkpoint*.parquet"):
        with pq.ParquetFile(checkpoint) as file:
            for column in file.read(columns=["add.path", "remove.path"]).columns:
                names |= {path for path in pc.struct_field(column, "path").to_pylist() if path}
    return names
