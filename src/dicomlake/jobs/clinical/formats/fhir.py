"""Clinical resources of FHIR R4 and R5: a resource, a Bundle, a list, or NDJSON.

A reference means what it means in the whole import: as Type/id, or as the URN of a Bundle's entry.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from dicomlake.errors import DataError
from dicomlake.jobs.clinical.codes import asked, scheme_of
from dicomlake.jobs.clinical.formats.sheets import opened
from dicomlake.jobs.clinical.moments import moment
from dicomlake.jobs.clinical.reports import stage_document
from dicomlake.jobs.clinical.staging import Part
from dicomlake.jobs.identifiers.fhir import dict_of, dicts, text_of, typed, uids_of

_LARGEST = 256 * 1024**2
"""Bytes of one document; it takes many times as much memory."""
_DEEPEST = 8
_NEVER = frozenset("entered-in-error not-done not-taken cancelled refuted abandoned".split())
"""States of a resource that says of something that it did not happen."""
_WRITTEN = ("issued", "date", "effectiveDateTime")
_LATERALITY = {"SCT:7771000", "SCT:24028007", "SCT:51440002"}
_TAG = re.compile(r"<(?:br|/p|/div|/li|/h\d|/tr)[^>]*>", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[^>]*>")
_TYPE = re.compile(rb'\s*{\s*"resourceType"\s*:\s*"(\w+)"')
_Json = dict[str, Any]


@dataclass(slots=True)
class Fhir:
    """Reads files of resources; `issuers`: identifier systems and the issuers that they stand for.

    An identifier of a system that is not in it is of `issuer`.
    """

    part: Part
    issuers: Mapping[str, str] = field(default_factory=dict)
    issuer: str = ""
    check: Callable[[int], None] = lambda count: None
    pdf: Callable[[bytes], str] | None = None

    def read(self, path: Path) -> None:
        """Stage the resources of a file; what cannot be read is noted with its line."""
        with opened(path) as file:
            first = file.readline(_LARGEST)
            if not first.strip():
                first = file.readline(_LARGEST)
            if len(first) < _LARGEST and _alone(first):
                self._line(first, 1)
                number = 1
                for number, line in enumerate(file, 2):
                    self._line(line, number)
                    if not number % 1000:
                        self.check(1000)
                self.check(number % 1000)
                return
            data = first + file.read(_LARGEST - len(first))
        if len(data) >= _LARGEST:
            raise DataError("the file is too large to be read at once: export it as NDJSON")
        try:
            document = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError as error:
            self.part.fail(str(error.lineno), "this is no JSON")
            return
        self._take(document, "1")
        self.check(1)

    def _line(self, line: bytes, number: int) -> None:
        if not line.strip():
            return
        if (named := _TYPE.match(line)) and named[1].decode() not in KNOWN:
            return
        try:
            document = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError:
            self.part.fail(str(number), "the line is no JSON")
            return
        self._take(document, str(number))

    def _take(self, document: Any, place: str, url: str = "", depth: int = 0) -> None:
        if depth > _DEEPEST:
            return
        if isinstance(document, list):
            for number, one in enumerate(document, 1):
                self._take(one, f"{place}.{number}", depth=depth + 1)
            return
        if not isinstance(document, dict) or not document.get("resourceType"):
            self.part.fail(place, "this is no resource: it has no resourceType")
            return
        kind = document["resourceType"]
        if kind == "Bundle":
            for number, entry in enumerate(dicts(document.get("entry")), 1):
                if dict_of(entry.get("request")).get("method") == "DELETE":
                    self._deleted(entry, document, f"{place}.{number}")
                elif "resource" in entry:
                    name = text_of(entry.get("fullUrl"))
                    self._take(entry["resource"], f"{place}.{number}", name, depth + 1)
        elif kind in _READERS:
            try:
                _READERS[kind](self, _Resource(document, kind, place, url))
            except DataError as error:
                self.part.fail(place, f"{kind}: {error}")
            except (TypeError, AttributeError, KeyError, ValueError, IndexError) as error:
                self.part.fail(place, f"{kind}: not as FHIR says ({type(error).__name__})")

    def _deleted(self, entry: _Json, bundle: _Json, place: str) -> None:
        """An entry of a history or an export that says that a resource was deleted."""
        name = _named(text_of(dict_of(entry.get("request")).get("url")).split("?")[0])
        kind = name.partition("/")[0]
        if kind not in _KINDS or "/" not in name:
            return
        then = dict_of(entry.get("response")).get("lastModified") or dict_of(
            dict_of(entry.get("resource")).get("meta")
        ).get("lastUpdated")  # fmt: skip
        said = dict_of(bundle.get("meta")).get("lastUpdated") or bundle.get("timestamp")
        row: _Json = {"identifier": name, "origin": self.part.origin(place), "gone": True,
                      "updated": _moment(then or said)}  # fmt: skip
        if _KINDS[kind]:
            row["kind"] = _KINDS[kind]
        self.part.add("clinical_events" if _KINDS[kind] else "documents", row)

    # People, and what others refer to

    def _patient(self, one: _Resource) -> None:
        found = self._identity(one.json)
        for name in one.names:
            if found:
                self.part.add("people", {"ref": name, "PatientID": found[0],
                              "IssuerOfPatientID": found[1] or None,
                              "seq": self.part.number << 40 | self.part.rows})  # fmt: skip
        if not found:
            raise DataError("it has no identifier")
        row = self._row(one, "patient", None)
        row |= {"PatientID": found[0], "IssuerOfPatientID": found[1] or None, "subject": None}
        row["text"] = text_of(one.json.get("gender")) or None
        row["gone"] = row["gone"] or False
        _when(row, one.json.get("birthDate"), one.json.get("deceasedDateTime"))
        self.part.add("clinical_events", row)

    def _identity(self, json: _Json) -> tuple[str, str] | None:
        """PatientID and issuer: of an identifier of a known system, else the medical record's."""
        listed = [i for i in dicts(json.get("identifier")) if text_of(i.get("value"))]
        known = [i for i in listed if text_of(i.get("system")) in self.issuers]
        old = [i for i in listed if i.get("use") == "old"]
        chosen = known or [i for i in listed if typed(i, "MR")] or [
            i for i in listed if i not in old
        ] or listed  # fmt: skip
        if not chosen:
            return None
        system = text_of(chosen[0].get("system"))
        if system and system not in self.issuers:
            said = f"identifiers of {system} count as of the issuer {self.issuer!r}"
            self.part.notes.add(said)
        return text_of(chosen[0].get("value")), self.issuers.get(system, self.issuer)

    def _order(self, one: _Resource) -> None:
        numbers = _accessions(one.json)
        uids = uids_of(one.json) if one.kind == "ImagingStudy" else []
        for name in one.names if numbers or uids else ():
            self.part.add("orders", {"ref": name, "AccessionNumber": next(iter(numbers), None),
                          "StudyInstanceUID": next(iter(uids), None)})  # fmt: skip

    def _medication(self, one: _Resource) -> None:
        said = _concept(one.json.get("code"))
        if said is not None:
            for name in one.names:
                self.part.add("things", {"ref": name, "code": said.code, "value": said.value,
                    "scheme": said.scheme, "meaning": said.meaning, "text": said.text})  # fmt: skip

    # Facts

    def _row(self, one: _Resource, kind: str, concept: _Concept | None) -> _Json:
        """The columns that all facts have."""
        json = one.json
        row: _Json = {
            "kind": kind,
            "identifier": one.name,
            "origin": self.part.origin(one.place),
            "status": one.status,
            "gone": one.gone,
            "encounter": _last(_reference(json.get("encounter") or json.get("context"))),
            "updated": one.updated,
        }
        self._subject(row, json)
        row["refers"] = _refers(json)
        if numbers := _accessions(json):
            row["AccessionNumber"] = numbers[0]
        if concept is not None:
            row |= concept.columns("code")
            row["codes"] = list(concept.codes) or None
            row["text"] = concept.text
        return row

    def _subject(self, row: _Json, json: _Json) -> None:
        about = dict_of(json.get("subject") or json.get("patient"))
        reference = _reference(about)
        if reference:
            system, _, value = reference.partition("?identifier=")[2].rpartition("|")
            if value:
                row["PatientID"] = value
                row["IssuerOfPatientID"] = self.issuers.get(system, self.issuer) or None
            else:
                row["subject"] = reference
        elif found := self._identity(about):
            row["PatientID"], row["IssuerOfPatientID"] = found[0], found[1] or None

    def _fact(self, row: _Json) -> None:
        says = ("code", "text", "number", "value", "thing")
        if row["kind"] != "encounter" and not row["gone"] and not any(map(row.get, says)):
            raise DataError("it says nothing: no code, no text and no value")
        self.part.add("clinical_events", row)

    def _condition(self, one: _Resource) -> None:
        json = one.json
        row = self._row(one, "condition", _concept(json.get("code")))
        row["status"] = _first_code(json.get("clinicalStatus")) or row["status"]
        _site(row, json.get("bodySite"))
        _when(row, *_begin(json, "onset", "recordedDate"))
        if ended := json.get("abatementDateTime") or dict_of(json.get("abatementPeriod")).get(
            "start"
        ):
            row["ended"] = _moment(ended)
        self._fact(row)

    def _procedure(self, one: _Resource) -> None:
        json = one.json
        row = self._row(one, "procedure", _concept(json.get("code")))
        _site(row, json.get("bodySite"))
        _when(row, *(_begin(json, "performed") if _has(json, "performed") else
                     _begin(json, "occurrence", "recorded")))  # fmt: skip
        self._fact(row)

    def _observation(self, one: _Resource) -> None:
        json = one.json
        row = self._row(one, "observation", _concept(json.get("code")))
        _site(row, json.get("bodySite"))
        _when(row, *_begin(json, "effective", "issued"))
        said = _value(json)
        main = self.part.add("clinical_events", {**row, **said}) if not row["gone"] else None
        if main is None:
            self.part.add("clinical_events", row)
            return
        for number, component in enumerate(dicts(json.get("component")), 1):
            concept = _concept(component.get("code"))
            if concept is None:
                continue
            own = {**row, **concept.columns("code"), "codes": list(concept.codes) or None,
                   "text": concept.text, **_value(component),
                   "identifier": f"{one.name}#{concept.code or number}"}  # fmt: skip
            own["rev"], own["seq"] = main["seq"], self.part.next()
            self.part.add("clinical_events", own)

    def _encounter(self, one: _Resource) -> None:
        json = one.json
        classes = json.get("class")
        concept = next((c for k in dicts(json.get("type")) if (c := _concept(k)) is not None), None)
        if concept is None:
            for said in dicts(classes):
                concept = concept or _concept(said if "coding" in said else {"coding": [said]})
        row = self._row(one, "encounter", concept)
        row["encounter"] = _last(one.name)
        period = dict_of(json.get("period") or json.get("actualPeriod"))
        _when(row, period.get("start"), period.get("end"))
        self._fact(row)

    def _drug(self, one: _Resource) -> None:
        json = one.json
        about = json.get("medication")
        reference = dict_of(json.get("medicationReference") or dict_of(about).get("reference"))
        concept = _concept(json.get("medicationCodeableConcept") or dict_of(about).get("concept"))
        if concept is None and (name := _reference(reference)):
            for inner in dicts(json.get("contained")):
                if name == f"#{inner.get('id')}":
                    concept = _concept(inner.get("code"))
        row = self._row(one, "medication", concept)
        if concept is None:
            row["thing"] = _reference(reference) or None
            row["text"] = text_of(reference.get("display")) or None
        _when(row, *(_begin(json, "effective") if _has(json, "effective") else
                     _begin(json, "occurrence", "authoredOn", "dateAsserted")))  # fmt: skip
        row |= _dose(json)
        self._fact(row)

    # Documents

    def _report(self, one: _Resource) -> None:
        json = one.json
        text = self._text(json)
        concept = _concept(json.get("code") or json.get("type"))
        if not text and not one.gone:
            raise DataError("it has no text: neither presentedForm, text nor conclusion")
        row = self._row(one, "report", None)
        uids = [u for s in (json.get("imagingStudy"), json.get("study")) for r in dicts(s)
                for u in uids_of(r)]  # fmt: skip
        kept = ("identifier", "status", "gone", "updated", "subject", "refers", "PatientID",
                "IssuerOfPatientID", "AccessionNumber")  # fmt: skip
        columns = {n: row[n] for n in kept if n in row}
        if concept is not None:
            columns |= concept.columns("type")
        stage_document(
            self.part,
            text,
            written=next((t for n in _WRITTEN if (t := text_of(json.get(n)))), ""),
            origin=self.part.origin(one.place),
            encounter=row["encounter"],
            title=(concept.text if concept else None) or text_of(json.get("description")) or None,
            language=text_of(json.get("language")),
            StudyInstanceUID=next(iter(uids), None),
            **columns,
        )

    def _text(self, json: _Json) -> str:
        """The text of a report: as presented, else its narrative, with its conclusion."""
        parts = []
        forms = dicts(json.get("presentedForm"))
        forms += [dict_of(c.get("attachment")) for c in dicts(json.get("content"))]
        for form in forms:
            if said := self._attached(form):
                parts.append(said)
                break
        if not parts and (div := text_of(dict_of(json.get("text")).get("div"))):
            parts.append(_plain(div))
        conclusion = text_of(json.get("conclusion"))
        if conclusion and not any(conclusion in part for part in parts):
            parts.append(f"Conclusion:\n{conclusion}" if parts else conclusion)
        return "\n\n".join(part for part in parts if part.strip())

    def _attached(self, form: _Json) -> str:
        data = text_of(form.get("data"))
        kind = text_of(form.get("contentType")).split(";")[0].lower()
        if not data:
            return ""
        try:
            raw = base64.b64decode(data, validate=False)
        except (binascii.Error, ValueError) as error:
            raise DataError("its attachment is no base64") from error
        if kind == "application/pdf" or raw[:5] == b"%PDF-":
            return self.pdf(raw) if self.pdf else ""
        if kind and not kind.startswith("text/") and kind != "application/xhtml+xml":
            return ""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", "replace")
        return _plain(text) if "html" in kind else text


