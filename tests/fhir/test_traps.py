"""Mistakes that other converters make, each seen not to be made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from dicomlake.fhir import Release
from tests.fhir.lakes import BASE, SERIES, STUDY, lake_of, made, one, structures, study

DCM = "http://dicom.nema.org/resources/ontology/DCM"
BOTH: list[Release] = ["R4", "R5"]


def walk(value: Any) -> list[dict[str, Any]]:
    """Every object in a value."""
    if isinstance(value, list):
        return [found for inner in value for found in walk(inner)]
    if isinstance(value, dict):
        return [value, *(found for inner in value.values() for found in walk(inner))]
    return []


@pytest.mark.parametrize("release", BOTH)
def test_names_are_human_names(tmp_path: Path, release: Release) -> None:
    store = lake_of(tmp_path, {"PatientName": "Müller^Anna Maria^L.^Dr.^PhD",
                               "SpecificCharacterSet": "ISO_IR 192"})  # fmt: skip
    person = one(made(store, release, names=True), "Patient")
    assert person["name"] == [
        {"family": "Müller", "given": ["Anna Maria", "L."], "prefix": ["Dr."], "suffix": ["PhD"]}
    ]
    assert person["birthDate"] == "1960-01-02"
    without = one(made(store, release), "Patient")
    assert "name" not in without
    assert "birthDate" not in without


@pytest.mark.parametrize("release", BOTH)
def test_no_zero_and_no_implausible_measure(tmp_path: Path, release: Release) -> None:
    store = lake_of(tmp_path, {"PatientWeight": 0, "PatientSize": 17.8})
    assert [m for m in made(store, release) if m.type == "Observation"] == []


@pytest.mark.parametrize("release", BOTH)
def test_height_and_weight_once_per_study(tmp_path: Path, release: Release) -> None:
    said = {"PatientWeight": 70.5, "PatientSize": 1.78}
    store = lake_of(tmp_path, said, {**said, "SeriesInstanceUID": f"{SERIES}.2"})
    found = [m.resource for m in made(store, release) if m.type == "Observation"]
    values = {m["code"]["coding"][0]["code"]: m["valueQuantity"] for m in found}
    assert len(found) == 2
    assert (values["8302-2"]["value"], values["8302-2"]["code"]) == (178, "cm")
    assert (values["29463-7"]["value"], values["29463-7"]["code"]) == (70.5, "kg")


@pytest.mark.parametrize("release", BOTH)
def test_every_series_has_its_own_device(tmp_path: Path, release: Release) -> None:
    store = lake_of(
        tmp_path,
        {"DeviceSerialNumber": "1", "StationName": "CT1"},
        {"SeriesInstanceUID": f"{SERIES}.2", "DeviceSerialNumber": "2", "StationName": "CT2"},
        {"SeriesInstanceUID": f"{SERIES}.3", "DeviceSerialNumber": "1", "StationName": "CT1"},
    )
    found = made(store, release)
    serials = {m.id: m.resource["serialNumber"] for m in found if m.type == "Device"}
    actors = [
        serials[s["performer"][0]["actor"]["reference"].partition("/")[2]]
        for s in one(found, "ImagingStudy")["series"]
    ]
    assert sorted(serials.values()) == ["1", "2"]
    assert sorted(actors) == ["1", "1", "2"]


def test_devices_without_a_serial_number_keep_their_id(tmp_path: Path) -> None:
    first = made(lake_of(tmp_path / "a", {"StationName": "CT1"}))
    again = made(lake_of(tmp_path / "b", {"StationName": "CT1"}, {}))
    ids = [[m.id for m in found if m.type == "Device"] for found in (first, again)]
    assert ids[0][0] in ids[1]


@pytest.mark.parametrize("release", BOTH)
def test_quantities_have_codes_and_codes_systems(tmp_path: Path, release: Release) -> None:
    store = structures(lake_of(tmp_path, {"PatientWeight": 70}))
    profile = "mii" if release == "R4" else "none"
    found = made(store, release, profile=profile, instances=True)
    things = [thing for m in found for thing in walk(m.resource)]
    quantities = [t for t in things if "unit" in t]
    assert len(quantities) > 3
    assert all(t["system"] == "http://unitsofmeasure.org" and t["code"] for t in quantities)
    codings = [t for t in things if "display" in t and "code" in t]
    assert codings
    assert all(t["system"].startswith(("http", "urn:")) for t in codings)


def test_pixel_spacing_is_rows_then_columns(tmp_path: Path) -> None:
    store = lake_of(tmp_path, {"PixelSpacing": [0.5, 0.25]})
    (instance,) = study(store, profile="mii", instances=True)["series"][0]["instance"]
    parts = {p["url"]: p for p in instance["extension"][0]["extension"]}
    assert parts["pixelSpacingX"]["valueQuantity"]["value"] == 0.25
    assert parts["pixelSpacingY"]["valueQuantity"]["value"] == 0.5
    assert parts["pixelSpacingX"]["valueQuantity"]["code"] == "mm"


def test_instance_details_do_not_need_burned_in_annotation(tmp_path: Path) -> None:
    for said, there in (({}, False), ({"BurnedInAnnotation": "NO"}, True)):
        store = lake_of(tmp_path / str(there), said)
        (instance,) = study(store, profile="mii", instances=True)["series"][0]["instance"]
        urls = [p["url"] for p in instance["extension"][0]["extension"]]
        assert ("burnedInAnnotation" in urls) is there
        assert urls.count("imageType") == 3


def test_image_type_has_one_set_of_codes_per_position(tmp_path: Path) -> None:
    store = lake_of(tmp_path, {"ImageType": ["DERIVED", "PRIMARY", "MPR", "AXIAL"]})
    (instance,) = study(store, profile="mii", instances=True)["series"][0]["instance"]
    found = [p["valueCodeableConcept"]["coding"][0]["code"]
             for p in instance["extension"][0]["extension"] if p["url"] == "imageType"]  # fmt: skip
    assert found == ["DERIVED", "PRIMARY"]  # MPR is a value of MR, AXIAL stands in another place


@pytest.mark.parametrize("release", BOTH)
def test_sides_are_coded_and_only_of_what_has_two(tmp_path: Path, release: Release) -> None:
    knee = lake_of(tmp_path / "knee", {"BodyPartExamined": "KNEE", "Laterality": "L"})
    chest = lake_of(tmp_path / "chest", {"BodyPartExamined": "CHEST", "Laterality": "L"})
    said = study(knee, release)["series"][0]
    coding = said["laterality"] if release == "R4" else said["laterality"]["coding"][0]
    assert (coding["system"], coding["code"]) == ("http://snomed.info/sct", "7771000")
    assert "laterality" not in study(chest, release)["series"][0]
    assert "bodySite" in study(chest, release)["series"][0]


@pytest.mark.parametrize("release", BOTH)
def test_unmapped_body_parts_are_no_codes(tmp_path: Path, release: Release) -> None:
    store = lake_of(tmp_path, {"BodyPartExamined": "XQZZY"})
    assert "bodySite" not in study(store, release)["series"][0]


@pytest.mark.parametrize("release", BOTH)
def test_times_keep_fractions_and_offsets(tmp_path: Path, release: Release) -> None:
    told = {"StudyTime": "101530.250", "SeriesDate": "20210304", "SeriesTime": "1016"}
    sent = lake_of(tmp_path / "sent", {**told, "TimezoneOffsetFromUTC": "-0330"})
    assert study(sent, release)["started"] == "2021-03-04T10:15:30.250-03:30"
    zoned = lake_of(tmp_path / "zoned", told)
    assert study(zoned, release)["started"] == "2021-03-04T10:15:30.250+01:00"
    assert study(zoned, release)["series"][0]["started"] == "2021-03-04T10:16:00+01:00"
    assert study(zoned, release, zone="")["started"] == "2021-03-04"


@pytest.mark.parametrize("release", BOTH)
def test_started_needs_no_time_and_no_date_is_no_mistake(tmp_path: Path, release: Release) -> None:
    day = lake_of(tmp_path / "day", {"StudyTime": ""})
    assert study(day, release)["started"] == "2021-03-04"
    never = lake_of(tmp_path / "never", {"StudyDate": "", "StudyTime": "101500"})
    assert "started" not in study(never, release)


@pytest.mark.parametrize("release", BOTH)
def test_series_do_not_begin_before_their_study(tmp_path: Path, release: Release) -> None:
    store = lake_of(tmp_path, {"SeriesDate": "20190101", "SeriesTime": "101500"})
    assert "started" not in study(store, release)["series"][0]


@pytest.mark.parametrize("release", BOTH)
def test_studies_are_known_by_uid_and_accession(tmp_path: Path, release: Release) -> None:
    found = study(lake_of(tmp_path), release)
    known = {i["system"]: i["value"] for i in found["identifier"]}
    assert known == {"urn:dicom:uid": f"urn:oid:{STUDY}", "urn:dicomlake:accession-number": "A1"}
    assert found["identifier"][1]["type"]["coding"][0]["code"] == "ACSN"
    if release == "R5":
        assert found["basedOn"][0]["identifier"]["value"] == "A1"
        assert found["identifier"][0]["type"]["coding"][0]["code"] == "110180"


@pytest.mark.parametrize("release", BOTH)
def test_studies_without_accession_or_numbers_are_made(tmp_path: Path, release: Release) -> None:
    store = lake_of(tmp_path, {"AccessionNumber": "", "InstanceNumber": "", "SeriesNumber": ""})
    found = study(store, release, instances=True)
    assert len(found["identifier"]) == 1
    assert "number" not in found["series"][0]
    assert found["series"][0]["instance"][0]["sopClass"]["system"] == "urn:ietf:rfc:3986"


def test_a_reason_is_a_text_or_a_code(tmp_path: Path) -> None:
    store = lake_of(tmp_path, {"RequestAttributesSequence": [
        {"ReasonForTheRequestedProcedure": "Persistent cough"}]})  # fmt: skip
    assert study(store)["reasonCode"] == [{"text": "Persistent cough"}]
    assert study(store, "R5")["reason"] == [{"concept": {"text": "Persistent cough"}}]
    (said,) = study(store, profile="mii")["extension"]
    assert said["valueString"] == "Persistent cough"


def test_designators_are_no_systems(tmp_path: Path) -> None:
    store = lake_of(tmp_path, {"ProcedureCodeSequence": [
        {"CodeValue": "X1", "CodingSchemeDesignator": "99ACME", "CodeMeaning": "Ours"},
        {"CodeValue": "77477000", "CodingSchemeDesignator": "SCT", "CodeMeaning": "CT"},
    ]})  # fmt: skip
    ours, public = study(store)["procedureCode"]
    assert ours == {"text": "Ours"}
    assert public["coding"][0]["system"] == "http://snomed.info/sct"


def test_doses_of_pt_are_becquerels_and_those_of_nm_are_mega(tmp_path: Path) -> None:
    for modality, sent, unit in (("PT", 290e6, "Bq"), ("NM", 700, "MBq")):
        store = lake_of(tmp_path / modality, {
            "Modality": modality,
            "RadiopharmaceuticalInformationSequence": [
                {"Radiopharmaceutical": "FDG", "RadionuclideTotalDose": sent}],
        })  # fmt: skip
        parts = study(store, profile="mii")["series"][0]["extension"][0]["extension"]
        (dose,) = [p["valueQuantity"] for p in parts if p["url"] == "radionuclideTotalDose"]
        assert (dose["value"], dose["code"]) == (sent, unit)
        (tracer,) = [p for p in parts if p["url"] == "radiopharmaceutical"]
        assert tracer["valueCodeableConcept"] == {"text": "FDG"}


def test_what_varies_is_not_said_of_the_series(tmp_path: Path) -> None:
    store = lake_of(tmp_path, {"KVP": 120, "Exposure": 10}, {"KVP": 120, "Exposure": 20})
    parts = study(store, profile="mii")["series"][0]["extension"][0]["extension"]
    assert [p["url"] for p in parts] == ["KVP"]


@pytest.mark.parametrize("release", BOTH)
def test_patients_without_an_id_share_nothing(tmp_path: Path, release: Release) -> None:
    store = lake_of(
        tmp_path, {"PatientID": ""},
        {"PatientID": "", "StudyInstanceUID": f"{STUDY}.2", "SeriesInstanceUID": f"{SERIES}.2"},
    )  # fmt: skip
    found = made(store, release)
    people = [m for m in found if m.type == "Patient"]
    assert len(people) == 2
    assert all("identifier" not in m.resource for m in people)
    subjects = {m.resource["subject"]["reference"] for m in found if m.type == "ImagingStudy"}
    assert subjects == {f"Patient/{m.id}" for m in people}


def test_a_patient_is_not_known_by_the_accession_number(tmp_path: Path) -> None:
    person = one(made(lake_of(tmp_path, {"IssuerOfPatientID": "KH"})), "Patient")
    assert [(i["system"], i["value"]) for i in person["identifier"]] == [
        ("urn:dicomlake:patient-id:KH", "P1")
    ]


@pytest.mark.parametrize("release", BOTH)
def test_endpoints_are_addresses_and_nothing_is_contained(tmp_path: Path, release: Release) -> None:
    found = made(lake_of(tmp_path), release)
    assert one(found, "Endpoint")["address"] == BASE
    assert all("contained" not in m.resource for m in found)
    assert "file:" not in b"".join(m.line for m in found).decode()


@pytest.mark.parametrize("release", BOTH)
def test_structures_that_are_cut_off_stay_and_say_so(tmp_path: Path, release: Release) -> None:
    found = made(structures(lake_of(tmp_path)), release)
    bodies = [m.resource for m in found if m.type == "BodyStructure"]
    text = orjson.dumps(bodies).decode()
    assert len(bodies) == (3 if release == "R4" else 1)
    assert text.count('"cut-off"') == 1
    assert all(b["patient"]["reference"].startswith("Patient/") for b in bodies)
    assert "18639004" in text  # the left kidney in one code
    volumes = [m.resource for m in found if m.type == "Observation"]
    assert sorted(v["valueQuantity"]["value"] for v in volumes) == [150.5, 1200]
    whole = [c["valueBoolean"] for v in volumes for c in v["component"] if "valueBoolean" in c]
    assert sorted(whole) == [False, True]
    means = [c["valueQuantity"] for v in volumes for c in v["component"] if "valueQuantity" in c]
    assert {m["code"] for m in means} == {"[hnsf'U]"}


@pytest.mark.parametrize("release", BOTH)
def test_provenance_has_a_moment_with_a_zone_and_a_program(
    tmp_path: Path, release: Release
) -> None:
    found = made(structures(lake_of(tmp_path)), release)
    origin = one(found, "Provenance")
    assert origin["recorded"].endswith("Z")
    assert ("patient" in origin) is (release == "R5")
    program = origin["agent"][0]["who"]["reference"].partition("/")[2]
    (device,) = [m.resource for m in found if m.id == program]
    assert [v["value"] for v in device["version"]] == ["2", "weights abc"]
    source = origin["entity"][0]["what"]["reference"]
    assert source == f"ImagingStudy/{one(found, 'ImagingStudy')['id']}"


@pytest.mark.parametrize("release", BOTH)
def test_series_of_a_study_are_one_resource_and_grow(tmp_path: Path, release: Release) -> None:
    before = study(lake_of(tmp_path, {}), release)
    after = study(lake_of(tmp_path, {}, {"SeriesInstanceUID": f"{SERIES}.2"}), release)
    assert before["id"] == after["id"]
    assert (before["numberOfSeries"], after["numberOfSeries"]) == (1, 2)
    assert after["numberOfInstances"] == 2


@pytest.mark.parametrize("release", BOTH)
def test_nothing_of_one_run_is_left_in_the_next(tmp_path: Path, release: Release) -> None:
    store = structures(lake_of(tmp_path))
    assert [m.line for m in made(store, release)] == [m.line for m in made(store, release)]


def test_ids_cannot_be_found_without_the_secret(tmp_path: Path) -> None:
    from dataclasses import replace

    from dicomlake.jobs.fhir.making import Maker
    from tests.fhir.lakes import site

    store = lake_of(tmp_path)
    other = Maker(store, replace(site(), secret=b"another secret of 32 bytes ......"), "R4")
    mine = {m.id for m in made(store)}
    assert mine.isdisjoint({m.id for m in other.all()})


@pytest.mark.parametrize("release", BOTH)
def test_modalities_that_nobody_knows_are_other(tmp_path: Path, release: Release) -> None:
    said = study(lake_of(tmp_path, {"Modality": "FOO"}), release)["series"][0]["modality"]
    coding = said if release == "R4" else said["coding"][0]
    assert (coding["system"], coding["code"]) == (DCM, "OT")
