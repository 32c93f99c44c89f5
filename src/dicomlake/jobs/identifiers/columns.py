"""Lists of one value per line, and tables with a head."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from dicomlake.errors import UsageError
from dicomlake.jobs.identifiers.found import KINDS, Found
from dicomlake.jobs.identifiers.lines import Lines

_NAMES = {
    "AccessionNumber": "accessionnumber accession accessionno accessionnr accessionnum accessionid "
    "acc accno accnr accnum accnumber acsn 00080050",
    "PatientID": "patientid patientidentifier patid pid mrn medicalrecordnumber patientnumber "
    "patientno 00100020",
    "StudyInstanceUID": "studyinstanceuid studyuid studyiuid studyinstanceuids 0020000d",
    "SeriesInstanceUID": "seriesinstanceuid seriesuid seriesiuid seriesinstanceuids 0020000e",
}
"""What a column may be called, in small letters without anything else."""
_KIND = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_DELIMITERS = "\t;,|"
_ROUNDED = re.compile(r"[0-9]([.,][0-9]+)?E\+[0-9]+", re.IGNORECASE)


def read(lines: Lines, found: Found) -> None:
    """Read a list, or a table when the first line that says something is a head."""
    delimiter = ""
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if separator := re.fullmatch("sep=(.)", line.strip(), re.IGNORECASE):
            delimiter = separator[1]
            continue
        if head := _head(line, delimiter):
            _table(lines, found, *head)
        else:
            _list(line, lines, found)
        return


def _list(first: str, lines: Lines, found: Found) -> None:
    if any(c in first for c in _DELIMITERS):
        raise UsageError(
            f"{lines.place} has several columns, but no head that names one of {', '.join(KINDS)}."
        )
    found.add_value(_unquoted(first), lines.place)
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            found.add_value(_unquoted(line), lines.place)


def _unquoted(line: str) -> str:
    value = line.strip()
    return value[1:-1].strip() if len(value) > 1 and value[0] == value[-1] == '"' else value


def _head(line: str, delimiter: str) -> tuple[list[str | None], str] | None:
    """The kinds of the columns (None: another one) and what is between them."""
    best: tuple[list[str | None], str] | None = None
    for candidate in delimiter or _DELIMITERS:
        kinds = [_kind(name) for name in next(csv.reader([line], delimiter=candidate))]
        known = sum(kind is not None for kind in kinds)
        if known and (best is None or known > sum(kind is not None for kind in best[0])):
            best = kinds, candidate
    return best


def _kind(name: str) -> str | None:
    return _KIND.get("".join(c for c in name.lower() if c.isalnum()))


def _table(lines: Lines, found: Found, kinds: list[str | None], delimiter: str) -> None:
    for kind in KINDS:
        if kinds.count(kind) > 1:
            raise UsageError(f"{lines.place} names {kind} twice. Remove or rename one column.")
    if found.kind is not None and found.kind not in kinds:
        raise UsageError(f"{lines.place} has no column {found.kind}.")
    for cells in _rows(lines, delimiter):
        if any(cell.strip() for cell in cells[len(kinds) :]):
            raise UsageError(f"{lines.place} has more cells than the head. Is a quote missing?")
        pairs = zip(kinds, cells, strict=False)
        row = {kind: _cell(cell, lines) for kind, cell in pairs if kind is not None}
        found.add_row(row, lines.place)


def _rows(lines: Lines, delimiter: str) -> Iterator[list[str]]:
    """Rows of cells; a quoted cell may go over several lines."""
    ended = (f"{line}\n" for line in lines)
    rows = csv.reader(ended, delimiter=delimiter, strict=True)
    try:
        yield from rows
    except csv.Error as error:
        raise UsageError(f"{lines.place} is no row of a table: {error}.") from error


def _cell(cell: str, lines: Lines) -> str:
    """A value as it was before a spreadsheet wrote it."""
    value = cell.strip()
    if len(value) > 2 and value.startswith('="') and value.endswith('"'):
        value = value[2:-1].strip()
    if _ROUNDED.fullmatch(value):
        raise UsageError(
            f"{lines.place}: a spreadsheet has rounded a number (E+). Export the column as text."
        )
    return value
