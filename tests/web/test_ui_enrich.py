"""The page of enrichers in a real browser: looking at series, progress, reasons, failures."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from dicomlake.contracts.queues import Queue
from dicomlake.jobs.enrichtasks import EnrichWorker
from dicomlake.jobs.inbox import Intake
from dicomlake.jobs.requests import queue_of
from dicomlake.lake import Store
from dicomlake.settings import Enrich, Settings
from tests.enricher_package import install

from .test_ui_whole import AXE
from .walks import go_to, need, quiet_page, served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
SETTINGS = Settings(enrich={"lengths": Enrich(automatic=True)})
QUESTION = "Modality = 'CT'"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(install(tmp_path / "package")))


@pytest.fixture
def address(lake: Path, package: None) -> Iterator[str]:
    with served(lake, SETTINGS) as found:
        yield found


@pytest.fixture
def page(browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    with quiet_page(browser, address) as found:
        yield found


@pytest.fixture
def queue(lake: Path) -> Iterator[Queue]:
    found = queue_of(lake, SETTINGS)
    yield found
    found.close()


def card(page: sync_api.Page, name: str = "lengths") -> sync_api.Locator:
    return page.get_by_role("article", name=name, exact=True)


def number(page: sync_api.Page, what: str) -> sync_api.Locator:
    return card(page).locator(".enricher-numbers li", has_text=what).first.locator("b")


def work(lake: Path, queue: Queue) -> None:
    worker = EnrichWorker(lake, SETTINGS, "here", queue=queue)
    while worker.turn() == 0:
        pass
    Intake(Store(lake), queue).take()


def test_new_series_are_looked_at_and_counted(
    page: sync_api.Page, lake: Path, queue: Queue
) -> None:
    see = sync_api.expect
    held = Counter(Store(lake).read("series").column("Modality").to_pylist())
    page.goto("/")
    go_to(page, "Enrichment")
    see(card(page)).to_contain_text("Says of CT whether a series is long.")
    see(card(page)).to_contain_text("Version 1 · five images")
    see(card(page)).to_contain_text("by itself")
    see(number(page, "not looked at")).to_have_text(f"{held['CT'] + held['SR'] + held['SEG']}")
    see(card(page, "homesick").locator(".note")).to_have_text("homesick needs a home. Build one.")
    see(card(page, "homesick").get_by_role("button", name="Look at new series")).to_be_disabled()
    card(page).get_by_role("button", name="Look at new series").click()
    see(card(page)).to_contain_text("Queued for the workers")
    see(card(page)).to_contain_text("waiting")
    card(page).get_by_role("button", name="Look at new series").click()
    see(card(page)).to_contain_text("Nothing new waits that is not queued already.")
    see(card(page).locator(".note")).to_contain_text(
        "Start one: dicomlake worker --enrichers 1", timeout=20_000
    )
    work(lake, queue)
    see(number(page, "looked at")).to_have_text(f"{held['CT']}")
    see(number(page, "not for it")).to_have_text(f"{held['SR']}")
    see(number(page, "statements")).to_have_text(f"{held['CT']}")
    see(card(page).locator(".note")).to_have_count(0)
    card(page).get_by_text("Why series were left out or failed").click()
    see(card(page).locator("tbody tr").first).to_contain_text("a report has no images")
    bar = card(page).get_by_role("img")
    see(bar).to_have_attribute("aria-label", re.compile(rf"looked at: {held['CT']}, not for it"))


def test_series_of_a_question_are_looked_at_again(
    page: sync_api.Page, lake: Path, queue: Queue
) -> None:
    see = sync_api.expect
    held = Counter(Store(lake).read("series").column("Modality").to_pylist())
    page.goto(f"/ask?q={quote(QUESTION)}&level=series")
    page.get_by_role("link", name="Enrich these series").click()
    see(page).to_have_url(re.compile(r"/enrichers\?q="))
    see(page.get_by_label("Only series that meet this question").last).to_have_value(QUESTION)
    see(page.get_by_text(f"Series that meet it: {held['CT']}")).to_be_visible()
    card(page).get_by_role("button", name="Look again").click()
    dialog = page.get_by_role("dialog")
    see(dialog).to_contain_text(QUESTION)
    see(dialog.get_by_role("button", name="Look again")).to_be_focused()
    page.keyboard.press("Enter")
    see(card(page)).to_contain_text(f"workers: {(held['CT'] + 1) // 2} tasks")
    card(page).get_by_role("button", name="Cancel").click()
    see(card(page)).to_contain_text(f"Cancelled: {(held['CT'] + 1) // 2} tasks")
    assert queue.tasks(("waiting",)) == []
    page.get_by_label("Only series that meet this question").last.fill("Modalitty = 'CT'")
    page.get_by_role("button", name="All series").click()
    see(page).to_have_url(re.compile("/enrichers$"))


def test_what_failed_for_good_is_shown_and_tried_again(page: sync_api.Page, queue: Queue) -> None:
    see = sync_api.expect
    page.goto("/enrichers")
    card(page).get_by_role("button", name="Look at new series").click()
    see(card(page)).to_contain_text("waiting")
    for lease in queue.lease("x", 2):
        queue.refuse(lease, "no memory is left")
    card(page).get_by_role("link", name="Failed for good: 2").click()
    see(page.locator(".failures tbody tr")).to_have_count(2)
    see(page.get_by_label("Task")).to_have_value("enrich-lengths")
    see(page.locator(".failures tbody tr").first).to_contain_text("no memory is left")
    page.go_back()
    card(page).get_by_role("button", name="Try 2 again").click()
    see(card(page)).to_contain_text("workers: 2 tasks")
    assert queue.tasks(("dead",)) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_has_no_fault_of_accessibility(
    browser: sync_api.Browser, address: str, lake: Path, queue: Queue, scheme: str
) -> None:
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    with browser.new_context(
        base_url=address, locale="de-DE", color_scheme=scheme, reduced_motion="reduce",
        viewport={"width": 1280, "height": 900},
    ) as context:  # fmt: skip
        page = context.new_page()
        page.goto(f"/enrichers?q={quote(QUESTION)}")
        card(page).get_by_role("button", name="Neue Serien ansehen").click()
        sync_api.expect(card(page)).to_contain_text("wartend")
        (lease,) = queue.lease("x", 1)
        queue.refuse(lease, "no memory is left")
        work(lake, queue)
        page.goto("/enrichers")
        card(page).get_by_role("button", name="Neue Serien ansehen").click()
        sync_api.expect(card(page)).to_contain_text("wartend")
        for details in page.locator("summary").all():
            details.click()
        if folder := os.environ.get("DICOMLAKE_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/enrichers-{scheme}.png", full_page=True)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [
            (one["id"], node["html"][:160])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ] == []
