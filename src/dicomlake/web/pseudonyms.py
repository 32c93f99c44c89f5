"""Routes for pseudonyms of patients, and back; for who may know whose they are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from dicomlake.jobs.access.roles import May
from dicomlake.jobs.door import pseudonym as job
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import documented


def _discreet(request: Request) -> None:
    """Let the audit log not hold what is asked: patients, also where that is refused."""
    note(request, what="pseudonyms")


router = APIRouter(tags=["pseudonyms"], dependencies=[Depends(_discreet), needs(May.REIDENTIFY)])
TheDesk = Annotated[Desk, Depends(desk_of)]
Said = Annotated[str, Field(min_length=1, max_length=256)]
Name = Annotated[str, Field(max_length=64, description="Of [pseudonyms.NAME], if there are more")]


class PersonIn(Shape):
    """A patient by their own identifier."""

    PatientID: Said
    IssuerOfPatientID: str = Field("", max_length=256)


class People(Shape):
    """Patients whose pseudonyms are wanted."""

    people: list[PersonIn] = Field(min_length=1, max_length=1000)
    name: Name = ""


class Given(Shape):
    """Pseudonyms of which somebody wants to know whose they are."""

    pseudonyms: list[Said] = Field(min_length=1, max_length=1000)
    name: Name = ""


class PersonOut(Shape):
    """A patient and their pseudonym; without PatientID when nobody knows whose it is."""

    pseudonym: str
    PatientID: str | None
    IssuerOfPatientID: str | None


_EXAMPLE = {
    "pseudonym": "CPU2ESUBDAMXJAR3H6OCYGJB3E", "PatientID": "4711", "IssuerOfPatientID": "",
}  # fmt: skip


@router.post(
    "/api/pseudonyms",
    summary="Say which pseudonyms patients have",
    responses={**shown([_EXAMPLE]), **documented(422, 503)},
)
def pseudonyms(wanted: People, request: Request, desk: TheDesk) -> list[PersonOut]:
    """The PatientIDs that de-identified objects of these patients have, in the same order.

    The audit log says how many were asked for, and by whom; it does not say whose.
    """
    note(request, what="pseudonyms", patients=len(wanted.people))
    people = [job.Person(one.PatientID, one.IssuerOfPatientID) for one in wanted.people]
    name = job.name_of(desk.lake, desk.settings, wanted.name)
    found = job.pseudonyms(desk.settings, name, people)
    return [_out(one, person) for one, person in zip(found, people, strict=True)]


@router.post(
    "/api/pseudonyms/back",
    summary="Say whose pseudonyms they are",
    responses={**shown([_EXAMPLE]), **documented(422, 503)},
)
def back(wanted: Given, request: Request, desk: TheDesk) -> list[PersonOut]:
    """The patients behind pseudonyms, in the same order; the audit log names the pseudonyms."""
    note(request, what="whose pseudonyms", pseudonyms=wanted.pseudonyms)
    name = job.name_of(desk.lake, desk.settings, wanted.name)
    found = job.people(desk.lake, desk.settings, name, wanted.pseudonyms)
    return [_out(one, person) for one, person in zip(wanted.pseudonyms, found, strict=True)]


def _out(pseudonym: str, person: job.Person | None) -> PersonOut:
    return PersonOut(
        pseudonym=pseudonym,
        PatientID=person.PatientID if person else None,
        IssuerOfPatientID=person.IssuerOfPatientID if person else None,
    )
