"""Where objects lie, sealed: file names and UIDs tell of people.

pacs://SOURCE/sealed+TEXT           of what an archive sent
sealed+file://ONE/OTHER             part by part: what lies below a folder begins like it
sealed+view://FOLDER/TEXT           of an object of another lake
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from dicomlake.jobs.door.seals import Seal
from dicomlake.sources.opening import ARCHIVE, SEALED

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
VIEW = f"{SEALED}view://"


def sealed_uri(seal: Seal, uri: str) -> str:
    """A URI of a file or folder, or of a member of an archive, sealed part by part."""
    return "::".join(_part(seal, part) for part in uri.split("::"))


def _part(seal: Seal, uri: str) -> str:
    scheme, mark, rest = uri.partition("://")
    return f"{SEALED}{scheme}{mark}" + "/".join(p and seal.sealed(p) for p in rest.split("/"))


def sealed_archived(seal: Seal, uri: str, uids: Mapping[str, Any]) -> str:
    """The URI of an object of an archive, with what it is asked for by."""
    source = uri.removeprefix(ARCHIVE).partition("/")[0]
    said = orjson.dumps([uri, *(uids.get(name) or "" for name in _UIDS)]).decode()
    return f"{ARCHIVE}{source}/{SEALED}{seal.sealed(said)}"


def sealed_row(seal: Seal, row: Mapping[str, Any]) -> str:
    """The URI in the place of where an instance of another lake lies."""
    place = [row["uri"], row["offset"] or 0, row["size"] or 0]
    said = orjson.dumps([*place, *(row[name] or "" for name in _UIDS)]).decode()
    return f"{VIEW}{seal.short(str(row['SeriesInstanceUID']))}/{seal.sealed(said)}"


def opened_uri(seal: Seal, uri: str) -> str:
    """The URI that was sealed part by part; UsageError when another key did it."""
    found = []
    for part in uri.split("::"):
        scheme, mark, rest = part.removeprefix(SEALED).partition("://")
        found.append(f"{scheme}{mark}" + "/".join(p and seal.opened(p) for p in rest.split("/")))
    return "::".join(found)


def opened_row(seal: Seal, row: Mapping[str, Any]) -> dict[str, Any]:
    """Where the object of a row with a sealed URI lies; UsageError when another key sealed it."""
    uri = str(row["uri"])
    if uri.startswith(VIEW):
        said = orjson.loads(seal.opened(uri.rpartition("/")[2]))
        return dict(zip(("uri", "offset", "size", *_UIDS), said, strict=True))
    if uri.startswith(ARCHIVE):
        said = orjson.loads(seal.opened(uri.rpartition(SEALED)[2]))
        return {**dict(zip(("uri", *_UIDS), said, strict=True)), "offset": 0, "size": 0}
    return {"uri": opened_uri(seal, uri), "offset": row["offset"], "size": row["size"]}
