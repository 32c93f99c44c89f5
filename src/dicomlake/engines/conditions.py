"""Conditions on one attribute as SQL over rows of `elements`, and over columns of `instances`.

A row of `elements` is one value of a series, or many folded ones. So a condition has three forms:
`sure`, met by some value of the row; `doubt`, the row may hide a value that meets it; and `every`,
met by all of its values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, TypeAlias

import pyarrow as pa

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
    Within,
)
from dicomlake.query.attributes import attribute
from dicomlake.query.headers import comparable
from dicomlake.terms.mapping import equivalent

Leaf = Compare | OneOf | Between | Exists | Missing | Contains | Like | Within

Lists: TypeAlias = dict[str, pa.Table]
"""Tables with a column `value` that conditions read, by name."""
FEW = 40
"""Lists of up to so many values are part of the SQL, so that DuckDB can skip row groups."""
INSTANCE_COLUMNS = ("SOPInstanceUID", "InstanceNumber")
"""What differs in every instance of a series and is asked so often that it has a column."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of SQL and its parameters, in the order of its question marks."""

    sql: str
    values: tuple[Any, ...] = ()

    def __and__(self, other: Part) -> Part:
        return Part(f"({self.sql} and {other.sql})", self.values + other.values)

    def __or__(self, other: Part) -> Part:
        return Part(f"({self.sql} or {other.sql})", self.values + other.values)

    def __invert__(self) -> Part:
        return Part(f"(not coalesce({self.sql}, false))", self.values)


def joined(word: str, parts: list[Part]) -> Part:
    """Some conditions joined by `and` or `or`, side by side, however many there are."""
    sql = f" {word} ".join(part.sql for part in parts)
    return Part(f"({sql})", tuple(value for part in parts for value in part.values))


ALWAYS, NEVER = Part("true"), Part("false")
HAS_VALUE = Part(
    "(folded or text is not null or number is not null or moment is not null "
    "or code_value is not null)"
)


@dataclass(frozen=True, slots=True)
class Rows:
    """A condition over rows: met by some value of a row, perhaps by some, by all of them."""

    sure: Part
    doubt: Part
    every: Part

    def __or__(self, other: Rows) -> Rows:
        return Rows(self.sure | other.sure, self.doubt | other.doubt, self.every | other.every)


@dataclass(frozen=True, slots=True)
class Forms:
    """How an attribute occurs in a lake: with which VRs, and whether some rows are folded."""

    vrs: frozenset[str]
    folded: bool


@dataclass(frozen=True, slots=True)
class Columns:
    """SQL of what conditions read of a row: its text; its lowest and highest number or moment.

    `person`: the text is a name (PN). `folded`: the row has lost its texts; `hidden`: it may have
    numbers that `low` and `high` do not span.
    """

    text: str
    low: str
    high: str
    person: bool = False
    folded: Part = NEVER
    hidden: Part = NEVER


def rows(node: Leaf, forms: Forms, lists: Lists) -> Rows:
    """A condition over the rows of `elements` of its path, which have these forms.

    Lists of many values are added to `lists`.
    """
    return _rows(node, columns_of(node.path, forms), lists)


def of_instance(node: Node, lists: Lists) -> Part | None:
    """A condition over `instances i`, or None where its columns cannot tell."""
    path = getattr(node, "path", "")
    if path not in INSTANCE_COLUMNS or isinstance(node, Exists | Missing):
        return None
    name = f'i."{path}"'
    return _rows(node, Columns(name, name, name), lists).every


def columns_of(path: str, forms: Forms) -> Columns:
    """What conditions on an attribute read of `elements`.

    Bulk data and sequences have a number too, their length, so numbers only count in rows of a VR
    that fits. Where nobody knows what an attribute holds, a text that reads as a number is one.
    """
    about = attribute(path)
    folded = Part("folded") if forms.folded else NEVER
    if about.kind in ("date", "datetime"):
        return Columns("text", *_range("moment", forms), folded=folded)
    low, high = _range("number", forms)
    fits = _FITS.get(about.kind, dictionary.NUMBERS)
    if forms.vrs <= fits:
        return Columns("text", low, high, folded=folded)
    listed = ", ".join(f"'{vr}'" for vr in sorted(fits))
    unknown = about.kind == "unknown"
    case = f"case when vr in ({listed}) then {{}} {_READ if unknown else ''} end"
    hidden = Part("(folded and number is null)") if unknown and forms.folded else NEVER
    return Columns("text", case.format(low), case.format(high), about.vr == "PN", folded, hidden)


def _range(column: str, forms: Forms) -> tuple[str, str]:
    return column, f"coalesce({column}_max, {column})" if forms.folded else column


_FITS = {"time": frozenset(["TM"]), "age": frozenset(["AS"])}
_READ = (  # as dicom.values.number_of
    r"when regexp_full_match(text, '[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?') "
    "then try_cast(text as double)"
)


def over(node: Leaf, columns: Columns, lists: Lists) -> Rows:
    """A condition over rows of any table, by the columns that have its values."""
    return _rows(node, columns, lists)


@singledispatch
def _rows(node: Node, columns: Columns, lists: Lists) -> Rows:
    raise Unsupported(f"{type(node).__name__} is not a condition on one attribute.")


