"""Doses of patients over a rolling window, on studies: those of one person wherever they were made.

A window of 365 days that ends on a day holds that day and the 364 before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import accumulate
from typing import Any

import pyarrow as pa

from dicomlake.errors import UsageError
from dicomlake.jobs.dose import schemas
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.people import People
from dicomlake.jobs.dose.rows import Row, select
from dicomlake.jobs.dose.studies import summed
from dicomlake.query import Node, OneOf

DAYS = 365


def patients(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    days: int = DAYS,
    ticket: object = None,
) -> pa.Table:
    """Sums of patients: the highest of any window, and of the one that ends now.

    `schemas.PATIENTS`, who has most effective dose or DLP now first. Only studies of the condition
    are added.
    """
    _check(days)
    found = by_patient(summed(engine, where, options=options, ticket=ticket))
    rows = [_person(rows, days, options) for rows in found.values()]
    rows.sort(key=_most)
    return schemas.table(schemas.PATIENTS, rows)


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
    rows = [
        row
        for row in summed(engine, where, options=options, ticket=ticket)
        if row["patient_key"] == people.one(patient_key)
    ]
    return schemas.table(schemas.HISTORY, _history(rows, days))


def _check(days: int) -> None:
    if not 1 <= days <= 36_525:
        raise UsageError("A window has 1 to 36,525 days.")


def by_patient(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """Studies by patient."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["patient_key"]].append(row)
    return found


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

    def highest(self, days: int) -> tuple[float | None, date | None]:
        """The highest sum of a window, and the day that it ends on, the first of several."""
        found = [(self.within(end, days) or 0.0, end) for end in dict.fromkeys(self.days)]
        return max(found, key=lambda pair: pair[0]) if found else (None, None)


def _person(rows: list[Row], days: int, options: DoseOptions) -> Row:
    dated = sorted(row["StudyDate"] for row in rows if row["StudyDate"])
    last = rows[-1]
    found: Row = {
        name: next((r[name] for r in reversed(rows) if r.get(name)), None)
        for name in ("patient_key", "PatientID", "IssuerOfPatientID", "PatientSex")
    }
    found |= {
        "studies": len(rows),
        "first": dated[0] if dated else None,
        "last": dated[-1] if dated else None,
        "undated": len(rows) - len(dated),
        "days": days,
        "unestimated": sum(row.get("unestimated") or 0 for row in rows),
        "factor_set": next((r["factor_set"] for r in rows if r.get("factor_set")), None),
        "tissue_weighting": next(
            (r["tissue_weighting"] for r in rows if r.get("tissue_weighting")), None
        ),
    }
    found["patient_key"] = last["patient_key"]
    for name in schemas.SUMMED:
        sums = Sums(rows, name)
        said = [row[name] for row in rows if row.get(name) is not None]
        highest, until = sums.highest(days)
        found |= {
            f"{name}_highest": highest,
            f"{name}_highest_until": until,
            f"{name}_now": sums.within(options.now, days),
            f"{name}_total": sum(said) if said else None,
        }
    return found


def _most(row: Row) -> tuple[Any, ...]:
    order = ("effective_dose_highest", "DLP_highest", "DAP_highest")
    return (*(-(row[name] or 0.0) for name in order), row["patient_key"])
