"""The embedded engine: DuckDB over the Parquet files of a snapshot.

snapshot     the series of the lake as numbers in memory
conditions   a condition on one attribute as SQL
search       a tree of conditions to the series and instances that meet it
order        which of them are the rows of an answer
columns      what the answer shows of its rows
groups       what meets a condition, counted or measured by group
quality      what objects of it do against the Standard
assessment   how complete and how right its headers are: the numbers of a report
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Answer
from dicomlake.engines.assessment import Asked, assess
from dicomlake.engines.columns import Shown
from dicomlake.engines.contents import with_anatomy
from dicomlake.engines.groups import Grouped, Groups
from dicomlake.engines.order import Order, Page
from dicomlake.engines.quality import Conformance, conformance
from dicomlake.engines.remembered import Remembered
from dicomlake.engines.search import Instances, Search, moments, scans
from dicomlake.engines.snapshot import Mask, Snapshot
from dicomlake.errors import Cancelled, LakeError, UsageError
from dicomlake.lake import Store, results
from dicomlake.lake.database import literal
from dicomlake.lake.linking import show_linked
from dicomlake.lake.store import EXTRACTIONS, SPILL, connect
from dicomlake.query import Node, Query

_MOST_REMEMBERED = 256 * 1024**2
"""Bytes of what single conditions found, and again of what whole questions found."""
_MOST_GROUPED = 32 * 1024**2
"""Bytes of groups."""


class DuckEngine:
    """Answers queries on one snapshot of a lake; safe to use from several threads.

    `memory_limit`: what DuckDB may use, such as "4GB"; it spills to the lake's folder beyond.
    """

    def __init__(self, store: Store, *, memory_limit: str | None = None) -> None:
        self._db = _connection(store, memory_limit)
        for name in tables.ALL:
            store.show(self._db, name)
        _confine(self._db, store)
        self._snapshot = Snapshot(self._db)
        self._store, self._memory_limit = store, memory_limit
        self._tables: duckdb.DuckDBPyConnection | None = None
        self._scans = scans(_MOST_REMEMBERED)
        self._dated = moments(_MOST_REMEMBERED)
        self._known: Remembered[tuple[Node | None, str], _Found] = Remembered(
            _MOST_REMEMBERED, lambda found: found.size
        )
        self._grouped: Remembered[Grouped, pa.Table] = Remembered(
            _MOST_GROUPED, lambda table: table.nbytes
        )
        self._running: list[_Running] = []
        self._lock = threading.Lock()

    def answer(self, query: Query, start: int = 0, ticket: object = None) -> Answer:
        """The answer, without its first `start` rows.

        The next page of an answer is quick: what met the condition is remembered for a while.
        `ticket`: what `cancel` knows the question by, instead of the query itself. Unsupported
        names a node that this engine cannot run.
        """
        began = time.perf_counter()
        with self._run(self._db, ticket or query) as run:
            found = self._found(run, query.where, query.level)
            rows = next(self._rows(run, query, found, start))
        seconds = time.perf_counter() - began
        return Answer(query, found.totals, rows, seconds, self._snapshot.notes(found.mask))

    def pages(self, query: Query, size: int = 10_000, ticket: object = None) -> Iterator[pa.Table]:
        """All rows of an answer in pieces, one at least; a piece may type its columns otherwise."""
        with self._run(self._db, ticket or query) as run:
            found = self._found(run, query.where, query.level)
            yield from self._rows(run, query, found, 0, size)

    def count(self, where: Node | None, level: str, ticket: object = None) -> dict[str, int]:
        """Patients, studies, series and instances that a question finds, without its rows.

        `ticket`: what `cancel` knows the question by.
        """
        with self._run(self._db, ticket) as run:
            return self._found(run, where, level).totals

    def groups(self, question: Grouped, ticket: object = None) -> pa.Table:
        """One row per group of what meets a condition, see `engines.groups`."""
        with self._run(self._db, ticket or question) as run:

            def find() -> pa.Table:
                groups = self._groups(run, question.where, question.level)
                return groups.rows(question)

            return self._grouped.once(question, find, run.check)

    def conformance(
        self, where: Node | None, level: str, limit: int, ticket: object = None
    ) -> Conformance:
        """What objects do against the Standard, of what meets a condition: `engines.quality`."""
        with self._run(self._db, ticket) as run:
            return conformance(self._groups(run, where, level), limit)

    def quality(
        self, asked: Asked, where: Node | None, level: str, ticket: object = None
    ) -> dict[str, Any]:
        """The numbers of a report of quality, of what meets a condition: `engines.assessment`."""
        with self._run(self._db, ticket) as run:
            return assess(self._groups(run, where, level), asked)

    def _groups(self, run: _Running, where: Node | None, level: str) -> Groups:
        found = self._found(run, where, level)
        counts = None if found.instances is None else found.instances.counts
        return Groups(self._search(run), found.mask, counts)

    @contextmanager
    def chosen(
        self, where: Node | None, level: str, ticket: object = None
    ) -> Iterator[tuple[Search, Mask]]:
        """A search, and the series that a question finds, for readers of their rows."""
        with self._run(self._db, ticket) as run:
            yield self._search(run), self._found(run, where, level).mask

    def read(self, statement: str, values: Sequence[Any] = (), ticket: object = None) -> pa.Table:
        """Rows of SQL of ours over the current rows of the lake's tables."""
        with self._run(self._current(), ticket) as run:
            table: pa.Table = run.db.sql(statement, params=list(values)).to_arrow_table()
            return table

    def _search(self, run: _Running) -> Search:
        return Search(run.db, self._snapshot, run.check, scanned=self._scans, dated=self._dated)

    def _found(self, run: _Running, where: Node | None, level: str) -> _Found:
        """What meets a condition; remembered."""
        meant = None if where is None else with_anatomy(where)
        find = self._find_instances if level == "instance" else self._find_series
        return self._known.once(
            (where, level), lambda: find(self._search(run), meant, level), run.check
        )

    def _find_series(self, search: Search, where: Node | None, level: str) -> _Found:
        snapshot = self._snapshot
        mask = own = snapshot.every()
        if where is not None:
            mask = search.series(where, level)
            own = search.series(where, "series", mask) & mask
        return _Found(mask, own, snapshot.totals(mask, snapshot.instances))

    def _find_instances(self, search: Search, where: Node | None, _level: str) -> _Found:
        found = search.instances(where)
        mask = found.counts > 0
        return _Found(mask, mask, self._snapshot.totals(mask, found.counts), found)

    def _rows(
        self, run: _Running, query: Query, found: _Found, start: int, size: int | None = None
    ) -> Iterator[pa.Table]:
        """Rows of an answer, in pieces of a size."""
        search = self._search(run)
        order = Order(search, query, start)
        members = None if found.instances is None else order.instances(found.instances)
        if members is None:
            whole = order.entities(found.mask, found.own)
        else:
            at, _ = self._snapshot.places(members.column("series_id").to_numpy())
            whole = Page(np.arange(len(at)), at, len(at))
        for first in range(0, max(whole.size, 1), size or max(whole.size, 1)):
            run.check()
            page = whole if size is None else whole.part(first, size)
            shown = Shown(search, query, page)
            if members is None:
                yield shown.entities()
            else:
                yield shown.instances(members.slice(first, page.size))

    def sql(self, statement: str, limit: int | None = None, ticket: object = None) -> pa.Table:
        """The rows of one read-only SELECT over the current rows of the lake's tables.

        `extraction_NAME` is the newest version of the result of an extraction.

        UsageError for anything else, or with the reason that DuckDB gives.
        """
        with self._run(self._current(), ticket or statement) as run:
            try:
                parsed = run.db.extract_statements(statement)
                if len(parsed) != 1 or parsed[0].type != duckdb.StatementType.SELECT:
                    raise UsageError("Give one SELECT statement; SQL here only reads the lake.")
                if "extraction_" in statement.lower():
                    with self._lock:
                        results.show(self._store, run.db)
                relation = run.db.sql(statement)
                if limit is not None:
                    relation = relation.limit(limit)
                table: pa.Table = relation.to_arrow_table()
            except duckdb.InterruptException:
                raise
            except duckdb.Error as error:
                raise UsageError(f"DuckDB says: {str(error).strip()}") from error
        return table

    def forget(self) -> None:
        """Remember nothing of what was asked before; for measuring."""
        for known in (self._scans, self._dated, self._known, self._grouped):
            known.clear()

    def cancel(self, question: object) -> None:
        """Stop whatever answers this very query, SQL text or ticket; it raises Cancelled."""
        with self._lock:
            for run in self._running:
                if run.question is question:
                    run.cancelled = True
                    run.db.interrupt()

    @contextmanager
    def _run(self, db: duckdb.DuckDBPyConnection, question: object) -> Iterator[_Running]:
        run = _Running(question, db.cursor())
        with self._lock:
            self._running.append(run)
        try:
            yield run
        except duckdb.InterruptException as error:
            raise Cancelled("The answer was cancelled.") from error
        except duckdb.IOException as error:
            raise LakeError(
                f"Files of version {self._store.version} cannot be read any more. Ask a newer "
                "version."
            ) from error
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # what DuckDB makes of Ctrl-C
                raise KeyboardInterrupt from error
            raise
        finally:
            with self._lock:
                self._running.remove(run)
            run.db.close()

    def _current(self) -> duckdb.DuckDBPyConnection:
        """A connection that sees the lake's tables without rows of replaced series."""
        with self._lock:
            if self._tables is None:
                db = _connection(self._store, self._memory_limit)
                self._store.show_current(db)
                show_linked(db)
                _confine(db, self._store)
                self._tables = db
            return self._tables


