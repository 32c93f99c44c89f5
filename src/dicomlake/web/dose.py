"""Radiation dose: how much there is, its tables narrowed by a question, patients, and alarms."""

from __future__ import annotations

import threading
import weakref
from datetime import date
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import APIRouter, Body, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.api import Lake
from dicomlake.engines.groups import By, Grouped
from dicomlake.engines.remembered import Remembered
from dicomlake.errors import UsageError
from dicomlake.jobs import dose
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.dose import DoseOptions, options_of, reporting
from dicomlake.jobs.dose.overview import DAYS, Overview
from dicomlake.jobs.dose.schemas import unit_of
from dicomlake.query import And, Exists, Node
from dicomlake.tables import comment_of
from dicomlake.web.access.needs import Need, needs, note, sees_all, who_of
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
    type_of,
)
from dicomlake.web.problems import documented
from dicomlake.web.running import QueryId, Running, answered

router = APIRouter(tags=["dose"])
TheDesk = Annotated[Desk, Depends(desk_of)]
MOST_ROWS = 10_000
MOST_REMEMBERED = 8
"""Questions about one version of a lake whose tables are remembered."""
Name = Literal[
    "totals", "months", "distributions", "levels", "trends", "outliers", "alarms", "patients",
    "studies", "events", "protocols", "factors", "missing",
]  # fmt: skip
TheName = Annotated[Name, Path(description="Which table")]
FactorSet = Annotated[
    str | None,
    Query(max_length=200, description="Set of factors of the effective dose; that of the settings"),
]
Days = Annotated[
    int, Query(ge=1, le=36_525, description="Length of the rolling window of patients")
]
Phantoms = Annotated[bool, Query(description="Also events of phantoms and tests")]
Country = Annotated[str | None, Query(max_length=100, description="Of reference levels")]
_DOSED = Exists("event.kind")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class DoseAsked(Asked):
    """Of which studies, and how dose is told."""

    level: Level = Field("study", description="All dose of the studies that have what it finds")
    factor_set: str | None = Field(None, max_length=200, description="Of the effective dose")
    phantoms: bool = Field(False, description="Also events of phantoms and tests")
    country: str | None = Field(None, max_length=100, description="Of reference levels")
    days: int = Field(DAYS, ge=1, le=36_525, description="Length of the rolling window")


class DosePage(DoseAsked):
    """Which rows of a table of dose."""

    order: str = Field("", max_length=100, description="A column; a leading minus: downwards")
    limit: int = Field(1000, ge=1, le=MOST_ROWS)
    offset: int = Field(0, ge=0, le=1_000_000_000)


class DoseKind(Shape):
    """How many studies have a kind of dose."""

    kind: str
    studies: int


class DoseYear(DoseKind):
    """The same of a year; null: of studies without a day."""

    year: int | None


class DoseOverview(Shape):
    """How much dose there is; counts of few patients are masked for those who only count."""

    version: int
    counts: Totals
    kinds: list[DoseKind]
    years: list[DoseYear]
    factor_set: str = Field(description="Of the effective dose, as the settings say")
    seconds: float


class DoseColumn(Shape):
    """A column of a table of dose."""

    name: str
    type: Literal["text", "integer", "number", "date", "datetime", "boolean", "list", "object"]
    unit: str = Field(description="UCUM; empty where it has none")
    text: str = Field(description="What it holds")


class DoseRows(Shape):
    """Rows of a table of dose as lists of cells, in the order of the columns."""

    version: int
    name: str
    factor_set: str
    columns: list[DoseColumn]
    rows: list[list[Any]]
    total: int = Field(description="Rows that there are, whatever the limit")
    seconds: float


class AlarmSaid(Shape):
    """What somebody says of an alarm."""

    state: Literal["open", "seen", "closed"]
    reason: str = Field("", max_length=2000, description="Why; an alarm is not closed without")


