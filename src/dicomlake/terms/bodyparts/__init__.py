"""What part of the body a series shows: regions in SNOMED CT with side, confidence and evidence.

The tables beside this file hold regions (with sides and what they are part of), the terms of Body
Part Examined, codes, and the words of English, German, French and Spanish. Each row has a grade of
ISO/TR 12300: how well the target fits the source. A site lays its own table on top.
"""

from __future__ import annotations

from dicomlake.terms.bodyparts.asking import asked_by, same_as
from dicomlake.terms.bodyparts.judging import (
    BOTH,
    LEFT,
    RIGHT,
    SURE,
    TRUST,
    Evidence,
    Finding,
    Found,
    Judgement,
    Said,
    judge,
    of,
)
from dicomlake.terms.bodyparts.tables import (
    NEEDED,
    OURS,
    Grade,
    Region,
    Row,
    Tables,
    listed,
    load,
    squeezed,
)

__all__ = [
    "BOTH",
    "LEFT",
    "NEEDED",
    "OURS",
    "RIGHT",
    "SURE",
    "TRUST",
    "Evidence",
    "Finding",
    "Found",
    "Grade",
    "Judgement",
    "Region",
    "Row",
    "Said",
    "Tables",
    "asked_by",
    "judge",
    "listed",
    "load",
    "of",
    "same_as",
    "squeezed",
]
