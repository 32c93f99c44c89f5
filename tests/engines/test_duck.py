import pytest

from dicomlake.testing.engines import EngineContract


class TestDuck(EngineContract):
    @pytest.fixture
    def engine(self, duck):
        return duck
