"""Examinations of devices: which device was used for which study from when to when.

Times are those of the devices, without a zone. An examination is what one device acquired of one
study without a long pause. What the times cannot tell is counted by reason and left out, never
guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from dicomlake.errors import UsageError
from dicomlake.lake.clocks import DEVICE, NO_CLOCK
from dicomlake.query import Node

PAUSE_MIN = 60.0
"""Minutes without a picture after which a device begins an examination anew."""
FAR_DAYS = 31
"""An acquisition so many days from its study has a clock that nobody can believe."""
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """Working hours from Monday to Friday, in minutes since midnight."""

    begin: int
    end: int

    @classmethod
    def read(cls, text: str) -> Hours:
        """Hours as people write them; UsageError when they are none.

        >>> Hours.read("7:30-16:00")
        Hours(begin=450, end=960)
        """
        found = _HOURS.fullmatch(text.strip())
        told = [int(part) for part in found.groups()] if found else [0, 0, 0, 0]
        begin, end = told[0] * 60 + told[1], told[2] * 60 + told[3]
        if not begin < end <= 24 * 60:
            raise UsageError(f"{text!r} are no working hours. Write them like 07:30-16:00.")
        return cls(begin, end)


@dataclass(frozen=True, slots=True)
class Asked:
    """What activity is asked of: a question, first and last day, and working hours if given."""

    where: Node | None = None
    level: str = "series"
    since: date | None = None
    until: date | None = None
    hours: Hours | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise UsageError(f"The period ends on {self.until}, before it begins ({self.since}).")


@dataclass(frozen=True, slots=True)
class Examined:
    """Examinations, the devices that made them, and the series whose times are not as they should
    be."""

    exams: pa.Table
    places: pa.Table
    untidy: pa.Table


def examined(engine: Any, asked: Asked, ticket: object = None) -> Examined:
    """The examinations of what a question finds, in one pass over its series."""
    with engine.chosen(asked.where, asked.level, ticket) as (search, mask):
        db, snapshot = search.db, search.snapshot
        db.register("chosen", pa.table({"series_id": snapshot.ids[mask]}))
        for statement in (
            _STANDS,
            _ZONES,
            _TIMED,
            _SPANS,
            _ACQUIRED.format(period=_period(asked)),
            _EXAMS,
        ):
            search.check()
            db.execute(statement)
        return Examined(
            db.sql(_NAMED).to_arrow_table(),
            db.sql(_PLACES).to_arrow_table(),
            db.sql(_UNTIDY).to_arrow_table(),
        )


def _period(asked: Asked) -> str:
    parts = [f"began::date >= date '{asked.since}'"] if asked.since else []
    parts += [f"began::date <= date '{asked.until}'"] if asked.until else []
    return " and ".join(parts) or "true"


def _tidy(column: str) -> str:
    """SQL of a TM without colons (as old objects have them), null for an empty one."""
    return f"""nullif(replace(trim("{column}"), ':', ''), '')"""


_READABLE = "'^([01][0-9]|2[0-3])[0-5][0-9]([0-5][0-9]([.][0-9]*)?)?$'"
"""A TM from which on minutes are known; a bare hour is too coarse."""


def _good(name: str) -> str:
    """SQL: whether a time can be used: readable, and not the midnight of those who know none."""
    return (
        f"coalesce(regexp_matches({name}, {_READABLE}) and {name} !~ '^0000(00([.]0*)?)?$', false)"
    )


def _seconds(name: str) -> str:
    return (
        f"(substr({name}, 1, 2)::int * 3600 + substr({name}, 3, 2)::int * 60 "
        f"+ coalesce(try_cast(nullif(substr({name}, 5), '') as double), 0))"
    )


def _local(what: str) -> str:
    """SQL of the moment that another clock of the device says, null where it says none."""
    time = f"{what.lower()}_time"
    return (
        f'case when {_good(time)} then "{what}Date"::timestamp '
        f"+ {_seconds(time)} * interval 1 second end"
    )


_SAME = " and ".join(
    f's."{name}" is not distinct from d."{name}"'
    for name in ("ManufacturerModelName", "DeviceSerialNumber", "StationName", "InstitutionName")
)
_STANDS = f"""
create or replace temp table stands as
with groups as (
    select "ManufacturerModelName", "DeviceSerialNumber", "StationName", "InstitutionName",
        "InstitutionalDepartmentName", "Manufacturer", "SoftwareVersions", count(*) as n,
        max("StudyDate") as last
    from series semi join chosen using (series_id)
    where "Modality" is null or "Modality" not in {NO_CLOCK} group by all)
