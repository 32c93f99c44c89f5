"""Objects of a lake opened again: what their headers left out, read from where they lie."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from dicomlake.dicom.walk import Fetch
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.archives import fetched, kept_of
from dicomlake.jobs.door.cleaning import door_of
from dicomlake.jobs.door.opening import Behind
from dicomlake.jobs.door.views import kept_of_view, lake_of_view
from dicomlake.lake import Store
from dicomlake.lake.store import is_lake
from dicomlake.readers.attributes import text
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import Settings, read
from dicomlake.sources.objects import object_source
from dicomlake.sources.opening import Elsewhere, opened


class Opened(NamedTuple):
    """One object: its header as it is now in DICOM JSON, and its bytes."""

    header: dict[str, Any]
    fetch: Fetch
    size: int


def elsewhere_of(lake: str | Path, settings: Settings | None = None) -> Elsewhere:
    """Where objects of a lake are that are no files: kept ones, and the sources of its settings.

    What comes from a lake that de-identifies at its door, or from a view of one, is de-identified.
    """
    lake = Path(lake)
    door = Store(lake).door if is_lake(lake) else {}
    whole = lake_of_view(lake) if door.get("view") else lake
    found = read(whole) if settings is None else settings
    buckets = tuple(
        object_source(name, source)
        for name, source in found.source.items()
        if source.kind == "objects"
    )
    kept, fetch_from = kept_of(whole, found), partial(fetched, found)
    if not door:
        return Elsewhere(kept, fetch_from, buckets)
    made = door_of(found, door["profile"], door["pseudonyms"])
    if door.get("view"):
        inner, kept = Elsewhere(kept, fetch_from, buckets), kept_of_view(lake, found.cache.bytes)
        return Elsewhere(kept, None, (), Behind(made, lambda: inner, kept, whole))
    inner = Elsewhere(None, fetch_from, buckets)
    return Elsewhere(kept, None, (), Behind(made, lambda: inner, kept))


@contextlib.contextmanager
def object_of(row: Mapping[str, Any], elsewhere: Elsewhere | None = None) -> Iterator[Opened]:
    """The object of a row of `row_of`; `elsewhere` as of `dicomlake.sources.opening.opened`.

    UsageError when it is gone, there is another one in its place, or nothing is given to fetch it.
    """
    with opened(row, elsewhere) as found:
        try:
            json = HeaderReader().read(found.fetch, found.size).json
        except (DataError, OSError) as error:
            raise UsageError(f"{row['uri']} cannot be read: {error}") from error
        header = orjson.loads(json)
        if text(header, "SOPInstanceUID") != row["SOPInstanceUID"]:
            raise UsageError(
                f"{row['uri']} holds another object now. Bring the lake up to date with: "
                "dicomlake index FOLDER --lake LAKE"
            )
        yield Opened(header, found.fetch, found.size)


def row_of(store: Store, SOPInstanceUID: str) -> dict[str, Any]:
    """Where an instance lies: its UIDs, `uri`, `offset` and `size`; UsageError when not in here."""
    with store.database() as db:
        found = db.execute(
            'select i.uri, i."offset", i.size, s."StudyInstanceUID", s."SeriesInstanceUID" '
            'from instances i join series s using (series_id) where i."SOPInstanceUID" = ? limit 1',
            [SOPInstanceUID],
        ).fetchone()
    if found is None:
        raise UsageError(f"No instance of the lake has SOPInstanceUID {SOPInstanceUID}.")
    names = ("uri", "offset", "size", "StudyInstanceUID", "SeriesInstanceUID")
    place = dict(zip(names, found, strict=True))
    return {"SOPInstanceUID": SOPInstanceUID, **place}
