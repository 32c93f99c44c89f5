"""The rules of each language, read once: triggers, what ends their scope, and stop words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from dicomlake.terms.narratives.words import folded

LANGUAGES = ("de", "en", "es", "fr")
"""Languages that there are rules for."""

State = Literal["affirmed", "negated", "uncertain"]
Way = Literal["before", "after", "none", "end"]
"""Whether a trigger stands before what it is about, after it, says nothing, or ends a scope."""
ANY, GAP = "*", 3
_TOKEN = re.compile(r"[^\W_]+|\*")
_LEAST = 2
_SAMPLE = 4_000


@dataclass(frozen=True, slots=True)
class Trigger:
    """Words that say how what is near them is meant."""

    words: tuple[str, ...]
    """Folded; ANY stands for up to `GAP` words."""
    way: Way
    state: State


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a language; `by_first` has the triggers by their first word, longest first."""

    language: str
    version: int
    by_first: dict[str, tuple[Trigger, ...]]
    speaks: frozenset[str]
    """Words after which a comma begins a statement of its own: verbs, and what is normal."""
    joins: frozenset[str]
    """And, or, nor: what they join has the same state."""
    abbreviations: frozenset[str]
    """Words whose full stop ends no sentence."""


_KINDS: dict[str, tuple[Way, State]] = {
    "negates": ("before", "negated"),
    "negated": ("after", "negated"),
    "doubts": ("before", "uncertain"),
    "doubted": ("after", "uncertain"),
    "says_nothing": ("none", "affirmed"),
    "ends": ("end", "affirmed"),
}


@cache
def rules_of(language: str) -> Rules:
    """The rules of a language of `LANGUAGES`."""
    told = _read(language)
    found: dict[str, list[Trigger]] = {}
    for kind, (way, state) in _KINDS.items():
        for phrase in told[kind]:
            words = tuple(_TOKEN.findall(folded(phrase)))
            found.setdefault(words[0], []).append(Trigger(words, way, state))
    return Rules(
        language,
        told["version"],
        {first: tuple(sorted(many, key=lambda t: -len(t.words))) for first, many in found.items()},
        frozenset(folded(told["speaks"]).split()),
        frozenset(folded(told["joins"]).split()),
        frozenset(folded(told["abbreviations"]).split()),
    )


@cache
def _stop_words() -> dict[str, frozenset[str]]:
    return {name: frozenset(folded(_read(name)["stop_words"]).split()) for name in LANGUAGES}


@cache
def _read(language: str) -> dict[str, Any]:
    import yaml

    text = files(__package__).joinpath(f"{language}.yaml").read_text(encoding="utf-8")
    quick = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read: dict[str, Any] = yaml.load(text, quick)
    return read


def language_of(text: str) -> str:
    """The language of a text by its small words, "" where nobody can tell.

    >>> language_of("Kein Nachweis eines Ergusses."), language_of("There is no effusion.")
    ('de', 'en')
    >>> language_of("Pas d'épanchement visible."), language_of("No se observa derrame."), \
language_of("1234")
    ('fr', 'es', '')
    """
    counted = Counter(_TOKEN.findall(folded(text[:_SAMPLE])))
    scores = {
        name: sum(counted[word] for word in words & counted.keys())
        for name, words in _stop_words().items()
    }
    ranked = sorted(scores.items(), key=lambda one: -one[1])
    (best, most), (_, second) = ranked[:2]
    return best if most > second and (most >= _LEAST or not second) else ""
