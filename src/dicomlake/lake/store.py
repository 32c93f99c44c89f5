"""A lake directory: Delta tables with one commit point, the table `series`.

Child rows are appended first, under a new series_id; the row of `series` comes last. A reader sees
the child rows whose series_id is in `series`, so a batch is visible whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError

from dicomlake import tables
from dicomlake.errors import LakeError
from dicomlake.lake.database import connect, parquet, view
from dicomlake.lake.files import (
    File,
    Stream,
    add_action,
    holds,
    new_name,
    order_by,
    order_of,
    remove_action,
    write_parquet,
)

__all__ = ["CHILDREN", "MARK", "WORK", "Store", "connect", "is_lake", "view"]

MARK = "dicomlake.json"
OLDER = (1, 2, 3, 4)
"""Layouts that `Store.create` brings up to date; nothing is lost."""
WORK = "_work"
"""Folder for what is only needed while a job runs."""
INBOX, QUEUE, KEPT = "_inbox", "_queue", "_kept"
"""Folders of batches that wait for the writer, of tasks, and of kept objects."""
SAVED = "_saved"
"""Folder of saved queries and links to queries."""
COHORTS = "_cohorts"
"""Folder of frozen cohorts."""
ACCESS = "_access"
"""Folder of API tokens, of the audit log and of what projects see; readable by its owner alone."""
DATASETS = "_datasets"
"""Folder of what datasets hold, and of whom; readable by its owner alone."""
PUBLISH = "_publish"
"""Folder of what was published where; readable by its owner alone."""
DOSE = "_dose"
"""Folder of a site's own tables of dose, of states of alarms and of measured sizes."""
FACTS = "_facts"
"""Folder of mapping files, of what sources removed, and of files of facts that wait."""
SETTINGS = "dicomlake.toml"
"""The file of settings; it may be there before the lake is."""
SPILL = "_spill"
"""Folder of what does not fit into memory while a question is answered."""
EXTRACTIONS = "extractions"
"""Folder of the results of extractions, one table each."""
_OURS = frozenset(
    (
        WORK,
        KEPT,
        QUEUE,
        INBOX,
        SAVED,
        COHORTS,
        ACCESS,
        DATASETS,
        PUBLISH,
        DOSE,
        FACTS,
        EXTRACTIONS,
        SETTINGS,
        ".lock",
        f".{MARK}.part",
        f".{SETTINGS}.part",
    )
)
"""What besides tables may be in the folder of a lake that is not made yet."""
CHILDREN = tables.CHILDREN
"""Tables whose rows count only while `series` holds their series_id."""
PINNED = tables.PINNED
"""Tables whose versions every version of `series` remembers."""
CURRENT = (
    "select max(enrichment_id) as enrichment_id from {} where state <> 'failed' "
    "group by series_id, enricher"
)
"""SQL of the enrichments that count, from the table of enrichments."""
_HIDDEN = "hidden_enrichments"

_MEMORY = "1GB"
REWRITTEN = "rewritten"
"""Metadata of commits that change rows of series that stay as they are; says which job did."""
_PIN, _HIGHEST = "children", "highest_id"
"""Metadata of every commit of `series`: versions of the child tables, highest series_id so far."""


def is_lake(path: str | Path) -> bool:
    """Whether a folder is a lake."""
    return (Path(path) / MARK).is_file()


