"""The door of the service: who may enter, how much a request may be, what never gets out.

The name in `Host` must be one of ours, so that no web page can point a name of its own at this
machine (DNS rebinding), and what changes something must not come from another site's page.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicomlake.errors import UsageError
from dicomlake.settings import Service
from dicomlake.web import problems
from dicomlake.web.pages import open_page

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1000**2
"""Of the body of a request."""
MOST_STORED = 64 * 1000**3
"""Of the body of a request that stores objects; it is never held as a whole."""
_STORES = "/dicom-web/studies"
OPEN = ("/api/health",)
"""Paths for which no token is asked, beside those of the pages, which hold no data."""
_LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1"])
_SAFE = frozenset(["GET", "HEAD", "OPTIONS"])


class Guard:
    """Stands before an application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._token = _token(service)
        bound = service.host.strip("[]").lower()
        self._names = _LOOPBACK | {bound} | {name.lower() for name in service.hosts}
        self._everywhere = _is_wildcard(bound)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = _Passage(receive, send, _most(scope["method"], scope["path"]))
        headers = Headers(scope=scope)
        refused = self._refused(scope["method"], scope["path"], headers)
        if refused is not None:
            await passage.problem(*refused)
            return
        try:
            await self._app(scope, passage.receive, passage.send)
        except Exception as error:  # noqa: BLE001  what a bug says may hold values: only its name
            if passage.over and not passage.started:
                await passage.problem(413, _TOO_LARGE)
                return
            log.error("request failed", extra={"error": type(error).__name__})
            if passage.started:
                raise ConnectionError("the answer was cut short") from None
            await passage.problem(500, "Something went wrong here, not with the request.")

    def _refused(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._ours(host):
            return 403, (
                "The service is not known by that name. Use its address, or add the name to hosts "
                "in the settings of the service."
            )
        if method not in _SAFE and not _same_site(headers, host):
            return 403, "Pages of other sites may not change anything here."
        free = path in OPEN or (method in _SAFE and open_page(path))
        if not free and not self._known(headers.get("authorization", "")):
            return 401, "Send the token of the service as: Authorization: Bearer TOKEN"
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

    def _known(self, authorization: str) -> bool:
        if not self._token:
            return True
        scheme, _, token = authorization.partition(" ")
        sent = token.strip().encode("latin-1")  # as headers are decoded
        same = hmac.compare_digest(sent, self._token.encode())
        return same and scheme.lower() == "bearer"


_TOO_LARGE = f"The request is too large. Send at most {MOST_BYTES // 1000**2} MB at a time."


class _Passage:
    """What goes in and out of one request."""

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self._receive, self._send, self._most = receive, send, most
        self._size = 0
        self.started = False

    @property
    def over(self) -> bool:
        """Whether the request is too large."""
        return self._size > self._most

    async def receive(self) -> Message:
        """The next piece of the request; one that is too large ends."""
        message = await self._receive()
        self._size += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.over else message

    async def send(self, message: Message) -> None:
        """The next piece of the answer."""
        if self.over:
            if not self.started:
                await self.problem(413, _TOO_LARGE)
            return
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)

    async def problem(self, status: int, detail: str) -> None:
        """Answer with a problem."""
        self.started = True
        content = problems.body(status, detail)
        headers = {"content-type": problems.MEDIA, "content-length": str(len(content))}
        headers |= {"cache-control": "no-store"}
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        await self._send({"type": "http.response.body", "body": content})


def _most(method: str, path: str) -> int:
    """How many bytes a request may have."""
    stores = method == "POST" and (path == _STORES or path.startswith(f"{_STORES}/"))
    return MOST_STORED if stores else MOST_BYTES


def _token(service: Service) -> str:
    """The token that callers must send; UsageError when one is meant to be, and is empty."""
    token = service.token()
    if not token and (service.token_env or service.token_file):
        raise UsageError("The token of the service is empty. Write one, or ask for none.")
    return token


def _is_wildcard(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_address(name: str) -> bool:
    """Whether a name is an address: nobody can point it elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_site(headers: Headers, host: str) -> bool:
    """Whether a browser, if it is one, says that the request comes from our own page."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()
