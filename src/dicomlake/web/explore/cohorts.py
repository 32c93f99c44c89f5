"""Cohorts: frozen, looked through, compared, split, asked for, approved; and withdrawn patients."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.errors import UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.access import masking
from dicomlake.jobs.access.roles import LOCAL, May
from dicomlake.jobs.cohorts import approving, comparing, deciding, keeping, splitting, withdrawing
from dicomlake.jobs.cohorts.checking import check as leaks_of
from dicomlake.jobs.cohorts.keeping import Entry, Version
from dicomlake.lake import Store
from dicomlake.query import Query as Question
from dicomlake.query.sentence import sentence
from dicomlake.web.access.needs import FILTERED, needs, note, who_of
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.queries import Asked
from dicomlake.web.explore.saved import Owner
from dicomlake.web.explore.shapes import Level, Shape, Totals, as_json, condition
from dicomlake.web.problems import Failed, documented
from dicomlake.web.running import QueryId, Running, answered

router = APIRouter(tags=["cohorts"])
TheDesk = Annotated[Desk, Depends(desk_of)]
Name = Annotated[str, Field(min_length=1, max_length=64, description="Of the cohort")]
Number = Annotated[
    int | None, Query(ge=1, le=1 << 30, description="Of the cohort; the newest when left out")
]
Reason = Annotated[str, Field(max_length=deciding.MOST_REASON)]
Words = Annotated[str, Field(min_length=1, max_length=200)]
MOST_SHOWN = 1000
"""Series of one page."""


def _by(request: Request, owner: Owner) -> str:
    """Who does it, as cohorts write it down."""
    return owner or who_of(request).name


By = Annotated[str, Depends(_by)]


class CohortCounts(Totals):
    """How much is included."""

    bytes: int


class CohortStep(Shape):
    """What is left after a condition."""

    depth: int
    text: str
    sentence: str
    kept: Totals


class CohortOut(Shape):
    """A version of a cohort."""

    name: str
    version: int
    kind: Literal["frozen", "saved", "split"]
    project: str
    level: Level
    where: dict[str, Any] | None
    text: str = Field(description="The question; empty: everything, or not for this role")
    sentence: str
    lake_version: int
    made: datetime
    by: str
    comment: str
    counts: CohortCounts
    excluded: int = Field(description="Series that somebody left out")
    withdrawn: int = Field(description="Series of patients who had withdrawn by then")
    erased: int = Field(description="Patients who were erased since")
    digest: str
    approved: bool
    split: dict[str, Any] | None = Field(description="How it was split, if it was")


class SplitShare(Shape):
    """What is in a split, and in a fold of it."""

    split: str | None
    fold: int | None
    patients: int
    studies: int
    series: int


class Decision(Shape):
    """What somebody decided, or did."""

    n: int
    what: str
    by: str
    at: datetime
    series: int = Field(description="How many series it is about")
    reason: str
    flag: str
    pending: bool = Field(description="Whether the newest version does not have it yet")


class RequestOut(Shape):
    """A request for a version, and what was decided about it."""

    n: int
    version: int
    by: str
    at: datetime
    purpose: str
    ethics: str
    profile: str
    valid_until: str
    state: Literal["open", "approved", "refused"]
    over: bool = Field(description="Whether its last day has gone by")
    decided_by: str
    decided_at: datetime | None
    comment: str


class CohortDetails(CohortOut):
    """A version of a cohort with all that is known of it."""

    whole: Totals
    attrition: list[CohortStep]
    withdrawn_since: int
    missing: int = Field(description="Series that are not in the lake any more")
    changed: int = Field(description="Series that have another number of instances now")
    shares: list[SplitShare]
    history: list[CohortOut] = Field(description="All versions, newest first")
    log: list[Decision] = Field(description="Newest first")
    requests: list[RequestOut] = Field(description="Newest first")


class NewCohort(Asked):
    """A question to freeze."""

    name: Name
    comment: Reason = ""


class NewDecision(Shape):
    """What somebody decides of series, studies or patients."""

    what: Literal["include", "exclude", "flag", "comment"]
    level: Literal["series", "study", "patient"] = "series"
    of: list[Words] = Field(min_length=1, max_length=10_000, description="UIDs or PatientIDs")
    reason: Reason = ""
    flag: str = Field("", max_length=64)


class NewComment(Shape):
    """A comment."""

    comment: Reason = ""


class NewSplit(Shape):
    """How to split: fractions, values or dates, or only folds."""

    by: Literal["patient", "site", "device", "model", "source", "date"] = "patient"
    fractions: dict[str, float] = Field({}, max_length=20, examples=[{"train": 0.8, "test": 0.2}])
    values: dict[str, str] = Field({}, max_length=1000)
    dates: dict[str, str] = Field({}, max_length=20)
    stratify: list[Words] = Field([], max_length=10)
    seed: int = Field(0, ge=-(1 << 53), le=1 << 53)
    folds: int = Field(0, ge=0, le=splitting.MOST_FOLDS)
    comment: Reason = ""


class LeakOut(Shape):
    """Something that is in several splits or folds, or in none."""

    kind: str
    level: Literal["error", "warning", "note"]
    of: str
    count: int
    message: str
    series: list[str]


class SeriesRow(Shape):
    """A series of a cohort, and what the lake says of it."""

    SeriesInstanceUID: str
    StudyInstanceUID: str
    PatientID: str
    patient_key: str
    Modality: str
    SeriesDescription: str
    StudyDescription: str
    StudyDate: str
    instances: int
    state: Literal["included", "excluded", "withdrawn"]
    reason: str
    flag: str
    split: str | None
    fold: int | None
    here: bool = Field(description="Whether the lake has it still")
    pictured: bool = Field(description="Whether it has images")


class SeriesPage(Shape):
    """Some series of a cohort, with what was decided since the newest version."""

    total: int
    offset: int
    states: dict[str, int] = Field(description="Series by state")
    flags: dict[str, int] = Field(description="Series by flag")
    splits: dict[str, int]
    rows: list[SeriesRow]


class NewsOut(Shape):
    """What the question finds now beyond a version."""

    any: bool
    counts: CohortCounts
    changed: int = Field(description="Series that were read again since")
    lost: int = Field(description="Series that the question does not find any more")
    missing: int = Field(description="Series that are not in the lake any more")
    lake_version: int
    series: list[str] = Field(description="Some of what is new")


class CohortSides(Shape):
    """How much one side has alone, or both have."""

    only_a: int
    both: int
    only_b: int


class SeriesDifference(Shape):
    """A series that only one side has."""

    SeriesInstanceUID: str
    StudyInstanceUID: str
    PatientID: str
    Modality: str
    side: Literal["only_a", "only_b"]
    why: str
    reason: str


class CohortsCompared(Shape):
    """Two versions beside each other."""

    a: CohortOut
    b: CohortOut
    counts: dict[str, CohortSides]
    why: dict[str, dict[str, int]]
    rows: list[SeriesDifference] = Field(description="The first of them")


class NewRequest(Shape):
    """A request to use a version."""

    purpose: str = Field(min_length=1, max_length=2000)
    ethics: str = Field("", max_length=2000, description="Number of the vote")
    profile: str = Field("", max_length=2000, description="Of de-identification")
    valid_until: str = Field("", max_length=10, description="Last day")
    version: int | None = Field(None, ge=1, le=1 << 30)


class Judgement(Shape):
    """What a steward decides about a request."""

    n: int = Field(ge=1, le=1 << 30, description="Of the request")
    what: Literal["approve", "refuse"]
    comment: Reason = ""


class NewWithdrawal(Shape):
    """Patients who withdraw, or whose withdrawal was a mistake."""

    PatientID: list[Words] = Field(min_length=1, max_length=10_000)
    issuer: str | None = Field(None, max_length=200, description="Any when left out")
    reason: Reason = ""
    undo: bool = False


class PastExport(Shape):
    """An export of before that holds patients who withdrew."""

    name: str
    cohort: str = Field(description="Empty: of a question")
    version: int | None
    made: str
    where: str
    series: int


class WithdrawalOut(Shape):
    """What a withdrawal reached."""

    patients: int
    unknown: int = Field(description="Patients whom the lake does not have")
    cohorts: dict[str, int] = Field(description="Series that each cohort loses")
    exports: list[PastExport]


class Withdrawn(Shape):
    """A patient who is withdrawn."""

    PatientID: str
    issuer: str | None
    by: str
    at: datetime
    reason: str


_TOTALS = {"patients": 2, "studies": 4, "series": 9, "instances": 120}
_COHORT: dict[str, Any] = {
    "name": "knee-mr", "version": 2, "kind": "saved", "project": "", "level": "series",
    "where": {"compare": {"path": "Modality", "op": "=", "value": "MR"}},
    "text": "Modality = 'MR'", "sentence": "Series in which Modality is MR.", "lake_version": 7,
    "made": "2024-01-31T12:00:00Z", "by": "ann", "comment": "after reading",
    "counts": {**_TOTALS, "bytes": 73400320}, "excluded": 1, "withdrawn": 0, "erased": 0,
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "approved": False,
    "split": None,
}  # fmt: skip
_SHARE = {"split": "train", "fold": None, "patients": 2, "studies": 4, "series": 9}
_REQUEST = {
    "n": 3, "version": 2, "by": "ann", "at": "2024-01-31T12:00:00Z", "purpose": "training",
    "ethics": "2024-17", "profile": "research", "valid_until": "2099-12-31", "state": "open",
    "over": False, "decided_by": "", "decided_at": None, "comment": "",
}  # fmt: skip
_DECISION = {
    "n": 3, "what": "exclude", "by": "Doe", "at": "2026-01-31T09:30:00Z", "series": 1,
    "reason": "moved", "flag": "", "pending": True,
}  # fmt: skip
_DETAILS = {
    **_COHORT, "whole": _TOTALS, "attrition": [], "withdrawn_since": 0, "missing": 0, "changed": 0,
    "shares": [_SHARE], "history": [_COHORT], "log": [_DECISION], "requests": [_REQUEST],
}  # fmt: skip
_LEAK = {
    "kind": "study", "level": "error", "of": "split", "count": 1,
    "message": "1 studies are in several splits.", "series": ["1.2.3"],
}  # fmt: skip
_ROW = {
    "SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2", "PatientID": "P1",
    "patient_key": "12", "Modality": "MR", "SeriesDescription": "t1", "StudyDescription": "knee",
    "StudyDate": "2024-01-31", "instances": 20, "state": "included", "reason": "", "flag": "",
    "split": None, "fold": None, "here": True, "pictured": True,
}  # fmt: skip
_PAGE = {
    "total": 9, "offset": 0, "states": {"included": 9}, "flags": {}, "splits": {}, "rows": [_ROW],
}  # fmt: skip
_NEWS = {
    "any": True, "counts": {**_TOTALS, "bytes": 1}, "changed": 0, "lost": 0, "missing": 0,
    "lake_version": 8, "series": ["1.2.4"],
}  # fmt: skip
_COMPARED = {
    "a": _COHORT, "b": _COHORT, "counts": {"series": {"only_a": 0, "both": 9, "only_b": 0}},
    "why": {"only_a": {}, "only_b": {}}, "rows": [],
}  # fmt: skip
_WITHDRAWAL = {"patients": 1, "unknown": 0, "cohorts": {"knee-mr": 4}, "exports": []}
_WITHDRAWN = {
    "PatientID": "P1", "issuer": None, "by": "eve", "at": "2024-01-31T12:00:00Z", "reason": "",
}  # fmt: skip


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _store(desk: Desk) -> Store:
    return desk.lakes.at().store


def _found(http: Request, desk: Desk, name: str, version: int | None = None) -> Version:
    """A version that its caller may see; 404 when there is none."""
    try:
        found = keeping.read(desk.lake, name, version)
    except UsageError as error:
        raise Failed(404, _NONE) from error
    if not _may_see(http, found):
        raise Failed(404, _NONE)
    return found


_NONE = "There is no such cohort, or not that version of it. GET /api/cohorts lists them."


def _may_see(http: Request, version: Version) -> bool:
    """Members of projects with a filter see those of the project."""
    return not http.scope.get(FILTERED) or version.project == who_of(http).project


def _out(http: Request, desk: Desk, version: Version, asked: list[Any]) -> dict[str, Any]:
    """A version as its caller may see it."""
    mine = [one for one in asked if one.version == version.version]
    said = {
        "name": version.name, "version": version.version, "kind": version.kind,
        "project": version.project, "level": version.level, "where": version.where,
        "text": version.text, "sentence": _sentence(version), "lake_version": version.lake_version,
        "made": _moment(version.made), "by": version.by, "comment": version.comment,
        "counts": version.counts, "excluded": version.left_out.get(keeping.EXCLUDED, 0),
        "withdrawn": version.left_out.get(keeping.WITHDRAWN, 0), "erased": version.erased,
        "digest": version.digest, "split": version.split,
        "approved": bool(mine) and mine[-1].approved(time.time()),
    }  # fmt: skip
    if who_of(http).masked:
        least = desk.settings.service.access.mask_below
        counts = masking.totals({**version.counts, "bytes": 0}, least)
        said |= dict.fromkeys(("text", "sentence", "by", "comment", "digest"), "")
        said |= dict.fromkeys(("excluded", "withdrawn", "erased"), 0)
        said |= {"counts": counts, "where": None, "split": None}
    return said


def _sentence(version: Version) -> str:
    return sentence(Question(cohorts.question_of(version), version.level))


@router.get(
    "/api/cohorts",
    dependencies=[needs(May.COUNT)],
    summary="List cohorts, newest first",
    responses={**shown([_COHORT]), **documented(503)},
)
def cohorts_of(http: Request, desk: TheDesk) -> list[CohortOut]:
    """Those of one's project, or all for who sees the whole lake; at their newest version."""
    found = [one for one in cohorts.listed(desk.lake) if _may_see(http, one)]
    return [
        CohortOut(**_out(http, desk, one, approving.requests(desk.lake, one.name))) for one in found
    ]