_OVERVIEW: dict[str, Any] = {
    "version": 7, "counts": {"patients": 2, "studies": 4, "series": 9, "instances": 120},
    "kinds": [{"kind": "CT", "studies": 3}, {"kind": "projection", "studies": 1}],
    "years": [{"year": 2024, "kind": "CT", "studies": 3}],
    "factor_set": "AAPM 96", "seconds": 0.01,
}  # fmt: skip
_ROWS: dict[str, Any] = {
    "version": 7, "name": "totals", "factor_set": "AAPM 96",
    "columns": [
        {"name": "quantity", "type": "text", "unit": "", "text": "quantity"},
        {"name": "studies", "type": "integer", "unit": "", "text": "studies that have it"},
        {"name": "median", "type": "number", "unit": "", "text": "median"},
    ],
    "rows": [["DLP", 3, 412.5]], "total": 1, "seconds": 0.02,
}  # fmt: skip
_CT = {"where": "Modality = 'CT'"}
_ASKED = {"where": "StudyDate >= 2024-01-01", "limit": 100, "order": "-StudyDate"}


@router.get(
    "/api/dose/overview",
    dependencies=[needs(May.COUNT)],
    summary="Say how much radiation dose there is",
    response_model=DoseOverview,
    responses={**shown(_OVERVIEW), **documented(409, 422, 503)},
)
async def overview(
    http: Request,
    desk: TheDesk,
    where: WhereText = None,
    level: Annotated[Level, Query(description="Of the question")] = "study",
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """Patients and studies with doses, by kind and year: counts alone, for every role."""
    return await _overview(http, desk, Asked(where=where, level=level, version=version), query_id)


@router.post(
    "/api/dose/overview",
    dependencies=[needs(May.COUNT)],
    summary="Say how much radiation dose there is, of what a long question finds",
    response_model=DoseOverview,
    responses={**shown(_OVERVIEW), **documented(409, 422, 503)},
)
async def overview_of(
    http: Request,
    wanted: Annotated[Asked, Body(openapi_examples={"CT": {"value": _CT}})],
    desk: TheDesk,
    query_id: QueryId = None,
) -> Response:
    """The same as GET, for questions that are too long for an address."""
    return await _overview(http, desk, wanted, query_id)


async def _overview(http: Request, desk: Desk, wanted: Asked, query_id: str | None) -> Response:
    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(wanted.version))
        asked = condition(wanted.where)
        where = _DOSED if asked is None else And((asked, _DOSED))
        counts = lake.engine.count(where, wanted.level, run)
        kind = By("event.kind")
        kinds = _groups(lake, (kind,), where, wanted.level, run)
        years = _groups(lake, (By("StudyDate", "year"), kind), where, wanted.level, run)
        note(http, counts=counts)
        return as_json(
            {
                "version": lake.version,
                "counts": counts,
                "kinds": [{"kind": k, "studies": n} for k, n in kinds if k],
                "years": [{"year": y, "kind": k, "studies": n} for y, k, n in years if k],
                "factor_set": options_of(desk.home).factor_set,
                "seconds": run.seconds,
            }
        )

    return await answered(http, desk.board, work, query_id)


def _groups(
    lake: Lake, by: tuple[By, ...], where: Node, level: str, run: Running
) -> list[list[Any]]:
    question = Grouped(by, where, level, "studies", "", 10_000, False)
    found = lake.engine.groups(question, run)
    return cells(found.drop_columns(["others"]))


