"""Questions that people keep, with all their versions, and links to questions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import Field

from dicomlake.errors import UsageError
from dicomlake.jobs.access.roles import LOCAL, May
from dicomlake.jobs.saved import SavedQuery, packed
from dicomlake.query import Query as Question
from dicomlake.query import to_json
from dicomlake.query.sentence import sentence
from dicomlake.web.access.gate import SERVICE
from dicomlake.web.access.needs import DEIDENTIFIED, needs, sees_all, who_of
from dicomlake.web.bodies import Changed, shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.queries import AskedRows
from dicomlake.web.explore.shapes import Shape, condition
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["saved questions"], dependencies=[needs(May.COUNT)])
TheDesk = Annotated[Desk, Depends(desk_of)]


def _owner(
    request: Request,
    user: Annotated[
        str,
        Header(
            alias="X-User",
            max_length=200,
            description="Who asks, as a proxy in front of the service says; believed of callers "
            "who send the token of the service, and where everybody may do everything",
        ),
    ] = "",
) -> str:
    """To whom questions belong: whoever calls, or for whom a proxy does."""
    who = who_of(request)
    if who in (LOCAL, SERVICE):
        return user
    kind, _, sub = who.how.partition(" ")
    return f"{who.name} ({sub})" if kind == "oidc" else who.name


Owner = Annotated[str, Depends(_owner)]


def _within(request: Request) -> str | None:
    """The project whose questions are seen; None: those of all, for who sees the whole lake."""
    if request.scope.get(DEIDENTIFIED):  # questions of others may hold what identifies
        return f"{who_of(request).project}+deidentified"
    return None if sees_all(request) else who_of(request).project


Within = Annotated[str | None, Depends(_within)]
Tag = Annotated[str, Field(min_length=1, max_length=64)]


class NewQuery(Shape):
    """A question to keep under a name."""

    name: str = Field(min_length=1, max_length=200)
    comment: str = Field("", max_length=10_000)
    tags: list[Tag] = Field([], max_length=50)
    shared: bool = Field(False, description="Whether everybody sees it")
    query: AskedRows


class SavedOut(Shape):
    """A question under a name, at one of its versions."""

    id: str
    version: int = Field(description="Of the question; every change makes a new one")
    name: str
    comment: str
    tags: list[str]
    shared: bool
    owner: str
    query: AskedRows
    sentence: str
    saved: datetime


class SavedDetails(SavedOut):
    """A question under a name, with its history."""

    history: list[SavedOut] = Field(description="All versions, newest first")


class Link(Shape):
    """A question as a link."""

    id: str = Field(description="Short name, kept by this service; the same question has the same")
    packed: str = Field(description="Text that holds all of the question, for any service")


class Linked(Shape):
    """The question of a link."""

    query: AskedRows
    sentence: str


_QUERY = {
    "where": {"compare": {"path": "Modality", "op": "=", "value": "MR"}}, "level": "study",
    "version": None, "show": ["PatientID"], "order": ["-StudyDate"],
}  # fmt: skip
_SAVED: dict[str, Any] = {
    "id": "0badcafe0001", "version": 2, "name": "All MR", "comment": "", "tags": ["mr"],
    "shared": True, "owner": "", "query": _QUERY, "sentence": "Studies in which Modality is MR.",
    "saved": "2024-01-31T12:00:00Z",
}  # fmt: skip
_LINK = {"id": "q0123456789abcde", "packed": "zeJyrVkrOyC_NTFWyUqhWykxRslIqSy0qzszPU6qtBQBqkwg2"}


def _told(found: SavedQuery) -> dict[str, Any]:
    query = AskedRows.model_validate(found.query)
    return {
        "id": found.id,
        "version": found.version,
        "name": found.name,
        "comment": found.comment,
        "tags": list(found.tags),
        "shared": found.shared,
        "owner": found.owner,
        "query": query,
        "sentence": _sentence(query),
        "saved": datetime.fromtimestamp(found.saved, UTC),
    }


def _sentence(query: AskedRows) -> str:
    return sentence(_checked(query))


def _checked(query: AskedRows) -> Question:
    where = condition(query.where)
    return Question(where, query.level, tuple(query.show), tuple(query.order))


def _kept(query: AskedRows) -> dict[str, Any]:
    """A question as it is kept: checked, and always with the same spelling."""
    plain = to_json(_checked(query))
    plain.pop("limit")
    return {**plain, "version": query.version}


@router.get(
    "/api/queries",
    summary="List saved questions, newest first",
    responses={**shown([_SAVED]), **documented(503)},
)
def saved(
    desk: TheDesk,
    owner: Owner,
    within: Within,
    tag: Annotated[str, Query(max_length=64, description="Only with this tag")] = "",
) -> list[SavedOut]:
    """Those that are shared, and one's own, at their newest version."""
    found = desk.saved.all(owner, within)
    return [SavedOut(**_told(one)) for one in found if not tag or tag in one.tags]


