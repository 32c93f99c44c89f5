"""All rows of an answer as a file, in pieces: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, datetime
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
    wrote: Callable[[int], None] | None = None,
) -> Iterator[bytes]:
    """The file in pieces; UsageError for a form that there is not.

    `ticket`: what the engine knows the question by, to cancel it; `wrote` is told how many more
    rows are in the file.
    """
    if form not in FORMS:
        raise UsageError(f"{form!r} is no form of a file. Use one of {', '.join(FORMS)}.")
    pages = _counted(engine.pages(query, AT_ONCE, ticket), wrote)
    return {"csv": _csv, "ndjson": _lines, "parquet": _parquet}[form](pages)


def _counted(pages: Iterator[pa.Table], wrote: Callable[[int], None] | None) -> Iterator[pa.Table]:
    for page in pages:
        if wrote is not None:
            wrote(page.num_rows)
        yield page


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
    """Columns that one page has as text and another as numbers are text."""
    whole = list(pages)
    kinds = [
        columns[0].type if len({c.type for c in columns}) == 1 else pa.string()
        for columns in zip(*(page.columns for page in whole), strict=True)
    ]
    schema = pa.schema(list(zip(whole[0].column_names, kinds, strict=True)))
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for page in whole:
                writer.write_table(page.cast(schema))
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece
