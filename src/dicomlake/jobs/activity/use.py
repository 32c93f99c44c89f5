"""How devices are used: map, hours of the week, gaps and days, from their examinations.

Busy is what lies between first and last picture of an examination, twice at the same time counted
once; examinations of a single moment make nobody busy. Working hours of a device are given, or
derived of its own days: from the lower quartile of their beginnings to the upper quartile of their
ends, apart for weekends, in steps of a quarter of an hour, where there are enough days.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa

from dicomlake.jobs.activity.exams import PAUSE_MIN, Asked, Examined, examined
from dicomlake.lake.database import connect

FEWEST_DAYS = 5
"""A device with fewer days has no working hours of its own yet."""
IDLE_MIN = 30.0
"""Minutes between examinations from which on a device within its hours was idle."""
STEPS = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 480)
"""Lower bounds of gaps between examinations, in minutes."""
MOST_GAPS = 1000


class Activity:
    """What devices did, of one question; every method is one table, in the words of its columns."""

    def __init__(self, found: Examined, asked: Asked) -> None:
        self.exams, self.places, self.untidy = found.exams, found.places, found.untidy
        self._asked = asked

    @classmethod
    def of(cls, engine: Any, asked: Asked, ticket: object = None) -> Activity:
        """What an engine knows of what devices did."""
        return cls(examined(engine, asked, ticket), asked)

    @property
    def size(self) -> int:
        """Bytes, about."""
        return int(self.exams.nbytes + self.places.nbytes)

    def devices(self) -> pa.Table:
        """A row per device: where it stands, what it is, how much it is used; most used first."""
        return self._devices

    def utilisation(self, device: str | None = None) -> pa.Table:
        """A row per weekday (1: Monday) and hour: minutes busy, examinations begun, and share.

        `share`: of the minutes of all such hours between the first and the last day of a device.
        """
        with self._used() as db:
            return _rows(db, _UTILISATION.format(only=_only(device)), [device] if device else [])

    def days(self, device: str | None = None) -> pa.Table:
        """A row per device and day: first and last examination, minutes busy, idle and over."""
        with self._used() as db:
            only = _only(device)
            return _rows(db, f"from used_days where {only} order by device, day",
                         [device] if device else [])  # fmt: skip

    def gaps(self, device: str | None = None) -> pa.Table:
        """The longest times within working hours in which a device did nothing, longest first."""
        with self._used() as db:
            statement = _GAPS.format(only=_only(device), idle=IDLE_MIN, most=MOST_GAPS)
            return _rows(db, statement, [device] if device else [])

    def pauses(self, device: str | None = None) -> pa.Table:
        """How long devices waited between two examinations of a day, counted by steps of minutes.

        `turnovers`: those of them up to an hour between two patients.
        """
        with self._used() as db:
            return _rows(db, _PAUSES.format(only=_only(device)), [device] if device else [])

    @cached_property
    def _devices(self) -> pa.Table:
        with self._used() as db:
            db.register("places", self.places)
            return _rows(db, _DEVICES)

    @cached_property
    def _tables(self) -> dict[str, pa.Table]:
        """Examinations with what was before them, hours and days of devices."""
        with connect() as db:
            db.register("exams", self.exams)
            for name, statement in self._steps():
                db.execute(f"create table {name} as {statement}")
            return {name: db.sql(f"from {name}").to_arrow_table() for name, _ in self._steps()}

    def _steps(self) -> Iterator[tuple[str, str]]:
        given = self._asked.hours
        yield "ordered", _ORDERED
        yield (
            "hours",
            _DERIVED if given is None else _GIVEN.format(begin=given.begin, end=given.end),
        )
        yield "used_days", _DAYS

    @contextmanager
    def _used(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with connect() as db:
            for name, table in self._tables.items():
                db.register(name, table)
            yield db


def _only(device: str | None) -> str:
    return "true" if device is None else "device = ?"


def _rows(
    db: duckdb.DuckDBPyConnection, statement: str, values: list[Any] | None = None
) -> pa.Table:
    table: pa.Table = db.sql(statement, params=values or []).to_arrow_table()
    return table


_ORDERED = f"""
with before as (
    select *, max(ended) over (partition by device order by began, ended
            rows between unbounded preceding and 1 preceding) as idle_since,
        lag(patient_key) over (partition by device order by began, ended) as patient_before
    from exams)
select *, began::date as day, isodow(began) > 5 as weekend,
    greatest(began, coalesce(idle_since, began)) as busy_from,
    case when idle_since::date = began::date and began >= idle_since
        then date_diff('second', idle_since, began) / 60.0 end as pause,
    coalesce(began < idle_since, false) as overlapping,
    coalesce(idle_since::date = began::date and began >= idle_since
        and patient_before <> patient_key
        and date_diff('second', idle_since, began) <= {PAUSE_MIN * 60:g}, false) as turnover
from before
"""
_OF_DAY = "date_diff('second', {day}::timestamp, {moment}) / 60.0"
_DERIVED = f"""
with days as (
    select device, day, weekend, min({_OF_DAY.format(day="day", moment="began")}) as first,
        max({_OF_DAY.format(day="day", moment="ended")}) as last
    from ordered group by all)
select device, weekend, (floor(quantile_cont(first, 0.25) / 15) * 15)::int as opens,
    (ceil(quantile_cont(last, 0.75) / 15) * 15)::int as closes
