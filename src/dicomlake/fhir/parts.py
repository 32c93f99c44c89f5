"""Parts of resources that are the same in R4 and R5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from dicomlake.fhir import codes
from dicomlake.fhir.model import (
    Body,
    Component,
    Json,
    Machine,
    Measurement,
    Origin,
    Person,
    Software,
    Summary,
)
from dicomlake.fhir.sites import Site
from dicomlake.fhir.values import DCM, MODALITIES, PARTICIPATION, URI, V2, filled, oid
from dicomlake.terms import Code


def headed(type_: str, id_: str, profiles: Sequence[str] = ()) -> Json:
    """How a resource begins."""
    made: Json = {"resourceType": type_, "id": id_}
    if profiles:
        made["meta"] = {"profile": list(profiles)}
    return made


def to(type_: str, id_: str) -> Json:
    """A reference to a resource of ours."""
    return {"reference": f"{type_}/{id_}"}


def identifier(system: str, value: str, **more: Any) -> Json:
    """An identifier of a system."""
    return {**more, "system": system, "value": value}


def typed(code: str, system: str, display: str) -> Json:
    """The type of an identifier."""
    return {"coding": [{"system": system, "code": code, "display": display}]}


def machine_of(machine: Machine) -> Json:
    """What a Device says of a machine in either release."""
    return {
        "manufacturer": machine.manufacturer,
        "serialNumber": machine.serial,
        "modelNumber": machine.model,
        "version": [{"value": version} for version in machine.versions],
        "owner": {"display": machine.institution} if machine.institution else None,
    }


def versions_of(software: Software) -> list[Json]:
    """Device.version of a program: its own, and that of its model."""
    versions = [{"type": codes.SOFTWARE, "value": software.version}] if software.version else []
    return versions + (
        [{"type": codes.text("model"), "value": software.model}] if software.model else []
    )


_ACCESSION = typed("ACSN", V2, "Accession ID")


def accession_of(accession: tuple[str, str]) -> Json:
    """The identifier that an accession number is."""
    return identifier(*accession, type=_ACCESSION)


def body_identifier(body: Body) -> Json:
    """The identifier of a BodyStructure."""
    return identifier("urn:dicomlake:body-structure", body.key)


@lru_cache(maxsize=256)
def modality(code: str) -> Json:
    """A modality as a Coding."""
    return {"system": DCM, "code": code, "display": MODALITIES[code]}


@lru_cache(maxsize=1024)
def sop_class(value: str) -> Json:
    """A SOP class as a Coding."""
    return {"system": URI, "code": oid(value)}


_PERFORMER = {
    "coding": [{"system": PARTICIPATION, "code": "PRF", "display": "performer"}],
}


def actor(device: str) -> Json:
    """A device that performed a series."""
    return {"function": _PERFORMER, "actor": to("Device", device)}


def operator(name: str) -> Json:
    """A person who performed a series, by name alone."""
    return {"function": _PERFORMER, "actor": {"display": name}}


_MEDICAL_RECORD = typed("MR", V2, "Medical record number")


def patient_of(person: Person, profiles: Sequence[str] = ()) -> Json:
    """A Patient, which both releases write the same way."""
    known = identifier(person.system, person.value, type=_MEDICAL_RECORD)
    return {
        **headed("Patient", person.id, profiles),
        **filled(
            identifier=[known] if person.value else None,
            active=True,
            name=list(person.names),
            gender=person.gender,
            birthDate=person.birth,
        ),
    }


def provenance_of(origin: Origin, profiles: Sequence[str] = (), **more: Any) -> Json:
    """A Provenance."""
    return {
        **headed("Provenance", origin.id, profiles),
        "target": [{"reference": target} for target in origin.targets],
        "recorded": origin.recorded,
        **more,
        "agent": [{"type": _ASSEMBLER, "who": to("Device", origin.device)}],
        "entity": [{"role": "source", "what": to("ImagingStudy", origin.study)}],
    }


_ASSEMBLER = typed(
    "assembler",
    "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    "Assembler",
)


def sided(place: Json, side: Code | None) -> Json:
    """A place in the body with its side in words, where they do not say it already.

    >>> sided({"text": "Kidney"}, Code("7771000", "SCT", "Left"))
    {'text': 'Kidney (Left)'}
    """
    words = place.get("text", "")
    if side is None or side.meaning.lower() in words.lower():
        return place
    return {**place, "text": f"{words} ({side.meaning})".strip()}


def _of_study(made: Measurement, site: Site) -> Json:
    """The study of an Observation; the profiles of MII have partOf for procedures alone."""
    if not made.study:
        return {}
    name = "derivedFrom" if site.profile == "mii" else "partOf"
    return {name: [to("ImagingStudy", made.study)]}


def observed(
    made: Measurement,
    site: Site,
    head: Json,
    place: Json,
    component: Callable[[Component], Json],
) -> Json:
    """An Observation; `place` is what says where in the body."""
    category = codes.VITAL if made.category == "vital-signs" else codes.IMAGING
    if made.category == "findings" or (site.profile == "mii" and made.category != "vital-signs"):
        category = codes.FINDINGS
    return {
        **head,
        "identifier": [identifier(*made.identifier)],
        **_of_study(made, site),
        "status": made.status,
        "category": [category],
        "code": made.code,
        "subject": to("Patient", made.patient),
        **filled(
            effectiveDateTime=made.effective,
            issued=made.issued,
            valueQuantity=made.quantity,
            valueCodeableConcept=made.concept,
            note=[{"text": made.note}] if made.note else None,
            **place,
            method=made.method,
            device=to("Device", made.device) if made.device else None,
            hasMember=[to("Observation", one) for one in made.members],
            component=[component(one) for one in made.components],
        ),
    }


RADIATION = "http://hl7.org/fhir/uv/radiation-dose-summary"
"""Canonical address of the guide Radiation Dose Summary."""
_UID_TYPES = f"{RADIATION}/CodeSystem/dicom-identifier-type"
_OBJECT_UID = typed("sop-instance-uid", _UID_TYPES, "SOP Instance UID")
_STUDY_UID = typed("study-instance-uid", _UID_TYPES, "Study Instance UID")
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_AUTHOR = "authorising"


def summarised(made: Measurement, summary: Summary) -> Json:
    """What the profile of a summary of dose asks for on top of an Observation of R4."""
    study = {
        **to("ImagingStudy", str(made.study)),
        "identifier": identifier("urn:dicom:uid", oid(summary.study), type=_STUDY_UID),
    }
    name = {"text": summary.by} if summary.by else _absent(summary.why)
    return {
        "contained": [{"resourceType": "Practitioner", "id": _AUTHOR, "name": [name]}],
        "identifier": [identifier(*made.identifier, type=_OBJECT_UID)],
        **filled(
            basedOn=[
                {
                    "type": "ServiceRequest",
                    "identifier": {"type": _ACCESSION, "value": summary.accession},
                }
            ]
            if summary.accession
            else None
        ),
        "partOf": [study],
        "focus": [to("ImagingStudy", str(made.study))],
        "performer": [{"reference": f"#{_AUTHOR}", "type": "Practitioner"}],
        "valueString": summary.words,
    }


def _absent(why: str) -> Json:
    return {"extension": [{"url": _ABSENT, "valueCode": why}]}
