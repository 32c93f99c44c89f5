"""Originals: the files that were converted, kept by their content, and what became of them.

FOLDER/originals.sqlite   what was converted how, into which objects, of which patients
FOLDER/3f/ab12...         a file, named by the SHA-256 of its bytes
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hmac import digest as hmac_digest
from pathlib import Path

from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.archives import kept_of
from dicomlake.settings import Settings, read

FOLDER = "originals"
"""Of kept objects, or of a folder that objects are written to."""
LEDGER = "originals.sqlite"
"""A folder that has one holds originals and is no source."""

DONE, REFUSED, PART = "done", "refused", "part"
"""What became of a file; part: of a table that was not read to its end."""
_WAIT_S = 60.0
_TABLES = """
create table if not exists originals (
    digest text primary key, uri text not null, size integer not null, kept integer not null,
    came real not null
);
create table if not exists conversions (
    digest text not null, how text not null, state text not null, format text not null,
    converter text not null, reason text not null, ended real not null,
    primary key (digest, how)
);
create table if not exists objects (
    SOPInstanceUID text not null, digest text not null, origin text not null default '',
    primary key (SOPInstanceUID, digest)
);
create index if not exists objects_of on objects (digest);
create table if not exists patients (
    digest text not null, patient_key integer not null, primary key (digest, patient_key)
);
create table if not exists ways (how text primary key, said text not null);
create table if not exists leaving (digest text primary key);
create table if not exists seen (
    folder text not null, file text not null, size integer not null, modified integer not null,
    state text not null, primary key (folder, file)
);
create table if not exists secret (value blob not null);
"""


@dataclass(frozen=True, slots=True)
class Provenance:
    """A file that was converted: where it came from, where it is kept ("" when it is not)."""

    digest: str
    uri: str
    size: int
    path: Path | None
    format: str
    converter: str
    state: str
    reason: str
    instances: tuple[str, ...]
    """SOPInstanceUIDs of what it became."""
    origin: str = ""
    """The place in the file that the object which was asked for came from, such as a row."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """A file that is kept: which converter read it, and mapping and header as JSON, or ""."""

    digest: str
    converter: str
    way: str


@dataclass(frozen=True, slots=True)
class Uids:
    """UIDs by names: always the same for the same names and secret, and nobody can tell the names.

    >>> Uids(b"secret")("study", "P1") == Uids(b"secret")("study", "P1") != Uids(b"")("study", "P1")
    True
    """

    secret: bytes

    def __call__(self, *names: object) -> str:
        """The UID of some names."""
        said = "\x1f".join(map(str, names)).encode("utf-8", "surrogatepass")
        number = int.from_bytes(hmac_digest(self.secret, said, "sha256")[:16], "big")
        number = number & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62
        return f"2.25.{number}"


def _renewed(db: sqlite3.Connection) -> None:
    """Give an older ledger the columns that it lacks."""
    columns = [row[1] for row in db.execute("pragma table_info(objects)")]
    if "origin" not in columns:
        with contextlib.suppress(sqlite3.OperationalError):  # somebody else did it just now
            db.execute("alter table objects add column origin text not null default ''")


def originals_of(lake: str | Path, settings: Settings | None = None) -> Originals:
    """The originals of a lake, in the folder of its kept objects."""
    found = read(lake) if settings is None else settings
    return Originals(kept_of(lake, found).folder / FOLDER)


def digest_of(data: bytes) -> str:
    """The name of a file: the SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()


