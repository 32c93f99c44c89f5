"""The dashboards in a real browser: a click on one chart narrows all the others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

import dicomlake

from .test_ui import place, sync_api

__all__ = ["place"]
pytestmark = pytest.mark.service


def card(page: sync_api.Page, name: str) -> sync_api.Locator:
    return page.get_by_role("article", name=name, exact=True)


def bar(page: sync_api.Page, chart: str, value: str) -> sync_api.Locator:
    return card(page, chart).get_by_role("button", name=re.compile(f"^{re.escape(value)}: "))


def numbers(page: sync_api.Page, chart: str) -> list[str]:
    """What the bars of a chart say, from the first to the last."""
    found = card(page, chart).locator(".press").all()
    return [str(one.get_attribute("aria-label")) for one in found]


def see_totals(page: sync_api.Page, place: Path, question: str, level: str = "series") -> None:
    """All four totals are those that Python finds."""
    totals = dicomlake.open(place).query(question or None, level=level).totals
    for name, count in totals.items():
        shown = page.locator(f".total[data-count={name}] b")
        sync_api.expect(shown).to_have_text(f"{count:,}")


def groups(address: str, **body: Any) -> list[tuple[Any, int]]:
    found = httpx.post(f"{address}/api/aggregate", json=body).json()
    return [(row["keys"][0], row["value"]) for row in found["rows"]]


def test_a_click_narrows_everything(page: sync_api.Page, place: Path, address: str) -> None:
    see = sync_api.expect
    page.goto("/charts?count=series")
    see_totals(page, place, "")
    bar(page, "Modality", "CT").click()
    see_totals(page, place, "Modality = 'CT'")
    see(page).to_have_url(re.compile("Modality"))
    see(page.locator(".filter-chip")).to_have_text(["Modality is CT"])
    see(bar(page, "Modality", "CT")).to_have_attribute("aria-pressed", "true")

    # the other charts show CT alone, the chart itself still all modalities
    body = {"by": ["BodyPartExamined"], "where": "Modality = 'CT'", "limit": 14}
    parts = [f"{key or 'not given'}: {n} series" for key, n in groups(address, **body)]
    see(bar(page, "Body part", parts[0].partition(":")[0])).to_have_attribute(
        "aria-label", parts[0]
    )
    assert numbers(page, "Body part")[: len(parts)] == parts
    every = groups(address, by=["Modality"])
    assert [f"{key}: {n} series" for key, n in every][:14] == numbers(page, "Modality")[:14]

    bar(page, "Modality", "MR").click(modifiers=["Shift"])
    see_totals(page, place, "Modality in ('CT', 'MR')")
    bar(page, "Body part", "not given").click(modifiers=["Alt"])
    both = "Modality in ('CT', 'MR') and not BodyPartExamined missing"
    see_totals(page, place, both)
    see(page.locator(".filter-chip")).to_have_text(
        ["Modality is any of CT, MR", "Body Part Examined is there"]
    )

    page.go_back()
    see_totals(page, place, "Modality in ('CT', 'MR')")
    page.go_back()
    see_totals(page, place, "Modality = 'CT'")
    bar(page, "Modality", "CT").click()  # once more takes it back
    see_totals(page, place, "")
    see(page.locator(".filter-chip")).to_have_count(0)


def test_chips_are_removed_and_the_link_keeps_them(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    page.goto("/charts?q=Modality = 'MR' and PatientSex = 'F'&count=patients")
    see_totals(page, place, "Modality = 'MR' and PatientSex = 'F'")
    see(page.locator(".total[aria-pressed=true]")).to_have_attribute("data-count", "patients")
    page.get_by_role("button", name="Remove the filter: Modality is MR").click()
    see_totals(page, place, "PatientSex = 'F'")
    page.get_by_role("link", name="Quality").click()
    see(card(page, "What is filled in")).to_be_visible()
    see_totals(page, place, "PatientSex = 'F'")
    link = page.url
    page.goto("/")
    page.goto(link)
    see(page.locator(".filter-chip")).to_have_count(1)
    see_totals(page, place, "PatientSex = 'F'")
    page.get_by_role("combobox", name="What the filters keep").click()
    page.get_by_role("option", name="Whole patients that fit").click()
    see_totals(page, place, "PatientSex = 'F'", "patient")


def test_it_opens_as_the_same_question(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    page.goto("/charts")
    bar(page, "Modality", "MR").click()
    see(page.locator(".filter-chip")).to_have_count(1)
    bar(page, "Body part", "BRAIN").click()
    see(page.locator(".filter-chip")).to_have_count(2)
    page.get_by_role("link", name="Open as a question").click()
    see(page.locator(".row-label")).to_have_text(["Modality", "Body Part Examined"])
    totals = dicomlake.open(place).query("Modality = 'MR' and BodyPartExamined = 'BRAIN'").totals
    for level, name in (("series", "series"), ("study", "studies"), ("patient", "patients")):
        see(page.locator(f".total[data-level={level}] b")).to_have_text(f"{totals[name]:,}")


def test_a_time_is_drawn(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    page.goto("/charts?count=series")
    columns = card(page, "Modality over time").locator(".column")
    see(columns.first).to_be_visible()
    count = columns.count()
    steps = [columns.nth(at).get_attribute("data-step") for at in (2, 5)]
    first, last = (columns.nth(at).locator(".column-hit").bounding_box() for at in (2, 5))
    assert first is not None
    assert last is not None
    page.mouse.move(first["x"] + first["width"] / 2, first["y"] + 30)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"] / 2, last["y"] + 30, steps=5)
    page.mouse.up()
    see(page.locator(".filter-chip")).to_contain_text("Study Date between")
    asked = page.evaluate("new URLSearchParams(location.search).get('q')")
    said = re.findall(r"\d{4}-\d\d-\d\d", asked)
    assert said[0] == steps[0]
    assert said[1] > str(steps[1])
    see_totals(page, place, asked)
    see(columns).to_have_count(count)  # it is not narrowed by itself
    see(card(page, "Modality over time").locator(".column.dim")).to_have_count(count - 4)

    chosen = columns.nth(0)
    chosen.focus()
    page.keyboard.press("Shift+Enter")  # with the keyboard: up to the first
    see(page.locator(".filter-chip")).to_contain_text(
        str(columns.nth(0).get_attribute("data-step"))
    )
    see(card(page, "Modality over time").locator(".column.dim")).to_have_count(count - 6)
    page.get_by_role("button", name=re.compile("Remove the filter: Study Date")).click()
    see_totals(page, place, "")


def test_tables_files_and_meanings(page: sync_api.Page, address: str, tmp_path: Path) -> None:
    see = sync_api.expect
    page.goto("/charts?q=PatientSex = 'F'&count=studies")
    modality = card(page, "Modality")
    see(modality.locator(".press").first).to_be_visible()
    modality.get_by_role("button", name="Table").click()
    see(modality.locator("tbody tr").first).to_be_visible()
    body = {"by": ["Modality"], "where": "PatientSex = 'F'", "measure": {"what": "studies"}}
    expected = [[str(key), f"{n:,}"] for key, n in groups(address, **body, limit=14)]
    rows = [row.locator("td").all_inner_texts() for row in modality.locator("tbody tr").all()]
    assert rows[:14] == expected
    modality.locator("tbody button").first.click()  # a table narrows, too
    see(page.locator(".filter-chip")).to_have_count(2)

    more = modality.get_by_role("button", name="More about Modality")
    more.click()
    with page.expect_download() as got:
        page.get_by_role("menuitem", name="CSV").click()
    lines = Path(got.value.path()).read_text().splitlines()
    assert lines[0] == "Modality,studies"
    assert lines[1] == ",".join(expected[0])
    modality.get_by_role("button", name="Table").click()
    for name in ("SVG", "PNG"):
        more.click()
        with page.expect_download() as got:
            page.get_by_role("menuitem", name=name).click()
        content = Path(got.value.path()).read_bytes()
        assert content.startswith(b"<svg" if name == "SVG" else b"\x89PNG")
        assert name == "PNG" or (b"CT" in content and b"class=" not in content)
    more.click()
    page.get_by_role("menuitem", name="Explain the numbers").click()
    see(page.get_by_role("dialog")).to_contain_text("Different studies, by Modality")
    see(page.get_by_role("dialog")).to_contain_text("PatientSex = 'F'")


def test_hours_and_devices(page: sync_api.Page, place: Path) -> None:
    see = sync_api.expect
    page.goto("/charts/activity?count=series")
    device = card(page, "Hours of the week by device").locator(".press").first
    see(device).to_be_visible()
    station = str(device.get_attribute("aria-label")).partition(":")[0]
    device.click()
    see_totals(page, place, f"StationName = '{station}'")
    page.get_by_role("button", name=f"Remove the filter: Station Name is {station}").click()
    see_totals(page, place, "")
    hour = card(page, "Hours of the week").get_by_role("button", name=re.compile("^10:00"))
    hour.press("Enter")
    see_totals(page, place, "StudyTime between '10:00:00' and '10:59:59.999999'")


def test_quality(page: sync_api.Page, place: Path, address: str) -> None:
    see = sync_api.expect
    page.goto("/charts/quality?count=series")
    matrix = card(page, "What is filled in")
    see(matrix.locator(".press").first).to_be_visible()
    matrix.get_by_role("button", name=re.compile("^BodyPartExamined, All: ")).click()
    see_totals(page, place, "BodyPartExamined missing")
    page.get_by_role("button", name=re.compile("^Remove the filter")).click()
    see_totals(page, place, "")
    matrix.get_by_role("combobox", name="Choose attributes").fill("EchoTime")
    page.keyboard.press("Enter")
    see(matrix.locator("svg text.name title")).to_have_text(["EchoTime"])

    spelt = card(page, "Values beyond the Standard").locator(".press").first
    label = str(spelt.get_attribute("aria-label"))
    value = label.removeprefix("BodyPartExamined: ").rpartition(": ")[0]
    spelt.click()
    see_totals(page, place, f"BodyPartExamined = '{value}'")
    see(card(page, "Not readable")).to_contain_text("Not narrowed by the filters")


def test_what_is_chosen_is_shown_however_rare(page: sync_api.Page, address: str) -> None:
    see = sync_api.expect
    every = groups(address, by=["StudyDescription"])
    rare, count = every[-1]
    assert len(every) > 14
    page.goto(f"/charts?q=StudyDescription = '{rare}'&count=series")
    chosen = bar(page, "Study description", rare)
    see(chosen).to_have_attribute("aria-label", f"{rare}: {count} series")
    see(chosen).to_have_attribute("aria-pressed", "true")


def test_attributes_are_found_by_what_they_are_called(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/charts/quality")
    matrix = card(page, "What is filled in")
    matrix.get_by_role("combobox", name="Choose attributes").fill("slice thick")
    page.get_by_role("option", name="SliceThickness", exact=True).click()
    see(matrix.locator("svg text.name title")).to_have_text(["SliceThickness"])


SPEC = {
    "data": {"dicomlake": {"by": ["Modality"], "measure": {"what": "studies"}}},
    "mark": "bar",
    "encoding": {
        "y": {"field": "Modality", "sort": "-x"},
        "x": {"field": "studies", "type": "quantitative"},
    },
}


def test_a_chart_of_ones_own(
    page: sync_api.Page, place: Path, address: str, tmp_path: Path
) -> None:
    see = sync_api.expect
    page.goto("/charts/own")
    page.get_by_role("button", name="New chart").click()
    see(page.locator(".vega svg")).to_be_visible()
    spec = page.get_by_label("Specification (Vega-Lite)")
    spec.fill('{"mark": ')
    see(page.get_by_text("This is no JSON")).to_be_visible()
    spec.fill(json.dumps(SPEC, indent=1))
    page.get_by_label("Name", exact=True).fill("Studies, lying")
    page.get_by_role("button", name="Save", exact=True).click()
    see(page).to_have_url(re.compile(r"/charts/own/[0-9a-f]{12}"))
    link = page.url

    page.get_by_label("Comment").fill("as they lie")
    page.get_by_role("button", name="Save", exact=True).click()
    see(page.get_by_role("combobox", name="Version")).to_have_value(re.compile("Version 2 of"))
    page.goto("/charts/own?q=PatientSex = 'F'")
    shown = card(page, "Studies, lying")
    see(shown.locator(".vega svg")).to_be_visible()
    shown.get_by_role("button", name="Table").click()
    body = {"by": ["Modality"], "where": "PatientSex = 'F'", "measure": {"what": "studies"}}
    expected = [[str(key), f"{n:,}"] for key, n in groups(address, **body)]
    see(shown.locator("tbody tr")).to_have_count(len(expected))
    rows = [row.locator("td").all_inner_texts() for row in shown.locator("tbody tr").all()]
    assert rows == expected

    shown.get_by_role("button", name="Table").click()  # back, and its marks narrow, too
    shown.locator(".vega .mark-rect path").first.click()
    see(page.locator(".filter-chip")).to_have_count(2)
    see(page.locator(".filter-chip").last).to_contain_text("Modality is")

    page.goto(link)
    see(page.get_by_label("Comment")).to_have_value("as they lie")
    page.get_by_role("button", name="More about Studies, lying").first.click()
    with page.expect_download() as got:
        page.get_by_role("menuitem", name="Export as a file").click()
    exported = json.loads(Path(got.value.path()).read_text())
    assert exported == {"name": "Studies, lying", "comment": "as they lie", "spec": SPEC}
    page.goto("/charts/own/new")
    copied = tmp_path / "chart.json"
    copied.write_text(json.dumps({**exported, "name": "A copy"}))
    page.locator("input[type=file]").set_input_files(copied)
    see(page.get_by_label("Name", exact=True)).to_have_value("A copy")
    see(card(page, "A copy").locator(".vega svg")).to_be_visible()
    folder = next((place / "_saved" / "charts").iterdir())
    assert sorted(file.name for file in folder.iterdir()) == ["1.json", "2.json"]


@pytest.fixture
def watched(page: sync_api.Page) -> list[str]:
    """Addresses that are asked for while a chart tries to lead elsewhere."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


