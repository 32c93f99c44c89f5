"""All rows of an answer as a file, in pieces: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake.errors import UsageError
from dicomlake.query import Query

FORMS = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
"""Forms of a file, and what they are called in HTTP."""
AT_ONCE = 10_000
_PIECE = 256 * 1024
_RUNS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the beginning of a text."""


def exported(
    engine: Any,
    query: Query,
    form: str,
    ticket: object = None,
    told: Callable[[int], None] | None = None,
) -> Iterator[bytes]:
    """The file in pieces; UsageError for a form that there is not. Memory holds a page at a time.

    `ticket`: what the engine knows the question by, to cancel it; `told`: called with how many rows
    have been read.
    """
    if form not in FORMS:
        raise UsageError(f"{form!r} is no form of a file. Use one of {', '.join(FORMS)}.")
    pages = _counted(engine.pages(query, AT_ONCE, ticket), told)
    return {"csv": _csv, "ndjson": _lines, "parquet": _parquet}[form](pages)


def _counted(pages: Iterator[pa.Table], told: Callable[[int], None] | None) -> Iterator[pa.Table]:
    rows = 0
    for page in pages:
        yield page
        rows += page.num_rows
        if told is not None:
            told(rows)


def _csv(pages: Iterator[pa.Table]) -> Iterator[bytes]:
    for n, page in enumerate(pages):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if n == 0:
            writer.writerow(page.column_names)
        writer.writerows([list(map(_harmless, row.values())) for row in page.to_pylist()])
        yield text.getvalue().encode("utf-8", "replace")


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet runs.

    >>> _harmless("=1+1"), _harmless(-3), _harmless(None)
    ("'=1+1", -3, None)
    """
    if isinstance(value, str) and value.startswith(_RUNS):
        return "'" + value
    return value.isoformat() if isinstance(value, date | datetime) else value


def _lines(pages: Iterator[pa.Table]) -> Iterator[bytes]:
    for page in pages:
        yield b"".join(orjson.dumps(row, default=str) + b"\n" for row in page.to_pylist())


def _parquet(pages: Iterator[pa.Table]) -> Iterator[bytes]:
    """A page at a time: they wait on disk until it is known which type a column has in all of them.

    Columns that one page has as text and another as numbers are text.
    """
    with tempfile.TemporaryDirectory(prefix="dicomlake-") as folder:
        files, kinds = _kept(pages, Path(folder))
        out = _Pieces()
        with pq.ParquetWriter(pa.PythonFile(out, "w"), kinds, compression="zstd") as writer:
            for file in files:
                with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as reader:
                    for batch in reader:
                        writer.write_table(pa.Table.from_batches([batch]).cast(kinds))
                        yield from out.taken(_PIECE)
        yield from out.taken(0)


def _kept(pages: Iterator[pa.Table], folder: Path) -> tuple[list[Path], pa.Schema]:
    """Pages as files, a new one whenever types change, and the types that hold them all."""
    files: list[Path] = []
    found: dict[str, set[pa.DataType]] = {}
    schema, writer = None, None
    try:
        for page in pages:
            if page.schema != schema:
                if writer is not None:
                    writer.close()
                schema = page.schema
                files.append(folder / f"{len(files)}.arrow")
                writer = pa.ipc.new_stream(str(files[-1]), schema)
                for field in schema:
                    found.setdefault(field.name, set()).add(field.type)
            if writer is not None:
                writer.write_table(page)
    finally:
        if writer is not None:
            writer.close()
    return files, pa.schema([(name, _joined(kinds)) for name, kinds in found.items()])


def _joined(kinds: set[pa.DataType]) -> pa.DataType:
    """The type that can hold values of all of these.

    >>> str(_joined({pa.int64(), pa.null()})), str(_joined({pa.int64(), pa.string()}))
    ('int64', 'string')
    """
    said = {kind for kind in kinds if not pa.types.is_null(kind)} or {pa.string()}
    if len(said) == 1:
        return said.pop()
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in said)
    return pa.float64() if numbers else pa.string()


class _Pieces(io.RawIOBase):
    """A file that is handed on while it is written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._at = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes so far."""
        return self._at

    def write(self, data: Any) -> int:
        """Keep bytes until they are taken."""
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        self._at += len(part)
        return len(part)

    def taken(self, least: int) -> Iterator[bytes]:
        """What there is, when it is so much."""
        if self._size and self._size >= least:
            yield b"".join(self._parts)
            self._parts, self._size = [], 0
