"""Nobody is named in a browser, in the viewer neither, and administrators find who it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dicomlake.jobs.access.roles import Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.jobs.door.cleaning import door_of
from dicomlake.jobs.door.views import bring_up

from ..planted import MARK, make_lake, secrets
from .test_ui_access import enter
from .unnamed import reveals, settings
from .walks import quiet_page, served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
see = sync_api.expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("ui-unnamed"))


@pytest.fixture(scope="module")
def tokens(lake: Path) -> dict[str, str]:
    made = Tokens(lake)
    return {"ralf": made.add("ralf", Role.researcher), "ada": made.add("ada", Role.admin)}


@pytest.fixture(scope="module")
def address(
    lake: Path, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    made = settings(tmp_path_factory.mktemp("keys"))
    bring_up(lake, door_of(made, made.service.deidentify.profile, "study"))
    with served(lake, made) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with quiet_page(browser, address) as found:
        yield found


def test_the_viewer_names_nobody(page: Page, lake: Path, tokens: dict[str, str]) -> None:
    said = secrets(lake)
    told: dict[str, list[str]] = {}
    asked: list[str] = []

    def came(answer: Response) -> None:
        if (answer.ok and "/api/" in answer.url) or "/dicom-web/" in answer.url:
            asked.append(answer.url)
            if found := reveals(answer.body(), said):
                told[answer.url] = found

    page.on("response", came)
    enter(page, tokens["ralf"])
    page.get_by_role("button", name="You are").click()
    see(page.get_by_text("You see the lake de-identified.")).to_be_visible()
    ann = {"people": [{"PatientID": f"{MARK}-1"}], "name": "study"}
    headers = {"authorization": f"Bearer {tokens['ada']}"}
    (given,) = page.request.post("/api/pseudonyms", data=ann, headers=headers).json()
    asked_for = f"/dicom-web/series?PatientID={given['pseudonym']}&limit=1"
    found = page.request.get(asked_for).json()[0]
    study, series = found["0020000D"]["Value"][0], found["0020000E"]["Value"][0]
    page.goto(f"/studies/{study}")
    page.get_by_text("MR").first.wait_for()
    assert not reveals(page.content().encode(), said)
    page.goto(f"/studies/{study}/series/{series}")
    see(page.locator(".stage[data-ready]")).to_be_visible()
    assert not reveals(page.content().encode(), said)
    assert any("/frames/" in url or "/instances/" in url for url in asked)
    assert told == {}


def test_an_administrator_finds_whose_pseudonym_it_is(page: Page, tokens: dict[str, str]) -> None:
    enter(page, tokens["ada"])
    page.get_by_role("button", name="You are").click()
    page.get_by_role("menuitem", name="Pseudonyms").click()
    dialog = page.get_by_role("dialog", name="Pseudonyms")
    dialog.get_by_text("Which pseudonym?").click()
    dialog.get_by_label("PatientIDs", exact=True).fill(f"{MARK}-1")
    dialog.get_by_label("Name of the pseudonyms").fill("study")
    dialog.get_by_role("button", name="Show").click()
    cell = dialog.get_by_role("table").get_by_role("cell").first
    pseudonym = cell.inner_text()
    assert MARK not in pseudonym
    dialog.get_by_text("Whose is it?").click()
    dialog.get_by_label("Pseudonyms", exact=True).fill(pseudonym)
    dialog.get_by_role("button", name="Show").click()
    see(dialog.get_by_role("cell", name=f"{MARK}-1")).to_be_visible()
