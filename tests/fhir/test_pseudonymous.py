"""Nothing that tells who somebody is gets through, whatever a resource says and wherever."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.fhir.pseudonymous import (
    _CODES,
    _DATES,
    _NUMBERS,
    _UIDS,
    _WITHIN,
    DROPPED,
    Rules,
    identifiers,
    pseudonymous,
)

MARK = "QX_HIDDEN"
ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}


def rules(days: int | None = 10) -> Rules:
    return Rules(
        lambda kind, system, value: f"{kind}-pseudonym",
        "urn:dicomlake:pseudonym:test",
        lambda type_, id_: f"{type_.lower()}-other",
        lambda uid: "2.25.1",
        days,
    )


def changed(resource: dict[str, Any], days: int | None = 10) -> dict[str, Any]:
    found = pseudonymous(resource, rules(days))
    assert found is not None
    return found


PERSON = {
    "resourceType": "Patient", "id": MARK, "active": True, "gender": "female",
    "meta": {"source": MARK, "profile": ["http://hl7.org/fhir/StructureDefinition/Patient"]},
    "text": {"status": "generated", "div": MARK}, "birthDate": "1950-06-07",
    "identifier": [{"system": f"http://{MARK}", "value": MARK, "assigner": {"display": MARK},
                    "use": "usual"}],
    "name": [{"family": MARK, "given": [MARK], "text": MARK}],
    "telecom": [{"system": "phone", "value": MARK}], "address": [{"line": [MARK], "city": MARK}],
    "contact": [{"name": {"text": MARK}}], "photo": [{"data": MARK}],
    "extension": [{"url": "http://hl7.org/fhir/x", "valueString": MARK}],
    "generalPractitioner": [{"reference": f"Practitioner/{MARK}", "display": MARK}],
}  # fmt: skip
STUDY = {
    "resourceType": "ImagingStudy", "id": MARK, "status": "available",
    "identifier": [
        {"system": "urn:dicom:uid", "value": f"urn:oid:1.2.{666}"},
        {"type": ACSN, "system": f"urn:{MARK}", "value": MARK},
    ],
    "subject": {"reference": f"Patient/{MARK}", "display": MARK,
                "identifier": {"system": MARK, "value": MARK}},
    "started": "2024-01-05T10:11:12+01:00", "description": MARK, "note": [{"text": MARK}],
    "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR",
                  "display": MARK, "version": MARK}],
    "procedureCode": [{"text": MARK, "coding": [
        {"system": f"http://{MARK}", "code": MARK, "display": MARK},
        {"system": "http://snomed.info/sct", "code": "816094009", "display": MARK},
        {"system": "http://snomed.info/sct", "code": MARK}]}],
    "referrer": {"display": MARK}, "interpreter": [{"reference": f"Practitioner/{MARK}"}],
    "endpoint": [{"reference": f"Endpoint/{MARK}"}], "location": {"display": MARK},
    "reasonCode": [{"text": MARK}], "numberOfSeries": 1,
    "extension": [
        {"url": f"https://{MARK}", "valueDecimal": 1.0},
        {"url": "https://www.medizininformatik-initiative.de/x", "valueString": MARK},
        {"url": "https://www.medizininformatik-initiative.de/y", "extension": [
            {"url": "KVP", "valueQuantity": {"value": 120.0, "unit": "kV", "code": "kV",
             "system": "http://unitsofmeasure.org"}}, {"url": MARK, "valueString": MARK}]},
    ],
    "series": [{
        "uid": "1.2.666.1", "number": 3, "description": MARK, "started": "2024-01-05",
        "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"},
        "bodySite": {"system": "http://snomed.info/sct", "code": "12738006", "display": MARK},
        "performer": [{"actor": {"reference": f"Device/{MARK}"}}],
        "specimen": [{"display": MARK}],
        "instance": [{"uid": "1.2.666.1.1", "title": MARK, "number": 1, "sopClass": {
            "system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.4"}}],
    }],
}  # fmt: skip
DEVICE = {
    "resourceType": "Device", "id": MARK, "manufacturer": "SIEMENS", "serialNumber": MARK,
    "identifier": [{"system": "urn:serial", "value": MARK}], "modelNumber": "Skyra",
    "deviceName": [{"name": "Skyra", "type": "model-name"},
                   {"name": MARK, "type": "user-friendly-name"}],
    "version": [{"value": "syngo 1"}], "owner": {"display": MARK}, "note": [{"text": MARK}],
    "udiCarrier": [{"deviceIdentifier": MARK, "carrierHRF": MARK}], "url": f"http://{MARK}",
    "location": {"display": MARK}, "lotNumber": MARK, "distinctIdentifier": MARK,
}  # fmt: skip
OBSERVATION = {
    "resourceType": "Observation", "id": MARK, "status": "final",
    "code": {"text": MARK, "coding": [{"system": f"http://{MARK}", "code": MARK}]},
    "subject": {"reference": f"Patient/{MARK}"}, "effectiveDateTime": "2024-02-29",
    "issued": "2024-03-01T00:00:00Z", "valueString": MARK, "note": [{"text": MARK}],
    "component": [{"code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
                   "valueQuantity": {"value": 1.5, "unit": MARK, "code": "m",
                                     "system": "http://unitsofmeasure.org"}},
                  {"code": {"text": MARK}, "valueString": MARK}],
    "performer": [{"display": MARK}], "bodySite": {"text": MARK},
    "contained": [{"resourceType": "Patient", "name": [{"text": MARK}]}],
}  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"resourceType": "BodyStructure", "id": MARK, "description": MARK, "image": [{"data": MARK}],
     "patient": {"reference": f"Patient/{MARK}"}, "morphology": {"text": MARK},
     "includedStructure": [{"structure": {"coding": [
         {"system": "http://snomed.info/sct", "code": "64033007", "display": MARK}]},
         "laterality": {"text": MARK}}],
     "location": {"text": MARK, "coding": [{"system": MARK, "code": MARK}]}},
    {"resourceType": "Provenance", "id": MARK, "recorded": "2024-01-05T10:11:12.123Z",
     "target": [{"reference": f"ImagingStudy/{MARK}", "display": MARK}], "policy": [MARK],
     "agent": [{"who": {"reference": f"Device/{MARK}", "display": MARK}}],
     "entity": [{"role": "source", "what": {"identifier": {"system": "urn:dicom:uid",
                                                            "value": "urn:oid:1.2.666.1"}}}],
     "signature": [{"data": MARK}], "reason": [{"text": MARK}]},
    {"resourceType": "DiagnosticReport", "id": MARK, "status": "final", "conclusion": MARK,
     "code": {"text": MARK}, "presentedForm": [{"data": MARK, "title": MARK, "url": MARK}],
     "result": [{"reference": f"Observation/{MARK}"}], "issued": "2024-03-01T00:00:00Z"},
    {"resourceType": "ImagingSelection", "id": MARK, "status": "available", "studyUid": "1.2.666",
     "seriesUid": "1.2.666.1", "code": {"text": MARK}, "instance": [{"uid": "1.2.666.1.1",
     "imageRegion2D": [{"regionType": "polyline", "coordinate": [1.5, 2.5]}]}]},
]  # fmt: skip
KEPT = [PERSON, STUDY, DEVICE, OBSERVATION, *OTHERS]


@pytest.mark.parametrize("days", [10, None])
@pytest.mark.parametrize("resource", KEPT, ids=lambda one: one["resourceType"])
def test_no_mark_gets_through(resource: dict[str, Any], days: int | None) -> None:
    text = orjson.dumps(changed(resource, days)).decode()
    assert MARK not in text
    assert "1.2.666" not in text
    for day in ("2024-01-05", "2024-02-29", "2024-03-01", "1950-06-07"):
        assert day not in text


@pytest.mark.parametrize("type_", sorted(DROPPED))
def test_some_types_do_not_leave_at_all(type_: str) -> None:
    resource = {"resourceType": type_, "id": MARK, "status": "active", "address": MARK}
    assert pseudonymous(resource, rules()) is None


def test_what_research_needs_stays() -> None:
    person = changed(PERSON)
    assert person == {
        "resourceType": "Patient", "id": "patient-other", "active": True, "gender": "female",
        "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/Patient"]},
        "identifier": [{"use": "usual", "system": "urn:dicomlake:pseudonym:test:patient",
                        "value": "patient-pseudonym"}],
        "birthDate": "1950",
    }  # fmt: skip
    study = changed(STUDY)
    assert study["identifier"][0] == {"system": "urn:dicom:uid", "value": "urn:oid:2.25.1"}
    assert study["identifier"][1]["type"] == ACSN
    assert study["identifier"][1]["value"] == "accession-pseudonym"
    assert study["subject"]["reference"] == "Patient/patient-other"
    assert study["started"] == "2023-12-26T10:11:12+01:00"
    assert study["procedureCode"] == [
        {"coding": [{"system": "http://snomed.info/sct", "code": "816094009"}]}
    ]
    (more,) = study["extension"]
    assert "valueString" not in str(more)
    (series,) = study["series"]
    assert series["performer"] == [{"actor": {"reference": "Device/device-other"}}]
    assert series["instance"][0]["sopClass"]["code"] == "urn:oid:1.2.840.10008.5.1.4.1.1.4"
    assert (series["number"], series["uid"], series["started"]) == (3, "2.25.1", "2023-12-26")
    device = changed(DEVICE)
    assert device["deviceName"] == [{"name": "Skyra", "type": "model-name"}]
    assert (device["manufacturer"], device["version"]) == ("SIEMENS", [{"value": "syngo 1"}])
    seen = changed(OBSERVATION)
    assert seen["code"]["extension"][0]["valueCode"] == "masked"
    assert seen["component"][0]["valueQuantity"]["value"] == 1.5


def test_years_alone_stay_where_the_settings_say_so() -> None:
    assert changed(STUDY, None)["started"] == "2024-01-01T00:00:00Z"
    assert changed(STUDY, None)["series"][0]["started"] == "2024"
    assert changed(OBSERVATION, None)["issued"] == "2024-01-01T00:00:00Z"
    assert changed(PERSON, None)["birthDate"] == "1950"


def test_all_dates_of_a_patient_move_alike() -> None:
    for text, moved in (
        ("2024-03-05", "2024-02-24"), ("2024-03", "2024-03"), ("2024", "2024"),
        ("2024-03-05T23:59:59.999-05:00", "2024-02-24T23:59:59.999-05:00"),
    ):  # fmt: skip
        assert changed({"resourceType": "ImagingStudy", "started": text})["started"] == moved


def test_identifiers_are_found_where_they_are_changed() -> None:
    found = set(identifiers(STUDY)) | set(identifiers(PERSON))
    assert found == {
        ("accession", f"urn:{MARK}", MARK), ("patient", MARK, MARK),
        ("patient", f"http://{MARK}", MARK),
    }  # fmt: skip


NAMES = sorted(
    _CODES | _DATES | _NUMBERS | _UIDS | _WITHIN
    | {"identifier", "system", "url", "profile", "name", "display", "text", "reference", "data"}
)  # fmt: skip
SYSTEMS = ["http://snomed.info/sct", "urn:dicom:uid", "http://terminology.hl7.org/x", MARK]
VALUES = st.recursive(
    st.sampled_from([MARK, f"urn:oid:{MARK}", f"Patient/{MARK}", f"2024-{MARK}", *SYSTEMS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(NAMES), inner, max_size=5
    ),
    max_leaves=25,
)  # fmt: skip


@given(
    st.sampled_from([one["resourceType"] for one in KEPT if one["resourceType"] != "Device"]),
    st.dictionaries(st.sampled_from([n for n in NAMES if n != "resourceType"]), VALUES),
)
def test_nothing_gets_through_wherever_it_stands(type_: str, said: dict[str, Any]) -> None:
    found = pseudonymous({**said, "resourceType": type_, "id": MARK}, rules())
    assert found is not None
    found.pop("code", None) if said.get("code") in SYSTEMS else None
    assert MARK not in orjson.dumps(found).decode()
