"""Units of UCUM: those that HL7 lists are units, and what looks like them is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomlake.fhir.validation.ucum import is_unit


def test_all_units_that_hl7_calls_common_are_units(r4_package: Path) -> None:
    listed = json.loads((r4_package / "ValueSet-ucum-common.json").read_bytes())
    codes = [one["code"] for part in listed["compose"]["include"] for one in part["concept"]]
    assert len(codes) > 1_300
    assert [code for code in codes if not is_unit(code)] == []


@pytest.mark.parametrize(
    "text",
    """HU mmHg sec msec hr month mcg ccm mm^3 mm³ mGy*cm µm Kelvin Celsius degC mm/ .mm mm..s (mm
    mm) [nothing] {open mm{a}{b}""".split(),
)
def test_what_is_no_unit(text: str) -> None:
    assert not is_unit(text)


@pytest.mark.parametrize(
    "text", ["", " ", "mm ", "cubic mm", "mm 2", "1 / min", "{a}b", "m" * 5_000, "(" * 5_000]
)
def test_blanks_and_heaps_are_no_units(text: str) -> None:
    assert not is_unit(text)
