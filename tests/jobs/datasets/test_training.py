"""Programs that train read what is written: MONAI's datalist and loader, nnU-Net's own checks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dicomlake.jobs.datasets.making import make
from dicomlake.jobs.datasets.wanted import Wanted
from tests.conftest import needed
from tests.jobs.datasets.lungs import WHERE, make_lake, phantom

ROOT = Path(__file__).resolve().parents[3]
MONAI = """
import sys
from monai.data import Dataset, load_decathlon_datalist
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
keys = ["image", "label"]
items = load_decathlon_datalist(sys.argv[1] + "/datalist.json", True, "training", sys.argv[1])
read = Compose([LoadImaged(keys), EnsureChannelFirstd(keys)])
for one in Dataset(items, read):
    assert one["image"].shape == one["label"].shape, (one["image"].shape, one["label"].shape)
    assert (one["image"].affine == one["label"].affine).all()
    lung = float(one["image"][one["label"] > 0].mean())
    print(tuple(one["image"].shape), int((one["label"] > 0).sum()), round(lung), one["fold"])
"""
NNUNET = """
import sys
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
verify_dataset_integrity(sys.argv[1], 1)
for name, files in get_filenames_of_train_images_and_targets(sys.argv[1]).items():
    picture, about = NibabelIO().read_images(files["images"])
    labels, _ = NibabelIO().read_seg(files["label"])
    print(picture.shape, int((labels > 0).sum()), round(float(picture[labels > 0].mean())))
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("training"), 2)


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of DICOMLAKE_SEGMENT_PYTHON, or of the environment that `make segment` builds."""
    said = os.environ.get("DICOMLAKE_SEGMENT_PYTHON")
    found = Path(said) if said else ROOT / ".venv-segment" / "bin" / "python"
    if not found.exists():
        needed(f"nothing to train with is installed: there is no {found}. Build it: make segment")
    return found


def written(lake: Path, out: Path, layout: str) -> Path:
    wanted = Wanted(str(out), where=WHERE, profile="identified", formats=("nifti",), layout=layout)
    assert make(lake, wanted, name=layout).state == "finished"
    return out


def asked(python: Path, program: str, folder: Path, module: str) -> list[str]:
    there = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
    if there.returncode:
        needed(f"{module} is not installed beside TotalSegmentator. Build it: make segment")
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}
    folders = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    environment |= dict.fromkeys(folders, str(folder.parent))
    done = subprocess.run(
        [python, "-c", program, str(folder)], capture_output=True, text=True, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def lungs() -> int:
    body = phantom()
    return sum(
        int((body.painted == body.names.index(f"lung_{s}")).sum()) for s in ("left", "right")
    )


@pytest.mark.parametrize("layout", ["monai", "federated"])
def test_monai_reads_the_datalist(lake: Path, tmp_path: Path, python: Path, layout: str) -> None:
    said = asked(python, MONAI, written(lake, tmp_path / "out", layout), "monai")
    assert said == [f"(1, 48, 36, 12) {lungs()} -850 0"] * 2


def test_nnunet_finds_no_fault(lake: Path, tmp_path: Path, python: Path) -> None:
    out = written(lake, tmp_path / "out", "nnunet")
    (folder,) = out.glob("Dataset501_*")
    said = asked(python, NNUNET, folder, "nnunetv2")
    numbers = [line for line in said if line.startswith("(")]
    assert numbers == [f"(1, 12, 36, 48) {lungs()} -850"] * 2, said
