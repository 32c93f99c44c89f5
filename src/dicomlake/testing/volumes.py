"""Made-up bodies whose volumes are known: shapes painted into a volume one over the other.

>>> ball = Phantom(axial((20, 40, 40), (3, 3, 3))).ellipsoid("bone", (0, 0, 0), (30, 30, 30))
>>> round(ball.truth["bone"]), ball.volume().voxels.max()
(114, np.int16(700))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dicomlake.contracts.segmenters import Grid, Volume
from dicomlake.testing.dicom import encode, image, uid

HU = {
    "outside": -1000,
    "body": 40,
    "fat": -100,
    "lung_right": -850,
    "lung_left": -850,
    "airway": -1000,
    "vessel": 40,
    "bone": 700,
    "air": -1000,
    "table": 150,
}


@dataclass
class Phantom:
    """Voxels of structures by name, painted in turn; `truth` has the mL of each in the end."""

    grid: Grid
    painted: Any = None
    names: list[str] = field(default_factory=lambda: ["outside"])

    def __post_init__(self) -> None:
        self.painted = np.zeros(self.grid.shape, np.uint8)

    def _mm(self) -> tuple[Any, Any, Any]:
        """x, y, z in mm, in patient coordinates."""
        shape = self.grid.shape
        index = np.ogrid[: shape[0], : shape[1], : shape[2]]
        x, y, z = (
            sum((index[a] * self.grid.steps[a][way] for a in range(3)), self.grid.origin[way])
            for way in range(3)
        )
        return x, y, z

    def ellipsoid(self, name: str, middle: Iterable[float], radii: Iterable[float]) -> Phantom:
        """An ellipsoid; a radius of infinity makes it a cylinder along that axis."""
        away = sum(((a - m) / r) ** 2 for a, m, r in zip(self._mm(), middle, radii, strict=True))
        return self._paint(name, np.broadcast_to(away <= 1, self.grid.shape))

    def block(self, name: str, low: Iterable[float], high: Iterable[float]) -> Phantom:
        """A block between two corners."""
        inside: Any = True
        for axis, a, b in zip(self._mm(), low, high, strict=True):
            inside = inside & (axis >= a) & (axis <= b)
        return self._paint(name, np.broadcast_to(inside, self.grid.shape))

    def _paint(self, name: str, where: Any) -> Phantom:
        if name not in self.names:
            self.names.append(name)
        self.painted[where] = self.names.index(name)
        return self

    @property
    def truth(self) -> dict[str, float]:
        """The mL of each structure."""
        counts = np.bincount(self.painted.ravel(), minlength=len(self.names))
        return {n: float(c * self.grid.voxel_ml) for n, c in zip(self.names, counts, strict=True)}

    def volume(self, values: Mapping[str, float] = HU, noise: float = 0.0) -> Volume:
        """A CT of it, with a value for each structure in HU and the deviation of its noise."""
        found = np.array([values[name] for name in self.names], np.float32)[self.painted]
        if noise:
            random = np.random.default_rng(7)
            for plane in found:
                plane += random.normal(0, noise, plane.shape).astype(np.float32)
        return Volume(np.rint(found, out=found).astype(np.int16), self.grid)


def axial(
    shape: tuple[int, int, int] = (100, 180, 240),
    spacing: tuple[float, float, float] = (3.0, 1.5, 1.5),
) -> Grid:
    """Axial slices in the middle of which the origin of the patient lies."""
    origin = [-(n - 1) * s / 2 for n, s in zip(shape, spacing, strict=True)]
    steps = ((0.0, 0.0, spacing[0]), (0.0, spacing[1], 0.0), (spacing[2], 0.0, 0.0))
    return Grid(shape, (origin[2], origin[1], origin[0]), steps)


INFINITE = float("inf")


def chest(grid: Grid | None = None) -> Phantom:
    """A chest on a table: lungs that meet in front, airway, vessels, spine, ribs, gas, fat."""
    found = Phantom(grid or axial())
    found.block("table", (-150, 118, -1000), (150, 121, 1000))
    found.ellipsoid("fat", (0, 0, 0), (160, 110, INFINITE))
    found.ellipsoid("body", (0, 0, 0), (145, 95, INFINITE))
    found.ellipsoid("lung_right", (-62, 0, 20), (56, 70, 95))
    found.ellipsoid("lung_left", (62, 0, 20), (56, 70, 95))
    found.block("lung_left", (0, -48, 0), (20, -42, 30))
    found.block("lung_right", (-20, -48, 0), (0, -42, 30))
    found.ellipsoid("airway", (0, 20, 90), (9, 9, 60))
    found.block("airway", (-40, 14, 40), (40, 26, 52))
    for x in (-70, -50, 55, 75):
        found.ellipsoid("vessel", (x, 10, 20), (4, 4, 60))
    found.ellipsoid("bone", (0, 70, 0), (20, 16, INFINITE))
    found.ellipsoid("bone", (-120, -20, 0), (6, 8, 60))
    found.ellipsoid("air", (40, -30, -125), (18, 18, 14))
    return found


def series(volume: Volume, *, name: str = "phantom", **attributes: Any) -> list[bytes]:
    """The volume as a CT series of Part 10 files, in no order; slope 1, intercept -1024."""
    grid = volume.grid
    z, y, x = grid.spacing
    row = np.asarray(grid.steps[2]) / x
    column = np.asarray(grid.steps[1]) / y
    made = []
    for at in range(grid.shape[0]):
        values = image(
            SOPInstanceUID=uid(name, "instance", at),
            SeriesInstanceUID=uid(name, "series"),
            StudyInstanceUID=uid(name, "study"),
            InstanceNumber=at + 1,
            ImageOrientationPatient=[float(v) for v in (*row, *column)],
            ImagePositionPatient=[float(v) for v in grid.place((at, 0, 0))],
            PixelSpacing=[y, x],
            SliceThickness=z,
            SliceLocation=...,
            Rows=grid.shape[1],
            Columns=grid.shape[2],
            BitsStored=16,
            HighBit=15,
            RescaleIntercept=-1024,
            RescaleSlope=1,
            RescaleType="HU",
            PixelData=(np.maximum(volume.voxels[at], -1024) + 1024).astype(np.uint16),
        )
        made.append(encode({**values, **attributes}))
    return made[::2] + made[1::2]
