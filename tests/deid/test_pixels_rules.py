"""What needs no search for text: regions, devices, overlays, hidden bits, what passes, refusals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomlake.contracts.deid import Item, Replaced, Unresolved
from dicomlake.deid.pixels import Options, PixelStep
from dicomlake.deid.pixels.boxes import Box, mask_of, outside
from dicomlake.deid.pixels.detection import Detector
from dicomlake.deid.pixels.devices import rules_of
from dicomlake.deid.pixels.frames import Frames
from dicomlake.deid.pixels.suspicion import suspected
from dicomlake.errors import UsageError
from dicomlake.testing.dicom import EXPLICIT_LE, RLE, Fragments, encode
from tests.deid.objects import (
    CT,
    Nobody,
    described,
    file_of,
    frames_in,
    item_of,
    object_of,
    rewritten,
)

SHAPE = (60, 90)


class Blind(Detector):
    """Finds what it is told."""

    def __init__(self, *found: Box) -> None:
        super().__init__()
        self.found, self.asked = found, 0

    def boxes(self, picture: Any, least: float = 0.5) -> tuple[Box, ...]:
        self.asked += 1
        return self.found


def blind(step: PixelStep, *found: Box) -> Blind:
    """Let a step find what it is told."""
    step.seeker._detector = detector = Blind(*found)
    return detector


def clean(step: PixelStep, item: Item) -> Replaced | None:
    return step.clean(item, Nobody(), None)  # type: ignore[arg-type]


def noise(kind: str = "uint8", high: int = 255, shape: tuple[int, ...] = SHAPE) -> Any:
    return np.random.default_rng(2).integers(0, high, shape).astype(kind)


def original(pixels: Any, syntax: str = EXPLICIT_LE, **more: Any) -> Item:
    """An axial slice of CT as it was acquired."""
    return object_of(pixels, syntax, **{"SOPClassUID": CT, "Modality": "CT", **more})


# Regions and devices


def region(x0: int, y0: int, x1: int, y1: int) -> dict[str, Any]:
    return {
        "RegionLocationMinX0": x0, "RegionLocationMinY0": y0,
        "RegionLocationMaxX1": x1, "RegionLocationMaxY1": y1,
    }  # fmt: skip


def test_what_is_outside_of_all_regions_goes_from_every_frame() -> None:
    regions = [region(10, 10, 40, 40), region(30, 30, 79, 50), region(0, 0, 0, 0)]
    before = noise(shape=(3, *SHAPE))
    item = object_of(before, SequenceOfUltrasoundRegions=regions)
    step = PixelStep()
    blind(step)
    found = clean(step, item)
    assert found is not None
    after = frames_in(rewritten(item, found))
    kept = mask_of([Box(10, 10, 41, 41), Box(30, 30, 80, 51)], *SHAPE)
    np.testing.assert_array_equal(after[:, kept], before[:, kept])
    for frame in after:
        assert len(np.unique(frame[~kept])) == 1


def test_regions_may_be_ignored() -> None:
    item = object_of(noise(), SequenceOfUltrasoundRegions=[region(10, 10, 40, 40)])
    step = PixelStep({"regions": False})
    blind(step)
    found = clean(step, item)
    assert found is not None
    assert not found.changed


def test_boxes_outside_cover_all_else() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        kept = []
        for _ in range(int(random.integers(1, 5))):
            (x0, x1), (y0, y1) = (sorted(random.integers(0, n, 2)) for n in (90, 60))
            kept.append(Box(int(x0), int(y0), int(x1) + 1, int(y1) + 1))
        np.testing.assert_array_equal(
            mask_of(outside(kept, *SHAPE), *SHAPE), ~mask_of(kept, *SHAPE)
        )


def test_rules_of_a_site_blank_what_they_say(tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(
        "- {ManufacturerModelName: scanner, Rows: 60, rectangles: [[0, 0, 500, 8]]}\n"
        "- {Manufacturer: nobody, rectangles: [[0, 0, 90, 60]]}\n"
    )
    before = noise("uint16", 4000)
    item = original(before, ManufacturerModelName="The Scanner X", BitsStored=16, HighBit=15)
    assert suspected(item.header) == ""
    step = PixelStep({"devices": str(file)})
    blind(step)
    found = clean(step, item)
    assert found is not None
    after = frames_in(rewritten(item, found))
    assert len(np.unique(after[:8])) == 1
    np.testing.assert_array_equal(after[8:], before[8:])


def test_our_rules_can_be_read() -> None:
    assert len(rules_of()) >= 10


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rectangles: 1", "is a list of rules"),
        ("- {Manufacturer: X}", "has no rectangles"),
        ("- {rectangles: [[0, 0, 1, 1]]}", "says nothing of the device"),
        ("- {Manufacturer: X, rectangles: [[5, 0, 1, 1]]}", "a rectangle that is none"),
        ("- {Manufacturr: X, rectangles: [[0, 0, 1, 1]]}", "Did you mean Manufacturer"),
        ("- {Rows: many, rectangles: [[0, 0, 1, 1]]}", "no number"),
        ("- [", "cannot be read"),
    ],
)
def test_rules_that_are_none_are_told(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=told):
        PixelStep({"devices": [str(file)]})


# What is looked at


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"BurnedInAnnotation": "YES"}, "Burned In"),
        ({"BurnedInAnnotation": "NO", "ImageType": ["DERIVED", "SECONDARY"]}, "as it was acquired"),
        ({"ImageType": ...}, "as it was acquired"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "no cut"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "SOP class"),
        ({"ConversionType": "WSD"}, "another picture"),
        ({"BitsAllocated": 8}, "8 bits"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4", "ImageType": ["DERIVED", "PRIMARY"]}, ""),
    ],
)
def test_only_cuts_as_acquired_pass(more: dict[str, Any], why: str) -> None:
    said = described(noise("uint16", 4000), SOPClassUID=CT, Modality="CT")
    told = {key: value for key, value in (said | more).items() if value is not ...}
    found = suspected(item_of(encode(told)).header)
    assert (why in found) if why else found == ""


def test_what_passes_is_not_decoded() -> None:
    said = described(noise("uint16", 4000), SOPClassUID=CT, Modality="CT")
    broken = said | {"PixelData": Fragments((b"this is no picture",))}
    item = item_of(encode(broken, "1.2.840.10008.1.2.4.70"))
    step = PixelStep()
    detector = blind(step)
    found = clean(step, item)
    assert found is not None
    assert not found.changed
    assert found.codes == ("113101",)
    assert detector.asked == 0
    every = PixelStep({"look": "all"})
    blind(every)
    with pytest.raises(Unresolved, match="cannot be decoded") as told:
        clean(every, item)
    assert told.value.check == "pixels"


def test_without_pixels_there_is_nothing_to_do() -> None:
    said = described(noise())
    del said["PixelData"]
    assert clean(PixelStep(), item_of(encode(said))) is None


# Overlays, curves, icons, hidden bits


def test_overlays_curves_and_icons_go() -> None:
    more = {
        "(6000,0010)": ("US", 60), "(6000,3000)": ("OW", np.ones(400, "uint16")),
        "(6002,0022)": ("LO", "MUELLER"), "(5000,3000)": ("OW", b"ab"),
        "IconImageSequence": [{"Rows": 4, "PixelData": b"abcd"}],
    }  # fmt: skip
    item = original(noise("uint16", 4000), **more)
    found = clean(PixelStep(), item)
    assert found is not None
    after = rewritten(item, found)
    groups = {element.tag.group >> 8 for element in after}
    assert not groups & {0x50, 0x60}
    assert "IconImageSequence" not in after
    assert found.changed
    np.testing.assert_array_equal(frames_in(after), noise("uint16", 4000))


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, "1.2.840.10008.1.2.2", RLE])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_that_are_not_stored_are_cleared(syntax: str, signed: bool) -> None:
    shown = noise("int16", 4096)
    if signed:
        shown = shown - 2048
    secret = np.zeros(SHAPE, bool)
    secret[10:20, 10:50] = True
    before = np.where(secret, (shown & 0x0FFF) | 0x5000, shown).astype("int16").view("uint16")
    item = original(
        before, syntax, BitsStored=12, HighBit=11, PixelRepresentation=int(signed),
    )  # fmt: skip
    found = clean(PixelStep(), item)
    assert found is not None
    after = rewritten(item, found)
    np.testing.assert_array_equal(frames_in(after).astype(int), shown.astype(int))
    raw, _ = Frames(item_of(file_of(item, found))).values(1)  # with all bits
    allowed = {0x0, 0xF} if signed else {0x0}
    assert set(np.unique(raw.view("uint16") >> 12).tolist()) <= allowed


def test_signs_above_the_stored_bits_are_no_secret() -> None:
    before = (noise("int16", 4096) - 2048).astype("int16")
    found = clean(PixelStep(), original(before, BitsStored=12, HighBit=11))
    assert found is not None
    assert not found.changed


def test_what_stands_behind_the_last_frame_goes() -> None:
    before = noise("uint16", 4000)
    value = before.tobytes() + b"MUELLER^ANNA"
    item = original(before, BitsStored=16, HighBit=15, PixelData=value)
    found = clean(PixelStep(), item)
    assert found is not None
    assert found.values[0x7FE00010] == ("OW", before.tobytes())


# What cannot be made harmless


def test_text_that_never_ends_is_refused() -> None:
    step = PixelStep()

    class Endless(Blind):
        def boxes(self, picture: Any, least: float = 0.5) -> tuple[Box, ...]:
            self.asked += 1
            return (Box(self.asked % 50, 2, self.asked % 50 + 8, 20),)

    step.seeker._detector = Endless()
    with pytest.raises(Unresolved, match="again and again"):
        clean(step, object_of(noise(shape=(400, 600))))


@pytest.mark.parametrize(
    "more",
    [{"Rows": 0}, {"PixelData": b"abcd"}, {"SamplesPerPixel": 4}, {"NumberOfFrames": 900}],
)
def test_pixels_that_cannot_be_read_are_refused(more: dict[str, Any]) -> None:
    step = PixelStep()
    blind(step)
    with pytest.raises(Unresolved) as told:
        clean(step, item_of(encode(described(noise()) | more)))
    assert told.value.check == "pixels"


def test_video_is_refused() -> None:
    said = described(noise()) | {"PixelData": Fragments((b"\0\0\1\xb3",))}
    step = PixelStep()
    blind(step)
    with pytest.raises(Unresolved, match=r"1\.2\.840\.10008\.1\.2\.4\.103"):
        clean(step, item_of(encode(said, "1.2.840.10008.1.2.4.103")))


def test_without_what_finds_text_nothing_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("rapidocr_onnxruntime")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
    with pytest.raises(UsageError, match="dicomlake\\[deid\\]"):
        clean(PixelStep(), object_of(noise()))


def test_options_are_checked() -> None:
    for said, told in (
        ({"lok": "all"}, "Did you mean look"),
        ({"look": "none"}, "suspected or all"),
        ({"most_frames": 0}, "1 or more"),
        ({"regions": "no"}, "of type bool"),
    ):
        with pytest.raises(UsageError, match=told):
            PixelStep(said)
    assert PixelStep(Options(look="all")).options.look == "all"
