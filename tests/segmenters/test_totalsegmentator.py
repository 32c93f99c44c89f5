"""The real code of TotalSegmentator and nnU-Net, with networks whose answers are known.

They need the environment of `make segment`; see `hu_bands.py`.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomlake.contracts.segmenters import Grid, Measured, Volume, measured
from dicomlake.enrichers.anatomy import TotalSegmentatorEnricher
from dicomlake.errors import DataError, ServiceError, UsageError
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.readers.stacks import StackReader
from dicomlake.segmenters.totalsegmentator import Limits, TotalSegmentatorSegmenter, weights
from dicomlake.testing.segmenters import SegmenterContract
from dicomlake.testing.volumes import INFINITE, Phantom, axial, series
from tests.readers.test_stacks import read

HU = {"outside": -1000.0, "body": 40.0, "liver": 150.0, "kidney_left": 130.0, "spleen": 110.0}
SMALL = Limits(job_s=300, memory=6 << 30)


def abdomen(grid: Grid | None = None) -> Phantom:
    """A body with liver and left kidney, and a spleen that leaves the picture at the top."""
    found = Phantom(grid or axial((60, 100, 110), (5, 3.3, 3.3)))
    found.ellipsoid("body", (0, 0, 0), (160, 120, INFINITE))
    found.ellipsoid("liver", (-60, -10, 20), (55, 55, 55))
    found.ellipsoid("kidney_left", (60, 40, -50), (25, 28, 40))
    return found.ellipsoid("spleen", (90, 0, 130), (35, 35, 35))


@pytest.fixture(scope="module")
def place(segment_python: Path, bands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the weights are noted."""
    folder = tmp_path_factory.mktemp("noted")
    weights.install(bands, segment_python, folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    """Workers find the class of the networks, and their traps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        yield


def segmenter(place: Path, limits: Limits = SMALL, **options: str) -> TotalSegmentatorSegmenter:
    return TotalSegmentatorSegmenter({"device": "cpu", **options}, place=place, limits=limits)


@pytest.fixture(scope="module")
def fast(place: Path) -> Iterator[TotalSegmentatorSegmenter]:
    """A segmenter of 3 mm whose process goes on from test to test."""
    made = segmenter(place)
    yield made
    made.close()


def found(one: TotalSegmentatorSegmenter, volume: Volume) -> dict[str, Measured]:
    return {m.label: m for m in measured(one.segment(volume))}


class TestTotalSegmentator(SegmenterContract):
    @pytest.fixture
    def segmenter(self, coarse: TotalSegmentatorSegmenter) -> TotalSegmentatorSegmenter:
        return coarse

    def volume(self) -> Volume:
        return abdomen().volume(HU)


@pytest.fixture(scope="module")
def coarse(place: Path) -> Iterator[TotalSegmentatorSegmenter]:
    """A segmenter of 6 mm whose process goes on from test to test."""
    made = segmenter(place, mode="fastest")
    yield made
    made.close()


def test_volumes_of_a_dicom_series_are_right(fast: TotalSegmentatorSegmenter) -> None:
    made = abdomen(axial((100, 220, 240), (3, 1.5, 1.5)))
    volume = read(series(made.volume(HU)))
    said, truth = found(fast, volume), made.truth
    for label in ("liver", "kidney_left", "spleen"):
        assert said[label].volume == pytest.approx(truth[label], rel=0.1), label
        assert said[label].intensity == pytest.approx(HU[label], abs=6)
    assert said["liver"].complete
    assert said["liver"].box == pytest.approx([-115, -65, -35, -5, 45, 75], abs=6)
    assert not said["spleen"].complete  # and yet it has its volume
    rims = {label: m.volume for label, m in said.items() if label not in HU}
    assert max(rims.values(), default=0) < 20  # edges pass through the bands of others
    assert fast.process is not None
    assert fast.process.last["torchvision"] is False


def test_a_warm_process_says_what_a_cold_one_says(
    place: Path, coarse: TotalSegmentatorSegmenter
) -> None:
    volume = abdomen().volume(HU)
    first = coarse.segment(volume)
    again = coarse.segment(volume)
    cold = segmenter(place, mode="fastest")
    other = cold.segment(volume)
    cold.close()
    assert np.array_equal(first.voxels, again.voxels)
    assert np.array_equal(first.voxels, other.voxels)
    assert coarse.process is not None
    assert coarse.process.starts == 1
    assert cold.process is None


OFFICIAL = """
import sys
import nibabel as nib, numpy as np
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
import totalsegmentator.nnunet as upstream
from totalsegmentator.python_api import totalsegmentator

if __name__ == "__main__":
    upstream.custom_trainers.setdefault("nnUNetTrainer_4000epochs_NoMirroring", nnUNetTrainer)
    image = nib.Nifti1Image(np.load(sys.argv[1]).transpose(2, 1, 0), np.load(sys.argv[2]))
    found = totalsegmentator(image, None, ml=True, fastest=True, device="cpu", quiet=True,
                             skip_saving=True, save_lowres=True)
    np.save(sys.argv[3], np.asarray(found.dataobj).astype(np.uint8).transpose(2, 1, 0))
"""


def test_labels_are_those_of_the_official_call(
    segment_python: Path,
    bands: Path,
    coarse: TotalSegmentatorSegmenter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    volume = abdomen().volume(HU).upright()
    np.save(tmp_path / "voxels.npy", volume.voxels)
    np.save(tmp_path / "affine.npy", np.diag([-1.0, -1, 1, 1]) @ volume.grid.affine)
    (tmp_path / "official.py").write_text(OFFICIAL)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.json").write_text(
        '{"totalseg_id": "x", "send_usage_stats": false, "prediction_counter": 0, '
        '"statistics_disclaimer_shown": true}'
    )
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(bands))
    names = [tmp_path / name for name in ("official.py", "voxels.npy", "affine.npy", "labels.npy")]
    subprocess.run([segment_python, *names], check=True, capture_output=True)
    assert np.array_equal(np.load(tmp_path / "labels.npy"), coarse.segment(volume).voxels)


def test_slabs_give_what_the_whole_gives(place: Path, coarse: TotalSegmentatorSegmenter) -> None:
    volume = abdomen().volume(HU)
    whole = coarse.segment(volume)
    cut = segmenter(place, Limits(slab=(1, 16, 8)), mode="fastest")
    slabs = cut.segment(volume)
    assert cut.process is not None
    assert cut.process.last["slabs"] == 4
    cut.close()
    assert np.array_equal(whole.voxels, slabs.voxels)


def test_five_networks_become_one_answer(place: Path) -> None:
    made = Phantom(axial((96, 96, 96), (1.5, 1.5, 1.5)))
    made.ellipsoid("body", (0, 0, 0), (70, 70, INFINITE))
    places = {
        "liver": (-40, -20, 0), "vertebrae_L3": (0, 45, 0), "heart": (40, -20, 40),
        "gluteus_maximus_left": (40, 30, -40), "rib_left_4": (0, -45, -30),
    }  # fmt: skip
    numbers = {"liver": 5, "vertebrae_L3": 29, "heart": 51, "gluteus_maximus_left": 80,
               "rib_left_4": 95}  # fmt: skip
    for label, middle in places.items():
        made.ellipsoid(label, middle, (20, 20, 20))
    values = {"outside": -1000.0, "body": 40.0, **{n: 100.0 + 10 * k for n, k in numbers.items()}}
    full = segmenter(place, mode="full")
    said = found(full, made.volume(values))
    full.close()
    assert len(full.about.networks) == 5
    for label in places:
        assert said[label].volume == pytest.approx(made.truth[label], rel=0.1), label
        middle = np.add(said[label].box[:3], said[label].box[3:]) / 2
        assert middle == pytest.approx(places[label], abs=4)


# What goes wrong


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that networks obey once, or always."""
    monkeypatch.setenv("HU_BANDS_TRAP", str(tmp_path / "trap"))
    return tmp_path / "trap"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files lie."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_killed_process_costs_one_retry(
    place: Path, coarse: TotalSegmentatorSegmenter, trap: Path, temporary: Path
) -> None:
    volume = abdomen().volume(HU)
    trap.write_text("kill")
    other = segmenter(place, mode="fastest")
    labels = other.segment(volume)
    assert other.process is not None
    assert other.process.starts == 2
    assert np.array_equal(labels.voxels, coarse.segment(volume).voxels)
    other.close()
    assert list(temporary.iterdir()) == []


