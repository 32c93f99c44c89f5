"""OMOP: the lake or a cohort as tables, made beside other work, and fetched."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from dicomlake.errors import UsageError
from dicomlake.jobs.access.roles import May, may
from dicomlake.jobs.cohorts import opened
from dicomlake.jobs.door.pseudonym import name_of
from dicomlake.jobs.omop import Asked, write
from dicomlake.web.access.needs import needs, note, sees_all, who_of
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.exports import Export, Exports
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["omop"])
TheDesk = Annotated[Desk, Depends(desk_of)]
IDENTIFIED = "identified"
_MEDIA = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}


class NewOmop(Shape):
    """What is wanted."""

    cohort: str = Field("", max_length=80, description="NAME or NAME@VERSION; else the whole lake")
    pseudonyms: str = Field(
        "", max_length=64, description="Of [pseudonyms.NAME]; identified: as it is"
    )
    form: Literal["csv", "parquet"] = "parquet"
    notes: bool = Field(False, description="Texts of documents, of identified tables alone")
    year_of_birth: int | None = Field(
        None, ge=1850, le=2100, description="Of persons of whom nobody says one; else left out"
    )


class OmopFile(Shape):
    """A table."""

    name: str
    table: str
    rows: int
    bytes: int


class OmopOut(Shape):
    """Tables, and how far they are. They are kept for a day."""

    id: str
    began: datetime
    state: Literal["running", "finished", "failed"]
    why: str
    cohort: str
    pseudonyms: str
    stage: str = Field(description="What is being made: a table, or what comes before them")
    rows: int = Field(description="Written so far")
    files: list[OmopFile]
    left_out: dict[str, int] = Field(
        description="Series without_day, persons without_birth, facts undated and unlinked"
    )
    unmapped: int = Field(description="Codes without a concept")
    codes: int


_OUT: dict[str, Any] = {
    "id": "x7Vb2n", "began": "2024-01-31T12:00:00Z", "state": "finished", "why": "",
    "cohort": "livers@3", "pseudonyms": "study", "stage": "", "rows": 84,
    "files": [{"name": "person.parquet", "table": "person", "rows": 84, "bytes": 4096}],
    "left_out": {"without_day": 0, "without_birth": 2, "undated": 0, "unlinked": 1},
    "unmapped": 3, "codes": 12,
}  # fmt: skip


class _Told:
    """How far an export is, as a Progress."""

    def __init__(self, made: Export) -> None:
        self._made = made

    @property
    def cancelled(self) -> bool:
        """Whether somebody has stopped it."""
        return self._made.cancelled

    @cancelled.setter
    def cancelled(self, said: bool) -> None:
        self._made.cancelled = said

    def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
        """A new part begins."""
        self._made.told["stage"] = name

    def advance(self, count: int = 1) -> None:
        """So many more rows are written."""
        self._made.lines += count


@router.get(
    "/api/omop",
    dependencies=[needs(May.EXPORT)],
    summary="List the tables of OMOP that the caller had made",
    responses={**shown([_OUT]), **documented(403, 503)},
)
def listed(http: Request) -> list[OmopOut]:
    """Those of the last day, the newest first."""
    return [_out(one) for one in _exports(http).all_of(_owner(http))]


@router.post(
    "/api/omop",
    dependencies=[needs(May.EXPORT)],
    status_code=202,
    summary="Make tables of OMOP of a cohort, or of the lake",
    response_model=OmopOut,
    responses={
        202: {"description": "They are being made",
              "content": {"application/json": {"example": {**_OUT, "state": "running"}}}},
        **documented(403, 404, 422, 429, 503),
    },
)  # fmt: skip
def make(new: NewOmop, http: Request, desk: TheDesk) -> OmopOut:
    """Have them made beside other work. What is identified, or not of an approved cohort, is for
    stewards."""
    cohort = _cohort(new, http, desk)
    identified = new.pseudonyms == IDENTIFIED
    if identified and not _may_release(http):
        raise Failed(403, "Identified data is handed out by stewards: choose pseudonyms instead.")
    names = "" if identified else name_of(desk.lake, desk.settings, new.pseudonyms)
    told = desk.settings.omop
    asked = Asked(
        new.form, cohort, told.vocabulary, names, new.notes, new.year_of_birth, told.wado
    )  # fmt: skip
    store = desk.lakes.at().store
    settings = desk.settings

    def work(made: Export) -> None:
        report = write(store, made.folder, asked, settings, _Told(made))
        made.files = {path.name: (path.stem, report.rows[path.stem]) for path in report.files}
        names = ("without_day", "without_birth", "undated", "unlinked")
        made.told |= {"left_out": {name: getattr(report, name) for name in names}, "stage": "",
                      "unmapped": report.unmapped, "codes": report.codes}  # fmt: skip

    made = _exports(http).start(_owner(http), str(http.url), work)
    made.told |= {"cohort": cohort, "pseudonyms": names or IDENTIFIED}
    note(http, export=made.id[:6], cohort=cohort, pseudonyms=names or IDENTIFIED)
    return _out(made)


@router.get(
    "/api/omop/{id}",
    dependencies=[needs(May.EXPORT)],
    summary="Show how far tables of OMOP are",
    responses={**shown(_OUT), **documented(403, 404, 503)},
)
def show(id: str, http: Request) -> OmopOut:
    """Its files when they are there, and what was left out."""
    return _out(_exports(http).of(_owner(http), id))


@router.get(
    "/api/omop/{id}/files/{name}",
    dependencies=[needs(May.EXPORT)],
    summary="Fetch a table of OMOP",
    response_class=FileResponse,
    responses={**shown("person_id,gender_concept_id", "text/csv"), **documented(403, 404, 503)},
)
def file(id: str, name: str, http: Request) -> FileResponse:
    """A file of one that is finished."""
    made = _exports(http).of(_owner(http), id)
    if made.state != "finished" or name not in made.files:
        raise Failed(404, "There is no such table, or not yet. GET /api/omop/{id} lists them.")
    note(http, rows=made.files[name][1])
    return FileResponse(made.folder / name, media_type=_MEDIA[Path(name).suffix], filename=name)


@router.delete(
    "/api/omop/{id}",
    dependencies=[needs(May.EXPORT)],
    status_code=204,
    summary="Stop tables of OMOP that are being made, or remove them",
    responses={204: {"description": "They are gone"}, **documented(403, 404, 503)},
)
def remove(id: str, http: Request) -> Response:
    """Their files go, too."""
    exports = _exports(http)
    exports.cancel(exports.of(_owner(http), id))
    return Response(status_code=204)


def _cohort(new: NewOmop, http: Request, desk: Desk) -> str:
    """The cohort with its version; 403 for one that may not leave."""
    needs_approval = desk.settings.datasets.approval and not _may_release(http)
    if not new.cohort:
        if needs_approval:
            raise Failed(403, "The whole lake is handed out by stewards: name an approved cohort.")
        return ""
    try:
        cohort = opened(desk.lake, new.cohort)
    except UsageError as error:
        raise Failed(404, str(error)) from error
    if desk.settings.datasets.approval and not cohort.approved:
        raise Failed(
            403,
            f"{cohort.name}@{cohort.version} is not approved. Ask a steward of the lake for it.",
        )
    return f"{cohort.name}@{cohort.version}"


def _out(made: Export) -> OmopOut:
    told = made.told
    files = [
        OmopFile(name=name, table=table, rows=rows, bytes=(made.folder / name).stat().st_size)
        for name, (table, rows) in (made.files.items() if made.state == "finished" else ())
    ]
    return OmopOut(
        id=made.id, began=made.began, state=made.state, why=made.why, files=files,  # type: ignore[arg-type]
        cohort=told.get("cohort", ""), pseudonyms=told.get("pseudonyms", ""),
        stage=told.get("stage", ""), rows=made.lines, left_out=told.get("left_out", {}),
        unmapped=told.get("unmapped", 0), codes=told.get("codes", 0),
    )  # fmt: skip


def _exports(http: Request) -> Exports:
    found: Exports = http.app.state.omop
    return found


def _owner(http: Request) -> tuple[str, str]:
    who = who_of(http)
    return (f"{who.name} {who.how}", who.project)


def _may_release(http: Request) -> bool:
    return may(who_of(http), May.RELEASE, filtered=not sees_all(http))
