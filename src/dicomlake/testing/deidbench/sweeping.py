"""Find tokens as bytes: any case, any encoding, packed or not."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

_SIZE = 8
_BITS = 20
_MIX = np.uint64(0x9E3779B97F4A7C15)
_CODECS = ("latin-1", "utf-8", "utf-16-le", "utf-16-be", "iso2022_jp", "gb18030", "shift_jis")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4}[\r\n]{0,2}){8,}(?:[A-Za-z0-9+/]{2,3}={1,2})?")
_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\n?endstream", re.S)


class Sweep:
    """Looks for many tokens at once.

    >>> sweep = Sweep(["Zorbatinx", "Quimbaduv"])
    >>> sorted(sweep.found(b"..ZORBATINX.." + "quimbaduv".encode("utf-16")))
    ['Quimbaduv', 'Zorbatinx']
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._ends: dict[int, list[tuple[bytes, str]]] = {}
        self._short: list[tuple[bytes, str]] = []
        for token in tokens:
            for pattern in _spellings(token):
                if len(pattern) < _SIZE:
                    self._short.append((pattern, token))
                else:
                    end = int.from_bytes(pattern[-_SIZE:], "little")
                    self._ends.setdefault(end, []).append((pattern, token))
        self._sieve = np.zeros(1 << _BITS, np.bool_)
        if self._ends:
            self._sieve[_slot(np.fromiter(self._ends, np.uint64))] = True

    def found(self, data: bytes) -> set[str]:
        """The tokens that the bytes hold, as they stand or packed."""
        found: set[str] = set()
        for view in _views(data):
            found |= self._plain(view.lower())
        return found

    def _plain(self, data: bytes) -> set[str]:
        found = {token for pattern, token in self._short if pattern in data}
        count = len(data) - _SIZE + 1
        if count <= 0:
            return found
        windows = np.ndarray((count,), "<u8", data, strides=(1,))
        for start in range(0, count, 1 << 20):
            part = windows[start : start + (1 << 20)]
            for at in np.flatnonzero(self._sieve[_slot(part)]).tolist():
                for pattern, token in self._ends.get(int(part[at]), ()):
                    stop = start + at + _SIZE
                    if data[max(stop - len(pattern), 0) : stop] == pattern:
                        found.add(token)
        return found


def _slot(windows: Any) -> Any:
    with np.errstate(over="ignore"):
        return ((windows * _MIX) >> np.uint64(64 - _BITS)).astype(np.int64)


def _spellings(token: str) -> set[bytes]:
    """The token in every encoding, ASCII letters in lower case."""
    found = set()
    for text in {token, token.lower(), token.upper(), token.translate(_UMLAUTS)}:
        for codec in _CODECS:
            try:
                found.add(text.encode(codec).lower().removesuffix(b"\x1b(b"))
            except UnicodeEncodeError:
                continue
    return {pattern for pattern in found if pattern}


def _views(data: bytes) -> Iterator[bytes]:
    """The bytes, and whatever is packed in them."""
    yield data
    for match in _BASE64.finditer(data):
        try:
            yield base64.b64decode(match[0].replace(b"\r", b"").replace(b"\n", b""))
        except (binascii.Error, ValueError):
            continue
    if b"1.2.840.10008.1.2.1.99" in data[:2048]:
        yield from _deflated(data)
    if b"%PDF-" in data:
        for match in _STREAM.finditer(data):
            yield from _stream(match[1])


def _deflated(data: bytes) -> Iterator[bytes]:
    """The data set behind the file meta information of a deflated object."""
    if data[128:132] == b"DICM" and data[132:140] == b"\x02\0\0\0UL\x04\0":
        start = 144 + int.from_bytes(data[140:144], "little")
        yield from _inflated(data[start:], -15)


def _stream(data: bytes) -> Iterator[bytes]:
    yield from _inflated(data, 15)
    if data.rstrip().endswith(b"~>"):
        try:
            plain = base64.a85decode(data.strip().removeprefix(b"<~").removesuffix(b"~>"))
        except ValueError:
            return
        yield plain
        yield from _inflated(plain, 15)


def _inflated(data: bytes, bits: int) -> Iterator[bytes]:
    try:
        yield zlib.decompressobj(bits).decompress(data)
    except zlib.error:
        return
