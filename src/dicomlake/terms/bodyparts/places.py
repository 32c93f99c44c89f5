"""Large places of the body: what terms of Body Part Examined, codes and structures lie in."""

from __future__ import annotations

from functools import lru_cache

from dicomlake.terms.bodyparts.tables import Grade, load, squeezed

PLACES = {
    "69536005": "head",
    "45048000": "neck",
    "816094009": "chest",
    "818981001": "abdomen",
    "816092008": "pelvis",
    "53120007": "arm",
    "61685007": "leg",
}
"""SNOMED CT codes of the large places, and what they are called here, from the top down."""
_SPANNING = frozenset(["15825003", "2748008", "421060004"])
"""Regions that run through several places and speak for none: aorta, spinal cord, spine."""


@lru_cache(maxsize=4096)
def places_of(code: str) -> tuple[str, ...]:
    """The places that a region lies in or takes in; none for what runs through several.

    >>> places_of("39607008"), places_of("416949008"), places_of("15825003")
    (('chest',), (), ())
    >>> places_of("818982008")
    ('abdomen', 'pelvis')
    """
    known = load()
    if code in _SPANNING or code not in known.regions:
        return ()
    inside = [name for place, name in PLACES.items() if place == code or place in known.above(code)]
    if inside:
        return tuple(inside)
    return tuple(name for place, name in PLACES.items() if code in known.above(place))


@lru_cache(maxsize=4096)
def regions_of_term(text: str) -> tuple[str, ...]:
    """SNOMED CT codes of what somebody wrote as Body Part Examined; none when it is not known.

    >>> regions_of_term("CHEST"), regions_of_term("Knie"), regions_of_term("Q7")
    (('816094009',), ('72696002',), ())
    """
    known = load()
    row = known.tags.get(squeezed(text))
    if row is not None and row.grade is not Grade.none:
        return row.codes
    from dicomlake.terms.bodyparts.judging import SURE, Evidence, of

    found = of(Evidence(BodyPartExamined=text))
    return tuple(one.code.value for one in found if one.confidence >= SURE)


@lru_cache(maxsize=4096)
def paired(code: str) -> bool:
    """Whether a region is there on both sides.

    >>> paired("72696002"), paired("816094009")
    (True, False)
    """
    region = load().regions.get(code)
    return bool(region and region.paired)
