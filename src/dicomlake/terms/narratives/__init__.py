"""What texts of reports say: their language, their sections, and what they affirm and deny.

Rules of German, English, French and Spanish are in one file of each language; no model is needed.
"""

from __future__ import annotations

from dicomlake.terms.narratives.assertion import Said, assertions_of, said_of, sentences
from dicomlake.terms.narratives.rules import LANGUAGES, language_of
from dicomlake.terms.narratives.sections import Section, sections_of
from dicomlake.terms.narratives.words import folded, found_in

__all__ = [
    "LANGUAGES",
    "Said",
    "Section",
    "assertions_of",
    "folded",
    "found_in",
    "language_of",
    "said_of",
    "sections_of",
    "sentences",
]
