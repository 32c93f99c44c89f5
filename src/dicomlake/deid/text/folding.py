"""Texts in small letters without marks, one character for each: places stay what they were."""

from __future__ import annotations

import unicodedata

_STROKES = {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "’": "'", "‘": "'", "´": "'", "\xa0": " "}


class _Folds(dict[int, str]):
    """What each character becomes; those that no one has met are looked up."""

    def __missing__(self, number: int) -> str:
        small = chr(number).lower()
        small = small if len(small) == 1 else chr(number)
        plain = unicodedata.normalize("NFKD", small)
        base = plain[:1] if len(plain) > 1 and unicodedata.combining(plain[1]) else plain
        found = _STROKES.get(small) or (base if len(base) == 1 else small)
        self[number] = found
        return found


_FOLDS = _Folds()


def folded(text: str) -> str:
    """The text in small letters without marks, as long as it was.

    >>> folded("Jérôme MÜLLER-Weiß")
    'jerome muller-weiß'
    """
    return text.lower() if text.isascii() else text.translate(_FOLDS)


def composed(text: str) -> tuple[str, list[int] | None]:
    """The text with letters and marks in one, and where each character begins; None if unchanged.

    >>> composed("Mu\\u0308ller")
    ('Müller', [0, 1, 3, 4, 5, 6, 7])
    """
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text, None
    parts: list[str] = []
    places: list[int] = []
    begin = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and unicodedata.combining(text[end]):
            continue
        part = unicodedata.normalize("NFC", text[begin:end])
        parts.append(part)
        places += [begin] * len(part)
        begin = end
    return "".join(parts), [*places, len(text)]
