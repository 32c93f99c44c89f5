"""Texts of reports: search them for words, and tell what they affirm, deny and leave open.

Words are compared without case and accents, and every one of them has to be there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from dicomlake.errors import UsageError
from dicomlake.jobs.browsing import Row

AROUND = 90
"""Characters of a snippet on either side of what was found."""
MOST_SNIPPETS = 4
_STATES = ("negated", "uncertain", "affirmed")
_SENTENCE = re.compile(r"[^.!?;\n]+(?:[.!?;]+|\n|$)")


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
    """Documents in which all words stand, newest first, with snippets; how many there are.

    Only what is affirmed or left open counts, unless `negated`. `patients`: only documents of those
    who have series in what is asked. UsageError where there is no word.
    """
    asked = [word for word in folded(words).split() if any(map(str.isalnum, word))]
    if not asked:
        raise UsageError("Say what to look for: a word that stands in reports.")
    text = "text" if negated else "coalesce(affirmed, '') || ' ' || coalesce(uncertain, '')"
    text = f"case when affirmed is null and negated is null then text else {text} end"
    where = [f"contains(lower(strip_accents({text})), ?)"] * len(asked)
    values: list[Any] = [*asked]
    if language:
        where.append("language = ?")
        values.append(language)
    if patients:
        where.append(_VISIBLE)
    condition = " and ".join(where)
    total = engine.read(f"select count(*) as n from documents where {condition}", values, ticket)
    rows = engine.read(
        f"select {_HEAD}, text, affirmed, negated, uncertain from documents where {condition} "
        f"order by written desc nulls last, document_key limit {limit} offset {offset}",
        values,
        ticket,
    ).to_pylist()
    return {
        "total": total.column("n")[0].as_py(),
        "documents": [_shown(row, asked) for row in rows],
    }


def document(engine: Any, key: int, *, patients: bool = False, ticket: object = None) -> Row:
    """One document whole, its text in parts with what they are; UsageError for an unknown one."""
    more = f" and {_VISIBLE}" if patients else ""
    rows = engine.read(
        f"select {_HEAD}, text, sections, affirmed, negated, uncertain from documents "
        f"where document_key = ?{more} limit 1",
        [key],
        ticket,
    ).to_pylist()
    if not rows:
        raise UsageError(f"There is no document {key} in this version of the lake.")
    row = rows[0]
    head = {name: row[name] for name in _NAMES}
    return {**head, "sections": row["sections"] or [], "parts": parts(row["text"] or "", row)}


_NAMES = """document_key patient_key StudyInstanceUID AccessionNumber title type type_meaning
language written source status""".split()
_HEAD = """document_key::varchar as document_key, coalesce(patient_key, (
    select any_value(s.patient_key) from series s where (s."AccessionNumber" <> ''
    and s."AccessionNumber" = documents."AccessionNumber")
    or s."StudyInstanceUID" = documents."StudyInstanceUID"))::varchar as patient_key,
coalesce((select any_value(s."StudyInstanceUID") from series s
    where s."StudyInstanceUID" = documents."StudyInstanceUID"),
    (select any_value(s."StudyInstanceUID") from series s where s."AccessionNumber" <> ''
    and s."AccessionNumber" = documents."AccessionNumber")) as "StudyInstanceUID",
"AccessionNumber", title, type, type_meaning, language, written, source, status"""
_VISIBLE = """(patient_key in (select patient_key from series)
or (patient_key is null and ("StudyInstanceUID" in (select "StudyInstanceUID" from series)
    or "AccessionNumber" in (select "AccessionNumber" from series where "AccessionNumber" <> ''))))
"""


def folded(text: str) -> str:
    """Text as it is compared: small letters without accents.

    >>> folded("Épanchement")
    'epanchement'
    """
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).lower()


def parts(text: str, said: Row) -> list[Row]:
    """A text in sentences, each with its state: affirmed, negated, uncertain, or "" of neither."""
    known = {state: folded(said.get(state) or "") for state in _STATES}
    return [
        {"text": piece, "state": _state(piece, known)} for piece in _SENTENCE.findall(text) if piece
    ]


def _state(piece: str, known: dict[str, str]) -> str:
    """What a sentence is: the first state that holds it."""
    plain = folded(piece).strip(" \t\r\n.;!?,:")
    if not plain:
        return ""
    return next((state for state in _STATES if plain in known[state]), "")


def _shown(row: Row, words: Sequence[str]) -> Row:
    head = {name: row[name] for name in _NAMES}
    told = [part for part in parts(row["text"] or "", row) if _has(part["text"], words)]
    snippets = [_snippet(part, words) for part in told[:MOST_SNIPPETS]]
    return {**head, "snippets": snippets, "more": max(len(told) - MOST_SNIPPETS, 0)}


def _has(text: str, words: Sequence[str]) -> bool:
    plain = folded(text)
    return any(word in plain for word in words)


def _snippet(part: Row, words: Sequence[str]) -> Row:
    """A sentence cut to what is around the words, in pieces that are one of them or not."""
    text = part["text"].strip()
    lowered = text.lower() if len(text.lower()) == len(text) else text
    plain = "".join(folded(c)[:1] or c for c in lowered)
    spots = sorted({m.span() for word in words for m in re.finditer(re.escape(word), plain)})
    first = max(spots[0][0] - AROUND, 0) if spots else 0
    last = min((spots[-1][1] if spots else 0) + AROUND, len(text))
    pieces, at = [], first
    for begin, end in spots:
        if begin < at:
            continue
        pieces += [{"text": text[at:begin], "hit": False}, {"text": text[begin:end], "hit": True}]
        at = end
    pieces.append({"text": text[at:last], "hit": False})
    shown = [piece for piece in pieces if piece["text"]]
    return {"state": part["state"], "cut": first > 0, "pieces": shown}
