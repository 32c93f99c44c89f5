"""Events that stand out of their group, and how the doses of devices drift with their software.

z = (log of the dose - median) / (1.4826 MAD), within model, standard protocol, phantom and size of
the patient, of groups of `least` or more. Zero, missing and what is no patient are left out first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from math import log
from typing import Any

import pyarrow as pa

from dicomlake.jobs.dose import schemas
from dicomlake.jobs.dose.events import rows_of
from dicomlake.jobs.dose.groups import quantile
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.rows import Row
from dicomlake.query import Node

QUANTITIES = {
    "CT": ("CTDIvol", "DLP"), "projection": ("DAP", "RP"), "mammography": ("AGD",),
    "radiopharmaceutical": ("activity",),
}  # fmt: skip
HARD = {
    "CTDIvol": 500.0, "DLP": 10_000.0, "DAP": 0.1, "RP": 10_000.0, "AGD": 20.0,
    "activity": 10_000.0,
}  # fmt: skip
"""What no single event should reach, in the units of `schemas.UNITS`."""
_MAD = 1.4826
_USED = (
    *schemas.OUTLIERS.names, "CTDIvol", "DLP", "DAP", "RP", "AGD", "activity", "phantom",
    "not_patient", "size_used", "PatientWeight", "age", "BodyPartThickness", "SoftwareVersions",
)  # fmt: skip
_WIDTHS = (80, 160, 200, 240, 280, 320, 360, 450)
_WEIGHTS = (5, 15, 30, 50, 70, 90, 110)
_AGES = (1, 5, 10, 15, 18)


def outliers(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    ticket: object = None,
    given: pa.Table | None = None,
) -> pa.Table:
    """Events of what a condition finds that stand out: `schemas.OUTLIERS`, the farthest first.

    Groups are made of what the condition finds, so ask for all of a device, not for one patient.
    """
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    hard: list[Row] = []
    for row in rows_of(_USED, engine, where, options, ticket, given):
        if row["not_patient"]:
            continue
        for name in QUANTITIES.get(row["kind"], ()):
            if not row[name] or row[name] <= 0:
                continue
            if row[name] >= HARD[name]:
                hard.append(_hard(row, name))
            if row["standard_protocol"]:
                groups[_group(row, name)].append(row)
    found = [
        each for key, rows in groups.items() if len(rows) >= options.least
        for each in _standing_out(rows, key, options)
    ]  # fmt: skip
    known = {(row["event_key"], row["quantity"]) for row in hard}
    found = hard + [row for row in found if (row["event_key"], row["quantity"]) not in known]
    found.sort(key=lambda r: (-abs(r["z"] or 1e9), r["event_key"], r["quantity"]))
    return schemas.table(schemas.OUTLIERS, found)


def _group(row: Row, name: str) -> tuple[Any, ...]:
    phantom = row["phantom"] if row["kind"] == "CT" else None
    model = row["ManufacturerModelName"]
    return name, model, row["standard_protocol"], phantom, size_bin(row)


def size_bin(row: Row) -> str:
    """Patients of about one size: by diameter, else by weight, else by age.

    >>> size_bin({"size_used": 290.0, "PatientWeight": 70, "age": 40})
    '280 to 320 mm'
    >>> size_bin({"size_used": None, "PatientWeight": 70, "age": 40})
    '70 to 90 kg'
    """
    if row.get("kind") == "mammography" and row.get("BodyPartThickness"):
        low = int(row["BodyPartThickness"] // 10 * 10)
        return f"{low} to {low + 10} mm compressed"
    for name, ends, unit in (
        ("size_used", _WIDTHS, "mm"), ("PatientWeight", _WEIGHTS, "kg"), ("age", _AGES, "years"),
    ):  # fmt: skip
        if row.get(name) is not None:
            return _between(row[name], ends, unit)
    return "size not known"


def _between(value: float, ends: tuple[int, ...], unit: str) -> str:
    low = max((end for end in ends if end <= value), default=0)
    high = min((end for end in ends if end > value), default=None)
    return f"{low} to {high} {unit}" if high else f"{low} {unit} or more"


def _standing_out(rows: list[Row], key: tuple[Any, ...], options: DoseOptions) -> Iterator[Row]:
    name = key[0]
    logs = [log(row[name]) for row in rows]
    median = quantile(sorted(logs), 0.5)
    spread = _MAD * quantile(sorted(abs(x - median) for x in logs), 0.5)
    middle = quantile(sorted(row[name] for row in rows), 0.5)
    if spread <= 0:
        return  # more than half of them are equal
    for row, x in zip(rows, logs, strict=True):
        z = (x - median) / spread
        if abs(z) > options.z:
            more = {"median": middle, "z": z, "n": len(rows), "why": "robust z"}
            tail = "high" if z > 0 else "low"
            yield _about(row, name) | more | {"tail": tail, "limit": options.z}


def _hard(row: Row, name: str) -> Row:
    return _about(row, name) | {"tail": "high", "why": "hard limit", "limit": HARD[name], "z": None}


def _about(row: Row, name: str) -> Row:
    shared = {field.name: row.get(field.name) for field in schemas.OUTLIERS}
    return shared | {
        "size_bin": size_bin(row),
        "quantity": name,
        "value": row[name],
        "unit": schemas.UNITS[name],
    }


def trends(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    ticket: object = None,
    given: pa.Table | None = None,
) -> pa.Table:
    """Medians by device, protocol and software, in order: `schemas.TRENDS`.

    `change` is told where both sides have `least` events.
    """
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows_of(_USED, engine, where, options, ticket, given):
        if row["not_patient"] or not row["standard_protocol"] or not row["StudyDate"]:
            continue
        for name in QUANTITIES.get(row["kind"], ()):
            if row[name]:
                groups[(row["device"], row["standard_protocol"], name)].append(row)
    found = [each for key, rows in sorted(groups.items()) for each in _drift(key, rows, options)]
    return schemas.table(schemas.TRENDS, found)


def _drift(key: tuple[str, str, str], rows: list[Row], options: DoseOptions) -> Iterator[Row]:
    device, protocol, name = key
    by_software: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_software[row["SoftwareVersions"] or ""].append(row)
    before: float | None = None
    for software, some in sorted(by_software.items(), key=lambda pair: _days(pair[1])):
        median = quantile(sorted(row[name] for row in some), 0.5)
        enough = len(some) >= options.least
        first, last = _days(some)
        yield {
            "device": device, "ManufacturerModelName": some[0]["ManufacturerModelName"],
            "standard_protocol": protocol, "quantity": name, "unit": schemas.UNITS[name],
            "SoftwareVersions": software or None, "first": first, "last": last, "n": len(some),
            "median": median, "change": median / before if before and enough else None,
        }  # fmt: skip
        before = median if enough else None


def _days(rows: Iterable[Row]) -> tuple[date, date]:
    days = [row["StudyDate"] for row in rows]
    return min(days), max(days)
