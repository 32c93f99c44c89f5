"""The pages of work and of saved questions in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomlake.jobs.requests import Requests
from dicomlake.settings import Settings

from .serving import SOURCES
from .walks import go_to, quiet_page, served, total

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service


@pytest.fixture
def page(browser: sync_api.Browser, lake: Path) -> Iterator[sync_api.Page]:
    with served(lake) as address, quiet_page(browser, address) as found:
        yield found


def test_what_failed_is_filtered_and_tried_again(page: sync_api.Page, lake: Path) -> None:
    see = sync_api.expect
    page.goto("/jobs")
    page.get_by_label("What do you need?").fill("A1 A2 A3")
    page.get_by_role("button", name="Fetch 3").click()
    see(page.get_by_role("heading", level=1)).to_have_text("3 AccessionNumber")
    with Requests(lake, Settings(source=SOURCES)) as requests:
        for lease in requests.queue.lease("worker", 2):
            requests.queue.refuse(lease, "unknown AE title")
    page.goto("/status")
    row = page.locator(".tasks tbody tr")
    see(row).to_have_count(1)
    see(row.locator("td").first).to_have_text("pacs")
    see(row.locator(".is-bad")).to_have_text("2")
    see(page.locator(".note")).to_contain_text("no worker runs")
    page.get_by_role("tab", name="Failed for good").click()
    see(page.locator(".failures tbody tr")).to_have_count(2)
    see(page.locator(".failures tbody tr").first).to_contain_text("unknown AE title")
    page.locator(".failures").get_by_role("button", name="Again").first.click()
    see(page.locator(".failures tbody tr")).to_have_count(1)
    page.get_by_label("Source").select_option("pacs")
    page.get_by_role("button", name="Try 1 again").click()
    see(page.get_by_text("Nothing has failed for good.")).to_be_visible()
    with Requests(lake, Settings(source=SOURCES)) as requests:
        assert requests.queue.tasks(("dead",)) == []


def test_the_lake_is_checked(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/status?tab=lake")
    see(page.locator(".checks")).to_contain_text("tables looked at")
    see(page.get_by_role("cell", name="vocabulary_values")).to_be_visible()
    page.get_by_role("button", name="Check again").click()
    see(page.locator(".checks")).to_contain_text("tables looked at")


def test_saved_questions_are_opened_renamed_and_deleted(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/ask?q=Modality = 'MR'&level=series")
    see(page.locator(".kept b")).to_have_count(1)
    said = total(page, "series").inner_text()
    page.get_by_role("button", name="Saved questions").click()
    page.get_by_role("menuitem", name="Save this question").click()
    page.get_by_label("Name", exact=True).fill("All MR")
    page.get_by_role("button", name="Save", exact=True).click()
    go_to(page, "Saved")
    see(page.locator(".saved-table")).to_contain_text("Modality is MR")
    page.get_by_role("button", name="Change All MR").click()
    page.get_by_label("Name", exact=True).fill("Every MR")
    page.get_by_role("button", name="Save", exact=True).click()
    see(page.locator(".saved-table")).to_contain_text("Every MR")
    page.locator(".saved-table").get_by_role("button", name="2", exact=True).click()
    see(page.locator(".saved li")).to_have_count(2)
    page.locator(".saved li button").last.click()
    see(page).to_have_url(re.compile("/ask"))
    see(total(page, "series")).to_have_text(said)
    page.goto("/saved")
    page.get_by_role("button", name="Delete Every MR").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    see(page.get_by_role("heading", name="Nothing is saved yet")).to_be_visible()
