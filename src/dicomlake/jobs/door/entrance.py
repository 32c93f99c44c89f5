"""The entrance of a lake that de-identifies at its door: what objects become before they are rows.

Whether a lake does is noted in it when it is made: by `dicomlake index --deidentify`, or by its
settings ([lake] profile and pseudonyms). It cannot be changed afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts import Object
from dicomlake.contracts.deid import Cleaned, Unresolved
from dicomlake.dicom.walk import FIRST_READ, Fetch, sniff
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.door.cleaning import Door, door_of
from dicomlake.jobs.door.places import sealed_archived, sealed_uri
from dicomlake.lake import Store
from dicomlake.lake.store import is_lake
from dicomlake.readers.attributes import text
from dicomlake.readers.batch import DICOMDIR
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import Settings, read
from dicomlake.sources.opening import ARCHIVE, LARGEST

_NAMED = (".dcm", ".dicom", ".ima", ".dic")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def nothing(offset: int, length: int) -> bytes:
    """No bytes: what is known is the header."""
    return b""


class Entrance:
    """What objects become at the door; their headers by one thread, whole ones by any."""

    def __init__(self, door: Door) -> None:
        self.seal, self.cleaning = door.seal, door.cleaning()
        self._reader = HeaderReader()

    def header(self, thing: Object) -> dict[str, Any] | None:
        """The header of an object as it is; None when it is no DICOM. DataError, OSError."""
        if thing.header is not None:
            return thing.header
        if not thing.size or not sniff(thing.fetch(0, min(thing.size, FIRST_READ))):
            return None
        found: dict[str, Any] = orjson.loads(self._reader.read(thing.fetch, thing.size).json)
        self._reader.forget()
        return found

    def object(self, thing: Object) -> Object:
        """An object with a header that may be seen, or a problem; its place is sealed."""
        if thing.problem:
            return replace(thing, uri=self._place(thing.uri, {}))
        header: dict[str, Any] | None = None
        try:
            header = self.header(thing)
            if header is None:
                return self._none(thing)
            if text(header, "MediaStorageSOPClassUID") == DICOMDIR:
                cleaned: dict[str, Any] = {"00020002": header["00020002"]}
            else:
                cleaned = self.cleaning.header(header)
        except Unresolved as error:
            return self._failed(thing, header, f"cannot be de-identified ({error.check})")
        except OSError as error:
            return self._failed(thing, header, f"cannot be read: {error.strerror or 'I/O error'}")
        except DataError:
            return self._failed(thing, header, "cannot be read, so not be de-identified")
        place = self._place(thing.uri, header)
        return Object(place, thing.offset, thing.size, nothing, header=cleaned)

    def _none(self, thing: Object) -> Object:
        """A file that is no DICOM: nothing of it is told."""
        named = thing.uri.partition("::")[0].lower().endswith(_NAMED)
        why = "named like a DICOM file, but it is none" if named else ""
        return Object(self._place(thing.uri, {}), thing.offset, 0, nothing, why)

    def _failed(self, thing: Object, header: dict[str, Any] | None, why: str) -> Object:
        return Object(self._place(thing.uri, header or {}), thing.offset, thing.size, nothing, why)

    def _place(self, uri: str, header: dict[str, Any]) -> str:
        if uri.startswith(ARCHIVE):
            uids = {name: text(header, name) for name in _UIDS}
            return sealed_archived(self.seal, uri, uids)
        return sealed_uri(self.seal, uri)

    # Whole objects, of which the original stays elsewhere

    def whole(self, fetch: Fetch, size: int) -> Cleaned:
        """A whole object as it may be kept; DataError, Unresolved when it may not."""
        if size > LARGEST:
            raise DataError("the object is too large to be de-identified")
        step = 64 * 1024**2
        data = b"".join(fetch(at, min(step, size - at)) for at in range(0, size, step))
        return self.cleaning.object(data)

    def uid(self, uid: str) -> str:
        """The UID in the place of one."""
        return self.cleaning.uid(uid)


def fetch_of(data: bytes) -> Fetch:
    """What reads bytes that are held."""
    return lambda offset, length: data[offset : offset + length]


def made(lake: str | Path, settings: Settings | None = None) -> Store:
    """The lake at a folder, made when there is none, with the door that its settings ask for."""
    store = Store.create(lake)
    door_at(store, settings)
    return store


def door_at(store: Store, settings: Settings | None = None) -> Door | None:
    """The door of a lake, noted now if its settings ask for one; None where there is none.

    UsageError when there are no such profile, pseudonyms or key; LakeError when the lake has
    objects that came in another way.
    """
    if store.door.get("view"):
        return None
    settings = read(store.path) if settings is None else settings
    if settings.lake.profile:
        fix(store, settings, settings.lake.profile, settings.lake.pseudonyms)
    noted = store.door
    if not noted:
        return None
    door = door_of(settings, noted["profile"], noted["pseudonyms"])
    if noted["check"] != _check(door):
        raise UsageError(
            f"The pseudonyms {door.pseudonyms} have another key than when the lake was made. Give "
            "them back the key that they had."
        )
    return door


def fix(store: Store, settings: Settings, profile: str, pseudonyms: str) -> None:
    """Let a lake that is new de-identify everything at its door."""
    door = door_of(settings, profile, pseudonyms)
    door.cleaning().close()  # a mistake is told before anything is noted
    store.note_door({"profile": profile, "pseudonyms": pseudonyms, "check": _check(door)})


def _check(door: Door) -> str:
    """What tells a key from others, and tells nothing of it."""
    return door.seal.short("the key of a lake")


def entrance_of(lake: str | Path, settings: Settings | None = None) -> Entrance | None:
    """The entrance of a lake, made when its settings say so; None when it de-identifies nothing."""
    if not is_lake(lake):
        settings = read(lake) if settings is None else settings
        if not settings.lake.profile:
            return None
        made(lake, settings)
    door = door_at(Store(lake), settings)
    return Entrance(door) if door is not None else None


def refuse_tasks(lake: str | Path) -> None:
    """UsageError for a lake that de-identifies at its door: tasks of archives name people."""
    if is_lake(lake) and Store(lake).door:
        raise UsageError(
            "This lake de-identifies what comes in, and tasks to ask an archive for it would hold "
            "identifiers. Let the archive send to the listener, or index what it exports."
        )


def refuse_folders(lake: str | Path) -> None:
    """UsageError for a lake that de-identifies at its door: tasks would have names of files."""
    if is_lake(lake) and Store(lake).door:
        raise UsageError(
            "This lake de-identifies what comes in, and tasks of watched folders would hold names "
            "of files, which may tell of people. Bring the files in by the command instead: "
            "dicomlake convert, dicomlake facts import."
        )