@router.get(
    "/api/dose/report",
    dependencies=[needs(May.READ)],
    summary="Give a report of radiation dose as a file",
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/html": {
                    "schema": {"type": "string"},
                    "example": "<!doctype html><html><h1>Radiation dose</h1></html>",
                },
                **{
                    reporting.MEDIA[form]: {"schema": {"type": "string", "format": "binary"}}
                    for form in ("pdf", "xlsx")
                },
            }
        },
        **documented(403, 409, 422, 503),
    },
)
async def report(
    http: Request,
    desk: TheDesk,
    form: Annotated[Literal["html", "pdf", "xlsx"], Query(alias="format")] = "html",
    where: WhereText = None,
    level: Annotated[Level, Query(description="Of the question")] = "study",
    version: Version = None,
    factor_set: FactorSet = None,
    phantoms: Phantoms = False,
    country: Country = None,
    days: Days = DAYS,
    patients: Annotated[bool, Query(description="Name patients; stewards may")] = False,
    query_id: QueryId = None,
) -> Response:
    """The report as HTML that needs no network, PDF, or a workbook; without names of patients."""
    wanted = DoseAsked(
        where=where, level=level, version=version, factor_set=factor_set, phantoms=phantoms,
        country=country, days=days,
    )  # fmt: skip
    if patients:
        Need(May.RELEASE)(http)

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(wanted.version))
        asked = overview_for(http, desk, lake, wanted)
        content = reporting.report(
            lake.engine, asked.where, form, asked.options, version=lake.version,
            with_patients=patients, tables=asked, ticket=run,
        )  # fmt: skip
        note(http, what="report of dose", patients=patients)
        return Response(
            content,
            media_type=reporting.MEDIA[form],
            headers={
                "Content-Security-Policy": _POLICY,
                "Content-Disposition": f'attachment; filename="dose.{form}"',
            },
        )

    return await answered(http, desk.board, work, query_id)


@router.get(
    "/api/dose/{name}",
    dependencies=[needs(May.READ)],
    summary="List a table of radiation dose",
    response_model=DoseRows,
    responses={**shown(_ROWS), **documented(409, 422, 503)},
)
async def table(
    http: Request,
    desk: TheDesk,
    name: TheName,
    where: WhereText = None,
    level: Annotated[Level, Query(description="Of the question")] = "study",
    version: Version = None,
    factor_set: FactorSet = None,
    phantoms: Phantoms = False,
    country: Country = None,
    days: Days = DAYS,
    order: Annotated[str, Query(max_length=100, description="A column; minus: downwards")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 1000,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    query_id: QueryId = None,
) -> Response:
    """Events, studies, patients, sums and what is missing, with units; see docs/dose.md."""
    wanted = DosePage(
        where=where, level=level, version=version, factor_set=factor_set, phantoms=phantoms,
        country=country, days=days, order=order, limit=limit, offset=offset,
    )  # fmt: skip
    return await _table(http, desk, name, wanted, query_id)


@router.post(
    "/api/dose/{name}",
    dependencies=[needs(May.READ)],
    summary="List a table of radiation dose, of what a long question finds",
    response_model=DoseRows,
    responses={**shown(_ROWS), **documented(409, 422, 503)},
)
async def table_of(
    http: Request,
    wanted: Annotated[DosePage, Body(openapi_examples={"a year": {"value": _ASKED}})],
    desk: TheDesk,
    name: TheName,
    query_id: QueryId = None,
) -> Response:
    """The same as GET, for questions that are too long for an address."""
    return await _table(http, desk, name, wanted, query_id)


async def _table(
    http: Request, desk: Desk, name: str, wanted: DosePage, query_id: str | None
) -> Response:
    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(wanted.version))
        asked = overview_for(http, desk, lake, wanted)
        found = asked.table(name, run)
        page = _ordered(found, wanted.order).slice(wanted.offset, wanted.limit)
        note(http, rows=page.num_rows)
        return _rows(lake, name, asked.options, page, found.num_rows, run)

    return await answered(http, desk.board, work, query_id)


