"""The door of the service: who may enter, how much a request may be, what never gets out.

The name in `Host` must be one of ours, so that no web page can point a name of its own at this
machine (DNS rebinding), and what changes something must not come from another site's page. What no
route has said who may ask for it is not given out.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicomlake.errors import DicomlakeError, UsageError
from dicomlake.jobs.access.roles import Who
from dicomlake.web import problems
from dicomlake.web.access.deidentified import deidentified
from dicomlake.web.access.gate import Called, Gate
from dicomlake.web.access.needs import DEIDENTIFIED, FILTERED, NEEDED, UNKNOWN, WHO
from dicomlake.web.access.trail import MOST_BODY, Trail
from dicomlake.web.pages import open_page

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1000**2
"""Of the body of a request."""
MOST_STORED = 64 * 1000**3
"""Of the body of a request that stores objects; it is never held as a whole."""
_STORES = "/dicom-web/studies"
_FILES = (_STORES, "/api/facts", "/api/facts/tasks", "/api/convert/files")
OPEN = (
    "/api/health",
    "/api/me",
    "/api/login",
    "/api/login/start",
    "/api/login/done",
    "/api/logout",
)
"""Paths for which no token is asked, beside those of the pages, which hold no data."""
UNDECLARED = ("/api/openapi.json",)
"""Paths of routes that are not ours and so declare nothing; they need somebody who is known."""
_LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1"])
_SAFE = frozenset(["GET", "HEAD", "OPTIONS"])
_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""What an answer may do when a browser shows it by itself: nothing."""


