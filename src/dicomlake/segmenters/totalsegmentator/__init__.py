"""TotalSegmentator behind the Protocol of segmenters: many structures of CT and MR, by nnU-Net.

The package and its weights are those of others and have to be installed; weights are never
downloaded. It runs in a process of its own, which may be one of another Python environment.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.segmenters import Grid, Labels, Stack, Vector, Volume
from dicomlake.errors import UsageError
from dicomlake.segmenters.totalsegmentator import weights, worker
from dicomlake.segmenters.totalsegmentator.process import Limits, Process

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 10
"""Slices below which a series is no volume for it."""
OPTIONS = {
    "task": "which structures: total, total_mr, body, ... (total)",
    "mode": "fastest, fast or full: voxels of 6, 3 or 1.5 mm (fast)",
    "device": "gpu or cpu; gpu falls back to cpu (gpu)",
    "minutes": "for one series (30)",
    "memory": "GB that it may hold (16)",
    "threads": "processors (all that there are)",
    "folder": "where `dicomlake segmenter install` noted the weights (a folder of the user)",
}
_ABOUT_S = 60


@dataclass(frozen=True, slots=True)
class Task:
    """What TotalSegmentator has of a task in a mode."""

    labels: dict[int, str]
    modality: str
    spacing: float
    networks: tuple[str, ...]
    versions: dict[str, str]


class TotalSegmentatorSegmenter:
    """Structures by TotalSegmentator; `place` is where weights were noted, for tests."""

    name = "totalsegmentator"
    version = "1"

    def __init__(
        self,
        options: Mapping[str, str] | None = None,
        *,
        place: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        asked = {"task": "total", "mode": "fast", "device": "gpu", **(options or {})}
        if unknown := sorted(set(asked) - set(OPTIONS)):
            known = ", ".join(OPTIONS)
            raise UsageError(f"TotalSegmentator has no option {unknown[0]!r}. It has: {known}.")
        if asked["mode"] not in worker.MODES:
            raise UsageError(f"The mode {asked['mode']!r} is none of {', '.join(worker.MODES)}.")
        self.task, self.mode, self.device = asked["task"], asked["mode"], asked["device"]
        self._limits = limits or _limits(asked)
        noted = Path(asked["folder"]) if "folder" in asked else None
        self._weights = weights.installed(place or noted)
        self._process: Process | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modality of the task."""
        return ("CT",) if not self.task.endswith("_mr") else ("MR",)

    @cached_property
    def about(self) -> Task:
        """What there is of the task; UsageError says what is missing."""
        if self._weights is None:
            raise UsageError(NO_WEIGHTS)
        said = about(self._weights.python, self.task, self.mode)
        if "task" not in said:
            some = ", ".join(name for name in said["tasks"] if name.startswith("total"))
            raise UsageError(f"TotalSegmentator has no task {self.task!r}. It has {some} and more.")
        found = said["task"]
        if found["licence"]:
            raise UsageError(
                f"The task {self.task} needs a licence of its makers. Choose another one: total."
            )
        if not found["whole"]:
            raise UsageError(
                f"The task {self.task} looks at a part that another task has to find before, "
                "which is not offered here. Choose another one: total."
            )
        missing = [name for name in found["folders"] if name not in self._weights.networks]
        if missing:
            raise UsageError(
                f"Weights of {self.task} ({self.mode}) are missing in {self._weights.folder}: "
                f"{missing[0]}. Put them there, then: dicomlake segmenter install DIR"
            )
        labels = {int(n): name for n, name in found["labels"].items()}
        folders = tuple(found["folders"])
        return Task(labels, found["modality"], found["spacing"], folders, said["versions"])

    def model(self) -> str:
        """Package, task and mode, with a digest of the weights."""
        assert self._weights is not None
        task = self.about
        return (
            f"TotalSegmentator {task.versions['TotalSegmentator']} {self.task} {self.mode} "
            f"({task.spacing:g} mm), weights {self._weights.digest(task.networks)}"
        )

    def labels(self) -> Sequence[str]:
        """Labels of the task."""
        return tuple(self.about.labels.values())

    def missing(self) -> str:
        """What has to be installed before it can work, and how."""
        try:
            self.about  # noqa: B018
        except UsageError as error:
            return str(error)
        return ""

    def refuses(self, stack: Stack) -> str:
        """Why it does not take a series: another modality, or too few slices."""
        if stack.Modality not in self.modalities:
            return f"it is no {self.modalities[0]}"
        if stack.Modality == "CT" and stack.unit != "HU":
            return "it is no CT in Hounsfield units"
        if stack.grid.shape[0] < FEWEST:
            return f"it has fewer than {FEWEST} slices"
        return ""

    def segment(self, volume: Volume) -> Labels:
        """The structures of a volume, on the grid of the mode."""
        task, process = self.about, self._running()
        upright = volume.upright()
        with process.folder() as folder:
            np.save(folder / "voxels.npy", upright.voxels)
            affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ upright.grid.affine
            job = {"folder": str(folder), "affine": affine.tolist(), "task": self.task,
                   "mode": self.mode}  # fmt: skip
            said = process.run(job)
            voxels = np.load(folder / "labels.npy")
        grid, places = _resampled(upright.grid, voxels.shape, edges=bool(said["edges"]))
        values = upright.voxels[np.ix_(*places)]
        structures = {name: (number,) for number, name in task.labels.items()}
        return Labels(voxels, grid, structures, values, volume.grid)

    @property
    def process(self) -> Process | None:
        """The process, when one was started."""
        return self._process

    def _running(self) -> Process:
        if self._process is None:
            assert self._weights is not None
            found = self._weights
            self._process = Process(
                found.python, found.folder, found.files, self.device, self._limits
            )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None