@dataclass(slots=True)
class _Resource:
    """A resource: its names in references, its place in the file, its state."""

    json: _Json
    kind: str
    place: str
    url: str

    @property
    def names(self) -> list[str]:
        """What references to it may say."""
        own = text_of(self.json.get("id"))
        made = [f"{self.kind}/{own}"] if own else []
        return list(dict.fromkeys([*made, *([_named(self.url)] if self.url else [])]))

    @property
    def name(self) -> str | None:
        """What it is known by in its source: Type/id, else its first identifier or URN."""
        if own := text_of(self.json.get("id")):
            return f"{self.kind}/{own}"
        for one in dicts(self.json.get("identifier")):
            if value := text_of(one.get("value")):
                return f"{self.kind}?{text_of(one.get('system'))}|{value}"
        return self.url or None

    @property
    def status(self) -> str | None:
        return text_of(self.json.get("status")) or None

    @property
    def gone(self) -> bool:
        verified = _first_code(self.json.get("verificationStatus"))
        return self.status in _NEVER or verified in _NEVER

    @property
    def updated(self) -> Any:
        return _moment(dict_of(self.json.get("meta")).get("lastUpdated"))


@dataclass(frozen=True, slots=True)
class _Concept:
    """A CodeableConcept: its first code, all of them, and its text."""

    value: str | None
    scheme: str | None
    meaning: str | None
    text: str | None
    codes: tuple[str, ...]

    @property
    def code(self) -> str | None:
        return self.codes[0] if self.codes else None

    def columns(self, name: str) -> _Json:
        """The columns of a code."""
        return {
            name: self.code,
            f"{name}_value": self.value,
            f"{name}_scheme": self.scheme,
            f"{name}_meaning": self.meaning,
        }


