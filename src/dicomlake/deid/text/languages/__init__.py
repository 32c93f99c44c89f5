"""What each language says around names, numbers and dates: rule files, one per language."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from dicomlake.deid.text.folding import folded
from dicomlake.errors import UsageError
from dicomlake.terms.sheets import ours

LANGUAGES = ("en", "de", "fr", "es")
"""Those that we have rules of."""

NAME = (
    r"(?:(?:Mc|Mac|O['’]|D['’]|L['’])?[A-ZÀ-ÖØ-ÞŁŚŞŠŻŽČĆĞİŐŰ]"
    r"(?:[^\W\d_]+|(?=['’][^\W\d_]))(?:['’-][^\W\d_]+)*)"
)
"""A word with a capital, which may be that of a name."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of some languages together; words are folded, patterns are compiled."""

    languages: tuple[str, ...]
    versions: Mapping[str, int]
    months: Mapping[str, int]
    spellings: Mapping[str, tuple[tuple[str, ...], ...]]
    """Names of months of each language, those of January first."""
    orders: frozenset[str]
    """Whether days come before months: dmy, mdy."""
    titles: frozenset[str]
    suffixes: frozenset[str]
    particles: frozenset[str]
    degrees: frozenset[str]
    kin: frozenset[str]
    """What people are to one another."""
    given: frozenset[str]
    ordinary: frozenset[str]
    """Names that are words too."""
    words: frozenset[str]
    """Words that are no names."""
    eponyms: frozenset[str]
    alone: frozenset[str]
    """Eponyms that mean something without a word beside them."""
    beside: frozenset[str]
    """Words beside eponyms, as "disease" is."""
    units: frozenset[str]
    schemes: frozenset[str]
    before_models: frozenset[str]
    labels: Mapping[str, re.Pattern[str]]
    """What ends before a name, an id, a phone number, a place or a date."""
    signed: re.Pattern[str]
    closings: re.Pattern[str]
    maiden: re.Pattern[str]
    living: re.Pattern[str]
    """What stands before a place where somebody lives."""
    shapes: Mapping[str, tuple[re.Pattern[str], ...]]
    """Ages, addresses, postcodes with places, and institutions."""
    before_dates: str
    before_years: str


def rules_of(languages: Sequence[str]) -> Rules:
    """The rules of these languages; UsageError for one that has none.

    >>> rules_of(["de"]).months["marz"]
    3
    """
    asked = tuple(dict.fromkeys(languages))
    missing = [name for name in asked if name not in LANGUAGES]
    if missing or not asked:
        raise UsageError(
            f"There are no rules for texts in {', '.join(missing) or 'no language'}. "
            f"There are: {', '.join(LANGUAGES)}."
        )
    return _rules(asked)


@lru_cache(maxsize=32)
def _rules(languages: tuple[str, ...]) -> Rules:
    every = [_read(name) for name in languages]
    common = _read("common")
    spellings = {
        name: tuple(tuple(map(folded, month)) for month in one["months"])
        for name, one in zip(languages, every, strict=True)
    }
    months = {
        word: number
        for spelled in spellings.values()
        for number, month in enumerate(spelled, 1)
        for word in month
    }

    def words(key: str) -> frozenset[str]:
        return frozenset(folded(word) for one in every for word in _words(one[key]))

    def joined(key: str) -> str:
        return "|".join(part for one in every for part in one[key])

    return Rules(
        languages=languages,
        versions={name: one["version"] for name, one in zip(languages, every, strict=True)},
        months=months,
        spellings=spellings,
        orders=frozenset(one["order"] for one in every),
        titles=words("titles"),
        suffixes=words("suffixes"),
        particles=frozenset(_words(common["particles"])),
        degrees=frozenset(_words(common["degrees"])),
        kin=words("kin"),
        given=words("given"),
        ordinary=_everywhere("also"),
        words=_everywhere("words") | _anatomy(),
        eponyms=frozenset(folded(word) for word in _words(common["eponyms"])),
        alone=frozenset(folded(word) for word in _words(common["alone"])),
        beside=frozenset(folded(word) for word in _words(common["beside"])),
        units=frozenset(_words(common["units"])),
        schemes=frozenset(folded(word) for word in _words(common["schemes"])),
        before_models=frozenset(folded(word) for word in _words(common["versions"])),
        labels={kind: _before(joined(kind)) for kind in "names ids phones places dates".split()},
        signed=re.compile(rf"(?<!\w)(?i:{joined('signed')})(?!\w)[ \t]*:?\s*"),
        closings=re.compile(rf"(?<!\w)(?i:{joined('closings')})[ \t]*[,.!]?[ \t]*\n\s*"),
        living=re.compile(rf"(?<!\w)(?i:{'|'.join(one['living'] for one in every)})[ \t]+"),
        maiden=re.compile(rf"(?<!\w)(?i:{joined('maiden')})[ \t]+"),
        shapes={
            key: tuple(re.compile(r"(?<![^\W\d_])" + part.replace("{Name}", NAME), re.MULTILINE)
                       for one in every for part in one[key])
            for key in ("addresses", "postcodes", "institutions")
        } | {"ages": tuple(re.compile(r"(?<![\d.,/-])(?i:" + part + ")")
                           for one in every for part in one["ages"])},
        before_dates="|".join(sorted(words("before_dates"))),
        before_years="|".join(sorted((folded(p) for one in every for p in one["before_years"]),
                                     key=len, reverse=True)),
    )  # fmt: skip


@cache
def _read(name: str) -> dict[str, Any]:
    import yaml

    text = files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    quick = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read: dict[str, Any] = yaml.load(text, quick)
    return read


def _words(told: str | list[str]) -> list[str]:
    return told.split() if isinstance(told, str) else [str(word) for word in told]


def _everywhere(key: str) -> frozenset[str]:
    """Words of all languages: what is a word in one may be written in a report of another."""
    return frozenset(folded(w) for name in LANGUAGES for w in _words(_read(name)[key]))


@lru_cache(maxsize=1)
def _anatomy() -> frozenset[str]:
    """Words of body parts, planes and contrast agents, as descriptions of series use them."""
    packages = ("dicomlake.terms.bodyparts", "dicomlake.terms.seriestypes")
    lines = [line for package in packages for line in ours(package, "words.csv").splitlines()]
    terms = [line.split(",")[1] for line in lines if line.count(",") > 1 and line[0] != "#"]
    return frozenset(folded(word) for term in terms for word in re.findall(r"[^\W\d_]+", term))


def _before(labels: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?i:{labels})[ \t]*[:=#.]?[ \t]*\Z")
