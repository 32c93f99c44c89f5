"""Whatever the bytes are: a header or a DataError, in little time and memory, with few reads."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.dicom.walk import FIRST_READ, LONGEST_TEXT, MOST_HELD, MOST_INFLATED
from dicomlake.errors import DataError
from dicomlake.readers.header import Header, HeaderReader

from ..made import (
    BIG_ENDIAN,
    DEFLATED,
    END,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    JPEG,
    UNDEFINED,
    Counted,
    explicit,
    file,
    fragments,
    implicit,
    item,
    sequence,
)

LIES = [0, 1, 0x10000, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFE, UNDEFINED]


def survive(data: bytes, reader: HeaderReader) -> Header | None:
    """Read anything; say what was found, or None when it is no DICOM."""
    fetch = Counted(data)
    try:
        header = reader.read(fetch, len(data))
    except DataError:
        header = None
    assert len(fetch.asked) < 20 + len(data) / 1000
    assert fetch.read < 4 * len(data) + 8 * FIRST_READ
    assert max(length for _, length in fetch.asked) <= max(LONGEST_TEXT + MOST_HELD, len(data))
    if header is not None:
        complete(orjson.loads(header.json))
        again = reader.read_json(orjson.loads(header.json))
        differ = [reader.rows[n] for n in header.rows ^ again.rows]
        assert not differ
        assert again.first == header.first
    reader.forget()
    return header


def complete(found: dict[str, Any]) -> None:
    """Every element has a VR and a value, bytes, a place, or nothing."""
    for tag, element in found.items():
        assert len(tag) == 8
        assert len(element["vr"]) == 2
        assert element.keys() <= {"vr", "Value", "InlineBinary", "BulkDataURI"}
        if element["vr"] == "SQ":
            for one in element.get("Value", []):
                complete(one)


def rich(syntax: str) -> bytes:
    """A small file with one of everything."""
    if syntax == IMPLICIT:
        name = implicit(0x00100010, b"Doe^Jane")
        return file(
            implicit(0x00080005, b"ISO_IR 100"),
            implicit(0x00080060, b"CT"),
            sequence(0x00081140, item(name), item(name, undefined=True), undefined=True, vr=""),
            implicit(0x00090010, b"ACME"),
            implicit(0x00091001, b"text"),
            name,
            implicit(0x00280103, b"\1\0"),
            implicit(0x00280106, b"\xff\xff"),
            implicit(0x7FE00010, bytes(64)),
            syntax=syntax,
        )
    o = ">" if syntax == BIG_ENDIAN else "<"
    name = explicit(0x00100010, "PN", b"Doe^Jane", order=o)
    elements = [
        explicit(0x00080005, "CS", b"ISO 2022 IR 87", order=o),
        explicit(0x00080060, "CS", b"CT", order=o),
        sequence(0x00081140, item(name, order=o), item(order=o), order=o),
        sequence(0x00081199, item(name, undefined=True, order=o), undefined=True, order=o),
        explicit(0x00090010, "LO", b"ACME", order=o),
        explicit(0x00091001, "UN", item(implicit(0x00081155, b"1.2\0")), order=o),
        explicit(0x00091002, "OB", bytes(1030), order=o),
        name,
        explicit(0x00201041, "DS", b"1.5\\2 ", order=o),
        explicit(0x00280010, "US", struct.pack(o + "H", 4), order=o),
    ]
    if syntax == JPEG:
        elements.append(fragments(0x7FE00010, b"", b"\xff\xd8", b"\xff\xd9"))
    else:
        elements.append(explicit(0x7FE00010, "OW", bytes(64), order=o))
    elements.append(explicit(0xFFFCFFFC, "OB", bytes(4), order=o))
    return file(*elements, syntax=syntax)


SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG, DEFLATED]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_length_that_may_lie(syntax: str) -> None:
    """Lengths of 2 and 4 bytes, in both orders, at every place of the file."""
    data, reader = rich(syntax), HeaderReader()
    assert survive(data, reader) is not None
    for at in range(130, len(data), 2):
        for lie in LIES:
            for order in "<>" if syntax == BIG_ENDIAN else "<":
                spliced = struct.pack(order + "I", lie)
                survive(data[:at] + spliced + data[at + 4 :], reader)
        survive(data[:at] + b"\xff\xff" + data[at + 2 :], reader)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_cut_and_every_gap(syntax: str) -> None:
    data, reader = rich(syntax), HeaderReader()
    for at in range(len(data)):
        survive(data[:at], reader)
        survive(data[:at] + data[at + 1 :], reader)
        survive(data[:at] + data[at + 6 :], reader)


def samples(files: list[Path]) -> Iterator[bytes]:
    """Real files that are small, with their pixels cut off."""
    for file_ in files:
        data = file_.read_bytes()[:6000]
        if data[128:132] == b"DICM":
            yield data


def test_flipped_bits_in_real_files(pydicom_files: list[Path]) -> None:
    chance, reader = random.Random(1), HeaderReader()
    for data in samples(pydicom_files):
        for _ in range(12):
            flipped = bytearray(data)
            for _ in range(chance.choice([1, 1, 2, 8])):
                flipped[chance.randrange(130, len(data))] ^= 1 << chance.randrange(8)
            survive(bytes(flipped), reader)


def test_spliced_real_files(pydicom_files: list[Path]) -> None:
    chance, reader = random.Random(2), HeaderReader()
    known = list(samples(pydicom_files))
    for data in known:
        for _ in range(5):
            other = chance.choice(known)
            one, two = chance.randrange(132, len(data)), chance.randrange(132, len(other))
            survive(data[:one] + other[two:], reader)
            lie = struct.pack("<I", chance.choice(LIES))
            survive(data[:one] + lie + data[one + 4 :], reader)


def test_what_is_remembered_of_damaged_files_changes_no_other(pydicom_files: list[Path]) -> None:
    chance, reader = random.Random(3), HeaderReader()
    for data in list(samples(pydicom_files))[::4]:
        flipped = bytearray(data)
        for _ in range(6):
            flipped[chance.randrange(130, len(data))] ^= 1 << chance.randrange(8)
        for one in (data, bytes(flipped), data):
            known, new = survive(one, reader), survive(one, HeaderReader())
            assert (known and known.json) == (new and new.json)
            assert (known and known.problems) == (new and new.problems)


PARTS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            implicit(ITEM),
            implicit(ITEM, length=UNDEFINED),
            implicit(ITEM_END),
            implicit(END),
            explicit(0x00081140, "SQ", length=UNDEFINED),
            explicit(0x00081140, "SQ", length=60),
            explicit(0x00091001, "UN", length=UNDEFINED),
            explicit(0x00091001, "UN", length=2000),
            explicit(0x7FE00010, "OB", length=UNDEFINED),
            explicit(0x7FE00010, "OW", length=20),
            explicit(0x00080005, "CS", b"ISO 2022 IR 87\\GBK"),
            explicit(0x00090010, "LO", b"ACME"),
            explicit(0x00280103, "US", b"\1\0"),
            explicit(0x00100010, "PN", b"\x1b$B;3ED=^\\"),
            implicit(0x00081140, length=UNDEFINED),
            bytes(1500),
        ]
    ),
)


@given(st.lists(PARTS, max_size=30), st.sampled_from(SYNTAXES), st.booleans(), st.booleans())
def test_any_pieces_in_any_order(
    parts: list[bytes], syntax: str, preamble: bool, meta: bool
) -> None:
    survive(file(*parts, syntax=syntax, preamble=preamble, meta=meta), HeaderReader())


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    survive(data, HeaderReader())
    survive(file(data), HeaderReader())


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["vr", "Value", "InlineBinary", "BulkDataURI", "Alphabetic"]),
            inner,
            max_size=3,
        ),
        st.dictionaries(st.sampled_from(["00080005", "00081140", "00100010", "x"]), inner),
    ),
)
VRS = "AE AT CS DA DS FD FL IS LO OB PN SL SQ SS SV UI UN US UT UV ZZ".split()


@given(st.dictionaries(st.sampled_from(["00080005", "00090010", "00100010", "00020010"]), JSON))
def test_any_json(header: dict[str, Any]) -> None:
    complete(orjson.loads(HeaderReader().read_json(header).json))


@given(st.sampled_from(VRS), JSON)
def test_any_json_value(vr: str, value: Any) -> None:
    for kind in ("Value", "InlineBinary", "BulkDataURI"):
        header = HeaderReader().read_json({"00091001": {"vr": vr, kind: value}})
        complete(orjson.loads(header.json))


# Bombs


def peak_of(data: bytes) -> tuple[Header, int]:
    """What is said of an object, and the most memory that it took (bytes)."""
    reader, fetch = HeaderReader(), Counted(data)
    tracemalloc.start()
    try:
        return reader.read(fetch, len(data)), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("vr", ["SQ", "UN", "OB", "UT", "UV", "UC"])
@pytest.mark.parametrize("length", [0x7FFFFFFE, 0xFFFFFFFE, 50_000_000, UNDEFINED])
def test_lying_lengths_take_no_memory(vr: str, length: int) -> None:
    inside = item(explicit(0x00100010, "PN", b"Doe"))
    header, peak = peak_of(file(explicit(0x00091001, vr, inside, length=length), bytes(100_000)))
    assert header.problems
    assert peak < 2_000_000


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("depth", [60, 1000, 20_000])
def test_nesting_bombs(depth: int, undefined: bool) -> None:
    begin, end = [], []
    size = depth * 20
    for level in range(depth):
        length = UNDEFINED if undefined else size - 20 * level - 12
        begin.append(explicit(0x00081140, "SQ", length=length))
        begin.append(implicit(ITEM, length=UNDEFINED if undefined else length - 8))
        end.append((implicit(ITEM_END) + implicit(END)) if undefined else b"")
    header, peak = peak_of(file(*begin, *end))
    assert any("nested deeper" in problem for _, _, problem in header.problems)
    assert peak < 20_000_000


def bomb(start: bytes, gigabytes: int) -> bytes:
    """A deflated file that inflates to `start` and very many zero bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return file(syntax=DEFLATED)[:-2] + head + block * (64 * gigabytes)


@pytest.mark.parametrize(
    "start",
    [
        explicit(0x7FE00010, "OW", length=0xFFFFFFF0),
        explicit(0x0008119C, "UT", length=0xFFFFFFF0),
        explicit(0x00081140, "SQ", length=0x7FFFFFF0),
    ],
    ids=["pixels", "text", "sequence"],
)
def test_deflate_bombs(start: bytes) -> None:
    modality = explicit(0x00080060, "CS", b"CT")
    data = bomb(modality + start, 4)
    assert len(data) < 6_000_000
    header, peak = peak_of(data)
    assert orjson.loads(header.json)["00080060"]["Value"] == ["CT"]
    assert header.problems
    assert peak < 16_000_000
    assert MOST_INFLATED <= 1 << 30


def test_many_elements_take_memory_in_proportion() -> None:
    texts = b"".join(explicit(0x00400000 + i, "LO", b"%06d" % i) for i in range(1, 20_000))
    header, peak = peak_of(file(texts))
    assert len(orjson.loads(header.json)) == 20_000
    assert peak < 200 * len(texts)
