"""Text burned into pixels is hidden, and nothing else is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dicomlake.contracts.deid import Item, Replaced, Span
from dicomlake.deid.pixels import PixelStep
from dicomlake.testing.dicom import RLE
from tests.deid.objects import JPEG, Nobody, frames_in, object_of, rewritten
from tests.deid.planted import (
    Planted,
    correlation,
    frame_with_text,
    ultrasound,
    write,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import rapidocr_onnxruntime  # noqa: F401
except ImportError as error:
    pytest.skip(f"text is not found without the extra deid: {error}", allow_module_level=True)

NAME = "MUELLER ANNA 12.03.1957"


def cleaned(item: Item, step: PixelStep, words: Any = None) -> Replaced:
    found = step.clean(item, words or Nobody(), None)  # type: ignore[arg-type]
    assert found is not None
    return found


def pixels_after(item: Item, step: PixelStep) -> NDArray[Any]:
    return frames_in(rewritten(item, cleaned(item, step)), raw=True)


def sector(seed: int = 5) -> NDArray[np.uint8]:
    """A small frame of ultrasound without text."""
    return ultrasound(seed, 400, 300)


def planted_in(frame: NDArray[Any], at: tuple[int, int] = (10, 8), **how: Any) -> Planted:
    said: dict[str, Any] = {"text": NAME, "size": 14, "values": (230, 10), **how}
    found = write(frame, at, **said)
    assert found is not None
    return found


def check_hidden(before: NDArray[Any], after: NDArray[Any], *planted: Planted) -> None:
    """Text is gone, and hardly more than that."""
    for each in planted:
        assert correlation(before, after, each) < 0.2, each
    other = (before != after).reshape(*before.shape[:2], -1).any(axis=2)
    for each in planted:
        x0, y0, x1, y1 = each.box
        other[max(0, y0 - 12) : y1 + 12, max(0, x0 - 12) : x1 + 12] = False
    assert other.mean() < 0.01


@pytest.fixture(scope="module")
def step() -> PixelStep:
    return PixelStep()


def test_planted_text_is_hidden(step: PixelStep) -> None:
    """Some 120 texts of 10 to 24 pixels on eight frames, some with little contrast."""
    hidden, share = [], []
    for seed in range(8):
        before, planted = frame_with_text(seed, 15)
        after = pixels_after(object_of(before), step)
        hidden += [correlation(before, after, each) < 0.2 for each in planted]
        text = sum((p.box[2] - p.box[0]) * (p.box[3] - p.box[1]) for p in planted) / before.size
        share.append(float((before != after).mean()) - text)
    assert len(hidden) >= 110
    assert np.mean(hidden) >= 0.98
    assert np.mean(share) <= 0.05


def test_frames_without_text_stay_as_they_are(step: PixelStep) -> None:
    for seed in range(3):
        found = cleaned(object_of(ultrasound(200 + seed)), step)
        assert not found.changed
        assert not found.values
        assert found.codes == ("113101",)


@pytest.mark.parametrize("size", [8, 12, 20, 40])
def test_sizes_of_text(step: PixelStep, size: int) -> None:
    before = ultrasound(3)
    planted = planted_in(before, size=size)
    check_hidden(before, pixels_after(object_of(before), step), planted)


@pytest.mark.parametrize(("rows", "size"), [(200, 18), (320, 40)])
def test_text_that_is_high_for_a_small_picture(step: PixelStep, rows: int, size: int) -> None:
    before = ultrasound(6, rows + 40, rows)
    planted = planted_in(before, text="SIZIREVAL", size=size, boxed=False, values=(255, 0))
    after = pixels_after(object_of(before), step)
    assert correlation(before, after, planted) < 0.2


def test_text_without_a_ground_of_its_own(step: PixelStep) -> None:
    before = ultrasound(4)
    planted = planted_in(before, (300, 300), boxed=False, values=(255, 0), size=18)
    check_hidden(before, pixels_after(object_of(before), step), planted)


def test_turned_text(step: PixelStep) -> None:
    before = sector()
    planted = planted_in(before, (8, 40), turned=True)
    check_hidden(before, pixels_after(object_of(before), step), planted)


def test_little_contrast(step: PixelStep) -> None:
    before = sector()
    planted = planted_in(before, values=(60, 30))
    check_hidden(before, pixels_after(object_of(before), step), planted)


def test_dark_text_of_an_inverse_picture(step: PixelStep) -> None:
    before = 255 - sector()
    planted = planted_in(before, values=(20, 245))
    item = object_of(before, PhotometricInterpretation="MONOCHROME1")
    check_hidden(before, pixels_after(item, step), planted)


def test_sixteen_bits_of_which_a_window_shows_few(step: PixelStep) -> None:
    before = sector().astype("uint16") * 8
    planted = planted_in(before, values=(4095, 3000))
    item = object_of(
        before, BitsStored=12, HighBit=11, WindowCenter=400, WindowWidth=600, RescaleIntercept=0
    )
    check_hidden(before, pixels_after(item, step), planted)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", RLE, JPEG + "90"])
def test_colour(step: PixelStep, syntax: str) -> None:
    before = np.repeat(sector()[..., None], 3, axis=2)
    planted = planted_in(before, values=(250, 20))
    before[..., 2] //= 2  # yellow on black
    check_hidden(before, pixels_after(object_of(before, syntax), step), planted)


def test_text_that_only_a_palette_shows(step: PixelStep) -> None:
    before = np.where(sector() > 40, 7, 3).astype("uint8")
    planted = planted_in(before, values=(200, 3), size=18)
    before[(before > 7) & (before < 90)] = 3
    before[before >= 90] = 200
    ramp = np.zeros(256, "uint16")
    ramp[7], ramp[200] = 0x5000, 0xF000
    tables = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", ramp))
    }
    item = object_of(before, PhotometricInterpretation="PALETTE COLOR", **tables)
    after = pixels_after(item, step)
    assert correlation(before, after, planted) < 0.2
    x0, y0, x1, y1 = planted.box
    assert set(np.unique(after[y0:y1, x0:x1])) == {3}


def test_a_banner_is_not_much_more_than_itself(step: PixelStep) -> None:
    before = ultrasound(9)
    before[:44] = 12
    planted = [
        planted_in(before, (10, 4), size=16, values=(220, 12)),
        planted_in(before, (420, 4), size=16, values=(220, 12), text="St. Hedwig Klinik"),
        planted_in(before, (10, 24), size=14, values=(200, 12), text="ID 48213377 09:41:22"),
    ]
    after = pixels_after(object_of(before), step)
    check_hidden(before, after, *planted)
    np.testing.assert_array_equal(before[60:], after[60:])


def test_every_frame_loses_what_some_frames_show(step: PixelStep) -> None:
    before = np.stack([sector(seed) for seed in range(9)])
    planted = [planted_in(before[n]) for n in range(0, 9, 3)]
    after = pixels_after(object_of(before), step)
    for n, frame in enumerate(after):
        check_hidden(before[n], frame, planted[0])


def test_of_a_long_cine_the_frames_that_differ_are_searched() -> None:
    before = np.stack([sector(seed % 5) for seed in range(40)])
    planted = planted_in(before[22])
    item = object_of(before)
    step = PixelStep({"most_frames": 4})
    _, sought = step.sought(item)
    assert 23 in sought.frames
    assert len(sought.frames) == 4
    check_hidden(before[22], pixels_after(item, step)[22], planted)


def test_frames_that_are_the_same_are_searched_once(step: PixelStep) -> None:
    same = np.stack([sector()] * 6)
    asked = 0
    found = step.seeker.texts

    def counted(*given: Any) -> Any:
        nonlocal asked
        asked += 1
        return found(*given)

    fresh = PixelStep()
    fresh.seeker._detector = step.seeker._detector
    fresh.seeker.texts = counted  # type: ignore[method-assign]
    cleaned(object_of(same), fresh)
    cleaned(object_of(same, RLE), fresh)
    assert asked == 2  # the same values, compressed in another way, are other bytes


def test_harmless_text_may_stay_where_the_profile_says_so() -> None:
    class Anna(Nobody):
        def spans(self, text: str) -> list[Span]:
            return [Span(0, 4, "name", "known")] if "Gain" in text else []

    before = sector()
    stays = planted_in(before, (10, 270), text="MI 0.9 TIS 0.4", size=16, values=(230, 5))
    goes = planted_in(before, (10, 8), size=16, values=(230, 5))
    item = object_of(before)
    step = PixelStep({"policy": "blank_identifying_text"})
    after = frames_in(rewritten(item, cleaned(item, step)))
    assert correlation(before, after, stays) > 0.99
    assert correlation(before, after, goes) < 0.2

    known = sector()
    name = planted_in(known, (10, 270), text="Gain 54 dB", size=16, values=(230, 5))
    item = object_of(known)
    after = frames_in(rewritten(item, cleaned(item, step, Anna())))
    assert correlation(known, after, name) < 0.2


@pytest.mark.parametrize("letter", ["L", "R"])
def test_the_letter_of_a_side_stays_and_initials_go(letter: str) -> None:
    before = sector()
    stays = planted_in(before, (20, 20), text=letter, size=24, values=(240, 5))
    goes = [
        planted_in(before, (10, 270), text="L R", size=24, values=(240, 5)),
        planted_in(before, (280, 260), text="LONG ROSE", size=16, values=(240, 5)),
    ]
    item = object_of(before)
    after = frames_in(rewritten(item, cleaned(item, PixelStep())))
    assert correlation(before, after, stays) > 0.99
    assert [round(correlation(before, after, one), 1) for one in goes] == [0, 0]
    blanked = frames_in(rewritten(item, cleaned(item, PixelStep({"markers": False}))))
    assert correlation(before, blanked, stays) < 0.2
