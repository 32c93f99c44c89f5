"""Raw values to what they say: DICOM JSON (PS3.18 Annex F) and rows that can be asked.

`interpret` reads one element without items. Values are kept as sent, and as numbers or moments
where they are some; what a value may not be (PS3.5 6.2) is said in words and never changes it.
"""

from __future__ import annotations

import re
import struct
from binascii import b2a_base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import cache, partial
from math import isfinite, isinf
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


_DECIMAL = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = re.compile(_DECIMAL, re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_AGE = re.compile(r"(\d{1,3})([DWMY])", re.ASCII)
_DATE = re.compile(r"(\d{4})[.\-]?(\d\d)[.\-]?(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d):?(?:(\d\d):?(?:(\d\d)(?:\.(\d{1,6})\d*)?)?)?", re.ASCII)
_STAMP = re.compile(
    r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6})\d*)?([+-]\d{4})?", re.ASCII
)
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
    return _READERS.get(vr, _binary)(path, vr, raw, order, charset)


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
        second = 59 if second == 60 else second or 0  # a leap second
        date = (year or 0, month or 1, day or 1)
        return datetime(*date, hour or 0, minute or 0, second, micro, zone).astimezone(UTC)
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
    hours, minutes, seconds, fraction = match.groups("0")
    hour, minute, second = int(hours), int(minutes), float(f"{seconds}.{fraction}")
    return hour * 3600 + minute * 60 + second if hour < 24 and minute < 60 and second < 61 else None


def days_of(text: str) -> float | None:
    """Days that an AS says, or None.

    >>> days_of("010D"), days_of("045Y"), days_of("old")
    (10.0, 16436.25, None)
    """
    match = _AGE.fullmatch(text)
    return int(match[1]) * DAYS[match[2]] if match else None


def number_of(text: str) -> float | None:
    """The number that a DS or IS says, or None when it says none or one beyond all measure.

    >>> number_of("+1.5e3"), number_of("1,5"), number_of("nan"), number_of("1e999")
    (1500.0, None, None, None)
    """
    number = float(text) if _NUMBER.fullmatch(text) else None
    return None if number is not None and isinf(number) else number


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
    return b2a_base64(raw, newline=False).decode("ascii")


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


def _json(vr: str, values: list[Any], raw: bytes, problems: list[str]) -> dict[str, Any]:
    """DICOM JSON of values; with the raw bytes too where they could not be decoded without doubt.

    `problems` are those of the decoding.
    """
    json: dict[str, Any] = {"vr": vr}
    if values != [None]:
        json["Value"] = values
    if problems:
        json["InlineBinary"] = inline(raw)
    return json


_BLANKS = " \0\t\n\v\f\r"
"""What no text of a row begins or ends with."""
_DEFAULT = Repertoire("", "ascii", False)


