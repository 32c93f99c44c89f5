"""The bar of pages in a real browser: at every width, by keys alone, and without faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from .walks import go_to, need

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def place(hospital_lake: Path) -> Path:
    return hospital_lake


def bar(page: sync_api.Page) -> sync_api.Locator:
    return page.get_by_role("navigation", name="Pages")


@pytest.mark.parametrize("width", [1440, 1024, 768, 390])
def test_the_bar_fits_and_has_no_fault(page: sync_api.Page, width: int) -> None:
    see = sync_api.expect
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/sources")
    see(page.get_by_role("heading", name="Sources")).to_be_visible()
    opener = bar(page).get_by_role("button", name="Sources")  # where one is, told by the bar
    see(opener).to_be_visible()
    opener.click()
    here = bar(page).get_by_role("link", name="Sources", exact=True)
    see(here).to_have_attribute("aria-current", "page")
    for link in bar(page).get_by_role("link").all():
        see(link).to_be_in_viewport()
    over = "document.documentElement.scrollWidth - window.innerWidth"
    assert page.evaluate(over) <= 0
    top = page.locator("header.top").bounding_box()
    assert top is not None
    assert top["height"] < 60  # one line
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run('header', {resultTypes: ['violations']})")
    assert [one["id"] for one in found["violations"]] == []
    page.mouse.click(width / 2, 780)
    see(here).to_be_hidden()


def test_the_bar_by_keys_alone(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/sources")
    opener = bar(page).get_by_role("button", name="Running")
    opener.focus()
    page.keyboard.press("Enter")
    see(opener).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    see(bar(page).get_by_role("link", name="Bring in", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    see(opener).to_be_focused()
    see(opener).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    see(bar(page).get_by_role("link", name="Audit", exact=True)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    see(page.get_by_role("heading", name="Status", exact=True)).to_be_visible()
    see(bar(page).get_by_role("link", name="Status", exact=True)).to_be_hidden()


def test_one_group_is_open_at_a_time(page: sync_api.Page) -> None:
    page.goto("/")
    for name in ("Clinical", "Research"):
        bar(page).get_by_role("button", name=name).click()
    sync_api.expect(bar(page).locator("[aria-expanded=true]")).to_have_count(1)
    go_to(page, "Dose")
    sync_api.expect(bar(page).get_by_role("button", name="Clinical Dose")).to_be_visible()
    assert page.title() == "Dose · dicomlake"
