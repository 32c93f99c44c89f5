"""Resources of FHIR R4 (4.0.1) as dicts, made of the neutral model."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from dicomlake.fhir import codes, mii
from dicomlake.fhir.model import (
    Body,
    Component,
    Door,
    Instance,
    Json,
    Machine,
    Measurement,
    Origin,
    Person,
    Report,
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
    summarised,
    to,
    versions_of,
)
from dicomlake.fhir.sites import Site
from dicomlake.fhir.values import SCT, coding_of, concept_of, filled, oid

_BODY_SITE = "http://hl7.org/fhir/StructureDefinition/bodySite"


@singledispatch
def resource(thing: Any, site: Site) -> Json:
    """The resource of something of the model."""
    raise TypeError(f"{type(thing).__name__} is no thing of the model")


@resource.register
def _(person: Person, site: Site) -> Json:
    return patient_of(person)


@resource.register
def _(machine: Machine, site: Site) -> Json:
    return {
        **headed("Device", machine.id, mii.profiles(site, "geraet")),
        **filled(
            identifier=[identifier("urn:dicom:uid", oid(machine.uid))] if machine.uid else None,
            udiCarrier=[{"carrierHRF": machine.udi}] if machine.udi else None,
            deviceName=[
                {"name": name, "type": type_}
                for name, type_ in (
                    (machine.model, "model-name"),
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
        **headed("Device", software.id, mii.profiles(site, "geraet")),
        **filled(
            deviceName=[{"name": software.name, "type": "user-friendly-name"}],
            version=versions_of(software),
        ),
    }


@resource.register
def _(door: Door, site: Site) -> Json:
    return {
        **headed("Endpoint", door.id),
        "status": "active",
        "connectionType": codes.WADO,
        "payloadType": [codes.text("DICOM")],
        "payloadMimeType": ["application/dicom"],
        "address": door.address,
    }


@resource.register
def _(study: Study, site: Site) -> Json:
    known = [identifier("urn:dicom:uid", oid(study.uid))]
    if study.accession:
        known.append(accession_of(study.accession))
    return {
        **headed("ImagingStudy", study.id, mii.profiles(site, "bildgebungsstudie")),
        **filled(extension=list(study.more)),
        "identifier": known,
        "status": "available",
        **filled(modality=[modality(m) for m in _modalities(study)]),
        "subject": to("Patient", study.patient),
        **filled(
            started=study.started,
            referrer={"display": study.referrer} if study.referrer else None,
            endpoint=[to("Endpoint", study.door)] if study.door else None,
            numberOfSeries=len(study.series),
            numberOfInstances=study.instances,
            procedureCode=list(study.procedures),
            location={"display": study.department} if study.department else None,
            reasonCode=list(study.reasons),
            description=study.description,
            series=[_series(one) for one in study.series],
        ),
    }


def _modalities(study: Study) -> list[str]:
    return sorted({one.modality for one in study.series})


def _series(series: Series) -> Json:
    return {
        **filled(extension=list(series.more)),
        "uid": series.uid,
        **filled(number=series.number),
        "modality": modality(series.modality),
        **filled(
            description=series.description,
            numberOfInstances=series.instances,
            bodySite=coding_of(series.site) if series.site else None,
            laterality=coding_of(series.side) if series.side else None,
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
        **filled(extension=list(instance.more)),
        "uid": instance.uid,
        "sopClass": sop_class(instance.sop_class),
        **filled(number=instance.number, title=instance.title),
    }


@resource.register
def _(body: Body, site: Site) -> Json:
    part = body.parts[0]
    fits = any(one["system"] == SCT for one in part.structure.get("coding", ()))
    return {
        **headed("BodyStructure", body.id, mii.profiles(site, "koerperstruktur") if fits else ()),
        "identifier": [body_identifier(body)],
        "active": True,
        "location": part.structure,
        **filled(
            locationQualifier=[
                *([concept_of(part.side)] if part.side else ()),
                *([codes.cut(site)] if part.cut and site.profile != "mii" else ()),
            ],
            description=body.text,
        ),
        "patient": to("Patient", body.patient),
    }


@resource.register
def _(made: Measurement, site: Site) -> Json:
    place = sided(made.site, made.side) if made.site is not None else None
    if place is not None and made.body:
        reference = {"url": _BODY_SITE, "valueReference": to("BodyStructure", made.body)}
        place = {"extension": [reference], **place}
    more = mii.observed(made) if site.profile == "mii" else []
    profiles = [*made.profiles, *mii.profiles(site, *mii.kind_of(made))]
    head = {**headed("Observation", made.id, profiles), **filled(extension=more)}
    written = observed(made, site, head, {"bodySite": place}, _component)
    return {**written, **summarised(made, made.summary)} if made.summary else written


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
    return provenance_of(origin)


@resource.register
def _(report: Report, site: Site) -> Json:
    return _document(report) if report.mime != "application/dicom" else _report(report, site)


def _report(report: Report, site: Site) -> Json:
    return {
        **headed("DiagnosticReport", report.id, mii.profiles(site, "radiologischer-befund")),
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
        "imagingStudy": [to("ImagingStudy", report.study)],
        **filled(
            conclusion=report.conclusion,
            presentedForm=[
                {"contentType": report.mime, **filled(url=report.address, title=report.title)}
            ],
        ),
    }


def _document(report: Report) -> Json:
    return {
        **headed("DocumentReference", report.id),
        "masterIdentifier": identifier("urn:dicom:uid", oid(report.uid)),
        "status": "current",
        "type": report.code,
        "subject": to("Patient", report.patient),
        **filled(date=report.issued),
        "content": [
            {
                "attachment": {
                    "contentType": report.mime,
                    **filled(url=report.address, title=report.title),
                },
                "format": sop_class(report.sop_class),
            }
        ],
        "context": {"related": [to("ImagingStudy", report.study)]},
    }
