"""Medians of protocols and devices beside diagnostic reference levels; never one patient.

A level says of which patients and of what it is (one sequence, or a whole examination), and the
medians are made alike: one value per patient, of standard patients alone. Fewer than `least`
patients get no verdict.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake.errors import UsageError
from dicomlake.jobs.dose import schemas
from dicomlake.jobs.dose.events import rows_of
from dicomlake.jobs.dose.factors import number
from dicomlake.jobs.dose.groups import interval, quantile
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.protocols import day_of
from dicomlake.jobs.dose.rows import Row
from dicomlake.query import Node
from dicomlake.terms import sheets, units

_PACKAGE = "dicomlake.jobs.dose.tables"
COLUMNS = (
    "country", "protocol", "exam", "indication", "modality", "group", "age_from", "age_to",
    "weight_from", "weight_to", "quantity", "per", "phantom", "value", "unit", "valid_from",
    "valid_to", "source", "verification",
)  # fmt: skip
_NEEDED = ("country", "protocol", "quantity", "per", "value", "unit", "source")
QUANTITIES = {
    "CT": (("CTDIvol", "sequence"), ("DLP", "examination")),
    "projection": (("DAP", "examination"), ("RP", "examination")),
    "mammography": (("AGD", "sequence"),),
    "radiopharmaceutical": (("activity", "examination"),),
}
"""What is compared where no level says otherwise."""
NOT_ALONE = frozenset(["CT localiser", "CT bolus tracking"])
"""Sequences that are no examination by themselves; their DLP belongs to it."""
_ADULT = 18.0
_USED = (
    "StudyInstanceUID", "SOPInstanceUID", "StudyDate", "kind", "device", "standard_protocol",
    "phantom", "patient_key", "not_patient", "age", "PatientWeight", *schemas.UNITS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """A diagnostic reference level, in the unit of its source."""

    country: str
    protocol: str
    exam: str
    indication: str
    group: str
    ages: tuple[float, float]
    weights: tuple[float, float] | None
    quantity: str
    per: str
    phantom: int | None
    value: float
    unit: str
    valid_from: date | None
    valid_to: date | None
    source: str
    verification: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """What values are made alike for: patients, quantity, and what the value is of."""

    protocol: str
    quantity: str
    per: str
    group: str
    ages: tuple[float, float]
    weights: tuple[float, float] | None
    phantom: int | None = None


def compare(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    ticket: object = None,
    given: pa.Table | None = None,
) -> pa.Table:
    """Medians by protocol and device of what a condition finds, each beside its levels.

    `schemas.LEVELS`. Protocols without a level have rows, too, with the verdict "no level". A level
    is compared with studies of its time alone.
    """
    found = rows_of(_USED, engine, where, options, ticket, given)
    events = [row for row in found if _named(row)]
    levels = [
        level
        for level in levels_of(options.own("levels.csv"))
        if not options.country or level.country == options.country
    ]
    rows = list(_compared(events, levels, options))
    rows.sort(key=lambda r: (
        r["kind"], r["standard_protocol"], r["quantity"], r["device"], r.get("country") or "~",
        r["group"], r["phantom"] or 0, r.get("indication") or "", str(r.get("valid_from")),
    ))  # fmt: skip
    return schemas.table(schemas.LEVELS, rows)


def _named(row: Row) -> bool:
    return bool(row["standard_protocol"]) and not row["not_patient"]


def _compared(events: list[Row], levels: list[Level], options: DoseOptions) -> Iterator[Row]:
    by_study: dict[str, list[Row]] = defaultdict(list)
    for row in events:
        by_study[row["StudyInstanceUID"] or row["SOPInstanceUID"]].append(row)
    kinds = {row["standard_protocol"]: row["kind"] for row in events}
    told_of = set()
    for level in levels:
        if level.protocol not in kinds:
            continue
        asked = _Asked(
            level.protocol, level.quantity, level.per, level.group, level.ages,
            level.weights, level.phantom,
        )  # fmt: skip
        for (device, phantom), found in _values(by_study, asked, options, level).items():
            if found.values:
                told_of.add((level.protocol, device, level.quantity, level.per))
                yield _row(kinds[level.protocol], device, phantom, asked, found, level, options)
    for protocol, kind in kinds.items():
        for quantity, per in QUANTITIES.get(kind, ()):
            if protocol in NOT_ALONE:
                continue
            asked = _Asked(protocol, quantity, per, "adult", (_ADULT, 200.0), None)
            for (device, phantom), found in _values(by_study, asked, options, None).items():
                if found.values and (protocol, device, quantity, per) not in told_of:
                    yield _row(kind, device, phantom, asked, found, None, options)


@dataclass(slots=True)
class _Group:
    values: dict[Any, tuple[date | None, float]]
    excluded: Counter[str]


def _values(
    by_study: dict[str, list[Row]], asked: _Asked, options: DoseOptions, level: Level | None
) -> dict[tuple[str, int | None], _Group]:
    """One value per patient, of the newest study, by device and phantom; and what is left out."""
    groups: dict[tuple[str, int | None], _Group] = defaultdict(lambda: _Group({}, Counter()))
    for rows in by_study.values():
        own = [row for row in rows if row["standard_protocol"] == asked.protocol]
        if not own:
            continue
        for key, row, value in _of_study(rows, own, asked):
            group = groups[key]
            if why := _unfit(row, value, asked, options, level):
                group.excluded[why] += 1
                continue
            person = row["patient_key"]
            before = group.values.get(person)
            if before:
                group.excluded["another study of the same patient"] += 1
            if not before or _later(row["StudyDate"], before[0]):
                group.values[person] = (row["StudyDate"], value)
            if len(own) > 1 and asked.per == "sequence":
                group.excluded["repeated sequence"] += len(own) - 1
    return groups


def _later(day: date | None, other: date | None) -> bool:
    return (day or date.min) > (other or date.min)


def _of_study(
    rows: list[Row], own: list[Row], asked: _Asked
) -> Iterator[tuple[tuple[str, int | None], Row, Any]]:
    """The value of a study: of its first sequence, or the sum of all events of its examination."""
    first = own[0]
    phantom = first["phantom"] if asked.quantity == "CTDIvol" else None
    if asked.per == "sequence":
        yield (first["device"], phantom), first, first.get(asked.quantity)
        return
    kind = first["kind"]
    others = {
        row["standard_protocol"]
        for row in rows
        if row["kind"] == kind and row["standard_protocol"] not in NOT_ALONE
    }
    key = (first["device"], phantom)
    if others != {asked.protocol}:
        yield key, first, "several protocols in one examination"
        return
    said = [r[asked.quantity] for r in rows if r["kind"] == kind and r[asked.quantity] is not None]
    yield key, first, sum(said) if said else None


def _unfit(row: Row, value: Any, asked: _Asked, options: DoseOptions, level: Level | None) -> str:
    """Why a value is left out, "" when it counts."""
    if isinstance(value, str):
        return value
    if not value:
        return "no value, or 0"
    if row["age"] is None:
        return "age not known"
    if not asked.ages[0] <= row["age"] < asked.ages[1]:
        return "another age"
    weight = row["PatientWeight"]
    if asked.weights is not None:
        if weight is None:
            return "weight not known"
        if not asked.weights[0] <= weight < asked.weights[1]:
            return "another weight"
    elif asked.ages[0] >= _ADULT and weight is not None:
        low, high = options.weights
        if not low <= weight <= high:
            return "no standard weight"
    if asked.phantom and asked.quantity == "CTDIvol" and row["phantom"] != asked.phantom:
        return "another phantom"
    if level is not None and row["StudyDate"]:
        if level.valid_from and row["StudyDate"] < level.valid_from:
            return "before the level"
        if level.valid_to and row["StudyDate"] > level.valid_to:
            return "after the level"
    return ""


def _row(
    kind: str,
    device: str,
    phantom: int | None,
    asked: _Asked,
    found: _Group,
    level: Level | None,
    options: DoseOptions,
) -> Row:
    ours = schemas.UNITS[asked.quantity]
    unit = level.unit if level else schemas.SHOWN.get(ours, (ours, 1.0))[0]
    values = sorted(in_unit(value, ours, unit) for _, value in found.values.values())
    days = sorted(day for day, _ in found.values.values() if day)
    low, high = interval(values)
    median = quantile(values, 0.5)
    row: Row = {
        "standard_protocol": asked.protocol, "kind": kind, "device": device,
        "quantity": asked.quantity, "unit": unit, "per": asked.per, "phantom": phantom,
        "group": asked.group, "n": len(values), "median": median,
        "q1": quantile(values, 0.25), "q3": quantile(values, 0.75),
        "smallest": values[0], "largest": values[-1], "low": low, "high": high,
        "first": days[0] if days else None, "last": days[-1] if days else None,
        "excluded": [f"{n} {why}" for why, n in sorted(found.excluded.items())] or None,
        "verdict": "no level",
    }  # fmt: skip
    if len(values) < options.least:
        row["verdict"] = "too few"
    if level is None:
        return row
    if row["verdict"] != "too few":
        row["verdict"] = "above" if median > level.value else "not above"
    names = "country exam indication valid_from valid_to source verification".split()
    row |= {name: getattr(level, name) or None for name in names}
    return row | {"level": level.value, "ratio": median / level.value}


def in_unit(value: float, ours: str, unit: str) -> float:
    """A value in the unit that people read.

    >>> in_unit(0.002, "Gy.m2", "cGy.cm2")
    2000.0
    """
    found = units.convert(value, ours, unit)
    if found is None:
        raise UsageError(f"{ours} cannot be in {unit}.")
    return float(f"{found:.12g}")


def levels_of(own: Path | None) -> tuple[Level, ...]:
    """The levels of a site, and ours of countries that it has none of."""
    return _levels(own, own.stat().st_mtime_ns if own else 0)


@lru_cache(maxsize=8)
def _levels(own: Path | None, changed: int) -> tuple[Level, ...]:
    site = _read(own.name, sheets.of_site(own, "levels")) if own else []
    taken = {level.country for level in site}
    ours = _read("levels.csv", sheets.ours(_PACKAGE, "levels.csv"))
    return (*site, *(level for level in ours if level.country not in taken))


def _read(name: str, text: str) -> list[Level]:
    return [_level(place, row) for place, row in sheets.rows(name, text, COLUMNS, _NEEDED)]


def _level(place: str, row: dict[str, str]) -> Level:
    quantity, unit = row["quantity"], row["unit"]
    if quantity not in schemas.UNITS:
        raise UsageError(f"{place}: {quantity!r} is none of {', '.join(schemas.UNITS)}.")
    if units.convert(1.0, schemas.UNITS[quantity], unit) is None:
        raise UsageError(f"{place}: {quantity} cannot be in {unit!r}.")
    if row["per"] not in ("sequence", "examination"):
        raise UsageError(f"{place}: per is sequence or examination, not {row['per']!r}.")
    if row["phantom"] not in ("", "16", "32"):
        raise UsageError(f"{place}: the phantom is 16 or 32, not {row['phantom']!r}.")
    has_weight = row["weight_from"] or row["weight_to"]
    return Level(
        row["country"], row["protocol"], row["exam"], row["indication"],
        row["group"] or "adult",
        _span(place, row, "age", _ADULT if not row["group"] or row["group"] == "adult" else 0.0),
        _span(place, row, "weight", 0.0) if has_weight else None,
        quantity, row["per"], int(row["phantom"]) if row["phantom"] else None,
        number(place, "value", row["value"]), unit,
        day_of(place, row["valid_from"]), day_of(place, row["valid_to"]),
        row["source"], row["verification"],
    )  # fmt: skip


def _span(place: str, row: dict[str, str], name: str, low: float) -> tuple[float, float]:
    ends = []
    for end, default in (("from", low), ("to", 1000.0)):
        text = row[f"{name}_{end}"]
        try:
            ends.append(float(text) if text else default)
        except ValueError as error:
            raise UsageError(f"{place}: {name}_{end} {text!r} is no number.") from error
    if not 0 <= ends[0] < ends[1]:
        raise UsageError(f"{place}: {name}_from is not below {name}_to.")
    return ends[0], ends[1]
