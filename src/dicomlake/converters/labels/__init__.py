"""Labels in tables: CSV, TSV and XLSX become reports or clinical facts, as a mapping file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dicomlake.contracts.converters import Asked, Converted, Original
from dicomlake.converters.labels.facts import facts
from dicomlake.converters.labels.mapping import FACTS, Spec, spec_of
from dicomlake.converters.labels.reading import Read, read
from dicomlake.converters.labels.reports import Reports
from dicomlake.converters.labels.tables import Row, is_text, is_workbook, rows_of
from dicomlake.errors import DataError, UsageError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["LabelsConverter", "Preview", "Spec", "preview", "spec_of"]

Preview = list[tuple[int, str, list[str]]]
"""Rows of a preview: number, what is wrong ("" for nothing), and what it becomes in words."""


MOST_REPORTS = 20_000
"""Rows of a table that become reports are held in memory together, 60 kB each."""


class LabelsConverter:
    """Makes reports or facts of rows of tables; registered as the converter `labels`."""

    name = "labels"
    about = "tables of labels, quality assurance and procedure codes, by a mapping file"
    formats: Mapping[str, str] = {
        "csv": "table of values with a separator (CSV, TSV), with a mapping file",
        "xlsx": "workbook (XLSX), with a mapping file",
    }
    version = "1"

    def format_of(self, original: Original, asked: Asked) -> str:
        """As of `Converter`: a table, if there is a mapping that says what its columns are."""
        if is_workbook(original.data):
            return "xlsx"
        ours = asked.mapping.get("converter") == self.name
        if is_text(original.data) and (ours or original.suffix in (".csv", ".tsv")):
            return "csv"
        return ""

    def convert(self, original: Original, asked: Asked) -> Converted:
        """As of `Converter`: a report for each row, or its facts; rows that are wrong are said."""
        if "labels" not in asked.mapping:
            raise DataError(
                "a table needs a mapping file that says what its columns are: --mapping"
            )
        spec = spec_of(asked.mapping)
        names, rows = rows_of(original.data, spec.layout)
        spec.check_columns(names)
        if spec.to != FACTS and len(rows) > MOST_REPORTS:
            raise DataError(f"the table has more than {MOST_REPORTS:,} rows: split it")
        found = Converted()
        reports = Reports(spec, asked)
        for row in rows:
            try:
                _take(spec, reports, read(spec, row, asked.header), found)
            except DataError as error:
                found.refused.append(f"row {row.number}: {error}")
        if found.refused and not (found.objects or found.facts):
            raise DataError(f"no row can be taken; {found.refused[0]}")
        return found


def _take(spec: Spec, reports: Reports, row: Read, found: Converted) -> None:
    if spec.to == FACTS:
        made = list(facts(spec, row))
        found.facts += made
        empty = not made
    else:
        report = reports.report(row)
        found.objects += [] if report is None else [report]
        empty = report is None
    if empty:
        found.notes.append("rows without a label")


def preview(original: Original, asked: Asked, count: int = 5) -> Preview:
    """What the first rows become, in words that quote the table; UsageError for the mapping."""
    spec = spec_of(asked.mapping)
    names, rows = rows_of(original.data, spec.layout)
    spec.check_columns(names)
    reports = Reports(spec, asked)
    return [_previewed(spec, reports, row, asked) for row in rows[:count]]


def _previewed(spec: Spec, reports: Reports, row: Row, asked: Asked) -> tuple[int, str, list[str]]:
    found = Converted()
    try:
        said = read(spec, row, asked.header)
        _take(spec, reports, said, found)
    except (DataError, UsageError) as error:
        return row.number, str(error), []
    lines = [_line(one) for report in found.objects for one in _leaves(report)]
    lines += [
        f"{fact['kind']} {fact.get('code', '')} {_value(fact)}".strip() for fact in found.facts
    ]
    return row.number, "", lines


def _leaves(item: Dataset) -> list[Dataset]:
    return [leaf for child in item.get("ContentSequence", ())
            for leaf in ([child] if "ContentSequence" not in child else _leaves(child))
            if leaf.ValueType in ("NUM", "CODE", "TEXT") and leaf.RelationshipType == "CONTAINS"
            ]  # fmt: skip


def _line(item: Dataset) -> str:
    concept = item.ConceptNameCodeSequence[0].CodeMeaning
    if item.ValueType == "NUM":
        said = item.MeasuredValueSequence[0]
        unit = said.MeasurementUnitsCodeSequence[0].CodeValue
        return f"{concept} = {said.NumericValue} {unit}"
    if item.ValueType == "CODE":
        return f"{concept} = {item.ConceptCodeSequence[0].CodeMeaning}"
    return f"{concept} = {item.TextValue}"


def _value(fact: Mapping[str, Any]) -> str:
    if "number" in fact:
        return f"= {fact['number']:g} {fact['unit']}"
    if "value" in fact:
        return f"= {fact['value_meaning']}"
    return "" if fact.get("code_meaning") else str(fact["text"])
