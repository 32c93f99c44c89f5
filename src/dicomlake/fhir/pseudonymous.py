"""Resources without what tells who somebody is: only what is known to be harmless stays.

Everything that no rule below lets pass is dropped: names, addresses, free text, displays, numbers
of devices, documents, codes of schemes that are not public, and extensions of which nothing is
left. Identifiers become pseudonyms, UIDs and ids other ones, and dates move.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Resource = dict[str, Any]

DROPPED = frozenset(
    ["Endpoint", "Practitioner", "PractitionerRole", "Organization", "Person", "RelatedPerson",
     "DocumentReference", "Binary", "Location", "Encounter"]
)  # fmt: skip
"""Types of which nothing would be left, or that say where the originals are."""
PUBLIC = (
    "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org",
    "http://dicom.nema.org/resources/ontology/", "http://terminology.hl7.org/", "http://hl7.org/",
    "http://www.radlex.org", "http://radlex.org", "urn:iso:std:iso:11073:10101",
    "https://www.medizininformatik-initiative.de/", "https://dicomlake.", "urn:dicomlake:",
)  # fmt: skip
"""Beginnings of the systems whose codes pass; those of a site may say anything."""
_UID_SYSTEMS = ("urn:dicom:uid", "urn:ietf:rfc:3986")
_STANDARD = "1.2.840.10008."
"""UIDs of the Standard, such as SOP classes, stay as they are."""
_ACCESSION = ("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN")
_MASKED = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
    ]
}
_SUMMARY = "http://hl7.org/fhir/uv/radiation-dose-summary/"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,40}")
_WORD = re.compile(r"[a-z][a-z-]{0,40}|[<>]=?")
_UNIT = re.compile(r"[A-Za-z0-9%\[\]{}'/.*\-_]{1,24}")
_DATE = re.compile(r"(\d{4})(-\d\d)?(-\d\d)?(T.*)?", re.ASCII)
_UID = re.compile(r"(?:urn:oid:)?[0-9]+(?:\.[0-9]+)+", re.ASCII)
_URL = re.compile(r"https?://[A-Za-z0-9./_:|-]{1,300}")
_FORMS = {
    "http://snomed.info/sct": re.compile(r"[0-9]{6,18}"),
    "http://loinc.org": re.compile(r"[A-Z]{0,3}[0-9]{1,7}-[0-9]"),
    "http://unitsofmeasure.org": _UNIT,
    "http://dicom.nema.org/": re.compile(r"[A-Z0-9]{1,16}"),
    "http://www.radlex.org": re.compile(r"RID[0-9]{1,7}"),
    "http://radlex.org": re.compile(r"RID[0-9]{1,7}"),
    "urn:iso:std:iso:11073:10101": re.compile(r"[0-9]{1,8}"),
}
"""What codes of a system look like: senders may write anything into a public scheme."""

_CODES = frozenset(
    """status use gender mode kind comparator relationship role intent type
    valueCode graphicType regionType""".split()
)
"""Elements whose value is a code of FHIR itself."""
_NUMBERS = frozenset(
    """number numberOfSeries numberOfInstances numberOfFrames value active valueDecimal valueInteger
    valueInteger64 valueBoolean valuePositiveInt valueUnsignedInt multiplier denominator numerator
    frameNumber coordinate coordinates coordinate3D period origin factor lowerLimit upperLimit
    dimensions interval subset frames segment channels""".split()
)
"""Elements whose value is a number or true or false."""
_DATES = frozenset(
    """started effectiveDateTime effectiveInstant occurredDateTime recorded issued date start end
    valueDateTime valueDate valueInstant authoredOn created birthDate""".split()
)
_UIDS = frozenset(["uid", "studyUid", "seriesUid", "frameOfReferenceUid", "valueOid", "valueUri"])
_WITHIN = frozenset(
    """series instance subject patient target agent who entity what performer actor function
    bodySite laterality structure includedStructure excludedStructure morphology location
    locationQualifier qualifier concept coding code category method component modality sopClass
    procedureCode procedure reasonCode reason basedOn partOf hasMember derivedFrom result results
    imagingStudy study media focus device specimen valueQuantity valueCodeableConcept valueCoding
    valueRange valueRatio valueReference valueSampledData valuePeriod valueIdentifier low high
    numerator denominator effectivePeriod occurredPeriod period extension meta deviceName version
    udi parent interpretation referenceRange text bodyStructure imageRegion2D imageRegion3D
    imageRegion landmarkDescription identifier reference tag profile onBehalfOf activity
    whoReference whatReference reasonReference contained link other valueRelativeTime origin
    referencedSOPClass sopInstance""".split()
) - {"text", "contained"}
"""Elements that hold others."""
_NAMES = {
    ("Device", "manufacturer"), ("Device", "modelNumber"), ("Device", "displayName"),
    ("deviceName", "name"), ("name", "value"), ("version", "value"),
}  # fmt: skip
"""What devices and programs are called: the element, or what it is in, and its name."""
_STATIONS = frozenset(["user-friendly-name", "patient-reported-name", "other"])
"""Names of devices that somebody gave them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a resource changes.

    `identifier` gives the pseudonym of kind, system and value; `system` is that of pseudonyms;
    `id` and `uid` give other ones; `days` dates are moved back, or None: years alone stay.
    """

    identifier: Callable[[str, str, str], str]
    system: str
    id: Callable[[str, str], str]
    uid: Callable[[str], str]
    days: int | None


def identifiers(resource: Any) -> Iterator[tuple[str, str, str]]:
    """Kind, system and value of the identifiers in a resource that need a pseudonym.

    >>> list(identifiers({"resourceType": "Patient", "identifier": [{"value": "4711"}]}))
    [('patient', '', '4711')]
    """
    type_ = resource.get("resourceType", "") if isinstance(resource, dict) else ""
    for above, one in _found(resource, ""):
        system, value = str(one.get("system", "")), str(one.get("value", ""))
        if value and not _is_uid(system, value):
            yield _kind(one, type_, above), system, value


def _found(value: Any, above: str) -> Iterator[tuple[str, Resource]]:
    """Every Identifier in a value, and the element that it is in."""
    if isinstance(value, list):
        for one in value:
            yield from _found(one, above)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in ("identifier", "valueIdentifier"):
                for one in inner if isinstance(inner, list) else [inner]:
                    if isinstance(one, dict):
                        yield above, one
            else:
                yield from _found(inner, name)


def _kind(identifier: Resource, type_: str, above: str) -> str:
    codings = (identifier.get("type") or {}).get("coding", ())
    if any((c.get("system"), c.get("code")) == _ACCESSION for c in codings):
        return "accession"
    person = above in ("subject", "patient") or (type_ == "Patient" and not above)
    return "patient" if person else "other"


def _is_uid(system: str, value: str) -> bool:
    return system in _UID_SYSTEMS or value.startswith("urn:oid:")


def pseudonymous(resource: Resource, rules: Rules) -> Resource | None:
    """A resource without what tells who somebody is; None when nothing of it may leave."""
    type_ = str(resource.get("resourceType", ""))
    if type_ in DROPPED:
        return None
    made = _Cleaning(rules, type_).made(resource)
    made["id"] = rules.id(type_, str(resource.get("id", "")))
    if type_ == "Patient" and "birthDate" in made:
        made["birthDate"] = made["birthDate"][:4]
    _unclaim(resource, made)
    if "code" in resource and "code" not in made and type_ in ("Observation", "DiagnosticReport"):
        made["code"] = _MASKED
    if "includedStructure" in resource and "includedStructure" not in made:
        made["includedStructure"] = [{"structure": _MASKED}]
    return made


def _unclaim(resource: Resource, made: Resource) -> None:
    """Let no resource claim a summary of dose whose words and author are gone."""
    meta = made.get("meta", {})
    if "valueString" in resource and "valueString" not in made and "profile" in meta:
        kept = [one for one in meta["profile"] if not one.startswith(_SUMMARY)]
        made["meta"] = {**meta, "profile": kept}
        if not kept:
            del made["meta"]["profile"]
        if not made["meta"]:
            del made["meta"]


class _Cleaning:
    """Goes through one resource."""

    def __init__(self, rules: Rules, type_: str) -> None:
        self._rules, self._type = rules, type_

    def made(self, resource: Resource) -> Resource:
        """The resource, its id left out."""
        return self._object(resource, "", "")

    def _object(self, value: Resource, above: str, over: str) -> Resource:
        """What is left of an element; `above`: its name, `over`: that of the one around it."""
        if above in ("identifier", "valueIdentifier"):
            return self._identifier(value, over)
        if "code" in value and not isinstance(value["code"], dict) and not _public(value):
            return {}
        if above in ("deviceName", "name") and self._type == "Device" and _is_given(value):
            return {}
        found: Resource = {}
        for name, inner in value.items():
            if name == "id":
                continue
            kept = self._element(name, inner, above)
            if kept is not None and kept != {} and kept != []:
                found[name] = kept
        if above == "extension" and ("url" not in found or len(found) == 1):
            return {}
        if "unit" in value and "value" in value:
            return _quantity(found, value["unit"])
        return found

    def _element(self, name: str, value: Any, above: str) -> Any:
        if isinstance(value, list):
            kept = [self._element(name, one, above) for one in value]
            return [one for one in kept if one is not None and one != {} and one != []]
        if isinstance(value, dict):
            inside = name in _WITHIN or name == "type"
            inside = inside or (name == "name" and self._type == "Device")
            return self._object(value, name, above) if inside else None
        if isinstance(value, bool | int | float):
            return value if name in _NUMBERS else None
        return self._text(name, value, above) if isinstance(value, str) else None

    def _text(self, name: str, value: str, above: str) -> str | None:
        """What is left of a text."""
        if name == "reference":
            return self._reference(value)
        if name in _DATES:
            return self._moved(value)
        if name in _UIDS:
            return self._uid(value)
        if name == "system":
            return value if value.startswith(PUBLIC) or value in _UID_SYSTEMS else None
        if name == "code":  # one of another form is gone by now; without a system it is a unit
            return value if _UID.fullmatch(value) or _UNIT.fullmatch(value) else None
        if name in ("url", "profile"):
            part = name == "url" and above == "extension" and _CODE.fullmatch(value)
            return value if part or (value.startswith(PUBLIC) and _URL.fullmatch(value)) else None
        if name == "subset":
            return value if value.isdecimal() else None
        if name == "resourceType":
            return value if value.isalpha() else None
        if name in _CODES:
            return value if _WORD.fullmatch(value) else None
        named = (self._type, name) if not above else (above, name)
        return value if self._type == "Device" and named in _NAMES else None

    def _identifier(self, value: Resource, over: str) -> Resource:
        system, text = str(value.get("system", "")), str(value.get("value", ""))
        if not text:
            return {}
        kind = _kind(value, self._type, over)
        made: Resource = {}
        type_ = self._element("type", value["type"], "identifier") if "type" in value else None
        if type_:
            made["type"] = type_
        if isinstance(value.get("use"), str) and _WORD.fullmatch(value["use"]):
            made["use"] = value["use"]
        if _is_uid(system, text):
            return {**made, "system": system, "value": self._uid(text)}
        pseudonym = self._rules.identifier(kind, system, text)
        return {**made, "system": f"{self._rules.system}:{kind}", "value": pseudonym}

    def _reference(self, value: str) -> str | None:
        type_, slash, id_ = value.partition("/")
        if not slash or type_ in DROPPED or not type_.isalpha():
            return None
        return f"{type_}/{self._rules.id(type_, id_)}"

    def _uid(self, value: str) -> str:
        plain = value.removeprefix("urn:oid:")
        if plain.startswith(_STANDARD) and _UID.fullmatch(plain):
            return value
        made = self._rules.uid(plain)
        return f"urn:oid:{made}" if value.startswith("urn:oid:") else made

    def _moved(self, value: str) -> str | None:
        """A date or a moment, moved or with its year alone."""
        m = _DATE.fullmatch(value)
        if m is None:
            return None
        if self._rules.days is None:
            whole = m[4] is not None and ("Z" in m[4] or "+" in m[4] or "-" in m[4])
            return f"{m[1]}-01-01T00:00:00Z" if whole else m[1]
        if m[3] is None:
            middle = date(int(m[1]), int(m[2][1:]) if m[2] else 7, 15 if m[2] else 1)
            moved = _back(middle, self._rules.days)
            return f"{moved:%Y-%m}" if m[2] else f"{moved.year:04}"
        moved = _back(date.fromisoformat(value[:10]), self._rules.days)
        return f"{moved.isoformat()}{m[4] or ''}"


_UNITS = frozenset(
    """mGy mGy.cm kV ms s mA mAs mA.s mm cm m mL mm3 kg g Bq MBq T Hz HU ml Gy.m2 Gy degree deg
    keV kHz %""".split()
)
"""Units as they may be written; senders may write anything."""


def _quantity(found: Resource, unit: object) -> Resource:
    """A quantity whose unit is one that is known, or else its code."""
    if "value" not in found:
        return {}
    if isinstance(unit, str) and unit in _UNITS:
        return {**found, "unit": unit}
    return {**found, "unit": found["code"]} if "code" in found else found


def _back(day: date, days: int) -> date:
    try:
        return day - timedelta(days=days)
    except OverflowError:
        return day


def _public(coding: Resource) -> bool:
    """Whether a code is of a public system, and may be one of it by its form."""
    system, code = str(coding.get("system", "")), str(coding["code"])
    if system in _UID_SYSTEMS:
        return code.removeprefix("urn:oid:").startswith(_STANDARD)
    form = next((form for begin, form in _FORMS.items() if system.startswith(begin)), _CODE)
    return system.startswith(PUBLIC) and form.fullmatch(code) is not None


def _is_given(name: Resource) -> bool:
    """Whether a name of a device is one that somebody gave it."""
    type_ = name.get("type")
    if isinstance(type_, dict):
        return any(c.get("code") in _STATIONS for c in type_.get("coding", ()))
    return type_ in _STATIONS
