"""Large documents of FHIR, some entries at a time: never more than a part of one is in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import orjson

from dicomlake.errors import DataError

STEP = 8 * 1024**2
"""Bytes that are read at a time."""
LARGEST = 256 * 1024**2
"""Bytes of one entry; it takes many times as much memory."""
_ENTRIES = re.compile(rb'"entry"\s*:\s*\[')
_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")
_LIST = re.compile(rb"\s*\[")


@dataclass(slots=True)
class Entries:
    """The entries of a Bundle, or of a list of resources; `bundle` is what stands before them."""

    start: bytes
    file: IO[bytes]
    bundle: dict[str, Any] | None = None
    read: int = 0
    """How many entries there were so far."""

    def __iter__(self) -> Iterator[Any]:
        """Each entry; DataError for what is no JSON, or has an entry that is too large."""
        rest = self._begin()
        wanted = STEP
        while True:
            more = self.file.read(max(1, wanted - len(rest)))
            rest += more
            if not more:
                break
            cut, found = _cut(rest)
            if not cut:
                wanted = 2 * len(rest)
                if len(rest) > LARGEST:
                    raise DataError(f"entry {self.read + 1} is too large, or no JSON")
                continue
            rest, wanted = rest[cut:], STEP
            yield from self._counted(found)
        yield from self._counted(self._last(rest))

    def _counted(self, found: list[Any]) -> Iterator[Any]:
        for one in found:
            self.read += 1
            yield one

    def _begin(self) -> bytes:
        """What follows the bracket that opens the entries."""
        if found := _LIST.match(self.start):
            return self.start[found.end() :]
        for found in _ENTRIES.finditer(self.start):
            head = self.start[: found.start()] + b'"entry":[]}'
            try:
                self.bundle = orjson.loads(head)
            except orjson.JSONDecodeError:
                continue  # it stands deeper
            return self.start[found.end() :]
        raise DataError("this is no Bundle of FHIR, and too large to be anything else")

    def _last(self, rest: bytes) -> list[Any]:
        head = b"[" if self.bundle is None else b'{"entry":['
        try:
            said = orjson.loads(head + rest)
        except orjson.JSONDecodeError as error:
            raise DataError(f"this is no JSON after entry {self.read}") from error
        found: list[Any] = said if isinstance(said, list) else said["entry"]
        return found


def _cut(data: bytes) -> tuple[int, list[Any]]:
    """How many bytes whole entries take from the beginning on, and these; 0 when none is whole.

    Braces tell where entries end but for those in texts, so what is cut is tried.
    """
    ends = [(found.start() + 1, found.end()) for found in _BETWEEN.finditer(data)]
    if not ends:
        return 0, []
    before = ends[-1][0]
    braces, brackets = _depth(data[:before])
    for end, following in reversed(ends):
        less = _depth(data[end:before])
        braces, brackets, before = braces - less[0], brackets - less[1], end
        if braces == 0 and brackets == 0:
            try:
                return following, orjson.loads(b"[" + data[:end] + b"]")
            except orjson.JSONDecodeError:
                continue
    return 0, []


def _depth(data: bytes) -> tuple[int, int]:
    return data.count(b"{") - data.count(b"}"), data.count(b"[") - data.count(b"]")
