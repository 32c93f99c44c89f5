"""What a search asks, read from the query of a URL (QIDO-RS, PS3.18 8.3.4 and 10.6.1).

Every attribute can be a key: a keyword, eight hex digits, a path of them joined by dots, a private
one as `(gggg,"CREATOR",ee)`. The keys become one condition of `dicomlake.query`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dicomlake.dicom import dictionary
from dicomlake.dicom.dictionary import Attribute
from dicomlake.errors import UsageError
from dicomlake.query import And, Between, Compare, Like, Missing, Node, OneOf, Or, Same
from dicomlake.query.nodes import known
from dicomlake.query.values import span

MOST = 10_000
"""Rows of an answer, also when more are asked for."""
MOST_WHOLE = 1000
"""Rows of an answer that shows all attributes."""
_RESERVED = frozenset(
    ["accept", "fuzzymatching", "emptyvaluematching", "multiplevaluematching", "includefield",
     "limit", "offset"]
)  # fmt: skip
_HEX = re.compile(r"[0-9A-Fa-f]{8}(?=\.|$)")
_LISTED = frozenset(["UI", "CS"])
"""VRs of which no value has a comma, so that one separates values."""
_WILD = frozenset(["AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT", ""])
"""VRs that wildcards are asked of (PS3.4 C.2.2.2.4); names of persons are asked differently."""
_NEVER = "\n"
"""A text that no value is: all lose their blanks."""

Private = Callable[[int, int], list[str]]
"""Paths of the private attributes of a lake with a group and a last byte of the element."""
Names = Callable[[str, str], list[str]]
"""Names of persons at a path that are like some words."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked: a condition, what to answer besides what always is, and which rows of it.

    `everything`: whether all attributes are to be answered.
    """

    where: Node | None
    fields: tuple[str, ...] = ()
    everything: bool = False
    limit: int = MOST
    offset: int = 0


def search_of(
    params: Iterable[tuple[str, str]],
    within: Iterable[tuple[str, str]],
    private: Private,
    names: Names,
) -> Search:
    """What some parameters ask; `within`: attributes that the path of the URL names.

    UsageError says what cannot be understood.
    """
    asked: dict[str, list[str]] = {}
    said: dict[str, list[str]] = {}
    for name, value in params:
        (said if name in _RESERVED else asked).setdefault(name, []).append(value)
    fuzzy = _truth(said, "fuzzymatching")
    conditions: list[tuple[str, Node]] = [(uid, Compare(uid, "=", value)) for uid, value in within]
    shown: list[str] = []
    for name, values in asked.items():
        paths = paths_of(name, private)
        shown += paths
        found = [n for path in paths if (n := _condition(path, values, fuzzy, names)) is not None]
        if found:
            conditions.append((paths[0], found[0] if len(found) == 1 else Or(tuple(found))))
    fields, everything = _fields(said.get("includefield", []), private)
    return Search(
        _joined(conditions),
        tuple(dict.fromkeys([*fields, *shown])),
        everything,
        min(_whole(said, "limit", MOST), MOST_WHOLE if everything else MOST),
        _whole(said, "offset", 0),
    )


def paths_of(name: str, private: Private) -> list[str]:
    """The paths of the lake that the name of an attribute stands for; one, unless it is private.

    >>> paths_of("00400275.ScheduledProcedureStepID", lambda group, element: [])
    ['RequestAttributesSequence.ScheduledProcedureStepID']
    """
    if m := _HEX.fullmatch(name):
        number = int(m[0], 16)
        if (number >> 16) & 1 and number & 0xFF00:
            return private(number >> 16, number & 0xFF) or [_canonical(name)]
    return [_canonical(name)]


def _canonical(name: str) -> str:
    """A path as the lake writes it; UsageError when it is none, or asks what is in no header."""
    written, at = "", 0
    while at < len(name):
        if m := _HEX.match(name, at):
            written += f"({m[0][:4]},{m[0][4:]})"
            at = m.end()
        else:
            found, end = dictionary.match_path(name, at)
            if not found or (m := re.search(r"\.[0-9A-Fa-f]{8}(?=\.|$)", name[at:])) is None:
                written += name[at:]
                break
            end = at + m.start()
            written += name[at:end]
            at = end
        if name.startswith(".", at):
            written += "."
            at += 1
        elif at < len(name):
            written += name[at:]
            break
    about = known(written)
    if about.table:
        raise UsageError(f"{about.path} is no attribute of headers. Ask it by dicomlake query.")
    if about.keyword == "AvailableTransferSyntaxUID":
        return "TransferSyntaxUID"
    return about.path


def _joined(conditions: list[tuple[str, Node]]) -> Node | None:
    """One condition; keys in one sequence are met by one item of it (PS3.4 C.2.2.2.6)."""
    groups: dict[str, list[Node]] = {}
    for path, node in conditions:
        outer = ".".join(dictionary.segments(path)[:-1])
        groups.setdefault(outer, []).append(node)
    found: list[Node] = []
    for outer, nodes in groups.items():
        together = outer not in ("", "*") and len(nodes) > 1
        found += [Same("item", And(tuple(nodes)))] if together else nodes
    if not found:
        return None
    return found[0] if len(found) == 1 else And(tuple(found))


def _fields(listed: list[str], private: Private) -> tuple[list[str], bool]:
    """What includefield names, and whether that is everything (PS3.18 8.3.4.3)."""
    paths: list[str] = []
    everything = False
    for text in listed:
        for name in split(text):
            if name.lower() == "all":
                everything = True
            elif name:
                paths += paths_of(name, private)
    return paths, everything


def split(text: str) -> list[str]:
    """A list at its commas, but those inside of private attributes.

    >>> split('Modality,(0019,"SIEMENS MR HEADER",0C), 00080020')
    ['Modality', '(0019,"SIEMENS MR HEADER",0C)', '00080020']
    """
    parts, quoted, depth = [""], False, 0
    for c in text:
        quoted ^= c == '"'
        depth += 0 if quoted else {"(": 1, ")": -1}.get(c, 0)
        if c == "," and not quoted and depth <= 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part.strip() for part in parts]


def _truth(said: dict[str, list[str]], name: str) -> bool:
    value = said.get(name, ["false"])[-1].lower()
    if value not in ("true", "false"):
        raise UsageError(f"{name} is true or false.")
    return value == "true"


def _whole(said: dict[str, list[str]], name: str, default: int) -> int:
    """A number of rows; very large ones all mean the same."""
    value = said.get(name, [""])[-1]
    if not value:
        return default
    if not (value.isascii() and value.isdecimal()):
        raise UsageError(f"{name} is a whole number, 0 or more.")
    return int(value) if len(value) < 10 else 10**9


# Conditions


def _condition(path: str, values: list[str], fuzzy: bool, names: Names) -> Node | None:
    """What some value of an attribute has to be; None when anything will do (PS3.4 C.2.2.2.3)."""
    about = known(path)
    parts = [part for value in values for part in _parts(about, value)]
    if any(part in ("", "*") for part in parts) or not parts:
        return None
    plain = [part for part in parts if not _special(about, part)]
    found = [_one(about, part, fuzzy, names) for part in parts if part not in plain]
    if len(plain) > 1:
        found.append(OneOf(path, tuple(plain)))
    elif plain:
        found.append(Compare(path, "=", plain[0]))
    return found[0] if len(found) == 1 else Or(tuple(found))


def _parts(about: Attribute, value: str) -> list[str]:
    """Several values in one (PS3.4 C.2.2.2.2 and C.2.2.2.8)."""
    if about.vr in ("LT", "ST", "UT", "UR"):
        return [value]
    if about.vr in _LISTED:
        value = value.replace(",", "\\")
    parts = [part.strip() for part in value.split("\\")]
    return [part for part in parts if part] or [""]


def _special(about: Attribute, part: str) -> bool:
    """Whether a value is more than a text that has to be there as it is."""
    if part == '""' or about.kind not in ("text", "unknown") or about.vr in ("PN", ""):
        return True
    return about.vr in _WILD and ("*" in part or "?" in part)


def _one(about: Attribute, part: str, fuzzy: bool, names: Names) -> Node:
    path = about.path
    if part == '""':  # empty value matching (PS3.4 C.2.2.2.7)
        return Missing(path)
    if about.vr == "PN":
        return _person(path, part, fuzzy, names)
    if about.kind == "date":
        return _dates(about, part)
    if about.kind == "time":
        return _range(path, part, _TIME, _clock)
    if about.kind == "datetime":
        return _range(path, part, _MOMENT, _moment)
    if about.vr == "" and not ("*" in part or "?" in part):
        return _unknown(path, part)
    return Like(path, part) if about.vr in _WILD else Compare(path, "=", part)


def _unknown(path: str, part: str) -> Node:
    """Nobody knows whether a private attribute holds text or numbers."""
    text = Compare(path, "=", part)
    try:
        return Or((text, Compare(path, "=", float(part))))
    except (ValueError, UsageError):
        return text


def _person(path: str, part: str, fuzzy: bool, names: Names) -> Node:
    """Names regardless of case, and when asked so of accents and the order of words, too."""
    if not fuzzy:
        return Like(path, part)  # which disregards the case of names
    found = names(path, part)
    return OneOf(path, tuple(found)) if found else Compare(path, "=", _NEVER)


_DAY = r"\d{8}|\d{4}-\d\d-\d\d"
_DAYS = re.compile(rf"({_DAY})?-({_DAY})?", re.ASCII)
_CLOCK = r"\d\d(?::?\d\d(?::?\d\d(?:\.\d{1,6})?)?)?"
_TIME = re.compile(rf"({_CLOCK})?(-)?({_CLOCK})?", re.ASCII)
_STAMP = r"\d{4}(?:\d\d(?:\d\d(?:\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?)?)?)?(?:[+-][01]\d[0-5]\d)?"
_MOMENT = re.compile(rf"({_STAMP})?(-)?({_STAMP})?", re.ASCII)
_SINGLE = re.compile(_STAMP, re.ASCII)


def _dates(about: Attribute, part: str) -> Node:
    """A day, or a range of days with one end or both (PS3.4 C.2.2.2.5)."""
    path = about.path
    if m := _DAYS.fullmatch(part):
        return _between(path, m[1], m[2])
    low, high = span(about, part)
    return Compare(path, "=", low) if low == high else Between(path, low, high)


def _between(path: str, low: object, high: object) -> Node:
    if low and high:
        return Between(path, low, high)  # type: ignore[arg-type]
    if not (low or high):
        raise UsageError(f"A range of {path} needs a beginning or an end.")
    return Compare(path, ">=" if low else "<=", low or high)  # type: ignore[arg-type]


Ends = tuple[dt.time, dt.time] | tuple[dt.datetime, dt.datetime]


def _range(path: str, part: str, pattern: re.Pattern[str], ends: Callable[[str], Ends]) -> Node:
    """A time or a moment, which is as long as it is exact, or a range of them."""
    m = None if pattern is _MOMENT and _SINGLE.fullmatch(part) else pattern.fullmatch(part)
    try:
        if m is None or not m[2]:
            low, high = ends(part)
            return Between(path, low, high)
        first, last = (ends(text) if text else None for text in (m[1], m[3]))
    except ValueError:
        raise UsageError(f"{path} is asked as DICOM writes it, or with - as a range.") from None
    # midnight is false in no version of Python that we run on
    return _between(path, first and first[0], last and last[1])


def _clock(text: str) -> tuple[dt.time, dt.time]:
    """First and last time that a TM stands for; ValueError when it is none."""
    if not re.fullmatch(_CLOCK, text, re.ASCII):
        raise ValueError
    clock, _, fraction = text.replace(":", "").partition(".")
    given = [int(clock[at : at + 2]) for at in range(0, len(clock), 2)]
    (hour, minute, second), last = [*given, 0, 0][:3], [*given, 59, 59][:3]
    low, high = int(fraction.ljust(6, "0")), int(fraction.ljust(6, "9"))
    return dt.time(hour, minute, second, low), dt.time(last[0], last[1], last[2], high)


def _moment(text: str) -> tuple[dt.datetime, dt.datetime]:
    """First and last moment that a DT stands for, in UTC without a zone; ValueError when none."""
    m = re.fullmatch(r"(\d+)(?:\.(\d+))?([+-]\d{4})?", text, re.ASCII)
    if m is None or not _SINGLE.fullmatch(text):
        raise ValueError
    digits, fraction, offset = m[1], m[2] or "", m[3] or "+0000"
    zone = dt.timezone((1 if offset[0] == "+" else -1)
                       * dt.timedelta(hours=int(offset[1:3]), minutes=int(offset[3:])))  # fmt: skip
    month, day = digits[4:6] or "01", digits[6:8] or "01"
    first, last = _clock((digits[8:] or "00") + (f".{fraction}" if fraction else ""))
    if not digits[8:]:
        last = dt.time.max
    begin = dt.date(int(digits[:4]), int(month), int(day))
    end = begin if digits[6:8] else _last_day(begin, of_year=not digits[4:6])
    return dt.datetime.combine(begin, first, zone), dt.datetime.combine(end, last, zone)


def _last_day(begin: dt.date, *, of_year: bool) -> dt.date:
    if of_year or begin.month == 12:
        return dt.date(begin.year, 12, 31)
    return dt.date(begin.year, begin.month + 1, 1) - dt.timedelta(days=1)
