"""Clinical facts as tables of OMOP: what came from OMOP goes back, the rest by its kind."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dicomlake.contracts import Silent
from dicomlake.errors import Cancelled, UsageError
from dicomlake.jobs.clinical import bring
from dicomlake.jobs.omop import Asked, Report, write
from dicomlake.lake import Store
from dicomlake.settings import Pseudonyms, Settings

from . import omop_model
from .clinical.made import LOINC, coded, condition, patient, put

MODEL = {
    "person": (
        "person_id,gender_source_value,year_of_birth,month_of_birth,day_of_birth,person_source_value",
        ["1,M,1950,3,7,PAT1", "2,F,1960,,,PAT2"],
    ),
    "visit_occurrence": (
        "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,"
        "visit_source_value,visit_source_concept_id",
        ["70,1,9201,2014-05-01,2014-05-09,inpatient,0"],
    ),
    "condition_occurrence": (
        "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,"
        "condition_start_datetime,condition_end_date,visit_occurrence_id,condition_source_value,"
        "condition_source_concept_id",
        [
            "10,1,4163261,2014-05-03,2014-05-03 10:11:12,2015-01-01,70,C61,35206260",
            "11,2,0,2016-02-03,,,,lokal,0",
            "12,2,0,2016-02-04,,,,C99,35200000",
        ],
    ),
    "procedure_occurrence": (
        "procedure_occurrence_id,person_id,procedure_concept_id,procedure_date,"
        "procedure_source_value,procedure_source_concept_id",
        ["20,1,4021997,2014-05-04,5-604,0"],
    ),
    "drug_exposure": (
        "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,"
        "drug_exposure_end_date,quantity,drug_source_value,drug_source_concept_id,"
        "dose_unit_source_value",
        ["30,1,1115008,2014-05-05,2014-06-05,30.0,N02BE01,0,mg"],
    ),
    "measurement": (
        "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,"
        "value_as_concept_id,unit_source_value,measurement_source_value",
        ["5,1,3013290,2014-05-03,7.5,,g/dL,Hb", "6,2,3000001,2014-05-06,,45884084,,culture"],
    ),
    "observation": (
        "observation_id,person_id,observation_concept_id,observation_date,value_as_string,"
        "value_as_concept_id,observation_source_value",
        ["7,1,40766,2014-05-03,20 a day,,smoker", "8,2,40767,2014-05-07,,45877,lives alone"],
    ),
    "note": (
        "note_id,person_id,note_date,note_title,note_text",
        ["9,1,2014-05-08,Letter,The lungs are clear."],
    ),
}
SETTINGS = Settings()


def omop(folder: Path) -> Path:
    folder.mkdir()
    for name, (head, rows) in MODEL.items():
        (folder / f"{name}.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("facts")
    bring(folder / "lake", [omop(folder / "omop")], source="omop")
    return Store(folder / "lake")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text("k" * 40)
    return Settings(pseudonyms={"research": Pseudonyms(key_file=key)})


@pytest.fixture(scope="module")
def written(lake: Store, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write(lake, tmp_path_factory.mktemp("out"), Asked("csv", notes=True), SETTINGS)


def rows(report: Report, name: str, columns: str) -> list[tuple[Any, ...]]:
    """Rows of a table with the patient's number in the place of person_id."""
    person = f"(select person_source_value from '{report.folder}/person.csv' p where " \
             "p.person_id = t.person_id)"  # fmt: skip
    told = columns.replace("person_id", f"{person} as person_id")
    with duckdb.connect() as db:
        return db.execute(f"select {told} from '{report.folder}/{name}.csv' t").fetchall()


def given(name: str, columns: str, folder: Path) -> list[tuple[Any, ...]]:
    """The same of what was read."""
    told = columns.replace("person_id", "'PAT' || person_id as person_id")
    with duckdb.connect() as db:
        return db.execute(f"select {told} from '{folder}/{name}.csv'").fetchall()


@pytest.mark.parametrize("name", [name for name in MODEL if name != "person"])
def test_what_came_from_omop_goes_back(name: str, written: Report, tmp_path: Path) -> None:
    head = MODEL[name][0].split(",")
    kept = ", ".join(one for one in head if one not in (f"{name}_id", "visit_occurrence_id"))
    assert sorted(rows(written, name, kept), key=str) == sorted(
        given(name, kept, omop(tmp_path / "omop")), key=str
    )


