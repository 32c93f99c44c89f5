"""The dashboard of quality in a real browser, about series whose faults are known."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import dicomlake
from dicomlake.contracts import coded
from dicomlake.enrichers.conformance import ConformanceEnricher
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.terms import Code
from dicomlake.testing import faults
from dicomlake.testing.dicom import uid
from dicomlake.testing.enrichers import Told

from .test_ui_dash import bar, card, see_totals
from .walks import need

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service

AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
LIVER = Code("10200004", "SCT", "Liver")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of series with known faults, checked; a segmenter has seen a liver in a chest."""
    folder = tmp_path_factory.mktemp("ui-quality")
    faults.write(folder / "objects")
    index([folder / "objects"], folder / "lake", workers=1)
    seen = [{"kind": "structure", "label": "liver", **coded("structure", LIVER)}]
    enrich(folder / "lake", Told({uid("faults", "clean CT1 0"): seen}, name="totalsegmentator"))
    enrich(folder / "lake", ConformanceEnricher(folder / "lake", {}, more=()))
    return folder / "lake"


def open_quality(page: sync_api.Page) -> None:
    page.goto("/charts/quality?count=series")
    sync_api.expect(bar(page, "Findings by severity", "error")).to_be_visible()


def test_a_rule_is_a_question(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    open_quality(page)
    lake = dicomlake.open(place)
    for severity in ("error", "warning", "note"):
        count = lake.query(f"finding.severity = '{severity}'").total
        see(bar(page, "Findings by severity", severity)).to_have_attribute(
            "aria-label", f"{severity}: {count} series"
        )
    bar(page, "Findings by rule", "study of several patients").press("Enter")
    see_totals(page, place, "finding.rule = 'study of several patients'")
    see(page.locator(".filter-chip")).to_have_count(1)
    page.go_back()
    see_totals(page, place, "")


def test_a_field_shows_the_series_of_a_device_with_a_fault(
    page: sync_api.Page, place: Path
) -> None:
    open_quality(page)
    rules = card(page, "Findings by device")
    cell = rules.get_by_role("button", name=re.compile("^flip angle is odd, Model 2: 1 of 3 "))
    cell.click()
    see_totals(page, place, "finding.rule = 'flip angle is odd' and "
               "ManufacturerModelName = 'Model 2'")  # fmt: skip


def test_body_region_anatomy_and_clocks(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    open_quality(page)
    bars = {"A word that is not known": 1, "Another word, mapped": 1, "No body part": 1,
            "Side given": 1, "Side missing": 1, "Sides contradict": 1}  # fmt: skip
    region = card(page, "Body region and side")
    for name, count in bars.items():
        see(region.locator("title", has_text=f"{name}: {count} series")).to_have_count(1)
    agreement = card(page, "Header and segmented anatomy")
    agreement.get_by_role(
        "button", name=re.compile("^Header says chest, abdomen is seen: 1 series")
    ).click()
    see_totals(page, place, "finding.rule = 'segmented anatomy disagrees'")
    page.go_back()
    clocks = card(page, "Clocks of devices")
    clocks.get_by_role(
        "button", name=f"Model 1 CT4: 20 min ahead of the study's time, {faults.STUDIES} series"
    ).press("Enter")
    see_totals(page, place, "DeviceSerialNumber = 'CT4'")


def test_the_report_is_a_file_of_the_question(page: sync_api.Page) -> None:
    page.goto("/charts/quality?count=series&q=Modality = 'MR'")
    with page.expect_download() as told:
        page.get_by_role("button", name="Report as HTML").click()
    assert told.value.suggested_filename == "quality.html"
    html = Path(told.value.path()).read_text(encoding="utf-8")
    assert "Modality = &#x27;MR&#x27;" in html
    assert "field strength is odd" in html
    assert faults.SECRET not in html


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_and_the_report_have_no_fault_of_accessibility(
    browser: sync_api.Browser, address: str, scheme: str
) -> None:
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    with browser.new_context(
        base_url=address, locale="de-DE", color_scheme=scheme, reduced_motion="reduce",
        viewport={"width": 1280, "height": 900},
    ) as context:  # fmt: skip
        page = context.new_page()
        page.goto("/charts/quality?count=series")
        sync_api.expect(card(page, "Uhren der Geräte").locator(".press").first).to_be_visible()
        sync_api.expect(card(page, "Befunde nach Gerät").locator(".press").first).to_be_visible()
        assert _faults(page, scheme, "quality") == []
        report = context.request.get("/api/quality/report").text()
        page.goto("about:blank")
        page.set_content(report)
        assert _faults(page, scheme, "quality-report") == []


def _faults(page: sync_api.Page, scheme: str, name: str) -> list[tuple[str, str]]:
    if folder := os.environ.get("DICOMLAKE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)
    page.evaluate(AXE.read_text())
    # In a drawing the name of a bar and its number are two texts; that rule takes them for one.
    left = "rules: {'label-content-name-mismatch': {enabled: false}}"
    found = page.evaluate(f"axe.run(document, {{resultTypes: ['violations'], {left}}})")
    return [
        (one["id"], node["html"][:160])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