@dataclass(frozen=True, slots=True)
class _Found:
    """What meets a condition at a level.

    `own`: those of the series that meet it by themselves; `instances` where single ones are asked.
    """

    mask: Mask
    own: Mask
    totals: dict[str, int]
    instances: Instances | None = None

    @property
    def size(self) -> int:
        """Bytes, about."""
        more = self.instances
        return 2 * self.mask.nbytes + (more.single.nbytes + 9 * self.mask.nbytes if more else 0)


@dataclass(slots=True, eq=False)
class _Running:
    """A question that is being answered, on a connection of its own."""

    question: object
    db: duckdb.DuckDBPyConnection
    cancelled: bool = False

    def check(self) -> None:
        """Raise Cancelled when somebody has cancelled the answer."""
        if self.cancelled:
            raise Cancelled("The answer was cancelled.")


def _connection(store: Store, memory_limit: str | None) -> duckdb.DuckDBPyConnection:
    db = connect()
    db.execute("set temp_directory = ?", [str(store.path.resolve() / SPILL)])
    if memory_limit:
        db.execute("set memory_limit = ?", [memory_limit])
    # The rows of a page are looked up by their numbers, which skips the row groups without them.
    db.execute("set dynamic_or_filter_threshold = 1000")
    return db


def _confine(db: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Let a connection read the files of the lake's tables and nothing else.

    Settings, tokens, tasks, saved questions and kept objects lie in folders beside them.
    """
    folder = store.path.resolve()
    names = [*tables.ALL, EXTRACTIONS, SPILL]
    allowed = [*(folder / name for name in names), *store.more_folders]
    db.execute(f"set allowed_directories = [{', '.join(literal(path) for path in allowed)}]")
    db.execute("set enable_external_access = false")
    db.execute("set lock_configuration = true")
