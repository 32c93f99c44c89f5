"""What all tests share: the samples on this machine, and a fuzzing profile that never surprises."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import settings

settings.register_profile(
    "stable", derandomize=True, deadline=None, max_examples=200, database=None
)
settings.register_profile("deep", deadline=None, max_examples=20_000)  # --hypothesis-profile deep
settings.load_profile("stable")

NOT_DICOM = {".py", ".pyc", ".csv", ".json", ".xml"}


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in NOT_DICOM)


@pytest.fixture(scope="session")
def pydicom_files() -> list[Path]:
    """The sample files that pydicom brings along, those with odd character sets included."""
    return _files(Path(pydicom.data.__file__).parent)


@pytest.fixture(scope="session")
def corpus_folder() -> Path:
    """The samples of many other projects, a folder `shared/corpus` beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("no samples: there is no folder shared/corpus beside the repository")
    return folder


@pytest.fixture(scope="session")
def corpus_files(corpus_folder: Path) -> list[Path]:
    """The files of the samples of other projects."""
    return _files(corpus_folder)


@pytest.fixture(scope="session")
def dcm2json() -> str:
    """The program dcm2json of dcmtk."""
    found = shutil.which("dcm2json")
    if found is None:
        message = "dcm2json is missing: install dcmtk"
        if os.environ.get("DICOMLAKE_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found
