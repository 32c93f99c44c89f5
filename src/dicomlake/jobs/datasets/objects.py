"""Objects of a dataset opened: their headers and bytes as they may leave."""

from __future__ import annotations

import threading
from pathlib import Path

import orjson

from dicomlake.jobs.objects import Opened
from dicomlake.readers.header import HeaderReader

_held = threading.local()
"""A reader for each thread: it is faster with elements that it has seen before."""
_REMEMBERED = 5_000
"""After so many objects it forgets them."""


def opened(path: Path) -> Opened:
    """An object of the dataset; DataError when it cannot be read."""
    return parsed(path.read_bytes())


def parsed(data: bytes) -> Opened:
    """An object in memory; DataError when it cannot be read."""

    def fetch(at: int, length: int) -> bytes:
        return data[at : at + length]

    if not hasattr(_held, "reader"):
        _held.reader, _held.read = HeaderReader(), 0
    found = Opened(orjson.loads(_held.reader.read(fetch, len(data)).json), fetch, len(data))
    _held.read += 1
    if _held.read % _REMEMBERED == 0:
        _held.reader.forget()
    return found
