"""What each condition of a question keeps: alone, and after those that stand before it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from dicomlake.errors import UsageError
from dicomlake.query import And, Node, Not, Or, Related, Same, render
from dicomlake.query.nodes import LEVELS
from dicomlake.query.sentence import phrase

MOST_STEPS = 200


class Step(NamedTuple):
    """A condition or a group of a question, at its place in the tree.

    `alone` finds what it finds by itself, `kept` what it leaves of what stands before it.
    """

    place: str
    depth: int
    node: Node
    alone: Node
    kept: Node


def steps(where: Node) -> Iterator[Step]:
    """Every condition and group, in the order of the text.

    Inside of `same`, a condition is asked of one thing, too; inside of `not`, of everything anew.

    >>> from dicomlake.query import parse
    >>> [(s.place, render(s.kept)) for s in steps(parse("KVP > 80 and KVP < 90"))][1:]
    [('and[0]', 'KVP > 80'), ('and[1]', 'KVP > 80 and KVP < 90')]
    """
    return _steps(where, "", 0, (), _as_it_is)


def number_of(where: Node) -> int:
    """How many steps a question has, without making them: each holds all that stand before it.

    >>> from dicomlake.query import parse
    >>> number_of(parse("KVP > 80 and not (KVP > 90 or Modality = 'CT')"))
    6
    """
    below: tuple[Node, ...] = ()
    if isinstance(where, And | Or):
        below = where.parts
    elif isinstance(where, Not | Same):
        below = (where.part,)
    elif isinstance(where, Related):
        below = (where.first, where.second)
    return 1 + sum(map(number_of, below))


def _as_it_is(node: Node) -> Node:
    return node


def _steps(
    node: Node, place: str, depth: int, before: tuple[Node, ...], around: Any
) -> Iterator[Step]:
    yield Step(place, depth, node, around(node), around(_all((*before, node))))
    below = partial(_steps, depth=depth + 1)
    dot = f"{place}." if place else ""
    if isinstance(node, And):
        for n, part in enumerate(node.parts):
            given = (*before, *node.parts[:n])
            yield from below(part, f"{dot}and[{n}]", before=given, around=around)
    elif isinstance(node, Or):
        for n, part in enumerate(node.parts):
            yield from _alternative(node, n, part, f"{dot}or[{n}]", depth + 1, before, around)
    elif isinstance(node, Not):
        yield from below(node.part, f"{dot}not", before=(), around=around)
    elif isinstance(node, Same):
        outer = partial(_same, node.level, around)
        yield from below(node.part, f"{dot}same.part", before=(), around=outer)
    elif isinstance(node, Related):
        for name in ("first", "second"):
            part = getattr(node, name)
            yield from below(part, f"{dot}related.{name}", before=(), around=around)


def _alternative(
    node: Or, n: int, part: Node, place: str, depth: int, before: tuple[Node, ...], around: Any
) -> Iterator[Step]:
    """What is left after the first alternatives together."""
    found = list(_steps(part, place, depth, before, around))
    so_far = node.parts[0] if n == 0 else Or(node.parts[: n + 1])
    yield found[0]._replace(kept=around(_all((*before, so_far))))
    yield from found[1:]


def _same(level: str, around: Any, node: Node) -> Node:
    found: Node = around(Same(level, node))
    return found


def _all(parts: tuple[Node, ...]) -> Node:
    return parts[0] if len(parts) == 1 else And(parts)


def attrition(engine: Any, where: Node | None, level: str, ticket: Any = None) -> list[Any]:
    """Rows of place, depth, kind, text, sentence, alone and kept, as plain values.

    UsageError when there are more than MOST_STEPS.
    """
    if level not in LEVELS:
        raise UsageError(f"{level!r} is no level. Use one of {', '.join(LEVELS)}.")
    if where is None:
        return []
    if (number := number_of(where)) > MOST_STEPS:
        raise UsageError(f"The question has {number:,} conditions; {MOST_STEPS} can be shown.")
    return [
        {
            "place": step.place,
            "depth": step.depth,
            "kind": _kind(step.node),
            "text": render(step.node),
            "sentence": phrase(step.node),
            "alone": engine.count(step.alone, level, ticket),
            "kept": engine.count(step.kept, level, ticket),
        }
        for step in steps(where)
    ]


def _kind(node: Node) -> str:
    return "one_of" if type(node).__name__ == "OneOf" else type(node).__name__.lower()
