"""Labels in tables: CSV, TSV and XLSX become reports or clinical facts, as a mapping file says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from dicomlake.contracts.converters import Asked, Converted, Original, Piece
from dicomlake.converters.labels.facts import facts
from dicomlake.converters.labels.mapping import FACTS, Spec, spec_of
from dicomlake.converters.labels.reading import Read, read
from dicomlake.converters.labels.reports import Reports
from dicomlake.converters.labels.tables import Row, is_text, is_workbook, opened
from dicomlake.errors import DataError, UsageError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["LabelsConverter", "Preview", "Spec", "preview", "spec_of"]

Preview = list[tuple[int, str, list[str]]]
"""Rows of a preview: number, what is wrong ("" for nothing), and what it becomes in words."""


REPORTS_AT_ONCE, FACTS_AT_ONCE = 1000, 20_000
"""Rows of a table that become a part: a report has 60 kB in memory."""


class LabelsConverter:
    """Makes reports or facts of rows of tables; registered as the converter `labels`."""

    name = "labels"
    about = "tables of labels, quality assurance and procedure codes, by a mapping file"
    formats: Mapping[str, str] = {
        "csv": "table of values with a separator (CSV, TSV), with a mapping file",
        "xlsx": "workbook (XLSX), with a mapping file",
    }
    version = "1"

    def __init__(self, reports_at_once: int = REPORTS_AT_ONCE) -> None:
        self._at_once = reports_at_once

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
        whole = Converted()
        for part in self.parts(original, asked):
            for name in ("objects", "facts", "notes", "refused"):
                getattr(whole, name).extend(getattr(part, name))
            whole.origins |= part.origins
        return whole

    def parts(self, original: Original, asked: Asked) -> Iterator[Converted]:
        """As of `InPieces`: what some rows at a time become."""
        spec = _spec(asked)
        names, rows = opened(original.data, spec.layout)
        spec.check_columns(names)
        for _ in rows:  # a row that nobody can read refuses the table before anything is made
            pass
        _, rows = opened(original.data, spec.layout)
        most = FACTS_AT_ONCE if spec.to == FACTS else self._at_once
        yield from _parts(spec, asked, rows, most)

    def without(
        self,
        original: Original,
        asked: Asked,
        gone: Callable[[Piece], bool],
        clean: Callable[[str], str],
    ) -> tuple[bytes, int]:
        """As of `InPieces`: the table without some rows, in whose place empty ones stand."""
        from dicomlake.converters.labels.rewriting import without

        return without(original.data, _spec(asked), asked.header, gone, clean)


def _spec(asked: Asked) -> Spec:
    if "labels" not in asked.mapping:
        raise DataError("a table needs a mapping file that says what its columns are: --mapping")
    return spec_of(asked.mapping)


def _parts(spec: Spec, asked: Asked, rows: Iterable[Row], most: int) -> Iterator[Converted]:
    first, any_, found = "", False, Converted()
    reports = Reports(spec, asked)
    for at, row in enumerate(rows):
        if at and at % most == 0:
            yield found
            found = Converted()
        try:
            _take(spec, reports, read(spec, row, asked.header), found)
        except DataError as error:
            found.refused.append(f"row {row.number}: {error}")
            first = first or found.refused[-1]
        any_ = any_ or bool(found.objects or found.facts)
    if first and not any_:
        raise DataError(f"no row can be taken; {first}")
    yield found


def _take(spec: Spec, reports: Reports, row: Read, found: Converted) -> None:
    if spec.to == FACTS:
        made = list(facts(spec, row))
        found.facts += made
        empty = not made
    else:
        report = reports.report(row)
        if report is not None:
            found.objects.append(report)
            found.origins[str(report.SOPInstanceUID)] = f"row {row.number}"
        empty = report is None
    if empty:
        found.notes.append("rows without a label")


def preview(original: Original, asked: Asked, count: int = 5) -> Preview:
    """What the first rows become, in words that quote the table; UsageError for the mapping."""
    spec = spec_of(asked.mapping)
    names, rows = opened(original.data, spec.layout)
    spec.check_columns(names)
    reports = Reports(spec, asked)
    return [_previewed(spec, reports, row, asked) for row in islice(rows, count)]


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