class Store:
    """The tables of one lake, at its newest version or at a version of `series`.

    LakeError when the folder is no lake, or one of a layout that this program does not know.
    """

    def __init__(self, path: str | Path, version: int | None = None) -> None:
        self.path = Path(path).absolute()
        if not is_lake(path):
            raise LakeError(
                f"{path} is no lake. Make one with: dicomlake index FOLDER --lake {path}"
            )
        layout = _read_mark(self.path).get("layout")
        if layout in OLDER:
            raise LakeError(
                f"{path} was made by an older dicomlake. Bring it up to date with: "
                f"dicomlake contents --lake {path}"
            )
        if layout != tables.VERSION:
            raise LakeError(
                f"{path} has layout {layout}; this dicomlake reads layout "
                f"{tables.VERSION}. Index it again, or use the version that wrote it."
            )
        self._open: dict[str, DeltaTable] = {}
        self._files: dict[str, tuple[int, list[File]]] = {}
        self._hidden: tuple[list[str], pa.Table] | None = None
        self._pins: dict[str, int] = {}
        if version is not None:
            self._pins = self._versions_at(version)
            self._check_complete(version)

    @classmethod
    def create(cls, path: str | Path) -> Store:
        """The lake at a folder, made when there is none; LakeError when other files are in it."""
        path = Path(path).absolute()
        if is_lake(path):
            _bring_up(path)
            return cls(path)
        if any(c in "%?\\" or not c.isprintable() for c in str(path)):
            raise LakeError(f"{path} cannot be a lake: no %, ?, \\ or line break in it, please.")
        ours = {*tables.ALL, *_OURS}
        try:
            if path.exists() and not {entry.name for entry in path.iterdir()} <= ours:
                raise LakeError(
                    f"{path} exists and is no lake. Name an empty or a new folder as --lake."
                )
            path.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                if not is_lake(path):
                    _lay_out(path)
        except OSError as error:
            raise LakeError(f"{path} cannot become a lake: {error.strerror}.") from error
        return cls(path)

    @property
    def content_readers(self) -> dict[str, int]:
        """Names and versions of the readers that have read what is inside of all objects."""
        found: dict[str, int] = _read_mark(self.path).get("contents", {})
        return found

    def note_content_readers(self, versions: dict[str, int]) -> None:
        """Note that these readers have read what is inside of all objects."""
        _write_mark(self.path, {**_read_mark(self.path), "contents": versions})

    @property
    def door(self) -> dict[str, Any]:
        """By what everything is de-identified that comes into this lake; empty where nothing is.

        `profile`, `pseudonyms` (their name in the settings), and `view` in a view of another lake.
        """
        found: dict[str, Any] = _read_mark(self.path).get("door", {})
        return found

    def note_door(self, door: dict[str, Any]) -> None:
        """Note by what everything is de-identified; LakeError when the lake has objects already."""
        if door == self.door:
            return
        if self.door or self.files("series"):
            raise LakeError(
                f"{self.path} has objects already, so how they are de-identified cannot be "
                "changed. Name a new folder as --lake."
            )
        _write_mark(self.path, {**_read_mark(self.path), "door": door})

    # Reading

    @property
    def more_folders(self) -> tuple[Path, ...]:
        """Folders of files beside those of the tables, which engines have to read."""
        return ()

    def table(self, name: str) -> DeltaTable:
        """The Delta table of that name at the version of this store."""
        if name not in self._open:
            if name in ("series", *PINNED):
                self._open_snapshot()
            else:
                self._open[name] = self._opened(name)
        return self._open[name]

    def _open_snapshot(self) -> None:
        """Open `series` and its child tables so that they fit together while somebody writes."""
        while True:
            series = self._opened("series")
            children = {name: self._opened(name) for name in PINNED}
            if self._pins or self._opened("series").version() == series.version():
                self._open |= {"series": series, **children}
                return

    def _opened(self, name: str) -> DeltaTable:
        try:
            return DeltaTable(str(self.path / name), version=self._pins.get(name))
        except DeltaError as error:
            raise LakeError(f"The table {name} of {self.path} cannot be opened.") from error

    @property
    def version(self) -> int:
        """The version of `series`, which names the snapshot."""
        return int(self.table("series").version())

    def refresh(self) -> bool:
        """Look for newer versions; whether the snapshot is another one now."""
        if self._pins:
            return False
        before = self.version
        self._open.clear()
        return self.version != before

    def paths_at(self, name: str, version: int) -> list[str]:
        """The Parquet files of a version of a table; LakeError when that is gone."""
        if version == self.table(name).version():
            return self.paths(name)
        try:
            table = DeltaTable(str(self.path / name), version=version)
        except DeltaError as error:
            raise LakeError(f"Version {version} of {name} is gone.") from error
        return [uri.removeprefix("file://") for uri in table.file_uris()]

    def files(self, name: str) -> list[File]:
        """The files of a table."""
        version = self.table(name).version()
        if self._files.get(name, (-1,))[0] != version:
            self._files[name] = (version, _files_of(self.table(name)))
        return self._files[name][1]

    def paths(self, name: str, ids: Iterable[int] | None = None) -> list[str]:
        """The Parquet files of a table; with `ids`, those that may hold one of these series_id."""
        folder = self.path / name
        files = self.files(name)
        if ids is not None:
            wanted = sorted(ids)
            files = [file for file in files if holds(wanted, file.lowest, file.highest)]
        return [str(folder / file.name) for file in files]

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """A whole table as Arrow; only current rows of `instances` and `elements`."""
        schema = tables.ALL[name]
        names = columns or schema.names
        needed = ("series", name) if name in CHILDREN else (name,)
        with self.database(only=needed) as db:
            picked = ", ".join(f'"{n}"' for n in names)
            found = db.sql(f"select {picked} from {name}").to_arrow_table()
        return found.cast(pa.schema([schema.field(n) for n in names]))

    @contextlib.contextmanager
    def database(
        self, *, current: bool = True, only: Iterable[str] = tables.ALL
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection with the tables as views; `current` hides rows nobody can see.

        `only`: some of the tables, where making all views would take longer than the work.
        """
        with connect() as db:
            if current:
                self.show_current(db, only)
            else:
                for name in only:
                    view(db, name, self.paths(name))
            yield db

    def show(self, db: duckdb.DuckDBPyConnection, name: str, called: str = "") -> None:
        """Make a view of a table with the rows of all series, also those that nobody can see.

        What a later enrichment supersedes, or none has made, is not in it.
        """
        view(db, called or name, self.paths(name), tables.ALL[name])
        if where := self.unhidden(db, name):
            db.execute(
                f'create or replace view "{called or name}" as '
                f"select * from {parquet(self.paths(name))} where {where}"
            )

    def unhidden(self, db: duckdb.DuckDBPyConnection, name: str) -> str:
        """SQL condition on the rows of a table that no later enrichment supersedes, or ""."""
        if name not in tables.STATED or not self.paths(name):
            return ""
        hidden = self._superseded()
        if not hidden.num_rows:
            return ""
        db.register("newly_hidden", hidden)
        db.execute(f"create or replace table {_HIDDEN} as select * from newly_hidden")
        db.unregister("newly_hidden")
        return f"enrichment_id not in (select enrichment_id from {_HIDDEN})"

    def _superseded(self) -> pa.Table:
        """The enrichments whose rows do not count."""
        names = (*tables.STATED, "enrichments")
        paths = [path for name in names for path in self.paths(name)]
        if self._hidden is None or self._hidden[0] != paths:
            with connect() as db:
                for name in names:
                    view(db, name, self.paths(name))
                made = " union ".join(f"select enrichment_id from {n}" for n in tables.STATED)
                found = db.sql(
                    f"select enrichment_id from ({made}) where enrichment_id not in "
                    f"({CURRENT.format('enrichments')})"
                ).to_arrow_table()
            self._hidden = paths, found
        return self._hidden[1]

    def show_current(self, db: duckdb.DuckDBPyConnection, only: Iterable[str] = tables.ALL) -> None:
        """Make views of tables without rows that nobody can see; doses know what counts."""
        for name in only:
            if name not in CHILDREN:
                self.show(db, name)
                continue
            self.show(db, name, f"all_{name}")
            more = f", {tables.COUNTED} as counted" if name == "dose_events" else ""
            db.execute(
                f"create view {name} as select *{more} from all_{name} "
                "where series_id in (select series_id from series)"
            )

    def _versions_at(self, version: int) -> dict[str, int]:
        """The versions of all tables that belong to a version of `series`."""
        newest = self._opened("series")
        if version == newest.version():
            return {"series": version}  # the newest child tables hold all of it
        for entry in newest.history():
            if entry.get("version") == version:
                none = dict.fromkeys(tables.CLINICAL, 0)
                return {"series": version, **none, **json.loads(entry.get(_PIN, "{}"))}
        raise LakeError(f"The lake has no version {version}; the newest is {newest.version()}.")

    def _check_complete(self, version: int) -> None:
        """LakeError when files of this version are gone."""
        gone = f"Version {version} of {self.path} cannot be read any more: compact removed it."
        for name in ("series", *PINNED):
            try:
                paths = self.paths(name)
            except LakeError as error:
                raise LakeError(gone) from error
            if not all(map(os.path.exists, paths)):
                raise LakeError(gone)

    def versions(self) -> list[dict[str, Any]]:
        """Every version of the lake, newest first: version, when (microseconds), what."""
        return [
            {
                "version": entry["version"],
                "when": entry["timestamp"] * 1000,
                "what": entry.get("operation", ""),
                "run_id": entry.get("run_id", ""),
            }
            for entry in self._opened("series").history()
        ]

    def notes(self, name: str, key: str) -> Iterator[dict[str, Any]]:
        """The commits of a table that carry this metadata, newest first."""
        seen = 0
        for limit in (1, None):
            entries = self.table(name).history(limit)
            yield from (dict(entry) for entry in entries[seen:] if key in entry)
            seen = len(entries)

    # Writing: one writer per lake

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer; LakeError when somebody else is."""
        with _locked(self.path):
            yield

    @property
    def locked(self) -> bool:
        """Whether somebody is writing now."""
        try:
            with _locked(self.path):
                return False
        except LakeError:
            return True

    def next_id(self) -> int:
        """The first series_id that no row of any table has or ever had."""
        noted = next(self.notes("series", _HIGHEST), {})
        highest = int(noted.get(_HIGHEST, 0))
        for name in ("series", *CHILDREN):
            highest = max([highest, *(f.highest for f in self.files(name) if f.highest)])
        return highest + 1

    def write(self, name: str, table: pa.Table) -> str | None:
        """Name of a new file of a table that is not part of it yet; None when there are no rows."""
        if not table.num_rows:
            return None
        file = new_name()
        write_parquet(self.path / name / file, name, table)
        return file

    def write_stream(self, name: str, reader: Iterable[pa.RecordBatch]) -> list[str]:
        """Names of new files of a table, not part of it yet, from a stream of rows in order."""
        stream = Stream(self.path / name, name)
        for batch in reader:
            stream.write(pa.Table.from_batches([batch]).cast(tables.ALL[name]))
        return stream.close()

    def commit(
        self,
        name: str,
        add: Iterable[str] = (),
        remove: Iterable[File] = (),
        notes: dict[str, str] | None = None,
        *,
        same: bool = False,
    ) -> None:
        """Written files come into a table and others go, in one commit that carries `notes`.

        `same`: the rows that can be seen stay the same.
        """
        folder = self.path / name
        actions: list[Any] = [add_action(folder, file, change=not same) for file in add]
        actions += [remove_action(file, change=not same) for file in remove]
        if not actions:
            return
        said = dict(notes or {})
        if name == "series":
            said |= self._said_with_series()
        table = self.table(name)
        table.create_write_transaction(
            actions,
            "append",
            table.schema(),
            commit_properties=CommitProperties(custom_metadata=dict(said)),
        )
        table.update_incremental()

    def add(self, name: str, files: Iterable[str], **notes: str) -> None:
        """Make written files part of a table, in one commit."""
        self.commit(name, files, notes=notes)

    def append(self, name: str, rows: pa.Table, **notes: str) -> None:
        """Append rows to a table in one commit."""
        if file := self.write(name, rows):
            self.commit(name, [file], notes=notes)

    def exchange(self, name: str, files: Iterable[str], **notes: str) -> None:
        """All files of a table give way to written ones, in one commit."""
        self.commit(name, files, self.files(name), notes)

    def overwrite(self, name: str, rows: pa.Table, **notes: str) -> None:
        """All rows of a table give way to `rows`."""
        file = self.write(name, rows)
        self.exchange(name, [file] if file else [], **notes)

    def replace(
        self, name: str, key: str, values: Iterable[Any], rows: pa.Table, **notes: str
    ) -> None:
        """Rows of a table whose `key` is one of the values give way to `rows`, in one commit."""
        file = self.write(name, rows)
        kept, gone = self._without(name, key, values)
        self.commit(name, [*kept, *([file] if file else [])], gone, notes)

    def put(self, name: str, key: str, values: pa.ChunkedArray, files: Iterable[str]) -> None:
        """Written files come into a table, and rows whose `key` is one of the values go."""
        kept, gone = self._without(name, key, values.combine_chunks())
        self.commit(name, [*kept, *files], gone)

    def remove(self, name: str, key: str, values: Iterable[Any]) -> None:
        """Drop the rows of a table whose `key` is one of the values."""
        self.commit(name, *self._without(name, key, values))

    def _without(self, name: str, key: str, values: Iterable[Any]) -> tuple[list[str], list[File]]:
        """New files with the rows that stay of those files that hold some of the values."""
        field = tables.ALL[name].field(key)
        given = values if isinstance(values, pa.Array) else pa.array(values, field.type)
        unwanted = pa.table({key: given.cast(field.type)})
        if not unwanted.num_rows or not self.files(name):
            return [], []
        work = self.path / WORK
        work.mkdir(exist_ok=True)
        with connect(memory=_MEMORY, spill=work) as db:
            db.register("unwanted", unwanted)
            source = parquet(self.paths(name), ", filename = true")
            found = db.execute(
                f'select distinct filename from {source} where "{key}" in (from unwanted)'
            ).fetchall()
            names = {Path(row[0]).name for row in found}
            gone = [file for file in self.files(name) if file.name in names]
            if not gone:
                return [], []
            view(db, "old", [str(self.path / name / file.name) for file in gone])
            reader = db.sql(
                f'select * from old anti join unwanted using ("{key}") {order_by(name)}'
            ).to_arrow_reader(100_000)
            return self.write_stream(name, reader), gone

    @property
    def settled(self) -> bool:
        """Whether the newest version of the lake remembers the tables as they are now."""
        noted = next(self.notes("series", _PIN), {})
        pinned = json.loads(noted.get(_PIN, "{}"))
        return all(pinned.get(n, 0) == self.table(n).version() for n in tables.CLINICAL)

    def touch(self, run_id: str) -> None:
        """A new version of the lake in which `series` is as it was, after rows of enrichers."""
        table = self.table("series")
        table.create_write_transaction(
            [],
            "append",
            table.schema(),
            commit_properties=CommitProperties(
                custom_metadata={**self._said_with_series(), "run_id": run_id}
            ),
        )
        table.update_incremental()

    def _said_with_series(self) -> dict[str, str]:
        """What every commit of `series` carries."""
        return {
            _PIN: json.dumps({n: int(self.table(n).version()) for n in PINNED}),
            _HIGHEST: str(self.next_id() - 1),
        }

    def commit_series(self, rows: pa.Table, replaced: Iterable[str], run_id: str) -> None:
        """The commit point: new rows of `series`, those of replaced SeriesInstanceUIDs gone.

        Written after the child rows, in one commit that remembers the versions of the child tables.
        """
        rows = rows.sort_by(order_of("series"))
        self.replace("series", "SeriesInstanceUID", replaced, rows, run_id=run_id)


def _lay_out(path: Path) -> None:
    """Make the tables of a new lake; the mark comes last."""
    for name in tables.ALL:
        _make(path, name)
    _write_mark(path, {"layout": tables.VERSION, "what": "a lake of dicomlake"})


def _bring_up(path: Path) -> None:
    """Bring a lake of an older layout up to date: new tables, and what is counted anew anyway."""
    mark = _read_mark(path)
    if mark.get("layout") in OLDER:
        with _locked(path):
            for name in ("vocabulary", "vocabulary_values") if mark["layout"] == 1 else ():
                if (path / name).exists():
                    shutil.rmtree(path / name)
            for name in tables.ALL:
                _make(path, name)
            _write_mark(path, {**mark, "layout": tables.VERSION})


def _make(path: Path, name: str) -> None:
    schema = tables.ALL[name]
    DeltaTable.create(
        str(path / name),
        schema,
        mode="ignore",
        name=name,
        description=tables.comment_of(schema),
    )


def _read_mark(path: Path) -> dict[str, Any]:
    try:
        mark = json.loads((path / MARK).read_text())
    except (OSError, ValueError) as error:
        raise LakeError(f"{path / MARK} cannot be read.") from error
    return mark if isinstance(mark, dict) else {}


def _write_mark(path: Path, mark: dict[str, Any]) -> None:
    part = path / f".{MARK}.part"
    part.write_text(json.dumps(mark) + "\n")
    part.replace(path / MARK)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        file = (path / ".lock").open("a+")
    except OSError as error:
        raise LakeError(f"{path} cannot be written: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LakeError(
                f"Another process is writing to {path}. Wait for it, or stop it."
            ) from error
        yield


def _files_of(table: DeltaTable) -> list[File]:
    found = pa.table(table.get_add_actions(flatten=True))

    def column(name: str) -> list[Any]:
        there = name in found.column_names
        return list(found.column(name).to_pylist()) if there else [None] * found.num_rows

    names = ("path", "size_bytes", "num_records", "min.series_id", "max.series_id")
    return [File(*values) for values in zip(*map(column, names), strict=True)]
