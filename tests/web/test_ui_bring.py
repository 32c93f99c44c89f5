"""Bringing files in on the page: converted, as facts, and from watched folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomlake.settings import Settings, WatchedFolder

from .serving import SOURCES
from .test_conversions import MAPPING, TABLE
from .walks import go_to, need, quiet_page, served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def page(browser: sync_api.Browser, lake: Path, tmp_path: Path) -> Iterator[sync_api.Page]:
    (tmp_path / "in").mkdir()
    watched = {"register": WatchedFolder(folder=tmp_path / "in", quiet_s=0)}
    with (
        served(lake, Settings(source=SOURCES, convert=watched)) as address,
        quiet_page(browser, address) as found,
    ):
        yield found


def files(page: sync_api.Page) -> sync_api.Locator:
    return page.locator(".bring-files > li")


def test_files_are_converted_and_refused_with_their_reason(
    page: sync_api.Page, tmp_path: Path
) -> None:
    see = sync_api.expect
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    for name, content in (("devices.yaml", MAPPING.encode()), ("labels.csv", TABLE)):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "ecg.xml").write_text("<x/>")
    page.goto("/")
    go_to(page, "Bring in")
    form = page.get_by_role("form", name="Bring in")
    form.get_by_label("Source").fill("register")
    chosen = [tmp_path / name for name in ("devices.yaml", "labels.csv", "ecg.xml")]
    page.locator("input[type=file]").set_input_files(chosen)
    see(files(page)).to_have_count(2)
    see(form.get_by_label("Mapping")).to_have_value("devices")  # it was kept, and chosen
    form.get_by_role("button", name="Bring in 2 files").click()
    table, ecg = files(page).nth(0), files(page).nth(1)
    see(table).to_contain_text("done")
    see(table).to_contain_text("one object · one row or part refused")
    see(table).to_contain_text("row 3")
    see(ecg).to_contain_text("refused")
    see(ecg).to_contain_text("no converter reads this kind of file")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    faults = [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert faults == []
    table.get_by_role("link", name="study 1").click()
    see(page.locator(".study-head h1")).to_be_visible()


def test_facts_come_in_and_lead_to_their_patients(
    page: sync_api.Page, lake: Path, tmp_path: Path
) -> None:
    see = sync_api.expect
    file = tmp_path / "Anna's bundle.json"
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"value": "P-1"}]}
    flu = {"resourceType": "Condition", "id": "c", "code": {"text": "flu"},
           "subject": {"reference": "Patient/p"}}  # fmt: skip
    entries = [{"resource": one} for one in (patient, flu)]
    file.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    page.goto("/bring")
    page.locator("input[type=file]").set_input_files([file])
    see(page.get_by_text("bring it in on the other tab")).to_be_visible()
    page.get_by_role("link", name="Facts and reports").click()
    page.get_by_role("form").get_by_label("Source").fill("clinic")
    page.locator("input[type=file]").set_input_files([file])
    page.get_by_role("button", name="Bring in one file").click()
    see(files(page)).to_contain_text("2 new")
    see(files(page)).to_contain_text("2: the lake has no images of the patient yet")
    row = page.get_by_role("row").filter(has_text="clinic").filter(has_text="Diagnoses")
    row.get_by_role("link", name="clinic").click()
    page.wait_for_url("**/ask?q=fact.source*")


def test_a_watched_folder_is_looked_into(page: sync_api.Page, tmp_path: Path) -> None:
    see = sync_api.expect
    (tmp_path / "in" / "a.csv").write_text("a,b\n1,2\n")
    page.goto("/bring")
    folder = page.get_by_role("article", name="register")
    see(folder).to_contain_text("0 waiting")
    folder.get_by_role("button", name="Look now").click()
    see(folder).to_contain_text("One file waits.")
    see(folder).to_contain_text("1 waiting")
    folder.get_by_role("link", name="Newest job").click()
    see(page.get_by_role("heading", name="watched folder register")).to_be_visible()
