"""Studies and orders in FHIR exports of R3, R4 and R5: a resource, a Bundle, or NDJSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import orjson

from dicomlake.errors import UsageError
from dicomlake.jobs.identifiers.found import Found, Place
from dicomlake.jobs.identifiers.lines import Lines

ORDERS = frozenset("ServiceRequest ProcedureRequest Task DiagnosticReport Observation".split())
"""Resources whose identifiers of type ACSN are accession numbers."""

_TYPES = frozenset(
    (
        "http://terminology.hl7.org/CodeSystem/v2-0203",
        "http://hl7.org/fhir/v2/0203",
        "http://hl7.org/fhir/identifier-type",
        "urn:oid:2.16.840.1.113883.18.108",
        "",
    )
)
_DICOM_UID = "urn:dicom:uid"
_URI = "urn:ietf:rfc:3986"
_OID = "urn:oid:"
_DEEPEST = 8
_Json = dict[str, Any]


def read(lines: Lines, found: Found, systems: Collection[str] = frozenset()) -> None:
    """Read an export; `systems`: identifier systems that are those of accession numbers."""
    export = _Export(found, systems)
    for document, place in _documents(lines):
        export.take(document, place)
    export.end()


def _documents(lines: Lines) -> Iterator[tuple[Any, Place]]:
    """The documents of a file with their places: one per line, or one in all."""
    several = False
    for line in lines:
        if not line.strip():
            continue
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if several:
                raise UsageError(f"{lines.place} is no JSON.") from error
            yield _whole(line, lines), Place(str(lines.path))
            return
        several = True
        yield document, lines.place


def _whole(first: str, lines: Lines) -> Any:
    before = lines.number
    try:
        return orjson.loads(f"{first}\n{lines.rest()}")
    except orjson.JSONDecodeError as error:
        place = Place(str(lines.path), before + error.lineno - 1)
        raise UsageError(f"{place} is no JSON.") from error


class _Export:
    """Takes the resources of an export; what refers to a study whose UID is known is not needed."""

    def __init__(self, found: Found, systems: Collection[str]) -> None:
        self.found = found
        self._systems = systems
        self._numbers: dict[str, list[str]] = {}  # accession numbers of orders, by reference
        self._studies: set[str] = set()  # references of studies with a UID
        self._ordered: set[str] = set()  # references of orders that such studies are based on
        self._reports: list[tuple[list[str], list[str]]] = []  # studies and numbers of reports

    def take(self, document: Any, place: Place, url: str = "", depth: int = 0) -> None:
        """Take a resource, those in it, or in a Bundle or a list."""
        if isinstance(document, list):
            for number, one in enumerate(document, 1):
                self.take(one, _inside(place, number, "resource"), depth=depth + 1)
            return
        resource = dict_of(document)
        if depth > _DEEPEST or resource.get("status") == "entered-in-error":
            return
        for number, entry in enumerate(dicts(resource.get("entry")), 1):
            here = _inside(place, number, "entry")
            self.take(entry.get("resource"), here, text_of(entry.get("fullUrl")), depth + 1)
        for one in dicts(resource.get("contained")):
            self.take(one, place, depth=depth + 1)
        self._resource(resource, place, url)

    def _resource(self, resource: _Json, place: Place, url: str) -> None:
        kind = text_of(resource.get("resourceType"))
        names = {url, f"{kind}/{text_of(resource.get('id'))}"} - {"", f"{kind}/"}
        if self.found.kind == "PatientID":
            for value in _patients(kind, resource):
                self.found.add("PatientID", value, place)
        elif kind == "ImagingStudy":
            self._study(resource, place, names)
        elif kind in ORDERS:
            self._order(kind, resource, place, names)

    def _study(self, resource: _Json, place: Place, names: set[str]) -> None:
        uids = uids_of(resource)
        numbers = self._accessions(resource)
        if self.found.kind == "SeriesInstanceUID" or not (uids or numbers):
            for series in dicts(resource.get("series")):
                if uid := _uid(series.get("uid")):
                    self.found.add("SeriesInstanceUID", uid, place)
        self.found.add_order(uids, numbers, place)
        if uids:
            self._studies |= names
            self._ordered |= set(references_of(resource, "basedOn"))

    def _order(self, kind: str, resource: _Json, place: Place, names: set[str]) -> None:
        numbers = self._accessions(resource)
        uids: list[str] = []
        if kind == "DiagnosticReport":
            refers = [*dicts(resource.get("study")), *dicts(resource.get("imagingStudy"))]
            uids = [uid for one in refers for uid in uids_of(one)]
            if numbers:
                studies = references_of(resource, "study") + references_of(resource, "imagingStudy")
                self._reports.append((studies, numbers))
        self.found.add_order(uids, numbers, place)
        for name in names if numbers else ():
            self._numbers[name] = numbers

    def _accessions(self, resource: _Json) -> list[str]:
        """Accession numbers of a resource, or of what it is based on."""
        listed = [*dicts(resource.get("identifier")), *dicts(resource.get("accession"))]
        for about in ("basedOn", "focus"):
            for one in dicts(resource.get(about)):
                listed += dicts(one.get("identifier"))
        old = {id(one) for one in dicts(resource.get("accession"))}  # R3: needs no type
        found = [text_of(i.get("value")) for i in listed if id(i) in old or self._is_accession(i)]
        return list(dict.fromkeys(value for value in found if value))

    def _is_accession(self, identifier: _Json) -> bool:
        return typed(identifier, "ACSN") or text_of(identifier.get("system")) in self._systems

    def end(self) -> None:
        """Leave out accession numbers of orders and reports whose study is known by its UID."""
        for name in self._ordered & self._numbers.keys():
            self.found.cover(self._numbers[name])
        for studies, numbers in self._reports:
            if studies and self._studies.issuperset(studies):
                self.found.cover(numbers)


def _inside(place: Place, number: int, unit: str) -> Place:
    return Place(str(place), number, unit)


def uids_of(resource: _Json) -> list[str]:
    """Study Instance UIDs among the identifiers of a resource or a reference."""
    listed = dicts(resource.get("identifier"))
    found = [_uid(i.get("value")) for i in listed if i.get("system") == _DICOM_UID]
    if not any(found):
        found = [
            _uid(i.get("value"))
            for i in listed
            if i.get("system") == _URI and text_of(i.get("value")).lower().startswith(_OID)
        ]
    found.append(_uid(resource.get("uid")))  # R3
    return list(dict.fromkeys(uid for uid in found if uid))


def _uid(value: Any) -> str:
    text = text_of(value)
    return text[len(_OID) :] if text.lower().startswith(_OID) else text


def typed(identifier: _Json, code: str) -> bool:
    """Whether an identifier is of a type of HL7 v2 table 0203."""
    codings = dicts(dict_of(identifier.get("type")).get("coding"))
    return any(c.get("code") == code and text_of(c.get("system")) in _TYPES for c in codings)


def references_of(resource: _Json, name: str) -> list[str]:
    """What a resource refers to, as Type/id or a URN."""
    found = [text_of(one.get("reference")) for one in dicts(resource.get(name))]
    parts = [reference.split("/_history/")[0].split("/") for reference in found if reference]
    return ["/".join(part[-2:]) for part in parts]


def _patients(kind: str, resource: _Json) -> list[str]:
    """Medical record numbers; the first identifier when none says that it is one."""
    about = resource if kind == "Patient" else dict_of(resource.get("subject"))
    listed = dicts(about.get("identifier"))
    chosen = [one for one in listed if typed(one, "MR")] or listed[:1]
    return [value for one in chosen if (value := text_of(one.get("value")))]


def dict_of(value: Any) -> _Json:
    """A value as an object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def dicts(value: Any) -> list[_Json]:
    """The objects in a value that may be one or several."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, dict)]


def text_of(value: Any) -> str:
    """A value as text without blanks around; "" for anything else."""
    return value.strip() if isinstance(value, str) else ""
