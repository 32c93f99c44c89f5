"""OHIF below `/viewer`, as it is installed; it asks our DICOMweb and nothing else."""

from __future__ import annotations

import re
import secrets
from pathlib import Path, PurePosixPath

from fastapi import APIRouter
from fastapi.responses import FileResponse, RedirectResponse, Response
from pydantic import Field

from dicomlake.jobs.access.roles import May
from dicomlake.jobs.ohif import PREFIX, default_folder, status
from dicomlake.settings import Settings
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import shown
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.pages import VIEWER
from dicomlake.web.problems import Failed, documented

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".jsonc": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "text/xml; charset=utf-8",
}
_HASHED = re.compile(r"[0-9a-f]{16}\.")
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere. `unsafe-eval`: its decoders are WebAssembly, and what reads segmentations
compiles its loops."""
_GUARDS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_CONFIG = """\
(() => {
  const root = new URL(window.PUBLIC_URL || "PREFIX-OF-THIS-ANSWER", location.href);
  const web = new URL("../dicom-web", root).href;
  const token = sessionStorage.getItem("dicomlake.token");
  if (token) {
    const open = XMLHttpRequest.prototype.open;
    XMLHttpRequest.prototype.open = function (method, url, ...rest) {
      open.call(this, method, url, ...rest);
      if (new URL(url, location.href).href.startsWith(web))
        this.setRequestHeader("Authorization", `Bearer ${token}`);
    };
    const ask = window.fetch;
    window.fetch = (what, how = {}) => {
      const url = new URL(what instanceof Request ? what.url : what, location.href).href;
      if (!url.startsWith(web)) return ask(what, how);
      const headers = new Headers(how.headers || (what instanceof Request ? what.headers : {}));
      headers.set("Authorization", `Bearer ${token}`);
      return ask(what, { ...how, headers });
    };
  }
  window.config = {
    name: "dicomlake",
    routerBasename: root.pathname.replace(/\\/$/, ""),
    extensions: [],
    modes: [],
    customizationService: { "ohif.tours": { $set: [] } },
    showStudyList: true,
    maxNumberOfWebWorkers: 3,
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: false,
    showLoadingIndicator: true,
    strictZSpacingForVolumeViewport: true,
    groupEnabledModesFirst: true,
    maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 10 },
    investigationalUseDialog: { option: "never" },
    httpErrorHandler: () => {},
    defaultDataSourceName: "dicomlake",
    dataSources: [
      {
        namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
        sourceName: "dicomlake",
        configuration: {
          friendlyName: "dicomlake",
          name: "dicomlake",
          qidoRoot: web,
          wadoRoot: web,
          wadoUriRoot: `${web}/wado`,
          qidoSupportsIncludeField: true,
          imageRendering: "wadors",
          thumbnailRendering: "wadors",
          enableStudyLazyLoad: true,
          supportsFuzzyMatching: true,
          supportsWildcard: true,
          omitQuotationForMultipartRequest: true,
          bulkDataURI: { enabled: true },
        },
      },
    ],
  };
})();
"""


class ViewerOut(Shape):
    """The viewer OHIF, if it is installed."""

    installed: bool
    version: str = Field(description="Empty when it is not installed")
    path: str = Field(description="Where it is served")


def router(settings: Settings) -> APIRouter:
    """Routes of the viewer that is installed where the settings say; it may come and go."""
    made = APIRouter()
    folder = settings.service.viewer or default_folder()

    @made.get(
        "/api/viewer",
        dependencies=[needs(May.ENTER)],
        tags=["operations"],
        summary="Say whether OHIF is installed",
        responses={
            **shown({"installed": True, "version": "3.13.2", "path": f"/{VIEWER}"}),
            **documented(401),
        },
    )
    def about() -> ViewerOut:
        """Whether the viewer OHIF is installed, which version, and where it is served."""
        found = status(folder)
        version = found.version if found else ""
        return ViewerOut(installed=found is not None, version=version, path=f"/{VIEWER}")

    def start() -> Response:
        return RedirectResponse(f"{VIEWER}/", 307)  # relative: there may be a prefix before it

    def file(rest: str) -> Response:
        return _answer(folder, rest)

    for path, answer in ((f"/{VIEWER}", start), (f"/{VIEWER}/{{rest:path}}", file)):
        made.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False,
                           response_model=None, dependencies=[needs(May.OPEN)])  # fmt: skip
    return made


def _answer(folder: Path, rest: str) -> Response:
    found = status(folder)
    if found is None:
        raise Failed(404, "OHIF is not installed. On the server: dicomlake viewer install")
    above = "../" * rest.count("/") or "./"
    if rest == "app-config.js":
        config = _CONFIG.replace(PREFIX, "./")
        return Response(config, 200, {**_GUARDS, "Cache-Control": "no-cache"},
                        media_type=_TYPES[".js"])  # fmt: skip
    name = PurePosixPath(rest)
    media = _TYPES.get(name.suffix)
    if rest in ("", "index.html") or media is None:
        return _page(found.root, above)
    path = found.root.joinpath(*name.parts)
    if ".." in name.parts or name.is_absolute() or not path.is_file():
        raise Failed(404, "OHIF has no such file. Load its page again.")
    lasting = "public, max-age=31536000, immutable" if _HASHED.search(name.name) else "no-cache"
    headers = {**_GUARDS, "Cache-Control": lasting}
    if name.suffix in (".js", ".mjs"):  # workers follow the policy of their own file
        headers["Content-Security-Policy"] = _POLICY.replace(" 'nonce-{nonce}'", "")
    return FileResponse(path, headers=headers, media_type=media)


def _page(root: Path, above: str) -> Response:
    """The one document of the viewer, for every address that is no file."""
    nonce = secrets.token_urlsafe(16)
    text = (root / "index.html").read_text("utf-8").replace(PREFIX, above)
    text = text.replace("<script", f'<script nonce="{nonce}"')
    policy = _POLICY.format(nonce=nonce)
    headers = {**_GUARDS, "Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return Response(text, 200, headers, media_type=_TYPES[".html"])


__all__ = ["router"]
