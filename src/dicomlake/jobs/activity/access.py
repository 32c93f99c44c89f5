"""Who opened what, how often and how soon after it was made: the audit log beside examinations.

An opening is what somebody asks of one study without a break of half an hour, however many pictures
are fetched. Times of the log are turned to those of the devices: to the time zone of the settings,
or else of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.errors import UsageError
from dicomlake.jobs.activity.use import Activity
from dicomlake.lake.database import connect

BREAK_MIN = 30
_UIDS = {
    "study": "StudyInstanceUID", "StudyInstanceUID": "StudyInstanceUID",
    "series": "SeriesInstanceUID", "SeriesInstanceUID": "SeriesInstanceUID",
    "instance": "SOPInstanceUID", "SOPInstanceUID": "SOPInstanceUID",
}  # fmt: skip
"""Names of parts of addresses that say what was opened, and the attributes that they are."""
_ASKED = re.compile(r"POST /api/(query|sql)$")
_EXPORTED = re.compile(
    r"POST /api/(query/export|datasets|omop|federation/export)$|GET /api/jobs/[^/]+/documents$"
    r"|GET /fhir(/[^/]+)?/\$export$"
)
_PASSED = re.compile(r"/thumbnail$")
"""What lists of results fetch by themselves is no opening."""
_EVENTS = pa.schema(
    [
        ("moment", pa.timestamp("us")), ("name", pa.string()), ("role", pa.string()),
        ("kind", pa.string()), ("StudyInstanceUID", pa.string()),
        ("SeriesInstanceUID", pa.string()), ("SOPInstanceUID", pa.string()),
        ("rows", pa.int64()), ("what", pa.string()),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """What the audit log says of the studies of an activity; every table in its columns' words.

    `roles`, `users`: openings, studies, questions and exports of each; `hours`: openings by weekday
    (1: Monday) and hour; `soon`: by modality and device how many studies that were made since the
    log began were opened, and the hours until then; `exports`: newest first, without names.
    """

    roles: pa.Table
    users: pa.Table
    hours: pa.Table
    soon: pa.Table
    exports: pa.Table
    since: datetime | None
    """The first line of the log, in the time of the devices; null: there is none."""
    unknown: int
    """Openings of what is not in this version of the lake, or was crossed out."""

    def soon_by(self, by: str) -> pa.Table:
        """Rows of `soon` by all, modality or device, without the column that says so."""
        rows = self.soon.filter(pc.field("by") == by)
        return rows.drop_columns(["by"]).rename_columns({"name": by})


def zone_of(name: str) -> tzinfo | None:
    """A time zone by name, None for that of this machine; UsageError when there is none.

    >>> zone_of("Europe/Berlin")
    zoneinfo.ZoneInfo(key='Europe/Berlin')
    """
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UsageError(f"{name!r} is no time zone. Write one like Europe/Berlin.") from error


def access(
    engine: Any,
    activity: Activity,
    lines: Iterable[Mapping[str, Any]],
    zone: tzinfo | None = None,
    ticket: object = None,
) -> Access:
    """Who opened what of the studies of an activity, from lines of the audit log."""
    events, since = _events(lines, zone)
    with connect() as db:
        db.register("told", events)
        uids = {name: _distinct(db, name) for name in dict.fromkeys(_UIDS.values())}
        db.register("known", _studies(engine, uids, ticket))
        db.register("exams", activity.exams)
        for name, statement in _STEPS:
            db.execute(f"create table {name} as {statement}")
        since_text = f"timestamp '{since}'" if since else "null::timestamp"
        ((unknown,),) = db.execute("select count(*) from visits where study_key is null").fetchall()

        def table(statement: str) -> pa.Table:
            found: pa.Table = db.sql(statement).to_arrow_table()
            return found

        return Access(
            table(_BY.format(who="role")),
            table(_BY.format(who="name")),
            table(_HOURS),
            table(_SOON.format(since=since_text)),
            table(_EXPORTS),
            since,
            int(unknown),
        )


def _events(
    lines: Iterable[Mapping[str, Any]], zone: tzinfo | None
) -> tuple[pa.Table, datetime | None]:
    """What lines tell of openings, questions and exports, and when the first line was written."""
    found: list[dict[str, Any]] = []
    first: float | None = None
    for line in lines:
        at = line.get("time")
        if not isinstance(at, int | float):
            continue
        first = at if first is None else min(first, at)
        event = _event(line)
        if event is not None:
            found.append({**event, "moment": _local(at, zone)})
    return pa.Table.from_pylist(found, _EVENTS), None if first is None else _local(first, zone)


def _local(at: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(zone).replace(tzinfo=None)


def _event(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a line tells; None of refusals, and of what is no opening, question or export."""
    status, what = line.get("status"), str(line.get("what", ""))
    if not isinstance(status, int) or not 200 <= status < 400:
        return None
    who = {"name": str(line.get("name", "")), "role": str(line.get("role", ""))}
    rows = line.get("rows")
    more = {"what": what, "rows": rows if isinstance(rows, int) else None}
    if _EXPORTED.match(what):
        return {**who, **more, "kind": "export"}
    if _ASKED.match(what):
        return {**who, **more, "kind": "question"}
    params = line.get("params")
    if not what.startswith("GET ") or _PASSED.search(what) or not isinstance(params, Mapping):
        return None
    uids = {_UIDS[name]: str(uid) for name, uid in params.items() if name in _UIDS}
    return {**who, "kind": "opening", **uids} if uids else None


