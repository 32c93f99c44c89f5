"""Conditions on what is inside of objects as SQL: over rows of items, segments, channels, doses.

A condition on a path is met by rows of one table (`c` in the SQL here). What one row meets, one
object meets, and so does its series. `same(item, ...)` asks for one item, or a group of them: an
item sees itself, the items directly below it, and the modifiers and contexts that count for it.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dicomlake import tables
from dicomlake.dicom.concepts import code_of
from dicomlake.dicom.dictionary import segments
from dicomlake.engines.conditions import Columns, Part, over
from dicomlake.errors import Unsupported
from dicomlake.query import (
    And,
    Between,
    Compare,
    Exists,
    Missing,
    Node,
    Not,
    OneOf,
    Or,
    Quantity,
    Related,
    Same,
    Within,
)
from dicomlake.query.attributes import ANATOMY, ANATOMY_PATHS, ROWS, attribute
from dicomlake.terms.mapping import normal

if TYPE_CHECKING:
    from dicomlake.engines.conditions import Leaf, Lists

OBJECT = 'c.series_id, c."SOPInstanceUID"'
_STEP = r'\[(?:[^\[\]"]|"(?:[^"]|"")*")*\]'
_NUMBER = "coalesce(c.quantity, c.number)"
VALUED = (
    "(c.text is not null or c.number is not null or c.code is not null or c.moment is not null "
    "or c.value_type not in ('NUM', 'CODE', 'TEXT', 'PNAME', 'DATE', 'TIME', 'DATETIME', 'UIDREF'))"
)
ITEM_TEXT = "coalesce(c.text, c.code)"


def with_anatomy(node: Node) -> Node:
    """A condition in which `anatomy` is spelt out: any of the places where it is written."""
    if getattr(node, "path", "") == ANATOMY:
        if isinstance(node, Within):
            return Or(tuple(Within(path, node.code) for path in ANATOMY_PATHS))
        some = Or(tuple(map(Exists, ANATOMY_PATHS)))
        return Not(some) if isinstance(node, Missing) else some
    if isinstance(node, And | Or):
        return type(node)(tuple(map(with_anatomy, node.parts)))
    if isinstance(node, Not):
        return Not(with_anatomy(node.part))
    if isinstance(node, Same):
        return Same(node.level, with_anatomy(node.part))
    if isinstance(node, Related):
        return replace(node, first=with_anatomy(node.first), second=with_anatomy(node.second))
    return node


@dataclass(frozen=True, slots=True)
class Met:
    """Rows of a table that meet a condition; `where` is about rows `c`."""

    table: str
    where: Part

    def select(self, what: str) -> Part:
        """SELECT of what is asked of the rows."""
        return Part(f"select {what} from {self.table} c where {self.where.sql}", self.where.values)


def asked_rows(path: str) -> Met:
    """The rows that a path names, whatever they say."""
    about = attribute(path)
    if path.partition(".")[0] in ROWS:
        return Met(about.table, Part("true"))
    return Met("items", _placed(path))


def _placed(path: str) -> Part:
    """Which items lie at a path of concepts."""
    parts = segments(path)
    value, scheme = code_of(parts[-1])
    concept = Part("c.concept = ?", (f"{scheme}:{value}",))
    if not value and not scheme:
        concept = Part("c.concept is null")
    anywhere, steps = parts[0] == "*", parts[1:] if parts[0] == "*" else parts
    if not any(step.startswith("*") for step in steps):
        exact = ".".join(steps)
        if not anywhere:
            return concept & Part("c.path = ?", (exact,))
        if len(steps) == 1:
            return concept
        return concept & Part("(c.path = ? or suffix(c.path, ?))", (exact, "." + exact))
    pattern = rf"(?:{_STEP}\.)*" if anywhere else ""
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        if step == "**":
            pattern += rf"(?:{_STEP}\.)*"
        else:
            one = _STEP if step == "*" else re.escape(step)
            pattern += one if last else one + r"\."
    return concept & Part("regexp_full_match(c.path, ?)", (pattern,))


def met(node: Leaf, lists: Lists) -> Met:
    """The rows that meet a condition on one path."""
    asked = asked_rows(node.path)
    if node.path.partition(".")[0] in ROWS:
        return Met(asked.table, _of_field(node, lists))
    return Met(asked.table, asked.where & _of_item(node, lists))


def _of_item(node: Leaf, lists: Lists) -> Part:
    """A condition on the value of a content item."""
    if isinstance(node, Exists):
        return Part(VALUED)
    if isinstance(node, Missing):
        return ~Part(VALUED)
    if isinstance(node, Within):
        return Part("c.code = ?", (_code(node),))
    if isinstance(node, OneOf):
        each = [_of_item(Compare(node.path, "=", value), lists) for value in node.values
                if not isinstance(value, str)]  # fmt: skip
        texts = tuple(value for value in node.values if isinstance(value, str))
        if texts:
            each.append(_test(OneOf(node.path, texts), ITEM_TEXT, lists))
        found = each[0]
        for part in each[1:]:
            found = found | part
        return found
    value = node.low if isinstance(node, Between) else getattr(node, "value", "")
    if isinstance(value, dt.date):
        return _test(node, "c.moment", lists)
    if isinstance(value, str):
        return _test(node, ITEM_TEXT, lists)
    one = Part("c.numbers is null") & _test(node, _NUMBER, lists)
    factor = "coalesce(c.quantity / nullif(c.number, 0), 1)"
    each_ = _test(node, "n", lists)
    every = f"list_transform(c.numbers, lambda n: n * {factor})"
    several = Part(f"len(list_filter({every}, lambda n: {each_.sql})) > 0", each_.values)
    found = one | (Part("c.numbers is not null") & several)
    if isinstance(value, Quantity):
        found = found & Part("c.quantity_unit = ?", (value.common[1],))
    return found


def _test(node: Leaf, column: str, lists: Lists) -> Part:
    return over(node, Columns(column, column, column), lists).sure


def _code(node: Within) -> str:
    value, scheme = normal(node.code.value, node.code.scheme)
    return f"{scheme}:{value}"


def _of_field(node: Leaf, lists: Lists) -> Part:
    """A condition on a column of rows."""
    about = attribute(node.path)
    name = node.path.partition(".")[2]
    if not name:  # the row itself
        return Part("true") if isinstance(node, Exists) else Part("false")
    column = f'c."{name}"'
    listed = about.vm == "1-n"
    if isinstance(node, Exists | Missing):
        there = Part(f"len({column}) > 0") if listed else Part(f"{column} is not null")
        return there if isinstance(node, Exists) else ~there
    if isinstance(node, Within):
        code = _code(node)
        if listed:
            return Part(
                f"len(list_filter({column}, lambda m: m.{_code_field(node.path)} = ?)) > 0", (code,)
            )
        return Part(f"{column} = ?", (code,))
    if not listed:
        return _fitting(node, about.unit, shown_field(node.path), about.vr == "PN", lists)
    one = _fitting(node, about.unit, "v", False, lists)
    return Part(f"len(list_filter({column}, lambda v: {one.sql})) > 0", one.values)


def _code_field(path: str) -> str:
    """Where the items of a list have their code: filters of X-rays have that of their material."""
    root, _, name = path.partition(".")
    items = tables.ALL[ROWS[root]].field(name).type.value_type
    return "code" if items.get_field_index("code") >= 0 else "material"


def shown_field(path: str) -> str:
    """SQL of the value of a column, as conditions read it."""
    root, _, name = path.partition(".")
    column = f'c."{name}"'
    if str(tables.ALL[ROWS[root]].field(name).type) == "bool":
        return f"case when {column} then 'yes' when not {column} then 'no' end"
    return column


def _fitting(node: Leaf, unit: str, column: str, person: bool, lists: Lists) -> Part:
    """A test of a column in its unit."""
    if unit:  # quantities are compared in their common unit, so the column is brought to it
        factor, _ = Quantity(1, unit).common
        values = [getattr(node, n, None) for n in ("value", "low", "high")]
        values += getattr(node, "values", ())
        if any(isinstance(value, Quantity) for value in values):
            column = f"({column} * {factor!r})"
            node = _in_common(node, unit)
    return over(node, Columns(column, column, column, person), lists).sure


def _in_common(node: Leaf, unit: str) -> Leaf:
    """A condition with plain numbers as quantities of the unit."""

    def measured(value: Any) -> Any:
        return value if isinstance(value, Quantity) else Quantity(value, unit)

    if isinstance(node, Compare):
        return Compare(node.path, node.op, measured(node.value))
    if isinstance(node, Between):
        return Between(node.path, measured(node.low), measured(node.high))
    assert isinstance(node, OneOf)
    return OneOf(node.path, tuple(map(measured, node.values)))


def row_condition(node: Node, lists: Lists) -> Part:
    """A condition that one row meets, over its columns."""
    if isinstance(node, And | Or):
        parts = [row_condition(part, lists) for part in node.parts]
        found = parts[0]
        for part in parts[1:]:
            found = found & part if isinstance(node, And) else found | part
        return found
    if isinstance(node, Not):
        return ~row_condition(node.part, lists)
    if isinstance(node, Same):
        return row_condition(node.part, lists)
    if not hasattr(node, "path"):
        raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__} inside of same.")
    return met(node, lists).where  # type: ignore[arg-type]


def objects(node: Node, lists: Lists) -> Part:
    """SELECT of the objects (series_id, SOPInstanceUID) that meet a condition, some twice.

    `node` asks one path of contents, or is `same` at the level of one row.
    """
    if not isinstance(node, Same):
        return met(node, lists).select(OBJECT)  # type: ignore[arg-type]
    if node.level == "item":
        inner = items_that_see(node.part, lists)
        return Part(f"select {OBJECT} from ({inner.sql}) c", inner.values)
    return Met(ROWS[node.level], row_condition(node.part, lists)).select(OBJECT)


def items_that_see(node: Node, lists: Lists) -> Part:
    """SELECT of the items (series_id, SOPInstanceUID, item) that see all that is asked."""
    if isinstance(node, Or):
        return _join("union", [items_that_see(part, lists) for part in node.parts])
    if isinstance(node, And):
        wanted = [part for part in node.parts if not isinstance(part, Not | Missing)]
        unwanted = [part for part in node.parts if isinstance(part, Not | Missing)]
        found = _join("intersect", [items_that_see(p, lists) for p in wanted]) if wanted else _EVERY
        for part in unwanted:
            asked = part.part if isinstance(part, Not) else Exists(part.path)
            found = _join("except", [found, items_that_see(asked, lists)])
        return found
    if isinstance(node, Not | Missing):
        return items_that_see(And((node,)), lists)
    if isinstance(node, Same):
        return items_that_see(node.part, lists)
    if not hasattr(node, "path"):
        raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__} inside of same.")
    rows = met(node, lists)  # type: ignore[arg-type]
    if node.path.startswith("item"):
        return rows.select(f"{OBJECT}, c.item")
    hits = rows.select(f"{OBJECT}, c.item, c.parent")
    return Part(
        f"""with hits as materialized ({hits.sql})
        select series_id, "SOPInstanceUID", item from hits
        union select series_id, "SOPInstanceUID", parent from hits where parent is not null
        union select c.series_id, c."SOPInstanceUID", c.item from items c
            join hits h on h.series_id = c.series_id and h."SOPInstanceUID" = c."SOPInstanceUID"
            where list_contains(c.modifiers, h.item)""",
        hits.values,
    )


_EVERY = Part(f"select {OBJECT}, c.item from items c")


def _join(word: str, parts: list[Part]) -> Part:
    sql = f" {word} ".join(f"(from ({part.sql}))" for part in parts)
    return Part(sql, tuple(value for part in parts for value in part.values))


# What is shown, and the order of it


def shown(path: str) -> str:
    """SQL of what a row says at a path, as text or number that people read."""
    about = attribute(path)
    name = path.partition(".")[2]
    if about.kind == "content":
        return (
            "case when c.code is not null then trim(coalesce(c.code_meaning, '') || ' (' || c.code "
            "|| ')') when c.text is not null then c.text "
            f"when c.number is not null then {_text_of(_NUMBER)} "
            "when c.value_type in ('NUM', 'CODE', 'TEXT') then null else c.value_type end"
        )
    if not name:
        return "'1 row'"
    column = shown_field(path)
    if about.vr == "SQ" and about.vm != "1-n":
        meaning = f'c."{name}_meaning"'
        if f"{name}_meaning" in tables.ALL[about.table].names:
            return f"trim(coalesce({meaning}, '') || ' (' || {column} || ')')"
        return column
    if about.vr == "SQ":
        codes = f"list_transform({column}, lambda m: m.{_code_field(path)})"
        return f"array_to_string({codes}, '\\')"
    if about.vm == "1-n":
        return f"array_to_string({column}, '\\')"
    return _text_of(column) if about.vr == "FD" else f"{column}::varchar"


def _text_of(number: str) -> str:
    return (
        f"case when {number} = trunc({number}) and abs({number}) < 1e15 "
        f"then ({number})::bigint::varchar else ({number})::varchar end"
    )


def number(path: str) -> str:
    """SQL of the number that a row has at a path, or of null."""
    about = attribute(path)
    if about.kind == "content":
        return _NUMBER
    return shown_field(path) if about.kind == "number" and about.vm == "1" else "null::double"


def sortable(path: str) -> str:
    """SQL of the value by which rows are ordered."""
    about = attribute(path)
    if about.kind == "content":
        return f"coalesce({_NUMBER}, epoch(c.moment))"
    return shown_field(path)
