"""Bytes to text by Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1 and Annexes H to K).

A value of (0008,0005) becomes a `Repertoire` once; it then decodes every value that it governs.
Labels as real devices misspell them (`ISO-IR 100`, `ISO_IR192`, `UTF-8`) are repaired and said so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

ESC = b"\x1b"

# Number of the ISO registration -> Python codec that reads bytes in which it is G0 or G1.
_BY_NUMBER = {
    "6": "ascii",
    "13": "shift_jis",
    "58": "gb2312",
    "87": "iso2022_jp",
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "149": "euc_kr",
    "159": "iso2022_jp_2",
    "166": "iso8859_11",
    "192": "utf_8",
    "203": "iso8859_15",
}
# Part of ISO 8859 -> number of its registration, for those who name it so.
_BY_PART = {
    "1": "100",
    "2": "101",
    "3": "109",
    "4": "110",
    "5": "144",
    "6": "127",
    "7": "126",
    "8": "138",
    "9": "148",
    "11": "166",
    "15": "203",
}
_TERM = re.compile(r"ISO[ _-]?(?:(2022)?[ _-]?(?:IR)?[ _-]?([0-9]{1,3})|8859[ _-]([0-9]{1,2}))")
_WHOLE = {"GB18030": "gb18030", "GBK": "gbk", "UTF-8": "utf_8", "UTF8": "utf_8"}

# Escape sequence -> (codec, whether it holds for G0, the bytes below 0x80, instead of G1).
_ESCAPES = {
    b"\x1b(B": ("ascii", True),
    b"\x1b(J": ("shift_jis", True),
    b"\x1b)I": ("shift_jis", False),
    b"\x1b-A": ("latin_1", False),
    b"\x1b-B": ("iso8859_2", False),
    b"\x1b-C": ("iso8859_3", False),
    b"\x1b-D": ("iso8859_4", False),
    b"\x1b-F": ("iso8859_7", False),
    b"\x1b-G": ("iso8859_6", False),
    b"\x1b-H": ("iso8859_8", False),
    b"\x1b-L": ("iso8859_5", False),
    b"\x1b-M": ("iso8859_9", False),
    b"\x1b-T": ("iso8859_11", False),
    b"\x1b-b": ("iso8859_15", False),
    b"\x1b$B": ("iso2022_jp", True),
    b"\x1b$(D": ("iso2022_jp_2", True),
    b"\x1b$)C": ("euc_kr", False),
    b"\x1b$)A": ("gb2312", False),
}
_TWO_BYTES = frozenset(["iso2022_jp", "iso2022_jp_2"])
"""Codecs of G0 that want to see the escape sequence themselves."""
_RUNS = re.compile(rb"(\x1b(?:\$[()][ -~]|[$(),\-.][ -~]))")
_LINES = re.compile(rb"[\\\r\n\f\t]")
_NAME = re.compile(rb"[\\^=]")
_HIGH = re.compile(rb"([\x80-\xff]+)")


@dataclass(frozen=True, slots=True)
class Repertoire:
    """Codecs of one Specific Character Set: the initial one, and whether escapes may switch it.

    `label` is the value as sent; `problem` says in words what was wrong with it, or is "".
    """

    label: str
    codec: str
    escapes: bool
    problem: str = ""

    def decode(self, raw: bytes, *, name: bool = False) -> tuple[str, str]:
        """Text of `raw`, padding kept, and what was wrong with the bytes in words ("" if nothing).

        `name`: a PN, in which `^` and `=` reset the escapes. Bytes that mean nothing become U+FFFD.

        >>> repertoire("\\\\ISO 2022 IR 87").decode(b"Yamada^Tarou=\\x1b$B;3ED\\x1b(B", name=True)
        ('Yamada^Tarou=山田', '')
        """
        if raw.isascii() and ESC not in raw:
            return raw.decode("ascii"), ""
        if self.escapes and ESC in raw:
            return _decode_runs(raw, self.codec, _NAME if name else _LINES)
        return _decode(raw, self.codec)


@lru_cache(maxsize=1024)
def repertoire(label: str) -> Repertoire:
    """The repertoire of a value of Specific Character Set, values separated by a backslash.

    >>> repertoire("ISO_IR 100").codec, repertoire("ISO-IR 100").problem
    ('latin_1', "Specific Character Set 'ISO-IR 100' read as 'ISO_IR 100'")
    """
    problems: list[str] = []
    codecs = [_codec(term.strip(), problems) for term in label.split("\\")]
    first = codecs[0]
    many = len(codecs) > 1 or "2022" in label or first in _TWO_BYTES
    if first in ("utf_8", "gb18030", "gbk") and len(codecs) > 1:
        problems.append("of several Specific Character Sets only the first counts")
        many = False
    if first in _TWO_BYTES:
        first = "ascii"  # a two-byte set is only reached by an escape
    return Repertoire(label, first, many, "; ".join(dict.fromkeys(problems)))


def _codec(term: str, problems: list[str]) -> str:
    if not term:
        return "ascii"
    upper = term.upper()
    if upper in _WHOLE:
        if upper.startswith("UTF"):
            problems.append(f"Specific Character Set {term!r} read as 'ISO_IR 192'")
        return _WHOLE[upper]
    match = _TERM.fullmatch(upper)
    number = match and (_BY_PART.get(match[3]) if match[3] else match[2])
    if match and number in _BY_NUMBER:
        right = f"ISO 2022 IR {number}" if match[1] else f"ISO_IR {number}"
        if right != term:
            problems.append(f"Specific Character Set {term!r} read as {right!r}")
        return _BY_NUMBER[number]
    problems.append("Specific Character Set is none that DICOM defines")
    return "ascii"


def _decode(raw: bytes, codec: str) -> tuple[str, str]:
    try:
        return raw.decode(codec), ""
    except UnicodeDecodeError:
        pass
    if codec != "ascii":
        return raw.decode(codec, "replace"), "bytes that its character set does not have"
    # No character set declared, yet bytes beyond ASCII: valid UTF-8 is hardly ever anything else.
    try:
        return raw.decode("utf_8"), "bytes beyond ASCII without a character set, read as UTF-8"
    except UnicodeDecodeError:
        return raw.decode("latin_1"), "bytes beyond ASCII without a character set, read as Latin-1"


def _decode_runs(raw: bytes, initial: str, resets: re.Pattern[bytes]) -> tuple[str, str]:
    """Decode ISO 2022 text; delimiters lead back to the initial set (PS3.5 6.1.2.5.3)."""
    texts: list[str] = []
    problems: list[str] = []
    low, escape, high = "", b"", initial
    for place, run in enumerate(_RUNS.split(raw)):
        if place % 2:
            codec, for_low = _ESCAPES.get(run, ("", True))
            if not codec:
                problems.append("an escape sequence that DICOM does not define")
            low, escape = (codec, run) if codec in _TWO_BYTES else ("", b"")
            if not for_low or (codec == "shift_jis" and high == "ascii"):
                high = codec
            continue
        stop = resets.search(run) if not low else None
        parts = (run[: stop.start()], run[stop.start() :]) if stop else (run, b"")
        for part, by in ((parts[0], high), (parts[1], initial)):
            text, wrong = _decode_low(part, low, escape, by) if low else _decode(part, by)
            texts.append(text)
            problems += [wrong] if wrong else []
        if stop:
            high = initial
    return "".join(texts), problems[0] if problems else ""


def _decode_low(raw: bytes, low: str, escape: bytes, high: str) -> tuple[str, str]:
    """Decode a run in which the bytes below 0x80 are half characters."""
    found = [
        _decode(part, high) if place % 2 else _decode(escape + part, low)
        for place, part in enumerate(_HIGH.split(raw))
        if part
    ]
    wrong = [problem for _, problem in found if problem]
    return "".join(text for text, _ in found), wrong[0] if wrong else ""
