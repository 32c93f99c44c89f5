"""Units of measure: UCUM codes as sent, tidied, and numbers in a common unit of their kind.

Units are read by the grammar of UCUM as far as imaging needs it: prefixes, products, quotients,
powers, factors and annotations. Conversions are exact in decimal; nothing is guessed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import isfinite

Kind = tuple[tuple[str, bool, int], ...]
"""The base units of a unit: name, whether it divides, power. mL/m2 is no length: none cancel."""

_PREFIXES = {
    "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3, "u": -6,
    "n": -9, "p": -12, "f": -15,
}  # fmt: skip

# unit -> its factor and base units; these take prefixes
_METRIC = {
    "m": ("1", {"m": 1}), "g": ("1", {"g": 1}), "s": ("1", {"s": 1}), "L": ("0.001", {"m": 3}),
    "A": ("1", {"A": 1}), "C": ("1", {"A": 1, "s": 1}), "V": ("1", {"V": 1}),
    "W": ("1", {"W": 1}), "J": ("1", {"W": 1, "s": 1}), "eV": ("1", {"eV": 1}),
    "Hz": ("1", {"Hz": 1}), "N": ("1", {"N": 1}), "T": ("1", {"T": 1}), "K": ("1", {"K": 1}),
    "Pa": ("1", {"Pa": 1}), "bar": ("100000", {"Pa": 1}), "m[Hg]": ("133322", {"Pa": 1}),
    "m[H2O]": ("9806.65", {"Pa": 1}), "Ohm": ("1", {"Ohm": 1}), "cd": ("1", {"cd": 1}),
    "Gy": ("1", {"Gy": 1}), "Sv": ("1", {"Sv": 1}), "R": ("1", {"R": 1}),
    "Bq": ("1", {"Bq": 1}), "Ci": ("37000000000", {"Bq": 1}), "mol": ("1", {"mol": 1}),
    "rad": ("1", {"rad": 1}), "U": ("1", {"U": 1}), "[iU]": ("1", {"[iU]": 1}),
    "t": ("1000000", {"g": 1}), "B": ("1", {"B": 1}), "dyn": ("0.00001", {"N": 1}),
}  # fmt: skip
# the same for units without prefixes; % and temperatures are compared only with themselves
_PI = "3.14159265358979323846264338327950288419716939937510"
_PLAIN = {
    "min": ("60", {"s": 1}), "h": ("3600", {"s": 1}), "d": ("86400", {"s": 1}),
    "wk": ("604800", {"s": 1}), "mo": ("2629800", {"s": 1}), "a": ("31557600", {"s": 1}),
    "%": ("1", {"%": 1}), "[ppth]": ("1", {"[ppth]": 1}), "[ppm]": ("1", {"[ppm]": 1}),
    "Cel": ("1", {"Cel": 1}), "[degF]": ("1", {"[degF]": 1}), "[pH]": ("1", {"[pH]": 1}),
    "[hnsf'U]": ("1", {"[hnsf'U]": 1}), "sr": ("1", {"sr": 1}), "[diop]": ("1", {"[diop]": 1}),
    "[in_i]": ("0.0254", {"m": 1}), "[ft_i]": ("0.3048", {"m": 1}), "[Ch]": ("1", {"[Ch]": 1}),
    "dB[uV]": ("1", {"dB[uV]": 1}), "dB[mV]": ("1", {"dB[mV]": 1}),
    "[arb'U]": ("1", {"[arb'U]": 1}), "[PRU]": ("1", {"[PRU]": 1}),
    "[wood'U]": ("1", {"[wood'U]": 1}), "[mi_i]": ("1609.344", {"m": 1}),
    # tube voltages are no kind of the voltages of signals
    "kV": ("1", {"kV": 1}), "MV": ("1000", {"kV": 1}),
    "[lb_av]": ("453.59237", {"g": 1}), "[oz_av]": ("28.349523125", {"g": 1}),
}  # fmt: skip
_TURN = Fraction(_PI) / 180
_ATOMS: dict[str, tuple[Fraction, dict[str, int]]] = {
    **{name: (Fraction(factor), base) for name, (factor, base) in _PLAIN.items()},
    **{
        prefix + name: (Fraction(factor) * Fraction(10) ** power, base)
        for name, (factor, base) in _METRIC.items()
        for prefix, power in {"": 0, **_PREFIXES}.items()
        if prefix + name not in _PLAIN
    },
    "deg": (_TURN, {"rad": 1}),
    "'": (_TURN / 60, {"rad": 1}),
    "''": (_TURN / 3600, {"rad": 1}),
}

# the unit in which all numbers of a kind are compared; any other unit is compared with itself
_COMMON = """
mm mm2 mL ms /min Hz cm/s cm/s2 deg deg/s mm2/s s/mm2 mL/s mL/m2 mL/kg
mm[Hg] mm[Hg]/s g g/m2 mg/cm3 mmol/L mV mV.s mV/s mA mA.s N W mT mT/m keV kV
mGy mGy/s mGy.cm Gy.m2 Gy.m2/s mSv MBq Bq/mL MBq/kg 1 % Ohm
{SUVbw}g/ml {SUVlbm}g/ml {SUVlbm(Janma)}g/ml {SUVlbm(James128)}g/ml {SUVibw}g/ml {SUVbsa}cm2/ml
""".split()

# what devices write, and what they mean by it
_SENT = {
    "mGycm": "mGy.cm", "mGy*cm": "mGy.cm", "Gym2": "Gy.m2", "Gy*m2": "Gy.m2", "uAs": "uA.s",
    "mAs": "mA.s", "pulse/s": "{pulse}/s", "X-ray sources": "{X-Ray sources}",
    "X-Ray sources": "{X-Ray sources}", "mmHg": "mm[Hg]", "no units": "1",
    "dGycm2": "dGy.cm2", "cGycm2": "cGy.cm2", "mGycm2": "mGy.cm2", "uGym2": "uGy.m2",
    "Gycm2": "Gy.cm2", "mGym2": "mGy.m2", "Gycm": "Gy.cm",
    "ppm": "[ppm]", "diop": "[diop]", "10-6.mm2/s": "10*-6.mm2/s",
}  # fmt: skip

_TOKEN = re.compile(
    r"(?P<note>\{[^{}]*\})"
    r"|(?P<ten>10[*^])(?P<tens>[+-]?\d{1,2})?"
    r"|(?P<number>[1-9]\d{0,8})(?![\w*^])"
    r"|(?P<atom>(?:[A-Za-z]|\[[^\[\]{}]*\])+|%|''?)(?P<power>[+-]?\d{1,2})?"
    r"|(?P<sign>[./()])",
    re.ASCII,
)
_LITRE = re.compile(r"(?<![A-Za-z\[_'])(da|[PTGMkhdcmunpf])?l(?![A-Za-z\]_])", re.ASCII)
_NOTE = re.compile(r"\{[^{}]*\}")
_LONGEST = 64


@lru_cache(maxsize=4096)
def ucum(code: str, scheme: str = "UCUM") -> str | None:
    """The UCUM code that a unit as sent stands for; None where nobody can know.

    >>> ucum("mGycm"), ucum("Gy.m2", "UCM"), ucum("3082", "CID")
    ('mGy.cm', 'Gy.m2', None)
    >>> ucum("ml/min"), ucum("1/min"), ucum("{beat}/min"), ucum("furlong")
    ('mL/min', '/min', '{beat}/min', None)
    """
    if scheme.strip().upper() not in ("UCUM", "UCM", ""):
        return None
    code = code.strip()
    code = _SENT.get(code, code)
    measured = _measure(code)
    if measured is None:
        return None
    suv = _KINDS.get(measured[1])
    if suv is not None and suv[1].startswith("{") and suv[0] == measured[0]:
        return suv[1]
    if "{" not in code:
        code = _LITRE.sub(r"\1L", code)
    return code[1:] if code.startswith("1/") else code


def common(number: float, unit: str) -> tuple[float, str] | None:
    """A number of a UCUM unit in the common unit of its kind; None for an unknown unit.

    >>> common(2.5, "cm"), common(0.5, "Gy.cm"), common(1, "furlong")
    ((25.0, 'mm'), (500.0, 'mGy.cm'), None)
    >>> common(0.07, "Gy"), common(3, "cm3"), common(60, "{beat}/min"), common(2, "10*-6/uL")
    ((70.0, 'mGy'), (3.0, 'mL'), (60.0, '{beat}/min'), (2.0, '10*-6/uL'))
    """
    found = _scale(unit)
    if found is None:
        return None
    factor, name = found
    number = float(number)
    if factor == 1 or not isfinite(number):
        return number, name
    try:
        if isinstance(factor, Decimal):
            result = float(Decimal(repr(number)) * factor)
        else:
            result = float(Fraction(repr(number)) * factor)
    except OverflowError:
        return None
    return (result, name) if isfinite(result) else None


def convert(number: float, unit: str, wanted: str) -> float | None:
    """A number of a UCUM unit in another unit; None where they do not measure the same.

    What stands in braces only explains; a hertz is one per second.

    >>> convert(250, "ms", "s"), convert(2, "Gy", "mGy"), convert(7.5, "{pulse}/s", "Hz")
    (0.25, 2000.0, 7.5)
    >>> convert(4, "{events}", "1"), convert(1, "Gy", "mm"), convert(500, "Hz", "kHz")
    (4.0, None, 0.5)
    """
    unit, wanted = _NOTE.sub("", unit) or "1", _NOTE.sub("", wanted) or "1"
    if (_scale(unit) or ("", ""))[1] != (_scale(wanted) or ("", ""))[1]:
        unit, wanted = ("/s" if u == "Hz" else u for u in (unit, wanted))
    if unit == wanted:
        return float(number)
    here, there = common(number, unit), common(1, wanted)
    if here is None or there is None or here[1] != there[1]:
        return None
    return here[0] / there[0]


@lru_cache(maxsize=4096)
def _scale(unit: str) -> tuple[Decimal | Fraction, str] | None:
    """By what numbers of a unit are multiplied, and the unit they have then."""
    measured = _measure(_SENT.get(unit, unit))
    if measured is None:
        return None
    factor, kind = measured
    if kind not in _KINDS or (not kind and factor != 1):
        return Decimal(1), ucum(unit) or unit
    ours, name = _KINDS[kind]
    factor /= ours
    rest = factor.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest == 1:  # a decimal number
        return Decimal(factor.numerator) / Decimal(factor.denominator), name
    return factor, name


@lru_cache(maxsize=4096)
def _measure(code: str) -> tuple[Fraction, Kind] | None:
    """Factor and base units of a UCUM expression; None when it is none that we know."""
    if not code or len(code) > _LONGEST:
        return None
    tokens: list[re.Match[str]] = []
    at = 0
    while at < len(code):
        token = _TOKEN.match(code, at)
        if token is None:
            return None
        tokens.append(token)
        at = token.end()
    factor, base = Fraction(1), dict[tuple[str, bool], int]()

    def count(name: str, power: int) -> None:
        key = (name, power < 0)
        base[key] = base.get(key, 0) + abs(power)

    # each open bracket remembers the direction around it; a slash counts for one component
    around, direction, wanted = [1], 1, True
    for at, token in enumerate(tokens):
        sign = token["sign"]
        if sign == "(":
            if not wanted:
                return None
            around.append(direction)
            direction = around[-1]
            continue
        if sign == ")":
            if wanted or len(around) == 1:
                return None
            around.pop()
            continue
        if sign is not None:
            if wanted and not (sign == "/" and at == 0):
                return None
            direction = around[-1] * (-1 if sign == "/" else 1)
            wanted = True
            continue
        if token["note"] is not None:
            before = wanted and at + 1 < len(tokens) and tokens[at + 1]["sign"] is None
            if before or not wanted:  # of a unit: {SUVbw}g as DICOM writes it, or kg{wet}
                count(token["note"], 1)
            else:
                count(token["note"], direction)
                wanted = False
            continue
        if not wanted:
            return None
        wanted = False
        if token["number"] is not None:
            if at > 1 and tokens[at - 1]["sign"] == "." and tokens[at - 2]["number"]:
                return None  # 1.73 would be 73 by the grammar
            factor *= Fraction(int(token["number"])) ** direction
        elif token["ten"] is not None:
            factor *= Fraction(10) ** (int(token["tens"] or 1) * direction)
        else:
            atom = token["atom"]
            if atom.startswith("[100]"):  # of 100 g, as DICOM writes it
                atom = atom[5:]
                factor *= Fraction(100) ** direction
            found = _ATOMS.get(atom) or _ATOMS.get(_LITRE.sub(r"\1L", atom))
            power = int(token["power"] or 1) * direction
            if found is None or not power:
                return None
            factor *= found[0] ** power
            for name, own in found[1].items():
                count(name, own * power)
    if wanted or len(around) > 1:
        return None
    return factor, tuple(sorted((*key, power) for key, power in base.items()))


def _kinds() -> dict[Kind, tuple[Fraction, str]]:
    kinds = {}
    for name in _COMMON:
        measured = _measure(name)
        assert measured is not None, name
        assert measured[1] not in kinds, name
        kinds[measured[1]] = (measured[0], name)
    return kinds


_KINDS = _kinds()
