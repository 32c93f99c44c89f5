"""A sweep of everything in a folder for what must not be in it."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def swept(folder: Path, said: Iterable[str]) -> dict[str, list[str]]:
    """What of it is where: in bytes, names, columns of Parquet and SQLite."""
    wanted = sorted({s for s in said if len(s) > 5})
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        texts: list[bytes] = [os.fsencode(name)]
        if path.is_file():
            texts.append(path.read_bytes())
            if path.suffix == ".parquet":
                texts += parquet(path)
            elif texts[1][:15] == b"SQLite format 3":
                texts += sqlite(path)
        joined = b"\n".join(texts)
        here = [s for s in wanted if any(form in joined for form in forms(s))]
        if here:
            found[name] = here[:5]
    return found


def forms(text: str) -> Iterator[bytes]:
    """How a text may be written."""
    raw = text.encode("utf-8", "surrogateescape")
    yield raw
    yield text.encode("utf-16-le", "surrogatepass")
    if raw != (latin := text.encode("latin-1", "replace")):
        yield latin
    for at in range(3):
        packed = base64.b64encode(bytes(at) + raw)
        yield packed[at and at + 1 : len(packed) // 4 * 4 - 4]


def parquet(path: Path) -> list[bytes]:
    """All texts of a file, which may be packed in it."""
    return [str(column.to_pylist()).encode("utf-8", "replace") for column in pq.read_table(path)]


def sqlite(path: Path) -> list[bytes]:
    """All values of a database."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        names = db.execute("select name from sqlite_master where type = 'table'").fetchall()
        rows: list[Any] = [db.execute(f'select * from "{n}"').fetchall() for (n,) in names]
    return [str(row).encode("utf-8", "replace") for row in rows]
