"""Frames in JPEG without loss: process 14, selection value 1 (ISO/IEC 10918-1 Annex H).

Nothing that may be used here writes it, and archives are full of it. Each value is told by its
difference from the one to its left, in the first column from the one above.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LENGTHS = (2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16)
"""Bits of the codes of the 17 categories of differences, from the most frequent one."""


def jpeg(values: NDArray[Any]) -> bytes:
    """A frame of rows, columns and perhaps samples of 8 or 16 bits, all of which are kept.

    >>> jpeg(np.zeros((2, 2), np.uint8))[:4].hex()
    'ffd8ffc3'
    """
    bits = values.dtype.itemsize * 8
    raw = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}").astype(np.int64)
    rows, columns = raw.shape[:2]
    planes = raw.reshape(rows, columns, -1)
    differences = _differences(planes, bits).reshape(-1)
    categories = _categories(differences)
    order = np.argsort(-np.bincount(categories, minlength=17), kind="stable")
    codes, lengths = _codes(order)
    return b"".join(
        [
            b"\xff\xd8",
            _frame(bits, rows, columns, planes.shape[2]),
            _table(order),
            _scan(planes.shape[2]),
            _stuffed(_packed(differences, categories, codes, lengths)),
            b"\xff\xd9",
        ]
    )


def _differences(planes: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """What each value has more than the one that foretells it, modulo 65536 (H.1.2.1)."""
    found = np.empty_like(planes)
    found[:, 1:] = planes[:, 1:] - planes[:, :-1]
    found[1:, 0] = planes[1:, 0] - planes[:-1, 0]
    found[0, 0] = planes[0, 0] - (1 << (bits - 1))
    wrapped: NDArray[np.int64] = (found + 32767) % 65536 - 32767  # from -32767 to 32768
    return wrapped


def _categories(differences: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits that each difference takes (Table H.2)."""
    powers = 1 << np.arange(17)
    return np.searchsorted(powers, np.abs(differences), side="right")


def _codes(order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The code of each category and its bits, as a decoder makes them of the table (Annex C)."""
    codes, lengths = np.zeros(17, np.int64), np.zeros(17, np.int64)
    code, before = 0, _LENGTHS[0]
    for category, length in zip(order, _LENGTHS, strict=True):
        code <<= length - before
        codes[category], lengths[category] = code, length
        code, before = code + 1, length
    return codes, lengths


def _packed(
    differences: NDArray[np.int64],
    categories: NDArray[np.int64],
    codes: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> bytes:
    """The code of each category and the bits of each difference, one after another."""
    more = np.where(categories == 16, 0, categories)
    low = np.where(differences < 0, differences + (1 << more) - 1, differences)
    low = np.where(categories == 16, 0, low)
    words = codes[categories] << more | low
    sizes = lengths[categories] + more
    parts = []
    for start in range(0, len(words), _AT_ONCE):
        part, size = words[start : start + _AT_ONCE], sizes[start : start + _AT_ONCE]
        ends = np.cumsum(size)
        at = np.repeat(ends, size) - np.arange(ends[-1]) - 1
        parts.append((np.repeat(part, size) >> at & 1).astype(np.uint8))
    bits = np.concatenate(parts)
    rest = np.ones(-len(bits) % 8, np.uint8)
    return np.packbits(np.concatenate([bits, rest])).tobytes()


_AT_ONCE = 1 << 18


def _stuffed(data: bytes) -> bytes:
    return data.replace(b"\xff", b"\xff\x00")


def _frame(bits: int, rows: int, columns: int, samples: int) -> bytes:
    parts = b"".join(bytes([n + 1, 0x11, 0]) for n in range(samples))
    body = struct.pack(">BHHB", bits, rows, columns, samples) + parts
    return b"\xff\xc3" + struct.pack(">H", len(body) + 2) + body


def _table(order: NDArray[np.int64]) -> bytes:
    counts = bytes(_LENGTHS.count(length) for length in range(1, 17))
    body = b"\0" + counts + bytes(int(category) for category in order)
    return b"\xff\xc4" + struct.pack(">H", len(body) + 2) + body


def _scan(samples: int) -> bytes:
    parts = b"".join(bytes([n + 1, 0]) for n in range(samples))
    body = bytes([samples]) + parts + bytes([1, 0, 0])
    return b"\xff\xda" + struct.pack(">H", len(body) + 2) + body
