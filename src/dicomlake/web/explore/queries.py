"""Questions: rows, counts, what each condition keeps, forms of a question, export, SQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import orjson
import pyarrow as pa
from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from dicomlake.jobs.access.roles import May
from dicomlake.jobs.attrition import attrition
from dicomlake.jobs.export import FORMS, exported
from dicomlake.lake.vocabulary import Vocabulary
from dicomlake.query import Query as Question
from dicomlake.query import parse_query, render, to_json
from dicomlake.query.attributes import attribute
from dicomlake.query.nodes import paths_of
from dicomlake.query.sentence import sentence
from dicomlake.tables import ANY_UNIT
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import (
    MOST_ROWS,
    Column,
    Level,
    Shape,
    Totals,
    Where,
    as_json,
    cells,
    condition,
    type_of,
)
from dicomlake.web.problems import Failed, documented
from dicomlake.web.running import Board, QueryId, Running, answered, named

router = APIRouter(tags=["questions"])
TheDesk = Annotated[Desk, Depends(desk_of)]
MOST_SHOWN = 100
MOST_SECONDS = 60.0
"""That SQL may take."""

Paths = Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=MOST_SHOWN)]


class Asked(Shape):
    """What to find, and at which level."""

    where: Where = Field(
        None,
        description="The condition: a JSON tree, or text; everything when left out",
        examples=[{"compare": {"path": "Modality", "op": "=", "value": "MR"}}],
    )
    level: Level = "series"
    version: int | None = Field(None, ge=0, lt=1 << 62, description="Of the lake")


class AskedRows(Asked):
    """What to find, and what to show of it."""

    show: Paths = Field([], description="Attribute paths of the columns")
    order: Paths = Field([], description="Attribute paths to sort by; a leading minus: downwards")


class AskedPage(AskedRows):
    """What to find, and which rows of it to show."""

    limit: int = Field(100, ge=1, le=MOST_ROWS)
    offset: int = Field(0, ge=0, le=1_000_000_000, description="Rows to leave out at the beginning")


class AnswerOut(Shape):
    """What was found: true totals, and some rows."""

    version: int
    level: Level
    totals: Totals
    total: int = Field(description="How many of the level were found, whatever the limit")
    offset: int
    columns: list[Column]
    rows: list[list[Any]]
    notes: list[str] = Field(description="What the answer cannot know")
    seconds: float


class Counts(Shape):
    """How much was found."""

    version: int
    level: Level
    totals: Totals
    total: int
    seconds: float


class StepOut(Shape):
    """What one condition or group of a question keeps."""

    place: str = Field(description='In the tree: "" is all of it, "and[0]" its first part')
    depth: int
    kind: str
    text: str
    sentence: str
    alone: Totals = Field(description="What it finds by itself")
    kept: Totals = Field(description="What is left after it and what stands before it in its group")


class Steps(Shape):
    """What each condition keeps: the attrition of a question."""

    version: int
    level: Level
    whole: Totals = Field(description="Of the lake")
    steps: list[StepOut]
    seconds: float


class Written(Shape):
    """A question, as text or as JSON."""

    text: str | None = Field(None, max_length=1_000_000)
    json_: dict[str, Any] | None = Field(None, alias="json")
    language: Literal["en", "de"] = Field("en", description="Of the sentence")


class Parsed(Shape):
    """A question in all its forms."""

    text: str
    json_: dict[str, Any] = Field(alias="json", description="With where, level, show, order, limit")
    sentence: str = Field(description="In plain words")
    paths: list[str] = Field(description="Attribute paths that it asks")


class Statement(Shape):
    """SQL that only reads."""

    sql: str = Field(min_length=1, max_length=100_000, examples=["select Modality from series"])
    limit: int = Field(1000, ge=1, le=MOST_ROWS)
    timeout_s: float = Field(30.0, gt=0, le=MOST_SECONDS)
    version: int | None = Field(None, ge=0, lt=1 << 62)


class SqlOut(Shape):
    """Rows of SQL."""

    version: int
    columns: list[Column]
    rows: list[list[Any]]
    more: bool = Field(description="Whether there are more rows than the limit")
    seconds: float


class Stopped(Shape):
    """How many questions were stopped."""

    stopped: int


_TOTALS = {"patients": 2, "studies": 4, "series": 9, "instances": 120}
_WHERE = {"compare": {"path": "Modality", "op": "=", "value": "MR"}}
_COLUMN = {"name": "Patient ID", "path": "PatientID", "type": "text", "unit": ""}
_ANSWER: dict[str, Any] = {
    "version": 7, "level": "series", "totals": _TOTALS, "total": 9, "offset": 0,
    "columns": [_COLUMN], "rows": [["P1"]], "notes": [], "seconds": 0.004,
}  # fmt: skip
_COUNTS = {"version": 7, "level": "series", "totals": _TOTALS, "total": 9, "seconds": 0.002}
_STEP = {
    "place": "", "depth": 0, "kind": "compare", "text": "Modality = 'MR'",
    "sentence": "Modality is MR", "alone": _TOTALS, "kept": _TOTALS,
}  # fmt: skip
_STEPS = {"version": 7, "level": "series", "whole": _TOTALS, "steps": [_STEP], "seconds": 0.01}
_PARSED = {
    "text": "Modality = 'MR'",
    "json": {"where": _WHERE, "level": "series", "show": [], "order": [], "limit": None},
    "sentence": "Series in which Modality is MR.",
    "paths": ["Modality"],
}
_SQL: dict[str, Any] = {
    "version": 7, "columns": [{"name": "n", "path": "n", "type": "integer", "unit": ""}],
    "rows": [[38]], "more": False, "seconds": 0.003,
}  # fmt: skip
_BODY = Body(openapi_examples={"MR": {"value": {"where": _WHERE, "level": "study", "limit": 25}}})


@router.post(
    "/api/query",
    dependencies=[needs(May.READ)],
    summary="Ask a question, a page of rows at a time",
    response_model=AnswerOut,
    responses={**shown(_ANSWER), **documented(409, 422, 503)},
)
async def query(
    http: Request,
    asked: Annotated[AskedPage, _BODY],
    desk: TheDesk,
    query_id: QueryId = None,
) -> Response:
    """True totals and some rows. Pages of one version never overlap: send it back with offset."""

    def work(run: Running) -> Response:
        question = _question(asked, asked.limit)
        lake = run.use(desk.lakes.at(asked.version))
        found = lake.engine.answer(question, asked.offset, run)
        note(http, counts=found.totals, rows=found.rows.num_rows)
        return as_json(
            {
                "version": lake.version,
                "level": asked.level,
                "totals": found.totals,
                "total": found.total,
                "offset": asked.offset,
                "columns": _columns(found.rows, lake.vocabulary),
                "rows": cells(found.rows),
                "notes": found.notes,
                "seconds": round(found.seconds, 6),
            }
        )

    return await answered(http, desk.board, work, query_id)


def _question(asked: AskedRows, limit: int | None = None) -> Question:
    where = condition(asked.where)
    return Question(where, asked.level, tuple(asked.show), tuple(asked.order), limit)


def _columns(table: pa.Table, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    found = []
    for field in table.schema:
        about = attribute(field.name)
        term = vocabulary.find(field.name)
        name = about.name or (term.name if term else "") or field.name
        unit = (term.unit if term else "") or about.unit.replace(ANY_UNIT, "")
        said = {"name": name, "path": field.name, "type": type_of(field.type), "unit": unit}
        found.append(said)
    return found


@router.post(
    "/api/query/count",
    dependencies=[needs(May.COUNT)],
    summary="Count what a question finds",
    response_model=Counts,
    responses={**shown(_COUNTS), **documented(409, 422, 503)},
)
async def count(
    http: Request, asked: Annotated[Asked, _BODY], desk: TheDesk, query_id: QueryId = None
) -> Response:
    """Patients, studies, series and instances, without rows."""

    def work(run: Running) -> Response:
        where = condition(asked.where)
        lake = run.use(desk.lakes.at(asked.version))
        totals = lake.engine.count(where, asked.level, run)
        note(http, counts=totals)
        return as_json(
            {
                "version": lake.version,
                "level": asked.level,
                "totals": totals,
                "total": totals[_PLURAL[asked.level]],
                "seconds": run.seconds,
            }
        )

    return await answered(http, desk.board, work, query_id)


_PLURAL = {"patient": "patients", "study": "studies", "series": "series", "instance": "instances"}


@router.post(
    "/api/query/steps",
    dependencies=[needs(May.COUNT)],
    summary="Say what each condition of a question keeps",
    response_model=Steps,
    responses={**shown(_STEPS), **documented(409, 422, 503)},
)
async def steps(
    http: Request, asked: Annotated[Asked, _BODY], desk: TheDesk, query_id: QueryId = None
) -> Response:
    """For every condition and group: what it finds alone, and what is left after it."""

    def work(run: Running) -> Response:
        where = condition(asked.where)
        lake = run.use(desk.lakes.at(asked.version))
        found = attrition(lake.engine, where, asked.level, run)
        note(http, steps=len(found), counts=found[0]["kept"] if found else None)
        return as_json(
            {
                "version": lake.version,
                "level": asked.level,
                "whole": lake.engine.count(None, asked.level, run),
                "steps": found,
                "seconds": run.seconds,
            }
        )

    return await answered(http, desk.board, work, query_id)


@router.post(
    "/api/query/parse",
    dependencies=[needs(May.COUNT)],
    summary="Turn a question into text, JSON and plain words",
    responses={**shown(_PARSED), **documented(422)},
)
def parse(written: Written) -> Parsed:
    """Both forms and a sentence. A problem says where it is, and which names are near."""
    if (written.text is None) == (written.json_ is None):
        raise Failed(422, "Send either text or json.")
    found = parse_query(written.text) if written.text is not None else read_json(written.json_)
    paths = [] if found.where is None else list(dict.fromkeys(paths_of(found.where)))
    return Parsed(
        text=render(found),
        json=to_json(found),
        sentence=sentence(found, written.language),
        paths=paths,
    )


def read_json(plain: Any) -> Question:
    """The question in JSON, with level, show and order or a condition alone."""
    from dicomlake.web.explore.shapes import read

    found = read(plain)
    return found if isinstance(found, Question) else Question(found)


@router.post(
    "/api/query/export",
    dependencies=[needs(May.READ)],
    summary="Export all rows of an answer",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "All rows, streamed",
            "content": {
                "text/csv": {"schema": {"type": "string"}, "example": "PatientID\nP1\n"},
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {
                    "schema": {"type": "string", "format": "binary"}
                },
            },
        },
        **documented(409, 422, 503),
    },
)
async def export(
    http: Request,
    asked: Annotated[AskedRows, _BODY],
    desk: TheDesk,
    format: Annotated[Literal["csv", "parquet", "ndjson"], Query()] = "csv",
    query_id: QueryId = None,
) -> Response:
    """Every row that a question finds. CSV has what a spreadsheet would run made harmless."""

    def work(run: Running) -> tuple[int, int, Iterator[bytes]]:
        question = _question(asked)
        lake = run.use(desk.lakes.at(asked.version))
        totals = lake.engine.count(question.where, question.level, run)
        after = {"rows": 0}
        note(http, counts=totals, after=after)
        streaming = desk.board.add(named(http, query_id))
        streaming.whole = totals[_PLURAL[asked.level]]
        streaming.use(lake)

        def told(rows: int) -> None:
            streaming.check()
            streaming.rows = after["rows"] = rows

        pieces = exported(lake.engine, question, format, streaming, told)
        return lake.version, streaming.whole, _until_over(desk.board, streaming, pieces)

    version, whole, pieces = await answered(http, desk.board, work, query_id)
    headers = {
        "Content-Disposition": f'attachment; filename="answer.{format}"',
        "X-Lake-Version": str(version),
        "X-Total-Rows": str(whole),
    }
    return StreamingResponse(pieces, headers=headers, media_type=FORMS[format])


def _until_over(board: Board, run: Running, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces of a file, which can be stopped in the middle."""
    try:
        yield from pieces
    finally:
        board.remove(run)


