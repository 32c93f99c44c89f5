"""The one writer: takes what readers left behind and commits it, series by series.

A series that lies in one part and is new to the lake is committed as it was written. One that lies
in several, or is in the lake already, is merged under a new number.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.jobs.ledger import Ledger
from dicomlake.jobs.reading import Done, Numbers, Part
from dicomlake.jobs.runs import Run
from dicomlake.lake import Store
from dicomlake.lake.store import connect, view
from dicomlake.readers.batch import elements_table, folded_of, moment, refold, series_row
from dicomlake.readers.fold import Folded, merge
from dicomlake.readers.header import HeaderReader

log = logging.getLogger(__name__)

MOST_PENDING = 200_000
"""Instances read but not committed before everything is committed."""
MERGE_AT_ONCE = 5_000
"""Instances of series that are merged together in memory."""


@dataclass(slots=True)
class _Pending:
    """A series that was read: in which parts under which number, and when it was last met."""

    parts: list[tuple[Part, int]] = field(default_factory=list)
    instances: int = 0
    last: int = 0


class Writer:
    """Commits what was read. `quiet`: chunks without a series after which it counts as complete."""

    def __init__(
        self, store: Store, ledger: Ledger, run: Run, work: Path, source: str, quiet: int
    ) -> None:
        self.store, self.ledger, self.run, self.work = store, ledger, run, work
        self.source, self.quiet = source, quiet
        self.numbers = Numbers(store.next_id())
        self._pending: dict[str, _Pending] = {}
        self._added: set[str] = set()
        self._archives: list[tuple[set[str], dict[str, Any]]] = []
        self._failures: list[dict[str, Any]] = []
        self._files: list[dict[str, Any]] = []
        self._chunks = 0
        self._reader = HeaderReader()
        self.series = 0

    @property
    def pending(self) -> int:
        """Instances read but not committed."""
        return sum(p.instances for p in self._pending.values())

    def take(self, done: Done) -> None:
        """Take what a process read."""
        self._chunks += 1
        self._failures += done.failures
        self._files += done.files
        met: set[str] = set()
        for part in done.parts:
            for uid, number, instances in part.index:
                pending = self._pending.setdefault(uid, _Pending())
                pending.parts.append((part, number))
                pending.instances += instances
                pending.last = self._chunks
                met.add(uid)
        for found in done.chunk.files:
            if found.archive:
                when = moment(found.modified)
                row = {"uri": found.uri, "size": found.size, "modified": when, "state": "archive"}
                self._archives.append((met, row))

    def commit(self, *, everything: bool = False) -> None:
        """Commit the series that seem complete, or all of them."""
        everything = everything or self.pending > MOST_PENDING
        ready = {
            uid: p
            for uid, p in self._pending.items()
            if everything or self._chunks - p.last >= self.quiet
        }
        if ready:
            self._commit(ready)
            for uid in ready:
                del self._pending[uid]
        self._note()

    def finish(self) -> None:
        """Commit everything, and drop what is stale from series that got nothing new."""
        self.commit(everything=True)
        if self.ledger.has_stale():
            with self.store.database() as db:
                db.register("stale", self.ledger.stale_uris())
                found = db.execute(
                    "select distinct s.SeriesInstanceUID from instances i "
                    "join series s using (series_id) where i.uri in (select uri from stale)"
                ).fetchall()
            self._commit({row[0]: _Pending() for row in found})

    def _commit(self, ready: dict[str, _Pending]) -> None:
        known = self._known(list(ready))
        simple = {u: p for u, p in ready.items() if len(p.parts) == 1 and u not in known}
        merged = {u: p for u, p in ready.items() if u not in simple}
        rows = [self._simple_rows(simple)] if simple else []
        files = {part.series: part for p in simple.values() for part, _ in p.parts}
        fresh = [p for p in files.values() if p.series not in self._added]
        instances = [p.instances for p in fresh if p.instances]
        elements = [p.elements for p in fresh if p.elements]
        self._added |= set(files)
        gone: set[str] = set()
        replaced: set[str] = set()
        for group in _groups(merged, known):
            found = self._merge(group, known)
            instances += [f for f in [self.store.write("instances", found.instances)] if f]
            elements += [f for f in [self.store.write("elements", found.elements)] if f]
            if found.series:
                rows.append(self._series_table(found.series))
            gone |= found.gone
            replaced |= found.replaced
        self.store.add("instances", instances, run_id=self.run.run_id)
        self.store.add("elements", elements, run_id=self.run.run_id)
        if rows:
            table = pa.concat_tables(rows)
            self.store.commit_series(table, replaced, self.run.run_id)
            self.series += table.num_rows
            log.info("series committed", extra={"series": table.num_rows})
        if gone:
            self.store.remove("series", '"SeriesInstanceUID"', sorted(gone))

    def _note(self) -> None:
        """Write failures and files; an archive only counts as read when all of it is committed."""
        now = datetime.now(UTC)
        waiting = []
        for uids, row in self._archives:
            if uids.isdisjoint(self._pending):
                self._files.append(row)
            else:
                waiting.append((uids, row))
        self._archives = waiting
        common = {"run_id": self.run.run_id}
        if self._failures:
            rows = [{**row, **common, "met": now} for row in self._failures]
            self.store.append("failures", pa.Table.from_pylist(rows, tables.FAILURES))
        if self._files:
            rows = [{**row, **common} for row in self._files]
            self.store.append("files", pa.Table.from_pylist(rows, tables.FILES))
        self._failures, self._files = [], []

    def _known(self, uids: list[str]) -> dict[str, int]:
        """series_id of those that are in the lake."""
        with connect() as db:
            view(db, "series", self.store.paths("series"))
            db.register("asked", pa.table({"uid": pa.array(uids, pa.string())}))
            found = db.execute(
                "select SeriesInstanceUID, series_id from series "
                "where SeriesInstanceUID in (select uid from asked)"
            ).fetchall()
        return dict(found)

    def _simple_rows(self, simple: dict[str, _Pending]) -> pa.Table:
        by_file: dict[str, list[int]] = defaultdict(list)
        for pending in simple.values():
            for part, number in pending.parts:
                by_file[part.series].append(number)
        found = []
        for file, numbers in by_file.items():
            table = pq.read_table(self.work / file, schema=tables.SERIES)
            wanted = set(numbers)
            mask = [n in wanted for n in table.column("series_id").to_pylist()]
            found.append(table.filter(pa.array(mask, pa.bool_())))
        return self._stamped(pa.concat_tables(found))

    def _series_table(self, rows: list[dict[str, Any]]) -> pa.Table:
        return self._stamped(pa.Table.from_pylist(rows, tables.SERIES))

    def _stamped(self, table: pa.Table) -> pa.Table:
        """Rows of `series` with where they come from and when."""
        said = {
            "source": self.source,
            "complete": "all",
            "indexed": datetime.now(UTC),
            "run_id": self.run.run_id,
        }
        for name, value in said.items():
            field_ = tables.SERIES.field(name)
            column = pa.array([value] * table.num_rows, field_.type)
            table = table.set_column(table.schema.get_field_index(name), field_, column)
        return table

    def _merge(self, group: dict[str, _Pending], known: dict[str, int]) -> _Merged:
        merged = _Merged()
        numbers = {n: uid for uid, p in group.items() for _, n in p.parts}
        numbers |= {known[uid]: uid for uid in group if uid in known}
        parts = {part.series: part for p in group.values() for part, _ in p.parts}
        with connect() as db:
            wanted = pa.table({"series_id": pa.array(list(numbers), pa.int64())})
            db.register("wanted", wanted)
            instances = self._rows(db, "instances", [p.instances for p in parts.values()])
            elements = self._rows(db, "elements", [p.elements for p in parts.values()])
        stale = self.ledger.is_stale(instances.column("uri")) if instances.num_rows else []
        by_uid: dict[str, list[_Copy]] = defaultdict(list)
        headless = instances.drop_columns(["header"]).to_pylist()
        for at, row in enumerate(headless):
            uid = numbers[row["series_id"]]
            old = known.get(uid) == row["series_id"]
            by_uid[uid].append(_Copy(at, row, old, old and stale[at]))
        folded: dict[int, list[Folded]] = defaultdict(list)
        for number, row in zip(
            elements.column("series_id").to_pylist(), folded_of(elements), strict=True
        ):
            folded[number].append(row)
        kept_rows: list[tuple[int, list[int]]] = []
        kept_elements: list[tuple[int, list[Folded]]] = []
        for uid in group:
            copies = by_uid[uid]
            kept = self._choose(copies)
            before = sorted(c.at for c in copies if c.old)
            if uid in known and sorted(c.at for c in kept) == before:
                continue  # nothing new
            if uid in known:
                merged.replaced.add(uid)
            if not kept:
                merged.gone.add(uid)
                merged.replaced.discard(uid)
                continue
            places = [c.at for c in kept]
            if len(kept) == len(copies):
                ids = {c.row["series_id"] for c in copies}
                rows = merge(row for number in ids for row in folded[number])
            else:
                headers = instances.column("header").take(pa.array(places)).to_pylist()
                rows = refold(headers, self._reader)
                self._reader.forget()
            number = self.numbers.take(1)
            merged.series.append({"series_id": number, **series_row(uid, rows, len(kept))})
            kept_rows.append((number, places))
            kept_elements.append((number, rows))
        merged.elements = elements_table(kept_elements)
        merged.instances = _renumbered(instances, kept_rows)
        return merged

    def _rows(self, db: duckdb.DuckDBPyConnection, name: str, files: Iterable[str]) -> pa.Table:
        """Rows of the wanted numbers, from the lake and from files that are not part of it yet."""
        folder = str(self.store.path / name)
        paths = [f"{folder}/{file}" for file in files if file]
        view(db, name, sorted({*paths, *self.store.paths(name)}))
        found = db.sql(
            f"select * from {name} where series_id in (select series_id from wanted) "
            "order by series_id"
        ).to_arrow_table()
        return found.cast(tables.ALL[name])

    def _choose(self, copies: list[_Copy]) -> list[_Copy]:
        """One copy of each instance: current, and with the first URI where there are several."""
        by_sop: dict[str, list[_Copy]] = defaultdict(list)
        for copy in copies:
            if not copy.stale:
                by_sop[copy.row["SOPInstanceUID"]].append(copy)
        kept = []
        for same in by_sop.values():
            same.sort(key=lambda c: (c.row["uri"], not c.old))
            kept.append(same[0])
            for copy in same[1:]:
                if copy.row["uri"] != same[0].row["uri"]:
                    row = {k: copy.row[k] for k in ("uri", "size", "modified")}
                    self._files.append({**row, "state": "duplicate"})
        return kept


@dataclass(slots=True)
class _Copy:
    at: int
    row: dict[str, Any]
    old: bool
    stale: bool


@dataclass(slots=True)
class _Merged:
    series: list[dict[str, Any]] = field(default_factory=list)
    instances: pa.Table = field(default_factory=tables.INSTANCES.empty_table)
    elements: pa.Table = field(default_factory=tables.ELEMENTS.empty_table)
    replaced: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)


def _renumbered(instances: pa.Table, kept: list[tuple[int, list[int]]]) -> pa.Table:
    """The kept rows of `instances` under their new numbers."""
    places = [place for _, some in kept for place in some]
    numbers = [number for number, some in kept for _ in some]
    taken = instances.take(pa.array(places, pa.int64()))
    return taken.set_column(0, tables.INSTANCES.field(0), pa.array(numbers, pa.int64()))


def _groups(merged: dict[str, _Pending], known: dict[str, int]) -> Iterator[dict[str, _Pending]]:
    """Series to merge, so many at a time that their headers fit into memory."""
    group: dict[str, _Pending] = {}
    size = 0
    for uid, pending in merged.items():
        if group and size + pending.instances > MERGE_AT_ONCE:
            yield group
            group, size = {}, 0
        group[uid] = pending
        size += max(pending.instances, 1)
    if group:
        yield group
