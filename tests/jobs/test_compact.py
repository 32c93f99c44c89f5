"""Compaction: fewer files, the same answers."""

from __future__ import annotations

import pytest

from dicomlake.errors import LakeError
from dicomlake.jobs import index as indexing
from dicomlake.jobs import reading, tidy
from dicomlake.jobs.compact import compact
from dicomlake.lake import Store

from .made import content, healthy, put, run, slice_of


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder, and a lake of it that has many small files."""
    monkeypatch.setattr(reading, "CHUNK_FILES", 1)
    monkeypatch.setattr(indexing, "COMMIT_AT", 0)
    for series in range(6):
        for number in range(3):
            put(tmp_path / "files", f"{series}/{number}.dcm", slice_of(series, number))
    put(tmp_path / "files", "bad.dcm", b"")
    run(tmp_path / "files", tmp_path / "lake")
    return tmp_path / "files", tmp_path / "lake"


@pytest.mark.parametrize("full", [False, True])
def test_the_content_stays(places, full):
    folder, lake = places
    before, version = content(lake), Store(lake).version
    report = compact(lake, full=full)
    assert content(lake) == before
    assert content(lake, version) == before
    assert sum(report.files_after.values()) < sum(report.files_before.values())
    assert len(Store(lake).paths("elements")) == 1
    assert "rows that nobody could see" in str(report)
    assert run(folder, lake).counts["objects"] == 0
    assert content(lake) == before
    healthy(lake)


def test_old_versions_are_kept_or_deleted_as_asked(places):
    folder, lake = places
    version, before = Store(lake).version, content(lake)
    put(folder, "0/9.dcm", slice_of(0, 9))
    run(folder, lake)
    compact(lake, full=True)
    assert content(lake, version)["elements"] == before["elements"]
    report = compact(lake, vacuum_hours=0)
    assert report.expired > 0
    assert report.bytes_freed > 0
    with pytest.raises(LakeError, match="cannot be read any more"):
        Store(lake, version)
    healthy(lake)
    paths = {path for name in ("series", "elements") for path in Store(lake).paths(name)}
    there = {str(p) for name in ("series", "elements") for p in (lake / name).glob("*.parquet")}
    assert there == paths


def test_compaction_is_a_run_and_needs_the_lock(places):
    _, lake = places
    with Store(lake).lock(), pytest.raises(LakeError, match="Another process"):
        compact(lake)
    report = compact(lake)
    row = next(r for r in Store(lake).read("runs").to_pylist() if r["run_id"] == report.run_id)
    assert (row["kind"], row["state"]) == ("compact", "finished")


def test_compaction_of_an_empty_lake(tmp_path):
    Store.create(tmp_path / "lake")
    compact(tmp_path / "lake", full=True, vacuum_hours=0)
    healthy(tmp_path / "lake")


def test_a_run_of_indexing_tidies_when_there_are_many_small_files(places, monkeypatch):
    folder, lake = places
    monkeypatch.setattr(tidy, "MANY_FILES", 3)
    put(folder, "new.dcm", slice_of("new", 1))
    run(folder, lake)
    assert len(Store(lake).paths("elements")) == 1
    run(folder, folder.parent / "fresh")
    assert content(lake) == content(folder.parent / "fresh")
