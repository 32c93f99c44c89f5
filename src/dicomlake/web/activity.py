"""What devices do, and who opens what of it: map, utilisation, gaps, and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.access.roles import May, may
from dicomlake.jobs.activity import Activity, Asked, Hours, access, zone_of
from dicomlake.web.access.needs import needs, who_of
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Level, Shape, Version, WhereText, as_json, condition, plain
from dicomlake.web.problems import documented
from dicomlake.web.running import QueryId, Running, answered

router = APIRouter(tags=["activity"], dependencies=[needs(May.READ)])
TheDesk = Annotated[Desk, Depends(desk_of)]
Since = Annotated[date | None, Query(description="First day")]
Until = Annotated[date | None, Query(description="Last day")]
HoursText = Annotated[
    str,
    Query(max_length=11, description="Working hours, as 07:30-16:00; else of the settings"),
]
DeviceName = Annotated[
    str | None, Query(max_length=500, description="One device, as the map calls it")
]
LevelOf = Annotated[Level, Query(description="Of the question")]


class Untidy(Shape):
    """Series whose times are not as they should be."""

    reason: str
    series: int
    kept: bool = Field(description="Whether they are counted nevertheless")


class Frame(Shape):
    """What all answers say."""

    version: int
    seconds: float
    untidy: list[Untidy]


class DeviceRow(Shape):
    """A device: where it stands, what it is, how much it is used."""

    InstitutionName: str | None
    InstitutionalDepartmentName: str | None
    StationName: str | None
    device: str
    Manufacturer: str | None
    ManufacturerModelName: str | None
    DeviceSerialNumber: str | None
    SoftwareVersions: list[str] | None
    modalities: list[str] | None
    first_seen: date | None
    last_seen: date | None
    studies: int
    series: int
    examinations: int | None
    days_used: int | None
    studies_per_week: float
    share: float | None = Field(description="Of all studies")
    busy_h: float | None
    idle_h: float | None = Field(description="Within its working hours")
    utilisation: float | None = Field(description="Busy of its working hours, on days of use")
    opens: int | None = Field(description="Minutes since midnight, from Monday to Friday")
    closes: int | None
    examination_min: float | None = Field(description="Median")
    moments: int | None = Field(description="Examinations of which only one moment is known")
    turnover_min: float | None = Field(description="Median between two patients")
    days_over: int | None
    over_min: float | None = Field(description="Median of days on which it worked longer")
    overlapping: int | None = Field(description="Examinations that began before the last ended")


class DevicesOut(Frame):
    """The map of devices."""

    devices: list[DeviceRow]


class HourRow(Shape):
    """An hour of the week."""

    weekday: int = Field(description="1: Monday")
    hour: int
    busy_min: float
    examinations: int = Field(description="Begun in this hour")
    days: int = Field(description="Such days between first and last, of all devices")
    share: float


class UtilisationOut(Frame):
    """Hours of the week."""

    hours: list[HourRow]


class GapRow(Shape):
    """A time within working hours in which a device did nothing."""

    device: str
    day: date
    began: datetime
    ended: datetime
    idle_min: float


class PauseRow(Shape):
    """Pauses between examinations from `low` to below `high` minutes."""

    low: int
    high: int | None
    pauses: int
    turnovers: int = Field(description="Up to an hour, between two patients")


class DayRow(Shape):
    """A day of a device."""

    device: str
    day: date
    opens: int | None
    closes: int | None
    first: datetime
    last: datetime
    examinations: int
    studies: int
    busy_min: float
    busy_in_hours_min: float | None
    idle_min: float | None
    over_min: float | None
    overlapping: int


class GapsOut(Frame):
    """Longest gaps, pauses by steps, and the newest days."""

    gaps: list[GapRow]
    pauses: list[PauseRow]
    days: list[DayRow]


class RoleRow(Shape):
    """What a role did."""

    role: str
    openings: int
    studies: int
    questions: int
    exports: int
    last: datetime | None


class UserRow(Shape):
    """What somebody did."""

    name: str
    openings: int
    studies: int
    questions: int
    exports: int
    last: datetime | None


class OpenedHour(Shape):
    """Openings in an hour of the week."""

    weekday: int
    hour: int
    openings: int


class SoonRow(Shape):
    """How soon studies were opened."""

    by: Literal["all", "modality", "device"]
    name: str | None
    studies: int = Field(description="Made since the log began")
    opened: int
    never: int
    before_end: int = Field(description="Opened before the last picture")
    low_h: float | None = Field(description="Lower quartile of hours until the first opening")
    median_h: float | None
    high_h: float | None


class ExportRow(Shape):
    """An export."""

    moment: datetime
    role: str
    what: str
    rows: int | None


class AccessOut(Frame):
    """Who opened what; `users` is null for those who may not see the audit log."""

    since: datetime | None = Field(description="The first line of the audit log")
    unknown: int = Field(description="Openings of what is not in the lake any more")
    roles: list[RoleRow]
    users: list[UserRow] | None
    hours: list[OpenedHour]
    soon: list[SoonRow]
    exports: list[ExportRow]


_UNTIDY = [{"reason": "without seconds", "series": 3, "kept": True}]
_FRAME: dict[str, Any] = {"version": 7, "seconds": 0.2, "untidy": _UNTIDY}
_DEVICE: dict[str, Any] = {
    "InstitutionName": "Northfield Hospital", "InstitutionalDepartmentName": "Radiology",
    "StationName": "CT 1", "device": "Model Aurora N-101", "Manufacturer": "Made Up",
    "ManufacturerModelName": "Model Aurora", "DeviceSerialNumber": "N-101",
    "SoftwareVersions": ["7.1"], "modalities": ["CT"], "first_seen": "2024-01-01",
    "last_seen": "2024-01-31", "studies": 540, "series": 1620, "examinations": 540,
    "days_used": 23, "studies_per_week": 122.0, "share": 0.11, "busy_h": 108.0, "idle_h": 122.0,
    "utilisation": 0.47, "opens": 420, "closes": 1020, "examination_min": 12.0, "moments": 0,
    "turnover_min": 9.0, "days_over": 2, "over_min": 12.0, "overlapping": 0,
}  # fmt: skip
_HOUR = {"weekday": 1, "hour": 9, "busy_min": 171.0, "examinations": 14, "days": 5, "share": 0.57}
_GAP = {
    "device": "Model Aurora N-101", "day": "2024-01-03", "began": "2024-01-03T10:12:00",
    "ended": "2024-01-03T11:30:00", "idle_min": 78.0,
}  # fmt: skip
_PAUSE = {"low": 5, "high": 10, "pauses": 210, "turnovers": 208}
_DAY: dict[str, Any] = {
    "device": "Model Aurora N-101", "day": "2024-01-03", "opens": 420, "closes": 1020,
    "first": "2024-01-03T07:00:00", "last": "2024-01-03T17:08:00", "examinations": 27,
    "studies": 27, "busy_min": 324.0, "busy_in_hours_min": 316.0, "idle_min": 284.0,
    "over_min": 8.0, "overlapping": 0,
}  # fmt: skip
_DID = {"openings": 41, "studies": 17, "questions": 6, "exports": 1, "last": "2024-01-31T16:02:00"}
_ACCESS: dict[str, Any] = {
    **_FRAME, "since": "2024-01-01T08:00:00", "unknown": 0,
    "roles": [{"role": "researcher", **_DID}], "users": [{"name": "ann", **_DID}],
    "hours": [{"weekday": 1, "hour": 9, "openings": 12}],
    "soon": [{"by": "modality", "name": "CT", "studies": 540, "opened": 512, "never": 28,
              "before_end": 1, "low_h": 0.4, "median_h": 0.8, "high_h": 2.5}],
    "exports": [{"moment": "2024-01-09T12:00:00", "role": "researcher",
                 "what": "POST /api/query/export", "rows": 12}],
}  # fmt: skip
MOST_DAYS = 2000
_FAULTS = documented(403, 409, 422, 503)


def _hours(desk: Desk, text: str) -> Hours | None:
    text = text.strip() or desk.settings.activity.hours
    return Hours.read(text) if text else None


async def _told(
    http: Request,
    desk: Desk,
    version: int | None,
    where: str | None,
    asked: Asked,
    query_id: str | None,
    tables: Callable[[Running, Any, Activity], dict[str, Any]],
) -> Response:
    """Tables of the activity of what a question finds, as JSON."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        found = lake.activity(condition(where), asked, run)
        told = {name: _plain(value) for name, value in tables(run, lake.engine, found).items()}
        frame = {"version": lake.version, "untidy": _plain(found.untidy), "seconds": run.seconds}
        return as_json({**told, **frame})

    return await answered(http, desk.board, work, query_id)


