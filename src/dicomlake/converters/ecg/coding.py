"""How ECG formats code samples: base 64, Huffman codes of SCP-ECG, XLI of Philips."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LONGEST_CHUNK = 16 << 20
"""Bytes of one lead behind its dictionary."""


def bytes_of(text: str, what: str) -> bytes:
    """What a text in base 64 stands for; DataError when it is none, or nothing."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"the samples of {what} are no base 64: the file is damaged") from error
    if not data:
        raise DataError(f"{what} has no samples")
    return data


@dataclass(frozen=True, slots=True)
class HuffmanCode:
    """One code of a table of SCP-ECG: `bits` of the stream stand for `value`.

    `extra` bits after it are a number to add, with a sign. `switch`: go on with table `value`.
    """

    bits: str
    extra: int
    value: int
    switch: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class HuffmanTable:
    """A table of codes, and the pattern that finds the next one."""

    codes: dict[str, HuffmanCode]
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, codes: Sequence[HuffmanCode]) -> HuffmanTable:
        """The table of these codes; DataError when one is the beginning of another."""
        found = sorted(codes, key=lambda code: code.bits)
        for code, following in pairwise(found):
            if following.bits.startswith(code.bits):
                raise DataError("its Huffman table is ambiguous")
        return cls({code.bits: code for code in found}, re.compile(_pattern(found, 0)))

    def value(self, token: str) -> tuple[int, bool]:
        """What a token stands for, and whether it asks for another table."""
        for length in range(1, len(token) + 1):
            code = self.codes.get(token[:length])
            if code is not None:
                if not code.extra:
                    return code.value, code.switch
                number = int(token[length:], 2)
                negative = number >> (code.extra - 1)
                return number - (negative << code.extra), code.switch
        raise DataError("its Huffman table is ambiguous")  # cannot happen: the pattern found it


def _pattern(codes: Sequence[HuffmanCode], depth: int) -> str:
    """A pattern of these codes that looks at each bit once: a tree of choices."""
    if len(codes) == 1 and len(codes[0].bits) == depth:
        return f"[01]{{{codes[0].extra}}}" if codes[0].extra else ""
    ways = []
    for bit in "01":
        if below := [code for code in codes if code.bits[depth] == bit]:
            ways.append(bit + _pattern(below, depth + 1))
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


@lru_cache(maxsize=1)
def default_table() -> HuffmanTable:
    """The default table of SCP-ECG (EN 1064, 5.4.2): -8 to 8, else 8 or 16 bits as they are."""
    codes = [HuffmanCode("0", 0, 0)]
    for number in range(1, 9):
        codes.append(HuffmanCode("1" * number + "00", 0, number))
        codes.append(HuffmanCode("1" * number + "01", 0, -number))
    codes.append(HuffmanCode("1111111110", 8, 0))
    codes.append(HuffmanCode("1111111111", 16, 0))
    return HuffmanTable.of(codes)


def huffman(
    data: bytes, count: int, tables: Sequence[HuffmanTable], what: str
) -> NDArray[np.int64]:
    """The first `count` values of a stream; DataError when it ends early.

    >>> huffman(bytes.fromhex("4bfe7fffda80"), 5, [default_table()], "lead 1").tolist()
    [0, 1, -1, 8, -300]
    """
    if count > 8 * len(data):
        raise DataError(f"{what} has fewer samples than the file says: it is truncated")
    bits = format(int.from_bytes(data, "big"), f"0{8 * len(data)}b") if data else ""
    if len(tables) == 1 and not any(code.switch for code in tables[0].codes.values()):
        return _plain(bits, count, tables[0], what)
    return _switching(bits, count, tables, what)


def _plain(bits: str, count: int, table: HuffmanTable, what: str) -> NDArray[np.int64]:
    tokens = [match.group() for match in islice(table.pattern.finditer(bits), count)]
    if len(tokens) < count:
        raise DataError(f"{what} has fewer samples than the file says: it is truncated")
    if not bits.startswith("".join(tokens)):
        raise DataError(f"{what} holds bits that are no Huffman code")
    known = {token: table.value(token)[0] for token in set(tokens)}
    return np.fromiter((known[token] for token in tokens), np.int64, count)


