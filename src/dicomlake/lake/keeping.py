"""Kept objects: whole DICOM files below one folder, the least recently used of which give way.

FOLDER/kept.sqlite      sizes and a running total; made anew from the files when it is gone
FOLDER/3f/1.2.840.dcm   an object; its time of change says when it was last asked for
FOLDER/3f/1.2.840.pin   empty: the object is never evicted
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dicomlake.dicom.walk import Fetch
from dicomlake.errors import DataError

INDEX = "kept.sqlite"
"""The index of the files; a folder that has one holds kept objects and is no source."""
RESCAN_S = 6 * 3600.0
"""Files are compared with the index before objects are evicted, when that is so long ago."""
STALE_S = 24 * 3600.0
"""Unfinished files of killed processes are removed after this time."""

_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*", re.ASCII)
_STEP = 4 * 1024**2
_BATCH = 64
_WAIT_S = 60.0
_SCHEMA = (
    "create table objects (folder text, name text, size integer, used integer, pinned integer, "
    "primary key (folder, name)) without rowid",
    "create index by_use on objects (pinned, used)",
    "create table total (bytes integer, scanned real)",
    "insert into total values (0, 0)",
    "create trigger added after insert on objects "
    "begin update total set bytes = bytes + new.size; end",
    "create trigger changed after update of size on objects "
    "begin update total set bytes = bytes - old.size + new.size; end",
    "create trigger gone after delete on objects "
    "begin update total set bytes = bytes - old.size; end",
    "pragma user_version = 1",
)
_PUT = """
insert into objects values (?, ?, ?, ?, ?) on conflict (folder, name) do update
set size = excluded.size, used = excluded.used, pinned = excluded.pinned
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """Kept objects of a folder, by SOPInstanceUID; `limit`: their bytes, None for no limit.

    Any number of processes may use one folder. Nothing is made before something is put.
    OSError when the disk is full or cannot be used.
    """

    folder: Path
    limit: int | None = None

    def put(self, uid: str, fetch: Fetch, size: int) -> Path:
        """The file of an object, written whole or not at all; what was there is replaced.

        Others are evicted when it makes too many, never itself. DataError when `fetch` gives fewer
        bytes than `size`.
        """
        path = self._path(uid)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part")
        moved = False
        try:
            _write(part, fetch, size)
            with self._index() as db:
                pinned = _pin(path).exists()
                db.execute(_PUT, [*_key(path), size, time.time_ns(), pinned])
                os.replace(part, path)
                moved = True
                if pinned:
                    _to_disk(path, path.parent)
        except BaseException:
            if moved and not _pin(path).exists():  # the index could not be written
                path.unlink(missing_ok=True)
            raise
        finally:
            part.unlink(missing_ok=True)
        if self.limit is not None:
            self._evict(path)
        return path

    def get(self, uid: str) -> Path | None:
        """The file of an object, which counts as used now; None when it is not kept.

        Another process may evict it before it is opened.
        """
        path = self._path(uid)
        now = time.time_ns()
        try:
            os.utime(path, ns=(now, now))
        except FileNotFoundError:
            return None
        except OSError:  # such as a disk that is read only
            return path if path.exists() else None
        return path

    def holds(self, uid: str) -> bool:
        """Whether an object is kept."""
        return self._path(uid).exists()

    def pin(self, uid: str) -> bool:
        """Never evict an object; False when it is not kept. It survives a loss of power."""
        path = self._path(uid)
        if not path.exists():
            return False
        with self._index() as db:
            if not path.exists():
                return False
            _pin(path).touch()
            _note(db, path)
            _to_disk(path, path.parent, self.folder)
        return True

    def drop(self, uid: str) -> None:
        """Keep an object no longer, pinned or not."""
        path = self._path(uid)
        if path.exists() or _pin(path).exists():
            with self._index() as db:
                _remove(db, path)

    @property
    def size(self) -> int:
        """Bytes of all objects, pinned ones too."""
        if not self.folder.exists():
            return 0
        with self._index() as db:
            return _total(db)

    def evict(self) -> int:
        """Let the least recently used objects go until all are within the limit; bytes freed.

        Pinned ones stay. Those that others have open can be read to their end.
        """
        if self.limit is None or not self.folder.exists():
            return 0
        return self._evict()

    def rescan(self) -> None:
        """Compare the index with the files, one sub-folder at a time; remove what killed runs left.

        It is done by itself before objects are evicted, when the last time was long ago.
        """
        if not self.folder.exists():
            return
        with self._index() as db:
            db.execute("update total set scanned = ?", [time.time()])
        for folder in _subfolders(self.folder):
            with self._index() as db:
                _compare(db, folder)

    def _evict(self, newest: Path | None = None) -> int:
        """Evict all but `newest`; bytes freed."""
        assert self.limit is not None
        freed, scanned = 0, False
        while True:
            with self._index() as db:
                more = _total(db) - self.limit
                due = not scanned and not 0 <= time.time() - _scanned(db) < RESCAN_S
                oldest = _oldest(db, self.folder, newest) if more > 0 and not due else []
                freed += _give_way(db, oldest, more)
            if more <= 0 or not (oldest or due):
                return freed
            if due:
                self.rescan()
                scanned = True

    def _path(self, uid: str) -> Path:
        """Where an object is; what is no UID is named by its hash, so that it stays in here."""
        name = uid if _UID.fullmatch(uid) else f"x{_hash(uid)}"
        return self.folder / _hash(name)[:2] / f"{name}.dcm"

    @contextlib.contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """The index in one transaction, which nobody else has meanwhile."""
        try:
            with self._connected() as db:
                yield db
        except sqlite3.DatabaseError as error:
            if _damaged(error):
                _forget(self.folder)
            raise _os_error(error, self.folder) from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / INDEX
        try:
            db, new = _opened(path)
        except sqlite3.DatabaseError as error:
            if not _damaged(error):
                raise
            _forget(self.folder)
            db, new = _opened(path)
        try:
            if new:
                for folder in _subfolders(self.folder):
                    _compare(db, folder)
                db.execute("update total set scanned = ?", [time.time()])
            yield db
            db.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("rollback")
            raise
        finally:
            db.close()


