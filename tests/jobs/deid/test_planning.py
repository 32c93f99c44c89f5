"""A plan says what cleaning does, for files and for a lake."""

from __future__ import annotations

from pathlib import Path

import pytest

import dicomlake
from dicomlake.deid.plan import html, totals
from dicomlake.deid.profiles import profile_of
from dicomlake.jobs.deid.planning import plan_of_files
from tests.deid.made import cleaner, read, sample, written


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    ds = read(sample())
    ds.PatientComments = "Zebrowski"
    (folder / "a.dcm").write_bytes(written(ds))
    return folder


def test_a_plan_is_what_happens(images: Path, tmp_path: Path) -> None:
    rows = plan_of_files(images, "basic")
    patient = cleaner(tmp_path).patient([], "1CT1")
    after = read(patient.clean((images / "a.dcm").read_bytes()).data)
    before = read((images / "a.dcm").read_bytes())
    there = {e.keyword for e in after if e.keyword and not e.tag.is_private}
    for row in rows:
        if "." in row.path or row.path.startswith("(") or row.path not in before:
            continue
        assert (row.path in there) == (row.what != "removed"), row
        if row.what == "emptied":
            assert not after[row.path].value
        if row.what == "kept":
            assert after[row.path].value == before[row.path].value
        if row.what.startswith("replaced") and before[row.path].value:
            assert after[row.path].value != before[row.path].value
    assert {"removed", "emptied", "kept"} <= set(totals(rows))


def test_values_are_told_only_when_asked_for(images: Path) -> None:
    assert not any(row.before or row.after for row in plan_of_files(images, "basic"))
    rows = {row.path: row for row in plan_of_files(images, "modified-dates", examples=True)}
    assert rows["PatientComments"].before == "Zebrowski"
    assert rows["PatientComments"].after == ""
    assert rows["StudyDate"].after not in ("", rows["StudyDate"].before)
    assert rows["PatientID"].after not in ("", "1CT1")
    page = "".join(html(profile_of("basic"), rows.values()))
    assert "Zebrowski" in page
    assert "<td>StudyDate" in page


def test_a_lake_is_planned_as_its_files_are(images: Path, tmp_path: Path) -> None:
    lake = dicomlake.make(images, tmp_path / "lake")
    told = {(r.path, r.what, r.why) for r in plan_of_files(images, "research")}
    found = {(r.path, r.what, r.why) for r in lake.plan("research")}
    assert len(found) > 150
    assert {one for one in found if one not in told} == set()
    assert lake.plan("research", "Modality = 'MR'") == []
    assert {r.objects for r in lake.plan("basic", "Modality = 'CT'")} == {1}