class Guard:
    """Stands before an application."""

    def __init__(self, app: ASGIApp, gate: Gate, trail: Trail) -> None:
        self._app, self._gate, self._trail = app, gate, trail
        service = gate.settings.service
        bound = service.host.strip("[]").lower()
        outside = urlsplit(service.url).hostname
        more = {outside} if outside else set()
        self._names = _LOOPBACK | {bound} | more | {name.lower() for name in service.hosts}
        self._everywhere = _is_wildcard(bound)
        self._sites = {urlsplit(service.url).netloc.lower()} if service.url else set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = _Passage(scope, receive, send, self._trail)
        headers = Headers(scope=scope)
        refused = self._strange(scope["method"], scope["path"], headers)
        if refused is not None:
            await passage.problem(*refused)
            return
        try:
            await self._enter(scope, headers, passage)
        except Exception as error:  # noqa: BLE001  what a bug says may hold values: only its name
            if passage.over and not passage.started:
                await passage.problem(413, _TOO_LARGE)
                return
            log.error("request failed", extra={"error": type(error).__name__})
            if passage.started:
                raise ConnectionError("the answer was cut short") from None
            await passage.problem(500, "Something went wrong here, not with the request.")

    async def _enter(self, scope: Scope, headers: Headers, passage: _Passage) -> None:
        try:
            called = await self._called(scope, headers)
        except DicomlakeError as error:  # tokens that cannot be read open nothing
            await passage.problem(503, str(error))
            return
        passage.called = called
        refused = self._unknown(scope, headers, called)
        if refused is None:
            refused = self._place(scope, headers, called.who)
        if refused is not None:
            await passage.refuse(*refused, wait_s=called.wait_s)
            return
        await self._app(scope, passage.receive, passage.send)
        await passage.finish()

    async def _called(self, scope: Scope, headers: Headers) -> Called:
        if "authorization" in headers:  # an issuer may be asked for its keys
            return await run_in_threadpool(self._gate.called, scope)
        return self._gate.called(scope)

    def _unknown(self, scope: Scope, headers: Headers, called: Called) -> tuple[int, str] | None:
        """Why somebody who is not known is not let in."""
        if called.cookie and scope["method"] not in _SAFE and not _says_site(headers):
            return 403, "A browser has to say where a request comes from (Origin)."
        if called.who is not None or _free(scope["method"], scope["path"]):
            return None
        if called.wait_s:
            return 429, "There were too many wrong tokens. Wait, then send the right one."
        return 401, UNKNOWN

    def _place(self, scope: Scope, headers: Headers, who: Who | None) -> tuple[int, str] | None:
        """Put somebody into their project; why that cannot be."""
        if who is None:
            return None
        try:
            who = self._gate.project(who, headers.get("x-project"))
        except UsageError as error:
            return 403, str(error)
        project = self._gate.settings.project.get(who.project) if who.project else None
        scope[WHO] = who
        if who.project and project is None and not _free(scope["method"], scope["path"]):
            return 403, "Your project is not in the settings any more. Ask a steward of the lake."
        scope[FILTERED] = project is not None and bool(project.filter.strip())
        scope[DEIDENTIFIED] = deidentified(who, self._gate.settings)
        return None

    def _strange(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._ours(host):
            return 403, (
                "The service is not known by that name. Use its address, or add the name to hosts "
                "in the settings of the service."
            )
        if method not in _SAFE and not _same_site(headers, {host.lower()} | self._sites):
            return 403, "Pages of other sites may not change anything here."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > _most(method, path):
            return 413, _TOO_LARGE
        return None

    def _ours(self, host: str) -> bool:
        """Whether a Host header names this service."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or (self._everywhere and _is_address(name))


_TOO_LARGE = f"The request is too large. Send at most {MOST_BYTES // 1000**2} MB at a time."
_UNSAID = "Nobody has said who may ask for this, so nobody may."


class _Passage:
    """What goes in and out of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, trail: Trail) -> None:
        self._scope, self._receive, self._send, self._trail = scope, receive, send, trail
        self._most = _most(scope["method"], scope["path"])
        self._size = self._sent = self._line = 0
        kind = dict(scope["headers"]).get(b"content-type", b"")
        self._asks = scope["path"].startswith("/api/") and not kind.startswith(b"multipart")
        self._body = bytearray()
        self._began = time.monotonic()
        self.called = Called(None, "")
        self.started = self._stopped = False

    @property
    def over(self) -> bool:
        """Whether the request is too large."""
        return self._size > self._most

    async def receive(self) -> Message:
        """The next piece of the request; one that is too large ends."""
        message = await self._receive()
        piece = message.get("body", b"")
        self._size += len(piece)
        if self._asks and len(self._body) <= MOST_BODY:
            self._body += piece[: MOST_BODY + 1]
        return {"type": "http.disconnect"} if self.over else message

    async def send(self, message: Message) -> None:
        """The next piece of the answer."""
        if self._stopped:
            return
        if self.over:
            if not self.started:
                await self.problem(413, _TOO_LARGE)
            return
        if message["type"] == "http.response.start":
            if not self._declared(message["status"]):
                await self.refuse(403, _UNSAID)
                return
            if not await self._written(message["status"]):
                return
            self.started = True
            _protect(MutableHeaders(scope=message))
        else:
            self._sent += len(message.get("body", b""))
        await self._send(message)

    def _declared(self, status: int) -> bool:
        """Whether a route has said who may have its answer; errors are everybody's."""
        path = self._scope["path"]
        return status >= 400 or bool(self._scope.get(NEEDED)) or path in UNDECLARED

    async def _written(self, status: int) -> bool:
        """Whether the audit log says of the answer, if it has to; else the answer stays here."""
        try:
            self._line = await self._trail.write(
                self._scope, self.called, status, bytes(self._body), self._began
            )
        except DicomlakeError as error:
            log.error("audit log cannot be written")
            await self.problem(503, str(error))
            return False
        return True

    async def finish(self) -> None:
        """Say in the audit log how an answer ended."""
        if self._line:
            try:
                await self._trail.end(self._scope, self.called, self._line, self._sent)
            except DicomlakeError:
                log.error("audit log cannot be written")

    async def refuse(self, status: int, detail: str, *, wait_s: float = 0.0) -> None:
        """Answer with a problem that the audit log tells of."""
        if await self._written(status):
            await self.problem(status, detail, wait_s=wait_s)

    async def problem(self, status: int, detail: str, *, wait_s: float = 0.0) -> None:
        """Answer with a problem, and with nothing else."""
        self.started = self._stopped = True
        content, media = problems.told(self._scope["path"], status, detail)
        headers = {"content-type": media, "content-length": str(len(content))}
        headers |= {"cache-control": "no-store"}
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        if wait_s:
            headers["retry-after"] = str(math.ceil(wait_s))
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        start: Message = {"type": "http.response.start", "status": status, "headers": raw}
        _protect(MutableHeaders(scope=start))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": content})


def _protect(headers: MutableHeaders) -> None:
    """Headers that keep browsers from doing more with an answer than showing it."""
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Content-Security-Policy", _POLICY)
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Referrer-Policy", "no-referrer")


def _free(method: str, path: str) -> bool:
    """Whether a path is open to everybody."""
    return path in OPEN or (method in _SAFE and open_page(path))


def _most(method: str, path: str) -> int:
    """How many bytes a request may have."""
    stores = method == "POST" and (path in _FILES or path.startswith(f"{_STORES}/"))
    return MOST_STORED if stores else MOST_BYTES


def _is_wildcard(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_address(name: str) -> bool:
    """Whether a name is an address: nobody can point it elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_site(headers: Headers, sites: set[str]) -> bool:
    """Whether a browser, if it is one, says that the request comes from our own page."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() in sites


def _says_site(headers: Headers) -> bool:
    """Whether a browser says where a request comes from, as it does when it changes something."""
    return "origin" in headers or "sec-fetch-site" in headers
