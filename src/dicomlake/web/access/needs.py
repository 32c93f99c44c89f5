"""What a route needs of its caller: declared at the router or the route, denied where it is not.

router = APIRouter(dependencies=[needs(May.READ)])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.types import Scope

from dicomlake.jobs.access.roles import LOCAL, May, Role, Who, may
from dicomlake.web.problems import Failed

WHO, NEEDED, FILTERED, DEIDENTIFIED, TOLD = (
    f"dicomlake.{name}" for name in ("who", "needs", "filtered", "deidentified", "told")
)
"""Keys of the scope of a request: who calls, what was asked for, whether in a project with a
filter, whether the lake is seen de-identified, and what the audit log is to say."""


class Need:
    """A dependency that lets those in who may."""

    def __init__(self, what: May) -> None:
        self.what = what

    def __call__(self, request: Request) -> None:
        """Raise Failed when the caller may not."""
        scope = request.scope
        scope.setdefault(NEEDED, []).append(self.what)
        who = scope.get(WHO)
        filtered, deidentified = bool(scope.get(FILTERED)), bool(scope.get(DEIDENTIFIED))
        if may(who, self.what, filtered=filtered, deidentified=deidentified):
            return
        if who is None:
            raise Failed(401, UNKNOWN)
        if deidentified and may(who, self.what, filtered=filtered):
            raise Failed(403, "You see the lake de-identified, and this shows it as it is.")
        raise Failed(403, _refused(who, self.what, filtered=filtered))


UNKNOWN = "Send the token of the service as: Authorization: Bearer TOKEN"
_FOR = {
    May.READ: Role.researcher,
    May.SQL: Role.researcher,
    May.OPERATE: Role.admin,
}


def needs(what: May) -> Any:
    """A dependency of a route or router that says what it needs."""
    return Depends(Need(what))


def declared(app: FastAPI) -> Iterator[tuple[str, str, frozenset[May]]]:
    """Method, path and needs of every route of an application that is ours."""
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context.route, "dependant", None)
        path = context.path
        if dependant is None or path is None:
            continue
        found = (one.call for one in dependant.dependencies)
        needed = frozenset(call.what for call in found if isinstance(call, Need))
        for method in sorted(context.methods or ()):
            yield method, path, needed


def _refused(who: Who, what: May, *, filtered: bool) -> str:
    role = _FOR.get(what, Role.steward)
    if filtered and may(who, what, filtered=False):
        return f"The project {who.project} sees a part of the lake, and this is about all of it."
    return f"The role {who.role} does not allow this; {role} does. Ask a steward of the lake."


def who_of(request: Request) -> Who:
    """Who calls; everybody on this machine where nothing else is known."""
    who: Who | None = request.scope.get(WHO)
    return who or LOCAL


def told(scope: Scope) -> dict[str, Any]:
    """What the audit log is to say of a request; routes add to it."""
    found: dict[str, Any] = scope.setdefault(TOLD, {})
    return found


def note(request: Request, **said: Any) -> None:
    """Let the audit log say more of a request: counts, rows, UIDs."""
    told(request.scope).update(said)


def sees_all(request: Request) -> bool:
    """Whether the caller sees the whole lake, as it is, and exact numbers."""
    scope = request.scope
    return not (scope.get(FILTERED) or scope.get(DEIDENTIFIED) or who_of(request).masked)
