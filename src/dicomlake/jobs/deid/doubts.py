"""What a reviewer should look at in a cleaned text: what still looks as if it told of somebody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dicomlake.deid.text import MARKS
from dicomlake.deid.text.folding import folded
from dicomlake.deid.text.languages import Rules

MOST = 200
"""Doubts of one report that are listed."""

_NUMBER = re.compile(r"(?<![\w.,])[A-Za-z]{0,3}\d[\d/-]{3,}\d(?![\w]|[.,]\d)")
_CAPITALS = re.compile(r"(?<![\w\[])[A-ZÀ-ÖØ-Þ][\w'’-]+ [A-ZÀ-ÖØ-Þ][\w'’-]+(?![\w\]])")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON = {
    "en": "the and of with is no there are was in",
    "de": "der die und mit ist kein keine im des ein",
    "fr": "le la les et des est de une pas du",
    "es": "el la los con sin del una por se en",
    "it": "il di che con nel della non gli una sono",
    "pt": "o da do com sem uma não em os das",
    "nl": "de het een van met geen in en niet",
    "pl": "i w z na do nie jest po oraz",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Doubt:
    """A place of a cleaned text that a person should look at: from `start` to before `end`."""

    page: int
    start: int
    end: int
    why: str


def doubts_of(pages: Sequence[str], rules: Rules) -> tuple[Doubt, ...]:
    """What looks as if it told of somebody, in order.

    >>> from dicomlake.deid.text.languages import rules_of
    >>> doubts_of(["Volume 12.5 ml, Aktenvermerk 4711/22"], rules_of(["de"]))
    (Doubt(page=0, start=29, end=36, why='a number'),)
    """
    found = [
        Doubt(number, *place) for number, page in enumerate(pages) for place in _places(page, rules)
    ]
    other = _other_language(" ".join(pages), rules)
    if other:
        found.insert(0, Doubt(0, 0, 0, f"written in a language without rules ({other})"))
    return tuple(found[:MOST])


def _places(page: str, rules: Rules) -> Iterator[tuple[int, int, str]]:
    small = folded(page)
    taken = [found.span() for mark in set(MARKS.values()) for found in _all(mark, page)]
    for why, pattern in (("a number", _NUMBER), ("two words with capitals", _CAPITALS)):
        for found in pattern.finditer(page):
            begin, end = found.span()
            if any(a < end and b > begin for a, b in taken):
                continue
            words = _WORD.findall(small[begin:end])
            if why == "a number" or not any(_harmless(word, rules) for word in words):
                yield begin, end, why


def _all(mark: str, page: str) -> Iterator[re.Match[str]]:
    return re.finditer(re.escape(mark), page)


def _harmless(word: str, rules: Rules) -> bool:
    return word in rules.words or word in rules.eponyms or word in rules.beside


def _other_language(text: str, rules: Rules) -> str:
    """The language of a text, when there are no rules for it; "" where nobody can tell."""
    words = _WORD.findall(text.lower())
    if len(words) < 20:
        return ""
    counts = {name: sum(w in set(told.split()) for w in words) for name, told in _COMMON.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] >= 3 and best not in rules.languages else ""
