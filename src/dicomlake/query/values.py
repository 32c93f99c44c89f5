"""Typed values: what a question may compare an attribute with, and how each value is written.

Every kind of attribute has one Python type that a node keeps, and spellings that it accepts:

    text        str
    number      int, float            "3", "1.5"
    date        datetime.date         "2024-01-31", "20240131"
    time        datetime.time         "12:30", "12:30:15.5", "123015.5"
    datetime    datetime.datetime     "2024-01-31T12:30:00+01:00", "20240131123000+0100"
    age         Age                   "45Y", "045Y", 45 (years)
    unknown     str, int, float       as given: private attributes that no dictionary has
    content     str, int, float, Quantity, date, datetime      as given: items of reports

Where an attribute is measured in a unit of UCUM, a number may come with one: a Quantity.
"""

from __future__ import annotations

import datetime as dt
import math
import numbers
import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dicomlake.dicom.values import DAYS
from dicomlake.errors import UsageError, WrongType
from dicomlake.tables import ANY_UNIT
from dicomlake.terms import units

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomlake.dicom.dictionary import Attribute


@dataclass(frozen=True, slots=True)
class Age:
    """An age as DICOM writes it (PS3.5 6.2, AS): a count of days, weeks, months or years.

    >>> Age(45, "Y").days
    16436.25
    >>> str(Age(3, "M"))
    '3M'
    """

    count: int
    unit: str

    def __post_init__(self) -> None:
        if type(self.count) is not int or not 0 <= self.count <= 999 or self.unit not in DAYS:
            raise UsageError(
                f"{self.count!r} {self.unit!r} is no age. Give a whole number from 0 to 999 and"
                " one of D, W, M, Y, such as Age(45, 'Y')."
            )

    @property
    def days(self) -> float:
        """Length in days: ages of different units are compared by this.

        >>> Age(2, "W").days
        14.0
        """
        return self.count * DAYS[self.unit]

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit in UCUM.

    >>> str(Quantity(2.5, "cm")), Quantity(2.5, "cm").common
    ('2.5 cm', (25.0, 'mm'))
    """

    number: int | float
    unit: str

    def __post_init__(self) -> None:
        found = number(self.number)
        unit = units.ucum(self.unit) if isinstance(self.unit, str) and self.unit else None
        if found is None or unit is None or units.common(found, unit) is None:
            raise UsageError(
                f"{self.number!r} {self.unit!r} is no quantity. Give a number and a unit of UCUM, "
                "such as 30 mm, 450 ms or 1.2 mGy.cm."
            )
        object.__setattr__(self, "number", found)
        object.__setattr__(self, "unit", unit)

    @property
    def common(self) -> tuple[float, str]:
        """The number in the common unit of its kind, and that unit."""
        found = units.common(float(self.number), self.unit)
        assert found is not None
        return found

    def __str__(self) -> str:
        return f"{self.number} {self.unit}"


Value = str | int | float | dt.date | dt.time | dt.datetime | Age | Quantity

DATE = re.compile(r"(\d{4})(-?)(\d\d)\2(\d\d)", re.ASCII)
PART_OF_YEAR = re.compile(r"(\d{4})(?:-(\d\d))?", re.ASCII)
TIME = re.compile(r"(\d\d)(?:(:?)(\d\d)(?:\2(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)
MOMENT = re.compile(r"(\d{8}|\d{4}-\d\d-\d\d)[T ]?([\d:.]{2,})(Z|[+-][\d:]{4,5})?", re.ASCII)
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
AGE = re.compile(r"(\d{1,3})([DWMY]?)", re.ASCII)


def text(value: object) -> str | None:
    """The value as text, or None; empty text is none, because DICOM stores it as no value.

    >>> text("MR"), text(3), text("")
    ('MR', None, None)
    """
    return str.__str__(value) if isinstance(value, str) and value else None


def number(value: object) -> int | float | None:
    """The value as a finite number, or None; whole numbers beyond 64 bits become floats.

    >>> number(3), number("1.50"), number("abc"), number(True)
    (3, 1.5, None, None)
    """
    if isinstance(value, str):
        return _written_number(value.strip())
    if isinstance(value, bool):
        return None
    if isinstance(value, numbers.Integral):
        whole = int(value)
        return whole if -(2**63) <= whole < 2**64 else _finite(whole)
    return _finite(value) if isinstance(value, numbers.Real | Decimal) else None


def _written_number(written: str) -> int | float | None:
    if not NUMBER.fullmatch(written):
        return None
    whole = WHOLE.fullmatch(written) and len(written) < 400
    return number(int(written)) if whole else _finite(written)


def _finite(value: numbers.Real | Decimal | int | str) -> float | None:
    try:
        found = float(value)
    except (OverflowError, ValueError):
        return None
    return found if math.isfinite(found) else None


def date(value: object) -> dt.date | None:
    """The value as a date, or None.

    >>> date("20240131")
    datetime.date(2024, 1, 31)
    """
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.date(value.year, value.month, value.day)
    m = DATE.fullmatch(value) if isinstance(value, str) else None
    try:
        return dt.date(int(m[1]), int(m[3]), int(m[4])) if m else None
    except ValueError:
        return None


def time(value: object) -> dt.time | None:
    """The value as a time of day, or None; DICOM's TM has no time zone, so none is accepted.

    >>> time("12:30"), time("123015.5")
    (datetime.time(12, 30), datetime.time(12, 30, 15, 500000))
    """
    if isinstance(value, dt.time):
        return value.replace(fold=0) if value.tzinfo is None else None
    m = TIME.fullmatch(value) if isinstance(value, str) else None
    if not m:
        return None
    micro = int((m[5] or "").ljust(6, "0"))
    try:
        return dt.time(int(m[1]), int(m[3] or 0), int(m[4] or 0), micro)
    except ValueError:
        return None


def moment(value: object) -> dt.datetime | None:
    """The value as date and time, or None; the offset from UTC is kept, in whole minutes.

    >>> moment("20240131123000+0100").isoformat()
    '2024-01-31T12:30:00+01:00'
    """
    if isinstance(value, dt.datetime):
        return _fixed(value, value.utcoffset())
    m = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if not m or (day := date(m[1])) is None or (clock := time(m[2])) is None:
        return None
    return _fixed(dt.datetime.combine(day, clock), _offset(m[3] or ""))


def _offset(written: str) -> dt.timedelta | None:
    if m := OFFSET.fullmatch(written.replace("Z", "+00:00")):
        away = dt.timedelta(hours=int(m[2]), minutes=int(m[3]))
        return -away if m[1] == "-" else away
    return dt.timedelta(days=2) if written else None


def _fixed(value: dt.datetime, offset: dt.timedelta | None) -> dt.datetime | None:
    if offset is None:
        return value.replace(tzinfo=None, fold=0)
    if abs(offset) >= dt.timedelta(days=1) or offset % dt.timedelta(minutes=1):
        return None
    return value.replace(tzinfo=dt.timezone(offset), fold=0)


def age(value: object) -> Age | None:
    """The value as an age, or None; a whole number means years.

    >>> age("045Y"), age(45)
    (Age(count=45, unit='Y'), Age(count=45, unit='Y'))
    """
    if isinstance(value, Age):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, numbers.Integral):
        years = int(value)
        return Age(years, "Y") if 0 <= years <= 999 else None
    m = AGE.fullmatch(value) if isinstance(value, str) else None
    return Age(int(m[1]), m[2] or "Y") if m else None


def anything(value: object) -> str | int | float | None:
    """The value as text or number, as given, or None.

    >>> anything("3"), anything(3)
    ('3', 3)
    """
    return text(value) if isinstance(value, str) else number(value)


def quantity(value: object) -> Quantity | None:
    """The value as a number with a unit, or None: also as JSON has it.

    >>> quantity({"number": 30, "unit": "mm"})
    Quantity(number=30, unit='mm')
    """
    if isinstance(value, Quantity):
        return value
    if isinstance(value, Mapping) and value.keys() == {"number", "unit"}:
        return Quantity(value["number"], value["unit"])
    return None


def content(value: object) -> Value | None:
    """The value as an item of a report may have it, or None; text is a date where it reads as one.

    >>> content("3"), content(3), content("2024-01-31")
    ('3', 3, datetime.date(2024, 1, 31))
    """
    if isinstance(value, dt.date) or (isinstance(value, str) and value[4:5] == "-"):
        when = date(value) or moment(value)
        if when is not None:
            return when
    return quantity(value) or anything(value)


_READ: dict[str, Callable[[object], Value | None]] = {
    "content": content,
    "text": text,
    "number": number,
    "date": date,
    "time": time,
    "datetime": moment,
    "age": age,
    "unknown": anything,
}

_HOLDS = {
    "text": "text, such as 'HEAD'",
    "number": "numbers, such as 3 or 1.5",
    "date": "dates, such as 2024-01-31",
    "time": "times, such as 12:30 or 12:30:15.5",
    "datetime": "dates with time, such as 2024-01-31T12:30:00",
    "age": "ages, such as 45Y, 18M, 2W or 3D",
    "unknown": "text or numbers, such as 'HEAD' or 3",
    "content": "text, numbers or dates, such as 'HEAD', 3, 30 mm or 2024-01-31",
}


def named(about: Attribute) -> str:
    """Path and VR of an attribute, as messages name it.

    >>> from dicomlake.dicom.dictionary import attribute
    >>> named(attribute("Modality"))
    'Modality (CS)'
    """
    return f"{about.path} ({about.vr or 'VR unknown'})"


def short(value: object) -> str:
    """The value as a message shows it, cut when it is long.

    >>> short("abc"), len(short("a" * 1000))
    ("'abc'", 60)
    """
    try:
        shown = repr(value)
    except ValueError:  # an int of more digits than Python prints
        shown = "a number of very many digits"
    return shown if len(shown) <= 60 else shown[:57] + "..."


def shown(value: Value) -> str:
    """A checked value as a message shows it: as people write it, cut when it is long.

    >>> shown(dt.date(2024, 1, 31)), shown("MR")
    ('2024-01-31', "'MR'")
    """
    if isinstance(value, Quantity):
        return str(value)
    return short(value) if isinstance(value, str) else str(plain(value))


def wrong(about: Attribute, value: object) -> WrongType:
    """The error for a value that the attribute cannot have.

    >>> from dicomlake.dicom.dictionary import attribute
    >>> str(wrong(attribute("MagneticFieldStrength"), "abc"))
    "MagneticFieldStrength (DS) holds numbers, such as 3 or 1.5; 'abc' is none."
    """
    hint = f" Ask `{about.path} missing` for no value." if value is None or value == "" else ""
    return WrongType(f"{named(about)} holds {_HOLDS[about.kind]}; {short(value)} is none.{hint}")


@lru_cache(maxsize=4096)
def checker(about: Attribute) -> Callable[[object], Value]:
    """Function that turns an accepted spelling into the value, or raises WrongType.

    >>> from dicomlake.dicom.dictionary import attribute
    >>> checker(attribute("StudyDate"))("20240131")
    datetime.date(2024, 1, 31)

    UsageError for sequences and bulk data, which hold no value to compare.
    """
    if about.kind == "sequence" and not about.tag:
        row = about.table and "." not in about.path
        instead = "one of its columns" if row else f"a code: {about.path} within SCT:10200004"
        raise UsageError(
            f"{about.path} holds no values to compare. Ask {about.path} exists, or {instead}."
        )
    if about.kind == "sequence":
        raise UsageError(
            f"{named(about)} is a sequence and has no value of its own. Ask for an attribute"
            f" inside it ({about.path}.CodeValue), or use exists, missing or within."
        )
    if about.kind == "binary":
        raise UsageError(
            f"{named(about)} holds bulk data. Only exists and missing can be asked of it."
        )
    read = _READ[about.kind]

    def check(value: object) -> Value:
        found: Value | None = _measured(about, value) if about.unit else None
        found = read(value) if found is None else found
        if found is None:
            raise wrong(about, value)
        return found

    return check


def _measured(about: Attribute, value: object) -> Quantity | None:
    """The value as a quantity in a unit that the attribute may have."""
    found = quantity(value)
    if about.unit == ANY_UNIT:
        return found
    if found is not None and found.common[1] != Quantity(1, about.unit).common[1]:
        raise WrongType(f"{about.path} is measured in {about.unit}; {found} is none of these.")
    return found


def span(about: Attribute, written: str) -> tuple[Value, Value]:
    """First and last value that a literal stands for: `2024` for a date is the whole year.

    >>> from dicomlake.dicom.dictionary import attribute
    >>> [str(day) for day in span(attribute("StudyDate"), "2024-02")]
    ['2024-02-01', '2024-02-29']
    """
    if about.kind not in ("date", "datetime") or (days := _days(about.kind, written)) is None:
        only = checker(about)(written)
        return only, only
    if about.kind == "date":
        return days
    return dt.datetime.combine(days[0], dt.time.min), dt.datetime.combine(days[1], dt.time.max)


def _days(kind: str, written: str) -> tuple[dt.date, dt.date] | None:
    if kind == "datetime" and (day := date(written)):
        return day, day
    m = PART_OF_YEAR.fullmatch(written)
    if not m or int(m[1]) < 1 or not 1 <= int(m[2] or 1) <= 12:
        return None
    year, first, last = int(m[1]), int(m[2] or 1), int(m[2] or 12)
    return dt.date(year, first, 1), dt.date(year, last, monthrange(year, last)[1])


def rank(value: Value) -> str | int | float | dt.date | dt.time | dt.datetime:
    """What the value is ordered by: ages by their days, quantities in their common unit.

    >>> rank(Age(1, "W"))
    7.0
    """
    if isinstance(value, Quantity):
        return value.common[0]
    return value.days if isinstance(value, Age) else value


def plain(value: Value) -> Any:
    """The value in JSON: text and numbers as they are, dates, times and ages as ISO text.

    >>> plain(dt.date(2024, 1, 31)), plain(Age(45, "Y")), plain(Quantity(3, "mm"))
    ('2024-01-31', '45Y', {'number': 3, 'unit': 'mm'})
    """
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Quantity):
        return {"number": value.number, "unit": value.unit}
    return str(value) if isinstance(value, Age) else value.isoformat()
