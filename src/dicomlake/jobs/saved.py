"""Questions that people keep under a name, every version of them, and links to questions.

They lie in the lake's folder `_saved`, in one SQLite file, and leave the tables alone.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomlake.errors import ServiceError, UsageError
from dicomlake.lake.store import SAVED

MOST_BYTES = 4 * 1000**2
"""Of a question that is kept."""
_PACKED = "z"
"""What links begin with that hold their question themselves; names of kept ones never do."""

_TABLES = """
create table if not exists saved (
    id text not null, version integer not null, name text not null, comment text not null,
    tags text not null, shared integer not null, owner text not null, query text not null,
    saved real not null, deleted integer not null default 0, project text not null default '',
    primary key (id, version));
create table if not exists links (id text primary key, query text not null, made real not null);
"""


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """One version of a question under a name.

    `project`: the one in which it was kept, "" for none; it is shared with those alone who see it.
    """

    id: str
    version: int
    name: str
    comment: str
    tags: tuple[str, ...]
    shared: bool
    owner: str
    query: dict[str, Any]
    saved: float
    """Seconds since 1970."""
    project: str = ""


class Saved:
    """The kept questions of a lake; safe for many threads and processes."""

    def __init__(self, lake: str | Path) -> None:
        self._file = Path(lake) / SAVED / "saved.sqlite"

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._file.parent.mkdir(exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._file, timeout=10)) as db, db:
                db.executescript(_TABLES)
                _bring_up(db)
                db.execute("begin immediate")
                yield db
        except (sqlite3.Error, OSError) as error:
            raise ServiceError(
                "The saved queries of the lake cannot be read or written. Try again in a moment."
            ) from error

    def all(self, owner: str = "", project: str | None = None) -> list[SavedQuery]:
        """The newest version of everything that is shared or the owner's, newest first.

        `project`: only of this one, "" for none; of any when left out.
        """
        newest = (
            "select s.* from saved s join (select id, max(version) as v from saved group by id) m "
            "on m.id = s.id and m.v = s.version where deleted = 0 and (shared = 1 or owner = ?1) "
            "and (?2 is null or project = ?2) order by saved desc, s.id"
        )
        with self._open() as db:
            return [_of(row) for row in db.execute(newest, [owner, project]).fetchall()]

    def versions(self, id_: str) -> list[SavedQuery]:
        """All versions, newest first; UsageError when there are none, or it was deleted."""
        with self._open() as db:
            rows = db.execute(
                "select * from saved where id = ? order by version desc", [id_]
            ).fetchall()
        if not rows or rows[0][9]:
            raise UsageError(f"There is no saved query {id_[:64]!r}.")
        return [_of(row) for row in rows if not row[9]]

    def get(self, id_: str, version: int | None = None) -> SavedQuery:
        """The newest version, or another one; UsageError when there is none."""
        for found in self.versions(id_):
            if version in (None, found.version):
                return found
        raise UsageError(f"The saved query {id_[:64]!r} has no version {version}.")

    def put(
        self,
        query: Mapping[str, Any],
        *,
        name: str,
        comment: str = "",
        tags: tuple[str, ...] = (),
        shared: bool = False,
        owner: str = "",
        project: str = "",
        id_: str | None = None,
    ) -> SavedQuery:
        """Keep a question, as a new version of `id_` where that is given."""
        text = _text(query)
        before = self.get(id_).version if id_ else 0
        id_ = id_ or secrets.token_hex(6)
        with self._open() as db:
            top = db.execute("select max(version) from saved where id = ?", [id_]).fetchone()[0]
            version = max(top or 0, before) + 1
            row = (id_, version, name, comment, json.dumps(tags), shared, owner, text, time.time())
            db.execute(
                "insert into saved values (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)", (*row, project)
            )
        return self.get(id_)

    def delete(self, id_: str) -> int:
        """Forget a question with all its versions, and say how many there were."""
        self.get(id_)
        with self._open() as db:
            return db.execute("delete from saved where id = ?", [id_]).rowcount

    # Links

    def link(self, query: Mapping[str, Any]) -> str:
        """A short name of a question, always the same one; it is kept."""
        text = _text(query)
        id_ = "q" + hashlib.sha256(text.encode()).hexdigest()[:15]
        with self._open() as db:
            db.execute("insert or ignore into links values (?, ?, ?)", [id_, text, time.time()])
        return id_

    def opened(self, link: str) -> dict[str, Any]:
        """The question of a short name or of a packed one; UsageError when there is none."""
        if link.startswith(_PACKED):
            return unpacked(link)
        with self._open() as db:
            row = db.execute("select query from links where id = ?", [link]).fetchone()
        if row is None:
            raise UsageError("There is no such link. Links are made with POST /api/permalink.")
        found: dict[str, Any] = json.loads(row[0])
        return found


def _bring_up(db: sqlite3.Connection) -> None:
    """Let a file of before know projects."""
    names = {row[1] for row in db.execute("pragma table_info(saved)").fetchall()}
    if "project" not in names:
        db.execute("alter table saved add column project text not null default ''")


def packed(query: Mapping[str, Any]) -> str:
    """A question as a text for an address, which holds all of it.

    >>> unpacked(packed({"level": "study"}))
    {'level': 'study'}
    """
    data = zlib.compress(_text(query).encode(), 9)
    return _PACKED + base64.urlsafe_b64encode(data).decode().rstrip("=")


def unpacked(link: str) -> dict[str, Any]:
    """The question in a text of `packed`; UsageError when it is none."""
    data = link.removeprefix(_PACKED)
    try:
        raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
        reader = zlib.decompressobj()
        text = reader.decompress(raw, MOST_BYTES)
        if reader.unconsumed_tail or not reader.eof:
            raise ValueError
        found = json.loads(text)
    except (ValueError, zlib.error, RecursionError) as error:
        raise UsageError("The link is damaged: it holds no question. Copy all of it.") from error
    if not isinstance(found, dict):
        raise UsageError("The link is damaged: it holds no question. Copy all of it.")
    return found


def _text(query: Mapping[str, Any]) -> str:
    text = json.dumps(query, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise UsageError(f"The question is too large to be kept: over {MOST_BYTES // 1000**2} MB.")
    return text


def _of(row: tuple[Any, ...]) -> SavedQuery:
    id_, version, name, comment, tags, shared, owner, query, saved, _, project = row
    return SavedQuery(
        id_, version, name, comment, tuple(json.loads(tags)), bool(shared), owner,
        json.loads(query), saved, project,
    )  # fmt: skip
