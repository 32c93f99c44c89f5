"""Conditions decided on one header (DICOM JSON, PS3.18 Annex F), exactly and by any engine.

What an engine keeps of many instances is folded; where that leaves a doubt, the header decides.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections.abc import Callable, Iterator
from functools import singledispatch
from typing import Any

from dicomlake.dicom import dictionary
from dicomlake.dicom.values import days_of, moment_of, number_of, readable, seconds_of
from dicomlake.errors import Unsupported
from dicomlake.query.attributes import attribute, is_content
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
    paths_of,
)
from dicomlake.query.values import Age, Quantity, Value
from dicomlake.terms.mapping import equivalent

Item = dict[str, Any]
Test = Callable[[Item], bool]
Known = Callable[[Node], Test | None]
Read = Callable[[Item], Iterator[Any]]
"""The values of one element."""

ANY_ITEM = ("*",)
"""The prefix of conditions on any item at any depth."""
_CONTENT = "0040A730"  # items of ContentSequence are content items of their own
_CODES = ("00080100", "00080119", "00080120")
_SCHEME, _MEANING = "00080102", "00080104"


def decider(node: Node, known: Known = lambda node: None) -> Test:
    """A function that tells whether a header meets a condition.

    >>> from dicomlake.query import parse
    >>> test = decider(parse("Modality = 'MR' and not EchoTime > 90"))
    >>> test({"00080060": {"vr": "CS", "Value": ["MR"]}, "00180081": {"vr": "DS", "Value": [80]}})
    True

    `known` gives the test of a node that a header alone cannot decide, or None; Unsupported names
    one without.
    """
    return _test(node, (), known)


def _test(node: Node, prefix: tuple[str, ...], known: Known) -> Test:
    return known(node) or _decide(node, prefix, known)


@singledispatch
def _decide(node: Node, prefix: tuple[str, ...], known: Known) -> Test:
    raise Unsupported(f"{type(node).__name__} cannot be decided on a single header.")


@_decide.register
def _(node: And, prefix: tuple[str, ...], known: Known) -> Test:
    parts = [_test(part, prefix, known) for part in node.parts]
    return lambda item: all(part(item) for part in parts)


@_decide.register
def _(node: Or, prefix: tuple[str, ...], known: Known) -> Test:
    parts = [_test(part, prefix, known) for part in node.parts]
    return lambda item: any(part(item) for part in parts)


@_decide.register
def _(node: Not, prefix: tuple[str, ...], known: Known) -> Test:
    part = _test(node.part, prefix, known)
    return lambda item: not part(item)


@_decide.register
def _(node: Same, prefix: tuple[str, ...], known: Known) -> Test:
    if node.level == "instance":
        return _test(node.part, prefix, known)
    if node.level != "item" or any(map(is_content, paths_of(node.part))):
        raise Unsupported(f"same({node.level}, ...) cannot be decided on a single header.")
    shared = common_prefix(node.part)
    part = _test(node.part, shared, known)
    if shared == ANY_ITEM:
        itself = bool(prefix)
        return lambda item: (itself and part(item)) or any(map(part, _all_items(item)))
    return lambda item: any(part(inner) for inner in _items(item, shared[len(prefix) :]))


def common_prefix(node: Node) -> tuple[str, ...]:
    """Segments of the innermost sequence that all paths of a condition go through.

    >>> from dicomlake.query import parse
    >>> common_prefix(parse("RequestAttributesSequence.RequestedProcedureID = 'A' and "
    ...                     "RequestAttributesSequence.ScheduledProcedureStepID = 'B'"))
    ('RequestAttributesSequence',)

    Paths at any depth go through every one; where there are no others, it is ANY_ITEM.
    """
    paths: list[str] = []
    fold(node, lambda each, _: paths.append(getattr(each, "path", "*.")))
    outer = [dictionary.segments(path)[:-1] for path in paths if not path.startswith("*.")]
    if not outer:
        return ANY_ITEM
    shared = 0
    while all(len(o) > shared and o[shared] == outer[0][shared] for o in outer):
        shared += 1
    return tuple(outer[0][:shared])


@_decide.register
def _(node: Exists, prefix: tuple[str, ...], known: Known) -> Test:
    find = _finder(node.path, prefix)
    return lambda item: any(map(_has_value, find(item)))


@_decide.register
def _(node: Missing, prefix: tuple[str, ...], known: Known) -> Test:
    find = _finder(node.path, prefix)
    return lambda item: not any(map(_has_value, find(item)))


@_decide.register
def _(node: Within, prefix: tuple[str, ...], known: Known) -> Test:
    wanted = set(equivalent(node.code.value, node.code.scheme))
    return _some(node.path, prefix, _codes, wanted.__contains__)


@_decide.register
def _(node: Contains, prefix: tuple[str, ...], known: Known) -> Test:
    wanted = node.text.lower()
    return _some(node.path, prefix, _texts, lambda text: wanted in text.lower())


@_decide.register
def _(node: Like, prefix: tuple[str, ...], known: Known) -> Test:
    person = attribute(node.path).vr == "PN"
    pattern = re.compile(wildcard(node.pattern), re.DOTALL | (re.IGNORECASE if person else 0))
    return _some(
        node.path,
        prefix,
        _texts,
        lambda text: any(pattern.fullmatch(form) for form in _forms(text, person)),
    )


def wildcard(pattern: str) -> str:
    """The regular expression of a DICOM wildcard pattern (PS3.4 C.2.2.2.4).

    >>> wildcard("a*?")
    'a.*.'
    """
    return "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)


@_decide.register
def _(node: OneOf, prefix: tuple[str, ...], known: Known) -> Test:
    person = attribute(node.path).vr == "PN"
    texts = {value for value in node.values if isinstance(value, str)}
    others = {comparable(value) for value in node.values if not isinstance(value, str)}
    kinds: list[Test] = []
    if texts:
        kinds.append(
            _some(
                node.path,
                prefix,
                _texts,
                lambda text: not texts.isdisjoint(_forms(text, person)),
            )
        )
    if others:
        kinds.append(_some(node.path, prefix, _measures(node.path), others.__contains__))
    return lambda item: any(kind(item) for kind in kinds)


@_decide.register
def _(node: Between, prefix: tuple[str, ...], known: Known) -> Test:
    low, high = comparable(node.low), comparable(node.high)
    read = _texts if isinstance(node.low, str) else _measures(node.path)
    return _some(node.path, prefix, read, lambda found: low <= found <= high)


_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@_decide.register
def _(node: Compare, prefix: tuple[str, ...], known: Known) -> Test:
    wanted = comparable(node.value)
    read = _texts if isinstance(node.value, str) else _measures(node.path)
    person = read is _texts and attribute(node.path).vr == "PN"
    if node.op == "=":
        return _some(node.path, prefix, read, lambda found: wanted in _forms(found, person))
    if node.op == "!=":
        return _some(node.path, prefix, read, lambda found: wanted not in _forms(found, person))
    operator = _ORDERED[node.op]
    return _some(node.path, prefix, read, lambda found: operator(found, wanted))


def _some(
    path: str, prefix: tuple[str, ...], read: Read, test: Callable[[Any], bool | object]
) -> Test:
    """Whether some value at a path passes a test."""
    find = _finder(path, prefix)
    return lambda item: any(test(value) for element in find(item) for value in read(element))


def comparable(value: Value) -> Any:
    """A value of a query as it is compared: ages in days, times in seconds, moments in UTC.

    >>> comparable(dt.time(0, 1)), comparable(3), comparable(Age(2, "W"))
    (60.0, 3.0, 14.0)
    """
    if isinstance(value, Age):
        return value.days
    if isinstance(value, Quantity):
        return value.common[0]
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if isinstance(value, dt.time):
        seconds = value.hour * 3600 + value.minute * 60 + value.second
        return seconds + value.microsecond / 1e6
    return value if isinstance(value, str) else float(value)


def sort_values(path: str) -> Callable[[Item], list[Any]]:
    """A function that gives the values at a path of a header by which it is ordered.

    >>> sort_values("EchoTime")({"00180081": {"vr": "DS", "Value": [80, "x", "90.0"]}})
    [80.0, 90.0]
    """
    find = _finder(path, ())
    textual = attribute(path).kind in ("text", "unknown")
    read = _texts if textual else _measures(path)
    return lambda item: [value for element in find(item) for value in read(element)]


def shower(path: str) -> Callable[[Item], list[Any]]:
    """A function that gives what a header has at a path, as people read it, an entry per element.

    >>> shower("PixelSpacing")({"00280030": {"vr": "DS", "Value": [0.5, 0.5]}})
    ['0.5\\\\0.5']

    A single number is a number where the attribute holds numbers, a single date a date.
    """
    find = _finder(path, ())
    kind = attribute(path).kind

    def show(item: Item) -> list[Any]:
        return [shown for element in find(item) for shown in _shown(element, kind)]

    return show


def _shown(element: Item, kind: str) -> list[Any]:
    if element.get("vr") == "SQ":
        items = element.get("Value", ())
        codes = [
            code_text(*_code(item), _first(item, _MEANING)) for item in items if _code(item)[0]
        ]
        return codes or ([count_text(len(items), "item")] if items else [])
    values = element.get("Value", ())
    if len(values) == 1:
        if kind == "number" and (numbers := list(_numbers(element))):
            return numbers
        if kind == "date" and (moments := list(_moments(element))):
            return [moments[0].date()]
    texts = [_text(element, value) or "" for value in values]
    if any(texts):
        return ["\\".join(texts)]
    return list(_texts(element)) or _bulk(element)


def _bulk(element: Item) -> list[Any]:
    """How long a value is that is not text."""
    if uri := element.get("BulkDataURI"):
        length = re.search(r"length=(\d+)", uri)
        return [count_text(int(length[1]), "byte") if length else "bulk data"]
    raw = base64.b64decode(element.get("InlineBinary", ""))
    return [count_text(len(raw), "byte")] if raw else []


def code_text(value: str, scheme: str, meaning: str) -> str:
    """A code as people read it.

    >>> code_text("77477000", "SCT", "CT")
    'CT (SCT:77477000)'
    """
    return f"{meaning} ({scheme}:{value})".strip()


def count_text(count: int, what: str) -> str:
    """So many of something, in words.

    >>> count_text(1, "item"), count_text(2, "item")
    ('1 item', '2 items')
    """
    return f"{count} {what}" + ("" if count == 1 else "s")


# Values of one element


def _has_value(element: Item) -> bool:
    if "BulkDataURI" in element or element.get("InlineBinary"):
        return True
    if element.get("vr") == "SQ":
        return bool(element.get("Value"))
    return any(value not in (None, "") for value in element.get("Value", ()))


def _texts(element: Item) -> Iterator[str]:
    """Values as text, as sent; binary numbers have none."""
    vr = element.get("vr", "")
    if vr == "UN":
        raw = base64.b64decode(element.get("InlineBinary", ""))
        if text := readable(raw):
            yield text
    elif vr not in _PACKED and vr != "SQ":
        yield from (text for value in element.get("Value", ()) if (text := _text(element, value)))


_PACKED = frozenset(["US", "SS", "UL", "SL", "FL", "FD"])


def _text(element: Item, value: Any) -> str:
    """One value as text; person names with all their groups."""
    if isinstance(value, dict):
        groups = [value.get(g, "") for g in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).strip().rstrip("=")
    if value is None:
        return ""
    text = str(value)
    return text if element.get("vr") in ("LT", "ST", "UT", "UR") else text.strip()


def _forms(value: Any, person: bool) -> tuple[Any, ...]:
    """What a value may be called: a person by the whole name and by each of its groups."""
    if person and "=" in value:
        return (value, *(group.strip() for group in value.split("=") if group.strip()))
    return (value,)


def _measures(path: str) -> Read:
    """How values at a path are read where they are compared as numbers or moments."""
    kind = attribute(path).kind
    return {
        "date": _moments,
        "datetime": _moments,
        "time": _seconds,
        "age": _days,
        "unknown": _numeric,
    }.get(kind, _numbers)


def _moments(element: Item) -> Iterator[dt.datetime]:
    vr = element.get("vr", "")
    if vr in ("DA", "DT"):
        for text in _texts(element):
            if (moment := moment_of(text, vr)) is not None:
                yield moment


def _seconds(element: Item) -> Iterator[float]:
    if element.get("vr") == "TM":
        yield from (s for text in _texts(element) if (s := seconds_of(text)) is not None)


def _days(element: Item) -> Iterator[float]:
    if element.get("vr") == "AS":
        yield from (d for text in _texts(element) if (d := days_of(text)) is not None)


def _numbers(element: Item) -> Iterator[float]:
    """Values of a VR that holds numbers."""
    if element.get("vr") in dictionary.NUMBERS:
        for value in element.get("Value", ()):
            number = number_of(value.strip()) if isinstance(value, str) else value
            if number is not None:
                yield float(number)


def _numeric(element: Item) -> Iterator[float]:
    """Values of a VR that holds numbers, and texts that are some."""
    if element.get("vr") in dictionary.NUMBERS:
        yield from _numbers(element)
    else:
        yield from (n for text in _texts(element) if (n := number_of(text)) is not None)


def _codes(element: Item) -> Iterator[tuple[str, str]]:
    if element.get("vr") == "SQ":
        yield from map(_code, element.get("Value", ()))


def _code(item: Item) -> tuple[str, str]:
    """Code value and scheme of an item; empty where it is no code."""
    return _first(item, *_CODES), _first(item, _SCHEME)


def _first(item: Item, *keys: str) -> str:
    for key in keys:
        for value in item.get(key, {}).get("Value", ()):
            if value:
                return str(value).strip()
    return ""


# Elements at a path


def _finder(path: str, prefix: tuple[str, ...]) -> Callable[[Item], Iterator[Item]]:
    """A function that gives the elements at a path of a header, or of an item behind `prefix`."""
    segments = dictionary.segments(path)
    if segments[0] == "*":
        outside = _CONTENT if prefix else ""
        return lambda item: _anywhere(item, segments[1:], outside)
    left = segments[len(prefix) :]
    return lambda item: _at(item, left)


def _at(item: Item, segments: list[str]) -> Iterator[Item]:
    for inner in _items(item, tuple(segments[:-1])):
        for key in keys_at(inner, segments[-1]):
            yield inner[key]


def _anywhere(item: Item, segments: list[str], outside: str) -> Iterator[Item]:
    """Elements here and at any depth, but not through the sequence `outside`."""
    yield from _at(item, segments)
    for key, element in item.items():
        if element.get("vr") == "SQ" and key != outside:
            for inner in element.get("Value", ()):
                yield from _anywhere(inner, segments, outside)


def _all_items(item: Item) -> Iterator[Item]:
    """Items of all sequences, at any depth."""
    for element in item.values():
        if element.get("vr") == "SQ":
            for inner in element.get("Value", ()):
                yield inner
                yield from _all_items(inner)


def _items(item: Item, segments: tuple[str, ...]) -> Iterator[Item]:
    """Items of the sequences at a path."""
    if not segments:
        yield item
        return
    for key in keys_at(item, segments[0]):
        if item[key].get("vr") == "SQ":
            for inner in item[key].get("Value", ()):
                yield from _items(inner, segments[1:])


def keys_at(item: Item, segment: str) -> Iterator[str]:
    """Keys of an item that a path segment names; private ones by their creator."""
    if match := dictionary.PRIVATE.fullmatch(segment):
        group, creator, element = match[1], match[2].replace('""', '"'), match[3]
        for block in range(0x10, 0x100):
            key = f"{group}{block:02X}{element}"
            if key in item and _creator(item, key) == creator:
                yield key
    elif match := dictionary.RAW.fullmatch(segment):
        key = (match[1] + match[2]).upper()
        if key in item and not _creator(item, key):
            yield key
    else:
        key = f"{dictionary.tag_of(segment):08X}"
        if key in item:
            yield key
        if key[:2] in ("50", "60") or key[:4] == "1010":  # repeating groups (PS3.5 7.6)
            for other in item:
                if other != key and dictionary.public_segment(int(other, 16)) == segment:
                    yield other


def _creator(item: Item, key: str) -> str:
    """The private creator that has reserved the block of a private element, if any."""
    private = int(key[3], 16) & 1 and key[4:6] != "00"
    return _first(item, f"{key[:4]}00{key[4:6]}") if private else ""
