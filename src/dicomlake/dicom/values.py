"""Raw values to what they say: DICOM JSON (PS3.18 Annex F) and rows that can be asked.

`interpret` reads one element without items. Values are kept as sent, and as numbers or moments
where they are some; what a value may not be (PS3.5 6.2) is said in words and never changes it.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

from dicomlake.dicom.charset import Repertoire
from dicomlake.dicom.dictionary import BINARY, ENCODED

MOST_POSITIONS = 32
"""Attributes with more values than this are rows without a position."""
LONGEST_TEXT = 16_384
"""Longer texts (characters) are not copied to rows; the header keeps them."""
LONGEST_LIST = 4096
"""Only so many values of one element become rows; the header keeps them all."""

DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
"""Days of an age unit, as questions compare them."""


class Row(NamedTuple):
    """One value of an attribute: what `elements` holds before instances are counted.

    `position` counts the values of a multi-valued attribute from 1; `number` is days for AS,
    seconds since midnight for TM, items for SQ, bytes for binary VRs; `moment` is in UTC.
    All of them empty: the attribute is present without a value. `unread`: only the header has it.
    """

    path: str
    vr: str
    position: int | None = 1
    text: str | None = None
    number: float | None = None
    moment: datetime | None = None
    code_value: str | None = None
    code_scheme: str | None = None
    code_meaning: str | None = None
    unread: bool = False


class Value(NamedTuple):
    """One element read: its DICOM JSON (without the tag), its rows, and problems in words."""

    json: dict[str, Any]
    rows: list[Row]
    problems: list[str]


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_DATE = re.compile(r"(\d{4})[.\-]?(\d\d)[.\-]?(\d\d)")
_TIME = re.compile(r"(\d\d):?(?:(\d\d):?(?:(\d\d)(?:\.(\d{1,6})\d*)?)?)?")
_STAMP = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6})\d*)?([+-]\d{4})?")
_UID = re.compile(r"[0-9.]{1,64}")
_CS = re.compile(r"[A-Z0-9 _]{0,16}")

_FORMAT = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_SIZE = {"H": 2, "h": 2, "I": 4, "i": 4, "Q": 8, "q": 8, "f": 4, "d": 8}


def interpret(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """What one element says. `order` is "<" or ">", `raw` its value bytes as in the object.

    >>> from dicomlake.dicom.charset import repertoire
    >>> value = interpret("PixelSpacing", "DS", b"0.50\\\\0.5 ", "<", repertoire(""))
    >>> value.json, [(r.position, r.text, r.number) for r in value.rows]
    ({'vr': 'DS', 'Value': ['0.50', 0.5]}, [(1, '0.50', 0.5), (2, '0.5', 0.5)])
    """
    if not raw:
        return Value({"vr": vr}, [Row(path, vr, None)], [])
    reader = _READERS.get(vr, _binary if vr in BINARY else _text)
    return reader(path, vr, raw, order, charset)


def plain(path: str, vr: str, raw: bytes) -> tuple[bytes, tuple[Row, ...]] | None:
    """What `interpret` says of one plain value, as JSON bytes and rows; None when it is not plain.

    Most elements of most objects are one short ASCII value or one binary number, so this is what
    reading an archive mostly does.
    """
    code = _FORMAT.get(vr)
    if code is not None:
        if len(raw) != _SIZE[code] or code not in "HhIi":
            return None
        number = int.from_bytes(raw, "little", signed=code in "hi")
        row = Row(path, vr, 1, None, float(number))
        return b'{"vr":"%b","Value":[%d]}' % (vr.encode(), number), (row,)
    if not _PLAIN.fullmatch(raw):
        return None
    text = raw.rstrip(b" \0").decode("ascii")
    token: object = text
    moment = measure = None
    if vr in ("DS", "IS"):
        text = text.strip()
        measure = number_of(text) if len(text) <= (16 if vr == "DS" else 12) else None
        token = _as_number(text)
        if measure is None or (vr == "IS" and not _INTEGER.fullmatch(text)):
            return None
        if not isinstance(token, str):
            return b'{"vr":"%b","Value":[%b]}' % (vr.encode(), text.encode()), (
                Row(path, vr, 1, text, measure),
            )
    elif vr == "DA":
        moment = moment_of(text)
        if moment is None:
            return None
    elif vr == "TM":
        measure = seconds_of(text)
        if measure is None:
            return None
    elif vr == "CS":
        if not _CS.fullmatch(text):
            return None
    elif vr == "UI":
        if not _UID.fullmatch(text):
            return None
    elif vr not in ("LO", "SH") or text[:1] == " " or not text:
        return None
    json = b'{"vr":"%b","Value":["%b"]}' % (vr.encode(), text.encode())
    return json, (Row(path, vr, 1, text, measure, moment),)


_PLAIN = re.compile(rb"[ !#-\[\]-~]{1,64}\0*")  # printable ASCII without quote and backslash


def moment_of(text: str, vr: str = "DA") -> datetime | None:
    """The moment that a DA or DT says, in UTC; None when it says none.

    A DT without offset is taken as UTC, missing parts as the first possible.

    >>> moment_of("20240229").isoformat(), moment_of("20240230")
    ('2024-02-29T00:00:00+00:00', None)
    >>> moment_of("2024031512+0100", "DT").isoformat()
    '2024-03-15T11:00:00+00:00'
    """
    try:
        if vr == "DA":
            match = _DATE.fullmatch(text)
            return match and datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
        match = _STAMP.fullmatch(text)
        if not match:
            return None
        year, month, day, hour, minute, second = (int(p) if p else None for p in match.groups()[:6])
        micro = int((match[7] or "0").ljust(6, "0"))
        zone: timezone = UTC
        if offset := match[8]:
            shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
            zone = timezone(-shift if offset[0] == "-" else shift)
        second = min(second or 0, 59)  # 60 is a leap second
        found = datetime(
            year or 0,
            month or 1,
            day or 1,
            hour or 0,
            minute or 0,
            min(second or 0, 59),
            micro,
            zone,
        )
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def seconds_of(text: str) -> float | None:
    """Seconds since midnight that a TM says, or None.

    >>> seconds_of("1230"), seconds_of("12:30:15.5"), seconds_of("2530")
    (45000.0, 45015.5, None)
    """
    match = _TIME.fullmatch(text)
    if not match:
        return None
    hour, minute, second = (int(p or 0) for p in match.groups()[:3])
    if hour > 23 or minute > 59 or second > 60:
        return None
    return hour * 3600 + minute * 60 + second + float("0." + (match[4] or "0"))


def days_of(text: str) -> float | None:
    """Days that an AS says, or None.

    >>> days_of("010D"), days_of("045Y"), days_of("old")
    (10.0, 16436.25, None)
    """
    match = _AGE.fullmatch(text)
    return int(match[1]) * DAYS[match[2]] if match else None


def number_of(text: str) -> float | None:
    """The number that a DS or IS says, or None.

    >>> number_of("+1.5e3"), number_of("1,5"), number_of("nan")
    (1500.0, None, None)
    """
    return float(text) if _NUMBER.fullmatch(text) else None


def readable(raw: bytes) -> str | None:
    """The text that bytes of unknown VR plainly are, or None.

    >>> readable(b"MR 1 "), readable(b"\\x01\\x02")
    ('MR 1', None)
    """
    bare = raw.rstrip(b"\0 ") if len(raw) <= 256 else b""
    if not bare.isascii() or not (text := bare.decode("ascii")).isprintable():
        return None
    return text.strip() or None


def inline(raw: bytes) -> str:
    """Bytes as InlineBinary has them (PS3.18 F.2.7)."""
    return base64.b64encode(raw).decode("ascii")


def _no_place(_: int) -> None:
    return None


def _several(count: int) -> Callable[[int], int | None]:
    return (1).__add__ if count <= MOST_POSITIONS else _no_place


def _rows(
    path: str, vr: str, texts: list[str], typed: Callable[[str], dict[str, Any]]
) -> list[Row]:
    """One row per value; empty values between backslashes are left out, but keep their position."""
    place = _several(len(texts))
    rows = []
    for i, text in enumerate(texts[:LONGEST_LIST]):
        if not text:
            continue
        if len(text) > LONGEST_TEXT:
            rows.append(Row(path, vr, place(i), unread=True))
        else:
            rows.append(Row(path, vr, place(i), text, **typed(text)))
    if len(texts) > LONGEST_LIST:
        rows.append(Row(path, vr, None, unread=True))
    return rows or [Row(path, vr, None)]


def _nothing(_: str) -> dict[str, Any]:
    return {}


def _decode(raw: bytes, vr: str, charset: Repertoire) -> tuple[str, list[str]]:
    if vr not in ENCODED:
        charset = _DEFAULT
    text, problem = charset.decode(raw, name=vr == "PN")
    return text, [problem] if problem else []


_DEFAULT = Repertoire("", "ascii", False)


def _text(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """AE CS LO SH UC UI, multi-valued; unknown VRs are read like them."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.rstrip(" \0") for part in text.split("\\")]
    if vr == "AE":
        texts = [part.strip() for part in texts]
    json: dict[str, Any] = {"vr": vr, "Value": [t or None for t in texts]}
    if problems:
        json["InlineBinary"] = inline(raw)
    if vr == "CS":
        if not all(_CS.fullmatch(t) for t in texts):
            problems.append("not a code string")
    elif vr == "UI" and not all(_UID.fullmatch(t) or not t for t in texts):
        problems.append("not a UID")
    return Value(json, _rows(path, vr, [t.strip() for t in texts], _nothing), problems)


