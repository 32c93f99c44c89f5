"""Checking resources against the definitions of FHIR, and against profiles that they say they fit.

`definitions` beside this file holds what is known of a release, compiled from its packages: the
elements of types, how often they occur, required codes, and targets of references. What the
definitions cannot say in data is written below by hand, and asked where all else is right. Codes
of sets that cannot be listed, such as those that SNOMED CT defines by a rule, are checked for their
system alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from dicomlake.errors import UsageError
from dicomlake.fhir.sites import Release
from dicomlake.fhir.values import SCT, UCUM

Json = dict[str, Any]
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_REFERENCE = re.compile(r"(?:(https?|urn:uuid|urn:oid):.+|([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})"
                        r"(?:/_history/[A-Za-z0-9\-.]{1,64})?|#.*)")  # fmt: skip
_BLANK = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a resource: where, and what, in words and without values of patients."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def validate(resource: Any, release: Release, profiles: Iterable[str] = ()) -> list[Fault]:
    """What is wrong with a resource; empty when nothing is.

    `profiles`: addresses of profiles that it has to fit, besides those of `meta.profile`; unknown
    ones of `meta.profile` are let pass, of others UsageError says so.

    >>> validate({"resourceType": "Patient", "gender": "m", "birthdate": "2000"}, "R4")
    [Fault(path='Patient.birthdate', what='there is no such element'), \
Fault(path='Patient.gender', what="'m' is not one of its codes")]
    """
    known, profiles = definitions(release), tuple(profiles)
    if unknown := [url for url in profiles if url not in _profiles(release)]:
        there = ", ".join(profiles_of(release))
        raise UsageError(f"There is no profile {unknown[0]} here. There are: {there}.")
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return [Fault("resource", "it has no resourceType")]
    type_ = resource["resourceType"]
    if type_ not in known["resources"]:
        return [Fault(type_[:64], f"resources of this type are not checked in {release}")]
    found = list(_resource(resource, type_, known))
    if not found:  # what follows takes for granted that types are right
        found += _invariants(resource, type_)
        found += _claims(resource, type_, release, profiles)
    return sorted(set(found), key=lambda fault: (fault.path, fault.what))


def _claims(
    resource: Json, path: str, release: Release, profiles: tuple[str, ...]
) -> Iterator[Fault]:
    """Faults against the profiles that a resource has to fit, and those that it says it fits."""
    claimed = resource.get("meta", {}).get("profile", [])
    for url in dict.fromkeys([*profiles, *claimed]):
        profile = _profiles(release).get(url)
        if profile is not None:
            yield from _profile(resource, path, profile, _profiles(release))


def profiles_of(release: Release) -> list[str]:
    """Addresses of the profiles of resources that are known in a release."""
    return sorted(url for url, one in _profiles(release).items() if one["type"] != "Extension")


@cache
def definitions(release: Release) -> Json:
    """The definitions of a release."""
    found: Json = json.loads(_file(f"{release}.json"))
    for one in found["sets"]:
        found["sets"][one] = frozenset((system, code) for system, code in found["sets"][one])
    return found


@cache
def _profiles(release: Release) -> dict[str, Json]:
    told = json.loads(_file("profiles.json"))
    return {one["url"]: one for one in told["profiles"] if one["release"] == release}


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("definitions", name).read_text(encoding="utf-8")


# Elements and types


def _resource(resource: Json, path: str, known: Json) -> Iterator[Fault]:
    name = resource["resourceType"]
    id_ = resource.get("id")
    if id_ is not None and not (isinstance(id_, str) and _ID.fullmatch(id_)):
        yield Fault(f"{path}.id", "it is no id")
    inner = {key: value for key, value in resource.items() if key != "resourceType"}
    yield from _members(inner, path, name, "", known)


def _members(value: Json, path: str, type_: str, below: str, known: Json) -> Iterator[Fault]:
    """Faults of the members of a type, or of an element with elements of its own."""
    elements = known["types"][type_]["elements"]
    start = f"{below}." if below else ""
    names = {
        full.removeprefix(start): one
        for full, one in elements.items()
        if full.startswith(start) and "." not in full.removeprefix(start)
    }
    said: dict[str, list[str]] = {}
    for key in value:
        found = _element_of(key, names)
        if found is None:
            yield Fault(f"{path}.{key[:64]}", "there is no such element")
        else:
            said.setdefault(found[0], []).append(key)
            if found[0].endswith("[x]") and len(said[found[0]]) == 2:
                yield Fault(f"{path}.{found[0]}", "only one of its forms may be there")
    for name, one in names.items():
        keys = said.get(name, [])
        if one["min"] and not keys:
            yield Fault(f"{path}.{name}", "it is missing")
        for key in keys:
            kind = _element_of(key, names)
            assert kind is not None
            yield from _values(
                value[key], f"{path}.{key}", type_, f"{start}{name}", one, kind[1], known
            )


def _element_of(key: str, names: Mapping[str, Json]) -> tuple[str, str] | None:
    """The element of a key, and its type: valueQuantity is value[x] of type Quantity."""
    if key in names and not key.endswith("[x]"):
        types = names[key]["types"]
        return key, types[0] if types else ""
    bare = key.removeprefix("_")
    if bare != key and bare in names:
        return bare, "Element"
    for name, one in names.items():
        if name.endswith("[x]") and bare.startswith(name[:-3]):
            rest = bare[len(name) - 3 :]
            for type_ in one["types"]:
                if rest == type_[0].upper() + type_[1:]:
                    return name, type_ if bare == key else "Element"
    return None


def _values(
    value: Any, path: str, type_: str, full: str, one: Json, kind: str, known: Json
) -> Iterator[Fault]:
    """Faults of the value of an element, or of its values."""
    many = one["max"] not in ("0", "1")
    if one["max"] == "0":
        yield Fault(path, "it may not be there")
    if many != isinstance(value, list):
        yield Fault(path, "it is a list" if many else "it is no list")
        return
    if many and not value:
        yield Fault(path, "the list is empty")
    if many and one["max"] != "*" and len(value) > int(one["max"]):
        yield Fault(path, f"there are more than {one['max']}")
    for number, single in enumerate(value if many else [value]):
        at = f"{path}[{number}]" if many else path
        yield from _value(single, at, type_, full, one, kind, known)


def _value(
    value: Any, path: str, type_: str, full: str, one: Json, kind: str, known: Json
) -> Iterator[Fault]:
    if "like" in one:
        yield from _object(value, path, type_, one["like"], known)
        return
    if kind in ("BackboneElement", "Element") and not path.rpartition(".")[2].startswith("_"):
        yield from _object(value, path, type_, full, known)
        return
    if kind in ("Resource", "DomainResource"):
        if isinstance(value, dict) and value.get("resourceType") in known["resources"]:
            yield from _resource(value, path, known)
        return
    about = known["types"].get(kind)
    if about is None:
        return
    if "primitive" in about:
        yield from _primitive(value, path, kind, about["primitive"])
    elif not isinstance(value, dict):
        yield Fault(path, f"it is no {kind}")
        return
    elif not value:
        yield Fault(path, "it is empty")
    else:
        yield from _members(value, path, kind, "", known)
        yield from _by_hand(value, path, kind)
    if "pattern" in one and not _fits(value, one["pattern"]):
        yield Fault(path, "it is not what it has to be")
    if "set" in one and not _in_set(value, known["sets"][one["set"]]):
        shown = f"{value!r} " if isinstance(value, str) else "it "
        yield Fault(path, f"{shown}is not one of its codes")
    if kind == "Reference" and isinstance(value, dict):
        yield from _target(value, path, one.get("targets"))


def _object(value: Any, path: str, type_: str, below: str, known: Json) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(path, "it is no object")
    elif not value:
        yield Fault(path, "it is empty")
    else:
        yield from _members(value, path, type_, below, known)
        yield from _component(value, path)


_NUMBERS = {"integer", "positiveInt", "unsignedInt", "decimal"}


def _primitive(value: Any, path: str, kind: str, form: str) -> Iterator[Fault]:
    if kind == "boolean":
        if not isinstance(value, bool):
            yield Fault(path, "it is neither true nor false")
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in _NUMBERS:
        if not number or (kind != "decimal" and not isinstance(value, int)):
            yield Fault(path, f"it is no {kind}")
            return
        low = {"positiveInt": 1, "unsignedInt": 0, "integer": -(2**31)}.get(kind)
        if low is not None and not low <= value < 2**31:
            yield Fault(path, f"it is too small or too large for {kind}")
        return
    if not isinstance(value, str):
        yield Fault(path, f"it is no {kind}")
    elif not value or _BLANK.fullmatch(value):
        yield Fault(path, "it is empty")
    elif form and kind != "xhtml" and not _form(form).fullmatch(value):
        yield Fault(path, f"it is not written as {kind} is")


@cache
def _form(text: str) -> re.Pattern[str]:
    return re.compile(text.replace(r"[ \r\n\t\S]", r"[\s\S]"))


def _fits(value: Any, pattern: Any) -> bool:
    """Whether a value has all that a pattern has."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(_fits(value.get(k), p) for k, p in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_fits(v, p) for v in value) for p in pattern)
    return bool(value == pattern)


