"""Walks through the web application in a real browser, which must stay without errors."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from dicomlake.settings import Settings
from dicomlake.web.pages import STATIC

from . import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request

PATIENCE_MS = 30_000
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def need(there: object, message: str) -> None:
    """Skip where something is missing, or fail where everything must be there."""
    if there:
        return
    if os.environ.get("DICOMLAKE_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


@contextlib.contextmanager
def served(lake: Path, settings: Settings | None = None) -> Iterator[str]:
    """Where a service of a lake listens, with its pages."""
    need((STATIC / "index.html").is_file(), "the web application is not built: make ui")
    with serving.served(lake, settings or Settings(source=serving.SOURCES)) as found:
        yield found


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of the machine."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    need(program, "chromium is missing: install it")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield found
        found.close()


@contextlib.contextmanager
def quiet_page(browser: Browser, address: str, but: str = "") -> Iterator[Page]:
    """A page that may say no error, but of those that hold a text, and ask no other machine."""
    context = browser.new_context(
        base_url=address, locale="en-GB", viewport={"width": 1440, "height": 900}
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    wrong: list[str] = []
    here = urlsplit(address).netloc

    def asked(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and parts.netloc != here:
            wrong.append(f"asked {request.url}")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # questions that are no longer of interest
            wrong.append(f"failed: {request.url} {request.failure}")

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not (but and but in message.text):
            wrong.append(f"{message.type}: {message.text} {message.location.get('url')}")

    page.on("console", said)
    page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
    page.on("request", asked)
    page.on("requestfailed", failed)
    yield page
    context.close()
    assert not wrong, wrong


def total(page: Page, level: str) -> Locator:
    """The number that stands at a level."""
    return page.locator(f".total[data-level={level}] b")


def add(page: Page, search: str, term: str) -> None:
    """Add a term of the vocabulary to the question."""
    page.get_by_label("Names, tags, codes, values").fill(search)
    page.get_by_role("button", name=f"Add {term} to the question", exact=True).first.click()


def go_to(page: Page, name: str) -> None:
    """Go to a page by the bar of pages: open the group that has it, and follow its link."""
    bar = page.get_by_role("navigation", name="Pages")
    link = page.get_by_role("link", name=name, exact=True, include_hidden=True)
    bar.locator(".places-group").filter(has=link).get_by_role("button").click()
    bar.get_by_role("link", name=name, exact=True).click()


def places(page: Page) -> list[str]:
    """Pages that the bar of pages leads to, group by group."""
    bar = page.get_by_role("navigation", name="Pages")
    found: list[str] = []
    for group in bar.locator(".places-group").all():
        opener = group.get_by_role("button")
        if opener.count():
            opener.click()
        found += group.get_by_role("link").all_inner_texts()
    page.keyboard.press("Escape")
    return found
