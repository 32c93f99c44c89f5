"""Reception: what is sent to our listener without being asked for goes into the lake.

A sender is told that an object is safe only once its header is in a journal on disk (and, if
objects are kept, the object in its folder). Journals of a process that died are taken up by the
next one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts import Found, Object
from dicomlake.contracts.archives import Listener, Sender, uri_of
from dicomlake.errors import DataError, Refused, ServiceError
from dicomlake.jobs.archives import kept_of
from dicomlake.jobs.door.entrance import entrance_of, fetch_of
from dicomlake.jobs.inbox import Inbox, Leaving
from dicomlake.jobs.writing import Origin
from dicomlake.lake.keeping import Kept
from dicomlake.lake.store import QUEUE
from dicomlake.readers.batch import Batch
from dicomlake.readers.contents import ContentsReader
from dicomlake.readers.fold import Folder
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import ListenerSettings, Settings

log = logging.getLogger(__name__)

UNASKED = "listener"
"""Name of the source of objects from a sender that is no source of the settings."""
MOST_OBJECTS = 1500
MOST_BYTES = 48 * 1024**2
QUIET_S, MOST_S = 2.0, 20.0
"""A batch is left when nothing came for so long, or the first of it is so old."""
MOST_WAITING = 400
"""Batches in the inbox above which senders are asked to come back later."""
NO_SUCH_OBJECT = 0x0112
"""Failure reason of a storage commitment (PS3.3 C.14.1.1)."""


class Reception:
    """Takes objects from any number of threads into batches for the inbox."""

    def __init__(self, lake: Path, settings: Settings, kept: Kept) -> None:
        self._inbox, self._kept = Inbox(lake), kept
        self._entrance = entrance_of(lake, settings)
        self._keep = bool(settings.listener and settings.listener.keep)
        self._names = {s.called: n for n, s in settings.source.items() if s.kind == "dimse"}
        self._folder = lake / QUEUE / "journals"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._reader, self._fold, self._contents = HeaderReader(), Folder(), ContentsReader()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._first = self._last = 0.0
        self._full = 0.0
        self._begin()

    def _begin(self) -> None:
        self._leaving = Leaving(Batch(contents=self._contents))
        self._journal = self._folder / f"{os.getpid()}-{secrets.token_hex(6)}.journal"
        self._file: Any = None

    def arrived(self, sender: Sender, thing: Object) -> None:
        """Take an object; when this returns it is safe. Refused when too much is waiting."""
        source = self._names.get(sender.calling, UNASKED)
        self._check_room()
        thing = self._through(source, thing)
        uid = thing.uri.rpartition("/")[2]
        if self._keep:
            try:
                self._kept.put(uid, thing.fetch, thing.size)
            except OSError as error:
                raise Refused(f"The object cannot be kept: {error.strerror}.") from error
        with self._lock:
            self._take(source, thing)

    def _through(self, source: str, thing: Object) -> Object:
        """An object as it comes in: as it is, or as it becomes at the door of the lake."""
        uid = thing.uri.rpartition("/")[2]
        if self._entrance is None:
            return Object(uri_of(source, uid), 0, thing.size, thing.fetch)
        cleaned = self._entrance.whole(thing.fetch, thing.size)
        uri = uri_of(source, cleaned.SOPInstanceUID)
        return Object(uri, 0, len(cleaned.data), fetch_of(cleaned.data))

    def _check_room(self) -> None:
        """Refuse while the writer does not follow; looked at twice a second."""
        now = time.monotonic()
        if now - self._full > 0.5:
            if len(self._inbox.batches()) > MOST_WAITING:
                raise Refused("The writer of the lake does not follow; come back later.", 5.0)
            self._full = now

    def _take(self, source: str, thing: Object) -> None:
        batch = self._leaving.batch
        failed = len(batch.failures)
        now = time.time_ns() // 1000
        batch.add(Found(thing.uri, thing.size, now), thing, self._reader)
        if len(batch.failures) > failed:
            raise DataError(batch.failures.pop()["reason"])
        for uid in batch.series:
            self._leaving.origins.setdefault(uid, Origin(source))
        self._write(source, thing, now)
        self._last = time.monotonic()
        if batch.objects == 1:
            self._first = self._last
        if batch.objects >= MOST_OBJECTS or batch.bytes >= MOST_BYTES:
            self._leave()

    def _write(self, source: str, thing: Object, when: int) -> None:
        """Append what was read to the journal."""
        header = self._header(thing.uri)
        line = orjson.dumps([source, thing.uri, thing.size, when]) + b"\t" + header + b"\n"
        try:
            if self._file is None:
                self._file = self._journal.open("ab", buffering=0)
            self._file.write(line)
        except OSError as error:
            raise Refused(f"The journal cannot be written: {error.strerror}.") from error

    def _header(self, uri: str) -> bytes:
        """The header of an object of this batch, most likely the last one."""
        for part in reversed(self._leaving.batch.series.values()):
            for row in reversed(part.instances):
                if row["uri"] == uri:
                    found: str = row["header"]
                    return found.encode()
        raise DataError("the object came twice, with different places")

    def _leave(self) -> None:
        self._inbox.leave(self._leaving, self._reader, self._fold)
        for uid in self._leaving.erased:
            self._kept.drop(uid)
        if self._file is not None:
            self._file.close()
        self._journal.unlink(missing_ok=True)
        self._begin()

    def flush(self, *, now: bool = False) -> None:
        """Leave the batch in the inbox when it is due, or `now`."""
        with self._lock:
            moment = time.monotonic()
            due = moment - self._last > QUIET_S or moment - self._first > MOST_S
            if self._leaving.batch.objects and (now or due):
                self._leave()

    def recover(self) -> int:
        """Take up journals of processes that died; how many objects."""
        count = 0
        for path in sorted(self._folder.glob("*.journal")):
            if _alive(path.name) and not path.name.startswith(f"{os.getpid()}-"):
                continue
            with self._lock:
                if path == self._journal:
                    continue
                count += self._replay(path)
                path.unlink(missing_ok=True)
        return count

    def _replay(self, path: Path) -> int:
        """Take the complete lines of a journal; the last one may be cut, and was not confirmed."""
        leaving = Leaving(Batch(contents=self._contents))
        for line in path.read_bytes().split(b"\n"):
            about, _, header = line.partition(b"\t")
            try:
                source, uri, size, when = orjson.loads(about)
                thing = Object(uri, 0, size, _nothing, header=orjson.loads(header))
            except ValueError:
                continue
            leaving.batch.add(Found(uri, size, when), thing, self._reader)
            for uid in leaving.batch.series:
                leaving.origins.setdefault(uid, Origin(source))
        self._inbox.leave(leaving, self._reader, self._fold)
        for uid in leaving.erased:
            self._kept.drop(uid)
        return leaving.batch.objects

    def stored(self, asked: Sequence[tuple[str, str]]) -> dict[str, int]:
        """Which objects we answer for (PS3.4 J): 0 for those that are kept for good.

        Only here are they written through to the disk, so that they survive a loss of power.
        """
        found = {}
        for _, uid in asked:
            try:
                held = uid if self._entrance is None else self._entrance.uid(uid)
                safe = self._keep and self._kept.pin(held)
            except OSError:
                safe = False
            found[uid] = 0 if safe else NO_SUCH_OBJECT
        return found

    def watch(self) -> None:
        """Leave batches when they are due, until closed."""
        while not self._closed.wait(0.5):
            try:
                self.flush()
            except (OSError, ServiceError):
                log.exception("a batch cannot be left in the inbox")

    def close(self) -> None:
        """Leave what came."""
        self._closed.set()
        self.flush(now=True)


def _nothing(offset: int, length: int) -> bytes:
    return b""


def _alive(name: str) -> bool:
    try:
        os.kill(int(name.partition("-")[0]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def receiving(lake: Path, settings: Settings, kept: Kept | None = None) -> Iterator[Listener]:
    """The listener of a lake, as its settings say, as long as the block runs."""
    from dicomlake.sources.dimse.listener import StoreListener

    asked = settings.listener or ListenerSettings()
    reception = Reception(lake, settings, kept or kept_of(lake, settings))
    reception.recover()
    watching = threading.Thread(target=reception.watch, daemon=True)
    watching.start()
    sources = [s for s in settings.source.values() if s.kind == "dimse" and s.called]
    callers = {str(s.called) for s in sources}
    peers = {str(s.called): (s.host, int(s.port or 0)) for s in sources}
    try:
        with StoreListener(
            asked, callers=callers, arrived=reception.arrived, stored=reception.stored, peers=peers
        ) as listener:
            yield listener
    finally:
        reception.close()
        watching.join(5)
