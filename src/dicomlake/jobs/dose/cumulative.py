"""Doses of patients over a rolling window, on studies: those of one person wherever they were made.

A window of 365 days that ends on a day holds that day and the 364 before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.errors import UsageError
from dicomlake.jobs.dose import schemas
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.people import People
from dicomlake.jobs.dose.rows import Row, select
from dicomlake.jobs.dose.studies import asked, studies
from dicomlake.lake.database import literal
from dicomlake.query import Node, OneOf

DAYS = 365


def patients(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    days: int = DAYS,
    ticket: object = None,
    of: pa.Table | None = None,
) -> pa.Table:
    """Sums of patients: the highest of any window, and of the one that ends now.

    `schemas.PATIENTS`, who has most effective dose or DLP in a window first. Only studies of the
    condition are added. `of`: these studies, where they were asked for already.
    """
    _check(days)
    if of is None:
        of = studies(engine, where, options=options, ticket=ticket)
    sql = _PATIENTS.format(days=int(days), now=literal(options.now.isoformat()))
    return schemas.fitted(schemas.PATIENTS, asked(sql, studies=of))


def patient(
    engine: Any,
    patient_key: int,
    *,
    options: DoseOptions,
    days: int = DAYS,
    ticket: object = None,
) -> pa.Table:
    """Studies of a patient, oldest first, each with the sums of the window that ends with it.

    `schemas.HISTORY`. UsageError when the lake has no such patient.
    """
    _check(days)
    people = People(options)
    said = select(
        engine,
        'select distinct "PatientID" as id from series '
        "where patient_key in (select unnest(?::bigint[]))",
        [sorted(people.all(patient_key))],
        ticket,
    )
    if not said:
        raise UsageError(f"There is no patient {patient_key} in this version of the lake.")
    ids = tuple(row["id"] for row in said)
    where = OneOf("PatientID", ids) if all(ids) else None
    found = studies(engine, where, options=options, ticket=ticket)
    own = found.filter(pc.equal(found.column("patient_key"), people.one(patient_key)))
    return schemas.table(schemas.HISTORY, _history(own.to_pylist(), days))


def _check(days: int) -> None:
    if not 1 <= days <= 36_525:
        raise UsageError("A window has 1 to 36,525 days.")


def _history(rows: list[Row], days: int) -> list[Row]:
    ends = [row["StudyDate"] for row in rows]
    for name in schemas.SUMMED:
        sums = Sums(rows, name)
        for row, end in zip(rows, ends, strict=True):
            row[f"{name}_window"] = sums.within(end, days) if end else None
    return [{**row, "days": days} for row in rows]


class Sums:
    """Sums of a quantity over days."""

    def __init__(self, rows: Iterable[Row], name: str) -> None:
        dated = [r for r in rows if r["StudyDate"] and r.get(name) is not None]
        dated.sort(key=lambda r: r["StudyDate"])
        self.days: list[date] = [r["StudyDate"] for r in dated]
        self._until = [0.0, *accumulate(r[name] for r in dated)]

    def within(self, end: date, days: int) -> float | None:
        """The sum of the window that ends on a day; None where nothing is in it."""
        last = bisect_right(self.days, end)
        first = bisect_right(self.days, end - timedelta(days=days))
        return self._until[last] - self._until[first] if last > first else None


def _of_window(name: str) -> str:
    """What is told of a quantity: its highest sum, that of the window that ends now, and all."""
    return f"""
    max("{name}_window") as "{name}_highest",
    arg_max("StudyDate", ("{name}_window", -epoch("StudyDate")))
        filter ("{name}_window" is not null) as "{name}_highest_until",
    sum("{name}") filter ("StudyDate" <= date {{now}} and
        "StudyDate" > date {{now}} - {{days}}) as "{name}_now",
    sum("{name}") as "{name}_total" """


def _last(name: str) -> str:
    return f"""last("{name}" order by n) filter ("{name}" is not null) as "{name}" """


_WINDOW = """
    case when "StudyDate" is not null and "{0}" is not null then sum("{0}") over window_ end
        as "{0}_window" """
_PATIENTS = f"""
with windows as (
    select *, {", ".join(_WINDOW.format(name) for name in schemas.SUMMED)} from studies
    window window_ as (partition by patient_key order by "StudyDate"
        range between interval ({{days}} - 1) days preceding and current row))
select patient_key, {", ".join(map(_last, ("PatientID", "IssuerOfPatientID", "PatientSex")))},
    count(*) as studies, min("StudyDate") as first, max("StudyDate") as last,
    count(*) filter ("StudyDate" is null) as undated, {{days}} as days,
    coalesce(sum(unestimated), 0) as unestimated, {", ".join(map(_of_window, schemas.SUMMED))},
    any_value(factor_set) as factor_set, any_value(tissue_weighting) as tissue_weighting
from windows group by patient_key
order by coalesce("effective_dose_highest", 0) desc, coalesce("DLP_highest", 0) desc,
    coalesce("DAP_highest", 0) desc, patient_key
"""
