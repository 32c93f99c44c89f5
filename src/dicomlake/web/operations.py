"""Operations: what goes on, which sources there are, pausing them, schemas, health."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import PlainTextResponse, Response

from dicomlake.contracts.queues import DEAD, State
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.layout import shipped
from dicomlake.jobs.status import SourceStatus
from dicomlake.version import __version__
from dicomlake.web import bodies
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import (
    Changed,
    CheckOut,
    Health,
    Retried,
    SourceOut,
    SourceTask,
    shown,
)
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.metrics import CONTENT_TYPE, metrics_of
from dicomlake.web.problems import documented

router = APIRouter()
TheDesk = Annotated[Desk, Depends(desk_of)]

_STATUS = {
    "when": 1706702400.0,
    "sources": [{"name": "pacs", "kind": "dimse", "paused": False, "allowed": 2, "in_use": 1}],
    "states": {"done": 120, "waiting": 30},
    "throughput": {"1 min": {"series": 12.0, "objects": 1400.0}},
    "lag": {"0": 1.5},
    "inbox": 1,
    "workers": ["host/1"],
}


@router.get(
    "/api/status",
    dependencies=[needs(May.WATCH)],
    tags=["operations"],
    summary="Show what goes on",
    responses={**shown(_STATUS), **documented(503)},
)
def status(desk: TheDesk) -> dict[str, Any]:
    """Sources, tasks by source, state and priority, throughput, lag, failures, inbox, workers."""
    return desk.status().as_json()


TaskState = Literal["waiting", "running", "written", "done", "dead", "cancelled"]


@router.get(
    "/api/tasks",
    dependencies=[needs(May.WATCH)],
    tags=["operations"],
    summary="List tasks of all jobs, newest first",
    responses={**shown([{**bodies.TASK, "source": "pacs"}]), **documented(503)},
)
def tasks(
    desk: TheDesk,
    state: Annotated[list[TaskState] | None, Query(description="Only in these states")] = None,
    source: Annotated[str, Query(max_length=200, description="Only of this source")] = "",
    kind: Annotated[str, Query(max_length=64, description="Only of this kind")] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
) -> list[SourceTask]:
    """What each task is about, its source, its attempts and its last error."""
    found = _tasks(desk, tuple(state or bodies.TASK_STATES), source, kind)
    return [SourceTask.of_source(one) for one in found[:limit]]


def _tasks(desk: Desk, states: tuple[str, ...], source: str, kind: str) -> list[State]:
    found = desk.requests.queue.tasks(states, limit=MOST_TASKS)
    return [one for one in found if source in ("", one.task.source) and kind in ("", one.task.kind)]


MOST_TASKS = 20_000
"""That are looked at when tasks are listed or tried again."""


@router.post(
    "/api/tasks/retry",
    dependencies=[needs(May.OPERATE)],
    tags=["operations"],
    summary="Try again what failed for good",
    responses={**shown({"tasks": 3}), **documented(422, 503)},
)
def retry(chosen: Retried, desk: TheDesk) -> Changed:
    """Let dead tasks wait again: some by their ids, else those of a source or kind, or all."""
    ids = chosen.ids or [one.id for one in _tasks(desk, (DEAD,), chosen.source, chosen.kind)]
    return Changed(tasks=desk.requests.queue.revive(ids=ids) if ids else 0)


@router.get(
    "/api/sources",
    dependencies=[needs(May.WATCH)],
    tags=["sources"],
    summary="List the sources",
    responses={**shown([bodies.SOURCE]), **documented(503)},
)
def sources(desk: TheDesk) -> list[SourceOut]:
    """Every source of the settings, and whether it may be asked now."""
    return [_source(found) for found in desk.status().sources]


def _source(found: SourceStatus) -> SourceOut:
    until = datetime.fromtimestamp(found.until, UTC) if found.until else None
    return SourceOut(
        name=found.name,
        kind=found.kind,
        paused=found.paused,
        why=found.why,
        until=until,
        allowed=found.allowed,
        in_use=found.in_use,
    )


def _named(desk: Desk, name: str) -> SourceOut:
    return next(_source(found) for found in desk.status().sources if found.name == name)


@router.get(
    "/api/sources/{name}/check",
    dependencies=[needs(May.OPERATE)],
    tags=["sources"],
    summary="Try a source",
    responses={**shown([bodies.CHECK]), **documented(404, 422, 503)},
)
def check(name: str, desk: TheDesk) -> list[CheckOut]:
    """Try what can be tried without changing anything: connect, ask, ways to retrieve."""
    return [CheckOut.of(found) for found in desk.check(name)]


@router.post(
    "/api/sources/{name}/pause",
    dependencies=[needs(May.OPERATE)],
    tags=["sources"],
    summary="Pause a source",
    responses={**shown({**bodies.SOURCE, "paused": True}), **documented(404, 503)},
)
def pause_source(name: str, desk: TheDesk) -> SourceOut:
    """Ask nothing more of a source until it is resumed; its tasks wait."""
    desk.pause(desk.source(name))
    return _named(desk, name)


@router.post(
    "/api/sources/{name}/resume",
    dependencies=[needs(May.OPERATE)],
    tags=["sources"],
    summary="Resume a source",
    responses={**shown(bodies.SOURCE), **documented(404, 503)},
)
def resume_source(name: str, desk: TheDesk) -> SourceOut:
    """Ask a source again."""
    desk.resume(desk.source(name))
    return _named(desk, name)


@router.post(
    "/api/pause",
    dependencies=[needs(May.OPERATE)],
    tags=["operations"],
    summary="Pause everything",
    responses={**shown([{**bodies.SOURCE, "paused": True}]), **documented(503)},
)
def pause(desk: TheDesk) -> list[SourceOut]:
    """Ask nothing more of any source until everything is resumed."""
    desk.pause(None)
    return sources(desk)


@router.post(
    "/api/resume",
    dependencies=[needs(May.OPERATE)],
    tags=["operations"],
    summary="Resume everything",
    responses={**shown([bodies.SOURCE]), **documented(503)},
)
def resume(desk: TheDesk) -> list[SourceOut]:
    """Ask the sources again; those that are paused by themselves stay so."""
    desk.resume(None)
    return sources(desk)


@router.get(
    "/api/schemas/document.json",
    dependencies=[needs(May.ENTER)],
    tags=["schemas"],
    summary="JSON Schema of documents",
    response_class=Response,
    responses=shown(
        {"$schema": "https://json-schema.org/draft/2020-12/schema"}, "application/schema+json"
    ),
)
def json_schema() -> Response:
    """The JSON Schema (draft 2020-12) of one document."""
    return Response(shipped("document.schema.json"), media_type="application/schema+json")


@router.get(
    "/api/schemas/document.xsd",
    dependencies=[needs(May.ENTER)],
    tags=["schemas"],
    summary="XML Schema of documents",
    response_class=Response,
    responses=shown('<?xml version="1.0" encoding="UTF-8"?>', "application/xml"),
)
def xml_schema() -> Response:
    """The XML Schema of one document, and of a file of many."""
    return Response(shipped("document.xsd"), media_type="application/xml")


@router.get(
    "/api/health",
    dependencies=[needs(May.OPEN)],
    tags=["operations"],
    summary="Say that the service answers",
    responses=shown({"status": "ok", "version": __version__}),
)
def health() -> Health:
    """Open to everybody, also where a token is asked for."""
    return Health(version=__version__)


@router.get(
    "/metrics",
    dependencies=[needs(May.WATCH)],
    tags=["operations"],
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={**shown('dicomlake_tasks{state="done"} 1.0', "text/plain"), **documented(503)},
)
def metrics(desk: TheDesk) -> Response:
    """What goes on, in the text format of Prometheus."""
    return Response(metrics_of(desk.status), headers={"Content-Type": CONTENT_TYPE})
