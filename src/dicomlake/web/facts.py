"""Clinical facts and reports: bringing a file of them in, and what each source has brought."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from dicomlake.contracts.queues import State
from dicomlake.errors import DataError
from dicomlake.jobs import clinical
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.clinical import watching
from dicomlake.jobs.clinical.guarding import passing_of
from dicomlake.jobs.clinical.mappings import shelf
from dicomlake.jobs.clinical.unpacking import unpack
from dicomlake.jobs.door.entrance import refuse_folders
from dicomlake.jobs.requests import Job
from dicomlake.jobs.shelves import MOST_BYTES
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["facts"])
TheDesk = Annotated[Desk, Depends(desk_of)]
_NAME = re.compile(r"[\w.-]{1,120}")


class FactsTaken(Shape):
    """What an import did: rows by kind, and whom they are linked to."""

    run_id: str
    source: str
    facts: dict[str, int] = Field(description="By kind")
    documents: int
    added: int
    replaced: int
    removed: int
    unchanged: int
    left_out: int = Field(description="Of patients who were erased")
    nameless: int = Field(description="Of no patient, in a lake that de-identifies at its door")
    outdated: int = Field(description="Older than what removed them")
    linked: dict[str, int] = Field(description="To images, by patient, accession or study")
    unlinked: dict[str, int] = Field(
        description="nobody and dangling: nobody is named; stranger and order: no images yet"
    )
    failures: int = Field(description="Lines that could not be read: GET /api/failures")
    notes: list[str]
    seconds: float


class FactsOf(Shape):
    """What a source has brought of one kind."""

    source: str
    kind: str
    rows: int
    patients: int
    linked: int = Field(description="Of patients or orders with images")
    first: datetime | None
    last: datetime | None
    imported: datetime | None


class Sent:
    """What is said of a file that is sent: source, name, issuer of patient numbers, mapping."""

    def __init__(
        self,
        source: Annotated[str, Query(min_length=1, max_length=100, description="The system")],
        name: Annotated[
            str,
            Query(
                max_length=120,
                description="Of the file, whose ending says what it is: Condition.ndjson, "
                "b.json.gz, a.hl7, measurement.csv, labs.csv; a .zip has several",
            ),
        ],
        issuer: Annotated[
            str,
            Query(max_length=100, description="Of patient numbers that no setting says one for"),
        ] = "",
        mapping: Annotated[
            str,
            Query(max_length=64, description="Of tables and texts: GET /api/facts/mappings"),
        ] = "",
    ) -> None:
        self.source, self.name, self.issuer, self.mapping = source, name, issuer, mapping


class MappingOut(Shape):
    """A mapping file: what the columns of tables mean, and whose texts are."""

    name: str
    ours: bool = Field(description="It lies in the lake; else a watched folder names it")
    text: str = Field(description="YAML: docs/clinical.md")


class NewMapping(Shape):
    """A mapping file to be kept."""

    text: str = Field(max_length=MOST_BYTES, description="YAML: docs/clinical.md")


class FactsJob(Shape):
    """What was queued."""

    job: str = Field(description="GET, DELETE /api/jobs/{id}; nothing where nothing is new")


class FactsProgress(Shape):
    """How far an import is."""

    stage: str
    done: int
    total: int = Field(description="-1: not known")
    unit: str


class FactsTask(Shape):
    """An import that was queued."""

    id: str
    job: str
    folder: str = Field(description="The watched folder; nothing for files that were sent")
    source: str
    state: Literal["waiting", "running", "written", "done", "dead", "cancelled"]
    attempts: int
    error: str
    progress: FactsProgress | None
    result: dict[str, int | str] = Field(description="Counts, once it is done: facts, added, ...")
    created: datetime | None
    ended: datetime | None


class FactsFolderOut(Shape):
    """A watched folder of the settings."""

    name: str
    source: str = Field(description="What the lake calls where its files come from")
    done: Literal["move", "keep"]


class FactsWork(Shape):
    """Imports that were queued, newest first, and where files are waited for."""

    folders: list[FactsFolderOut]
    tasks: list[FactsTask]


class NewFactsLook(Shape):
    """A watched folder to be looked into now."""

    folder: str = Field(description="Its name in the settings: [facts.NAME]", max_length=64)


_MOST_TASKS = 100
_FILE: dict[str, Any] = {"requestBody": {"required": True, "content": {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}  # fmt: skip
_JOB = {"job": "20260101120000-0badcafe"}
_WORK = {
    "folders": [{"name": "labs", "source": "lab", "done": "move"}],
    "tasks": [{"id": "1", "job": _JOB["job"], "folder": "labs", "source": "lab", "state": "running",
               "attempts": 1, "error": "", "result": {}, "created": "2026-01-01T12:00:00Z",
               "ended": None,
               "progress": {"stage": "reading", "done": 3, "total": 9, "unit": "files"}}],
}  # fmt: skip
_MAPPING = {
    "name": "labs", "ours": True,
    "text": "tables:\n- files: labs*.csv\n  kind: observation\n  columns:\n"
    "    PatientID: patient_no\n    code: LN:2857-1\n    number: psa\n",
}  # fmt: skip
_TAKEN: dict[str, Any] = {
    "run_id": "20240131T120000-3f2a9c01", "source": "clinic", "facts": {"condition": 12},
    "documents": 3, "added": 15, "replaced": 0, "removed": 0, "unchanged": 0, "left_out": 0,
    "nameless": 0, "outdated": 0, "linked": {"patient": 14}, "unlinked": {"stranger": 1},
    "failures": 0,
    "notes": [], "seconds": 0.8,
}  # fmt: skip
_OF = {"source": "clinic", "kind": "condition", "rows": 12, "patients": 4, "linked": 11,
       "first": "2014-05-03T00:00:00Z", "last": "2020-01-02T00:00:00Z",
       "imported": "2024-01-31T12:00:00Z"}  # fmt: skip


@router.get(
    "/api/facts",
    summary="Count clinical facts and documents by source",
    responses={**shown([_OF]), **documented(403, 503)},
    dependencies=[needs(May.WATCH)],
)
def facts(desk: TheDesk) -> list[FactsOf]:
    """What each source has brought, and how much of it is of patients with images."""
    found = clinical.status(desk.lake)
    return [FactsOf.model_validate(one, from_attributes=True) for one in found]


@router.post(
    "/api/facts",
    summary="Bring a file of clinical facts or reports in",
    responses={**shown(_TAKEN), **documented(403, 409, 413, 422, 503)},
    dependencies=[needs(May.STORE)],
    openapi_extra=_FILE,
)  # fmt: skip
async def bring(http: Request, desk: TheDesk, sent: Annotated[Sent, Depends()]) -> FactsTaken:
    """FHIR, HL7 v2, tables or texts as the body; the same file again adds nothing.

    409 while somebody else writes to the lake.
    """
    note(http, what="bring facts", query="", source=sent.source)
    mapping = _mapping(desk, sent)
    if desk.lakes.at().writing:
        raise Failed(409, "Somebody is writing to the lake. Wait for the end, and try again.")
    passing = passing_of(desk.lake)
    await run_in_threadpool(lambda: passing.mkdir(exist_ok=True))
    with tempfile.TemporaryDirectory(prefix="facts-", dir=passing) as place:
        path = await _received(http, Path(place), sent.name)
        made = await run_in_threadpool(_bring, desk, path, sent, mapping)
    desk.lakes.renew()
    note(http, facts=sum(made.facts.values()), documents=made.documents)
    return FactsTaken.model_validate(made, from_attributes=True)


def _mapping(desk: Desk, sent: Sent) -> Path | None:
    """The mapping file that is named; 422 for what cannot be right."""
    if not _NAME.fullmatch(sent.name) or sent.name.startswith("."):
        raise Failed(422, "The name of the file has letters, digits, dots, hyphens alone.")
    return shelf(desk.lake, desk.settings).path_of(sent.mapping) if sent.mapping else None


async def _received(http: Request, folder: Path, name: str) -> Path:
    """The body of a request, as a file, or unpacked in a folder of its own."""
    path = folder / name
    with path.open("wb") as file:
        async for chunk in http.stream():
            file.write(chunk)
    if not name.lower().endswith(".zip"):
        return path
    unpacked = folder / "unpacked"
    try:
        await run_in_threadpool(unpack, path, unpacked)
    except DataError as error:
        raise Failed(422, f"{str(error).capitalize()}.") from error
    path.unlink()
    return unpacked


def _bring(desk: Desk, path: Path, sent: Sent, mapping: Path | None) -> clinical.Taken:
    return clinical.bring(
        desk.lake, [path], source=sent.source, issuer=sent.issuer, mapping=mapping,
        settings=desk.settings,
    )  # fmt: skip


# Tasks


@router.post(
    "/api/facts/tasks",
    summary="Send a file of clinical facts or reports, to be brought in later",
    status_code=202,
    responses={202: {"description": "Queued; workers bring it in", "content": {
        "application/json": {"example": _JOB}}}, **documented(403, 413, 422, 503)},
    dependencies=[needs(May.STORE)],
    openapi_extra=_FILE,
)  # fmt: skip
async def send(
    http: Request, desk: TheDesk, sent: Annotated[Sent, Depends()], response: Response
) -> FactsJob:
    """As POST /api/facts, for large files: the answer comes at once, and workers do the rest."""
    note(http, what="send facts", query="", source=sent.source)
    mapping = _mapping(desk, sent)
    refuse_folders(desk.lake)
    files = await run_in_threadpool(watching.place_of_sent, desk.lake)
    try:
        await _received(http, files, sent.name)
        job = await run_in_threadpool(_queued, desk, files, sent, mapping)
    except BaseException:
        shutil.rmtree(files.parent, ignore_errors=True)
        raise
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return FactsJob(job=job.id)


def _queued(desk: Desk, files: Path, sent: Sent, mapping: Path | None) -> Job:
    return watching.submit_sent(
        files, desk.requests, source=sent.source, issuer=sent.issuer, mapping=mapping
    )


@router.get(
    "/api/facts/tasks",
    summary="List imports of clinical facts that were queued, and watched folders",
    responses={**shown(_WORK), **documented(403, 503)},
    dependencies=[needs(May.WATCH)],
)
def list_tasks(desk: TheDesk) -> FactsWork:
    """The newest hundred, with how far those are that run; DELETE /api/jobs/{id} cancels one."""
    folders = [
        FactsFolderOut(name=name, source=said.source or name, done=said.done)
        for name, said in desk.settings.facts.items()
    ]
    found = desk.requests.queue.tasks(limit=1 << 40)
    ours = [one for one in found if one.task.kind == watching.KIND][:_MOST_TASKS]
    return FactsWork(folders=folders, tasks=[_task(desk, one) for one in ours])


def _task(desk: Desk, state: State) -> FactsTask:
    what = state.task.what
    folder = str(what.get("name", ""))
    said = desk.settings.facts.get(folder)
    source = str(what.get("source") or (said and said.source) or folder)
    how = watching.how_far(desk.lake, state)
    return FactsTask.model_validate({
        "id": state.id, "job": state.task.job, "folder": folder, "source": source,
        "state": state.state, "attempts": state.attempts, "error": state.error,
        "result": state.result, "created": _then(state.created), "ended": _then(state.ended),
        "progress": None if how is None else asdict(how),
    })  # fmt: skip


def _then(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


@router.post(
    "/api/facts/look",
    summary="Look into a watched folder of facts now",
    status_code=202,
    responses={202: {"description": "Queued, or nothing is new", "content": {
        "application/json": {"example": _JOB}}}, **documented(403, 404, 422, 503)},
    dependencies=[needs(May.STORE)],
)  # fmt: skip
def look(wanted: NewFactsLook, desk: TheDesk, response: Response) -> FactsJob:
    """Queue the files that came into a watched folder; workers look into it by themselves, too."""
    if wanted.folder not in desk.settings.facts:
        known = ", ".join(desk.settings.facts) or "none"
        raise Failed(404, f"There is no watched folder {wanted.folder[:64]!r}. There are: {known}.")
    job = watching.submit(desk.lake, desk.settings, wanted.folder, desk.requests)
    if job is None:
        return FactsJob(job="")
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return FactsJob(job=job.id)


# Mappings of tables and texts


@router.get(
    "/api/facts/mappings",
    summary="List mapping files",
    responses={**shown([_MAPPING]), **documented(403, 503)},
    dependencies=[needs(May.WATCH)],
)
def list_mappings(desk: TheDesk) -> list[MappingOut]:
    """Mapping files of tables and texts: those of the lake, and those of watched folders."""
    found = shelf(desk.lake, desk.settings).named()
    return [MappingOut(name=one.name, ours=one.ours, text=one.text) for one in found.values()]


@router.put(
    "/api/facts/mappings/{name}",
    summary="Keep a mapping file",
    responses={**shown(_MAPPING), **documented(403, 422, 503)},
    dependencies=[needs(May.STORE)],
)
def keep_mapping(name: str, given: NewMapping, desk: TheDesk) -> MappingOut:
    """Put a mapping into the lake, instead of an older one of that name; 422 says what is wrong."""
    made = shelf(desk.lake, desk.settings).keep(name, given.text)
    return MappingOut(name=made.name, ours=made.ours, text=given.text)


@router.delete(
    "/api/facts/mappings/{name}",
    summary="Let a mapping file go",
    status_code=204,
    responses=documented(403, 422, 503),
    dependencies=[needs(May.STORE)],
)
def drop_mapping(name: str, desk: TheDesk) -> None:
    """Let a mapping of the lake go; what was brought by it stays."""
    shelf(desk.lake, desk.settings).drop(name)
