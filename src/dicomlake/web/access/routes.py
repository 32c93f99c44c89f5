"""Signing in and out, who one is, and the audit log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import Field

from dicomlake.errors import NotAllowed, UsageError
from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.access.roles import May, Role, Who, may
from dicomlake.web.access.deidentified import deidentified
from dicomlake.web.access.gate import Gate
from dicomlake.web.access.needs import WHO, needs, note, who_of
from dicomlake.web.access.sessions import COOKIE, cookie, cookies
from dicomlake.web.bodies import shown
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["access"])
BINDING = "dicomlake_signing_in"
"""Cookie of a browser that is away at the issuer."""


def gate_of(request: Request) -> Gate:
    """The gate of the service that a request came to."""
    found: Gate = request.app.state.gate
    return found


TheGate = Annotated[Gate, Depends(gate_of)]


class Ways(Shape):
    """How one can sign in."""

    token: bool = Field(description="With an API token")
    oidc: str = Field(description="With an account: what to call it; empty where there is none")


class Me(Shape):
    """Who calls, and what they may do."""

    signed_in: bool
    name: str
    role: Role | None
    project: str = Field(description="The project whose series are seen; empty: the whole lake")
    title: str = Field(description="What people call the project")
    projects: list[str] = Field(description="Projects that can be chosen")
    deidentified: bool = Field(False, description="Whether the lake is seen de-identified")
    may: list[str] = Field(description="What the role allows here")
    mask_below: int = Field(description="Counts of fewer patients are shown as 0; 0: exact counts")
    session: bool = Field(description="Whether one can sign out")
    ways: Ways


class NewSession(Shape):
    """A token to sign in with."""

    token: str = Field(min_length=1, max_length=20_000)


class ChosenProject(Shape):
    """A project to see."""

    project: str = Field(max_length=64)


class AuditLine(Shape):
    """A line of the audit log; `more` holds what only some lines have."""

    n: int
    time: float = Field(description="Seconds since 1970")
    name: str
    role: str
    project: str
    address: str
    what: str
    status: int | None
    more: dict[str, Any]


class AuditPage(Shape):
    """Lines of the audit log, newest first."""

    total: int = Field(description="Lines that fit")
    good: bool | None = Field(description="Whether the whole chain fits; null when not checked")
    why: str = Field(description="Why it does not")
    head: str = Field(description="Hash of the newest line; note it elsewhere")
    lines: list[AuditLine]


_ME: dict[str, Any] = {
    "signed_in": True, "name": "ann", "role": "researcher", "project": "cardio",
    "title": "Heart failure", "projects": [], "may": ["count", "enter", "open", "read"],
    "mask_below": 0, "session": True, "ways": {"token": True, "oidc": ""},
}  # fmt: skip
_LINE: dict[str, Any] = {
    "n": 7, "time": 1706702400.0, "name": "ann", "role": "researcher", "project": "cardio",
    "address": "10.0.0.8", "what": "POST /api/query", "status": 200,
    "more": {"counts": {"patients": 12}},
}  # fmt: skip
_PAGE: dict[str, Any] = {"total": 1, "good": None, "why": "", "head": "9f" * 32, "lines": [_LINE]}


@router.get(
    "/api/me",
    summary="Say who one is",
    responses=shown(_ME),
    dependencies=[needs(May.OPEN)],
)
def me(request: Request, gate: TheGate) -> Me:
    """Name, role, project and what they allow; or how to sign in. Open to everybody."""
    return _me(request, gate, request.scope.get(WHO))


def _me(request: Request, gate: Gate, who: Who | None) -> Me:
    provider = gate.provider
    ways = Ways(token=not gate.open, oidc=provider.settings.label if provider is not None else "")
    if who is None:
        return Me(
            signed_in=False, name="", role=None, project="", title="", projects=[],
            deidentified=False, may=[May.OPEN], mask_below=0, session=False, ways=ways,
        )  # fmt: skip
    project = gate.settings.project.get(who.project)
    filtered = project is not None and bool(project.filter.strip())
    hidden = deidentified(who, gate.settings)
    allowed = {one for one in May if may(who, one, filtered=filtered, deidentified=hidden)}
    return Me(
        signed_in=True,
        name=who.name,
        role=who.role,
        project=who.project,
        title=(project.title if project is not None else "") or who.project,
        projects=list(who.projects),
        deidentified=hidden,
        may=sorted(allowed),
        mask_below=gate.settings.service.access.mask_below if who.masked else 0,
        session=bool(_cookie(request)),
        ways=ways,
    )


def _cookie(request: Request) -> str:
    return cookies(request.headers.get("cookie", "")).get(COOKIE, "")


@router.post(
    "/api/login",
    summary="Sign in with a token",
    responses={**shown(_ME), **documented(401, 422, 429)},
    dependencies=[needs(May.OPEN)],
)
def login(new: NewSession, request: Request, response: Response, gate: TheGate) -> Me:
    """A session for browsers, as a cookie that scripts cannot read."""
    address = _address(request, gate)
    note(request, what="sign in")
    wait = gate.tries.wait(address)
    if wait:
        raise Failed(429, f"There were too many wrong tokens. Try again in {wait:.0f} seconds.")
    who = gate.who(new.token.strip().encode("utf-8", "replace").decode("latin-1"))
    if who is None:
        gate.tries.failed(address)
        raise Failed(401, "No door opens to that token. Check it, or ask for a new one.")
    note(request, name=who.name, role=who.role, project=who.project, how=who.how)
    kind, _, id_ = who.how.partition(" ")
    vouched = id_ if kind == "token" else "service" if who.how == "the service token" else ""
    _open(response, request, gate, gate.sessions.add(who, vouched))
    return _me(request, gate, who).model_copy(update={"session": True})


def _address(request: Request, gate: Gate) -> str:
    return gate.called(request.scope).address


def _open(response: Response, request: Request, gate: Gate, text: str) -> None:
    """Give a browser the cookie of its session."""
    seconds = gate.sessions.seconds
    made = cookie(COOKIE, text, secure=_secure(request, gate), seconds=seconds)
    response.headers.append("set-cookie", made)


def _secure(request: Request, gate: Gate) -> bool:
    return gate.settings.service.url.startswith("https:") or request.url.scheme == "https"


@router.get(
    "/api/login/start",
    summary="Sign in with an account",
    status_code=302,
    response_class=Response,
    responses={302: {"description": "To the issuer"}, **documented(404, 503)},
    dependencies=[needs(May.OPEN)],
)
def start(
    request: Request,
    gate: TheGate,
    after: Annotated[str, Query(max_length=4000, description="Page to come back to")] = "/",
) -> Response:
    """Send a browser to the issuer of accounts (OpenID Connect, code flow with PKCE)."""
    if gate.provider is None:
        raise Failed(404, "There are no accounts here. Sign in with a token.")
    there, binding = gate.provider.begin(_back(request, gate), _local(after))
    made = RedirectResponse(there, 302)
    bound = cookie(BINDING, binding, secure=_secure(request, gate), seconds=600)
    made.headers.append("set-cookie", bound)
    return made


def _back(request: Request, gate: Gate) -> str:
    """The address to which the issuer sends a browser back."""
    here = f"{request.url.scheme}://{request.headers['host']}"
    return f"{gate.settings.service.url.rstrip('/') or here}/api/login/done"


def _local(after: str) -> str:
    """An address of ours to go on with; the first page for any other."""
    good = after.startswith("/") and not after.startswith(("//", "/\\", "/api/"))
    return after if good and after.isprintable() and "\\" not in after else "/"


@router.get(
    "/api/login/done",
    summary="Come back from the issuer",
    status_code=302,
    response_class=Response,
    responses={302: {"description": "To the page asked for"}, **documented(401, 404, 503)},
    dependencies=[needs(May.OPEN)],
)
def done(
    request: Request,
    gate: TheGate,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Open a session for whom the issuer vouches, and go on."""
    note(request, what="sign in", query="")
    if gate.provider is None:
        raise Failed(404, "There are no accounts here. Sign in with a token.")
    binding = cookies(request.headers.get("cookie", "")).get(BINDING, "")
    try:
        if error or not code:
            raise UsageError("The issuer did not let you in. Begin again.")
        who, after = gate.provider.finish(state, code, binding)
    except NotAllowed as refused:
        raise Failed(403, str(refused)) from refused
    except UsageError as refused:
        raise Failed(401, str(refused)) from refused
    note(request, name=who.name, role=who.role, project=who.project, how=who.how)
    made = RedirectResponse(after, 302)
    _open(made, request, gate, gate.sessions.add(who))
    gone = cookie(BINDING, "", secure=_secure(request, gate), seconds=0)
    made.headers.append("set-cookie", gone)
    return made


