"""What a gPAS answered, remembered on disk: nobody can tell from it whose pseudonyms they are.

In the place of an original stands its HMAC-SHA256 by a key made of ours; what it stands for is
encrypted (the stream of SHAKE-256 by another such key), so that the file alone tells nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from dicomlake.errors import ServiceError


class Remembered:
    """Pseudonyms by domain and original, in a file; used by any number of processes."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._mark_key = hmac.digest(key, b"dicomlake\0remembered\0mark", "sha256")
        self._stream_key = hmac.digest(key, b"dicomlake\0remembered\0stream", "sha256")

    def get(self, domain: str, originals: Collection[str]) -> dict[str, str]:
        """Those that are remembered."""
        found = {}
        with self._opened() as db:
            for original in originals:
                mark = self._mark(domain, original)
                row = db.execute("select said from pseudonyms where mark = ?", [mark]).fetchone()
                if row is not None:
                    found[original] = self._mixed(mark, row[0]).decode()
        return found

    def put(self, domain: str, given: Mapping[str, str]) -> None:
        """Remember some."""
        rows = []
        for original, pseudonym in given.items():
            mark = self._mark(domain, original)
            rows.append((mark, self._mixed(mark, pseudonym.encode())))
        with self._opened() as db:
            db.executemany("insert or replace into pseudonyms values (?, ?)", rows)

    def _mark(self, domain: str, original: str) -> bytes:
        said = f"{domain}\0{original}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._mark_key, said, "sha256")

    def _mixed(self, mark: bytes, text: bytes) -> bytes:
        stream = hashlib.shake_256(self._stream_key + mark).digest(len(text))
        return bytes(a ^ b for a, b in zip(stream, text, strict=True))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            db = sqlite3.connect(self._path, timeout=30)
            try:
                with db:
                    db.execute(
                        "create table if not exists pseudonyms "
                        "(mark blob primary key, said blob) without rowid"
                    )
                    yield db
            finally:
                db.close()
        except (OSError, sqlite3.Error) as error:
            raise ServiceError(
                f"{self._path}, where pseudonyms are remembered, cannot be used. Is the disk full?"
            ) from error