select *, {DEVICE} as device, dense_rank() over (order by {DEVICE})::int as number from groups
"""
"""What stands where: devices with a number, by all that series say of them."""

_ZONES = """
create or replace temp table zones as
select series_id, min((case when left(text, 1) = '-' then -1 else 1 end)
    * (substr(text, 2, 2)::int * 3600 + substr(text, 4, 2)::int * 60)) as ahead
from elements where path = 'TimezoneOffsetFromUTC' and regexp_full_match(text, '[+-][0-9]{4}')
    and series_id in (select series_id from chosen)
group by series_id
"""
"""By how many seconds the clocks of series are ahead of UTC, where they say so."""

_TIMED = f"""
create or replace temp table timed as
with devices as (
    select distinct "ManufacturerModelName", "DeviceSerialNumber", "StationName",
        "InstitutionName", device, number
    from stands where device is not null),
sent as (
    select s.series_id, s.patient_key, s.study_key, s.indexed, d.number as device,
        nullif(trim(s."Modality"), '') as modality, "StudyDate", "AcquisitionDate", "SeriesDate",
        "ContentDate", "AcquisitionDateTime"::timestamp as stamped, ahead,
        {_tidy("StudyTime")} as study_time,
        {_tidy("AcquisitionTime")} as acquired_time, {_tidy("ContentTime")} as content_time,
        {_tidy("SeriesTime")} as series_time,
        coalesce(list_contains(varying, 'AcquisitionTime'), false) as several,
        coalesce("Modality" in {NO_CLOCK} or list_extract("ImageType", 1) <> 'ORIGINAL', false)
            as made
    from series s semi join chosen using (series_id) left join devices d on {_SAME}
        left join zones z on z.series_id = s.series_id),
clocked as (
    select *, case when made or device is null then 0 when {_good("acquired_time")} then 1
        when stamped is not null then 2 when {_good("content_time")} then 3
        when {_good("series_time")} then 4 else 5 end as clock
    from sent),
dated as (
    select *, case clock when 1 then "AcquisitionDate" when 3 then "ContentDate"
        when 4 then "SeriesDate" end as own_day,
        case clock when 1 then acquired_time when 3 then content_time when 4 then series_time end
            as text
    from clocked),
placed as (
    select *, case when text is not null then {_seconds("text")} end as second,
        case when text is not null and own_day is null and {_good("study_time")}
            then {_seconds("study_time")} end as study_second,
        case when clock = 2 and ahead is not null then coalesce({_local("Content")},
            {_local("Series")}, {_local("Study")}) end as local
    from dated)
select series_id, patient_key, study_key, indexed, device, modality, clock::tinyint as clock,
    made, several and clock = 1 as several, second, "StudyDate" as study_day,
    coalesce(second < study_second - 43200, false) as late,
    text is not null and own_day is null and "StudyDate" is not null as borrowed,
    text is not null and len(text) = 4 as rough,
    clock > 1 and acquired_time is not null as unread,
    case when clock = 2 then stamped + case when abs(epoch(stamped - local) + ahead)
            < abs(epoch(stamped - local)) then ahead else 0 end * interval 1 second
        else coalesce(own_day, "StudyDate")::timestamp + second * interval 1 second end as moment
from placed
"""
"""The clock that each series is timed by (1: acquisition, 2: AcquisitionDateTime, 3: content,
4: its series, 5: none, 0: not made by a device). An AcquisitionDateTime that was sent with its zone
is in UTC here: it is turned back where TimezoneOffsetFromUTC brings it nearer to another clock. A
day that is missing is that of the study, the next one where the study began over 12 hours later by
the clock."""

_SPANS = """
create or replace temp table spans as
select series_id, min(number) as low, max(coalesce(number_max, number)) as high from elements
where path = 'AcquisitionTime' and number is not null
    and series_id in (select series_id from timed where several)
group by series_id
"""
"""First and last time of the pictures of a series, where it has several."""

_ACQUIRED = f"""
create or replace temp table acquired as
with moments as (
    select t.* exclude (moment, second, several),
        t.moment + case when late then interval 1 day else interval 0 day end as moment,
        coalesce(high - low > 43200, false) as wraps,
        case when high - low <= 43200 then low - second else 0 end as earlier,
        case when high - low <= 43200 then high - second else 0 end as later
    from timed t left join spans using (series_id) where clock > 0),
