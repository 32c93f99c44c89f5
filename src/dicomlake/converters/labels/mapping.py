"""Mapping files of labels: which column says what, checked before a row is read.

converter: labels
to: measurements
identify: {AccessionNumber: Auftrag}
labels:
  - column: EF
    concept: [10230-1, LN, Left ventricular Ejection fraction]
    number: "%"
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dicomlake.converters.labels.tables import Layout
from dicomlake.dicom import dictionary
from dicomlake.errors import DicomlakeError, UsageError
from dicomlake.terms import Code, units

MEASUREMENTS, HISTORY, FACTS, QUALITY = "measurements", "history", "facts", "quality"
TARGETS = {
    MEASUREMENTS: "measurement reports (TID 1500), with references to images",
    HISTORY: "cardiovascular patient histories (TID 3802): devices, procedures, problems",
    FACTS: "clinical facts of the lake",
    QUALITY: "measurement reports (TID 1500) about a device",
}
SECTIONS = {
    "problems": Code("11450-4", "LN", "Problem List"),
    "procedures": Code("47519-4", "LN", "History of Procedures"),
    "devices": Code("46264-8", "LN", "History of medical device use"),
    "social": Code("29762-2", "LN", "Social History"),
}
"""Parts of a history."""
KINDS = ("condition", "procedure", "observation", "medication", "encounter")
"""Kinds of facts."""
SYSTEMS = {
    "OPS": ("OPS", re.compile(r"[1-9]-[0-9A-Z]{2}[0-9A-Z](\.[0-9A-Z]{1,2})?")),
    "ICD-10-GM": ("ICD10GM", re.compile(r"[A-Z][0-9]{2}(\.[0-9]{1,2}|\.-)?[*+!]?")),
    "ICD-10": ("I10", re.compile(r"[A-Z][0-9]{2}(\.[0-9]{1,2})?[*+]?")),
    "CCAM": ("CCAM", re.compile(r"[A-Z]{4}[0-9]{3}([- ][0-9]{1,2})?")),
    "SCT": ("SCT", re.compile(r"[0-9]{6,18}")),
    "LN": ("LN", re.compile(r"[0-9]{1,7}-[0-9]")),
    "ATC": ("ATC", re.compile(r"[A-Z]([0-9]{2}([A-Z]([A-Z]([0-9]{2})?)?)?)?")),
}
"""Code systems of cells: the Coding Scheme Designator, and what codes look like."""

SKIP = "skip"
_DEVICE = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "StationName")
_IDENTIFIES = (
    "PatientID",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "StudyDate",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    *_DEVICE,
)
_TOP = {
    "converter", "to", "title", "encoding", "separator", "sheet", "skip", "decimal", "dates",
    "identify", "constant", "labels", "images", "procedure", "identifier", "status",
}  # fmt: skip
_LABEL = {
    "column", "concept", "values", "number", "text", "codes", "section", "kind", "site",
    "laterality", "when", "date", "empty", "separator",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Label:
    """What one column says: one of `values`, a `number` with a unit, `text`, or `codes`.

    `values`: by text of a cell, None to skip it. `codes`: a name of SYSTEMS. `when`: a column and
    the text that it must have. `date`: the column that says when.
    """

    column: str
    concept: Code | None
    values: Mapping[str, Code | None] | None = None
    unit: Code | None = None
    text: bool = False
    codes: str = ""
    separator: str = ""
    section: str = "problems"
    kind: str = ""
    site: Code | None = None
    laterality: Code | None = None
    when: tuple[str, str] | None = None
    date: str = ""
    refuse_empty: bool = False

    def value_of(self, cell: str) -> Code | None:
        """What a cell says by the table of values; KeyError for one that is not in it."""
        assert self.values is not None
        if cell in self.values:
            return self.values[cell]
        folded = {said.casefold(): value for said, value in self.values.items()}
        return folded[cell.casefold()]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a mapping file says, checked.

    `identify`: column by keyword; `constant`: value by keyword. `images`: what happens to rows
    whose images are not there: "refuse", or "without".
    """

    to: str
    title: str
    layout: Layout
    identify: Mapping[str, str]
    constant: Mapping[str, str]
    labels: tuple[Label, ...]
    decimal: str = "."
    dates: tuple[str, ...] = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S")
    images: str = "refuse"
    procedure: Code = field(default=Code("363679005", "SCT", "Imaging procedure"))
    identifier: str = ""
    status: str = ""

    def columns(self) -> list[str]:
        """Every column that the mapping names."""
        found = list(self.identify.values())
        for label in self.labels:
            found += [label.column, label.date]
            found += [label.when[0]] if label.when else []
        return [name for name in dict.fromkeys([*found, self.identifier]) if name]

    def check_columns(self, there: Sequence[str]) -> None:
        """Nothing; UsageError for a column that the table has not."""
        for name in self.columns():
            if name not in there:
                near = difflib.get_close_matches(name, there, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise UsageError(
                    f"The table has no column {name!r}.{hint} It has: {', '.join(there)}."
                )


def spec_of(said: Mapping[str, Any]) -> Spec:
    """A mapping as it was read from YAML; UsageError names the place of a mistake.

    >>> spec_of({"to": "measurments"})
    Traceback (most recent call last):
    ...
    dicomlake.errors.UsageError: The mapping has a mistake at to: 'measurments' is none of \
measurements, history, facts, quality.
    """
    _known("", said, _TOP)
    to = _one_of("to", said.get("to"), TARGETS)
    labels = said.get("labels")
    if not isinstance(labels, list) or not labels:
        raise _wrong("labels", "name at least one label, each with its column")
    identify = _identify(said)
    found = tuple(_label(f"labels[{at}]", one, to) for at, one in enumerate(labels, 1))
    title = _text("title", said.get("title", TARGETS[to].partition(" (")[0].capitalize()))
    more: dict[str, Any] = {}
    if "dates" in said:
        more["dates"] = _dates(said["dates"])
    if "procedure" in said:
        more["procedure"] = _code("procedure", said["procedure"])
    return Spec(
        to,
        title,
        _layout(said),
        identify,
        _keywords("constant", said.get("constant", {})),
        found,
        decimal=_one_of("decimal", said.get("decimal", "."), (".", ",")),
        images=_one_of("images", said.get("images", "refuse"), ("refuse", "without")),
        identifier=_text("identifier", said.get("identifier", ""), empty=True),
        status=_text("status", said.get("status", ""), empty=True),
        **more,
    )


def _wrong(place: str, what: str) -> UsageError:
    return UsageError(f"The mapping has a mistake{f' at {place}' if place else ''}: {what}.")


def _known(place: str, said: Any, names: set[str]) -> None:
    if not isinstance(said, Mapping):
        raise _wrong(place, "it has to be names with values")
    for name in said:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise _wrong(place, f"there is no {str(name)!r}{hint}")


def _one_of(place: str, value: Any, names: Any) -> str:
    if value not in names:
        raise _wrong(place, f"{value!r} is none of {', '.join(names)}")
    return str(value)


def _text(place: str, value: Any, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise _wrong(place, f"{value!r} is no text; put it in quotes")
    return value


def _keywords(place: str, said: Any) -> dict[str, str]:
    if not isinstance(said, Mapping):
        raise _wrong(place, "it has to be keywords with values")
    found = {}
    for keyword, value in said.items():
        where = f"{place}.{keyword}"
        if keyword not in _IDENTIFIES:
            try:
                dictionary.tag_of(str(keyword))
            except DicomlakeError as error:
                raise _wrong(where, str(error).rstrip(".")) from error
            raise _wrong(where, f"only these can be told: {', '.join(_IDENTIFIES)}")
        found[str(keyword)] = _text(where, value)
    return found


def _identify(said: Mapping[str, Any]) -> dict[str, str]:
    found = _keywords("identify", said.get("identify", {}))
    told = {*found, *said.get("constant", {})}
    if said["to"] == QUALITY:
        if "DeviceSerialNumber" not in told and "StationName" not in told:
            raise _wrong("identify", "a device needs a column of DeviceSerialNumber or StationName")
    elif not told & {"PatientID", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID",
                     "SOPInstanceUID"}:  # fmt: skip
        raise _wrong("identify", "name the column of PatientID, AccessionNumber or a UID")
    return found


def _layout(said: Mapping[str, Any]) -> Layout:
    separator = _text("separator", said.get("separator", ""), empty=True)
    if len(separator) > 1:
        raise _wrong("separator", f"{separator!r} is more than one character")
    skip = said.get("skip", 0)
    if not isinstance(skip, int) or isinstance(skip, bool) or skip < 0:
        raise _wrong("skip", f"{skip!r} is no number of lines")
    return Layout(
        _text("encoding", said.get("encoding", ""), empty=True),
        separator,
        _text("sheet", said.get("sheet", ""), empty=True),
        skip,
    )


def _dates(said: Any) -> tuple[str, ...]:
    formats = [said] if isinstance(said, str) else said
    if not isinstance(formats, list) or not all(isinstance(f, str) and "%" in f for f in formats):
        raise _wrong("dates", "write formats such as '%d.%m.%Y'")
    return tuple(formats)


def _code(place: str, said: Any) -> Code:
    """A code as [value, scheme, meaning]."""
    if not (isinstance(said, list) and len(said) == 3):
        raise _wrong(place, "write a code as [value, scheme, meaning]")
    value, scheme, meaning = said
    if isinstance(value, bool | float) or not isinstance(value, str | int):
        raise _wrong(place, f"{value!r} is no code; put its value in quotes")
    for name, one, most in (("scheme", scheme, 16), ("meaning", meaning, 64)):
        if not isinstance(one, str) or not 0 < len(one.strip()) <= most:
            raise _wrong(place, f"{one!r} is no {name}: a text of up to {most} characters")
    return Code(str(value).strip(), scheme.strip(), meaning.strip())


def _label(place: str, said: Any, to: str) -> Label:
    _known(place, said, _LABEL)
    column = _text(f"{place}.column", said.get("column"))
    ways = [way for way in ("values", "number", "text", "codes") if way in said]
    if len(ways) != 1:
        raise _wrong(place, f"{column!r} needs one of values, number, text or codes")
    make = partial(_code, f"{place}.concept")
    concept = make(said["concept"]) if "concept" in said else None
    if concept is None and not (ways == ["codes"]):
        raise _wrong(f"{place}.concept", "say what the column is about: [value, scheme, meaning]")
    if concept is None and to in (MEASUREMENTS, QUALITY):
        raise _wrong(f"{place}.concept", "a report needs to say what the code is about")
    return Label(
        column,
        concept,
        _values(f"{place}.values", said["values"]) if "values" in said else None,
        _unit(f"{place}.number", said["number"]) if "number" in said else None,
        text=_true(f"{place}.text", said.get("text", False)),
        codes=_one_of(f"{place}.codes", said["codes"], SYSTEMS) if "codes" in said else "",
        separator=_text(f"{place}.separator", said.get("separator", ""), empty=True),
        section=_one_of(f"{place}.section", said.get("section", "problems"), SECTIONS),
        kind=_one_of(f"{place}.kind", said.get("kind", _kind_of(said)), KINDS),
        site=_code(f"{place}.site", said["site"]) if "site" in said else None,
        laterality=_code(f"{place}.laterality", said["laterality"]) if "laterality" in said else
        None,
        when=_when(f"{place}.when", said["when"]) if "when" in said else None,
        date=_text(f"{place}.date", said.get("date", ""), empty=True),
        refuse_empty=_one_of(f"{place}.empty", said.get("empty", SKIP), (SKIP, "refuse"))
        == "refuse",
    )  # fmt: skip


def _kind_of(said: Mapping[str, Any]) -> str:
    """What a code of a system usually is."""
    return {"OPS": "procedure", "CCAM": "procedure", "ICD-10-GM": "condition",
            "ICD-10": "condition", "ATC": "medication"}.get(str(said.get("codes")),
                                                            "observation")  # fmt: skip


def _true(place: str, said: Any) -> bool:
    if not isinstance(said, bool):
        raise _wrong(place, f"{said!r} is neither true nor false")
    return said


def _unit(place: str, said: Any) -> Code:
    """A unit of UCUM; "1" for numbers without one."""
    unit = str(said) if isinstance(said, int) and not isinstance(said, bool) else _text(place, said)
    known = units.ucum(unit)
    if known is None:
        raise _wrong(place, f"{unit!r} is no unit of UCUM, such as mm, %, mL or 1")
    return Code(known, "UCUM", "no units" if known == "1" else known)


def _values(place: str, said: Any) -> dict[str, Code | None]:
    if not isinstance(said, Mapping) or not said:
        raise _wrong(place, "write a table: text of the cell, and its code or skip")
    found: dict[str, Code | None] = {}
    for text, value in said.items():
        if isinstance(text, bool):
            word = "yes, true or on" if text else "no, false or off"
            raise _wrong(place, f"YAML takes {word} for more than a word; put it in quotes")
        found[str(text)] = None if value == SKIP else _code(f"{place}.{text}", value)
    return found


def _when(place: str, said: Any) -> tuple[str, str]:
    if not (isinstance(said, Mapping) and len(said) == 1):
        raise _wrong(place, "write one column and the text that it must have")
    ((column, value),) = said.items()
    return _text(place, column), str(value)
