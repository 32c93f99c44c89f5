"""Clinical resources of FHIR become facts and documents."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime

import pytest

from dicomlake.jobs.clinical import bring
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.readers.batch import key_of
from dicomlake.settings import ClinicalSettings, Settings

from ..made import put as put_file
from ..made import slice_of
from .made import ACSN, LOINC, SNOMED, bundle, coded, condition, facts, failures, patient, put


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "in"


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def _one(lake, identifier, name="clinical_events"):
    (row,) = [row for row in facts(lake, name) if row["identifier"] == identifier]
    return row


class TestResources:
    def test_a_condition_has_code_time_and_patient(self, folder, lake):
        put(folder, "b.json", bundle(patient("p", "PAT1"), condition("c", "Patient/p")))
        report = bring(lake, [folder], source="clinic", issuer="HOSP")
        row = _one(lake, "Condition/c")
        assert row["code"] == "I10:C61"
        assert row["codes"] == ["I10:C61"]
        assert row["started"] == datetime(2014, 5, 3, tzinfo=UTC)
        assert row["precision"] == "day"
        assert row["PatientID"] == "PAT1"
        assert row["patient_key"] == key_of("patient", "HOSP", "PAT1")
        assert report.facts == {"condition": 1, "patient": 1}
        assert report.unlinked == {"stranger": 2}

    def test_times_with_an_offset_are_in_utc_and_years_stay_years(self, folder, lake):
        put(
            folder, "b.json",
            bundle(
                condition("a", "Patient/p", onsetDateTime="2014-05-03T01:30:00+02:00"),
                condition("b", "Patient/p", onsetDateTime="2014"),
                condition("c", "Patient/p", onsetDateTime=None, onsetPeriod={"start": "2014-05",
                          "end": "2015-02-01"}),
            ),
        )  # fmt: skip
        bring(lake, [folder], source="clinic")
        assert _one(lake, "Condition/a")["started"] == datetime(2014, 5, 2, 23, 30, tzinfo=UTC)
        assert _one(lake, "Condition/b")["precision"] == "year"
        assert _one(lake, "Condition/c")["precision"] == "month"
        assert _one(lake, "Condition/c")["ended"] == datetime(2015, 2, 1, tzinfo=UTC)

    def test_components_of_an_observation_are_facts_in_common_units(self, folder, lake):
        def component(code, number, unit):
            said = {"value": number, "code": unit, "system": "http://unitsofmeasure.org"}
            return {"code": coded(LOINC, code), "valueQuantity": said}

        pressure = {
            "resourceType": "Observation", "id": "bp", "status": "final",
            "subject": {"reference": "Patient/p"}, "code": coded(LOINC, "85354-9", "BP"),
            "effectiveDateTime": "2014",
            "component": [component("8480-6", 16, "kPa"), component("8462-4", 80, "mm[Hg]")],
        }  # fmt: skip
        put(folder, "b.json", pressure)
        bring(lake, [folder], source="clinic")
        row = _one(lake, "Observation/bp#LN:8480-6")
        assert (row["number"], row["unit"]) == (16.0, "kPa")
        assert row["quantity_unit"] == "mm[Hg]"
        assert row["quantity"] == pytest.approx(120.01, abs=0.01)
        assert _one(lake, "Observation/bp#LN:8462-4")["quantity"] == 80.0
        assert "number" not in _one(lake, "Observation/bp")

    def test_a_component_that_a_newer_version_does_not_have_goes(self, folder, lake):
        def version(components, when):
            return {
                "resourceType": "Observation", "id": "o", "code": coded(LOINC, "1-1"),
                "subject": {"reference": "Patient/p"}, "meta": {"lastUpdated": when},
                "component": [{"code": coded(LOINC, c), "valueInteger": 1} for c in components],
            }  # fmt: skip

        put(folder, "b.json", version(["2-2", "3-3"], "2014-01-01T00:00:00Z"))
        bring(lake, [folder], source="clinic")
        assert len(facts(lake)) == 3
        put(folder, "b.json", version(["3-3"], "2015-01-01T00:00:00Z"))
        report = bring(lake, [folder], source="clinic")
        assert [row["code"] for row in facts(lake)] == ["LN:1-1", "LN:3-3"]
        assert report.removed == 1

    def test_values_of_other_kinds(self, folder, lake):
        def observation(id_, **value):
            return {"resourceType": "Observation", "id": id_, "code": coded(LOINC, "1-1"),
                    "subject": {"reference": "Patient/p"}, **value}  # fmt: skip

        put(
            folder, "o.ndjson",
            observation("code", valueCodeableConcept=coded(SNOMED, "8517006", "Ex-smoker")),
            observation("text", valueString="positive"),
            observation("flag", valueBoolean=False),
            observation("local", valueQuantity={"value": 3, "unit": "Stück"}),
        )  # fmt: skip
        bring(lake, [folder], source="clinic")
        assert _one(lake, "Observation/code")["value"] == "SCT:8517006"
        assert _one(lake, "Observation/text")["text"] == "positive"
        assert _one(lake, "Observation/flag")["text"] == "no"
        assert _one(lake, "Observation/local")["unit"] == "Stück"
        assert "quantity" not in _one(lake, "Observation/local")

    def test_r5_names_are_read_as_those_of_r4(self, folder, lake):
        put(
            folder, "r5.ndjson",
            {"resourceType": "Procedure", "id": "p", "subject": {"reference": "Patient/p"},
             "code": coded(SNOMED, "90470006"), "occurrenceDateTime": "2016-02-03"},
            {"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/p"},
             "class": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                                    "code": "IMP"}]}],
             "actualPeriod": {"start": "2016-02-01", "end": "2016-02-09"}},
            {"resourceType": "MedicationStatement", "id": "m",
             "subject": {"reference": "Patient/p"}, "effectiveDateTime": "2016",
             "medication": {"concept": coded("http://www.whocc.no/atc", "B01AF01")}},
        )  # fmt: skip
        bring(lake, [folder], source="clinic")
        assert _one(lake, "Procedure/p")["started"].year == 2016
        assert _one(lake, "Encounter/e")["ended"] == datetime(2016, 2, 9, tzinfo=UTC)
        assert _one(lake, "Encounter/e")["code"].endswith(":IMP")
        assert _one(lake, "MedicationStatement/m")["code"] == "ATC:B01AF01"

    def test_a_medication_of_its_own_gives_its_code(self, folder, lake):
        put(
            folder, "m.ndjson",
            {"resourceType": "MedicationRequest", "id": "r", "status": "active",
             "subject": {"reference": "Patient/p"}, "authoredOn": "2016-02-03",
             "medicationReference": {"reference": "Medication/x"}},
            {"resourceType": "Medication", "id": "x",
             "code": coded("http://www.nlm.nih.gov/research/umls/rxnorm", "1114195")},
        )  # fmt: skip
        bring(lake, [folder], source="clinic")
        assert _one(lake, "MedicationRequest/r")["code"] == "RXNORM:1114195"


class TestReferences:
    def test_files_come_in_any_order_and_packed(self, folder, lake):
        folder.mkdir()
        data = "\n".join(json.dumps(condition(f"c{n}", "Patient/p")) for n in range(3))
        (folder / "a-conditions.ndjson.gz").write_bytes(gzip.compress(data.encode()))
        put(folder, "z-patients.ndjson", patient("p", "PAT1"))
        bring(lake, [folder], source="clinic")
        assert {row["PatientID"] for row in facts(lake)} == {"PAT1"}

    def test_urns_and_absolute_addresses_mean_the_same_resource(self, folder, lake):
        made = {
            "resourceType": "Bundle",
            "entry": [
                {"fullUrl": "urn:uuid:1", "resource": condition("a", "urn:uuid:2")},
                {"fullUrl": "urn:uuid:2", "resource": patient("p", "PAT1")},
                {"resource": condition("b", "https://clinic.example/fhir/Patient/p/_history/3")},
            ],
        }
        put(folder, "b.json", made)
        bring(lake, [folder], source="clinic")
        assert _one(lake, "Condition/a")["PatientID"] == "PAT1"
        assert _one(lake, "Condition/b")["PatientID"] == "PAT1"

    def test_a_patient_of_an_earlier_import_is_known(self, folder, lake):
        put(folder, "p.json", patient("p", "PAT1"))
        bring(lake, [folder], source="clinic")
        put(folder, "c.json", condition("c", "Patient/p"))
        bring(lake, [folder / "c.json"], source="clinic")
        assert _one(lake, "Condition/c")["PatientID"] == "PAT1"

    def test_a_patient_who_comes_later_is_linked_by_the_same_import(self, folder, lake):
        put(folder, "c.json", condition("c", "Patient/p"))
        report = bring(lake, [folder], source="clinic")
        assert report.unlinked == {"dangling": 1}
        put(folder, "p.json", patient("p", "PAT1"))
        report = bring(lake, [folder], source="clinic")
        assert _one(lake, "Condition/c")["PatientID"] == "PAT1"
        assert report.replaced == 1

    def test_systems_stand_for_issuers(self, folder, lake):
        both = patient("p", "9", "urn:insurance")
        both["identifier"].append({"system": "urn:hospital", "value": "PAT1"})
        put(folder, "p.json", both)
        settings = Settings(clinical=ClinicalSettings(issuers={"urn:hospital": "HOSP"}))
        bring(lake, [folder], source="clinic", settings=settings)
        row = _one(lake, "Patient/p")
        assert (row["PatientID"], row["IssuerOfPatientID"]) == ("PAT1", "HOSP")

    def test_a_system_that_no_setting_names_is_told(self, folder, lake):
        put(folder, "p.json", patient("p", "PAT1", "urn:hospital"))
        report = bring(lake, [folder], source="clinic", issuer="HOSP")
        assert report.notes == ["identifiers of urn:hospital count as of the issuer 'HOSP'"]

    def test_facts_link_to_images_by_patient_and_by_accession(self, folder, lake, tmp_path):
        more = {"PatientID": "PAT1", "AccessionNumber": "ACC1"}
        put_file(tmp_path / "dicom", "1.dcm", slice_of("1/a", 1, **more))
        index([tmp_path / "dicom"], lake, workers=1)
        order = {"resourceType": "ServiceRequest", "id": "s",
                 "identifier": [{"type": ACSN, "value": "ACC1"}]}  # fmt: skip
        report = {"resourceType": "DiagnosticReport", "id": "d", "conclusion": "No effusion.",
                  "basedOn": [{"reference": "ServiceRequest/s"}]}  # fmt: skip
        put(folder, "b.json", bundle(report, order, patient("p", "PAT1"),
            condition("c", "Patient/p"), condition("n", "Patient/nobody")))  # fmt: skip
        said = bring(lake, [folder], source="clinic")
        assert said.linked == {"patient": 2, "accession": 1}
        assert said.unlinked == {"dangling": 1}
        series = Store(lake).read("series", ["patient_key"]).column(0).to_pylist()
        assert _one(lake, "Condition/c")["patient_key"] == series[0]
        document = _one(lake, "DiagnosticReport/d", "documents")
        assert document["AccessionNumber"] == "ACC1"
        assert "patient_key" not in document


class TestVersions:
    def test_the_same_file_twice_adds_nothing(self, folder, lake):
        put(folder, "b.json", bundle(patient("p", "PAT1"), condition("c", "Patient/p")))
        bring(lake, [folder], source="clinic")
        before, version = facts(lake), Store(lake).version
        report = bring(lake, [folder], source="clinic")
        assert (report.added, report.replaced, report.unchanged) == (0, 0, 2)
        assert facts(lake) == before
        assert Store(lake).version == version

    def test_what_changed_replaces_and_older_versions_do_not(self, folder, lake):
        def version(code, when):
            return condition("c", "Patient/p", code, meta={"lastUpdated": when})

        put(folder, "1.json", version("C61", "2014-01-01T00:00:00Z"))
        bring(lake, [folder], source="clinic")
        put(folder, "1.json", version("C64", "2016-01-01T00:00:00Z"))
        report = bring(lake, [folder], source="clinic")
        assert (report.replaced, report.added) == (1, 0)
        put(folder, "1.json", version("C62", "2015-01-01T00:00:00Z"))
        bring(lake, [folder], source="clinic")
        assert [row["code"] for row in facts(lake)] == ["I10:C64"]

    def test_of_several_versions_in_one_import_the_newest_counts(self, folder, lake):
        put(
            folder, "c.ndjson",
            condition("c", "Patient/p", "C62", meta={"lastUpdated": "2016-01-01T00:00:00Z"}),
            condition("c", "Patient/p", "C61", meta={"lastUpdated": "2014-01-01T00:00:00Z"}),
        )  # fmt: skip
        bring(lake, [folder], source="clinic")
        assert [row["code"] for row in facts(lake)] == ["I10:C62"]

    def test_what_was_entered_in_error_goes(self, folder, lake):
        wrong = {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}
        put(folder, "c.json", condition("a", "Patient/p"), condition("b", "Patient/p"))
        bring(lake, [folder], source="clinic")
        put(folder, "c.json", condition("a", "Patient/p", **wrong), condition("b", "Patient/p"))
        report = bring(lake, [folder], source="clinic")
        assert report.removed == 1
        assert [row["identifier"] for row in facts(lake)] == ["Condition/b"]

    def test_another_source_is_another_fact(self, folder, lake):
        put(folder, "c.json", condition("c", "Patient/p"))
        bring(lake, [folder], source="one")
        bring(lake, [folder], source="two")
        assert len(facts(lake)) == 2


class TestReports:
    def test_presented_text_with_its_language_and_negation(self, folder, lake):
        text = "Befund: Kein Pneumothorax. Erguss links.\nBeurteilung: V.a. Pneumonie."
        form = {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}
        put(
            folder, "d.json",
            {"resourceType": "DiagnosticReport", "id": "d", "status": "final",
             "code": coded(LOINC, "24627-2", "CT Thorax"), "issued": "2020-02-03T10:00:00Z",
             "subject": {"reference": "Patient/p"}, "presentedForm": [form],
             "imagingStudy": [{"identifier": {"system": "urn:dicom:uid",
                                              "value": "urn:oid:1.2.3"}}]},
        )  # fmt: skip
        bring(lake, [folder], source="ris")
        (row,) = facts(lake, "documents")
        assert row["language"] == "de"
        assert row["type"] == "LN:24627-2"
        assert row["StudyInstanceUID"] == "1.2.3"
        assert row["negated"] == "Kein Pneumothorax."
        assert row["affirmed"] == "Erguss links."
        assert row["uncertain"] == "V.a. Pneumonie."
        assert [s["code"] for s in row["sections"]] == ["LN:59776-5", "LN:19005-8"]

    def test_narrative_of_html_and_conclusion(self, folder, lake):
        put(
            folder, "d.json",
            {"resourceType": "DiagnosticReport", "id": "d", "subject": {"reference": "Patient/p"},
             "text": {"div": "<div><p>Findings: clear &amp; normal.</p></div>"},
             "conclusion": "No nodule."},
        )  # fmt: skip
        bring(lake, [folder], source="ris")
        (row,) = facts(lake, "documents")
        assert "clear & normal." in row["text"]
        assert row["negated"] == "No nodule."


class TestFailures:
    def test_lines_that_cannot_be_read_are_noted_and_the_others_stay(self, folder, lake):
        folder.mkdir()
        lines = [
            json.dumps(condition("a", "Patient/p")),
            "{no json",
            json.dumps({"resourceType": "Condition", "id": "b"}),
            json.dumps(condition("c", "Patient/p", onsetDateTime="yesterday")),
            json.dumps({"resourceType": "Appointment", "id": "x"}),
            json.dumps({**condition("d", "Patient/p"), "code": "C61"}),
        ]
        (folder / "c.ndjson").write_text("\n".join(lines))
        report = bring(lake, [folder], source="clinic")
        assert failures(lake) == {
            "c.ndjson:2": "the line is no JSON",
            "c.ndjson:3": "Condition: it says nothing: no code, no text and no value",
            "c.ndjson:4": "Condition: a date cannot be read",
            "c.ndjson:6": "Condition: it says nothing: no code, no text and no value",
        }
        assert report.failures == 4
        assert [row["identifier"] for row in facts(lake)] == ["Condition/a"]

    def test_failures_of_a_file_that_is_mended_go(self, folder, lake):
        folder.mkdir()
        (folder / "c.json").write_text("{")
        bring(lake, [folder], source="clinic")
        assert failures(lake)
        put(folder, "c.json", condition("a", "Patient/p"))
        bring(lake, [folder], source="clinic")
        assert failures(lake) == {}

    @pytest.mark.parametrize("cut", range(7, 300, 41))
    def test_half_a_file_never_stops_an_import(self, folder, lake, cut):
        folder.mkdir()
        whole = json.dumps(bundle(patient("p", "PAT1"), condition("c", "Patient/p")))
        (folder / "b.json").write_text(whole[:cut])
        put(folder, "good.json", condition("good", "Patient/p"))
        bring(lake, [folder], source="clinic")
        assert "Condition/good" in [row["identifier"] for row in facts(lake)]
        assert list(failures(lake)) == ["b.json:1"]
