"""Histories: a patient on one line of time, and texts of reports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.jobs import texts
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.timeline import timeline
from dicomlake.web.access.needs import needs, note, sees_all
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.details import PATIENT, PatientHead, told
from dicomlake.web.explore.shapes import Shape, Version, as_json, plain
from dicomlake.web.problems import documented
from dicomlake.web.running import QueryId, Running, answered

router = APIRouter(tags=["details"], dependencies=[needs(May.READ)])
TheDesk = Annotated[Desk, Depends(desk_of)]
Key = Annotated[int, Path(ge=-(1 << 63), lt=1 << 63)]


class Event(Shape):
    """Something that happened to a patient."""

    lane: str = Field(
        description="study, dose, condition, procedure, observation, medication, encounter, "
        "patient or document"
    )
    key: str = Field(description="StudyInstanceUID, or the key of the fact or document")
    began: datetime | None
    ended: datetime | None
    precision: str | None = Field(description="How exactly the time is known")
    title: str
    text: str | None
    code: str | None
    number: float | None
    unit: str | None
    StudyInstanceUID: str | None = Field(description="The study that it belongs to")
    source: str | None


class TimelineOut(Shape):
    """A patient on one line of time."""

    version: int
    patient: PatientHead
    events: list[Event]
    more: int = Field(description="Events that are not shown")


class DocumentHead(Shape):
    """A document."""

    document_key: str
    patient_key: str | None
    StudyInstanceUID: str | None
    AccessionNumber: str | None
    title: str | None
    type: str | None
    type_meaning: str | None
    language: str | None
    written: datetime | None
    source: str | None
    status: str | None


class Piece(Shape):
    """A piece of a snippet."""

    text: str
    hit: bool


class Snippet(Shape):
    """A sentence in which a word was found."""

    state: str = Field(description="affirmed, negated or uncertain")
    pieces: list[Piece]


class FoundDocument(DocumentHead):
    """A document in which words were found."""

    snippets: list[Snippet]


class DocumentsOut(Shape):
    """Documents in which words were found, newest first."""

    version: int
    seconds: float
    total: int
    documents: list[FoundDocument]


class DocumentPart(Shape):
    """A sentence of a document."""

    text: str
    state: str


class Section(Shape):
    """A section of a document."""

    title: str | None
    code: str | None
    text: str | None


class DocumentOut(DocumentHead):
    """A document with its text."""

    version: int
    sections: list[Section]
    parts: list[DocumentPart]


_EVENT: dict[str, Any] = {
    "lane": "condition", "key": "17", "began": "2023-04-01T00:00:00", "ended": None,
    "precision": "day", "title": "Pneumonia", "text": None, "code": "ICD10:J18.9",
    "number": None, "unit": None, "StudyInstanceUID": None, "source": "his",
}  # fmt: skip
_DOCUMENT: dict[str, Any] = {
    "document_key": "21", "patient_key": "1", "StudyInstanceUID": "1.2.3",
    "AccessionNumber": "A1", "title": "CT Thorax", "type": "LN:24627-2",
    "type_meaning": "CT Chest", "language": "de", "written": "2023-04-01T10:00:00Z",
    "source": "ris", "status": "final",
}  # fmt: skip
_SNIPPET = {
    "state": "negated",
    "pieces": [{"text": "Kein ", "hit": False}, {"text": "Pneumothorax", "hit": True}],
}  # fmt: skip


@router.get(
    "/api/patients/{patient_key}/timeline",
    summary="Show a patient on one line of time",
    response_model=TimelineOut,
    responses={
        **shown({"version": 7, "patient": PATIENT, "events": [_EVENT], "more": 0}),
        **documented(404, 422, 503),
    },
)
async def timeline_of(
    http: Request, patient_key: Key, desk: TheDesk, version: Version = None
) -> Response:
    """Studies, doses, clinical facts and documents in order of time."""
    return await told(
        http, desk, version, lambda lake, run: timeline(lake.engine, patient_key, run)
    )


@router.get(
    "/api/documents",
    summary="Search the texts of reports",
    response_model=DocumentsOut,
    responses={
        **shown({"version": 7, "seconds": 0.1, "total": 1,
                 "documents": [{**_DOCUMENT, "snippets": [_SNIPPET]}]}),
        **documented(409, 422, 503),
    },
)  # fmt: skip
async def documents(
    http: Request,
    desk: TheDesk,
    words: Annotated[str, Query(min_length=1, max_length=500, description="All have to be there")],
    negated: Annotated[bool, Query(description="Also where it is said not to be there")] = False,
    language: Annotated[str | None, Query(max_length=16, description="de, en, fr or es")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """Documents that affirm what is looked for, with what they say around the words."""
    part = not sees_all(http)

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        found = texts.found(
            lake.engine, words, negated=negated, language=language or None, patients=part,
            limit=limit, offset=offset, ticket=run,
        )  # fmt: skip
        note(http, rows=len(found["documents"]))
        return as_json(plain({"version": lake.version, "seconds": run.seconds, **found}))

    return await answered(http, desk.board, work, query_id)


@router.get(
    "/api/documents/{document_key}",
    summary="Show the text of a report",
    response_model=DocumentOut,
    responses={
        **shown({"version": 7, **_DOCUMENT, "sections": [],
                 "parts": [{"text": "Kein Pneumothorax.", "state": "negated"}]}),
        **documented(404, 422, 503),
    },
)  # fmt: skip
async def document(
    http: Request, document_key: Key, desk: TheDesk, version: Version = None
) -> Response:
    """A document in sentences, each with whether it affirms, denies or leaves open."""
    part = not sees_all(http)
    return await told(
        http, desk, version,
        lambda lake, run: texts.document(lake.engine, document_key, patients=part, ticket=run),
    )  # fmt: skip
