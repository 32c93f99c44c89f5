"""Images in a real browser: what is on the screen is what was written."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from dicomlake.jobs.index import index
from dicomlake.settings import Service, Settings

from . import phantom
from .phantom import SERIES, SIZE, SLICES, SPACING, STUDY, sop
from .walks import served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
see = sync_api.expect

_PIXEL = """([x, y]) => {
  const canvas = document.querySelector(".stage canvas");
  const ratio = canvas.width / canvas.clientWidth;
  const copy = document.createElement("canvas");
  copy.width = copy.height = 1;
  const drawing = copy.getContext("2d", { willReadFrequently: true });
  drawing.drawImage(canvas, -Math.round(x * ratio), -Math.round(y * ratio));
  return [...drawing.getImageData(0, 0, 1, 1).data];
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("viewer")
    index([phantom.write(folder / "files")], folder / "lake", workers=1)
    settings = Settings(service=Service(viewer=folder / "none"))
    with served(folder / "lake", settings) as found:
        yield found


def opened(page: sync_api.Page, series: str, more: str = "") -> sync_api.Locator:
    """The stage of a series on its own page, with its first image there."""
    page.goto(f"/studies/{STUDY}/series/{SERIES[series]}{more}")
    stage = page.locator(".stage[data-ready]")
    see(stage).to_be_visible()
    return stage


def place(page: sync_api.Page, column: float, row: float, size: int = SIZE) -> tuple[float, float]:
    """Where a place of an image that fills the stage is on the stage."""
    box = page.locator(".stage").bounding_box()
    assert box is not None
    scale = min(box["width"], box["height"]) / size
    left = (box["width"] - size * scale) / 2
    top = (box["height"] - size * scale) / 2
    return left + column * scale, top + row * scale


def pixel(page: sync_api.Page, column: int, row: int, size: int = SIZE) -> list[int]:
    """Red, green and blue of the middle of a pixel."""
    found: list[int] = page.evaluate(_PIXEL, list(place(page, column + 0.5, row + 0.5, size)))
    return found[:3]


def on_page(page: sync_api.Page, column: float, row: float) -> tuple[float, float]:
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = place(page, column, row)
    return box["x"] + x, box["y"] + y


def level(value: float, center: float = 40, width: float = 400) -> int:
    """The brightness of a value in a linear window (PS3.3 C.11.2.1.2)."""
    return round(min(max(((value - (center - 0.5)) / (width - 1) + 0.5) * 255, 0), 255))


def gray(page: sync_api.Page, column: int, row: int, wanted: int) -> None:
    """Wait until a pixel is as bright as it is to be."""
    page.wait_for_function(
        f"([where, wanted]) => Math.abs(({_PIXEL})(where)[0] - wanted) <= 1",
        arg=[list(place(page, column + 0.5, row + 0.5)), wanted],
    )


def value(at: int, column: int, row: int) -> int:
    return int(phantom.ct(at)[row, column]) - 1024


def test_pixels_are_those_of_the_file(page: sync_api.Page) -> None:
    opened(page, "CT")
    for column, row in ((3, 5), (30, 30), (60, 20)):
        gray(page, column, row, level(value(0, column, row)))
    see(page.locator(".corner-window")).to_have_text("W 400 C 40")
    see(page.locator(".side-left")).to_have_text("R")
    see(page.locator(".side-top")).to_have_text("A")
    page.mouse.move(*on_page(page, 30.5, 12.5))
    see(page.locator(".corner-value")).to_have_text(f"{value(0, 30, 12)} HU")
    x, y = -48 + 30 * SPACING, -48 + 12 * SPACING
    see(page.locator(".corner-bottom-end")).to_contain_text(f"{x:g} · {y:g} · 0 mm")


def test_scrolling_by_wheel_keys_and_slider(page: sync_api.Page) -> None:
    opened(page, "CT", "?image=2")
    gray(page, 30, 30, level(value(1, 30, 30)))
    page.mouse.move(*on_page(page, 30, 30))
    page.mouse.wheel(0, 120)
    gray(page, 30, 30, level(value(2, 30, 30)))
    page.keyboard.press("End")
    gray(page, 30, 30, level(value(4, 30, 30)))
    page.keyboard.press("ArrowDown")  # there is none behind the last
    see(page.locator(".viewer-reel output")).to_have_text(f"{SLICES} / {SLICES}")
    see(page).to_have_url(re.compile(rf"\?image={SLICES}$"))
    page.get_by_label("Image", exact=True).fill("1")
    gray(page, 30, 30, level(value(0, 30, 30)))
    assert page.locator(".stage").get_attribute("aria-label") == (
        f"CT of the phantom, image 1 of {SLICES}"
    )


def test_windows(page: sync_api.Page) -> None:
    opened(page, "CT")
    page.get_by_role("button", name="Windows").click()
    page.get_by_role("menuitem", name="NARROW").click()
    gray(page, 30, 30, level(value(0, 30, 30), 20, 100))
    page.keyboard.press("Escape")
    page.locator(".stage").focus()
    page.keyboard.press("2")
    see(page.locator(".corner-window")).to_have_text("W 1,500 C -600")
    gray(page, 30, 30, level(value(0, 30, 30), -600, 1500))
    page.keyboard.press("0")
    gray(page, 30, 30, level(value(0, 30, 30)))
    page.keyboard.press("i")
    gray(page, 30, 30, 255 - level(value(0, 30, 30)))
    page.keyboard.press("0")
    page.mouse.move(*on_page(page, 30, 30))
    page.mouse.down()
    page.mouse.move(*on_page(page, 34, 30), steps=3)
    page.mouse.up()
    see(page.locator(".corner-window")).not_to_have_text("W 400 C 40")
    see(page.locator(".corner-window")).to_contain_text("C 40")


def test_measurements(page: sync_api.Page) -> None:
    opened(page, "CT")
    page.keyboard.press("l")
    page.mouse.move(*on_page(page, 10, 10))
    page.mouse.down()
    page.mouse.move(*on_page(page, 40, 50), steps=4)
    page.mouse.up()
    said = page.locator(".measures li")
    see(said).to_have_text("75 mm")  # 50 pixels
    page.keyboard.press("r")
    page.mouse.move(*on_page(page, 20, 8))
    page.mouse.down()
    page.mouse.move(*on_page(page, 28, 12), steps=4)
    page.mouse.up()
    inside = phantom.ct(0)[8:12, 20:28].astype(float) - 1024
    see(said.nth(1)).to_contain_text(f"Mean {inside.mean():g} ± {inside.std(ddof=1):.1f} HU")
    see(said.nth(1)).to_contain_text(f"{inside.min():g} … {inside.max():g} HU")
    see(said.nth(1)).to_contain_text(f"{32 * SPACING**2:g} mm²")
    page.keyboard.press("End")
    see(said.first).to_have_text("Image 1 of 5")
    said.first.get_by_role("button").first.click()
    see(said.first).to_have_text("75 mm")
    page.keyboard.press("Delete")
    see(said).to_have_count(1)
    page.get_by_label("Remove the measurement").click()
    see(page.get_by_text("Measurements are not kept.")).to_have_count(0)


def test_segments_lie_over_the_image(page: sync_api.Page) -> None:
    opened(page, "CT", "?image=3")
    before = pixel(page, 10, 40)
    assert before[0] == before[1] == before[2]
    page.get_by_role("checkbox", name="SEG of the phantom").check()
    shown = f"([where, more]) => {{ const p = ({_PIXEL})(where); return p[0] > p[1] + more; }}"
    page.wait_for_function(shown, arg=[list(place(page, 10.5, 40.5)), 40])  # red
    right, box = pixel(page, 40, 40), pixel(page, 48, 16)
    assert right[0] == right[1] == right[2]
    assert box[1] > box[0] + 40  # green
    left = page.get_by_role("button", name="Left")
    left.click()
    see(left).to_have_attribute("aria-pressed", "false")
    gray(page, 10, 40, before[0])
    assert pixel(page, 48, 16)[1] > pixel(page, 48, 16)[0] + 40
    page.locator(".stage").focus()
    page.keyboard.press("ArrowDown")
    gray(page, 48, 16, level(value(3, 48, 16)))  # the box is on one slice


def test_a_loop_in_colours_plays(page: sync_api.Page) -> None:
    opened(page, "US")
    box = page.locator(".stage").bounding_box()
    assert box is not None
    middle = [box["width"] / 2, box["height"] / 2]
    assert page.evaluate(_PIXEL, middle)[:3] == [200, 0, 0]
    see(page.get_by_label("Images per second")).to_have_value("10")
    page.get_by_role("button", name="Play").click()
    for colour in ((0, 200, 0), (0, 0, 200), (200, 0, 0)):
        wanted = list(colour)
        page.wait_for_function(
            f"([where, wanted]) => String(({_PIXEL})(where).slice(0, 3)) === String(wanted)",
            arg=[middle, wanted],
        )
    page.get_by_role("button", name="Pause").click()
    see(page.get_by_role("button", name="Play")).to_be_visible()
    page.mouse.move(box["x"] + middle[0], box["y"] + middle[1])
    see(page.locator(".corner-value")).to_contain_text("200")


def test_a_table_of_the_header_and_values_with_a_sign(page: sync_api.Page) -> None:
    opened(page, "DX")
    see(page.locator(".corner-window")).to_have_text("VOI LUT of the header")
    for column in (0, 7, 15):
        wanted = 255 - column * 17  # MONOCHROME1: the lowest is white
        assert pixel(page, column, 8, 16) == [wanted] * 3
    opened(page, "MR")
    box = page.locator(".stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    see(page.locator(".corner-value")).to_have_text("103")  # 2 * 50 + 3
    page.keyboard.press("End")
    see(page.locator(".corner-value")).to_have_text("-200")


def test_turned_flipped_and_zoomed(page: sync_api.Page) -> None:
    opened(page, "CT")
    page.keyboard.press("]")
    see(page.locator(".side-top")).to_have_text("R")
    gray(page, SIZE - 1 - 30, 10, level(value(0, 10, 30)))
    page.keyboard.press("[")
    page.keyboard.press("h")
    see(page.locator(".side-left")).to_have_text("L")
    gray(page, SIZE - 1 - 10, 30, level(value(0, 10, 30)))
    page.keyboard.press("0")
    page.keyboard.press("x")
    see(page.locator(".corner-bottom")).to_contain_text("100 %")
    page.keyboard.press("f")
    gray(page, 10, 30, level(value(0, 10, 30)))


def test_the_study_shows_the_viewer_and_says_how_ohif_comes(page: sync_api.Page) -> None:
    page.goto(f"/studies/{STUDY}?series={SERIES['CT']}")
    see(page.locator(".stage[data-ready]")).to_be_visible()
    page.get_by_role("button", name="OHIF").hover()
    see(page.get_by_role("tooltip")).to_contain_text("dicomlake viewer install")
    page.get_by_role("link", name="Open the viewer on its own page").click()
    see(page).to_have_url(re.compile("/series/"))
    page.keyboard.press("?")
    see(page.get_by_text("Next or previous image")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Back to the study").click()
    see(page.get_by_role("heading", name="Phantom", exact=True)).to_be_visible()


def test_it_stays_while_the_study_follows(page: sync_api.Page) -> None:
    page.goto(f"/studies/{STUDY}?series={SERIES['CT']}")
    see(page.locator(".stage[data-ready]")).to_be_visible()
    box = page.get_by_role("checkbox", name="SEG of the phantom")
    box.check()
    with page.expect_response(lambda answer: answer.url.endswith("/inside")):
        page.locator(".stage").press("ArrowDown")
    see(box).to_be_checked()
    see(page.locator(".viewer-reel output")).to_have_text(f"2 / {SLICES}")
    page.get_by_role("tab", name="Header").click()
    see(page.get_by_role("cell", name="(0008,0018)", exact=True)).to_be_visible()
    see(page.locator(".header-table")).to_contain_text(sop("CT", 1))
    page.get_by_role("tab", name="Image").click()
    see(page.locator(".viewer-reel output")).to_have_text(f"2 / {SLICES}")


def test_who_leaves_at_once_is_followed_too(page: sync_api.Page) -> None:
    page.goto(f"/studies/{STUDY}?series={SERIES['CT']}")
    see(page.locator(".stage[data-ready]")).to_be_visible()
    page.locator(".stage").press("ArrowDown")
    page.get_by_role("tab", name="Header").evaluate("tab => tab.click()")
    see(page.locator(".header-table")).to_contain_text(sop("CT", 1))


def test_in_german(page: sync_api.Page) -> None:
    opened(page, "CT")
    page.get_by_role("button", name="Language").click()
    page.get_by_role("menuitem", name="Deutsch").click()
    see(page.locator(".corner-window")).to_have_text("B 400 M 40")
    see(page.get_by_role("toolbar", name="Werkzeuge des Betrachters")).to_be_visible()


def test_the_phantom_is_what_it_says() -> None:
    assert phantom.ct(2)[3, 5] == 900 + 20 + 3 + 40
    assert np.array_equal(phantom.mask(1, 0), phantom.mask(1, 4))
