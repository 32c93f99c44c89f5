"""Enrichers: how far they are, have them look at series, and who stated what of a series."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake import plugins
from dicomlake.jobs import enrichwork
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.enriching import Standing, standings
from dicomlake.jobs.enrichtasks import kind_of, options_of, submit
from dicomlake.lake import Store
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import PRIORITIES, Changed, Priority, shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.details import Uid, told
from dicomlake.web.explore.shapes import Shape, Version, Where, condition
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["enrichers"])
TheDesk = Annotated[Desk, Depends(desk_of)]
ASKED_AGAIN_S = 60.0
"""An enricher that could not work is asked again after so long."""


class Reason(Shape):
    """Why series were skipped or failed."""

    state: Literal["done", "skipped", "failed"]
    reason: str
    series: int


class WorkOut(Shape):
    """Tasks of an enricher that workers do."""

    kind: str = Field(description="Of its tasks, for GET /api/tasks and POST /api/tasks/retry")
    waiting: int
    running: int
    failed: int = Field(description="Tasks that failed for good")
    series_per_minute: float | None = Field(description="Over the last quarter of an hour")
    seconds_left: float | None = Field(description="For what is queued, at the pace of lately")
    advice: str = Field(description="What to do when nobody works; nothing where nothing is")


class EnricherOut(Shape):
    """An enricher, and how far it is with the lake."""

    name: str
    about: str
    version: str
    model: str = Field(description="What it decides by; another one is a new version")
    hardware: str
    done: int = Field(description="Series that it has looked at")
    skipped: int
    failed: int
    waiting: int | None = Field(
        description="Series that it has not looked at, failed ones included; none where it cannot "
        "work"
    )
    statements: int
    findings: int
    problem: str = Field(description="Why it cannot work here, and what to do")
    automatic: bool = Field(description="Workers look at new series by themselves")
    reasons: list[Reason] = Field(description="Of skipped and failed series, the most frequent")
    work: WorkOut


class NewRun(Shape):
    """What an enricher is to look at: all that it has not looked at, unless more is said."""

    where: Where = Field(None, description="Only series that meet this question")
    again: bool = Field(False, description="Also what it has looked at")
    priority: Priority | None = Field(
        None, description="New studies come before the others where nothing is said"
    )


class RunOut(Shape):
    """What was queued."""

    job: str = Field(description="Nothing where no task is new")
    tasks: int = Field(description="How many tasks are new")
    advice: str


class Enrichment(Shape):
    """One look of an enricher at a series."""

    enrichment_id: int
    enricher: str
    version: str
    model: str
    options: str | None
    state: str
    reason: str | None
    annotations: int
    findings: int
    kept: list[str] | None = Field(description="Where masks and the like lie")
    worker: str | None
    made: datetime
    seconds: float | None
    run_id: str
    counts: bool = Field(description="No later one supersedes what it states")


class ProvenanceOut(Shape):
    """Who stated something of a series."""

    version: int
    enrichments: list[Enrichment] = Field(description="The newest first")


_WORK = {"kind": "enrich-codes", "waiting": 12, "running": 1, "failed": 0,
         "series_per_minute": 840.0, "seconds_left": 31.0, "advice": ""}  # fmt: skip
_ENRICHER: dict[str, Any] = {
    "name": "codes", "about": "Says the body part as a code.", "version": "1", "model": "terms 1",
    "hardware": "cpu", "done": 900, "skipped": 80, "failed": 2, "waiting": 1202,
    "statements": 2410, "findings": 0, "problem": "", "automatic": True,
    "reasons": [{"state": "skipped", "reason": "nothing says a body part", "series": 80}],
    "work": _WORK,
}  # fmt: skip
_ENRICHMENT = {
    "enrichment_id": 7, "enricher": "codes", "version": "1", "model": "terms 1", "options": "{}",
    "state": "done", "reason": None, "annotations": 2, "findings": 0, "kept": None,
    "worker": "host cpu", "made": "2024-01-31T12:00:00Z", "seconds": 0.01,
    "run_id": "20240131120000-0badcafe", "counts": True,
}  # fmt: skip


class Board:
    """How far enrichers are, counted once for each version of the lake."""

    def __init__(self) -> None:
        self._known: tuple[int, float, list[Standing]] | None = None

    def of(self, desk: Desk) -> list[Standing]:
        """How far all enrichers are with the lake that is shown."""
        version = desk.lakes.at().version
        known = self._known
        if known is not None and known[0] == version:
            troubled = any(one.problem for one in known[2])
            if not troubled or time.monotonic() - known[1] < ASKED_AGAIN_S:
                return known[2]
        options = {name: options_of(desk.settings, name) for name in desk.settings.enrich}
        found = standings(Store(desk.lake), options)
        self._known = (version, time.monotonic(), found)
        return found


def board_of(request: Request) -> Board:
    """The board of the service that a request came to."""
    state = request.app.state
    if not hasattr(state, "enrichers"):
        state.enrichers = Board()
    found: Board = state.enrichers
    return found


@router.get(
    "/api/enrichers",
    dependencies=[needs(May.WATCH)],
    summary="List the enrichers and how far they are",
    responses={**shown([_ENRICHER]), **documented(503)},
)
def enrichers(desk: TheDesk, board: Annotated[Board, Depends(board_of)]) -> list[EnricherOut]:
    """What each does, series by state, reasons, what is wrong, and the pace of its workers."""
    found = board.of(desk)
    work = enrichwork.work(desk.requests.queue, [one.name for one in found])
    return [_told(one, work[one.name], desk) for one in found]


def _told(one: Standing, work: enrichwork.Work, desk: Desk) -> EnricherOut:
    said = desk.settings.enrich.get(one.name)
    return EnricherOut(
        name=one.name, about=one.about, version=one.version, model=one.model,
        hardware=one.hardware, done=one.done, skipped=one.skipped, failed=one.failed,
        waiting=one.waiting, statements=one.annotations, findings=one.findings,
        problem=one.problem, automatic=said is not None and said.automatic,
        reasons=[Reason(state=s, reason=r, series=n) for s, r, n in one.reasons],  # type: ignore[arg-type]
        work=WorkOut(
            kind=kind_of(one.name), waiting=work.waiting, running=work.running, failed=work.failed,
            series_per_minute=work.series_per_minute, seconds_left=work.seconds_left,
            advice=work.advice,
        ),
    )  # fmt: skip


@router.post(
    "/api/enrichers/{name}/runs",
    dependencies=[needs(May.OPERATE)],
    status_code=202,
    summary="Have an enricher look at series",
    response_model=RunOut,
    responses={
        202: {
            "description": "Queued; workers do it",
            "content": {"application/json": {"example": {
                "job": "enrich-codes-0badcafe", "tasks": 12, "advice": ""}}},
        },
        **documented(404, 422, 503),
    },
)  # fmt: skip
def enrich(name: str, wanted: NewRun, desk: TheDesk) -> RunOut:
    """Queue what an enricher has not looked at, and where it failed, for the workers."""
    _known(name)
    priority = None if wanted.priority is None else PRIORITIES[wanted.priority]
    queue = desk.requests.queue
    job, tasks = submit(
        desk.lake, desk.settings, name, where=condition(wanted.where), again=wanted.again,
        priority=priority, queue=queue,
    )  # fmt: skip
    advice = enrichwork.work(queue, [name])[name].advice
    return RunOut(job=job if tasks else "", tasks=tasks, advice=advice)


@router.delete(
    "/api/enrichers/{name}/runs",
    dependencies=[needs(May.OPERATE)],
    summary="Cancel what is queued for an enricher",
    responses={**shown({"tasks": 12}), **documented(404, 503)},
)
def cancel(name: str, desk: TheDesk) -> Changed:
    """Cancel all open tasks of an enricher; what it stated until now stays."""
    _known(name)
    return Changed(tasks=enrichwork.cancel(desk.requests.queue, name))


def _known(name: str) -> None:
    if name not in (there := plugins.names("enrichers")):
        raise Failed(
            404, f"There is no enricher {name[:64]!r}. There are: {', '.join(there) or 'none'}."
        )


@router.get(
    "/api/series/{SeriesInstanceUID}/provenance",
    dependencies=[needs(May.READ)],
    summary="Show who stated something of a series",
    response_model=ProvenanceOut,
    responses={
        **shown({"version": 7, "enrichments": [_ENRICHMENT]}),
        **documented(404, 422, 503),
    },
)
async def provenance(
    http: Request, SeriesInstanceUID: Uid, desk: TheDesk, version: Version = None
) -> Response:
    """Every look of an enricher at a series: version, model, run, and whether it still counts."""
    return await told(
        http,
        desk,
        version,
        lambda lake, _: {
            "enrichments": [
                {name: row.get(name) for name in Enrichment.model_fields}
                for row in lake.provenance(SeriesInstanceUID)
            ]
        },
    )
