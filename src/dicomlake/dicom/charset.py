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
_WHOLE = {"GB18030": "gb18030", "GBK": "gbk", "UTF-8": "utf_8", "UTF8": "utf_8"}

# Escape sequence -> (codec, whether the codec itself wants to see the escape).
_ESCAPES = {
    b"\x1b(B": ("ascii", False),
    b"\x1b(J": ("shift_jis", False),
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
_RUNS = re.compile(rb"(\x1b(?:\$[()][ -~]|[$(),\-.][ -~]))")
_LINES = re.compile(rb"[\\\r\n\f\t]")
_NAME = re.compile(rb"[\\^=]")


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
    many = len(codecs) > 1 or label.upper().replace("_", " ").startswith("ISO 2022")
    if first in ("utf_8", "gb18030", "gbk") and len(codecs) > 1:
        problems.append(f"Specific Character Set {label!r}: only the first value counts")
        many = False
    if first in ("iso2022_jp", "iso2022_jp_2"):
        first = "ascii"  # a two-byte set is only reached by an escape
    return Repertoire(label, first, many, "; ".join(problems))


def _codec(term: str, problems: list[str]) -> str:
    if not term:
        return "ascii"
    upper = term.upper()
    if upper in _WHOLE:
        if upper.startswith("UTF"):
            problems.append(f"Specific Character Set {term!r} read as 'ISO_IR 192'")
        return _WHOLE[upper]
    match = re.fullmatch(r"ISO[ _-]?(2022)?[ _-]?(?:IR)?[ _-]?(\d+)", upper)
    if match and match[2] in _BY_NUMBER:
        right = f"ISO 2022 IR {match[2]}" if match[1] else f"ISO_IR {match[2]}"
        if right != term:
            problems.append(f"Specific Character Set {term!r} read as {right!r}")
        return _BY_NUMBER[match[2]]
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
    problem = ""
    codec, escape = initial, b""
    for run in _RUNS.split(raw):
        if run.startswith(ESC):
            codec, kept = _ESCAPES.get(run, ("", False))
            if not codec:
                codec, problem = initial, "an escape sequence that DICOM does not define"
            escape = run if kept else b""
            continue
        rest = b""
        if not escape and codec != initial and (stop := resets.search(run)):
            run, rest = run[: stop.start()], run[stop.start() :]
        for part, by in ((escape + run, codec), (rest, initial)):
            if part and part != escape:
                text, wrong = _decode(part, by)
                texts.append(text)
                problem = problem or wrong
        if rest:
            codec = initial
    return "".join(texts), problem
