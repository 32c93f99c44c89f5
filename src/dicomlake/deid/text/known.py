"""What is known of a person, found in texts however it is written (one expression per patient)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from dicomlake.contracts.deid import Kind, Known, Span
from dicomlake.deid.text.folding import folded
from dicomlake.deid.text.languages import Rules

LONG = 7
"""Letters of a name that is found inside of words, too."""

_BETWEEN = r"[\s,;^_./\-]{1,3}"
_NEAR = r"[\s,;^_./\-]{0,3}"
_FREE, _ENDS = r"(?<![^\W\d_])", r"(?![^\W\d_])"
_LETTERS = re.compile(r"[^\W\d_]+")
_GROUPS: dict[str, Kind] = {
    "pair": "name", "name": "name", "short": "name", "eponym": "name", "id": "id",
    "phone": "phone", "mail": "mail", "url": "url", "date": "date", "place": "place",
    "word": "place", "other": "other", "age": "age",
}  # fmt: skip


class Dictionary:
    """Finds what is known of a person, in any case, order and spelling."""

    def __init__(self, known: Iterable[Known], rules: Rules) -> None:
        self._rules = rules
        self.dates: set[str] = set()
        """The known dates (DA)."""
        self._seeds: set[str] = set()  # how what is known begins: texts without them are done
        found: dict[str, set[str]] = {name: set() for name in _GROUPS}
        for one in known:
            text = unicodedata.normalize("NFC", one.text).strip()
            if text:
                self._take(one.kind, text, found)
        self._pattern = _alternatives(found)
        self._begins = re.compile("|".join(sorted(self._seeds))) if self._seeds else None

    def spans(self, text: str, small: str) -> Iterator[Span]:
        """Spans of what is known; `small` is the folded text."""
        if self._pattern is None or self._begins is None or not self._begins.search(small):
            return
        for found in self._pattern.finditer(small):
            group = found.lastgroup or ""
            if group == "short" and not _titled(text[found.start() : found.end()]):
                continue
            if group == "eponym" and _beside(small, found, self._rules):
                continue
            if group == "word" and not text[found.start()].isupper():
                continue
            yield Span(found.start(), found.end(), _GROUPS[group], "known")

    def _take(self, kind: Kind, text: str, found: dict[str, set[str]]) -> None:
        if kind == "name":
            for group in text.split("="):
                self._name(group, found)
        elif kind == "date":
            self._date(text, found)
        elif kind == "place":
            self._place(text, found)
        elif kind == "id":
            self._id(text, found)
        elif kind == "phone":
            digits = re.findall(r"\d", text)
            if len(digits) >= 5:
                self._seeds.add(digits[0] + r"[\s()./\-]{0,3}" + digits[1])
                found["phone"].add(r"(?<!\d)" + r"[\s()./\-]{0,3}".join(digits) + r"(?!\d)")
        elif kind == "age":
            number = re.search(r"\d+", text)
            if number and int(number[0]) > 89:
                self._seeds.add(f"{int(number[0])}[ ]?y")
                found["age"].add(rf"(?<!\d)0?{int(number[0])}[ ]?y(?![^\W_])")
        elif len(text) > 2:
            self._seeds.update(map(_begin, re.findall(r"[^\W_]+", text)[:1]))
            found[kind].add(_FREE + _phrase(text) + _ENDS)

    def _name(self, text: str, found: dict[str, set[str]]) -> None:
        family, given = _parts(text, self._rules)
        alone = [word for word in family + given if len(word) > 1]
        self._seeds.update(map(_begin, family + given))
        for first, second in _pairs(family, given):
            found["pair"].update(_both(first, second, self._is_word))
        for word in alone:
            if folded(word) in self._rules.eponyms - self._rules.alone:
                found["eponym"].add(_FREE + spelled(word) + r"(?:'?s)?" + _ENDS)
            elif self._is_word(word) or (word.isascii() and len(word) < 3):
                continue
            elif not word.isascii() and _is_dense(word):
                found["name"].add(re.escape(folded(word)))
            elif len(word) < 4:
                found["short"].add(_FREE + spelled(word) + _ENDS)
            elif len(word) >= LONG:
                found["name"].add(spelled(word))
            else:
                found["name"].add(_FREE + spelled(word) + r"(?:'?s)?" + _ENDS)
        whole = [word for word in (*family, *given)]
        if len(whole) > 1 and all(map(_is_dense, whole)):
            found["pair"].add(r"\s?".join(re.escape(folded(word)) for word in whole))

    def _is_word(self, name: str) -> bool:
        """Whether a name means something else, too, so that it takes more to find it."""
        small = folded(name)
        return any(small in words for words in (
            self._rules.ordinary, self._rules.words, self._rules.eponyms, self._rules.months,
            self._rules.units,
        ))  # fmt: skip

    def _id(self, text: str, found: dict[str, set[str]]) -> None:
        runs = re.findall(r"[^\W\d_]+|\d+", folded(text))
        size = sum(map(len, runs))
        if not any(run.isdigit() for run in runs):
            if size >= 4 and folded(text) not in self._rules.words:
                self._seeds.add(_begin(runs[0]))
                found["id"].add(_FREE + _phrase(text) + _ENDS)
            return
        if size < 4:
            return
        runs[0] = runs[0].lstrip("0") or "0" if runs[0].isdigit() else runs[0]
        gap = r"[\s._/\-]?"
        start = r"(?<!\d)0*" if runs[0].isdigit() else _FREE
        end = r"(?!\d)" if runs[-1].isdigit() else _ENDS
        inner = gap.join(map(re.escape, runs))
        if len(runs) == 1 and len(runs[0]) in (8, 9, 10, 12):
            inner = r"[ ]?".join(runs[0])
        second = gap + runs[1][0] if len(runs) > 1 and len(runs[0]) < 3 else ""
        self._seeds.add(r"[ ]?".join(runs[0][:3]) + second)
        guard = r"(?<![.,])" if size < 6 and len(runs) == 1 else ""
        found["id"].add(f"{guard}{start}{inner}{end}" + (r"(?![.,]\d)" if guard else ""))

    def _date(self, text: str, found: dict[str, set[str]]) -> None:
        digits = re.sub(r"\D", "", text)[:8]
        if len(digits) != 8:
            return
        self.dates.add(digits)
        year, month, day = digits[:4], digits[4:6], digits[6:]
        for spelling in (day + month + year, month + day + year, year + month + day):
            self._seeds.add(spelling[:4])
            found["date"].add(rf"(?<!\d){spelling}(?!\d)")
        for spelling in (year[2:] + month + day, day + month + year[2:]):
            self._seeds.add(spelling[:4])
            found["date"].add(rf"(?<![\d.,]){spelling}(?![\d.,])")

    def _place(self, text: str, found: dict[str, set[str]]) -> None:
        for part in re.split(r"[\^\\\n;]+", text):
            words = _LETTERS.findall(part)
            pieces = re.findall(r"[^\W_]+", part)[:2]
            self._seeds.add(r"[\W_]{0,3}".join(map(_begin, pieces)) or r"(?!)")
            telling = [word for word in words if folded(word) not in self._rules.words]
            alone = len(words) == 1 and (self._is_word(words[0]) or len(words[0]) < 4)
            if telling and not alone:
                found["place"].add(_FREE + _phrase(part.strip()) + _ENDS)
            for word in words:
                if (
                    len(word) > 4
                    and not self._is_word(word)
                    and folded(word) not in self._rules.given
                ):
                    self._seeds.add(_begin(word))
                    found["word"].add(_FREE + spelled(word) + r"(?:er)?" + _ENDS)


def _alternatives(found: dict[str, set[str]]) -> re.Pattern[str] | None:
    """One expression for all, longest first, in groups by what they are."""
    parts = [
        f"(?P<{group}>{'|'.join(sorted(patterns, key=lambda p: (-len(p), p)))})"
        for group, patterns in found.items()
        if patterns
    ]
    return re.compile("|".join(parts)) if parts else None


def _begin(word: str) -> str:
    """An expression for how all spellings of a word begin."""
    end = 4
    while end > 1 and word[end - 1 : end + 1].lower() in ("ss", "sz"):
        end -= 1
    return spelled(word[:end])


def _parts(text: str, rules: Rules) -> tuple[list[str], list[str]]:
    """The words of the family name and those of the given names; no titles, no particles."""
    if "^" in text:
        family, given = text.split("^")[0], " ".join(text.split("^")[1:3])
    elif "," in text:
        family, given = text.split(",", 1)
    else:
        words = text.split()
        family, given = (words[-1], " ".join(words[:-1])) if words else ("", "")
    return _words(family, rules), _words(given, rules)


def _words(text: str, rules: Rules) -> list[str]:
    """Words of a name: those with a hyphen whole, and their parts."""
    found: list[str] = []
    for word in re.split(r"[\s,._]+", text.strip()):
        plain = word.strip("'’-()[]*\"")
        if not plain or not any(map(str.isalpha, plain)):
            continue
        small = folded(plain)
        if small in rules.particles or small in rules.titles or small in rules.suffixes:
            continue
        found.append(plain)
        found += [part for part in re.split(r"[-'’]", plain) if len(part) > 2 and part != plain]
    return found


def _pairs(family: Sequence[str], given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for one in family:
        for other in given:
            yield one, other
    for words in (family, given):
        yield from pairwise(words)


def _both(family: str, given: str, is_word: object) -> Iterator[str]:
    """Both names in both orders, and the family name with an initial."""
    assert callable(is_word)
    one, other = spelled(family), spelled(given)
    if folded(family) == folded(given):
        return
    near = _BETWEEN if is_word(family) or is_word(given) or len(family) < 3 else _NEAR
    yield f"{_FREE}{one}{near}{other}{_ENDS}"
    yield f"{_FREE}{other}{near}{one}{_ENDS}"
    first = re.escape(folded(given[0]))
    if not (is_word(family) and first in "lr"):
        yield rf"{_FREE}{first}\.[\s_^\-]{{0,2}}{one}{_ENDS}"
        yield rf"{_FREE}{one}[,^]?[\s_^]{{0,2}}{first}(?:\.|(?=\^))"
        if not is_word(family):
            yield rf"{_FREE}{one}[,^][\s_^]{{0,2}}{first}{_ENDS}"


def spelled(word: str) -> str:
    """An expression for a word in all its spellings, for folded texts.

    >>> bool(re.fullmatch(spelled("Müller"), "mueller"))
    True
    """
    parts: list[str] = []
    at = 0
    lower = word.lower()
    while at < len(lower):
        char, pair = lower[at], lower[at : at + 2]
        if char in "äöüæœ" or pair in ("ae", "oe", "ue"):
            base = {"æ": "a", "œ": "o"}.get(char, folded(char))
            joined = {"a": "|æ", "o": "|œ"}.get(base, "")
            lost = r"|\?|\ufffd" if char in "äöü" else ""
            parts.append(f"(?:{base}e?{joined}{lost})")
            at += 1 if char in "äöüæœ" else 2
            continue
        if char == "ß" or pair == "ss":
            parts.append(r"(?:ss?|ß|sz|\?|\ufffd)" if char == "ß" else "(?:ss?|ß)")
            at += 1 if char == "ß" else 2
            continue
        if char in "-'’":
            parts.append(r"[\s'\-_.]{0,2}")
        elif char == "\u00f8":
            parts.append("(?:oe?)")
        elif char.isascii():
            parts.append(re.escape(char))
        else:
            plain = re.escape(folded(char))
            parts.append(rf"(?:{plain}|\?|\ufffd)" if plain.isascii() else plain)
        at += 1
    return "".join(parts)


def _phrase(text: str) -> str:
    """An expression for words in this order, with anything short between them."""
    pieces = re.findall(r"[^\W_]+", text)
    return r"[\W_]{0,3}".join(spelled(piece) for piece in pieces) or r"(?!)"


def _is_dense(word: str) -> bool:
    """Whether a script has no spaces between words, and no capitals."""
    return all("\u2e80" <= char <= "\ufaff" or "\uff00" <= char <= "\uffef" for char in word)


def _beside(small: str, found: re.Match[str], rules: Rules) -> bool:
    """Whether a name is an eponym here: a word such as "disease" stands beside it."""
    before = _LETTERS.findall(small[max(0, found.start() - 24) : found.start()])[-2:]
    after = _LETTERS.findall(small[found.end() : found.end() + 24])[:2]
    known = rules.beside | rules.eponyms
    return any(word in known for word in [*before, *after])


def _titled(text: str) -> bool:
    return text[:1].isupper() and not text.isupper()
