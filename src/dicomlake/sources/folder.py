"""Folders, files, zip and tar archives as a source of objects."""

from __future__ import annotations

import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from dicomlake.contracts import Found, Object
from dicomlake.dicom.walk import LARGEST_WINDOW
from dicomlake.errors import DataError, UsageError

MOST_EXPANDED = 200
"""A member of an archive that grows more than so many times when unpacked is not read,"""
LEAST_SUSPECT = 256 * 1024**2
"""unless it has fewer bytes than this."""
_MODIFIED = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""Times of change that a table can hold: microseconds of the years 1 to 9999."""

_LAKE, _KEPT, _SETTINGS = "dicomlake.json", "kept.sqlite", "dicomlake.toml"
_ORIGINALS = "originals.sqlite"
"""Files that tell folders of ours: a lake, kept objects, and what may become a lake."""
_OURS = frozenset(("_inbox", "_kept", "_queue", _SETTINGS))
"""What is in a lake before it is made."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def uri_of(path: str | bytes) -> str:
    """The file URI of an absolute path.

    >>> uri_of("/data/a b.dcm")
    'file:///data/a%20b.dcm'
    """
    return "file://" + quote_from_bytes(os.fsencode(path))


def path_of(uri: str) -> str:
    """The path in a file URI; any bytes that a file system allows survive.

    >>> path_of("file:///data/a%20b.dcm")
    '/data/a b.dcm'
    """
    return os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Everything below some folders and files, archives included.

    Symbolic links to folders are not followed, so that no file is met twice.
    """

    paths: tuple[str, ...]
    name: str = "folder"

    def __post_init__(self) -> None:
        for path in self.paths:
            if not os.path.exists(path):
                raise UsageError(f"{path} does not exist. Is a disk missing?")
            real = Path(os.path.realpath(path))
            if any((folder / _KEPT).exists() for folder in (real, *real.parents)):
                raise UsageError(f"{path} holds objects that a lake keeps; they are in it already.")

    def roots(self) -> list[str]:
        """URIs of the paths; those of folders end with a slash. What is below others is left out.

        >>> FolderSource(("/", "/.")).roots()
        ['file:///']
        """
        real = {os.path.realpath(path) for path in self.paths}
        folders = {path for path in real if os.path.isdir(path)}
        outer = [p for p in real if not any(str(above) in folders for above in Path(p).parents)]
        return sorted(uri_of(p.rstrip("/")) + "/" if p in folders else uri_of(p) for p in outer)

    def find(self) -> Iterator[Found]:
        """Every file below the paths, each once; lakes and what they keep are left out."""
        for root in self.roots():
            path = path_of(root)
            if root.endswith("/"):
                yield from _below(path.rstrip("/") or "/")
            else:
                yield _found(path, os.stat(path))

    def open(self, found: Found) -> Iterator[Object]:
        """The object in a file, or the objects in an archive."""
        if found.archive:
            yield from members(found)
            return
        try:
            handle = os.open(path_of(found.uri), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            problem = f"cannot be opened: {error.strerror or 'I/O error'}"
            yield _unreadable(found.uri, problem)
            return
        try:
            yield Object(
                found.uri, 0, found.size, lambda offset, length: os.pread(handle, length, offset)
            )
        finally:
            os.close(handle)


def _nothing(offset: int, length: int) -> bytes:
    return b""


def _found(path: str, info: os.stat_result) -> Found:
    archive = path.lower().endswith(ARCHIVES)
    modified = min(max(info.st_mtime_ns // 1000, _MODIFIED[0]), _MODIFIED[-1])
    return Found(uri_of(path), info.st_size, modified, archive)


def _below(folder: str) -> Iterator[Found]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                listed = list(entries)
        except OSError:
            yield Found(uri_of(here), 0, 0)  # opening it will say why
            continue
        names = {entry.name for entry in listed}
        if _LAKE in names or _KEPT in names or _ORIGINALS in names:
            continue  # ours, not a source
        if _SETTINGS in names:  # to become a lake
            listed = [entry for entry in listed if entry.name not in _OURS]
        for entry in listed:
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file():
                    yield _found(entry.path, entry.stat())
            except OSError:
                yield Found(uri_of(entry.path), 0, 0)


_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    # What damaged directories of zip files lead to:
    struct.error,
    ValueError,
    NotImplementedError,
    OverflowError,
)


def members(found: Found) -> Iterator[Object]:
    """The objects in a zip or tar archive on disk; damage comes as an object with a problem."""
    path = path_of(found.uri)
    zipped = path.lower().endswith(".zip")
    try:
        yield from _zipped(found.uri, path) if zipped else _tarred(found.uri, path)
    except _DAMAGE as error:
        kind = "zip" if zipped else "tar"
        yield _unreadable(found.uri, f"a damaged {kind} archive ({type(error).__name__})")
    except OSError as error:
        why = f"cannot be opened: {error.strerror or 'a damaged archive'}"
        yield _unreadable(found.uri, why)


def _unreadable(uri: str, why: str) -> Object:
    return Object(uri, 0, 0, _nothing, why)


def _zipped(uri: str, path: str) -> Iterator[Object]:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda m: m.filename):
            if member.is_dir():
                continue
            inside = "zip://" + quote_from_bytes(os.fsencode(member.filename)) + "::" + uri
            if member.flag_bits & 1:
                yield _unreadable(inside, "encrypted in its archive")
                continue
            expanded = member.file_size / max(1, member.compress_size)
            if member.file_size > LEAST_SUSPECT and expanded > MOST_EXPANDED:
                why = "grows suspiciously when unpacked; unpack its archive to read it"
                yield _unreadable(inside, why)
                continue
            try:
                stream = archive.open(member)
            except (*_DAMAGE, RuntimeError) as error:
                yield _unreadable(inside, f"cannot be unpacked ({type(error).__name__})")
                continue
            with stream:
                yield Object(inside, 0, member.file_size, _forward(stream))


def _tarred(uri: str, path: str) -> Iterator[Object]:
    with tarfile.open(path, "r:*") as archive:
        file: Any = archive.fileobj
        plain = isinstance(file, io.BufferedReader | io.FileIO)
        for member in archive:
            if not member.isfile():
                continue
            inside = "tar://" + quote_from_bytes(os.fsencode(member.name)) + "::" + uri
            stream = archive.extractfile(member)
            if stream is not None:
                offset = member.offset_data if plain else 0
                yield Object(inside, offset, member.size, _forward(stream))
            archive.members.clear()  # type: ignore[attr-defined]  # or a large one fills the memory
        # tarfile takes damage between two members for the end.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            yield _unreadable(uri, "a damaged tar archive: not all members could be read")


def _forward(stream: IO[bytes]) -> _Forward:
    return _Forward(stream)


class _Forward:
    """Reads of a packed stream: mostly forward, the first bytes again and again."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._head = b""
        self._at = 0

    def __call__(self, offset: int, length: int) -> bytes:
        if length > LARGEST_WINDOW:
            raise DataError("a part of the object is too large to be held")
        try:
            if offset + length <= 64 * 1024 and self._at == len(self._head):
                while len(self._head) < offset + length:
                    more = self._stream.read(64 * 1024 - len(self._head))
                    if not more:
                        break
                    self._head += more
                    self._at = len(self._head)
            if offset + length <= len(self._head):
                return self._head[offset : offset + length]
            self._stream.seek(offset)
            found = self._stream.read(length)
            self._at = -1
        except _DAMAGE as error:
            raise DataError("damaged inside its archive") from error
        return found
