"""Sets of voxels: their connected parts, holes and outlines, with NumPy alone.

A mask is held as runs of voxels along its last axis, so that parts are found in the order of runs
and not of voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Parts:
    """The connected parts of a mask; voxels connect by their faces."""

    shape: tuple[int, int, int]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    part: NDArray[np.int64]
    """Of each run: where it starts and ends in the flat mask, and its part, counted from 0."""
    sizes: NDArray[np.int64]
    """Voxels of each part."""

    def mask(self, picked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The voxels of the parts that are picked."""
        chosen = picked[self.part]
        edges = np.zeros(self.shape[0] * self.shape[1] * self.shape[2] + 1, np.int8)
        np.add.at(edges, self.starts[chosen], 1)
        np.subtract.at(edges, self.ends[chosen], 1)
        return np.cumsum(edges[:-1], dtype=np.int8).astype(np.bool_).reshape(self.shape)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The sum of an array of the same shape over each part."""
        running = np.concatenate([[0.0], np.cumsum(values.ravel(), dtype=np.float64)])
        of_runs = running[self.ends] - running[self.starts]
        return np.bincount(self.part, of_runs, minlength=len(self.sizes)).astype(np.float64)

    def largest(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The largest value of an array of the same shape in each part."""
        bounds = np.stack([self.starts, self.ends], axis=1).ravel()
        flat = np.append(values.ravel(), values.dtype.type(0))
        found = np.full(len(self.sizes), -np.inf)
        if len(bounds):
            np.maximum.at(found, self.part, np.maximum.reduceat(flat, bounds)[::2])
        return found

    def touching(self) -> NDArray[np.bool_]:
        """Whether a part touches the first or last row or column of a slice."""
        _, rows, columns = self.shape
        row = self.starts // columns % rows
        column, last = self.starts % columns, (self.ends - 1) % columns
        at = (row == 0) | (row == rows - 1) | (column == 0) | (last == columns - 1)
        found = np.zeros(len(self.sizes), np.bool_)
        found[self.part[at]] = True
        return found


def parts_of(mask: NDArray[np.bool_], *, flat: bool = False) -> Parts:
    """The parts of a mask; `flat`: each slice for itself.

    >>> mask = np.zeros((2, 3, 4), bool)
    >>> mask[0, 0, :2] = mask[1, 0, 1] = mask[0, 2, 3] = True
    >>> parts_of(mask).sizes.tolist(), parts_of(mask, flat=True).sizes.tolist()
    ([3, 1], [2, 1, 1])
    """
    depth, rows, columns = mask.shape
    padded = np.zeros((depth * rows, columns + 2), np.int8)
    padded[:, 1:-1] = mask.reshape(-1, columns)
    change = np.diff(padded, axis=1)
    line, start = np.nonzero(change == 1)
    _, end = np.nonzero(change == -1)
    pairs = [_meeting(line, start, end, columns, 1, (line % rows) < rows - 1)]
    if not flat:
        pairs.append(_meeting(line, start, end, columns, rows, line < (depth - 1) * rows))
    one = np.concatenate([pair[0] for pair in pairs])
    other = np.concatenate([pair[1] for pair in pairs])
    _, part = np.unique(_roots(len(line), one, other), return_inverse=True)
    starts, ends = line * columns + start, line * columns + end
    sizes = np.bincount(part, ends - starts).astype(np.int64)
    return Parts((depth, rows, columns), starts, ends, part, sizes)


def _meeting(
    line: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    columns: int,
    away: int,
    asked: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of runs that overlap, of lines that are so many lines away from each other."""
    width = columns + 1
    begins, stops = line * width + start, line * width + end
    (runs,) = np.nonzero(asked)
    first = np.searchsorted(stops, (line[runs] + away) * width + start[runs], side="right")
    last = np.searchsorted(begins, (line[runs] + away) * width + end[runs], side="left")
    counts = np.maximum(last - first, 0)
    one = np.repeat(runs, counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    other = np.repeat(first, counts) + np.arange(len(one)) - before
    return one, other


def _roots(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest number that each of `count` things is connected with."""
    root = np.arange(count)
    while True:
        a, b = root[one], root[other]
        apart = a != b
        if not apart.any():
            return root
        one, other, a, b = one[apart], other[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while (above := root[root]).tobytes() != root.tobytes():
            root = above


def eroded(mask: NDArray[np.bool_], times: int, *, flat: bool = False) -> NDArray[np.bool_]:
    """A mask without its outermost voxels; the border of the array does not count as outside."""
    found = mask
    for _ in range(times):
        found = _with_neighbours(found, flat, np.logical_and)
    return found


def grown(
    seed: NDArray[np.bool_], within: NDArray[np.bool_], times: int, *, flat: bool = False
) -> NDArray[np.bool_]:
    """A mask with the voxels around it that are `within`, so many times."""
    found = seed & within
    for _ in range(times):
        found = _with_neighbours(found, flat, np.logical_or) & within
    return found


def _with_neighbours(mask: NDArray[np.bool_], flat: bool, how: np.ufunc) -> NDArray[np.bool_]:
    found = mask.copy()
    for axis in range(1 if flat else 0, 3):
        head: list[slice] = [slice(None)] * 3
        tail: list[slice] = [slice(None)] * 3
        head[axis], tail[axis] = slice(None, -1), slice(1, None)
        here, there = tuple(head), tuple(tail)
        how(found[here], mask[there], out=found[here])
        how(found[there], mask[here], out=found[there])
    return found


def filled(mask: NDArray[np.bool_], most: int | None = None) -> NDArray[np.bool_]:
    """A mask with what it encloses in each slice; `most`: holes of at most so many voxels."""
    holes = parts_of(~mask, flat=True)
    inside = ~holes.touching()
    if most is not None:
        inside &= holes.sizes <= most
    return mask | holes.mask(inside)
