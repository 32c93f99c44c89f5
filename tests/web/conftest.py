"""A service of a lake of the made-up hospital, with a source that nobody asks."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import dicomlake
from dicomlake.api import Lake
from dicomlake.jobs.index import index
from dicomlake.settings import Service, Settings
from dicomlake.testing import hospital
from dicomlake.web import app
from dicomlake.web.desk import Desk

from .serving import SOURCES
from .walks import chromium, quiet_page, served

with warnings.catch_warnings():  # it would rather have a newer httpx
    warnings.filterwarnings("ignore", "Using `httpx`")
    from fastapi.testclient import TestClient

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def hospital_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    hospital.write(folder / "files", 2, pixels=False)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture
def lake(hospital_lake: Path, tmp_path: Path) -> Path:
    """A copy with a queue of its own."""
    return Path(shutil.copytree(hospital_lake, tmp_path / "lake"))


@pytest.fixture
def settings() -> Settings:
    return Settings(source=SOURCES, service=Service())


@pytest.fixture
def client(lake: Path, settings: Settings) -> Iterator[TestClient]:
    with TestClient(app(lake, settings), base_url="http://localhost") as made:
        yield made


@pytest.fixture
def desk(client: TestClient) -> Desk:
    found: Desk = client.app.state.desk  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="module")
def web(hospital_lake: Path) -> Iterator[TestClient]:
    """A service of the hospital's lake itself, for tests that only read it."""
    made = app(hospital_lake, Settings(source=SOURCES, service=Service()))
    with TestClient(made, base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def whole(hospital_lake: Path) -> Lake:
    """The lake of the service in Python, to compare with."""
    return dicomlake.open(hospital_lake)


@pytest.fixture(scope="session")
def pictures_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a made-up hospital with their pixels."""
    folder = tmp_path_factory.mktemp("pictures") / "files"
    hospital.write(folder, 3, seed=7)
    return folder


@pytest.fixture(scope="session")
def pictures_lake(pictures_files: Path) -> Path:
    """A lake of these files; nobody writes to it."""
    lake = pictures_files.parent / "lake"
    index([pictures_files], lake, workers=1)
    return lake


@pytest.fixture(scope="session")
def pictures(pictures_lake: Path) -> Iterator[TestClient]:
    """The service of that lake."""
    with TestClient(app(pictures_lake, Settings()), base_url="http://localhost") as made:
        yield made


@pytest.fixture(scope="session")
def corpus_web(
    corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The service of a lake of the samples of other projects."""
    lake = tmp_path_factory.mktemp("corpus") / "lake"
    index([corpus_folder], lake, workers=1)
    with TestClient(app(lake, Settings()), base_url="http://localhost") as made:
        yield made


# Browsers: a module that walks through pages says in `place` which lake they are about


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """Where a service of the lake of the module listens."""
    with served(place) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of the machine; one per module, because its loop keeps other loops out."""
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page that may say no error, and ask no other machine."""
    with quiet_page(browser, address) as found:
        yield found
