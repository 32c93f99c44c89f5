"""The one writer: takes what readers left behind and commits it, series by series.

A series that lies in one part and is new to the lake is committed as it was written. One that lies
in several, or is in the lake already, is merged under a new number.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.jobs.ledger import Known
from dicomlake.jobs.merging import Merged, Merger, Wanted
from dicomlake.jobs.reading import Chunk, Done, Numbers, Part
from dicomlake.jobs.runs import Run
from dicomlake.lake import Store
from dicomlake.lake.database import connect, view
from dicomlake.readers.batch import moment

log = logging.getLogger(__name__)

MOST_PENDING = 500_000
"""Instances read but not committed before everything is committed."""
MERGE_AT_ONCE = 30_000
"""Instances of series that are merged in one go."""
MOST_QUIET = 100_000
COMPLETE = ("first", "some", "headers", "all")
"""How complete a series can be, from least to most."""


@dataclass(slots=True)
class _Pending:
    """A series that was read: in which parts under which number, and when it was last met."""

    parts: list[tuple[Part, int]] = field(default_factory=list)
    instances: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a series came from, and how complete it is: one of COMPLETE."""

    source: str
    complete: str = "all"

    def better(self, other: Origin | None) -> Origin:
        """This one, as complete as either of them."""
        if other is None or COMPLETE.index(other.complete) <= COMPLETE.index(self.complete):
            return self
        return Origin(self.source, other.complete)


class _Held(NamedTuple):
    """A series of the lake: its number, instances and origin."""

    number: int
    instances: int
    origin: Origin


@dataclass(slots=True)
class _Archive:
    """An archive that was read, noted as such when all its series are committed."""

    row: dict[str, Any]
    waiting: set[str] = field(default_factory=set)
    finished: bool = False


