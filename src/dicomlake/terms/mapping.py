"""Codes that mean the same: one concept under old and new codes, and schemes under several names.

SNOMED-RT codes and their successors in SNOMED CT (PS3.16 Annex O) come with pydicom; codes that
PS3.16 has retired otherwise are in `retired.csv`, with their sources.
"""

from __future__ import annotations

import csv
from functools import cache, lru_cache
from importlib import resources

from dicomlake.terms.leads import MDC_OF_SCP

SNOMED_RT = ("SRT", "SNM3", "99SDM", "SNOMED-RT")
"""Names of the scheme of SNOMED RT, which PS3.16 has retired."""
_SNOMED_CT = ("SCT", "SNOMED-CT", "SNOMED CT", "SNOMEDCT")
_SNOMED = frozenset([*SNOMED_RT, *_SNOMED_CT])

# scheme -> names that are used for it, itself first
_NAMES = {
    "DCM": ("DCM",),
    "LN": ("LN", "LOINC"),
    "UCUM": ("UCUM", "UCM"),
    "MDC": ("MDC",),
    "SCPECG": ("SCPECG",),
    "I10": ("I10", "ICD10", "ICD-10"),
    "I10GM": ("I10GM", "ICD10GM", "ICD-10-GM"),
    "I10C": ("I10C", "ICD10CM", "ICD-10-CM"),
    "I10P": ("I10P", "ICD10PCS", "ICD-10-PCS"),
    "OPS": ("OPS",),
    "ATC": ("ATC",),
}
_SCHEMES = {name: scheme for scheme, names in _NAMES.items() for name in names}


@lru_cache(maxsize=4096)
def equivalent(value: str, scheme: str) -> tuple[tuple[str, str], ...]:
    """(value, scheme) pairs that mean the same as one, itself first.

    >>> equivalent("T-D3000", "SRT")[:2], ("51185008", "SCT") in equivalent("T-D3000", "SRT")
    ((('T-D3000', 'SRT'), ('T-D3000', 'SNM3')), True)
    >>> equivalent("121060", "DCM")
    (('121060', 'DCM'), ('11329-0', 'LN'), ('11329-0', 'LOINC'))
    """
    one = normal(value, scheme)
    known = [one, *_older().get(one, ())]
    found = [code for old in known for code in _written(*old)]
    same = [code for code in found if code[0] == value]
    return tuple(dict.fromkeys([(value, scheme), *same, *found]))


@lru_cache(maxsize=65536)
def normal(value: str, scheme: str) -> tuple[str, str]:
    """The one (value, scheme) that stands for all codes of a concept.

    >>> normal("T-62000", "SRT"), normal("10200004", "SCT"), normal("121071", "DCM")
    (('10200004', 'SCT'), ('10200004', 'SCT'), ('121071', 'DCM'))
    >>> normal("T-62000", "SCT"), normal("Gy", "UCM"), normal("5.6.3-9-61", "SCPECG")
    (('10200004', 'SCT'), ('Gy', 'UCUM'), ('2:61', 'MDC'))
    """
    name = scheme.strip().upper()
    if name in _SNOMED:
        code = _snomed(value, name)
    elif name == "SCPECG" and value in MDC_OF_SCP:
        code = MDC_OF_SCP[value], "MDC"
    else:
        code = value, _SCHEMES.get(name, scheme)
    return _newer().get(code, code)


@lru_cache(maxsize=16384)
def misnamed(value: str, scheme: str, meaning: str) -> bool:
    """Whether a code of DICOM's own terminology comes with the meaning of another one.

    >>> misnamed("113745", "DCM", "X-Ray Detector Data Available"), misnamed("113745", "DCM", "?")
    (True, False)
    """
    codes, known = _terminology()
    if scheme != "DCM" or value not in known:
        return False
    others = codes.get(meaning.casefold())
    return others is not None and value not in others


@cache
def _terminology() -> tuple[dict[str, set[str]], set[str]]:
    """Codes of DICOM's own terminology by their meaning, and all of them."""
    from pydicom.sr._concepts_dict import concepts

    codes: dict[str, set[str]] = {}
    coded: dict[str, tuple[str, object]]
    for coded in concepts["DCM"].values():  # type: ignore[assignment]
        for value, (meaning, _) in coded.items():
            codes.setdefault(meaning.casefold(), set()).add(value)
    return codes, set().union(*codes.values())


def meaning_of(value: str, scheme: str) -> str:
    """What the Standard calls a code (PS3.16, by way of pydicom), or "".

    >>> meaning_of("121071", "DCM"), meaning_of("X", "99HOUSE")
    ('Finding', '')
    """
    return _meanings(scheme).get(value, "")


@cache
def _meanings(scheme: str) -> dict[str, str]:
    from pydicom.sr._concepts_dict import concepts

    coded: dict[str, tuple[str, object]]
    found: dict[str, str] = {}
    for coded in concepts.get(scheme, {}).values():  # type: ignore[assignment]
        found |= {value: meaning for value, (meaning, _) in coded.items()}
    return found


def _snomed(value: str, name: str) -> tuple[str, str]:
    """The code of SNOMED CT where there is one, whichever of the two the scheme names."""
    new = _rt_to_ct().get(value)
    if new is not None:
        return new, "SCT"
    if value.isdecimal() and len(value) >= 6:  # only SNOMED CT has numbers
        return value, "SCT"
    return value, "SCT" if name in _SNOMED_CT else "SRT"


def _written(value: str, scheme: str) -> list[tuple[str, str]]:
    """How a code may be written."""
    if scheme == "SRT":
        return [(value, name) for name in SNOMED_RT]
    if scheme == "SCT":
        found = [(value, name) for name in _SNOMED_CT]
        if old := _ct_to_rt().get(value):
            found += [(old, name) for name in (*SNOMED_RT, *_SNOMED_CT)]
        if value.isdecimal() and len(value) >= 6:
            found += [(value, name) for name in SNOMED_RT]
        return found
    found = [(value, name) for name in _NAMES.get(scheme, (scheme,))]
    if scheme == "MDC" and (lead := "5.6.3-9-" + value.removeprefix("2:")) in MDC_OF_SCP:
        found.append((lead, "SCPECG"))
    return found


def _rt_to_ct() -> dict[str, str]:
    from pydicom.sr._snomed_dict import mapping

    return mapping["SRT"]


def _ct_to_rt() -> dict[str, str]:
    from pydicom.sr._snomed_dict import mapping

    return mapping["SCT"]


@cache
def _newer() -> dict[tuple[str, str], tuple[str, str]]:
    """Retired codes and those that stand in their place; these are in force."""
    text = resources.files(__package__).joinpath("retired.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {(r["value"], r["scheme"]): (r["new_value"], r["new_scheme"]) for r in rows}


@cache
def _older() -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    found: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
    for old, new in _newer().items():
        found[new] = (*found.get(new, ()), old)
    return found
