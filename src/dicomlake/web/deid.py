"""Routes for de-identification: profiles, and plans of what they do, before anything is written."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from dicomlake.deid.plan import totals
from dicomlake.deid.profiles import Profile, names, profile_of, statement
from dicomlake.jobs.access.roles import May
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape, condition
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["deid"], dependencies=[needs(May.CURATE)])
TheDesk = Annotated[Desk, Depends(desk_of)]
Name = Annotated[str, Path(max_length=64, description="Name of a profile")]


class ProfileOut(Shape):
    """A profile: what it is for, and the codes of what it does (CID 7050)."""

    name: str
    title: str
    options: list[str]
    codes: list[str]
    dates: str = Field(description="removed, modified or kept")


class ProfileDetails(ProfileOut):
    """A profile with its conformance statement."""

    statement: str = Field(description="Markdown")


class PlanIn(Shape):
    """What is to be planned."""

    profile: str = Field("research", max_length=64)
    where: dict[str, Any] | str | None = Field(None, description="Only series that match")
    examples: bool = Field(False, description="With a value before and after")


class PlannedOut(Shape):
    """What happens to an attribute."""

    path: str
    name: str
    vr: str
    objects: int
    action: str = Field(description="Letter of PS3.15 Table E.1-1, empty outside of it")
    what: str
    why: str
    before: str
    after: str


class PlanOut(Shape):
    """What happens to every attribute that occurs."""

    profile: ProfileOut
    totals: dict[str, int] = Field(description="Attributes by what happens to them")
    attributes: list[PlannedOut]


_PROFILE = {
    "name": "basic", "title": "The Basic Application Level Confidentiality Profile", "options": [],
    "codes": ["113100"], "dates": "removed",
}  # fmt: skip
_PLANNED = {
    "path": "PatientSex", "name": "Patient's Sex", "vr": "CS", "objects": 12, "action": "Z",
    "what": "emptied", "why": "Basic Profile", "before": "", "after": "",
}  # fmt: skip
_PLAN = {"profile": _PROFILE, "totals": {"emptied": 1}, "attributes": [_PLANNED]}


@router.get("/api/deid/profiles", summary="List the profiles", responses={**shown([_PROFILE])})
def profiles() -> list[ProfileOut]:
    """The profiles that come with dicomlake."""
    return [ProfileOut(**_out(profile_of(name))) for name in names()]


@router.get(
    "/api/deid/profiles/{name}",
    summary="Show a profile",
    responses={**shown({**_PROFILE, "statement": "# De-identification"}), **documented(404)},
)
def profile(name: Name) -> ProfileDetails:
    """Its options and its conformance statement."""
    found = _profile(name)
    return ProfileDetails(**_out(found), statement=statement(found))


@router.post(
    "/api/deid/plan",
    summary="Say what happens to each attribute",
    responses={**shown(_PLAN), **documented(404, 422, 503)},
)
def plan(asked: PlanIn, request: Request, desk: TheDesk) -> PlanOut:
    """What a profile does with every attribute of series that a condition finds."""
    chosen, where = _profile(asked.profile), condition(asked.where)
    rows = desk.lakes.at().plan(chosen, where, examples=asked.examples)
    note(request, what="plan", profile=chosen.name, rows=len(rows), examples=asked.examples)
    return PlanOut(
        profile=ProfileOut(**_out(chosen)),
        totals=totals(rows),
        attributes=[PlannedOut(**asdict(row)) for row in rows],
    )


def _profile(name: str) -> Profile:
    """A profile of ours; never a file of this machine."""
    if name not in names():
        raise Failed(404, f"There is no profile {name!r}. There are: {', '.join(names())}.")
    return profile_of(name)


def _out(found: Profile) -> dict[str, Any]:
    return {
        "name": found.name,
        "title": found.title,
        "options": sorted(found.options),
        "codes": list(found.codes),
        "dates": found.dates,
    }
