"""The pages of cohorts in a real browser: freeze, decide with keys, split, approve, withdraw."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from dicomlake.jobs import cohorts
from dicomlake.jobs.cohorts.approving import request
from dicomlake.jobs.cohorts.deciding import decide
from dicomlake.jobs.cohorts.splitting import Spec, split
from dicomlake.jobs.cohorts.withdrawing import withdraw
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

from .test_ui_whole import AXE
from .walks import go_to, need, quiet_page, served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
MR = "Modality = 'MR'"


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictured")
    hospital.write(folder / "files", 3)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture
def lake(pictured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictured, tmp_path / "lake"))


@pytest.fixture
def address(lake: Path) -> Iterator[str]:
    with served(lake) as found:
        yield found


@pytest.fixture
def page(browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    with quiet_page(browser, address, "status of 422") as found:
        yield found


def test_a_question_is_frozen(page: sync_api.Page, lake: Path) -> None:
    see = sync_api.expect
    page.goto(f"/ask?q={quote(MR)}&level=study")
    page.get_by_role("button", name="Freeze as cohort").click()
    dialog = page.get_by_role("dialog")
    see(dialog.get_by_label("Name of the cohort")).to_be_focused()
    page.keyboard.type("a b")
    page.keyboard.press("Enter")
    see(dialog.get_by_role("alert")).to_contain_text("no name of a cohort")
    dialog.get_by_label("Name of the cohort").fill("mr")
    page.keyboard.press("Enter")
    see(page).to_have_url(re.compile("/cohorts/mr$"))
    made = cohorts.opened(lake, "mr").version_of
    see(page.locator(".cohort-counts div", has_text="series").locator("dd")).to_have_text(
        str(made.counts["series"])
    )
    page.get_by_role("tab", name="Question and attrition").click()
    see(page.locator(".attrition tbody tr")).to_have_count(2)
    go_to(page, "Cohorts")
    see(page.get_by_role("link", name="mr", exact=True)).to_be_visible()


def test_keys_decide_and_a_version_keeps_it(page: sync_api.Page, lake: Path) -> None:
    see = sync_api.expect
    cohorts.freeze(lake, "mr", MR)
    page.goto("/cohorts/mr")
    rows = page.locator(".curation tbody tr")
    see(rows.first.locator(".curation-picture img")).to_be_visible()
    rows.first.focus()
    page.keyboard.press("3")
    see(rows.first.locator("kbd")).to_have_text("3")
    page.keyboard.press("ArrowDown")
    see(rows.nth(1)).to_be_focused()
    page.keyboard.press("x")
    see(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    page.keyboard.type("blurred")
    page.keyboard.press("Enter")
    see(rows.nth(1)).to_contain_text("excluded")
    see(rows.nth(1)).to_contain_text("blurred")
    see(rows.nth(2)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("i")
    see(rows.nth(1)).to_contain_text("included")
    page.keyboard.press("ArrowUp")
    see(rows.nth(1)).to_be_focused()
    page.keyboard.press("x")
    see(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Enter")  # the reason before
    see(rows.nth(1)).to_contain_text("excluded")
    page.get_by_role("button", name="Save as a version").click()
    page.keyboard.type("read by one")
    page.get_by_role("dialog").get_by_role("button", name="Save as a version").click()
    see(page.locator(".page-head")).to_contain_text("version 2")
    see(page.get_by_text("1 series excluded")).to_be_visible()
    made = cohorts.opened(lake, "mr").version_of
    assert (made.comment, made.left_out["excluded"]) == ("read by one", 1)
    page.get_by_role("tab", name="Compare").click()
    see(page.get_by_text("Only mr@1: 1 series: excluded")).to_be_visible()
    page.get_by_role("tab", name="Log").click()
    see(page.get_by_role("tabpanel").locator("tbody tr")).to_have_count(4)
    page.get_by_role("tab", name="New data").click()
    see(page.get_by_text("Nothing changed")).to_be_visible()


def test_from_a_split_to_an_approval(page: sync_api.Page, lake: Path) -> None:
    see = sync_api.expect
    cohorts.freeze(lake, "mr", MR)
    page.goto("/cohorts/mr?tab=split")
    form = page.get_by_role("form", name="Split")
    form.get_by_label("Into").fill("train=0.5, test=0.6")
    form.get_by_role("button", name="Split").click()
    see(page.get_by_role("alert")).to_contain_text("make 1")
    form.get_by_label("Into").fill("train=0.5, test=0.5")
    form.get_by_role("button", name="Split").click()
    see(page.get_by_text("No patient, study or object is in two splits.")).to_be_visible()
    see(page.get_by_role("cell", name="train", exact=True)).to_be_visible()
    page.get_by_role("tab", name="Approval").click()
    page.get_by_label("What for").fill("training")
    page.get_by_label("Number of the ethics vote").fill("2026-17")
    page.get_by_role("button", name="Ask for approval").click()
    asked = page.get_by_role("article", name="training")
    see(asked).to_contain_text("ethics vote 2026-17")
    asked.get_by_role("button", name="Approve").click()
    see(page.locator(".page-head")).to_contain_text("approved")
    assert cohorts.opened(lake, "mr").approved


def test_a_patient_withdraws(page: sync_api.Page, lake: Path) -> None:
    see = sync_api.expect
    cohorts.freeze(lake, "mr", MR)
    rows = cohorts.opened(lake, "mr").series().to_pylist()
    patient = rows[0]["PatientID"]
    mine = sum(row["PatientID"] == patient for row in rows)
    page.goto("/cohorts")
    page.get_by_label("PatientIDs, one per line").fill(patient)
    page.get_by_role("button", name="Withdraw 1").click()
    see(page.get_by_role("status")).to_contain_text(f"mr: {mine} series less")
    assert cohorts.opened(lake, "mr").withdrawn == mine
    page.get_by_role("button", name="Take back").click()
    see(page.get_by_role("button", name="Take back")).to_have_count(0)
    assert cohorts.opened(lake, "mr").withdrawn == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_have_no_fault_of_accessibility(
    browser: sync_api.Browser, address: str, lake: Path, scheme: str
) -> None:
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    cohorts.freeze(lake, "ct", "Modality = 'CT'")
    cohorts.freeze(lake, "mr", f"{MR} and MagneticFieldStrength >= 1")
    rows = cohorts.opened(lake, "mr").series().to_pylist()
    decide(lake, "mr", "exclude", rows[0]["SeriesInstanceUID"], "unscharf")
    split(lake, "mr", Spec(fractions={"train": 0.5, "test": 0.5}))
    decide(lake, "mr", "flag", rows[1]["SeriesInstanceUID"], flag="2")
    request(lake, "mr", "Training", ethics="2026-17", by="ann")
    withdraw(lake, rows[-1]["PatientID"], "Brief", by="eve")
    with browser.new_context(
        base_url=address, locale="de-DE", color_scheme=scheme, reduced_motion="reduce",
        viewport={"width": 1280, "height": 900},
    ) as context:  # fmt: skip
        page = context.new_page()
        for place, there in {
            "/cohorts": "Widerruf von Patienten",
            "/cohorts/mr": "unscharf",
            "/cohorts/mr?tab=question": "der Lake",
            "/cohorts/mr?tab=compare": "Nur mr@1",
            "/cohorts/mr?tab=split": "Kein Patient",
            "/cohorts/mr?tab=approval": "Ethikvotum 2026-17",
            "/cohorts/mr?tab=log": "markieren",
        }.items():
            page.goto(place)
            sync_api.expect(page.get_by_text(there).first).to_be_visible()
            if folder := os.environ.get("DICOMLAKE_SCREENSHOTS"):
                page.wait_for_timeout(1000)
                name = re.sub(r"\W+", "-", place).strip("-")
                page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)
            page.evaluate(AXE.read_text())
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            assert [
                (place, one["id"], node["html"][:160])
                for one in found["violations"]
                if one["impact"] in ("serious", "critical")
                for node in one["nodes"]
            ] == []
