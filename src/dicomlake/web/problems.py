"""What went wrong, as application/problem+json (RFC 9457): a sentence without patient data.

Below `/fhir` it is an OperationOutcome with the same sentence.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from dicomlake.errors import DicomlakeError, LakeError, NotAllowed, ServiceError, UsageError
from dicomlake.jobs.snapshots import NoVersion

MEDIA = "application/problem+json"
FHIR_MEDIA = "application/fhir+json"
_MOST_MISTAKES = 20


class Problem(BaseModel):
    """What went wrong, and what to do."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no job '20240131-1f'. GET /api/jobs lists them."])
    position: int | None = Field(None, description="Of a question: the character, from 0")
    place: str | None = Field(None, description="Of a question: the condition in the JSON tree")
    near: list[str] | None = Field(None, description="Names that may be meant")


class Failed(Exception):
    """Ends a request with a status and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(detail)


def body(status: int, detail: str, **more: Any) -> bytes:
    """A problem as bytes; `more`: where it is."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=_text(detail), **more)
    return orjson.dumps(problem.model_dump(exclude_none=True))


def _text(detail: str) -> str:
    """A text without halves of characters."""
    return detail.encode("utf-8", "replace").decode()


_ISSUES = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported",
    406: "not-supported", 409: "conflict", 410: "deleted", 413: "too-long", 415: "not-supported",
    422: "invalid", 429: "throttled", 503: "transient",
}  # fmt: skip
"""The code of an issue by the status of its answer."""


def outcome(status: int, detail: str) -> bytes:
    """A problem as an OperationOutcome."""
    severity = "error" if status < 500 else "fatal"
    issue = {
        "severity": severity,
        "code": _ISSUES.get(status, "exception"),
        "diagnostics": _text(detail),
    }
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]})


def told(path: str, status: int, detail: str, **more: Any) -> tuple[bytes, str]:
    """A problem of an answer to a path: its bytes, and their media type."""
    if path == "/fhir" or path.startswith("/fhir/"):
        return outcome(status, detail), FHIR_MEDIA
    return body(status, detail, **more), MEDIA


def _answered(
    request: Request, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    content, media = told(request.url.path, status, detail, **more)
    return Response(content, status, headers, media_type=media)


def response(
    status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """A problem as a response; `more`: where it is."""
    return Response(body(status, detail, **more), status, headers, media_type=MEDIA)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of responses that are problems."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        title = HTTPStatus(status).phrase
        example = {"type": "about:blank", "title": title, "status": status, "detail": _SAID[status]}
        schema = {"$ref": "#/components/schemas/Problem"}
        content = {MEDIA: {"schema": schema, "example": example}}
        found[status] = {"description": title, "content": content}
    return found


_SAID = {
    401: "Send the token of the service as: Authorization: Bearer TOKEN",
    403: "Your role does not allow this. Ask a steward of the lake for another one.",
    409: "The answer was cancelled.",
    404: "There is no job '20240131120000-0badcafe'. GET /api/jobs lists them.",
    413: "The request is too large. Send at most 64 MB at a time.",
    422: "There is no source 'pcas'. There are: pacs.",
    429: "There were too many wrong tokens. Try again in 8 seconds.",
    503: "The requests of the lake cannot be read or written. Try again in a moment.",
}


def register(app: FastAPI) -> None:
    """Let an application answer errors with problems."""

    def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, Failed)
        return _answered(request, error.status, error.detail)

    def ours(request: Request, error: Exception) -> Response:
        if isinstance(error, NotAllowed):
            return _answered(request, 403, str(error))
        if isinstance(error, NoVersion):
            return _answered(request, 404, str(error))
        if isinstance(error, LakeError | ServiceError):
            return _answered(request, 503, str(error), {"Retry-After": "5"})
        if not isinstance(error, UsageError):
            return _answered(request, 500, str(error))
        near = list(error.near) or None
        return _answered(
            request, 422, str(error), position=error.position, place=error.place, near=near
        )

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _answered(request, 422, mistakes(error.errors()))

    def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = {404: "There is nothing here. GET /api/openapi.json lists what there is.",
                405: "That cannot be done here. GET /api/openapi.json lists what can."}  # fmt: skip
        detail = said.get(error.status_code, str(error.detail))
        return _answered(request, error.status_code, detail, dict(error.headers or {}))

    app.add_exception_handler(Failed, failed)
    app.add_exception_handler(DicomlakeError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)


def mistakes(errors: Any) -> str:
    """What is wrong with a body or a parameter, in one sentence and without the values sent."""
    told = []
    for found in errors[:_MOST_MISTAKES]:
        place = ".".join(str(part) for part in found["loc"] if part not in ("body", "query"))
        what = found["msg"].removeprefix("Value error, ")
        told.append(f"{place}: {what}" if place else what)
    more = len(errors) - _MOST_MISTAKES
    return "; ".join(told) + (f"; and {more:,} more" if more > 0 else "") + "."
