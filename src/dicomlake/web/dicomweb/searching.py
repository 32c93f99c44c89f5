"""Searches: QIDO-RS (PS3.18 10.6)."""

from __future__ import annotations

import re
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from dicomlake.errors import DicomlakeError
from dicomlake.jobs.access.roles import May
from dicomlake.web.access.needs import needs, note
from dicomlake.web.dicomweb import media
from dicomlake.web.dicomweb.answers import Asked, Found, answer
from dicomlake.web.dicomweb.keys import search_of
from dicomlake.web.dicomweb.native import native
from dicomlake.web.dicomweb.shelf import Shelf, failed, shelf_of
from dicomlake.web.problems import Failed

router = APIRouter(dependencies=[needs(May.READ)])
TheShelf = Annotated[Shelf, Depends(shelf_of)]


@router.get("/studies")
def studies(request: Request, shelf: TheShelf) -> Response:
    """Studies of the whole lake."""
    return _search(request, shelf, "study")


@router.get("/series")
def all_series(request: Request, shelf: TheShelf) -> Response:
    """Series of the whole lake."""
    return _search(request, shelf, "series")


@router.get("/instances")
def all_instances(request: Request, shelf: TheShelf) -> Response:
    """Instances of the whole lake."""
    return _search(request, shelf, "instance")


@router.get("/studies/{study}/series")
def series_of_study(study: str, request: Request, shelf: TheShelf) -> Response:
    """Series of a study."""
    return _search(request, shelf, "series", StudyInstanceUID=study)


@router.get("/studies/{study}/instances")
def instances_of_study(study: str, request: Request, shelf: TheShelf) -> Response:
    """Instances of a study."""
    return _search(request, shelf, "instance", StudyInstanceUID=study)


@router.get("/studies/{study}/series/{series}/instances")
def instances_of_series(study: str, series: str, request: Request, shelf: TheShelf) -> Response:
    """Instances of a series."""
    return _search(request, shelf, "instance", StudyInstanceUID=study, SeriesInstanceUID=series)


def root_of(request: Request) -> str:
    """The address of the service of DICOMweb, as the caller knows it.

    What a proxy says of the address that its callers asked is believed of those in the settings.
    """
    host = request.headers.get("host", "localhost")
    there, port = request.scope.get("server") or ("", None)
    if host == there and port not in (None, 80, 443):  # some clients leave out the port
        host = f"{host}:{port}"
    scheme, prefix = request.url.scheme, request.url.path.partition("/dicom-web")[0]
    near = request.client.host if request.client else ""
    if near in shelf_of(request).settings.service.proxies:
        said = {name: _forwarded(request, name) for name in ("proto", "host", "prefix")}
        scheme = said["proto"] if said["proto"] in ("http", "https") else scheme
        host = said["host"] if _HOST.fullmatch(said["host"]) else host
        prefix = said["prefix"].rstrip("/") if _PREFIX.fullmatch(said["prefix"]) else prefix
    return f"{scheme}://{host}{prefix}/dicom-web"


_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?", re.ASCII)
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]{1,64}){1,8}/?", re.ASCII)


def _forwarded(request: Request, name: str) -> str:
    """What the first of the proxies on the way says."""
    return request.headers.get(f"x-forwarded-{name}", "").partition(",")[0].strip()


def _search(request: Request, shelf: Shelf, level: str, **within: str) -> Response:
    kind = _kind(request)
    try:
        search = search_of(
            request.query_params.multi_items(), within.items(), shelf.private, shelf.names
        )
        asked = Asked(level, search, root_of(request), frozenset(within))
        found = answer(shelf, asked)
    except DicomlakeError as error:
        raise failed(error) from error
    note(request, counts={level: found.total}, rows=len(found.rows))
    headers = {"X-Total-Count": str(found.total), **_warning(found)}
    if kind == media.XML:
        made = media.related((media.Part(media.XML, [native(row)]) for row in found.rows), kind)
        made.headers.update(headers)
        return made
    body = orjson.dumps(found.rows)
    headers |= {"ETag": shelf.tag([body, found.total]), "Cache-Control": media.CACHED}
    if same := media.unchanged(request, headers["ETag"]):
        return same
    return media.document(request, [body], headers)


def _kind(request: Request) -> str:
    """The form of an answer; 406 when the caller accepts none (PS3.18 10.6.3.2)."""
    for each in media.accepted(request):
        if not each.multipart and (each.fits(media.JSON) or each.kind == "application/json"):
            return media.JSON
        if each.fits(media.XML):
            return media.XML
    raise Failed(406, f"Accept {media.JSON}, or {media.MULTIPART} with {media.XML}.")


def _warning(found: Found) -> dict[str, str]:
    """What says that there is more (PS3.18 8.3.4.4), only where it is so."""
    if not found.left:
        return {}
    text = f"There are {found.left} additional results that can be requested"
    return {"Warning": f'299 dicomlake "{text}"'}
