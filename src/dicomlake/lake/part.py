"""A part of a lake: its tables hold some series and nothing of any other one.

Rows count only while `series` holds their series_id. So a part is the same lake with a smaller
table `series`, written as one file; its child tables are shown without rows of other series.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.lake.database import connect, parquet, view
from dicomlake.lake.linking import linked, links
from dicomlake.lake.store import CHILDREN, Store


class PartStore(Store):
    """Reads a part of a lake at a version; `file`: its series, as `write_series` writes them.

    Facts and documents are in it that belong to its studies, or to its patients as such. What
    cannot be told apart by series (runs, failures, files, lists of archives) is not in it.
    """

    def __init__(self, path: str | Path, version: int, file: Path) -> None:
        self._file = file
        super().__init__(path, version)

    @property
    def more_folders(self) -> tuple[Path, ...]:
        """The folder of the series."""
        return (self._file.resolve().parent,)

    def paths(self, name: str, ids: Iterable[int] | None = None) -> list[str]:
        """The Parquet files of a table; those of child tables hold rows of other series, too."""
        if name == "series":
            return [str(self._file)]
        return super().paths(name, ids) if name in CHILDREN else []

    def show(self, db: duckdb.DuckDBPyConnection, name: str, called: str = "") -> None:
        """Make a view of a table without rows of other series, studies and patients."""
        if name in tables.CLINICAL:
            self._show_clinical(db, name, called or name)
            return
        super().show(db, name, called)
        if name not in CHILDREN or not self.paths(name):
            return
        ours = f"series_id in (select series_id from {parquet(self.paths('series'))})"
        where = " and ".join(filter(None, [ours, self.unhidden(db, name)]))
        db.execute(
            f'create or replace view "{called or name}" as '
            f"select * from {parquet(self.paths(name))} where {where}"
        )

    def _show_clinical(self, db: duckdb.DuckDBPyConnection, name: str, called: str) -> None:
        """Whose they are is found in the whole lake: what is of another study stays hidden."""
        whole, known = f"whole_{name}", f"whole_links_{name}"
        for table in ("series", name):
            view(db, f"whole_{table}", super().paths(table))
        db.execute(f"create or replace table {known} as {links([name], 'whole_')}")
        key = next(iter(tables.ALL[name].names))
        ours = parquet(self.paths("series"))
        db.execute(
            f"create or replace view {called} as select * from {whole} where {key} in ("
            f"select {key} from ({linked(name, known, whole)}) l where case when study_key is null "
            f"then patient_key in (select patient_key from {ours}) "
            f"else study_key in (select study_key from {ours}) end)"
        )


def write_series(store: Store, ids: pa.Array, file: Path) -> None:
    """Write the series of these numbers, as a part of a lake needs them; readable for one's own."""
    with connect() as db:
        store.show(db, "series")
        db.register("chosen", pa.table({"series_id": ids}))
        rows = db.sql(
            "select * from series where series_id in (select series_id from chosen) "
            "order by series_id"
        ).to_arrow_table()
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        pq.write_table(rows.cast(tables.SERIES), stream, compression="zstd")
    part.replace(file)