def _in_set(value: Any, codes: frozenset[tuple[str, str]]) -> bool:
    if isinstance(value, str):
        return any(code == value for _, code in codes)
    if not isinstance(value, dict):
        return True
    codings = value.get("coding", [value] if "code" in value else [])
    found = [one for one in codings if isinstance(one, dict)]
    return any((one.get("system"), one.get("code")) in codes for one in found)


def _target(value: Json, path: str, targets: list[str] | None) -> Iterator[Fault]:
    if not {"reference", "identifier", "display", "extension"} & set(value):
        yield Fault(path, "it refers to nothing")
    told = value.get("reference")
    if not isinstance(told, str):
        return
    match = _REFERENCE.fullmatch(told)
    if match is None:
        yield Fault(f"{path}.reference", "it is no reference; write Type/id or urn:uuid:...")
    elif match[2] and targets and match[2] not in targets:
        yield Fault(f"{path}.reference", f"it may not refer to {match[2]}")


# What the definitions cannot say in data


def _by_hand(value: Json, path: str, kind: str) -> Iterator[Fault]:
    if kind == "Coding" and "code" in value and "system" not in value:
        yield Fault(path, "a code needs the system that it is of")
    if kind == "Coding" and value.get("system") == SCT and not str(value.get("code")).isdecimal():
        yield Fault(path, "codes of SNOMED CT are numbers")
    if kind in ("Quantity", "Age", "Duration") and "value" in value:
        if "code" in value and "system" not in value:
            yield Fault(path, "a code needs the system that it is of")
        if "unit" in value and "code" not in value:
            yield Fault(path, "a unit needs its code")
        if value.get("system") == UCUM and "code" not in value:
            yield Fault(path, "a unit needs its code")
    if kind == "Extension" and ("extension" in value) == any(k.startswith("value") for k in value):
        yield Fault(path, "an extension has a value or extensions, one of them and not both")
    if kind == "Identifier" and "value" in value and not {"system", "type"} & set(value):
        yield Fault(path, "an identifier needs its system")
    if kind == "Attachment" and "data" in value and "contentType" not in value:
        yield Fault(path, "data need their contentType")
    if kind == "Period" and str(value.get("start", "")) > str(value.get("end", "9999")):
        yield Fault(path, "it ends before it begins")