def _distinct(db: Any, name: str) -> list[str]:
    """The UIDs of one kind that are needed: of series and instances where no wider one is told."""
    wider = {
        "SeriesInstanceUID": '"StudyInstanceUID" is null',
        "SOPInstanceUID": '"StudyInstanceUID" is null and "SeriesInstanceUID" is null',
    }.get(name, "true")
    asked = f'select distinct "{name}" from told where "{name}" is not null and {wider}'
    return [row[0] for row in db.execute(asked).fetchall()]


def _studies(engine: Any, uids: Mapping[str, list[str]], ticket: object) -> pa.Table:
    """The studies of UIDs: kind, uid and study_key."""
    parts = [
        pa.schema(
            [("kind", pa.string()), ("uid", pa.string()), ("study_key", pa.int64())]
        ).empty_table()
    ]
    for name, source in (
        ("StudyInstanceUID", "series"),
        ("SeriesInstanceUID", "series"),
        ("SOPInstanceUID", "instances join series s using (series_id)"),
    ):
        for some in _blocks(uids[name]):
            marks = ", ".join("?" * len(some))
            found = engine.read(
                f"select distinct '{name}' as kind, \"{name}\" as uid, study_key from {source} "
                f'where "{name}" in ({marks})',
                some,
                ticket,
            )
            parts.append(found.cast(parts[0].schema))
    return pa.concat_tables(parts)


def _blocks(values: list[str], size: int = 5000) -> Iterator[list[str]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]


_STEPS = (
    (
        "visits",
        f"""
with told_of as (
    select moment, name, role, coalesce(a.study_key, b.study_key, c.study_key) as study_key,
        coalesce("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID") as uid
    from told t
        left join known a on a.kind = 'StudyInstanceUID' and a.uid = t."StudyInstanceUID"
        left join known b on b.kind = 'SeriesInstanceUID' and b.uid = t."SeriesInstanceUID"
        left join known c on c.kind = 'SOPInstanceUID' and c.uid = t."SOPInstanceUID"
    where t.kind = 'opening'),
spaced as (
    select *, moment > lag(moment, 1, timestamp '1970-01-01') over (
        partition by name, role, coalesce(study_key::varchar, uid) order by moment)
        + interval {BREAK_MIN} minute as again
    from told_of)
select moment, name, role, study_key from spaced where again
""",
    ),
    ("seen", "select * from visits semi join exams using (study_key)"),
    (
        "made",
        """
select study_key, arg_max(device, series) as device, arg_max("Modality", series) as modality,
    max(ended) as ended
from exams group by study_key
""",
    ),
)
_BY = """
with opened as (
    select {who} as who, count(*)::bigint as openings, count(distinct study_key)::bigint as studies,
        max(moment) as last from seen group by 1),
others as (
    select {who} as who, count(*) filter (kind = 'question')::bigint as questions,
        count(*) filter (kind = 'export')::bigint as exports, max(moment) as last
    from told where kind <> 'opening' group by 1)
select coalesce(o.who, q.who) as {who}, coalesce(openings, 0) as openings,
    coalesce(studies, 0) as studies, coalesce(questions, 0) as questions,
    coalesce(exports, 0) as exports, greatest(o.last, q.last) as last
from opened o full join others q on o.who = q.who order by openings desc, questions desc, 1
"""
_HOURS = """
with counted as (
    select isodow(moment)::int as weekday, hour(moment)::int as hour, count(*)::bigint as openings
    from seen group by 1, 2)
select weekday, hour, coalesce(openings, 0) as openings
from (select unnest(range(1, 8))::int as weekday)
    cross join (select unnest(range(24))::int as hour) left join counted using (weekday, hour)
order by all
"""
_SOON = """
with first_of as (select study_key, min(moment) as opened from seen group by 1),
each as (
    select m.*, opened, date_diff('second', ended, opened) / 3600.0 as after_h
    from made m left join first_of using (study_key) where ended >= {since})
select case when grouping(modality) = 0 then 'modality' when grouping(device) = 0 then 'device'
    else 'all' end as "by", coalesce(modality, device) as name, count(*)::bigint as studies,
    count(opened)::bigint as opened, count(*) filter (opened is null)::bigint as never,
    count(*) filter (after_h < 0)::bigint as before_end,
    quantile_cont(after_h, 0.25) filter (after_h >= 0) as low_h,
    median(after_h) filter (after_h >= 0) as median_h,
    quantile_cont(after_h, 0.75) filter (after_h >= 0) as high_h
from each group by grouping sets ((), (modality), (device))
order by list_position(['all', 'modality', 'device'], "by"), studies desc, name
"""
_EXPORTS = """
select moment, role, what, rows from told where kind = 'export' order by moment desc limit 1000
"""
