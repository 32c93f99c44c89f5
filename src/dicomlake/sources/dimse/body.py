"""An object as it comes in: a file (PS3.10) in memory, or in a temporary file when it is large."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import tempfile
from typing import IO
from urllib.parse import quote

from dicomlake.contracts import Object
from dicomlake.contracts.archives import uri_of
from dicomlake.sources.dimse.pdu import IMPLEMENTATION, IMPLEMENTATION_UID, ProtocolError

IN_MEMORY = 64 * 1024**2
"""Objects with more bytes lie in a temporary file."""
LARGEST = 16 * 1024**3
"""An object with more bytes is refused."""


_UID = re.compile(r"[0-9.]{1,64}")


def is_uid(text: str) -> bool:
    """Whether a text may be a UID (PS3.5 9.1), as far as files and URIs care.

    >>> is_uid("1.2.840"), is_uid("../x"), is_uid("")
    (True, False, False)
    """
    return bool(_UID.fullmatch(text))


def file_meta(storage: str, instance: str, transfer: str) -> bytes:
    """Preamble and File Meta Information (PS3.10 7.1) of an object received.

    >>> file_meta("1.2", "1.2.3", "1.2.840.10008.1.2.1")[128:132]
    b'DICM'
    """
    version = IMPLEMENTATION.encode("ascii")
    elements = [
        struct.pack("<HH2sHI2s", 2, 1, b"OB", 0, 2, b"\0\1"),
        _short(2, b"UI", storage.encode("ascii", "replace")),
        _short(3, b"UI", instance.encode("ascii", "replace")),
        _short(0x10, b"UI", transfer.encode("ascii", "replace")),
        _short(0x12, b"UI", IMPLEMENTATION_UID.encode()),
        _short(0x13, b"SH", version),
    ]
    meta = b"".join(elements)
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta


def _short(element: int, vr: bytes, raw: bytes) -> bytes:
    raw += (b"\0" if vr == b"UI" else b" ") * (len(raw) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(raw)) + raw


class Body:
    """Bytes that grow as they come in, then read at any place by `fetch`.

    `start`: where the data set begins, behind `head`.
    """

    def __init__(self, head: bytes = b"", *, memory: int = IN_MEMORY, most: int = LARGEST) -> None:
        self.start = self.size = len(head)
        self._held = bytearray(head)
        self._file: IO[bytes] | None = None
        self._memory, self._most = memory, most

    def add(self, part: memoryview) -> None:
        """Append bytes; ProtocolError when there are too many."""
        self.size += len(part)
        if self.size > self._most:
            raise ProtocolError("The other side sent more bytes than an object may have.")
        if self._file is not None:
            self._file.write(part)
            return
        self._held += part
        if self.size > self._memory:
            self._file = tempfile.TemporaryFile(prefix="dicomlake-")  # noqa: SIM115
            self._file.write(self._held)
            self._held = bytearray()

    def finish(self) -> None:
        """Nothing more will come."""
        if self._file is not None:
            self._file.flush()

    def fetch(self, offset: int, length: int) -> bytes:
        """At most so many bytes from a place."""
        if self._file is None:
            return bytes(memoryview(self._held)[offset : offset + length])
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), length, offset)
        self._file.seek(offset)
        return self._file.read(length)

    def data(self) -> bytes:
        """All bytes of the data set."""
        return self.fetch(self.start, self.size - self.start)

    def close(self) -> None:
        """Let go of the temporary file, if there is one."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


def object_of(source: str, instance: str, body: Body) -> Object:
    """The object that a body holds, under the URI that it has at its source."""
    return Object(uri_of(quote(source, safe=""), instance), 0, body.size, body.fetch)
