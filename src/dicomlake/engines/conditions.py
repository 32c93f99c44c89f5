"""Conditions on one attribute as SQL over `elements` and over the columns of `series`.

Every condition has two forms: `sure`, met by some value of the series for certain, and `doubt`,
folded rows that may hide a value that meets it. Headers decide the doubtful ones.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.errors import Unsupported
from dicomlake.query import (
    Between,
    Compare,
    Contains,
    Exists,
    Like,
    Missing,
    Node,
    OneOf,
    Value,
    Within,
)
from dicomlake.query.headers import comparable
from dicomlake.terms.mapping import equivalent

Leaf = Compare | OneOf | Between | Exists | Missing | Contains | Like | Within


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of SQL and its parameters, in the order of its question marks."""

    sql: str
    values: tuple[Any, ...] = ()

    def __and__(self, other: Part) -> Part:
        return Part(f"({self.sql} and {other.sql})", self.values + other.values)

    def __or__(self, other: Part) -> Part:
        return Part(f"({self.sql} or {other.sql})", self.values + other.values)


NEVER = Part("false")


@dataclass(frozen=True, slots=True)
class Rows:
    """A condition over rows of `elements` of one path."""

    sure: Part
    doubt: Part = NEVER


def column_of(value: Value) -> str:
    """Column of `elements` that a value is compared with."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, dt.date | dt.datetime):
        return "moment"
    return "number"


@singledispatch
def rows(node: Node) -> Rows:
    """Conditions over rows of `elements`; Unsupported names a node that is no single condition."""
    raise Unsupported(f"{type(node).__name__} is not a condition on one attribute.")


@rows.register
def _(node: Compare) -> Rows:
    column, value = column_of(node.value), comparable(node.value)
    low, high = column, f"coalesce({column}_max, {column})"
    if column == "text":
        return _text_rows(node, value)
    if node.op in ("<", "<="):
        return Rows(Part(f"{low} {node.op} ?", (value,)))
    if node.op in (">", ">="):
        return Rows(Part(f"{high} {node.op} ?", (value,)))
    if node.op == "!=":
        return Rows(Part(f"({low} <> ? or {high} <> ?)", (value, value)))
    sure = Part(f"({column} = ? or {column}_max = ?)", (value, value))
    if column == "number" and dictionary.attribute(node.path).kind == "unknown":
        sure = sure | Part("text = ?", (str(node.value),))
    return Rows(sure, Part(f"(folded and {column} < ? and {column}_max > ?)", (value, value)))


def _text_rows(node: Compare, value: str) -> Rows:
    if node.op == "!=":
        return Rows(Part("(folded or text <> ?)", (value,)))
    if node.op != "=":
        return Rows(Part(f"text {node.op} ?", (value,)), Part("folded"))
    return Rows(_text_is(node.path, Part("= ?", (value,))), Part("folded"))


def _text_is(path: str, test: Part) -> Part:
    """A test on texts; on person names also on their groups."""
    found = Part(f"text {test.sql}", test.values)
    if dictionary.attribute(path).vr == "PN":
        groups = f"exists (select 1 from unnest(string_split(text, '=')) g(g) where g {test.sql})"
        found = found | Part(f"(contains(text, '=') and {groups})", test.values)
    return found


@rows.register
def _(node: OneOf) -> Rows:
    column = column_of(node.values[0])
    values = [comparable(value) for value in node.values]
    if column == "text":
        return Rows(_text_is(node.path, Part("= any(?)", (values,))), Part("folded"))
    return Rows(
        Part(f"({column} = any(?) or {column}_max = any(?))", (values, values)),
        Part(f"(folded and {column} < ? and {column}_max > ?)", (max(values), min(values))),
    )


@rows.register
def _(node: Between) -> Rows:
    column = column_of(node.low)
    low, high = comparable(node.low), comparable(node.high)
    if column == "text":
        return Rows(Part("text between ? and ?", (low, high)), Part("folded"))
    return Rows(
        Part(f"({column} between ? and ? or {column}_max between ? and ?)", (low, high, low, high)),
        Part(f"(folded and {column} < ? and {column}_max > ?)", (low, high)),
    )


HAS_VALUE = Part(
    "(folded or text is not null or number is not null or moment is not null "
    "or code_value is not null)"
)


@rows.register
def _(node: Exists) -> Rows:
    return Rows(HAS_VALUE)


@rows.register
def _(node: Contains) -> Rows:
    return Rows(Part("contains(lower(text), ?)", (node.text.lower(),)), Part("folded"))


@rows.register
def _(node: Like) -> Rows:
    escaped = node.pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = escaped.replace("*", "%").replace("?", "_")
    word = "ilike" if dictionary.attribute(node.path).vr == "PN" else "like"
    return Rows(_text_is(node.path, Part(f"{word} ? escape '\\'", (pattern,))), Part("folded"))


@rows.register
def _(node: Within) -> Rows:
    codes = equivalent(node.code.value, node.code.scheme)
    each = " or ".join("(code_value = ? and code_scheme = ?)" for _ in codes)
    return Rows(Part(f"({each})", tuple(v for code in codes for v in code)), Part("folded"))


_SERIES = {field.name: field.type for field in tables.SERIES}


def wide(node: Node) -> Part | None:
    """A condition over a column of `series`, or None where only `elements` can tell.

    Right for attributes that have one value in every series (see `varying`).
    """
    path = getattr(node, "path", "")
    return _wide(node, f's."{path}"', str(_SERIES[path])) if is_wide(path) else None


def is_wide(path: str) -> bool:
    """Whether a column of `series` has the values of an attribute as they are compared."""
    kind = str(_SERIES.get(path, ""))
    if path not in tables.SERIES_KEYWORDS or kind.startswith("list"):
        return False
    return dictionary.attribute(path).vr not in ("PN", "TM", "AS", "DT")


def wide_column(node: Node, column: str, kind: str) -> Part | None:
    """A condition over any SQL expression of an Arrow type, or None where there is none."""
    return _wide(node, column, kind)


@singledispatch
def _wide(node: Node, column: str, kind: str) -> Part | None:
    return None


@_wide.register
def _(node: Compare, column: str, kind: str) -> Part | None:
    return Part(f"{column} {node.op.replace('!=', '<>')} ?", (_plain(node.value),))


@_wide.register
def _(node: OneOf, column: str, kind: str) -> Part | None:
    if len(node.values) > 1000:
        return None
    return Part(f"{column} = any(?)", ([_plain(v) for v in node.values],))


@_wide.register
def _(node: Between, column: str, kind: str) -> Part | None:
    return Part(f"{column} between ? and ?", (_plain(node.low), _plain(node.high)))


@_wide.register
def _(node: Exists, column: str, kind: str) -> Part | None:
    # A value that does not fit the column (a date that is none) is null there: only text is sure.
    return Part(f"{column} is not null") if kind == "string" else None


@_wide.register
def _(node: Contains, column: str, kind: str) -> Part | None:
    return Part(f"contains(lower({column}), ?)", (node.text.lower(),))


@_wide.register
def _(node: Like, column: str, kind: str) -> Part | None:
    test = rows(node).sure
    return Part(test.sql.replace("text", column, 1), test.values)


def _plain(value: Value) -> Any:
    return value if isinstance(value, dt.date) else comparable(value)


INSTANCE_COLUMNS = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber")


def of_instance(node: Node) -> Part | None:
    """A condition over the columns of `instances`, or None where only headers can tell."""
    if getattr(node, "path", "") not in INSTANCE_COLUMNS or isinstance(node, Missing | Exists):
        return None
    kind = "int64" if node.path == "InstanceNumber" else "string"  # type: ignore[attr-defined]
    return _wide(node, f'i."{node.path}"', kind)  # type: ignore[attr-defined]
