"""Letters and words of descriptions: one spelling for accents, umlauts and capitals."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass

LOST = "\ufffd"
"""Stands for a letter that a wrong character set has destroyed."""
LONGEST = 1024
"""Characters of a description that are read; DICOM allows 64 in most."""

_WORD = re.compile(r"[A-Z]+(?![a-z\ufffd])|[A-Z]?[a-z\ufffd]+|[0-9]+")
_WRITTEN = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l"}
)
_UMLAUT = re.compile("[aou]e")
_QUESTION = re.compile(r"(?<=[A-Za-z])\?(?=[a-z])|(?<=[A-Z])\?(?=[A-Z])")
_BREAKS = re.compile(r"[,;:|()\[\]\n]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is looked up and as it was written.

    `apart`: a comma or the like is before it; `glued`: nothing is.
    """

    folded: str
    raw: str
    apart: bool
    glued: bool = False


def bare(text: str) -> str:
    """A text without accents; what a wrong character set did to it is undone where that is plain.

    >>> bare("Schädel Fuß"), bare("SchÃ¤del")
    ('Schadel Fuss', 'Schadel')
    """
    if "Ã" in text or "Å" in text:
        with suppress(UnicodeError):
            text = text.encode("cp1252").decode("utf-8")
    text = text.translate(_WRITTEN)
    if not text.isascii():
        text = "".join(
            letter for letter in unicodedata.normalize("NFKD", text)
            if not unicodedata.combining(letter)
        )  # fmt: skip
    return _QUESTION.sub(LOST, text) if "?" in text else text


def folded(text: str) -> str:
    """A text as it is compared: small, without accents, umlauts as their plain letters.

    >>> folded("Schädel") == folded("SCHAEDEL") == folded("Schadel")
    True
    """
    return _plain(bare(text).lower())


def _plain(word: str) -> str:
    """A word with umlauts as their plain letters; short ones, such as toe, have none."""
    return word if len(word) < 5 else _UMLAUT.sub(lambda pair: pair[0][0], word)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, folded.

    >>> words_of("THORAX_NATIV"), words_of("L-Wirbelsäule"), words_of("ThoraxAbdomen 3D")
    (('thorax', 'nativ'), ('l', 'wirbelsaule'), ('thorax', 'abdomen', '3', 'd'))
    """
    return tuple(word.folded for word in read(text))


def read(text: str) -> list[Word]:
    """The words of a text in their order."""
    plain = bare(text[:LONGEST])
    if LOST in plain:
        plain = plain.lower()
    found, end = list[Word](), 0
    for match in _WORD.finditer(plain):
        raw = match[0]
        apart = bool(_BREAKS.search(plain, end, match.start()))
        glued = bool(found) and match.start() == end
        found.append(Word(_plain(raw.lower()), raw, apart, glued))
        end = match.end()
    return found
