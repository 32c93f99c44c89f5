"""The axis of a histogram: round bins over a range, the same as long as the range fits them."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from dicomlake.dicom.dictionary import BINARY
from dicomlake.dicom.values import DAYS

MOST_BINS = 31
_LARGEST = sys.float_info.max

_WHOLE = BINARY | frozenset(["IS", "US", "SS", "UL", "SL", "UV", "SV", "SQ"])
_WIDTHS = {
    "TM": (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0),
    "AS": (1.0, 7.0, *(DAYS["M"] * n for n in (1, 3)), *(DAYS["Y"] * n for n in (1, 2, 5, 10, 50))),
}
"""Seconds and days that people count in."""
_STEPS = (
    ("hour", 1), ("day", 1), ("week", 1), ("month", 1), ("month", 3),
    ("year", 1), ("year", 2), ("year", 5), ("year", 10), ("year", 100), ("year", 1000),
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Equal bins of numbers: x lies in bin floor(x * parts / width) - base."""

    width: float
    parts: float
    base: float
    count: int

    @classmethod
    def over(cls, vr: str, lowest: float, highest: float) -> Numbers:
        """The narrowest round bins from lowest to highest.

        >>> [low for low, _ in Numbers.over("DS", 0.2, 3.0).edges()][:3]
        [0.2, 0.3, 0.4]
        >>> Numbers.over("US", 3, 10).edges()[0]
        (3.0, 4.0)
        """
        if lowest == highest:
            return cls(1.0, 1.0, float(math.floor(lowest)), 1)
        for width, parts in _widths(vr, highest / MOST_BINS - lowest / MOST_BINS):
            base = math.floor(lowest * parts / width)
            count = math.floor(highest * parts / width) - base + 1
            if count <= MOST_BINS:
                break
        return cls(width, parts, float(base), min(count, MOST_BINS))

    def edges(self) -> list[tuple[float, float]]:
        """Where every bin begins and ends, the end not included."""
        places = [
            max(min((self.base + i) * self.width / self.parts, _LARGEST), -_LARGEST)
            for i in range(self.count + 1)
        ]
        return list(pairwise(places))


def _widths(vr: str, least: float) -> list[tuple[float, float]]:
    """Round widths as (width, parts), which stands for width / parts; ever wider ones."""
    found = [(width, 1.0) for width in _WIDTHS.get(vr, ())]
    power = max(math.floor(math.log10(least)) if least > 0 else -300, -300)
    for exponent in range(power, min(power + 3, 308)):
        for digit in (1.0, 2.0, 5.0):
            if exponent >= 0:
                found.append((digit * 10.0**exponent, 1.0))
            elif vr not in _WHOLE:
                found.append((digit, 10.0**-exponent))
    if vr in _WHOLE:
        found = [(1.0, 1.0), (2.0, 1.0), (5.0, 1.0), *found]
    return sorted(set(found), key=lambda pair: pair[0] / pair[1])


@dataclass(frozen=True, slots=True)
class Moments:
    """Bins of calendar units: t lies in bin date_diff(unit, start, t) // step."""

    unit: str
    step: int
    start: datetime
    count: int

    @classmethod
    def over(cls, first: datetime, last: datetime) -> Moments:
        """The narrowest calendar bins from first to last.

        >>> Moments.over(datetime(2019, 5, 3, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
        Moments(unit='month', step=3, start=datetime.datetime(2019, 4, 1, 0, 0, tzinfo=\
datetime.timezone.utc), count=20)
        """
        for unit, step in _STEPS:
            start = _floor(first, unit, step)
            count = (_ordinal(last, unit) - _ordinal(start, unit)) // step + 1
            if count <= MOST_BINS:
                break
        return cls(unit, step, start, count)

    def edges(self) -> list[tuple[float, float]]:
        """Where every bin begins and ends, the end not included, in seconds since 1970."""
        places = [_after(self.start, self.unit, self.step * i) for i in range(self.count + 1)]
        seconds = [(place - _EPOCH).total_seconds() for place in places]
        return list(pairwise(seconds))


def _ordinal(moment: datetime, unit: str) -> int:
    """How many whole units lie before a moment, counted from a fixed one."""
    if unit == "year":
        return moment.year
    if unit == "month":
        return moment.year * 12 + moment.month - 1
    days = moment.toordinal()
    if unit == "week":
        return (days - 1) // 7
    return days if unit == "day" else days * 24 + moment.hour


def _floor(moment: datetime, unit: str, step: int) -> datetime:
    """The beginning of the bin that a moment lies in."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "year":
        return day.replace(year=max(moment.year // step * step, 1), month=1, day=1)
    if unit == "month":
        return day.replace(month=(moment.month - 1) // step * step + 1, day=1)
    if unit == "week":
        return day - timedelta(days=min(day.weekday(), day.toordinal() - 1))
    return day.replace(hour=moment.hour) if unit == "hour" else day


def _after(start: datetime, unit: str, count: int) -> datetime:
    """A moment so many units later; the last one that a calendar has at the latest."""
    try:
        if unit == "year":
            return start.replace(year=start.year + count)
        if unit == "month":
            months = start.month - 1 + count
            return start.replace(year=start.year + months // 12, month=months % 12 + 1)
        return start + timedelta(**{f"{unit}s": count})
    except (ValueError, OverflowError):
        return _EVER


Axis = Numbers | Moments
