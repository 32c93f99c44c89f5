"""By which codes people ask for a region: those that mean the same, and the regions around it."""

from __future__ import annotations

from functools import lru_cache

from dicomlake.terms import Code
from dicomlake.terms.bodyparts.judging import PLACES, SPINE, TOGETHER, WHOLE_BODY
from dicomlake.terms.bodyparts.tables import Grade, Tables

_NECK_TO_PELVIS = "416319003"
_JOINED = frozenset(TOGETHER.values()) - {SPINE}
_SCHEMES = ("SCT", "RADLEX")
_APART = frozenset([SPINE, "76752008"])
"""Spine and breast: who asks for chest or abdomen means neither."""


@lru_cache(maxsize=16384)
def asked_by(code: str, tables: Tables) -> frozenset[str]:
    """Regions that a question may name and mean this one, too; values of SCT, itself left out.

    Those that it lies in (lung: chest; but spine and breast are not meant by it), and those that
    it is made up of (chest, abdomen and pelvis: each of them; the whole body: what lies between
    neck and pelvis). Who asks for regions that one code joins, or for the whole body, means all of
    it: no part of it is meant.

    >>> from dicomlake.terms.bodyparts import load
    >>> "816094009" in asked_by("39607008", load()), "816094009" in asked_by("416775004", load())
    (True, True)
    >>> "416775004" in asked_by("816094009", load()), "38266002" in asked_by("816094009", load())
    (False, False)
    """
    around = tables.above(code) - _JOINED - {WHOLE_BODY}
    if code in _APART or tables.above(code) & _APART:
        around -= PLACES
    inside = _parts(code)
    if code == WHOLE_BODY:
        inside = _parts(_NECK_TO_PELVIS) | {_NECK_TO_PELVIS}
    return frozenset((around | inside) - {code})


def _parts(code: str) -> frozenset[str]:
    """What a code joins, at any depth."""
    found = set[str]()
    for parts, whole in TOGETHER.items():
        if whole == code and whole in _JOINED:
            found |= parts
    return frozenset(found).union(*map(_parts, found))


@lru_cache(maxsize=16384)
def same_as(code: str, laterality: Code | None, tables: Tables) -> tuple[str, ...]:
    """A region and its side in other codes, SCHEME:VALUE; without a side those that have none.

    >>> from dicomlake.terms.bodyparts import LEFT, load
    >>> same_as("816094009", None, load()), same_as("64033007", LEFT, load())
    (('SCT:43799004',), ('RADLEX:RID29663',))
    """
    return _others(tables).get((code, laterality.meaning[:1] if laterality else ""), ())


@lru_cache(maxsize=16)
def _others(tables: Tables) -> dict[tuple[str, str], tuple[str, ...]]:
    """Codes of the tables by region and side. Those of procedures are equal to what they show,
    those of regions equivalent."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for (value, scheme), row in tables.codes.items():
        if scheme in _SCHEMES and row.grade == Grade.equivalent and len(row.codes) == 1:
            key = (row.codes[0], row.laterality)
            found[key] = (*found.get(key, ()), f"{scheme}:{value}")
    return found
