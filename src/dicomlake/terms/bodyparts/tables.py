"""The tables of regions, terms, words and codes, as versioned files; a site's own go on top."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.terms import Code, sheets
from dicomlake.terms.bodyparts.letters import folded, words_of
from dicomlake.terms.mapping import normal

COLUMNS = (
    "kind", "term", "scheme", "language", "modality", "sct_code", "sct_meaning", "grade",
    "laterality", "paired", "parents", "note",
)  # fmt: skip
NEEDED = ("kind", "term", "sct_code")
KINDS = frozenset(
    ["region", "tag", "word", "hint", "code", "modality", "image type", "side", "side hint",
     "side letter", "quiet", "doubt", "doubt after", "without", "tail", "disease"]
)  # fmt: skip
OURS = ("regions.csv", "examined.csv", "codes.csv", "words.csv", "sides.csv", "quiet.csv")


class Grade(IntEnum):
    """How well a target fits its source, by ISO/TR 12300: 1 is best, 5 says that there is none.

    `broader`: the source means more than the target; `narrower`: it means less.

    >>> Grade["equivalent"].value
    2
    """

    equal = 1
    equivalent = 2
    broader = 3
    narrower = 4
    none = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, with where it comes from; `codes` are SCT codes of regions."""

    kind: str
    term: str
    scheme: str
    language: str
    modalities: frozenset[str]
    codes: tuple[str, ...]
    grade: Grade
    laterality: str
    source: str

    @classmethod
    def of_rule(cls, name: str) -> Row:
        """A rule that is written as a program."""
        return cls("rule", name, "", "", frozenset(), (), Grade.narrower, "", "reading 1")

    @property
    def rule(self) -> str:
        """The row as evidence names it: file and version, kind, term, language."""
        language = f" ({self.language})" if self.language else ""
        return f"{self.source}: {self.kind} {self.term}{language}"


@dataclass(frozen=True, slots=True)
class Region:
    """A region of the body, whether it has two sides, and the regions it is part of."""

    code: Code
    paired: bool
    parents: tuple[str, ...]


@dataclass(eq=False, slots=True)
class Tables:
    """What is known: regions, and rows by what they are found by."""

    regions: dict[str, Region] = field(default_factory=dict)
    tags: dict[str, Row] = field(default_factory=dict)
    codes: dict[tuple[str, str], Row] = field(default_factory=dict)
    modalities: dict[str, Row] = field(default_factory=dict)
    image_types: dict[str, Row] = field(default_factory=dict)
    phrases: dict[tuple[str, ...], tuple[Row, ...]] = field(default_factory=dict)
    tails: dict[str, Row] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    longest: int = 1
    lossy: dict[str, str] = field(default_factory=dict)
    near: dict[str, tuple[str, ...]] = field(default_factory=dict)
    starts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _above: dict[str, frozenset[str]] = field(default_factory=dict)

    def above(self, code: str) -> frozenset[str]:
        """All regions that a region is part of, at any distance.

        >>> "816094009" in load().above("39607008"), "816094009" in load().above("72696002")
        (True, False)
        """
        found = self._above.get(code)
        if found is None:
            region, reached = self.regions.get(code), set[str]()
            ways = list(region.parents) if region else []
            while ways:
                one = ways.pop()
                if one not in reached:
                    reached.add(one)
                    ways.extend(self.regions[one].parents if one in self.regions else ())
            found = self._above[code] = frozenset(reached)
        return found

    def agree(self, one: str, other: str) -> bool:
        """Whether two regions may be said of the same picture: the same, or one part of the other.

        >>> load().agree("69536005", "12738006"), load().agree("72696002", "816094009")
        (True, False)
        """
        return one == other or one in self.above(other) or other in self.above(one)

    def code(self, value: str) -> Code:
        """The code of a region, with its meaning."""
        region = self.regions.get(value)
        return region.code if region else Code(value, "SCT")


def load(*sites: str | Path) -> Tables:
    """Our tables, with those of a site on top: the later row of the same kind and term counts.

    A site's row without `sct_code` silences ours. A region that we do not know comes with its
    `sct_meaning`, `paired` (yes or no) and `parents` (SCT codes).

    >>> load().regions["72696002"].code
    Code(value='72696002', scheme='SCT', meaning='Knee')
    """
    return _loaded(tuple(str(site) for site in sites)) if sites else _ours()


@cache
def listed() -> frozenset[str]:
    """The terms that the Standard lists for Body Part Examined (PS3.16 Table L-1).

    >>> "CSPINE" in listed(), "GANZKOERPER" in listed()
    (True, False)
    """
    text = sheets.ours(__package__, "examined.csv")
    rows = sheets.rows("examined.csv", text, COLUMNS, NEEDED)
    return frozenset(raw["term"] for _, raw in rows if raw["note"].startswith("PS3.16 Table L-1"))


@cache
def _ours() -> Tables:
    return _loaded(())


