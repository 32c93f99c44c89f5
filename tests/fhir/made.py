"""Resources of R4 and R5 that are valid, and ways to spoil them."""

from __future__ import annotations

import copy
import re
from typing import Any

Json = dict[str, Any]

DCM = "http://dicom.nema.org/resources/ontology/DCM"
SCT = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
MII = "https://www.medizininformatik-initiative.de/fhir/ext/modul-bildgebung/StructureDefinition"
OURS = "https://dicomlake.example/fhir/StructureDefinition"
RDS = "http://hl7.org/fhir/uv/radiation-dose-summary"
INDEXER = "https://ct-indexer.medic.uksh.de/fhir/StructureDefinition/ImpetusCTIndexer"
UUID = "0f3f0d52-7f3c-5c7a-9b2e-2f7b7c0a1d11"
DROP = object()
"""As a value: the member is taken away."""


def coding(system: str, code: str) -> Json:
    return {"system": system, "code": code}


def concept(system: str, code: str, display: str = "") -> Json:
    more = {"display": display} if display else {}
    return {"coding": [{**coding(system, code), **more}]}


def uid_type(code: str, display: str) -> Json:
    return {**coding(f"{RDS}/CodeSystem/dicom-identifier-type", code), "display": display}


def quantity(value: float, code: str, unit: str = "") -> Json:
    return {"value": value, "unit": unit or code, "system": UCUM, "code": code}


def to(type_: str, id_: str) -> Json:
    return {"reference": f"{type_}/{id_}"}


