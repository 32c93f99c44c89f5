"""Finding what points at a patient in bytes, texts, tables and files, in every way it is written.

A value is looked for in UTF-8, Latin-1 and UTF-16, escaped as in JSON and in addresses, and in
base64. A value that is only a few digits long is a trace where it stands alone: as a whole cell, or
in quotes; else every number of a lake would be one.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

WEAK_DIGITS, WEAK_LETTERS = 7, 3
"""Values of digits up to so long, and others, are traces only where they stand alone."""
_UID = re.compile(rb"(?<![0-9.])[0-9]+(?:\.[0-9]+){2,}(?![0-9])")
_STEP, _OVER = 8 * 1024**2, 8192
_BASE64_LEAST = 12
SQLITE = b"SQLite format 3\0"
_KEYS = ("patient_key", "study_key")


@dataclass(frozen=True, slots=True)
class _Where:
    """What may stand before and after a trace."""

    before: re.Pattern[bytes]
    after: re.Pattern[bytes]

    def fits(self, before: bytes, after: bytes) -> bool:
        """Whether a trace may stand between."""
        return bool(self.before.match(before) and self.after.match(after))


_ANYWHERE = _Where(re.compile(b""), re.compile(b""))
_QUOTED = _Where(re.compile(b'"'), re.compile(b'"'))
_WORD = _Where(re.compile(rb"(?![0-9A-Za-z])"), re.compile(rb"(?![0-9A-Za-z]|\.[0-9])"))


@dataclass(frozen=True, slots=True)
class Trace:
    """A file with traces of a patient: `where` in the lake, `how` in words, how many."""

    where: str
    how: str
    count: int


class Finder:
    """Finds some texts, UIDs and keys; `keys` are numbers of patients and studies."""

    def __init__(self, texts: Iterable[str], uids: Iterable[str], keys: Iterable[int]) -> None:
        plain = {text for text in texts if text}
        them = {text for text in plain if _UID.fullmatch(text.encode())}
        plain -= them
        self.uids = {uid.encode() for uid in (*uids, *them) if uid}
        self.keys = pa.array(sorted(set(keys)), pa.int64())
        self.weak = {text for text in plain if is_weak(text)}
        self.strong = plain - self.weak
        self._needles = [(form, _WORD) for text in self.strong for form in _forms(text)]
        self._needles += [(form, _ANYWHERE) for text in self.strong for form in _encoded(text)]
        self._needles += [(text.encode(), _QUOTED) for text in self.weak]
        self._wide = [(form, _ANYWHERE) for text in self.strong for form in _in_utf16(text)]

    @property
    def values(self) -> int:
        """How many values and UIDs are looked for."""
        return len(self.strong) + len(self.weak) + len(self.uids)

    def spans(self, data: bytes, *, wide: bool = False) -> list[tuple[int, int]]:
        """Where traces begin and end, in order; they do not overlap. `wide`: in UTF-16, too."""
        found: list[tuple[int, int]] = []
        for needle, where in (*self._needles, *(self._wide if wide else ())):
            at = data.find(needle)
            while at >= 0:
                end = at + len(needle)
                before, after = data[max(at - 1, 0) : at], data[end : end + 2]
                if where.fits(before, after):
                    found.append((at, end))
                at = data.find(needle, at + 1)
        if self.uids:
            found += [m.span() for m in _UID.finditer(data) if m.group() in self.uids]
        return _apart(found)

    def holds(self, text: str) -> bool:
        """Whether a text has a trace, or is one."""
        return text in self.weak or bool(self.spans(text.encode("utf-8", "surrogatepass")))

    def holds_any(self, texts: Iterable[str]) -> bool:
        """Whether one of some texts has a trace, or is one."""
        each = tuple(texts)
        together = "\n\0\n".join(each).encode("utf-8", "surrogatepass")
        return not self.weak.isdisjoint(each) or bool(self.spans(together))

    def without(self, text: str, said: str = "erased") -> str:
        """A text with other words in the place of traces."""
        if text in self.weak:
            return said
        data = text.encode("utf-8", "surrogatepass")
        made, at = b"", 0
        for begin, end in self.spans(data):
            made, at = made + data[at:begin] + said.encode(), end
        return (made + data[at:]).decode("utf-8", "surrogatepass")

    # Files

    def in_file(self, path: Path) -> list[tuple[str, int]]:
        """How a file holds traces, and how often; FileNotFoundError when it has just gone."""
        found = []
        if count := self._in_bytes(path):
            found.append(("bytes", count))
        with path.open("rb") as file:
            head = file.read(16)
        if head[:4] == b"PAR1":
            found += self._in_parquet(path)
        elif head == SQLITE:
            found += self._in_sqlite(path)
        return found

    def _in_bytes(self, path: Path) -> int:
        count, before = 0, b""
        with path.open("rb") as file:
            while data := file.read(_STEP):
                both = before + data
                last = len(data) < _STEP
                limit = len(both) if last else len(both) - _OVER
                spans = self.spans(both, wide=True)
                count += sum(begin < limit for begin, _ in spans)
                keep = max(limit, max((end for begin, end in spans if begin < limit), default=0))
                before = both[keep:]
        if before:
            count += len(self.spans(before, wide=True))
        return count

    def _in_parquet(self, path: Path) -> Iterator[tuple[str, int]]:
        try:
            with pq.ParquetFile(path) as file:
                for column in file.schema_arrow.names:
                    count = 0
                    for group in range(file.num_row_groups):
                        rows = file.read_row_group(group, [column]).column(column)
                        count += sum(self._in_array(chunk, column) for chunk in rows.chunks)
                    if count:
                        yield f"column {column}", count
        except pa.ArrowException:
            return  # half a file of somebody who is writing: its bytes were looked at

    def _in_array(self, array: pa.Array, name: str) -> int:
        if name in _KEYS and pa.types.is_int64(array.type):
            return int(pc.sum(pc.is_in(array, value_set=self.keys)).as_py() or 0)
        return sum(self._in_texts(texts) for texts in _texts_of(array))

    def _in_texts(self, texts: pa.Array) -> int:
        texts = pc.drop_null(texts)
        if not len(texts):
            return 0
        if texts.nbytes < 1 << 26:
            texts = pc.unique(texts)
        weak = pa.array(sorted(self.weak), texts.type)
        count = int(pc.sum(pc.is_in(texts, value_set=weak)).as_py() or 0)
        for at in range(0, len(texts), 4096):
            count += len(self.spans("\n\0\n".join(texts[at : at + 4096].to_pylist()).encode()))
        return count

    def _in_sqlite(self, path: Path) -> Iterator[tuple[str, int]]:
        """Cells with what is a trace only where it stands alone; all else is in the bytes."""
        if not self.weak:
            return
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            for table, columns in tables_of(db):
                for column in columns:
                    marks = ", ".join("?" for _ in self.weak)
                    asked = f'select count(*) from "{table}" where "{column}" in ({marks})'
                    (count,) = db.execute(asked, sorted(self.weak)).fetchone()
                    if count:
                        yield f"column {table}.{column}", int(count)


def tables_of(db: sqlite3.Connection) -> list[tuple[str, list[str]]]:
    """Tables of a SQLite file with their columns."""
    rows = db.execute(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
    ).fetchall()
    return [
        (name, [row[1] for row in db.execute(f'pragma table_info("{name}")')]) for (name,) in rows
    ]


def sweep(
    folders: Iterable[Path], finder: Finder, check: Callable[[], None] = lambda: None
) -> tuple[list[Trace], int, int]:
    """Every file below some folders that holds a trace; how many files and bytes were looked at."""
    found: list[Trace] = []
    files = size = 0
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            where = str(path.relative_to(folder.parent))
            if finder.holds(path.name):
                found.append(Trace(finder.without(where), "its name", 1))
            try:
                if not path.is_file() or path.is_symlink():
                    continue
                size += path.stat().st_size
                found += [Trace(where, how, n) for how, n in finder.in_file(path)]
            except FileNotFoundError:
                continue
            files += 1
            check()
    return found, files, size


def is_weak(text: str) -> bool:
    """Whether a text is so short that it is a trace only where it stands alone."""
    return len(text) <= (WEAK_DIGITS if text.isdecimal() else WEAK_LETTERS)


def _forms(text: str) -> set[bytes]:
    """A text in spellings of one byte per sign, as JSON and addresses escape it."""
    forms = {text.encode("utf-8", "surrogatepass"), json.dumps(text)[1:-1].encode()}
    forms |= {quote(text, safe="").encode(), quote_plus(text).encode(), quote(text).encode()}
    with suppress(UnicodeEncodeError):
        forms.add(text.encode("latin-1"))
    return forms


def _in_utf16(text: str) -> Iterator[bytes]:
    yield text.encode("utf-16-le", "surrogatepass")
    yield text.encode("utf-16-be", "surrogatepass")


def _encoded(text: str) -> Iterator[bytes]:
    """What base64 makes of a text, wherever it begins."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) >= _BASE64_LEAST:
        for shift in range(3):
            made = base64.b64encode(b"\0" * shift + data)
            begin = 0 if not shift else 4
            end = len(made) - (4 if (shift + len(data)) % 3 else 0)
            yield made[begin:end]


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    made: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if made and begin < made[-1][1]:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((begin, end))
    return made


def _texts_of(array: Any) -> Iterator[pa.Array]:
    """All arrays of texts in an array of any shape."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _texts_of(array.dictionary)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield array
    elif str(kind) == "string_view":
        yield array.cast(pa.string())
    elif pa.types.is_map(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _texts_of(array.flatten() if not pa.types.is_map(kind) else array.items)
        if pa.types.is_map(kind):
            yield from _texts_of(array.keys)
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _texts_of(child)
