"""Trying a source: what it can do, in sentences that say what to do where it cannot."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from dicomlake.contracts import Source as Indexed
from dicomlake.contracts.archives import Check, Listener
from dicomlake.errors import DicomlakeError, UsageError
from dicomlake.jobs.archives import archive_of
from dicomlake.settings import Settings, Source
from dicomlake.sources.folder import FolderSource


def indexed(name: str, source: Source) -> Indexed:
    """A bucket or a folder as something to index; UsageError for archives."""
    if source.kind == "folder":
        return FolderSource((str(source.path),), name)
    if source.kind == "objects":
        from dicomlake.sources.objects import object_source

        return object_source(name, source)
    raise UsageError(f"{name} is an archive: use dicomlake pull for it.")


def try_source(lake: str | Path, settings: Settings, name: str) -> Iterator[Check]:
    """Try what a source can do, without changing anything in it."""
    source = settings.of(name)
    if source.kind in ("folder", "objects"):
        yield _first(name, source)
        return
    with contextlib.ExitStack() as stack:
        listener = None
        if source.kind == "dimse" and source.retrieve != "get" and settings.listener:
            try:
                listener = stack.enter_context(_listening(Path(lake), settings))
            except (DicomlakeError, OSError) as error:
                yield Check("listener", False, 0.0, f"{error}")
        archive = archive_of(name, settings, listener)
        stack.callback(archive.close)
        yield from archive.check()


@contextlib.contextmanager
def _listening(lake: Path, settings: Settings) -> Iterator[Listener]:
    from dicomlake.jobs.reception import receiving

    lake.mkdir(parents=True, exist_ok=True)
    with receiving(lake, settings) as listener:
        yield listener


def _first(name: str, source: Source) -> Check:
    began = time.monotonic()
    try:
        found = next(iter(indexed(name, source).find()), None)
    except DicomlakeError as error:
        return Check("list", False, time.monotonic() - began, str(error))
    says = "there is something to read" if found else "it can be listed, but is empty"
    return Check("list", found is not None, time.monotonic() - began, says)
