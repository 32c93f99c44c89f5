"""A lake directory: Delta tables with one commit point, the table `series`.

Child rows are appended first, under a new series_id; the row of `series` comes last. A reader sees
the child rows whose series_id is in `series`, so a batch is visible whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from dicomlake import tables
from dicomlake.errors import LakeError

MARK = "dicomlake.json"
LARGEST_FILE = 512 * 1024 * 1024
"""Bytes of Arrow memory that one file of a table is written from."""
CHILDREN = ("instances", "elements")
"""Tables whose rows count only while `series` holds their series_id."""

_DERIVED = ("vocabulary",)


def is_lake(path: str | Path) -> bool:
    """Whether a folder is a lake."""
    return (Path(path) / MARK).is_file()


class Store:
    """The tables of one lake, at its newest version or at a version of `series`.

    LakeError when the folder is no lake, or one of a layout that this program does not know.
    """

    def __init__(self, path: str | Path, version: int | None = None) -> None:
        self.path = Path(path)
        try:
            mark = json.loads((self.path / MARK).read_text())
        except FileNotFoundError:
            raise LakeError(
                f"{self.path} is no lake. Make one with: dicomlake index FOLDER --lake {self.path}"
            ) from None
        except (OSError, ValueError) as error:
            raise LakeError(f"{self.path / MARK} cannot be read.") from error
        if mark.get("layout") != tables.VERSION:
            raise LakeError(
                f"{self.path} has layout {mark.get('layout')}; this dicomlake reads layout "
                f"{tables.VERSION}. Index it again, or use the version that wrote it."
            )
        self._open: dict[str, DeltaTable] = {}
        self._pins: dict[str, int] = {}
        if version is not None:
            self._pins = self._versions_at(version)

    @classmethod
    def create(cls, path: str | Path) -> Store:
        """The lake at a folder, made when there is none; LakeError when other files are in it."""
        path = Path(path)
        if not is_lake(path):
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise LakeError(
                    f"{path} exists and is no lake. Name an empty or a new folder as --lake."
                )
            path.mkdir(parents=True, exist_ok=True)
            for name, schema in tables.ALL.items():
                DeltaTable.create(
                    str(path / name),
                    schema,
                    mode="ignore",
                    name=name,
                    description=tables.comment_of(schema),
                )
            mark = {"layout": tables.VERSION, "what": "a lake of dicomlake"}
            part = path / f".{MARK}.part"
            part.write_text(json.dumps(mark) + "\n")
            part.replace(path / MARK)
        return cls(path)

    # Reading

    def table(self, name: str) -> DeltaTable:
        """The Delta table of that name at the version of this store."""
        if name not in self._open:
            version = self._pins.get(name)
            try:
                self._open[name] = DeltaTable(str(self.path / name), version=version)
            except DeltaError as error:
                raise LakeError(f"The table {name} of {self.path} cannot be opened.") from error
        return self._open[name]

    def pin(self) -> Store:
        """This store, with every table opened: what is committed later stays unseen."""
        for name in tables.ALL:  # series first: rows that children get later do not matter
            self.table(name)
        return self

    @property
    def version(self) -> int:
        """The version of `series`, which names the snapshot."""
        return int(self.table("series").version())

    def refresh(self) -> bool:
        """Look for newer versions; whether the snapshot is another one now."""
        if self._pins:
            return False
        before = self.version
        for table in self._open.values():
            table.update_incremental()
        return self.version != before

    def paths(self, name: str, version: int | None = None) -> list[str]:
        """The Parquet files of a table, or of a version of it; LakeError when that is gone."""
        table = self.table(name)
        if version is not None and version != table.version():
            try:
                table = DeltaTable(str(self.path / name), version=version)
            except DeltaError as error:
                raise LakeError(f"Version {version} of {name} is gone.") from error
        return [uri.removeprefix("file://") for uri in table.file_uris()]

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """A whole table as Arrow; only current rows of `instances` and `elements`."""
        schema = tables.ALL[name]
        names = columns or schema.names
        with self.database() as db:
            picked = ", ".join(f'"{n}"' for n in names)
            found = db.sql(f"select {picked} from {name}").to_arrow_table()
        return found.cast(pa.schema([schema.field(n) for n in names]))

    @contextlib.contextmanager
    def database(self, *, current: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection with the tables as views; `current` hides rows nobody can see."""
        with connect() as db:
            for name in tables.ALL:
                if name in CHILDREN and current:
                    view(db, f"all_{name}", self.paths(name), tables.ALL[name])
                    db.execute(
                        f"create temp view {name} as select * from all_{name} "
                        "where series_id in (select series_id from series)"
                    )
                else:
                    view(db, name, self.paths(name))
            yield db

    def _versions_at(self, version: int) -> dict[str, int]:
        """The versions of all tables that belong to a version of `series`."""
        history = DeltaTable(str(self.path / "series")).history()
        for entry in history:
            if entry.get("version") == version:
                pins = json.loads(entry.get("children", "{}"))
                return {"series": version, **pins}
        newest = history[0].get("version") if history else 0
        raise LakeError(f"The lake has no version {version}; the newest is {newest}.")

    def versions(self) -> list[dict[str, Any]]:
        """Every version of the lake, newest first: version, when (microseconds), what."""
        found = DeltaTable(str(self.path / "series")).history()
        return [
            {
                "version": entry["version"],
                "when": entry["timestamp"] * 1000,
                "what": entry.get("operation", ""),
                "run_id": entry.get("run_id", ""),
            }
            for entry in found
        ]

    # Writing: one writer per lake

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer; LakeError when somebody else is."""
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise LakeError(
                    f"Another process is writing to {self.path}. Wait for it, or stop it."
                ) from error
            yield

    def next_id(self) -> int:
        """The first series_id that no row of any table has, current or not."""
        highest = 0
        for name in ("series", *CHILDREN):
            stats = pa.table(self.table(name).get_add_actions(flatten=True))
            if "max.series_id" in stats.column_names:
                values = [v for v in stats.column("max.series_id").to_pylist() if v is not None]
                highest = max([highest, *values])
        return highest + 1

    def write(self, name: str, table: pa.Table) -> str | None:
        """Name of a new file of a table that is not part of it yet; None when there are no rows."""
        if not table.num_rows:
            return None
        file = f"part-{uuid.uuid4().hex}.parquet"
        write_parquet(self.path / name / file, name, table)
        return file

    def add(self, name: str, files: Iterable[str], **metadata: str) -> None:
        """Make written files part of a table, in one commit."""
        actions: list[Any] = [_add_action(self.path / name, file) for file in files]
        if actions:
            self.table(name).create_write_transaction(
                actions,
                "append",
                self.table(name).schema(),
                commit_properties=CommitProperties(custom_metadata=metadata),
            )
            self.table(name).update_incremental()

    def append(self, name: str, rows: pa.Table, **metadata: str) -> None:
        """Append rows to a table in one commit."""
        if file := self.write(name, rows):
            self.add(name, [file], **metadata)

    def exchange(self, name: str, files: Iterable[str], **metadata: str) -> None:
        """All files of a table give way to written ones, in one commit."""
        actions: list[Any] = [_add_action(self.path / name, file) for file in files]
        self.table(name).create_write_transaction(
            actions,
            "overwrite",
            self.table(name).schema(),
            commit_properties=self._properties(name, metadata),
        )
        self.table(name).update_incremental()

    def notes(self, name: str, key: str) -> Iterator[dict[str, Any]]:
        """The commits of a table that carry this metadata, newest first."""
        seen = 0
        for limit in (1, None):
            entries = self.table(name).history(limit)
            yield from (dict(entry) for entry in entries[seen:] if key in entry)
            seen = len(entries)

    def replace(self, name: str, key: str, values: Iterable[str], rows: pa.Table) -> None:
        """Rows of a table whose `key` is one of the values give way to `rows`, in one commit."""
        listed = ", ".join("'" + v.replace("'", "''") + "'" for v in values)
        predicate = f"{key} in ({listed})"
        self._write_delta(name, rows, mode="overwrite", predicate=predicate)

    def remove(self, name: str, key: str, values: Iterable[str]) -> None:
        """Drop the rows of a table whose `key` is one of the values."""
        listed = ", ".join("'" + v.replace("'", "''") + "'" for v in values)
        if listed:
            self.table(name).delete(
                f"{key} in ({listed})", commit_properties=self._properties(name, {})
            )
            self.table(name).update_incremental()

    def overwrite(self, name: str, rows: pa.Table) -> None:
        """All rows of a table give way to `rows`."""
        self._write_delta(name, rows, mode="overwrite")

    def compact(self, name: str, *, largest: int | None = None) -> int:
        """Rewrite a table's files in the order that questions want, without rows nobody can see.

        `largest`: leave files of more bytes alone. Returns how many files gave way. The rows that
        can be seen stay the same; older versions can be read until `vacuum`.
        """
        actions = pa.table(self.table(name).get_add_actions(flatten=True))
        sizes = dict(
            zip(
                actions.column("path").to_pylist(),
                actions.column("size_bytes").to_pylist(),
                strict=True,
            )
        )
        picked = [p for p, size in sizes.items() if largest is None or size <= largest]
        if not picked:
            return 0
        folder = self.path / name
        written = self._rewritten(name, [str(folder / p) for p in picked])
        adds: list[Any] = [_add_action(folder, file) for file in written]
        removes = [_remove_action(p, sizes[p]) for p in picked]
        self.table(name).create_write_transaction(
            adds + removes,
            "append",
            self.table(name).schema(),
            commit_properties=self._properties(name, {}),
        )
        self.table(name).update_incremental()
        return len(picked)

    def _rewritten(self, name: str, paths: list[str]) -> list[str]:
        """New files with the visible rows of some files, sorted; their names."""
        order = {
            "elements": "path, text, number, series_id",
            "instances": "series_id, InstanceNumber, SOPInstanceUID",
            "series": "Modality, BodyPartExamined, StudyDate, series_id",
        }.get(name, "run_id")
        work = self.path / "_work"
        work.mkdir(exist_ok=True)
        with connect() as db:
            db.execute(f"set temp_directory = '{str(work).replace(chr(39), chr(39) * 2)}'")
            db.execute("set memory_limit = '2GB'")
            view(db, "series", self.paths("series"))
            view(db, "old", paths, tables.ALL[name])
            current = "where series_id in (select series_id from series)"
            where = current if name in CHILDREN else ""
            reader = db.sql(f"select * from old {where} order by {order}").to_arrow_reader(100_000)
            return self.write_stream(name, reader)

    def write_stream(self, name: str, reader: pa.RecordBatchReader) -> list[str]:
        """Files of at most a few million rows or some hundred megabytes from a stream of rows."""
        files: list[str] = []
        held: list[pa.Table] = []
        size = 0
        for batch in reader:
            table = pa.Table.from_batches([batch]).cast(tables.ALL[name])
            held.append(table)
            size += table.nbytes
            if size > LARGEST_FILE:
                files += [f for f in [self.write(name, pa.concat_tables(held))] if f]
                held, size = [], 0
        if held:
            files += [f for f in [self.write(name, pa.concat_tables(held))] if f]
        return files

    def commit_series(self, rows: pa.Table, replaced: Iterable[str], run_id: str) -> None:
        """The commit point: new rows of `series`, those of replaced SeriesInstanceUIDs gone.

        Written after the child rows. Remembers the versions of the child tables.
        """
        replaced = sorted(replaced)
        uids = rows.column("SeriesInstanceUID").to_pylist()
        old = set(replaced)
        for start in range(0, len(replaced), 500):
            some = set(replaced[start : start + 500])
            picked = rows.filter(pa.array([u in some for u in uids], pa.bool_()))
            listed = ", ".join("'" + v.replace("'", "''") + "'" for v in sorted(some))
            self._write_delta(
                "series",
                picked,
                mode="overwrite",
                predicate=f'"SeriesInstanceUID" in ({listed})',
                run_id=run_id,
            )
        fresh = rows.filter(pa.array([u not in old for u in uids], pa.bool_()))
        if fresh.num_rows:
            order = [(k, "ascending") for k in ("Modality", "BodyPartExamined", "StudyDate")]
            children = json.dumps(self._child_versions())
            self.append("series", fresh.sort_by(order), run_id=run_id, children=children)

    def _child_versions(self) -> dict[str, int]:
        return {name: int(self.table(name).version()) for name in CHILDREN}

    def _properties(self, name: str, metadata: dict[str, str]) -> CommitProperties:
        if name == "series":
            metadata = {**metadata, "children": json.dumps(self._child_versions())}
        return CommitProperties(custom_metadata=dict(metadata))

    def _write_delta(
        self,
        name: str,
        rows: pa.Table,
        *,
        mode: Any,
        predicate: str | None = None,
        **metadata: str,
    ) -> None:
        write_deltalake(
            self.table(name),
            rows.cast(tables.ALL[name]),
            mode=mode,
            predicate=predicate,
            commit_properties=self._properties(name, metadata),
        )
        self.table(name).update_incremental()


def connect(file: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that never reaches outside and counts time in UTC."""
    db = duckdb.connect(
        str(file or ":memory:"),
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "preserve_insertion_order": "false",
        },
    )
    db.execute("set timezone = 'UTC'; set parquet_metadata_cache = true")
    return db


