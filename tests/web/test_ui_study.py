"""Studies, objects and results in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dicomlake
from dicomlake.api import Lake
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

from .walks import chromium, quiet_page, served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of some patients of the hospital, with pixels."""
    folder = tmp_path_factory.mktemp("study")
    hospital.write(folder / "files", 12)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture(scope="module")
def lake(place: Path) -> Lake:
    """The same lake in Python, to compare with."""
    return dicomlake.open(place)


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    with served(place) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    with quiet_page(browser, address) as found:
        yield found


def one(lake: Lake, sql: str) -> str:
    """The first value of an answer in SQL."""
    return str(lake.engine.sql(sql).column(0)[0].as_py())


def test_calipers_measure_an_ecg(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    study = one(lake, 'select "StudyInstanceUID" from series where "Modality" = \'ECG\' limit 1')
    stored = lake.engine.sql(
        "select concept_meaning, number from items join series using (series_id) where "
        f"\"StudyInstanceUID\" = '{study}' and \"Modality\" = 'ECG' and value_type = 'NUM'"
    ).to_pylist()
    page.goto(f"/studies/{study}")
    page.locator(".series-card", has_text="ECG").first.click()
    for row in stored:
        said = page.locator(".stored tr", has_text=row["concept_meaning"])
        see(said).to_contain_text(f"{row['number']:g}")
    paper = page.locator(".ecg-overlay")
    box = paper.bounding_box()
    assert box is not None
    second = 25 * 96 / 25.4  # pixels at 25 mm/s
    page.get_by_label("Snap to waves").uncheck()  # off: what is drawn is what is measured
    page.mouse.move(box["x"] + 70, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 70 + second, box["y"] + 40, steps=4)
    page.mouse.up()
    numbers = page.locator(".calipers tbody td.right")
    see(numbers).to_have_text(["1,000", "60", "0"])
    caliper = page.locator("g.caliper")
    caliper.focus()
    for _ in range(5):
        page.keyboard.press("Control+ArrowRight")
    see(numbers).to_have_text(["1,200", "50", "0"])
    page.get_by_text("50 mm/s").click()  # the same points on other paper
    see(numbers).to_have_text(["1,200", "50", "0"])
    page.get_by_role("button", name="Caliper", exact=True).click()
    see(page.locator("g.caliper")).to_have_count(2)
    page.locator(".leads").get_by_role("button", name="V2", exact=True).click()
    see(page.locator("g.caliper")).to_have_count(0)  # their leads are not shown
    page.locator(".leads").get_by_role("button", name="All").click()
    page.locator("g.caliper").first.focus()
    page.keyboard.press("Delete")
    see(page.locator("g.caliper")).to_have_count(1)
