"""Frames as pictures: every kind of image, against what is expected by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.errors import DataError
from dicomlake.readers.header import HeaderReader
from dicomlake.readers.pictures import Window, picture, windowed
from dicomlake.readers.pixels import Pixels
from dicomlake.testing.dicom import Raw, encode, image


def read(**attributes: Any) -> tuple[Any, Any, int]:
    raw = encode(image(**attributes))
    header = orjson.loads(HeaderReader().read_bytes(raw).json)
    return header, lambda at, length: raw[at : at + length], len(raw)


def gray(values: Any, **attributes: Any) -> tuple[Any, Any, int]:
    array = np.asarray(values, "<u2")
    return read(
        **{
            "Rows": array.shape[-2], "Columns": array.shape[-1], "BitsAllocated": 16,
            "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0, "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2", "PixelData": array.tobytes(),
            **attributes,
        }
    )  # fmt: skip


PLAIN = {"WindowCenter": None, "WindowWidth": None, "RescaleSlope": None, "RescaleIntercept": None}


def test_window_rescale_and_monochrome1() -> None:
    values = [[0, 500], [1000, 2000]]
    said = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 0, "WindowWidth": 2001}
    shown = picture(*gray(values, **said))
    assert shown.tolist() == windowed(np.array(values) * 2 - 1000, Window(0, 2001)).tolist()
    turned = picture(*gray(values, **said, PhotometricInterpretation="MONOCHROME1"))
    assert (255 - turned).tolist() == shown.tolist()


def test_without_a_window_nearly_all_values_are_seen() -> None:
    values = np.arange(10_000).reshape(100, 100)
    shown = picture(*gray(values, **PLAIN))
    assert shown.min() == 0
    assert shown.max() == 255
    assert len(np.unique(shown)) == 256
    flat = picture(*gray(np.full((4, 4), 7), **PLAIN))
    assert len(np.unique(flat)) == 1


def test_each_frame_by_itself() -> None:
    frames = np.stack([np.full((2, 3), n * 50) for n in range(4)])
    found = gray(frames, NumberOfFrames=4, **PLAIN)
    pixels = Pixels(*found)
    for n in range(4):
        assert pixels.stored(n + 1) == frames[n].astype("<u2").tobytes()
        assert set(picture(*found, n + 1, Window(100, 201)).flat) == {
            int(windowed(np.array([n * 50]), Window(100, 201))[0])
        }
    for n in (0, 5):
        with pytest.raises(DataError):
            pixels.stored(n)


def test_colours_palettes_and_planes() -> None:
    rgb = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    colour = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "SamplesPerPixel": 3,
              "PhotometricInterpretation": "RGB", **PLAIN}  # fmt: skip
    mixed = gray(np.zeros((2, 2)), **{**colour, "PlanarConfiguration": 0,
                                      "PixelData": rgb.tobytes()})  # fmt: skip
    assert picture(*mixed).tolist() == rgb.tolist()
    planes = rgb.transpose(2, 0, 1).tobytes()
    apart = gray(np.zeros((2, 2)), **{**colour, "PlanarConfiguration": 1, "PixelData": planes})
    assert picture(*apart).tolist() == rgb.tolist()
    table = np.array([0, 0x4000, 0x8000, 0xFF00], "<u2")
    palette = {f"{c}PaletteColorLookupTableDescriptor": Raw(b"\x04\0\0\0\x10\0", "US")
               for c in ("Red", "Green", "Blue")}  # fmt: skip
    palette |= {f"{c}PaletteColorLookupTableData": Raw(table.tobytes(), "OW")
                for c in ("Red", "Green", "Blue")}  # fmt: skip
    looked_up = gray([[0, 1], [2, 3]], PhotometricInterpretation="PALETTE COLOR", **palette)
    assert picture(*looked_up)[..., 0].tolist() == [[0, 0x40], [0x80, 0xFF]]


def test_single_bits_that_do_not_start_at_a_byte() -> None:
    bits = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1], np.uint8)
    packed = np.packbits(np.concatenate([bits, 1 - bits]), bitorder="little").tobytes()
    found = gray(np.zeros((3, 3)), BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=2,
                 PixelData=packed, **PLAIN)  # fmt: skip
    assert (picture(*found, 2) > 127).astype(int).ravel().tolist() == (1 - bits).tolist()


@pytest.mark.parametrize(
    "wrong",
    [{"Rows": 0}, {"BitsAllocated": 12}, {"SamplesPerPixel": 4}, {"NumberOfFrames": 0},
     {"PixelData": b"\0\0"}, {"PixelData": None}, {"Rows": 65535, "Columns": 65535}],
)  # fmt: skip
def test_what_cannot_be_shown_says_so(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        picture(*gray(np.zeros((4, 4)), **wrong))


@given(
    st.floats(-1e6, 1e6), st.floats(1e-3, 1e6),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)  # fmt: skip
def test_windows_never_turn_the_order_of_values(center: float, width: float, name: str) -> None:
    shown = windowed(np.linspace(-1e6, 1e6, 100), Window(center, width, name)).astype(int)
    assert (np.diff(shown) >= 0).all()
