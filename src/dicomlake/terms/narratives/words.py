"""Words of texts, folded: small letters, without accents, umlauts as people type them, too."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_LIGATURES = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d"}
_UMLAUTS = re.compile("ae|oe|ue")


@lru_cache(maxsize=65536)
def folded(word: str) -> str:
    """A text in small letters without marks.

    >>> folded("Erguß"), folded("Épanchement"), folded("Lungenödem")
    ('erguss', 'epanchement', 'lungenodem')
    """
    small = word.lower()
    if small.isascii():
        return small
    for sign, plain in _LIGATURES.items():
        small = small.replace(sign, plain)
    parts = unicodedata.normalize("NFKD", small)
    return "".join(sign for sign in parts if not unicodedata.combining(sign))


def spellings(word: str) -> tuple[str, ...]:
    """A folded word, and as it is folded where ae, oe, ue were typed for umlauts.

    >>> spellings("Oedem"), spellings("Ödem")
    (('oedem', 'odem'), ('odem',))
    """
    plain = folded(word)
    return tuple(dict.fromkeys((plain, _UMLAUTS.sub(lambda m: m[0][0], plain))))


def found_in(text: str, words: str) -> list[tuple[int, int]]:
    """Where words that follow each other begin in a text and end, whatever their case and marks.

    A word finds longer ones that begin with it when it ends with *, and parts of compounds when it
    begins with it.

    >>> found_in("Großer Pleuraerguß rechts.", "*erguss"), found_in("No edema.", "EDEMA")
    ([(7, 18)], [(3, 8)])
    """
    there = [(m.start(), m.end(), spellings(m[0])) for m in _WORD.finditer(text)]
    wanted = [(spellings(p.strip("*")), p.startswith("*"), p.endswith("*")) for p in words.split()
              if p.strip("*")]  # fmt: skip
    found = []
    for at in range(len(there) - len(wanted) + 1) if wanted else ():
        if all(_fits(there[at + n][2], *one) for n, one in enumerate(wanted)):
            found.append((there[at][0], there[at + len(wanted) - 1][1]))
    return found


def _fits(word: tuple[str, ...], wanted: tuple[str, ...], before: bool, after: bool) -> bool:
    for one in word:
        for other in wanted:
            if one == other:
                return True
            if before and after and other in one:
                return True
            if before and one.endswith(other):
                return True
            if after and one.startswith(other):
                return True
    return False
