"""What can be asked: the tree of terms, one term, its values and its histogram."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.api import Lake
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.terminology import Place, Terminology
from dicomlake.lake.vocabulary import Term, summary
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import (
    PathOf,
    Shape,
    Version,
    WhereText,
    as_json,
    condition,
    plain,
)
from dicomlake.web.problems import documented
from dicomlake.web.running import QueryId, Running, answered

router = APIRouter(prefix="/api/vocabulary", tags=["vocabulary"], dependencies=[needs(May.COUNT)])
TheDesk = Annotated[Desk, Depends(desk_of)]
ViewOf = Annotated[
    Literal["technical", "clinical"],
    Query(description="clinical: without private attributes, UIDs, bulk data and pixel formats"),
]
Kind = Literal[
    "group", "text", "number", "date", "time", "datetime", "age", "code", "sequence", "binary",
    "unknown",
]  # fmt: skip


class Crumb(Shape):
    """A node around another one."""

    path: str
    label: str


class TermOut(Shape):
    """A node of the tree of what can be asked."""

    path: str = Field(description="As questions write it; groups begin with @ and are not asked")
    label: str = Field(description="What people call it")
    keyword: str = Field(description="Last part of the path")
    tag: str
    vr: str
    kind: Kind
    unit: str
    creator: str = Field(description="Private creator, or empty")
    patients: int = Field(description="That have it with a value; of groups, those of its largest")
    studies: int
    series: int
    objects: int | None = Field(description="That have it inside; null for attributes of headers")
    has_children: bool
    fill: float = Field(description="Series with a value as a share of all series, from 0 to 1")
    summary: str = Field(description="Its most frequent values, or its range")
    breadcrumb: list[Crumb] = Field(description="Nodes around it, from the top")


class Terms(Shape):
    """Nodes of the tree, a page of them."""

    version: int
    total: int
    terms: list[TermOut]


class ValueOut(Shape):
    """A value and how many have it."""

    value: Any = Field(description="As questions write it; of codes SCHEME:VALUE")
    label: str = Field(description="As people read it")
    patients: int
    series: int


class BinOut(Shape):
    """A bar of a histogram: series with a value from low to below high."""

    low: float
    high: float
    label: str
    series: int


class Form(Shape):
    """A form in which something came, and how many series have it."""

    text: str
    series: int


class TermDetails(TermOut):
    """A node with all that is known of it."""

    definition: str
    empty: int = Field(description="Series that have it without a value only")
    distinct: int | None = Field(description="Different values, where they are counted")
    lowest: str = Field(description="Lower end of the range, as people read it")
    highest: str
    values: list[ValueOut] = Field(description="The most frequent ones")
    histogram: list[BinOut]
    vrs: list[Form] = Field(description="Value representations it was sent with")
    units: list[Form]
    names: list[Form] = Field(description="What reports call it")
    operators: list[str] = Field(description="What conditions may ask of it")


class Values(Shape):
    """Values under a question, the most frequent first."""

    version: int
    path: str
    values: list[ValueOut]
    more: bool = Field(description="Whether there are more than these")


class Histogram(Shape):
    """Values in bins, under a question."""

    version: int
    path: str
    unit: str
    bins: list[BinOut]


_TERM: dict[str, Any] = {
    "path": "MagneticFieldStrength", "label": "Magnetic Field Strength",
    "keyword": "MagneticFieldStrength", "tag": "(0018,0087)", "vr": "DS", "kind": "number",
    "unit": "tesla", "creator": "", "patients": 2, "studies": 3, "series": 5, "objects": None,
    "has_children": False, "fill": 0.13, "summary": "1.5, 3",
    "breadcrumb": [{"path": "@attributes", "label": "Attributes"}],
}  # fmt: skip
_VALUE = {"value": "3", "label": "3", "patients": 1, "series": 2}
_BIN = {"low": 1.5, "high": 2.0, "label": "1.5", "series": 3}
_DETAILS: dict[str, Any] = {
    **_TERM, "definition": "Magnetic Field Strength (0018,0087), DS, one value, in tesla (PS3.6).",
    "empty": 0, "distinct": 2, "lowest": "1.5", "highest": "3", "values": [_VALUE],
    "histogram": [_BIN], "vrs": [{"text": "DS", "series": 5}], "units": [], "names": [],
    "operators": ["=", "!=", "<", "<=", ">", ">=", "between", "in", "exists", "missing"],
}  # fmt: skip


@router.get(
    "",
    summary="Open a node of what can be asked, or search",
    responses={**shown({"version": 7, "total": 1, "terms": [_TERM]}), **documented(404, 422, 503)},
)
def vocabulary(
    desk: TheDesk,
    parent: Annotated[
        str, Query(max_length=2000, description="A node; the groups at the top when left out")
    ] = "",
    search: Annotated[
        str,
        Query(max_length=200, description="Words of names, keywords, tags, codes and values"),
    ] = "",
    view: ViewOf = "technical",
    zero: Annotated[bool, Query(description="Also what has no value anywhere")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    version: Version = None,
) -> Terms:
    """What is directly below a node, most patients first; or what a search finds, best first."""
    lake = desk.lakes.at(version)
    tree = lake.terminology
    found = tree.search(search, view, zero=zero) if search.strip() else None
    if found is None:
        found = tree.children(parent, view, zero=zero)
    page = [_term(lake, tree, place) for place in found[offset : offset + limit]]
    return Terms(version=lake.version, total=len(found), terms=page)


def _term(lake: Lake, tree: Terminology, place: Place) -> TermOut:
    return TermOut(**_told(lake, tree, place))


def _told(lake: Lake, tree: Terminology, place: Place) -> dict[str, Any]:
    term = place.term
    whole = lake.vocabulary.series
    return {
        "path": place.path,
        "label": place.label,
        "keyword": term.segment if term else "",
        "tag": term.tag if term else "",
        "vr": term.vr if term else "",
        "kind": _kind(term) if term else "group",
        "unit": term.unit if term else "",
        "creator": term.creator if term else "",
        "patients": place.patients,
        "studies": place.studies,
        "series": place.series,
        "objects": place.objects if term is None or term.inside else None,
        "has_children": place.children > 0,
        "fill": round(place.series / whole, 6) if whole else 0.0,
        "summary": summary(term) if term else "",
        "breadcrumb": [Crumb(path=path, label=label) for path, label in tree.around(place.parent)],
    }


def _kind(term: Term) -> str:
    coded = any(":" in value.value for value in term.values[:1])
    return "code" if term.vr == "SQ" and coded else term.kind


@router.get(
    "/node",
    summary="Show one node",
    responses={**shown(_DETAILS), **documented(404, 422, 503)},
)
def node(path: PathOf, desk: TheDesk, version: Version = None) -> TermDetails:
    """Definition, most frequent values, histogram and range of one node."""
    lake = desk.lakes.at(version)
    tree = lake.terminology
    place = tree.place(path)
    term = place.term
    told = _told(lake, tree, place)
    if term is None:
        return TermDetails(
            **told, definition=f"{place.label}.", empty=0, distinct=None, lowest="", highest="",
            values=[], histogram=[], vrs=[], units=[], names=[], operators=[],
        )  # fmt: skip
    ends = term.ends
    return TermDetails(
        **told,
        definition=term.definition,
        empty=term.empty,
        distinct=term.distinct,
        lowest=ends[0] if ends else "",
        highest=ends[-1] if ends else "",
        values=[
            ValueOut(value=v.value, label=v.label, patients=v.patients, series=v.series)
            for v in term.values[:_MOST_SHOWN]
        ],
        histogram=[
            BinOut(low=b.low, high=b.high, label=b.label, series=b.series) for b in term.histogram
        ],
        vrs=[Form(text=text, series=n) for text, n in term.vrs],
        units=[Form(text=text, series=n) for text, n in term.units],
        names=[Form(text=text, series=n) for text, n in term.names],
        operators=_operators(term),
    )


_MOST_SHOWN = 50
"""Values of a node; others are listed by `values`."""
_ORDERED = ["=", "!=", "<", "<=", ">", ">=", "between", "in"]
_TEXTS = ["=", "!=", "in", "contains", "like", "<", "<=", ">", ">=", "between"]


def _operators(term: Term) -> list[str]:
    """What conditions may ask of a term."""
    kind = _kind(term)
    if kind in ("code", "sequence"):
        rows = term.inside and not term.parent and not term.path.startswith("[")
        return ["exists", "missing"] if rows else ["within", "exists", "missing"]
    if kind == "binary":
        return ["exists", "missing"]
    return [*(_TEXTS if kind in ("text", "unknown") else _ORDERED), "exists", "missing"]


@router.get(
    "/values",
    summary="List values with counts, under a question",
    response_model=Values,
    responses={
        **shown({"version": 7, "path": "Modality", "values": [_VALUE], "more": False}),
        **documented(422, 503),
    },
)
async def values(
    http: Request,
    path: PathOf,
    desk: TheDesk,
    prefix: Annotated[
        str, Query(max_length=200, description="Values that begin with this, in any case")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    where: WhereText = None,
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """Values that a question leaves, with patients and series, the most frequent first."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        found, more = lake.values(path, condition(where), prefix, limit, ticket=run)
        told = [
            {"value": plain(v.value), "label": v.label, "patients": v.patients, "series": v.series}
            for v in found
        ]
        return as_json({"version": lake.version, "path": path, "values": told, "more": more})

    return await answered(http, desk.board, work, query_id)


@router.get(
    "/histogram",
    summary="Count values in bins, under a question",
    response_model=Histogram,
    responses={
        **shown({"version": 7, "path": "MagneticFieldStrength", "unit": "tesla", "bins": [_BIN]}),
        **documented(422, 503),
    },
)
async def histogram(
    http: Request,
    path: PathOf,
    desk: TheDesk,
    bins: Annotated[int, Query(ge=1, le=200)] = 20,
    where: WhereText = None,
    version: Version = None,
    query_id: QueryId = None,
) -> Response:
    """Series with a number or date in each bin; bins are of a round width."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(version))
        found = lake.histogram(path, condition(where), bins, ticket=run)
        told = [{"low": b.low, "high": b.high, "label": b.label, "series": b.series} for b in found]
        term = lake.vocabulary.find(path)
        unit = term.unit if term else ""
        return as_json({"version": lake.version, "path": path, "unit": unit, "bins": told})

    return await answered(http, desk.board, work, query_id)