def _loaded(sites: tuple[str, ...]) -> Tables:
    texts = [(name, sheets.ours(__package__, name)) for name in OURS]
    texts += [(Path(site).name, sheets.of_site(site, "body parts")) for site in sites]
    tables, phrases = Tables(), dict[tuple[str, ...], dict[tuple[str, ...], Row]]()
    sources = []
    for name, text in texts:
        sources.append(sheets.stamp(name, text))
        for place, raw in sheets.rows(name, text, COLUMNS, NEEDED):
            _add(tables, phrases, raw, sources[-1], place)
    tables.sources = tuple(sources)
    tables.phrases = {words: tuple(rows.values()) for words, rows in phrases.items()}
    _index(tables)
    return tables


def _add(
    tables: Tables,
    phrases: dict[tuple[str, ...], dict[tuple[str, ...], Row]],
    raw: dict[str, str],
    source: str,
    place: str,
) -> None:
    kind, codes = raw["kind"], tuple(raw["sct_code"].split())
    grade = raw["grade"] or ("equivalent" if codes else "none")
    for column, value, allowed in (
        ("kind", kind, KINDS), ("grade", grade, frozenset(Grade.__members__)),
        ("laterality", raw["laterality"], frozenset(["", "L", "R", "B"])),
    ):  # fmt: skip
        if value not in allowed:
            raise UsageError(
                f"{place}, column {column}: unknown {column} {value!r}. Allowed are "
                f"{', '.join(sorted(filter(None, allowed)))}."
            )
    if kind == "region" and len(codes) != 1:
        raise UsageError(f"{place}, column sct_code: a region has exactly one code.")
    if kind == "region" or (
        raw["sct_meaning"] and len(codes) == 1 and codes[0] not in tables.regions
    ):
        tables.regions[codes[0]] = Region(
            Code(codes[0], "SCT", raw["sct_meaning"]),
            raw["paired"] == "yes",
            tuple(raw["parents"].split()),
        )
    for code in codes:
        if code not in tables.regions:
            raise UsageError(
                f"{place}, column sct_code: nothing is known of the region {code}. Give its "
                "sct_meaning, too."
            )
    if kind == "region":
        return
    modalities = frozenset(raw["modality"].split())
    row = Row(
        kind, raw["term"], raw["scheme"], raw["language"], modalities, codes, Grade[grade],
        raw["laterality"], source,
    )  # fmt: skip
    if kind == "tag":
        tables.tags[squeezed(row.term)] = row
    elif kind == "code":
        tables.codes[normal(row.term, row.scheme)] = row
    elif kind == "modality":
        tables.modalities[row.term] = row
    elif kind == "image type":
        tables.image_types[row.term] = row
    elif kind in ("tail", "disease"):
        tables.tails[folded(row.term)] = row
    else:
        words = words_of(row.term)
        if not words:
            raise UsageError(f"{place}, column term: the term {row.term!r} has no letters.")
        same = phrases.setdefault(words, {})
        if kind == "word" and any(r.source != source for r in same.values()):
            same.clear()  # a site's word instead of all of ours
        same[(kind.split()[0], row.language, *sorted(modalities), *_distinct(kind, codes))] = row
        for word in re.findall(r"\w+", row.term):
            if not word.isascii():
                lost = re.sub(r"[^\x00-\x7f]", "", word).lower()
                if len(lost) >= 3:
                    tables.lossy.setdefault(lost, folded(word))


def _distinct(kind: str, codes: tuple[str, ...]) -> tuple[str, ...]:
    return codes if kind == "hint" else ()


def squeezed(term: str) -> str:
    """A term of Body Part Examined without what people put in or leave out.

    >>> squeezed("C_SPINE"), squeezed(" Chest ")
    ('cspine', 'chest')
    """
    return "".join(words_of(term))


_SHORTEST = 6


def _index(tables: Tables) -> None:
    tables.longest = max((len(words) for words in tables.phrases), default=1)
    near: dict[str, set[str]] = {}
    starts: dict[str, set[str]] = {}
    alone = {words[0] for words in tables.phrases if len(words) == 1}
    for word in alone | {w for words in tables.phrases for w in words if len(w) > _SHORTEST}:
        if len(word) >= _SHORTEST:
            for short in {word, *shorter(word)}:
                near.setdefault(short, set()).add(word)
    for words, rows in tables.phrases.items():
        if len(words) == 1 and len(words[0]) >= 4 and any(r.kind == "word" for r in rows):
            starts.setdefault(words[0][:3], set()).add(words[0])
    for tail in tables.tails:
        if len(tail) >= 2:
            starts.setdefault(tail[:3], set()).add(tail)
    tables.near = {short: tuple(sorted(found)) for short, found in near.items()}
    tables.starts = {
        start: tuple(sorted(found, key=lambda w: (-len(w), w))) for start, found in starts.items()
    }


def shorter(word: str) -> Iterable[str]:
    """A word with any one letter left out."""
    return (word[:at] + word[at + 1 :] for at in range(len(word)))
