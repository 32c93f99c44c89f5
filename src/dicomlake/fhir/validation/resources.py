"""Resources: type, structure, rules and profiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from dicomlake.fhir.validation.bundles import check_bundle
from dicomlake.fhir.validation.definitions import definitions
from dicomlake.fhir.validation.found import Found, Problem, named
from dicomlake.fhir.validation.invariants import DOMAIN
from dicomlake.fhir.validation.overlay import Overlays
from dicomlake.fhir.validation.references import references
from dicomlake.fhir.validation.structure import Extended, Structures

_PUBLISHERS = (
    "https://dicomlake.example/fhir/",
    "https://www.medizininformatik-initiative.de/fhir/ext/modul-bildgebung/",
)
"""Bases of extensions that are all known here."""
_CORE = "http://hl7.org/fhir/StructureDefinition/"
_VITAL = {"8302-2": f"{_CORE}bodyheight", "29463-7": f"{_CORE}bodyweight"}
"""Codes of LOINC, and the profiles that HL7 asks of every Observation of them."""


def check(resource: Any, release: str, profiles: Iterable[str] = ()) -> list[Problem]:
    """What is wrong with a resource, or a bundle, by a release and by profiles.

    Profiles that it claims in meta.profile are checked, too, where they are known; so are those
    that HL7 asks of vital signs. An empty list says that nothing is wrong.
    """
    found = Found()
    validator(release).look(resource, found, tuple(profiles))
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    head = named(kind) if kind else "Resource"
    return [
        Problem(f"{head}.{path}" if path else head, severity, text)
        for path, severity, text in found
    ]


@cache
def validator(release: str) -> Validator:
    """The validator of a release; types are compiled when they are first met."""
    return Validator(release)


class Validator:
    """Checks resources by the definitions of a release."""

    def __init__(self, release: str) -> None:
        self._defined = definitions(release)
        known = (*_PUBLISHERS, *((_CORE,) if release == "R4" else ()))
        extended = Extended(self._defined, known)
        self._structures = Structures(self._defined, self.inner, extended)
        self._overlays = Overlays(self._defined)

    def inner(self, value: Any, found: Found) -> None:
        """Look at a resource inside of another one."""
        self.look(value, found, ())

    def look(self, resource: Any, found: Found, profiles: tuple[str, ...]) -> None:
        """Look at a resource."""
        if not isinstance(resource, dict):
            found.error("must be an object")
            return
        kind = resource.get("resourceType")
        if not isinstance(kind, str) or kind not in self._defined.resources:
            found.error(f"names no type of resource of {self._defined.release}", "resourceType")
            return
        outside = found.in_bundle
        found.in_bundle = outside or kind == "Bundle"
        self._structures.of(kind)(resource, found)
        if "contained" in resource:
            DOMAIN(resource, found)
        _local(resource, kind, found)
        if kind == "Bundle":
            check_bundle(resource, found)
        for url in dict.fromkeys((*profiles, *_claimed(resource), *_vital(resource))):
            self._overlays.check(url.partition("|")[0], resource, found)
        found.in_bundle = outside


def _local(resource: dict[str, Any], kind: str, found: Found) -> None:
    """References to what is contained, and what is contained and nobody refers to."""
    contained = resource.get("contained")
    if kind == "Bundle" or found.inside:
        return
    for path, text in references(resource):
        if text[0:1] == "#" and text != "#" and not _holds(contained, text[1:]):
            found.error("nothing that is contained has that id (ref-1)", path)
    if not isinstance(contained, list):
        return
    said = set(_local_texts(resource))
    for number, one in enumerate(contained):
        id_ = one.get("id") if isinstance(one, dict) else None
        if isinstance(id_, str) and f"#{id_}" not in said and "#" not in set(_local_texts(one)):
            found.error("nothing refers to it (dom-3)", f"contained[{number}]")


def _holds(contained: Any, id_: str) -> bool:
    listed = contained if isinstance(contained, list) else ()
    return any(isinstance(one, dict) and one.get("id") == id_ for one in listed)


def _local_texts(value: Any) -> Iterator[str]:
    """Texts that could be references to what is contained."""
    if isinstance(value, str):
        if value[0:1] == "#":
            yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _local_texts(inner)


def _claimed(resource: dict[str, Any]) -> list[str]:
    meta = resource.get("meta")
    claimed = meta.get("profile") if isinstance(meta, dict) else None
    return [one for one in claimed if isinstance(one, str)] if isinstance(claimed, list) else []


def _vital(resource: dict[str, Any]) -> list[str]:
    """Profiles of vital signs that an Observation must fit by its code."""
    code = resource.get("code") if resource.get("resourceType") == "Observation" else None
    codings = code.get("coding") if isinstance(code, dict) else None
    if not isinstance(codings, list):
        return []
    return [
        _VITAL[one["code"]]
        for one in codings
        if isinstance(one, dict)
        and one.get("system") == "http://loinc.org"
        and isinstance(one.get("code"), str)
        and one["code"] in _VITAL
    ]
