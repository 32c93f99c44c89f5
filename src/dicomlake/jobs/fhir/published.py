"""What was published where: a SQLite file per target, in the folder `_publish` of the lake.

A resource is known by its type and our id: which content the other side has (its digest), under
which id, and why it was refused. Studies that changed in the lake wait here until they are sent.
No content of a resource is kept.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts.sinks import Done, Ref
from dicomlake.errors import LakeError
from dicomlake.lake.store import PUBLISH
from dicomlake.queues.files import SqliteFile

SENT, DEAD, KEPT, MARKED, AGAIN = "sent", "dead", "kept", "marked", "again"
"""States of a resource: as it should be; refused; vanished here and kept or marked there; to be
sent anew, whatever its content."""
About = tuple[str, int | None, int | None]
"""Of a resource: digest, and keys of its study and its patient."""
_VERSION = 1
_TABLES = """
create table resource (
    type text not null,
    id text not null,
    digest text not null,
    study integer,
    patient integer,
    there text not null,
    ours integer not null,
    state text not null,
    why text not null default '',
    status integer not null default 0,
    run integer not null,
    at real not null,
    primary key (type, id)
) without rowid;
create index resource_study on resource (study) where study is not null;
create index resource_patient on resource (patient) where type = 'Patient';
create index resource_dead on resource (state) where state != 'sent';
create table pending (study integer primary key, since real not null);
create table note (name text primary key, value text not null) without rowid
"""
_AMONG = "(select value from json_each(?))"
_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Known:
    """A resource as it was published."""

    type: str
    id: str
    digest: str
    study: int | None
    patient: int | None
    there: str
    ours: bool
    state: str
    why: str
    status: int
    at: float

    @property
    def ref(self) -> Ref:
        """Type and id."""
        return (self.type, self.id)


_COLUMNS = "type, id, digest, study, patient, there, ours, state, why, status, at"


class Published:
    """What was published to one target; safe from several threads and processes."""

    def __init__(self, lake: Path, target: str) -> None:
        self.folder = Path(lake).absolute() / PUBLISH
        self._lock = self.folder / f"{target}.lock"
        self.path = self.folder / f"{target}.sqlite"
        self._file = SqliteFile(self.path, _TABLES, _VERSION)

    @property
    def begun(self) -> bool:
        """Whether anything was ever published to the target."""
        return self.path.exists()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one who publishes to the target; LakeError when somebody else is."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self._lock.open("a+")
        except OSError as error:
            raise LakeError(f"{self.folder} cannot be written: {error.strerror}.") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise LakeError(
                    f"Another process publishes to {self._lock.stem} already. Wait for it, or "
                    "stop it: dicomlake fhir status says how far it is."
                ) from error
            self._private()
            yield

    def _private(self) -> None:
        """Let nobody else read which patients there are."""
        with self._file.read():
            os.chmod(self.path, 0o600)

    # Resources

    def known(self, refs: Iterable[Ref]) -> dict[Ref, Known]:
        """What is known of resources."""
        found: dict[Ref, Known] = {}
        by_type: dict[str, list[str]] = {}
        for type_, id_ in refs:
            by_type.setdefault(type_, []).append(id_)
        with self._file.read() as connection:
            for type_, ids in by_type.items():
                rows = connection.execute(
                    f"select {_COLUMNS} from resource where type = ? and id in {_AMONG}",
                    (type_, orjson.dumps(ids).decode()),
                )
                found.update({(row[0], row[1]): _known(row) for row in rows})
        return found

    def there(self, refs: Iterable[Ref]) -> dict[Ref, str]:
        """Ids of the other side, of resources that are there."""
        return {ref: one.there for ref, one in self.known(refs).items() if one.there}

    def of_studies(self, studies: Sequence[int], before: int) -> list[Known]:
        """Resources of studies that a run did not make again."""
        with self._file.read() as connection:
            rows = connection.execute(
                f"select {_COLUMNS} from resource where study in {_AMONG} and run != ? "
                "and state not in ('kept', 'marked')",
                (orjson.dumps(list(studies)).decode(), before),
            )
            return [_known(row) for row in rows]

    def patients_of(self, studies: Sequence[int]) -> set[int]:
        """Keys of patients of which resources of these studies were published."""
        with self._file.read() as connection:
            rows = connection.execute(
                f"select distinct patient from resource where study in {_AMONG} "
                "and patient is not null",
                (orjson.dumps(list(studies)).decode(),),
            )
            return {row[0] for row in rows}

    def people(self, patients: Iterable[int]) -> list[Known]:
        """The resources Patient of patients."""
        with self._file.read() as connection:
            rows = connection.execute(
                f"select {_COLUMNS} from resource where type = 'Patient' and patient in {_AMONG} "
                "and state not in ('kept', 'marked')",
                (orjson.dumps(list(patients)).decode(),),
            )
            return [_known(row) for row in rows]

    def others(self, run: int, type_: str) -> Iterator[list[Known]]:
        """Resources of a type that a run over everything did not make, in batches."""
        last = ""
        while True:
            with self._file.read() as connection:
                rows = connection.execute(
                    f"select {_COLUMNS} from resource where type = ? and id > ? and run != ? "
                    "and state not in ('kept', 'marked') order by id limit ?",
                    (type_, last, run, _BATCH),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][1]
            yield [_known(row) for row in rows]

    def touch(self, refs: Iterable[Ref], run: int) -> None:
        """Note that a run made these resources."""
        with self._file.write() as connection:
            connection.executemany(
                "update resource set run = ? where type = ? and id = ?",
                [(run, *ref) for ref in refs],
            )

    def record(
        self,
        done: Sequence[Done],
        about: Mapping[Ref, tuple[str, int | None, int | None]],
        run: int,
    ) -> None:
        """Note what became of changes; `about`: digest, study and patient of each resource."""
        now = time.time()
        rows = []
        for one in done:
            digest, study, patient = about[one.change.ref]
            state = DEAD if one.refused else SENT
            rows.append(
                (*one.change.ref, digest, study, patient, one.there, one.ours, state, one.refused,
                 one.status, run, now)
            )  # fmt: skip
        with self._file.write() as connection:
            connection.executemany(
                "insert or replace into resource values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )

    def put_aside(self, refs: Iterable[Ref], state: str) -> None:
        """Note that resources vanished here, and stay there."""
        digest = ", digest = ''" if state == MARKED else ""
        with self._file.write() as connection:
            connection.executemany(
                f"update resource set state = ?{digest} where type = ? and id = ?",
                [(state, *ref) for ref in refs],
            )

    def forget(self, refs: Iterable[Ref]) -> None:
        """Note that resources are nowhere any more."""
        with self._file.write() as connection:
            connection.executemany(
                "delete from resource where type = ? and id = ?", [tuple(ref) for ref in refs]
            )

    def refused(self, limit: int = 100) -> list[Known]:
        """Resources that the other side refused, those refused last first."""
        with self._file.read() as connection:
            rows = connection.execute(
                f"select {_COLUMNS} from resource where state = 'dead' "
                "order by at desc, type, id limit ?",
                (limit,),
            )
            return [_known(row) for row in rows]

    def revive(self) -> tuple[int, bool]:
        """Let what was refused be sent again; how many, and whether all has to be looked at."""
        with self._file.write() as connection:
            found = connection.execute(
                "select count(*), count(study) from resource where state = 'dead'"
            ).fetchone()
            connection.execute(
                "insert or ignore into pending select distinct study, 0.0 from resource "
                "where state = 'dead' and study is not null"
            )
            connection.execute("update resource set state = 'again' where state = 'dead'")
        return int(found[0]), bool(found[0] and not found[1])

    def send_again(self) -> None:
        """Let everything be sent again, whatever its content."""
        with self._file.write() as connection:
            connection.execute(
                "update resource set state = 'again' where state in ('sent', 'dead')"
            )

    def counts(self) -> dict[str, dict[str, int]]:
        """How many resources there are, by type and state."""
        found: dict[str, dict[str, int]] = {}
        with self._file.read() as connection:
            for type_, state, number in connection.execute(
                "select type, state, count(*) from resource group by type, state order by 1, 2"
            ):
                found.setdefault(type_, {})[state] = number
        return found

    # Studies that wait

    def wait(self, studies: Iterable[int], since: float) -> None:
        """Let studies wait that changed; a further change lets them wait anew."""
        with self._file.write() as connection:
            connection.executemany(
                "insert or replace into pending values (?, ?)", [(one, since) for one in studies]
            )

    def waiting(self, until: float, most: int) -> list[int]:
        """Studies that did not change any more since a time, the first ones first."""
        with self._file.read() as connection:
            rows = connection.execute(
                "select study from pending where since <= ? order by since, study limit ?",
                (until, most),
            )
            return [row[0] for row in rows]

    def served(self, studies: Iterable[int], until: float) -> None:
        """Studies wait no longer, unless they changed after a time."""
        with self._file.write() as connection:
            connection.executemany(
                "delete from pending where study = ? and since <= ?",
                [(one, until) for one in studies],
            )

    @property
    def pending(self) -> int:
        """How many studies wait."""
        with self._file.read() as connection:
            return int(connection.execute("select count(*) from pending").fetchone()[0])

    # Notes

    def note(self, **values: Any) -> None:
        """Keep something by name, as JSON; None forgets it."""
        with self._file.write() as connection:
            for name, value in values.items():
                if value is None:
                    connection.execute("delete from note where name = ?", (name,))
                else:
                    text = orjson.dumps(value).decode()
                    connection.execute("insert or replace into note values (?, ?)", (name, text))

    def noted(self, name: str) -> Any:
        """What was kept by a name; None when there is nothing."""
        with self._file.read() as connection:
            row = connection.execute("select value from note where name = ?", (name,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def next_run(self) -> int:
        """The number of a new run."""
        with self._file.write() as connection:
            row = connection.execute("select value from note where name = 'run'").fetchone()
            number = int(row[0]) + 1 if row else 1
            connection.execute("insert or replace into note values ('run', ?)", (str(number),))
        return number

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _known(row: Sequence[Any]) -> Known:
    values = list(row)
    values[6] = bool(values[6])
    return Known(*values)