def test_persons_and_their_visits_go_back(written: Report) -> None:
    told = "person_source_value, year_of_birth, month_of_birth, day_of_birth, gender_source_value"
    assert sorted(rows(written, "person", told)) == [
        ("PAT1", 1950, 3, 7, "M"), ("PAT2", 1960, None, None, "F"),
    ]  # fmt: skip
    ((stay,),) = rows(written, "visit_occurrence", "visit_occurrence_id")
    found = rows(written, "condition_occurrence", "visit_occurrence_id, condition_source_value")
    assert set(found) == {(stay, "C61"), (None, "lokal"), (None, "C99")}
    periods = rows(written, "observation_period", "person_id, observation_period_start_date, "
                                                  "observation_period_end_date")  # fmt: skip
    assert ("PAT1", date(2014, 5, 1), date(2015, 1, 1)) in periods


def test_the_tables_load_into_those_of_the_model(written: Report) -> None:
    with duckdb.connect() as db:
        concepts = [9201, 4163261, 35206260, 35200000, 4021997, 1115008, 3013290, 3000001]
        omop_model.create(db, [*concepts, 45884084, 40766, 40767, 45877])
        for name in omop_model.TABLES:
            path = f"{written.folder}/{name}.csv"
            assert db.sql(f"from '{path}' limit 0").columns == omop_model.columns(name)
            db.execute(f"insert into {name} from '{path}'")
    assert written.rows["note"] == 1
    assert (written.undated, written.unlinked, written.without_birth) == (0, 0, 0)


def test_no_text_goes_out_under_a_pseudonym(
    lake: Store, settings: Settings, written: Report, tmp_path: Path
) -> None:
    report = write(lake, tmp_path, Asked("csv", pseudonyms="research"), settings)
    texts = "\n".join(path.read_text() for path in report.files)
    for word in ("PAT1", "PAT2", "lokal", "smoker", "20 a day", "lives alone", "Letter",
                 "2014-05-03", "2014-05-01", "inpatient"):  # fmt: skip
        assert word not in texts
    assert report.rows["condition_occurrence"] == written.rows["condition_occurrence"] - 1
    ((number,),) = rows(report, "measurement", "value_as_number")[:1] or [(None,)]
    assert {number} <= {7.5, None}
    with pytest.raises(UsageError, match="identified"):
        Asked(pseudonyms="research", notes=True)


def test_facts_of_fhir_go_by_their_kind(tmp_path: Path) -> None:
    files = tmp_path / "fhir"
    put(
        files, "a.ndjson", patient("p", "PAT", birthDate="1950-01-02", gender="female"),
        patient("q", "NOBIRTH"), condition("c", "Patient/p"), condition("d", "Patient/q"),
    )  # fmt: skip
    observed = {"resourceType": "Observation", "subject": {"reference": "Patient/p"}}
    put(
        files, "b.ndjson",
        {**observed, "id": "n", "code": coded(LOINC, "718-7"), "effectiveDateTime":
         "2014-05-03T10:00:00Z", "valueQuantity": {"value": 7.5, "unit": "g/dL", "code": "g/dL"}},
        {**observed, "id": "s", "code": coded(LOINC, "72166-2"), "effectiveDateTime": "2014-05-03",
         "valueString": "never"},
        {**observed, "id": "u", "code": coded(LOINC, "72166-2"), "valueString": "who knows when"},
    )  # fmt: skip
    bring(tmp_path / "lake", [files], source="fhir")
    report = write(Store(tmp_path / "lake"), tmp_path / "out", Asked(), SETTINGS)
    assert (report.without_birth, report.undated) == (1, 1)
    assert rows(report, "condition_occurrence", "person_id, condition_source_value") == [
        ("PAT", "I10:C61")
    ]
    assert rows(report, "measurement", "value_as_number, unit_source_value, measurement_datetime") \
        == [(7.5, "g/dL", datetime(2014, 5, 3, 10))]  # fmt: skip
    assert rows(report, "observation", "observation_source_value, value_as_string")[0][1] == "never"
    assert ",F," in (report.folder / "person.csv").read_text().replace('"', "")
    more = write(Store(tmp_path / "lake"), tmp_path / "more", Asked(year_of_birth=1900), SETTINGS)
    assert (more.rows["person"], more.without_birth) == (2, 0)


def test_it_can_be_stopped_and_leaves_no_half_file(lake: Store, tmp_path: Path) -> None:
    class Stopped(Silent):
        cancelled = False

        def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
            self.cancelled = name == "condition_occurrence"

    with pytest.raises(Cancelled):
        write(lake, tmp_path, Asked(), SETTINGS, Stopped())
    assert "person.csv" in {path.name for path in tmp_path.iterdir()}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".", "cond"))]
