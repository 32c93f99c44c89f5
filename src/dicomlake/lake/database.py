"""DuckDB connections for the tables of a lake."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa

from dicomlake import tables


def connect(*, memory: str = "", spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that never reaches outside and counts time in UTC.

    `memory`: most memory, as in "1GB"; `spill`: folder for what does not fit into it.
    """
    db = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "preserve_insertion_order": "false",
        },
    )
    db.execute("set timezone = 'UTC'; set parquet_metadata_cache = true")
    db.execute("set enable_progress_bar = false")  # it would stand among rows on standard output
    if memory:
        db.execute(f"set memory_limit = {literal(memory)}")
    if spill:
        db.execute(f"set temp_directory = {literal(spill)}")
    return db


def literal(value: object) -> str:
    """A text as SQL writes it.

    >>> literal("O'Neill")
    "'O''Neill'"
    """
    return "'" + str(value).replace("'", "''") + "'"


def parquet(paths: Iterable[str], options: str = "") -> str:
    """The SQL of a table that Parquet files make."""
    return f"read_parquet([{', '.join(map(literal, paths))}]{options})"


def view(
    db: duckdb.DuckDBPyConnection, name: str, paths: list[str], schema: pa.Schema | None = None
) -> None:
    """Make a view over Parquet files; one without rows where there are none."""
    if paths:
        db.execute(f"create or replace view {name} as select * from {parquet(paths)}")
    else:
        db.register("nothing", (schema or tables.ALL[name]).empty_table())
        db.execute(f"create or replace table {name} as select * from nothing")
        db.unregister("nothing")
