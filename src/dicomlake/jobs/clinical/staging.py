"""The stage: what an import has read, in files beside the tables, until all of it is there.

What a file says is staged whole or not at all, so a killed import does not read it again.
References between files are resolved when all is staged, so files may come in any order.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.errors import UsageError

_LATER = {"fact_key", "document_key", "patient_key", "source", "run_id", "imported"}
"""Columns that are made when everything is staged."""

_HELP = [
    pa.field("seq", pa.int64()),  # number of the row in the import, in order
    pa.field("rev", pa.int64()),  # seq of the row that it is a part of, or its own
    pa.field("subject", pa.string()),  # reference to the patient
    pa.field("refers", pa.list_(pa.field("element", pa.string()))),  # to orders and studies
    pa.field("thing", pa.string()),  # reference to what has its code: a medication
    pa.field("gone", pa.bool_()),  # the source says that it was never true
]


def _staged(schema: pa.Schema) -> pa.Schema:
    fields = [pa.field(f.name, f.type) for f in schema if f.name not in _LATER]
    return pa.schema([*_HELP, *fields])


SCHEMAS = {
    **{name: _staged(tables.ALL[name]) for name in tables.CLINICAL},
    "people": pa.schema(
        [(n, pa.string()) for n in ("ref", "PatientID", "IssuerOfPatientID")]
        + [("seq", pa.int64())]
    ),
    "orders": pa.schema([(n, pa.string()) for n in ("ref", "AccessionNumber", "StudyInstanceUID")]),
    "things": pa.schema(
        [(n, pa.string()) for n in ("ref", "code", "value", "scheme", "meaning", "text")]
    ),
}
"""What is staged: rows of the tables, and what references mean."""
OWN = frozenset(f.name for f in _HELP)
MOST_FAILURES = 1_000
"""Of a part that are kept one by one."""
_ROWS = 50_000
SHIFT = 40
"""Rows of one file are numbered in so many bits."""


@dataclass(slots=True)
class Part:
    """What one file says, or several small ones; rows are numbered in their order."""

    folder: Path
    number: int
    file: str = ""
    """What stands for the name of the file, which may name a patient."""
    uri: str = ""
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    """File, place in it, and reason."""
    failed: int = 0
    rows: int = 0
    notes: set[str] = field(default_factory=set)
    _held: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _writers: dict[str, pq.ParquetWriter] = field(default_factory=dict)

    def begin(self, name: str, uri: str) -> None:
        """What follows is of another file."""
        self.file, self.uri = stands_for(name), uri

    def origin(self, place: object) -> str:
        """Where in the import something was read, without the name of the file."""
        return f"{self.file}:{place}"

    def next(self) -> int:
        """The number of the next row."""
        self.rows += 1
        return self.number << SHIFT | self.rows

    def add(self, name: str, row: dict[str, Any]) -> dict[str, Any]:
        """Stage a row, a dict by column; it is numbered here."""
        if name in tables.CLINICAL and "seq" not in row:
            row["seq"] = self.next()
            row.setdefault("rev", row["seq"])
        held = self._held.setdefault(name, [])
        held.append(row)
        if len(held) >= _ROWS:
            self._flush(name)
        return row

    def add_table(self, name: str, rows: pa.Table) -> None:
        """Stage many rows; columns that are left out are null."""
        if rows.num_rows:
            self._write(name, conformed(rows, SCHEMAS[name]))

    def fail(self, place: str, reason: str) -> None:
        """Note what cannot be read, with its place in the file."""
        self.failed += 1
        if len(self.failures) < MOST_FAILURES:
            self.failures.append((self.uri, place, reason))

    def _flush(self, name: str) -> None:
        if rows := self._held.pop(name, None):
            self._write(name, table_of(rows, SCHEMAS[name]))

    def _write(self, name: str, rows: pa.Table) -> None:
        if name not in self._writers:
            path = self._part(name)
            self._writers[name] = pq.ParquetWriter(path, SCHEMAS[name], compression="lz4")
        self._writers[name].write_table(rows)

    def _part(self, name: str) -> Path:
        return self.folder / f"{self.number}-{os.getpid()}.{name}.part"

    def close(self) -> None:
        """Write what is held."""
        for name in list(self._held):
            self._flush(name)
        for writer in self._writers.values():
            writer.close()

    def keep(self, key: str) -> None:
        """Give the files their names; the mark that all is there comes last."""
        self.close()
        for name in self._writers:
            part = self._part(name)
            part.replace(self.folder / f"{key}.{name}.parquet")
        said = {
            "failures": self.failures,
            "failed": self.failed,
            "rows": self.rows,
            "notes": sorted(self.notes),
        }
        mark = self.folder / f".{key}.part"
        mark.write_text(json.dumps(said))
        mark.replace(self.folder / f"{key}.done")


class Stage:
    """A folder of staged parts, below the work folder of a lake."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        os.chmod(folder, 0o700)
        self._number = 0
        self.keys: list[str] = []

    @contextlib.contextmanager
    def part(self, key: str) -> Iterator[Part | None]:
        """A part to fill; None when it was staged before. Nothing is left of one that fails."""
        self._number += 1
        self.keys.append(key)
        with self.numbered(key, self._number) as made:
            yield made

    @contextlib.contextmanager
    def numbered(self, key: str, number: int) -> Iterator[Part | None]:
        """A part of a number that somebody else gave; this stage does not count it."""
        if self.has(key):
            yield None
            return
        made = Part(self.folder, number)
        try:
            yield made
        except BaseException:
            made.close()
            raise
        made.keep(key)

    def has(self, key: str) -> bool:
        """Whether a part was staged."""
        return (self.folder / f"{key}.done").exists()

    def said(self, key: str) -> dict[str, Any]:
        """What was noted of a part: failures, how many, rows, notes."""
        found: dict[str, Any] = json.loads((self.folder / f"{key}.done").read_text())
        return found

    def paths(self, name: str) -> list[str]:
        """The files of staged rows."""
        made = (self.folder / f"{key}.{name}.parquet" for key in self.keys)
        return [str(path) for path in made if path.exists()]

    def clear(self) -> None:
        """Nothing of it is needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


def stands_for(name: str) -> str:
    """What stands for the name of a file: the same for the same name.

    >>> stands_for("observations.ndjson")
    'file 53be2e3c'
    """
    return f"file {hashlib.sha256(name.encode()).hexdigest()[:8]}"


def table_of(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as dicts by column as a table."""
    said = set[str]().union(*rows)
    columns = [
        pa.array([row.get(f.name) for row in rows], f.type)
        if f.name in said
        else pa.nulls(len(rows), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with exactly the columns of a schema, null where there is none."""
    columns = [
        rows.column(f.name).cast(f.type)
        if f.name in rows.column_names
        else pa.nulls(rows.num_rows, f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


Given: TypeAlias = Iterable[dict[str, Any] | pa.RecordBatch] | pa.Table
"""Rows as dicts by column, as a table, or as Arrow batches."""


def stage_rows(part: Part, name: str, given: Given) -> None:
    """Stage rows that somebody made; UsageError for a column that the table does not have."""
    if isinstance(given, pa.Table):
        given = given.to_batches()
    for one in given:
        if isinstance(one, pa.RecordBatch):
            rows = pa.Table.from_batches([one])
            _check(name, rows.column_names)
            first = part.next()
            part.rows += rows.num_rows
            numbers = pa.array(range(first, first + rows.num_rows), pa.int64())
            for own in ("seq", "rev"):
                if own in rows.column_names:
                    rows = rows.drop_columns([own])
                rows = rows.append_column(own, numbers)
            part.add_table(name, rows)
        else:
            _check(name, one)
            part.add(name, dict(one))


def _check(name: str, columns: Iterable[str]) -> None:
    known = {*SCHEMAS[name].names, *tables.ALL[name].names}
    if wrong := [column for column in columns if column not in known]:
        raise UsageError(f"The table {name} has no column {wrong[0]!r}.")
