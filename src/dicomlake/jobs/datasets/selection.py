"""Which series a dataset is made of: those of a frozen cohort, or what a question finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dicomlake import plugins
from dicomlake.errors import UsageError
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.lake import Store
from dicomlake.query import Query, parse

COLUMNS = (
    "SeriesInstanceUID", "StudyInstanceUID", "patient_key", "PatientID", "Modality", "split",
    "fold",
)  # fmt: skip

_SPLITS = {
    "train": "training", "val": "validation", "valid": "validation", "tune": "validation",
    "testing": "test", "holdout": "test",
}  # fmt: skip
"""What splits are called in every dataset, by what else people call them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The series of a dataset: rows with COLUMNS, and where they come from.

    `version`: of the cohort; `lake_version`: of the lake that it was asked of.
    """

    name: str
    version: int | None
    approved: bool
    query: str
    lake_version: int
    series: pa.Table


def selected(store: Store, wanted: Wanted) -> Selection:
    """The series that a dataset is made of; UsageError when there are none."""
    found = _of_cohort(store, wanted.cohort) if wanted.cohort else _of_query(store, wanted.where)
    if not found.series.num_rows:
        raise UsageError("Nothing is in it: no series of the lake is in the cohort or meets it.")
    return found


def _of_query(store: Store, where: str) -> Selection:
    engine = plugins.load("engines", "duckdb")(store)
    rows = engine.answer(Query(parse(where), "series", ("SeriesInstanceUID",))).rows
    found = pa.table({"SeriesInstanceUID": rows.column("SeriesInstanceUID").cast(pa.string())})
    with store.database(only=["series"]) as db:
        db.register("chosen", found)
        series = db.sql(
            'select "SeriesInstanceUID", "StudyInstanceUID", patient_key, "PatientID", "Modality", '
            "cast(null as varchar) as split, cast(null as integer) as fold from series "
            'semi join chosen using ("SeriesInstanceUID") order by series_id'
        ).to_arrow_table()
    return Selection("", None, False, where, store.version, series)


def _of_cohort(store: Store, name: str) -> Selection:
    from dicomlake.jobs.cohorts import opened

    cohort = opened(store.path, name)
    series = cohort.series().select(list(COLUMNS))
    splits = [_SPLITS.get(one, one) for one in series.column("split").to_pylist()]
    place = series.schema.get_field_index("split")
    series = series.set_column(place, "split", pa.array(splits, pa.string()))
    return Selection(
        cohort.name, cohort.version, cohort.approved, cohort.text, store.version,
        series,
    )  # fmt: skip


def patients_of(store: Store, series: pa.Table) -> list[tuple[Any, ...]]:
    """patient_key, PatientID and issuer of the patients of these series."""
    with store.database(only=["series"]) as db:
        db.register("chosen", series)
        rows: list[tuple[Any, ...]] = db.execute(
            "select patient_key, any_value(coalesce(\"PatientID\", '') order by series_id), "
            "any_value(coalesce(\"IssuerOfPatientID\", '') order by series_id) from series "
            'semi join chosen using ("SeriesInstanceUID") group by patient_key order by 1'
        ).fetchall()
    return rows


def objects_of(store: Store, series: pa.Table) -> Iterator[Sequence[Any]]:
    """The objects of these series in the order in which they are made, as `Ledger.plan` has them.

    Patients, studies and series come in the order of their UIDs, so that it is always the same.
    """
    with store.database(only=["series", "instances"]) as db:
        db.register("chosen", series)
        found = db.execute(
            'select s.patient_key, s."StudyInstanceUID", s."SeriesInstanceUID", '
            "i.\"SOPInstanceUID\", coalesce(s.\"Modality\", ''), coalesce(c.split, ''), c.fold, "
            's.series_id, i.uri, coalesce(i."offset", 0), coalesce(i.size, 0) from instances i '
            'join series s using (series_id) join chosen c using ("SeriesInstanceUID") '
            'order by s."StudyInstanceUID", s."SeriesInstanceUID", i."InstanceNumber", '
            'i."SOPInstanceUID", i.uri'
        )
        while rows := found.fetchmany(10_000):
            yield from rows
