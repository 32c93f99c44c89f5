"""Signing in and out, what roles see, and the audit log, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.access.roles import Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.settings import AccessSettings, Oidc, Service
from dicomlake.testing.oidc import Issuer

from .guarded import SOURCES, make_lake, settings
from .walks import go_to, places, quiet_page, served, total

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REFUSED = "the server responded with a status of 4"
"""What the console says of a wrong token."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("ui-access"))


@pytest.fixture(scope="module")
def secrets(lake: Path) -> dict[str, str]:
    tokens = Tokens(lake)
    return {
        "viewer": tokens.add("vera", Role.viewer),
        "researcher": tokens.add("ralf", Role.researcher, "open"),
        "steward": tokens.add("stella", Role.steward),
    }


@pytest.fixture(scope="module")
def address(lake: Path, secrets: dict[str, str]) -> Iterator[str]:
    with served(lake, settings()) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with quiet_page(browser, address, but=REFUSED) as found:
        yield found


def enter(page: Page, token: str, where: str = "/") -> None:
    page.goto(where)
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Enter").click()
    page.get_by_role("button", name="You are").wait_for()


def picture(page: Page, name: str) -> None:
    """A screenshot for people, where they ask for it."""
    folder = os.environ.get("DICOMLAKE_SCREENSHOTS")
    if folder:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.screenshot(path=f"{folder}/{name}-{scheme}.png")
        page.emulate_media(color_scheme="light")


def test_a_wrong_token_is_told_and_the_right_one_lets_in(
    page: Page, secrets: dict[str, str]
) -> None:
    page.goto("/ask?q=Modality+%3D+%27CT%27")
    sync_api.expect(page.get_by_role("heading", name="Sign in to this lake")).to_be_visible()
    assert places(page) == []
    page.get_by_label("Token", exact=True).fill("wrong")
    page.get_by_role("button", name="Enter").click()
    sync_api.expect(page.get_by_role("alert")).to_contain_text("No door opens")
    picture(page, "sign-in")
    page.get_by_label("Token", exact=True).fill(secrets["steward"])
    page.get_by_role("button", name="Enter").click()
    total(page, "series").wait_for()
    assert "q=Modality" in page.url  # where one wanted to go
    assert places(page) == [
        "Explore and ask", "Dashboards", "Reports", "Saved", "Dose", "Activity", "Cohorts",
        "Datasets", "Federation", "Bring in", "Jobs", "Sources", "Enrichment", "Status", "Audit",
    ]  # fmt: skip
    page.reload()
    total(page, "series").wait_for()


def test_a_viewer_counts_and_sees_no_rows(page: Page, secrets: dict[str, str]) -> None:
    enter(page, secrets["viewer"])
    sync_api.expect(page.get_by_role("heading", name="Your role counts")).to_be_visible()
    assert places(page) == ["Explore and ask", "Dashboards", "Saved", "Dose", "Cohorts"]
    sync_api.expect(total(page, "series")).not_to_have_text("–")
    assert int(total(page, "series").inner_text().replace(",", "")) % 5 == 0
    page.get_by_role("button", name="You are vera").click()
    sync_api.expect(page.get_by_text("fewer than 5 patients count as 0")).to_be_visible()
    picture(page, "viewer")


def test_a_researcher_sees_the_project_and_signs_out(page: Page, secrets: dict[str, str]) -> None:
    enter(page, secrets["researcher"], "/studies/2.25.7001")
    sync_api.expect(page.locator(".series-card, [data-series]").first).to_be_visible()
    page.get_by_role("button", name="You are ralf").click()
    sync_api.expect(page.get_by_text("Project: open")).to_be_visible()
    picture(page, "researcher")
    page.get_by_role("menuitem", name="Sign out").click()
    sync_api.expect(page.get_by_role("heading", name="Sign in to this lake")).to_be_visible()
    page.goto("/")
    sync_api.expect(page.get_by_role("heading", name="Sign in to this lake")).to_be_visible()


def test_the_steward_reads_the_audit_log(page: Page, lake: Path, secrets: dict[str, str]) -> None:
    enter(page, secrets["steward"])
    total(page, "series").wait_for()
    go_to(page, "Audit")
    rows = page.locator("table.audit tbody tr")
    rows.first.wait_for()
    sync_api.expect(rows.filter(has_text="sign in").first).to_contain_text("stella")
    page.get_by_role("button", name="Check the chain").click()
    sync_api.expect(page.get_by_role("status").filter(has_text="whole")).to_be_visible()
    picture(page, "audit")
    page.get_by_label("Name", exact=True).fill("nobody at all")
    sync_api.expect(page.get_by_text("Nothing was written down")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("stella")
    rows.first.wait_for()
    log = Audit.of(lake).path
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b"sign in", b"sign on", 1))
    page.get_by_role("button", name="Check the chain").click()
    sync_api.expect(page.get_by_text("The log is damaged")).to_be_visible()
    picture(page, "audit-damaged")
    log.write_bytes(whole)


def test_an_account_signs_in(lake: Path, browser: Browser) -> None:
    with Issuer() as issuer:
        issuer.user |= {"groups": ["all", "some"], "preferred_username": "olga"}
        oidc = Oidc(
            issuer=issuer.address, client_id="dicomlake", label="the hospital",
            roles={"all": "researcher"}, projects={"all": "all", "some": "open"},
        )  # fmt: skip
        made = settings().model_copy(
            update={"service": Service(access=AccessSettings(oidc=oidc)), "source": SOURCES}
        )
        with served(lake, made) as found:
            page = browser.new_page(base_url=found)
            page.goto("/charts")
            picture(page, "sign-in-account")
            page.get_by_role("link", name="Sign in with the hospital").click()
            page.get_by_role("button", name="You are olga").click()
            assert page.url.endswith("/charts")
            sync_api.expect(page.get_by_text("Project: Everything")).to_be_visible()
            picture(page, "account")
            with page.expect_response(lambda a: a.url.endswith("/api/me") and a.ok):
                page.get_by_role("menuitem", name="open").click()
            page.wait_for_load_state("networkidle")
            sync_api.expect(page.get_by_role("menu")).to_have_count(0)
            page.get_by_role("button", name="You are olga").click()
            sync_api.expect(page.get_by_text("Project: open")).to_be_visible()
            page.context.close()


def test_on_this_machine_nobody_signs_in(tmp_path: Path, browser: Browser) -> None:
    with served(make_lake(tmp_path)) as found, quiet_page(browser, found) as page:
        page.goto("/")
        total(page, "series").wait_for()
        page.get_by_role("button", name="You are local").click()
        sync_api.expect(page.get_by_text("Nobody else reaches this service")).to_be_visible()
        picture(page, "open")
