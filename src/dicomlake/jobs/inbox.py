"""The inbox of a lake: batches that workers leave, and the one writer that takes them in.

A batch is a folder that gets its name when it is complete, so a worker may die at any time. It is
removed once it is committed; if the writer dies between the two, it is taken in a second time,
which changes nothing, because objects are known by their URIs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.contracts import Found, Progress
from dicomlake.contracts.archives import uri_of
from dicomlake.contracts.queues import WRITTEN, Queue
from dicomlake.jobs.arrivals import Arrivals
from dicomlake.jobs.contents import outdated, read_again
from dicomlake.jobs.enriching import keep
from dicomlake.jobs.erasure.remembered import Remembered, spared, without
from dicomlake.jobs.erasure.traces import Finder
from dicomlake.jobs.reading import Chunk, Done, Part
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.tidy import tidy
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.jobs.writing import Origin, Writer
from dicomlake.lake import Store
from dicomlake.lake.compaction import delete, leftovers
from dicomlake.lake.files import new_name, order_of, write_parquet
from dicomlake.lake.store import INBOX, WORK
from dicomlake.readers.batch import Batch, key_of, moment, rows_of
from dicomlake.readers.contents import ContentsReader
from dicomlake.readers.fold import Folder
from dicomlake.readers.header import HeaderReader

log = logging.getLogger(__name__)

MOST_BATCHES = 256
MOST_BYTES = 48 * 1024**2
"""Batches, and bytes of their files, that are committed at a time."""
REBUILD_EVERY_S = 60.0
"""The vocabulary is brought up to date so often while batches keep coming, and when none do."""
SETTLE_EVERY_S = 10.0
"""So often it is looked whether what tasks brought is neither in the inbox nor in the lake."""
LOST = "what it brought could not be read again"
"""Why a task is done again that seemed to be done."""
_UNFINISHED = ".part-"
_MOST_COMMITTED = 20_000
"""Tasks of which it is known, for a while, that the lake holds what they brought."""


@dataclass(slots=True)
class Leaving:
    """What a worker leaves in one batch.

    `origins`: where series came from, by SeriesInstanceUID. `tasks`: ids of the tasks that brought
    it. `catalogue`: rows of that table by key.
    """

    batch: Batch
    origins: dict[str, Origin] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    catalogue: dict[str, dict[str, Any]] = field(default_factory=dict)
    erased: list[str] = field(default_factory=list)
    """SOPInstanceUIDs of erased patients that were left out: files of them may not be kept."""
    cleared: list[str] = field(default_factory=list)
    """URIs of what failed before and did not now, or fails with another reason."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.batch.series or self.batch.failures or self.catalogue or self.cleared)


