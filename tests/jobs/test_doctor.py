"""The doctor sees every damage, and nothing where there is none."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from dicomlake import tables
from dicomlake.jobs import doctor
from dicomlake.jobs.compact import compact
from dicomlake.jobs.contents import contents
from dicomlake.jobs.doctor import examine
from dicomlake.lake import Store

from .inside import LIVER, measured, segmented
from .inside import made as inside
from .made import content, put, run, slice_of


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    for series in "ab":
        for number in range(2):
            put(folder / "files", f"{series}{number}.dcm", slice_of(series, number))
            description = measured(1.0, 2.0) if series == "a" else segmented(LIVER)
            put(folder / "files", f"inside {series}{number}", inside(series, number, description))
    run(folder / "files", folder / "lake")
    return folder / "lake"


@pytest.fixture
def lake(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "lake")
    return tmp_path / "lake"


def said(lake: Path, level: str) -> str:
    return "\n".join(f.what for f in examine(lake) if f.level == level)


def series(lake: Path) -> pa.Table:
    return Store(lake).read("series")


def test_a_good_lake_is_well(lake):
    findings = examine(lake)
    assert {finding.level for finding in findings} == {"ok"}
    assert all(finding.what and not finding.advice for finding in findings)


def test_examining_changes_nothing(lake):
    before = {str(p): p.stat().st_mtime_ns for p in lake.rglob("*")}
    examine(lake)
    assert {str(p): p.stat().st_mtime_ns for p in lake.rglob("*")} == before


def test_no_lake_and_another_layout(tmp_path, lake):
    assert "is no lake" in said(tmp_path, "error")
    (lake / "dicomlake.json").write_text('{"layout": 77}')
    assert "layout 77" in said(lake, "error")


def test_a_table_that_cannot_be_opened(lake):
    shutil.rmtree(lake / "files" / "_delta_log")
    assert "table files" in said(lake, "error")


@pytest.mark.parametrize("name", ["files", "vocabulary"])
def test_a_table_with_other_columns(lake, name):
    shutil.rmtree(lake / name)
    schema = tables.ALL[name].remove(1).append(pa.field("colour", pa.string()))
    DeltaTable.create(str(lake / name), schema)
    problem = said(lake, "error")
    assert f"{tables.ALL[name].names[1]} is missing" in problem
    assert "colour is unknown" in problem


def test_a_table_with_other_types_or_comments(lake):
    for change, problem in (
        (lambda f: f.with_type(pa.int64()), "column run_id is int64, not string"),
        (lambda f: f.with_metadata({"comment": "else"}), "column run_id has another comment"),
    ):
        shutil.rmtree(lake / "files")
        schema = tables.FILES.set(0, change(tables.FILES.field(0)))
        DeltaTable.create(str(lake / "files"), schema)
        assert problem in said(lake, "error")


def test_files_that_are_missing_cut_or_damaged(lake):
    path = Path(Store(lake).paths("instances")[0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert "1 files of table instances are of another size" in said(lake, "error")
    path.write_bytes(bytes(len(whole)))
    assert "1 files of table instances are damaged" in said(lake, "error")
    path.unlink()
    assert "1 files of table instances are missing" in said(lake, "error")
    assert all(f.advice for f in examine(lake) if f.level == "error")


def test_series_without_instances_or_elements(lake):
    store = Store(lake)
    one = series(lake).column("series_id")[0].as_py()
    store.remove("instances", "series_id", [one])
    assert "1 series have no instances" in said(lake, "error")
    store.remove("elements", "series_id", [one])
    assert "1 series have no elements" in said(lake, "error")


def test_wrong_numbers_of_instances(lake):
    store = Store(lake)
    rows = store.read("instances")
    store.append("instances", rows.slice(0, 1))
    problem = said(lake, "error")
    assert "1 series hold another number of instances than said" in problem
    assert "1 instances are in their series more than once" in problem


def test_series_that_are_there_twice(lake):
    store = Store(lake)
    rows = series(lake).slice(0, 1)
    store.append("series", rows)
    problem = said(lake, "error")
    assert "1 series share their series_id with another" in problem
    assert "1 series are in the lake more than once" in problem


def test_rows_that_nobody_sees_are_counted_and_compacted(lake):
    gone = series(lake).slice(0, 1).to_pylist()[0]
    Store(lake).remove("series", "SeriesInstanceUID", [gone["SeriesInstanceUID"]])
    notices = said(lake, "notice")
    assert f"{gone['instances']} rows of instances belong to no current series" in notices
    assert "rows of elements belong to no current series" in notices
    before = content(lake)
    report = compact(lake)
    assert report.rows_dropped > 2
    assert content(lake) == before
    assert "belong to no current series" not in said(lake, "notice")


def test_rows_of_contents_without_instance_or_parent(lake):
    store = Store(lake)
    items = store.read("items")
    assert items.num_rows > 8
    stray = items.slice(0, 2).to_pylist()
    for row in stray:
        row["SOPInstanceUID"] = "1.2.3"
        row["parent"] = None
    store.append("items", pa.Table.from_pylist(stray, tables.ITEMS))
    segment = {**store.read("segments").to_pylist()[0], "SOPInstanceUID": "1.2.3"}
    store.append("segments", pa.Table.from_pylist([segment], tables.SEGMENTS))
    problem = said(lake, "error")
    assert "2 rows of items belong to no instance" in problem
    assert "1 rows of segments belong to no instance" in problem
    assert "that is not there" not in problem
    store.overwrite("items", items.filter(pc.greater(items.column("item"), 1)))
    assert "content items lie in one that is not there" in said(lake, "error")
    contents(lake)
    assert said(lake, "error") == ""


def test_other_readers_of_contents(lake, monkeypatch):
    store = Store(lake)
    store.note_content_readers({"report": 1, "older": 1})
    assert "read by other readers: dose, older, segments, waveforms differ" in said(lake, "notice")
    found = [f for f in examine(lake) if f.level == "notice"]
    assert [f.advice for f in found] == ["Run dicomlake contents."]
    contents(lake)
    assert said(lake, "notice") == ""


def test_rows_of_contents_that_nobody_sees_are_compacted(lake):
    uid = Store(lake).read("series", ["SeriesInstanceUID"]).column(0)[0].as_py()
    before = content(lake)
    Store(lake).remove("series", "SeriesInstanceUID", [uid])
    seen = content(lake)
    assert seen["items"] != before["items"] or seen["segments"] != before["segments"]
    compact(lake)
    assert content(lake) == seen
    store = Store(lake)
    for name in tables.CONTENTS:
        with store.database(current=False) as db:
            there = db.execute(f"select count(*) from {name}").fetchall()[0][0]
        assert there == len(seen[name])


def test_runs_that_were_cut_off_or_go_on(lake):
    store = Store(lake)
    row = {"run_id": "x", "kind": "index", "state": "running"}
    store.append("runs", pa.Table.from_pylist([row], tables.RUNS))
    assert "1 runs were killed before their end" in said(lake, "notice")
    with store.lock():
        assert "somebody is writing to the lake now" in said(lake, "notice")
    compact(lake)
    assert said(lake, "notice") == ""
    later = datetime(2100, 1, 1, tzinfo=UTC)
    row = {"run_id": "y", "kind": "index", "state": "failed", "started": later}
    store = Store(lake)
    store.append("runs", pa.Table.from_pylist([row], tables.RUNS))
    assert "the last run (index) was failed" in said(lake, "notice")


def test_failures_are_counted_by_reason(lake):
    rows = [{"uri": f"{n}", "reason": f"reason {n % 12}"} for n in range(13)]
    Store(lake).append("failures", pa.Table.from_pylist(rows, tables.FAILURES))
    notices = said(lake, "notice")
    assert "2 could not be read: reason 0" in notices
    assert "2 could not be read for 2 other reasons" in notices


def test_small_files_leftovers_and_disk_space(lake, monkeypatch):
    store = Store(lake)
    monkeypatch.setattr(doctor, "MANY_FILES", 2)
    for n in range(5):
        store.append("files", pa.Table.from_pylist([{"uri": f"{n}"}], tables.FILES))
    assert "table files has 5 small files" in said(lake, "notice")
    (lake / "elements" / "part-1.parquet").write_bytes(b"...")
    (lake / "_work" / "run").mkdir(parents=True)
    assert "2 files or folders were left by a killed run" in said(lake, "notice")
    report = compact(lake)
    assert report.leftovers == 2
    assert said(lake, "notice") == ""
    monkeypatch.setattr(doctor, "FREE_BYTES", 1 << 62)
    assert "GB free" in said(lake, "notice")


def test_the_vocabulary_of_another_version(lake):
    store = Store(lake)
    row = pa.Table.from_pylist([{"path": "Modality"}], tables.VOCABULARY)
    store.append("vocabulary", row, counted=json.dumps({"series": store.version}))
    assert "the vocabulary is that of the newest version" in said(lake, "ok")
    store.append("series", series(lake).slice(0, 0))
    uid = series(lake).column("SeriesInstanceUID")[0].as_py()
    compact(lake, full=True)
    assert "the vocabulary is that of the newest version" in said(lake, "ok")
    Store(lake).remove("series", "SeriesInstanceUID", [uid])
    assert "the vocabulary was counted from version" in said(lake, "notice")
