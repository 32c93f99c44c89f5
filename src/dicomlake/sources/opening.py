"""One object again, by its row of `instances`: a file, in an archive, a bucket or a PACS."""

from __future__ import annotations

import contextlib
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from dicomlake.contracts import Object
from dicomlake.errors import DataError, UsageError
from dicomlake.sources.folder import _DAMAGE, _Forward, path_of

if TYPE_CHECKING:
    from dicomlake.lake.keeping import Kept
    from dicomlake.sources.objects import ObjectSource

FetchFrom = Callable[[str, str, str, str], AbstractContextManager[Object]]
"""Fetches an object from an archive: name of the source, UIDs of study, series and instance."""
Unsealed = Callable[[Mapping[str, Any]], AbstractContextManager[Object]]
"""Opens the object of a row that lies in a sealed place, de-identified."""
LARGEST = 4 * 1024**3
"""An object with more bytes is not read as a whole."""
ARCHIVE = "pacs://"
"""What the URIs of objects in archives begin with; see `dicomlake.contracts.archives.uri_of`."""
SEALED = "sealed+"
"""What is in URIs of objects that lie where only who has a key can tell."""
_AGAIN = "Bring the lake up to date with: dicomlake index FOLDER --lake LAKE"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where objects are that are no files here.

    Those of an archive are looked for in `kept`, else fetched by `fetch_from`. Those in object
    storage are read by the one of `buckets` that has them; else with the credentials and the
    endpoint of the environment. What lies in a sealed place is looked for in `kept`, else given,
    de-identified, by `unsealed`.
    """

    kept: Kept | None = None
    fetch_from: FetchFrom | None = None
    buckets: tuple[ObjectSource, ...] = ()
    unsealed: Unsealed | None = None


@contextlib.contextmanager
def opened(row: Mapping[str, Any], elsewhere: Elsewhere | None = None) -> Iterator[Object]:
    """The object of a row with `uri`, `offset` and `size`, as long as the block runs.

    One of an archive needs StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID in the row.

    UsageError when it is gone, has another size, or cannot be fetched. Whether it still is the same
    object is for the caller to see, by its SOPInstanceUID: files are touched and copied without
    being changed.
    """
    elsewhere = elsewhere or Elsewhere()
    if SEALED in str(row["uri"]):
        with _behind(row, elsewhere) as found:
            yield found
        return
    if str(row["uri"]).startswith(ARCHIVE):
        with _archived(row, elsewhere.kept, elsewhere.fetch_from) as found:
            yield found
        return
    uri, offset, size = str(row["uri"]), int(row["offset"] or 0), int(row["size"] or 0)
    member, _, file = uri.rpartition("::")
    with contextlib.ExitStack() as stack:
        if file.startswith("s3://"):
            source = _source_of(file, elsewhere.buckets)
            if not member or (member.startswith("tar://") and offset):
                yield _stored(source, file, offset, size, uri)
                return
            path = str(stack.enter_context(source.downloaded(file)))
        elif file.startswith("file://"):
            path = path_of(file)
        else:
            raise UsageError(f"{uri} is no file, so it cannot be opened again.")
        yield stack.enter_context(_inside(path, member, offset, size, uri))


@contextlib.contextmanager
def _inside(path: str, member: str, offset: int, size: int, uri: str) -> Iterator[Object]:
    """The object in a file, or that of a member of it."""
    if member.startswith("zip://"):
        inside = _zipped(path, member.removeprefix("zip://"), size, uri)
    elif member.startswith("tar://"):
        inside = _tarred(path, member.removeprefix("tar://"), offset, size, uri)
    elif member:
        raise UsageError(f"{uri} is in an archive of a kind that cannot be opened.")
    else:
        inside = _plain(path, offset, size, uri)
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(inside)
        except OSError as error:
            why = error.strerror or "it cannot be unpacked"
            raise UsageError(
                f"{path} cannot be opened: {why}. Is a disk missing? If it was moved: {_AGAIN}"
            ) from error
        except (*_DAMAGE, RuntimeError) as error:
            raise UsageError(f"{uri} is damaged, or has changed. {_AGAIN}") from error
        yield found


def bytes_of(row: Mapping[str, Any], elsewhere: Elsewhere | None = None) -> bytes:
    """All bytes of the object of a row; UsageError when it is gone, changed or too large."""
    step = 64 * 1024**2
    with opened(row, elsewhere) as found:
        size = found.size
        if size > LARGEST:
            raise UsageError(f"The object has {size:,} bytes, too many to be held at once.")
        try:
            parts = [found.fetch(at, min(step, size - at)) for at in range(0, size, step)]
        except (DataError, OSError) as error:
            raise UsageError(f"{row['uri']} cannot be read to its end. {_AGAIN}") from error
    data = b"".join(parts)
    if len(data) != size:
        raise _changed(str(row["uri"]))
    return data


def _source_of(uri: str, sources: Iterable[ObjectSource]) -> ObjectSource:
    from dicomlake.sources.objects import ObjectSource

    bucket = uri.removeprefix("s3://").partition("/")[0]
    return next((s for s in sources if s.bucket == bucket), None) or ObjectSource(f"s3://{bucket}")


def _stored(source: ObjectSource, file: str, offset: int, size: int, uri: str) -> Object:
    """Bytes that lie in object storage as they are, alone or in a tar archive."""
    fetch = source.reader(file, None if "::" in uri else size)

    def within(at: int, length: int) -> bytes:
        return fetch(offset + at, max(0, min(length, size - at)))

    return Object(uri, offset, size, within)


def _changed(what: str) -> UsageError:
    return UsageError(f"{what} has changed since it was indexed. {_AGAIN}")


@contextlib.contextmanager
def _archived(
    row: Mapping[str, Any], kept: Kept | None, fetch_from: FetchFrom | None
) -> Iterator[Object]:
    """An object of an archive: kept here, or fetched again."""
    uri = str(row["uri"])
    source, _, last = uri.removeprefix(ARCHIVE).partition("/")
    study, series = (str(row.get(f"{level}InstanceUID") or "") for level in ("Study", "Series"))
    uid = str(row.get("SOPInstanceUID") or last)
    with contextlib.ExitStack() as stack:
        found = _kept(stack, uri, uid, kept)
        if found is None:
            if fetch_from is None:
                of = f" --series {series}" if series else ""
                raise UsageError(
                    f"The object {uid} lies in the archive {source}. Get it with: "
                    f"dicomlake pull {source}{of} --depth complete --keep"
                )
            found = stack.enter_context(fetch_from(source, study, series, uid))
        yield found


@contextlib.contextmanager
def _behind(row: Mapping[str, Any], elsewhere: Elsewhere) -> Iterator[Object]:
    """A de-identified object: kept, or made again of what lies in a sealed place."""
    uri, uid = str(row["uri"]), str(row.get("SOPInstanceUID") or "")
    with contextlib.ExitStack() as stack:
        found = _kept(stack, uri, uid, elsewhere.kept) if uid else None
        if found is None:
            if elsewhere.unsealed is None:
                raise UsageError(
                    "The object lies in a sealed place. The settings of the lake have to name the "
                    "pseudonyms by which it was made, with their key."
                )
            found = stack.enter_context(elsewhere.unsealed(row))
        yield found


def _kept(stack: contextlib.ExitStack, uri: str, uid: str, kept: Kept | None) -> Object | None:
    """An object that is kept here; None when it is not, or was evicted just now."""
    path = kept.get(uid) if kept is not None else None
    if path is None:
        return None
    try:
        return stack.enter_context(_plain(str(path), 0, None, uri))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {error.strerror}.") from error


@contextlib.contextmanager
def _plain(path: str, offset: int, size: int | None, uri: str) -> Iterator[Object]:
    """Bytes that lie in a file as they are; without a size, all of them."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        there = os.fstat(handle).st_size
        size = there if size is None else size
        if there < offset + size or (not offset and there != size and "::" not in uri):
            raise _changed(path)

        def fetch(at: int, length: int) -> bytes:
            return os.pread(handle, max(0, min(length, size - at)), offset + at)

        yield Object(uri, offset, size, fetch)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _zipped(path: str, member: str, size: int, uri: str) -> Iterator[Object]:
    with zipfile.ZipFile(path) as archive:
        names = [m for m in archive.infolist() if _quoted(m.filename) == member]
        found = next((m for m in names if m.file_size == size), None)
        if found is None:
            raise _changed(uri)
        with archive.open(found) as stream:
            yield Object(uri, 0, size, _Forward(stream))


@contextlib.contextmanager
def _tarred(path: str, member: str, offset: int, size: int, uri: str) -> Iterator[Object]:
    if offset:  # not packed: its bytes lie in the archive as they are
        with _plain(path, offset, size, uri) as found:
            yield found
        return
    with tarfile.open(path, "r:*") as archive:
        for entry in archive:
            if entry.isfile() and entry.size == size and _quoted(entry.name) == member:
                stream = archive.extractfile(entry)
                assert stream is not None
                yield Object(uri, 0, size, _Forward(stream))
                return
    raise _changed(uri)


def _quoted(name: str) -> str:
    return quote_from_bytes(os.fsencode(name))