def _plain(value: Any) -> Any:
    return plain(value.to_pylist() if hasattr(value, "to_pylist") else value)


@router.get(
    "/api/activity/devices",
    summary="List devices, where they stand and how much they are used",
    response_model=DevicesOut,
    responses={**shown({**_FRAME, "devices": [_DEVICE]}), **_FAULTS},
)
async def devices(
    http: Request,
    desk: TheDesk,
    where: WhereText = None,
    level: LevelOf = "series",
    since: Since = None,
    until: Until = None,
    hours: HoursText = "",
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """The map of devices of what a question finds, in a period."""
    asked = Asked(None, level, since, until, _hours(desk, hours))
    return await _told(
        http, desk, version, where, asked, query_id, lambda *a: {"devices": a[2].devices()}
    )


@router.get(
    "/api/activity/utilisation",
    summary="Say how busy devices are in every hour of the week",
    response_model=UtilisationOut,
    responses={**shown({**_FRAME, "hours": [_HOUR]}), **_FAULTS},
)
async def utilisation(
    http: Request,
    desk: TheDesk,
    device: DeviceName = None,
    where: WhereText = None,
    level: LevelOf = "series",
    since: Since = None,
    until: Until = None,
    hours: HoursText = "",
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """Minutes busy and examinations begun, of one device or all."""
    asked = Asked(None, level, since, until, _hours(desk, hours))
    return await _told(
        http, desk, version, where, asked, query_id,
        lambda *a: {"hours": a[2].utilisation(device)},
    )  # fmt: skip


@router.get(
    "/api/activity/gaps",
    summary="List when devices did nothing, and how long they pause",
    response_model=GapsOut,
    responses={**shown({**_FRAME, "gaps": [_GAP], "pauses": [_PAUSE], "days": [_DAY]}), **_FAULTS},
)
async def gaps(
    http: Request,
    desk: TheDesk,
    device: DeviceName = None,
    where: WhereText = None,
    level: LevelOf = "series",
    since: Since = None,
    until: Until = None,
    hours: HoursText = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="Gaps")] = 100,
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """The longest gaps within working hours, all pauses by steps, and days, newest first."""
    asked = Asked(None, level, since, until, _hours(desk, hours))

    def tables(_: Running, __: Any, found: Activity) -> dict[str, Any]:
        days = found.days(device).sort_by([("day", "descending"), ("device", "ascending")])
        return {
            "gaps": found.gaps(device).slice(0, limit),
            "pauses": found.pauses(device),
            "days": days.slice(0, MOST_DAYS),
        }

    return await _told(http, desk, version, where, asked, query_id, tables)


@router.get(
    "/api/activity/access",
    summary="Say who opened what, and how soon after it was made",
    response_model=AccessOut,
    responses={**shown(_ACCESS), **_FAULTS},
    dependencies=[needs(May.USAGE)],
)
async def accesses(
    http: Request,
    desk: TheDesk,
    where: WhereText = None,
    level: LevelOf = "series",
    since: Since = None,
    until: Until = None,
    hours: HoursText = "",
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """The audit log beside the examinations; users are shown to those who may see the log."""
    asked = Asked(None, level, since, until, _hours(desk, hours))
    log: Audit = http.app.state.audit
    zone = zone_of(desk.settings.activity.timezone)
    named = may(who_of(http), May.AUDIT, filtered=False)

    def tables(run: Running, engine: Any, found: Activity) -> dict[str, Any]:
        seen = access(engine, found, log.lines(), zone, run)
        return {
            "since": seen.since,
            "unknown": seen.unknown,
            "roles": seen.roles,
            "users": seen.users if named else None,
            "hours": seen.hours,
            "soon": seen.soon,
            "exports": seen.exports,
        }

    return await _told(http, desk, version, where, asked, query_id, tables)
