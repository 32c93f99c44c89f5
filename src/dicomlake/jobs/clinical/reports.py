"""Texts of reports as rows of `documents`: language, sections, and what they say and deny."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dicomlake.jobs.clinical.moments import moment
from dicomlake.jobs.clinical.staging import Part
from dicomlake.terms import narratives

ASKED = "LN:18785-6"
"""The section that says what is looked for."""
LONGEST = 2_000_000
"""Characters of a text; what follows is left out."""


def stage_document(part: Part, text: str, *, written: str = "", **columns: Any) -> dict[str, Any]:
    """Stage the text of a report; `columns` say whose it is and where it was read."""
    row: dict[str, Any] = {**columns, **told(text, columns.get("language") or "")}
    if found := moment(written) if written else None:
        row["written"] = found[0]
    return part.add("documents", row)


def told(text: str, language: str = "") -> dict[str, Any]:
    """The columns that the text of a report makes.

    >>> told("Befund: Kein Pneumothorax. Kleiner Erguss.")["negated"]
    'Kein Pneumothorax.'
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip()[:LONGEST]
    short = language.strip().lower()[:2]
    known = short if short in narratives.LANGUAGES else narratives.language_of(text)
    sections = narratives.sections_of(text)
    return {
        "text": text,
        "language": known or (short or None),
        "sections": [
            {"title": one.title, "code": one.code or None, "text": one.text} for one in sections
        ],
        **_assertions(sections, known),
    }


def _assertions(sections: Sequence[narratives.Section], language: str) -> dict[str, str | None]:
    """What the sections affirm, deny and leave open; what is only asked for is left open."""
    made: dict[str, list[str]] = {"affirmed": [], "negated": [], "uncertain": []}
    for one in sections:
        for state, said in narratives.assertions_of(one.text, language).items():
            asked = one.code == ASKED and state == "affirmed"
            made["uncertain" if asked else state] += [said] if said else []
    return {state: "\n".join(parts) or None for state, parts in made.items()}
