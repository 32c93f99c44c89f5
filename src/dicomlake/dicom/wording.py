"""Numbers and moments of DICOM as people write them: ages in years, times of day, ISO dates."""

from __future__ import annotations

from datetime import datetime, timedelta

from dicomlake.dicom.dictionary import BINARY
from dicomlake.dicom.values import DAYS

_UNITS = {"Y": "year", "M": "month", "W": "week", "D": "day"}
_SIZES = ("bytes", "kB", "MB", "GB", "TB")


def literal(vr: str, value: float | datetime) -> str:
    """A value as questions write it: `number` or `moment` of a row of `elements`.

    >>> literal("DS", 3.0), literal("TM", 45015.5), literal("AS", 16436.25)
    ('3', '12:30:15.5', '45Y')
    >>> literal("DA", datetime(2024, 2, 29))
    '2024-02-29'
    """
    if isinstance(value, datetime):
        return value.date().isoformat() if vr == "DA" else value.isoformat()
    if vr == "TM":
        return _time(value)
    if vr == "AS":
        count, unit = _age(value)
        return f"{count}{unit}"
    return _number(value)


def shown(vr: str, value: float | datetime) -> str:
    """A value as people read it.

    >>> shown("AS", 16436.25), shown("AS", 10), shown("OW", 524288), shown("SQ", 1)
    ('45 years', '10 days', '524 kB', '1 item')
    >>> shown("DT", datetime(2024, 2, 29, 12, 30))
    '2024-02-29 12:30:00'
    """
    if isinstance(value, datetime):
        if vr == "DA":
            return value.date().isoformat()
        return value.replace(tzinfo=None).isoformat(" ")
    if vr == "AS":
        count, unit = _age(value)
        return _several(count, _UNITS[unit])
    if vr == "SQ":
        return _several(value, "item")
    if vr in BINARY:
        return _size(value)
    return literal(vr, value)


def _several(count: float, what: str) -> str:
    return f"{_number(count)} {what}{'' if count == 1 else 's'}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) < 1e15 and value == int(value) else repr(value)


def _time(seconds: float) -> str:
    whole = timedelta(microseconds=round(seconds * 1e6))
    rest, micro = divmod(round(whole / timedelta(microseconds=1)), 1_000_000)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{text}.{micro:06d}".rstrip("0") if micro else text


def _age(days: float) -> tuple[float, str]:
    """Count and unit of an age: the longest unit that makes the count whole."""
    for unit in "YMW":
        count = days / DAYS[unit]
        if count >= 1 and abs(count - round(count)) < 1e-6:
            return round(count), unit
    return round(days, 4), "D"


def _size(count: float) -> str:
    unit = 0
    while count >= 1000 and unit < len(_SIZES) - 1:
        count, unit = count / 1000, unit + 1
    if unit == 0:
        return _several(count, "byte")
    return f"{count:.3g} {_SIZES[unit]}"
