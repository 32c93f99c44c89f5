"""Deposits: objects that somebody hands to the lake, kept as files and read into the inbox."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from dicomlake.contracts import Found, Object
from dicomlake.contracts.archives import uri_of
from dicomlake.dicom.walk import Fetch
from dicomlake.errors import DataError, Refused
from dicomlake.jobs.door.entrance import entrance_of, fetch_of
from dicomlake.jobs.inbox import Inbox, Leaving
from dicomlake.jobs.writing import Origin
from dicomlake.lake.keeping import Kept
from dicomlake.readers.attributes import text
from dicomlake.readers.batch import Batch
from dicomlake.readers.contents import ContentsReader
from dicomlake.readers.fold import Folder
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import Settings

SOURCE = "stow"
"""Name of the source of what was handed in."""
MOST_OBJECTS = 1500
MOST_BYTES = 48 * 1024**2
MOST_WAITING = 400
"""Batches in the inbox above which nothing is taken until the writer follows."""

OUT_OF_RESOURCES, DOES_NOT_MATCH, NOT_UNDERSTOOD = 0xA700, 0xA900, 0xC000
"""Failure reasons (PS3.18 Table I.2-2)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one object; `failure`: why it was not stored, 0 when it was."""

    study: str = ""
    series: str = ""
    instance: str = ""
    kind: str = ""
    """SOP Class UID."""
    failure: int = 0


class Deposit:
    """Takes the objects of one sender; used by one thread, closed at the end.

    An object is safe on disk when `add` returns, and on its way into the lake after `close`.
    `source`: what the lake calls where they came from.
    """

    def __init__(
        self,
        lake: Path,
        kept: Kept,
        settings: Settings | None = None,
        *,
        source: str = SOURCE,
    ) -> None:
        self._inbox, self._kept, self._source = Inbox(lake), kept, source
        self._entrance = entrance_of(lake, settings)
        self._reader, self._fold, self._contents = HeaderReader(), Folder(), ContentsReader()
        self._leaving = self._new()
        if len(self._inbox.batches()) > MOST_WAITING:
            raise Refused("The writer of the lake does not follow; come back later.", 5.0)

    def _new(self) -> Leaving:
        return Leaving(Batch(contents=self._contents))

    def add(self, fetch: Fetch, size: int, study: str | None = None) -> Stored:
        """Take an object, which has to be of a study when one is given."""
        try:
            header = orjson.loads(self._reader.read(fetch, size).json)
        except DataError:
            return Stored(failure=NOT_UNDERSTOOD)
        keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
        said, series, uid, kind = (text(header, keyword) or "" for keyword in keywords)
        if not (said and series and uid):
            failure = NOT_UNDERSTOOD
        elif study is not None and study != said:
            failure = DOES_NOT_MATCH
        else:
            failure = self._received(uid, fetch, size)
        return Stored(said, series, uid, kind, failure)

    def _received(self, uid: str, fetch: Fetch, size: int) -> int:
        """Take an object as it is, or as it becomes at the door of the lake."""
        if self._entrance is None:
            return self._take(uid, fetch, size)
        try:
            cleaned = self._entrance.whole(fetch, size)
        except (DataError, OSError):
            return NOT_UNDERSTOOD
        return self._take(cleaned.SOPInstanceUID, fetch_of(cleaned.data), len(cleaned.data))

    def _take(self, uid: str, fetch: Fetch, size: int) -> int:
        try:
            self._kept.put(uid, fetch, size)
            self._kept.pin(uid)
        except OSError:
            return OUT_OF_RESOURCES
        except DataError:
            return NOT_UNDERSTOOD
        batch = self._leaving.batch
        failed, skipped = len(batch.failures), len(batch.files)
        thing = Object(uri_of(self._source, uid), 0, size, fetch)
        batch.add(Found(thing.uri, size, time.time_ns() // 1000), thing, self._reader)
        if len(batch.failures) > failed or len(batch.files) > skipped:
            del batch.failures[failed:], batch.files[skipped:]
            self._kept.drop(uid)
            return NOT_UNDERSTOOD
        for series in batch.series:
            self._leaving.origins.setdefault(series, Origin(self._source))
        if batch.objects >= MOST_OBJECTS or batch.bytes >= MOST_BYTES:
            self.close()
        return 0

    def fail(self, uri: str, size: int, stage: str, reason: str) -> None:
        """Note a file that no object could be made of; `close` has it told to the lake."""
        self.forget(uri)
        found = Found(uri, size, time.time_ns() // 1000)
        self._leaving.batch.fail(found, uri, stage, reason)

    def forget(self, uri: str) -> None:
        """Have the lake forget that a file could not be read."""
        self._leaving.cleared.append(uri)

    def close(self, tasks: Sequence[str] = ()) -> bool:
        """Leave in the inbox what came, brought by some tasks; False when there was nothing."""
        leaving, self._leaving = self._leaving, self._new()
        leaving.tasks += tasks
        left = self._inbox.leave(leaving, self._reader, self._fold)
        for uid in leaving.erased:
            self._kept.drop(uid)
        return bool(left)
