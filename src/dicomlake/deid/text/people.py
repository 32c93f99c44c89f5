"""Names of people by what stands before them: titles, labels, signatures, and given names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dicomlake.contracts.deid import Span
from dicomlake.deid.text.folding import folded
from dicomlake.deid.text.languages import NAME, Rules

MOST = 5
"""Names that one person has, at most."""

_WORD = re.compile(r"[^\W\d_]+")
_PIECE = re.compile(
    r"(?P<initial>[A-ZÄÖÜÉ]\.(?:[ ]?-?[A-ZÄÖÜÉ]\.)*)"
    rf"|(?P<name>{NAME})"
    r"|(?P<initial1>[A-ZÄÖÜÉ](?![\w.]))"
    r"|(?P<small>[^\W\d_]{1,4}['’]?)"
)
_GAP = re.compile(r"(?P<comma>[ \t]*,[ \t]?)|[ \t](?![ \t])|(?P<caret>[\^_]+)|(?=-)")
_ALSO = re.compile(r"[ \t]*(?:,|/|&|\+|\band\b|\bund\b|\bet\b|\by\b)[ \t]*")
_LABEL = re.compile(r"[ \t]?:")
_COLON = re.compile(r"[:=][ \t]*\n?[ \t]*")
_CAPITAL = r"[A-ZÀ-ÖØ-Þ](?:['’][A-ZÀ-ÖØ-Þ])?[a-zß-öø-ÿ]+(?:['’-]?[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+){0,3}"
_TWO = re.compile(
    rf"(?<![\w'’-])({_CAPITAL})"
    r"[ ](?:(?:de|del|la|las|los|le|du|des|van|von|der|den|Le|La|De|Van)[ ]){0,2}"
    rf"({_CAPITAL})(?!\w)"
)
_GERMAN = re.compile(
    r"\b(?:der|die|das|und|mit|nicht|bei|wurde|vom|ist|keine?|ohne)\b.*"
    r"\b(?:der|die|das|und|mit|nicht|bei|wurde|vom|ist|keine?|ohne)\b",
    re.DOTALL,
)
_WEAK = frozenset("m d h c".split())
_PLURAL = frozenset("drs dres sres mm mmes herren doctors".split())
_BACK = 60


def people(text: str, small: str, rules: Rules) -> Iterator[Span]:
    """Spans of names; `small` is the folded text."""
    words = [(m.start(), m.end(), small[m.start() : m.end()]) for m in _WORD.finditer(text)]
    for begin, end, word in words:
        if word in rules.titles and (begin == 0 or text[begin - 1] not in "-'’"):
            yield from _after_title(text, begin, end, word, rules)
        elif word in rules.kin:
            yield from _after_kin(text, end, rules)
    yield from _given(text, words, rules)
    if _is_narrative(text):
        yield from _two_capitals(text, small, rules)
    for lives in rules.living.finditer(text):
        found = person_at(text, lives.end(), rules, labelled=True)
        if found:
            yield Span(*found, "place", "home")
    for colon in _COLON.finditer(text):
        before = text[max(0, colon.start() - _BACK) : colon.start() + 1]
        if rules.labels["names"].search(before):
            found = person_at(text, colon.end(), rules, labelled=True)
            if found:
                yield Span(*found, "name", "label")
    for rule, pattern in (("signature", rules.signed), ("maiden name", rules.maiden)):
        for match in pattern.finditer(text):
            found = person_at(text, match.end(), rules, labelled=rule == "signature")
            if found:
                yield Span(*found, "name", rule)
    for match in rules.closings.finditer(text):
        yield from _signatures(text, match.end(), rules)


def _after_title(text: str, begin: int, end: int, word: str, rules: Rules) -> Iterator[Span]:
    if not text[begin].isupper():
        return
    dotted = text[end : end + 1] in ".ªº"
    at = end + (1 if dotted else 0)
    if len(word) < 3 and text[begin:end].isupper() and not dotted:
        return  # MR, DR, PD and SR are modalities and contrasts
    if len(word) < 3 and word not in ("dr", "pr", "mr", "ms", "oa", "sr", "pd") and not dotted:
        return
    gap = re.compile(r"[ \t]*\n?[ \t]*" if dotted else r"[ \t]+\n?[ \t]*|\n[ \t]*").match(text, at)
    if gap is None:
        return
    found = person_at(text, gap.end(), rules, strong=word not in _WEAK)
    if found is None:
        return
    yield Span(*found, "name", "title")
    while word in _PLURAL:
        also = _ALSO.match(text, found[1])
        found = person_at(text, also.end(), rules, strong=True) if also else None
        if found is None:
            return
        yield Span(*found, "name", "title")


def _after_kin(text: str, end: int, rules: Rules) -> Iterator[Span]:
    """A person after what it is to somebody: "his daughter Jane Doe", "Tochter (Jana)"."""
    gap = re.compile(r"[ \t]*[,(]?[ \t\n]*").match(text, end)
    found = person_at(text, gap.end(), rules) if gap and gap.end() > end else None
    if found:
        yield Span(*found, "name", "relation")


def _is_narrative(text: str) -> bool:
    """Whether a text is written in sentences, unlike descriptions of series."""
    return len(text) > 60 and ("\n" in text or text.count(" ") > 8)


def _two_capitals(text: str, small: str, rules: Rules) -> Iterator[Span]:
    """Two words with capitals that are nothing else; not in German, where nouns have them."""
    if "de" in rules.languages and _GERMAN.search(small):
        return
    for found in _TWO.finditer(text):
        first, second = small[slice(*found.span(1))], small[slice(*found.span(2))]
        pair = [first, second]
        if any(
            word in rules.words or word in rules.titles or word in rules.months
            or word in rules.suffixes or word in rules.kin or word in rules.units
            or word in rules.beside
            for word in pair
        ):  # fmt: skip
            continue
        ordinary = sum(
            all(part in rules.eponyms | rules.ordinary for part in re.split(r"[-'’]", word))
            for word in pair
        )
        if ordinary > 1 or (rules.eponyms & set(pair) and first not in rules.given):
            continue
        whole = person_at(text, found.start(), rules)
        yield Span(*(whole or found.span()), "name", "two capitals")


def _given(text: str, words: list[tuple[int, int, str]], rules: Rules) -> Iterator[Span]:
    for number, (begin, end, word) in enumerate(words):
        if word not in rules.given or word in rules.ordinary or not text[begin].isupper():
            continue
        if begin and (text[begin - 1].isalnum() or text[begin - 1] in "'’"):
            continue
        found = person_at(text, begin, rules)
        if found and found[1] > end and not _eponyms(text, found, rules):
            yield Span(*found, "name", "given name")
        previous = words[number - 1] if number else None
        if previous and re.fullmatch(r"[ \t]*,[ \t]*|\^", text[previous[1] : begin]):
            before, until, family = previous
            if text[before].isupper() and _may_be(family, rules) and family not in rules.eponyms:
                yield Span(before, max(until, found[1] if found else end), "name", "given name")


def _eponyms(text: str, found: tuple[int, int], rules: Rules) -> bool:
    return all(
        folded(word) in rules.eponyms | rules.given for word in _WORD.findall(text[slice(*found)])
    ) and any(folded(word) in rules.eponyms for word in _WORD.findall(text[slice(*found)]))


def _signatures(text: str, at: int, rules: Rules) -> Iterator[Span]:
    """Names on the lines below a closing, until one that has none."""
    for _ in range(4):
        end = text.find("\n", at)
        line_end = len(text) if end < 0 else end
        found = person_at(text, at, rules, labelled=True)
        if found:
            yield Span(*found, "name", "signature")
        elif text[at:line_end].strip() and not _WORD.search(text, at, line_end):
            return
        at = line_end + 1
        while at < len(text) and text[at] in " \t\n":
            at += 1
        if at >= len(text):
            return


def _may_be(word: str, rules: Rules) -> bool:
    return len(word) > 1 and word not in rules.words and word not in rules.titles


def person_at(
    text: str, at: int, rules: Rules, *, strong: bool = False, labelled: bool = False
) -> tuple[int, int] | None:
    """From where to where a person is named at this place; None when nobody is.

    `strong`: a title stands before it, so that an ordinary word or an eponym may be the name;
    `labelled`: a label does, and the family name may come first.
    """
    begin = end = -1
    names, only_given, commas = 0, True, 0
    while names < MOST:
        piece = _PIECE.match(text, at)
        if piece is None:
            break
        word = folded(piece[0])
        at = piece.end()
        kind = piece.lastgroup
        if kind == "small" and not names and word in rules.degrees:
            at += 1 if text[at : at + 1] == "." else 0
        elif kind == "small" and word.strip("'’") not in rules.particles:
            break
        elif kind == "name" and word in rules.particles:
            begin = piece.start() if begin < 0 else begin
        elif kind == "name":
            if word in rules.titles and (begin < 0 or text[at : at + 1] == "."):
                if names:
                    break
                begin = end = -1
                at += 1 if text[at : at + 1] == "." else 0
                strong = strong or word not in _WEAK
            else:
                whole = word[:-2] if word.endswith(("'s", "’s")) else word
                if not _named(whole, rules, strong or labelled, only_given or names == 1):
                    break
                if names and (whole in rules.suffixes or _LABEL.match(text, at)):
                    break
                begin = piece.start() if begin < 0 else begin
                end = at - (len(word) - len(whole))
                names += 1
                only_given = only_given and whole in rules.given
                if whole != word:
                    break
        elif kind in ("initial", "initial1"):
            if kind == "initial1" and not names and not strong and not labelled:
                break
            begin = piece.start() if begin < 0 else begin
            end = at if names or kind == "initial" else end
        elif kind == "small" and begin < 0:
            begin = piece.start()
        gap = _GAP.match(text, at)
        if gap is None:
            break
        if gap["comma"] is not None:
            commas += 1
            if commas > 1 or not names or not _goes_on(text, gap.end(), rules, labelled):
                break
        at = gap.end() + (1 if text[gap.end() : gap.end() + 1] == "-" else 0)
    return (begin, end) if names and end > begin >= 0 else None


def _named(word: str, rules: Rules, strong: bool, first: bool) -> bool:
    """Whether a word may be a name: after a title even one that is a word, as "Hand" is."""
    if word in rules.ordinary:
        return first and (strong or word not in rules.words)
    if word in rules.words or word in rules.months:
        return False
    if all(part in rules.eponyms for part in re.split(r"[-'’]", word)):
        return strong
    return len(word) > 1


def _goes_on(text: str, at: int, rules: Rules, labelled: bool) -> bool:
    """Whether a given name follows the comma."""
    piece = _PIECE.match(text, at)
    if piece is None or piece.lastgroup == "small":
        return False
    word = folded(piece[0])
    if piece.lastgroup != "name":
        return text[piece.end() : piece.end() + 1] in ("", " ", "\n", ",", ";", ")")
    if word in rules.titles or word in rules.words or word in rules.suffixes:
        return False
    return labelled or word in rules.given
