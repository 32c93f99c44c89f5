"""Queries in plain words, for people who check that a question asks what they mean.

>>> from dicomlake.query import parse_query
>>> sentence(parse_query("Modality = 'MR' and MagneticFieldStrength >= 3 level patient"))
'Patients with: Modality is MR, and Magnetic Field Strength is at least 3 tesla.'
"""

from __future__ import annotations

import datetime as dt
from functools import singledispatch

from dicomlake import tables
from dicomlake.query.attributes import attribute
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
    Query,
    Related,
    Same,
    Within,
    fold,
)
from dicomlake.query.values import Age, Quantity, Value, plain

_LEVELS = {"patient": "Patients", "study": "Studies", "series": "Series", "instance": "Instances"}
_FEW = 5
"""Values of a list that a sentence names."""
_AGES = {"Y": "year", "M": "month", "W": "week", "D": "day"}


def sentence(query: Query) -> str:
    """What a query asks, as a sentence."""
    what = _LEVELS[query.level]
    found = (
        f"All {what.lower()}." if query.where is None else f"{what} with: {phrase(query.where)}."
    )
    if query.order:
        first = [
            f"{name_of(path.removeprefix('-'))}{' downwards' if path[:1] == '-' else ''}"
            for path in query.order
        ]
        found += f" Sorted by {', then '.join(first)}."
    return found + (f" The first {query.limit:,}." if query.limit is not None else "")


def phrase(node: Node) -> str:
    """A condition in words.

    >>> from dicomlake.query import parse
    >>> phrase(parse("not (Modality in ('CT', 'MR') or PatientAge < 18Y)"))
    'not (Modality is one of CT, MR, or Patient’s Age is below 18 years)'
    """
    said: str = fold(node, _phrase)
    return said


def name_of(path: str) -> str:
    """What people call a path."""
    about = attribute(path)
    *around, last = path.split(".") if not path.startswith(("(", "[", "*.[")) else [path]
    name = about.name.replace("'", "’") if about.name and about.tag else last.replace("_", " ")
    if path == "anatomy":
        return "anatomy"
    if around == ["*"]:
        return f"{name} (at any depth)"
    if about.table and around:
        return f"{name} of the {around[0]}"
    return f"{name} of {name_of('.'.join(around))}" if around and about.tag else name


@singledispatch
def _phrase(node: Node, inner: list[str]) -> str:
    return type(node).__name__


_WORDS = {"=": "is", "!=": "is other than", ">": "is above", ">=": "is at least", "<": "is below",
          "<=": "is at most"}  # fmt: skip
_DATES = {**_WORDS, ">": "is after", ">=": "is on or after", "<": "is before",
          "<=": "is on or before"}  # fmt: skip


@_phrase.register
def _(node: Compare, inner: list[str]) -> str:
    words = _DATES if isinstance(node.value, dt.date | dt.time) else _WORDS
    return f"{name_of(node.path)} {words[node.op]} {_value(node.path, node.value)}"


@_phrase.register
def _(node: OneOf, inner: list[str]) -> str:
    said = ", ".join(_value(node.path, value) for value in node.values[:_FEW])
    more = len(node.values) - _FEW
    return f"{name_of(node.path)} is one of {said}" + (f" and {more:,} more" if more > 0 else "")


@_phrase.register
def _(node: Between, inner: list[str]) -> str:
    low, high = (_value(node.path, value) for value in (node.low, node.high))
    return f"{name_of(node.path)} is between {low} and {high}"


@_phrase.register
def _(node: Exists, inner: list[str]) -> str:
    return (
        f"{name_of(node.path)} has a value"
        if "." in node.path or not _is_row(node.path)
        else (f"there is a {node.path}")
    )


@_phrase.register
def _(node: Missing, inner: list[str]) -> str:
    return (
        f"{name_of(node.path)} has no value"
        if not _is_row(node.path)
        else (f"there is no {node.path}")
    )


def _is_row(path: str) -> bool:
    about = attribute(path)
    return bool(about.table) and "." not in path and not path.startswith("[")


@_phrase.register
def _(node: Contains, inner: list[str]) -> str:
    return f"{name_of(node.path)} contains “{node.text}”"


@_phrase.register
def _(node: Like, inner: list[str]) -> str:
    return f"{name_of(node.path)} looks like “{node.pattern}”"


@_phrase.register
def _(node: Within, inner: list[str]) -> str:
    code = f"{node.code.scheme}:{node.code.value}"
    said = f"{node.code.meaning} ({code})" if node.code.meaning else code
    return f"{name_of(node.path)} is {said} or something narrower"


@_phrase.register
def _(node: And, inner: list[str]) -> str:
    return ", and ".join(map(_closed, node.parts, inner))


@_phrase.register
def _(node: Or, inner: list[str]) -> str:
    return ", or ".join(map(_closed, node.parts, inner))


@_phrase.register
def _(node: Not, inner: list[str]) -> str:
    return f"not ({inner[0]})"


@_phrase.register
def _(node: Same, inner: list[str]) -> str:
    return f"in one and the same {node.level} ({inner[0]})"


@_phrase.register
def _(node: Related, inner: list[str]) -> str:
    low, high = node.days_low, node.days_high
    days = "" if high is None else f"at most {high:g} days "
    if low is not None:
        days = f"at least {low:g} days " if high is None else f"{low:g} to {high:g} days "
    word = "before or after" if node.relation == "within" else node.relation
    return f"({inner[0]}) {days}{word} ({inner[1]}) of the same patient"


def _closed(node: Node, said: str) -> str:
    return f"({said})" if isinstance(node, And | Or) and len(node.parts) > 1 else said


def _value(path: str, value: Value) -> str:
    if isinstance(value, Quantity):
        return str(value)
    if isinstance(value, Age):
        return f"{value.count} {_AGES[value.unit]}{'' if value.count == 1 else 's'}"
    unit = attribute(path).unit or tables.UNITS.get(path.rpartition(".")[2], "").partition(",")[0]
    number = isinstance(value, int | float)
    return f"{plain(value)} {unit}" if number and unit else str(plain(value))
