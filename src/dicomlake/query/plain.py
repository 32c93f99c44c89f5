"""Queries as plain JSON values, for REST and the GUI.

A condition is an object with one key, its kind:

    {"compare": {"path": "Modality", "op": "=", "value": "MR"}}
    {"one_of": {"path": "Modality", "values": ["CT", "MR"]}}
    {"between": {"path": "StudyDate", "low": "2020-01-01", "high": "2024-12-31"}}
    {"exists": {"path": "ContrastBolusAgent"}}
    {"missing": {"path": "ContrastBolusAgent"}}
    {"contains": {"path": "SeriesDescription", "text": "prostate"}}
    {"like": {"path": "SeriesDescription", "pattern": "*T2*"}}
    {"within": {"path": "ProcedureCodeSequence",
                "code": {"value": "77477000", "scheme": "SCT", "meaning": "CT"}}}
    {"and": [..., ...]}   {"or": [..., ...]}   {"not": ...}
    {"same": {"level": "series", "part": ...}}
    {"related": {"first": ..., "second": ..., "relation": "before",
                 "days_low": null, "days_high": 30}}

A query is an object with where, level, show, order and limit. Dates, times and ages are ISO text.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import singledispatch
from typing import TYPE_CHECKING, Any, TypeVar

from dicomlake.errors import UsageError
from dicomlake.query import values
from dicomlake.query.nodes import (
    MAX_DEPTH,
    And,
    Between,
    Compare,
    Contains,
    Exists,
    Like,
    Missing,
    Node,
    Not,
    OneOf,
    Or,
    Query,
    Related,
    Same,
    Within,
    fold,
    known,
    too_deep,
)
from dicomlake.query.values import short
from dicomlake.terms import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

QUERY_KEYS = ("where", "level", "show", "order", "limit")


def to_json(query: Query | Node) -> dict[str, Any]:
    """Plain dicts, lists and scalars that `from_json` makes the same query of.

    >>> to_json(~Exists("PatientName"))
    {'not': {'exists': {'path': 'PatientName'}}}
    """
    if isinstance(query, Node):
        return fold(query, _plain)
    return {
        "where": None if query.where is None else fold(query.where, _plain),
        "level": query.level,
        "show": list(query.show),
        "order": list(query.order),
        "limit": query.limit,
    }


@singledispatch
def _plain(node: Node, inner: list[dict[str, Any]]) -> dict[str, Any]:
    raise UsageError(f"{type(node).__name__} has no JSON form.")


@_plain.register
def _(node: Compare, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"compare": {"path": node.path, "op": node.op, "value": values.plain(node.value)}}


@_plain.register
def _(node: OneOf, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"one_of": {"path": node.path, "values": list(map(values.plain, node.values))}}


@_plain.register
def _(node: Between, inner: list[dict[str, Any]]) -> dict[str, Any]:
    low, high = values.plain(node.low), values.plain(node.high)
    return {"between": {"path": node.path, "low": low, "high": high}}


@_plain.register
def _(node: Exists, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"exists": {"path": node.path}}


@_plain.register
def _(node: Missing, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"missing": {"path": node.path}}


@_plain.register
def _(node: Contains, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"contains": {"path": node.path, "text": node.text}}


@_plain.register
def _(node: Like, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"like": {"path": node.path, "pattern": node.pattern}}


@_plain.register
def _(node: Within, inner: list[dict[str, Any]]) -> dict[str, Any]:
    code = {"value": node.code.value, "scheme": node.code.scheme, "meaning": node.code.meaning}
    return {"within": {"path": node.path, "code": code}}


@_plain.register
def _(node: And, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"and": inner}


@_plain.register
def _(node: Or, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"or": inner}


@_plain.register
def _(node: Not, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"not": inner[0]}


@_plain.register
def _(node: Same, inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"same": {"level": node.level, "part": inner[0]}}


@_plain.register
def _(node: Related, inner: list[dict[str, Any]]) -> dict[str, Any]:
    days = {"days_low": node.days_low, "days_high": node.days_high}
    return {"related": {"first": inner[0], "second": inner[1], "relation": node.relation, **days}}


def from_json(plain: object) -> Query | Node:
    """Query or condition of a decoded JSON object; an empty one is a query for everything.

    >>> from_json({"exists": {"path": "PatientName"}})
    Exists(path='PatientName')
    >>> from_json({"where": {"exists": {"path": "PatientName"}}, "level": "study"}).level
    'study'

    UsageError names the place in the tree: "At and[1].compare.path: ...".
    """
    if isinstance(plain, Mapping) and (not plain or not plain.keys().isdisjoint(QUERY_KEYS)):
        return _query(plain)
    return _node(plain, "", 1)


def _query(plain: object) -> Query:
    found = _fields(plain, "", (), QUERY_KEYS)
    where, level = found.get("where"), found.get("level", "series")
    node = None if where is None else _node(where, "where", 1)
    show, order = (tuple(_list(found.get(key, []), key)) for key in ("show", "order"))
    for key, paths in (("show", show), ("order", order)):
        for i, path in enumerate(paths):
            _at(f"{key}[{i}]", Query, **{key: (path,)})
    return _at("", Query, node, level, show, order, found.get("limit"))


def _node(plain: object, place: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise too_deep()
    if not isinstance(plain, Mapping) or len(plain) != 1:
        raise _wrong(
            place, f"a condition is an object with one key, its kind; {short(plain)} is none."
        )
    ((kind, body),) = plain.items()
    read = _READ.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise _wrong(place, f"{short(kind)} is no kind of condition.{_hint(kind, _READ)}")
    return read(body, f"{place}.{kind}".lstrip("."), depth)


def _compare(body: object, place: str, depth: int) -> Node:
    found = _about(body, place, "op", "value")
    return _at(place, Compare, found["path"], found["op"], found["value"])


def _one_of(body: object, place: str, depth: int) -> Node:
    found = _about(body, place, "values")
    return _at(place, OneOf, found["path"], tuple(_list(found["values"], f"{place}.values")))


def _between(body: object, place: str, depth: int) -> Node:
    found = _about(body, place, "low", "high")
    return _at(place, Between, found["path"], found["low"], found["high"])


def _exists(body: object, place: str, depth: int) -> Node:
    return _at(place, Exists, _about(body, place)["path"])


def _missing(body: object, place: str, depth: int) -> Node:
    return _at(place, Missing, _about(body, place)["path"])


def _contains(body: object, place: str, depth: int) -> Node:
    found = _about(body, place, "text")
    return _at(place, Contains, found["path"], found["text"])


def _like(body: object, place: str, depth: int) -> Node:
    found = _about(body, place, "pattern")
    return _at(place, Like, found["path"], found["pattern"])


def _within(body: object, place: str, depth: int) -> Node:
    found = _about(body, place, "code")
    code = _fields(found["code"], f"{place}.code", ("value", "scheme"), ("meaning",))
    concept = Code(code["value"], code["scheme"], code.get("meaning", ""))
    return _at(place, Within, found["path"], concept)


def _and(body: object, place: str, depth: int) -> Node:
    return _at(place, And, _nodes(body, place, depth))


def _or(body: object, place: str, depth: int) -> Node:
    return _at(place, Or, _nodes(body, place, depth))


def _not(body: object, place: str, depth: int) -> Node:
    return _at(place, Not, _node(body, place, depth + 1))


def _same(body: object, place: str, depth: int) -> Node:
    found = _fields(body, place, ("level", "part"))
    return _at(place, Same, found["level"], _node(found["part"], f"{place}.part", depth + 1))


def _related(body: object, place: str, depth: int) -> Node:
    found = _fields(body, place, ("first", "second", "relation"), ("days_low", "days_high"))
    first = _node(found["first"], f"{place}.first", depth + 1)
    second = _node(found["second"], f"{place}.second", depth + 1)
    days = found.get("days_low"), found.get("days_high")
    return _at(place, Related, first, second, found["relation"], *days)


_READ: dict[str, Callable[[object, str, int], Node]] = {
    "compare": _compare,
    "one_of": _one_of,
    "between": _between,
    "exists": _exists,
    "missing": _missing,
    "contains": _contains,
    "like": _like,
    "within": _within,
    "and": _and,
    "or": _or,
    "not": _not,
    "same": _same,
    "related": _related,
}


def _nodes(body: object, place: str, depth: int) -> tuple[Node, ...]:
    found = []
    for i, each in enumerate(_list(body, place)):
        found.append(_node(each, f"{place}[{i}]", depth + 1))
    return tuple(found)


def _about(body: object, place: str, *keys: str) -> dict[str, Any]:
    found = _fields(body, place, ("path", *keys))
    _at(f"{place}.path", known, found["path"])
    return found


def _fields(
    body: object, place: str, needed: tuple[str, ...], allowed: tuple[str, ...] = ()
) -> dict[str, Any]:
    keys = (*needed, *allowed)
    if not isinstance(body, Mapping):
        raise _wrong(place, f"needs an object with {', '.join(keys)}; {short(body)} is none.")
    for key in body:
        if key not in keys:
            raise _wrong(place, f"{short(key)} has no meaning here.{_hint(key, keys)}")
    for key in needed:
        if key not in body:
            raise _wrong(place, f"the key {key!r} is missing.")
    return dict(body)


def _list(body: object, place: str) -> Iterable[Any]:
    if not isinstance(body, list | tuple):
        raise _wrong(place, f"needs a list; {short(body)} is none.")
    return body


def _hint(given: object, known_ones: Iterable[str]) -> str:
    options = list(known_ones)
    close = get_close_matches(given.lower(), options, n=1) if isinstance(given, str) else []
    return f" Did you mean {close[0]}?" if close else f" Use one of {', '.join(options)}."


def _wrong(place: str, message: str) -> UsageError:
    error = UsageError(f"At {place or 'the top'}: {message}")
    error.place = place
    return error


def _at(place: str, make: Callable[..., T], *given: object, **named: object) -> T:
    try:
        return make(*given, **named)
    except UsageError as error:
        error.args = (f"At {place or 'the top'}: {error}",)
        error.place = place
        raise
