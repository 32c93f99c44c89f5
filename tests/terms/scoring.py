"""How well body parts are told: precision and recall on the labelled table, tag alone beside it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dicomlake.terms import Code, bodyparts
from dicomlake.terms.bodyparts import BOTH, LEFT, RIGHT, SURE, Evidence, Found

LABELS = Path(__file__).with_name("bodypart_labels.csv")
_ATTRIBUTES = (
    "Modality", "BodyPartExamined", "ImageLaterality", "Laterality", "SeriesDescription",
    "ProtocolName", "StudyDescription", "RequestedProcedureDescription",
)  # fmt: skip
_SIDES: dict[Code | None, str] = {None: "", LEFT: "L", RIGHT: "R", BOTH: "B"}

Row = dict[str, str]
Teller = Callable[[Evidence], tuple[Found, ...]]


@dataclass(frozen=True)
class Score:
    """Counts over all rows: regions told and right, regions meant; the same of sides."""

    rows: int
    right: int
    told: int
    meant: int
    side_right: int
    side_told: int
    side_meant: int

    @property
    def precision(self) -> float:
        return self.right / max(self.told, 1)

    @property
    def recall(self) -> float:
        return self.right / max(self.meant, 1)

    @property
    def side_precision(self) -> float:
        return self.side_right / max(self.side_told, 1)

    @property
    def side_recall(self) -> float:
        return self.side_right / max(self.side_meant, 1)


def labelled(half: str) -> list[Row]:
    """Rows of one half of the table."""
    with LABELS.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["half"] == half]


def evidence_of(row: Row) -> Evidence:
    return Evidence(**{name: row[name] for name in _ATTRIBUTES})


def tag_only(evidence: Evidence) -> tuple[Found, ...]:
    """What a lake knows that believes the tag, spelt in one word, and no more."""
    row = bodyparts.load().tags.get(evidence.BodyPartExamined.lower())
    if row is None:
        return ()
    side = {"L": LEFT, "R": RIGHT, "B": BOTH}.get(evidence.ImageLaterality or evidence.Laterality)
    return tuple(Found(bodyparts.load().code(code), side, 1.0, ()) for code in row.codes)


def scored(half: str, tell: Teller = bodyparts.of, languages: tuple[str, ...] = ()) -> Score:
    """The score of a way to tell; a guess below `SURE` is not told.

    A region is right when it has the code of the label, one of them where it allows several. Sides
    are counted where the region is right and has two.
    """
    tables = bodyparts.load()
    rows = [row for row in labelled(half) if not languages or row["language"] in languages]
    right = told = meant = side_right = side_told = side_meant = 0
    for row in rows:
        found = [f for f in tell(evidence_of(row)) if f.confidence >= SURE]
        labels = [set(label.split("|")) for label in row["expected"].split()]
        told, meant = told + len(found), meant + len(labels)
        good = [f for f in found if any(f.code.value in label for label in labels)]
        right += sum(any(f.code.value in label for f in found) for label in labels)
        for one in good:
            if tables.regions[one.code.value].paired:
                side = _SIDES[one.laterality]
                side_told += bool(side)
                side_meant += bool(row["laterality"])
                side_right += bool(side) and side == row["laterality"]
    return Score(len(rows), right, told, meant, side_right, side_told, side_meant)