def _concept(said: Any) -> _Concept | None:
    """A CodeableConcept; None for one that says nothing."""
    if not isinstance(said, dict):
        return None
    listed = dicts(said.get("coding"))
    codings = [c for c in listed if text_of(c.get("code"))]
    text = text_of(said.get("text")) or next(
        (t for c in listed if (t := text_of(c.get("display")))), None
    )
    if not codings and not text:
        return None
    known = [(text_of(c["code"]), text_of(c.get("system"))) for c in codings]
    systems = [(value, system) for value, system in known if system]
    first = codings[known.index(systems[0])] if systems else {}
    return _Concept(
        systems[0][0] if systems else None,
        scheme_of(systems[0][1]) if systems else None,
        text_of(first.get("display")) or None,
        text or known[0][0],
        _codes(tuple(systems)),
    )


@lru_cache(maxsize=65536)
def _codes(systems: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(asked(value, system) for value, system in systems))


def _first_code(said: Any) -> str:
    if said is None:
        return ""
    found = next((text_of(c.get("code")) for c in dicts(dict_of(said).get("coding"))), "")
    return found or text_of(said)


def _alone(line: bytes) -> bool:
    """Whether a line is a document of its own."""
    try:
        return isinstance(orjson.loads(line.removeprefix(b"\xef\xbb\xbf")), dict)
    except orjson.JSONDecodeError:
        return line.strip()[:1] == b"{" and line.strip()[-1:] == b"}"


