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


IDENTIFYING = frozenset(
    """
    121008 121009 121010 121011 121012 121013 121017 121018 121022 121028 121029 121030 121031
    121034 121035 121036 128774 128775 113870 113871 113872 113873 113874 113877 121113 121114
    121120 121121 121122 121023 121024 121173 122700 122127 109054 128401 111700
    """.split()
)
"""Concepts of DCM whose values name persons, places or things (PS3.15 Table E.3.4-1): replaced."""
DEVICES = frozenset("121014 121015 121016 113878 113879 113880 121012 121013 121017".split())
"""Of these, the ones that stay with the option for devices."""
PATIENTS = frozenset("121031 121032 121033".split())
"""Birth date, sex and age of the subject: as the profile treats those attributes."""
