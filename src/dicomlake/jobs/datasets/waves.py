"""Waveforms as tables: a row per sample and a column per channel, in physical units."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.objects import Opened
from dicomlake.readers.attributes import key_of
from dicomlake.readers.samples import Waveform, waveforms_of


def waves_of(found: Opened, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    """The groups of channels of an object: how the name of the file ends, and its bytes.

    Nothing where it has none; DataError where they cannot be read.
    """
    if key_of("WaveformSequence") not in found.header:
        return
    for one in waveforms_of(found.header, found.fetch, found.size):
        if wanted.waves == "npz":
            yield f"_{one.group}.npz", _npz(one)
        else:
            yield f"_{one.group}.parquet", _parquet(one)


def about(one: Waveform) -> dict[str, Any]:
    """What the samples are: leads, units, Hz."""
    return {
        "leads": list(one.leads),
        "units": list(one.units),
        "SamplingFrequency": one.SamplingFrequency,
        "offset_ms": one.offset,
    }


def _parquet(one: Waveform) -> bytes:
    names = _apart(one.leads)
    fields = [
        pa.field(name, pa.float64(), True, {"unit": unit})
        for name, unit in zip(names, one.units, strict=True)
    ]
    columns = [
        pa.array(one.samples[:, at], mask=one.mask[:, at] | np.isnan(one.samples[:, at]))
        for at in range(len(names))
    ]
    said = {"SamplingFrequency": str(one.SamplingFrequency), "about": json.dumps(about(one))}
    out = io.BytesIO()
    pq.write_table(pa.table(columns, pa.schema(fields, said)), out, compression="zstd")
    return out.getvalue()


def _npz(one: Waveform) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(
        out,
        samples=one.samples,
        mask=one.mask,
        leads=np.array(one.leads, dtype=np.str_),
        units=np.array(one.units, dtype=np.str_),
        SamplingFrequency=np.float64(one.SamplingFrequency),
    )
    return out.getvalue()


def _apart(names: tuple[str, ...]) -> list[str]:
    """Names of columns, each once.

    >>> _apart(("I", "II", "I"))
    ['I', 'II', 'I_3']
    """
    found: list[str] = []
    for at, name in enumerate(names, 1):
        found.append(f"{name}_{at}" if name in found else name)
    return found
