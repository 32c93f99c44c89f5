"""Routes of the FHIR endpoint: capabilities, searches, reading, bulk data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from dicomlake.api import Lake
from dicomlake.errors import LakeError, ServiceError, UsageError
from dicomlake.fhir import Site
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.fhir.targets import Make, study_ids
from dicomlake.settings import Settings
from dicomlake.web.access.needs import needs, note, who_of
from dicomlake.web.dicomweb.searching import root_of as root_of_dicomweb
from dicomlake.web.exports import Export, Exports
from dicomlake.web.fhir import answers
from dicomlake.web.fhir.bulk import Resources, lines_of
from dicomlake.web.fhir.capabilities import VERSIONS, statement
from dicomlake.web.fhir.finding import Held, Snapshot, blocks
from dicomlake.web.fhir.searching import Asked, asked, types_of
from dicomlake.web.problems import FHIR_MEDIA, Failed

ROOT = "/fhir"
NDJSON = "application/fhir+ndjson"
_NDJSON = (NDJSON, "application/ndjson", "ndjson")
_JSON = ("application/fhir+json", "application/json", "application/*", "*/*", "text/json")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

router = APIRouter(prefix=ROOT, include_in_schema=False)  # its CapabilityStatement describes it
_read = needs(May.READ)


class Fhir:
    """The endpoint of a service: what is searched, and the exports."""

    def __init__(self, lake: Path, settings: Settings, make: Make) -> None:
        self.settings, self.make = settings, make
        self.exports, self._held = Exports(lake), Held()
        told = settings.fhir.site
        self.site = Site(b"", told.zone, systems=told.patients, accessions=told.accessions)

    def snapshot(self, lake: Lake, release: str, project: str) -> Snapshot:
        """A lake as it is searched in a release by members of a project."""
        names = self.pseudonyms(project)

        def made() -> Snapshot:
            settings = self.settings
            making = self.make(lake.store, settings, release, names, settings.fhir.profile)
            ids = partial(study_ids, lake.store, settings, making)
            return Snapshot(lake, making, ids)

        return self._held.of(lake, (release, names), made)

    def pseudonyms(self, project: str) -> str:
        """By which name of settings members of a project see pseudonyms; "" for none."""
        found = self.settings.project.get(project)
        return found.pseudonyms if found else ""

    def close(self) -> None:
        """End what runs."""
        self.exports.close()


def fhir_of(request: Request) -> Fhir:
    """The endpoint of the service that a request came to."""
    found: Fhir = request.app.state.fhir
    return found


@router.get("/metadata", dependencies=[needs(May.ENTER)])
def metadata(request: Request) -> Response:
    """What the endpoint can do."""
    release = _release(request)
    open_ = request.app.state.gate.open
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return _answer(request, statement(release, _root(request), day, secured=not open_))


@router.get("/$export", dependencies=[_read])
def export(request: Request) -> Response:
    """Begin to write everything as files of lines."""
    if "respond-async" not in request.headers.get("prefer", ""):
        raise Failed(400, "An export takes a while. Send the header: Prefer: respond-async")
    release = _release(request)
    types, since = list(types_of(release)), []
    for name, value in request.query_params.multi_items():
        if name == "_type":
            types = _types(value, release)
        elif name == "_since":
            since = [(name, value)]
        elif name != "_outputFormat" or value not in _NDJSON:
            raise Failed(400, f"{name[:40]} is not known here: _type, _since, _outputFormat=ndjson")
    with _problems():
        search = asked("ImagingStudy", since)
        snapshot = _snapshot(request, release)
    made = fhir_of(request).exports.start(
        _owner(request),
        str(request.url),
        lines_of(lambda: _everything(snapshot, search, frozenset(types))),
    )
    where = f"{_root(request)}/$export-status/{made.id}"
    return Response(status_code=202, headers={"Content-Location": where})


@router.get("/$export-status/{id_}", dependencies=[_read])
def export_status(id_: str, request: Request) -> Response:
    """How far an export is, or its files."""
    made = fhir_of(request).exports.of(_owner(request), id_)
    if made.state == "running":
        told = {"X-Progress": f"{made.lines:,} resources", "Retry-After": "2"}
        return Response(status_code=202, headers=told)
    if made.state == "failed":
        raise Failed(500, made.why)
    return Response(orjson.dumps(_manifest(request, made)), media_type="application/json")


@router.delete("/$export-status/{id_}", dependencies=[_read])
def export_cancel(id_: str, request: Request) -> Response:
    """End an export, or remove its files."""
    exports = fhir_of(request).exports
    exports.cancel(exports.of(_owner(request), id_))
    return Response(status_code=202)


@router.get("/$export-file/{id_}/{name}", dependencies=[_read])
def export_file(id_: str, name: str, request: Request) -> Response:
    """A file of an export."""
    made = fhir_of(request).exports.of(_owner(request), id_)
    if name not in made.files or made.state != "finished":
        raise Failed(404, "The export has no such file.")
    note(request, rows=made.files[name][1])
    return FileResponse(made.folder / name, media_type=NDJSON)


@router.get("/{type_}", dependencies=[_read])
def search(type_: str, request: Request) -> Response:
    """Resources that meet a search."""
    return _search(type_, request, request.query_params.multi_items())


@router.post("/{type_}/_search", dependencies=[_read])
async def search_by_form(type_: str, request: Request) -> Response:
    """Resources that meet a search whose parameters are in the body."""
    from starlette.concurrency import run_in_threadpool

    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise Failed(415, "Send the parameters as application/x-www-form-urlencoded.")
    body = (await request.body()).decode("utf-8", "replace")
    params = parse_qsl(body, keep_blank_values=True)
    params += request.query_params.multi_items()
    return await run_in_threadpool(_search, type_, request, params)


@router.get("/{type_}/{id_}", dependencies=[_read])
def read(type_: str, id_: str, request: Request) -> Response:
    """One resource."""
    release = _known(type_, request)
    if not _ID.fullmatch(id_):
        raise Failed(404, "That is no id of a resource.")
    with _problems():
        snapshot = _snapshot(request, release)
        made = snapshot.one(type_, id_)
        if made is None:
            raise Failed(404, f"There is no {type_} of that id here.")
        resource = answers.shown(made, answers.updated(snapshot, [made]))
    note(request, rows=1)
    return _answer(request, resource)


def _search(type_: str, request: Request, params: list[tuple[str, str]]) -> Response:
    release = _known(type_, request)
    with _problems():
        identifying = not fhir_of(request).pseudonyms(who_of(request).project)
        snapshot = _snapshot(request, release)
        site = fhir_of(request).site
        wanted = asked(type_, params, site, snapshot.examined, identifying=identifying)
        page = answers.found(snapshot, wanted)
        made = answers.bundle(snapshot, wanted, page, _root(request), params)
    note(request, rows=len(page.made))
    return _answer(request, made)


@contextmanager
def _problems() -> Iterator[None]:
    """Let what cannot be understood be a bad request, and a lake that is away be away."""
    try:
        yield
    except (LakeError, ServiceError) as error:
        raise Failed(503, "The lake cannot be read now. Try again in a moment.") from error
    except UsageError as error:
        raise Failed(400, str(error)) from error


def _known(type_: str, request: Request) -> str:
    """The release that is asked for; 404 for a type that it has not here."""
    release = _release(request)
    if type_ not in types_of(release):
        there = ", ".join(types_of(release))
        raise Failed(404, f"There are no resources of that type here. There are: {there}.")
    return release


def _release(request: Request) -> str:
    """The release that a caller wants (Accept, fhirVersion); 406 when it is none of ours."""
    said = request.headers.get("accept", "*/*")
    kinds = {part.partition(";")[0].strip().lower() for part in said.split(",")}
    if not kinds & {*_JSON, *_NDJSON}:
        raise Failed(406, f"Accept {FHIR_MEDIA}: nothing else is spoken here.")
    wanted = re.search(r"fhirVersion=\"?([\d.]{1,8})", said)
    if wanted is None:
        return fhir_of(request).settings.fhir.release
    for release, version in VERSIONS.items():
        if version.startswith(wanted[1].rstrip(".")) and wanted[1][:1] == version[:1]:
            return release
    raise Failed(406, "This release is not spoken here: fhirVersion is 4.0 or 5.0.")


def _snapshot(request: Request, release: str) -> Snapshot:
    from dicomlake.web.desk import desk_of

    project = who_of(request).project
    return fhir_of(request).snapshot(desk_of(request).lakes.at(), release, project)


def _answer(request: Request, resource: dict[str, Any]) -> Response:
    release = _release(request)
    media = f"{FHIR_MEDIA}; fhirVersion={VERSIONS[release][:3]}; charset=utf-8"
    headers = {}
    if when := resource.get("meta", {}).get("lastUpdated"):
        moment = datetime.fromisoformat(when)
        headers["Last-Modified"] = f"{moment:%a, %d %b %Y %H:%M:%S} GMT"
    return Response(orjson.dumps(resource), 200, headers, media_type=media)


def _root(request: Request) -> str:
    """The address of the endpoint, as its callers know it."""
    scope = {**request.scope, "path": "/dicom-web"}
    there = root_of_dicomweb(Request(scope))
    return there.removesuffix("/dicom-web") + ROOT


def _owner(request: Request) -> tuple[str, str]:
    who = who_of(request)
    return (f"{who.name} {who.how}", who.project)


def _types(value: str, release: str) -> list[str]:
    types = value.split(",")
    if not set(types) <= set(types_of(release)):
        raise Failed(400, f"_type is one of these: {', '.join(types_of(release))}.")
    return types


def _everything(snapshot: Snapshot, search: Asked, types: frozenset[str]) -> Resources:
    """All resources of some types, each once, of studies that a search finds."""
    seen: set[tuple[str, str]] = set()
    for block in blocks([int(key) for key in snapshot.chosen(search)], 200):
        made = []
        for one in snapshot.making.of_studies(block, types):
            shared = one.study_key is None
            if one.type not in types or (shared and (one.type, one.id) in seen):
                continue
            if shared:
                seen.add((one.type, one.id))
            made.append(one)
        when = answers.updated(snapshot, made)
        yield from ((one.type, answers.shown(one, when)) for one in made)


def _manifest(request: Request, made: Export) -> dict[str, Any]:
    where = f"{_root(request)}/$export-file/{made.id}"
    return {
        "transactionTime": made.began.isoformat(timespec="milliseconds"),
        "request": made.url,
        "requiresAccessToken": not request.app.state.gate.open,
        "output": [
            {"type": type_, "url": f"{where}/{quote(name)}", "count": lines}
            for name, (type_, lines) in sorted(made.files.items())
        ],
        "error": [],
    }
