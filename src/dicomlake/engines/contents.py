"""Conditions on what is inside of objects as SQL: over rows of items, segments, channels, doses.

A condition on a path is met by rows of one table (`c` in the SQL here). What one row meets, one
object meets, and so does its series. `same(item, ...)` asks for one item, or a group of them: an
item sees itself, the items directly below it, and the modifiers and contexts that count for it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.dicom.concepts import code_of
from dicomlake.dicom.dictionary import segments
from dicomlake.engines.conditions import FEW, NEVER, Columns, Part, joined, over
from dicomlake.errors import Unsupported
from dicomlake.lake.linking import LINKED
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
from dicomlake.query.attributes import (
    ANATOMY,
    ANATOMY_OF,
    ANATOMY_PATHS,
    CLINICAL,
    ROWS,
    attribute,
    is_clinical,
    is_content,
)
from dicomlake.query.headers import comparable
from dicomlake.query.nodes import paths_of
from dicomlake.terms.mapping import normal
from dicomlake.terms.trees import beginnings

if TYPE_CHECKING:
    from dicomlake.engines.conditions import Leaf, Lists

CODINGS = "codings"
"""The list of the codings of facts, if it is known: `code`, and each of its codings as `other`."""
OBJECT = 'c.series_id, c."SOPInstanceUID"'
SERIES = "c.series_id"
_STEP = r'\[(?:[^\[\]"]|"(?:[^"]|"")*")*\]'
_NUMBER = "coalesce(c.quantity, c.number)"
VALUED = (
    "(c.text is not null or c.number is not null or c.code is not null or c.moment is not null "
    "or c.value_type not in ('NUM', 'CODE', 'TEXT', 'PNAME', 'DATE', 'TIME', 'DATETIME', 'UIDREF'))"
)
ITEM_TEXT = "coalesce(c.text, c.code)"


def with_anatomy(node: Node, places: tuple[str, ...] = ANATOMY_PATHS) -> Node:
    """A condition in which `anatomy` is spelt out: any of the places where it is written."""
    if getattr(node, "path", "") == ANATOMY:
        if isinstance(node, Within):
            return Or(tuple(Within(path, node.code) for path in places))
        some = Or(tuple(map(Exists, places)))
        return Not(some) if isinstance(node, Missing) else some
    if isinstance(node, And | Or):
        return type(node)(tuple(with_anatomy(part, places) for part in node.parts))
    if isinstance(node, Not):
        return Not(with_anatomy(node.part, places))
    if isinstance(node, Same):
        return Same(node.level, with_anatomy(node.part, _places(node, places)))
    if isinstance(node, Related):
        first, second = (with_anatomy(part, places) for part in (node.first, node.second))
        return replace(node, first=first, second=second)
    return node


def _places(node: Same, places: tuple[str, ...]) -> tuple[str, ...]:
    """Where one and the same thing writes anatomy."""
    if node.level not in ANATOMY_OF:
        return places
    others = [path for path in paths_of(node.part) if path != ANATOMY]
    if node.level == "item" and others and not any(map(is_content, others)):
        return ("*.AnatomicRegionSequence",)  # an item of a sequence
    return ANATOMY_OF[node.level]


@dataclass(frozen=True, slots=True)
class Met:
    """Rows of a table that meet a condition; `where` is about rows `c`."""

    table: str
    where: Part

    def select(self, what: str) -> Part:
        """SELECT of what is asked of the rows."""
        rows = f"{self.table} c"
        if what != SERIES and self.table in tables.STATED:
            rows = f"{by_instance(self.table)} c"
        return Part(f"select {what} from {rows} where {self.where.sql}", self.where.values)


def by_instance(table: str) -> str:
    """SQL of the rows of a table, those about whole series once for each of its instances."""
    if table not in tables.STATED:
        return table
    return (
        f'(select s.*, i."SOPInstanceUID" from {table} s join instances i '
        "on i.series_id = s.series_id)"
    )


def is_of_people(node: Node) -> bool:
    """Whether a condition is about facts or documents: on one path, or on one and the same row."""
    if isinstance(node, Same):
        return node.level in CLINICAL
    return is_clinical(getattr(node, "path", ""))


def people(node: Node, lists: Lists, what: str = "c.patient_key, c.study_key") -> Part:
    """SELECT of what is asked of the facts or documents that meet a condition, each one alone.

    `study_key`: the study that one belongs to; null: all that its patient has.
    """
    table = attribute(paths_of(node)[0]).table
    where = row_condition(node, lists)
    return Part(f"select {what} from {LINKED[table]} c where {where.sql}", where.values)


def rows_among(table: str, some: str) -> str:
    """SQL of the rows `c` of a table that belong to series of a table `some`, with series_id."""
    if table not in LINKED:
        return table
    return (
        f"(select l.*, k.series_id from {LINKED[table]} l join (select series_id, patient_key, "
        f"study_key from series where series_id in (select series_id from {some})) k "
        "on k.patient_key = l.patient_key and (l.study_key is null or l.study_key = k.study_key))"
    )


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
    if not value:
        concept = Part("c.concept is null")
    anywhere, steps = parts[0] == "*", parts[1:] if parts[0] == "*" else parts
    if not any(step.startswith("*") for step in steps):
        exact = ".".join(steps)
        if not anywhere:
            return concept & Part("c.path = ?", (exact,))
        if len(steps) == 1 and (value or not scheme):
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
        return _some([_of_value(part, lists) for part in _alike(node)])
    return _of_value(node, lists)


def _alike(node: OneOf) -> list[OneOf]:
    """The same condition in parts, each with values of one kind."""
    kinds: dict[object, list[Any]] = {}
    for value in node.values:
        kind: object = type(value)
        if isinstance(value, Quantity):
            kind = value.common[1]
        elif isinstance(value, int | float):
            kind = float
        kinds.setdefault(kind, []).append(value)
    return [OneOf(node.path, tuple(values)) for values in kinds.values()]


def _some(parts: list[Part]) -> Part:
    """Any of some conditions."""
    return joined("or", parts)


def _of_value(node: Leaf, lists: Lists) -> Part:
    """A condition on the value of a content item, with values of one kind."""
    value: Any = getattr(node, "value", "")
    if isinstance(node, Between):
        value = node.low
    elif isinstance(node, OneOf):
        value = node.values[0]
    if isinstance(value, dt.datetime):
        return _test(node, "c.moment", lists)
    if isinstance(value, dt.date):  # any time of that day
        return _test(node, "(c.moment::date)", lists)
    if isinstance(value, str):
        named = _test(node, "c.text", lists, person=True)
        return (Part("c.value_type is distinct from 'PNAME'") & _test(node, ITEM_TEXT, lists)) | (
            Part("c.value_type = 'PNAME'") & named
        )
    one = _test(node, _NUMBER, lists)  # the first of several numbers too
    factor = "coalesce(c.quantity / nullif(c.number, 0), 1)"
    every = f"list_transform(c.numbers, lambda n: n * {factor})"
    found = one | (Part("c.numbers is not null") & _among(node, every, lists))
    if isinstance(value, Quantity):
        found = Part("c.quantity_unit = ?", (value.common[1],)) & found
    return found


def _test(node: Leaf, column: str, lists: Lists, *, person: bool = False) -> Part:
    if person and _many(node):
        groups = f"list_transform(string_split({column}, '='), lambda g: trim(g))"
        whole = over(node, Columns(column, column, column), lists).sure
        return whole | _among(node, groups, lists)
    return over(node, Columns(column, column, column, person), lists).sure


def _many(node: Leaf) -> bool:
    return isinstance(node, OneOf) and len(node.values) > FEW


def _among(node: Leaf, column: str, lists: Lists) -> Part:
    """A condition that some value of a list meets."""
    if not _many(node):
        one = over(node, Columns("v", "v", "v"), lists).sure
        return Part(f"len(list_filter({column}, lambda v: {one.sql})) > 0", one.values)
    assert isinstance(node, OneOf)
    texts = isinstance(node.values[0], str)
    values = [value if isinstance(value, str) else comparable(value) for value in node.values]
    name = f"listed_{len(lists)}"
    lists[name] = pa.table({"value": pa.array(values, pa.string() if texts else pa.float64())})
    kind = "varchar[]" if texts else "double[]"
    return Part(f"list_has_any({column}::{kind}, (select list(value) from {name}))")


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
            codes = _codes(node.path)
            each = " or ".join(f"m.{one} = ?" for one in codes)
            return Part(f"len(list_filter({column}, lambda m: {each})) > 0", (code,) * len(codes))
        if about.table in tables.CLINICAL:
            return _coded(node, about.table, name, lists)
        if about.table == "annotations" and name in ("structure", "code"):
            found = Part(
                f"({column} = ? or coalesce(list_contains(c.also, ?), false))", (code, code)
            )
            around = Part("coalesce(list_contains(c.regions, ?), false)", (code,))
            return found | around if name == "structure" else found
        return Part(f"{column} = ?", (code,))
    if listed:
        parts = _alike(node) if isinstance(node, OneOf) else [node]
        return _some([_among(part, column, lists) for part in parts])
    if about.unit == tables.ANY_UNIT:
        return _some([_of_any_unit(part, lists) for part in _by_kind(node)])
    return _fitting(node, about.unit, shown_field(node.path), about.vr == "PN", lists)


def _coded(node: Within, table: str, name: str, lists: Lists) -> Part:
    """A condition on a code of a fact or document: equal, mapped, or narrower by how it begins.

    Any of all codings of a fact will do; they are asked alone, because the code is one of them, and
    because Parquet files can tell which row groups have none.
    """
    begin = beginnings(node.code.value, node.code.scheme)
    several = name == "code" and "codes" in tables.ALL[table].names
    if not begin:
        column = "list_contains(c.codes, ?)" if several else f'c."{name}" = ?'
        return Part(column, (_code(node),))
    if not several:
        return _beginning(f'c."{name}"', begin)
    if CODINGS in lists:
        return _found_codes(begin, lists[CODINGS])
    each = _beginning("m", begin)
    return Part(f"len(list_filter(c.codes, lambda m: {each.sql})) > 0", each.values)


def _beginning(column: str, begin: tuple[str, ...]) -> Part:
    """A condition that a text begins with one of some."""
    one = f"({column} >= ? and {column} < ?)"
    return joined("or", [Part(one, (text, _past(text))) for text in begin])


def _found_codes(begin: tuple[str, ...], codings: pa.Table) -> Part:
    """A condition that a coding begins with one of some, by the codings that there are."""
    pairs = zip(*(codings.column(name).to_pylist() for name in ("code", "other")), strict=True)
    fitting = [(code, other) for code, other in pairs if other.startswith(begin)]
    if not fitting:
        return NEVER
    codes, others = (sorted(set(column)) for column in zip(*fitting, strict=True))
    first = f"c.code in ({', '.join('?' * len(codes))})"
    if codes == others:  # what else it is coded by makes no difference
        return Part(first, tuple(codes))
    some = f"list_has_any(c.codes, [{', '.join('?' * len(others))}])"
    return Part(first, tuple(codes)) & Part(some, tuple(others))


def asks_trees(node: Node) -> bool:
    """Whether a condition asks facts for a code and those that begin like it."""
    return any(asks_trees(part) for part in node.children) or (
        isinstance(node, Within)
        and node.path == "fact.code"
        and bool(beginnings(node.code.value, node.code.scheme))
    )


def _past(beginning: str) -> str:
    """The first text after all that begin so."""
    return beginning[:-1] + chr(ord(beginning[-1]) + 1)


def _codes(path: str) -> list[str]:
    """The codes that each entry of a column of lists has."""
    root, _, name = path.partition(".")
    fields = tables.ALL[ROWS[root]].field(name).type.value_type
    return [f.name for f in fields if f.name in ("code", "material", "type")]


def shown_field(path: str) -> str:
    """SQL of the value of a column, as conditions read it."""
    root, _, name = path.partition(".")
    column = f'c."{name}"'
    if str(tables.ALL[ROWS[root]].field(name).type) == "bool":
        return f"case when {column} then 'yes' when not {column} then 'no' end"
    return column


def meaning_field(path: str) -> str:
    """SQL of what the code of a column is called, or nothing where no column says it."""
    root, _, name = path.partition(".")
    meaning = f"{name}_meaning"
    return f'c."{meaning}"' if meaning in tables.ALL[ROWS[root]].names else ""


def _by_kind(node: Leaf) -> list[Leaf]:
    return [*_alike(node)] if isinstance(node, OneOf) else [node]


def _of_any_unit(node: Leaf, lists: Lists) -> Part:
    """A condition on a number whose row says its unit, with values of one kind."""
    value: Any = getattr(node, "value", getattr(node, "low", None))
    value = node.values[0] if isinstance(node, OneOf) else value
    found = _test(node, _NUMBER, lists)
    if isinstance(value, Quantity):
        found = Part("c.quantity_unit = ?", (value.common[1],)) & found
    return found


def _fitting(node: Leaf, unit: str, column: str, person: bool, lists: Lists) -> Part:
    """A test of a column in its unit."""
    if unit:  # quantities are compared in their common unit, so the column is brought to it
        factor, _ = Quantity(1, unit).common
        values = [getattr(node, n, None) for n in ("value", "low", "high")]
        values += getattr(node, "values", ())
        if any(isinstance(value, Quantity) for value in values):
            column = f"({column} * {factor!r})"
            node = _in_common(node, unit)
    return _test(node, column, lists, person=person)


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
        return joined("and" if isinstance(node, And) else "or", parts)
    if isinstance(node, Not):
        return ~row_condition(node.part, lists)
    if isinstance(node, Same):
        return row_condition(node.part, lists)
    if not hasattr(node, "path"):
        raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__} inside of same.")
    return met(node, lists).where  # type: ignore[arg-type]


def objects(node: Node, lists: Lists, what: str = OBJECT) -> Part:
    """SELECT of the objects (series_id, SOPInstanceUID) that meet a condition, some twice.

    `node` asks one path of contents, or is `same` at the level of one row. `what` SERIES: of their
    series alone.
    """
    if not isinstance(node, Same):
        return met(node, lists).select(what)  # type: ignore[arg-type]
    if node.level == "item":
        inner = items_that_see(node.part, lists)
        return Part(f"select {what} from ({inner.sql}) c", inner.values)
    return Met(ROWS[node.level], row_condition(node.part, lists)).select(what)


def items_that_see(node: Node, lists: Lists) -> Part:
    """SELECT of the items (series_id, SOPInstanceUID, item) that see all that is asked."""
    return _seeing(node, lists, count())


def _seeing(node: Node, lists: Lists, names: Iterator[int]) -> Part:
    if isinstance(node, Or) and not _is_one_row(node):
        return _join("union", [_seeing(part, lists, names) for part in node.parts])
    if isinstance(node, Not | Missing):
        return _seeing(And((node,)), lists, names)
    if isinstance(node, And):  # the others only of the items that the first one leaves
        first, *rest = sorted(node.parts, key=_reach)
        found = _EVERY
        if isinstance(first, Not | Missing):
            rest = [first, *rest]
        else:
            found = _seeing(first, lists, names)
        return _of_these(found, rest, lists, names)
    if isinstance(node, Same):
        return _seeing(node.part, lists, names)
    rows = _hits(node, lists)
    if _of_itself(node):
        return rows.select(f"{OBJECT}, c.item")
    return Part(
        f"""with hits as materialized ({rows.select(_SEEN).sql})
        select {_KEY}, item from hits union select {_KEY}, parent from hits where parent is not null
        union select {OBJECT}, c.item from items c join (from hits where {_MAY_MODIFY}) h
            on h.series_id = c.series_id and h."SOPInstanceUID" = c."SOPInstanceUID"
            where list_contains(c.modifiers, h.item)""",
        rows.where.values,
    )


def _of_these(found: Part, parts: list[Node], lists: Lists, names: Iterator[int]) -> Part:
    """SELECT of those items among some that see all of several things."""
    for part in parts:
        some = f"some_{next(names)}"
        left = _left(some, part, lists, names)
        found = Part(
            f"with {some} as materialized ({found.sql}) from ({left.sql})",
            found.values + left.values,
        )
    return found


def _left(some: str, node: Node, lists: Lists, names: Iterator[int]) -> Part:
    """SELECT of the items of a table of items that see what is asked."""
    if isinstance(node, And):
        parts = sorted(node.parts, key=_reach)
        return _of_these(Part(f"from {some}"), parts, lists, names)
    if isinstance(node, Or) and not _is_one_row(node):
        return _join("union", [_left(some, part, lists, names) for part in node.parts])
    if isinstance(node, Not | Missing):
        unwanted = node.part if isinstance(node, Not) else Exists(node.path)
        return _join("except", [Part(f"from {some}"), _left(some, unwanted, lists, names)])
    if isinstance(node, Same):
        return _left(some, node.part, lists, names)
    rows = _hits(node, lists)
    hits = f"hits_{next(names)}"
    alike = f'{hits}.series_id = k.series_id and {hits}."SOPInstanceUID" = k."SOPInstanceUID"'
    seen = f"select k.* from {some} k semi join {hits} on {alike} and {hits}.item = k.item"
    if not _of_itself(node):
        seen += f"""
        union select k.* from {some} k semi join {hits} on {alike} and {hits}.parent = k.item
        union select k.* exclude (modifier) from (
            select {OBJECT}, c.item, unnest(c.modifiers) as modifier from items c
            semi join {some} s on s.series_id = c.series_id and s.item = c.item
        ) k
        semi join {some} s on s.series_id = k.series_id
            and s."SOPInstanceUID" = k."SOPInstanceUID" and s.item = k.item
        semi join (from {hits} where {_MAY_MODIFY}) {hits}
            on {alike} and {hits}.item = k.modifier"""
    return Part(
        f"from (with {hits} as materialized ({rows.select(_SEEN).sql}) {seen})", rows.where.values
    )


def _is_one_row(node: Or) -> bool:
    """Whether one row meets it, whichever part that is, and the same items see the row."""
    leaves = all(hasattr(part, "path") and not isinstance(part, Missing) for part in node.parts)
    return leaves and len(set(map(_of_itself, node.parts))) == 1


def _hits(node: Node, lists: Lists) -> Met:
    if isinstance(node, Or):
        return Met("items", row_condition(node, lists))
    if not hasattr(node, "path"):
        raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__} inside of same.")
    return met(node, lists)  # type: ignore[arg-type]


def _of_itself(node: Node) -> bool:
    """Whether a condition is about a column of the item, which only the item itself sees."""
    if isinstance(node, Or):
        return _of_itself(node.parts[0])
    return getattr(node, "path", "").partition(".")[0] == "item"


def _reach(node: Node) -> int:
    """How many items may see what is asked: numbers are seen by few, modifiers by many."""
    if isinstance(node, Not | Missing):
        return 4
    if not hasattr(node, "path"):
        return 3
    value = getattr(node, "low", getattr(node, "value", ""))
    if not _of_itself(node) and isinstance(value, int | float | Quantity):
        return 0
    return 2 if isinstance(node, Within) or _of_itself(node) else 1


_KEY = 'series_id, "SOPInstanceUID"'
_SEEN = f'{OBJECT}, c.item, c.parent, c."RelationshipType" as relation'
_MAY_MODIFY = (
    "coalesce(relation, '') not in ('CONTAINS', 'HAS PROPERTIES', 'INFERRED FROM', 'SELECTED FROM')"
)
"""What is no modifier and no context of the item around it is in no list of modifiers."""
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
        return "null"
    column = shown_field(path)
    if about.unit == tables.ANY_UNIT:
        return f"{_text_of(column)} || coalesce(' ' || c.{name}_unit, '')"
    if about.vr == "SQ" and about.vm != "1-n":
        meaning = f'c."{name}_meaning"'
        if f"{name}_meaning" in tables.ALL[about.table].names:
            return f"trim(coalesce({meaning}, '') || ' (' || {column} || ')')"
        return column
    if about.vr == "SQ":
        codes = ", ".join(f"m.{code}" for code in _codes(path))
        said = f"list_transform({column}, lambda m: concat_ws(' ', {codes}))"
        return f"nullif(array_to_string({said}, '\\'), '')"
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


def sortable(path: str, down: bool) -> str:
    """SQL of the smallest or largest value by which a row is ordered."""
    about = attribute(path)
    if about.kind == "content":
        return f"coalesce({_NUMBER}, epoch(c.moment))"
    column = shown_field(path)
    if about.vm == "1-n":
        return f"{'list_max' if down else 'list_min'}({column})"
    return column