class Originals:
    """The originals below a folder; any number of processes may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def begun(self) -> bool:
        """Whether there are any."""
        return (self.folder / LEDGER).exists()

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[sqlite3.Connection]:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(
                sqlite3.connect(self.folder / LEDGER, timeout=_WAIT_S, isolation_level=None)
            ) as db:
                db.execute("pragma secure_delete = on")
                db.executescript(_TABLES)
                _renewed(db)
                db.execute("begin immediate")
                try:
                    yield db
                except BaseException:
                    db.execute("rollback")
                    raise
                db.execute("commit")
        except sqlite3.Error as error:
            raise ServiceError(
                f"The ledger of originals, {self.folder / LEDGER}, cannot be used ({error})."
            ) from error

    def uids(self) -> Uids:
        """What makes UIDs here, by a secret that is made once."""
        with self._ledger() as db:
            found = db.execute("select value from secret").fetchone()
            if found is None:
                found = (secrets.token_bytes(32),)
                db.execute("insert into secret values (?)", found)
        return Uids(bytes(found[0]))

    def keep(self, digest: str, data: bytes) -> Path:
        """The file of an original, written whole or not at all."""
        path = self.path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            part.write_bytes(data)
            part.replace(path)
        return path

    def path(self, digest: str) -> Path:
        """Where an original is, if it is kept."""
        return self.folder / digest[:2] / digest[2:]

    def state(self, digest: str, how: str) -> tuple[str, str] | None:
        """What became of a file that was converted in some way: state and reason; None: nothing."""
        if not self.begun:
            return None
        with self._ledger() as db:
            found: tuple[str, str] | None = db.execute(
                "select state, reason from conversions where digest = ? and how = ?", [digest, how]
            ).fetchone()
        return found

    def note(
        self,
        digest: str,
        how: str,
        *,
        uri: str,
        size: int,
        state: str,
        kept: bool = False,
        format: str = "",
        converter: str = "",
        reason: str = "",
        instances: Mapping[str, str] | None = None,
        way: str = "",
        patients: Iterable[int] = (),
    ) -> None:
        """Note what became of a file; `instances`: places in it by SOPInstanceUID.

        `way`: mapping and header as JSON, by which it can be read again.
        """
        now = time.time()
        with self._ledger() as db:
            db.execute(
                "insert into originals values (?, ?, ?, ?, ?) on conflict (digest) do update "
                "set uri = excluded.uri, kept = max(kept, excluded.kept)",
                [digest, uri, size, kept, now],
            )
            db.execute(
                "insert or replace into conversions values (?, ?, ?, ?, ?, ?, ?)",
                [digest, how, state, format, converter, reason, now],
            )
            if way:
                db.execute("insert or ignore into ways values (?, ?)", [how, way])
            db.executemany(
                "insert or replace into objects values (?, ?, ?)",
                [(uid, digest, origin) for uid, origin in (instances or {}).items()],
            )
            db.executemany(
                "insert or ignore into patients values (?, ?)", [(digest, key) for key in patients]
            )

    def of(self, SOPInstanceUID: str) -> Provenance:
        """The original of an object; UsageError when it has none here."""
        found = None
        if self.begun:
            with self._ledger() as db:
                found = db.execute(
                    "select digest, origin from objects join originals using (digest) "
                    'where "SOPInstanceUID" = ? order by came desc limit 1',
                    [SOPInstanceUID],
                ).fetchone()
        if found is None:
            raise UsageError(
                f"No file was converted to an object with SOPInstanceUID {SOPInstanceUID} here."
            )
        return replace(self.original(found[0]), origin=found[1])

    def original(self, digest: str) -> Provenance:
        """A file that was converted, by the SHA-256 of its bytes; UsageError when there is none."""
        with self._ledger() as db:
            row = db.execute(
                "select uri, size, kept, format, converter, state, reason from originals "
                "join conversions using (digest) where digest = ? order by state, ended desc",
                [digest],
            ).fetchone()
            objects = db.execute(
                'select "SOPInstanceUID" from objects where digest = ? order by 1', [digest]
            ).fetchall()
        if row is None:
            raise UsageError(f"No file with the SHA-256 {digest} was converted here.")
        uri, size, kept, format_, converter, state, reason = row
        path = self.path(digest) if kept else None
        uids = tuple(uid for (uid,) in objects)
        return Provenance(digest, uri, size, path, format_, converter, state, reason, uids)

    # Watched folders

    def seen(self, folder: str) -> dict[str, tuple[int, int, str]]:
        """What is over of a watched folder: size, time of change and state by file."""
        if not self.begun:
            return {}
        with self._ledger() as db:
            rows = db.execute(
                "select file, size, modified, state from seen where folder = ?", [folder]
            ).fetchall()
        return {file: (size, modified, state) for file, size, modified, state in rows}

    def see(self, folder: str, file: str, size: int, modified: int, state: str) -> None:
        """Note that a file of a watched folder is over as it is now."""
        with self._ledger() as db:
            db.execute(
                "insert or replace into seen values (?, ?, ?, ?, ?)",
                [folder, file, size, modified, state],
            )

    # Erasing

    def about(self, instances: Iterable[str], patients: Iterable[int]) -> dict[str, set[str]]:
        """Files that became one of some objects or tell of some patients: places of the objects."""
        if not self.begun:
            return {}
        found: dict[str, set[str]] = {}
        with self._ledger() as db:
            for uid in instances:
                asked = 'select digest, origin from objects where "SOPInstanceUID" = ?'
                for digest, origin in db.execute(asked, [uid]):
                    found.setdefault(digest, set()).add(origin)
            for key in patients:
                asked = "select digest from patients where patient_key = ?"
                for (digest,) in db.execute(asked, [key]):
                    found.setdefault(digest, set())
        return found

    def kept(self, digest: str = "") -> list[Keeping]:
        """Files that are kept, or one of them, each in the way that it was converted last."""
        if not self.begun:
            return []
        with self._ledger() as db:
            rows = db.execute(
                "select digest, converter, coalesce(said, '') from originals join (select digest, "
                "converter, how, max(ended) from conversions where state <> 'refused' group by "
                "digest) using (digest) left join ways using (how) where kept and (?1 = '' or "
                "digest = ?1) order by digest",
                [digest],
            ).fetchall()
        return [Keeping(*row) for row in rows]

    def drop(self, digest: str) -> None:
        """Forget a file."""
        self._leave(digest, lambda db: None)

    def put_instead(
        self, digest: str, data: bytes, instances: Iterable[str], patients: Iterable[int]
    ) -> str:
        """Put a file in the place of one, without what became some objects; its digest."""
        new = digest_of(data)
        if new == digest:
            return new
        self.keep(new, data)

        def move(db: sqlite3.Connection) -> None:
            db.execute(
                "insert or ignore into originals select ?, uri, ?, 1, came from originals "
                "where digest = ?",
                [new, len(data), digest],
            )
            db.execute("update originals set kept = 1 where digest = ?", [new])
            for table in ("conversions", "objects", "patients"):
                db.execute(f"update or ignore {table} set digest = ? where digest = ?",
                           [new, digest])  # fmt: skip
            db.executemany(
                'delete from objects where digest = ? and "SOPInstanceUID" = ?',
                [(new, uid) for uid in instances],
            )
            db.executemany(
                "delete from patients where digest = ? and patient_key = ?",
                [(new, key) for key in patients],
            )

        self._leave(digest, move)
        return new

    def _leave(self, digest: str, before: Callable[[sqlite3.Connection], None]) -> None:
        """Forget a file after something was done; who is killed here goes on with `tidy`."""
        with self._ledger() as db:
            before(db)
            for table in ("originals", "conversions", "objects", "patients"):
                db.execute(f"delete from {table} where digest = ?", [digest])
            db.execute("delete from ways where how not in (select how from conversions)")
            db.execute("insert or ignore into leaving values (?)", [digest])
        self.tidy()

    def tidy(self) -> None:
        """Remove files that the ledger forgot."""
        if not self.begun:
            return
        with self._ledger() as db:
            asked = "select digest from leaving where digest not in (select digest from originals)"
            for (digest,) in db.execute(asked).fetchall():
                self.path(digest).unlink(missing_ok=True)
            db.execute("delete from leaving")
