"""DICOM JSON of a service (PS3.18 Annex F): headers as objects have them, and rows of answers."""

from __future__ import annotations

from typing import Any

from dicomlake.dicom import dictionary

ADDED = ("00080054", "00080056", "00081190", "00083002", "0040E010")
"""What services add to the headers of objects: where and how these can be had (PS3.18 8.3, 10.4).

Retrieve AE Title, Instance Availability, Retrieve URL, Available Transfer Syntax UID, Retrieve URI.
"""
_SYNTAX, _AVAILABLE, _CHARSET = "00020010", "00083002", "00080005"
_UNPARTED = ("ST", "LT", "UT", "UR")
"""VRs of which there is one value, in which a backslash is one (PS3.5 6.2)."""
SOP_INSTANCE = "00080018"


def cleaned(header: dict[str, Any]) -> dict[str, Any]:
    """The header of an object without what the service added.

    TransferSyntaxUID is taken from AvailableTransferSyntaxUID when that names a single one.
    """
    available = (header.get(_AVAILABLE) or {}).get("Value") or []
    found = {tag: element for tag, element in header.items() if tag.upper() not in ADDED}
    if len(available) == 1 and isinstance(available[0], str) and _SYNTAX not in found:
        found = {_SYNTAX: {"vr": "UI", "Value": available}, **found}
    charset = (header.get(_CHARSET) or {}).get("Value") or []
    return _parted(found) if any("IR 13" in str(label) for label in charset) else found


def _parted(item: dict[str, Any]) -> dict[str, Any]:
    """An item with values parted that a service took for one.

    In ISO_IR 13 the backslash between values is the code of the yen sign; some services, Orthanc
    1.10 among them, decode first and part then.
    """
    return {
        tag: _parted_element(element) if isinstance(element, dict) else element
        for tag, element in item.items()
    }


def _parted_element(element: dict[str, Any]) -> dict[str, Any]:
    values = element.get("Value")
    if not isinstance(values, list):
        return element
    if element.get("vr") == "SQ":
        return {**element, "Value": [_parted(v) if isinstance(v, dict) else v for v in values]}
    if len(values) != 1 or not isinstance(values[0], str) or element.get("vr") in _UNPARTED:
        return element
    return {**element, "Value": values[0].split("\u00a5")}


def uid_of(header: dict[str, Any], tag: str = SOP_INSTANCE) -> str:
    """A UID in DICOM JSON, "" when it is not there."""
    element = header.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0].strip(" \0") if values and isinstance(values[0], str) else ""


def row_of(item: dict[str, Any]) -> dict[str, str]:
    """One answer of a query as text by keyword; private and unknown tags and items are left out.

    >>> row_of({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Phonetic": "C"}]}})
    {'PatientName': 'A^B==C'}
    """
    found: dict[str, str] = {}
    for tag, element in item.items():
        try:
            entry = dictionary.entry_of(int(tag, 16))
        except ValueError:
            continue
        if entry and entry[4] and isinstance(element, dict) and element.get("vr") != "SQ":
            values = element.get("Value")
            listed = values if isinstance(values, list) else []
            found[entry[4]] = "\\".join(map(_text, listed))
    return found


def _text(value: Any) -> str:
    if isinstance(value, dict):
        groups = (value.get(group) for group in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(g if isinstance(g, str) else "" for g in groups).rstrip("=")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return "" if value is None else str(value).strip(" \0")