def test_what_always_dies_fails_after_the_second_time(
    place: Path, trap: Path, temporary: Path
) -> None:
    trap.write_text("kill always")
    other = segmenter(place, mode="fastest")
    with pytest.raises(DataError, match="gave up twice: it was killed, or ended"):
        other.segment(abdomen().volume(HU))
    assert other.process is not None
    assert other.process.starts == 2
    assert list(temporary.iterdir()) == []
    trap.unlink()
    assert "liver" in found(other, abdomen().volume(HU))
    other.close()


def test_a_process_that_hangs_is_ended(place: Path, trap: Path, temporary: Path) -> None:
    trap.write_text("hang")
    other = segmenter(place, Limits(job_s=45), mode="fastest")
    assert "liver" in found(other, abdomen().volume(HU))
    assert other.process is not None
    assert other.process.starts == 2
    other.close()
    assert list(temporary.iterdir()) == []


PARENT = """
import sys
from pathlib import Path
from dicomlake.segmenters.totalsegmentator import TotalSegmentatorSegmenter
from dicomlake.testing.volumes import Phantom, axial

volume = Phantom(axial((20, 40, 40), (6, 6, 6))).volume()
made = TotalSegmentatorSegmenter({"device": "cpu", "mode": "fastest"}, place=Path(sys.argv[1]))
made._running()._start()
print(made.process.pid, flush=True)
made.segment(volume)
"""


