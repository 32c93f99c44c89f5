"""The part "What it shows" of the page of a study, in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicomlake.testing.dicom import uid

from .knees import knee_lake
from .walks import AXE, need

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
KIDNEY = {
    "kind": "structure", "label": "kidney_left", "structure": "SCT:64033007",
    "laterality": "SCT:7771000", "name": "Left kidney", "volume": 151.25, "complete": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return knee_lake(tmp_path_factory.mktemp("statements"), "Knie li.", KIDNEY)


def shows(page: sync_api.Page, name: str) -> None:
    page.goto(f"/studies/{uid('study')}?series={uid(name)}")
    page.get_by_role("tab", name="What it shows").click()


def test_statements_come_with_their_evidence(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    shows(page, "knee")
    part = page.get_by_role("region", name="Body part")
    line = part.locator("summary")
    see(line).to_contain_text("Left knee")
    see(line).to_contain_text("SCT:72696002")
    see(part.locator("table")).to_be_hidden()
    line.focus()
    page.keyboard.press("Enter")
    see(part.locator("tbody tr", has_text="SeriesDescription").first).to_contain_text("Knie")
    see(part).to_contain_text("Stated by codes 1")
    see(part).to_contain_text("tables 1")
    kidney = page.get_by_role("region", name="Structures in the picture")
    see(kidney).to_contain_text("151.3 mL")
    see(kidney).to_contain_text("cut off")
    codes = page.get_by_role("region", name="Codes, as sent")
    see(codes.locator("summary")).to_contain_text("SRT:T-D9200 →")
    wrong = page.get_by_role("region", name="What is wrong")
    see(wrong.locator("li").first).to_contain_text("body part disagrees")
    wrong.locator("summary").first.click()
    see(wrong).to_contain_text("It says “SKULL”.")


def test_a_series_that_nobody_looked_at_says_so(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    shows(page, "other")
    see(page.get_by_text("No enricher has stated anything of this series.")).to_be_visible()
    page.get_by_role("tabpanel").get_by_role("link").click()
    see(page.get_by_role("heading", level=1, name="Enrichment")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_used_by_everybody(page: sync_api.Page, place: Path, scheme: str) -> None:
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    shows(page, "knee")
    sync_api.expect(page.locator(".shows summary").first).to_be_visible()
    for line in page.locator(".shows summary").all():
        line.click()
    sync_api.expect(page.locator(".shows table").last).to_be_visible()
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run('.shows', {resultTypes: ['violations']})")
    assert [one["id"] for one in found["violations"]] == []
    if folder := os.environ.get("DICOMLAKE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"shows-{scheme}.png", full_page=True)
