"""Lakes for the tests of engines."""

import pytest

from dicomlake.engines.duck import DuckEngine
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.lake import Store

pytest.register_assert_rewrite("dicomlake.testing.engines", "dicomlake.testing.contents")

from dicomlake.testing import contents, engines, histories, hospital  # noqa: E402
from dicomlake.testing.enrichers import Told  # noqa: E402


@pytest.fixture(scope="session")
def duck(tmp_path_factory):
    """DuckDB on the lake of the engine contract."""
    folder = tmp_path_factory.mktemp("handmade")
    index([engines.write(folder / "objects")], folder / "lake", workers=1)
    histories.tell(Store(folder / "lake"))
    return DuckEngine(Store(folder / "lake"))


@pytest.fixture(scope="session")
def hospital_lake(tmp_path_factory):
    """The lake of a made-up hospital with a dozen patients."""
    folder = tmp_path_factory.mktemp("hospital")
    hospital.write(folder / "objects", patients=12)
    index([folder / "objects"], folder / "lake", workers=1)
    return Store(folder / "lake")


@pytest.fixture(scope="session")
def contents_lake(tmp_path_factory):
    """The lake of the contract on what is inside of objects."""
    return _contents_lake(tmp_path_factory.mktemp("contents"))


@pytest.fixture(scope="session")
def contents_duck(contents_lake):
    return DuckEngine(contents_lake)


@pytest.fixture(scope="session")
def nonsense_duck(tmp_path_factory):
    """DuckDB on the same objects, with codes that have no meaning."""
    return DuckEngine(_contents_lake(tmp_path_factory.mktemp("nonsense"), nonsense=True))


def _contents_lake(folder, **how):
    index([contents.write_contents(folder / "objects", **how)], folder / "lake", workers=1)
    enrich(folder / "lake", Told(contents.STATED, contents.FOUND))
    return Store(folder / "lake")
