"""Lines of a text file, however it was written: UTF-8 or UTF-16 with or without a mark, Latin-1."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TextIO

from dicomlake.errors import UsageError
from dicomlake.jobs.identifiers.found import Place

LONGEST = 512 * 1024**2
"""Characters of a line, or of a JSON document; reports in messages can be long."""
_PEEK = 4096
_FRAMES = "\x0b\x0c\x1c"
"""Begin and end of a message in MLLP."""


class Lines:
    """The lines of a file, once, without their ends (CR, LF or both).

    UsageError when the file cannot be read or is no text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        """Of the line that came last, from 1."""
        try:
            with path.open("rb") as file:
                first = file.read(_PEEK)
            self._file: TextIO = path.open(
                encoding=_encoding(first, path), errors="surrogateescape", newline=None
            )
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
        peeked = first.decode(_encoding(first, path), "replace")
        self.beginning = peeked.lstrip(f" \t\r\n\ufeff{_FRAMES}")
        """What the file begins with, blanks left out."""

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def place(self) -> Place:
        """Where the line that came last is."""
        return Place(str(self.path), self.number)

    def __iter__(self) -> Iterator[str]:
        while line := self._read(LONGEST):
            self.number += 1
            if len(line) >= LONGEST:
                raise UsageError(f"{self.place} is too long to be read.")
            yield _text(line.removesuffix("\n"))

    def rest(self) -> str:
        """All that follows; UsageError when that is too long."""
        rest = self._read_all()
        if len(rest) > LONGEST:
            raise UsageError(f"{self.path} is too large to be read at once. Export it as NDJSON.")
        return _text(rest)

    def _read(self, most: int) -> str:
        try:
            return self._file.readline(most)
        except (OSError, UnicodeError) as error:
            raise UsageError(f"{self.path} cannot be read after line {self.number}.") from error

    def _read_all(self) -> str:
        try:
            return self._file.read(LONGEST + 1)
        except (OSError, UnicodeError) as error:
            raise UsageError(f"{self.path} cannot be read after line {self.number}.") from error


def _encoding(first: bytes, path: Path) -> str:
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if first.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UsageError(f"{path} is a spreadsheet or an archive. Save it as CSV.")
    if b"\0" in first:
        raise UsageError(f"{path} is no text.")
    return "utf-8-sig"


def _text(line: str) -> str:
    """A line whose bytes were no UTF-8 is Latin-1."""
    if line.isascii():
        return line
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        return line.encode("utf-8", "surrogateescape").decode("latin-1")
    return line
