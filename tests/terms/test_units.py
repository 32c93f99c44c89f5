"""Units as sent become UCUM or nothing; numbers of one kind become comparable, exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts

from dicomlake.terms.units import common, ucum

CONVERSIONS = [
    # lengths, areas, volumes
    (1, "um", 0.001, "mm"), (2.5, "cm", 25, "mm"), (1, "m", 1000, "mm"), (1, "[in_i]", 25.4, "mm"),
    (1.7, "cm2", 170, "mm2"), (1, "m2", 1e6, "mm2"), (1, "cm3", 1, "mL"), (1, "mm3", 0.001, "mL"),
    (1.1, "l", 1100, "mL"), (1.1, "L", 1100, "mL"), (3, "ml", 3, "mL"), (3, "dL", 300, "mL"),
    (7, "uL", 0.007, "mL"), (2, "dm3", 2000, "mL"),
    # times and rates
    (0.8, "s", 800, "ms"), (2, "min", 120000, "ms"), (1, "h", 3600000, "ms"),
    (1, "us", 0.001, "ms"),
    (60, "a", 1893456000000, "ms"), (75, "/min", 75, "/min"), (75, "1/min", 75, "/min"),
    (1.5, "/s", 90, "/min"), (75, "{beat}/min", 75, "{beat}/min"), (3, "kHz", 3000, "Hz"),
    # flow, pressure, mass, density
    (1.2, "m/s", 120, "cm/s"), (12, "mm/s", 1.2, "cm/s"), (120, "mm[Hg]", 120, "mm[Hg]"),
    (13.3322, "kPa", 100, "mm[Hg]"), (72.5, "kg", 72500, "g"), (5, "mg", 0.005, "g"),
    (1.06, "g/cm3", 1060, "mg/cm3"), (1.06, "g/mL", 1060, "mg/cm3"), (6, "L/min", 100, "mL/s"),
    (1.1, "um2/ms", 0.0011, "mm2/s"), (900, "10*-6.mm2/s", 0.0009, "mm2/s"),
    # electricity and angles
    (0.9375, "uV", 0.0009375, "mV"), (2, "V", 2000, "mV"), (120, "kV", 120, "kV"),
    (6, "MV", 6000, "kV"), (0.3, "A", 300, "mA"), (math.pi, "rad", 180, "deg"),
    (30, "deg", 30, "deg"),
    # dose, as knowledge/dose.md section 5 has it
    (3, "Gy.m2", 3, "Gy.m2"), (3, "Gym2", 3, "Gy.m2"), (3, "Gy.cm2", 3e-4, "Gy.m2"),
    (3, "dGy.cm2", 3e-5, "Gy.m2"), (3, "cGy.cm2", 3e-6, "Gy.m2"), (3, "mGy.cm2", 3e-7, "Gy.m2"),
    (3, "uGy.m2", 3e-6, "Gy.m2"), (724.52, "mGycm", 724.52, "mGy.cm"),
    (0.72452, "Gy.cm", 724.52, "mGy.cm"), (0.0117317, "Gy", 11.7317, "mGy"),
    (0.01373, "dGy", 1.373, "mGy"), (0.07, "Gy", 70, "mGy"), (7, "cGy", 70, "mGy"),
    (50, "uAs", 0.05, "mA.s"), (50, "uA.s", 0.05, "mA.s"), (50, "mAs", 50, "mA.s"),
    (394000000, "Bq", 394, "MBq"), (764, "MBq", 764, "MBq"), (0.4, "GBq", 400, "MBq"),
    (10, "mCi", 370, "MBq"), (5, "kBq/ml", 5000, "Bq/mL"), (1, "mSv", 1, "mSv"),
    # numbers without a unit, and what is counted
    (50, "%", 50, "%"), (1, "1", 1, "1"), (0.9, "{ratio}", 0.9, "{ratio}"),
    (2, "{X-Ray sources}", 2, "{X-Ray sources}"), (2, "X-ray sources", 2, "{X-Ray sources}"),
    (15, "pulse/s", 15, "{pulse}/s"), (4, "{events}", 4, "{events}"),
    (-100, "[hnsf'U]", -100, "[hnsf'U]"), (2.5, "{SUVbw}g/ml", 2.5, "{SUVbw}g/ml"),
    (2.5, "g/ml{SUVbw}", 2.5, "{SUVbw}g/ml"), (4, "10*-6/ul", 4, "10*-6/uL"),
    (60, "mL/m2", 60, "mL/m2"), (37, "Cel", 37, "Cel"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "unit", "wanted", "kind"), CONVERSIONS)
def test_conversion(number: float, unit: str, wanted: float, kind: str) -> None:
    code = ucum(unit)
    assert code is not None
    assert common(number, code) == (wanted, kind)
    assert common(number, unit) == (wanted, kind)
    assert common(wanted, kind) == (wanted, kind)


@pytest.mark.parametrize(
    ("sent", "scheme", "meant"),
    [
        ("mGycm", "UCUM", "mGy.cm"), ("Gy.m2", "UCM", "Gy.m2"), ("mm", "", "mm"),
        ("mm ", "ucum", "mm"), ("ml", "UCUM", "mL"), ("l/min", "UCUM", "L/min"),
        ("3082", "CID", None), ("3500", "CID", None), ("cm", "99_OFFIS_DCMTK", None),
        ("furlong", "UCUM", None), ("MM", "UCUM", None), ("°", "UCUM", None), ("", "UCUM", None),
        ("Millimeter", "UCUM", None), ("m//s", "UCUM", None), ("(m", "UCUM", None),
        ("m)", "UCUM", None), ("m.", "UCUM", None), ("{a", "UCUM", None), ("1.73", "UCUM", None),
        ("m" * 80, "UCUM", None), ("(" * 60, "UCUM", None), ("m0", "UCUM", None),
    ],
)  # fmt: skip
def test_what_a_unit_stands_for(sent: str, scheme: str, meant: str | None) -> None:
    assert ucum(sent, scheme) == meant


def test_unknown_units_have_no_numbers() -> None:
    assert common(1, "furlong") is None
    assert common(1, "") is None


def test_kinds_stay_apart() -> None:
    apart = ["/min", "{beat}/min", "Hz", "{pulse}/s", "1", "%", "{ratio}", "deg", "kV", "mV", "mm"]
    apart += ["mL/m2", "Cel", "[degF]", "g/cm3", "{SUVbw}g/ml", "{SUVlbm}g/ml", "Gy", "Sv", "Bq/mL"]
    kinds = [found[1] for unit in apart if (found := common(1, unit))]
    assert len(set(kinds)) == len(apart)


def test_every_unit_of_the_standard_is_known() -> None:
    units = {value for coded in concepts["UCUM"].values() for value in coded}
    for unit in units:
        code = ucum(unit)
        assert code is not None, unit
        assert ucum(code) == code
        first = common(1, code)
        assert first is not None
        assert ucum(first[1]) == first[1]


@given(
    st.decimals(-1000000, 1000000, places=3), st.sampled_from(["cm", "Gy", "uV", "cGy.cm2", "s"])
)
def test_decimal_conversions_have_no_dust(number: object, unit: str) -> None:
    sent = float(str(number))
    factor = {"cm": "10", "Gy": "1000", "uV": "0.001", "cGy.cm2": "0.000001", "s": "1000"}[unit]
    found = common(sent, unit)
    assert found is not None
    assert found[0] == float(Fraction(repr(sent)) * Fraction(factor))


@given(st.text(max_size=70))
def test_any_text_is_a_unit_or_none(text: str) -> None:
    code = ucum(text)
    if code is not None:
        assert ucum(code) == code
        assert common(1, code) is not None


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_numbers_beyond_measure(number: float) -> None:
    found = common(number, "cm")
    assert found is not None
    assert found[1] == "mm"
    assert not math.isfinite(found[0])
    assert common(1e308, "Tm") is None
