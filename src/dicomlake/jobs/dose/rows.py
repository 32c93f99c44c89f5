"""What a question about dose reads of a lake: rows of the engine, narrowed by a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake import tables
from dicomlake.dicom.values import days_of
from dicomlake.jobs.dose import schemas
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.people import People
from dicomlake.query import Node

Row = dict[str, Any]
HEAD, BODY = "DCM:113690", "DCM:113691"
PHANTOMS = {HEAD: 16, BODY: 32}
"""Diameter in cm of the phantoms of CTDIvol."""
RIGHT, LEFT = "SCT:24028007", "SCT:7771000"
_YEAR = 365.25

_PEOPLE = """people as (
    select study_key, min(patient_key) as patient_key, mode("PatientID") as "PatientID",
        mode("IssuerOfPatientID") as "IssuerOfPatientID", mode("PatientName") as "PatientName",
        mode("PatientSex") as "PatientSex", mode("PatientAge") as "PatientAge",
        mode("PatientBirthDate") as "PatientBirthDate",
        median("PatientSize") filter ("PatientSize" > 0) as "PatientSize",
        median("PatientWeight") filter ("PatientWeight" > 0) as "PatientWeight",
        min("StudyDate") as "StudyDate", mode("StudyDescription") as "StudyDescription",
        mode("RequestedProcedureDescription") as "RequestedProcedureDescription",
        mode("AccessionNumber") as "AccessionNumber"
    from series where study_key in (
        select study_key from series where series_id in (
            select series_id from dose_events union select series_id from dose_totals))
    group by study_key)"""
"""What all series of a study say of the patient: reports often say less than images."""
_MORE = """series_id water_equivalent_diameter SSDE CTDIvol_notification DLP_notification
    CTDIvol_notification_estimate DLP_notification_estimate""".split()
_USED = {
    "dose_events": [n for n in tables.DOSE_EVENTS.names if n in {*schemas.EVENTS.names, *_MORE}],
    "dose_totals": [name for name in tables.DOSE_TOTALS.names if name != "sent"],
}
"""Columns that are read: a row has no more, for there may be a million of them."""
_OF_SERIES = """s."SeriesInstanceUID", s."Manufacturer",
    s."ManufacturerModelName", s."StationName", s."DeviceSerialNumber",
    array_to_string(s."SoftwareVersions", ', ') as "SoftwareVersions", s."InstitutionName",
    p.* exclude (study_key)"""


def chosen(engine: Any, where: Node | None, level: str, ticket: object = None) -> set[int] | None:
    """Numbers of the series that a condition chooses, with all of their studies; None for all."""
    if where is None:
        return None
    with engine.chosen(where, level, ticket) as (search, mask):
        snapshot = search.snapshot
        return set(snapshot.ids[snapshot.lift(mask, "study")].tolist())


def read(
    engine: Any, table: str, where: Node | None, options: DoseOptions, ticket: object = None
) -> pa.Table:
    """Rows of `dose_events` that count, or of `dose_totals`, with study, person and device.

    In an order that does not depend on the order in which objects came.
    """
    ids = chosen(engine, where, options.level, ticket)
    order = "started, event_key" if table == "dose_events" else "item, plane, laterality"
    used = ", ".join(f'e."{name}"' for name in _USED[table])
    counted = "where e.counted" if table == "dose_events" else ""
    found = engine.read(
        f"with {_PEOPLE} select {used}, {_OF_SERIES} from {table} e "
        "join series s using (series_id) "
        f"join people p on p.study_key = s.study_key {counted} "
        f'order by "StudyDate", e."StudyInstanceUID", {order}, e."SOPInstanceUID"',
        [],
        ticket,
    )
    if ids is not None:
        wanted = pa.array(sorted(ids), pa.int64())
        found = found.filter(pc.is_in(found.column("series_id"), wanted))
    people = People(options)
    made, codes = distinct(found, ["patient_key"])
    keys = pa.array([people.one(row["patient_key"]) for row in made], pa.int64())
    return put(found, {"patient_key": keys.take(codes)})


def put(rows: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    """A table with columns in the place of those of the same name, or after all others."""
    for name, column in columns.items():
        at = rows.schema.get_field_index(name)
        rows = rows.append_column(name, column) if at < 0 else rows.set_column(at, name, column)
    return rows


def distinct(rows: pa.Table, names: Sequence[str]) -> tuple[list[Row], pa.Array]:
    """Every combination of some columns as a row, and the number of that of each row.

    What depends on few columns is worked out once per combination, and taken by these numbers.
    """
    codes = np.zeros(rows.num_rows, np.int64)
    for name in names:
        column = rows.column(name).combine_chunks().dictionary_encode("encode")
        codes = codes * max(len(column.dictionary), 1) + column.indices.to_numpy()
        codes = pa.array(codes).dictionary_encode().indices.to_numpy().astype(np.int64)
    _, first = np.unique(codes, return_index=True)
    return rows.select(list(names)).take(pa.array(first)).to_pylist(), pa.array(codes)


def select(engine: Any, sql: str, values: Sequence[Any] = (), ticket: object = None) -> list[Row]:
    """Rows of SQL of ours as dicts."""
    found: list[Row] = engine.read(sql, values, ticket).to_pylist()
    return found


def age_of(row: Row) -> float | None:
    """Age at the study in years: as sent, else of the date of birth.

    >>> age_of({"PatientAge": "006M"})
    0.5
    """
    days = days_of(row.get("PatientAge") or "")
    born, day = row.get("PatientBirthDate"), row.get("StudyDate")
    if days is None and isinstance(born, date) and isinstance(day, date) and born <= day:
        days = float((day - born).days)
    return None if days is None else round(days / _YEAR, 4)


def device_of(row: Row) -> str:
    """What a device is called that no rule names.

    >>> device_of({"ManufacturerModelName": "Force", "StationName": "CT1"})
    'Force CT1'
    """
    one = row.get("StationName") or row.get("DeviceSerialNumber") or ""
    model = row.get("ManufacturerModelName") or row.get("Manufacturer") or ""
    return f"{model} {one}".strip() or "unknown"
