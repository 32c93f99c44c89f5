"""Rows of `items` for the tests of dose, until the reader of reports makes them."""

from __future__ import annotations

from typing import Any

from dicomlake.contracts import Contents, coded
from dicomlake.dicom import dictionary
from dicomlake.dicom.values import moment_of, number_of
from dicomlake.terms import Code


def _values(item: dict[str, Any], keyword: str) -> list[Any]:
    return item.get(f"{dictionary.tag_of(keyword):08X}", {}).get("Value") or []


def _first(item: dict[str, Any], keyword: str) -> Any:
    return next(iter(_values(item, keyword)), None)


def _code(item: dict[str, Any], keyword: str) -> Code | None:
    found = _first(item, keyword)
    if not found:
        return None
    value, scheme = _first(found, "CodeValue"), _first(found, "CodingSchemeDesignator")
    return Code(str(value or ""), str(scheme or ""), str(_first(found, "CodeMeaning") or ""))


def _walk(item: dict[str, Any], parent: dict[str, Any] | None, contents: Contents) -> None:
    columns: dict[str, Any] = {}
    value_type = str(_first(item, "ValueType") or "")
    if value_type == "NUM" and (measured := _first(item, "MeasuredValueSequence")):
        texts = [str(v) for v in _values(measured, "NumericValue")]
        numbers = [n for t in texts if (n := number_of(t)) is not None]
        columns = coded("unit", _code(measured, "MeasurementUnitsCodeSequence"))
        columns |= {"number": numbers[0] if numbers else None, "number_sent": "\\".join(texts)}
        if len(numbers) > 1:
            columns["numbers"] = numbers
    elif value_type == "CODE":
        columns = coded("code", _code(item, "ConceptCodeSequence"))
    elif value_type in ("TEXT", "UIDREF", "DATETIME"):
        keyword = {"TEXT": "TextValue", "UIDREF": "UID", "DATETIME": "DateTime"}[value_type]
        columns = {"text": _first(item, keyword)}
        if value_type == "DATETIME":
            columns["moment"] = moment_of(str(columns["text"]), "DT")
    row = contents.item(parent, _code(item, "ConceptNameCodeSequence"), value_type, **columns)
    for child in _values(item, "ContentSequence"):
        _walk(child or {}, row, contents)


class ProvisionalReader:
    name = "report"

    def read(self, header: dict[str, Any], contents: Contents) -> None:
        if f"{dictionary.tag_of('ContentSequence'):08X}" in header:
            _walk(header, None, contents)
