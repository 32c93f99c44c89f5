"""Objects sent to a DICOM node: C-STORE as its user (PS3.4 Annex B)."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from dicomlake.errors import DataError, UsageError
from dicomlake.settings import Source
from dicomlake.sources.dimse import command as commands
from dicomlake.sources.dimse.archive import DimseArchive, failure
from dicomlake.sources.dimse.association import Association, Lost, request

MOST_CONTEXTS = 64
"""Kinds of objects on one association; of more the oldest are asked for anew."""
_META = 132


class Sender:
    """Sends objects to a node; use as a context manager. A new association for a new kind."""

    def __init__(self, settings: Source, name: str = "target") -> None:
        self._peer = DimseArchive(name, settings).peer
        self._association: Association | None = None
        self._kinds: list[tuple[str, str]] = []

    def send(self, data: bytes) -> None:
        """Send an object (PS3.10) as it is.

        UsageError when the node does not take it, Refused when it is away or busy. DataError when
        it is no object.
        """
        storage, instance, syntax, start = head_of(data)
        try:
            self._store(storage, instance, syntax, data[start:])
        except Lost:  # idle for too long, maybe: once more
            self._association = None
            self._store(storage, instance, syntax, data[start:])

    def _store(self, storage: str, instance: str, syntax: str, data: bytes) -> None:
        association = self._open((storage, syntax))
        context = next(
            (c for c in association.contexts.values()
             if c.abstract == storage and c.transfer == syntax),
            None,
        )  # fmt: skip
        if context is None:
            raise UsageError(
                f"{self._peer.place} does not take objects of the class {storage} in the transfer "
                f"syntax {syntax}. Let it accept them, or send the dataset elsewhere."
            )
        command = {
            "AffectedSOPClassUID": storage,
            "CommandField": commands.STORE_RQ,
            "MessageID": association.next_message(),
            "Priority": 0,
            "AffectedSOPInstanceUID": instance,
        }
        association.send(context, command, data)
        message = association.receive()
        if message is None:
            raise Lost(f"{self._peer.place} released the association in the middle.")
        # Warnings (PS3.4 B.2.3): it is stored, with something changed.
        if message.status != commands.SUCCESS and message.status >> 12 != 0xB:
            raise failure("C-STORE", message.status)

    def _open(self, kind: tuple[str, str]) -> Association:
        if self._association is not None and self._association.open and kind in self._kinds:
            return self._association
        self._close()
        self._kinds = [*[one for one in self._kinds if one != kind][-MOST_CONTEXTS + 1 :], kind]
        # One context per transfer syntax: the node says of each whether it takes it.
        contexts = [(storage, [syntax]) for storage, syntax in self._kinds]
        self._association = request(self._peer, contexts)
        return self._association

    def _close(self) -> None:
        if self._association is not None:
            self._association.release()
            self._association = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


def head_of(data: bytes) -> tuple[str, str, str, int]:
    """SOP class, instance and transfer syntax of an object, and where its data set begins.

    DataError when it has no file meta information (PS3.10 7.1).
    """
    if data[128:_META] != b"DICM":
        raise DataError("the object has no file meta information")
    found: dict[int, str] = {}
    at = _META
    while data[at : at + 2] == b"\x02\x00":
        element = int.from_bytes(data[at + 2 : at + 4], "little")
        long = data[at + 4 : at + 6] in (b"OB", b"UN")
        size = data[at + 8 : at + 12] if long else data[at + 6 : at + 8]
        begin = at + (12 if long else 8)
        at = begin + int.from_bytes(size, "little")
        if element in (0x0002, 0x0003, 0x0010):
            found[element] = data[begin:at].decode("ascii", "replace").rstrip("\0 ")
    if len(found) < 3:
        raise DataError("the file meta information does not say what the object is")
    return found[0x0002], found[0x0003], found[0x0010], at
