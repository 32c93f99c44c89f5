"""The application: routes behind the door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.fhir.targets import maker_of
from dicomlake.settings import Settings
from dicomlake.version import __version__
from dicomlake.web import (
    activity,
    conversions,
    converting,
    datasets,
    deid,
    deidpreview,
    dose,
    enriching,
    erasing,
    explore,
    facts,
    federation,
    jobs,
    ohif,
    operations,
    problems,
    pseudonyms,
)
from dicomlake.web.access import routes as access
from dicomlake.web.access.deidentified import check_doors
from dicomlake.web.access.gate import Gate
from dicomlake.web.access.lakes import check_projects
from dicomlake.web.access.sessions import COOKIE
from dicomlake.web.access.trail import Trail
from dicomlake.web.access.views import Views
from dicomlake.web.bodies import NewJob
from dicomlake.web.desk import Desk
from dicomlake.web.dicomweb import router as dicomweb
from dicomlake.web.dicomweb.shelf import Shelf, Shelves
from dicomlake.web.dicomweb.storing import Committer
from dicomlake.web.fhir import Fhir
from dicomlake.web.fhir import router as fhir
from dicomlake.web.guard import OPEN, Guard
from dicomlake.web.pages import pages

_ABOUT = """Ask an imaging data lake for studies of an archive, and fetch what it says of them.

Post accession numbers (or patients, studies, series, dates) to `/api/jobs`, follow the job, and
fetch its documents: one per series, as JSON or as XML with typed and coded elements. What goes
wrong is told as `application/problem+json` with a sentence that says what to do."""


def app(lake: Path, settings: Settings) -> FastAPI:
    """The REST service of a lake. UsageError when its token is not where the settings say."""
    gate = Gate(lake, settings)  # a mistake in the settings is told at once
    check_projects(settings.project)
    check_doors(settings)
    desk = Desk(lake, settings)
    views = Views(lake, settings, desk.lakes)
    audit = Audit.of(lake, settings.service.access.audit)
    committer = Committer(desk)
    endpoint = Fhir(Path(lake), settings, maker_of)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        desk.warm()
        views.warm()
        yield
        await run_in_threadpool(committer.close)
        await run_in_threadpool(endpoint.close)
        views.close()
        desk.close()
        gate.close()

    made = FastAPI(
        title="dicomlake",
        version=__version__,
        description=_ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page would be fetched from elsewhere
        redoc_url=None,
        lifespan=life,
    )
    made.state.desk, made.state.committer = desk, committer
    made.state.gate, made.state.views, made.state.audit = gate, views, audit
    made.state.fhir = endpoint
    made.state.shelves = Shelves(Shelf(lake, settings), views)
    for router in (jobs.router, operations.router, *_OURS):
        made.include_router(router)
    made.include_router(dicomweb)
    made.include_router(fhir)
    made.include_router(ohif.router(settings))
    made.include_router(pages())
    problems.register(made)
    made.add_middleware(Guard, gate=gate, trail=Trail(audit))
    _describe(made, asks_token=not gate.open)
    return made


def _describe(made: FastAPI, *, asks_token: bool) -> None:
    """Let OpenAPI know the bodies that are read by hand, and the token."""

    def openapi() -> dict[str, Any]:
        if made.openapi_schema is None:
            found = get_openapi(
                title=made.title,
                version=made.version,
                description=made.description,
                routes=made.routes,
            )
            components = found.setdefault("components", {}).setdefault("schemas", {})
            for model in (NewJob, problems.Problem):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                components |= schema.pop("$defs", {})
                components[model.__name__] = schema
            _whole_examples(found)
            _tell_problems(found, asks_token=asks_token)
            if asks_token:
                found["components"]["securitySchemes"] = {
                    "token": {"type": "http", "scheme": "bearer"},
                    "password": {"type": "http", "scheme": "basic"},
                    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                }
                found["security"] = [{"token": []}, {"password": []}, {"session": []}]
                for path in OPEN:
                    for said in found["paths"].get(path, {}).values():
                        said["security"] = []
            made.openapi_schema = found
        return made.openapi_schema

    made.openapi = openapi  # type: ignore[method-assign]


_OURS = (
    access.router,
    activity.router,
    deid.router,
    deidpreview.router,
    datasets.router,
    conversions.router,
    converting.router,
    dose.router,
    enriching.router,
    erasing.router,
    facts.router,
    federation.router,
    pseudonyms.router,
    *explore.ROUTERS,
)
"""Routers of which every operation has an example."""


def _whole_examples(found: dict[str, Any]) -> None:
    """Let examples have their nulls, which FastAPI leaves out."""
    routes = [r for router in _OURS for r in router.routes if isinstance(r, APIRoute)]
    for route in routes:
        if 200 not in route.responses:  # it sends a browser on
            continue
        said = found["paths"][route.path][min(route.methods or ["get"]).lower()]["responses"]["200"]
        for media, content in route.responses[200].get("content", {}).items():
            if "example" in content:
                said["content"][media]["example"] = content["example"]


def _tell_problems(found: dict[str, Any], *, asks_token: bool) -> None:
    """Let every operation say that its mistakes are problems."""
    for path, methods in found["paths"].items():
        for said in methods.values():
            if asks_token and path not in OPEN:
                said["responses"]["401"] = problems.documented(401)[401]
            if "422" in said["responses"]:
                said["responses"]["422"] = problems.documented(422)[422]
    for name in ("HTTPValidationError", "ValidationError"):
        found["components"]["schemas"].pop(name, None)
