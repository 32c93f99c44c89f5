"""Parts, holes and outlines of masks agree with definitions applied voxel by voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dicomlake.segmenters.masks import eroded, filled, grown, parts_of

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 7))
MASKS = SHAPES.flatmap(lambda shape: arrays(np.bool_, shape))


def flooded(mask: Any, *, flat: bool) -> list[set[tuple[int, int, int]]]:
    """The parts of a mask by walking from voxel to voxel."""
    left = {tuple(map(int, at)) for at in np.argwhere(mask)}
    found = []
    while left:
        part, todo = set(), [left.pop()]
        while todo:
            at = todo.pop()
            part.add(at)
            for axis in range(1 if flat else 0, 3):
                for step in (-1, 1):
                    there = tuple(n + step * (axis == a) for a, n in enumerate(at))
                    if there in left:
                        left.remove(there)
                        todo.append(there)
        found.append(part)
    return found


@given(MASKS, st.booleans())
def test_parts_are_those_that_one_can_walk_through(mask: Any, flat: bool) -> None:
    expected = flooded(mask, flat=flat)
    parts = parts_of(mask, flat=flat)
    values = np.arange(mask.size).reshape(mask.shape)
    sums, largest, touching = parts.sums(values), parts.largest(values), parts.touching()
    found = []
    for number in range(len(parts.sizes)):
        one = parts.mask(np.arange(len(parts.sizes)) == number)
        voxels = {tuple(map(int, at)) for at in np.argwhere(one)}
        assert parts.sizes[number] == len(voxels)
        assert sums[number] == values[one].sum()
        assert largest[number] == values[one].max()
        edges = [(y in (0, mask.shape[1] - 1)) or (x in (0, mask.shape[2] - 1))
                 for _, y, x in voxels]  # fmt: skip
        assert touching[number] == any(edges)
        found.append(voxels)
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


@given(MASKS)
def test_erosion_and_growth_look_at_neighbours(mask: Any) -> None:
    less, more = eroded(mask, 1), grown(mask, np.ones_like(mask), 1)
    for at in np.ndindex(mask.shape):
        around = [mask[at]]
        for axis in range(3):
            for step in (-1, 1):
                there = tuple(n + step * (axis == a) for a, n in enumerate(at))
                if all(0 <= n < m for n, m in zip(there, mask.shape, strict=True)):
                    around.append(mask[there])
        assert less[at] == all(around)
        assert more[at] == any(around)


def test_holes_are_filled_slice_by_slice() -> None:
    ring = np.zeros((2, 5, 5), bool)
    ring[:, 1:4, 1:4] = True
    ring[:, 2, 2] = False
    ring[1, 1, 2] = False  # open in the second slice
    assert filled(ring)[0, 2, 2]
    assert not filled(ring)[1, 2, 2]
    assert not filled(ring, most=0)[0, 2, 2]
