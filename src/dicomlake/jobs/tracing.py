"""Samples of a waveform to be drawn: in physical units, thinned out where they are too many."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomlake.errors import UsageError
from dicomlake.readers.samples import Waveform

MOST_SAMPLES = 2_000_000
"""Samples of all channels that are given at once."""


def thinned(samples: NDArray[np.float64], width: int) -> tuple[NDArray[np.float64], float]:
    """The lowest and the highest sample of each of `width` pixels, in the order in which they come,
    and how many samples stand for one; as they are where they are no more.

    >>> thinned(np.array([[0.0], [9.0], [1.0], [-3.0], [2.0], [5.0]]), 1)[0].ravel().tolist()
    [9.0, -3.0]
    """
    count = len(samples)
    if not width or count <= 2 * width:
        return samples, 1.0
    edges = np.linspace(0, count, width + 1).astype(np.int64)
    found = np.empty((2 * width, samples.shape[1]))
    for pixel, (first, last) in enumerate(itertools.pairwise(edges)):
        found[2 * pixel : 2 * pixel + 2] = _ends(samples[first:last])
    return found, count / (2 * width)


def _ends(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lowest and the highest row of each column, the earlier one first."""
    missing = np.isnan(part)
    low = np.where(missing, np.inf, part)
    high = np.where(missing, -np.inf, part)
    at = np.sort(np.stack([low.argmin(axis=0), high.argmax(axis=0)]), axis=0)
    ends: NDArray[np.float64] = np.take_along_axis(part, at, axis=0)
    return ends


def drawn(wave: Waveform, width: int) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """What a waveform is, and its samples as channels x samples with NaN where there are none.

    UsageError when they are more than MOST_SAMPLES.
    """
    samples = np.where(wave.mask, np.nan, wave.samples)
    thin, step = thinned(samples, width)
    if thin.size > MOST_SAMPLES:
        raise UsageError(
            f"These are {thin.size:,} samples; {MOST_SAMPLES:,} can be given at once. Say how "
            "many pixels wide they are drawn."
        )
    about = {
        "group": wave.group,
        "label": wave.label,
        "leads": list(wave.leads),
        "units": list(wave.units),
        "SamplingFrequency": wave.SamplingFrequency,
        "offset": wave.offset,
        "samples": len(wave.samples),
        "points": len(thin),
        "samples_per_point": step,
        "notes": list(wave.notes),
    }
    return about, np.ascontiguousarray(thin.T, dtype=np.float32)