def _component(value: Json, path: str) -> Iterator[Fault]:
    if ".component[" in path and "dataAbsentReason" in value and _valued(value):
        yield Fault(path, "it has a value and a reason why there is none")


def _valued(value: Json) -> bool:
    return any(key.startswith("value") for key in value)


def _invariants(resource: Json, path: str) -> Iterator[Fault]:
    rule = _RULES.get(resource["resourceType"])
    if rule is not None:
        yield from rule(resource, path)
    for number, entry in enumerate(resource.get("entry", ())):  # of a bundle
        if "resource" in entry:
            yield from _invariants(entry["resource"], f"{path}.entry[{number}].resource")


def _observation(resource: Json, path: str) -> Iterator[Fault]:
    if "dataAbsentReason" in resource and _valued(resource):
        yield Fault(path, "it has a value and a reason why there is none")
    if _valued(resource):
        codes = {_coded(one.get("code")) for one in resource.get("component", ())}
        if _coded(resource.get("code")) & frozenset().union(*codes):
            yield Fault(path, "a component has its code, and it has a value of its own")
    if "bodySite" in resource and "bodyStructure" in resource:
        yield Fault(path, "it has bodySite and bodyStructure, which is one too many")
    if not _valued(resource) and not {"component", "hasMember", "dataAbsentReason"} & set(resource):
        yield Fault(path, "it says nothing")


