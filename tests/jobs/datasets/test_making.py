"""Datasets: made, stopped at any point and gone on with, always the same files."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dicomlake.errors import UsageError
from dicomlake.jobs.datasets import ledger as ledgers
from dicomlake.jobs.datasets.ledger import Ledger, forget, past
from dicomlake.jobs.datasets.making import MARK, begin, make, run
from dicomlake.jobs.datasets.places import sha256_of
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.lake import Store
from dicomlake.testing.dicom import encode, image, uid
from tests.jobs.made import put, slice_of
from tests.jobs.made import run as index

MADE = "2024-01-31T12:00:00Z"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients, two series each, of twelve images."""
    folder = tmp_path_factory.mktemp("archive")
    for who in range(3):
        for which in range(2):
            for number in range(1, 13):
                put(folder, f"{who}/{which}/{number}.dcm", _slice(who, which, number))
    lake = folder.parent / "lake"
    index(folder, lake)
    return lake


def _slice(who: int, which: int, number: int) -> bytes:
    return encode(
        image(
            PatientID=f"P{who}",
            StudyInstanceUID=uid("study", who),
            SeriesInstanceUID=uid("series", who, which),
            SOPInstanceUID=uid("instance", who, which, number),
            InstanceNumber=number,
            ImagePositionPatient=[-50, -50, number * 2.5],
        )
    )


def wanted(out: Path, **more: object) -> Wanted:
    return Wanted(str(out), where="Modality = 'CT'", profile="identified", **more)  # type: ignore[arg-type]


def tree(out: Path) -> dict[str, str]:
    """Every file of a folder with its checksum."""
    return {
        str(path.relative_to(out)): sha256_of(path) for path in out.rglob("*") if path.is_file()
    }


def test_everything_that_was_asked_for_is_there(lake: Path, tmp_path: Path) -> None:
    report = make(lake, wanted(tmp_path / "out"), name="plain")
    assert (report.state, report.written, report.failed) == ("finished", 72, 0)
    found = tree(tmp_path / "out")
    assert len([name for name in found if name.startswith("dicom/")]) == 72
    sums = (tmp_path / "out" / "CHECKSUMS.sha256").read_text().splitlines()
    said = dict(reversed(line.split("  ")) for line in sums)
    assert said == {n: s for n, s in found.items() if n not in ("CHECKSUMS.sha256", "dataset.json")}
    assert MARK not in found
    assert not any("P0" in name or "P1" in name for name in found)
    assert oct((lake / "_datasets").stat().st_mode)[-3:] == "700"


