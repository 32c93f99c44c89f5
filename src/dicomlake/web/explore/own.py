"""Charts that people make: kept with all their versions, and the groups that they show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.errors import UsageError
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.charts import Chart, Charts, asked
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import Changed, shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.queries import Asked
from dicomlake.web.explore.saved import Owner, Within
from dicomlake.web.explore.shapes import Shape, as_json, cells, condition
from dicomlake.web.problems import Failed, documented
from dicomlake.web.running import QueryId, Running, answered

router = APIRouter(tags=["charts"], dependencies=[needs(May.COUNT)])
TheDesk = Annotated[Desk, Depends(desk_of)]
Spec = Annotated[
    dict[str, Any],
    Field(description="Vega-Lite, whose data are groups: docs/dashboards.md"),
]


class NewChart(Shape):
    """A chart to keep under a name."""

    name: str = Field(min_length=1, max_length=200)
    comment: str = Field("", max_length=10_000)
    shared: bool = Field(False, description="Whether everybody sees it")
    spec: Spec


class ChartOut(NewChart):
    """A chart under a name, at one of its versions."""

    id: str
    version: int = Field(description="Of the chart; every change makes a new one")
    owner: str
    saved: datetime


class ChartDetails(ChartOut):
    """A chart under a name, with its history."""

    history: list[ChartOut] = Field(description="All versions, newest first")


class Drawing(Asked):
    """A chart whose groups are wanted, of what a question finds."""

    spec: Spec


class Drawn(Shape):
    """The groups that a chart shows, under the names of its fields."""

    version: int = Field(description="Of the lake")
    fields: list[str]
    rows: list[list[Any]]
    spec: dict[str, Any] = Field(description="Vega-Lite whose data are called rows")
    seconds: float


_SPEC: dict[str, Any] = {
    "mark": "bar",
    "data": {"dicomlake": {"by": ["Modality"], "measure": {"what": "studies"}}},
    "encoding": {
        "x": {"field": "Modality", "sort": "-y"}, "y": {"field": "studies", "type": "quantitative"}
    },
}  # fmt: skip
_CHART: dict[str, Any] = {
    "id": "0badcafe0001", "version": 2, "name": "Studies by modality", "comment": "",
    "shared": True, "owner": "", "spec": _SPEC, "saved": "2024-01-31T12:00:00Z",
}  # fmt: skip
_DRAWN: dict[str, Any] = {
    "version": 7, "fields": ["Modality", "studies"], "rows": [["CT", 12], ["MR", 9]],
    "spec": {**_SPEC, "data": {"name": "rows"}}, "seconds": 0.004,
}  # fmt: skip


def _charts(desk: TheDesk) -> Charts:
    return Charts(desk.home)


TheCharts = Annotated[Charts, Depends(_charts)]


def _told(chart: Chart) -> ChartOut:
    return ChartOut(
        id=chart.id,
        version=chart.version,
        name=chart.name,
        comment=chart.comment,
        shared=chart.shared,
        owner=chart.owner,
        spec=chart.spec,
        saved=datetime.fromtimestamp(chart.saved, UTC),
    )


@router.get(
    "/api/charts",
    summary="List charts that people made, newest first",
    responses={**shown([_CHART]), **documented(503)},
)
def own_charts(charts: TheCharts, owner: Owner, within: Within) -> list[ChartOut]:
    """Those that are shared, and one's own, at their newest version."""
    return [_told(chart) for chart in charts.all(owner, within)]


@router.post(
    "/api/charts",
    summary="Keep a chart",
    responses={**shown(_CHART), **documented(422, 503)},
)
def keep_chart(new: NewChart, charts: TheCharts, owner: Owner, within: Within) -> ChartOut:
    """Keep a chart under a name; what it may not have is said."""
    return _told(_put(charts, new, owner, within, None))


def _put(charts: Charts, new: NewChart, owner: str, within: str | None, id_: str | None) -> Chart:
    return charts.put(
        new.spec, name=new.name, comment=new.comment, shared=new.shared, owner=owner,
        project=within or "", id_=id_,
    )  # fmt: skip


@router.post(
    "/api/charts/data",
    summary="Find the groups that a chart shows",
    response_model=Drawn,
    responses={**shown(_DRAWN), **documented(409, 422, 503)},
)
async def draw_chart(
    http: Request,
    drawing: Annotated[Drawing, Body(openapi_examples={"bars": {"value": {"spec": _SPEC}}})],
    desk: TheDesk,
    query_id: QueryId = None,
) -> Response:
    """Check a specification, kept or not, and answer with its data and what is to be drawn.

    The question of the chart and the one that is sent must both be met.
    """

    def work(run: Running) -> Response:
        wanted = asked(drawing.spec)
        lake = run.use(desk.lakes.at(drawing.version))
        question = wanted.under(condition(drawing.where), drawing.level)
        table = wanted.rows(lake.engine.groups(question, run))
        note(http, rows=table.num_rows)
        return as_json(
            {
                "version": lake.version,
                "fields": table.column_names,
                "rows": cells(table),
                "spec": {**drawing.spec, "data": {"name": "rows"}},
                "seconds": run.seconds,
            }
        )

    return await answered(http, desk.board, work, query_id)


@router.get(
    "/api/charts/{id}",
    summary="Show a chart that somebody made",
    responses={**shown({**_CHART, "history": [_CHART]}), **documented(404, 422, 503)},
)
def own_chart(
    id: str,
    charts: TheCharts,
    owner: Owner,
    within: Within,
    version: Annotated[int | None, Query(ge=1, le=1 << 40, description="Of the chart")] = None,
) -> ChartDetails:
    """A chart under a name, and all its versions."""
    history = _history(charts, id, owner, within)
    found = [one for one in history if version in (None, one.version)]
    if not found:
        raise Failed(404, f"The chart has no version {version}.")
    said = _told(found[0]).model_dump()
    return ChartDetails(**said, history=[_told(one) for one in history])


def _history(charts: Charts, id_: str, owner: str, within: str | None) -> list[Chart]:
    try:
        found = charts.versions(id_)
    except UsageError as error:
        raise Failed(404, f"{error} GET /api/charts lists them.") from error
    strange = not found[0].shared and found[0].owner not in ("", owner)
    if strange or within not in (None, found[0].project):
        raise Failed(404, f"There is no chart {id_[:64]!r}. GET /api/charts lists them.")
    return found


@router.put(
    "/api/charts/{id}",
    summary="Change a chart",
    responses={**shown(_CHART), **documented(404, 422, 503)},
)
def change_chart(
    id: str, new: NewChart, charts: TheCharts, owner: Owner, within: Within
) -> ChartOut:
    """Make a new version; the ones before it are kept."""
    before = _history(charts, id, owner, within)[0]
    return _told(_put(charts, new, before.owner or owner, before.project, id))


@router.delete(
    "/api/charts/{id}",
    summary="Delete a chart",
    responses={**shown({"tasks": 2}), **documented(404, 503)},
)
def delete_chart(id: str, charts: TheCharts, owner: Owner, within: Within) -> Changed:
    """Delete a chart with all its versions."""
    _history(charts, id, owner, within)
    return Changed(tasks=charts.delete(id))
