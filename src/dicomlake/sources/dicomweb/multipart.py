"""Multipart bodies read as they arrive: each part is there as soon as it is complete (RFC 2046)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO

from dicomlake.dicom.walk import Fetch
from dicomlake.errors import Refused

MOST_HELD = 64 * 1024**2
"""A part with more bytes is kept in a temporary file until it has been used."""
_LONGEST_HEAD = 64 * 1024
_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:[ \t]*([^\r\n]*)")
_PARAMETER = re.compile(r';\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')
_LINE = re.compile(rb"[ \t]*\r?\n")


@dataclass(slots=True)
class Part:
    """One part: its headers with names in small letters, and its bytes."""

    headers: dict[str, str]
    size: int
    fetch: Fetch

    def bytes(self) -> bytes:
        """All its bytes."""
        return self.fetch(0, self.size)


def parameters(content_type: str) -> tuple[str, dict[str, str]]:
    """A media type in small letters, and its parameters.

    >>> parameters('Multipart/Related; type="application/dicom"; boundary=ab')
    ('multipart/related', {'type': 'application/dicom', 'boundary': 'ab'})
    """
    kind = content_type.partition(";")[0].strip().lower()
    found = _PARAMETER.findall(content_type)
    return kind, {name.lower(): re.sub(r"\\(.)", r"\1", a) or b for name, a, b in found}


def parts(chunks: Iterable[bytes], boundary: str) -> Iterator[Part]:
    """The parts of a body that comes in chunks; each is to be used before the next is asked for.

    A preamble, line ends without CR and missing Content-Length are taken as they come. Refused
    when the body ends before its last part does.
    """
    yield from _Parser(iter(chunks), boundary.encode("latin-1", "replace")).run()


def whole(chunks: Iterable[bytes], content_type: str) -> Iterator[Part]:
    """A body that has no parts, as a part."""
    body, held = _Body({"content-type": content_type}), bytearray()
    try:
        for chunk in chunks:
            held += chunk
            if len(held) > MOST_HELD:
                with memoryview(held) as view:
                    body.spill(view)
                held.clear()
        yield body.part(bytes(held))
    finally:
        body.close()


@dataclass(slots=True)
class _Body:
    """What is known of a part so far: its first bytes in a file when they are many."""

    headers: dict[str, str]
    file: IO[bytes] | None = None
    spilled: int = 0

    def spill(self, data: memoryview) -> None:
        """Move bytes from memory to the file."""
        if self.file is None:
            self.file = tempfile.TemporaryFile(prefix="dicomlake-")  # noqa: SIM115
        self.file.write(data)
        self.spilled += len(data)

    def part(self, rest: bytes) -> Part:
        """The part, when `rest` is the end of it."""
        if self.file is None:
            return Part(self.headers, len(rest), lambda at, length: rest[at : at + length])
        self.file.write(rest)
        file = self.file

        def fetch(at: int, length: int) -> bytes:
            file.seek(at)
            return file.read(length)

        return Part(self.headers, self.spilled + len(rest), fetch)

    def close(self) -> None:
        """Let go of the file."""
        if self.file is not None:
            self.file.close()


@dataclass(slots=True)
class _Parser:
    chunks: Iterator[bytes]
    boundary: bytes
    buffer: bytearray = field(default_factory=bytearray)

    def more(self) -> bool:
        """Wait for further bytes; whether there are some."""
        for chunk in self.chunks:
            if chunk:
                self.buffer += chunk
                return True
        return False

    def run(self) -> Iterator[Part]:
        """All parts in their order."""
        going_on = self._preamble()
        while going_on:
            crlf, headers = self._head()
            body = _Body(headers)
            try:
                length, going_on = self._body(body, crlf)
                with memoryview(self.buffer) as view:
                    part = body.part(bytes(view[:length]))
                del self.buffer[:length]
                if going_on:
                    going_on = self._delimiter()
                yield part
            finally:
                body.close()

    def _preamble(self) -> bool:
        """Skip what stands before the first part; whether there is one."""
        mark = b"--" + self.boundary
        while True:
            at = self.buffer.find(mark)
            if at == 0 or (at > 0 and self.buffer[at - 1] == 10):
                del self.buffer[:at]
                return self._delimiter()
            if len(self.buffer) > _LONGEST_HEAD or at > 0:
                raise Refused("an answer in parts does not begin with its boundary")
            if not self.more():
                if self.buffer.strip():
                    raise Refused("an answer in parts ended before its first part")
                return False

    def _delimiter(self) -> bool:
        """Skip a delimiter at the beginning of the buffer; whether another part follows."""
        start = self.buffer.find(b"--") + 2 + len(self.boundary)
        while True:
            if self.buffer[start : start + 2] == b"--":
                return False
            found = _LINE.match(self.buffer, start)
            if found:
                del self.buffer[: found.end()]
                return True
            if len(self.buffer) - start > 256 or not self.more():
                raise _cut_off()

    def _head(self) -> tuple[bool, dict[str, str]]:
        """The headers of a part, and whether its lines end with CR LF."""
        while True:
            if self.buffer[:1] == b"\n" or self.buffer[:2] == b"\r\n":
                crlf = self.buffer[:1] == b"\r"
                del self.buffer[: 1 + crlf]
                return crlf, {}
            found = [(self.buffer.find(end), end) for end in (b"\r\n\r\n", b"\n\n")]
            found = [(at, end) for at, end in found if at >= 0]
            if found:
                at, end = min(found)
                head = bytes(self.buffer[:at])
                del self.buffer[: at + len(end)]
                pairs = _HEADER.findall(head)
                names = {k.decode("latin-1").lower(): v.decode("latin-1").strip() for k, v in pairs}
                return len(end) == 4, names
            if len(self.buffer) > _LONGEST_HEAD or not self.more():
                raise _cut_off()

    def _body(self, body: _Body, crlf: bool) -> tuple[int, bool]:
        """How many bytes of the buffer are the end of the part, and whether a delimiter follows."""
        mark = (b"\r\n--" if crlf else b"\n--") + self.boundary
        searched = 0
        while True:
            at = self.buffer.find(mark, searched)
            if at >= 0:
                follows = self._follows(at + len(mark))
                if follows:
                    return at, True
                if follows is False:
                    searched = at + 1
                    continue
            else:
                searched = max(0, len(self.buffer) - len(mark))
                if searched > MOST_HELD:
                    with memoryview(self.buffer) as view:
                        body.spill(view[:searched])
                    del self.buffer[:searched]
                    searched = 0
            if not self.more():
                if body.headers.get("content-length") == str(body.spilled + len(self.buffer)):
                    return len(self.buffer), False  # complete, though nobody says that it ends
                raise _cut_off()

    def _follows(self, at: int) -> bool | None:
        """Whether what stands behind a boundary makes it one; None when more bytes are needed."""
        behind = bytes(self.buffer[at : at + 256])
        if behind[:2] == b"--" or _LINE.match(behind):
            return True
        return None if not behind.strip(b" \t") or behind in (b"-", b"\r") else False


def _cut_off() -> Refused:
    return Refused("an answer in parts stopped in the middle")