from days group by all having count(*) >= {FEWEST_DAYS}
"""
_GIVEN = (
    "select distinct device, false as weekend, {begin}::int as opens, {end}::int as closes "
    "from ordered"
)
_WITHIN = """greatest(0, least({to}, closes) - greatest({begin}, opens))"""
_DAYS = f"""
with placed as (
    select o.*, h.opens, h.closes, {_OF_DAY.format(day="day", moment="busy_from")} as busy_begin,
        {_OF_DAY.format(day="day", moment="ended")} as busy_end
    from ordered o left join hours h using (device, weekend))
select device, day, any_value(opens) as opens, any_value(closes) as closes, min(began) as first,
    max(ended) as last, count(*)::bigint as examinations,
    count(distinct study_key)::bigint as studies,
    sum(greatest(0, busy_end - busy_begin)) as busy_min,
    sum({_WITHIN.format(begin="busy_begin", to="busy_end")}) as busy_in_hours_min,
    greatest(0, any_value(closes - opens)
        - sum({_WITHIN.format(begin="busy_begin", to="busy_end")})) as idle_min,
    greatest(0, max(busy_end) - any_value(closes)) as over_min,
    count(*) filter (overlapping)::bigint as overlapping
from placed group by device, day
"""
_DEVICES = """
with days as (
    select device, count(*)::bigint as days_used, sum(examinations)::bigint as examinations,
        round(sum(busy_min) / 60, 2) as busy_h, round(sum(idle_min) / 60, 2) as idle_h,
        round(sum(busy_in_hours_min) / nullif(sum(closes - opens), 0), 4) as utilisation,
        count(*) filter (over_min > 0)::bigint as days_over, median(over_min) filter (over_min > 0)
            as over_min,
        sum(overlapping)::bigint as overlapping
    from used_days group by device),
each as (
    select device, median(date_diff('second', began, ended) / 60.0) as examination_min,
        count(*) filter (ended = began)::bigint as moments,
        median(pause) filter (turnover) as turnover_min
    from ordered group by device),
week as (select device, opens, closes from hours where not weekend)
select "InstitutionName", "InstitutionalDepartmentName", "StationName", p.device, "Manufacturer",
    "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", modalities, first_seen,
    last_seen, studies, series, examinations, days_used,
    round(studies / greatest(1, (date_diff('day', first_seen, last_seen) + 1) / 7.0), 1)
        as studies_per_week,
    round(studies / nullif(sum(studies) over (), 0), 4) as share, busy_h, idle_h, utilisation,
    opens, closes, examination_min, moments, turnover_min, days_over, over_min, overlapping
from places p left join days using (device) left join each using (device) left join week
    using (device)
order by "InstitutionName" nulls last, "InstitutionalDepartmentName" nulls last, studies desc,
    p.device
"""
_UTILISATION = """
with wanted as (from ordered where {only}),
known as (select device, min(day) as first, max(ended)::date as last from wanted group by 1),
weekdays as (select unnest(range(1, 8))::int as weekday),
spans as (
    select weekday, sum(case when last - first >= (weekday - isodow(first) + 7) % 7
        then (last - first - (weekday - isodow(first) + 7) % 7) // 7 + 1 else 0 end)::bigint as days
    from known, weekdays group by 1),
pieces as (
    select busy_from, ended, unnest(generate_series(date_trunc('hour', busy_from),
        date_trunc('hour', ended), interval 1 hour)) as hour
    from wanted where ended > busy_from),
busy as (
    select isodow(hour)::int as weekday, hour(hour)::int as hour, sum(date_diff('second',
        greatest(busy_from, hour), least(ended, hour + interval 1 hour))) / 60.0 as busy_min
    from pieces group by 1, 2),
began as (
    select isodow(began)::int as weekday, hour(began)::int as hour, count(*)::bigint as examinations
    from wanted group by 1, 2)
select w.weekday, h.hour, coalesce(busy_min, 0.0) as busy_min,
    coalesce(examinations, 0)::bigint as examinations, coalesce(days, 0) as days,
    coalesce(busy_min / nullif(days * 60.0, 0), 0.0) as share
from weekdays w cross join (select unnest(range(24))::int as hour) h
    left join busy using (weekday, hour) left join began using (weekday, hour)
    left join spans using (weekday)
order by all
"""
_GAPS = """
with placed as (
    select o.device, day, opens, closes,
        date_diff('second', day::timestamp, idle_since) / 60.0 as since,
        date_diff('second', day::timestamp, began) / 60.0 as till
    from ordered o join hours using (device, weekend)
    where idle_since::date = began::date and began > idle_since),
inside as (
    select device, day, greatest(since, opens) as since, least(till, closes) as till from placed)
select device, day, day::timestamp + since * interval 1 minute as began,
    day::timestamp + till * interval 1 minute as ended, till - since as idle_min
from inside where {only} and till - since >= {idle} order by idle_min desc, device, day limit {most}
"""
_PAUSES = f"""
with steps as (
    select unnest({list(STEPS)})::int as low, unnest({[*STEPS[1:], None]!r})::int as high),
wanted as (select pause, turnover from ordered where {{only}} and pause is not null)
select low, high, count(pause)::bigint as pauses,
    count(*) filter (turnover)::bigint as turnovers
from steps left join wanted on pause >= low and (high is null or pause < high)
group by all order by low
""".replace("None", "null")
