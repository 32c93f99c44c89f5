"""Conditions decided on one header (DICOM JSON, PS3.18 Annex F), exactly and by any engine.

What an engine keeps of many instances is folded; where that leaves a doubt, the header decides.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from functools import singledispatch
from typing import Any

from dicomlake.dicom import dictionary
from dicomlake.dicom.values import days_of, moment_of, number_of, seconds_of
from dicomlake.errors import Unsupported
from dicomlake.query.nodes import (
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
    Same,
    Within,
    fold,
)
from dicomlake.query.values import Age, Value
from dicomlake.terms.mapping import equivalent

Item = dict[str, Any]
Test = Callable[[Item], bool]


def decider(node: Node, prefix: tuple[str, ...] = ()) -> Test:
    """A function that tells whether a header meets a condition.

    >>> from dicomlake.query import parse
    >>> test = decider(parse("Modality = 'MR' and not EchoTime > 90"))
    >>> test({"00080060": {"vr": "CS", "Value": ["MR"]}, "00180081": {"vr": "DS", "Value": [80]}})
    True

    `prefix`: segments of paths that lead to the item given instead of a header. Unsupported names
    a node that a single header cannot decide.
    """
    return _test(node, prefix)


@singledispatch
def _test(node: Node, prefix: tuple[str, ...]) -> Test:
    raise Unsupported(f"{type(node).__name__} cannot be decided on a single header.")


@_test.register
def _(node: And, prefix: tuple[str, ...]) -> Test:
    parts = [_test(part, prefix) for part in node.parts]
    return lambda item: all(part(item) for part in parts)


@_test.register
def _(node: Or, prefix: tuple[str, ...]) -> Test:
    parts = [_test(part, prefix) for part in node.parts]
    return lambda item: any(part(item) for part in parts)


@_test.register
def _(node: Not, prefix: tuple[str, ...]) -> Test:
    part = _test(node.part, prefix)
    return lambda item: not part(item)


@_test.register
def _(node: Same, prefix: tuple[str, ...]) -> Test:
    if node.level != "item":
        return _test(node.part, prefix)
    shared = common_prefix(node.part)
    part = _test(node.part, shared)
    left = shared[len(prefix) :]
    return lambda header: any(part(item) for item in _items(header, left))


def common_prefix(node: Node) -> tuple[str, ...]:
    """Segments of the innermost sequence that all paths of a condition go through.

    >>> from dicomlake.query import parse
    >>> common_prefix(parse("RequestAttributesSequence.RequestedProcedureID = 'A' and "
    ...                     "RequestAttributesSequence.ScheduledProcedureStepID = 'B'"))
    ('RequestAttributesSequence',)
    """

    def join(each: Node, inner: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
        path = getattr(each, "path", None)
        if path is not None:
            return tuple(dictionary.segments(path)[:-1])
        known = [p for p in inner if p is not None]
        if not known:
            return None
        same = known[0]
        for other in known[1:]:
            size = next(
                (i for i, (a, b) in enumerate(zip(same, other, strict=False)) if a != b),
                min(len(same), len(other)),
            )
            same = same[:size]
        return same

    return fold(node, join) or ()


@_test.register
def _(node: Exists, prefix: tuple[str, ...]) -> Test:
    find = _finder(node.path, prefix)
    return lambda item: any(_has_value(element) for element in find(item))


@_test.register
def _(node: Missing, prefix: tuple[str, ...]) -> Test:
    exists = _test(Exists(node.path), prefix)
    return lambda item: not exists(item)


@_test.register
def _(node: Within, prefix: tuple[str, ...]) -> Test:
    find = _finder(node.path, prefix)
    wanted = set(equivalent(node.code.value, node.code.scheme))

    def test(item: Item) -> bool:
        return any(
            (_first(code, "00080100", "00080119", "00080120"), _first(code, "00080102")) in wanted
            for element in find(item)
            if element.get("vr") == "SQ"
            for code in element.get("Value", ())
        )

    return test


def _first(item: Item, *keys: str) -> str:
    for key in keys:
        for value in item.get(key, {}).get("Value", ()):
            if value:
                return str(value).strip()
    return ""


@_test.register
def _(node: Contains, prefix: tuple[str, ...]) -> Test:
    wanted = node.text.lower()
    return _any_text(node.path, prefix, lambda text: wanted in text.lower())


@_test.register
def _(node: Like, prefix: tuple[str, ...]) -> Test:
    person = dictionary.attribute(node.path).vr == "PN"
    pattern = re.compile(wildcard(node.pattern), re.DOTALL | (re.IGNORECASE if person else 0))
    return _any_text(node.path, prefix, lambda text: pattern.fullmatch(text) is not None)


def wildcard(pattern: str) -> str:
    """The regular expression of a DICOM wildcard pattern (PS3.4 C.2.2.2.4).

    >>> wildcard("a*?")
    'a.*.'
    """
    return "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)


def _any_text(path: str, prefix: tuple[str, ...], test: Callable[[str], bool]) -> Test:
    find = _finder(path, prefix)
    return lambda item: any(
        test(text) for element in find(item) for text in _texts(element) if text is not None
    )


@_test.register
def _(node: OneOf, prefix: tuple[str, ...]) -> Test:
    wanted = {comparable(value) for value in node.values}
    return _any_value(node.path, prefix, wanted.__contains__, node.values[0])


@_test.register
def _(node: Between, prefix: tuple[str, ...]) -> Test:
    low, high = comparable(node.low), comparable(node.high)
    return _any_value(node.path, prefix, lambda found: low <= found <= high, node.low)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@_test.register
def _(node: Compare, prefix: tuple[str, ...]) -> Test:
    wanted, operator = comparable(node.value), _OPERATORS[node.op]
    return _any_value(node.path, prefix, lambda found: operator(found, wanted), node.value)


def comparable(value: Value) -> Any:
    """A value of a query as it is compared: ages in days, times in seconds, moments in UTC."""
    if isinstance(value, Age):
        return value.days
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if isinstance(value, dt.time):
        seconds = value.hour * 3600 + value.minute * 60 + value.second
        return seconds + value.microsecond / 1e6
    return value


def shower(path: str) -> Callable[[Item], str | None]:
    """A function that gives the values at a path of a header as one readable text, or None.

    >>> shower("PixelSpacing")({"00280030": {"vr": "DS", "Value": [0.5, 0.5]}})
    '0.5; 0.5'
    """
    find = _finder(path, ())

    def show(item: Item) -> str | None:
        found = [text for element in find(item) for text in _readable(element)]
        return "; ".join(dict.fromkeys(found)) if len(found) > 3 else "; ".join(found) or None

    return show


def _readable(element: Item) -> Iterator[str]:
    if element.get("vr") != "SQ":
        yield from (text for text in _texts(element) if text)
        return
    for item in element.get("Value", ()):
        if code := _first(item, "00080100", "00080119", "00080120"):
            yield f"{_first(item, '00080104')} ({_first(item, '00080102')}:{code})".strip()


def _any_value(
    path: str, prefix: tuple[str, ...], test: Callable[[Any], bool], like: Value
) -> Test:
    find = _finder(path, prefix)
    as_text = isinstance(like, str)

    def holds(item: Item) -> bool:
        for element in find(item):
            values = _texts(element) if as_text else _typed(element)
            if any(test(value) for value in values if value is not None):
                return True
        return False

    return holds


def _has_value(element: Item) -> bool:
    if element.get("vr") == "SQ":
        return bool(element.get("Value")) or "InlineBinary" in element
    if "BulkDataURI" in element or element.get("InlineBinary"):
        return True
    return any(value not in (None, "") for value in element.get("Value", ()))


def _texts(element: Item) -> Iterator[str | None]:
    """Values as text, person names whole and by group."""
    for value in element.get("Value", ()):
        if isinstance(value, dict):
            groups = [value.get(g, "") for g in ("Alphabetic", "Ideographic", "Phonetic")]
            whole = "=".join(groups).rstrip("=").strip()
            yield whole
            if "=" in whole:
                yield from (g.strip() for g in groups if g)
        elif isinstance(value, int | float):
            yield str(value)
        elif value is not None:
            yield value if element["vr"] in ("LT", "ST", "UT") else str(value).strip()


def _typed(element: Item) -> Iterator[Any]:
    """Values as numbers or moments, by the VR of the element."""
    vr = element.get("vr", "")
    for value in element.get("Value", ()):
        if isinstance(value, str):
            text = value.strip()
            if vr in ("DA", "DT"):
                yield moment_of(text, vr)
            elif vr == "TM":
                yield seconds_of(text)
            elif vr == "AS":
                yield days_of(text)
            else:
                yield number_of(text)
        elif isinstance(value, int | float):
            yield value


def _finder(path: str, prefix: tuple[str, ...]) -> Callable[[Item], Iterator[Item]]:
    """A function that gives the elements at a path of a header, or of an item behind `prefix`."""
    segments = dictionary.segments(path)
    if segments[0] == "*":
        return lambda item: _anywhere(item, segments[1:])
    left = segments[len(prefix) :]
    return lambda item: _at(item, left)


def _at(item: Item, segments: list[str]) -> Iterator[Item]:
    for inner in _items(item, tuple(segments[:-1])):
        for key in _keys(inner, segments[-1]):
            yield inner[key]


def _anywhere(item: Item, segments: list[str]) -> Iterator[Item]:
    yield from _at(item, segments)
    for element in item.values():
        if element.get("vr") == "SQ":
            for inner in element.get("Value", ()):
                yield from _anywhere(inner, segments)


def _items(item: Item, segments: tuple[str, ...]) -> Iterator[Item]:
    """Items of the sequences at a path."""
    if not segments:
        yield item
        return
    for key in _keys(item, segments[0]):
        if item[key].get("vr") == "SQ":
            for inner in item[key].get("Value", ()):
                yield from _items(inner, segments[1:])


def _keys(item: Item, segment: str) -> Iterator[str]:
    """Keys of an item that a path segment names; private ones by their creator."""
    if match := dictionary.PRIVATE.fullmatch(segment):
        group, creator, element = match[1], match[2].replace('""', '"'), match[3]
        for block in range(0x10, 0x100):
            key = f"{group}{block:02X}{element}"
            if key in item and _first(item, f"{group}00{block:02X}") == creator:
                yield key
    elif match := dictionary.RAW.fullmatch(segment):
        if (key := (match[1] + match[2]).upper()) in item:
            yield key
    else:
        key = f"{dictionary.tag_of(segment):08X}"
        if key in item:
            yield key
        if key[:2] in ("50", "60") or key[:4] == "1010":  # repeating groups (PS3.5 7.6)
            for other in item:
                if other != key and dictionary.public_segment(int(other, 16)) == segment:
                    yield other