@router.get(
    "/api/dose/patients/{patient_key}",
    dependencies=[needs(May.READ)],
    summary="Tell the dose of a patient, study by study",
    response_model=DoseRows,
    responses={**shown({**_ROWS, "name": "patient"}), **documented(409, 422, 503)},
)
async def patient(
    http: Request,
    desk: TheDesk,
    patient_key: Annotated[str, Path(pattern=r"^-?\d{1,20}$", description="As in the table")],
    version: Version = None,
    factor_set: FactorSet = None,
    days: Days = DAYS,
    query_id: QueryId = None,
) -> Response:
    """Studies of a patient, oldest first, each with the sums of the window that ends with it."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        options = options_of(desk.home, factor_set=factor_set)
        found = dose.patient(lake.engine, int(patient_key), options=options, days=days, ticket=run)
        note(http, rows=found.num_rows)
        return _rows(lake, "patient", options, found, found.num_rows, run)

    return await answered(http, desk.board, work, query_id)


@router.post(
    "/api/dose/alarms/{id}",
    dependencies=[needs(May.RELEASE)],
    summary="Say that an alarm was seen, is closed, or is open again",
    response_model=DoseRows,
    responses={**shown({**_ROWS, "name": "alarms"}), **documented(403, 409, 422, 503)},
)
async def say(
    http: Request,
    said: AlarmSaid,
    desk: TheDesk,
    alarm: Annotated[str, Path(alias="id", max_length=64, description="alarm_id of the table")],
) -> Response:
    """The row of the alarm as it is now; who said so, and when, stays with it."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at())
        who = who_of(http).name
        found = dose.close(
            desk.home, alarm, said.state, said.reason, who, engine=lake.engine, ticket=run
        )
        note(http, what="alarm of dose", alarm=alarm, state=said.state)
        return _rows(lake, "alarms", options_of(desk.home), found, found.num_rows, run)

    return await answered(http, desk.board, work)


# What the tables of a question are made of


_known: weakref.WeakKeyDictionary[Lake, Remembered[Any, Overview]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def overview_for(http: Request, desk: Desk, lake: Lake, wanted: DoseAsked) -> Overview:
    """The tables of a question, which stay for the next ones about the same."""
    options = options_of(
        desk.home,
        factor_set=wanted.factor_set or None,
        include_not_patient=wanted.phantoms or None,
        country=wanted.country,
        level="series" if wanted.level == "instance" else wanted.level,
        today=date.today(),
    )
    where = condition(wanted.where)
    engine = lake.engine
    with _lock:
        known = _known.setdefault(lake, Remembered(MOST_REMEMBERED, lambda _: 1))
    part = not sees_all(http)
    key = (where, options, wanted.days, _stamp(options))
    return known.once(key, lambda: Overview(engine, where, options, wanted.days, part=part))


def _stamp(options: DoseOptions) -> tuple[tuple[str, int, int], ...]:
    """What the tables of a site and states of alarms are now."""
    folder = options.folder
    if folder is None or not folder.is_dir():
        return ()
    found = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return tuple((name, state.st_mtime_ns, state.st_size) for name, state in found)


def _ordered(found: pa.Table, order: str) -> pa.Table:
    """Rows by a column, those without a value last; UsageError for an unknown one."""
    name = order.removeprefix("-")
    if not name:
        return found
    if name not in found.schema.names:
        raise UsageError(
            f"There is no column {name[:60]!r}. There are: {', '.join(found.schema.names)}."
        )
    if pa.types.is_list(found.schema.field(name).type):
        raise UsageError(f"Rows cannot be put in the order of {name}, which holds lists.")
    way = "descending" if order.startswith("-") else "ascending"
    return found.take(pc.sort_indices(found, sort_keys=[(name, way)]))


def _rows(
    lake: Lake, name: str, options: DoseOptions, page: pa.Table, total: int, run: Running
) -> Response:
    columns = [
        {
            "name": field.name,
            "type": type_of(field.type),
            "unit": unit_of(field),
            "text": comment_of(field),
        }
        for field in page.schema
    ]
    return as_json(
        {
            "version": lake.version,
            "name": name,
            "factor_set": options.factor_set,
            "columns": columns,
            "rows": cells(page),
            "total": total,
            "seconds": run.seconds,
        }
    )
