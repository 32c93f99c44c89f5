"""Erasing patients: what would go, doing it, and the proofs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from dicomlake.jobs import erasing
from dicomlake.jobs.access.roles import May
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import Failed, documented


def quietly(request: Request) -> None:
    """Let the audit log say what was asked for, but not of whom."""
    note(request, what="erase a patient", query="")


router = APIRouter(tags=["erasure"], dependencies=[Depends(quietly)])
TheDesk = Annotated[Desk, Depends(desk_of)]


class Whom(Shape):
    """A patient, or one study of the patient."""

    PatientID: str = Field(min_length=1, max_length=500)
    issuer: str | None = Field(None, max_length=500, description="Issuer of the PatientID")
    study: str | None = Field(None, max_length=64, description="StudyInstanceUID; all when absent")


class Erase(Whom):
    """Whom to erase; `confirm` repeats the PatientID."""

    confirm: str = Field(max_length=500, description="The PatientID once more, as typed by hand")
    questions: str = Field("redact", pattern="^(redact|remove)$")
    allow_again: bool = Field(False, description="Indexing may bring the patient back")


class ErasurePreview(Shape):
    """What would go, by table, and what the patient is named in."""

    kind: str
    studies: int
    series: int
    instances: int
    rows: dict[str, int]
    sources: dict[str, int] = Field(description="Series by the source that would bring them back")
    files: int = Field(description="Files of sources that are still there")
    questions: list[str] = Field(description="Saved questions and charts that name the patient")
    exports: list[dict[str, str]] = Field(description="Exports that held the patient")
    erased: str = Field(description="When the patient was erased before; empty: never")


class ErasureProof(Shape):
    """What was removed, and that nothing was found afterwards; without a single value."""

    id: str
    kind: str
    whole: bool = Field(description="Nothing was found, and every FHIR server was told")
    digests: list[str] = Field(description="Keyed digests of whom it was about")
    began: str
    ended: str
    lake_version: int
    dicomlake: str
    series: int
    instances: int
    removed: dict[str, int]
    swept: dict[str, int] = Field(description="Files, bytes and values of the last look")
    left: list[dict[str, Any]] = Field(description="Where something was found all the same")
    questions: list[str]
    published: dict[str, str]
    sources: dict[str, int]
    source_files: int
    exports: list[dict[str, str]]
    outside: list[str]


_PREVIEW = {
    "kind": "patient", "studies": 2, "series": 7, "instances": 412, "rows": {"elements": 8120},
    "sources": {"pacs": 7}, "files": 0, "questions": ["Case 7"], "exports": [], "erased": "",
}  # fmt: skip
_PROOF: dict[str, Any] = {
    "id": "20240131T120000-3f2a9c01", "kind": "patient", "whole": True, "digests": ["9f" * 32],
    "began": "2024-01-31T12:00:00+00:00", "ended": "2024-01-31T12:00:04+00:00",
    "lake_version": 12, "dicomlake": "0.1.0", "series": 7, "instances": 412,
    "removed": {"series": 7, "elements": 8120}, "swept": {"files": 140, "bytes": 2200000,
    "values": 430}, "left": [], "questions": ["Case 7"], "published": {}, "sources": {"pacs": 7},
    "source_files": 0, "exports": [], "outside": [],
}  # fmt: skip


@router.post(
    "/api/erasures/preview",
    summary="Show what erasing a patient would take away",
    responses={**shown(_PREVIEW), **documented(403, 422, 503)},
    dependencies=[needs(May.ERASE)],
)
def preview(whom: Whom, desk: TheDesk) -> ErasurePreview:
    """Counts by table, sources that would bring the patient back, exports; changes nothing."""
    found = erasing.preview(desk.lake, whom.PatientID, issuer=whom.issuer, study=whom.study)
    return ErasurePreview.model_validate(found, from_attributes=True)


@router.post(
    "/api/erasures",
    summary="Erase a patient, and prove it",
    responses={**shown(_PROOF), **documented(403, 409, 422, 503)},
    dependencies=[needs(May.ERASE)],
)
def erase(wanted: Erase, request: Request, desk: TheDesk) -> ErasureProof:
    """Everywhere in the lake, for good; it answers when all was looked through.

    409 while somebody else writes to the lake.
    """
    if wanted.confirm != wanted.PatientID:
        raise Failed(422, "What was typed is another PatientID. Nothing was erased.")
    if desk.lakes.at().writing:
        raise Failed(409, "Somebody is writing to the lake. Wait for the end, and try again.")
    proof = erasing.erase(
        desk.lake,
        wanted.PatientID,
        issuer=wanted.issuer,
        study=wanted.study,
        questions=wanted.questions,
        allow_again=wanted.allow_again,
        settings=desk.settings,
    )
    desk.lakes.renew()
    note(request, erasure=proof.id, whole=proof.whole)
    return ErasureProof.model_validate(proof.as_json())


@router.get(
    "/api/erasures",
    summary="List the proofs of erasures, newest first",
    responses={**shown([_PROOF]), **documented(403)},
    dependencies=[needs(May.ERASE)],
)
def erasures(request: Request, desk: TheDesk) -> list[ErasureProof]:
    """What was removed when, by digests of those who were erased."""
    note(request, what="proofs of erasures")
    return [ErasureProof.model_validate(one) for one in erasing.proofs(desk.lake)]
