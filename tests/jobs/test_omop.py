"""The tables of OMOP: columns, keys, counts against the lake, concepts, pseudonyms, twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from dicomlake.errors import UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.index import index
from dicomlake.jobs.omop import Asked, Report, write
from dicomlake.lake import Store
from dicomlake.settings import Pseudonyms, Settings
from dicomlake.terms.units import ucum
from dicomlake.testing import hospital

from . import omop_model

SETTINGS = Settings()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("omop")
    hospital.write(folder / "files", 8, pixels=False)
    index([folder / "files"], folder / "lake", workers=1)
    return Store(folder / "lake")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text("k" * 40)
    return Settings(pseudonyms={"research": Pseudonyms(key_file=key)})


@pytest.fixture(scope="module")
def identified(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write(store, tmp_path_factory.mktemp("identified"), Asked("parquet"), SETTINGS)


def read(report: Report, name: str) -> pd.DataFrame:
    path = report.folder / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else pd.read_csv(path.with_suffix(".csv"))


def counted(store: Store, statement: str) -> Any:
    with store.database() as db:
        return db.execute(statement).fetchall()[0][0]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_the_tables_load_into_those_of_the_model(
    form: str, store: Store, identified: Report, tmp_path: Path
) -> None:
    report = identified
    if form == "csv":
        report = write(store, tmp_path, Asked("csv", year_of_birth=1900), SETTINGS)
    with duckdb.connect() as db:
        omop_model.create(db, [])
        for name in omop_model.TABLES:
            path = report.folder / f"{name}.{form}"
            if name == "note":
                assert not path.exists()
                continue
            given = db.sql(f"from '{path}' limit 0").columns
            assert given == omop_model.columns(name)
            db.execute(f"insert into {name} from '{path}'")
            assert db.execute(f"select count(*) from {name}").fetchall() == [(report.rows[name],)]
        events = db.execute(
            "select count(*) from image_feature f join (select measurement_id as id, "
            "measurement_event_id as feature from measurement union all "
            "select observation_id, observation_event_id from observation) e "
            "on e.id = f.image_feature_event_id and e.feature = f.image_feature_id"
        ).fetchall()
        assert events == [(report.rows["image_feature"],)] > [(0,)]
        alone = "select count(*) from person anti join observation_period using (person_id)"
        assert db.execute(alone).fetchall() == [(0,)]


def test_counts_are_those_of_the_lake(identified: Report, store: Store) -> None:
    rows = identified.rows
    series = counted(store, "select count(*) from series")
    assert rows["image_occurrence"] == series - identified.without_day
    assert rows["person"] == counted(store, "select count(distinct patient_key) from series")
    studies = counted(store, "select count(distinct study_key) from series")
    assert rows["procedure_occurrence"] == studies
    assert rows["image_feature"] == rows["measurement"] + rows["observation"]
    measurement = read(identified, "measurement")
    dlp = measurement[measurement.measurement_source_value == "DCM:113838 DLP"]
    told = counted(store, 'select sum("DLP") from dose_events where counted')
    assert dlp.value_as_number.sum() == pytest.approx(told)
    volumes = measurement[measurement.measurement_source_value.str.startswith("SCT:118565006")]
    assert volumes.value_as_number.sum() == pytest.approx(
        counted(store, "select coalesce(sum(volume), 0) from segments")
    )
    items = counted(
        store,
        "select count(*) from items i where value_type = 'NUM' and number is not null and "
        "starts_with(path, '[') and \"RelationshipType\" in ('CONTAINS', 'HAS PROPERTIES', "
        "'INFERRED FROM') and series_id not in (select series_id from dose_events)",
    )
    doses = measurement.measurement_source_value.str.startswith(
        ("DCM:1138", "DCM:122130", "DCM:113738", "DCM:111631", "DCM:113507")
    )
    assert items > 0
    assert len(measurement) - doses.sum() - len(volumes) == items


def test_units_are_those_of_ucum(identified: Report) -> None:
    units = set(read(identified, "measurement").unit_source_value)
    assert {"mGy.cm", "mGy"} <= units
    for unit in units:
        assert ucum(unit) == unit


def test_twice_is_the_same(store: Store, identified: Report, tmp_path: Path) -> None:
    again = write(store, tmp_path, Asked("parquet"), SETTINGS)
    for name in identified.rows:
        pd.testing.assert_frame_equal(read(again, name), read(identified, name))
    one = write(store, tmp_path / "csv", Asked("csv"), SETTINGS)
    first = {path.name: path.read_bytes() for path in one.files}
    two = write(store, tmp_path / "csv", Asked("csv"), SETTINGS)
    assert first == {path.name: path.read_bytes() for path in two.files}


def test_nothing_of_a_person_is_in_pseudonymous_tables(
    store: Store, settings: Settings, identified: Report, tmp_path: Path
) -> None:
    report = write(store, tmp_path, Asked("csv", pseudonyms="research"), settings)
    assert report.rows == identified.rows
    text = "\n".join(path.read_text() for path in report.files)
    series = store.read("series").to_pylist()
    for row in series:
        for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber"):
            assert not row[name] or f"{row[name]}" not in text.replace(",", "\n").split("\n")
        if row["PatientName"]:
            assert row["PatientName"].split("^")[0] not in text
    plain, hidden = read(identified, "person"), read(report, "person")
    assert not set(plain.person_id) & set(hidden.person_id)
    assert hidden.day_of_birth.isna().all()
    ids = set(read(identified, "image_occurrence").image_occurrence_id)
    assert not ids & set(read(report, "image_occurrence").image_occurrence_id)
    days = pd.to_datetime(read(report, "procedure_occurrence").procedure_date)
    before = pd.to_datetime(read(identified, "procedure_occurrence").procedure_date)
    assert days.max() < before.max()


def vocabulary(folder: Path) -> Path:
    """Files as Athena gives them, with concepts that are made up."""
    rows = [
        (1001, "DLP", "DICOM", "S", "113838"), (1002, "dose length", "UCUM", "S", "mGy.cm"),
        (1003, "Computed Tomography", "DICOM", "", "CT"), (1005, "MALE", "Gender", "S", "M"),
        (1006, "measurement.measurement_id", "CDM", "S", "CDM7"),
        (1007, "EHR", "Type Concept", "S", "OMOP7"),
    ]  # fmt: skip
    head = "concept_id concept_name domain_id vocabulary_id concept_class_id standard_concept "
    lines = [
        "\t".join((head + "concept_code valid_start_date valid_end_date invalid_reason").split())
    ]
    for number, name, scheme, standard, code in rows:
        told = [str(number), name, "X", scheme, "X", standard, code, "19700101", "20991231", ""]
        lines.append("\t".join(told))
    path = folder / "CONCEPT.csv"
    path.write_text("\n".join(lines) + "\n")
    (folder / "CONCEPT_RELATIONSHIP.csv").write_text(
        "concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\t"
        "invalid_reason\n1003\t1004\tMaps to\t19700101\t20991231\t\n"
    )
    return path


def test_concepts_come_from_the_files_of_a_person(
    store: Store, identified: Report, tmp_path: Path
) -> None:
    asked = Asked("parquet", vocabulary=vocabulary(tmp_path))
    report = write(store, tmp_path / "out", asked, SETTINGS)
    measurement = read(report, "measurement")
    dlp = measurement[measurement.measurement_source_value == "DCM:113838 DLP"]
    assert set(dlp.measurement_concept_id) == {1001}
    assert set(dlp.unit_concept_id) == {1002}
    assert set(dlp.measurement_type_concept_id) == {1007}
    others = measurement[measurement.measurement_source_value != "DCM:113838 DLP"]
    assert set(others.measurement_concept_id) == {0}
    features = read(report, "image_feature")
    assert set(features.image_feature_event_field_concept_id) <= {1006, 0}
    images = read(report, "image_occurrence")
    assert set(images.modality_concept_id) == {0, 1004}  # CT, followed to its standard
    assert (images.modality_concept_id == 1004).sum() == counted(
        store, "select count(*) from series where \"Modality\" = 'CT'"
    )
    assert report.codes - report.unmapped == 6
    assert list(images.image_occurrence_id) == list(
        read(identified, "image_occurrence").image_occurrence_id
    )


def test_a_cohort_is_all_that_is_written(store: Store, tmp_path: Path) -> None:
    cohorts.freeze(store.path, "ct", "Modality = 'CT'")
    report = write(store, tmp_path, Asked("parquet", cohort="ct"), SETTINGS)
    told = counted(store, "select count(*) from series where \"Modality\" = 'CT'")
    assert report.rows["image_occurrence"] == told
    codes = read(report, "source_codes")
    assert set(codes[codes.field == "modality"].source_value) == {"DCM:CT"}


def test_mistakes_are_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="csv, parquet"):
        Asked("xml")
    with pytest.raises(UsageError, match="cohort"):
        write(store, tmp_path, Asked(cohort="none"), SETTINGS)
    with pytest.raises(UsageError, match="Athena"):
        write(store, tmp_path, Asked(vocabulary=tmp_path / "none.csv"), SETTINGS)
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a\tb\n1\t2\n")
    with pytest.raises(UsageError, match="concept_code"):
        write(store, tmp_path, Asked(vocabulary=wrong), SETTINGS)
