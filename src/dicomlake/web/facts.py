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

from dicomlake.errors import DataError
from dicomlake.jobs import clinical
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.clinical import mappings
from dicomlake.jobs.clinical.unpacking import unpack
from dicomlake.lake.store import WORK
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

    text: str = Field(max_length=mappings.MOST_BYTES, description="YAML: docs/clinical.md")


_MAPPING = {
    "name": "labs", "ours": True,
    "text": "tables:\n- files: labs*.csv\n  kind: observation\n  columns:\n"
    "    PatientID: patient_no\n    code: LN:2857-1\n    number: psa\n",
}  # fmt: skip
_TAKEN: dict[str, Any] = {
    "run_id": "20240131T120000-3f2a9c01", "source": "clinic", "facts": {"condition": 12},
    "documents": 3, "added": 15, "replaced": 0, "removed": 0, "unchanged": 0, "left_out": 0,
    "linked": {"patient": 14}, "unlinked": {"stranger": 1}, "failures": 0, "notes": [],
    "seconds": 0.8,
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
async def bring(http: Request, desk: TheDesk, sent: Annotated[Sent, Depends()]) -> FactsTaken:
    """FHIR, HL7 v2, tables or texts as the body; the same file again adds nothing.

    409 while somebody else writes to the lake.
    """
    note(http, what="bring facts", query="", source=sent.source)
    mapping = _mapping(desk, sent)
    if desk.lakes.at().writing:
        raise Failed(409, "Somebody is writing to the lake. Wait for the end, and try again.")
    passing = desk.lake / WORK
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
    return mappings.path_of(desk.lake, desk.settings, sent.mapping) if sent.mapping else None


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


# Mappings of tables and texts


@router.get(
    "/api/facts/mappings",
    summary="List mapping files",
    responses={**shown([_MAPPING]), **documented(403, 503)},
    dependencies=[needs(May.WATCH)],
)
def list_mappings(desk: TheDesk) -> list[MappingOut]:
    """Mapping files of tables and texts: those of the lake, and those of watched folders."""
    found = mappings.named(desk.lake, desk.settings)
    return [
        MappingOut(name=one.name, ours=one.ours, text=_text(one.path)) for one in found.values()
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")[: mappings.MOST_BYTES]
    except (OSError, UnicodeDecodeError):
        return ""


@router.put(
    "/api/facts/mappings/{name}",
    summary="Keep a mapping file",
    responses={**shown(_MAPPING), **documented(403, 422, 503)},
    dependencies=[needs(May.STORE)],
)
def keep_mapping(name: str, given: NewMapping, desk: TheDesk) -> MappingOut:
    """Put a mapping into the lake, instead of an older one of that name; 422 says what is wrong."""
    made = mappings.keep(desk.lake, name, given.text)
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
    mappings.drop(desk.lake, name)
