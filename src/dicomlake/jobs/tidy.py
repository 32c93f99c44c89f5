"""Tidying: fewer and better sorted files, nothing that nobody can see."""

from __future__ import annotations

from dicomlake import tables
from dicomlake.contracts import Progress, Silent
from dicomlake.lake import Store
from dicomlake.lake.compaction import compact_table, small_files

MANY_FILES = 24


def tidy(store: Store, progress: Progress | None = None) -> None:
    """What every run ends with: merge small files of tables that have many of them.

    Only while the writer's lock is held and everything is committed.
    """
    many = [name for name in tables.ALL if small_files(store, name) > MANY_FILES]
    if many:
        progress = progress or Silent()
        progress.stage("tidying", len(many), "tables")
        for name in many:
            compact_table(store, name)
            progress.advance()
