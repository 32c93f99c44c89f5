"""The vocabulary."""

from __future__ import annotations

from dicomlake.lake import Store


def rebuild(store: Store) -> None:
    """Count."""