def test_nothing_stays_when_the_parent_is_killed(
    place: Path, trap: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap.write_text("hang")
    monkeypatch.setenv("TMPDIR", str(temporary))
    paths = os.pathsep.join([os.environ["PYTHONPATH"], *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(place)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    until = time.monotonic() + 240
    while trap.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not trap.exists()
    assert list(temporary.glob("dicomlake-segment-*/voxels.npy"))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()
    assert list(temporary.iterdir()) == []


def test_a_process_may_not_eat_all_memory(place: Path, trap: Path) -> None:
    trap.write_text("eat always")
    other = segmenter(place, Limits(memory=3 << 30), mode="fastest")
    with pytest.raises(DataError, match="gave up twice: it needs more memory than it may have"):
        other.segment(abdomen().volume(HU))
    other.close()


def test_it_reaches_no_network(place: Path, trap: Path) -> None:
    trap.write_text("network")
    other = segmenter(place, mode="fastest")
    other.segment(abdomen().volume(HU))
    other.close()
    assert trap.with_name("trap.said").read_text() == "cut cut"


def test_a_process_is_renewed_after_some_jobs(place: Path) -> None:
    other = segmenter(place, Limits(jobs=1), mode="fastest")
    for _ in range(2):
        other.segment(abdomen().volume(HU))
    assert other.process is not None
    assert other.process.starts == 2
    other.close()


def test_weights_that_changed_are_not_loaded(
    segment_python: Path, bands: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bands, copy)
    weights.install(copy, segment_python, tmp_path)
    (checkpoint,) = copy.glob("Dataset298*/*/fold_0/checkpoint_final.pth")
    checkpoint.write_bytes(checkpoint.read_bytes() + b"\0")
    other = segmenter(tmp_path, mode="fastest")
    with pytest.raises(ServiceError, match="another one than was installed"):
        other.segment(abdomen().volume(HU))
    other.close()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"task": "heartchambers_highres"}, "needs a licence of its makers"),
        ({"task": "lung_nodules"}, "another task has to find before"),
        ({"task": "liver_of_nobody"}, "has no task 'liver_of_nobody'"),
        ({"task": "total_mr"}, "Dataset852_TotalSegMRI_total_3mm_1088subj"),
    ],
)
def test_tasks_that_cannot_be_done_say_why(place: Path, options: dict[str, str], why: str) -> None:
    assert why in segmenter(place, **options).missing()


