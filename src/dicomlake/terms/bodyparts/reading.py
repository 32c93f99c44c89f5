"""What the words of a description say: regions and sides, with the row of a table each rests on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dicomlake.terms.bodyparts.letters import LOST, Word, read
from dicomlake.terms.bodyparts.tables import Row, Tables, shorter

_LONGEST_WORD = 48
_ASKED_WORDS = 6
"""How many words after "rule out" are what is asked about."""

_LEVELS = re.compile(
    r"(?<![A-Za-z0-9])(?:(HWK|BWK|LWK)\s?\d{1,2}"
    r"|(TH|[CTDLS])\s?(\d{1,2})\s?[-/]\s?(TH|[CTDLS])?\s?(\d{1,2}))(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_SPINES = {"c": "122494005", "h": "122494005", "t": "122495006", "d": "122495006",
           "b": "122495006", "l": "122496007"}  # fmt: skip
_HIGHEST = {"c": 7, "t": 12, "d": 12, "l": 5, "s": 5}


@dataclass(frozen=True, slots=True)
class Mention:
    """A row that applies to words of a text, from word `start` to before `end`."""

    row: Row
    words: str
    start: int
    end: int
    codes: tuple[str, ...] = ()
    doubted: bool = False
    near: bool = False
    """The words are written another way than the row has them."""


@dataclass(slots=True)
class Sentence:
    """A description: its words, and the rows that may apply to them, in their order."""

    words: list[Word]
    options: list[tuple[tuple[Row, ...], int, int, bool]]
    levels: list[Mention]


def parse(text: str, tables: Tables) -> Sentence:
    """The words of a text, and all rows that may apply; the longest phrase counts."""
    words, options, at = read(text), list[tuple[tuple[Row, ...], int, int, bool]](), 0
    while at < len(words):
        rows, end, near = _longest(words, at, tables)
        if rows:
            options.append((rows, at, end, near))
        at = end
    return Sentence(words, options, list(_levels(text)))


def votes(sentences: list[Sentence]) -> Counter[str]:
    """How many phrases speak which language and no other."""
    count: Counter[str] = Counter()
    for sentence in sentences:
        for rows, start, end, _ in sentence.options:
            languages = {row.language for row in rows if "hint" not in row.kind}
            if len(languages) == 1 and (language := languages.pop()):
                short = end - start == 1 and len(sentence.words[start].folded) < 3
                count[language] += 0 if short else 1
    return count


def mentions(
    sentence: Sentence, tables: Tables, modality: str, languages: Counter[str]
) -> Iterator[Mention]:
    """Regions and sides that a description names."""
    words, asked, not_shown, after, named = sentence.words, -1, -1, -1, False
    for rows, start, end, near in sentence.options:
        letter = end - start == 1 and len(words[start].folded) == 1
        if letter and not _stands_alone(words, start, after == start):
            continue
        row = _chosen(rows, modality, languages, after == start)
        if row is None:
            continue
        if row.kind in ("doubt", "doubt after"):
            if row.kind == "doubt" or named:
                asked = _until(words, end)
            continue
        if row.kind == "without":
            not_shown = end
            continue
        if row.kind == "quiet" or start == not_shown:
            continue
        after, named = (end if row.codes else -1), named or bool(row.codes)
        said = " ".join(word.raw for word in words[start:end])
        yield Mention(row, said, start, end, row.codes, start < asked, near)
    yield from sentence.levels


def _longest(words: list[Word], at: int, tables: Tables) -> tuple[tuple[Row, ...], int, bool]:
    """Rows of the longest phrase at a word, the end of it, and whether it is spelt otherwise."""
    reach = 1
    while reach < tables.longest and at + reach < len(words) and not words[at + reach].apart:
        reach += 1
    for length in range(reach, 0, -1):
        phrase = tuple(word.folded for word in words[at : at + length])
        rows = tables.phrases.get(phrase)
        if rows is None and length > 1 and len(phrase[-1]) > 3:
            rows = _singular(phrase, tables)
        if rows is not None:
            return rows, at + length, False
    word = words[at].folded
    if len(word) > _LONGEST_WORD or word.isdigit():
        return (), at + 1, False
    if LOST in word:
        known = tables.lossy.get(word.replace(LOST, ""))
        return (tables.phrases.get((known,), ()) if known else ()), at + 1, True
    rows = _singular((word,), tables)
    if rows is not None:
        return rows, at + 1, False
    if rows := _compound(word, tables):
        return rows, at + 1, False
    return _misspelt(word, tables), at + 1, True


def _singular(phrase: tuple[str, ...], tables: Tables) -> tuple[Row, ...] | None:
    last = phrase[-1]
    for ending in ("s", "n", "en", "es", "e"):
        if last.endswith(ending) and len(last) - len(ending) >= 4:
            rows = tables.phrases.get((*phrase[:-1], last.removesuffix(ending)))
            if rows is not None and any(row.kind == "word" for row in rows):
                return rows
    return None


def _compound(word: str, tables: Tables) -> tuple[Row, ...]:
    """The rows of a German compound such as Kniegelenksarthroskopie: of each of its parts."""
    if len(word) < 7:
        return ()
    # the parts that reach a place, found from left to right; a longer part goes first
    reached: dict[int, tuple[str, ...]] = {0: ()}
    for at in range(len(word)):
        if at not in reached:
            continue
        for part in tables.starts.get(word[at : at + 3], ()):
            if word.startswith(part, at):
                for link in ("", "s", "n", "en", "es", "e"):
                    end = at + len(part) + len(link)
                    if end <= len(word) and word.startswith(link, at + len(part)):
                        reached.setdefault(end, (*reached[at], part))
    parts = reached.get(len(word))
    if parts is None:
        best = max(reached)
        parts = reached[best]
        if best >= 6 and len(parts) == 1 and parts[0] not in tables.tails:
            pass  # the beginning is known
        else:
            parts = next(
                ((part,) for at in range(2, len(word) - 4)
                 for part in tables.starts.get(word[at : at + 3], ())
                 if len(part) == len(word) - at and word.endswith(part)
                 and part not in tables.tails),
                (),
            )  # fmt: skip
    if any(part in tables.tails and tables.tails[part].kind == "disease" for part in parts):
        return ()
    rows = [
        row for part in parts for row in tables.phrases.get((part,), ())
        if row.kind == "word" and row.codes and not row.modalities
    ]  # fmt: skip
    codes = tuple(dict.fromkeys(code for row in rows for code in row.codes))
    return (replace(rows[0], codes=codes, language="de"),) if rows else ()


def _misspelt(word: str, tables: Tables) -> tuple[Row, ...]:
    """The rows of the one word that differs by a letter, or by two that changed places."""
    if len(word) < 7:
        return ()
    found = set(tables.near.get(word, ()))
    for short in shorter(word):
        found.update(tables.near.get(short, ()))
    close = [known for known in found if known[0] == word[0] and _one_off(word, known)]
    rows = {tables.phrases.get((known,), ()) for known in close} - {()}
    if len({tuple(row.codes for row in some) for some in rows}) == 1:
        return tuple(row for row in min(rows, key=str) if row.kind in ("word", "quiet"))
    return ()


def _one_off(one: str, other: str) -> bool:
    """Whether two words differ by a letter put in, left out or changed, or two in wrong order."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    a, b = one[start:], other[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


