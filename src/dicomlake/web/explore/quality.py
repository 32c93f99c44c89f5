"""The report of quality: its numbers, and the same as one HTML file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from dicomlake.jobs.access.roles import May
from dicomlake.jobs.quality import page
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import (
    Level,
    Shape,
    Totals,
    Version,
    WhereText,
    as_json,
    condition,
    plain,
)
from dicomlake.web.problems import documented
from dicomlake.web.running import QueryId, Running, answered

router = APIRouter(tags=["charts"])
TheDesk = Annotated[Desk, Depends(desk_of)]
ByName = Annotated[
    Literal["device", "site", "year", "month", "modality"], Query(description="What groups are")
]
Attributes = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=2000)]] | None,
    Query(max_length=200, description="Attributes; those that matter when left out"),
]
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Part(Shape):
    """A section of the report, as jobs/schemas/quality.schema.json has it."""

    model_config = ConfigDict(extra="allow")


class Region(Part):
    """How series of images say what they show."""

    images: int
    missing: int
    standard: int
    mapped: int
    unknown: int


class Sides(Shape):
    """Whether series of organs with two sides say which."""

    paired: int
    given: int
    contradicting: int
    missing: int


class QualityGroup(Shape):
    """One of the largest groups; `key` null: not said."""

    key: str | None
    studies: int
    series: int


class Shares(Shape):
    """How many series should have a value, and how many do."""

    of: int
    filled: int


class AttributeShare(Shares):
    """How complete an attribute is, of all and by group."""

    path: str
    modalities: list[str] = Field(description="Those that it is counted of; empty: all")
    groups: list[Shares]
    question: str = Field(description="Finds those that lack it")


class RuleBroken(Shape):
    """A rule that is broken."""

    rule: str
    severity: Literal["error", "warning", "note"]
    text: str
    enricher: str
    series: int
    studies: int
    rows: int
    paths: list[str]
    question: str = Field(description="Finds these series")


class RuleByGroup(Shape):
    """Series of a group that break a rule; `group`: its place among the groups, from 0."""

    group: int
    rule: str
    severity: str
    series: int


class Checked(Shape):
    """How many of the series an enricher has looked at."""

    enricher: str
    series: int


class Pair(Shape):
    """Series whose header says one place of the body, and that show a structure of another."""

    header: str | None
    seen: str
    series: int


class Anatomy(Shape):
    """Headers against what segmenters see."""

    places: list[str]
    rows: list[Pair]
    compared: int
    agreeing: int


class Month(Shape):
    """How far a clock was off in a month."""

    month: str
    samples: int
    offset_s: float


class Clock(Shape):
    """How far the clock of a device is ahead of another one, less what is usual."""

    device: str
    attributes: dict[str, str] = Field(description="What tells it from others")
    modality: str | None
    against: Literal["study", "schedule", "devices"]
    samples: int
    offset_s: float
    spread_s: float
    months: list[Month]


class QualityOut(Shape):
    """The report of quality; jobs/schemas/quality.schema.json describes all of it."""

    layout: int
    product: str
    made: str
    version: int
    where: str
    level: str
    by: str
    counts: Totals
    groups: list[QualityGroup]
    attributes: list[AttributeShare]
    modality: Part
    body_region: Region
    laterality: Sides
    sizes: Part
    declared: Part
    checked: list[Checked]
    findings: list[RuleBroken]
    findings_by: list[RuleByGroup]
    anatomy: Anatomy
    clocks: list[Clock]
    trend: list[Part]
    seconds: float


_EXAMPLE: dict[str, Any] = {
    "layout": 1, "product": "dicomlake 0.1.0", "made": "2026-01-31T12:00:00+00:00", "version": 7,
    "where": "Modality = 'CT'", "level": "series", "by": "device",
    "counts": {"patients": 2, "studies": 4, "series": 9, "instances": 120},
    "groups": [{"key": "Model 1 CT1", "studies": 4, "series": 9}],
    "attributes": [{"path": "KVP", "modalities": ["CT"], "of": 9, "filled": 8,
                    "groups": [{"of": 9, "filled": 8}],
                    "question": "Modality = 'CT' and KVP missing"}],
    "modality": {"given": 9, "missing": 0, "listed": 9, "not_listed": []},
    "body_region": {"images": 9, "missing": 1, "standard": 7, "mapped": 1, "unknown": 0},
    "laterality": {"paired": 2, "given": 1, "contradicting": 0, "missing": 1},
    "sizes": {}, "declared": {}, "checked": [{"enricher": "conformance", "series": 9}],
    "findings": [{"rule": "KVP is odd", "severity": "warning",
                  "text": "No tube of the clinic works at that voltage.",
                  "enricher": "conformance", "series": 1, "studies": 1, "rows": 1,
                  "paths": ["KVP"], "question": "finding.rule = 'KVP is odd'"}],
    "findings_by": [{"group": 0, "rule": "KVP is odd", "severity": "warning", "series": 1}],
    "anatomy": {"places": ["chest"], "compared": 1, "agreeing": 1,
                "rows": [{"header": "chest", "seen": "chest", "series": 1}]},
    "clocks": [], "trend": [], "seconds": 0.4,
}  # fmt: skip


@router.get(
    "/api/quality",
    dependencies=[needs(May.READ)],
    summary="Report how complete and how right headers are",
    response_model=QualityOut,
    responses={**shown(_EXAMPLE), **documented(409, 422, 503)},
)
async def quality(
    http: Request,
    desk: TheDesk,
    by: ByName = "device",
    attribute: Attributes = None,
    where: WhereText = None,
    level: Annotated[Level, Query(description="Of the question")] = "series",
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """The numbers of the report of quality, of what a question finds."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        told = lake.quality(condition(where), by, attribute or (), run, level)
        return as_json(plain({**told, "seconds": run.seconds}))

    return await answered(http, desk.board, work, query_id)


@router.get(
    "/api/quality/report",
    dependencies=[needs(May.READ)],
    summary="Give the report of quality as one HTML file",
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/html": {
                    "schema": {"type": "string"},
                    "example": "<!doctype html><html><h1>Data quality by device</h1></html>",
                }
            }
        },
        **documented(409, 422, 503),
    },
)
async def report(
    http: Request,
    desk: TheDesk,
    by: ByName = "device",
    attribute: Attributes = None,
    where: WhereText = None,
    level: Annotated[Level, Query(description="Of the question")] = "series",
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """The report as a page that needs no network and no script."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        told = lake.quality(condition(where), by, attribute or (), run, level)
        return Response(
            page(told),
            media_type="text/html",
            headers={
                "Content-Security-Policy": _POLICY,
                "Content-Disposition": 'attachment; filename="quality.html"',
            },
        )

    return await answered(http, desk.board, work, query_id)
