"""Federation: this site answers studies of others, and makes the datasets that they agree on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from dicomlake.errors import NotAllowed, UsageError
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.federation import answering, asking, exporting
from dicomlake.jobs.federation.studies import Study, written
from dicomlake.web.access.lakes import unmasked
from dicomlake.web.access.needs import FILTERED, needs, note, who_of
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import documented

router = APIRouter(tags=["federation"])
TheDesk = Annotated[Desk, Depends(desk_of)]


class AskedStudy(Shape):
    """A study, as its file has it."""

    study: dict[str, Any] = Field(description="name, purpose, level, sections, by, export")


class SectionOut(Shape):
    """What there is of a section, as ranges: the least and the most it can be; null: unknown."""

    name: str
    refused: str = Field(description="Why there is no answer; empty: there is one")
    counts: dict[str, tuple[int, int | None]]
    by: dict[str, list[tuple[str, tuple[int, int | None]]]]


class StudyAnswer(Shape):
    """What this site has of a study; it holds no identifier."""

    study: str = Field(description="Digest of the question")
    name: str
    lake_version: int
    least: int = Field(description="Numbers of fewer patients are not told")
    sections: list[SectionOut]


class FederationOut(Shape):
    """What this site is called, how few patients it tells nothing of, and whom one may ask."""

    site: str
    least: int
    sites: list[str]


class StudyText(Shape):
    """A study as people write it."""

    text: str = Field(min_length=1, max_length=100_000, description="TOML, YAML or JSON")


class StudyRow(Shape):
    """A line of the table: a section or a group of it, a range by site, and the total."""

    section: str
    by: str
    group: str
    cells: list[str]
    total: str


class StudyTable(Shape):
    """What each site has of a study."""

    study: str
    digest: str
    sites: list[str]
    rows: list[StudyRow]
    away: dict[str, str] = Field(description="Sites without an answer, and why")


class StudyExport(Shape):
    """How far the dataset of a study is at this site."""

    study: str
    state: str = Field(description="waiting, refused, making, stopped or finished")
    cohort: str
    schema_: dict[str, Any] | None = Field(alias="schema")


_STUDY = {"name": "heart", "sections": {"CT": "Modality = 'CT'"}, "by": ["sex"]}
_ANSWER: dict[str, Any] = {
    "study": "9f" * 32, "name": "heart", "lake_version": 4, "least": 5, "sections": [
        {"name": "CT", "refused": "", "counts": {"patients": (10, 14)},
         "by": {"sex": [("F", (5, 9))]}},
    ],
}  # fmt: skip
_TABLE: dict[str, Any] = {
    "study": "heart", "digest": "9f" * 32, "sites": ["kiel"], "rows": [
        {"section": "CT", "by": "", "group": "", "cells": ["10 to 14"], "total": "10 to 14"},
    ], "away": {},
}  # fmt: skip
_EXPORT = {"study": "9f" * 32, "state": "waiting", "cohort": "heart", "schema": None}


@router.post(
    "/api/federation/answer",
    summary="Answer a study with masked counts",
    responses={**shown(_ANSWER), **documented(403, 422, 503)},
    dependencies=[needs(May.FEDERATE)],
)
def answer(asked: AskedStudy, request: Request, desk: TheDesk) -> StudyAnswer:
    """Ranges by section. A question too close to an earlier one is refused, section by section."""
    study = Study.of(asked.study)
    lake = unmasked(desk.lakes.at())
    who = who_of(request).name
    note(request, study=study.digest)
    least = desk.settings.service.access.mask_below
    found = answering.answer(lake.store, lake.engine, study, desk.settings.federation, least, who)
    return StudyAnswer.model_validate(found)


@router.get(
    "/api/federation",
    summary="Say which sites can be asked",
    responses={**shown({"site": "kiel", "least": 5, "sites": ["rennes"]}), **documented(403)},
    dependencies=[needs(May.CURATE)],
)
def federation(desk: TheDesk) -> FederationOut:
    """Those of the settings, `[federation.sites.NAME]`."""
    rules = desk.settings.federation
    least = max(rules.least, desk.settings.service.access.mask_below)
    return FederationOut(site=rules.site, least=least, sites=list(rules.sites))


@router.post(
    "/api/federation/ask",
    summary="Ask all sites what they have of a study",
    responses={**shown(_TABLE), **documented(403, 422, 503)},
    dependencies=[needs(May.CURATE)],
)
def ask(asked: StudyText, request: Request, desk: TheDesk) -> StudyTable:
    """A table of ranges; sites that are away are named."""
    study = written(asked.text)
    sites = desk.settings.federation.sites
    if not sites:
        raise UsageError(
            "This site knows no others. Write [federation.sites.NAME] in its settings."
        )
    note(request, study=study.digest)
    return StudyTable.model_validate(asking.ask(study, sites), from_attributes=True)


@router.post(
    "/api/federation/export",
    summary="Make the dataset of a study here",
    responses={**shown(_EXPORT), **documented(403, 422, 503)},
    dependencies=[needs(May.FEDERATE)],
)
def export(asked: AskedStudy, request: Request, desk: TheDesk) -> StudyExport:
    """Freeze its cohort, wait for a steward, make the dataset; each call says how far it is.

    The data stay here. What is told is the state, and the schema of a finished dataset.
    """
    if request.scope.get(FILTERED):
        raise NotAllowed("Datasets of studies are of the whole lake, and you see a part of it.")
    study = Study.of(asked.study)
    note(request, study=study.digest)
    rules = desk.settings.federation
    found = exporting.export(desk.lake, study, rules, who_of(request).name)
    return StudyExport.model_validate(found)
