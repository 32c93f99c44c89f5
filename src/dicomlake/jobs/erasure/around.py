"""Erasing from what lies around the tables: queues, kept objects, masks, saved questions, logs."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import orjson

from dicomlake.contracts.converters import Piece
from dicomlake.errors import ServiceError
from dicomlake.jobs import cohorts
from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.converting.originals import originals_of
from dicomlake.jobs.converting.rewriting import Vanishing, erase
from dicomlake.jobs.datasets import ledger
from dicomlake.jobs.erasure.person import Person
from dicomlake.jobs.erasure.traces import SQLITE, Finder, tables_of
from dicomlake.lake.keeping import INDEX, Kept
from dicomlake.lake.store import ACCESS, INBOX, QUEUE, SAVED, SPILL, WORK
from dicomlake.readers.batch import key_of
from dicomlake.settings import Settings

MASKS = "_masks"
GONE = "erased"
"""What stands where a trace stood, in what is kept otherwise."""
_BUSY_S = 30.0
_WHOLE_ROWS = {"task": "id"}
"""Tables of which a row with a trace goes whole, with its key."""


def objects(kept: Kept, person: Person) -> int:
    """Kept objects of the patient go; how many."""
    found = [uid for uid in person.instances if kept.holds(uid)]
    for uid in found:
        kept.drop(uid)
    return len(found)


def originals(lake: Path, settings: Settings, person: Person, finder: Finder) -> dict[str, int]:
    """Files that were converted: tables without rows of the patient, other files go; what went."""
    keys = set(person.patients) if person.kind == "patient" else set()
    values = {
        "StudyInstanceUID": set(person.studies), "SeriesInstanceUID": set(person.series),
        "SOPInstanceUID": set(person.instances), "AccessionNumber": set(person.accessions),
    }  # fmt: skip

    def named(piece: Piece) -> bool:
        who = piece.who
        key = key_of("patient", who.get("IssuerOfPatientID", ""), who.get("PatientID", ""))
        return (
            key in keys
            or any(who.get(name) in theirs for name, theirs in values.items())
            or finder.holds_any(piece.texts)
        )

    def holds(path: Path) -> bool:
        return bool(finder.in_file(path))

    who = Vanishing(named, lambda text: finder.without(text, GONE), person.instances, keys, holds)
    return dict(erase(originals_of(lake, settings), who))


def masks(lake: Path, finder: Finder) -> int:
    """Masks, and other files of enrichers that are named by UIDs or hold them, go; how many."""
    return _files(lake / MASKS, finder)


def passing(lake: Path, finder: Finder) -> int:
    """Files that only pass by: parts of projects, spilled rows, batches that were set aside."""
    count = sum(_files(lake / name, finder) for name in (SPILL, WORK))
    count += _files(lake / ACCESS / "parts", finder)
    for folder in (lake / INBOX).glob(".broken-*"):
        count += _files(folder, finder)
    return count


def _files(folder: Path, finder: Finder) -> int:
    count = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        with suppress(FileNotFoundError):
            named = finder.holds(path.name)
            if path.is_file() and (named or finder.in_file(path)):
                path.unlink()
                count += 1
            elif path.is_dir() and not any(path.iterdir()) and named:
                path.rmdir()
    return count


def journals(lake: Path, finder: Finder) -> int:
    """Lines of journals of receptions that ended go; those of running ones become batches."""
    count = 0
    for path in (lake / QUEUE / "journals").glob("*.journal"):
        if _alive(path.name.partition("-")[0]):
            continue
        lines = path.read_bytes().splitlines(keepends=True)
        stay = [line for line in lines if not finder.spans(line)]
        if len(stay) < len(lines):
            count += len(lines) - len(stay)
            _replace(path, b"".join(stay))
    return count


def _alive(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


# Databases


def databases(lake: Path, finder: Finder, *, remove: bool) -> dict[str, int]:
    """Take traces out of all SQLite files of a lake, freed pages too; cells and rows by file.

    `remove`: saved questions and links that name the patient go whole.
    """
    found = {}
    for path in _sqlite_files(lake):
        whole = {"saved": "rowid", "links": "rowid"} if remove else {}
        count = _scrub(path, finder, _WHOLE_ROWS | whole)
        if count:
            found[str(path.relative_to(lake))] = count
    return found


def _sqlite_files(lake: Path) -> Iterator[Path]:
    for path in sorted(lake.rglob("*.sqlite")):
        with suppress(OSError), path.open("rb") as file:
            if file.read(16) == SQLITE:
                yield path


def _scrub(path: Path, finder: Finder, whole: dict[str, str]) -> int:
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as db:
            db.execute("pragma secure_delete = on")
            count = 0
            if path.name != INDEX:
                db.execute("begin immediate")
                for table, columns in tables_of(db):
                    count += _scrub_table(db, table, columns, finder, whole)
                db.execute("commit")
            db.execute("vacuum")
            _emptied(db)
        return count
    except sqlite3.Error as error:
        raise ServiceError(
            f"{path.name} of the lake cannot be cleaned ({error}). Stop what uses it, then start "
            "the same command again: it goes on from here."
        ) from error


def _emptied(db: sqlite3.Connection) -> None:
    """Let the file beside it hold no older pages either."""
    until = time.monotonic() + _BUSY_S
    while True:
        busy, _, _ = db.execute("pragma wal_checkpoint(truncate)").fetchone()
        if not busy:
            return
        if time.monotonic() > until:
            raise sqlite3.OperationalError("somebody reads it all the time")
        time.sleep(0.05)


def _scrub_table(
    db: sqlite3.Connection, table: str, columns: list[str], finder: Finder, whole: dict[str, str]
) -> int:
    key = _key(db, table)
    rows = db.execute(f'select {", ".join(key)}, * from "{table}"').fetchall()
    count = 0
    for row in rows:
        id_, cells = row[: len(key)], row[len(key) :]
        traces = {
            name: finder.without(cell, GONE)
            for name, cell in zip(columns, cells, strict=True)
            if isinstance(cell, str) and finder.holds(cell)
        }
        if not traces:
            continue
        count += 1
        where = " and ".join(f"{name} is ?" for name in key)
        if table in whole:
            db.execute(f'delete from "{table}" where {where}', id_)
            if table == "task":
                db.execute("delete from wish where task = ?", (id_[0],))
        else:
            said = ", ".join(f'"{name}" = ?' for name in traces)
            changed = f'update or replace "{table}" set {said} where {where}'
            db.execute(changed, (*traces.values(), *id_))
    return count


def _key(db: sqlite3.Connection, table: str) -> list[str]:
    """What tells the rows of a table from each other."""
    named = [row[1] for row in db.execute(f'pragma table_info("{table}")') if row[5]]
    sql = db.execute("select sql from sqlite_master where name = ?", (table,)).fetchone()[0]
    return [f'"{name}"' for name in named] if "without rowid" in sql.lower() else ["rowid"]


# Questions that people keep


def charts(lake: Path, finder: Finder, *, remove: bool) -> int:
    """Kept charts that name the patient: their texts without it, or they go; how many."""
    count = 0
    for path in sorted((lake / SAVED / "charts").rglob("*")):
        if path.is_file() and finder.spans(path.read_bytes()):
            count += 1
            if remove:
                path.unlink()
            else:
                _replace(path, finder.without(path.read_text(encoding="utf-8"), GONE).encode())
    return count


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, path.stat().st_mode & 0o777)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    part.replace(path)


def named_questions(lake: Path, finder: Finder) -> list[str]:
    """Names of saved questions and charts that name the patient; links are only counted."""
    found = []
    path = lake / SAVED / "saved.sqlite"
    if path.exists():
        with closing(sqlite3.connect(path, timeout=_BUSY_S)) as db:
            for table, columns in tables_of(db):
                for row in db.execute(f'select * from "{table}"'):
                    cells = dict(zip(columns, row, strict=True))
                    if any(isinstance(c, str) and finder.holds(c) for c in cells.values()):
                        found.append(finder.without(str(cells.get("name", "a link")), GONE))
    for file in sorted((lake / SAVED / "charts").rglob("*")):
        if file.is_file() and finder.spans(file.read_bytes()):
            with suppress(ValueError, AttributeError):
                said = orjson.loads(file.read_bytes()).get("name", "a chart")
                found.append(finder.without(str(said), GONE))
    return sorted(set(found))


# The audit log


def audit(log: Audit, finder: Finder, person: Person) -> int:
    """Cross out the patient in the audit log; how many lines. The chain stays whole."""
    return log.redact(finder.spans, {"what": "erasure", "erasure": person.id})


def past_exports(lake: Path, person: Person) -> list[dict[str, str]]:
    """Datasets that hold the patient."""
    past = ledger.past(lake, person.patients)
    return [{name: str(getattr(one, name) or "") for name in _OF_EXPORT} for one in past]


def forget_others(lake: Path, person: Person) -> dict[str, int]:
    """Let cohorts and ledgers of datasets forget the patient or studies; what went, by place."""
    held = person.found.get("exports", [])
    held += [one for one in past_exports(lake, person) if one not in held]
    person.found["exports"] = held
    person.write(lake)
    whole = person.kind == "patient"
    keys, studies = (person.patients, []) if whole else ([], person.studies)
    forgotten = cohorts.forget(lake, keys, studies)
    gone = {f"cohort {name}": n for name, n in forgotten.items()}
    return {**gone, "datasets": ledger.forget(lake, keys, studies)}


_OF_EXPORT = ("name", "cohort", "version", "made", "where")
