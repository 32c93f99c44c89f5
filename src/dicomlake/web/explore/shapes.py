"""Shapes that several routes of exploring share, and values of Arrow as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import orjson
import pyarrow as pa
from fastapi import Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from dicomlake.errors import UsageError
from dicomlake.query import Node, from_json, parse
from dicomlake.query import Query as Question

MOST_ROWS = 10_000
"""Rows of one answer."""
MOST_TEXT = 1_000_000
"""Characters of a question."""
_SAFE = 1 << 53

Level = Literal["patient", "study", "series", "instance"]
Where = dict[str, Any] | str | None
Version = Annotated[
    int | None,
    Query(ge=0, le=1 << 62, description="A version of the lake; the newest when left out"),
]
PathOf = Annotated[str, Query(min_length=1, max_length=2000, description="Attribute path")]
WhereText = Annotated[
    str | None,
    Query(max_length=100_000, description="Under this question: text, or a JSON tree"),
]


class Shape(BaseModel):
    """What goes in or out."""

    model_config = ConfigDict(extra="forbid")


class Totals(Shape):
    """How much there is, or was found."""

    patients: int
    studies: int
    series: int
    instances: int


class Column(Shape):
    """A column of rows."""

    name: str = Field(description="What people call it")
    path: str = Field(description="Attribute path")
    type: Literal["text", "integer", "number", "date", "datetime", "boolean", "list", "object"]
    unit: str = ""


class Rows(Shape):
    """Rows as lists of cells, in the order of the columns."""

    columns: list[Column]
    rows: list[list[Any]]


def condition(where: Where) -> Node | None:
    """The condition that a question states, as text or as a JSON tree; UsageError for faults."""
    if where is None or where == {}:
        return None
    if isinstance(where, str):
        if where.lstrip().startswith("{"):
            return condition(_decoded(where))
        return parse(_unicode(where))
    found = read(where)
    if not isinstance(found, Node):
        raise UsageError("Give the condition alone here: level, show and order go beside where.")
    return found


def read(plain: Any) -> Node | Question:
    """The condition or the whole question of a JSON tree; UsageError says its faults."""
    return from_json(_unicode(plain))


def _unicode(told: Any) -> Any:
    """What was sent, if all texts in it are texts; JSON can smuggle in halves of characters."""
    try:
        orjson.dumps(told)
    except (TypeError, RecursionError) as error:
        raise UsageError(f"The question cannot be read: {error}.") from error
    return told


def _decoded(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"The question begins like JSON and is none: {error}.") from error
    return found


def as_json(content: Any) -> Response:
    """An answer whose shape is right by how it was made: numbers that JSON lacks become null."""
    body = orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, media_type="application/json")


def cells(table: pa.Table) -> list[list[Any]]:
    """Rows of a table as lists of what JSON can hold."""
    columns = [_cells(column) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)] if columns else []


def _cells(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_boolean(kind):
        return list(column.to_pylist())
    try:
        return [plain(value) for value in column.to_pylist()]
    except (ValueError, OverflowError, pa.ArrowException):  # moments that Python does not have
        return [plain(value) for value in _written(column)]


def _written(column: pa.ChunkedArray) -> list[Any]:
    """Values as text; none where Arrow cannot write them either."""
    try:
        return list(column.cast(pa.string()).to_pylist())
    except pa.ArrowException:
        return [None] * len(column)


def plain(value: Any) -> Any:
    """A value as JSON can hold it; whole numbers that JavaScript cannot count become text.

    >>> plain({"at": date(2024, 1, 31), "n": float("inf"), "big": 1 << 60})
    {'at': '2024-01-31', 'n': None, 'big': '1152921504606846976'}
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if -_SAFE < value < _SAFE else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if not isinstance(value, timedelta) else value.total_seconds()


def type_of(kind: pa.DataType) -> str:
    """What a column of a type holds.

    >>> type_of(pa.int64()), type_of(pa.date32()), type_of(pa.string())
    ('integer', 'date', 'text')
    """
    for test, name in _TYPES:
        if test(kind):
            return name
    return "text"


_TYPES: Sequence[tuple[Any, str]] = (
    (pa.types.is_integer, "integer"),
    (pa.types.is_floating, "number"),
    (pa.types.is_decimal, "number"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "datetime"),
    (pa.types.is_list, "list"),
    (pa.types.is_struct, "object"),
    (pa.types.is_map, "list"),
)
