"""What a report of dose says: facts, notes, and sheets of rows with units in their heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.jobs.access.masking import identifying
from dicomlake.jobs.dose.overview import Overview
from dicomlake.jobs.dose.schemas import SHOWN, unit_of
from dicomlake.query import Node, render
from dicomlake.query.nodes import paths_of
from dicomlake.version import __version__

Cell = str | float | int | date | bool | None

NOTES = (
    "Effective dose is an estimate for a reference person, by the set of factors named above. It "
    "is no patient's dose and does not tell a patient's risk. Sets of factors are never mixed.",
    "Reference levels are compared with medians of groups of enough patients, never with one "
    "patient. \"Too few\" is no verdict.",
    "CTDIvol is never added, and not compared over two phantoms. Phantoms and tests do not count "
    "unless the report says so.",
)  # fmt: skip
_MONTHLY = "month"
"""What stands for a day where patients are not named."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of a report. `name`: short, of a sheet of a workbook; `whole`: too long for pages."""

    name: str
    title: str
    about: str
    heads: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A whole report."""

    title: str
    facts: list[tuple[str, str]]
    notes: tuple[str, ...]
    sheets: list[Sheet] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """A sheet and the columns of its table: those of patients only where patients are named."""

    table: str
    name: str
    title: str
    about: str
    columns: str
    personal: str = ""
    whole: bool = False
    only_named: bool = False


_PARTS = (
    _Part("totals", "Totals", "What studies add up to", "Per quantity: studies, patients, sum and "
          "spread of studies.",
          "kind quantity unit studies patients total median q1 q3 smallest largest"),
    _Part("levels", "Levels", "Protocols and devices beside reference levels",
          "Medians of standard patients, one value of each, by protocol and device.",
          "standard_protocol device quantity unit per phantom group n median q1 q3 country level "
          "ratio verdict indication excluded source"),
    _Part("distributions", "Protocols", "How events spread by protocol",
          "Events with a value above 0, whatever the size of the patient.",
          "kind standard_protocol quantity unit phantom n patients median q1 q3 smallest largest"),
    _Part("alarms", "Alarms", "Alarms", "Rules with limits, and what became of their alarms.",
          "StudyDate rule quantity value limit unit per days device standard_protocol state",
          "PatientID AccessionNumber StudyInstanceUID reason who"),
    _Part("outliers", "Outliers", "Events that stand out",
          "By robust z of the logarithm within device model, protocol and size of the patient; n: "
          "events of the group.",
          "StudyDate device standard_protocol size_bin quantity value unit median z n tail why",
          "PatientID AccessionNumber StudyInstanceUID"),
    _Part("trends", "Trends", "Devices and their software",
          "Medians by software; change: median by that of the software before.",
          "device standard_protocol quantity unit SoftwareVersions first last n median change",
          whole=True),
    _Part("patients", "Patients", "Patients", "Highest sum of any window, and of the one that ends "
          "now.",
          "PatientID IssuerOfPatientID studies first last DLP_highest DLP_now DAP_highest DAP_now "
          "RP_highest RP_now AGD_right_total AGD_left_total effective_dose_highest "
          "effective_dose_now", only_named=True),
    _Part("studies", "Studies", "Studies", "What counts of each study.",
          "PatientID StudyDate AccessionNumber StudyInstanceUID device kinds standard_protocols "
          "events CTDIvol_head CTDIvol_body DLP DAP RP fluoro_time AGD_right AGD_left activity "
          "peak_skin_dose effective_dose", only_named=True, whole=True),
    _Part("months", "Months", "Month by month", "Sum and median of the studies of a month.",
          "month kind quantity unit studies total median", whole=True),
    _Part("protocols", "Names", "Standard names of protocols", "Protocols as sent, and the name "
          "that a rule gives them.",
          "kind ManufacturerModelName protocol region_meaning standard_protocol rule events "
          "studies", whole=True),
    _Part("missing", "Missing", "What is missing, left out or contradicted", "Reasons, and how "
          "often.", "what of n whole"),
)  # fmt: skip


def told(
    asked: Overview, version: int | None, *, with_patients: bool = False, ticket: object = None
) -> Told:
    """What a report says; without what points at patients unless they are to be named."""
    events = asked.table("events", ticket)
    sheets = [
        _sheet(asked.table(part.table, ticket), part, with_patients)
        for part in _PARTS
        if with_patients or not part.only_named
    ]
    facts = list(_facts(asked, events, version, with_patients))
    return Told("Radiation dose", facts, NOTES, sheets)


def _facts(
    asked: Overview, events: pa.Table, version: int | None, with_patients: bool
) -> Iterator[tuple[str, str]]:
    studies = asked.table("studies")
    options = asked.options
    days = [day for day in studies.column("StudyDate").to_pylist() if day is not None]
    yield "Period", f"{min(days)} to {max(days)}" if days else "no study has a day"
    yield "Of", _question(asked.where, with_patients)
    people = pc.count_distinct(studies.column("patient_key")).as_py()
    yield (
        "Counted",
        f"{events.num_rows:,} irradiation events of {studies.num_rows:,} studies of "
        f"{people:,} patients",
    )
    nobody = asked.table("everything").num_rows - events.num_rows
    counted = " (they count)" if options.include_not_patient else f": {nobody:,} events left out"
    yield "Phantoms and tests", counted.strip(": ").strip()
    weightings = {w for w in studies.column("tissue_weighting").to_pylist() if w}
    said = f" ({', '.join(sorted(weightings))})" if weightings else ""
    yield "Effective dose", f"set of factors {options.factor_set}{said}"
    yield "Groups", f"{options.least} patients or events at least"
    yield "Patients", "named" if with_patients else "not named; days are months"
    lake = "" if version is None else f", version {version} of the lake"
    made = datetime.now(UTC).isoformat(timespec="minutes").replace("+00:00", " UTC")
    yield "Made", f"{made} by dicomlake {__version__}{lake}"


def _question(where: Node | None, with_patients: bool) -> str:
    """The question in words of the query, unless it points at patients."""
    if where is None:
        return "all studies with dose"
    if not with_patients and any(map(identifying, paths_of(where))):
        return "a question that points at patients, which is not repeated here"
    return f"studies that meet: {render(where)}"


def _sheet(found: pa.Table, part: _Part, with_patients: bool) -> Sheet:
    names = part.columns.split() + (part.personal.split() if with_patients else [])
    heads = []
    for name in names:
        unit = unit_of(found.schema.field(name))
        shown = SHOWN.get(unit, (unit, 1.0))[0]
        heads.append(
            f"{_head(name, with_patients)} [{shown}]" if unit else _head(name, with_patients)
        )
    rows = [tuple(_cells(row, names, found.schema, with_patients)) for row in found.to_pylist()]
    return Sheet(part.name, part.title, part.about, tuple(heads), rows, part.whole)


_HEADS = {
    "standard_protocol": "protocol", "q1": "first quartile", "q3": "third quartile",
    "size_bin": "size", "what": "reason", "whole": "of how many",
}  # fmt: skip


def _head(name: str, with_patients: bool) -> str:
    if name == "StudyDate" and not with_patients:
        return _MONTHLY
    return _HEADS.get(name, name if name[:1].isupper() else name.replace("_", " "))


def _cells(
    row: Mapping[str, Any], names: Sequence[str], schema: pa.Schema, with_patients: bool
) -> Iterator[Cell]:
    by = SHOWN.get(row.get("unit") or "", ("", 1.0))[1]
    for name in names:
        value = row[name]
        if name == "unit" and value in SHOWN:
            value = SHOWN[value][0]
        elif isinstance(value, float):
            own = unit_of(schema.field(name))
            value *= SHOWN.get(own, ("", 1.0))[1] if own else by if name in _SCALED else 1.0
        elif isinstance(value, list):
            value = "; ".join(map(str, value))
        elif name == "StudyDate" and value is not None and not with_patients:
            value = f"{value:%Y-%m}"
        yield value


_SCALED = frozenset("total median q1 q3 smallest largest low high level value limit".split())
"""Columns whose unit stands in the row."""


def words(value: Cell) -> str:
    """A cell as people read it.

    >>> words(1234.5678), words(0.000123456), words(None), words(12)
    ('1,234.57', '0.000123', '', '12')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value and abs(value) < 0.01:
            return f"{value:.3g}"
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return str(value)