@pytest.mark.parametrize(
    ("signal", "drawn"),
    [
        # what the service lets through is drawn by an interpreter that has no such functions
        ({"transform": [{"calculate": "fetch('/api/lake')", "as": "x"}]}, False),
        ({"transform": [{"calculate": "datum.Modality.constructor", "as": "x"}]}, True),
    ],
)
def test_expressions_are_interpreted(
    page: sync_api.Page, watched: list[str], signal: dict[str, Any], drawn: bool
) -> None:
    page.goto("/charts/own/new")
    sync_api.expect(page.locator(".vega svg")).to_be_visible()
    before = len([url for url in watched if url.endswith("/api/lake")])
    page.get_by_label("Specification (Vega-Lite)").fill(json.dumps({**SPEC, **signal}))
    if drawn:
        sync_api.expect(page.locator(".vega .mark-rect path").first).to_be_visible()
    else:
        sync_api.expect(page.get_by_text("Vega-Lite says")).to_be_visible()
    assert len([url for url in watched if url.endswith("/api/lake")]) == before


def test_german(page: sync_api.Page) -> None:
    page.goto("/charts/quality")
    page.get_by_role("button", name="Language").click()
    page.get_by_role("menuitem", name="Deutsch").click()
    sync_api.expect(card(page, "Was ausgefüllt ist")).to_be_visible()
    sync_api.expect(page.get_by_role("link", name="Eigene Diagramme")).to_be_visible()
