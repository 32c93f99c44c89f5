"""Sinks: where resources go that the lake publishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Ref = tuple[str, str]
"""Type and id of a resource, as the lake makes them."""


@dataclass(frozen=True, slots=True)
class Change:
    """A resource that is to be there as it is, or with None as `resource` not at all.

    `key`: system and value of an identifier of its own; `there`: the id that it has there already,
    if that is known; `ours`: whether it was us who made it there.
    """

    type: str
    id: str
    resource: dict[str, Any] | None
    key: tuple[str, str] | None = None
    there: str = ""
    ours: bool = True

    @property
    def ref(self) -> Ref:
        """Type and id."""
        return (self.type, self.id)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a change: the id that the resource has there, and whether we made it.

    `refused`: why it cannot be there, in words and without patient data, with the HTTP status; ""
    when it is as it should be.
    """

    change: Change
    there: str = ""
    ours: bool = True
    refused: str = ""
    status: int = 0


class Sink(Protocol):
    """Takes resources; used by one thread, kept open between calls, closed at the end.

    `push` raises `Refused` when the other side is busy or away (try again later: doing the same
    twice changes nothing), and `UsageError` when it never can work, such as a wrong password.
    """

    def push(self, changes: Sequence[Change], there: Mapping[Ref, str]) -> Iterator[Done]:
        """Make changes, in an order in which nothing points at what comes later.

        `there`: ids of the other side, of resources that the changes point at and that are there
        already. Each change has its answer, in any order.
        """

    def read(self, type_: str, id_: str) -> dict[str, Any] | None:
        """A resource as it is there, by the id of the other side; None when it is not."""

    def close(self) -> None:
        """Let go of the connection."""


def references(resource: Any) -> Iterator[str]:
    """Every literal reference inside of a resource.

    >>> list(references({"subject": {"reference": "Patient/1"}}))
    ['Patient/1']
    """
    if isinstance(resource, list):
        for one in resource:
            yield from references(one)
    elif isinstance(resource, dict):
        found = resource.get("reference")
        if isinstance(found, str):
            yield found
        for one in resource.values():
            if isinstance(one, dict | list):
                yield from references(one)


def refs_of(resource: Any) -> Iterator[Ref]:
    """What a resource points at, by type and id.

    >>> list(refs_of({"subject": {"reference": "Patient/1"}}))
    [('Patient', '1')]
    """
    for text in references(resource):
        type_, slash, id_ = text.partition("/")
        if slash and type_[:1].isupper() and "/" not in id_:
            yield type_, id_
