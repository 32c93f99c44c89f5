"""The tables of the Standard that say what happens to which attribute; see data/README.md."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from dicomlake.dicom import dictionary
from dicomlake.terms.sheets import ours

OPTIONS = {
    "pixels": "113101",
    "visual-features": "113102",
    "graphics": "113103",
    "structured-content": "113104",
    "descriptors": "113105",
    "full-dates": "113106",
    "modified-dates": "113107",
    "patient-characteristics": "113108",
    "device": "113109",
    "uids": "113110",
    "safe-private": "113111",
    "institution": "113112",
}
"""The options of the Basic Profile, with their codes (PS3.16 CID 7050)."""
BASIC = "113100"
"""Code of the Basic Profile."""
CURVES, OVERLAYS, PRIVATE = 0x50000000, 0x60003000, 0x00010000
"""Where the rows of repeating groups and of all private attributes are in `rows`."""
COMMENTS = 0x60004000
"""Overlay Comments of every repeating group."""

_COLUMNS = {
    "retain_safe_private": "safe-private",
    "retain_uids": "uids",
    "retain_device_identity": "device",
    "retain_institution_identity": "institution",
    "retain_patient_characteristics": "patient-characteristics",
    "retain_long_full_dates": "full-dates",
    "retain_long_modified_dates": "modified-dates",
    "clean_descriptors": "descriptors",
    "clean_structured_content": "structured-content",
    "clean_graphics": "graphics",
}
_PATTERNS = {"(50XX,XXXX)": CURVES, "(60XX,3000)": OVERLAYS, "(60XX,4000)": COMMENTS}
_PRIVATE = re.compile(r"\(([0-9A-Fa-f]{4}),xx([0-9A-Fa-f]{2})\)")

Private = tuple[int, str, int]
"""Group, creator and last byte of the element of a private attribute."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of PS3.15 Table E.1-1: the action of the Basic Profile, and those of the options."""

    tag: str
    name: str
    vr: str
    basic: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Disposition:
    """What an archive does with a private attribute: VR, name, and one letter."""

    vr: str
    name: str
    letter: str


def _read(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ours("dicomlake.deid.data", name))))


@cache
def rows() -> dict[int, Row]:
    """The rows of Table E.1-1 by tag.

    >>> rows()[0x00100040].basic, rows()[0x00100040].options
    ('Z', {'patient-characteristics': 'K'})
    """
    found = {}
    for one in _read("ps315_e1_1.csv"):
        tag = one["tag"]
        options = {name: one[column] for column, name in _COLUMNS.items() if one[column]}
        row = Row(tag, one["name"], one["vr"], one["basic_profile"], options)
        if tag in _PATTERNS:
            found[_PATTERNS[tag]] = row
        elif "odd" in tag:
            found[PRIVATE] = row
        else:
            found[int(tag[1:5] + tag[6:10], 16)] = row
    return found


@cache
def safe() -> dict[Private, str]:
    """VRs of the private attributes that the Standard calls safe (PS3.15 Table E.3.10-1).

    >>> safe()[0x7053, "Philips PET Private Group", 0]
    'DS'
    """
    found = {}
    for one in _read("safe_private.csv"):
        if m := _PRIVATE.fullmatch(one["tag"]):
            found[int(m[1], 16), one["private_creator"].strip(), int(m[2], 16)] = one["vr"]
    return found


@cache
def dispositions() -> dict[Private, Disposition]:
    """What The Cancer Imaging Archive does with private attributes, the strictest where it differs.

    k: keep, h: another UID, o: move a date; every other one is removed.
    """
    found: dict[Private, Disposition] = {}
    for one in _read("tcia_private_dispositions.csv"):
        try:
            key = int(one["group"], 16), one["private_creator"].strip(), int(one["element"], 16)
        except ValueError:
            continue
        letter = one["disposition"].strip().lower()
        letter = letter if letter in ("k", "h", "o") else "d"
        if key not in found or letter == "d":
            found[key] = Disposition(one["vr"], one["name"], letter)
        elif found[key].letter != letter:
            found[key] = Disposition(one["vr"], one["name"], "d")
    return found


@cache
def concepts() -> dict[str, str]:
    """Meanings of the codes of profile and options (PS3.16 CID 7050)."""
    return {one["code"]: one["meaning"] for one in _read("cid7050.csv")}


@cache
def _types() -> tuple[dict[str, int], dict[str, dict[int, int]]]:
    table = json.loads(ours("dicomlake.deid.data", "types.json"))
    types = {
        path: {number: int(type_) for type_, numbers in of.items() for number in numbers}
        for path, of in table["types"].items()
    }
    return table["classes"], types


def type_of(SOPClassUID: str, path: str) -> int:
    """Type of an attribute in the IOD of a SOP class: 1, 2 or 3; 0 when nobody knows it.

    Conditions count as met (1C as 1), and of several modules the strictest counts.

    >>> type_of("1.2.840.10008.5.1.4.1.1.2", "PatientID"), type_of("1.2.3", "PatientID")
    (2, 0)
    """
    classes, types = _types()
    number = classes.get(SOPClassUID)
    return 0 if number is None else types.get(path, {}).get(number, 0)


def row_of(tag: int) -> Row | None:
    """The row of a public attribute, those of repeating groups included.

    >>> row_of(0x60023000).name, row_of(0x00280010)
    ('Overlay Data', None)
    """
    table = rows()
    found = table.get(tag)
    if found is not None or (tag >> 16) & 1:
        return found
    repeated = tag >> 24
    if repeated == 0x50:
        return table[CURVES]
    if repeated == 0x60:
        return table.get(tag & 0xFF00FFFF)
    return None


def vr_of(tag: int) -> str:
    """VR of a public attribute as the dictionary or the table has it; "" when nobody knows it."""
    entry = dictionary.entry_of(tag)
    if entry is not None:
        return entry[0]
    row = row_of(tag)
    return row.vr if row is not None else ""
