"""Tidying: fewer and better sorted files, nothing that nobody can see."""

from __future__ import annotations

from dicomlake.lake import Store

SMALL_BYTES = 64 * 1024 * 1024
MANY_FILES = 24


def tidy(store: Store) -> None:
    """What every run ends with: merge small files where there are many of them."""
    for name in ("elements", "instances", "series"):
        if len(store.paths(name)) > MANY_FILES:
            store.compact(name)