def test_several_workers_make_the_same_files(lake: Path, tmp_path: Path) -> None:
    formats = ("dicom", "png")
    one = make(lake, wanted(tmp_path / "a", formats=formats), name="same", made=MADE)
    ledger = Ledger(lake, "same").folder
    ledger.rename(tmp_path / "kept")
    two = make(lake, wanted(tmp_path / "b", formats=formats), name="same", made=MADE, workers=2)
    assert one.files == two.files == 148
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize("formats", ["dicom,png", "png"])
def test_killed_at_any_point_it_goes_on_and_ends_the_same(
    lake: Path, tmp_path: Path, formats: str
) -> None:
    kinds = tuple(formats.split(","))
    name = f"killed-{len(kinds)}"
    make(lake, wanted(tmp_path / "whole", formats=kinds), name=name, made=MADE)
    Ledger(lake, name).folder.rename(tmp_path / "kept")
    out = tmp_path / "killed"
    begin(lake, wanted(out, formats=kinds), name, MADE)
    seed = random.Random(7)
    kills = 0
    for _ in range(6):
        program = (
            "import sys; from dicomlake.jobs.datasets.making import run; "
            "run(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(lake), name, str(1 + kills % 2)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        before = len(list(out.rglob("*.*"))) if out.exists() else 0
        until = time.monotonic() + 30
        more = seed.randrange(1, 50)
        while process.poll() is None and time.monotonic() < until:
            if out.exists() and len(list(out.rglob("*.*"))) >= before + more:
                process.send_signal(signal.SIGKILL)
                kills += 1
                assert not (out / "dataset.json").exists() or process.wait() is not None
                break
            time.sleep(0.002)
        process.wait()
        if process.returncode == 0:
            break
    assert kills >= 1
    assert run(lake, name).state == "finished"
    assert tree(out) == tree(tmp_path / "whole")


def test_what_cannot_be_read_is_tried_again_or_left_out(tmp_path: Path) -> None:
    archive, lake = tmp_path / "archive", tmp_path / "lake"
    files = [put(archive, f"{n}.dcm", slice_of(1, n, PatientID="P1")) for n in range(1, 5)]
    index(archive, lake)
    files[0].rename(tmp_path / "away")
    report = make(lake, wanted(tmp_path / "out"), name="gone")
    assert (report.state, report.written, report.failed) == ("incomplete", 3, 1)
    assert not (tmp_path / "out" / "dataset.json").exists()
    (tmp_path / "away").rename(files[0])
    assert run(lake, "gone").state == "finished"
    assert (tmp_path / "out" / "dataset.json").exists()
    files[0].unlink()
    make(lake, wanted(tmp_path / "other"), name="without")
    report = run(lake, "without", without=True)
    assert (report.state, report.written, report.quarantined) == ("finished", 3, 1)


def test_an_object_in_quarantine_never_leaves(lake: Path, tmp_path: Path) -> None:
    from tests.jobs.datasets.cleaners import Marking

    bad = Ledger(lake, _named(lake, tmp_path, "first")).things(ledgers.WRITTEN)[5].SOPInstanceUID
    report = make(lake, wanted(tmp_path / "out"), name="marked", cleaner=Marking(bad=bad))
    assert (report.state, report.written, report.quarantined) == ("finished", 71, 1)
    rows = Ledger(lake, "marked").rows("select * from objects where state = 'quarantined'")
    assert [(row["check"], row["SOPInstanceUID"]) for row in rows] == [("pixels", bad)]
    everything = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert bad.encode() not in everything


def _named(lake: Path, tmp_path: Path, name: str) -> str:
    make(lake, wanted(tmp_path / name), name=name)
    return name


def test_the_past_of_a_patient_is_known_until_it_is_forgotten(lake: Path, tmp_path: Path) -> None:
    name = _named(lake, tmp_path, "past")
    keys = Store(lake).read("series", ["patient_key", "PatientID"]).to_pylist()
    key = next(row["patient_key"] for row in keys if row["PatientID"] == "P1")
    found = [one for one in past(lake, [key]) if one.name == name]
    assert [(one.series, one.instances, one.where) for one in found] == [
        (2, 24, str(tmp_path / "past"))
    ]
    uids = [
        row[0]
        for row in Ledger(lake, name).rows(
            "select SOPInstanceUID from objects where patient_key = ?", key
        )
    ]
    assert forget(lake, [key]) >= 24
    assert past(lake, [key]) == []
    kept = b"".join(p.read_bytes() for p in Ledger(lake, name).folder.iterdir())
    assert not any(uid.encode() in kept for uid in uids)
    job = json.loads((Ledger(lake, name).folder / "job.json").read_text())
    assert [(f["patients"], f["instances"]) for f in job["forgotten"]] == [(1, 24)]


def test_what_cannot_be_is_said_before_anything_is_made(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="is there already"):
        make(lake, wanted(tmp_path / "full"), name="full")
    with pytest.raises(UsageError, match="Nothing is in it"):
        make(lake, Wanted(str(tmp_path / "x"), where="Modality = 'XX'", profile="identified"))
    with pytest.raises(UsageError, match="how the data is cleaned"):
        Wanted(str(tmp_path / "x"), where="Modality = 'CT'")
    with pytest.raises(UsageError, match="no format"):
        wanted(tmp_path / "x", formats=("jpeg",))
    assert not (lake / "_datasets" / "full").exists()


def test_another_key_does_not_go_on_with_a_dataset(tmp_path: Path) -> None:
    from tests.jobs.datasets.cleaners import Marking

    archive, lake = tmp_path / "archive", tmp_path / "lake"
    files = [put(archive, f"{n}.dcm", slice_of(1, n, PatientID="P1")) for n in range(1, 5)]
    index(archive, lake)
    files[0].unlink()
    make(lake, wanted(tmp_path / "out"), name="keyed", cleaner=Marking(digest="one"))
    with pytest.raises(UsageError, match="another one than when this dataset was begun"):
        run(lake, "keyed", cleaner=Marking(digest="two"))


def test_who_cancels_stops_it_and_it_goes_on(lake: Path, tmp_path: Path) -> None:
    class Impatient:
        """Asks to stop once some objects are done."""

        cancelled = False

        def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
            pass

        def advance(self, count: int = 1) -> None:
            with contextlib.closing(Ledger(lake, "stopped")) as ledger:
                ledger.cancel()

    with pytest.raises(KeyboardInterrupt):
        make(lake, wanted(tmp_path / "out"), name="stopped", progress=Impatient())
    ledger = Ledger(lake, "stopped")
    counts = ledger.counts()
    assert ledger.job["state"] in ("cancelled", "stopped")
    assert counts["written"] > 0
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert run(lake, "stopped").state == "finished"
    assert Ledger(lake, "stopped").counts()["written"] == 72
