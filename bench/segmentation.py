"""A warm TotalSegmentator against its official call, in series per hour; memory of a long series.

The networks are those of tests/segmenters/hu_bands.py: their answers are known, and next to nothing
is spent on them, so that what is measured is everything else. The Python that has TotalSegmentator
is that of DICOMLAKE_SEGMENT_PYTHON, or of the environment that `make segment` builds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.queue import _memory
from dicomlake.contracts.segmenters import Volume, measured
from dicomlake.segmenters.hounsfield import HounsfieldSegmenter
from dicomlake.segmenters.totalsegmentator import TotalSegmentatorSegmenter, weights
from dicomlake.testing.volumes import INFINITE, Phantom, axial

Rows = list[tuple[str, ...]]
ROOT = Path(__file__).resolve().parents[1]
BANDS = ROOT / "tests" / "segmenters" / "hu_bands.py"
HU = {"outside": -1000.0, "body": 40.0, "liver": 150.0, "kidney_left": 130.0}

OFFICIAL = """
import json, os, sys
import nibabel as nib, numpy as np
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
import totalsegmentator.nnunet as upstream
from totalsegmentator.python_api import totalsegmentator

if __name__ == "__main__":
    upstream.custom_trainers.setdefault("nnUNetTrainer_4000epochs_NoMirroring", nnUNetTrainer)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        said = json.loads(line)
        voxels = np.load(said["voxels"]).transpose(2, 1, 0)
        image = nib.Nifti1Image(voxels, np.array(said["affine"]))
        found, _ = totalsegmentator(
            image, None, ml=True, device="cpu", quiet=True, skip_saving=True, statistics=True,
            statistics_exclude_masks_at_border=False, **said["mode"])
        out.write("done\\n")
        out.flush()
"""


def missing() -> str:
    """Why nothing can be measured with TotalSegmentator here, or ""."""
    if not python().exists():
        return "TotalSegmentator is left out: it is not installed. Build it with: make segment"
    return ""


def python() -> Path:
    said = os.environ.get("DICOMLAKE_SEGMENT_PYTHON")
    return Path(said) if said else ROOT / ".venv-segment" / "bin" / "python"


def volume(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    made = Phantom(axial(shape, spacing))
    made.ellipsoid("body", (0, 0, 0), (160, 110, INFINITE))
    made.ellipsoid("liver", (-60, -10, 20), (55, 55, 55))
    return made.ellipsoid("kidney_left", (60, 40, -50), (25, 28, 40)).volume(HU)


def longest() -> Volume:
    """A CT of 512x512x850, two times two times two voxels of one value."""
    voxels = volume((425, 256, 256), (4.0, 1.96, 1.96)).voxels
    for axis in range(3):
        voxels = voxels.repeat(2, axis)
    return Volume(voxels, axial((850, 512, 512), (2.0, 0.98, 0.98)))


def peak(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds that something takes, and the most MiB of this process and those below it."""
    most, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            most[0] = max(most[0], _memory(os.getpid())[0])

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.perf_counter()
    try:
        work()
    finally:
        took = time.perf_counter() - began
        over.set()
        watching.join()
    return took, most[0]


def measure(rounds: int = 5) -> Iterator[tuple[str, tuple[tuple[str, ...], Rows]]]:
    """Tables with their titles, each as soon as it is measured."""
    yield "Hounsfield ranges, one core", (("", "s", "MiB"), _hounsfield())
    if missing():
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _prepare(folder)
        head = ("CT of 256x256x100", "official, s", "warm, s", "x", "official/h", "warm/h")
        rows = [_against(folder, mode, rounds) for mode in ("fast", "fastest")]
        yield "TotalSegmentator, warm against one official call per series", (head, rows)
        head = ("CT of 512x512x850, 3 mm", "s", "MiB", "slabs")
        yield "TotalSegmentator, the longest series", (head, [_longest(folder)])


def _prepare(folder: Path) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(BANDS.parent), *sys.path])
    subprocess.run([python(), BANDS, folder / "weights", "297", "298"], check=True)
    wide = {**os.environ, "HU_BANDS_PATCH": "128"}
    subprocess.run([python(), BANDS, folder / "wide", "297"], check=True, env=wide)
    for name in ("weights", "wide"):
        weights.install(folder / name, python(), folder / f"{name}-noted")
    (folder / "official.py").write_text(OFFICIAL)
    (folder / "home").mkdir()
    said = {"totalseg_id": "x", "send_usage_stats": False, "prediction_counter": 0,
            "statistics_disclaimer_shown": True}  # fmt: skip
    (folder / "home" / "config.json").write_text(json.dumps(said))


def _against(folder: Path, mode: str, rounds: int) -> tuple[str, ...]:
    """One series after another by either way, in turn."""
    made = volume((100, 256, 256), (3.0, 1.5, 1.5)).upright()
    np.save(folder / "voxels.npy", made.voxels)
    affine = (np.diag([-1.0, -1, 1, 1]) @ made.grid.affine).tolist()
    job = {"voxels": str(folder / "voxels.npy"), "affine": affine, "mode": {mode: True}}
    environment = {
        **os.environ,
        "TOTALSEG_HOME_DIR": str(folder / "home"),
        "TOTALSEG_WEIGHTS_PATH": str(folder / "weights"),
    }
    official = subprocess.Popen(
        [python(), folder / "official.py"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment, text=True,
    )  # fmt: skip
    warm = TotalSegmentatorSegmenter(
        {"device": "cpu", "mode": mode}, place=folder / "weights-noted"
    )

    def one() -> None:
        assert official.stdin is not None
        assert official.stdout is not None
        official.stdin.write(json.dumps(job) + "\n")
        official.stdin.flush()
        assert official.stdout.readline() == "done\n"

    def other() -> None:
        assert measured(warm.segment(made))

    times: dict[str, list[float]] = {"official": [], "warm": []}
    try:
        for turn in range(rounds + 1):  # the first turn loads what is loaded once
            for name, work in (("official", one), ("warm", other)):
                began = time.perf_counter()
                work()
                if turn:
                    times[name].append(time.perf_counter() - began)
    finally:
        warm.close()
        official.kill()
        official.wait()
    slow, quick = (statistics.median(times[name]) for name in ("official", "warm"))
    return (mode, f"{slow:.1f}", f"{quick:.1f}", f"{slow / quick:.1f}",
            f"{3600 / slow:,.0f}", f"{3600 / quick:,.0f}")  # fmt: skip


def _longest(folder: Path) -> tuple[str, ...]:
    made = longest()
    warm = TotalSegmentatorSegmenter({"device": "cpu"}, place=folder / "wide-noted")
    try:
        took, most = peak(lambda: measured(warm.segment(made)))
        assert warm.process is not None
        return "warm, in slabs", f"{took:.0f}", f"{most:,.0f}", str(warm.process.last["slabs"])
    finally:
        warm.close()


def _hounsfield() -> Rows:
    rows: Rows = []
    for made in (volume((100, 256, 256), (3.0, 1.5, 1.5)), longest()):
        took, most = peak(lambda made=made: measured(HounsfieldSegmenter().segment(made)))
        depth, height, width = made.grid.shape
        rows.append((f"CT of {height}x{width}x{depth}", f"{took:.1f}", f"{most:,.0f}"))
    return rows