def _coded(concept: Any) -> frozenset[tuple[str, str]]:
    codings = concept.get("coding", ()) if isinstance(concept, dict) else ()
    return frozenset((str(one.get("system")), str(one.get("code"))) for one in codings)


def _study(resource: Json, path: str) -> Iterator[Fault]:
    begun = resource.get("started")
    uids = [one.get("uid") for one in resource.get("series", ()) if isinstance(one, dict)]
    if len(uids) != len(set(uids)):
        yield Fault(f"{path}.series", "two have the same uid")
    if resource.get("numberOfSeries", len(uids)) < len(uids):
        yield Fault(f"{path}.numberOfSeries", "there are more series")
    for number, one in enumerate(resource.get("series", ())):
        start = one.get("started") if isinstance(one, dict) else None
        if isinstance(start, str) and isinstance(begun, str) and start[:10] < begun[:10]:
            yield Fault(f"{path}.series[{number}].started", "it is before the study")


def _patient(resource: Json, path: str) -> Iterator[Fault]:
    for number, one in enumerate(resource.get("contact", ())):
        if not {"name", "telecom", "address", "organization"} & set(one):
            yield Fault(f"{path}.contact[{number}]", "it says nobody")


_RULES = {"Observation": _observation, "ImagingStudy": _study, "Patient": _patient}


# Profiles


def _profile(
    resource: Json, path: str, profile: Json, known: Mapping[str, Json]
) -> Iterator[Fault]:
    """Faults against the rules of a profile; those of its extensions too."""
    if profile["type"] != resource["resourceType"]:
        yield Fault(path, f"the profile {profile['name']} is of {profile['type']}")
        return
    for rule in profile["rules"]:
        yield from _rule(resource, path, rule["path"].split("."), rule, profile["name"])
    yield from _extensions(resource, path, known)


def _rule(value: Any, path: str, names: list[str], rule: Json, of: str) -> Iterator[Fault]:
    """Faults against a rule, in every value that its path leads to."""
    name, rest = names[0], names[1:]
    if not isinstance(value, dict):
        return
    key = name
    if name.endswith("[x]"):
        key = next((k for k in value if k.startswith(name[:-3]) and k != name[:-3]), name)
    found = value.get(key)
    listed = found if isinstance(found, list) else [] if found is None else [found]
    at = f"{path}.{key}"
    if rest:
        for number, one in enumerate(listed):
            inner = f"{at}[{number}]" if isinstance(found, list) else at
            yield from _rule(one, inner, rest, rule, of)
        return
    if "match" in rule:
        listed = [one for one in listed if _fits(one, rule["match"])]
    if len(listed) < rule.get("min", 0):
        yield Fault(at, f"the profile {of} wants it")
    if rule.get("max", "*") != "*" and len(listed) > int(rule["max"]):
        yield Fault(at, f"the profile {of} wants at most {rule['max']}")
    for one in listed:
        yield from _rule_of(one, at, rule, key, of)


