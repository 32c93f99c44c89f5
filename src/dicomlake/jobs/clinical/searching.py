"""Searching the texts of reports: what they affirm, or deny, whatever case and marks words have."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from dicomlake.contracts import Engine
from dicomlake.errors import UsageError
from dicomlake.lake.database import literal
from dicomlake.terms.narratives.words import folded, found_in

FOUND = pa.schema(
    [
        pa.field("document_key", pa.int64()),
        pa.field("patient_key", pa.int64()),
        *[pa.field(n, pa.string()) for n in ("PatientID", "IssuerOfPatientID", "AccessionNumber",
          "StudyInstanceUID", "type", "title", "language", "source")],
        pa.field("written", pa.timestamp("us", "UTC")),
        pa.field("state", pa.string()),
        pa.field("snippet", pa.string()),
    ]
)  # fmt: skip
"""A document that was found: `state` says whether it affirms, denies or leaves open."""
LANGUAGES = ("de", "en", "es", "fr")
_TERM = re.compile(r'"([^"]+)"|(\S+)')
_LONGEST = 300
_STEP = 500
_MOST_TERMS = 20


def search(
    engine: Engine,
    words: str,
    *,
    negated: bool = False,
    uncertain: bool = False,
    language: str | None = None,
    limit: int = 100,
) -> pa.Table:
    """Documents that affirm all of some words in one statement, the newest first.

    `negated`: those that deny them; `uncertain`: those that leave them open. Words in quotes follow
    each other; a star stands for the rest of a word, on either side. Rows are of `FOUND`.
    UsageError for nothing to look for.
    """
    terms = terms_of(words)
    if not terms:
        raise UsageError("Search for what? Give words such as Pneumothorax.")
    if language is not None and language not in LANGUAGES:
        raise UsageError(f"Texts are known in {', '.join(LANGUAGES)}, not in {language!r}.")
    state = "negated" if negated else "uncertain" if uncertain else "affirmed"
    where = " and ".join(f"contains({_folded(state)}, {literal(_plain(t))})" for t in terms)
    if language:
        where += f" and language = {literal(language)}"
    names = ", ".join(f'"{n}"' for n in FOUND.names if n not in ("state", "snippet"))
    found: list[dict[str, Any]] = []
    offset = 0
    while len(found) < limit:
        rows = engine.sql(
            f'select {names}, "{state}" as said from documents where {where} '
            f"order by written desc nulls last, document_key limit {_STEP} offset {offset}"
        ).to_pylist()
        for row in rows:
            said = row.pop("said")
            if snippet := snippet_of(said, terms):
                found.append({**row, "state": state, "snippet": snippet})
        if len(rows) < _STEP:
            break
        offset += _STEP
    return pa.Table.from_pylist(found[:limit], FOUND)


def terms_of(words: str) -> list[str]:
    """What is looked for: words, and words in quotes as they follow each other.

    >>> terms_of('"pleural effusion" left')
    ['pleural effusion', 'left']
    """
    found = [(a or b).strip() for a, b in _TERM.findall(words)]
    return [one for one in found if any(map(str.isalnum, one))][:_MOST_TERMS]


def snippet_of(said: str | None, terms: list[str]) -> str:
    """The first line of what was said that has all terms, "" where none has."""
    for line in (said or "").split("\n"):
        places = [found_in(line, term) for term in terms]
        if all(places):
            if len(line) <= _LONGEST:
                return line
            begin = max(0, places[0][0][0] - _LONGEST // 3)
            cut = line[begin : begin + _LONGEST]
            return f"{'…' if begin else ''}{cut}…"
    return ""


def _folded(column: str) -> str:
    """SQL of a text as `_plain` makes it."""
    sql = f"replace(strip_accents(lower({column})), 'ß', 'ss')"
    for typed in ("ae", "oe", "ue"):
        sql = f"replace({sql}, '{typed}', '{typed[0]}')"
    return sql


def _plain(term: str) -> str:
    """The longest word of a term, folded, as typed without umlauts: what rows must hold."""
    longest = max((part.strip("*") for part in term.split()), key=len)
    plain = folded(longest)
    for typed in ("ae", "oe", "ue"):
        plain = plain.replace(typed, typed[0])
    return plain