def _chosen(
    rows: tuple[Row, ...], modality: str, languages: Counter[str], after: bool
) -> Row | None:
    """The row that fits modality and language best; `after`: a region stands directly before."""
    best: tuple[int, int, int] | None = None
    found = None
    for row in rows:
        if row.modalities and modality not in row.modalities:
            continue
        rivals = max((n for lang, n in languages.items() if lang != row.language), default=0)
        own = languages.get(row.language, 0)
        if row.kind == "hint" and not (own and own >= rivals):
            continue
        if row.kind == "side hint" and own < rivals and not after:
            continue
        if row.kind == "word" and row.language and len(row.term) < 3 and own < rivals:
            continue
        rank = (own if row.language else 0, bool(row.modalities), row.kind == "word")
        if best is None or rank > best:
            best, found = rank, row
    return found


def _stands_alone(words: list[Word], at: int, after: bool) -> bool:
    """Whether a letter is no part of `L5` or `2d`: a capital, or `after` a region, or all small."""
    if words[at].glued or (at + 1 < len(words) and words[at + 1].glued):
        return False
    return (
        words[at].raw.isupper()
        or (after and words[at].folded in "lrg")
        or all(word.raw.islower() or word.raw.isdigit() for word in words)
    )


def _until(words: list[Word], start: int) -> int:
    """Where what is asked about ends: at a comma, or after some words."""
    for at in range(start + 1, min(start + _ASKED_WORDS, len(words))):
        if words[at].apart:
            return at
    return start + _ASKED_WORDS


def _levels(text: str) -> Iterator[Mention]:
    """Ranges of vertebrae: L3-S1, C4/C7, BWK 12; T1/T2 are weightings."""
    for match in _LEVELS.finditer(text[:1024]):
        letter = (match[1] or match[2])[0].lower()
        if match[2]:
            low, high = int(match[3]), int(match[5])
            second = (match[4] or match[2])[0].lower()
            if not 0 < low <= _HIGHEST[letter] or not 0 < high <= _HIGHEST[second]:
                continue
            if letter == second and (low >= high or (letter == "t" and high < 3)):
                continue
            if letter == "s" or (letter == "d" and second == "d" and high < 6):
                continue
        code = _SPINES.get(letter)
        if code:
            yield Mention(_LEVEL, match[0], len(text), len(text) + 1, (code,))


_LEVEL = Row.of_rule("levels of vertebrae")
