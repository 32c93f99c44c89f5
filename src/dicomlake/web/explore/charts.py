"""Numbers behind charts: groups of what a question finds, fill rates, failures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pyarrow as pa
from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.engines.groups import MOST_BY, MOST_STEPS, By, Grouped
from dicomlake.jobs.access.roles import May
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.queries import Asked
from dicomlake.web.explore.shapes import (
    Level,
    Shape,
    Totals,
    Version,
    WhereText,
    as_json,
    cells,
    condition,
    plain,
    type_of,
)
from dicomlake.web.problems import documented
from dicomlake.web.running import QueryId, Running, answered

router = APIRouter(tags=["charts"])
TheDesk = Annotated[Desk, Depends(desk_of)]
MOST_GROUPS = 10_000
Bin = Literal[
    "auto", "year", "quarter", "month", "week", "day", "weekday", "hour", "width", "steps"
]
MOST_FILLED = 200


class ByIn(Shape):
    """What to group by: a path or a column of the lake's own.

    These are source, complete, indexed, run_id, lag (days from the study to indexing) and
    lag_created (days from the making of the objects to indexing).
    """

    path: str = Field(min_length=1, max_length=2000)
    bin: Bin | None = Field(
        None,
        description="auto: a day to a year, so that there are some dozens; weekday: 1 is Monday; "
        "width: numbers in steps of `width`; steps: from one of `steps` to below the next",
    )
    width: float | None = Field(None, gt=0, le=1e12)
    steps: list[float] = Field([], max_length=MOST_STEPS, description="Rising; lower bounds")


class Measure(Shape):
    """What to say of each group: a count, or a number of what `of` holds."""

    what: Literal[
        "patients", "studies", "series", "instances", "min", "max", "mean", "median", "sum"
    ] = "series"
    of: str = Field("", max_length=2000, description="Path of the number; lag too")


class Wanted(Asked):
    """What to group, how, and what to say of each group."""

    by: list[str | ByIn] = Field([], max_length=MOST_BY)
    measure: Measure = Measure(what="series", of="")
    limit: int = Field(1000, ge=1, le=MOST_GROUPS, description="The largest groups")
    others: bool = Field(False, description="And the rest of them as one more")


class GroupColumn(Shape):
    """What groups are made of."""

    path: str
    bin: str | None = Field(description="Of auto the one that was chosen")
    type: str


class Grouping(Shape):
    """A group: its keys, in the order of `by`, and its number."""

    keys: list[Any]
    value: int | float | None
    others: bool = Field(description="Whether it stands for the groups beyond the limit")


class Groups(Shape):
    """Groups, the largest first. A series counts in every group of which it has a value."""

    version: int
    by: list[GroupColumn]
    rows: list[Grouping]
    seconds: float


class Filling(Asked):
    """Of which attributes and groups to say how many series have a value."""

    by: str = Field("ManufacturerModelName", min_length=1, max_length=2000)
    path: list[Annotated[str, Field(max_length=2000)]] = Field(
        [], max_length=MOST_FILLED, description="The most frequent when left out"
    )
    limit: int = Field(40, ge=1, le=MOST_FILLED, description="The largest groups")


class FillRow(Shape):
    """How many series of a group have a value at each path."""

    key: Any
    series: int
    filled: list[int]


class FillRate(Shape):
    """A matrix of fill rates: groups by paths."""

    version: int
    by: str
    paths: list[str]
    rows: list[FillRow]
    whole: FillRow = Field(description="All series that were found, also those in no group")
    seconds: float


class Examined(Asked):
    """Of which objects to say what they do against the Standard."""

    limit: int = Field(200, ge=1, le=MOST_GROUPS, description="Rows of each kind")


class ProblemOut(Totals):
    """What a reader met in an attribute, and in how many objects."""

    path: str = Field(description="Attribute path; empty: the object as a whole")
    vr: str
    problem: str


class Unlisted(Totals):
    """A value of a code string that the Standard does not list for it."""

    path: str
    value: str
    enumerated: bool = Field(description="Nothing else than what is listed is allowed")
    place: str = Field(description="Where the Standard lists the values")


class ConformanceOut(Shape):
    """What objects do against the Standard, the most frequent first."""

    version: int
    checked: Totals
    problems: list[ProblemOut]
    values: list[Unlisted]
    seconds: float


class Reason(Shape):
    """Why objects could not be read, and how many."""

    stage: str | None
    reason: str | None
    objects: int


class FailedFrom(Reason):
    """Why objects of a source could not be read, and how many."""

    source: str


class Failure(Shape):
    """An object that could not be read."""

    run_id: str | None
    uri: str | None
    size: int | None
    stage: str | None
    reason: str | None
    met: str | None


class Failures(Shape):
    """Objects that could not be read."""

    version: int
    total: int
    reasons: list[Reason]
    sources: list[FailedFrom] = Field(description="The same reasons, by where objects came from")
    page: list[Failure]


_GROUPS: dict[str, Any] = {
    "version": 7,
    "by": [{"path": "StudyDate", "bin": "year", "type": "integer"},
           {"path": "Modality", "bin": None, "type": "text"}],
    "rows": [{"keys": [2024, "CT"], "value": 12, "others": False}],
    "seconds": 0.01,
}  # fmt: skip
_ASKED = {"by": [{"path": "StudyDate", "bin": "year"}, "Modality"], "measure": {"what": "series"}}
_FILL: dict[str, Any] = {
    "version": 7, "by": "ManufacturerModelName", "paths": ["KVP", "BodyPartExamined"],
    "rows": [{"key": "Model 1", "series": 20, "filled": [20, 11]}],
    "whole": {"key": None, "series": 22, "filled": [21, 12]}, "seconds": 0.02,
}  # fmt: skip
_FILLING = {"by": "StationName", "path": ["KVP"], "where": "Modality = 'CT'"}
_COUNTS = {"patients": 2, "studies": 4, "series": 9, "instances": 120}
_EXAMINED = {"where": "Modality = 'CT'", "limit": 20}
_CONFORMANCE: dict[str, Any] = {
    "version": 7, "checked": _COUNTS,
    "problems": [{"path": "SeriesDate", "vr": "DA", "problem": "not a date", **_COUNTS}],
    "values": [{"path": "BodyPartExamined", "value": "KOPF", "enumerated": False,
                "place": "PS3.16 Annex L", **_COUNTS}],
    "seconds": 0.02,
}  # fmt: skip
_FAILURES: dict[str, Any] = {
    "version": 7, "total": 1,
    "reasons": [{"stage": "read", "reason": "no DICOM", "objects": 1}],
    "sources": [{"source": "folder", "stage": "read", "reason": "no DICOM", "objects": 1}],
    "page": [{"run_id": "r1", "uri": "file:///x", "size": 3, "stage": "read",
              "reason": "no DICOM", "met": "2024-01-31T12:00:00+00:00"}],
}  # fmt: skip


@router.post(
    "/api/aggregate",
    dependencies=[needs(May.COUNT)],
    summary="Count or measure what a question finds, by group",
    response_model=Groups,
    responses={**shown(_GROUPS), **documented(409, 422, 503)},
)
async def aggregate(
    http: Request,
    wanted: Annotated[Wanted, Body(openapi_examples={"years": {"value": _ASKED}})],
    desk: TheDesk,
    query_id: QueryId = None,
) -> Response:
    """The numbers behind a chart: one row per group, the largest first."""

    def work(run: Running) -> Response:
        by = tuple(_by(one) for one in wanted.by)
        question = Grouped(
            by,
            condition(wanted.where),
            wanted.level,
            wanted.measure.what,
            wanted.measure.of,
            wanted.limit,
            wanted.others,
        )
        lake = run.use(desk.lakes.at(wanted.version))
        table = lake.engine.groups(question, run)
        note(http, rows=table.num_rows)
        columns = [
            {"path": b.path, "bin": _bin(field), "type": type_of(field.type)}
            for b, field in zip(by, table.schema, strict=False)
        ]
        rows = [
            {"keys": keys, "value": value, "others": others}
            for *keys, value, others in cells(table)
        ]
        return as_json(
            {"version": lake.version, "by": columns, "rows": rows, "seconds": run.seconds}
        )

    return await answered(http, desk.board, work, query_id)


def _by(one: str | ByIn) -> By:
    if isinstance(one, str):
        return By(one)
    return By(one.path, one.bin or "", one.width or 0.0, tuple(one.steps))


def _bin(field: pa.Field) -> str | None:
    said: bytes | None = (field.metadata or {}).get(b"bin")
    return said.decode() if said else None


@router.get(
    "/api/fill-rate",
    dependencies=[needs(May.READ)],
    summary="Show which attributes have values, by group",
    response_model=FillRate,
    responses={**shown(_FILL), **documented(409, 422, 503)},
)
async def fill_rate(
    http: Request,
    desk: TheDesk,
    by: Annotated[
        str, Query(min_length=1, max_length=2000, description="Attribute path of the groups")
    ] = "ManufacturerModelName",
    path: Annotated[
        list[Annotated[str, Field(max_length=2000)]] | None,
        Query(
            max_length=MOST_FILLED, description="Attribute paths; the most frequent when left out"
        ),
    ] = None,
    where: WhereText = None,
    level: Annotated[Level, Query(description="Of the question")] = "series",
    limit: Annotated[int, Query(ge=1, le=MOST_FILLED, description="The largest groups")] = 40,
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """For each group and attribute, how many series have a value."""
    wanted = Filling(where=where, level=level, version=version, by=by, path=path or [], limit=limit)
    return await _filled(http, desk, wanted, query_id)


@router.post(
    "/api/fill-rate",
    dependencies=[needs(May.READ)],
    summary="Show which attributes have values, of what a long question finds",
    response_model=FillRate,
    responses={**shown(_FILL), **documented(409, 422, 503)},
)
async def fill_rate_of(
    http: Request,
    wanted: Annotated[Filling, Body(openapi_examples={"CT": {"value": _FILLING}})],
    desk: TheDesk,
    query_id: QueryId = None,
) -> Response:
    """The same as GET, for questions that are too long for an address."""
    return await _filled(http, desk, wanted, query_id)


async def _filled(http: Request, desk: Desk, wanted: Filling, query_id: str | None) -> Response:
    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(wanted.version))
        where = condition(wanted.where)
        found = lake.fill_rate(wanted.by, wanted.path, where, wanted.limit, run, wanted.level)
        whole, *rows = [
            {"key": plain(key), "series": series, "filled": filled}
            for key, series, filled in (found.whole, *found.rows)
        ]
        return as_json(
            {
                "version": lake.version,
                "by": wanted.by,
                "paths": found.paths,
                "rows": rows,
                "whole": whole,
                "seconds": run.seconds,
            }
        )

    return await answered(http, desk.board, work, query_id)


@router.post(
    "/api/conformance",
    dependencies=[needs(May.READ)],
    summary="Say what objects do against the Standard",
    response_model=ConformanceOut,
    responses={**shown(_CONFORMANCE), **documented(409, 422, 503)},
)
async def conformance(
    http: Request,
    wanted: Annotated[Examined, Body(openapi_examples={"CT": {"value": _EXAMINED}})],
    desk: TheDesk,
    query_id: QueryId = None,
) -> Response:
    """Problems that readers met, and values of code strings that the Standard does not list."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(wanted.version))
        where = condition(wanted.where)
        found = lake.engine.conformance(where, wanted.level, wanted.limit, run)
        return as_json(
            {
                "version": lake.version,
                "checked": found.checked,
                "problems": found.problems.to_pylist(),
                "values": found.values.to_pylist(),
                "seconds": run.seconds,
            }
        )

    return await answered(http, desk.board, work, query_id)