def _reference(said: Any) -> str:
    return _named(text_of(dict_of(said).get("reference")))


@lru_cache(maxsize=262144)
def _named(reference: str) -> str:
    """A reference as Type/id, or as the URN that it is.

    >>> _named("http://a.example/fhir/Patient/7/_history/2"), _named("urn:uuid:1-2")
    ('Patient/7', 'urn:uuid:1-2')
    """
    if not reference or reference.startswith(("urn:", "#")) or "?identifier=" in reference:
        return reference
    parts = reference.split("/_history/")[0].rstrip("/").split("/")
    return "/".join(parts[-2:])


def _last(reference: str | None) -> str | None:
    return reference.rpartition("/")[2] if reference else None


def _refers(json: _Json) -> list[str] | None:
    """What orders and studies a resource refers to."""
    found = [
        _reference(one)
        for name in ("imagingStudy", "study", "basedOn", "partOf", "request")
        if name in json
        for one in dicts(json.get(name))
    ]
    return [name for name in found if name] or None


def _accessions(json: _Json) -> list[str]:
    """Accession numbers of a resource, or of the orders that it names by them."""
    if "identifier" not in json and "basedOn" not in json:
        return []
    listed = dicts(json.get("identifier"))
    for one in dicts(json.get("basedOn")):
        listed += dicts(one.get("identifier"))
    return [value for i in listed if typed(i, "ACSN") and (value := text_of(i.get("value")))]


