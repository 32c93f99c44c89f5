"""Tables of OMOP and of one's own become facts; messages and texts documents."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dicomlake.errors import UsageError
from dicomlake.jobs.clinical import bring

from .made import facts, failures

PERSON = (
    "person_id,year_of_birth,month_of_birth,day_of_birth,person_source_value,gender_source_value\n"
    "1,1950,3,7,PAT1,M\n2,1960,,,,F\n"
)
CONDITIONS = (
    "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,"
    "condition_start_datetime,condition_source_value,condition_source_concept_id\n"
    "10,1,4163261,2014-05-03,,C61,35206260\n"
    "11,1,0,2014-99-03,,C99,0\n"
    "12,,4163261,2015-01-01,,C61,0\n"
    "13,2,0,2016-02-03,2016-02-03 10:11:12,lokal,0\n"
    "14,2\n"
)
MEASUREMENTS = (
    "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,"
    "unit_source_value,measurement_source_value\n"
    "5,1,3013290,2014-05-03,7.5,g/dL,Hb\n6,1,3013290,2014-05-04,many,g/dL,Hb\n"
)
CONCEPTS = (
    "concept_id\tconcept_name\tvocabulary_id\tconcept_code\n"
    "4163261\tMalignant tumor of prostate\tSNOMED\t399068003\n"
    "35206260\tMalignant neoplasm of prostate\tICD10\tC61\n3013290\tHemoglobin\tLOINC\t718-7\n"
)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def _by_identifier(lake, name="clinical_events"):
    return {row.get("identifier"): row for row in facts(lake, name)}


class TestOmop:
    @pytest.fixture
    def export(self, folder):
        (folder / "PERSON.csv").write_text(PERSON)
        (folder / "condition_occurrence.csv").write_text(CONDITIONS)
        (folder / "measurement.csv").write_text(MEASUREMENTS)
        return folder

    def test_concepts_give_their_codes(self, export, lake):
        (export / "CONCEPT.csv").write_text(CONCEPTS)
        report = bring(lake, [export], source="omop", issuer="HOSP")
        rows = _by_identifier(lake)
        cancer = rows["condition_occurrence/10"]
        assert cancer["code"] == "SCT:399068003"
        assert cancer["codes"] == [
            "SCT:399068003", "I10:C61", "OMOP:4163261", "OMOP:35206260",
        ]  # fmt: skip
        assert cancer["code_meaning"] == "Malignant tumor of prostate"
        assert (cancer["PatientID"], cancer["IssuerOfPatientID"]) == ("PAT1", "HOSP")
        blood = rows["measurement/5"]
        assert (blood["code"], blood["quantity"], blood["quantity_unit"]) == (
            "LN:718-7", 75.0, "mg/cm3",
        )  # fmt: skip
        assert report.facts == {"condition": 2, "observation": 1, "patient": 2}

    def test_without_concepts_their_numbers_are_the_codes(self, export, lake):
        bring(lake, [export], source="omop")
        rows = _by_identifier(lake)
        assert rows["condition_occurrence/10"]["codes"] == ["OMOP:4163261", "OMOP:35206260"]
        local = rows["condition_occurrence/13"]
        assert local["text"] == "lokal"
        assert "code" not in local
        assert local["PatientID"] == "2"
        assert local["started"] == datetime(2016, 2, 3, 10, 11, 12, tzinfo=UTC)
        assert rows["person/2"]["precision"] == "year"

    def test_rows_that_cannot_be_read_are_noted_with_their_line(self, export, lake):
        bring(lake, [export], source="omop")
        assert failures(lake) == {
            "condition_occurrence.csv:3": "condition_start_date is no date",
            "condition_occurrence.csv:4": "person_id is missing",
            "condition_occurrence.csv:6": "the line has another number of columns than the first "
            "one",
            "measurement.csv:3": "value_as_number is no number",
        }

    def test_notes_become_documents(self, folder, lake):
        (folder / "note.csv").write_text(
            "note_id,person_id,note_date,note_title,note_text\n"
            '1,2,2016-02-03,CT,"Findings:\nNo effusion.\nImpression: possible pneumonia."\n'
        )
        (folder / "person.csv").write_text(PERSON)
        bring(lake, [folder], source="omop")
        (row,) = facts(lake, "documents")
        assert row["PatientID"] == "2"
        assert (row["negated"], row["uncertain"]) == ("No effusion.", "possible pneumonia.")

    def test_again_adds_nothing_and_a_corrected_row_replaces(self, export, lake):
        bring(lake, [export], source="omop")
        assert bring(lake, [export], source="omop").added == 0
        (export / "measurement.csv").write_text(MEASUREMENTS.replace("7.5", "8.5"))
        report = bring(lake, [export], source="omop")
        assert (report.added, report.replaced) == (0, 1)
        assert _by_identifier(lake)["measurement/5"]["number"] == 8.5


DIAGNOSES = "Fall;Patient;ICD;Klartext;Datum\n1;PAT1;C61;Prostatakarzinom;03.05.2014\n"
LABS = 'pid,date,psa,creatinine\nPAT1,2014-05,"4,5",88\nPAT2,2014-06,,90\n'
MAPPING = {
    "tables": [
        {
            "files": "diag*.csv",
            "kind": "condition",
            "columns": {
                "PatientID": "Patient",
                "identifier": "Fall",
                "code": {"column": "ICD", "scheme": "ICD10GM", "meaning": "Klartext"},
                "text": "Klartext",
                "started": "Datum",
            },
        },
        {
            "files": "labs.csv",
            "kind": "observation",
            "columns": {"PatientID": "pid", "started": "date", "number": "psa",
                        "unit": {"value": "ng/mL"}, "code": "LN:2857-1"},
        },
        {
            "files": "labs.csv",
            "kind": "observation",
            "columns": {"PatientID": "pid", "started": "date", "number": "creatinine",
                        "unit": {"value": "umol/L"}, "code": "LN:14682-9"},
        },
    ]
}  # fmt: skip


class TestMapping:
    def test_columns_become_facts(self, folder, lake):
        (folder / "diag-2014.csv").write_text(DIAGNOSES)
        bring(lake, [folder], source="his", mapping=MAPPING)
        (row,) = facts(lake)
        assert row["code"] == "I10GM:C61"
        assert row["code_meaning"] == "Prostatakarzinom"
        assert row["started"] == datetime(2014, 5, 3, tzinfo=UTC)

    def test_one_table_may_have_many_facts_in_a_line(self, folder, lake):
        (folder / "labs.csv").write_text(LABS)
        report = bring(lake, [folder], source="lab", mapping=MAPPING)
        found = {(r["PatientID"], r["code"]): r["number"] for r in facts(lake)}
        assert found == {
            ("PAT1", "LN:2857-1"): 4.5,
            ("PAT1", "LN:14682-9"): 88.0,
            ("PAT2", "LN:14682-9"): 90.0,
        }
        assert failures(lake) == {"labs.csv:3": "it has no value"}
        assert report.failures == 1

    def test_old_encodings_are_recognised(self, folder, lake):
        text = DIAGNOSES.replace("Prostatakarzinom", "Gefäßverschluß")
        (folder / "diag.csv").write_bytes(text.encode("cp1252"))
        bring(lake, [folder], source="his", mapping=MAPPING)
        assert facts(lake)[0]["text"] == "Gefäßverschluß"

    def test_other_dates_need_their_format(self, folder, lake):
        (folder / "diag.csv").write_text(DIAGNOSES.replace("03.05.2014", "05/03/14"))
        bring(lake, [folder], source="his", mapping=MAPPING)
        assert failures(lake) == {"diag.csv:2": "started is no date"}
        columns = MAPPING["tables"][0]["columns"]
        columns = {**columns, "started": {"column": "Datum", "format": "%m/%d/%y"}}
        said = {"tables": [{**MAPPING["tables"][0], "columns": columns}]}
        bring(lake, [folder], source="his", mapping=said)
        assert facts(lake)[0]["started"] == datetime(2014, 5, 3, tzinfo=UTC)

    def test_a_table_that_nothing_explains_is_refused(self, folder, lake):
        (folder / "what.csv").write_text("a,b\n1,2\n")
        bring(lake, [folder], source="his")
        assert "no entry of a mapping" in failures(lake)["what.csv"]

    def test_a_column_that_is_not_there_is_named(self, folder, lake):
        (folder / "diag.csv").write_text("Patient;ICD\nP;C61\n")
        bring(lake, [folder], source="his", mapping=MAPPING)
        assert "no column 'Fall'" in failures(lake)["diag.csv"]

    @pytest.mark.parametrize(
        ("entry", "why"),
        [
            ({"kind": "diagnosis", "columns": {"text": "a"}}, "kind of an entry"),
            ({"kind": "condition", "columns": {"icd": "a"}}, "no column 'icd'"),
            ({"kind": "condition", "columns": {"code": {"column": "a"}}}, "needs its scheme"),
            ({"kind": "condition", "columns": {}}, "says under columns"),
        ],
    )
    def test_a_wrong_mapping_says_what_is_wrong(self, folder, lake, entry, why):
        with pytest.raises(UsageError, match=why):
            bring(lake, [folder], source="his", mapping={"tables": [entry]})


ORU = (
    "MSH|^~\\&|RIS|H|A|B|20200101120000||ORU^R01|MSG1|P|2.5\r"
    "PID|1||77^^^INSURANCE^SS~PAT2^^^HOSP^MR||Doe^Jane\r"
    "OBR|1|P1|F77|36643-5^XR chest^LN|||20200101113000|||||||||||ACC9||||20200101115500|||F\r"
    "OBX|1|TX|||Lungs are clear.~No effusion.\\.br\\No pneumothorax \\T\\ no fracture.\r"
    "OBX|2|TX|||Possible nodule.\r"
)


class TestMessages:
    def test_a_result_becomes_a_document(self, folder, lake):
        (folder / "a.hl7").write_text(ORU, newline="")
        bring(lake, [folder], source="ris", issuer="H")
        (row,) = facts(lake, "documents")
        assert (row["PatientID"], row["IssuerOfPatientID"]) == ("PAT2", "H")
        assert row["AccessionNumber"] == "ACC9"
        assert row["type"] == "LN:36643-5"
        assert row["written"] == datetime(2020, 1, 1, 11, 55, tzinfo=UTC)
        assert row["negated"] == "No effusion.\nNo pneumothorax & no fracture."
        assert row["uncertain"] == "Possible nodule."

    def test_a_corrected_result_replaces_and_a_wrong_one_goes(self, folder, lake):
        (folder / "a.hl7").write_text(ORU, newline="")
        bring(lake, [folder], source="ris")
        (folder / "a.hl7").write_text(ORU.replace("|||F\r", "|||C\r").replace("nodule", "mass"),
                                      newline="")  # fmt: skip
        assert bring(lake, [folder], source="ris").replaced == 1
        (folder / "a.hl7").write_text(ORU.replace("|||F\r", "|||W\r"), newline="")
        assert bring(lake, [folder], source="ris").removed == 1
        assert facts(lake, "documents") == []


class TestTexts:
    def test_names_say_whose_they_are(self, folder, lake):
        (folder / "ACC7_PAT1.txt").write_text("Hallazgos: No se observa derrame pleural.")
        (folder / "who.txt").write_text("No se observa derrame.")
        said = {"texts": [{"files": "*.txt", "name": "{AccessionNumber}_{PatientID}.txt"}]}
        bring(lake, [folder], source="files", mapping=said)
        (row,) = facts(lake, "documents")
        assert (row["AccessionNumber"], row["PatientID"]) == ("ACC7", "PAT1")
        assert row["language"] == "es"
        assert "PAT1" not in row["origin"] + row["identifier"]
        assert "nothing says whose" in failures(lake)["who.txt"]

    def test_an_index_says_whose_they_are(self, folder, lake):
        (folder / "1.txt").write_text("Pas d'épanchement.")
        (folder / "index.csv").write_text("file;number;day\n1.txt;ACC1;2020-01-02\n")
        columns = {"file": "file", "AccessionNumber": "number", "written": "day"}
        said = {"texts": [{"files": "*.txt", "index": "index.csv", "columns": columns}]}
        bring(lake, [folder], source="files", mapping=said)
        (row,) = facts(lake, "documents")
        assert row["AccessionNumber"] == "ACC1"
        assert row["written"] == datetime(2020, 1, 2, tzinfo=UTC)
        assert row["negated"] == "Pas d'épanchement."
