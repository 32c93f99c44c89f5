"""Archives of a lake: connections to the sources of its settings, and the objects it keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dicomlake import plugins
from dicomlake.contracts import Object
from dicomlake.contracts.archives import Archive, Listener
from dicomlake.errors import UsageError
from dicomlake.lake.keeping import Kept
from dicomlake.lake.store import KEPT
from dicomlake.settings import Settings
from dicomlake.sources.either import EitherArchive


def kept_of(lake: str | Path, settings: Settings) -> Kept:
    """The objects that a lake keeps: in its own folder, or where its settings say.

    Objects that the listener promised to keep never give way to others.
    """
    cache = settings.cache
    promised = settings.listener is not None and settings.listener.keep
    folder = cache.path or Path(lake).absolute() / KEPT
    return Kept(folder, None if promised else cache.bytes)


def archive_of(name: str, settings: Settings, listener: Listener | None = None) -> Archive:
    """A connection to a source; UsageError when it is none that can be asked.

    A source of kind dimse that also names the url of a DICOMweb service gives headers by that.
    """
    source = settings.of(name)
    if source.kind not in ("dimse", "dicomweb"):
        raise UsageError(f"{name} is a source of kind {source.kind}: use dicomlake index for it.")
    opened: Archive = plugins.load("archives", source.kind)(name, source, listener)
    if source.kind == "dimse" and source.url:
        web = source.model_copy(update={"kind": "dicomweb"})
        return EitherArchive(opened, plugins.load("archives", "dicomweb")(name, web, None))
    return opened


@contextlib.contextmanager
def fetched(
    settings: Settings, source: str, study: str, series: str, instance: str
) -> Iterator[Object]:
    """One object out of an archive, as long as the block runs; UsageError when it is not there."""
    archive = archive_of(source, settings)
    try:
        found = next(iter(archive.objects(study, series, (instance,))), None)
        if found is None:
            raise UsageError(f"The archive {source} no longer has the object {instance}.")
        yield found
    finally:
        archive.close()
