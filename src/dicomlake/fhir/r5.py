"""Resources of FHIR R5 (5.0.0) as dicts, made of the neutral model."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from dicomlake.fhir import codes, impetus
from dicomlake.fhir.model import (
    Body,
    Component,
    Door,
    Instance,
    Json,
    Machine,
    Measurement,
    Origin,
    Part,
    Person,
    Report,
    Selection,
    Series,
    Software,
    Study,
)
from dicomlake.fhir.parts import (
    accession_of,
    actor,
    body_identifier,
    headed,
    identifier,
    machine_of,
    modality,
    observed,
    operator,
    patient_of,
    provenance_of,
    sided,
    sop_class,
    to,
    typed,
    versions_of,
)
from dicomlake.fhir.sites import Site
from dicomlake.fhir.values import DCM, concept_of, filled, oid

_STUDY_UID = typed("110180", DCM, "Study Instance UID")


@singledispatch
def resource(thing: Any, site: Site) -> Json:
    """The resource of something of the model."""
    raise TypeError(f"{type(thing).__name__} is no thing of the model")


@resource.register
def _(person: Person, site: Site) -> Json:
    return patient_of(person, impetus.profiles(site, "Patient", fits=not person.names))


@resource.register
def _(machine: Machine, site: Site) -> Json:
    known = [identifier("urn:dicom:uid", oid(machine.uid))] if machine.uid else []
    if machine.udi:
        known.append({"type": codes.text("UDI"), "value": machine.udi})
    return {
        **headed("Device", machine.id),
        **filled(
            identifier=known,
            name=[
                {"value": name, "type": type_}
                for name, type_ in (
                    (machine.model, "registered-name"),
                    (machine.station, "user-friendly-name"),
                )
                if name
            ],
            **machine_of(machine),
        ),
    }


@resource.register
def _(software: Software, site: Site) -> Json:
    return {
        **headed("Device", software.id, impetus.profiles(site, "Device")),
        "displayName": software.name,
        "name": [{"value": software.name, "type": "user-friendly-name"}],
        **filled(version=versions_of(software)),
    }


@resource.register
def _(door: Door, site: Site) -> Json:
    return {
        **headed("Endpoint", door.id),
        "status": "active",
        "connectionType": [{"coding": [codes.WADO]}],
        "payload": [{"type": [codes.text("DICOM")], "mimeType": ["application/dicom"]}],
        "address": door.address,
    }


@resource.register
def _(study: Study, site: Site) -> Json:
    known = [identifier("urn:dicom:uid", oid(study.uid), type=_STUDY_UID)]
    based = []
    if study.accession:
        accession = accession_of(study.accession)
        known.append(accession)
        based.append({"type": "ServiceRequest", "identifier": accession})
    fits = impetus.profiles(site, "ImagingStudy", fits=impetus.fits_study(study))
    return {
        **headed("ImagingStudy", study.id, fits),
        "identifier": known,
        "status": "available",
        **filled(modality=[_concept(m) for m in sorted({s.modality for s in study.series})]),
        "subject": to("Patient", study.patient),
        **filled(
            started=study.started,
            basedOn=based,
            referrer={"display": study.referrer} if study.referrer else None,
            endpoint=[to("Endpoint", study.door)] if study.door else None,
            numberOfSeries=len(study.series),
            numberOfInstances=study.instances,
            procedure=[{"concept": one} for one in study.procedures],
            location={"display": study.department} if study.department else None,
            reason=[{"concept": one} for one in study.reasons],
            description=study.description,
            series=[_series(one) for one in study.series],
        ),
    }


def _concept(code: str) -> Json:
    return {"coding": [modality(code)]}


def _series(series: Series) -> Json:
    site: Json | None = {"concept": concept_of(series.site)} if series.site else None
    if series.body:
        site = {**(site or {}), "reference": to("BodyStructure", series.body)}
    return {
        "uid": series.uid,
        **filled(number=series.number),
        "modality": _concept(series.modality),
        **filled(
            description=series.description,
            numberOfInstances=series.instances,
            bodySite=site,
            laterality=concept_of(series.side) if series.side else None,
            started=series.started,
            performer=[
                *([actor(series.device)] if series.device else ()),
                *map(operator, series.operators),
            ],
            instance=[_instance(one) for one in series.objects],
        ),
    }


def _instance(instance: Instance) -> Json:
    return {
        "uid": instance.uid,
        "sopClass": sop_class(instance.sop_class),
        **filled(number=instance.number, title=instance.title),
    }


@resource.register
def _(body: Body, site: Site) -> Json:
    fits = impetus.profiles(site, "BodyStructure", fits=impetus.fits_body(body))
    return {
        **headed("BodyStructure", body.id, fits),
        "identifier": [body_identifier(body)],
        "active": True,
        "includedStructure": [_part(part, site) for part in body.parts],
        **filled(description=body.text),
        "patient": to("Patient", body.patient),
    }


def _part(part: Part, site: Site) -> Json:
    return {
        "structure": part.structure,
        **filled(
            laterality=concept_of(part.side) if part.side else None,
            qualifier=[codes.cut(site)] if part.cut else None,
        ),
    }


@resource.register
def _(made: Measurement, site: Site) -> Json:
    place: Json = {}
    if made.body:  # obs-bodystructure: bodySite or bodyStructure, never both
        place["bodyStructure"] = to("BodyStructure", made.body)
    elif made.site:
        place["bodySite"] = sided(made.site, made.side)
    return observed(made, site, headed("Observation", made.id, made.profiles), place, _component)


def _component(component: Component) -> Json:
    return {
        "code": component.code,
        **filled(
            valueQuantity=component.quantity,
            valueCodeableConcept=component.concept,
            valueBoolean=component.boolean,
            valueInteger=component.whole,
        ),
    }


@resource.register
def _(origin: Origin, site: Site) -> Json:
    bodies = all(target.startswith("BodyStructure/") for target in origin.targets)
    fits = impetus.profiles(site, "Provenance", fits=bodies)
    return provenance_of(origin, fits, patient=to("Patient", origin.patient))


@resource.register
def _(selection: Selection, site: Site) -> Json:
    return {
        **headed("ImagingSelection", selection.id),
        "status": "available",
        "subject": to("Patient", selection.patient),
        "code": codes.SEGMENT,
        "studyUid": selection.study_uid,
        "derivedFrom": [to("ImagingStudy", selection.study)],
        "seriesUid": selection.series_uid,
        **filled(
            frameOfReferenceUid=selection.frame_of_reference,
            bodySite={"concept": selection.site} if selection.site else None,
        ),
        "instance": [
            {
                "uid": selection.uid,
                "sopClass": sop_class(selection.sop_class),
                "subset": [str(selection.number)],
            }
        ],
    }


@resource.register
def _(report: Report, site: Site) -> Json:
    return _document(report) if report.mime != "application/dicom" else _report(report)


def _form(report: Report) -> Json:
    return {"contentType": report.mime, **filled(url=report.address, title=report.title)}


def _report(report: Report) -> Json:
    return {
        **headed("DiagnosticReport", report.id),
        "identifier": [identifier("urn:dicom:uid", oid(report.uid))],
        "status": report.status,
        "category": [codes.REPORT_CATEGORY],
        "code": report.code,
        "subject": to("Patient", report.patient),
        **filled(
            effectiveDateTime=report.effective,
            issued=report.issued,
            result=[to("Observation", one) for one in report.results],
        ),
        "study": [to("ImagingStudy", report.study)],
        **filled(conclusion=report.conclusion),
        "presentedForm": [_form(report)],
    }


def _document(report: Report) -> Json:
    return {
        **headed("DocumentReference", report.id),
        "identifier": [identifier("urn:dicom:uid", oid(report.uid))],
        "status": "current",
        "type": report.code,
        "subject": to("Patient", report.patient),
        **filled(date=report.issued),
        "content": [
            {"attachment": _form(report), "profile": [{"valueCoding": sop_class(report.sop_class)}]}
        ],
    }