spread as (
    select *, moment + earlier * interval 1 second as began,
        moment + later * interval 1 second as ended,
        coalesce(abs(date_diff('day', study_day, moment::date)) > {FAR_DAYS}, false) as far,
        coalesce(moment > now()::timestamp + interval 1 day, false) as future
    from moments)
select * exclude (moment, earlier, later, study_day),
    began is not null and not far and not future as used
from spread where began is null or ({{period}})
"""

_EXAMS = f"""
create or replace temp table exams as
with whole as (
    select device, study_key, any_value(patient_key) as patient_key, 0 as part,
        mode(modality) as "Modality", min(began) as began, max(ended) as ended,
        count(*)::bigint as series, min(indexed) as indexed
    from acquired where used group by device, study_key),
stepped as (
    select a.*, began > max(ended) over (partition by device, study_key order by began, ended
        rows between unbounded preceding and 1 preceding) + interval {PAUSE_MIN:g} minute as again
    from acquired a semi join (
        from whole where ended > began + interval {PAUSE_MIN:g} minute) using (device, study_key)
    where used),
numbered as (
    select * exclude (again), coalesce(sum(again::int) over (partition by device, study_key
        order by began, ended rows unbounded preceding), 0)::int as part
    from stepped)
from whole where ended <= began + interval {PAUSE_MIN:g} minute
union all by name
select device, study_key, any_value(patient_key) as patient_key, part,
    mode(modality) as "Modality", min(began) as began, max(ended) as ended,
    count(*)::bigint as series, min(indexed) as indexed
from numbered group by device, study_key, part
"""

_NAMED = """
select d.device, e.* exclude (device) from exams e join (
    select distinct number, device from stands) d on d.number = e.device
order by d.device, began, study_key
"""

_PLACES = """
with used as (
    select device as number, count(*)::bigint as series, count(distinct study_key)::bigint as
        studies, list(distinct modality order by modality) filter (modality is not null)
        as modalities, min(began)::date as first_seen, max(ended)::date as last_seen
    from acquired group by 1)
select device, arg_max("InstitutionName", n) as "InstitutionName",
    arg_max("InstitutionalDepartmentName", n) as "InstitutionalDepartmentName",
    arg_max("StationName", n) as "StationName", arg_max("Manufacturer", n) as "Manufacturer",
    arg_max("ManufacturerModelName", n) as "ManufacturerModelName",
    arg_max("DeviceSerialNumber", n) as "DeviceSerialNumber",
    arg_max("SoftwareVersions", last) as "SoftwareVersions", any_value(modalities) as modalities,
    any_value(series) as series, any_value(studies) as studies, any_value(first_seen) as
    first_seen, any_value(last_seen) as last_seen
from stands join used using (number) group by device order by studies desc, device
"""
"""What most series of a device say of it; its newest software."""

_UNTIDY = f"""
select reason, series, kept from (
    select unnest([
        {{'reason': 'not acquired by a device', 'series': count(*) filter (made), 'kept': false}},
        {{'reason': 'no device named', 'series': count(*) filter (device is null and not made),
            'kept': false}}], recursive := true)
    from timed
    union all
    select unnest([
        {{'reason': 'no time', 'series': count(*) filter (clock = 5), 'kept': false}},
        {{'reason': 'no day', 'series': count(*) filter (clock < 5 and began is null),
            'kept': false}},
        {{'reason': 'over {FAR_DAYS} days from its study', 'series': count(*) filter (far),
            'kept': false}},
        {{'reason': 'in the future', 'series': count(*) filter (future), 'kept': false}},
        {{'reason': 'by the time of its content', 'series': count(*) filter (used and clock = 3),
            'kept': true}},
        {{'reason': 'by the time of its series', 'series': count(*) filter (used and clock = 4),
            'kept': true}},
        {{'reason': 'without seconds', 'series': count(*) filter (used and rough), 'kept': true}},
        {{'reason': 'by the day of its study', 'series': count(*) filter (used and borrowed),
            'kept': true}},
        {{'reason': 'past midnight', 'series': count(*) filter (used and (wraps or late)),
            'kept': true}},
        {{'reason': 'AcquisitionTime is no time, a bare hour or midnight',
            'series': count(*) filter (used and unread), 'kept': true}}], recursive := true)
    from acquired)
where series > 0 order by series desc, reason
"""
