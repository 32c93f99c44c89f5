"""The lake as a whole: its version, totals, layout, engines, and who writes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from dicomlake import plugins, tables
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.doctor import examine
from dicomlake.lake import Store
from dicomlake.web.access.needs import needs, sees_all
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape, Totals, Version
from dicomlake.web.problems import documented

router = APIRouter(tags=["lake"], dependencies=[needs(May.COUNT)])
TheDesk = Annotated[Desk, Depends(desk_of)]
MOST_VERSIONS = 100


class LakeTotals(Totals):
    """How much there is in a lake."""

    failures: int = Field(description="Objects that could not be read")


class LakeVersion(Shape):
    """A version of a lake."""

    version: int
    when: datetime | None
    what: str


class LakeOut(Shape):
    """A lake."""

    name: str = Field(description="Name of its folder")
    path: str = Field(description="Empty for those who see a part of it")
    version: int
    totals: LakeTotals
    indexed: datetime | None = Field(description="When the newest series came")
    layout: int = Field(description="Of the tables")
    engine: str = Field(description="What answers questions")
    engines: list[str] = Field(description="What could")
    versions: list[LakeVersion] = Field(description=f"The newest {MOST_VERSIONS}, newest first")
    writing: bool = Field(description="Whether somebody writes now")
    sources: int = Field(description="Sources in the settings")


class TableOut(Shape):
    """A table of a lake: what lies on disk, rows of replaced series included."""

    name: str
    files: int
    rows: int
    bytes: int
    version: int


class FindingOut(Shape):
    """What a check of the lake found."""

    level: Literal["ok", "notice", "error"]
    what: str
    advice: str = Field(description="What to do; nothing where nothing is to be done")


class Checkup(Shape):
    """A lake that was checked."""

    seconds: float
    findings: list[FindingOut]


_TOTALS = {"patients": 2, "studies": 9, "series": 38, "instances": 411, "failures": 0}
_EXAMPLE: dict[str, Any] = {
    "name": "lake", "path": "/data/lake", "version": 7, "totals": _TOTALS,
    "indexed": "2024-01-31T12:00:00Z", "layout": 3, "engine": "duckdb", "engines": ["duckdb"],
    "versions": [{"version": 7, "when": "2024-01-31T12:00:00Z", "what": "WRITE"}],
    "writing": False, "sources": 1,
}  # fmt: skip


@router.get(
    "/api/lake",
    summary="Show the lake",
    responses={**shown(_EXAMPLE), **documented(422, 503)},
)
def lake(request: Request, desk: TheDesk, version: Version = None) -> LakeOut:
    """Version, totals, layout, engines, versions, and whether somebody writes now."""
    found = desk.lakes.at(version)
    return LakeOut(
        name=desk.home.name,
        path=str(found.path) if sees_all(request) else "",
        version=found.version,
        totals=LakeTotals(**found.totals),
        indexed=found.indexed,
        layout=tables.VERSION,
        engine="duckdb",
        engines=plugins.names("engines"),
        versions=[_version(entry) for entry in found.versions[:MOST_VERSIONS]],
        writing=found.writing,
        sources=len(desk.settings.source),
    )


def _version(entry: dict[str, Any]) -> LakeVersion:
    when = datetime.fromtimestamp(entry["when"] / 1e6, UTC) if entry["when"] else None
    return LakeVersion(version=entry["version"], when=when, what=entry["what"])


@router.get(
    "/api/lake/tables",
    dependencies=[needs(May.WATCH)],
    summary="List the tables of the lake and their sizes",
    responses={
        **shown([{"name": "series", "files": 3, "rows": 505, "bytes": 120000, "version": 7}]),
        **documented(503),
    },
)
def tables_of(desk: TheDesk) -> list[TableOut]:
    """Files, rows and bytes of every table."""
    desk.lakes.at(None)
    store = Store(desk.lake)
    found = []
    for name in tables.ALL:
        files = store.files(name)
        found.append(
            TableOut(
                name=name,
                files=len(files),
                rows=sum(file.rows for file in files),
                bytes=sum(file.size for file in files),
                version=store.table(name).version(),
            )
        )
    return found


@router.get(
    "/api/lake/checkup",
    dependencies=[needs(May.WATCH)],
    summary="Check the lake",
    responses={
        **shown(
            {
                "seconds": 0.2,
                "findings": [
                    {
                        "level": "notice",
                        "what": "40 small files",
                        "advice": "Run dicomlake compact.",
                    }
                ],
            }
        ),
        **documented(503),
    },
)
def checkup(desk: TheDesk) -> Checkup:
    """What `dicomlake doctor` says of the lake, and what to do; changes nothing."""
    desk.lakes.at(None)
    began = time.monotonic()
    findings = [
        FindingOut(level=one.level, what=one.what, advice=one.advice) for one in examine(desk.lake)
    ]
    return Checkup(seconds=round(time.monotonic() - began, 3), findings=findings)
