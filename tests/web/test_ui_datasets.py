"""The page of datasets in a real browser: choose, see the plan, make, read the card."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomlake.jobs import cohorts
from dicomlake.jobs.cohorts.approving import judge, request
from dicomlake.settings import DatasetSettings, Pseudonyms, Settings
from tests.jobs.datasets.lungs import KEY, SETTINGS, make_lake

from .walks import AXE, need, quiet_page, served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_lake(tmp_path_factory.mktemp("lungs"), 2)
    (made / "dicomlake.toml").write_text(SETTINGS, encoding="utf-8")
    for name in ("lungs", "asked"):
        cohorts.freeze(made, name, "Modality = 'CT'", by="Doe")
    request(made, "lungs", "training", by="Doe")
    judge(made, "lungs", "approve", by="Steward")
    return made


@pytest.fixture(scope="module")
def page(browser: sync_api.Browser, lake: Path) -> Iterator[sync_api.Page]:
    os.environ["DATASET_KEY"] = KEY
    settings = Settings(
        pseudonyms={"study": Pseudonyms(key_env="DATASET_KEY")},
        datasets=DatasetSettings(folder=lake.parent / "out", workers=1),
    )
    with served(lake, settings) as address, quiet_page(browser, address, "status of 422") as found:
        yield found
    del os.environ["DATASET_KEY"]


def choose(page: sync_api.Page, field: str, value: str) -> None:
    form = page.get_by_role("form", name="New dataset")
    form.get_by_role("combobox", name=field).click()
    page.get_by_role("option", name=value, exact=True).click()


def test_a_cohort_that_nobody_approved_says_so(page: sync_api.Page) -> None:
    see = sync_api.expect
    page.goto("/datasets")
    see(page.get_by_text("No dataset yet")).to_be_visible()
    choose(page, "Cohort", "asked@1")
    see(page.get_by_role("status")).to_contain_text("not approved yet")


@pytest.fixture(scope="module")
def made(page: sync_api.Page, lake: Path) -> Path:
    """The folder of a dataset that was made by clicking."""
    see = sync_api.expect
    page.goto("/datasets")
    choose(page, "Cohort", "lungs@1")
    choose(page, "De-identification", "basic")
    see(page.get_by_role("status")).to_contain_text("2 patients, 2 series, 24 objects")
    page.get_by_role("button", name="Make the dataset").click()
    see(page.get_by_role("heading", name="lungs")).to_be_visible()
    see(page.get_by_text("finished", exact=True)).to_be_visible(timeout=120_000)
    return lake.parent / "out" / "lungs"


def test_a_dataset_is_made(page: sync_api.Page, made: Path) -> None:
    page.goto("/datasets/lungs")
    sync_api.expect(page.get_by_role("link", name="Card")).to_be_visible()
    assert len(list(made.rglob("*.dcm"))) == 24


@pytest.mark.usefixtures("made")
def test_it_can_be_used_by_everybody(page: sync_api.Page) -> None:
    need(AXE.is_file(), "axe-core is missing: make ui")
    for address in ("/datasets", "/datasets/lungs", "/federation"):
        page.goto(address)
        sync_api.expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert serious == [], address
