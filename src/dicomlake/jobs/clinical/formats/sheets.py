"""Tables as text (CSV, TSV), read in blocks of rows and brought into shape by SQL.

Separators and encodings are recognised. Every block is projected at once, so a table of millions of
rows takes seconds and little memory.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from dicomlake.errors import DataError
from dicomlake.jobs.clinical import moments
from dicomlake.jobs.clinical.staging import Part
from dicomlake.lake.database import connect

_BLOCK = 8 * 1024**2
_SEPARATORS = ",;\t|"
_PEEK = 64 * 1024


def opened(path: Path) -> IO[bytes]:
    """A file, unpacked when its name ends with .gz; DataError when it cannot be read."""
    try:
        if path.suffix.lower() == ".gz":
            return cast("IO[bytes]", gzip.open(path))
        return path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or 'I/O error'}") from error


def beginning(path: Path) -> bytes:
    """The first bytes of a file, unpacked."""
    try:
        with opened(path) as file:
            return file.read(_PEEK)
    except (OSError, EOFError) as error:
        raise DataError("cannot be read: the archive is damaged") from error


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is written: its columns as named, separator, encoding."""

    columns: tuple[str, ...]
    separator: str
    encoding: str


def layout_of(path: Path) -> Layout:
    """How a table is written, by its beginning; DataError when it has no first line."""
    head = beginning(path)
    encoding = _encoding(head)
    text = head.decode(encoding, "replace").lstrip("\ufeff")
    first = text.splitlines()[0] if text.strip() else ""
    if not first.strip():
        raise DataError("the table has no line of column names")
    separator = max(_SEPARATORS, key=first.count)
    columns = tuple(name.strip().strip('"').strip() for name in first.split(separator))
    return Layout(columns, separator, encoding)


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return "utf-8" if error.end >= len(head) - 3 else "cp1252"
    return "utf-8"


def blocks(path: Path, layout: Layout, part: Part) -> Iterator[tuple[pa.Table, int]]:
    """The rows of a table as texts, block by block, each with the line of its first row."""
    wrong: list[int] = []

    def skip(row: Any) -> str:
        wrong.append(row.number or 0)
        return "skip"

    line = 2
    names = list(layout.columns)
    try:
        with opened(path) as file:
            reader = csv.open_csv(
                _plain(file, layout.encoding),
                csv.ReadOptions(
                    block_size=_BLOCK, column_names=names, skip_rows=1, use_threads=False
                ),
                csv.ParseOptions(
                    delimiter=layout.separator, invalid_row_handler=skip, newlines_in_values=True
                ),
                csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                    null_values=["", "NULL", "null", "\\N", "NA", "N/A", "None", "nan", "NaN"],
                ),
            )
            for batch in reader:
                yield pa.Table.from_batches([batch]), line
                line += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError, UnicodeError) as error:
        if "Empty CSV" not in str(error):
            part.fail(str(line), "the table cannot be read any further from here")
    for number in wrong:
        part.fail(str(number or "?"), "the line has another number of columns than the first one")


def _plain(file: IO[bytes], encoding: str) -> Any:
    """The file in UTF-8."""
    if encoding == "utf-8":
        return file
    return _Recoded(io.TextIOWrapper(file, encoding=encoding, errors="replace", newline=""))


class _Recoded(io.RawIOBase):
    """Text of another encoding as bytes of UTF-8."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = self._text.read(1 << 20).encode("utf-8")
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


@dataclass(frozen=True, slots=True)
class Projection:
    """How the rows of a table become staged rows: SQL by column, and what a row must have.

    `needs`: SQL conditions that a row must meet, and what is wrong with a row that does not.
    `joins`: tables of codes beside it.
    """

    name: str
    columns: Mapping[str, str]
    needs: tuple[tuple[str, str], ...] = ()
    joins: str = ""


class Sheets:
    """Projects blocks of rows; hands out a database in which tables of codes may be registered."""

    def __init__(self, spill: Path) -> None:
        self.db: duckdb.DuckDBPyConnection = connect(memory="400MB", spill=spill)
        self.db.execute(moments.SQL)

    def close(self) -> None:
        """Let go of the memory."""
        self.db.close()

    def stage(
        self,
        path: Path,
        layout: Layout,
        projections: list[Projection],
        part: Part,
        check: Callable[[int], None],
    ) -> None:
        """Stage a table by each projection; rows that do not fit are noted with their line."""
        for rows, line in blocks(path, layout, part):
            numbers = pa.array(range(line, line + rows.num_rows), pa.int64())
            given = rows.append_column("line__", numbers)
            self.db.register("block", given)
            for one in projections:
                self._project(one, line, rows.num_rows, part)
            self.db.unregister("block")
            check(rows.num_rows)

    def _project(self, one: Projection, line: int, count: int, part: Part) -> None:
        first = part.next()
        part.rows += count - 1
        seq = f"line__ - {line} + {first}"
        numbered = {"clinical_events": ("seq", "rev"), "documents": ("seq", "rev"),
                    "people": ("seq",)}  # fmt: skip
        picked = [f"{seq} as {name}" for name in numbered.get(one.name, ())]
        picked += [f'{sql} as "{name}"' for name, sql in one.columns.items()]
        cases = " ".join(f"when not coalesce({sql}, false) then '{why}'" for sql, why in one.needs)
        problem = f"case {cases} end" if one.needs else "null::text"
        found = self.db.sql(
            f"select {', '.join(picked)}, line__, {problem} as problem__ from block {one.joins}"
        ).to_arrow_table()
        right = pc.is_null(found.column("problem__"))
        part.add_table(one.name, found.filter(right))
        for row in (
            found.filter(pc.invert(right))
            .select(["line__", "problem__"])
            .sort_by("line__")
            .to_pylist()
        ):
            part.fail(str(row["line__"]), row["problem__"])


def known(columns: tuple[str, ...], name: str) -> str:
    """SQL of a column as text without blanks around, null where the table has no such column."""
    there = {column.lower(): column for column in columns}.get(name.lower())
    return f"nullif(trim(\"{quoted(there)}\"), '')" if there else "null::text"


def quoted(name: str) -> str:
    """A name inside of double quotes."""
    return name.replace('"', '""')
