"""The lake as a whole: its version, totals, layout, engines, and who writes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from dicomlake import plugins, tables
from dicomlake.jobs.access.roles import May
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
        name=found.path.name,
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