def test_the_model_changes_with_the_weights(
    place: Path, segment_python: Path, bands: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bands, copy)
    for path in copy.glob("Dataset297*/*/plans.json"):
        path.write_text(path.read_text() + "\n")
    weights.install(copy, segment_python, tmp_path)
    one, other = segmenter(place).model(), segmenter(tmp_path).model()
    assert one.startswith("TotalSegmentator 2.")
    assert one.split(", ")[0] == other.split(", ")[0]
    assert one != other
    assert segmenter(place, mode="fastest").model() == segmenter(tmp_path, mode="fastest").model()


# Into a lake


def test_organs_of_a_series_become_annotations(
    place: Path, segment_python: Path, tmp_path: Path
) -> None:
    objects = tmp_path / "objects"
    objects.mkdir()
    made = abdomen()
    for number, data in enumerate(series(made.volume(HU))):
        (objects / f"{number}.dcm").write_bytes(data)
    lake = tmp_path / "lake"
    index(objects, lake)
    options = {"mode": "fastest", "device": "cpu", "keep": "seg,nifti", "folder": str(place)}
    enricher = TotalSegmentatorEnricher(
        lake, options, segmenter=TotalSegmentatorSegmenter, reader=StackReader()
    )
    assert enricher.hardware == "cpu"
    report = enrich(lake, enricher)
    assert (report.done, report.failed) == (1, 0), report.reasons
    with Store(lake).database() as db:
        rows: list[dict[str, Any]] = (
            db.sql("select * from annotations").to_arrow_table().to_pylist()
        )
        kept = db.sql("select kept from enrichments").fetchall()[0][0]
    said = {row["label"]: row for row in rows}
    kidney = said["kidney_left"]
    assert (kidney["structure"], kidney["laterality"]) == ("SCT:64033007", "SCT:7771000")
    assert kidney["also"] == ["SCT:18639004", "RADLEX:RID29663"]
    assert kidney["volume"] == pytest.approx(made.truth["kidney_left"], rel=0.2)
    assert (said["liver"]["complete"], said["spleen"]["complete"]) == (True, False)
    assert all(row["volume"] > 0 for row in rows)

    # What nibabel reads from the mask lies where the annotation says.
    nifti = next(uri.removeprefix("file://") for uri in kept if uri.endswith(".nii.gz"))
    program = (
        "import sys, nibabel, numpy as np; i = nibabel.load(sys.argv[1]); "
        "p = np.argwhere(np.asarray(i.dataobj) == 5); "
        "print(*nibabel.affines.apply_affine(i.affine, p.mean(axis=0)))"
    )
    done = subprocess.run([segment_python, "-c", program, nifti], check=True, capture_output=True)
    right, front, up = map(float, done.stdout.split())
    assert [-right, -front, up] == pytest.approx([-60, -10, 20], abs=3)
    assert struct.unpack_from("<i", gzip.decompress(Path(nifti).read_bytes()))[0] == 348


def test_without_weights_it_says_what_to_do(tmp_path: Path) -> None:
    why = segmenter(tmp_path).missing()
    assert "dicomlake segmenter install DIR" in why
    assert "dicomlake enrich hounsfield" in why


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no option 'speed'"):
        segmenter(tmp_path, speed="high")
    with pytest.raises(UsageError, match="none of full, fast, fastest"):
        segmenter(tmp_path, mode="slow")
    with pytest.raises(UsageError, match="takes a number"):
        TotalSegmentatorSegmenter({"memory": "much"}, place=tmp_path)