@router.post(
    "/api/logout",
    summary="Sign out",
    responses=shown({**_ME, "signed_in": False}),
    dependencies=[needs(May.OPEN)],
)
def logout(request: Request, response: Response, gate: TheGate) -> Me:
    """End the session of a browser."""
    if request.scope.get(WHO) is not None and _cookie(request):
        note(request, what="sign out")
    gate.sessions.end(_cookie(request))
    gone = cookie(COOKIE, "", secure=_secure(request, gate), seconds=0)
    response.headers.append("set-cookie", gone)
    return _me(request, gate, None)


@router.post(
    "/api/me/project",
    summary="Choose a project",
    responses={**shown(_ME), **documented(403, 422)},
    dependencies=[needs(May.ENTER)],
)
def choose(chosen: ChosenProject, request: Request, gate: TheGate) -> Me:
    """See the series of another one of one's projects, until signing out."""
    try:
        who = gate.project(who_of(request), chosen.project)
    except UsageError as error:
        raise Failed(403, str(error)) from error
    note(request, what="choose project", project=who.project)
    gate.sessions.choose(_cookie(request), who.project)
    return _me(request, gate, who)


@router.get(
    "/api/audit",
    summary="Read the audit log, newest first",
    responses={**shown(_PAGE), **documented(403, 422, 503)},
    dependencies=[needs(May.AUDIT)],
)
def audit(
    request: Request,
    name: Annotated[str, Query(max_length=200, description="Of who called")] = "",
    what: Annotated[str, Query(max_length=200, description="Part of what was asked for")] = "",
    text: Annotated[str, Query(max_length=200, description="Anywhere in the line")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    verify: Annotated[bool, Query(description="Check the whole chain")] = False,
) -> AuditPage:
    """Who asked for what, when, from where, and what came of it."""
    log: Audit = request.app.state.audit
    lines, total = log.newest(limit, offset, name=name, what=what, any=text)
    checked = log.verify() if verify else None
    newest = lines[0] if lines and not offset else next(iter(log.newest(1)[0]), {})
    return AuditPage(
        total=total,
        good=checked.good if checked else None,
        why=f"Line {checked.broken:,}: {checked.why}" if checked and checked.why else "",
        head=checked.head if checked else str(newest.get("hash", "")),
        lines=[_line(line) for line in lines],
    )


_NAMED = ("n", "time", "name", "role", "project", "what", "status")


def _line(line: dict[str, Any]) -> AuditLine:
    more = {k: v for k, v in line.items() if k not in (*_NAMED, "from", "before", "hash")}
    status = line.get("status")
    return AuditLine(
        n=int(line["n"]),
        time=float(line["time"]),
        name=str(line.get("name", "")),
        role=str(line.get("role", "")),
        project=str(line.get("project", "")),
        address=str(line.get("from", "")),
        what=str(line.get("what", "")),
        status=status if isinstance(status, int) else None,
        more=more,
    )