@_rows.register
def _(node: Compare, columns: Columns, lists: Lists) -> Rows:
    value = comparable(node.value)
    if isinstance(value, str):
        return _compare_texts(columns, node.op, value)
    if node.op == "=":
        return _inside(columns, value, value)
    lowest = Part(f"{columns.low} {node.op} ?", (value,))
    highest = Part(f"{columns.high} {node.op} ?", (value,))
    if columns.low == columns.high:
        return Rows(lowest, columns.hidden, lowest)
    if node.op == "!=":
        every = Part(f"({columns.low} > ? or {columns.high} < ?)", (value, value))
        return Rows(lowest | highest, columns.hidden, every)
    if node.op in ("<", "<="):
        return Rows(lowest, columns.hidden, highest)
    return Rows(highest, columns.hidden, lowest)


def _compare_texts(columns: Columns, op: str, value: str) -> Rows:
    if op == "=":
        return _alike(columns, Part("= ?", (value,)))
    if op == "!=":
        other = Part(f"{columns.text} is not null") & ~_called(columns, Part("= ?", (value,)))
        if columns.person:  # many folded names may all be names of one person
            return Rows(other, columns.folded, other)
        return Rows(other | columns.folded, NEVER, other)
    test = Part(f"{columns.text} {op} ?", (value,))
    return Rows(test, columns.folded, test)


def _alike(columns: Columns, test: Part) -> Rows:
    """A test that a text, or one of the names of a person, passes as a whole."""
    called = _called(columns, test)
    return Rows(called, columns.folded, called)


def _called(columns: Columns, test: Part) -> Part:
    whole = Part(f"{columns.text} {test.sql}", test.values)
    if not columns.person:
        return whole
    groups = f"string_split({columns.text}, '=')"
    each = f"len(list_filter({groups}, lambda g: trim(g) <> '' and trim(g) {test.sql})) > 0"
    return whole | (Part(f"contains({columns.text}, '=')") & Part(each, test.values))


def _inside(columns: Columns, low: Any, high: Any) -> Rows:
    test = Part("= ?", (low,)) if low == high else Part("between ? and ?", (low, high))
    lowest = Part(f"{columns.low} {test.sql}", test.values)
    if columns.low == columns.high:
        return Rows(lowest, columns.hidden, lowest)
    highest = Part(f"{columns.high} {test.sql}", test.values)
    around = Part(f"({columns.low} < ? and {columns.high} > ?)", (low, high))
    return Rows(lowest | highest, around | columns.hidden, lowest & highest)


@_rows.register
def _(node: Between, columns: Columns, lists: Lists) -> Rows:
    low, high = comparable(node.low), comparable(node.high)
    if not isinstance(low, str):
        return _inside(columns, low, high)
    test = Part(f"{columns.text} between ? and ?", (low, high))
    return Rows(test, columns.folded, test)


@_rows.register
def _(node: OneOf, columns: Columns, lists: Lists) -> Rows:
    texts = [value for value in node.values if isinstance(value, str)]
    others = [comparable(value) for value in node.values if not isinstance(value, str)]
    found = []
    if texts:
        found.append(_one_text(columns, texts, lists))
    if others:
        found.append(_one_measure(columns, others, lists))
    return found[0] if len(found) == 1 else found[0] | found[1]


def _one_text(columns: Columns, values: list[str], lists: Lists) -> Rows:
    among = _among(values, lists)
    if len(values) <= FEW or not columns.person:
        return _alike(columns, among)
    whole = Part(f"{columns.text} {among.sql}", among.values)
    return Rows(whole, columns.folded | Part(f"contains({columns.text}, '=')"), whole)


def _one_measure(columns: Columns, values: list[Any], lists: Lists) -> Rows:
    among = _among(values, lists)
    lowest = Part(f"{columns.low} {among.sql}", among.values)
    if columns.low == columns.high:
        return Rows(lowest, columns.hidden, lowest)
    highest = Part(f"{columns.high} {among.sql}", among.values)
    around = Part(f"({columns.low} < ? and {columns.high} > ?)", (max(values), min(values)))
    single = Part(f"{columns.low} = {columns.high}")
    return Rows(lowest | highest, around | columns.hidden, lowest & single)


def _among(values: list[Any], lists: Lists) -> Part:
    """The rest of a test that a value is in a list."""
    if len(values) <= FEW:
        return Part(f"in ({', '.join('?' * len(values))})", tuple(values))
    name = f"listed_{len(lists)}"
    lists[name] = pa.table({"value": pa.array(values)})
    return Part(f"in (select value from {name})")


@_rows.register
def _(node: Exists, columns: Columns, lists: Lists) -> Rows:
    return Rows(HAS_VALUE, NEVER, HAS_VALUE)


@_rows.register
def _(node: Contains, columns: Columns, lists: Lists) -> Rows:
    test = Part(f"contains(lower({columns.text}), ?)", (node.text.lower(),))
    return Rows(test, columns.folded, test)


@_rows.register
def _(node: Like, columns: Columns, lists: Lists) -> Rows:
    escaped = node.pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = escaped.replace("*", "%").replace("?", "_")
    word = "ilike" if columns.person else "like"
    return _alike(columns, Part(f"{word} ? escape '\\'", (pattern,)))


@_rows.register
def _(node: Within, columns: Columns, lists: Lists) -> Rows:
    codes = equivalent(node.code.value, node.code.scheme)
    each = " or ".join("(code_value = ? and code_scheme = ?)" for _ in codes)
    test = Part(f"({each})", tuple(part for code in codes for part in code))
    return Rows(test, columns.folded, test)