def _switching(
    bits: str, count: int, tables: Sequence[HuffmanTable], what: str
) -> NDArray[np.int64]:
    table, place, values = tables[0], 0, np.zeros(count, np.int64)
    done = 0
    while done < count:
        match = table.pattern.match(bits, place)
        if match is None:
            raise DataError(f"{what} holds bits that are no Huffman code, or is truncated")
        value, switch = table.value(match.group())
        place = match.end()
        if not switch:
            values[done] = value
            done += 1
        elif not 1 <= value <= len(tables):
            raise DataError(f"{what} asks for a Huffman table that is not there")
        else:
            table = tables[value - 1]
    return values


def undifferenced(values: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Samples of 16 bits out of their first or second differences, as SCP-ECG stores them.

    >>> undifferenced(np.array([5, 7, 1, -1]), 2).tolist()
    [5, 7, 10, 12]
    """
    if order == 0 or values.size <= 1:
        return values
    if order == 1 or values.size == 2:
        out = np.cumsum(values) if order == 1 else values
    else:
        slopes = np.concatenate([values[1:2] - values[:1], values[2:]]).cumsum()
        out = np.concatenate([values[:1], values[0] + slopes.cumsum()])
    return out.astype(np.int16).astype(np.int64)


def xli(data: bytes, leads: int, count: int) -> list[NDArray[np.int64]]:
    """The leads of Philips' XLI, `count` samples each; limb leads may be remainders still.

    A chunk is its length, 2 bytes of no known use, a first code, and codes of a dictionary of 10
    bits; these hold second differences, their high bytes before their low bytes.
    """
    found: list[NDArray[np.int64]] = []
    place = 0
    while place < len(data) and len(found) < leads:
        what = f"lead {len(found) + 1}"
        size = int.from_bytes(data[place : place + 4], "little", signed=True)
        first = int.from_bytes(data[place + 6 : place + 8], "little", signed=True)
        place += 8
        if size <= 0 or place + size > len(data):
            raise DataError(f"{what} of its XLI data is truncated")
        body = lzw(data[place : place + size], what)
        place += size
        if len(body) // 2 < max(count, 2):
            raise DataError(f"{what} has fewer samples than the file says: it is truncated")
        found.append(_second_sums(body, first)[:count])
    if len(found) < leads:
        raise DataError(f"its XLI data hold {len(found)} leads where {leads} are named")
    return found


def _second_sums(body: bytes, first: int) -> NDArray[np.int64]:
    """z[n] = 2 z[n-1] - z[n-2] - (code before - 64); before the first code stands `first`."""
    raw = np.frombuffer(body + bytes(len(body) % 2), np.uint8).astype(np.uint16)
    half = raw.size // 2
    codes = (raw[:half] << 8 | raw[half:]).astype(np.uint16).view(np.int16).astype(np.int64)
    bends = -np.concatenate([[first], codes[2:-1] - 64])[: codes.size - 2]
    slopes = np.concatenate([codes[1:2] - codes[:1], bends]).cumsum()
    return np.concatenate([codes[:1], codes[0] + slopes.cumsum()])


def with_limb_leads(leads: list[NDArray[np.int64]]) -> None:
    """Put III, aVR, aVL and aVF in the place of what XLI stores: what I and II do not foretell."""
    one, two = leads[0], leads[1]
    leads[2] = three = two - one - leads[2]
    leads[3] = -leads[3] - (one + two) // 2
    leads[4] = (one - three) // 2 - leads[4]
    leads[5] = (two + three) // 2 - leads[5]


def lzw(data: bytes, what: str, bits: int = 10) -> bytes:
    """Bytes behind codes of a dictionary that stays as it is once its codes ran out.

    >>> lzw(bytes.fromhex("18500187ff"), "lead 1")
    b'aaaa'
    """
    last = (1 << bits) - 2
    words = [bytes([value]) for value in range(256)]
    out, size, before = [], 0, b""
    stream, have = 0, 0
    for byte in data:
        stream, have = (stream << 8 | byte) & 0xFFFFFF, have + 8
        if have < bits:
            continue
        have -= bits
        code = stream >> have & ((1 << bits) - 1)
        if code > last:
            break
        if code < len(words):
            word = words[code]
        elif before and code == len(words):
            word = before + before[:1]
        else:
            raise DataError(f"{what} holds a code that its dictionary does not have: it is damaged")
        if before and len(words) <= last:
            words.append(before + word[:1])
        out.append(word)
        size += len(word)
        if size > LONGEST_CHUNK:
            raise DataError(f"{what} would take more than {LONGEST_CHUNK >> 20} MB")
        before = word
    return b"".join(out)
