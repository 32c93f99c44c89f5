"""Dates in texts, in all spellings, and how they are written when they have moved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from dicomlake.contracts.deid import Identity
from dicomlake.deid.text.languages import Rules

_D, _M = r"(?P<d>0?[1-9]|[12]\d|3[01])", r"(?P<m>0?[1-9]|1[0-2])"
_Y = r"(?P<y>(?:19|20)\d\d)"
_ANY = r"(?P<a>\d{1,2})(?P<s>[ ]?[-./][ ]?)(?P<b>\d{1,2})(?P=s)(?P<y>(?:19|20)\d\d|'?\d\d)"
_FREE = r"(?<![\d,/])(?<!\d[.:-])"


@dataclass(frozen=True, slots=True)
class Dated:
    """A date as it stands in a text: where, what was found, and which days it may mean."""

    start: int
    end: int
    found: re.Match[str]
    readings: tuple[tuple[int, int, int], ...]
    """Year, month and day; 0 where it does not say. Several: day and month may be exchanged."""


@lru_cache(maxsize=32)
def _patterns(months: tuple[str, ...], before: str, before_years: str) -> list[re.Pattern[str]]:
    named = "|".join(sorted(map(re.escape, months), key=len, reverse=True))
    word = rf"(?P<n>{named})(?![^\W\d_])\.?"
    day = r"(?P<d>0?[1-9]|[12]\d|3[01])(?P<th>\.|er|st|nd|rd|th|º|°|ª)?"
    of = r"(?P<of>[ \t\n]*(?:-|/|[ \t]de[ \t]|[ \t]of[ \t]|\.)?[ \t\n]*)"
    year = r"(?P<y>(?:19|20)\d\d|'\d\d|\d\d(?=[ \t]*(?:$|[),;.])))"
    then = r"(?P<then>[ \t\n]*(?:,|-|/|\.|[ \t]?del?[ \t])?[ \t\n]*)"
    return [
        re.compile(rf"(?<![\d.,/-]){_Y}(?P<s>[-/.]){_M}(?P=s){_D}(?!\d)(?![-/.,]\d)"),
        re.compile(
            r"(?<![\d.,/-])(?P<y>(?:19|20)\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])"
            r"(?=(?:\d{6}(?:\.\d{1,6})?|\d{4})?(?:[+-]\d{4})?(?![\d]))(?!\.\d)"
        ),
        re.compile(rf"{_FREE}{_ANY}(?!\d)(?![./-]\d)"),
        re.compile(rf"(?<![\d.,/]){day}{of}{word}(?:{then}{year})?(?![\d])"),
        re.compile(
            rf"(?<![^\W_]){word}(?P<of>[ \t\n-]+)(?P<d>0?[1-9]|[12]\d|3[01])(?P<th>st|nd|rd|th)?"
            rf"(?![\d.,:/]\d)(?!\d)(?:(?P<then>,?[ \t\n-]+)(?P<y>(?:19|20)\d\d)(?!\d))?"
        ),
        re.compile(rf"(?<![^\W_]){word}(?P<then>[ \t]*(?:[,/-]|del?[ ]|of[ ])?[ \t\n]*){_Y}(?!\d)"),
        re.compile(rf"(?<![\d./,:-]){_M}(?P<s>[/.-]){_Y}(?![\d])(?![/.-]\d)"),
        re.compile(rf"(?<![\d./,:-]){_Y}(?P<s>-)(?P<m>0[1-9]|1[0-2])(?![\d-])"),
        re.compile(
            rf"(?<!\w)(?:{before})[ \t]+"
            r"(?P<part>\d{1,2}(?:\.\d{1,2}\.|/\d{1,2}))(?![\d/.])"
        ),
        re.compile(rf"(?<!\w)(?:{before_years})\.?[ \t:]*(?P<part>(?:18|19|20)\d\d)(?![\d./-])"),
    ]  # fmt: skip


def dates(text: str, small: str, rules: Rules) -> Iterator[Dated]:
    """The dates of a text; `small` is the folded text."""
    patterns = _patterns(tuple(rules.months), rules.before_dates, rules.before_years)
    for pattern in patterns:
        for found in pattern.finditer(small):
            if found.groupdict().get("part"):
                yield Dated(*found.span("part"), found, ())
                continue
            readings = tuple(_readings(found, rules))
            if readings and not _measured(text, small, found, rules):
                yield Dated(found.start(), found.end(), found, readings)


def _readings(found: re.Match[str], rules: Rules) -> Iterator[tuple[int, int, int]]:
    said = found.groupdict()
    year = _year(said.get("y") or "")
    if "a" in said:
        first, second = int(said["a"]), int(said["b"])
        separator = said["s"].strip()
        if len(said["y"]) < 4 and separator != "/" and min(len(said["a"]), len(said["b"])) < 2:
            return
        orders = rules.orders if separator == "/" or rules.orders == {"mdy"} else {"dmy"}
        if separator == "-" and len(rules.orders) > 1:
            orders = rules.orders
        readings = {(year, second, first)} if "dmy" in orders else set()
        readings |= {(year, first, second)} if "mdy" in orders else set()
        valid = sorted(one for one in readings if _valid(*one))
        yield from (
            valid
            or [r for r in [(year, second, first)] if _valid(*r)]
            or [r for r in [(year, first, second)] if _valid(*r)]
        )
        return
    month = rules.months[said["n"]] if said.get("n") else int(said["m"])
    day = int(said["d"]) if said.get("d") else 0
    if _valid(year or 2000, month, day or 1):
        yield year, month, day


def _year(said: str) -> int:
    digits = said.lstrip("'")
    if len(digits) != 2:
        return int(digits or 0)
    return int(digits) + (2000 if int(digits) <= 40 else 1900)


def _valid(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _measured(text: str, small: str, found: re.Match[str], rules: Rules) -> bool:
    """Whether it is a measurement, a version, or a word that only looks like a month."""
    after = re.match(
        r"[ \t]*([^\W\d_]+(?:/[^\W\d_]+)?|[%°])", small[found.end() : found.end() + 12]
    )
    said = found.groupdict()
    spelled = said.get("n") is not None
    whole = len(said.get("y") or "") == 4
    if after and after[1] in rules.units and not (spelled and said.get("y")):
        return not (whole and after[1] in ("h", "x", "t", "s"))
    before = re.search(
        r"([^\W\d_]+)\.?[ \t:]*[\"']?\Z", small[max(0, found.start() - 14) : found.start()]
    )
    if before and before[1] in rules.before_models:
        return True
    if spelled and not said.get("y"):
        letter = text[found.start("n")]
        return not letter.isupper() and len(said["n"]) < 4
    return False


def moved(
    one: Dated, text: str, identity: Identity, rules: Rules, known: Iterable[str]
) -> str | None:
    """The date as it is written after it has moved; None when it is not told well enough.

    `known`: dates of the person (DA), which decide between two readings.
    """
    readings = one.readings
    if len(set(readings)) > 1:
        wanted = frozenset(known)
        sure = [r for r in readings if "{:04d}{:02d}{:02d}".format(*r) in wanted]
        readings = tuple(sure) if len(sure) == 1 else ()
    if len(readings) != 1 or not readings[0][0]:
        return None
    year, month, day = readings[0]
    then = identity.moved(f"{year:04d}{month:02d}{day or 15:02d}", "DA")
    if not re.fullmatch(r"\d{8}", then):
        return None
    return _written(one, text, rules, readings[0], (int(then[:4]), int(then[4:6]), int(then[6:])))


def _written(
    one: Dated, text: str, rules: Rules, old: tuple[int, int, int], new: tuple[int, int, int]
) -> str:
    """The same spelling with another day."""
    found, said = one.found, one.found.groupdict()
    values = {"y": f"{new[0]:04d}", "m": str(new[1]), "d": str(new[2])}
    if "a" in said:
        days_first = (int(said["a"]), int(said["b"])) == (old[2], old[1])
        values["a"], values["b"] = (values["d"], values["m"]) if days_first else (
            values["m"], values["d"])  # fmt: skip
    if said.get("n"):
        values["n"] = _month(text[slice(*found.span("n"))], said["n"], new[1], rules)
    if said.get("th") in ("st", "nd", "rd", "th"):
        values["th"] = _ordinal(new[2])
    elif said.get("th") == "er":
        values["th"] = "er" if new[2] == 1 else ""
    parts, at = [], found.start()
    for begin, end, name in sorted((*found.span(k), k) for k in values if said.get(k)):
        then = values[name]
        if name == "y" and end - begin < 4:
            then = text[begin : end - 2] + then[2:]
        elif name in "mdab" and _padded(text[begin:end], said):
            then = then.zfill(2)
        parts += [text[at:begin], then]
        at = end
    return "".join(parts) + text[at : found.end()]


def _padded(shown: str, said: dict[str, str | None]) -> bool:
    """Whether a day or a month is written with two digits here."""
    if said.get("n"):
        return shown[0] == "0"
    return all(len(said.get(name) or "00") == 2 for name in "mdab")


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


_SPELLED = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
}


def _month(shown: str, word: str, number: int, rules: Rules) -> str:
    """The name of a month in the language, length and case of another one."""
    for language, spelled in rules.spellings.items():
        for month in spelled:
            if word in month:
                full = word == month[0] and (len(word) > 3 or word in ("mai", "may"))
                then = _SPELLED[language].split()[number - 1]
                if not full:
                    then = spelled[number - 1][-1]
                if shown.isupper():
                    return then.upper()
                return then.capitalize() if shown[0].isupper() else then.lower()
    return shown
