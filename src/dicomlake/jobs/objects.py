"""Objects of a lake opened again: what their headers left out, read from where they lie."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from dicomlake.dicom.walk import Fetch
from dicomlake.errors import DataError, UsageError
from dicomlake.lake import Store
from dicomlake.readers.attributes import text
from dicomlake.readers.header import HeaderReader
from dicomlake.sources.objects import ObjectSource
from dicomlake.sources.opening import opened


class Opened(NamedTuple):
    """One object: its header as it is now in DICOM JSON, and its bytes."""

    header: dict[str, Any]
    fetch: Fetch
    size: int


@contextlib.contextmanager
def object_of(row: Mapping[str, Any], sources: Iterable[ObjectSource] = ()) -> Iterator[Opened]:
    """The object of a row with `SOPInstanceUID`, `uri`, `offset` and `size`; `sources` as `opened`.

    UsageError when it is gone, or there is another one in its place.
    """
    with opened(row, sources) as found:
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
    """Where an instance lies; UsageError when the lake has none with this UID."""
    with store.database() as db:
        found = db.execute(
            'select uri, "offset", size from instances where "SOPInstanceUID" = ? limit 1',
            [SOPInstanceUID],
        ).fetchone()
    if found is None:
        raise UsageError(f"No instance of the lake has SOPInstanceUID {SOPInstanceUID}.")
    place = dict(zip(("uri", "offset", "size"), found, strict=True))
    return {"SOPInstanceUID": SOPInstanceUID, **place}
