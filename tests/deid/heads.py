"""A made-up head with a face, and how it looks from the front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.testing.volumes import HU, Phantom, axial

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALUES = {**HU, "brain": 35, "nose": 41, "chin": 42, "lids": 43}


def head(seed: int = 0) -> Phantom:
    """A head whose top, brow and brain lie where those of grown-ups do; each seed has its face."""
    random = np.random.default_rng(seed)
    found = Phantom(axial((94, 140, 120), (3.0, 2.0, 2.0)))
    found.ellipsoid("body", (0, 0, 20), (75, 95, 100))
    found.ellipsoid("body", (0, 20, -100), (50, 55, 60))
    found.ellipsoid("bone", (0, 0, 20), (69, 89, 94))
    found.ellipsoid("body", (0, 0, 20), (62, 80, 87))
    found.ellipsoid("brain", (0, 5, 45), (62, 75, 62))
    found.block("body", (-90, -140, -140), (90, -28, 28))
    found.block("outside", (-90, -140, -140), (90, -92, 28))
    found.ellipsoid("brain", (0, 25, 10), (58, 52, 48))
    long = float(random.uniform(14, 24))
    found.ellipsoid("nose", (random.uniform(-3, 3), -92, 2), (10, long, random.uniform(14, 22)))
    found.ellipsoid("chin", (0, -86, -62), (random.uniform(16, 28), 22, random.uniform(12, 20)))
    for side in (-1, 1):
        found.ellipsoid("outside", (side * random.uniform(26, 34), -96, 22), (15, 12, 9))
        found.ellipsoid("lids", (side * 30, -84, 22), (11, 6, 7))
    found.ellipsoid("outside", (0, -93, -34), (random.uniform(18, 30), 9, 5))
    return found


def seen(voxels: NDArray[Any], least: float) -> NDArray[np.float64]:
    """How the skin of a head from brow to chin is lit from above, seen from the front."""
    body = voxels > least
    depth = np.where(body.any(axis=1), body.argmax(axis=1), body.shape[1]).astype(float)
    face = depth[20:64, 35:85]
    light: NDArray[np.float64] = np.diff(face, axis=0)
    return light
