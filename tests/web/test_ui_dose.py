"""The page of radiation dose in a real browser: numbers, levels, patients, alarms, outliers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import dicomlake
from dicomlake.jobs import dose
from dicomlake.jobs.dose import options_of
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

from .walks import go_to, need

sync_api = pytest.importorskip("playwright.sync_api")
AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ui-dose")
    hospital.write(folder / "files", 32, pixels=False, seed=7)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


def card(page: sync_api.Page, title: str) -> sync_api.Locator:
    return page.locator(f'article[aria-label="{title}"]')


def test_the_overview_shows_what_studies_add_up_to(page: sync_api.Page, place: Path) -> None:
    lake = dicomlake.open(place)
    studies = dose.studies(lake.engine, options=options_of(place)).to_pylist()
    page.goto("/")
    go_to(page, "Dose")
    whole = page.locator('.dose-counts [data-count="CT"] b')
    ct = sum("CT" in row["kinds"] for row in studies)
    sync_api.expect(whole).to_have_text(str(ct))
    row = card(page, "Doses of studies").locator("tbody tr", has_text="DLP")
    dlp = sorted(row["DLP"] for row in studies if row["DLP"] is not None)
    sync_api.expect(row.locator("td").nth(2)).to_have_text(str(len(dlp)))
    boxes = card(page, "Doses by protocol")
    sync_api.expect(boxes.locator("svg .box").first).to_be_visible()
    boxes.get_by_role("button", name="Table").click()
    sync_api.expect(boxes.get_by_role("cell", name=re.compile("CT head")).first).to_be_visible()


def test_a_question_in_the_address_narrows_it(page: sync_api.Page) -> None:
    page.goto("/dose?q=Modality = 'MG'")
    rows = card(page, "Doses of studies").locator("tbody tr")
    sync_api.expect(rows).to_have_count(2)  # both sides
    sync_api.expect(rows.first).to_contain_text("AGD")
    sync_api.expect(page.locator(".filter-chip")).to_contain_text("MG")
    page.locator(".filter-chip button").first.click()  # the chip goes, and the page stays
    sync_api.expect(rows.filter(has_text="DLP").first).to_be_visible()
    assert page.url.endswith("/dose")


def test_levels_stand_beside_medians_and_few_get_no_verdict(page: sync_api.Page) -> None:
    page.goto("/dose/protocols")
    levels = card(page, "Medians beside reference levels")
    sync_api.expect(levels.locator("svg .level").first).to_be_attached()
    sync_api.expect(levels.locator("svg text", has_text="too few").first).to_be_visible()
    sync_api.expect(levels.locator("svg .box.above")).to_have_count(0)
    sync_api.expect(card(page, "Names of protocols").locator("tbody tr").first).to_be_visible()


def test_a_patient_study_by_study_with_the_window(page: sync_api.Page, place: Path) -> None:
    found = dose.patients(dicomlake.open(place).engine, options=options_of(place)).to_pylist()
    most = max(found, key=lambda row: row["DLP_highest"] or 0)
    page.goto("/dose/patients")
    table = card(page, "Patients over a rolling window")
    head = table.get_by_role("columnheader", name=re.compile("highest DLP"))
    head.get_by_role("button").click()
    sync_api.expect(head).to_have_attribute("aria-sort", "descending")
    sync_api.expect(table.locator("tbody tr").first).to_contain_text(most["PatientID"])
    table.locator("tbody a").first.click()
    history = card(page, f"Dose of the patient {most['PatientID']}")
    sync_api.expect(history.locator("svg .bar").first).to_be_visible()
    studies = page.locator(".dose-table tbody tr")
    sync_api.expect(studies).to_have_count(most["studies"])
    studies.locator("a").first.click()
    sync_api.expect(page).to_have_url(re.compile("/studies/"))


def test_an_alarm_is_closed_with_a_reason(page: sync_api.Page) -> None:
    page.goto("/dose/alarms")
    alarms = card(page, "Alarms")
    rows = alarms.locator("tbody tr")
    sync_api.expect(rows.first).to_contain_text("fluoroscopy")
    before = rows.count()
    rows.first.get_by_role("button", name="Close").click()
    dialog = page.get_by_role("dialog")
    done = dialog.get_by_role("button", name="Close", exact=True).last
    sync_api.expect(done).to_be_disabled()
    dialog.get_by_role("textbox").fill("The skin was looked at")
    done.click()
    sync_api.expect(rows).to_have_count(before - 1)
    alarms.get_by_text("Closed (1)").click()
    sync_api.expect(rows).to_have_count(1)
    sync_api.expect(rows.first).to_contain_text("The skin was looked at")


def test_the_report_is_handed_out(page: sync_api.Page) -> None:
    page.goto("/dose?q=Modality = 'MG'")
    page.get_by_role("button", name="Report").click()
    with page.expect_download() as told:
        page.get_by_role("menuitem", name="PDF").click()
    assert told.value.suggested_filename == "dose.pdf"
    assert Path(told.value.path()).read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tab", ["", "protocols", "patients", "alarms"])
def test_the_page_has_no_fault_of_accessibility(
    browser: sync_api.Browser, address: str, scheme: str, tab: str
) -> None:
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    with browser.new_context(
        base_url=address, locale="de-DE", color_scheme=scheme, reduced_motion="reduce",
        viewport={"width": 1280, "height": 900},
    ) as context:  # fmt: skip
        page = context.new_page()
        page.goto(f"/dose/{tab}")
        sync_api.expect(page.locator(".dash-body .chart-card").first).to_be_visible()
        sync_api.expect(page.locator(".skeleton, .state[role=status]")).to_have_count(0)
        if folder := os.environ.get("DICOMLAKE_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/dose-{tab}-{scheme}.png", full_page=True)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})")
        faults = [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]]
        assert faults == []
