"""The data dictionary (PS3.6) and the paths that name an attribute at any depth.

A path is what people write and what the lake stores:

    PatientName                                     a public attribute at the top
    RequestAttributesSequence.RequestedProcedureID  one inside the items of a sequence
    (0019,"SIEMENS MR HEADER",0C)                   a private one, keyed by its creator
    (0019,0010)                                     a private creator, or an unknown element
    *.EchoTime                                      an attribute at any depth (questions only)
    [LN:11524-0].[DCM:122158]                       a place in a report, by the codes of concepts
    segment.label                                   a column of a row inside of objects

Sequence items are not part of a path. pydicom's copy of PS3.6 is the source of every entry.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache, lru_cache

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._private_dict import private_dictionaries

from dicomlake.dicom.concepts import STEP, code_of, step
from dicomlake.errors import UnknownAttribute, UsageError
from dicomlake.terms.mapping import normal

NUMBERS = frozenset(["DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"])
BINARY = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
TEXTS = frozenset(["AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT", "AT"])
ENCODED = frozenset(["LO", "LT", "PN", "SH", "ST", "UC", "UT"])
"""VRs whose text the Specific Character Set rules (PS3.5 6.1.2.3)."""

_KIND = {
    **dict.fromkeys(NUMBERS, "number"),
    **dict.fromkeys(BINARY, "binary"),
    **dict.fromkeys(TEXTS, "text"),
    "DA": "date",
    "TM": "time",
    "DT": "datetime",
    "AS": "age",
    "SQ": "sequence",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """What PS3.6 (or a private dictionary) says of the last attribute of a path.

    `vr` is "" when nobody knows it; `vm` is the value multiplicity as the dictionary writes it.
    """

    path: str
    keyword: str
    tag: str
    vr: str
    vm: str
    name: str
    creator: str = ""
    retired: bool = False
    table: str = ""
    """The table of contents that it asks, "" for attributes of headers."""
    unit: str = ""

    @property
    def kind(self) -> str:
        """One of text, number, date, time, datetime, age, sequence, binary, content, unknown."""
        return "content" if self.vr == "" and self.table else kind_of(self.vr)


@cache
def _keywords() -> dict[str, int]:
    table = {entry[4]: tag for tag, entry in DicomDictionary.items() if entry[4]}
    for mask, entry in RepeatersDictionary.items():
        table.setdefault(entry[4], int(mask.replace("x", "0"), 16))
    return table


@cache
def _masks() -> list[tuple[int, int, str]]:
    return [
        (int(re.sub("[^x]", "F", m).replace("x", "0"), 16), int(m.replace("x", "0"), 16), m)
        for m in RepeatersDictionary
    ]


@lru_cache(maxsize=65536)
def entry_of(tag: int) -> tuple[str, str, str, str, str] | None:
    """(VR, VM, name, retired, keyword) of a public tag, repeating groups included, or None.

    >>> entry_of(0x60020010)[4]
    'OverlayRows'
    """
    found = DicomDictionary.get(tag)
    if found is None and not (tag >> 16) & 1:
        for mask, value, key in _masks():
            if tag & mask == value:
                return RepeatersDictionary[key]
    return found


def kind_of(vr: str) -> str:
    """Kind of value that a VR holds, as questions know it.

    >>> kind_of("DS"), kind_of("PN"), kind_of("SQ"), kind_of("")
    ('number', 'text', 'sequence', 'unknown')
    """
    return _KIND.get(vr[:2], "unknown")


def vr_of(keyword: str) -> str:
    """Value representation of a DICOM keyword; the first one where PS3.6 allows several.

    >>> vr_of("MagneticFieldStrength")
    'DS'
    """
    entry = entry_of(tag_of(keyword))
    assert entry is not None
    return entry[0][:2]


def tag_of(keyword: str) -> int:
    """Tag of a DICOM keyword; UnknownAttribute names the nearest keywords.

    >>> f"{tag_of('PatientName'):08X}"
    '00100010'
    """
    tag = _keywords().get(keyword)
    if tag is None:
        raise UnknownAttribute(keyword, near(keyword))
    return tag


def is_keyword(name: str) -> bool:
    """Whether PS3.6 has this keyword.

    >>> is_keyword("Modality"), is_keyword("modality")
    (True, False)
    """
    return name in _keywords()


def near(keyword: str) -> list[str]:
    """Keywords most like a misspelt one, best first.

    >>> near("MagneticFieldStrenght")
    ['MagneticFieldStrength']
    >>> near("modality")[0]
    'Modality'
    """
    lower = {k.lower(): k for k in _keywords()}
    found = difflib.get_close_matches(keyword.lower(), lower, n=3, cutoff=0.75)
    best = [f for f in found if difflib.SequenceMatcher(None, keyword.lower(), f).ratio() > 0.93]
    return [lower[f] for f in (best or found)]


@lru_cache(maxsize=65536)
def private_entry(creator: str, group: int, element: int) -> tuple[str, str, str] | None:
    """(VR, VM, name) that pydicom's private dictionary gives for the last byte of an element.

    >>> private_entry("SIEMENS MR HEADER", 0x0019, 0x0C)
    ('IS', '1', 'B_value')
    """
    known = private_dictionaries.get(creator)
    if known is None:
        return None
    for key in (f"{group:04x}xx{element:02x}", f"{group:04X}xx{element:02X}"):
        if key in known:
            vr, vm, name, _ = known[key]
            return vr, vm, name
    return None


@lru_cache(maxsize=65536)
def public_segment(tag: int) -> str:
    """Path segment of a public or creator-less tag.

    >>> public_segment(0x00080060), public_segment(0x00190010)
    ('Modality', '(0019,0010)')
    """
    entry = entry_of(tag)
    if entry is not None and entry[4]:
        return entry[4]
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@lru_cache(maxsize=65536)
def private_segment(group: int, creator: str, element: int) -> str:
    """Path segment of a private attribute: group, creator, last byte of the element.

    >>> private_segment(0x0019, "SIEMENS MR HEADER", 0x100C)
    '(0019,"SIEMENS MR HEADER",0C)'
    """
    quoted = creator.replace('"', '""')
    return f'({group:04X},"{quoted}",{element & 0xFF:02X})'


PRIVATE = re.compile(r'\(([0-9A-Fa-f]{4}), ?"((?:[^"]|"")*)", ?(?:[xX]{2})?([0-9A-Fa-f]{2})\)')
RAW = re.compile(r"\(([0-9A-Fa-f]{4}), ?([0-9A-Fa-f]{4})\)")
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_GAP = re.compile(r"\*\*?(?=\.(?:\[|\*))")
"""Any concept between two others, or any number of them."""


def segments(path: str) -> list[str]:
    """Split a path into its segments in their canonical spelling; UsageError when it is none.

    >>> segments('*.(0019,"siemens. mr",0c)')
    ['*', '(0019,"siemens. mr",0C)']
    >>> segments("(0008,0060)")
    ['Modality']
    """
    found, end = match_path(path)
    if end != len(path) or not found:
        raise UsageError(
            f"{path!r} is not an attribute path. Write a DICOM keyword, keywords joined by dots, or"
            ' (gggg,"CREATOR",ee) for a private attribute.'
        )
    return found


def match_path(text: str, start: int = 0) -> tuple[list[str], int]:
    """Longest path that begins at `start`: its canonical segments and where it ends.

    Nothing found gives ([], start). Keywords are not looked up here.
    """
    found: list[str] = []
    at = start
    if text.startswith("*.", at):
        found, at = ["*"], at + 2
    while True:
        if m := STEP.match(text, at):
            segment = step(*normal(*code_of(m[0])))
        elif found and (m := _GAP.match(text, at)):
            segment = m[0]
        elif m := PRIVATE.match(text, at):
            segment = private_segment(int(m[1], 16), m[2].replace('""', '"'), int(m[3], 16))
        elif m := RAW.match(text, at):
            segment = public_segment(int(m[1] + m[2], 16))
        elif m := WORD.match(text, at):
            segment = m[0]
        else:
            return ([], start) if found in ([], ["*"]) else (found, at - 1)
        found.append(segment)
        at = m.end()
        if not text.startswith(".", at):
            return found, at
        at += 1


@lru_cache(maxsize=65536)
def attribute(path: str) -> Attribute:
    """What is known of the attribute at a path; UnknownAttribute for a misspelt keyword.

    >>> attribute("RequestAttributesSequence.RequestedProcedureID").vr
    'SH'
    >>> attribute('(0019,"SIEMENS MR HEADER",0C)').name
    'B_value'
    """
    parts = segments(path)
    for part in parts:
        if WORD.fullmatch(part):
            tag_of(part)
    last, canonical = parts[-1], ".".join(parts)
    if m := PRIVATE.fullmatch(last):
        group, creator, element = int(m[1], 16), m[2].replace('""', '"'), int(m[3], 16)
        vr, vm, name = private_entry(creator, group, element) or ("", "", "")
        tag = f"({group:04X},xx{element:02X})"
        return Attribute(canonical, "", tag, vr, vm, name, creator)
    if m := RAW.fullmatch(last):
        group, element = int(m[1], 16), int(m[2], 16)
        if group & 1 and 0x10 <= element <= 0xFF:
            return Attribute(canonical, "", last, "LO", "1", "Private Creator")
        return Attribute(canonical, "", last, "", "", "")
    tag_number = tag_of(last)
    entry = entry_of(tag_number)
    assert entry is not None
    tag = f"({tag_number >> 16:04X},{tag_number & 0xFFFF:04X})"
    return Attribute(canonical, last, tag, entry[0][:2], entry[1], entry[2], "", bool(entry[3]))
