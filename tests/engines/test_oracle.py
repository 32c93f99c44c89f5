"""Random questions about a made-up hospital: the engine against a look at every header."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomlake.engines.duck import DuckEngine
from dicomlake.query import LEVELS, Query, render

from .brute import Brute
from .questions import Pool, questions

KEY = dict(
    zip(
        LEVELS,
        ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
        strict=True,
    )
)


@pytest.fixture(scope="session")
def brute(hospital_lake):
    return Brute(hospital_lake)


@pytest.fixture(scope="session")
def engine(hospital_lake):
    return DuckEngine(hospital_lake)


@pytest.fixture(scope="session")
def conditions(brute):
    return questions(Pool(brute))


@settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_the_engine_finds_what_a_look_at_every_header_finds(brute, engine, conditions, data):
    where = data.draw(conditions)
    for level in LEVELS:
        found = engine.answer(Query(where, level, show=(KEY[level],)))
        names = sorted(name or "" for name in found.rows.column(0).to_pylist())
        assert names == brute.answer(where, level), (level, render(where))
        assert found.total == len(found)
