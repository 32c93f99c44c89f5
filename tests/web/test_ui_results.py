"""What was found, in a real browser: a million rows, pictures, patients in time, files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dicomlake
from dicomlake import tables
from dicomlake.api import Lake
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.lake.store import connect
from dicomlake.testing import hospital

from .walks import quiet_page, served, total

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
MANY = 1_000_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    hospital.write(folder / "files", 8)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture(scope="module")
def lake(place: Path) -> Lake:
    return dicomlake.open(place)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of a million series: four to a patient, two to a study."""
    path = tmp_path_factory.mktemp("many") / "lake"
    store = Store.create(path)
    said = {
        "series_id": "i",
        "patient_key": "i // 4",
        "study_key": "i // 2",
        "source": "'made'",
        "complete": "'all'",
        "instances": "1 + i % 7",
        "Modality": "list_extract(['CT', 'MR', 'US'], 1 + (i % 3)::int)",
        "PatientID": "'P' || lpad((i // 4)::varchar, 8, '0')",
        "StudyInstanceUID": "'2.25.1' || lpad((i // 2)::varchar, 12, '0')",
        "SeriesInstanceUID": "'2.25.2' || lpad(i::varchar, 12, '0')",
        "SeriesNumber": "i",
        "StudyDate": "date '2010-01-01' + (i // 2 % 5000)::int",
    }
    picked = ", ".join(f'{expression} as "{name}"' for name, expression in said.items())
    with connect() as db:
        rows = db.sql(f"select {picked} from range({MANY}) t(i)").to_arrow_table()
    columns = []
    for field in tables.SERIES:
        if field.name in said:
            columns.append(rows.column(field.name).cast(field.type))
        elif field.name == "indexed":
            columns.append(pa.array([datetime.now(UTC)] * MANY, tables.STAMP))
        elif field.name == "varying":
            columns.append(pa.array([[]] * MANY, field.type))
        else:
            columns.append(pa.nulls(MANY, field.type))
    store.append("series", pa.Table.from_arrays(columns, schema=tables.SERIES), children="{}")
    return path


def test_any_of_a_million_rows_is_shown(browser: sync_api.Browser, many: Path) -> None:
    see = sync_api.expect
    lake = dicomlake.open(many)
    show = ["SeriesNumber", "PatientID"]
    with served(many) as address, quiet_page(browser, address) as page:
        for level, count in (("series", MANY), ("study", MANY // 2), ("patient", MANY // 4)):
            page.goto(f"/ask?level={level}")
            see(total(page, level)).to_have_text(f"{count:,}", timeout=60_000)
        page.goto('/ask?level=series&show=["SeriesNumber","PatientID"]&order=["-SeriesNumber"]')
        table = page.get_by_role("table", name="Results")
        see(table).to_have_attribute("aria-rowcount", f"{MANY + 1}", timeout=60_000)
        for row in (900_000, MANY, 1, 123_457):
            page.get_by_label("Go to row").fill(str(row))
            page.keyboard.press("Enter")
            found = page.locator(f".table-row[aria-rowindex='{row + 1}']")
            see(found).to_contain_text(f"P{(MANY - row) // 4:08}", timeout=60_000)
            see(found.get_by_role("cell").first).to_have_text(str(MANY - row))
            box, frame = found.bounding_box(), table.bounding_box()
            assert box is not None
            assert frame is not None
            assert frame["y"] <= box["y"] < frame["y"] + frame["height"]
        told = lake.engine.answer(
            dicomlake.query.Query(None, "series", tuple(show), ("-SeriesNumber",), 1), 123_456
        )
        assert told.rows.to_pylist() == [
            {"SeriesNumber": MANY - 123_457, "PatientID": f"P{(MANY - 123_457) // 4:08}"}
        ]
        page.locator(".table-row[aria-rowindex='123458']").focus()
        for key in ("ArrowDown", "ArrowDown", "PageDown", "PageUp"):
            page.keyboard.press(key)
        see(page.locator(".table-row[aria-rowindex='123460']")).to_be_focused()
        page.keyboard.press("End")
        see(page.locator(f".table-row[aria-rowindex='{MANY + 1}']")).to_be_focused()
        see(page.locator(":focus")).to_contain_text("P00000000", timeout=60_000)


def test_pictures_of_what_was_found(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    page.goto("/ask?q=Modality = 'CT'&level=series")
    page.get_by_role("button", name="Pictures").click()
    cards = page.locator(".gallery-card")
    count = lake.query("Modality = 'CT'", level="series").total
    see(cards.first.locator("img")).to_be_visible()
    assert 0 < cards.count() <= count
    assert "view=gallery" in page.url
    cards.first.get_by_role("link").click()
    see(page.locator(".series-card[aria-current]")).to_be_visible()
    page.go_back()
    see(page.locator(".gallery-card img").first).to_be_visible()


def test_patients_in_time(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    question = "Modality = 'CT'"
    page.goto(f"/ask?q={question}&view=timeline")
    names = page.locator(".timeline-name")
    see(names).to_have_count(lake.query(question, level="patient").total)
    see(page.locator(".timeline-study:not(.timeline-other)")).to_have_count(
        lake.query(question, level="study").total
    )
    ids = names.all_inner_texts()
    among = ", ".join(f"'{one}'" for one in ids)
    whole = lake.query(f"PatientID in ({among})", level="study").total
    see(page.locator(".timeline-study")).to_have_count(whole)
    page.locator(".timeline-study:not(.timeline-other)").first.focus()
    page.keyboard.press("Enter")
    see(page.locator(".series-card").first).to_be_visible()


@pytest.mark.parametrize("form", ["CSV", "Parquet"])
def test_all_rows_become_a_file(page: sync_api.Page, lake: Lake, tmp_path: Path, form: str) -> None:
    page.goto("/ask?q=Modality = 'MR'&level=series")
    sync_api.expect(page.locator(".table-row").first).to_be_visible()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name=form, exact=True).click()
    file = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(file)
    found = pq.read_table(file).num_rows if form == "Parquet" else file.read_text().count("\n") - 1
    assert found == lake.query("Modality = 'MR'", level="series").total
    sync_api.expect(page.locator(".exporting")).to_have_count(0)


def test_an_export_is_followed_and_cancelled(browser: sync_api.Browser, many: Path) -> None:
    see = sync_api.expect
    with served(many) as address, quiet_page(browser, address) as page:
        page.goto("/ask?level=series")
        see(page.locator(".table-row").first).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="Export").click()
        page.get_by_role("menuitem", name="NDJSON").click()
        see(page.locator(".exporting")).to_contain_text(f"of {MANY:,} rows", timeout=60_000)
        page.locator(".exporting").get_by_role("button", name="Cancel").click()
        see(page.locator(".exporting")).to_have_count(0)
        see(page.get_by_role("button", name="Export")).to_be_enabled()
        page.wait_for_load_state("networkidle")
