"""Objects of a dataset opened: their headers and bytes as they may leave."""

from __future__ import annotations

from pathlib import Path

import orjson

from dicomlake.jobs.objects import Opened
from dicomlake.readers.header import HeaderReader


def opened(path: Path) -> Opened:
    """An object of the dataset; DataError when it cannot be read."""
    return parsed(path.read_bytes())


def parsed(data: bytes) -> Opened:
    """An object in memory; DataError when it cannot be read."""

    def fetch(at: int, length: int) -> bytes:
        return data[at : at + length]

    return Opened(orjson.loads(HeaderReader().read(fetch, len(data)).json), fetch, len(data))
