"""Bulk data: everything as NDJSON files, made in the background (FHIR $export)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import IO, Any

import orjson

from dicomlake.web.exports import Export, Work

MOST_LINES = 100_000
"""Resources of a file; a type may have several."""

Resources = Iterator[tuple[str, dict[str, Any]]]
"""Types and resources."""


def lines_of(resources: Callable[[], Resources]) -> Work:
    """What writes resources into the files of an export."""

    def work(made: Export) -> None:
        writers = _Writers(made)
        try:
            for type_, resource in resources():
                if made.cancelled:
                    break
                writers.write(type_, resource)
        finally:
            writers.close()

    return work


class _Writers:
    """The files of an export, one open per type."""

    def __init__(self, made: Export) -> None:
        self._made = made
        self._open: dict[str, tuple[str, IO[bytes]]] = {}

    def write(self, type_: str, resource: dict[str, Any]) -> None:
        """Write a line."""
        if type_ not in self._open:
            number = sum(one == type_ for one, _ in self._made.files.values()) + 1
            name = f"{type_}.{number}.ndjson"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            handle = os.open(self._made.folder / name, flags, 0o600)
            self._open[type_] = (name, os.fdopen(handle, "wb", 1 << 20))
            self._made.files[name] = (type_, 0)
        name, stream = self._open[type_]
        stream.write(orjson.dumps(resource, option=orjson.OPT_APPEND_NEWLINE))
        lines = self._made.files[name][1] + 1
        self._made.files[name] = (type_, lines)
        self._made.lines += 1
        if lines >= MOST_LINES:
            self._open.pop(type_)[1].close()

    def close(self) -> None:
        """Write what is left."""
        for _, stream in self._open.values():
            stream.close()
        self._open.clear()