def view(
    db: duckdb.DuckDBPyConnection, name: str, paths: list[str], schema: pa.Schema | None = None
) -> None:
    """Make a view over Parquet files; one without rows where there are none."""
    if paths:
        listed = ", ".join("'" + p.replace("'", "''") + "'" for p in paths)
        db.execute(f"create or replace view {name} as select * from read_parquet([{listed}])")
    else:
        db.register("nothing", (schema or tables.ALL[name]).empty_table())
        db.execute(f"create or replace table {name} as select * from nothing")
        db.unregister("nothing")


def write_parquet(path: Path, name: str, table: pa.Table) -> None:
    """Write rows as Parquet: zstd, and no dictionary for headers, which hardly repeat whole."""
    plain = {"header", "uri", "SOPInstanceUID"}
    part = path.with_name(f".{path.name}.part")
    pq.write_table(
        table.cast(tables.ALL[name]),
        part,
        compression="zstd",
        row_group_size=120_000,
        use_dictionary=[c for c in table.column_names if c not in plain],
    )
    os.replace(part, path)


def _remove_action(path: str, size: int) -> RemoveAction:
    """A file that gave way to others with the same visible rows."""
    return RemoveAction(
        path, data_change=False, deletion_timestamp=int(time.time() * 1000), size=size
    )


def _add_action(folder: Path, file: str) -> AddAction:
    """What Delta wants to know of a file: its size, rows, and the range of its series_id."""
    path = folder / file
    meta = pq.read_metadata(path)
    stats: dict[str, Any] = {"numRecords": meta.num_rows}
    if meta.schema.to_arrow_schema().names[0] == "series_id":
        groups = [meta.row_group(i).column(0).statistics for i in range(meta.num_row_groups)]
        stats["minValues"] = {"series_id": min(g.min for g in groups)}
        stats["maxValues"] = {"series_id": max(g.max for g in groups)}
        stats["nullCount"] = {"series_id": 0}
    info = path.stat()
    return AddAction(file, info.st_size, {}, int(info.st_mtime * 1000), True, json.dumps(stats))
