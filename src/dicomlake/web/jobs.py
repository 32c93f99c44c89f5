"""Jobs: ask for studies, see how far they are, fetch what came as documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from dicomlake.jobs.access.roles import May
from dicomlake.jobs.documents import listed_features
from dicomlake.jobs.pivot import FORMS
from dicomlake.jobs.requests import Request as Wanted
from dicomlake.web import bodies
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import (
    Changed,
    Depth,
    JobDetails,
    JobOut,
    MissingOut,
    NewJob,
    Priority,
    TaskOut,
    listed,
    shown,
)
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.problems import Failed, documented, mistakes

router = APIRouter(prefix="/api/jobs", tags=["jobs"])
TheDesk = Annotated[Desk, Depends(desk_of)]
TaskState = Literal["waiting", "running", "written", "done", "dead", "cancelled"]
Keyword = Literal["AccessionNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"]
Form = Literal["json", "ndjson", "xml", "zip"]

LOOK_EVERY_S = 0.5
"""How often events look at a job."""
ALIVE_EVERY_S = 15.0
"""How often events say that they are alive."""


# Asking


async def wanted(
    http: Request,
    desk: TheDesk,
    source: Annotated[str, Query(description="Of a list: the source")] = "",
    what: Annotated[
        Keyword | None, Query(description="Of a list without a head: what its values are")
    ] = None,
    depth: Annotated[Depth | None, Query(description="Of a list: how much is wanted")] = None,
    priority: Annotated[Priority, Query(description="Of a list: how soon")] = "now",
    features: Annotated[
        str, Query(description="Of a list: parts of the documents, separated by commas")
    ] = "",
    keep: Annotated[bool | None, Query(description="Of a list: keep the objects, too")] = None,
    again: Annotated[bool, Query(description="Of a list: also what is held already")] = False,
) -> Wanted:
    """The request in a body: JSON, or a list with the rest in the address."""
    kind = http.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if kind not in _BODIES:
        raise Failed(415, f"Send {', '.join(_BODIES)}, not {kind[:64]!r}.")
    told: dict[str, Any] = {
        "source": source,
        "depth": depth,
        "priority": priority,
        "keep": keep,
        "again": again,
    }
    told["features"] = listed_features(features)
    body = await http.body()
    return await run_in_threadpool(_read, desk, body, kind, what, told)


def _read(desk: Desk, body: bytes, kind: str, what: str | None, told: dict[str, Any]) -> Wanted:
    try:
        if kind == _JSON:
            found = NewJob.model_validate_json(body)
        else:
            found = NewJob.model_validate({**told, **listed(body, what)})
    except ValidationError as error:
        raise Failed(422, mistakes(error.errors(include_input=False))) from error
    return found.request(desk.settings)


_JSON = "application/json"
_BUNDLE = {"resourceType": "Bundle", "type": "collection", "entry": []}
_EXAMPLES = {
    "accession numbers": {
        "value": {"source": "pacs", "accession_numbers": ["A1001", "A1002"], "features": ["items"]}
    },
    "a month, later": {
        "value": {
            "source": "pacs",
            "dates": {"from": "2024-01-01", "to": "2024-01-31"},
            "priority": "later",
        }
    },
}
_BODIES: dict[str, dict[str, Any]] = {
    _JSON: {"schema": {"$ref": "#/components/schemas/NewJob"}, "examples": _EXAMPLES},
    "text/plain": {"schema": {"type": "string"}, "example": "A1001\nA1002\n"},
    "text/csv": {
        "schema": {"type": "string"},
        "example": "AccessionNumber,PatientID\nA1001,P1\n",
    },
    "application/fhir+json": {"schema": {"type": "object"}, "example": _BUNDLE},
    "application/fhir+ndjson": {"schema": {"type": "string"}},
    "x-application/hl7-v2+er7": {"schema": {"type": "string"}},
}


@router.post(
    "",
    dependencies=[needs(May.FETCH)],
    status_code=202,
    summary="Ask for studies or series of a source",
    response_model=JobOut,
    responses={
        202: {
            "description": "The job, which runs from now on",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "The job"}},
            "content": {"application/json": {"example": bodies.JOB}},
        },
        **documented(413, 422, 503),
    },
    openapi_extra={"requestBody": {"required": True, "content": _BODIES}},
)
def submit(
    request: Annotated[Wanted, Depends(wanted)], response: Response, desk: TheDesk
) -> JobOut:
    """Ask for any number of accession numbers, patients, studies or series, or for dates.

    The answer comes at once; the work is done by the workers of the lake.
    """
    job = desk.requests.submit(request)
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return JobOut.of(job)


@router.get(
    "",
    dependencies=[needs(May.WATCH)],
    summary="List jobs, newest first",
    responses={**shown([bodies.JOB]), **documented(503)},
)
def jobs(desk: TheDesk, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[JobOut]:
    """The newest jobs, without what is missing of them."""
    return [JobOut.of(job) for job in desk.requests.jobs(limit)]


@router.get(
    "/{id}",
    dependencies=[needs(May.WATCH)],
    summary="Show how far a job is",
    responses={**shown(bodies.DETAILS), **documented(404, 503)},
)
def job(id: str, desk: TheDesk) -> JobDetails:
    """A job with its tasks by state, and why how much is missing."""
    found = desk.job(id)
    return JobDetails.with_missing(found, desk.requests.missing(id))


@router.get(
    "/{id}/missing",
    dependencies=[needs(May.FETCH)],
    summary="List exactly what is missing of a job, and why",
    response_model=list[MissingOut],
    responses={**shown([bodies.MISSING]), **documented(404, 503)},
)
def missing(id: str, desk: TheDesk) -> StreamingResponse:
    """Every value, study and series that was asked for and is not there, or not yet."""
    desk.job(id)
    return StreamingResponse(_array(desk, id), media_type="application/json")


def _array(desk: Desk, id_: str) -> Iterator[bytes]:
    parts = []
    separator = b"["
    for found in desk.requests.missing(id_):
        parts.append(separator + orjson.dumps(found))
        separator = b",\n"
        if len(parts) >= 1000:
            yield b"".join(parts)
            parts = []
    yield b"".join(parts) + (b"]\n" if separator == b",\n" else b"[]\n")


@router.get(
    "/{id}/tasks",
    dependencies=[needs(May.FETCH)],
    summary="List tasks of a job, newest first",
    responses={**shown([bodies.TASK]), **documented(404, 503)},
)
def tasks(
    id: str,
    desk: TheDesk,
    state: Annotated[list[TaskState] | None, Query(description="Only in these states")] = None,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 100,
) -> list[TaskOut]:
    """What each task is about, its attempts and its last error."""
    desk.job(id)
    states = state or bodies.TASK_STATES
    return [TaskOut.of(found) for found in desk.requests.queue.tasks(states, id, limit)]


@router.post(
    "/{id}/retry",
    dependencies=[needs(May.OPERATE)],
    summary="Try again what failed for good",
    responses={**shown({"tasks": 3}), **documented(404, 503)},
)
def retry(id: str, desk: TheDesk) -> Changed:
    """Let the dead tasks of a job wait again."""
    desk.job(id)
    return Changed(tasks=desk.requests.retry(id))


@router.delete(
    "/{id}",
    dependencies=[needs(May.OPERATE)],
    summary="Cancel a job",
    responses={**shown({"tasks": 12}), **documented(404, 503)},
)
def cancel(id: str, desk: TheDesk) -> Changed:
    """Cancel what is open of a job; what is in the lake stays."""
    desk.job(id)
    return Changed(tasks=desk.requests.cancel(id))


# Documents

_DOCUMENT = {
    "version": 1,
    "patient": {"PatientID": "P1"},
    "study": {"StudyInstanceUID": "1.2.3", "AccessionNumber": "A1001"},
    "series": {"SeriesInstanceUID": "1.2.3.4", "Modality": "CT"},
    "origin": {"source": "pacs", "complete": "all", "instances": 120, "lake_version": 7},
    "elements": [
        {"path": "KVP", "keyword": "KVP", "tag": "(0018,0060)", "name": "KVP", "vr": "DS",
         "type": "number", "position": 1, "unit": "kV", "instances": 120, "value": 120.0,
         "text": "120"},
    ],
}  # fmt: skip


@router.get(
    "/{id}/documents",
    dependencies=[needs(May.FETCH)],
    summary="Fetch what a job brought, one document per series",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Documents of the series that are there. X-Job-Complete: false says "
            "that more may come, or that something failed",
            "headers": {
                "X-Job-Complete": {"schema": {"type": "boolean"}, "description": "All is there"},
                "X-Job-State": {"schema": {"type": "string"}, "description": "State of the job"},
            },
            "content": {
                "application/json": {
                    "schema": {"type": "array", "items": {"type": "object"}},
                    "example": [_DOCUMENT],
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/xml": {"schema": {"type": "string"}},
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **documented(404, 422, 503),
    },
)
def documents(
    id: str,
    desk: TheDesk,
    format: Annotated[Form, Query(description="zip: one XML per series")] = "json",
    features: Annotated[
        str, Query(description="Parts, separated by commas; those of the job when left out")
    ] = "",
) -> StreamingResponse:
    """What the lake says of every series of a job, as /api/schemas describe it; streamed."""
    found = desk.job(id)
    pieces = desk.documents(found, tuple(listed_features(features)), format)
    headers = {
        "X-Job-Complete": "true" if found.state == "finished" else "false",
        "X-Job-State": found.state,
        "Content-Disposition": f'attachment; filename="{found.id}.{format}"',
    }
    return StreamingResponse(pieces, headers=headers, media_type=FORMS[format])


# Events


@router.get(
    "/{id}/events",
    dependencies=[needs(May.WATCH)],
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: progress whenever something changes, then end",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'event: progress\ndata: {"id": "...", "state": "running"}\n\n',
                }
            },
        },
        **documented(404, 503),
    },
)
def events(id: str, http: Request, desk: TheDesk) -> StreamingResponse:
    """The job whenever it changes, until it is over."""
    desk.job(id)
    return StreamingResponse(_events(http, desk, id), media_type="text/event-stream")


async def _events(http: Request, desk: Desk, id_: str) -> AsyncIterator[bytes]:
    said, quiet = b"", 0.0
    while not await http.is_disconnected():
        found = await run_in_threadpool(desk.job, id_)
        now = JobOut.of(found).model_dump_json(by_alias=True).encode()
        if now != said:
            yield b"event: progress\ndata: " + now + b"\n\n"
            said, quiet = now, 0.0
        elif quiet >= ALIVE_EVERY_S:
            yield b": still here\n\n"
            quiet = 0.0
        if found.over:
            yield b"event: end\ndata: " + now + b"\n\n"
            return
        await asyncio.sleep(LOOK_EVERY_S)
        quiet += LOOK_EVERY_S
