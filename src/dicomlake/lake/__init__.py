"""The tables on disk: create, read at a version, append, commit, compact, check."""

from dicomlake.lake.store import Store, is_lake

__all__ = ["Store", "is_lake"]