class Inbox:
    """The folder of batches in a lake."""

    def __init__(self, lake: str | Path) -> None:
        self.folder = Path(lake).absolute() / INBOX

    def leave(self, leaving: Leaving, reader: HeaderReader, folder: Folder) -> str:
        """Leave a batch, whole or not at all; its name, "" when there is nothing to leave."""
        if leaving.empty:
            return ""
        name = f"{time.time_ns():020}-{secrets.token_hex(4)}"
        part = self.folder / f"{_UNFINISHED}{os.getpid()}-{name}"
        part.mkdir(parents=True)
        try:
            _write(part, leaving, reader, folder, Remembered(self.folder.parent))
            part.rename(self.folder / name)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        reader.forget()
        return name

    def leave_statements(self, found: Mapping[str, pa.Table], tasks: list[str]) -> str:
        """Leave what an enricher states, whole or not at all; its name, "" for nothing.

        Enrichments are numbered from 1 in every batch.
        """
        if not found["enrichments"].num_rows:
            return ""
        name = f"{time.time_ns():020}-{secrets.token_hex(4)}"
        part = self.folder / f"{_UNFINISHED}{os.getpid()}-{name}"
        part.mkdir(parents=True)
        try:
            for table, rows in found.items():
                write_parquet(part / f"{table}.parquet", table, rows)
            said = {"tasks": tasks, "statements": True}
            (part / "batch.json").write_text(json.dumps(said), encoding="utf-8")
            part.rename(self.folder / name)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return name

    def batches(self) -> list[Path]:
        """Complete batches, oldest first."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(p for p in self.folder.iterdir() if not p.name.startswith("."))
        return []

    def sweep(self) -> None:
        """Remove what killed workers left."""
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.name.startswith(_UNFINISHED) and not _alive(path.name):
                    shutil.rmtree(path, ignore_errors=True)


def _alive(name: str) -> bool:
    number = name.removeprefix(_UNFINISHED).partition("-")[0]
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _write(
    part: Path, leaving: Leaving, reader: HeaderReader, folder: Folder, remembered: Remembered
) -> None:
    """Write the files of a batch without erased patients; its series are numbered from 1."""
    batch = leaving.batch
    said: dict[str, Any] = {
        "tasks": leaving.tasks,
        "origins": {uid: [o.source, o.complete] for uid, o in leaving.origins.items()},
        "objects": batch.objects,
        "failures": [{**row, "modified": row["modified"].timestamp()} for row in batch.failures],
        "files": [{**row, "modified": row["modified"].timestamp()} for row in batch.files],
        "cleared": leaving.cleared,
        "index": [],
        "tables": [],
    }
    if batch.series:
        rows, gone, count = spared(rows_of(batch, reader, folder, 1), remembered)
        if gone:
            said["origins"] = {u: o for u, o in said["origins"].items() if u not in gone}
            said["files"] = [r for r in said["files"] if r.get("SeriesInstanceUID") not in gone]
            said["objects"] -= count
            leaving.erased += [uid for series in gone for uid in batch.series[series].places]
            log.info("erased patients left out", extra={"series": len(gone), "instances": count})
        picked = rows.series.select(["SeriesInstanceUID", "series_id", "instances"])
        said["index"] = [list(row.values()) for row in picked.to_pylist()]
        for name, table in {"series": rows.series, **rows.children}.items():
            if table.num_rows:
                write_parquet(part / f"{name}.parquet", name, table)
                said["tables"].append(name)
    listed = [row for row in leaving.catalogue.values() if not _shut_out(row, remembered)]
    if listed:
        table = pa.Table.from_pylist(listed, tables.CATALOGUE)
        write_parquet(part / "catalogue.parquet", "catalogue", table)
    (part / "batch.json").write_text(json.dumps(said), encoding="utf-8")


def _shut_out(row: Mapping[str, Any], remembered: Remembered) -> bool:
    """Whether what an archive lists is of somebody who was erased."""
    patient, issuer = row.get("PatientID"), row.get("IssuerOfPatientID") or ""
    key = key_of("patient", issuer, patient) if patient else None
    return remembered.shuts_out(key, row.get("StudyInstanceUID"))


def spare_batches(inbox: Inbox, remembered: Remembered, finder: Finder, numbers: list[int]) -> int:
    """Take out of waiting batches what was erased; how many were changed.

    `numbers`: series_id of the lake that go, of which enrichers may have left statements. Only
    while the writer's lock is held, and again after a kill.
    """
    count = 0
    for path in inbox.batches():
        stated = (path / "series.parquet").exists() is False
        if stated or any(finder.in_file(file) for file in path.iterdir()):
            count += _spare_batch(path, remembered, finder, numbers)
    return count


def _spare_batch(path: Path, remembered: Remembered, finder: Finder, numbers: list[int]) -> int:
    file = path / "series.parquet"
    series = pq.read_table(file, schema=tables.SERIES) if file.exists() else None
    ids = [] if series is None else remembered.kept_out(series)
    said = json.loads((path / "batch.json").read_text(encoding="utf-8"))
    if not said.get("statements"):
        said["index"] = [row for row in said["index"] if row[1] not in ids]
        gone = {uid for uid in said["origins"] if finder.holds(uid)}
        said["origins"] = {u: o for u, o in said["origins"].items() if u not in gone}
        for name in ("failures", "files", "cleared"):
            said[name] = [row for row in said.get(name, ()) if not finder.holds(json.dumps(row))]
    _exchanged(path / "batch.json", json.dumps(said).encode())
    for name in ("catalogue", *tables.CHILDREN, "series"):
        file = path / f"{name}.parquet"
        if file.exists():
            rows = pq.read_table(file, schema=tables.ALL[name])
            if name == "catalogue":
                kept = [row for row in rows.to_pylist() if not _shut_out(row, remembered)]
                rows = pa.Table.from_pylist(kept, tables.CATALOGUE)
            else:
                rows = without(rows, numbers if said.get("statements") else ids)
            write_parquet(file, name, rows)
    return 1


def _exchanged(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


class Intake:
    """The writer: takes batches in as they come, and tells the queue what became of their tasks."""

    def __init__(self, store: Store, queue: Queue | None = None) -> None:
        self.store, self.inbox, self._queue = store, Inbox(store.path), queue
        self._committed: dict[str, None] = {}
        self._rebuilt = time.monotonic()
        self._settled = self._rebuilt - SETTLE_EVERY_S
        self._stale = False

    def settle(self, *, now: bool = False) -> int:
        """End tasks that are written but in no batch; how many. Looks every ten seconds, or `now`.

        A batch that cannot be read is lost: its tasks are done again. One that was taken in before
        its worker said that it was written is in the lake.
        """
        if self._queue is None or not (now or time.monotonic() - self._settled >= SETTLE_EVERY_S):
            return 0
        self._settled = time.monotonic()
        # A batch comes before its task is written, and goes after its task is committed.
        written = [state.id for state in self._queue.tasks((WRITTEN,), limit=1 << 40)]
        if not written:
            return 0
        coming = {id for path in self.inbox.batches() for id in _tasks_of(path)}
        left = [id for id in written if id not in coming]
        self._queue.committed(id for id in left if id in self._committed)
        lost = [id for id in left if id not in self._committed]
        if lost and (found := self._queue.lost(lost, LOST)):
            log.error("tasks are done again", extra={"tasks": found, "why": LOST})
        return len(left)

    def _commit_tasks(self, ids: list[str]) -> None:
        """Say that the lake holds what tasks brought."""
        if self._queue is None:
            return
        self._queue.committed(ids)
        self._committed.update(dict.fromkeys(ids))
        for id in list(self._committed)[: max(0, len(self._committed) - _MOST_COMMITTED)]:
            del self._committed[id]

    def take(
        self,
        progress: Progress | None = None,
        idle_s: float = 0.0,
        over: Callable[[], bool] = lambda: False,
    ) -> Counter[str]:
        """Take in all that is there and comes within `idle_s` of the last, until `over`; counts.

        LakeError when another process is writing; ServiceError when the disk is full: what is in
        the inbox stays there.
        """
        counts: Counter[str] = Counter()
        if not self.inbox.batches():
            return counts
        with self.store.lock():
            self.store.refresh()
            with running(self.store, "pull", {}, progress) as run:
                self._take(run, counts, idle_s, over)
                run.counts = dict(counts)
        return counts

    def _take(
        self, run: Run, counts: Counter[str], idle_s: float, over: Callable[[], bool]
    ) -> None:
        delete(leftovers(self.store))
        readers = ContentsReader()
        if outdated(self.store, readers):  # so that old and new objects are read alike
            if self.store.files("series"):
                read_again(self.store, run, readers)
            self.store.note_content_readers(readers.versions)
        work = self.store.path / WORK / run.run_id
        work.mkdir(parents=True)
        last = time.monotonic()
        try:
            while not run.stopped:
                group = _group(self.inbox.batches())
                if group:
                    self._commit(group, run, work, counts)
                    last = time.monotonic()
                if self._due(idle=not group):
                    self._rebuild(run)
                if over():
                    break
                if not group:
                    if time.monotonic() - last >= idle_s:
                        break
                    time.sleep(0.05)
            if self._stale:
                self._rebuild(run)
            if run.stopped:
                raise KeyboardInterrupt
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _due(self, *, idle: bool) -> bool:
        waited = time.monotonic() - self._rebuilt
        return self._stale and waited > (2.0 if idle else REBUILD_EVERY_S)

    def _rebuild(self, run: Run) -> None:
        """Bring up to date what is derived from the tables."""
        tidy(self.store)
        rebuild(self.store)
        self._rebuilt, self._stale = time.monotonic(), False

    def _commit(self, group: list[Path], run: Run, work: Path, counts: Counter[str]) -> None:
        remembered = Remembered(self.store.path)
        batches = [batch.spared(remembered) for batch in _readable(group)]
        cleared = {uri for batch in batches for uri in batch.cleared}
        if cleared:
            self.store.remove("failures", "uri", sorted(cleared))
        arrivals = Arrivals(work)
        try:
            origins: dict[str, Origin] = {}
            for batch in batches:
                for uid, origin in batch.origins.items():
                    origins[uid] = origin.better(origins.get(uid))
            writer = Writer(self.store, arrivals, run, work, "", origins=origins)
            done = _joined([b for b in batches if not b.statements], writer, work)
            writer.take(Chunk(0, 0, [Found("", 0, 0)]), done)
            writer.commit(everything=True)
        finally:
            arrivals.close()
        if stated := [batch.tables for batch in batches if batch.statements]:
            counts["statements"] += keep(self.store, stated, run.run_id)
        self._forget_failures(batches)
        self._list(batches)
        self._commit_tasks([task for batch in batches for task in batch.tasks])
        for batch in batches:
            shutil.rmtree(batch.path)
        counts.update(writer.counts)
        counts["batches"] += len(batches)
        counts["failures"] += sum(writer.reasons.values())
        run.progress.advance(writer.counts["series"])
        self._stale = True

    def _forget_failures(self, batches: list[_Batch]) -> None:
        """Drop failures of what has come in the meantime."""
        if not self.store.files("failures"):
            return
        failed = {row["uri"] for batch in batches for row in batch.failures}
        came = {uri for batch in batches for uri in batch.uris()}
        with self.store.database() as db:
            known = db.execute("select distinct uri from failures").fetchall()
        gone = [row[0] for row in known if row[0] in came and row[0] not in failed]
        if gone:
            self.store.remove("failures", "uri", gone)

    def _list(self, batches: list[_Batch]) -> None:
        """Write what archives list into the catalogue; the newest word counts."""
        found = [b.catalogue for b in batches if b.catalogue is not None]
        if not found:
            return
        rows = {row["key"]: row for table in found for row in table.to_pylist()}
        table = pa.Table.from_pylist(list(rows.values()), tables.CATALOGUE)
        self.store.replace("catalogue", "key", list(rows), table.sort_by(order_of("catalogue")))


@dataclass(slots=True)
class _Batch:
    """A batch as it lies in the inbox."""

    path: Path
    tasks: list[str]
    origins: dict[str, Origin]
    objects: int
    failures: list[dict[str, Any]]
    files: list[dict[str, Any]]
    index: list[tuple[str, int, int]]
    tables: dict[str, pa.Table]
    catalogue: pa.Table | None
    statements: bool = False
    cleared: list[str] = field(default_factory=list)

    def spared(self, remembered: Remembered) -> _Batch:
        """The batch without what was erased after a worker left it."""
        series = self.tables.get("series")
        ids = [] if series is None else remembered.kept_out(series)
        if not ids:
            return self
        gone = {uid for uid, number, _ in self.index if number in ids}
        self.tables = {name: without(table, ids) for name, table in self.tables.items()}
        self.index = [row for row in self.index if row[1] not in ids]
        self.origins = {uid: o for uid, o in self.origins.items() if uid not in gone}
        self.files = [row for row in self.files if row.get("SeriesInstanceUID") not in gone]
        if self.catalogue is not None:
            kept = [r for r in self.catalogue.to_pylist() if not _shut_out(r, remembered)]
            self.catalogue = pa.Table.from_pylist(kept, tables.CATALOGUE)
        return self

    def uris(self) -> Iterator[str]:
        """URIs of objects and series that came, of series only those that came whole."""
        if "instances" in self.tables:
            yield from self.tables["instances"].column("uri").to_pylist()
        for uid, origin in self.origins.items():
            if origin.complete != "some":
                yield uri_of(origin.source, uid)


def _read(path: Path) -> _Batch:
    said = json.loads((path / "batch.json").read_text(encoding="utf-8"))
    found = {}
    for name in ("series", *tables.CHILDREN):
        file = path / f"{name}.parquet"
        if file.exists() or name in said.get("tables", ()):
            found[name] = pq.read_table(file, schema=tables.ALL[name])
    if said.get("statements"):
        return _Batch(path, said["tasks"], {}, 0, [], [], [], found, None, True)
    listed = path / "catalogue.parquet"
    return _Batch(
        path,
        said["tasks"],
        {uid: Origin(*origin) for uid, origin in said["origins"].items()},
        said["objects"],
        [_timed(row) for row in said["failures"]],
        [_timed(row) for row in said["files"]],
        [(uid, number, instances) for uid, number, instances in said["index"]],
        found,
        pq.read_table(listed, schema=tables.CATALOGUE) if listed.exists() else None,
        cleared=said.get("cleared", []),
    )


def _readable(group: list[Path]) -> Iterator[_Batch]:
    """Batches; one that cannot be read (a machine lost its power) is set aside, not in the way."""
    for path in group:
        try:
            yield _read(path)
        except (ValueError, KeyError, TypeError, OSError) as error:
            if getattr(error, "errno", None) not in (None, errno.ENOENT):
                raise  # it is not the batch; Arrow's own errors have no number
            aside = path.with_name(f".broken-{path.name}")
            path.rename(aside)
            why = type(error).__name__
            log.error("batch set aside", extra={"batch": aside.name, "error": why})


def _tasks_of(path: Path) -> list[str]:
    """Ids of the tasks of a batch; none when it cannot be read, or has just gone."""
    try:
        found: list[str] = json.loads((path / "batch.json").read_text(encoding="utf-8"))["tasks"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "modified": moment(round(row["modified"] * 1_000_000))}


def _group(batches: list[Path]) -> list[Path]:
    """The oldest batches, as many as are committed at a time."""
    group: list[Path] = []
    size = 0
    for path in batches[:MOST_BATCHES]:
        size += sum(file.stat().st_size for file in path.iterdir())
        if group and size > MOST_BYTES:
            break
        group.append(path)
    return group


def _joined(batches: list[_Batch], writer: Writer, work: Path) -> Done:
    """The files of several batches as one part, its series numbered for the lake."""
    done = Done(objects=sum(batch.objects for batch in batches))
    by_table: dict[str, list[pa.Table]] = {}
    for batch in batches:
        done.failures += batch.failures
        done.files += batch.files
        first = writer.numbers.take(max((number for _, number, _ in batch.index), default=0))
        done.index += [(uid, number + first - 1, n) for uid, number, n in batch.index]
        for name, table in batch.tables.items():
            numbers = pc.add(table.column("series_id"), first - 1)
            column = table.set_column(0, table.schema.field(0), numbers)
            by_table.setdefault(name, []).append(column)
    if done.index:
        series = f"series-{done.index[0][1]}.parquet"
        write_parquet(work / series, "series", pa.concat_tables(by_table.pop("series")))
        done.part = Part(series, {name: new_name() for name in by_table}, len(done.index))
        for name, file in done.part.children.items():
            table = pa.concat_tables(by_table[name])
            write_parquet(work / file, name, table.sort_by(order_of(name)))
    return done


def waiting(lake: str | Path) -> int:
    """How many batches wait for the writer."""
    return len(Inbox(lake).batches())
