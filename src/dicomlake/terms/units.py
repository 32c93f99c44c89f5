"""Units of measure: UCUM codes as sent, tidied, and numbers in a common unit of their kind."""

from __future__ import annotations

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
}  # fmt: skip
_SENT = {"mGycm": "mGy.cm", "Gym2": "Gy.m2", "uAs": "uA.s", "mAs": "mA.s", "ml": "mL"}


@lru_cache(maxsize=4096)
def ucum(code: str, scheme: str = "UCUM") -> str | None:
    """The UCUM code that a unit as sent stands for; None where nobody can know.

    >>> ucum("mGycm"), ucum("Gy.m2", "UCM"), ucum("3082", "CID")
    ('mGy.cm', 'Gy.m2', None)
    """
    if scheme not in ("UCUM", "UCM", ""):
        return None
    code = _SENT.get(code, code)
    return code if code in _COMMON else None


def common(number: float, unit: str) -> tuple[float, str] | None:
    """A number of a UCUM unit in the common unit of its kind; None for an unknown unit.

    >>> common(2.5, "cm"), common(0.5, "Gy.cm"), common(1, "furlong")
    ((25.0, 'mm'), (500.0, 'mGy.cm'), None)
    """
    found = _COMMON.get(unit)
    return (number * found[0], found[1]) if found else None
