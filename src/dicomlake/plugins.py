"""Find classes that others offer through entry points; ours are registered the same way."""

from __future__ import annotations

from importlib.metadata import entry_points
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
    return sorted({point.name for point in entry_points(group=f"dicomlake.{family}")})


def load(family: str, name: str) -> Any:
    """Return the class registered as `name` in `family`; UsageError names those that exist."""
    found = [p for p in entry_points(group=f"dicomlake.{family}") if p.name == name]
    if not found:
        known = ", ".join(names(family)) or "none"
        raise UsageError(f"There is no plugin {name!r} among the {family}. Installed: {known}.")
    return found[0].load()
