"""One row read by a mapping: whose it is, when, and what its labels say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from dicomlake.converters.labels.mapping import SYSTEMS, Label, Spec
from dicomlake.converters.labels.tables import Row
from dicomlake.errors import DataError
from dicomlake.terms import Code

_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*", re.ASCII)
_LONGEST = {"PatientID": 64, "IssuerOfPatientID": 64, "AccessionNumber": 16, "StationName": 16,
            "PatientSex": 16}  # fmt: skip
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?", re.ASCII)
_SEXES = {
    "m": "M",
    "male": "M",
    "f": "F",
    "female": "F",
    "w": "F",
    "o": "O",
    "other": "O",
    "d": "O",
}

Value = Code | float | str


@dataclass(frozen=True, slots=True)
class Said:
    """What a label says in a row: a code, a number with the unit of the label, or a text.

    `when` is of the label where it has a date of its own, else of the row; `exact`: with a time.
    """

    label: Label
    value: Value
    when: datetime | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """A row: `who` are attributes by keyword that the row or the mapping tells."""

    number: int
    who: Mapping[str, str]
    when: datetime | None
    exact: bool
    said: tuple[Said, ...]
    identifier: str = ""


def read(spec: Spec, row: Row, header: Mapping[str, str]) -> Read:
    """A row by a mapping; DataError names the column and never the value.

    `header`: attributes for what neither the row nor the mapping says.
    """
    who = {**header, **spec.constant}
    for keyword, column in spec.identify.items():
        if value := row.cells[column]:
            who[keyword] = _checked(keyword, column, value)
    when, exact = _when(spec, who.pop("StudyDate", ""), spec.identify.get("StudyDate", ""))
    if birth := who.get("PatientBirthDate"):
        born, _ = _when(spec, birth, spec.identify.get("PatientBirthDate", ""))
        who["PatientBirthDate"] = f"{born:%Y%m%d}"
    said = tuple(one for label in spec.labels for one in _said(spec, row, label, when, exact))
    identifier = row.cells[spec.identifier] if spec.identifier else ""
    return Read(row.number, who, when, exact, said, identifier)


def _checked(keyword: str, column: str, value: str) -> str:
    if keyword.endswith("UID"):
        if not _UID.fullmatch(value):
            raise DataError(f"column {column!r} has no UID")
    elif keyword == "PatientSex":
        if value.casefold() not in _SEXES:
            raise DataError(f"column {column!r} has no PatientSex: M, F or O")
        return _SEXES[value.casefold()]
    elif "\\" in value or len(value) > _LONGEST.get(keyword, 64):
        raise DataError(f"column {column!r} has a value that {keyword} cannot have")
    return value


def _when(spec: Spec, value: str, column: str) -> tuple[datetime | None, bool]:
    if not value:
        return None, False
    for form in spec.dates:
        try:
            found = datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return found, "%H" in form
    raise DataError(
        f"column {column!r} has a date in none of the formats {', '.join(spec.dates)}"
        if column
        else "a date that is told for all rows is in none of the formats of the mapping"
    )


def _said(spec: Spec, row: Row, label: Label, when: datetime | None, exact: bool) -> Iterator[Said]:
    if label.when and row.cells[label.when[0]].casefold() != label.when[1].casefold():
        return
    cell = row.cells[label.column]
    if not cell and not (label.values is not None and "" in label.values):
        if label.refuse_empty:
            raise DataError(f"column {label.column!r} is empty")
        return
    if label.date:
        when, exact = _when(spec, row.cells[label.date], label.date)
    for value in _values(spec, label, cell):
        yield Said(label, value, when, exact)


def _values(spec: Spec, label: Label, cell: str) -> Iterator[Value]:
    if label.values is not None:
        try:
            value = label.value_of(cell)
        except KeyError:
            raise DataError(
                f"column {label.column!r} has a value that the mapping does not name"
            ) from None
        if value is not None:
            yield value
    elif label.unit is not None:
        yield number_of(cell, spec.decimal, label.column)
    elif label.codes:
        yield from _codes(label, cell)
    else:
        yield cell


def number_of(cell: str, decimal: str, column: str) -> float:
    """A number as people write it, with their decimal sign and without signs for thousands.

    >>> number_of("55,5", ",", "EF")
    55.5
    """
    plain = cell.replace(" ", "").replace("\xa0", "")
    if decimal == ",":
        if "." in plain and "," not in plain:
            raise DataError(f"column {column!r} has a point, and numbers have a comma here")
        plain = plain.replace(".", "").replace(",", ".") if "," in plain else plain
    if not _NUMBER.fullmatch(plain):
        raise DataError(f"column {column!r} has no number")
    return float(plain)


def _codes(label: Label, cell: str) -> Iterator[Code]:
    scheme, looks = SYSTEMS[label.codes]
    cells = cell.split(label.separator) if label.separator else [cell]
    for one in cells:
        value = one.strip()
        if not value:
            continue
        if not looks.fullmatch(value.upper()):
            raise DataError(f"column {label.column!r} has something that is no code of "
                            f"{label.codes}")  # fmt: skip
        value = value.lower() if label.codes == "OPS" else value.upper()  # as they are published
        yield Code(value, scheme, value)
