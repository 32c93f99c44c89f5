"""Reading the contents of one object, and samples with segments, regions and waveforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import ContentReader, Contents
from dicomlake.readers.header import Header, HeaderReader
from dicomlake.testing.dicom import encode


def header_of(data: bytes) -> tuple[Header, dict[str, Any]]:
    header = HeaderReader().read_bytes(data)
    return header, orjson.loads(header.json)


def contents_of(reader: ContentReader, data: bytes | dict[str, Any]) -> Contents:
    """What a reader makes of an object, or of a description of one; the rows fit their tables."""
    if isinstance(data, dict):
        data = encode(data)
    header, json = header_of(data)
    contents = Contents()
    contents.reader = reader.name
    if reader.wants(header.first) is not None:
        reader.read(json, contents)
    for name, rows in contents.rows.items():
        unknown = {key for row in rows for key in row} - set(tables.ALL[name].names)
        assert not unknown, (name, unknown)
        pa.Table.from_pylist(rows, tables.ALL[name])
    return contents


def named(files: list[Path], *ends: str) -> Path:
    """The first file whose path ends with the parts."""
    end = "/" + "/".join(ends)
    return next(f for f in files if f.as_posix().endswith(end))


def mutants(data: bytes, count: int, seed: int, within: int = 1 << 62) -> list[bytes]:
    """Copies of an object that are cut off, and others with a few wrong bytes near the start."""
    import random

    rng = random.Random(seed)
    found = []
    within = min(within, len(data))
    for i in range(count):
        if i % 3 == 0:
            found.append(data[: rng.randrange(140, within)])
            continue
        copy = bytearray(data)
        for _ in range(rng.randint(1, 12)):
            copy[rng.randrange(132, within)] = rng.choice((0, 255, rng.randrange(256)))
        found.append(bytes(copy))
    return found
