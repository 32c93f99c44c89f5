"""The embedded engine: DuckDB over the Parquet files of a snapshot.

snapshot     the series of the lake as numbers in memory
conditions   a condition on one attribute as SQL
search       a tree of conditions to the series and instances that meet it
order        which of them are the rows of an answer
columns      what the answer shows of its rows
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Answer
from dicomlake.engines.columns import Shown
from dicomlake.engines.contents import with_anatomy
from dicomlake.engines.order import Order, Page
from dicomlake.engines.search import Search
from dicomlake.engines.snapshot import Mask, Snapshot
from dicomlake.errors import Cancelled, UsageError
from dicomlake.lake import Store, results
from dicomlake.lake.store import connect, view
from dicomlake.query import Query


class DuckEngine:
    """Answers queries on one snapshot of a lake; safe to use from several threads.

    `memory_limit`: what DuckDB may use, such as "4GB"; it spills to the lake's folder beyond.
    """

    def __init__(self, store: Store, *, memory_limit: str | None = None) -> None:
        self._db = _connection(store, memory_limit)
        for name in tables.ALL:
            view(self._db, name, store.paths(name))
        _confine(self._db, store)
        self._snapshot = Snapshot(self._db)
        self._store, self._memory_limit = store, memory_limit
        self._tables: duckdb.DuckDBPyConnection | None = None
        self._running: list[_Running] = []
        self._lock = threading.Lock()

    def answer(self, query: Query) -> Answer:
        """The answer; Unsupported names a node that this engine cannot run."""
        began = time.perf_counter()
        with self._run(self._db, query) as run:
            search = Search(run.db, self._snapshot, run.check)
            answer = self._instances if query.level == "instance" else self._entities
            totals, rows, mask = answer(search, query)
        notes = self._snapshot.notes(mask)
        return Answer(query, totals, rows, time.perf_counter() - began, notes)

    def _entities(self, search: Search, query: Query) -> tuple[dict[str, int], pa.Table, Mask]:
        snapshot = self._snapshot
        mask = own = snapshot.every()
        if query.where is not None:
            where = with_anatomy(query.where)
            mask = search.series(where, query.level)
            own = search.series(where, "series", mask) & mask
        page = Order(search, query).entities(mask, own)
        totals = snapshot.totals(mask, snapshot.instances)
        return totals, Shown(search, query, page).entities(), mask

    def _instances(self, search: Search, query: Query) -> tuple[dict[str, int], pa.Table, Mask]:
        snapshot = self._snapshot
        found = search.instances(None if query.where is None else with_anatomy(query.where))
        members = Order(search, query).instances(found)
        at, _ = snapshot.places(members.column("series_id").to_numpy())
        shown = Shown(search, query, Page(np.arange(len(at)), at, len(at)))
        mask = found.counts > 0
        return snapshot.totals(mask, found.counts), shown.instances(members), mask

    def sql(self, statement: str, limit: int | None = None) -> pa.Table:
        """The rows of one read-only SELECT over the current rows of the lake's tables.

        `extraction_NAME` is the newest version of the result of an extraction.

        UsageError for anything else, or with the reason that DuckDB gives.
        """
        with self._run(self._current(), statement) as run:
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

    def cancel(self, question: Query | str) -> None:
        """Stop whatever is answering this very query or SQL text; it raises Cancelled."""
        with self._lock:
            for run in self._running:
                if run.question is question:
                    run.cancelled = True
                    run.db.interrupt()

    @contextmanager
    def _run(self, db: duckdb.DuckDBPyConnection, question: Query | str) -> Iterator[_Running]:
        run = _Running(question, db.cursor())
        with self._lock:
            self._running.append(run)
        try:
            yield run
        except duckdb.InterruptException as error:
            raise Cancelled("The answer was cancelled.") from error
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
                _confine(db, self._store)
                self._tables = db
            return self._tables


@dataclass(slots=True, eq=False)
class _Running:
    """A question that is being answered, on a connection of its own."""

    question: Query | str
    db: duckdb.DuckDBPyConnection
    cancelled: bool = False

    def check(self) -> None:
        """Raise Cancelled when somebody has cancelled the answer."""
        if self.cancelled:
            raise Cancelled("The answer was cancelled.")


def _connection(store: Store, memory_limit: str | None) -> duckdb.DuckDBPyConnection:
    db = connect()
    db.execute("set temp_directory = ?", [str(store.path.resolve() / "_spill")])
    if memory_limit:
        db.execute("set memory_limit = ?", [memory_limit])
    # The rows of a page are looked up by their numbers, which skips the row groups without them.
    db.execute("set dynamic_or_filter_threshold = 1000")
    return db


def _confine(db: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Let a connection read the files of the lake and nothing else."""
    folder = str(store.path.resolve()).replace("'", "''")
    db.execute(f"set allowed_directories = ['{folder}']")
    db.execute("set enable_external_access = false")
    db.execute("set lock_configuration = true")