def _opened(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection in a transaction, and whether the index had to be made."""
    db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
    try:
        db.execute("pragma synchronous = off")
        db.execute("begin immediate")
        if db.execute("pragma user_version").fetchone() != (0,):
            db.execute("select bytes from total").fetchone()
            return db, False
        for statement in _SCHEMA:
            db.execute(statement)
    except BaseException:
        db.close()
        raise
    return db, True


def _damaged(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _forget(folder: Path) -> None:
    """Remove a damaged index, so that it is made anew from the files."""
    for name in (f"{INDEX}-journal", INDEX):
        (folder / name).unlink(missing_ok=True)


def _os_error(error: sqlite3.DatabaseError, folder: Path) -> OSError:
    """What an index that cannot be used means to who wants to keep objects."""
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    why = os.strerror(errno.ENOSPC) if full else f"{INDEX} cannot be used: {error}"
    return OSError(errno.ENOSPC if full else errno.EIO, why, str(folder))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _key(path: Path) -> tuple[str, str]:
    """Sub-folder and name: the key of a file in the index."""
    return path.parent.name, path.stem


def _pin(path: Path) -> Path:
    return path.with_suffix(".pin")


def _subfolders(folder: Path) -> list[Path]:
    return [folder / f"{number:02x}" for number in range(256)]


def _write(path: Path, fetch: Fetch, size: int) -> None:
    with path.open("xb") as file:
        for at in range(0, size, _STEP):
            wanted = min(_STEP, size - at)
            data = fetch(at, wanted)
            if len(data) != wanted:
                raise DataError("the object ended before it was whole")
            file.write(data)


def _to_disk(*paths: Path) -> None:
    """Have files and folders survive a loss of power."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _total(db: sqlite3.Connection) -> int:
    return int(db.execute("select bytes from total").fetchone()[0])


def _scanned(db: sqlite3.Connection) -> float:
    return float(db.execute("select scanned from total").fetchone()[0])


def _note(db: sqlite3.Connection, path: Path) -> None:
    """Have the index say of a file what is."""
    with contextlib.suppress(FileNotFoundError):
        info = path.stat()
        db.execute(_PUT, [*_key(path), info.st_size, info.st_mtime_ns, _pin(path).exists()])


def _remove(db: sqlite3.Connection, path: Path) -> None:
    path.unlink(missing_ok=True)
    _pin(path).unlink(missing_ok=True)
    db.execute("delete from objects where folder = ? and name = ?", _key(path))


def _compare(db: sqlite3.Connection, folder: Path) -> None:
    """Have the index say of a sub-folder what is; unfinished files of killed runs go."""
    listed = list(folder.iterdir()) if folder.is_dir() else []
    there = {path.stem for path in listed if path.suffix == ".dcm"}
    known = db.execute("select name from objects where folder = ?", [folder.name]).fetchall()
    gone = [(folder.name, name) for (name,) in known if name not in there]
    db.executemany("delete from objects where folder = ? and name = ?", gone)
    for path in listed:
        if path.suffix == ".dcm":
            _note(db, path)
        elif path.suffix == ".part":
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink()


def _oldest(
    db: sqlite3.Connection, folder: Path, newest: Path | None
) -> list[tuple[Path, int, int]]:
    """Files that may be evicted, with sizes, by the time of their last use as the index has it."""
    found = db.execute(
        "select folder, name, size, used from objects where pinned = 0 "
        "and (folder, name) <> (?, ?) order by used limit ?",
        [*(_key(newest) if newest else ("", "")), _BATCH],
    )
    return [(folder / sub / f"{name}.dcm", size, used) for sub, name, size, used in found]


def _give_way(db: sqlite3.Connection, oldest: list[tuple[Path, int, int]], more: int) -> int:
    """Remove files, least recently used first, until `more` bytes are free; how many are.

    The index hears here of what was used since it was put: the times of the files say so.
    """
    freed, bar = 0, time.time_ns()
    for path, size, used in oldest:
        if freed >= more or used > bar:
            break
        try:
            touched = path.stat().st_mtime_ns
        except FileNotFoundError:  # removed by hand
            touched = used
        if touched > used:
            _note(db, path)
            bar = min(bar, touched)
        else:
            _remove(db, path)
            freed += size
    return freed
