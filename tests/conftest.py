"""What all tests share: the samples on this machine, and a fuzzing profile that never surprises."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import settings

from dicomlake.testing.archives import PLUGINS, Missing, enter_namespace
from dicomlake.testing.hospital import write

settings.register_profile(
    "stable", derandomize=True, deadline=None, max_examples=200, database=None
)
settings.register_profile("deep", deadline=None, max_examples=20_000)  # --hypothesis-profile deep
settings.load_profile("stable")

LONGEST = """
test_tutorials test_docs pacs/test_kills segmenters/test_totalsegmentator jobs/test_contents
jobs/test_histories web/test_ui_whole web/test_access_projects web/test_deidentified
web/test_ui_cohorts web/test_hostile engines/test_duck web/test_ohif queues/test_kafka
jobs/dose/test_doses test_contents_docs jobs/test_heart_centres test_segmentation_docs
test_fhir_docs test_enrichment_docs pacs/test_archives_die web/test_ui engines/test_oracle
jobs/test_vocabulary web/test_hostile_schema testing/deidbench/test_gates
""".split()
"""Files of tests that take longest; they start first."""

NOT_DICOM = {".py", ".pyc", ".csv", ".json", ".xml"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: a worker that starts one at the end works on alone.

    Workers take files in this order because of --no-loadscope-reorder; otherwise those with most
    tests came first, and those with few slow ones last.
    """
    here = Path(__file__).parent
    place = {here / f"{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


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


def needed(what: str) -> None:
    """Skip a test because of something that is not on this machine; fail where all must be."""
    if os.environ.get("DICOMLAKE_REQUIRE_SERVICES") == "1":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def network() -> None:
    """A network with loopback alone, which this process does not leave again."""
    try:
        enter_namespace()
    except Missing as error:
        needed(str(error))


@pytest.fixture(scope="session")
def orthanc_installed(network: None) -> None:
    """Orthanc and its plugin for DICOMweb."""
    if not shutil.which("Orthanc", path="/usr/sbin:/usr/bin") or not Path(PLUGINS[0]).exists():
        needed("Orthanc is missing: install orthanc and orthanc-dicomweb")


@pytest.fixture(scope="session")
def dcmqrscp_installed(network: None) -> None:
    """The programs of dcmtk."""
    if not shutil.which("dcmqrscp"):
        needed("dcmqrscp is missing: install dcmtk")


@pytest.fixture(scope="session")
def small_hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a made-up hospital of three patients, some hundred objects."""
    folder = tmp_path_factory.mktemp("hospital")
    write(folder, patients=3, seed=7)
    return folder
