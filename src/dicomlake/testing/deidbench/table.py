"""PS3.15 Table E.1-1 as the benchmark sees it: what each row demands, and what to plant for it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from dicomlake.testing.deidbench.answers import OPTIONS
from dicomlake.testing.deidbench.people import Person, number, word
from dicomlake.testing.dicom import uid
from dicomlake.testing.hospital.chance import chance


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: a single attribute, its basic action, its cells by option."""

    tag: int
    name: str
    vr: str
    basic: str
    cells: Mapping[str, str]

    @property
    def path(self) -> str:
        """`(gggg,eeee)`."""
        return f"({self.tag >> 16:04X},{self.tag & 0xFFFF:04X})"

    @property
    def cleaned_by(self) -> list[str]:
        """Options that clean the value instead of removing it."""
        return [option for option, code in self.cells.items() if code == "C"]

    @property
    def kept_by(self) -> list[str]:
        """Options that keep the value."""
        return [option for option, code in self.cells.items() if code == "K"]

    @property
    def letter(self) -> str:
        """Of the identifiers of HIPAA's safe harbour, "" for none."""
        if self.vr == "PN":
            return "A"
        if self.vr in ("DA", "DT"):
            return "C"
        words = self.name.replace("'s", "").split()
        return next((letter for key, letter in _LETTERS.items() if key in words), "")


_LETTERS = dict(
    Address="B", Telephone="D", Telecom="D", Email="F", ID="R", IDs="R", Identifier="R", Serial="M",
    URL="N", URI="N", Name="A",
)  # fmt: skip
_ELSEWHERE = frozenset(
    [0x00420011, 0x00020003, 0x00080018, 0x0020000D, 0x0020000E, 0x00880200, 0xFFFCFFFC, 0x00080201]
)
"""Planted by themselves, or what an object is built of."""


@lru_cache(maxsize=1)
def rows() -> list[Row]:
    """Every row of a single attribute that can stand in the data set of an image.

    >>> next(row for row in rows() if row.name == "Patient's Name").basic
    'Z'
    """
    text = resources.files(__package__).joinpath("data/ps315_e1_1.csv").read_text("utf-8")
    found = []
    for line in csv.DictReader(text.splitlines()):
        digits = line["tag"][1:5] + line["tag"][6:10]
        if re.fullmatch("[0-9A-F]{8}", digits) is None:
            continue
        tag = int(digits, 16)
        if tag >> 16 in (0, 2) or tag in _ELSEWHERE:
            continue
        cells = {option: line[column] for option, column in OPTIONS.items() if line[column]}
        vr = line["vr"][:2] or "LO"
        found.append(Row(tag, line["name"], vr, line["basic_profile"], cells))
    return found


@dataclass(frozen=True, slots=True)
class Demand:
    """What a row demands under some options: an action, and where a path is inside of its items."""

    action: str
    applies_if: str
    inside: str = ""
    action_text: str = ""


_INSIDE = "[1](0008,0104)"
_REFERENCE = "[1](0008,1155)"


def demands(row: Row) -> Iterator[Demand]:
    """The checks of a row: one for the basic profile, one for each option that cleans."""
    otherwise = " and ".join(f"not {option}" for option in (*row.kept_by, *row.cleaned_by))
    inside = ""
    if row.vr == "SQ":
        inside = _REFERENCE if row.basic == "X/Z/U*" else _INSIDE
    if row.basic == "X":
        yield Demand("tag_removed", otherwise)
    elif row.basic.startswith("U") or row.basic == "X/Z/U*":
        yield Demand("uid_changed", otherwise, inside, "may be absent")
    elif row.vr in ("SQ", "OB", "UN"):
        yield Demand("text_removed", otherwise, inside)
    elif row.basic == "D":
        yield Demand("dummy_valid", otherwise, "", "may be absent")
    elif row.vr in ("DA", "DT"):
        yield Demand("date_shifted", otherwise)
    else:
        yield Demand("tag_empty_or_dummy", otherwise, "", "may be absent")
    for option in row.cleaned_by:
        if row.vr in ("DA", "DT"):
            yield Demand("date_shifted", option)
        elif row.vr != "TM":
            yield Demand("text_removed", option, inside)


def planted(row: Row, person: Person, *what: object) -> tuple[Any, str, str]:
    """(value, what of it must go, a token of its own or "") to plant for a row.

    A value that an option cleans holds the given name of the patient, since nobody could know
    another word in it; a value that goes in any case is a word of its own.
    """
    token = person.given if row.cleaned_by else word(*what, row.tag)
    own = "" if row.cleaned_by or row.kept_by else token
    rng = chance("row", *what, row.tag)
    day = f"{rng.randint(2003, 2019)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    clock = f"{rng.randint(0, 23):02d}{rng.randint(0, 59):02d}{rng.randint(0, 59):02d}"
    plain = number(*what, row.tag)
    match row.vr:
        case "SQ" if row.basic == "X/Z/U*":
            old = uid("deidbench", *what, row.tag)
            image = {"ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}
            return [{**image, "ReferencedSOPInstanceUID": old}], old, "" if row.kept_by else old
        case "SQ":
            code = {"CodeValue": f"L{plain}", "CodingSchemeDesignator": "99LOCAL"}
            return [{**code, "CodeMeaning": token}], token, own
        case "UI":
            old = uid("deidbench", *what, row.tag)
            return ("UI", old), old, "" if row.kept_by else old
        case "DA":
            return ("DA", day), day, ""
        case "DT":
            return ("DT", f"{day}{clock}"), f"{day}{clock}", ""
        case "TM":
            return ("TM", clock), clock, ""
        case "AS":
            return ("AS", "091Y"), "091Y", ""
        case "DS" | "IS":
            return (row.vr, plain), plain, ""
        case "US":
            value = rng.randint(2000, 60000)
            return ("US", value), str(value), ""
        case "OB" | "UN":
            return (row.vr, token.encode("ascii")), token, own
        case "PN":
            return ("PN", f"{token}^Xy"), token, own
        case "CS" | "AE":
            return (row.vr, token.upper()), token, own
        case "UR":
            return ("UR", f"http://{token.lower()}.example/x"), token, own
        case "SH":
            return ("SH", token), token, own
    text = f"Note {token} only" if row.cleaned_by else token
    return (row.vr, text), token, own