def _moment(said: Any) -> Any:
    found = moment(said) if isinstance(said, str) else None
    return found[0] if found else None


def _when(row: _Json, start: Any, end: Any = None) -> None:
    """The columns of a beginning and an end."""
    if isinstance(start, str) and start:
        found = moment(start)
        if found is None:
            raise DataError("a date cannot be read")
        row["started"], row["precision"] = found
    if end:
        row["ended"] = _moment(end)


def _has(json: _Json, name: str) -> bool:
    return any(f"{name}{kind}" in json for kind in ("DateTime", "Period", "Instant"))


def _begin(json: _Json, name: str, *more: str) -> tuple[Any, Any]:
    """Beginning and end of an element that may be a moment or a period."""
    if found := json.get(f"{name}DateTime") or json.get(f"{name}Instant"):
        return found, None
    if period := dict_of(json.get(f"{name}Period")):
        return period.get("start"), period.get("end")
    return next((json[other] for other in more if json.get(other)), None), None


def _site(row: _Json, said: Any) -> None:
    for one in dicts(said) if said is not None else ():
        concept = _concept(one)
        for code in concept.codes if concept else ():
            row.setdefault("laterality" if code in _LATERALITY else "site", code)


def _value(json: _Json) -> _Json:
    """The columns of the value of an observation or a component."""
    if quantity := dict_of(json.get("valueQuantity")):
        number = quantity.get("value")
        unit = text_of(quantity.get("code")) if "unitsofmeasure" in text_of(
            quantity.get("system")
        ) else ""  # fmt: skip
        number = float(number) if isinstance(number, int | float) else None
        return {"number": number, "unit": unit or text_of(quantity.get("unit")) or None}
    if (concept := _concept(json.get("valueCodeableConcept"))) is not None:
        said = concept.columns("value")
        return said if concept.code else {"text": concept.text}
    for name in ("valueInteger", "valueDecimal"):
        if isinstance(json.get(name), int | float):
            return {"number": float(json[name])}
    if isinstance(json.get("valueBoolean"), bool):
        return {"text": "yes" if json["valueBoolean"] else "no"}
    for name in ("valueString", "valueDateTime", "valueTime"):
        if said_text := text_of(json.get(name)):
            return {"text": said_text}
    return {}


def _dose(json: _Json) -> _Json:
    for name in ("dosage", "dosageInstruction"):
        for dosage in dicts(json.get(name)):
            rates = [dict_of(r.get("doseQuantity")) for r in dicts(dosage.get("doseAndRate"))]
            quantity = next((q for q in [*rates, dict_of(dosage.get("dose"))] if q), {})
            if quantity:
                return _value({"valueQuantity": quantity})
    return {}


def _plain(text: str) -> str:
    """The text of HTML."""
    return html.unescape(_ANY_TAG.sub("", _TAG.sub("\n", text))).strip()


_READERS: dict[str, Callable[[Fhir, _Resource], None]] = {
    "Patient": Fhir._patient,
    "Condition": Fhir._condition,
    "Procedure": Fhir._procedure,
    "Observation": Fhir._observation,
    "Encounter": Fhir._encounter,
    "MedicationStatement": Fhir._drug,
    "MedicationRequest": Fhir._drug,
    "MedicationAdministration": Fhir._drug,
    "Medication": Fhir._medication,
    "ServiceRequest": Fhir._order,
    "ImagingStudy": Fhir._order,
    "DiagnosticReport": Fhir._report,
    "DocumentReference": Fhir._report,
}
_KINDS = {
    "Patient": "patient", "Condition": "condition", "Procedure": "procedure",
    "Observation": "observation", "Encounter": "encounter", "MedicationStatement": "medication",
    "MedicationRequest": "medication", "MedicationAdministration": "medication",
    "DiagnosticReport": "", "DocumentReference": "",
}  # fmt: skip
"""Kinds of facts by the type of their resources; none for documents."""
KNOWN = frozenset([*_READERS, "Bundle"])
"""Types of resources that are read."""