_SOURCES = """
select case when f.uri like 'pacs://%' then split_part(f.uri, '/', 3)
    else coalesce(regexp_extract(r.what, '"source": "([^"]*)"', 1), '') end as source,
    f.stage, f.reason, count(*) as objects
from failures f left join (select run_id, any_value(what) as what from runs group by run_id) r
    using (run_id)
group by all order by objects desc, source, stage, reason limit 1000
"""


@router.get(
    "/api/failures",
    dependencies=[needs(May.WATCH)],
    summary="List what could not be read, and why",
    response_model=Failures,
    responses={**shown(_FAILURES), **documented(422, 503)},
)
async def failures(
    http: Request,
    desk: TheDesk,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> Response:
    """How many objects could not be read for which reason, and a page of them."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(None))
        reasons = lake.engine.read(
            "select stage, reason, count(*) as objects from failures group by all "
            "order by objects desc, stage, reason limit 1000",
            (),
            run,
        ).to_pylist()
        listed = lake.engine.read(
            "select run_id, uri, size, stage, reason, met from failures order by met desc, uri "
            f"limit {limit} offset {offset}",
            (),
            run,
        ).to_pylist()
        return as_json(
            plain(
                {
                    "version": lake.version,
                    "total": lake.totals["failures"],
                    "reasons": reasons,
                    "sources": lake.engine.read(_SOURCES, (), run).to_pylist(),
                    "page": listed,
                }
            )
        )

    return await answered(http, desk.board, work)
