"""Measurements of electrocardiograms: their codes, the kind of their unit, and their names in text.

Codes are those of PS3.16 CID 3227, 3228, 3229 and the heart rate of LOINC.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dicomlake.terms import Code


class Measure(NamedTuple):
    """A measurement: its code and the unit in which such numbers are compared."""

    code: Code
    unit: str


_MEASURES = (
    ("2:15872", "PR interval global", "ms", "PR PQ PR-INTERVAL PQ-INTERVAL PR-ZEIT PQ-ZEIT"),
    ("2:16184", "P duration global", "ms", "P-DURATION P-DAUER PD"),
    ("2:16156", "QRS duration global", "ms", "QRS QRSD QRS-DURATION QRS-DAUER"),
    ("2:16160", "QT interval global", "ms", "QT QT-INTERVAL QT-ZEIT"),
    ("2:15876", "QTc interval global", "ms", "QTC QTC-INTERVAL QTC-ZEIT"),
    ("2:15880", "QTc interval global using Bazett's formula", "ms", "QTCB QTC-BAZETT"),
    ("2:15892", "QTc interval global using Fridericia's formula", "ms", "QTCF QTC-FRIDERICIA"),
    ("2:16168", "RR interval global", "ms", "RR RR-INTERVAL"),
    ("2:16140", "PP interval global", "ms", "PP PP-INTERVAL"),
    ("2:16128", "P axis", "deg", "P-AXIS P-ACHSE"),
    ("2:16132", "QRS axis", "deg", "QRS-AXIS QRS-ACHSE R-AXIS"),
    ("2:16136", "T axis", "deg", "T-AXIS T-ACHSE"),
    ("2:16016", "Ventricular heart rate", "/min", "VENTRICULAR-RATE VENT-RATE VR"),
    ("8867-4", "Heart rate", "/min", "HR HF HEART-RATE HERZFREQUENZ HEARTRATE"),
)
_BY_CODE: dict[tuple[str, str], Measure] = {}
_BY_NAME: dict[str, Measure] = {}
for _value, _meaning, _unit, _names in _MEASURES:
    _scheme = "MDC" if _value.startswith("2:") else "LN"
    _measure = Measure(Code(_value, _scheme, _meaning), _unit)
    _BY_CODE[_value, _scheme] = _measure
    _BY_NAME.update(dict.fromkeys(_names.split(), _measure))

_UNITS = {
    "ms": "ms", "msec": "ms", "s": "s", "sec": "s", "°": "deg", "deg": "deg", "grad": "deg",
    "degrees": "deg", "bpm": "/min", "/min": "/min", "1/min": "/min", "min-1": "/min",
}  # fmt: skip
_SAID = re.compile(
    r"\s*(?P<name>[A-Za-z][A-Za-z \-]{0,24}?)\s*[:=]?\s*(?P<number>-?\d{1,5}(?:[.,]\d{1,3})?)"
    r"\s*(?P<unit>[A-Za-z°/][A-Za-z°/\-1]{0,8}|1/min)\.?\s*"
)


def measure_of(value: str, scheme: str) -> Measure | None:
    """The measurement that a code (value, scheme) stands for.

    >>> measure_of("2:16132", "MDC").unit
    'deg'
    """
    return _BY_CODE.get((value, scheme))


def said_in(text: str) -> tuple[Measure, float, str] | None:
    """Measurement, number and UCUM unit of a text that says one and nothing else.

    >>> measure, number, unit = said_in("QTc 450 ms")
    >>> measure.code.value, number, unit
    ('2:15876', 450.0, 'ms')
    >>> said_in("QT prolonged, 450 ms?"), said_in("QRS axis: 45 ms")
    (None, None)
    """
    match = _SAID.fullmatch(text)
    if match is None:
        return None
    measure = _BY_NAME.get("-".join(match["name"].upper().replace("-", " ").split()))
    unit = _UNITS.get(match["unit"].lower())
    if measure is None or unit is None:
        return None
    if unit != measure.unit and (unit, measure.unit) != ("s", "ms"):
        return None
    return measure, float(match["number"].replace(",", ".")), unit
