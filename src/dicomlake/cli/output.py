"""Rows as a table on the screen, or as CSV, JSON and Parquet."""

from __future__ import annotations

import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomlake.cli.formats import Format
from dicomlake.errors import UsageError


def write(rows: pa.Table, form: Format, output: Path | None, console: Console) -> None:
    """Write rows to a file, or to standard output; UsageError for Parquet without a file."""
    if form is Format.parquet:
        if output is None:
            raise UsageError("Parquet needs a file. Add: --output answer.parquet")
        pq.write_table(rows, output, compression="zstd")
    elif form is Format.csv:
        flat = pa.table({n: _flat(rows.column(n)) for n in rows.column_names})
        pcsv.write_csv(flat, output or sys.stdout.buffer)
    elif form is Format.json:
        text = json.dumps(rows.to_pylist(), default=_plain, ensure_ascii=False, indent=1)
        if output:
            output.write_text(text + "\n", encoding="utf-8")
        else:
            sys.stdout.write(text + "\n")
    else:
        target = Console(file=output.open("w"), width=200) if output else console
        target.print(drawn(rows))


def drawn(rows: pa.Table) -> Table:
    """Rows as a table for the screen."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, kind in zip(rows.column_names, rows.schema.types, strict=True):
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in rows.to_pylist():
        table.add_row(*(Text(shown(value)) for value in row.values()))
    return table


def shown(value: Any) -> str:
    """A value as people read it, on one line and without control characters."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list):
        return "; ".join(shown(v) for v in value)
    text = str(value)
    return "".join(c if c.isprintable() else " " for c in text)[:200]


def with_meanings(rows: pa.Table) -> pa.Table:
    """Rows for people: a code and its meaning are one text."""

    def text(meaning: Any, code: Any) -> Any:
        if isinstance(code, list) and isinstance(meaning, list):
            return "; ".join(str(text(*pair)) for pair in zip(meaning, code, strict=True))
        return f"{meaning} ({code})" if meaning and code else code

    for name in rows.column_names:
        code = name.removesuffix("_meaning")
        if code != name and code in rows.column_names:
            pairs = zip(rows.column(name).to_pylist(), rows.column(code).to_pylist(), strict=True)
            texts = pa.array([text(*pair) for pair in pairs], pa.string())
            rows = rows.set_column(rows.column_names.index(code), code, texts)
            rows = rows.drop_columns([name])
    return rows


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _flat(column: pa.ChunkedArray) -> Any:
    if pa.types.is_list(column.type) or pa.types.is_struct(column.type):
        return pa.array([None if v is None else shown(v) for v in column.to_pylist()], pa.string())
    return column
