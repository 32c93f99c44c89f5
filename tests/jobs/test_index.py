"""What indexing leaves in a lake: everything, once, and what changed."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from dicomlake.errors import LakeError, UsageError
from dicomlake.jobs import index as indexing
from dicomlake.jobs import reading
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.sources.folder import uri_of
from dicomlake.testing.dicom import uid
from dicomlake.testing.hospital import Summary, write

from .made import content, healthy, known_files, put, run, slice_of, uids

NOTHING_READ = {"objects": 0, "series": 0, "changed": 0, "vanished": 0}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("hospital") / "files"
    return folder, write(folder)


@pytest.fixture(scope="module")
def indexed(hospital, tmp_path_factory):
    lake = tmp_path_factory.mktemp("lake") / "lake"
    return lake, index([hospital[0]], lake, workers=2)


def every_file(folder: Path) -> set[str]:
    return {uri_of(str(path)) for path in folder.rglob("*") if path.is_file()}


def test_the_hospital_is_counted_exactly(hospital, indexed):
    folder, truth = hospital
    lake, report = indexed
    assert report.counts["files"] == truth.files
    assert report.counts["objects"] == truth.objects
    assert report.counts["series"] == truth.series
    assert report.counts["duplicate"] == truth.duplicates
    assert report.counts["not DICOM"] == sum(truth.foreign.values())
    assert sum(report.failures.values()) == sum(truth.failures.values())
    assert report.failures["the file is empty"] == truth.failures["empty"]
    found = {k: report.lake[k] for k in ("patients", "studies", "series", "instances")}
    assert found == {
        "patients": truth.patients,
        "studies": truth.studies,
        "series": truth.series,
        "instances": truth.objects,
    }
    with Store(lake).database() as db:
        inside = "select count(*) from instances where uri like '%::%'"
        assert db.execute(inside).fetchall()[0][0] == sum(truth.archives.values())
        states = dict(db.execute("select state, count(*) from files group by 1").fetchall())
        outside = "select count(*) from files where state = 'DICOMDIR' and uri not like '%::%'"
        assert db.execute(outside).fetchall()[0][0] == truth.dicomdirs
        modalities = dict(
            db.execute('select "Modality", count(*) from series group by 1').fetchall()
        )
    archives = [p for p in folder.rglob("*") if p.suffix in (".zip", ".tar")]
    assert states["archive"] == report.counts["archive"] == len(archives)
    assert modalities == truth.by_modality["series"]
    assert set(known_files(lake)) == every_file(folder)
    healthy(lake)


def test_a_second_run_reads_nothing(hospital, indexed):
    folder, truth = hospital
    lake, _ = indexed
    before, version = content(lake), Store(lake).version
    report = run(folder, lake)
    assert report.counts == {**NOTHING_READ, "files": truth.files, "unchanged": truth.files}
    assert content(lake) == before
    assert Store(lake).version == version


def test_one_process_and_two_give_the_same_lake(hospital, indexed, tmp_path):
    run(hospital[0], tmp_path / "lake")
    assert content(tmp_path / "lake") == content(indexed[0])


def corpus() -> Path | None:
    """The corpus of real objects beside the repository, if it is there."""
    for above in Path(__file__).resolve().parents:
        for folder in (above / "corpus", above.parent / "shared" / "corpus"):
            if (folder / "MANIFEST.csv").is_file():
                return folder.resolve()
    return None


def test_the_corpus_is_accounted_for(tmp_path):
    folder = corpus()
    if folder is None:
        pytest.skip("no corpus of real objects beside the repository (shared/corpus)")
    report = index([folder], tmp_path / "lake", workers=2)
    assert report.lake["instances"] == report.counts["objects"] > 100
    assert set(known_files(tmp_path / "lake")) == every_file(folder)
    healthy(tmp_path / "lake")


def test_the_test_files_of_pydicom_are_accounted_for(tmp_path):
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fallback reader is pydicom, which warns of damage
        report = run(folder, tmp_path / "lake")
    assert report.lake["instances"] == report.counts["objects"] > 50
    assert set(known_files(tmp_path / "lake")) == every_file(folder)
    healthy(tmp_path / "lake")


def test_touched_files_are_read_again(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    paths = [put(folder, f"{n}.dcm", slice_of(1, n)) for n in range(3)]
    run(folder, lake)
    before = content(lake)
    os.utime(paths[1], ns=(1, 1_600_000_000_000_000_000))
    report = run(folder, lake)
    assert (report.counts["changed"], report.counts["objects"], report.counts["series"]) == (
        1,
        1,
        1,
    )
    assert report.lake["instances"] == 3
    after = content(lake)
    assert (after["series"], after["elements"]) == (before["series"], before["elements"])
    assert run(folder, lake).counts["unchanged"] == 3


def test_changed_content_supersedes(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    for n in range(3):
        put(folder, f"{n}.dcm", slice_of(1, n))
    run(folder, lake)
    first = Store(lake).read("series", ["series_id"]).column(0).to_pylist()
    put(folder, "1.dcm", slice_of(1, 1, KVP=140, StudyDescription="new and longer"))
    report = run(folder, lake)
    assert (report.counts["series"], report.lake["instances"]) == (1, 3)
    second = Store(lake).read("series", ["series_id"]).column(0).to_pylist()
    assert len(second) == 1
    assert second[0] > first[0]
    kvp = {dict(row)["number"] for row in content(lake)["elements"] if dict(row)["path"] == "KVP"}
    assert kvp == {"120.0", "140.0"}
    fresh(folder, lake, tmp_path)


def fresh(folder: Path, lake: Path, tmp_path: Path) -> None:
    """The lake shows what a new lake of the same folder shows."""
    other = tmp_path / "fresh"
    run(folder, other)
    assert content(lake) == content(other)
    healthy(lake)


def test_a_file_replaced_by_an_object_of_another_series(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    for n in range(2):
        put(folder, f"{n}.dcm", slice_of("a", n))
    run(folder, lake)
    put(folder, "1.dcm", slice_of("b", 1, StudyDescription="another series"))
    run(folder, lake)
    assert uids(lake) == {uid("instance", "a", 0), uid("instance", "b", 1)}
    put(folder, "0.dcm", b"no longer an image, and a longer text than it was " * 40)
    run(folder, lake)
    assert uids(lake) == {uid("instance", "b", 1)}
    fresh(folder, lake, tmp_path)


def test_vanished_files_are_counted_and_pruned_on_request(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    for series in "ab":
        for n in range(2):
            put(folder, f"{series}{n}.dcm", slice_of(series, n))
    put(folder, "notes.txt", b"no image")
    run(folder, lake)
    for name in ("a0.dcm", "b0.dcm", "b1.dcm", "notes.txt"):
        (folder / name).unlink()
    report = run(folder, lake)
    assert report.counts["vanished"] == 4
    assert report.lake["instances"] == 4
    report = run(folder, lake, prune=True)
    assert report.counts["vanished"] == 4
    assert (report.lake["series"], report.lake["instances"]) == (1, 1)
    assert uids(lake) == {uid("instance", "a", 1)}
    assert run(folder, lake).counts["vanished"] == 0
    fresh(folder, lake, tmp_path)


def test_files_outside_the_folders_asked_for_have_not_vanished(tmp_path):
    lake = tmp_path / "lake"
    put(tmp_path / "one", "1.dcm", slice_of("a", 1))
    put(tmp_path / "one more", "1.dcm", slice_of("b", 1))
    run(tmp_path / "one", lake)
    report = run(tmp_path / "one more", lake, prune=True)
    assert (report.counts["vanished"], report.lake["instances"]) == (0, 2)


def test_folders_inside_each_other_and_twice_are_read_once(tmp_path):
    put(tmp_path / "files", "below/1.dcm", slice_of())
    lake = tmp_path / "lake"
    asked = [tmp_path / "files" / "below" / "1.dcm", tmp_path / "files" / "below"]
    report = index([*asked, tmp_path / "files", tmp_path / "files"], lake, workers=1)
    assert (report.counts["files"], report.counts["objects"]) == (1, 1)
    assert "duplicate" not in report.counts


def test_a_new_slice_joins_its_series_as_if_indexed_at_once(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    for n in range(30):
        put(folder, f"{n:02}.dcm", slice_of(1, n, ImageComments=f"comment {n}", KVP=100 + n % 3))
        if n % 7 == 0:
            run(folder, lake)
    run(folder, lake)
    fresh(folder, lake, tmp_path)


def test_duplicates_inside_a_batch_across_batches_and_across_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_FILES", 1)
    monkeypatch.setattr(indexing, "COMMIT_AT", 0)
    folder, lake = tmp_path / "files", tmp_path / "lake"
    for copy in "cab":
        put(folder, f"{copy}/1.dcm", slice_of(1, 1))
        put(folder, f"{copy}/2.dcm", slice_of(1, 2))
    report = run(folder, lake)
    assert (report.counts["objects"], report.counts["duplicate"]) == (2, 4)
    assert report.lake["instances"] == 2
    put(folder, "0/1.dcm", slice_of(1, 1))
    report = run(folder, lake)
    assert (report.counts["objects"], report.counts["series"]) == (1, 1)
    put(folder, "z/1.dcm", slice_of(1, 1))
    report = run(folder, lake)
    assert (report.counts["objects"], report.counts["duplicate"]) == (0, 1)
    assert report.counts["series"] == 0
    kept = Store(lake).read("instances", ["uri"]).column(0).to_pylist()
    assert sorted(uri[-7:] for uri in kept) == ["0/1.dcm", "a/2.dcm"]
    fresh(folder, lake, tmp_path)


@pytest.mark.parametrize("where", ["one batch", "two batches"])
def test_the_other_copy_takes_over_when_the_winner_vanishes(tmp_path, monkeypatch, where):
    if where == "two batches":
        monkeypatch.setattr(reading, "CHUNK_FILES", 1)
    folder, lake = tmp_path / "files", tmp_path / "lake"
    for copy in "abc":
        put(folder, f"{copy}/1.dcm", slice_of(1, 1))
        put(folder, f"{copy}/2.dcm", slice_of(1, 2))
    run(folder, lake)
    (folder / "a/1.dcm").unlink()
    run(folder, lake, prune=True)
    fresh(folder, lake, tmp_path)
    put(folder, "a/2.dcm", slice_of("other", 1))
    (folder / "b/1.dcm").unlink()
    run(folder, lake, prune=True)
    kept = Store(lake).read("instances", ["uri"]).column(0).to_pylist()
    assert sorted(uri[-7:] for uri in kept) == ["a/2.dcm", "b/2.dcm", "c/1.dcm"]
    assert content(lake) == (run(folder, tmp_path / "two"), content(tmp_path / "two"))[1]


def test_failures_are_tried_again_on_request_and_vanish_when_readable(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    put(folder, "1.dcm", slice_of(1, 1))
    bad = put(folder, "2.dcm", b"")
    report = run(folder, lake)
    assert report.failures == {"the file is empty": 1}
    assert run(folder, lake).counts["unchanged"] == 2
    report = run(folder, lake, retry_failures=True)
    assert report.counts["unchanged"] == 1
    assert report.lake["failures"] == 1
    bad.write_bytes(slice_of(1, 2))
    report = run(folder, lake)
    assert (report.lake["failures"], report.lake["instances"]) == (0, 2)
    bad.write_bytes(b"broken")
    run(folder, lake)
    bad.unlink()
    report = run(folder, lake)
    assert (report.counts["vanished"], report.lake["failures"]) == (1, 0)


def test_a_lake_inside_the_source_is_not_indexed(tmp_path):
    folder = tmp_path / "files"
    put(folder, "1.dcm", slice_of())
    lake = folder / "lake"
    assert run(folder, lake).counts["files"] == 1
    report = run(folder, lake)
    assert (report.counts["files"], report.counts["unchanged"]) == (1, 1)


def test_the_second_of_two_runs_is_refused(tmp_path):
    put(tmp_path / "files", "1.dcm", slice_of())
    store = Store.create(tmp_path / "lake")
    with store.lock(), pytest.raises(LakeError, match="Another process is writing"):
        run(tmp_path / "files", tmp_path / "lake")
    run(tmp_path / "files", tmp_path / "lake")


def test_a_path_that_does_not_exist_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        run(tmp_path / "nowhere", tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


def test_a_folder_of_other_files_does_not_become_a_lake(tmp_path):
    put(tmp_path / "files", "1.dcm", slice_of())
    with pytest.raises(LakeError, match="is no lake"):
        run(tmp_path / "files", tmp_path / "files")


@pytest.mark.parametrize("name", ["my lake", "ümlaut", "quo'te", "br[ack]et", "st*r", "#"])
def test_a_lake_may_have_any_name(tmp_path, name):
    folder, lake = tmp_path / "files", tmp_path / name
    put(folder, "1.dcm", slice_of(1, 1))
    run(folder, lake)
    put(folder, "2.dcm", slice_of(1, 2))
    assert run(folder, lake).lake["instances"] == 2
    healthy(lake)


@pytest.mark.parametrize("name", ["per%20cent", "back\\slash", "two\nlines", "que?st"])
def test_names_that_delta_tables_cannot_have_are_refused(tmp_path, name):
    put(tmp_path / "files", "1.dcm", slice_of(1, 1))
    with pytest.raises(LakeError, match="cannot be a lake"):
        run(tmp_path / "files", tmp_path / name)


def test_one_path_and_a_string_are_enough(tmp_path):
    path = put(tmp_path / "files", "1.dcm", slice_of())
    assert index(str(path), tmp_path / "lake").lake["instances"] == 1
    assert index(path, str(tmp_path / "lake")).counts["unchanged"] == 1


def test_a_making_that_was_cut_off_is_taken_up(tmp_path):
    put(tmp_path / "files", "1.dcm", slice_of())
    lake = tmp_path / "lake"
    Store.create(lake)
    (lake / "dicomlake.json").unlink()
    (lake / "files" / "_delta_log" / f"{0:020}.json").unlink()
    assert run(tmp_path / "files", lake).lake["instances"] == 1
    healthy(lake)


def test_random_order_makes_the_writer_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_FILES", 1)
    monkeypatch.setattr(indexing, "COMMIT_AT", 0)
    folder, lake = tmp_path / "files", tmp_path / "lake"
    for n in range(3):
        for series in range(9):
            put(folder, f"{n}/{series}.dcm", slice_of(f"s/{series}", n))
    report = run(folder, lake)
    assert (report.counts["objects"], report.counts["series"]) == (27, 9)
    fresh(folder, lake, tmp_path)