def r4() -> dict[str, Json]:
    """A set of resources of R4 that refer to one another, by a short name."""
    series: Json = {
        "extension": [
            {
                "url": f"{MII}/mii-ex-bildgebung-modalitaet-ct",
                "extension": [
                    {"url": "KVP", "valueQuantity": quantity(120, "kV", "kilovolt")},
                    {"url": "convolutionalKernel", "valueString": "B30f"},
                ],
            },
            {
                "url": f"{MII}/mii-ex-bildgebung-kontrastmittel",
                "extension": [{"url": "contrastBolus", "valueBoolean": True}],
            },
        ],
        "uid": "1.2.840.1.1",
        "number": 1,
        "modality": coding(DCM, "CT"),
        "numberOfInstances": 2,
        "bodySite": coding(SCT, "816094009"),
        "laterality": coding(SCT, "51440002"),
        "started": "2024-03-01T12:00:00+01:00",
        "performer": [{"actor": to("Device", "d1")}],
        "instance": [
            {
                "uid": f"1.2.840.1.1.{number}",
                "sopClass": coding("urn:ietf:rfc:3986", "urn:oid:1.2.840.10008.5.1.4.1.1.2"),
                "number": number,
            }
            for number in (1, 2)
        ],
    }
    study: Json = {
        "resourceType": "ImagingStudy",
        "id": "s1",
        "meta": {"profile": [f"{MII}/mii-pr-bildgebung-bildgebungsstudie"]},
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.1"}],
        "status": "available",
        "modality": [coding(DCM, "CT")],
        "subject": to("Patient", "p1"),
        "started": "2024-03-01T11:58:00+01:00",
        "endpoint": [to("Endpoint", "e1")],
        "numberOfSeries": 1,
        "numberOfInstances": 2,
        "series": [series],
    }
    volume: Json = {
        "resourceType": "Observation",
        "id": "v1",
        "meta": {"profile": [f"{OURS}/structure-volume"]},
        "extension": [{"url": f"{OURS}/complete", "valueBoolean": False}],
        "identifier": [{"system": "urn:dicomlake:measurement", "value": "1.2|liver"}],
        "partOf": [to("ImagingStudy", "s1")],
        "status": "final",
        "code": concept(SCT, "118565006"),
        "subject": to("Patient", "p1"),
        "effectiveDateTime": "2024-03-01",
        "valueQuantity": quantity(1512.25, "mL"),
        "bodySite": {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/bodySite",
                    "valueReference": to("BodyStructure", "b1"),
                }
            ],
            **concept(SCT, "10200004"),
        },
        "device": to("Device", "d2"),
        "component": [
            {"code": concept(DCM, "112031"), "valueQuantity": quantity(55.5, "[hnsf'U]")}
        ],
    }
    return {
        "patient": {
            "resourceType": "Patient",
            "id": "p1",
            "identifier": [{"system": "https://kh.example/pid", "value": "17"}],
            "active": True,
            "name": [{"family": "Berg", "given": ["Ada", "Maria"]}],
            "gender": "female",
            "birthDate": "1961-02-28",
            "contact": [{"telecom": [{"system": "phone", "value": "1"}]}],
        },
        "study": study,
        "volume": volume,
        "scanner": {
            "resourceType": "Device",
            "id": "d1",
            "meta": {"profile": [f"{MII}/mii-pr-bildgebung-geraet"]},
            "manufacturer": "Acme",
            "deviceName": [{"name": "Scan 1", "type": "model-name"}],
        },
        "program": {
            "resourceType": "Device",
            "id": "d2",
            "meta": {"profile": [f"{OURS}/program"]},
            "deviceName": [{"name": "segmenter", "type": "user-friendly-name"}],
            "version": [{"value": "2.4"}],
        },
        "endpoint": {
            "resourceType": "Endpoint",
            "id": "e1",
            "status": "active",
            "connectionType": coding(
                "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "dicom-wado-rs"
            ),
            "payloadType": [{"text": "DICOM"}],
            "payloadMimeType": ["application/dicom"],
            "address": "https://pacs.example/rs",
        },
        "body": {
            "resourceType": "BodyStructure",
            "id": "b1",
            "meta": {
                "profile": [f"{OURS}/found-structure", f"{MII}/mii-pr-bildgebung-koerperstruktur"]
            },
            "identifier": [{"system": "urn:dicomlake:body-structure", "value": "1.2|liver"}],
            "location": concept(SCT, "10200004"),
            "patient": to("Patient", "p1"),
        },
        "origin": {
            "resourceType": "Provenance",
            "id": "r1",
            "meta": {"profile": [f"{OURS}/program-run"]},
            "target": [to("BodyStructure", "b1"), to("Observation", "v1")],
            "recorded": "2024-03-02T08:00:00.123Z",
            "agent": [{"type": {"text": "Assembler"}, "who": to("Device", "d2")}],
            "entity": [{"role": "source", "what": to("ImagingStudy", "s1")}],
        },
        "report": {
            "resourceType": "DiagnosticReport",
            "id": "g1",
            "meta": {"profile": [f"{MII}/mii-pr-bildgebung-radiologischer-befund"]},
            "status": "final",
            "category": [concept(SCT, "4201000179104")],
            "code": concept(LOINC, "18748-4"),
            "subject": to("Patient", "p1"),
            "issued": "2024-03-01T13:00:00.000+01:00",
            "result": [to("Observation", "m1")],
            "imagingStudy": [to("ImagingStudy", "s1")],
            "presentedForm": [{"contentType": "text/plain", "data": "T0s="}],
        },
        "measured": {
            "resourceType": "Observation",
            "id": "m1",
            "meta": {"profile": [f"{MII}/mii-pr-bildgebung-radiologische-messung"]},
            "status": "final",
            "category": [
                {"coding": [coding(LOINC, "18782-3"), coding(SCT, "122869004")]},
            ],
            "code": concept(DCM, "112039"),
            "subject": to("Patient", "p1"),
            "valueQuantity": quantity(12, "mm"),
            "method": concept(SCT, "370129005"),
        },
        "height": {
            "resourceType": "Observation",
            "id": "h1",
            "status": "final",
            "category": [
                concept("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")
            ],
            "code": concept(LOINC, "8302-2"),
            "subject": to("Patient", "p1"),
            "effectiveDateTime": "2024-03-01",
            "valueQuantity": quantity(171, "cm"),
        },
        "dose": {
            "resourceType": "Observation",
            "id": "x1",
            "meta": {"profile": [f"{RDS}/StructureDefinition/radiation-dose-summary"]},
            "identifier": [
                {
                    "type": {"coding": [uid_type("sop-instance-uid", "SOP Instance UID")]},
                    "system": "urn:dicom:uid",
                    "value": "urn:oid:1.2.840.7",
                }
            ],
            "partOf": [
                {
                    **to("ImagingStudy", "s1"),
                    "identifier": {
                        "type": {"coding": [uid_type("study-instance-uid", "Study Instance UID")]},
                        "system": "urn:dicom:uid",
                        "value": "urn:oid:1.2.840.1",
                    },
                }
            ],
            "status": "final",
            "code": concept(
                LOINC,
                "73569-6",
                "Radiation exposure and protection information [Description] "
                "Document Diagnostic imaging",
            ),
            "subject": to("Patient", "p1"),
            "focus": [to("ImagingStudy", "s1")],
            "effectiveDateTime": "2024-03-01T12:00:00+01:00",
            "performer": [{"type": "Practitioner", "display": "Dr. Kern"}],
            "valueString": "CT Dose Length Product Total 512.5 mGy.cm",
            "device": to("Device", "d1"),
            "component": [
                {"code": concept(DCM, "113813"), "valueQuantity": quantity(512.5, "mGy.cm")},
            ],
        },
        "document": {
            "resourceType": "DocumentReference",
            "id": "o1",
            "masterIdentifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
            "status": "current",
            "subject": to("Patient", "p1"),
            "content": [
                {
                    "attachment": {
                        "contentType": "application/pdf",
                        "url": "https://pacs.example/rs/1.2.3",
                    }
                }
            ],
            "context": {"related": [to("ImagingStudy", "s1")]},
        },
    }


