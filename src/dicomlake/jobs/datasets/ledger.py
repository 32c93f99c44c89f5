"""What a dataset holds of whom: its job, every object of it and every file, in the lake.

`LAKE/_datasets/NAME` has `job.json`, what was asked for, and `ledger.sqlite`, which says of every
object what became of it. Old UIDs are in there and never in the dataset: readable by its owner
alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicomlake.errors import ServiceError, UsageError
from dicomlake.lake.store import DATASETS
from dicomlake.settings import check_name

JOB, LEDGER, LOCK, CANCEL, WORK = "job.json", "ledger.sqlite", "lock", "cancel", "work"
"""Files of a dataset in the lake, and the folder of what is only needed while it is made."""
WAITING, WRITTEN, FAILED, QUARANTINED = "waiting", "written", "failed", "quarantined"
"""States of an object. A failed one could not be read and is tried again; one in quarantine may
not leave."""
_MANY = 500
_TABLES = """
create table if not exists patients (
    patient_key integer primary key, PatientID text not null, issuer text not null,
    pseudonym text not null default '');
create table if not exists objects (
    number integer primary key, patient_key integer not null, StudyInstanceUID text not null,
    SeriesInstanceUID text not null, SOPInstanceUID text not null, Modality text not null,
    split text not null, fold integer, series_id integer not null, uri text not null,
    "offset" integer not null, size integer not null, state text not null default 'waiting',
    "check" text not null default '',
    why text not null default '', path text not null default '', sha256 text not null default '',
    bytes integer not null default 0, new_study text not null default '',
    new_series text not null default '', new_object text not null default '',
    codes text not null default '', unique (SeriesInstanceUID, SOPInstanceUID));
create index if not exists objects_by_state on objects (state);
create index if not exists objects_by_study on objects (StudyInstanceUID);
create index if not exists objects_by_patient on objects (patient_key);
create table if not exists files (
    path text primary key, kind text not null, sha256 text not null, bytes integer not null,
    patient_key integer, series text not null default '', sent integer not null default 0);
create table if not exists cases (
    "case" text primary key, patient_key integer, told text not null);
create table if not exists parts (part text primary key);
create table if not exists notes (
    patient_key integer, series text not null, kind text not null, why text not null,
    unique (series, kind, why));