class Writer:
    """Commits what was read.

    `quiet`: a series that so many batches did not touch counts as complete; grows when series come
    back. `counts`: objects, series, and files by state, of what was committed or noted. `origins`:
    of series that do not simply come from `source` with all their instances, by SeriesInstanceUID.
    """

    def __init__(
        self,
        store: Store,
        ledger: Known,
        run: Run,
        work: Path,
        source: str,
        quiet: int = 0,
        origins: Mapping[str, Origin] | None = None,
    ) -> None:
        self.store, self.ledger, self.run, self.work = store, ledger, run, work
        self.source, self.quiet = source, quiet
        self._origins, self._usual = origins or {}, Origin(source)
        self.numbers = Numbers(store.next_id())
        self.counts: Counter[str] = Counter(objects=0, series=0)
        self.reasons: Counter[str] = Counter()
        self.pending = 0
        self._merger = Merger(store, ledger.db, self.numbers)
        self._pending: dict[str, _Pending] = {}
        self._archives: dict[str, _Archive] = {}
        self._changed_archives = ledger.stale_archives()
        self._failures: list[dict[str, Any]] = []
        self._files: list[dict[str, Any]] = []
        self._batches = 0

    def take(self, chunk: Chunk, done: Done) -> None:
        """Take what a process read."""
        self._batches += 1
        self._failures += done.failures
        self._files += done.files
        self.counts["objects"] += done.objects
        if done.erased:
            self.counts["erased"] += done.erased
        self.counts.update(f"{row['state']}" for row in done.files)
        self.reasons.update(row["reason"] for row in done.failures)
        for uid, number, instances in done.index:
            pending = self._pending.setdefault(uid, _Pending())
            assert done.part is not None
            pending.parts.append((done.part, number))
            pending.instances += instances
            pending.last = self._batches
        self.pending += done.objects
        if chunk.archive:
            found = chunk.files[0]
            when = moment(found.modified)
            row = {"uri": found.uri, "size": found.size, "modified": when, "state": "archive"}
            archive = self._archives.setdefault(found.uri, _Archive(row))
            archive.waiting.update(uid for uid, _, _ in done.index)
            archive.finished = done.finished

    def commit(self, *, everything: bool = False) -> None:
        """Commit the series that seem complete, or all of them, and what was noted."""
        everything = everything or self.pending > MOST_PENDING
        ready = {
            uid: p
            for uid, p in self._pending.items()
            if everything or self._batches - p.last >= self.quiet
        }
        self._commit(ready)
        self._note()

    def finish(self) -> None:
        """Commit everything, and drop what is stale from series that got nothing new."""
        self.commit(everything=True)
        if self.ledger.has_stale():
            self._commit({uid: _Pending() for uid in self._still_stale()})
        self._changed_archives.clear()
        self._note()

    def _still_stale(self) -> list[str]:
        """Series of which the lake shows something stale."""
        paths = self.store.paths("instances", range(1, self._merger.first))
        view(self.ledger.db, "now_series", self.store.paths("series"), tables.SERIES)
        view(self.ledger.db, "now_instances", paths, tables.INSTANCES)
        found = self.ledger.db.execute(
            """select distinct s."SeriesInstanceUID" from now_instances i
            join now_series s using (series_id)
            semi join (select * from stale where what = 'instance') x
            on x.uri = i.uri and x.size = i.size and x.modified = epoch_us(i.modified)
            where i.series_id < ? order by 1""",
            [self._merger.first],
        )
        return [row[0] for row in found.fetchall()]

    def _commit(self, ready: dict[str, _Pending]) -> None:
        """Commit series: first the rows that belong to them, then they themselves."""
        if not ready:
            return
        known = self._known(list(ready))
        self._adapt(len(ready), [held.number for held in known.values()])
        simple = {u: p for u, p in ready.items() if len(p.parts) == 1 and u not in known}
        parts = {id(part): part for p in simple.values() for part, _ in p.parts}
        fresh = [part for part in parts.values() if not part.added]
        rows = [self._simple_rows(simple)] if simple else []
        children = self._placed(fresh)
        replaced: set[str] = set()
        for group in _groups({u: p for u, p in ready.items() if u not in simple}, known):
            merged = self._merge(group, known)
            for name, files in merged.children.items():
                children[name] += files
            replaced |= merged.replaced
            if merged.series:
                rows.append(self._series_rows(merged.series, known))
        run_id = self.run.run_id
        for name, files in children.items():
            self.store.add(name, files, run_id=run_id)
        for part in fresh:
            part.added = True
        table = pa.concat_tables(rows) if rows else tables.SERIES.empty_table()
        self.store.commit_series(table, replaced, run_id)
        again = sum(known[uid].number >= self._merger.first for uid in replaced)
        self.counts["series"] += max(0, table.num_rows - again)
        log.info("series committed", extra={"series": table.num_rows})
        self._release(ready)

    def _adapt(self, ready: int, known: list[int]) -> None:
        """Wait longer for series to be complete when many come back after they were committed."""
        back = sum(number >= self._merger.first for number in known)
        if back > max(8, ready // 8):
            self.quiet = min(2 * self.quiet, MOST_QUIET)

    def _placed(self, parts: list[Part]) -> dict[str, list[str]]:
        """Move files of parts to their tables; their names by table."""
        placed: dict[str, list[str]] = {name: [] for name in tables.CHILDREN}
        for part in parts:
            for name, file in part.children.items():
                if (self.work / file).exists():
                    (self.work / file).rename(self.store.path / name / file)
                placed[name].append(file)
        return placed

    def _path(self, name: str, file: str) -> Path:
        """Where a file of a part is now."""
        path = self.store.path / name / file
        return path if path.exists() else self.work / file

    def _release(self, ready: dict[str, _Pending]) -> None:
        """Forget committed series, and files of parts that only held series that were merged."""
        for uid, pending in ready.items():
            self.pending -= pending.instances
            self._pending.pop(uid, None)
            for part, _ in pending.parts:
                part.waiting -= 1
                if part.waiting == 0:
                    for file in (part.series, *part.children.values()):
                        (self.work / file).unlink(missing_ok=True)

    def _note(self) -> None:
        """Write failures and files; an archive only counts as read when all of it is committed.

        One that was in the lake before only does when nothing of it is stale any more.
        """
        for uri, archive in list(self._archives.items()):
            archive.waiting = {uid for uid in archive.waiting if uid in self._pending}
            if archive.finished and not archive.waiting and uri not in self._changed_archives:
                self._files.append(archive.row)
                self.counts["archive"] += 1
                del self._archives[uri]
        common = {"run_id": self.run.run_id}
        if self._failures:
            now = datetime.now(UTC)
            rows = [{**row, **common, "met": now} for row in self._failures]
            self.store.append("failures", pa.Table.from_pylist(rows, tables.FAILURES))
            self._failures = []
        if self._files:
            rows = [{**row, **common} for row in self._files]
            self.store.append("files", pa.Table.from_pylist(rows, tables.FILES))
            self._files = []

    def _known(self, uids: list[str]) -> dict[str, _Held]:
        """Those that are in the lake."""
        with connect() as db:
            view(db, "series", self.store.paths("series"))
            db.register("asked", pa.table({"uid": pa.array(uids, pa.string())}))
            found = db.execute(
                'select "SeriesInstanceUID", series_id, instances, source, complete from series '
                'where "SeriesInstanceUID" in (select uid from asked)'
            ).fetchall()
        return {uid: _Held(number, count, Origin(*origin)) for uid, number, count, *origin in found}

    def _simple_rows(self, simple: dict[str, _Pending]) -> pa.Table:
        by_file: dict[str, list[int]] = defaultdict(list)
        for pending in simple.values():
            part, number = pending.parts[0]
            by_file[part.series].append(number)
        found = []
        for file, numbers in by_file.items():
            table = pq.read_table(self.work / file, schema=tables.SERIES)
            wanted = pa.array(numbers, pa.int64())
            found.append(table.filter(pc.is_in(table.column("series_id"), value_set=wanted)))
        return self._stamped(pa.concat_tables(found), {})

    def _series_rows(self, rows: list[dict[str, Any]], known: dict[str, _Held]) -> pa.Table:
        return self._stamped(pa.Table.from_pylist(rows, tables.SERIES), known)

    def _stamped(self, table: pa.Table, known: dict[str, _Held]) -> pa.Table:
        """Rows of `series` with where they come from and when."""
        origins = [self._origin(u, known) for u in table.column("SeriesInstanceUID").to_pylist()]
        said: dict[str, list[Any]] = {
            "source": [origin.source for origin in origins],
            "complete": [origin.complete for origin in origins],
            "indexed": [datetime.now(UTC)] * table.num_rows,
            "run_id": [self.run.run_id] * table.num_rows,
        }
        for name, values in said.items():
            field_ = tables.SERIES.field(name)
            column = pa.array(values, field_.type)
            table = table.set_column(table.schema.get_field_index(name), field_, column)
        return table

    def _standing(self, uid: str, known: dict[str, _Held]) -> tuple[int | None, bool]:
        """The number of a series in the lake, and whether its row changes in any case."""
        if uid not in known:
            return None, False
        return known[uid].number, self._origin(uid, known).complete != known[uid].origin.complete

    def _origin(self, uid: str, known: dict[str, _Held]) -> Origin:
        held = known.get(uid)
        return self._origins.get(uid, self._usual).better(held.origin if held else None)

    def _merge(self, group: dict[str, _Pending], known: dict[str, _Held]) -> Merged:
        wanted = [
            Wanted(uid, *self._standing(uid, known), [n for _, n in pending.parts])
            for uid, pending in group.items()
        ]
        parts = {id(part): part for p in group.values() for part, _ in p.parts}.values()
        files: dict[str, list[Path]] = {name: [] for name in tables.CHILDREN}
        for part in parts:
            for name, file in part.children.items():
                files[name].append(self._path(name, file))
        ids = [series.known for series in wanted if series.known is not None]
        new = sorted({str(path) for path in files["instances"]})
        if ids and new:
            self.ledger.outdate(ids, self.store.paths("instances", ids), new)
        merged = self._merger.merge(wanted, files)
        self._files += merged.files
        self.counts["objects"] -= merged.repeated
        if merged.repeated:
            self.counts["duplicate"] += merged.repeated
        return merged


def _groups(merged: dict[str, _Pending], known: dict[str, _Held]) -> Iterator[dict[str, _Pending]]:
    """Series to merge, some at a time."""
    group: dict[str, _Pending] = {}
    size = 0
    for uid, pending in merged.items():
        instances = pending.instances + (known[uid].instances if uid in known else 0)
        if group and size + instances > MERGE_AT_ONCE:
            yield group
            group, size = {}, 0
        group[uid] = pending
        size += instances
    if group:
        yield group
