"""A lake of series with known faults."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dicomlake.jobs.index import index
from dicomlake.testing import faults


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake, to be copied."""
    folder = tmp_path_factory.mktemp("faults")
    faults.write(folder / "objects")
    index([folder / "objects"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture
def faulty(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "lake"))
