"""The profiles of the CT indexer of Kiel (R5): what fits them says so.

Its value set of structures holds codes with sides; what has no code in it is kept all the same, and
the resource then does not say that it fits the profile.
"""

from __future__ import annotations

from collections.abc import Iterable

from dicomlake.fhir.model import Body, Study
from dicomlake.fhir.sites import Site
from dicomlake.fhir.values import SCT

BASE = "https://ct-indexer.medic.uksh.de/fhir"
"""Base of its canonical addresses."""
TYPES = ("Patient", "Device", "Endpoint", "BodyStructure", "ImagingStudy", "Provenance")
"""Types of resources that it has, and the Endpoint of the images."""

STRUCTURES = frozenset(
    """78961009 9846003 18639004 28231008 10200004 69695003 15825003 64131007 110765007 15776009
    29392005 12003004 44714003 41224006 42400003 72481006 266005 49668003 11994002 36470004 14293000
    66794005 23215003 12989004 7610001 82687006 11068009 62487009 45296009 56401006 73071006 1626008
    53733008 64864005 87391001 36054005 36978003 5329002 113205007 39976000 14806007 32849002
    44567001 74281007 1259959001 1259956008 1259958009 1259955007 81040000 12738006 721077009
    721035009 764118005 764119002 30315005 38848004 71854001 48535007 78247007 25888004 25523003
    15339008 59558009 24915002 5953002 22565002 77644006 58830002 43993008 719460003 719461004
    719627005 719628000 720617006 720616002 722738000 287679003 287579007 699698002 89545001 206007
    1236872009 1236873004 75297007 44947003 181668001 89837001 2748008 1240432004 41216001 50016007
    12691009 722223000 56873002 29700009 721033002 48345005 277930000 69748006 53603007 771203001
    113263003 80891009 85235006 89546000""".split()
)
"""Its value set of structures, codes of SNOMED CT."""


def profiles(site: Site, name: str, *, fits: bool = True) -> list[str]:
    """The address of a profile, where the site wants it and the resource fits it."""
    if site.profile != "impetus" or not fits:
        return []
    return [f"{BASE}/StructureDefinition/ImpetusCTIndexer{name}"]


def fits_study(study: Study) -> bool:
    """Whether a study is as the profile wants it: CT alone, every series with its start."""
    return all(one.modality == "CT" and one.started for one in study.series)


def fits_body(body: Body) -> bool:
    """Whether every structure has a code of the value set."""
    return all(_known(part.structure.get("coding", ())) for part in body.parts)


def _known(codings: Iterable[dict[str, str]]) -> bool:
    return any(one["system"] == SCT and one["code"] in STRUCTURES for one in codings)
