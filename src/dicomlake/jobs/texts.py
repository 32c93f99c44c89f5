"""Texts of reports for reading: what was found in them, and what each part affirms or denies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dicomlake.errors import UsageError
from dicomlake.jobs.browsing import Row
from dicomlake.jobs.clinical.searching import search, terms_of
from dicomlake.terms.narratives import found_in

MOST_FOUND = 10_000
"""Documents of each state that a search looks at."""
_STATES = ("affirmed", "uncertain", "negated")
_BLANK = re.compile(r"\s+")


def found(
    engine: Any,
    words: str,
    *,
    negated: bool = False,
    language: str | None = None,
    patients: bool = False,
    limit: int = 50,
    offset: int = 0,
    ticket: object = None,
) -> Row:
    """Documents that affirm all words or leave them open, newest first, and how many there are.

    `negated`: also those that deny them. `patients`: only documents of those who have series in
    what is asked. UsageError where there is no word, or for a language that is not known.
    """
    said: dict[int, list[Row]] = {}
    when: dict[int, Any] = {}
    for state in _STATES if negated else _STATES[:2]:
        rows = search(
            engine, words, negated=state == "negated", uncertain=state == "uncertain",
            language=language, limit=MOST_FOUND,
        ).to_pylist()  # fmt: skip
        for row in rows:
            said.setdefault(row["document_key"], []).append(row)
            when[row["document_key"]] = row["written"]
    keys = sorted(said, key=lambda key: (when[key] is not None, when[key], key), reverse=True)
    if patients:
        seen = _heads(engine, keys, _VISIBLE, ticket)
        keys = [key for key in keys if key in seen]
    shown = keys[offset : offset + limit]
    heads, terms = _heads(engine, shown, "true", ticket), terms_of(words)
    return {
        "total": len(keys),
        "documents": [
            {**heads[key], "snippets": [_snippet(row, terms) for row in said[key]]}
            for key in shown
            if key in heads
        ],
    }


def document(engine: Any, key: int, *, patients: bool = False, ticket: object = None) -> Row:
    """One document whole, its text in parts with what they are; UsageError for an unknown one."""
    heads = _heads(engine, [key], _VISIBLE if patients else "true", ticket)
    if not heads:
        raise UsageError(f"There is no document {key} in this version of the lake.")
    names = "text, sections, affirmed, negated, uncertain"
    asked = f"select {names} from documents where document_key = ? limit 1"
    row = engine.read(asked, [key], ticket).to_pylist()[0]
    return {
        **heads[key],
        "sections": row["sections"] or [],
        "parts": list(parts(row["text"] or "", row)),
    }


_HEAD = """select document_key as number, document_key::varchar as document_key,
coalesce(patient_key, (select any_value(s.patient_key) from series s
    where (s."AccessionNumber" <> '' and s."AccessionNumber" = documents."AccessionNumber")
    or s."StudyInstanceUID" = documents."StudyInstanceUID"))::varchar as patient_key,
coalesce((select any_value(s."StudyInstanceUID") from series s
    where s."StudyInstanceUID" = documents."StudyInstanceUID"),
    (select any_value(s."StudyInstanceUID") from series s where s."AccessionNumber" <> ''
    and s."AccessionNumber" = documents."AccessionNumber")) as "StudyInstanceUID",
"AccessionNumber", title, type, type_meaning, language, written, source, status from documents"""
_VISIBLE = """(patient_key in (select patient_key from series)
or (patient_key is null and ("StudyInstanceUID" in (select "StudyInstanceUID" from series)
    or "AccessionNumber" in (select "AccessionNumber" from series where "AccessionNumber" <> ''))))
"""


def _heads(engine: Any, keys: list[int], where: str, ticket: object) -> dict[int, Row]:
    """What is said of documents, by their numbers, of those that meet a condition."""
    if not keys:
        return {}
    among = ", ".join(map(str, keys))
    statement = f"{_HEAD} where document_key in ({among}) and {where}"
    return {row.pop("number"): row for row in engine.read(statement, (), ticket).to_pylist()}


def parts(text: str, said: Row) -> Iterator[Row]:
    """A text in parts, each with its state: affirmed, negated, uncertain, or "" of none."""
    at = 0
    for begin, end, state in _spans(text, said):
        if begin < at:
            continue
        if begin > at:
            yield {"text": text[at:begin], "state": ""}
        yield {"text": text[begin:end], "state": state}
        at = end
    if at < len(text):
        yield {"text": text[at:], "state": ""}


def _spans(text: str, said: Row) -> list[tuple[int, int, str]]:
    """Where statements stand in a text, in order; the same words twice are two of them."""
    found = []
    for state in _STATES:
        for line in dict.fromkeys((said.get(state) or "").split("\n")):
            if pattern := _BLANK.sub(r"\\s+", re.escape(line.strip()).replace(r"\ ", " ")):
                found += [(m.start(), m.end(), state) for m in re.finditer(pattern, text)]
    return sorted(found, key=lambda span: (span[0], -span[1]))


def _snippet(row: Row, terms: list[str]) -> Row:
    """A statement in pieces, which are one of the words or not."""
    text = row["snippet"]
    spots = sorted({place for term in terms for place in found_in(text, term)})
    pieces, at = [], 0
    for begin, end in spots:
        if begin < at:
            continue
        pieces += [{"text": text[at:begin], "hit": False}, {"text": text[begin:end], "hit": True}]
        at = end
    pieces.append({"text": text[at:], "hit": False})
    return {"state": row["state"], "pieces": [piece for piece in pieces if piece["text"]]}
