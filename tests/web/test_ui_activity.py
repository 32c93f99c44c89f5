"""Activity, the history of a patient and reports in a real browser; pictures for the docs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dicomlake
from dicomlake.jobs.clinical import bring
from dicomlake.jobs.index import index
from dicomlake.testing import clinic, hospital

from .walks import need, quiet_page, served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service

AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PATIENTS = 12
DEVICE = "Model Aurora N-101"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clinic whose days are known."""
    path = tmp_path_factory.mktemp("ui-activity") / "lake"
    clinic.write(path, 2)
    return path


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up hospital, and what a house knows of its patients besides."""
    folder = tmp_path_factory.mktemp("ui-histories")
    hospital.write(folder / "files", PATIENTS, pixels=False)
    index([folder / "files"], folder / "lake", workers=1)
    hospital.histories(folder / "told", PATIENTS)
    bring(folder / "lake", [folder / "told" / "NORD"], source="NORD", issuer="NORD")
    return folder / "lake"


@pytest.fixture(scope="module")
def there(histories: Path) -> Iterator[str]:
    with served(histories) as found:
        yield found


@pytest.fixture
def reading(browser: sync_api.Browser, there: str) -> Iterator[sync_api.Page]:
    """A page of the hospital, whose series have headers and no pixels: there is no thumbnail."""
    with quiet_page(browser, there, but="404 (Not Found)") as found:
        yield found


def tile(page: sync_api.Page, station: str) -> sync_api.Locator:
    return page.locator(".device").filter(has_text=re.compile(rf"^{station}"))


def card(page: sync_api.Page, title: str) -> sync_api.Locator:
    return page.get_by_role("article", name=title, exact=True)


def test_the_map_shows_houses_departments_and_devices(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    page.goto("/activity")
    house = page.get_by_role("region", name="Northfield Hospital")
    see(house.get_by_role("region", name="Emergency").locator(".device")).to_have_count(2)
    see(page.locator(".device")).to_have_count(len(clinic.CLINIC))
    rows = dicomlake.open(place).activity().devices().to_pylist()
    ct = next(row for row in rows if row["device"] == DEVICE)
    see(tile(page, "CT 1")).to_contain_text(f"{ct['utilisation'] * 100:.0f} % busy")


def test_a_device_is_chosen_with_the_keyboard(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/activity")
    tile(page, "CT 1").press("Enter")
    see(tile(page, "CT 1")).to_have_attribute("aria-pressed", "true")
    assert page.url.endswith("device=Model+Aurora+N-101")
    see(page.get_by_role("status").filter(has_text=f"Only {DEVICE}")).to_be_visible()
    days = card(page, "First and last examination").get_by_role("table")
    see(days.get_by_role("row", name=re.compile("CT|Model"))).to_have_count(10)
    page.go_back()
    see(tile(page, "CT 1")).to_have_attribute("aria-pressed", "false")


def test_a_question_and_a_period_narrow_the_map(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/activity")
    page.get_by_label("Only what this question finds").fill("Modality = 'MR'")
    page.get_by_label("Only what this question finds").press("Enter")
    see(page.locator(".device")).to_have_count(3)
    page.get_by_label("From", exact=True).fill("2030-01-01")
    see(page.locator(".device")).to_have_count(0)
    see(page.get_by_text("Nothing to show for this question.").first).to_be_visible()


def test_each_drawing_has_its_numbers_as_a_table(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/activity")
    for title in ("Devices", "Hours of the week", "Pauses between examinations"):
        one = card(page, title)
        one.get_by_role("button", name="Show the numbers as a table").or_(
            one.locator("button[aria-pressed]").and_(page.get_by_label(re.compile("able")))
        ).first.click()
        see(one.get_by_role("table")).to_be_visible()


def test_openings_are_counted(page: sync_api.Page) -> None:
    see = sync_api.expect
    study = f"2.25.7.{next(clinic.examinations(2)).study}"
    page.goto(f"/studies/{study}")
    see(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto("/activity")
    opened = page.get_by_role("region", name="Who opens what")
    see(opened.get_by_role("article", name="By user")).to_contain_text("local")


# Histories


def patient_of(lake: Path) -> tuple[int, str]:
    """Who has the most kinds of facts among those with images."""
    found = dicomlake.open(lake).sql(
        "select patient_key, any_value(PatientID) as id from clinical_events "
        "where patient_key in (select patient_key from series) "
        "and patient_key in (select patient_key from documents) group by 1 "
        "order by count(distinct kind) desc, count(*) desc, 1 limit 1"
    )
    row = found.to_pylist()[0]
    return row["patient_key"], row["id"]


def test_a_history_has_lanes_and_a_list(reading: sync_api.Page, histories: Path) -> None:
    see = sync_api.expect
    key, _ = patient_of(histories)
    reading.goto(f"/patients/{key}")
    lanes = reading.get_by_role("region", name="Line of time")
    for lane in ("Studies", "Diagnoses", "Reports"):
        see(lanes.get_by_text(lane, exact=True)).to_be_visible()
    listed = reading.get_by_role("table").get_by_role("row")
    told = dicomlake.open(histories).sql(
        f"select (select count(*) from clinical_events where patient_key = {key})"
        f" + (select count(*) from documents where patient_key = {key}) as n"
    )
    assert listed.count() > told.to_pylist()[0]["n"]
    before = lanes.locator(".event").count()
    reading.get_by_role("button", name="Closer").click()
    reading.get_by_role("button", name="Closer").click()
    see(lanes.locator(".event")).not_to_have_count(before)
    reading.get_by_role("button", name="Whole").click()
    see(lanes.locator(".event")).to_have_count(before)
    reading.get_by_role("table").get_by_role("link").first.click()
    see(reading).to_have_url(re.compile("/(studies|documents)/"))


def test_a_study_leads_to_the_history(reading: sync_api.Page, histories: Path) -> None:
    key, _ = patient_of(histories)
    study = dicomlake.open(histories).sql(
        f"select StudyInstanceUID as uid from series where patient_key = {key} limit 1"
    )
    reading.goto(f"/studies/{study.to_pylist()[0]['uid']}")
    reading.get_by_role("link", name="Everything of this patient").click()
    sync_api.expect(reading).to_have_url(re.compile(f"/patients/{key}$"))


def denied(lake: Path) -> str:
    """A word that some report denies and none affirms."""
    row = dicomlake.open(lake).sql(
        "select negated from documents where negated <> '' order by document_key limit 1"
    )
    words = re.findall(r"[^\W\d_]{6,}", row.to_pylist()[0]["negated"])
    return max(words, key=len)


def test_reports_are_searched_and_read(reading: sync_api.Page, histories: Path) -> None:
    see = sync_api.expect
    word = denied(histories)
    reading.goto("/documents")
    reading.get_by_label("Words that reports affirm").fill(word)
    reading.get_by_role("button", name="Search", exact=True).click()
    see(reading.get_by_role("status").filter(has_text="reports")).to_be_visible()
    reading.get_by_label("Also where it is denied").check()
    struck = reading.locator(".snippet .state-negated mark").first
    see(struck).to_have_text(re.compile(word, re.IGNORECASE))
    reading.get_by_role("article").filter(has=reading.locator(".state-negated")).first.get_by_role(
        "heading"
    ).get_by_role("link").click()
    see(reading.locator(".report-text .state-negated").first).to_be_visible()


PAGES = ("activity", "patient", "documents")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_the_pages_have_no_fault_of_accessibility(
    browser: sync_api.Browser, address: str, there: str, histories: Path, scheme: str, name: str
) -> None:
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    where = {
        "activity": (address, "/activity", ".device"),
        "patient": (there, f"/patients/{patient_of(histories)[0]}", ".event"),
        "documents": (there, f"/documents?words={denied(histories)}&negated=true", ".snippet"),
    }
    base, path, sign = where[name]
    with browser.new_context(
        base_url=base, locale="de-DE", color_scheme=scheme, reduced_motion="reduce",
        viewport={"width": 1280, "height": 900},
    ) as context:  # fmt: skip
        page = context.new_page()
        page.goto(path)
        sync_api.expect(page.locator(sign).first).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert _faults(page, scheme, name) == []


def _faults(page: sync_api.Page, scheme: str, name: str) -> list[tuple[str, str]]:
    if folder := os.environ.get("DICOMLAKE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)
    page.evaluate(AXE.read_text())
    left = "rules: {'label-content-name-mismatch': {enabled: false}}"
    found = page.evaluate(f"axe.run(document, {{resultTypes: ['violations'], {left}}})")
    return [
        (one["id"], node["html"][:160])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
