"""Planted faults: each is found at its place, and what another validator claims is claimed here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.fhir.validation import Problem, check, check_all, definitions
from tests.fhir.conftest import Referee
from tests.fhir.made import (
    DCM,
    DROP,
    LOINC,
    MII,
    OURS,
    SCT,
    UUID,
    coding,
    concept,
    pair,
    quantity,
    r4,
    r5,
    spoilt,
    to,
)

KV = "series[0].extension[0].extension[0].valueQuantity"

# Which resource, where, what is put there, where the problem is said to be ("" for the same place)
# and what it says. The last faults are warnings: valid, but of no use.
R4_FAULTS: list[tuple[str, str, Any, str, str]] = [
    # structure
    ("study", "status", DROP, "", "is missing"),
    ("study", "subject", DROP, "", "is missing"),
    ("study", "colour", "red", "", "is no element"),
    ("study", "series[0].instance[0].frames", 3, "", "is no element"),
    ("study", "series", {}, "", "must be a list"),
    ("study", "series", [], "", "is an empty list"),
    ("study", "series[0]", {}, "", "is empty"),
    ("study", "description", "", "", "is empty"),
    ("study", "description", None, "", "must be a text"),
    ("study", "subject", [to("Patient", "p1")], "", "must be an object"),
    ("study", "resourceType", "ImagingStudies", "", "names no type of resource"),
    ("patient", "name[0].given[1]", None, "", "is null"),
    ("patient", "id", "p" * 65, "", "is no id"),
    ("patient", "id", "p_1", "", "is no id"),
    ("document", "content", DROP, "", "is missing"),
    # primitives
    ("study", "numberOfSeries", -1, "", "is not between"),
    ("study", "numberOfSeries", "1", "", "must be a whole number"),
    ("study", "numberOfSeries", True, "", "must be a whole number"),
    ("study", "started", "2024-03-01T12:00:00", "", "a time zone"),
    ("study", "started", "2024-03-01T12:00+01:00", "", "a time zone"),
    ("study", "started", "2023-02-29", "", "no day of that month"),
    ("study", "series[0].uid", "1.2 3", "", "is no id"),
    ("patient", "birthDate", "28.02.1961", "", "is no date"),
    ("patient", "active", "true", "", "must be true or false"),
    ("origin", "recorded", "2024-03-02", "", "is no instant"),
    ("origin", "recorded", "2024-03-02T08:00:00", "", "is no instant"),
    ("volume", "valueQuantity.value", "1512", "", "must be a number"),
    ("report", "presentedForm[0].data", "T0s", "", "is no base64"),
    ("study", "identifier[0].system", "urn:oid:abc", "", "is no urn"),
    ("volume", "status", " final", "", "is no code"),
    # codes
    ("study", "status", "done", "", "required value set imagingstudy-status"),
    ("volume", "status", "bogus", "", "required value set observation-status"),
    ("patient", "gender", "W", "", "required value set administrative-gender"),
    ("scanner", "deviceName[0].type", "registered-name", "", "value set device-nametype"),
    ("study", "modality[0].code", "CTA", "modality[0]", "required value set cid-33"),
    ("study", "series[0].modality.system", "DCM", "series[0].modality", "value set cid-33"),
    ("study", "series[0].laterality", {"code": "R"}, "", "required value set cid-244"),
    ("study", "series[0].bodySite", {"display": "CHEST"}, "", "required value set snomed"),
    ("endpoint", "payloadMimeType[0]", "DICOM", "", "is no MIME type"),
    ("volume", "valueQuantity.code", "ccm", "", "is no unit of UCUM"),
    ("volume", "valueQuantity.system", DROP, "valueQuantity", "qty-3"),
    # choices, patterns, cardinality of profiles
    ("volume", "valueString", "large", "value[x]", "has more than one value"),
    ("volume", "valueQuantity", DROP, "value", "is missing (structure-volume)"),
    ("volume", "code", concept(SCT, "118565007"), "code.coding", "the profile fixes"),
    ("volume", "valueQuantity.code", "cm", "", "value set volume-units"),
    ("volume", "component[0].valueQuantity.code", "HU", "", "is no unit of UCUM"),
    ("volume", "component[0].valueQuantity", quantity(1, "1"), "component[0].valueQuantity.code",
     "not what the profile fixes"),
    ("volume", "device", DROP, "", "is missing (structure-volume)"),
    ("volume", "identifier[1]", {"system": "urn:x:y", "value": "1"}, "identifier", "more than 1"),
    ("program", "serialNumber", "7", "", "may not be here (program)"),
    ("origin", "entity[0].role", "derivation", "", "not what the profile fixes"),
    ("origin", "target[0]", to("Patient", "p1"), "", "leads to Patient"),
    ("report", "category[0].coding[0].code", "1", "category[0].coding", "lacks sct"),
    ("report", "imagingStudy", DROP, "", "is missing"),
    ("measured", "valueQuantity.unit", DROP, "", "is missing"),
    ("measured", "valueQuantity", DROP, "value", "is missing"),
    ("measured", "valueQuantity.system", "http://units.example", "", "the profile fixes"),
    ("height", "category", DROP, "", "is missing (vitalsigns)"),
    ("height", "valueQuantity.code", "m", "", "value set ucum-bodylength"),
    ("height", "subject", DROP, "", "is missing (vitalsigns)"),
    ("dose", "partOf", DROP, "", "is missing (radiation-dose-summary)"),
    ("dose", "partOf[0].identifier.type.coding[0].code", "x", "partOf[0].identifier.type.coding",
     "lacks what the profile fixes"),
    ("dose", "focus", DROP, "", "is missing (radiation-dose-summary)"),
    ("dose", "valueString", DROP, "value", "is missing (radiation-dose-summary)"),
    ("dose", "performer", DROP, "", "is missing (radiation-dose-summary)"),
    ("dose", "performer[0].type", "Organization", "performer[0]", "leads to Organization"),
    ("dose", "code.coding[0].display", "Dose", "code.coding", "lacks what the profile"),
    # extensions
    ("study", KV, quantity(120, "kV"), f"{KV}.unit", "the profile fixes"),
    ("study", f"{KV}.code", DROP, "", "is missing"),
    ("study", "series[0].extension[0].extension[0].url", "kvp", "", "is no part"),
    ("study", "series[0].extension[0].url", f"{MII}/mii-ex-bildgebung-ct", "", "does not have"),
    ("study", "series[0].extension[0].url", "modality", "", "must be an absolute address"),
    ("study", "series[0].extension[1].extension[0].valueString", "yes",
     "series[0].extension[1].extension[0].value[x]", "has more than one value"),
    ("study", "series[0].extension[1].extension[0]", {"url": "contrastBolus", "valueString": "x"},
     "series[0].extension[1].extension[0].valueString", "not of the type"),
    ("study", "series[0].extension[1].extension",
     [{"url": "contrastBolusDetails", "valueReference": to("MedicationStatement", "1")}],
     "series[0].extension[1]", "lacks the part contrastBolus"),
    ("study", "series[0].extension[1].valueString", "x", "series[0].extension[1]", "ext-1"),
    ("study", "extension", [{"url": f"{MII}/mii-ex-bildgebung-serie-schichtdicke",
     "valueQuantity": quantity(1, "mm", "millimeter")}], "extension[0].url", "may not be"),
    ("volume", "extension[0]", {"url": f"{OURS}/complete", "valueString": "no"},
     "extension[0].valueString", "not of the type"),
    ("volume", "extension[1]", {"url": f"{OURS}/complete", "valueBoolean": True},
     "extension", "has complete more than 1 times"),
    # references
    ("study", "subject.reference", UUID, "", "is no reference"),
    ("study", "subject.reference", "../Patient/p1", "", "is no reference"),
    ("study", "endpoint[0].reference", "C:\\images\\1.dcm", "", "is no reference"),
    ("study", "subject.reference", "Device/d1", "subject", "leads to Device"),
    ("study", "subject.reference", "Patients/p1", "", "names no type"),
    ("study", "subject.reference", "#p1", "", "ref-1"),
    ("study", "subject.reference", f"urn:uuid:{UUID.upper()}", "", "is no reference"),
    ("study", "subject.reference", "Patient?identifier=1", "", "only inside of a transaction"),
    ("study", "subject", {"reference": "Patient/p1", "type": "Device"}, "subject.type",
     "another type"),
    ("study", "subject", {}, "", "is empty"),
    ("study", "series[0].performer[0].actor", to("Practitioner", "1"), "", "leads to Practitioner"),
    ("study", "contained", [{"resourceType": "Patient", "id": "c"}], "contained[0]", "dom-3"),
    ("body", "patient", DROP, "", "is missing"),
    # invariants
    ("volume", "dataAbsentReason", {"text": "x"}, "", "obs-6"),
    ("volume", "component[0].code", concept(SCT, "118565006"), "", "obs-7"),
    ("volume", "referenceRange", [{"age": {"low": quantity(1, "a")}}], "referenceRange[0]",
     "obs-3"),
    ("volume", "effectivePeriod", {"start": "2024-03-02", "end": "2024-03-01"}, "", "per-1"),
    ("patient", "multipleBirthInteger", 1.5, "", "must be a whole number"),
    ("patient", "contact[0]", {"gender": "male"}, "", "pat-1"),
    ("patient", "contact[0].telecom[0].system", DROP, "contact[0].telecom[0]", "cpt-2"),
    ("report", "presentedForm[0].contentType", DROP, "presentedForm[0]", "att-1"),
    ("study", "text", {"status": "generated", "div": "<div>x</div>"}, "text.div", "XHTML"),
    # faults of ours: warnings
    ("study", "reasonCode", [{"coding": [{"code": "99X"}]}], "reasonCode[0].coding[0]",
     "code without a system"),
    ("volume", "component[1]", {"code": concept(LOINC, "1"), "valueQuantity": {"value": 1,
     "unit": "x"}}, "component[1].valueQuantity", "without a code"),
    ("height", "valueQuantity.value", 0, "", "no measurement"),
    ("volume", "valueQuantity.value", 0.0, "", "no measurement"),
    ("study", f"{KV}.value", 0, "", "no measurement"),
    ("study", "series[0].instance[1].uid", "1.2.840.1.1.1", "series[0].instance", "have one uid"),
    ("study", "numberOfSeries", 0, "", "less than the series"),
    ("study", "identifier[0].value", "1.2.840.1", "", "urn:oid:UID"),
    ("study", "series[0].started", "2024-02-01", "", "before the day"),
]  # fmt: skip

R5_FAULTS: list[tuple[str, str, Any, str, str]] = [
    ("study", "modality[0]", coding(DCM, "CT"), "modality[0].system", "is no element"),
    ("study", "series[0].started", DROP, "", "is missing (ImpetusCTIndexerImagingStudy)"),
    ("study", "series[0].modality", concept(DCM, "MR"), "series[0].modality.coding", "fixes"),
    ("study", "series[0].bodySite", coding(SCT, "1"), "series[0].bodySite.system", "no element"),
    ("study", "series[0].bodySite.reference", to("Patient", "p1"),
     "series[0].bodySite.reference.reference", "leads to Patient"),
    ("study", "interpreter", [to("Practitioner", "1")], "", "is no element"),
    ("patient", "name", [{"family": "Berg"}], "", "may not be here"),
    ("body", "location", concept(SCT, "10200004"), "", "is no element"),
    ("body", "patient", DROP, "", "is missing"),
    ("body", "includedStructure[0].structure", concept(SCT, "1"), "", "required value set"),
    ("origin", "recorded", DROP, "", "is missing (ImpetusCTIndexerProvenance)"),
    ("origin", "recorded", "2024-03-02T08:00:00", "", "time zone"),
    ("program", "deviceName", [{"name": "x"}], "", "is no element"),
    ("program", "name[0].type", "model-name", "", "required value set"),
    ("program", "name[1]", {"value": "y", "type": "other", "display": True}, "name", "dev-1"),
    ("volume", "bodySite", concept(SCT, "10200004"), "bodyStructure", "obs-8"),
    ("volume", "subject", {"type": "Patient", "foo": 1}, "subject.foo", "is no element"),
    ("volume", "valueInteger64", 5, "", "is no element"),
    ("endpoint", "connectionType", coding(DCM, "x"), "", "must be a list"),
    ("endpoint", "status", "on", "", "required value set endpoint-status"),
    ("selection", "code", DROP, "", "is missing"),
    ("selection", "status", "final", "", "required value set imagingselection-status"),
    ("selection", "derivedFrom[0]", to("Patient", "p1"), "derivedFrom[0].reference", "leads to"),
]  # fmt: skip


def place(resource: dict[str, Any], path: str) -> str:
    return f"{resource['resourceType']}.{path}"


def said(problems: list[Problem], path: str, text: str) -> bool:
    """Whether a problem is at a place, or right inside of it, and says so."""
    return any(one.path.startswith(path) and text in one.text for one in problems)


def test_the_good_ones_are_good() -> None:
    assert check_all(r4().values(), "R4") == []
    assert check_all(r5().values(), "R5") == []
    assert check_all([pair()], "R4") == []
    assert check_all([pair()], "R5") == []


@pytest.mark.parametrize(("name", "path", "value", "at", "text"), R4_FAULTS)
def test_faults_of_r4_are_found(name: str, path: str, value: Any, at: str, text: str) -> None:
    good = r4()[name]
    problems = check(spoilt(good, path, value), "R4")
    if path == "resourceType":
        good = {"resourceType": value}
    assert said(problems, place(good, at or path), text), problems


@pytest.mark.parametrize(("name", "path", "value", "at", "text"), R5_FAULTS)
def test_faults_of_r5_are_found(name: str, path: str, value: Any, at: str, text: str) -> None:
    good = r5()[name]
    problems = check(spoilt(good, path, value), "R5")
    assert said(problems, place(good, at or path), text), problems


BUNDLE_FAULTS: list[tuple[str, Any, str, str]] = [
    ("entry[0].fullUrl", UUID, "entry[0].fullUrl", "is not absolute"),
    ("entry[0].fullUrl", f"urn:uuid:{UUID.upper()}", "entry[0].fullUrl", "is no urn"),
    ("entry[0].fullUrl", DROP, "entry[1].resource.subject.reference", "no entry has that fullUrl"),
    ("entry[1].fullUrl", f"urn:uuid:{UUID}", "entry[1].fullUrl", "bdl-7"),
    ("entry[0].fullUrl", "https://x.example/Patient/1", "entry[0].fullUrl", "another resource"),
    ("entry[0].request", DROP, "entry[0].request", "bdl-3"),
    ("entry[0].request.url", "Patient/2", "entry[0].request.url", "another id"),
    ("entry[0].request.url", "Device/2", "entry[0].request.url", "another type"),
    ("entry[0].request.url", "Patient", "entry[0].request.url", "PUT goes to"),
    ("entry[0].request.method", "POST", "entry[0].request.url", "POST goes to"),
    ("entry[0].request.method", "SEND", "entry[0].request.method", "required value set"),
    ("entry[0].resource", DROP, "entry[0].resource", "needs a resource"),
    ("entry[0].search", {"mode": "match"}, "entry[0].search", "bdl-2"),
    ("total", 2, "total", "bdl-1"),
    ("type", "collection", "entry[0].request", "bdl-3"),
    ("entry[1].resource.subject.reference", UUID, "entry[1].resource.subject.reference",
     "is no reference"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "at", "text"), BUNDLE_FAULTS)
@pytest.mark.parametrize("release", ["R4", "R5"])
def test_faults_of_bundles_are_found(
    path: str, value: Any, at: str, text: str, release: str
) -> None:
    problems = check(spoilt(pair(), path, value), release)
    assert said(problems, f"Bundle.{at}", text), problems


def test_an_entry_twice_is_found() -> None:
    bundle = pair()
    again = {**bundle["entry"][0], "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000000"}
    bundle["entry"].append(again)
    problems = check_all([bundle], "R4")
    assert said(problems, "Bundle.entry[2].request", "about the same resource")
    assert said(problems, "Patient.id", "another resource has that type and id")


def test_what_is_not_in_the_set_is_found() -> None:
    made = [one for name, one in r4().items() if name != "patient"]
    assert {(p.path, p.text) for p in check_all(made, "R4")} == {
        ("ImagingStudy.subject.reference", "leads to nothing of the set")
    }
    assert check_all(made, "R4", elsewhere=("Patient",)) == []


def test_a_profile_may_be_asked_for() -> None:
    plain = spoilt(r4()["study"], "meta", DROP)
    plain = spoilt(plain, "series[0].modality.code", "CTA")
    profile = f"{MII}/mii-pr-bildgebung-bildgebungsstudie"
    assert check(plain, "R4") == []
    assert said(check(plain, "R4", [profile]), "ImagingStudy.series[0].modality", "cid-33")


def test_texts_of_problems_hold_no_values() -> None:
    secret = "Wintergrün"
    for name, path, _, _, _ in R4_FAULTS:
        if path == "resourceType":
            continue
        wrong = spoilt(r4()[name], path, secret)
        wrong[secret] = secret
        for problem in check(wrong, "R4"):
            assert secret not in str(problem)


# Faults that the npm package fhir finds: its claims, found here, too
def claims(referee: Referee) -> list[tuple[bool, bool]]:
    """Of each fault, whether the referee says so, and whether we do."""
    wrong = [spoilt(r4()[name], path, value) for name, path, value, _, _ in R4_FAULTS]
    told = referee(wrong)
    return [(bool(one), bool(check(bad, "R4"))) for one, bad in zip(told, wrong, strict=True)]


def test_what_is_good_here_is_good_for_the_referee(referee: Referee) -> None:
    good = list(r4().values())
    assert referee(good) == [[] for _ in good]


def test_what_the_referee_finds_is_found_here(referee: Referee) -> None:
    found = claims(referee)
    assert all(ours for _, ours in found)
    assert sum(theirs for theirs, _ in found) >= 20


def _members(value: Any, path: str = "") -> list[str]:
    """Places of all members of a resource."""
    found = []
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            found += [here, *_members(inner, here)]
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += _members(inner, f"{path}[{number}]")
    return found


SPOILERS: list[Callable[[str], tuple[str, Any]]] = [
    lambda path: (path, []),
    lambda path: (path, {}),
    lambda path: (path, ""),
    lambda path: (path, [[]]),
    lambda path: (path, {"of": "nothing"}),
    lambda path: (path, float("inf")),
    lambda path: (f"{path.rpartition('.')[0]}.addedHere".lstrip("."), "x"),
]


@given(st.data())
def test_a_member_of_another_kind_is_found(data: st.DataObject) -> None:
    release, made = data.draw(st.sampled_from([("R4", r4()), ("R5", r5())]))
    good = made[data.draw(st.sampled_from(sorted(made)))]
    path = data.draw(st.sampled_from(_members(good)))
    where, value = data.draw(st.sampled_from(SPOILERS))(path)
    assert any(one.severity == "error" for one in check(spoilt(good, where, value), release))


@given(st.data())
def test_a_member_that_must_be_there_is_missed(data: st.DataObject) -> None:
    release, made = data.draw(st.sampled_from([("R4", r4()), ("R5", r5())]))
    good = made[data.draw(st.sampled_from(sorted(made)))]
    elements = definitions(release).types[good["resourceType"]]
    needed = [name for name, least, *_ in elements if least and name in good]
    if needed:
        name = data.draw(st.sampled_from(needed))
        assert said(check(spoilt(good, name, DROP), release), place(good, name), "is missing")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    ),
    st.sampled_from(["R4", "R5"]),
    st.sampled_from(["Patient", "ImagingStudy", "Observation", "Bundle"]),
)
def test_nothing_that_json_can_say_breaks_the_check(value: Any, release: str, type_: str) -> None:
    assert check(value, release)
    made = {"resourceType": type_, "entry": value, "series": value, "code": value, "meta": value}
    assert check(made, release)
    assert check_all([made], release)


def test_nothing_that_json_can_say_breaks_the_check_inside() -> None:
    for made, release in ((r4(), "R4"), (r5(), "R5")):
        for good in [*made.values(), pair()]:
            for path in _members(good):
                for value in (None, True, 1, 1.5, "x", [], {}, [None], [{}], [[1]], {"a": [None]}):
                    wrong = spoilt(good, path, value)
                    json.dumps(wrong)
                    check_all([wrong], release)