def r5() -> dict[str, Json]:
    """A set of resources of R5 that refer to one another, by a short name."""
    return {
        "patient": {
            "resourceType": "Patient",
            "id": "p1",
            "meta": {"profile": [f"{INDEXER}Patient"]},
            "active": True,
        },
        "study": {
            "resourceType": "ImagingStudy",
            "id": "s1",
            "meta": {"profile": [f"{INDEXER}ImagingStudy"]},
            "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.1"}],
            "status": "available",
            "modality": [concept(DCM, "CT")],
            "subject": to("Patient", "p1"),
            "series": [
                {
                    "uid": "1.2.840.1.1",
                    "modality": concept(DCM, "CT"),
                    "bodySite": {"reference": to("BodyStructure", "b1")},
                    "started": "2024-03-01T12:00:00+01:00",
                }
            ],
        },
        "body": {
            "resourceType": "BodyStructure",
            "id": "b1",
            "meta": {"profile": [f"{INDEXER}BodyStructure"]},
            "includedStructure": [
                {
                    "structure": concept(SCT, "10200004"),
                    "laterality": concept(SCT, "24028007"),
                }
            ],
            "patient": to("Patient", "p1"),
        },
        "program": {
            "resourceType": "Device",
            "id": "d2",
            "meta": {"profile": [f"{INDEXER}Device"]},
            "displayName": "segmenter",
            "name": [{"value": "segmenter", "type": "user-friendly-name", "display": True}],
            "version": [{"value": "2.4"}],
        },
        "origin": {
            "resourceType": "Provenance",
            "id": "r1",
            "meta": {"profile": [f"{INDEXER}Provenance"]},
            "target": [to("BodyStructure", "b1")],
            "recorded": "2024-03-02T08:00:00Z",
            "patient": to("Patient", "p1"),
            "agent": [{"who": to("Device", "d2")}],
            "entity": [{"role": "source", "what": to("ImagingStudy", "s1")}],
        },
        "volume": {
            "resourceType": "Observation",
            "id": "v1",
            "status": "final",
            "code": concept(SCT, "118565006"),
            "subject": to("Patient", "p1"),
            "valueQuantity": quantity(1512.25, "mL"),
            "bodyStructure": to("BodyStructure", "b1"),
        },
        "endpoint": {
            "resourceType": "Endpoint",
            "id": "e1",
            "status": "active",
            "connectionType": [
                concept(
                    "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                    "dicom-wado-rs",
                )
            ],
            "payload": [{"type": [{"text": "DICOM"}], "mimeType": ["application/dicom"]}],
            "address": "https://pacs.example/rs",
        },
        "selection": {
            "resourceType": "ImagingSelection",
            "id": "i1",
            "status": "available",
            "code": concept(DCM, "113000"),
            "subject": to("Patient", "p1"),
            "studyUid": "1.2.840.1",
            "derivedFrom": [to("ImagingStudy", "s1")],
        },
    }


def transaction(*resources: Json) -> Json:
    """A bundle that puts resources, with ids that are UUIDs."""
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"urn:uuid:{one['id']}",
                "resource": one,
                "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"},
            }
            for one in resources
        ],
    }


def pair() -> Json:
    """A transaction of a patient and a study of theirs."""
    patient = {"resourceType": "Patient", "id": UUID, "active": True}
    study = {
        "resourceType": "ImagingStudy",
        "id": UUID.replace("0f", "1f", 1),
        "status": "available",
        "subject": {"reference": f"urn:uuid:{UUID}"},
    }
    return transaction(patient, study)


def spoilt(resource: Json, path: str, value: Any) -> Json:
    """A copy with another value at a place such as `series[0].uid`; DROP takes it away.

    >>> spoilt({"a": [{"b": 1}]}, "a[0].b", 2)
    {'a': [{'b': 2}]}
    """
    made = copy.deepcopy(resource)
    found = re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)
    steps: list[Any] = [int(number) if number else name for name, number in found]
    inner: Any = made
    for step in steps[:-1]:
        if isinstance(inner, dict) and step not in inner:
            inner[step] = {}
        inner = inner[step]
    if value is DROP:
        del inner[steps[-1]]
    elif isinstance(inner, list) and steps[-1] == len(inner):
        inner.append(value)
    else:
        inner[steps[-1]] = value
    return made
