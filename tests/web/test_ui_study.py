"""Studies, objects and results in a real browser."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

import dicomlake
from dicomlake.api import Lake
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

from .walks import total

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


def test_the_report_stands_beside_the_images(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    study = one(
        lake,
        'select "StudyInstanceUID" from items join series using (series_id) where '
        "concept_meaning = 'Long Axis' order by 1 limit 1",
    )
    number = lake.engine.sql(
        "select number from items join series using (series_id) where concept_meaning = "
        f"'Long Axis' and \"StudyInstanceUID\" = '{study}' order by series_id, item"
    ).to_pylist()[0]["number"]
    page.goto(f"/studies/{study}")
    see(page.locator(".viewer canvas")).to_be_visible()
    beside = page.get_by_label("Reports and findings")
    line = beside.locator(".report-line", has_text="Long Axis").first
    see(line).to_contain_text(f"{number:g} mm")
    beside.get_by_label("Codes").check()
    see(line).to_contain_text("SCT:103339001")
    beside.get_by_label("Find in the report").fill("short axis")
    see(beside.locator(".report-line", has_text="Long Axis")).to_have_count(0)
    see(beside.locator(".report-line", has_text="Short Axis").first).to_be_visible()
    bar = page.get_by_role("separator", name="Width of the reports")
    width = beside.bounding_box()
    bar.focus()
    page.keyboard.press("ArrowLeft")
    wider = beside.bounding_box()
    assert width is not None
    assert wider is not None
    assert wider["width"] == width["width"] + 24
    beside.get_by_role("tab", name="Measurements").click()
    see(beside.locator("td", has_text="Long Axis").first).to_be_visible()


def test_the_history_of_a_patient_has_days_between(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    patient = one(
        lake,
        "select patient_key from series group by 1 having count(distinct study_key) > 2 "
        "order by 1 limit 1",
    )
    studies = lake.engine.sql(
        'select "StudyInstanceUID" as uid, min("StudyDate") as day, min("StudyTime") as time '
        f"from series where patient_key = {patient} group by 1 order by day, time"
    ).to_pylist()
    page.goto(f"/studies/{studies[1]['uid']}")
    line = page.get_by_role("navigation", name="Studies of this patient")
    see(line.locator("time")).to_have_text([str(row["day"]) for row in studies])
    days = [(b["day"] - a["day"]).days for a, b in pairwise(studies)]
    see(line.locator(".history-gap")).to_have_text([f"{n:,} d" for n in days])
    see(line.locator("[aria-current=true]")).to_contain_text(str(studies[1]["day"]))
    line.locator("a").first.click()
    see(page).to_have_url(re.compile(re.escape(studies[0]["uid"])))


def test_values_say_how_common_they_are_and_are_asked_for(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    page.goto("/ask?q=Modality = 'MR'")
    page.locator(".table-row").first.click()
    page.get_by_role("tab", name="Header").click()
    page.get_by_label("Find names, tags, values").fill("magnetic field")
    page.get_by_role("button", name="How common, and more: Magnetic Field Strength").click()
    detail = page.locator(".detail")
    value = detail.locator(".common b")
    see(value).to_be_visible()
    question = f"MagneticFieldStrength = {value.inner_text()}"
    found = lake.query(question).total
    see(detail).to_contain_text(
        f"{found:,} of {lake.query('MagneticFieldStrength exists').total:,}"
    )
    detail.get_by_role("link", name="Add to my question").click()
    see(page.locator(".row-label")).to_have_text(["Modality", "Magnetic Field Strength"])
    told = lake.query(f"Modality = 'MR' and {question}", level="study").total
    see(total(page, "study")).to_have_text(f"{told:,}")


def test_two_objects_are_compared(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    row = lake.engine.sql(
        'select "StudyInstanceUID" as study, "SeriesInstanceUID" as series from series where '
        "\"Modality\" = 'MR' and instances > 3 order by series_id limit 1"
    ).to_pylist()[0]
    page.goto(f"/studies/{row['study']}?series={row['series']}")
    page.get_by_role("tab", name="Compare").click()
    rows = page.locator(".compare tbody tr")
    see(page.locator(".compare .is-changed", has_text="Instance Number")).to_be_visible()
    see(page.locator(".compare .is-same")).to_have_count(0)
    page.get_by_label("Only what differs").uncheck()
    see(page.locator(".compare .is-same", has_text="Magnetic Field Strength")).to_be_visible()
    page.get_by_label("Find names, tags, values").fill("instance number")
    see(rows).to_have_count(1)
    see(rows.locator(".side-a")).not_to_have_text(rows.locator(".side-b").inner_text())
