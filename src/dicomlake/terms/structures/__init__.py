"""Codes of what segmenters find: by their labels, with the side apart from the structure.

The table beside this file holds them. A label without a row has words and no code.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from dicomlake.terms import Code

LEFT, RIGHT = Code("7771000", "SCT", "Left"), Code("24028007", "SCT", "Right")
_SIDES = {"left": LEFT, "right": RIGHT}


@dataclass(frozen=True, slots=True)
class Structure:
    """What a label means; `kind` as in the table `annotations`, `code` of a finding or substance.

    `equivalence` says how well the code fits (ISO/TR 12300); `also` is the same in other codes,
    SCHEME:VALUE.
    """

    label: str
    kind: str
    name: str
    structure: Code | None = None
    laterality: Code | None = None
    code: Code | None = None
    equivalence: str = ""
    also: tuple[str, ...] = ()


def of(label: str) -> Structure:
    """What a label means; one that is not known is a structure without codes.

    >>> found = of("kidney_left")
    >>> found.name, found.structure.value, found.laterality.meaning, found.also
    ('Left kidney', '64033007', 'Left', ('SCT:18639004', 'RADLEX:RID29663'))
    >>> of("vertebrae_L6")
    Structure(label='vertebrae_L6', kind='structure', name='Vertebrae L6', structure=None, \
laterality=None, code=None, equivalence='', also=())
    """
    known = _table().get(label)
    return known if known is not None else Structure(label, "structure", _words(label))


def numbered(task: str) -> dict[int, str]:
    """Labels by their number in label maps of a task of TotalSegmentator; {} for no such task.

    >>> numbered("total")[5], len(numbered("total_mr"))
    ('liver', 50)
    """
    text = resources.files(__package__).joinpath("numbers.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {int(row["number"]): row["label"] for row in rows if row["task"] == task}


def also(structure: str, laterality: Code | None) -> tuple[str, ...]:
    """The same structure and side in other codes, SCHEME:VALUE; `structure` is a value of SCT.

    >>> also("64033007", LEFT), also("64033007", None)
    (('SCT:18639004', 'RADLEX:RID29663'), ())
    """
    return _other_codes().get((structure, laterality), ())


@cache
def _other_codes() -> dict[tuple[str, Code | None], tuple[str, ...]]:
    """What stands in `also` of labels that name a structure, and mean just this."""
    found: dict[tuple[str, Code | None], tuple[str, ...]] = {}
    for one in _table().values():
        if one.structure and one.kind == "structure" and one.equivalence == "equivalent":
            found.setdefault((one.structure.value, one.laterality), one.also)
    return found


@cache
def digest() -> str:
    """Version and digest of the table, so that rows tell which codes they were made with."""
    return hashlib.sha256(_text().encode()).hexdigest()[:12]


@cache
def _text() -> str:
    return resources.files(__package__).joinpath("structures.csv").read_text(encoding="utf-8")


@cache
def _table() -> dict[str, Structure]:
    rows = csv.DictReader(line for line in _text().splitlines() if not line.startswith("#"))
    return {row["label"]: _structure(row) for row in rows}


def _structure(row: dict[str, str]) -> Structure:
    structure = Code(row["sct_code"], "SCT", row["sct_meaning"]) if row["sct_code"] else None
    code = Code(row["code"], row["scheme"], row["meaning"]) if row["code"] else None
    side = _SIDES.get(row["laterality"])
    return Structure(
        row["label"],
        row["kind"],
        _name(row, code, side),
        structure,
        side,
        code,
        row["equivalence"],
        tuple(row["also"].split()),
    )


def _name(row: dict[str, str], code: Code | None, side: Code | None) -> str:
    if row["kind"] == "tissue":
        return _words(row["label"])
    meaning = row["sct_meaning"]
    if side is not None and side.meaning.lower() not in meaning.lower():
        meaning = f"{side.meaning} {meaning[:1].lower()}{meaning[1:]}"
    if code is not None:
        return f"{code.meaning}: {meaning[:1].lower()}{meaning[1:]}"
    return meaning


def _words(label: str) -> str:
    words = label.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