@router.post(
    "/api/queries",
    summary="Save a question",
    responses={**shown(_SAVED), **documented(422, 503)},
)
def save(new: NewQuery, desk: TheDesk, owner: Owner, within: Within) -> SavedOut:
    """Keep a question under a name."""
    return SavedOut(**_told(_put(desk, new, owner, within, None)))


def _put(desk: Desk, new: NewQuery, owner: str, project: str | None, id_: str | None) -> SavedQuery:
    return desk.saved.put(
        _kept(new.query),
        name=new.name,
        comment=new.comment,
        tags=tuple(dict.fromkeys(new.tags)),
        shared=new.shared,
        owner=owner,
        project=project or "",
        id_=id_,
    )


@router.get(
    "/api/queries/{id}",
    summary="Show a saved question",
    responses={**shown({**_SAVED, "history": [_SAVED]}), **documented(404, 422, 503)},
)
def show(
    id: str,
    desk: TheDesk,
    owner: Owner,
    within: Within,
    version: Annotated[int | None, Query(ge=1, le=1 << 40, description="Of the question")] = None,
) -> SavedDetails:
    """A question under a name, and all its versions."""
    history = _history(desk, id, owner, within)
    found = [one for one in history if version in (None, one.version)]
    if not found:
        raise Failed(404, f"The saved question has no version {version}.")
    return SavedDetails(**_told(found[0]), history=[SavedOut(**_told(one)) for one in history])


def _history(desk: Desk, id_: str, owner: str, project: str | None) -> list[SavedQuery]:
    try:
        found = desk.saved.versions(id_)
    except UsageError as error:
        raise Failed(404, f"{error} GET /api/queries lists them.") from error
    strange = not found[0].shared and found[0].owner not in ("", owner)
    if strange or project not in (None, found[0].project):
        raise Failed(404, f"There is no saved query {id_[:64]!r}. GET /api/queries lists them.")
    return found


@router.put(
    "/api/queries/{id}",
    summary="Change a saved question",
    responses={**shown(_SAVED), **documented(404, 422, 503)},
)
def change(id: str, new: NewQuery, desk: TheDesk, owner: Owner, within: Within) -> SavedOut:
    """Make a new version; the ones before it are kept."""
    before = _history(desk, id, owner, within)[0]
    return SavedOut(**_told(_put(desk, new, before.owner or owner, before.project, id)))


@router.delete(
    "/api/queries/{id}",
    summary="Delete a saved question",
    responses={**shown({"tasks": 2}), **documented(404, 503)},
)
def delete(id: str, desk: TheDesk, owner: Owner, within: Within) -> Changed:
    """Delete a question with all its versions."""
    _history(desk, id, owner, within)
    return Changed(tasks=desk.saved.delete(id))


@router.post(
    "/api/permalink",
    summary="Make a link of a question",
    responses={**shown(_LINK), **documented(422, 503)},
)
def permalink(query: AskedRows, desk: TheDesk) -> Link:
    """A short name that everybody can open here, and a text that holds all of the question."""
    kept = _kept(query)
    return Link(id=desk.saved.link(kept), packed=packed(kept))


@router.get(
    "/api/permalink",
    summary="Open a link",
    responses={
        **shown({"query": _QUERY, "sentence": "Studies in which Modality is MR."}),
        **documented(404, 422, 503),
    },
)
def opened(
    link: Annotated[
        str, Query(min_length=1, max_length=100_000, description="Short name, or packed question")
    ],
    desk: TheDesk,
) -> Linked:
    """The question of a short name, or of a text that holds it."""
    try:
        query = AskedRows.model_validate(desk.saved.opened(link))
    except UsageError as error:
        raise Failed(404, str(error)) from error
    except ValueError as error:
        raise Failed(422, "The link holds no question of this service.") from error
    return Linked(query=query, sentence=_sentence(query))
