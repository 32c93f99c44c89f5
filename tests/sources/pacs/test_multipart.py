"""Bodies in parts, however they are cut and whatever their writers leave out."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.errors import Refused
from dicomlake.sources.dicomweb import multipart
from dicomlake.sources.dicomweb.multipart import parameters, parts, whole

BODIES = [b"one", b"", b"\r\n--b", b"--bound\r\nx\r\n--boundar", b"\n\r\n-", bytes(300)]


def body(
    bodies: list[bytes],
    *,
    boundary: str = "boundary",
    end: bytes = b"\r\n",
    length: bool = True,
    preamble: bytes = b"",
    epilogue: bytes = b"\r\n",
    padding: bytes = b"",
) -> bytes:
    mark = b"--" + boundary.encode()
    made = preamble
    for data in bodies:
        made += mark + padding + end + b"Content-Type: application/dicom" + end
        if length:
            made += b"Content-Length: %d" % len(data) + end
        made += end + data + end
    return made + mark + b"--" + epilogue


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes, size: int = 7, boundary: str = "boundary") -> list[bytes]:
    return [part.bytes() for part in parts(cut(data, size), boundary)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"read me\r\n", b"read me\n"])
def test_however_it_is_written(size: int, length: bool, end: bytes, preamble: bytes) -> None:
    bodies = [data for data in BODIES if end == b"\r\n" or b"\n--boundary" not in data]
    data = body(bodies, end=end, length=length, preamble=preamble)
    assert read(data, size) == bodies
    assert read(data[:-2], size) == bodies


def test_headers_and_odd_delimiters() -> None:
    data = body([b"x"], padding=b" \t")
    (part,) = parts([data], "boundary")
    assert part.headers == {"content-type": "application/dicom", "content-length": "1"}
    assert read(b"--b\r\n\r\nx\r\n--b--", boundary="b") == [b"x"]
    # what only begins like the boundary is none
    assert read(b"--b\r\n\r\nx\r\n--bb\r\ny\r\n--b--", 1, boundary="b") == [b"x\r\n--bb\r\ny"]
    assert read(b"--b--", boundary="b") == []
    assert read(b"", boundary="b") == []


def test_a_part_is_there_before_the_next_one_has_come() -> None:
    seen: list[str] = []

    def chunks() -> Iterator[bytes]:
        data = body([b"one", b"two"])
        half = data.index(b"two")
        yield data[:half]
        seen.append("rest")
        yield data[half:]

    found = parts(chunks(), "boundary")
    assert next(found).bytes() == b"one"
    assert not seen
    assert next(found).bytes() == b"two"


@pytest.mark.parametrize("keep", range(1, 115))
def test_cut_off_anywhere(keep: int) -> None:
    data = body([b"one", b"two"], length=False, epilogue=b"")
    seen: list[bytes] = []
    found = parts(cut(data[:keep], 5), "boundary")
    with pytest.raises(Refused, match=r"stopped in the middle|before its first"):
        seen.extend(part.bytes() for part in found)
    assert seen == [b"one", b"two"][: len(seen)]
    assert len(seen) >= (b"\r\n--boundary\r\n" in data[10:keep])


def test_a_missing_end_is_no_harm_when_lengths_say_that_all_came() -> None:
    data = body([b"one", b"two"], epilogue=b"")
    assert read(data.removesuffix(b"\r\n--boundary--")) == [b"one", b"two"]


@pytest.mark.parametrize("data", [b"<html>", b"x" * 100_000, b"x\r\n" * 50_000])
def test_no_parts_at_all(data: bytes) -> None:
    with pytest.raises(Refused):
        read(data, 5000)


def test_endless_headers() -> None:
    with pytest.raises(Refused):
        list(parts((b"--b\r\n" if not n else b"X: y\r\n" * 100 for n in range(10**9)), "b"))


def test_large_parts_do_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MOST_HELD", 10_000)
    bodies = [bytes(range(256)) * 300, b"small", b"\r\n--boundar" * 5000]
    found = parts(cut(body(bodies), 999), "boundary")
    part = next(found)
    assert (part.size, part.fetch(256, 3), part.bytes()) == (76_800, b"\0\1\2", bodies[0])
    file = part.fetch.__closure__[0].cell_contents  # type: ignore[attr-defined]
    assert [p.bytes() for p in found] == bodies[1:]
    assert file.closed
    (one,) = whole(cut(bodies[0], 999), "application/dicom")
    assert one.headers == {"content-type": "application/dicom"}
    gc.collect()


def test_a_body_without_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MOST_HELD", 100)
    for data in (b"", b"x" * 50, bytes(range(250)) * 3):
        assert [part.bytes() for part in whole(cut(data, 70), "")] == [data]


@given(
    st.lists(st.binary(max_size=60), max_size=5),
    st.integers(1, 90),
    st.booleans(),
    st.sampled_from(["b", "a-b", "=_x'()+,./:?", "0" * 70]),
)
def test_any_bytes(bodies: list[bytes], size: int, length: bool, boundary: str) -> None:
    bodies = [data for data in bodies if b"--" not in data]
    data = body(bodies, boundary=boundary, length=length)
    assert read(data, size, boundary) == bodies


@given(st.binary(max_size=300))
def test_garbage_never_hangs(data: bytes) -> None:
    for start in (b"", b"--b\r\n\r\n"):
        with contextlib.suppress(Refused):
            read(start + data, 11, "b")


def test_parameters() -> None:
    kind, found = parameters('multipart/related; boundary="a b;c\\"d"; type="application/dicom"')
    assert (kind, found["boundary"], found["type"]) == (
        "multipart/related",
        'a b;c"d',
        "application/dicom",
    )
    assert parameters("multipart/related;boundary=x") == ("multipart/related", {"boundary": "x"})
    assert parameters("") == ("", {})
