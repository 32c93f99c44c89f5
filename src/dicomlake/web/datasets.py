"""Datasets: what they would be, made beside other work, gone on with, and their cards."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from pydantic import Field

from dicomlake.deid.profiles import names as profiles
from dicomlake.errors import UsageError
from dicomlake.jobs.access.roles import May, may
from dicomlake.jobs.cohorts import opened
from dicomlake.jobs.datasets import background
from dicomlake.jobs.datasets.card import html_of
from dicomlake.jobs.datasets.estimate import estimate
from dicomlake.jobs.datasets.ledger import Ledger
from dicomlake.jobs.datasets.listing import Dataset, details, listed
from dicomlake.jobs.datasets.making import begin
from dicomlake.jobs.datasets.wanted import FORMATS, IDENTIFIED, LAYOUTS, Wanted, slug
from dicomlake.web.access.needs import needs, note, sees_all, who_of
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import Failed, documented

TheDesk = Annotated[Desk, Depends(desk_of)]
Format = Literal["dicom", "nifti", "png", "waveforms", "tables"]
Layout = Literal["plain", "bids", "monai", "nnunet", "federated"]


router = APIRouter(tags=["datasets"])


class NewEstimate(Shape):
    """Of which cohort, in which formats."""

    cohort: str = Field(min_length=1, max_length=80, description="NAME or NAME@VERSION")
    formats: list[Format] = Field(min_length=1, max_length=5)


class NewDataset(NewEstimate):
    """What is wanted."""

    name: str = Field("", max_length=32, description="Else that of the cohort")
    profile: str = Field(max_length=64, description="Of de-identification; identified: as it is")
    pseudonyms: str = Field("", max_length=64, description="Of [pseudonyms.NAME]")
    layout: Layout = "plain"
    tables: Literal["parquet", "csv"] = "parquet"
    waves: Literal["parquet", "npz"] = "parquet"
    depth: Literal[8, 16] = 8
    labels: str = Field("", max_length=200_000, description="YAML: which structure is which label")
    title: str = Field("", max_length=200)
    licence: str = Field("", max_length=200)
    site: str = Field("", max_length=200)
    target: str = Field(
        "",
        max_length=300,
        description="A source of the settings, objects:NAME/PREFIX or dicom:NAME; "
        "else a folder of the service",
    )


class DatasetAgain(Shape):
    """How to go on."""

    without: bool = Field(False, description="Leave out what could not be read")
    again: bool = Field(False, description="Try again what is in quarantine")


class DatasetEstimate(Shape):
    """How much it would be; `measured`: at the pace of earlier datasets of this lake."""

    patients: int
    studies: int
    series: int
    objects: int
    source_bytes: int
    bytes: int
    seconds: float
    measured: bool
    approved: bool = Field(description="The cohort is approved")
    needs_approval: bool = Field(description="It has to be, before a dataset is made of it")


class DatasetOut(Shape):
    """A dataset, and how far it is."""

    name: str
    made: str
    cohort: str
    version: int | None
    profile: str
    formats: list[str]
    layout: str
    out: str
    state: str
    why: str
    written: int
    waiting: int
    failed: int
    quarantined: int
    files: int
    bytes: int
    forgotten: int = Field(description="Instances of patients who were erased since")


class DatasetReason(Shape):
    """Why something is not there, and how many."""

    what: str
    why: str
    count: int


class DatasetDetails(DatasetOut):
    """With reasons, and what its card says."""

    quarantine: list[DatasetReason]
    unread: list[DatasetReason]
    notes: list[DatasetReason]
    about: dict[str, Any]


class DatasetChoices(Shape):
    """What can be chosen for a dataset."""

    profiles: list[str]
    pseudonyms: list[str]
    formats: list[str]
    layouts: list[str]
    targets: list[str] = Field(description="Sources of the settings that take datasets")
    folder: str = Field(description="Where datasets are written that go nowhere else")
    identified: bool = Field(description="The caller may have identified data")
    needs_approval: bool


_ESTIMATE = {"patients": 30, "studies": 42, "series": 84, "objects": 9400,
             "source_bytes": 4_900_000_000, "bytes": 5_100_000_000, "seconds": 310.0,
             "measured": True, "approved": True, "needs_approval": True}  # fmt: skip
_DATASET: dict[str, Any] = {
    "name": "livers", "made": "2024-01-31T12:00:00Z", "cohort": "livers", "version": 3,
    "profile": "research", "formats": ["dicom", "nifti"], "layout": "monai",
    "out": "/data/lake-datasets/livers", "state": "running", "why": "", "written": 1200,
    "waiting": 8200, "failed": 0, "quarantined": 2, "files": 1200, "bytes": 640_000_000,
    "forgotten": 0,
}  # fmt: skip
_DETAILS = {
    **_DATASET, "unread": [], "notes": [], "about": {},
    "quarantine": [{"what": "pixels", "why": "Text is burned in.", "count": 2}],
}  # fmt: skip
_CHOICES = {
    "profiles": ["basic", "research"], "pseudonyms": ["study"], "formats": list(FORMATS),
    "layouts": list(LAYOUTS), "targets": ["objects:archive"], "folder": "/data/lake-datasets",
    "identified": False, "needs_approval": True,
}  # fmt: skip


@router.get(
    "/api/datasets",
    dependencies=[needs(May.EXPORT)],
    summary="List the datasets of the lake",
    responses={**shown([_DATASET]), **documented(403, 503)},
)
def datasets(desk: TheDesk) -> list[DatasetOut]:
    """All that were made or are being made, the newest first."""
    return [DatasetOut(**_out(desk, one)) for one in listed(desk.lake)]


@router.get(
    "/api/datasets/choices",
    dependencies=[needs(May.EXPORT)],
    summary="Show what can be chosen for a dataset",
    responses={**shown(_CHOICES), **documented(403, 503)},
)
def choices(http: Request, desk: TheDesk) -> DatasetChoices:
    """Profiles, pseudonyms, formats, layouts, and where datasets can go."""
    settings = desk.settings
    kinds = {"objects": "objects:", "dimse": "dicom:"}
    targets = [kinds[s.kind] + name for name, s in settings.source.items() if s.kind in kinds]
    return DatasetChoices(
        profiles=profiles(),
        pseudonyms=list(settings.pseudonyms),
        formats=list(FORMATS),
        layouts=list(LAYOUTS),
        targets=targets,
        folder=str(_folder(desk)),
        identified=_may_release(http),
        needs_approval=settings.datasets.approval,
    )


@router.post(
    "/api/datasets/estimate",
    dependencies=[needs(May.EXPORT)],
    summary="Say how much a dataset would be",
    responses={**shown(_ESTIMATE), **documented(403, 404, 422, 503)},
)
def estimated(new: NewEstimate, desk: TheDesk) -> DatasetEstimate:
    """Patients, objects, bytes and seconds; nothing is made."""
    wanted = Wanted("nowhere", new.cohort, profile=IDENTIFIED, formats=tuple(new.formats))
    found = estimate(desk.lake, wanted, desk.settings.datasets.workers)
    said = {
        name: getattr(found, name) for name in DatasetEstimate.model_fields if hasattr(found, name)
    }
    return DatasetEstimate(**said, needs_approval=desk.settings.datasets.approval)


@router.post(
    "/api/datasets",
    dependencies=[needs(May.EXPORT)],
    status_code=202,
    summary="Make a dataset of a cohort",
    response_model=DatasetOut,
    responses={
        202: {"description": "It is being made",
              "content": {"application/json": {"example": _DATASET}}},
        **documented(403, 404, 422, 503),
    },
)  # fmt: skip
def make(new: NewDataset, http: Request, desk: TheDesk) -> DatasetOut:
    """Plan it and have it made beside other work. Identified data needs the role of a steward."""
    if new.profile == IDENTIFIED and not _may_release(http):
        raise Failed(403, "Identified data is handed out by stewards: choose a profile instead.")
    cohort = opened(desk.lake, new.cohort)
    if desk.settings.datasets.approval and not cohort.approved:
        raise Failed(
            403,
            f"{cohort.name}@{cohort.version} is not approved. Ask a steward of the lake for it.",
        )
    name = new.name or slug(cohort.name)
    wanted = Wanted(
        new.target or str(_folder(desk) / name), f"{cohort.name}@{cohort.version}",
        profile=new.profile, pseudonyms=new.pseudonyms, formats=_ordered(new.formats),
        layout=new.layout, tables=new.tables, waves=new.waves, labels=new.labels, title=new.title,
        licence=new.licence, site=new.site, depth=new.depth,
    )  # fmt: skip
    if new.target and not new.target.startswith(("objects:", "dicom:")):
        raise Failed(
            422, "A target is a source of the settings: objects:NAME/PREFIX or dicom:NAME."
        )
    name = begin(desk.lake, wanted, name)
    background.start(desk.lake, name, desk.settings.datasets.workers)
    note(http, dataset=name, cohort=f"{cohort.name}@{cohort.version}", profile=new.profile)
    return DatasetOut(**_out(desk, _found(desk, name)))


@router.get(
    "/api/datasets/{name}",
    dependencies=[needs(May.EXPORT)],
    summary="Show a dataset",
    responses={**shown(_DETAILS), **documented(403, 404, 503)},
)
def show(name: str, desk: TheDesk) -> DatasetDetails:
    """How far it is, what is in quarantine and why, and what its card says."""
    found = _found(desk, name)
    return DatasetDetails(
        **_out(desk, found),
        quarantine=_reasons(found.quarantine),
        unread=_reasons(found.failed),
        notes=_reasons(found.notes),
        about=found.about,
    )


@router.get(
    "/api/datasets/{name}/card",
    dependencies=[needs(May.EXPORT)],
    summary="Show the card of a finished dataset",
    response_class=HTMLResponse,
    responses={**shown("<!doctype html>", "text/html"), **documented(403, 404, 503)},
)
def card(name: str, desk: TheDesk) -> HTMLResponse:
    """What is in it, where it comes from, and how it was de-identified, as a page."""
    about = _found(desk, name).about
    if not about:
        raise Failed(404, f"{name[:64]} is not finished, so it has no card yet.")
    return HTMLResponse(html_of(about))


@router.post(
    "/api/datasets/{name}/resume",
    dependencies=[needs(May.EXPORT)],
    status_code=202,
    summary="Go on with a dataset",
    response_model=DatasetOut,
    responses={
        202: {"description": "It is being made",
              "content": {"application/json": {"example": _DATASET}}},
        **documented(403, 404, 422, 503),
    },
)  # fmt: skip
def resume(name: str, how: DatasetAgain, http: Request, desk: TheDesk) -> DatasetOut:
    """Go on where it was stopped; what could not be read is tried again, or left out."""
    found = _found(desk, name)
    if found.wanted["profile"] == IDENTIFIED and not _may_release(http):
        raise Failed(403, "Identified data is handed out by stewards.")
    if found.report.state == "waiting" and background.busy(desk.lake, name):
        raise Failed(422, f"The dataset {name} is being made just now.")
    background.start(
        desk.lake, name, desk.settings.datasets.workers, without=how.without, again=how.again
    )
    note(http, dataset=name)
    return DatasetOut(**_out(desk, _found(desk, name)))


@router.delete(
    "/api/datasets/{name}",
    dependencies=[needs(May.EXPORT)],
    summary="Stop a dataset that is being made",
    responses={**shown(_DATASET), **documented(403, 404, 503)},
)
def cancel(name: str, http: Request, desk: TheDesk) -> DatasetOut:
    """Ask it to stop; what is written stays, and it can be gone on with."""
    found = _found(desk, name)
    if found.report.state != "finished":
        with contextlib.closing(Ledger(desk.lake, name)) as ledger:
            ledger.cancel()
        note(http, dataset=name)
    return DatasetOut(**_out(desk, _found(desk, name)))


def _found(desk: Desk, name: str) -> Any:
    try:
        return details(desk.lake, name)
    except UsageError as error:
        raise Failed(404, str(error)) from error


def _out(desk: Desk, one: Dataset) -> dict[str, Any]:
    report = one.report
    state = report.state
    if state == "waiting" and background.busy(desk.lake, one.name):
        state = "running"
    names = ("out", "why", "written", "waiting", "failed", "quarantined", "files", "bytes")
    return {
        "name": one.name, "made": one.made, "cohort": one.cohort, "version": one.version,
        "profile": one.wanted["profile"], "formats": one.wanted["formats"],
        "layout": one.wanted["layout"], "state": state, "forgotten": one.forgotten,
        **{name: getattr(report, name) for name in names},
    }  # fmt: skip


def _reasons(rows: tuple[tuple[str, str, int], ...]) -> list[DatasetReason]:
    return [DatasetReason(what=what, why=why, count=count) for what, why, count in rows]


def _ordered(formats: list[Format]) -> tuple[str, ...]:
    return tuple(name for name in FORMATS if name in formats)


def _folder(desk: Desk) -> Path:
    """Where datasets are written: as the settings say, else beside the lake."""
    lake = desk.lake.absolute()
    return desk.settings.datasets.folder or lake.with_name(f"{lake.name}-datasets")


def _may_release(http: Request) -> bool:
    return may(who_of(http), May.RELEASE, filtered=not sees_all(http))
