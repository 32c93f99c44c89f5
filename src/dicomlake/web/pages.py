"""The pages of the service: the web application, as built from `ui/`, and nothing from elsewhere.

The application is one document and files with a hash in their names. It holds no patient data:
what it shows, it asks of `/api` and `/dicom-web`, where a token may be asked for.
"""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from dicomlake.jobs.access.roles import May
from dicomlake.web.access.needs import needs
from dicomlake.web.problems import Failed

STATIC = Path(__file__).with_name("static")
"""Where `make ui` puts the application."""
PAGES = (
    "activity",
    "ask",
    "audit",
    "charts",
    "dose",
    "cohorts",
    "datasets",
    "documents",
    "bring",
    "enrichers",
    "federation",
    "jobs",
    "patients",
    "saved",
    "sources",
    "status",
    "studies",
)
"""First parts of the addresses that the application shows; the rest of them is its own."""
ASSETS = "assets"
VIEWER = "viewer"
"""Where OHIF is served, when it is installed."""
_NONCE = b"NONCE-OF-THIS-ANSWER"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}
_PACKED = frozenset([".css", ".js", ".json", ".svg", ".txt"])
"""Ends of names of files that become smaller."""
_NOT_BUILT = """\
The web application is not built, everything else is here: GET /api/openapi.json lists it.

In a copy of the sources, install Node 20 or newer with npm, and then: make ui
Packages of dicomlake bring the application along.
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def open_page(path: str) -> bool:
    """Whether an address is one of the application's, for which no token is asked.

    >>> open_page("/"), open_page("/studies/1.2.3"), open_page("/api/jobs")
    (True, True, False)
    """
    first = path.lstrip("/").partition("/")[0]
    return path == "/" or (path.startswith("/") and first in (*PAGES, ASSETS, VIEWER))


def pages(static: Path = STATIC) -> APIRouter:
    """Routes of the application that lies in a folder; of a word about it when there is none."""
    router = APIRouter(include_in_schema=False, dependencies=[needs(May.OPEN)])
    files = _Files(static)

    def page() -> Response:
        return files.page()

    def asset(name: str, request: Request) -> Response:
        return files.asset(name, request.headers)

    for first in PAGES:
        _get(router, f"/{first}", page)
        _get(router, f"/{first}/{{rest:path}}", page)
    _get(router, "/", page)
    _get(router, f"/{ASSETS}/{{name}}", asset)
    return router


def _get(router: APIRouter, path: str, answer: Callable[..., Response]) -> None:
    router.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None)


class _Files:
    """Files of the application; packed ones are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packed: dict[str, bytes] = {}

    def page(self) -> Response:
        """The one document, with a nonce that lets the application add styles."""
        try:
            document = (self._folder / "index.html").read_bytes()
        except OSError:
            return PlainTextResponse(_NOT_BUILT, 503, {"Cache-Control": "no-store"})
        nonce = secrets.token_urlsafe(16)
        headers = {"Content-Security-Policy": _POLICY.format(nonce=nonce), **_GUARDS}
        headers["Cache-Control"] = "no-store"  # the nonce is for one answer
        return Response(
            document.replace(_NONCE, nonce.encode()), 200, headers, media_type=_TYPES[".html"]
        )

    def asset(self, name: str, asked: Mapping[str, str]) -> Response:
        """A file with a hash in its name, which so never changes."""
        path = self._folder / ASSETS / name
        media = _TYPES.get(path.suffix)
        if media is None or not _is_ours(path, self._folder / ASSETS):
            raise Failed(404, "The application has no such file. Load its page again.")
        headers = {"Cache-Control": "public, max-age=31536000, immutable", **_GUARDS}
        content = path.read_bytes()
        if path.suffix in _PACKED:
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in asked.get("accept-encoding", ""):
                headers["Content-Encoding"] = "gzip"
                if name not in self._packed:
                    self._packed[name] = gzip.compress(content, 6, mtime=0)
                content = self._packed[name]
        return Response(content, 200, headers, media_type=media)


def _is_ours(path: Path, folder: Path) -> bool:
    """Whether a path is a file of a folder itself, and no link out of it."""
    try:
        return path.parent == folder and path.is_file() and not path.is_symlink()
    except (OSError, ValueError):  # a name that no file can have
        return False