NO_WEIGHTS = (
    "TotalSegmentator has no weights here. Get them on a machine with network "
    "(totalseg_download_weights -t total_fast), then: dicomlake segmenter install DIR. "
    "Without weights there is: dicomlake enrich hounsfield"
)


@lru_cache(maxsize=64)
def about(python: Path, task: str = "total", mode: str = "fast") -> dict[str, Any]:
    """What a Python has of TotalSegmentator: versions, tasks, one task; UsageError without it."""
    command = [str(python), str(Path(worker.__file__)), "about", task, mode]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ABOUT_S, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UsageError(
            f"TotalSegmentator is not installed in the environment of {python}. "
            "docs/segmentation.md says how to install it."
        ) from error
    return found


def _limits(asked: Mapping[str, str]) -> Limits:
    numbers: dict[str, float] = {}
    for name, known in (("minutes", 30.0), ("memory", 16.0), ("threads", 0.0)):
        try:
            numbers[name] = float(asked.get(name, known))
        except ValueError as error:
            raise UsageError(f"The option {name} of TotalSegmentator takes a number.") from error
    memory = int(numbers["memory"] * (1 << 30))
    slab = (memory // 4, worker.THICK, worker.MARGIN)
    return Limits(numbers["minutes"] * 60, memory, slab, int(numbers["threads"]))


def _resampled(
    grid: Grid, shape: tuple[int, ...], *, edges: bool
) -> tuple[Grid, list[NDArray[np.intp]]]:
    """The grid of a resampled volume, and the nearest voxels of the first one along each axis.

    Resampling keeps the middles of the first and last voxels in their place; with `edges` their
    outer edges.
    """
    steps: list[Vector] = []
    starts: list[float] = []
    places: list[NDArray[np.intp]] = []
    for step, before, after in zip(grid.steps, grid.shape, shape, strict=True):
        scale = before / after if edges else (before - 1) / max(after - 1, 1)
        start = (scale - 1) / 2 if edges else 0.0
        steps.append((step[0] * scale, step[1] * scale, step[2] * scale))
        starts.append(start)
        at = np.rint(start + np.arange(after) * scale).astype(np.intp)
        places.append(np.clip(at, 0, before - 1))
    x, y, z = grid.place(starts).tolist()
    sizes = (shape[0], shape[1], shape[2])
    return Grid(sizes, (x, y, z), (steps[0], steps[1], steps[2])), places


__all__ = ["NO_WEIGHTS", "OPTIONS", "Limits", "Task", "TotalSegmentatorSegmenter", "about"]
