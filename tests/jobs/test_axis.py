from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.jobs.axis import MOST_BINS, Moments, Numbers
from dicomlake.lake.store import connect

VRS = st.sampled_from(["DS", "IS", "US", "TM", "AS", "SQ", "OW"])
EVER = st.datetimes(timezones=st.just(UTC))


@given(VRS, st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e308))
def test_bins_of_numbers_hold_the_whole_range(vr: str, low: float, more: float) -> None:
    high = min(low + more, 1.7e308)
    axis = Numbers.over(vr, low, high)
    assert 1 <= axis.count <= MOST_BINS
    edges = axis.edges()
    assert len(edges) == axis.count
    slack = (edges[0][1] - edges[0][0]) * 1e-6 + abs(low) * 1e-12 + abs(high) * 1e-12
    assert edges[0][0] <= low + slack
    assert edges[-1][1] >= high - slack


@pytest.mark.parametrize(
    ("vr", "low", "high", "first"),
    [
        ("DS", 0.0, 100.0, (0.0, 5.0)),
        ("DS", 1.5, 3.0, (1.5, 1.55)),
        ("US", 0, 3, (0.0, 1.0)),
        ("TM", 0, 86399, (0.0, 3600.0)),
        ("AS", 0, 30 * 365.25, (0.0, 365.25)),
        ("AS", 0, 20.0, (0.0, 1.0)),
        ("DS", -1e308, 1e308, (-1e308, -9e307)),
    ],
)
def test_bins_are_round(vr: str, low: float, high: float, first: tuple[float, float]) -> None:
    assert Numbers.over(vr, low, high).edges()[0] == pytest.approx(first)


@given(EVER, EVER, EVER)
def test_bins_of_moments_are_those_that_the_database_finds(
    one: datetime, other: datetime, third: datetime
) -> None:
    first, middle, last = sorted((one, other, third))
    axis = Moments.over(first, last)
    assert 1 <= axis.count <= MOST_BINS
    edges = axis.edges()
    with connect() as db:
        for moment in (first, middle, last):
            ((place,),) = db.execute(
                "select date_diff(?, ?::timestamp, ?::timestamp) // ?",
                [axis.unit, axis.start.isoformat()[:26], moment.isoformat()[:26], axis.step],
            ).fetchall()
            assert 0 <= place < axis.count
            low, high = edges[place]
            seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
            assert low <= seconds <= high
