"""Tables of a dataset: read from its own objects, so that nothing is in them that they do not say.

The objects as they may leave are indexed into a lake that is thrown away afterwards; its tables are
the tables of the dataset, with new UIDs. Statements of enrichers come from the lake, by series.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake.jobs.datasets.labels import Mapped
from dicomlake.jobs.export import exported
from dicomlake.jobs.extraction import extract
from dicomlake.jobs.index import index
from dicomlake.lake import Store

TABLES = ("series", "instances", "elements", "items", "segments", "waveforms", "dose_events")
"""Tables of a lake that a dataset has, where they have rows."""
_LEFT = frozenset(
    """series_id patient_key study_key run_id indexed source uri offset size modified complete
    problems header varying reader""".split()
)
"""Columns that tell of the lake or of files, not of what was seen."""
_STATED = """kind label structure structure_meaning laterality code code_meaning name confidence
    volume intensity complete box grid""".split()
_MEASURED = """SeriesInstanceUID SOPInstanceUID item path concept concept_meaning number unit
    quantity quantity_unit finding site laterality tracking_uid""".split()


def tables_of(
    lake: Store, clean: Path, work: Path, series: Mapping[str, str], mapped: Mapped
) -> Iterator[tuple[str, pa.Table]]:
    """The tables of a dataset by name, in an order that is always the same.

    `clean`: where its objects lie; `work`: a folder to work in; `series`: new UIDs by old ones.
    """
    shutil.rmtree(work, ignore_errors=True)
    index([clean], work, workers=1)
    store = Store(work)
    for name in TABLES:
        rows = _table(store, name)
        if rows.num_rows:
            yield name, rows
    measured = _measurements(store)
    if measured.num_rows:
        yield "measurements", measured
    stated = _stated(lake, series)
    if stated.num_rows:
        yield "annotations", stated
    if mapped.columns:
        given = {"name": "labels", "each": mapped.each, "columns": mapped.columns}
        yield "labels", extract(store, given, keep=False)


def encoded(rows: pa.Table, form: str) -> bytes:
    """A table as a file, Parquet or CSV."""
    out = io.BytesIO()
    if form == "csv":
        for piece in exported(_Pages(rows), None, "csv"):  # type: ignore[arg-type]
            out.write(piece)
        return out.getvalue()
    pq.write_table(rows.replace_schema_metadata(None), out, compression="zstd")
    return out.getvalue()


class _Pages:
    """A table as the pages of an engine."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows

    def pages(self, query: Any, size: int, ticket: object = None) -> Iterator[pa.Table]:
        """The table in pages."""
        for at in range(0, max(1, self._rows.num_rows), size):
            yield self._rows.slice(at, size)


def _table(store: Store, name: str) -> pa.Table:
    """The rows of a table with the UID of their series, in the order of all their columns."""
    with store.database(only=["series", name]) as db:
        names = [row[0] for row in db.execute(f"describe {name}").fetchall()]
        kept = [n for n in names if n not in _LEFT]
        if name == "series":
            shown = ", ".join(f'"{n}"' for n in kept)
            return db.sql(
                f'select {shown} from series order by "SeriesInstanceUID"'
            ).to_arrow_table()
        shown = ", ".join(f't."{n}"' for n in kept if n != "SeriesInstanceUID")
        return db.sql(
            f'select s."SeriesInstanceUID", {shown} from {name} t join series s using (series_id) '
            "order by all"
        ).to_arrow_table()


def _measurements(store: Store) -> pa.Table:
    with store.database(only=["series", "items"]) as db:
        shown = ", ".join(f's."{n}"' if n == "SeriesInstanceUID" else f'i."{n}"' for n in _MEASURED)
        return db.sql(
            f"select {shown} from items i join series s using (series_id) "
            "where i.value_type = 'NUM' order by all"
        ).to_arrow_table()


def _stated(lake: Store, series: Mapping[str, str]) -> pa.Table:
    """What enrichers state of the series: codes and numbers, no text as it was sent."""
    chosen = pa.table(
        {"old": pa.array(series.keys(), pa.string()), "new": pa.array(series.values(), pa.string())}
    )
    with lake.database(only=["series", "annotations", "enrichments"]) as db:
        db.register("chosen", chosen)
        shown = ", ".join(f'a."{name}"' for name in _STATED)
        return db.sql(
            f'select c.new as "SeriesInstanceUID", a.enricher, e.version, {shown} '
            "from annotations a join enrichments e using (enrichment_id) "
            "join series s on s.series_id = a.series_id "
            'join chosen c on c.old = s."SeriesInstanceUID" order by all'
        ).to_arrow_table()
