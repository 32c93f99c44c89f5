"""Frames are written again in every transfer syntax: exact outside of what is blanked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dicomlake.contracts.deid import Item, Replaced
from dicomlake.deid.pixels.boxes import mask_of
from dicomlake.deid.pixels.frames import Frames, blank, is_indexed
from dicomlake.deid.pixels.writing import J2K, written
from dicomlake.testing.dicom import DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, RLE
from tests.deid.objects import (
    BOX,
    JPEG,
    frames_in,
    object_of,
    read_again,
    rewritten,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (40, 64)
NATIVE = (IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED)
LOSSLESS = (RLE, *(JPEG + n for n in ("57", "70", "80", "90")))


def noise(kind: str, shape: tuple[int, ...] = SHAPE, bits: int = 0) -> NDArray[Any]:
    """Values by chance that use all bits that are stored."""
    info = np.iinfo(kind)
    bits = bits or info.bits
    low = -(1 << bits - 1) if info.min < 0 else 0
    random = np.random.default_rng(7)
    return random.integers(low, low + (1 << bits), shape).astype(kind)


def blanked(item: Item, only: int = 0) -> tuple[Replaced, int]:
    """The object with a box blanked, in all frames or in one of them."""
    frames = Frames(item)
    number = 0

    def change(values: NDArray[Any]) -> bool:
        nonlocal number
        number += 1
        if only and number != only:
            return False
        return blank(values, [BOX], indexed=is_indexed(frames))

    values, syntax, count = written(frames, change)
    return Replaced(values, syntax), count


def check(item: Item, only: int = 0) -> Any:
    """Blanked in the box, the same everywhere else; the object that was written."""
    found, count = blanked(item, only)
    before = read_again(item.data)
    after = rewritten(item, found)
    a, b = frames_in(before), frames_in(after)
    assert a.shape == b.shape
    rows = int(before.Rows)
    mask = mask_of([BOX], rows, int(before.Columns))
    frames = int(before.get("NumberOfFrames", 1))
    a, b = (f.reshape(frames, *mask.shape, -1) for f in (a, b))
    np.testing.assert_array_equal(a[:, ~mask], b[:, ~mask])
    for number in range(1, frames + 1):
        inside = b[number - 1][mask]
        if only in (0, number):
            assert (inside == inside[0]).all()
        else:
            np.testing.assert_array_equal(inside, a[number - 1][mask])
    assert count == (1 if only else frames)
    return after


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_gray_is_exact_in_its_own_transfer_syntax(syntax: str, kind: str) -> None:
    after = check(object_of(noise(kind), syntax))
    assert after.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, EXPLICIT_BE, RLE, JPEG + "80", JPEG + "90"])
def test_signed_values_of_twelve_bits_are_exact(syntax: str) -> None:
    pixels = noise("int16", bits=12)
    after = check(object_of(pixels, syntax, BitsStored=12, HighBit=11))
    assert after.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS])
def test_colour_is_exact(syntax: str) -> None:
    after = check(object_of(noise("uint8", (*SHAPE, 3)), syntax))
    assert after.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, EXPLICIT_BE])
def test_planes_of_colour_stay_planes(syntax: str) -> None:
    planes = np.ascontiguousarray(np.moveaxis(noise("uint8", (*SHAPE, 3)), -1, 0))
    item = object_of(
        planes, syntax, Rows=40, Columns=64, SamplesPerPixel=3, PlanarConfiguration=1,
        PhotometricInterpretation="RGB", NumberOfFrames=1,
    )  # fmt: skip
    assert check(item).PlanarConfiguration == 1


def test_half_the_colours_become_all() -> None:
    pixels = noise("uint8", (40, 128))
    item = object_of(
        pixels, Columns=64, SamplesPerPixel=3, PlanarConfiguration=0,
        PhotometricInterpretation="YBR_FULL_422",
    )  # fmt: skip
    found, _ = blanked(item)
    after = rewritten(item, found)
    assert after.PhotometricInterpretation in ("RGB", "YBR_FULL")
    mask = mask_of([BOX], *SHAPE)
    before = frames_in(read_again(item.data))
    np.testing.assert_array_equal(before[~mask], frames_in(after)[~mask])


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, RLE, JPEG + "70", JPEG + "80"])
def test_entries_of_a_palette_are_exact(syntax: str) -> None:
    tables = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", np.arange(256, dtype="uint16")))
    }
    check(object_of(noise("uint8"), syntax, PhotometricInterpretation="PALETTE COLOR", **tables))


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, EXPLICIT_BE, *LOSSLESS])
def test_frames_that_nobody_touched_stay_byte_for_byte(syntax: str) -> None:
    item = object_of(noise("uint8", (3, *SHAPE)), syntax)
    check(item, only=2)
    found, _ = blanked(item, only=2)
    value = found.values[0x7FE00010]
    assert value is not None
    frames = Frames(item)
    assert frames.stored(1) in value[1]
    assert frames.stored(3) in value[1]


def test_single_bits_follow_each_other_without_a_gap() -> None:
    bits = np.random.default_rng(3).integers(0, 2, (3, 19, 37)).astype("uint8")
    packed = np.packbits(bits.reshape(-1), bitorder="little")
    packed = np.append(packed, np.zeros(len(packed) % 2, "uint8"))
    item = object_of(
        packed.reshape(1, -1), Rows=19, Columns=37, NumberOfFrames=3, BitsAllocated=1,
        BitsStored=1, HighBit=0,
    )  # fmt: skip
    check(item, only=2)


@pytest.mark.parametrize("shape", [SHAPE, (2, *SHAPE), (*SHAPE, 3), (2, *SHAPE, 3)])
def test_what_has_a_loss_gets_no_further_one(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    smooth = np.cumsum(random.integers(-2, 3, shape), axis=-2 if shape[-1] == 3 else -1) + 120
    item = object_of(smooth.clip(0, 255).astype("uint8"), JPEG + "50")
    after = check(item)
    assert after.file_meta.TransferSyntaxUID == J2K
    assert after.LossyImageCompression == "01"
    if shape[-1] == 3:
        assert after.PhotometricInterpretation == "YBR_RCT"


def test_gray_of_jpeg_2000_with_loss_keeps_its_other_frames() -> None:
    item = object_of(noise("uint16", (3, *SHAPE)), JPEG + "91")
    after = check(item, only=3)
    assert after.file_meta.TransferSyntaxUID == JPEG + "91"


def test_what_is_too_small_for_jpeg_2000_is_not_compressed() -> None:
    after = check(object_of(np.full((20, 40), 7, "uint8") + noise("uint8", (20, 40)) // 8, RLE))
    assert after.file_meta.TransferSyntaxUID == RLE
    smooth = np.tile(np.arange(40, dtype="uint8") * 3, (20, 1))
    after = check(object_of(smooth, JPEG + "50"))
    assert after.file_meta.TransferSyntaxUID == EXPLICIT_LE
