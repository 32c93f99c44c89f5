"""Clinical facts and reports: bringing a file of them in, and what each source has brought."""

from __future__ import annotations

import re
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from dicomlake.jobs import clinical
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.clinical.guarding import passing_of
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


_TAKEN: dict[str, Any] = {
    "run_id": "20240131T120000-3f2a9c01", "source": "clinic", "facts": {"condition": 12},
    "documents": 3, "added": 15, "replaced": 0, "removed": 0, "unchanged": 0, "left_out": 0,
    "nameless": 0, "linked": {"patient": 14}, "unlinked": {"stranger": 1}, "failures": 0,
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
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {
        "schema": {"type": "string", "format": "binary"}}}}},
)  # fmt: skip
async def bring(
    http: Request,
    desk: TheDesk,
    source: Annotated[str, Query(min_length=1, max_length=100, description="The system")],
    name: Annotated[
        str,
        Query(max_length=120, description="Of the file: Condition.ndjson, b.json.gz, a.hl7, ..."),
    ],
    issuer: Annotated[
        str, Query(max_length=100, description="Of patient numbers that no setting says one for")
    ] = "",
) -> FactsTaken:
    """FHIR, HL7 v2 or a table of OMOP as the body; the same file again adds nothing.

    409 while somebody else writes to the lake.
    """
    note(http, what="bring facts", query="", source=source)
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise Failed(422, "The name of the file has letters, digits, dots, hyphens alone.")
    if desk.lakes.at().writing:
        raise Failed(409, "Somebody is writing to the lake. Wait for the end, and try again.")
    passing = passing_of(desk.lake)
    await run_in_threadpool(lambda: passing.mkdir(exist_ok=True))
    with tempfile.TemporaryDirectory(prefix="facts-", dir=passing) as place:
        path = Path(place) / name
        with path.open("wb") as file:
            async for chunk in http.stream():
                file.write(chunk)
        made = await run_in_threadpool(_bring, desk, path, source, issuer)
    desk.lakes.renew()
    note(http, facts=sum(made.facts.values()), documents=made.documents)
    return FactsTaken.model_validate(made, from_attributes=True)


def _bring(desk: Desk, path: Path, source: str, issuer: str) -> clinical.Taken:
    return clinical.bring(desk.lake, [path], source=source, issuer=issuer, settings=desk.settings)
