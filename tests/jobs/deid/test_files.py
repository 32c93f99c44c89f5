"""A folder becomes another one: the same for one worker and several, and again."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

from dicomlake.errors import UsageError
from dicomlake.jobs.deid.files import REFUSED, REPORT, deidentify_files
from tests.deid.made import read, sample, settings_of, written

NAME = "Zebrowski^Annegret"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / f"images of {NAME}"
    for number in range(6):
        ds = read(sample())
        ds.PatientID, ds.PatientName = f"P{number % 2}4711", NAME if number % 2 else "Quist^Ole"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.9.{number}"
        ds.SeriesInstanceUID = f"1.9.77.{number % 3}"
        ds.ManufacturerModelName = "Scanner of Zebrowski"
        path = folder / f"{NAME}{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(written(ds))
    (folder / "broken.dcm").write_bytes(sample("MR_truncated.dcm"))
    (folder / "note.txt").write_text("no DICOM")
    (folder / "DICOMDIR").write_bytes(sample("DICOMDIR"))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.dcm"))
    }


def test_files_get_new_names_and_nothing_is_left(source: Path, tmp_path: Path) -> None:
    out, inside = tmp_path / "out", tmp_path / "quarantine"
    told = deidentify_files(source, out, "basic", settings_of(tmp_path), quarantine=inside)
    assert (told.written, told.patients, told.no_dicom) == (6, 3, 1)  # one of them is refused
    assert told.refused == {"structure": 1, "dicomdir": 1}
    for path, data in tree(out).items():
        # One who is not named Zebrowski may keep a scanner of that name.
        assert b"4711" not in data
        assert NAME.encode() not in data
        ds = read(data)
        uids = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        assert path == "/".join([ds.PatientID, *uids]) + ".dcm"
        assert ds.PatientIdentityRemoved == "YES"
    report = (out / REPORT).read_text()
    assert "Zebrowski" not in report
    assert json.loads(report)["codes"] == ["113100"]
    lines = [json.loads(line) for line in (inside / REFUSED).read_text().splitlines()]
    assert {line["check"] for line in lines} == {"structure", "dicomdir"}
    assert all((inside / line["file"]).exists() for line in lines)


def test_workers_and_order_do_not_matter(source: Path, tmp_path: Path) -> None:
    keys = settings_of(tmp_path)
    deidentify_files(source, tmp_path / "one", "basic", keys)
    deidentify_files(source, tmp_path / "two", "basic", keys, workers=2)
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, path in enumerate(sorted(source.glob("Z*.dcm"), reverse=True)):
        (renamed / f"{number}").write_bytes(path.read_bytes())
    deidentify_files(renamed, tmp_path / "three", "basic", keys)
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(tmp_path / "three") != {}


def test_it_goes_on_where_it_was_stopped(source: Path, tmp_path: Path) -> None:
    out, keys = tmp_path / "out", settings_of(tmp_path)
    deidentify_files(source, out, "basic", keys)
    before = tree(out)
    next(iter(out.rglob("*.dcm"))).unlink()
    told = deidentify_files(source, out, "basic", keys)
    assert (told.written, told.there) == (1, 5)
    assert tree(out) == before
    with pytest.raises(UsageError, match="another profile or another key"):
        deidentify_files(source, out, "device", keys)


def test_folders_are_checked(source: Path, tmp_path: Path) -> None:
    keys = settings_of(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        deidentify_files(tmp_path / "none", tmp_path / "out", "basic", keys)
    with pytest.raises(UsageError, match="inside the old one"):
        deidentify_files(source, source / "out", "basic", keys)
    with pytest.raises(UsageError, match="not empty"):
        deidentify_files(source, tmp_path, "basic", keys)
    assert pydicom.dcmread(next(source.glob("Z*1.dcm"))).PatientName == NAME
