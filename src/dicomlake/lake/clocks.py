"""What the clocks of devices say: SQL over `series` and `elements` of a lake.

A clock is compared with three others: that of the study (often of the information system), that of
the schedule, and those of other devices that made series of the same study. People wait and
examinations last, so one difference says little; the median of many, less what is usual for the
modality, says how wrong a clock is.
"""

from __future__ import annotations

FEWEST = 5
"""A device with fewer differences has no offset: they say nothing yet."""
PEERS = 3
"""From so many devices of a modality on, what is usual among them is taken off."""
_NO_SERIAL = "[0 ._-]*|x+|unknown|none|null|n[/.]?a[.]?|not available|anonym.*"
"""What devices and de-identification write for a serial number that is none."""


def _said(name: str) -> str:
    return f"nullif(trim(\"{name}\"), '')"


_SERIAL = (
    'case when not regexp_full_match(lower(trim("DeviceSerialNumber")), '
    f"'{_NO_SERIAL}') then trim(\"DeviceSerialNumber\") end"
)
DEVICE = (
    f"case when {_said('ManufacturerModelName')} is null "
    f"then coalesce({_SERIAL}, {_said('StationName')}) else concat_ws(' ', "
    f"{_said('ManufacturerModelName')}, coalesce({_SERIAL}, {_said('StationName')}, "
    f"{_said('InstitutionName')})) end"
)
"""SQL of what a device is called: its model, and its serial number or else its station.

Models that say neither are told apart by institution."""
NO_CLOCK = "('SR', 'SEG', 'PR', 'KO', 'DOC', 'OT', 'REG', 'RTSTRUCT', 'RTPLAN', 'RTDOSE', 'RWV')"
"""Modalities of objects that are made later, elsewhere."""
_DATES, _TIMES = (
    "RequestAttributesSequence.ScheduledProcedureStepStartDate",
    "RequestAttributesSequence.ScheduledProcedureStepStartTime",
)


def _seconds(column: str) -> str:
    """SQL of a TM as seconds since midnight, null for what is none."""
    found = (
        f"case when regexp_matches(\"{column}\", '^[0-2][0-9][0-5][0-9]') then "
        f'substr("{column}", 1, 2)::int * 3600 + substr("{column}", 3, 2)::int * 60 '
        f'+ coalesce(try_cast(substr("{column}", 5, 2) as int), 0) end'
    )
    return f"({found})"


def _instant(what: str) -> str:
    return f'(epoch("{what}Date"::timestamp) + {_seconds(f"{what}Time")})'


def differences(chosen: str = "series") -> str:
    """SQL: series_id, device, modality, month, `against` (study, schedule or devices) and `off`.

    `off` is in s, positive where the device is ahead. `chosen`: a table of series_id that limits.
    """
    return f"""
with asked as (select series_id from {chosen}),
scheduled as (
    select series_id, epoch(min(moment) filter (path = '{_DATES}'))
        + min(number) filter (path = '{_TIMES}') as planned
    from elements where path in ('{_DATES}', '{_TIMES}') group by series_id),
made as (
    select series_id, {DEVICE} as device, "Modality" as modality, study_key,
        date_trunc('month', "StudyDate")::date as month,
        coalesce({_instant("Acquisition")}, {_instant("Content")}) as own,
        {_instant("Study")} as study
    from series semi join asked using (series_id)
    where "Modality" not in {NO_CLOCK} and {DEVICE} is not null
        and (len("ImageType") is null or list_extract("ImageType", 1) = 'ORIGINAL')),
others as (
    select a.series_id, median(a.own - b.own) as off from made a join made b
    on a.study_key = b.study_key and a.device <> b.device
    where a.own is not null and b.own is not null group by 1)
select series_id, device, modality, month, 'study' as against, own - study as off from made
where own is not null and study is not null
union all
select series_id, device, modality, month, 'schedule', own - planned
from made join scheduled using (series_id) where own is not null and planned is not null
union all
select series_id, device, modality, month, 'devices', off from made join others using (series_id)
"""


def offsets(source: str) -> str:
    """SQL: device, modality, against, samples, median, spread and offset, from `differences`.

    `spread` is the median absolute deviation; `offset` the median less what is usual among the
    devices of the modality. All in s.
    """
    return f"""
with each as (
    select device, modality, against, count(*)::bigint as samples, median(off) as median,
        mad(off) as spread
    from {source} group by all having count(*) >= {FEWEST})
select *, median - case when count(*) over (partition by modality, against) >= {PEERS}
    then median(median) over (partition by modality, against) else 0 end as "offset"
from each
"""
