"""Codes of public schemes: what their meanings are, so that nobody's own words need to stay."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache


@cache
def _meanings() -> dict[tuple[str, str], str]:
    from pydicom.sr._concepts_dict import concepts

    table: Mapping[str, Mapping[str, Mapping[str, tuple[str, object]]]] = concepts  # type: ignore[assignment]
    return {
        (scheme, value): meaning
        for scheme, names in table.items()
        for codes in names.values()
        for value, (meaning, _) in codes.items()
    }


def meaning_of(value: str, scheme: str) -> str:
    """The meaning of a code as PS3.16 has it, "" when it is none that it has.

    >>> meaning_of("121322", "DCM"), meaning_of("4711", "99MINE")
    ('Source image for image processing operation', '')
    """
    return _meanings().get((scheme, value), "")


PEOPLE = frozenset(
    """
    121008 121009 121017 121020 121021 121022 121029 121030 121036 121041 111700 111724 113870
    113871 113872 113873 128774 128775
    """.split()
)
"""Concepts of DCM whose values name persons, orders or places (as in PS3.15 Table E.3.4-1)."""
DEVICES = frozenset("121013 121016 113877 113880".split())
"""Those that name one device."""
SUBJECTS = frozenset("121031 121032 121033".split())
"""Birth date, sex and age of the subject."""


@cache
def replaced(options: frozenset[str]) -> frozenset[str]:
    """Concepts of DCM whose values are replaced in content items, whatever they say.

    >>> "121016" in replaced(frozenset()), "121016" in replaced(frozenset(["device"]))
    (True, False)
    """
    found = PEOPLE
    found |= frozenset() if "device" in options else DEVICES
    return found | (frozenset() if "patient-characteristics" in options else SUBJECTS)
