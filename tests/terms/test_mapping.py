"""Codes that mean the same have one normal form, whichever way they are written."""

from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from dicomlake.terms.mapping import _newer, equivalent, normal


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (("T-62000", "SRT"), ("10200004", "SCT")),
        (("T-62000", "SNM3"), ("10200004", "SCT")),
        (("T-62000", "99SDM"), ("10200004", "SCT")),
        (("T-62000", "SNOMED-RT"), ("10200004", "SCT")),
        (("T-62000", "SCT"), ("10200004", "SCT")),
        (("10200004", "SRT"), ("10200004", "SCT")),
        (("10200004", "SNOMED CT"), ("10200004", "SCT")),
        (("G-C0E3", "SRT"), ("363698007", "SCT")),
        (("G-C171", "SRT"), ("272741003", "SCT")),
        (("F-61FDB", "SRT"), ("349358000", "SCT")),
        (("F-61FDB", "99SDM"), ("349358000", "SCT")),
        (("T-D3000", "SRT"), ("816094009", "SCT")),
        (("113345001", "SCT"), ("818981001", "SCT")),
        (("X-00000", "SNM3"), ("X-00000", "SRT")),
        (("C0018799", "SCT"), ("C0018799", "SCT")),
        (("8867-4", "LOINC"), ("8867-4", "LN")),
        (("Gy.m2", "UCM"), ("Gy.m2", "UCUM")),
        (("mm", "ucum"), ("mm", "UCUM")),
        (("5.6.3-9-1", "SCPECG"), ("2:1", "MDC")),
        (("5.6.3-9-61", "SCPECG"), ("2:61", "MDC")),
        (("5.6.3-9-999", "SCPECG"), ("5.6.3-9-999", "SCPECG")),
        (("121070", "DCM"), ("59776-5", "LN")),
        (("121071", "DCM"), ("121071", "DCM")),
        (("121070", "99X"), ("121070", "99X")),
        (("", ""), ("", "")),
        (("12", "SRT"), ("12", "SRT")),
    ],
)
def test_one_form_for_every_way_to_write(sent: tuple[str, str], meant: tuple[str, str]) -> None:
    assert normal(*sent) == meant
    assert normal(*meant) == meant


def _samples() -> list[tuple[str, str]]:
    snomed = list(mapping["SRT"].items())
    codes = [(old, "SRT") for old, _ in snomed] + [(new, "SCT") for _, new in snomed]
    codes += [(old, "SCT") for old, _ in snomed[::50]] + [(new, "SNM3") for _, new in snomed[::50]]
    codes += [code for pair in _newer().items() for code in pair]
    codes += [(f"5.6.3-9-{n}", "SCPECG") for n in range(70)] + [
        (f"2:{n}", "MDC") for n in range(70)
    ]
    codes += [
        ("mm", "UCUM"),
        ("mm", "UCM"),
        ("1-8", "LN"),
        ("1-8", "LOINC"),
        ("x", "99X"),
        ("", ""),
    ]
    return codes


def test_all_codes_of_a_concept_agree() -> None:
    for code in _samples():
        one = equivalent(*code)
        assert one[0] == code
        assert len(set(one)) == len(one)
        assert {normal(*other) for other in one} == {normal(*code)}, code
        for other in one[1:]:
            assert set(equivalent(*other)) == set(one), (code, other)


def test_codes_of_different_concepts_stay_apart() -> None:
    stands = [normal(new, "SCT") for new in mapping["SCT"]]
    assert len(set(stands)) == len(stands)


def test_retired_codes_lead_to_codes_in_force() -> None:
    known = {
        (value, scheme): meaning
        for scheme in ("LN", "SCT")
        for coded in concepts[scheme].values()
        for value, (meaning, groups) in coded.items()
        if groups
    }
    for new in _newer().values():
        assert new in known or new[0] in mapping["SCT"]
        assert new not in _newer()