def _rule_of(value: Any, path: str, rule: Json, key: str, of: str) -> Iterator[Fault]:
    if "pattern" in rule and not _fits(value, rule["pattern"]):
        yield Fault(path, f"the profile {of} wants another value")
    if "types" in rule and not any(key.endswith(t[0].upper() + t[1:]) for t in rule["types"]):
        yield Fault(path, f"the profile {of} wants another type")
    if "targets" in rule and isinstance(value, dict):
        yield from _target(value, path, rule["targets"])
    if "codes" in rule:
        codes = frozenset((rule["system"], code) for code in rule["codes"])
        if not _in_set(value, codes):
            yield Fault(path, f"it has no code of the set of the profile {of}")
    elif "system" in rule and not _of_system(value, rule["system"]):
        yield Fault(path, f"it has no code of the system that the profile {of} wants")
    if "without" in rule and rule["without"] in {system for system, _ in _codings(value)}:
        yield Fault(path, f"codes of this system have to be of a set of the profile {of}")


def _codings(value: Any) -> frozenset[tuple[str, str]]:
    if isinstance(value, dict) and "coding" not in value and "code" in value:
        return _coded({"coding": [value]})
    return _coded(value)


def _of_system(value: Any, system: str) -> bool:
    return any(one == system for one, _ in _codings(value))


def _extensions(value: Any, path: str, known: Mapping[str, Json]) -> Iterator[Fault]:
    """Faults of extensions that profiles define, at any depth."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from _extensions(one, f"{path}[{number}]", known)
        return
    if not isinstance(value, dict):
        return
    for number, one in enumerate(value.get("extension", ())):
        defined = known.get(one.get("url", "")) if isinstance(one, dict) else None
        if defined is not None and defined["type"] == "Extension":
            yield from _extension(one, f"{path}.extension[{number}]", defined)
    for key, inner in value.items():
        if key != "extension":
            yield from _extensions(inner, f"{path}.{key}", known)


def _extension(value: Json, path: str, defined: Json) -> Iterator[Fault]:
    place = re.sub(r"\[\d+\]", "", path).removesuffix(".extension")
    if defined.get("context") and place not in defined["context"]:
        yield Fault(path, f"the extension {defined['name']} does not belong here")
    parts = defined.get("parts")
    if parts is None:
        yield from _part(value, path, defined["value"], defined["name"])
        return
    counts: dict[str, int] = {}
    for number, one in enumerate(value.get("extension", ())):
        url = one.get("url", "")
        at = f"{path}.extension[{number}]"
        counts[url] = counts.get(url, 0) + 1
        if url not in parts:
            yield Fault(at, f"the extension {defined['name']} has no such part")
            continue
        yield from _part(one, at, parts[url], defined["name"])
    for url, part in parts.items():
        if counts.get(url, 0) < part.get("min", 0):
            yield Fault(path, f"the extension {defined['name']} needs {url}")
        if part.get("max", "*") != "*" and counts.get(url, 0) > int(part["max"]):
            yield Fault(path, f"the extension {defined['name']} has {url} too often")


def _part(value: Json, path: str, part: Json, of: str) -> Iterator[Fault]:
    key = f"value{part['type'][0].upper()}{part['type'][1:]}"
    if key not in value:
        yield Fault(path, f"the extension {of} wants {key}")
        return
    yield from _rule_of(
        value[key], f"{path}.{key}", {k: v for k, v in part.items() if k in _CHECKED}, key, of
    )
    if "sets" in part:
        codes = {(one["system"], code) for one in part["sets"] for code in one["codes"]}
        if not _in_set(value[key], frozenset(codes)):
            yield Fault(f"{path}.{key}", f"it has no code of the sets of the extension {of}")


_CHECKED = ("pattern", "codes", "system")
