"""Units of measure: UCUM codes as sent, tidied, and numbers in a common unit of their kind."""

from __future__ import annotations

import re
from functools import lru_cache

# code -> (factor, common unit)
_COMMON = {
    "mm": (1.0, "mm"), "cm": (10.0, "mm"), "m": (1000.0, "mm"), "um": (0.001, "mm"),
    "ms": (1.0, "ms"), "s": (1000.0, "ms"), "min": (60000.0, "ms"),
    "mGy.cm": (1.0, "mGy.cm"), "Gy.cm": (1000.0, "mGy.cm"),
    "Gy.m2": (1.0, "Gy.m2"), "Gy.cm2": (1e-4, "Gy.m2"), "dGy.cm2": (1e-5, "Gy.m2"),
    "cGy.cm2": (1e-6, "Gy.m2"), "mGy.cm2": (1e-7, "Gy.m2"), "uGy.m2": (1e-6, "Gy.m2"),
    "Gy": (1000.0, "mGy"), "mGy": (1.0, "mGy"), "dGy": (100.0, "mGy"), "cGy": (10.0, "mGy"),
    "uA.s": (0.001, "mA.s"), "mA.s": (1.0, "mA.s"), "Bq": (1e-6, "MBq"), "MBq": (1.0, "MBq"),
    "uV": (0.001, "mV"), "mV": (1.0, "mV"), "deg": (1.0, "deg"), "/min": (1.0, "/min"),
    "mL": (1.0, "mL"), "cm3": (1.0, "mL"), "mm3": (0.001, "mL"), "l": (1000.0, "mL"),
    "kV": (1.0, "kV"), "mA": (1.0, "mA"), "uA": (0.001, "mA"), "1": (1.0, "1"), "%": (1.0, "%"),
    "us": (0.001, "ms"), "uGy": (0.001, "mGy"), "mGy.m2": (1e-3, "Gy.m2"),
    "kBq": (1e-3, "MBq"), "GBq": (1e3, "MBq"), "mSv": (1.0, "mSv"), "Sv": (1000.0, "mSv"),
    "m2": (1e6, "mm2"), "cm2": (100.0, "mm2"), "mm2": (1.0, "mm2"), "N": (1.0, "N"),
    "Hz": (1.0, "Hz"), "/s": (1.0, "Hz"),
}  # fmt: skip
_SENT = {
    "mGycm": "mGy.cm", "Gym2": "Gy.m2", "uAs": "uA.s", "mAs": "mA.s", "ml": "mL",
    "dGycm2": "dGy.cm2", "cGycm2": "cGy.cm2", "mGycm2": "mGy.cm2", "uGym2": "uGy.m2",
    "Gycm2": "Gy.cm2", "mGym2": "mGy.m2", "Gycm": "Gy.cm",
    "pulse/s": "Hz", "{pulse}/s": "Hz", "{pulses}/s": "Hz", "X-ray sources": "1",
}  # fmt: skip

_ANNOTATION = re.compile(r"\{[^{}]*\}")


@lru_cache(maxsize=4096)
def ucum(code: str, scheme: str = "UCUM") -> str | None:
    """The UCUM code that a unit as sent stands for; None where nobody can know.

    What stands in braces only explains a number without a unit.

    >>> ucum("mGycm"), ucum("Gy.m2", "UCM"), ucum("{events}"), ucum("3082", "CID")
    ('mGy.cm', 'Gy.m2', '1', None)
    """
    if scheme not in ("UCUM", "UCM", ""):
        return None
    code = "1" if _ANNOTATION.fullmatch(code) else _SENT.get(code, code)
    return code if code in _COMMON else None


def common(number: float, unit: str) -> tuple[float, str] | None:
    """A number of a UCUM unit in the common unit of its kind; None for an unknown unit.

    >>> common(2.5, "cm"), common(0.5, "Gy.cm"), common(1, "furlong")
    ((25.0, 'mm'), (500.0, 'mGy.cm'), None)
    """
    found = _COMMON.get(unit)
    return (number * found[0], found[1]) if found else None


def convert(number: float, unit: str, wanted: str) -> float | None:
    """A number of a UCUM unit in another unit; None where they do not measure the same.

    >>> convert(250, "ms", "s"), convert(2, "Gy", "mGy"), convert(1, "Gy", "mm")
    (0.25, 2000.0, None)
    """
    if unit == wanted:
        return number
    here, there = _COMMON.get(unit), _COMMON.get(wanted)
    if here is None or there is None or here[1] != there[1]:
        return None
    return number * here[0] / there[0]
