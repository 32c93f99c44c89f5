"""Folders, files, zip and tar archives as a source of objects."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote_from_bytes, unquote_to_bytes

from dicomlake.contracts import Found, Object
from dicomlake.dicom.walk import LARGEST_WINDOW
from dicomlake.errors import DataError, UsageError

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

    def roots(self) -> list[str]:
        """URIs of the paths; those of folders end with a slash. What is below others is left out.

        >>> FolderSource(("/proc/self", "/proc/self/status")).roots()[0].endswith("/")
        True
        """
        found = sorted(
            {uri_of(p) + "/" * os.path.isdir(p) for p in map(os.path.realpath, self.paths)}
        )
        found = [uri.replace("///" + "/", "///") for uri in found]
        return [
            uri
            for uri in found
            if not any(r != uri and r.endswith("/") and uri.startswith(r) for r in found)
        ]

    def find(self) -> Iterator[Found]:
        """Every file below the paths, each once; folders that are lakes are left out."""
        for root in self.roots():
            path = path_of(root)
            if root.endswith("/"):
                yield from _below(path.rstrip("/") or "/")
            else:
                yield _found(path, os.stat(path))

    def open(self, found: Found) -> Iterator[Object]:
        """The object in a file, or the objects in an archive."""
        if found.archive:
            yield from _members(found)
            return
        try:
            handle = os.open(path_of(found.uri), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            problem = f"cannot be opened: {error.strerror or 'I/O error'}"
            yield Object(found.uri, 0, 0, _nothing, problem)
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
    return Found(uri_of(path), info.st_size, info.st_mtime_ns // 1000, archive)


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
        if any(e.name == "dicomlake.json" for e in listed):
            continue  # a lake, not a source
        for entry in listed:
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file():
                    yield _found(entry.path, entry.stat())
            except OSError:
                yield Found(uri_of(entry.path), 0, 0)


def _members(found: Found) -> Iterator[Object]:
    path = path_of(found.uri)
    try:
        if path.lower().endswith(".zip"):
            yield from _zipped(found.uri, path)
        else:
            yield from _tarred(found.uri, path)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        kind = "zip" if path.lower().endswith(".zip") else "tar"
        yield Object(
            found.uri, 0, 0, _nothing, f"a damaged {kind} archive ({type(error).__name__})"
        )
    except OSError as error:
        problem = f"cannot be opened: {error.strerror or 'a damaged archive'}"
        yield Object(found.uri, 0, 0, _nothing, problem)


def _zipped(uri: str, path: str) -> Iterator[Object]:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda m: m.filename):
            if member.is_dir():
                continue
            inside = "zip://" + quote_from_bytes(os.fsencode(member.filename)) + "::" + uri
            if member.flag_bits & 1:
                yield Object(inside, 0, 0, _nothing, "encrypted in its archive")
                continue
            try:
                with archive.open(member) as stream:
                    yield Object(inside, 0, member.file_size, _forward(stream))
            except (NotImplementedError, zipfile.BadZipFile) as error:
                yield Object(inside, 0, 0, _nothing, f"cannot be unpacked ({type(error).__name__})")


def _tarred(uri: str, path: str) -> Iterator[Object]:
    with tarfile.open(path, "r:*") as archive:
        plain = isinstance(archive.fileobj, io.BufferedReader | io.FileIO)
        for member in archive:
            if not member.isfile():
                continue
            inside = "tar://" + quote_from_bytes(os.fsencode(member.name)) + "::" + uri
            stream = archive.extractfile(member)
            if stream is not None:
                offset = member.offset_data if plain else 0
                yield Object(inside, offset, member.size, _forward(stream))
            archive.members.clear()  # type: ignore[attr-defined]  # or a large one fills the memory


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
        except (zipfile.BadZipFile, zlib.error, EOFError, tarfile.TarError) as error:
            raise DataError("damaged inside its archive") from error
        return found
