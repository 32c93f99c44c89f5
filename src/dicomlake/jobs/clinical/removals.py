"""What sources removed: so much of it that no older file brings it back.

One Parquet file in the lake's folder `_facts`. It has the keys of rows, which tell of nobody.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake.lake.database import connect, literal, view
from dicomlake.lake.store import FACTS

SCHEMA = pa.schema(
    [
        pa.field("table", pa.string()),
        pa.field("source", pa.string()),
        pa.field("key", pa.int64()),
        pa.field("updated", pa.timestamp("us", "UTC")),  # of the removal; null: not said, for good
    ]
)


def _file(lake: Path) -> Path:
    return lake / FACTS / "removed.parquet"


def show(lake: Path, db: duckdb.DuckDBPyConnection, name: str, source: str) -> None:
    """A view `removed` of what a source removed from a table: key and when."""
    path = _file(lake)
    view(db, "every_removed", [str(path)] if path.exists() else [], SCHEMA)
    db.execute(
        f"create view removed as select key, updated from every_removed "
        f'where "table" = {literal(name)} and source = {literal(source)}'
    )


def note(lake: Path, name: str, source: str, rows: pa.Table) -> None:
    """Remember what a source removed: rows of key and updated; a removal without a time is kept."""
    if not rows.num_rows:
        return
    with connect() as db:
        path = _file(lake)
        view(db, "every_removed", [str(path)] if path.exists() else [], SCHEMA)
        db.register("given", rows)
        made = db.sql(
            'select "table", source, key, case when count(*) = count(updated) '
            f"then max(updated) end as updated from (from every_removed union all select "
            f"{literal(name)}, {literal(source)}, key, updated from given) "
            "group by all order by all"
        ).to_arrow_table()
    _write(path, made)


def forget(lake: Path, source: str) -> None:
    """What a source removed may come again."""
    path = _file(lake)
    if path.exists():
        with connect() as db:
            view(db, "every_removed", [str(path)], SCHEMA)
            made = db.sql(f"from every_removed where source <> {literal(source)}").to_arrow_table()
        _write(path, made)


def _write(path: Path, rows: pa.Table) -> None:
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    pq.write_table(rows.cast(SCHEMA), part, compression="zstd")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