@router.get(
    "/api/query/{id}/events",
    dependencies=[needs(May.READ)],
    summary="Follow an export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: progress with rows so far, until it is over",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'event: progress\ndata: {"rows": 10000, "total": 120000}\n\n',
                }
            },
        },
        **documented(503),
    },
)
def events(id: str, http: Request, desk: TheDesk) -> StreamingResponse:
    """How many rows of an export have been read, by its X-Query-Id, until it is over.

    Asked before the export has begun, it waits a few seconds for it.
    """
    return StreamingResponse(
        _events(http, desk.board, named(http, id)), media_type="text/event-stream"
    )


LOOK_EVERY_S = 0.2
WAIT_S = 20.0


async def _events(http: Request, board: Board, name: str) -> AsyncIterator[bytes]:
    waited, said, begun = 0.0, b"", False
    while not await http.is_disconnected():
        run = board.exporting(name)
        if run is None and (begun or waited >= WAIT_S):
            yield b"event: end\ndata: {}\n\n"
            return
        if run is not None:
            begun = True
            now = orjson.dumps({"rows": run.rows, "total": run.whole})
            if now != said:
                yield b"event: progress\ndata: " + now + b"\n\n"
                said = now
        await asyncio.sleep(LOOK_EVERY_S)
        waited += LOOK_EVERY_S


