"""Rows of OMOP into files, in pieces: memory holds a piece at a time, and a writer can be stopped.

A file has its name when it is whole.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from dicomlake.contracts import Progress
from dicomlake.errors import Cancelled, LakeError, UsageError
from dicomlake.jobs.omop.columns import TABLES

FORMS = ("csv", "parquet")
_AT_ONCE = 100_000
_LOOK_EVERY_S = 0.2


class Watched:
    """A connection that stops working when a Progress is cancelled; use as a context manager.

    What DuckDB is in the midst of ends with Cancelled, too.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, progress: Progress) -> None:
        self._db, self._progress = db, progress
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def stage(self, name: str, total: int | None = None) -> None:
        """A new part begins."""
        self.check()
        self._progress.stage(name, total, "rows")

    def advance(self, count: int) -> None:
        """So many more rows are written."""
        self._progress.advance(count)
        self.check()

    def check(self) -> None:
        """Cancelled when somebody has said so."""
        if self._progress.cancelled:
            raise Cancelled("Writing tables of OMOP was stopped.")

    def _watch(self) -> None:
        while not self._done.wait(_LOOK_EVERY_S):
            if self._progress.cancelled:
                self._db.interrupt()

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._done.set()
        self._thread.join()
        if isinstance(error, duckdb.InterruptException):
            raise Cancelled("Writing tables of OMOP was stopped.") from error
        if isinstance(error, duckdb.OutOfMemoryException):
            raise LakeError(
                "The tables need more memory, or room on the disk of the lake, than there is. "
                "Make room, or write a cohort."
            ) from error


def put(db: Any, name: str, statement: str, path: Path, watched: Watched) -> int:
    """Write the rows of a table in the order of their ids, with all columns; how many there are.

    Columns that nothing is known for are empty. UsageError when two rows got one number, which 62
    bits make all but impossible.
    """
    schema = TABLES[name]
    watched.stage(name)
    known = set(db.sql(f"select * from ({statement}) limit 0").columns)
    columns = ", ".join(
        f'"{one.name}"' if one.name in known else f'null as "{one.name}"' for one in schema
    )
    keys = schema.names[:1] if name != "source_codes" else [*schema.names[:4]]
    order = ", ".join(f'"{key}"' for key in keys)
    part = path.with_name(f".{path.name}.part")
    try:
        reader = db.sql(f"select {columns} from ({statement}) order by {order}")
        with _writer(part, schema, path.suffix) as writer:
            rows, last = 0, None
            for batch in reader.to_arrow_reader(_AT_ONCE):
                table = pa.Table.from_batches([batch]).cast(schema)
                if name != "source_codes":
                    last = _check_ids(name, table.column(0), last)
                writer.write_table(table)
                rows += table.num_rows
                watched.advance(table.num_rows)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return rows


def _writer(path: Path, schema: pa.Schema, suffix: str) -> Any:
    if suffix == ".parquet":
        return pq.ParquetWriter(path, schema, compression="zstd")
    return pcsv.CSVWriter(path, schema)


def _check_ids(name: str, ids: pa.ChunkedArray, last: Any) -> Any:
    """The last id of some that are in order."""
    same = len(ids) > 1 and pc.any(pc.equal(ids[1:], ids[:-1])).as_py()
    if same or (len(ids) and ids[0].as_py() == last):
        raise UsageError(f"Two rows of {name} have one id. Report this as a fault.")
    return ids[-1].as_py() if len(ids) else last
