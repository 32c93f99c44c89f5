"""Codes that mean the same: SNOMED CT under its old and new designators (PS3.16 Annex 8).

The table of retired SNOMED-RT codes comes with pydicom.
"""

from __future__ import annotations

from functools import lru_cache

_SNOMED_RT = ("SRT", "SNM3", "99SDM")


@lru_cache(maxsize=4096)
def equivalent(value: str, scheme: str) -> tuple[tuple[str, str], ...]:
    """(value, scheme) pairs that mean the same as one, itself first.

    >>> equivalent("T-D3000", "SRT")[:2], ("51185008", "SCT") in equivalent("T-D3000", "SRT")
    ((('T-D3000', 'SRT'), ('T-D3000', 'SNM3')), True)
    """
    from pydicom.sr._snomed_dict import mapping

    found = [(value, scheme)]
    if scheme in _SNOMED_RT:
        found += [(value, other) for other in _SNOMED_RT if other != scheme]
        if new := mapping["SRT"].get(value):
            found.append((new, "SCT"))
    elif scheme == "SCT" and (old := mapping["SCT"].get(value)):
        found += [(old, other) for other in _SNOMED_RT]
    return tuple(found)


@lru_cache(maxsize=65536)
def normal(value: str, scheme: str) -> tuple[str, str]:
    """The one (value, scheme) that stands for all codes of a concept.

    >>> normal("T-62000", "SRT"), normal("10200004", "SCT"), normal("121071", "DCM")
    (('10200004', 'SCT'), ('10200004', 'SCT'), ('121071', 'DCM'))
    """
    for other in equivalent(value, scheme):
        if other[1] == "SCT":
            return other
    return value, scheme