@router.post(
    "/api/cohorts",
    dependencies=[needs(May.CURATE)],
    summary="Freeze a question as a cohort",
    response_model=CohortOut,
    responses={**shown(_COHORT), **documented(409, 422, 503)},
)
async def freeze(
    http: Request, new: NewCohort, desk: TheDesk, by: By, query_id: QueryId = None
) -> Response:
    """A new cohort, or the next version of one: all series of what the question finds now."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(new.version))
        made = cohorts.freeze(
            lake.store,
            new.name,
            condition(new.where),
            new.level,
            by=by,
            comment=new.comment,
            project=who_of(http).project,
            engine=lake.engine,
            ticket=run,
        )
        note(http, cohort=f"{made.name}@{made.version}", counts=made.counts)
        asked = approving.requests(desk.lake, made.name)
        return as_json(CohortOut(**_out(http, desk, made, asked)).model_dump(mode="json"))

    return await answered(http, desk.board, work, query_id)


@router.get(
    "/api/cohorts/{name}",
    dependencies=[needs(May.COUNT)],
    summary="Show a cohort",
    responses={**shown(_DETAILS), **documented(404, 503)},
)
def show(name: str, http: Request, desk: TheDesk, version: Number = None) -> CohortDetails:
    """A version with counts, attrition, decisions, requests, and what changed in the lake since."""
    found = _found(http, desk, name, version)
    asked = approving.requests(desk.lake, name)
    history = [_out(http, desk, one, asked) for one in cohorts.history(desk.lake, name)]
    told = {**_out(http, desk, found, asked), "history": history}
    if who_of(http).masked:
        least = desk.settings.service.access.mask_below
        told |= dict.fromkeys(("withdrawn_since", "missing", "changed"), 0)
        told |= {key: [] for key in ("shares", "log", "requests", "attrition")}
        return CohortDetails.model_validate({**told, "whole": masking.totals(found.whole, least)})
    opened = cohorts.opened(_store(desk), f"{name}@{found.version}")
    entries = keeping.read(desk.lake, name).entries
    more = {
        "whole": found.whole,
        "attrition": [
            {key: step[key] for key in ("depth", "text", "sentence", "kept")}
            for step in found.attrition
        ],
        "withdrawn_since": opened.withdrawn,
        "missing": opened.missing,
        "changed": opened.changed,
        "shares": _shares(opened.series()),
        "log": [_decision(one, entries) for one in reversed(keeping.log(desk.lake, name))],
        "requests": [_request(one) for one in reversed(asked)],
    }
    return CohortDetails.model_validate({**told, **more})


def _shares(rows: pa.Table) -> list[dict[str, Any]]:
    """What is in splits and folds; nothing where there are none."""
    found = splitting.shares(rows)
    some = any(one["split"] is not None or one["fold"] is not None for one in found)
    return found if some else []


def _decision(entry: Entry, entries: int) -> dict[str, Any]:
    about = entry.about
    reason = next((about[key] for key in ("reason", "comment", "purpose") if about.get(key)), "")
    return {
        "n": entry.n, "what": entry.what, "by": entry.by, "at": _moment(entry.at),
        "series": len(about.get("series", ())), "reason": reason, "flag": about.get("flag", ""),
        "pending": entry.n > entries and entry.what in ("include", "exclude", "flag"),
    }  # fmt: skip


def _request(one: approving.Request) -> dict[str, Any]:
    now = time.time()
    decided = _moment(one.decided_at) if one.decided_at else None
    return {**asdict(one), "at": _moment(one.at), "decided_at": decided, "over": one.over(now)}


@router.get(
    "/api/cohorts/{name}/series",
    dependencies=[needs(May.READ)],
    summary="Show the series of a cohort",
    responses={**shown(_PAGE), **documented(404, 503)},
)
def series(
    name: str,
    http: Request,
    desk: TheDesk,
    version: Number = None,
    state: Annotated[Literal["", "included", "excluded", "withdrawn"], Query()] = "",
    flag: Annotated[str, Query(max_length=64)] = "",
    split: Annotated[str, Query(max_length=64)] = "",
    offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = 100,
) -> SeriesPage:
    """A page of them, by patient and study; without a version with what was decided since."""
    found = _found(http, desk, name, version)
    store = _store(desk)
    rows = deciding.working(store, name) if version is None else keeping.rows(desk.lake, found)
    rows = keeping.seen(store, withdrawing.marked(desk.lake, rows))
    told = {f"{key}s": _by_value(rows.column(key)) for key in ("state", "flag", "split")}
    for key, wanted in (("state", state), ("flag", flag), ("split", split)):
        if wanted:
            rows = rows.filter(pc.equal(rows.column(key), wanted))
    order = [(key, "ascending") for key in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")]
    page = rows.take(pc.sort_indices(rows, order).slice(offset, limit))
    note(http, rows=page.num_rows)
    more = {"total": rows.num_rows, "offset": offset, "rows": _told(store, page)}
    return SeriesPage.model_validate({**told, **more})


def _by_value(column: pa.ChunkedArray) -> dict[str, int]:
    found = pc.value_counts(column.drop_null()).to_pylist()
    return {one["values"]: one["counts"] for one in found if one["values"]}


def _told(store: Store, page: pa.Table) -> list[dict[str, Any]]:
    """Rows of a page with what the lake says of them, in their order."""
    names = ("SeriesDescription", "StudyDescription", "StudyDate")
    columns = ", ".join(f'coalesce("{name}"::varchar, \'\') as "{name}"' for name in names)
    with store.database(only=("series",)) as db:
        db.register("page", page.select(["SeriesInstanceUID"]))
        about = db.sql(
            f'select "SeriesInstanceUID" as uid, {columns}, "Rows" is not null as pictured '
            'from series where "SeriesInstanceUID" in (select "SeriesInstanceUID" from page)'
        ).to_arrow_table()
    here = {row.pop("uid"): row for row in about.to_pylist()}
    shown_ = page.drop_columns(["study_key", "IssuerOfPatientID", "series_id", "bytes", "added"])
    found = []
    for row in shown_.to_pylist():
        more = here.get(row["SeriesInstanceUID"])
        row["patient_key"] = str(row["patient_key"])
        gone = {**dict.fromkeys(names, ""), "pictured": False}
        found.append({**row, **(more or gone), "here": more is not None})
    return found


@router.post(
    "/api/cohorts/{name}/decisions",
    dependencies=[needs(May.CURATE)],
    summary="Include, exclude, flag or comment series",
    responses={**shown(_DECISION), **documented(404, 422, 503)},
)
def decide(name: str, http: Request, new: NewDecision, desk: TheDesk, by: By) -> Decision:
    """What is decided is in the log at once, and in the next version."""
    _found(http, desk, name)
    entry = deciding.decide(
        _store(desk), name, new.what, new.of, new.reason, level=new.level, flag=new.flag, by=by
    )
    note(http, cohort=name, decision=entry.what, series=len(entry.about["series"]))
    return Decision(**_decision(entry, 0))


@router.post(
    "/api/cohorts/{name}/versions",
    dependencies=[needs(May.CURATE)],
    summary="Save what was decided as a version",
    responses={**shown(_COHORT), **documented(404, 422, 503)},
)
def save(name: str, http: Request, said: NewComment, desk: TheDesk, by: By) -> CohortOut:
    """The next version, with what was decided since the newest one."""
    _found(http, desk, name)
    made = cohorts.save(_store(desk), name, by=by, comment=said.comment)
    note(http, cohort=f"{made.name}@{made.version}", counts=made.counts)
    return CohortOut(**_out(http, desk, made, []))


@router.post(
    "/api/cohorts/{name}/split",
    dependencies=[needs(May.CURATE)],
    summary="Split a cohort",
    responses={**shown(_COHORT), **documented(404, 422, 503)},
)
def split(name: str, http: Request, new: NewSplit, desk: TheDesk, by: By) -> CohortOut:
    """The next version, in which every patient has a split; the same seed makes the same one."""
    _found(http, desk, name)
    told = new.model_dump()
    comment = told.pop("comment")
    spec = splitting.Spec(**{**told, "stratify": tuple(told["stratify"])})
    made = splitting.split(_store(desk), name, spec, by=by, comment=comment)
    note(http, cohort=f"{made.name}@{made.version}", counts=made.counts)
    return CohortOut(**_out(http, desk, made, []))


@router.get(
    "/api/cohorts/{name}/check",
    dependencies=[needs(May.READ)],
    summary="Look for what leaks between splits",
    responses={**shown([_LEAK]), **documented(404, 503)},
)
def check(
    name: str, http: Request, desk: TheDesk, version: Number = None, devices: bool = False
) -> list[LeakOut]:
    """Patients, studies, objects and frames of reference in several splits, the worst first."""
    found = _found(http, desk, name, version)
    leaks = leaks_of(_store(desk), f"{name}@{found.version}", devices=devices)
    return [LeakOut(**asdict(one)) for one in leaks]


@router.get(
    "/api/cohorts/{name}/news",
    dependencies=[needs(May.READ)],
    summary="Say what the question finds now",
    response_model=NewsOut,
    responses={**shown(_NEWS), **documented(404, 409, 503)},
)
async def news(
    name: str, http: Request, desk: TheDesk, version: Number = None, query_id: QueryId = None
) -> Response:
    """Series beyond the version, and those of it that are not found or not there any more."""
    found = _found(http, desk, name, version)

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at())
        new = comparing.news(lake.store, f"{name}@{found.version}", engine=lake.engine, ticket=run)
        uids = new.rows.column("SeriesInstanceUID").slice(0, 100).to_pylist()
        return as_json(
            {
                "any": new.any,
                "counts": new.counts,
                "changed": new.changed,
                "lost": new.lost,
                "missing": new.missing,
                "lake_version": new.lake_version,
                "series": uids,
            }
        )

    return await answered(http, desk.board, work, query_id)


@router.get(
    "/api/cohorts/{name}/compare",
    dependencies=[needs(May.READ)],
    summary="Compare two versions, or two cohorts",
    responses={**shown(_COMPARED), **documented(404, 422, 503)},
)
def compare(
    name: str,
    http: Request,
    desk: TheDesk,
    other: Annotated[str, Query(max_length=80, description='"NAME" or "NAME@3": the other one')],
    version: Number = None,
) -> CohortsCompared:
    """What only one of them has, and why; what both have."""
    called, number = keeping.split_name(other)
    first, second = _found(http, desk, name, version), _found(http, desk, called, number)
    found = comparing.compare(_store(desk), f"{name}@{first.version}", f"{called}@{second.version}")
    return CohortsCompared(
        a=CohortOut(**_out(http, desk, first, [])),
        b=CohortOut(**_out(http, desk, second, [])),
        counts={level: CohortSides(**sides) for level, sides in found.counts.items()},
        why=found.why,
        rows=[SeriesDifference(**row) for row in found.rows.slice(0, MOST_SHOWN).to_pylist()],
    )


@router.post(
    "/api/cohorts/{name}/requests",
    dependencies=[needs(May.CURATE)],
    summary="Ask stewards to approve a version",
    responses={**shown(_REQUEST), **documented(404, 422, 503)},
)
def request(name: str, http: Request, new: NewRequest, desk: TheDesk, by: By) -> RequestOut:
    """For a purpose, with the number of a vote, a profile of de-identification and a last day."""
    found = _found(http, desk, name, new.version)
    told = new.model_dump(exclude={"version", "purpose"})
    made = approving.request(_store(desk), f"{name}@{found.version}", new.purpose, by=by, **told)
    return RequestOut(**_request(made))


@router.put(
    "/api/cohorts/{name}/requests",
    dependencies=[needs(May.RELEASE)],
    summary="Approve or refuse a request",
    responses={**shown({**_REQUEST, "state": "approved"}), **documented(404, 422, 503)},
)
def judge(name: str, http: Request, said: Judgement, desk: TheDesk, by: By) -> RequestOut:
    """By a steward, and never one's own; what is approved can be refused later."""
    _found(http, desk, name)
    own = who_of(http) == LOCAL
    done = approving.judge(
        _store(desk), name, said.what, n=said.n, comment=said.comment, by=by, own=own
    )
    note(http, cohort=f"{name}@{done.version}", number=done.n, state=done.state)
    return RequestOut(**_request(done))


