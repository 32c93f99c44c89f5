"""Moments as clinical systems write them, with how exactly they are known."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

_ISO = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?"
    r"\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?)?)?)?",
    re.ASCII,
)
_HL7 = re.compile(
    r"(\d{4})(\d\d)(?:(\d\d)(?:(\d\d)(\d\d)(?:(\d\d)(?:\.(\d+))?)?)?)?([+-]\d{4})?", re.ASCII
)
_LOCAL = re.compile(r"(\d\d?)\.(\d\d?)\.(\d{4})(?:,? +(\d\d?):(\d\d)(?::(\d\d))?)?", re.ASCII)
PRECISIONS = ("year", "month", "day", "second")
Moment = tuple[datetime, str]


@lru_cache(maxsize=65536)
def moment(text: str) -> Moment | None:
    """When something was, in UTC, and how exactly that is known; None when nobody can tell.

    Without an offset a time counts as it stands, as those of DICOM do.

    >>> moment("2014"), moment("2014-05")[1], moment("20140503")[1]
    ((datetime.datetime(2014, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), 'year'), 'month', 'day')
    >>> moment("2014-05-03T10:00:00+02:00")[0].hour, moment("3.5.2014 10:30")[1], moment("soon")
    (8, 'second', None)
    """
    text = text.strip()
    if found := _ISO.fullmatch(text) or _HL7.fullmatch(text):
        year, month, day, hour, minute, second, part, zone = found.groups()
    elif found := _LOCAL.fullmatch(text):
        day, month, year, hour, minute, second = found.groups()
        part = zone = None
    else:
        return None
    micro = int((part or "0")[:6].ljust(6, "0"))
    try:
        then = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0),
            min(int(second or 0), 59), micro, _zone(zone),
        ).astimezone(UTC)  # fmt: skip
    except (ValueError, OverflowError):
        return None
    known = sum(one is not None for one in (month, day, hour))
    return then, PRECISIONS[known]


def _zone(text: str | None) -> timezone:
    if not text or text in ("Z", "UTC"):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-shift if text[0] == "-" else shift)


# The same in SQL, for tables of millions of rows.

SQL = r"""
create or replace macro moment(t) as case
    when t is null then null
    when regexp_full_match(t, '\d{4}-\d\d-\d\d') then try_cast(t as date)::timestamptz
    when regexp_full_match(t, '\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*')
        then try_cast(replace(t, ' UTC', 'Z') as timestamptz)
    when regexp_full_match(t, '\d{8}') then try_strptime(t, '%Y%m%d')::timestamptz
    when regexp_full_match(t, '\d{14}') then try_strptime(t, '%Y%m%d%H%M%S')::timestamptz
    when regexp_full_match(t, '\d{4}') then try_cast(t || '-01-01' as date)::timestamptz
    when regexp_full_match(t, '\d{4}-\d\d') then try_cast(t || '-01' as date)::timestamptz
    when contains(t, '.') then try_strptime(t,
        ['%d.%m.%Y', '%d.%m.%Y %H:%M', '%d.%m.%Y %H:%M:%S'])::timestamptz
end;
create or replace macro precision_of(t) as case
    when regexp_full_match(t, '\d{4}') then 'year'
    when regexp_full_match(t, '\d{4}-\d\d') then 'month'
    when length(t) > 10 then 'second'
    else 'day'
end;
"""
"""Macros `moment(text)` and `precision_of(text)`."""
