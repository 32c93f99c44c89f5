"""Encode text the way Specific Character Set asks for (PS3.3 C.12.1.1.2, PS3.5 6.1)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from dicomlake.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WHOLE = {"ISO_IR 192": "utf-8", "GB18030": "gb18030", "GBK": "gbk"}
"""Sets without escape sequences, for a value as a whole."""

# number in the label -> (Python codec, escape sequence that selects it, code element: G0 or G1)
_SETS = {
    "6": ("ascii", b"\x1b(B", 0),
    "13": ("shift_jis", b"\x1b)I", 1),
    "58": ("gb2312", b"\x1b$)A", 1),
    "87": ("iso2022_jp", b"\x1b$B", 0),
    "100": ("latin-1", b"\x1b-A", 1),
    "101": ("iso8859-2", b"\x1b-B", 1),
    "109": ("iso8859-3", b"\x1b-C", 1),
    "110": ("iso8859-4", b"\x1b-D", 1),
    "126": ("iso8859-7", b"\x1b-F", 1),
    "127": ("iso8859-6", b"\x1b-G", 1),
    "138": ("iso8859-8", b"\x1b-H", 1),
    "144": ("iso8859-5", b"\x1b-L", 1),
    "148": ("iso8859-9", b"\x1b-M", 1),
    "149": ("euc_kr", b"\x1b$)C", 1),
    "159": ("iso2022_jp_2", b"\x1b$(D", 0),
    "166": ("tis-620", b"\x1b-T", 1),
    "203": ("iso8859-15", b"\x1b-b", 1),
}
_ASCII = b"\x1b(B"
_ROMAN = b"\x1b(J"
_MANY_BYTES = frozenset(["58", "87", "149", "159"])
_LABEL = re.compile(r"ISO[ _-]?(?:2022|IR)?[ _-]*(?:IR)?[ _-]*(\d+)")
_ENDS = re.compile(r"([\\\r\n\f\t])")
_NAME_ENDS = re.compile(r"([\\^=])")


class Charset:
    """The sets that a Specific Character Set lists, ready to encode text.

    >>> charset_of("ISO_IR 144").encode("Да")
    b'\\xb4\\xd0'
    >>> charset_of("\\\\ISO 2022 IR 87").encode("Mihon^Hana=見本^花", name=True)
    b'Mihon^Hana=\\x1b$B8+K\\\\\\x1b(B^\\x1b$B2V\\x1b(B'
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self._whole = _WHOLE.get(labels[0], "") if labels else ""
        self._names = [] if self._whole else [_name_of(label) for label in labels]
        self._first = self._names[0] if self._names else "6"

    def encode(self, text: str, *, name: bool = False) -> bytes:
        """Bytes of a text; `name` when it is a PN, where ^ and = end an escape as well."""
        if text.isascii():
            return text.encode("ascii")
        if self._whole:
            return text.encode(self._whole)
        ends = _NAME_ENDS if name else _ENDS
        return b"".join([self._run(part) for part in ends.split(text)])

    def _run(self, text: str) -> bytes:
        """One stretch between delimiters: each begins in the first set and returns to ASCII."""
        if text.isascii():
            return text.encode("ascii")
        start = low = _ROMAN if self._first == "13" else _ASCII
        high = b"" if self._first in _MANY_BYTES else _SETS[self._first][1]
        found: list[bytes] = []
        for letter in text:
            codec, escape, element = self._set_for(letter, start)
            if element == 0 and low != escape:
                found.append(escape)
                low = escape
            elif element == 1 and high != escape:
                found.append(escape)
                high = escape
            found.append(_strip(letter.encode(codec)))
        if low != start:
            found.append(start)
        return b"".join(found)

    def _set_for(self, letter: str, ascii_escape: bytes) -> tuple[str, bytes, int]:
        if letter.isascii():
            return "ascii", ascii_escape, 0
        for name in self._names:
            try:
                letter.encode(_SETS[name][0])
            except UnicodeEncodeError:
                continue
            return _SETS[name]
        raise UsageError(f"{letter!r} is in none of the sets {self.labels}. Add one that has it.")


def _strip(data: bytes) -> bytes:
    """What the ISO 2022 codecs say, without the escape sequences that they add to each letter."""
    if not data.startswith(b"\x1b"):
        return data
    return data[4 if data[2:3] == b"(" else 3 : -3]


def _name_of(label: str) -> str:
    match = _LABEL.fullmatch(label or "ISO 2022 IR 6")
    if match is None or match[1] not in _SETS:
        raise UsageError(f"{label!r} is no Specific Character Set of PS3.3 C.12.1.1.2.")
    return match[1]


@lru_cache(maxsize=256)
def _cached(labels: tuple[str, ...]) -> Charset:
    return Charset(labels)


def charset_of(value: str | Sequence[str]) -> Charset:
    """The character set that a Specific Character Set names; misspelt labels are understood.

    >>> charset_of("ISO-IR 100").encode("é"), charset_of("").encode("e")
    (b'\\xe9', b'e')
    """
    labels = value.split("\\") if isinstance(value, str) else value
    return _cached(tuple(label.strip() for label in labels))
