"""Size-specific dose of CT: AAPM 204 by diameter and phantom, 293 for heads, 220 of slices.

Sizes are in mm, as the lake has them; the curves of the reports are in cm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CURVES = {32: (3.704369, 0.03671937), 16: (1.874799, 0.03871313)}
"""AAPM 204: a and b of a * exp(-b * D), D in cm, by phantom in cm."""
_HEAD = (1.9852, 0.0486)
"""AAPM 293, for heads on the phantom of 16 cm; not verified."""
SMALLEST, LARGEST = 80.0, 450.0
"""Diameters in mm that the curves are good for."""


def factor(phantom: int, diameter: float, *, head293: bool = False) -> float | None:
    """By what CTDIvol is multiplied to be SSDE; None outside of 80 to 450 mm, or for no phantom.

    >>> round(factor(32, 300), 3), round(factor(16, 200), 3), factor(32, 500)
    (1.231, 0.864, None)
    """
    if phantom not in _CURVES:
        return None
    made = factors(np.array([phantom]), np.array([diameter]), np.array([head293]))
    return None if np.isnan(made[0]) else float(made[0])


def factors(
    phantoms: NDArray[Any], diameters: NDArray[Any], heads: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The same of many, NaN where there is none; `heads`: who gets the curve of AAPM 293."""
    found = np.full(len(phantoms), np.nan)
    inside = (diameters >= SMALLEST) & (diameters <= LARGEST)
    for phantom, curve in _CURVES.items():
        for special in (False, True):
            a, b = _HEAD if special and phantom == 16 else curve
            mine = inside & (phantoms == phantom) & (heads == special)
            found[mine] = a * np.exp(-b * diameters[mine] / 10)
    return found


def conversion(phantom: int, wanted: int, diameter: float) -> float | None:
    """By what a CTDIvol or DLP on a phantom is multiplied to be one on the other.

    Both times a patient of one size gets the same SSDE, which gives the ratio of the two curves.

    >>> round(conversion(32, 16, 200), 3)
    2.056
    """
    one, other = factor(phantom, diameter), factor(wanted, diameter)
    return None if one is None or other is None else one / other


def effective(ap: float, lateral: float) -> float:
    """The effective diameter of a body by its two dimensions (AAPM 204).

    >>> effective(200, 450)
    300.0
    """
    return sqrt(ap * lateral)


@dataclass(frozen=True, slots=True)
class Water:
    """The water-equivalent diameter of a slice in mm (AAPM 220).

    `cut`: share of the edge of the field of view that the body touches; `truncated`: it is so much
    that the diameter is too small.
    """

    diameter: float
    area: float
    cut: float

    @property
    def truncated(self) -> bool:
        """Whether the body is cut off by the field of view."""
        return self.cut > _MOST_CUT


_BODY = -500.0
"""HU above which a voxel may be of a body."""
_MOST_CUT = 0.02


def water(slice_: NDArray[Any], spacing: tuple[float, float]) -> Water | None:
    """The water-equivalent diameter of an axial slice in HU; None where there is no body.

    `spacing`: mm between rows and between columns. The body is the largest connected region above
    -500 HU with all that it encloses: tables, blankets and air around it do not count.
    """
    hu = np.asarray(slice_, float)
    padding = hu < -1100  # outside of a round field of view
    inside = body(hu)
    if inside is None:
        return None
    each = spacing[0] * spacing[1]
    area = float(np.count_nonzero(inside)) * each
    mean = float(hu[inside].mean())
    diameter = 2 * sqrt(max((mean / 1000 + 1) * area / pi, 0.0))
    return Water(diameter, area, _cut(inside, padding))


def body(hu: NDArray[Any]) -> NDArray[np.bool_] | None:
    """The pixels of the body in a slice, holes filled; None where nothing is one."""
    dense = _opened(hu > _BODY)
    labels, count = _labelled(dense)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    if sizes[largest] < 0.005 * hu.size:
        return None
    return _filled(_grown(labels == largest) & (hu > _BODY))


def _opened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without bridges of a pixel or two, by which bodies touch tables."""
    return _grown(_shrunk(_shrunk(mask)))


def _shifted(mask: NDArray[np.bool_], *, edge: bool) -> list[NDArray[np.bool_]]:
    around = np.pad(mask, 1, constant_values=edge)
    return [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    up, down, left, right = _shifted(mask, edge=True)
    return mask & up & down & left & right


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    up, down, left, right = _shifted(mask, edge=False)
    return mask | up | down | left | right


def _labelled(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """Connected regions by number, from 1; 0 is none. Runs of rows are joined by union-find."""
    labels = np.zeros(mask.shape, np.int64)
    parents = [0]

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    before: list[tuple[int, int, int]] = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.view(np.int8), [0]))))
        runs = []
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            touching = {root(n) for a, b, n in before if a < end and start < b}
            if touching:
                number = min(touching)
                for other in touching:
                    parents[other] = number
            else:
                number = len(parents)
                parents.append(number)
            labels[y, start:end] = number
            runs.append((start, end, number))
        before = runs
    roots = np.array([root(n) for n in range(len(parents))])
    return roots[labels], len(set(roots.tolist()) - {0})


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With everything that it encloses: lungs, bowel gas."""
    outside, _ = _labelled(~np.pad(mask, 1))
    reached = outside == outside[0, 0]
    filled: NDArray[np.bool_] = ~reached[1:-1, 1:-1]
    return filled


def _cut(inside: NDArray[np.bool_], padding: NDArray[np.bool_]) -> float:
    """The share of the outline of a body that lies at the edge of the field of view."""
    outline = inside & ~_shrunk_to(inside)
    at_edge = _near(padding)
    at_edge[[0, -1], :] = True
    at_edge[:, [0, -1]] = True
    count = int(np.count_nonzero(outline))
    return float(np.count_nonzero(outline & at_edge)) / count if count else 0.0


def _shrunk_to(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    up, down, left, right = _shifted(mask, edge=False)
    return mask & up & down & left & right


def _near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return _grown(_grown(mask))