@router.delete(
    "/api/query/{id}",
    dependencies=[needs(May.COUNT)],
    summary="Stop a question",
    responses={**shown({"stopped": 1}), **documented(404)},
)
def stop(id: str, desk: TheDesk, http: Request) -> Stopped:
    """Stop what is being answered under an X-Query-Id; its client gets a 409."""
    stopped = desk.board.cancel(named(http, id)) if id else 0
    if not stopped:
        raise Failed(404, "No question of that X-Query-Id is being answered.")
    return Stopped(stopped=stopped)


@router.post(
    "/api/sql",
    dependencies=[needs(May.SQL)],
    summary="Ask in SQL, which only reads",
    response_model=SqlOut,
    responses={**shown(_SQL), **documented(409, 422, 503)},
)
async def sql(
    http: Request, statement: Statement, desk: TheDesk, query_id: QueryId = None
) -> Response:
    """One SELECT over the tables of the lake, with at most so many rows and seconds."""

    def work(run: Running) -> Response:
        lake = run.use(desk.lakes.at(statement.version))
        table = lake.engine.sql(statement.sql, statement.limit + 1, run)
        rows = table.slice(0, statement.limit)
        note(http, rows=rows.num_rows)
        columns = [
            {"name": field.name, "path": field.name, "type": type_of(field.type), "unit": ""}
            for field in table.schema
        ]
        return as_json(
            {
                "version": lake.version,
                "columns": columns,
                "rows": cells(rows),
                "more": table.num_rows > statement.limit,
                "seconds": run.seconds,
            }
        )

    return await answered(http, desk.board, work, query_id, statement.timeout_s)