"""


@dataclass(frozen=True, slots=True)
class Past:
    """A dataset that holds something of somebody: how many series and instances of theirs."""

    name: str
    cohort: str
    version: int | None
    made: str
    where: str
    series: int
    instances: int


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of a dataset: where it lies in the lake, and to whom it belongs."""

    number: int
    patient_key: int
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    Modality: str
    split: str
    uri: str
    offset: int
    size: int

    def row(self) -> dict[str, Any]:
        """As `dicomlake.sources.opening.opened` wants it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an object: `path` in the dataset, or why it is not there."""

    number: int
    state: str
    check: str = ""
    why: str = ""
    path: str = ""
    sha256: str = ""
    bytes: int = 0
    new_study: str = ""
    new_series: str = ""
    new_object: str = ""
    codes: str = ""
    pseudonym: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A file of a dataset; of a patient, where it is of one."""

    path: str
    kind: str
    sha256: str
    bytes: int
    patient_key: int | None = None
    series: str = ""

    def plain(self) -> dict[str, Any]:
        """Path, bytes and checksum."""
        return {"path": self.path, "bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Note:
    """Why something is not there, or is so: of a series, by what was to be made."""

    series: str
    kind: str
    why: str
    patient_key: int | None = None


class Ledger:
    """The ledger of one dataset; used by one thread."""

    def __init__(self, lake: str | Path, name: str) -> None:
        self.name = name
        self.folder = folder_of(lake, name)
        if not (self.folder / JOB).is_file():
            known = ", ".join(names(lake)) or "none yet"
            raise UsageError(f"The lake has no dataset {name!r}. There are: {known}.")
        with _errors():
            self._db = sqlite3.connect(self.folder / LEDGER, timeout=30, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            self._db.executescript(_TABLES)

    @classmethod
    def begin(cls, lake: str | Path, name: str, job: Mapping[str, Any]) -> Ledger:
        """A new dataset of that name; UsageError when there is one."""
        folder = folder_of(lake, name)
        if (folder / JOB).exists():
            raise UsageError(
                f"There is a dataset {name!r} already. Go on with it: dicomlake dataset resume "
                f"{name}, or take another name: --name"
            )
        with _errors():
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            _write(folder / JOB, {"name": name, **job})
        return cls(lake, name)

    # The job

    @property
    def job(self) -> dict[str, Any]:
        """What was asked for, and how it stands."""
        with _errors():
            found: dict[str, Any] = json.loads((self.folder / JOB).read_text(encoding="utf-8"))
        return found

    def note_job(self, **said: Any) -> dict[str, Any]:
        """The job with something else said of it."""
        job = {**self.job, **said}
        with _errors():
            _write(self.folder / JOB, job)
        return job

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one who makes this dataset; UsageError when somebody else does."""
        with (self.folder / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(f"The dataset {self.name} is being made just now.") from error
            yield

    @property
    def running(self) -> bool:
        """Whether somebody makes it now."""
        try:
            with self.lock():
                return False
        except UsageError:
            return True

    def cancel(self) -> None:
        """Ask whoever makes it to stop."""
        (self.folder / CANCEL).touch()

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked to stop."""
        return (self.folder / CANCEL).exists()

    def uncancel(self) -> None:
        """Nobody asks to stop any more."""
        (self.folder / CANCEL).unlink(missing_ok=True)

    # Objects

    def plan(self, patients: Iterable[Sequence[Any]], objects: Iterable[Sequence[Any]]) -> None:
        """What is to be made: patient_key, PatientID and issuer; and objects, in order."""
        with self._change() as db:
            db.executemany(
                "insert or ignore into patients (patient_key, PatientID, issuer) values (?, ?, ?)",
                patients,
            )
            db.executemany(
                "insert or ignore into objects (patient_key, StudyInstanceUID, SeriesInstanceUID, "
                'SOPInstanceUID, Modality, split, fold, series_id, uri, "offset", size) '
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                objects,
            )

    def things(self, *states: str, study: str = "") -> list[Thing]:
        """The objects in these states, in order; of a study, where one is named."""
        names = list(Thing.__dataclass_fields__)
        shown = ", ".join(f'"{name}"' for name in names)
        marks = ", ".join("?" * len(states))
        where = ' and "StudyInstanceUID" = ?' if study else ""
        found = self.rows(
            f"select {shown} from objects where state in ({marks}){where} order by number",
            *states,
            *([study] if study else []),
        )
        return [Thing(*row) for row in found]

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a SELECT over patients, objects, files, parts and notes."""
        with _errors():
            return self._db.execute(statement, values).fetchall()

    def tell(
        self, outcomes: Iterable[Outcome], files: Iterable[Made] = (), notes: Iterable[Note] = ()
    ) -> None:
        """Note what became of objects, and which files there are now; at once or not at all."""
        with self._change() as db:
            self._tell(db, outcomes)
            self._add(db, files, notes)

    def finish(
        self,
        part: str,
        files: Iterable[Made],
        notes: Iterable[Note],
        cases: Iterable[Mapping[str, Any]] = (),
        patient_key: int | None = None,
    ) -> None:
        """Note that a part is done, and what came of it."""
        with self._change() as db:
            self._add(db, files, notes)
            db.executemany(
                "insert or replace into cases values (?, ?, ?)",
                [[one["case"], patient_key, json.dumps(one)] for one in cases],
            )
            db.execute("insert or ignore into parts values (?)", [part])

    def cases(self) -> list[dict[str, Any]]:
        """The volumes with their labels, by name."""
        return [json.loads(row[0]) for row in self.rows('select told from cases order by "case"')]

    def finished(self) -> set[str]:
        """The parts that are done."""
        return {row[0] for row in self.rows("select part from parts")}

    def again(self, state: str) -> None:
        """Let the objects in a state wait again."""
        with self._change() as db:
            db.execute(
                "delete from parts where part in (select StudyInstanceUID from objects "
                "where state = ?)",
                [state],
            )
            db.execute(
                "update objects set state = 'waiting', \"check\" = '', why = '' where state = ?",
                [state],
            )

    def take_out(self, where: str, check: str, why: str, *values: Any) -> None:
        """Put objects that meet an SQL condition into quarantine."""
        with self._change() as db:
            db.execute(
                f"update objects set state = 'quarantined', \"check\" = ?, why = ?, path = '', "
                f"sha256 = '', bytes = 0 where {where}",
                [check, why, *values],
            )

    def clear_notes(self) -> None:
        """Forget why something was not made."""
        with self._change() as db:
            db.execute("delete from notes")

    def drop(self, paths: Iterable[str]) -> None:
        """Forget files."""
        with self._change() as db:
            db.executemany("delete from files where path = ?", [[path] for path in paths])

    def drop_cases(self, series: str) -> None:
        """Forget the volume of a series, by its new UID."""
        with self._change() as db:
            for name, told in db.execute('select "case", told from cases').fetchall():
                if json.loads(told)["SeriesInstanceUID"] == series:
                    db.execute('delete from cases where "case" = ?', [name])

    def sent(self, paths: Iterable[str]) -> None:
        """Note that files are where they are to be."""
        with self._change() as db:
            db.executemany("update files set sent = 1 where path = ?", [[path] for path in paths])

    def counts(self) -> dict[str, int]:
        """How many objects are in which state, and how many bytes are written."""
        found = {WAITING: 0, WRITTEN: 0, FAILED: 0, QUARANTINED: 0}
        for state, count in self.rows("select state, count(*) from objects group by state"):
            found[state] = count
        made = self.rows("select count(*), coalesce(sum(bytes), 0) from files")[0]
        return {**found, "files": made[0], "bytes": made[1]}

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @staticmethod
    def _tell(db: sqlite3.Connection, outcomes: Iterable[Outcome]) -> None:
        for one in outcomes:
            db.execute(
                'update objects set state = ?, "check" = ?, why = ?, path = ?, sha256 = ?, '
                "bytes = ?, new_study = ?, new_series = ?, new_object = ?, codes = ? "
                "where number = ?",
                [one.state, one.check, one.why, one.path, one.sha256, one.bytes, one.new_study,
                 one.new_series, one.new_object, one.codes, one.number],
            )  # fmt: skip
            if one.pseudonym:
                db.execute(
                    "update patients set pseudonym = ? where patient_key = "
                    "(select patient_key from objects where number = ?)",
                    [one.pseudonym, one.number],
                )

    @staticmethod
    def _add(db: sqlite3.Connection, files: Iterable[Made], notes: Iterable[Note]) -> None:
        db.executemany(
            "insert or replace into files (path, kind, sha256, bytes, patient_key, series) "
            "values (?, ?, ?, ?, ?, ?)",
            [[f.path, f.kind, f.sha256, f.bytes, f.patient_key, f.series] for f in files],
        )
        db.executemany(
            "insert or ignore into notes (patient_key, series, kind, why) values (?, ?, ?, ?)",
            [[note.patient_key, note.series, note.kind, note.why] for note in notes],
        )

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with _errors(), self._db:
            self._db.execute("begin immediate")
            yield self._db


def folder_of(lake: str | Path, name: str) -> Path:
    """The folder of a dataset in a lake; UsageError when it can have no such name."""
    try:
        return Path(lake) / DATASETS / check_name(name)
    except ValueError as error:
        raise UsageError(
            f"{name[:64]!r} is no name of a dataset: small letters, digits, - and _, up to 32."
        ) from error


def names(lake: str | Path) -> list[str]:
    """The datasets of a lake."""
    return sorted(path.parent.name for path in (Path(lake) / DATASETS).glob(f"*/{JOB}"))


def past(lake: str | Path, patient_keys: Iterable[int]) -> list[Past]:
    """The datasets that hold objects of some of these patients, also unfinished ones, by name."""
    keys = sorted(set(patient_keys))
    found = []
    for name in names(lake):
        with contextlib.closing(Ledger(lake, name)) as ledger:
            series: set[str] = set()
            instances = 0
            for some in _some(keys):
                rows = ledger.rows(
                    "select SeriesInstanceUID, count(*) from objects where state = 'written' "
                    f"and patient_key in ({', '.join('?' * len(some))}) group by 1",
                    *some,
                )
                series |= {row[0] for row in rows}
                instances += sum(row[1] for row in rows)
            job = ledger.job
        if instances:
            found.append(
                Past(
                    name, job.get("cohort", ""), job.get("version"), job.get("made", ""),
                    job.get("out", ""), len(series), instances,
                )
            )  # fmt: skip
    return found


def forget(lake: str | Path, patient_keys: Iterable[int], studies: Iterable[str] = ()) -> int:
    """Let no ledger know anything of these patients any more; how many objects were forgotten.

    `studies`: StudyInstanceUIDs that are forgotten alone. Files that were handed out stay where
    they are. The jobs note how many patients and instances were forgotten, and when.
    """
    keys, alone = sorted(set(patient_keys)), sorted(set(studies))
    total = 0
    for name in names(lake):
        with contextlib.closing(Ledger(lake, name)) as ledger:
            patients = gone = 0
            with ledger._change() as db:
                for key in keys:
                    gone += db.execute("delete from objects where patient_key = ?", [key]).rowcount
                    found = db.execute("delete from patients where patient_key = ?", [key])
                    patients += found.rowcount
                    for table in ("files", "notes", "cases"):
                        db.execute(f"delete from {table} where patient_key = ?", [key])
                for study in alone:
                    for table in ("files", "notes"):
                        db.execute(
                            f"delete from {table} where series in (select "
                            "SeriesInstanceUID from objects where StudyInstanceUID = ?)",
                            [study],
                        )
                    found = db.execute("delete from objects where StudyInstanceUID = ?", [study])
                    gone += found.rowcount
            if patients or gone:
                ledger._db.execute("vacuum")
                ledger._db.execute("pragma wal_checkpoint(truncate)")
                said = {"when": now(), "patients": patients, "instances": gone}
                ledger.note_job(forgotten=[*ledger.job.get("forgotten", []), said])
            total += gone
    return total


def now() -> str:
    """The moment as text, in UTC and seconds."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _some(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for at in range(0, len(keys), _MANY):
        yield keys[at : at + _MANY]


def _write(path: Path, job: Mapping[str, Any]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(job, indent=1), encoding="utf-8")
    part.replace(path)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ServiceError(
            f"The ledger of the dataset cannot be read or written ({why}). What is written is "
            "safe; go on with: dicomlake dataset resume"
        ) from error