@router.get(
    "/api/withdrawals",
    dependencies=[needs(May.RELEASE)],
    summary="List patients who withdrew",
    responses={**shown([_WITHDRAWN]), **documented(503)},
)
def withdrawals(desk: TheDesk) -> list[Withdrawn]:
    """Who is in no cohort, whatever was frozen; newest first."""
    found = sorted(withdrawing.now(desk.lake), key=lambda one: -one["at"])
    names = ("PatientID", "issuer", "by", "reason")
    return [Withdrawn(**{key: one[key] for key in names}, at=_moment(one["at"])) for one in found]


@router.post(
    "/api/withdrawals",
    dependencies=[needs(May.RELEASE)],
    summary="Withdraw patients from all cohorts",
    responses={**shown(_WITHDRAWAL), **documented(422, 503)},
)
def withdraw(http: Request, new: NewWithdrawal, desk: TheDesk, by: By) -> WithdrawalOut:
    """From all later exports; says which cohorts lose what, and which exports held them."""
    store = _store(desk)
    if new.undo:
        number = withdrawing.restore(store, new.PatientID, new.reason, by=by)
        return WithdrawalOut(patients=number, unknown=0, cohorts={}, exports=[])
    done = withdrawing.withdraw(store, new.PatientID, new.reason, issuer=new.issuer, by=by)
    note(http, counts={"patients": done.patients, "cohorts": len(done.cohorts)})
    names = ("name", "cohort", "version", "made", "where", "series")
    exports = [PastExport(**{key: getattr(one, key) for key in names}) for one in done.exports]
    return WithdrawalOut(
        patients=done.patients, unknown=done.unknown, cohorts=done.cohorts, exports=exports
    )