def _text(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """AE CS LO SH UC UI, multi-valued."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.rstrip(" \0") for part in text.split("\\")]
    if vr == "AE":
        texts = [part.strip(" \0") for part in texts]
    json = _json(vr, [t or None for t in texts], raw, problems)
    if vr == "CS":
        if not all(_CS.fullmatch(t) for t in texts):
            problems.append("not a code string")
    elif vr == "UI" and not all(_UID.fullmatch(t) or not t for t in texts):
        problems.append("not a UID")
    return Value(json, _rows(path, vr, [t.strip(_BLANKS) for t in texts], _nothing), problems)


def _long_text(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """LT ST UT UR: one value, backslashes are text, leading spaces count (PS3.5 6.2)."""
    text, problems = _decode(raw, vr, charset)
    text = text.rstrip(" \0")
    json = _json(vr, [text or None], raw, problems)
    return Value(json, _rows(path, vr, [text], _nothing), problems)


def _name(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """PN: up to three groups, alphabetic=ideographic=phonetic (PS3.5 6.2.1)."""
    text, problems = _decode(raw, vr, charset)
    doubts = list(problems)
    texts = [part.rstrip(" \0") for part in text.split("\\")]
    values: list[dict[str, str] | None] = []
    for part in texts:
        groups = part.split("=")
        if len(groups) > 3:
            problems.append("a person name with more than three groups")
            groups = [groups[0], groups[1], "=".join(groups[2:])]
        named = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), groups, strict=False))
        values.append({k: v for k, v in named.items() if v} or None)
    json = _json(vr, values, raw, doubts)
    texts = [t.lstrip(_BLANKS).rstrip(_BLANKS + "=") for t in texts]
    return Value(json, _rows(path, vr, texts, _nothing), problems)


def _decimal(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """DS and IS: as sent, and as numbers; JSON numbers only where they print as they were sent."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.strip(" \0") for part in text.split("\\")]
    json = _json(vr, [_as_number(part) for part in texts], raw, problems)
    pattern = _INTEGER if vr == "IS" else _NUMBER
    longest = 12 if vr == "IS" else 16
    for part in texts:
        if part and not pattern.fullmatch(part):
            problems.append("not a whole number" if vr == "IS" else "not a decimal number")
            break
        if len(part) > longest:
            problems.append(f"longer than {longest} characters")
            break
    return Value(json, _rows(path, vr, texts, _numeric), problems)


def _numeric(text: str) -> dict[str, Any]:
    return {"number": number_of(text)}


def _as_number(text: str) -> int | float | str | None:
    """A JSON number when it prints exactly as sent, else the text itself; None when empty."""
    if not text:
        return None
    if _INTEGER.fullmatch(text):
        whole = int(text) if len(text) < 16 else None
        return whole if str(whole) == text else text
    number = number_of(text)
    return number if repr(number) == text else text


def _dated(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """DA and DT."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.strip(" \0") for part in text.split("\\")]
    json = _json(vr, [t or None for t in texts], raw, problems)
    rows = _rows(path, vr, texts, lambda t: {"moment": moment_of(t, vr)})
    if any(row.text and row.moment is None for row in rows):
        problems.append("not a date" if vr == "DA" else "not a date and time")
    return Value(json, rows, problems)


def _measured(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """TM and AS: text and a number of seconds or days."""
    text, problems = _decode(raw, vr, charset)
    texts = [part.strip(" \0") for part in text.split("\\")]
    json = _json(vr, [t or None for t in texts], raw, problems)
    convert = seconds_of if vr == "TM" else days_of
    rows = _rows(path, vr, texts, lambda t: {"number": convert(t)})
    if any(row.text and row.number is None for row in rows):
        problems.append("not a time" if vr == "TM" else "not an age")
    return Value(json, rows, problems)


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
        if isfinite(n)
        else Row(path, vr, place(i), str(n))
        for i, n in enumerate(numbers[:LONGEST_LIST])
    ]
    if count > LONGEST_LIST:
        rows.append(Row(path, vr, None, unread=True))
    values = [_json_number(n, vr) for n in numbers]
    return Value({"vr": vr, "Value": values}, rows, [])


def _shortest(single: float) -> float:
    """The shortest decimal that is the same number in single precision: 3.1, not 3.0999999."""
    if not isfinite(single):
        return single
    for digits in (6, 7, 8):
        short = float(f"{single:.{digits}g}")
        if _single(_pack_single(short))[0] == single:
            return short
    return float(f"{single:.9g}")


_single, _pack_single = struct.Struct("<f").unpack, struct.Struct("<f").pack


def _json_number(number: float, vr: str) -> int | float | str:
    if not isfinite(number):
        return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
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


_WIDTH = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}


def _binary(path: str, vr: str, raw: bytes, order: str, charset: Repertoire) -> Value:
    """OB OD OF OL OV OW UN and VRs that nobody knows: base64, and their length in rows.

    Where no VR is known, short readable bytes are text in rows as well.
    """
    text = readable(raw) if vr == "UN" or vr not in BINARY else None
    problems: list[str] = []
    width = _WIDTH.get(vr, 1)
    if len(raw) % width:
        problems.append(f"{len(raw)} bytes are no whole number of {vr} values")
    elif order == ">" and width > 1:  # JSON holds little endian (PS3.18 F.2.7)
        raw = b"".join(raw[i : i + width][::-1] for i in range(0, len(raw), width))
    row = Row(path, vr, 1, text, float(len(raw)))
    return Value({"vr": vr, "InlineBinary": inline(raw)}, [row], problems)


_Reader = Callable[[str, str, bytes, str, Repertoire], Value]

_READERS: dict[str, _Reader] = {
    **dict.fromkeys(("AE", "CS", "LO", "SH", "UC", "UI"), _text),
    **dict.fromkeys(("LT", "ST", "UT", "UR"), _long_text),
    **dict.fromkeys(("DS", "IS"), _decimal),
    **dict.fromkeys(("DA", "DT"), _dated),
    **dict.fromkeys(("TM", "AS"), _measured),
    **dict.fromkeys(tuple(_FORMAT), _packed),
    "PN": _name,
    "AT": _tags,
}

# What follows says the same as `interpret`, faster, of the values that most elements of most
# objects have: a short ASCII text, or one number.

Said = tuple[bytes, tuple[Row, ...]]
Plain = Callable[[str, bytes], Said | None]

_row = partial(tuple.__new__, Row)
_PLAIN = re.compile(rb"[!#-\[\]-~][ !#-\[\]-~]{0,63}\0*")  # ASCII, no quote, no backslash
_PLAIN_CS = re.compile(rb"[A-Z0-9_](?:[A-Z0-9 _]{0,14}[A-Z0-9_])? *\0*")
_PLAIN_UI = re.compile(rb"[0-9.]{1,64}\0*")
_NUMERALS = re.compile(rf" *{_DECIMAL} *(?:\\ *{_DECIMAL} *){{0,31}}\0*".encode(), re.ASCII)
_NUMERAL = re.compile(rb" *[+-]?\d{1,11} *\0*", re.ASCII)


@cache
def plain_reader(vr: str) -> Plain | None:
    """A function of path and raw value that does what `interpret` does for plain values of a VR.

    It gives the JSON bytes and the rows, or None when the value is not plain. Little endian only.

    >>> plain_reader("CS")("Modality", b"CT")[0]
    b'{"vr":"CS","Value":["CT"]}'
    """
    start = b'{"vr":"%b",' % vr.encode()
    if vr in ("US", "SS", "UL", "SL"):
        return _plain_whole(vr, start)
    if vr in ("FL", "FD"):
        return _plain_real(vr, start)
    if vr in ("DS", "IS"):
        return _plain_numerals(vr, start)
    if vr in ("OB", "OW", "OD", "OF", "OL", "OV", "UN"):
        return _plain_binary(vr, start)
    if vr in _READERS and vr not in _FORMAT and vr not in ("AT", "PN"):
        return _plain_text(vr, start)
    return None


def _plain_whole(vr: str, start: bytes) -> Plain:
    size, signed = _SIZE[_FORMAT[vr]], vr in ("SS", "SL")

    def read(path: str, raw: bytes) -> Said | None:
        if len(raw) != size:
            return None
        number = int.from_bytes(raw, "little", signed=signed)
        row = _row((path, vr, 1, None, float(number), None, None, None, None, False))
        return b'%b"Value":[%d]}' % (start, number), (row,)

    return read


def _plain_real(vr: str, start: bytes) -> Plain:
    size, unpack = _SIZE[_FORMAT[vr]], struct.Struct("<" + _FORMAT[vr]).unpack

    def read(path: str, raw: bytes) -> Said | None:
        if len(raw) != size:
            return None
        (number,) = unpack(raw)
        if not isfinite(number):
            return None
        if vr == "FL":
            number = _shortest(number)
        row = _row((path, vr, 1, None, number, None, None, None, None, False))
        return b'%b"Value":[%b]}' % (start, repr(number).encode()), (row,)

    return read


def _plain_numerals(vr: str, start: bytes) -> Plain:
    pattern = (_NUMERAL if vr == "IS" else _NUMERALS).fullmatch
    start += b'"Value":['

    def read(path: str, raw: bytes) -> Said | None:
        if not pattern(raw):
            return None
        tokens: list[str] = []
        rows: list[Row] = []
        for place, part in enumerate(raw.decode("ascii").split("\\"), 1):
            text = part.strip(" \0")
            number = float(text)
            if len(text) > 16 or isinf(number):
                return None
            same = str(int(text)) if text.lstrip("+-").isdigit() else repr(number)
            tokens.append(text if same == text else f'"{text}"')
            rows.append(_row((path, vr, place, text, number, None, None, None, None, False)))
        return start + ",".join(tokens).encode() + b"]}", tuple(rows)

    return read


def _plain_text(vr: str, start: bytes) -> Plain:
    pattern = {"CS": _PLAIN_CS, "UI": _PLAIN_UI}.get(vr, _PLAIN).fullmatch
    measured = {"TM": seconds_of, "AS": days_of}.get(vr)
    dated = vr in ("DA", "DT")
    start += b'"Value":["'

    def read(path: str, raw: bytes) -> Said | None:
        if not pattern(raw):
            return None
        bare = raw.rstrip(b" \0")
        text = bare.decode("ascii")
        measure = moment = None
        if measured:
            measure = measured(text)
            if measure is None:
                return None
        elif dated:
            moment = moment_of(text, vr)
            if moment is None:
                return None
        row = _row((path, vr, 1, text, measure, moment, None, None, None, False))
        return start + bare + b'"]}', (row,)

    return read


def _plain_binary(vr: str, start: bytes) -> Plain:
    width, unknown = _WIDTH.get(vr, 1), vr == "UN"

    def read(path: str, raw: bytes) -> Said | None:
        if not raw or len(raw) % width or (unknown and raw[:4] == b"\xfe\xff\x00\xe0"):
            return None
        text = readable(raw) if unknown else None
        row = _row((path, vr, 1, text, float(len(raw)), None, None, None, None, False))
        return b'%b"InlineBinary":"%b"}' % (start, b2a_base64(raw, newline=False)), (row,)

    return read
