"""Headers with anything in any place give rows, problems or a DataError, and nothing else."""

from __future__ import annotations

import copy
import random
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Contents
from dicomlake.errors import DataError
from dicomlake.readers.samples import waveforms_of
from dicomlake.readers.segments import SegmentReader
from dicomlake.readers.volumes import volumes_of
from dicomlake.readers.waveforms import WaveformReader
from tests.readers.contents import header_of, named

ODD: list[Any] = [
    None, "", [], {}, "x", -1, 0, 1e400, float("nan"), 2**63, "1e300", "-5", [None], ["a", "b"],
    {"Value": [1]}, {"vr": "SQ", "Value": [{}]}, {"vr": "SQ", "Value": 5},
    {"vr": "DS", "Value": ["abc"]}, {"vr": "US", "Value": [0]}, {"vr": "US", "Value": [65535]},
    {"vr": "DS", "Value": ["1e308"] * 6}, {"vr": "DS", "Value": [0] * 6},
    {"vr": "IS", "Value": [2**40]}, {"vr": "UN", "InlineBinary": "AAA"},
    {"vr": "CS", "Value": [{"a": 1}]},
]  # fmt: skip
FILES = (
    "example_ecg.dcm", "rtstruct.dcm", "mock_data/rt.dcm", "liver.dcm", "liver_rle.dcm",
    "liver_deflate.dcm", "liver_expb.dcm", "A1E9Q1/seg_0_ED.dcm", "seg_image_sm_control.dcm",
    "seg_image_ct_true_fractional.dcm",
)  # fmt: skip


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: what holds it, and under which key."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inside:
        found.append((value, key))
        if isinstance(one, dict | list):
            _places(one, found)
    return found


def test_whatever_a_header_holds(corpus_files: list[Path]) -> None:
    rng = random.Random(11)
    samples = []
    for name in FILES:
        data = named(corpus_files, name).read_bytes()
        samples.append((data, orjson.dumps(header_of(data)[1])))
    began = time.monotonic()
    for _ in range(1500):
        data, json = rng.choice(samples)
        header = orjson.loads(json)
        places = _places(header, [])
        for _ in range(rng.randint(1, 4)):
            held, key = rng.choice(places if rng.random() < 0.6 else places[:200])
            held[key] = copy.deepcopy(rng.choice(ODD))
        fetch = lambda offset, length, data=data: data[offset : offset + length]  # noqa: E731
        for reader in (SegmentReader(), WaveformReader()):
            contents = Contents()
            reader.read(header, contents)
            for name, rows in contents.rows.items():
                pa.Table.from_pylist(rows, tables.ALL[name])
        for measure in (volumes_of, waveforms_of):
            try:
                measure(header, fetch, len(data))
            except DataError:
                continue
    assert time.monotonic() - began < 30
