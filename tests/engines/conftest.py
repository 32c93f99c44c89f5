"""Lakes for the tests of engines."""

import pytest

from dicomlake.engines.duck import DuckEngine
from dicomlake.jobs.index import index
from dicomlake.lake import Store

pytest.register_assert_rewrite("dicomlake.testing.engines")

from dicomlake.testing import engines  # noqa: E402


@pytest.fixture(scope="session")
def duck(tmp_path_factory):
    """DuckDB on the lake of the engine contract."""
    folder = tmp_path_factory.mktemp("handmade")
    index([engines.write(folder / "objects")], folder / "lake", workers=1)
    return DuckEngine(Store(folder / "lake"))
