"""Results of extractions in the folder of a lake: one Delta table each, every version kept.

A commit tells in its metadata what made it. What a killed run left is never part of a version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from dicomlake.dicom.dictionary import WORD
from dicomlake.errors import LakeError, UsageError
from dicomlake.lake.database import parquet
from dicomlake.lake.store import EXTRACTIONS, Store

_WHOLE = 1 << 40
"""Bytes of a file, so that a version is one file and its rows stay in order."""


def names(store: Store) -> list[str]:
    """Names of all results that a lake keeps."""
    folder = store.path / EXTRACTIONS
    return sorted(p.name for p in folder.glob("*") if DeltaTable.is_deltatable(str(p)))


def opened(store: Store, name: str, version: int | None = None) -> DeltaTable:
    """The table of a result; UsageError when there is none, or none of that version."""
    folder = store.path / EXTRACTIONS / name
    if not WORD.fullmatch(name) or not DeltaTable.is_deltatable(str(folder)):
        there = names(store)
        known = f"There are: {', '.join(there)}." if there else "There is none yet."
        raise UsageError(f"No extraction is called {name!r}. {known}")
    try:
        table = DeltaTable(str(folder))
        newest = table.version()
        if version is None or version == newest:
            return table
        if not 0 <= version <= newest:
            raise UsageError(f"Extraction {name} has no version {version}; the newest is {newest}.")
        return DeltaTable(str(folder), version=version)
    except DeltaError as error:
        raise LakeError(f"Extraction {name} cannot be read.") from error


def notes(store: Store, name: str, key: str) -> Iterator[dict[str, Any]]:
    """The commits of a result that carry this metadata, newest first."""
    yield from (dict(entry) for entry in opened(store, name).history() if key in entry)


def rows_of(store: Store, name: str, version: int | None = None) -> pa.Table:
    """The rows of a result in order; LakeError when compaction removed that version."""
    table = opened(store, name, version)
    schema = _plain(pa.schema(table.schema()))
    try:
        found = [pq.read_table(path, partitioning=None) for path in _paths(table)]
    except (OSError, pa.ArrowException) as error:
        gone = f"Version {table.version()} of extraction {name} cannot be read any more"
        raise LakeError(f"{gone}: compact removed it. Make it again with refresh.") from error
    return pa.concat_tables(found).cast(schema) if found else schema.empty_table()


def _paths(table: DeltaTable) -> list[str]:
    return sorted(uri.removeprefix("file://") for uri in table.file_uris())


def keep(store: Store, name: str, rows: pa.Table, notes: Mapping[str, str]) -> int:
    """Write rows as the newest version of a result; its number. Only while the lock is held."""
    for other in names(store):
        if other != name and other.lower() == name.lower():
            raise UsageError(f"There is an extraction {other} already. Names differ in more.")
    folder = store.path / EXTRACTIONS / name
    folder.parent.mkdir(exist_ok=True)
    write_deltalake(
        str(folder),
        rows.combine_chunks(),  # several batches are written in no order
        mode="overwrite",
        schema_mode="overwrite",
        target_file_size=_WHOLE,
        commit_properties=CommitProperties(custom_metadata=dict(notes)),
    )
    return int(DeltaTable(str(folder)).version())


def show(store: Store, db: duckdb.DuckDBPyConnection) -> None:
    """Make a view `extraction_NAME` of the newest version of every result."""
    for name in names(store):
        table = opened(store, name)
        paths = _paths(table)
        if paths:
            select = f"from {parquet(paths)}"
        else:
            schema = _plain(pa.schema(table.schema()))
            empty = f"empty_extraction_{name}"
            db.register(empty, schema.empty_table())
            db.execute(f'create or replace table "_{empty}" as from "{empty}"')
            db.unregister(empty)
            select = f'from "_{empty}"'
        db.execute(f'create or replace view "extraction_{name}" as {select}')


def _plain(schema: pa.Schema) -> pa.Schema:
    """A schema without views of texts and large lists, as results are made."""

    def plain(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return pa.list_(plain(kind.value_type))
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view":
            return pa.string()
        return kind

    return pa.schema([pa.field(f.name, plain(f.type)) for f in schema])


def writable(rows: pa.Table) -> pa.Table:
    """Rows with the types that a result on disk has."""
    schema = _plain(rows.schema)
    fields = [pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in schema]
    return rows.cast(pa.schema(fields))


def swept(store: Store, hours: float) -> list[Path]:
    """Files of results that no version of the last hours needs, and leftovers of killed runs.

    Only while the lock is held.
    """
    found: list[Path] = []
    known = names(store)
    for folder in sorted((store.path / EXTRACTIONS).glob("*")):
        if folder.name in known:
            table = opened(store, folder.name)
            gone = table.vacuum(
                max(0, round(hours)), dry_run=True, enforce_retention_duration=False, full=True
            )
            found += [path for file in gone if (path := folder / file).exists()]
        elif folder.is_dir():  # killed before its first version
            found.append(folder)
    return found
