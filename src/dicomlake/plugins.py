"""Find classes that others offer through entry points; ours are registered the same way."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dicomlake.errors import UsageError

FAMILIES = (
    "sources", "archives", "queues", "readers", "contents", "engines", "enrichers", "segmenters",
    "sinks", "converters", "pseudonyms", "rules", "recognisers", "translators",
)  # fmt: skip


def names(family: str) -> list[str]:
    """Names of the installed plugins of a family.

    >>> names("engines")
    ['duckdb']
    """
    return sorted({point.name for point in _points(family)})


def load(family: str, name: str) -> Any:
    """Return the class registered as `name` in `family`; UsageError names those that exist."""
    found = [point for point in _points(family) if point.name == name]
    if not found:
        known = ", ".join(names(family)) or "none"
        raise UsageError(f"There is no plugin {name!r} among the {family}. Installed: {known}.")
    return found[0].load()


def _points(family: str) -> tuple[EntryPoint, ...]:
    """What is registered in a family; what is installed later is seen by the next process."""
    return _registered(family, *sys.path)


@cache
def _registered(family: str, *_path: str) -> tuple[EntryPoint, ...]:
    """Looking through every installed package takes as long as reading a study: once is enough."""
    return tuple(entry_points(group=f"dicomlake.{family}"))
