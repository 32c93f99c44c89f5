"""The lake in a notebook."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

import dicomlake
from dicomlake.errors import LakeError, UnknownAttribute, UsageError
from dicomlake.query import Compare, Query
from dicomlake.testing import dicom, hospital


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> dicomlake.Lake:
    place = tmp_path_factory.mktemp("api")
    hospital.write(place / "archive", 10)
    return dicomlake.make(place / "archive", place / "lake", workers=1)


def test_text_tree_and_query_give_the_same_answer(lake: dicomlake.Lake) -> None:
    text = lake.query("Modality = 'MR'", level="patient")
    tree = lake.query(Compare("Modality", "=", "MR"), level="patient")
    whole = lake.query(Query(Compare("Modality", "=", "MR"), level="patient"))
    assert text.total == tree.total == whole.total == len(text)
    assert text.total == hospital.summary(10).by_modality["patients"]["MR"]


def test_columns_show_the_series_that_meet_the_condition(lake: dicomlake.Lake) -> None:
    shown = lake.query("Modality = 'MR'", level="patient", show=["PatientID", "Modality"])
    assert {row["Modality"] for row in shown} == {"MR"}
    both = "Modality = 'MR' and Modality = 'SEG'"  # no series is both: all of the patient's say it
    shown = lake.query(both, level="patient", show=["Modality"])
    assert all({"MR", "SEG"} <= set(row["Modality"].split("; ")) for row in shown)
    assert len(shown) > 0


def test_an_answer_turns_into_arrow_pandas_and_polars(lake: dicomlake.Lake) -> None:
    answer = lake.query("Modality = 'CT'", show=["PatientID", "SliceThickness"])
    assert isinstance(answer.arrow(), pa.Table)
    assert list(answer.pandas().columns) == ["PatientID", "SliceThickness"]
    assert answer.polars().height == len(answer) == answer.total
    assert next(iter(answer)).keys() == {"PatientID", "SliceThickness"}


def test_an_answer_shows_itself_without_running_what_it_shows(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    name = "<script>alert(1)</script>"
    data = dicom.encode(dicom.image(SeriesDescription=name, PatientID="<b>"))
    (folder / "a.dcm").write_bytes(data)
    lake = dicomlake.make(folder, tmp_path / "lake", workers=1)
    shown = lake.query("", show=["PatientID", "SeriesDescription"])._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_tables_of_the_lake_are_arrow(lake: dicomlake.Lake) -> None:
    assert lake.series.num_rows == lake.totals["series"]
    assert lake.table("instances", ["SOPInstanceUID"]).num_rows == lake.totals["instances"]
    with pytest.raises(UsageError, match="There are: series, instances"):
        lake.table("things")


def test_a_lake_says_what_it_is(lake: dicomlake.Lake) -> None:
    assert "10 patients" in repr(lake)
    assert "patients" in lake._repr_html_()


def test_a_lake_stays_at_its_version_until_refreshed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(dicom.encode(dicom.image(SOPInstanceUID="2.25.1")))
    lake = dicomlake.make(folder, tmp_path / "lake", workers=1)
    other = dicomlake.open(tmp_path / "lake")
    more = dicom.image(SOPInstanceUID="2.25.2", SeriesInstanceUID="2.25.3")
    (folder / "b.dcm").write_bytes(dicom.encode(more))
    lake.index(folder, workers=1)
    assert lake.query("").total == 2
    assert other.query("").total == 1
    assert dicomlake.open(tmp_path / "lake", version=other.version).query("").total == 1
    assert other.refresh().query("").total == 2


def test_mistakes_are_named(lake: dicomlake.Lake, tmp_path: Path) -> None:
    with pytest.raises(UnknownAttribute, match="Did you mean Modality"):
        lake.query("Modalty = 'MR'")
    with pytest.raises(LakeError, match="is no lake"):
        dicomlake.open(tmp_path)
    with pytest.raises(LakeError, match="no version 999"):
        dicomlake.open(lake.path, version=999)


SIZES = {
    "name": "sizes",
    "columns": {"site": "*.[SCT:363698007]", "long": {"path": "*.[SCT:103339001]", "unit": "cm"}},
}


def test_an_extraction_is_previewed_made_kept_and_asked(lake: dicomlake.Lake) -> None:
    found = lake.preview(SIZES)
    assert [hits.column for hits in found] == ["site", "long"]
    assert found[1].units == {"mm": found[1].values}
    assert lake.preview(SIZES, sample=1).looked == 1
    rows = lake.extract(SIZES)
    assert (rows.num_rows, lake.extractions) == (found[1].values, [])
    with pytest.raises(UsageError, match="DuckDB says"):
        lake.sql("select * from extraction_sizes")
    assert lake.extract(SIZES, keep=True).equals(rows)
    assert lake.extraction("sizes").equals(rows)
    (kept,) = lake.extractions
    assert (kept.name, kept.version, kept.rows, kept.lake_version) == (
        "sizes", 0, rows.num_rows, lake.version)  # fmt: skip
    assert lake.sql("select max(long) as n from extraction_sizes").to_pylist() == [
        {"n": max(rows.column("long").to_pylist())}
    ]
    joined = lake.sql(
        'select count(*) as n from Extraction_sizes join instances using ("SOPInstanceUID")'
    )
    assert joined.to_pylist() == [{"n": rows.num_rows}]


def test_the_view_is_the_newest_version_also_an_empty_one(lake: dicomlake.Lake) -> None:
    few = {"name": "few", "columns": {"sex": "PatientSex"}}
    lake.extract(few, keep=True)
    assert lake.sql("select count(sex) as n from extraction_few").to_pylist()[0]["n"] > 0
    none = {"name": "few", "where": "PatientID = 'nobody'", "columns": {"age": "PatientAge"}}
    lake.extract(none, keep=True)
    assert lake.sql("select age from extraction_few").num_rows == 0
    lake.extract(few, keep=True)
    assert lake.sql("select sex from extraction_few").num_rows > 0
    assert lake.extraction("few", 1).num_rows == 0
    with pytest.raises(UsageError, match="only reads"):
        lake.sql("drop view extraction_few")


def test_what_is_inside_of_an_object(lake: dicomlake.Lake) -> None:
    uid = lake.table("items", ["SOPInstanceUID"]).column(0)[0].as_py()
    items = lake.inside(uid)["items"]
    assert items.column("item").to_pylist() == list(range(1, items.num_rows + 1))
    plain = lake.query("Modality = 'MR'", level="instance", limit=1, show=["SOPInstanceUID"])
    assert lake.inside(next(iter(plain))["SOPInstanceUID"]) == {}
    with pytest.raises(UsageError, match="No instance of the lake"):
        lake.inside("1.2.3")


def test_what_is_no_dicom_comes_in_and_the_lake_goes_out(tmp_path: Path) -> None:
    hospital.write(tmp_path / "archive", 10)
    truth = hospital.histories(tmp_path / "clinic", patients=10)
    hospital.originals(tmp_path / "hearts", 10)
    lake = dicomlake.make(tmp_path / "archive", tmp_path / "lake", workers=1)
    before = lake.version
    ecgs = sorted((tmp_path / "hearts" / "ecg").rglob("*.*"))
    report = lake.convert(tmp_path / "hearts" / "ecg")
    assert (report.converted, report.objects) == (len(ecgs), 2 * len(ecgs))
    assert lake.version > before
    assert lake.query("*.[MDC:2:16160] exists", level="study").total >= len(ecgs) > 0
    for name in ("NORD", "SUD", "WEST"):
        mapping = tmp_path / "clinic" / "SUD.yaml" if name == "SUD" else None
        lake.bring_facts(tmp_path / "clinic" / name, source=name, issuer=name, mapping=mapping)
    kinds = Counter(lake.table("clinical_events", ["kind"]).column("kind").to_pylist())
    del kinds["patient"]  # persons themselves are no part of the truth
    assert kinds == truth.facts
    wrote = lake.omop(tmp_path / "omop", pseudonyms="")
    assert wrote.rows["image_occurrence"] > 0
    assert (tmp_path / "omop" / "image_feature.csv").is_file()
