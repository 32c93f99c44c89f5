"""The web application in a real browser: a question by clicking, a study, and back.

A test fails when the page says an error, when a request fails, or when one leaves this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dicomlake
from dicomlake.jobs.index import index
from dicomlake.testing import hospital
from dicomlake.testing.dicom import encode, image

from .walks import STATIC, add, need, quiet_page, total

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service

QUESTION = "Modality in ('MR') and MagneticFieldStrength >= 3"
SCRIPT = "<script>alert(1)</script><img src onerror>"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of some patients of the hospital, and of one whose name is a script."""
    folder = tmp_path_factory.mktemp("ui")
    hospital.write(folder / "files", 8)
    odd = image(PatientID="ODD", PatientName=SCRIPT, Modality="OT", StudyDescription="Odd names")
    (folder / "files" / "odd.dcm").write_bytes(encode(odd))
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


def expected(place: Path, level: str, question: str = QUESTION) -> str:
    return f"{dicomlake.open(place).query(question, level=level).total:,}"


def test_a_question_by_clicking_a_study_and_back(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    page.goto("/")
    see(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    add(page, "modality", "Modality")
    page.locator(".picker-values button", has_text="MR").first.click()
    add(page, "magnetic field", "Magnetic Field Strength")
    page.get_by_label("Value", exact=True).fill("3")
    for level in ("patient", "series", "instance", "study"):
        total(page, level).click()
        see(total(page, level)).to_have_text(expected(place, level))
    kept = page.locator(".kept b")
    see(kept).to_have_count(2)
    see(kept.first).to_have_text(expected(place, "study", "Modality = 'MR'"))
    see(kept.last).to_have_text(expected(place, "study"))
    link = page.url
    assert "MagneticFieldStrength" in link

    page.locator(".table-row").first.click()
    see(page.get_by_role("heading", level=1)).to_be_visible()
    assert "/studies/" in page.url
    see(page.locator(".thumbnail img").first).to_be_visible()
    see(page.locator(".viewer canvas")).to_be_visible()
    page.get_by_role("tab", name="Header").click()
    page.get_by_label("Find names, tags, values").fill("field strength")
    see(page.get_by_role("cell", name="Magnetic Field Strength", exact=True)).to_be_visible()

    page.go_back()
    see(total(page, "study")).to_have_text(expected(place, "study"))
    page.goto(link)
    see(total(page, "study")).to_have_text(expected(place, "study"))
    see(page.locator(".row-label")).to_have_text(["Modality", "Magnetic Field Strength"])


def test_text_and_json_are_the_same_question(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    page.goto("/")
    page.get_by_role("tab", name="Text").click()
    page.get_by_label("Text", exact=True).last.fill("not Modality = 'MR' or PatientSex = 'F'")
    page.get_by_role("button", name="Take over").click()
    told = expected(place, "study", "not Modality = 'MR' or PatientSex = 'F'")
    see(total(page, "study")).to_have_text(told)
    page.get_by_role("tab", name="JSON").click()
    see(page.get_by_label("JSON", exact=True).last).to_have_value(
        '{\n  "or": [\n    {\n      "not": {\n        "compare": {\n          "path": "Modality",\n'
        '          "op": "=",\n          "value": "MR"\n        }\n      }\n    },\n    {\n'
        '      "compare": {\n        "path": "PatientSex",\n        "op": "=",\n'
        '        "value": "F"\n      }\n    }\n  ]\n}'
    )
    page.get_by_role("tab", name="Visual").click()
    see(page.locator(".not")).to_have_text("not")
    page.get_by_role("button", name="Leave out for now: Modality").click()
    see(total(page, "study")).to_have_text(expected(place, "study", "PatientSex = 'F'"))
    page.keyboard.press("Control+z")
    see(total(page, "study")).to_have_text(told)


def test_a_term_is_dragged_and_a_range_is_drawn(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/ask?q=Modality = 'CT'")
    page.get_by_label("Names, tags, codes, values").fill("KVP")
    found = page.locator(".term", has=page.locator("small"), has_text="KVP")  # not of the tree
    see(found.first).to_be_visible()
    see(page.locator(".kept b")).to_have_count(1)
    found.first.drag_to(page.locator(".shell"))
    see(page.locator(".row-label")).to_have_text(["KVP", "Modality"])  # before what it fell on
    bars = page.locator(".bars svg")
    box = bars.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 20, steps=4)
    page.mouse.up()
    see(page.locator(".sentence")).to_contain_text("KVP is between")
    page.locator(".grip").last.drag_to(page.locator(".part").first)
    see(page.locator(".row-label")).to_have_text(["Modality", "KVP"])
    see(page.locator(".kept b")).to_have_count(2)


@pytest.fixture
def refused(browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    """A page whose questions may be refused, which the browser notes as an error."""
    with quiet_page(browser, address, "status of 422") as found:
        yield found


def test_a_link_that_cannot_be_read_is_mended(refused: sync_api.Page, place: Path) -> None:
    see, page = sync_api.expect, refused
    page.goto("/ask?q=Modalty = 'CT'")
    see(page.get_by_role("alert")).to_contain_text("Did you mean Modality?")
    see(page.locator(".table-row")).to_have_count(0)  # not: everything
    text = page.get_by_label("Text", exact=True).last
    see(text).to_have_value("Modalty = 'CT'")
    text.fill("Modality = 'CT'")
    page.get_by_role("button", name="Take over").click()
    see(total(page, "study")).to_have_text(expected(place, "study", "Modality = 'CT'"))
    see(page.get_by_role("alert")).to_have_count(0)


def test_a_name_with_a_script_is_text(page: sync_api.Page) -> None:
    page.goto("/ask?q=PatientID = 'ODD'")
    page.locator(".table-row").first.click()
    sync_api.expect(page.locator(".person b")).to_have_text(SCRIPT)
    assert page.locator(".person img").count() == 0


def test_reports_and_waveforms_are_shown(page: sync_api.Page) -> None:
    page.goto("/ask?q=Modality = 'ECG'")
    page.locator(".table-row").first.click()
    sync_api.expect(page.locator(".waveform canvas")).to_be_visible()
    page.goto("/ask?q=*.[SCT:103339001] exists&level=series")
    sync_api.expect(page.locator(".row-label")).to_have_text("Long Axis")
    page.locator(".table-row").first.click()
    sync_api.expect(page.locator(".report")).to_contain_text("Long Axis")


def test_german_and_dark(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.emulate_media(color_scheme="dark")
    page.goto("/")
    see(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    page.get_by_role("button", name="Language").click()
    page.get_by_role("menuitem", name="Deutsch").click()
    see(page.get_by_role("heading", name="Was möchten Sie wissen?")).to_be_visible()
    see(page.locator("html")).to_have_attribute("lang", "de")


@pytest.mark.parametrize(
    ("path", "heading"),
    [("charts", "Dashboards"), ("jobs", "Jobs"), ("sources", "Sources"), ("status", "Status")],
)
def test_work_pages_open_by_their_address(page: sync_api.Page, path: str, heading: str) -> None:
    page.goto(f"/{path}")
    sync_api.expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    page.wait_for_load_state("networkidle")


def test_a_job_is_sent_and_followed(page: sync_api.Page) -> None:
    page.goto("/jobs")
    page.get_by_label("What do you need?").fill("A1 A2\nA3")
    page.get_by_role("button", name="Fetch 3").click()
    sync_api.expect(page.get_by_role("heading", level=1)).to_have_text("3 AccessionNumber")
    page.get_by_role("button", name="Cancel").click()
    sync_api.expect(page.locator(".state-badge")).to_have_text("cancelled")


def test_a_source_is_paused_and_resumed(page: sync_api.Page) -> None:
    page.goto("/sources")
    card = page.get_by_role("article", name="pacs")
    card.get_by_role("button", name="Pause").click()
    sync_api.expect(card.locator(".state-badge")).to_have_text("paused")
    card.get_by_role("button", name="Resume").click()
    sync_api.expect(card.locator(".state-badge")).to_have_text("open")


def test_the_bundle_stays_small() -> None:
    need((STATIC / "index.html").is_file(), "the web application is not built: make ui")
    sizes = {path.name: path.stat().st_size for path in (STATIC / "assets").iterdir()}
    first = [size for name, size in sizes.items() if name.startswith("index-")]
    assert sum(first) < 1_000_000
    assert sum(sizes.values()) < 2_500_000
