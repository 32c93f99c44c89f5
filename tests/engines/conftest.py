"""Lakes for the tests of engines."""

import pytest

from dicomlake.engines.duck import DuckEngine
from dicomlake.jobs.index import index
from dicomlake.lake import Store

pytest.register_assert_rewrite("dicomlake.testing.engines")

from dicomlake.testing import engines, hospital  # noqa: E402


@pytest.fixture(scope="session")
def duck(tmp_path_factory):
    """DuckDB on the lake of the engine contract."""
    folder = tmp_path_factory.mktemp("handmade")
    index([engines.write(folder / "objects")], folder / "lake", workers=1)
    return DuckEngine(Store(folder / "lake"))


@pytest.fixture(scope="session")
def hospital_lake(tmp_path_factory):
    """The lake of a made-up hospital with a dozen patients."""
    folder = tmp_path_factory.mktemp("hospital")
    hospital.write(folder / "objects", patients=12)
    index([folder / "objects"], folder / "lake", workers=1)
    return Store(folder / "lake")
