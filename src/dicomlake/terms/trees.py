"""Classifications whose codes say where they belong: a narrower code begins with the wider one.

ICD-10 and its national modifications, OPS and ATC are such trees: C34 is around C34.1, 5-60 around
5-604.0, C09 around C09AA05. CCAM, LOINC and SNOMED CT are not: their codes say nothing of this.
"""

from __future__ import annotations

from functools import lru_cache

from dicomlake.terms.mapping import normal

_MODIFIED = {"I10": ("I10", "I10GM", "I10C")}
"""Scheme: itself and those that make its codes finer."""
_TREES = frozenset(["I10", "I10GM", "I10C", "I10P", "OPS", "ATC"])
_DOTTED = frozenset(["I10", "I10GM", "I10C"])
"""Schemes whose codes are written with a dot after three characters, or without."""


@lru_cache(maxsize=4096)
def beginnings(value: str, scheme: str) -> tuple[str, ...]:
    """What SCHEME:VALUE of a code and of its narrower ones begin with; () where one cannot tell.

    >>> beginnings("C34.1", "I10GM"), beginnings("5-60", "OPS")
    (('I10GM:C34.1', 'I10GM:C341'), ('OPS:5-60',))
    >>> beginnings("C34", "ICD-10"), beginnings("JGFA006", "CCAM")
    (('I10:C34', 'I10GM:C34', 'I10C:C34'), ())

    A code of the ICD-10 itself is around those of its national modifications.
    """
    value, scheme = normal(value, scheme)
    if scheme not in _TREES:
        return ()
    written = [value]
    if scheme in _DOTTED:
        bare = value.replace(".", "")
        written = [bare if len(bare) <= 3 else f"{bare[:3]}.{bare[3:]}", bare]
    names = _MODIFIED.get(scheme, (scheme,))
    return tuple(dict.fromkeys(f"{name}:{one}" for name in names for one in written))