def _long_text(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """LT ST UT UR: one value, backslashes are text, leading spaces count (PS3.5 6.2)."""
    text, problems = _decode(raw, vr, charset)
    text = text.rstrip(" \0")
    json: dict[str, Any] = {"vr": vr, "Value": [text]} if text else {"vr": vr}
    if problems:
        json["InlineBinary"] = inline(raw)
    return Value(json, _rows(path, vr, [text], _nothing), problems)


def _name(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """PN: up to three groups, alphabetic=ideographic=phonetic (PS3.5 6.2.1)."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.rstrip(" \0") for part in text.split("\\")]
    values: list[dict[str, str] | None] = []
    for part in texts:
        groups = part.split("=")
        if len(groups) > 3:
            problems.append("a person name with more than three groups")
            groups = [groups[0], groups[1], "=".join(groups[2:])]
        named = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), groups, strict=False))
        values.append({k: v for k, v in named.items() if v} or None)
    json: dict[str, Any] = {"vr": vr, "Value": values}
    if problems:
        json["InlineBinary"] = inline(raw)
    texts = [t.strip().rstrip("=") for t in texts]
    return Value(json, _rows(path, vr, texts, _nothing), problems)


def _decimal(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """DS and IS: as sent, and as numbers; JSON numbers only where they print as they were sent."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.strip(" \0") for part in text.split("\\")]
    pattern = _INTEGER if vr == "IS" else _NUMBER
    longest = 12 if vr == "IS" else 16
    for part in texts:
        if part and not pattern.fullmatch(part):
            problems.append("not a whole number" if vr == "IS" else "not a decimal number")
            break
        if len(part) > longest:
            problems.append(f"longer than {longest} characters")
            break
    values = [_as_number(part) for part in texts]
    json: dict[str, Any] = {"vr": vr, "Value": values}
    return Value(json, _rows(path, vr, texts, _numeric), problems)


def _numeric(text: str) -> dict[str, Any]:
    return {"number": number_of(text)}


@lru_cache(maxsize=16384)
def _as_number(text: str) -> int | float | str | None:
    """A JSON number when it prints exactly as sent, else the text itself; None when empty."""
    if not text:
        return None
    if _INTEGER.fullmatch(text):
        whole = int(text) if len(text) < 16 else None
        return whole if str(whole) == text else text
    if _NUMBER.fullmatch(text):
        number = float(text)
        return number if repr(number) == text else text
    return text


def _dated(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """DA and DT."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.strip(" \0") for part in text.split("\\")]
    rows = _rows(path, vr, texts, lambda t: {"moment": moment_of(t, vr)})
    if any(row.text and row.moment is None for row in rows):
        problems.append("not a date" if vr == "DA" else "not a date and time")
    return Value({"vr": vr, "Value": [t or None for t in texts]}, rows, problems)


def _measured(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """TM and AS: text and a number of seconds or days."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.strip(" \0") for part in text.split("\\")]
    convert = seconds_of if vr == "TM" else days_of
    rows = _rows(path, vr, texts, lambda t: {"number": convert(t)})
    if any(row.text and row.number is None for row in rows):
        problems.append("not a time" if vr == "TM" else "not an age")
    return Value({"vr": vr, "Value": [t or None for t in texts]}, rows, problems)


def _packed(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """US SS UL SL UV SV FL FD: binary numbers; NaN and infinities are JSON text (F.2.4)."""
    code = _FORMAT[vr]
    count, rest = divmod(len(raw), _SIZE[code])
    if rest:
        return Value(
            {"vr": vr, "InlineBinary": inline(raw)},
            [Row(path, vr, None, unread=True)],
            [f"{len(raw)} bytes are no whole number of {vr} values"],
        )
    numbers = struct.unpack(f"{order}{count}{code}", raw)
    if vr == "FL":
        numbers = tuple(map(_shortest, numbers))
    place = _several(count)
    exact = code in "Qq"
    rows = [
        Row(path, vr, place(i), str(n) if exact else None, float(n))
        if n == n and abs(n) != float("inf")
        else Row(path, vr, place(i), str(n))
        for i, n in enumerate(numbers[:LONGEST_LIST])
    ]
    if count > LONGEST_LIST:
        rows.append(Row(path, vr, None, unread=True))
    values = [_json_number(n, vr) for n in numbers]
    return Value({"vr": vr, "Value": values}, rows, [])


def _shortest(single: float) -> float:
    """The shortest decimal that is the same number in single precision: 3.1, not 3.0999999."""
    if single != single or abs(single) == float("inf"):
        return single
    packed = struct.pack("<f", single)
    for digits in (6, 7, 8):
        short = float(f"{single:.{digits}g}")
        if struct.pack("<f", short) == packed:
            return short
    return float(f"{single:.9g}")


def _json_number(number: float, vr: str) -> int | float | str:
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    return str(number) if vr in ("SV", "UV") and abs(number) > 1 << 53 else number


def _tags(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """AT: tags as eight hexadecimal digits (PS3.18 F.2.2)."""
    if len(raw) % 4:
        return Value(
            {"vr": vr, "InlineBinary": inline(raw)},
            [Row(path, vr, None, unread=True)],
            [f"{len(raw)} bytes are no whole number of tags"],
        )
    halves = struct.unpack(f"{order}{len(raw) // 2}H", raw)
    tags = [f"{g:04X}{e:04X}" for g, e in zip(halves[::2], halves[1::2], strict=True)]
    return Value({"vr": vr, "Value": tags}, _rows(path, vr, tags, _nothing), [])


def _binary(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """OB OD OF OL OV OW UN: base64, and their length in rows; a readable UN also as text."""
    text = readable(raw) if vr == "UN" else None
    if order == ">" and vr not in ("OB", "UN"):
        width = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}[vr]
        if len(raw) % width == 0:  # JSON holds little endian (PS3.18 F.2.7)
            raw = b"".join(raw[i : i + width][::-1] for i in range(0, len(raw), width))
    row = Row(path, vr, 1, text, float(len(raw)))
    return Value({"vr": vr, "InlineBinary": inline(raw)}, [row], [])


_READERS: dict[str, Callable[[str, str, bytes, str, Repertoire], Value]] = {
    **dict.fromkeys(("LT", "ST", "UT", "UR"), _long_text),
    **dict.fromkeys(("DS", "IS"), _decimal),
    **dict.fromkeys(("DA", "DT"), _dated),
    **dict.fromkeys(("TM", "AS"), _measured),
    **dict.fromkeys(tuple(_FORMAT), _packed),
    "PN": _name,
    "AT": _tags,
}
