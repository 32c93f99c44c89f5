"""Volumes are filled in once, go on after a stop, and no bad object stops them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

import dicomlake
from dicomlake import tables
from dicomlake.contracts import Contents, Silent
from dicomlake.errors import LakeError
from dicomlake.jobs import volumes as job
from dicomlake.jobs.compact import compact
from dicomlake.jobs.volumes import GONE, volumes
from dicomlake.lake import Store
from dicomlake.readers.segments import SegmentReader
from dicomlake.testing.dicom import encode, uid
from tests.readers.test_volumes import VOXEL, box, circle, contour, label_map, made, structure


def segments_of(lake: Path) -> None:
    """Rows of `segments`, as reading the contents of a lake makes them."""
    store, reader = Store(lake), SegmentReader()
    if store.read("segments").num_rows:
        return
    rows = []
    for row in store.read("instances", ["series_id", "SOPInstanceUID", "header"]).to_pylist():
        contents = Contents()
        contents.reader = reader.name
        reader.read(orjson.loads(row.pop("header")), contents)
        rows += [{**row, **found} for found in contents.rows["segments"]]
    with store.lock():
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            store.append("segments", pa.Table.from_pylist(part, tables.SEGMENTS))


def objects() -> dict[str, dict[str, Any]]:
    cylinder = structure([contour(circle(10, 2.0 * i)) for i in range(5)])
    return {
        "seg": made({1: box((3, 4, 5)), 2: box((1, 2, 2))}),
        "map": label_map("u2"),
        "rt": cylinder,
        "bare": made({1: box((3, 4, 5))}, SharedFunctionalGroupsSequence=[]),
    }


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, description in objects().items():
        said = {
            "SOPInstanceUID": uid(name),
            "SeriesInstanceUID": uid(name, "series"),
            "StudyInstanceUID": uid("study"),
            "PatientID": "P",
            "SeriesDescription": name,
        }
        data = encode(description | said)
        if name == "seg":
            with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("in/seg.dcm", data)
        else:
            (folder / name).write_bytes(data)
    dicomlake.make(folder, tmp_path / "lake")
    segments_of(tmp_path / "lake")
    return tmp_path / "lake"


def said(lake: Path) -> dict[tuple[str, int], tuple[Any, Any, Any]]:
    names = ["SOPInstanceUID", "number", "volume", "volume_problem", "present"]
    rows = Store(lake).read("segments", names).to_pylist()
    known = {uid(name): name for name in objects()}
    found = {(known[r["SOPInstanceUID"]], r["number"]): tuple(r.values())[2:] for r in rows}
    assert len(found) == len(rows) == 7
    return found


def runs_of(lake: Path) -> list[dict[str, Any]]:
    return sorted(Store(lake).read("runs").to_pylist(), key=lambda row: row["started"])


def check(lake: Path) -> None:
    found = said(lake)
    assert found["seg", 1] == (pytest.approx(60 * VOXEL), None, True)
    assert found["seg", 2] == (pytest.approx(4 * VOXEL), None, True)
    assert found["map", 1] == (pytest.approx(60 * VOXEL), None, True)
    assert found["map", 0][2] is True
    assert found["map", 300] == (pytest.approx(7 * VOXEL), None, True)
    assert found["rt", 1][0] == pytest.approx(3.1416, rel=1e-3)
    assert found["bare", 1] == (None, "no 3D geometry: its frames have no place in space", True)


def test_volumes_are_measured_once(lake: Path) -> None:
    assert said(lake)["map", 300] == (None, None, None)
    version = Store(lake).version
    report = volumes(lake)
    assert (report.objects, report.measured, report.unmeasured) == (4, 6, 1)
    check(lake)
    assert Store(lake).version == version
    assert volumes(lake).objects == 0
    assert volumes(lake, again=True).objects == 4
    check(lake)
    runs = runs_of(lake)
    assert [(r["kind"], r["state"]) for r in runs[-3:]] == [("volumes", "finished")] * 3
    assert orjson.loads(runs[-3]["counts"]) == {"objects": 4, "measured": 6, "unmeasured": 1}
    assert "4 objects opened; 6 segments" in str(report)


def test_compaction_keeps_them(lake: Path) -> None:
    volumes(lake)
    compact(lake, full=True, vacuum_hours=0)
    check(lake)


class Stopping(Silent):
    """Asks to stop after some objects."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, count: int = 1) -> None:
        self.left -= count
        self.cancelled = self.left <= 0


def test_it_goes_on_where_it_was_stopped(lake: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        volumes(lake, progress=Stopping(2))
    done = [key for key, (volume, problem, _) in said(lake).items() if volume or problem]
    assert 2 <= len(done) < 7
    assert runs_of(lake)[-1]["state"] == "interrupted"
    assert volumes(lake).objects == 2
    check(lake)


def test_checkpoints_are_committed(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "MOST_HELD", 1)
    volumes(Store(lake))
    check(lake)


def test_a_file_that_is_gone_is_tried_again(lake: Path) -> None:
    file = lake.parent / "in" / "map"
    data = file.read_bytes()
    file.unlink()
    (lake.parent / "in" / "rt").write_bytes(data)
    report = volumes(lake)
    assert report.unmeasured == 5
    found = said(lake)
    assert {found["map", n] for n in (0, 1, 300)} == {(None, GONE, None)}
    assert found["rt", 1] == (None, GONE, True)
    file.write_bytes(data)
    assert volumes(lake).objects == 2
    assert said(lake)["map", 300][0] == pytest.approx(7 * VOXEL)


def test_no_surprise_stops_it(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(job, "volumes_of", broken)
    assert volumes(lake).unmeasured == 7
    assert said(lake)["seg", 1][:2] == (None, "not measurable (ZeroDivisionError)")


def test_there_is_one_writer(lake: Path) -> None:
    with Store(lake).lock(), pytest.raises(LakeError):
        volumes(lake)


def test_a_lake_without_segments(tmp_path: Path) -> None:
    Store.create(tmp_path / "lake")
    assert volumes(tmp_path / "lake").objects == 0
