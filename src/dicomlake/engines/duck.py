"""The embedded engine: DuckDB scans the tables of a snapshot, masks join what it finds.

Without `same`, each condition may be met by a different series of the entity asked for: so a
condition finds the series that meet it, and these stand for their whole patient or study before
they are joined with those of other conditions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Answer
from dicomlake.dicom import dictionary
from dicomlake.engines import conditions
from dicomlake.engines.columns import COMPUTED, Shown
from dicomlake.engines.conditions import NEVER, Part
from dicomlake.engines.universe import Mask, Universe, numbers
from dicomlake.errors import Unsupported, UsageError
from dicomlake.lake import Store
from dicomlake.lake.store import connect, view
from dicomlake.query import And, Exists, Missing, Node, Not, OneOf, Or, Query, Related, Same
from dicomlake.query.headers import comparable, decider

LONG_LIST = 200
"""Longer lists of values become a table that is joined."""
HEADERS_AT_ONCE = 512
"""Series whose headers are looked at in one statement."""


class DuckEngine:
    """Answers queries on one snapshot of a lake; safe to use from several threads.

    `memory_limit`: what DuckDB may use, such as "4GB".
    """

    def __init__(self, store: Store, *, memory_limit: str | None = None) -> None:
        self._store = store
        self._db = connect()
        if memory_limit:
            self._db.execute("set memory_limit = ?", [memory_limit])
        for name in tables.ALL:
            view(self._db, name, store.paths(name))
        _confine(self._db, store)
        found = self._db.execute("select distinct unnest(varying) from series").fetchall()
        self._varying = frozenset(row[0] for row in found)
        self._universe = Universe(self._db)

    def answer(self, query: Query) -> Answer:
        """The answer; Unsupported names a node that this engine cannot run."""
        began = time.perf_counter()
        with self._question() as question:
            if query.level == "instance":
                totals, rows = question.instances(query)
            else:
                totals, rows = question.entities(query)
        return Answer(query, totals, rows, time.perf_counter() - began)

    def sql(self, statement: str, limit: int | None = None) -> pa.Table:
        """The rows of one read-only SELECT over the current rows of the lake's tables.

        UsageError for anything else, or with the reason that DuckDB gives.
        """
        with self._store.database() as db:
            _confine(db, self._store)
            try:
                parsed = db.extract_statements(statement)
                if len(parsed) != 1 or parsed[0].type != duckdb.StatementType.SELECT:
                    raise UsageError("Give one SELECT statement; SQL here only reads the lake.")
                relation = db.sql(statement)
                table: pa.Table = (
                    relation if limit is None else relation.limit(limit)
                ).to_arrow_table()
            except duckdb.Error as error:
                raise UsageError(f"DuckDB says: {str(error).strip()}") from error
        return table

    @contextmanager
    def _question(self) -> Iterator[_Question]:
        db = self._db.cursor()
        try:
            yield _Question(db, self._universe, self._varying)
        finally:
            db.close()


def _confine(db: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Let a connection read the files of the lake and nothing else."""
    folder = str(store.path.resolve()).replace("'", "''")
    db.execute(f"set allowed_directories = ['{folder}']")
    db.execute("set enable_external_access = false")
    db.execute("set lock_configuration = true")


@dataclass(slots=True)
class _Question:
    """Works out one query on a cursor of its own; temporary tables live as long as that."""

    db: duckdb.DuckDBPyConnection
    universe: Universe
    varying: frozenset[str]
    _tables: int = 0
    _scanned: dict[Node, tuple[Mask, Mask]] = field(default_factory=dict)

    # Answers

    def entities(self, query: Query) -> tuple[dict[str, int], pa.Table]:
        """Totals and rows at the level of patients, studies or series."""
        everything = np.ones(len(self.universe), np.bool_)
        mask = own = everything
        if query.where is not None:
            mask = self.condition(query.where, query.level, everything)
            if query.level != "series":
                own = self.condition(query.where, "series", mask)
        shown = Shown(self.db, self.universe, query, self.any_depth)
        return self.universe.totals(mask), shown.entities(mask, own & mask)

    def instances(self, query: Query) -> tuple[dict[str, int], pa.Table]:
        """Totals and rows at the level of instances."""
        everything = np.ones(len(self.universe), np.bool_)
        if query.where is None:
            mask, count, name = everything, int(self.universe.instances.sum()), None
        else:
            name = self.matching(query.where, everything)
            mask = self.universe.mask(numbers(self.db, f"select distinct series_id from {name}"))
            count = int(numbers(self.db, f"select count(*) from {name}")[0])
        shown = Shown(self.db, self.universe, query, self.any_depth)
        return {**self.universe.totals(mask), "instances": count}, shown.instances(name)

    # Conditions on series

    def condition(self, node: Node, level: str, narrow: Mask) -> Mask:
        """Series of the entities that meet a condition; `narrow`: no others are asked for."""
        return self._condition(node, level, narrow)

    @singledispatchmethod
    def _condition(self, node: Node, level: str, narrow: Mask) -> Mask:
        if isinstance(node, conditions.Leaf):
            return self.universe.lift(self._leaf(node, narrow), level)
        raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__}.")

    @_condition.register
    def _(self, node: And, level: str, narrow: Mask) -> Mask:
        for part in sorted(node.parts, key=_effort):
            narrow = narrow & self._condition(part, level, narrow)
        return narrow

    @_condition.register
    def _(self, node: Or, level: str, narrow: Mask) -> Mask:
        made = np.zeros(len(self.universe), np.bool_)
        for part in node.parts:
            made |= self._condition(part, level, narrow)
        return made

    @_condition.register
    def _(self, node: Not, level: str, narrow: Mask) -> Mask:
        return ~self._condition(node.part, level, narrow)

    @_condition.register
    def _(self, node: Missing, level: str, narrow: Mask) -> Mask:
        return ~self._condition(Exists(node.path), level, narrow)

    @_condition.register
    def _(self, node: Same, level: str, narrow: Mask) -> Mask:
        if node.level == "segment":
            raise Unsupported(
                "The DuckDB engine cannot run same(segment, ...): this lake has no segments."
            )
        if node.level in ("instance", "item"):
            name = self.matching(node if node.level == "item" else node.part, narrow)
            found = numbers(self.db, f"select distinct series_id from {name}")
            return self.universe.lift(self.universe.mask(found), level)
        # Masks of a study's condition are whole studies, so at a finer level nothing is lost.
        whole = self.universe.lift(narrow, node.level)
        return self.universe.lift(self._condition(node.part, node.level, whole), level)

    @_condition.register
    def _(self, node: Related, level: str, narrow: Mask) -> Mask:
        patients = self.universe.lift(narrow, "patient")
        first = self._condition(node.first, "series", patients)
        second = self._condition(node.second, "series", patients)
        days = self.universe.days(self.db)
        bounded = node.days_low is not None or node.days_high is not None
        low = node.days_low if node.days_low is not None else (0 if bounded else 1)
        high = node.days_high if node.days_high is not None else 1e7
        if node.relation == "before":
            met = self.universe.related(first, second, low, high, days)
        elif node.relation == "after":
            met = self.universe.related(first, second, -high, -low, days)
        else:
            low = node.days_low or 0
            met = self.universe.related(first, second, low, high, days)
            met |= self.universe.related(first, second, -high, -low, days)
        return self.universe.lift(met, level)

    # Conditions on one attribute

    def _leaf(self, node: Any, narrow: Mask) -> Mask:
        """Series of which some value meets a condition."""
        if node not in self._scanned:
            self._scanned[node] = self._scan(node)
        met, doubtful = self._scanned[node]
        doubtful = doubtful & narrow
        if not doubtful.any():
            return met
        found = [number for number, _ in self._by_headers(node, doubtful, Part("true"))]
        return met | self.universe.mask(np.array(found, np.int64))

    def _scan(self, node: Any) -> tuple[Mask, Mask]:
        """Series that meet a condition for certain, and those whose headers must decide."""
        nothing = np.zeros(len(self.universe), np.bool_)
        computed = COMPUTED.get(node.path)
        if computed is not None and computed.of:
            return computed.met(node, self.universe), nothing
        if computed is not None:  # ModalitiesInStudy: some series of the study has it
            inner = conditions.wide_column(node, "s.Modality", "string")
            assert inner is not None
            return self.universe.lift(self._found("series s", inner), "study"), nothing
        long_list = isinstance(node, OneOf) and len(node.values) > LONG_LIST
        wide = self._joined(node, f's."{node.path}"') if long_list else conditions.wide(node)
        if conditions.is_wide(node.path) and node.path not in self.varying and wide is not None:
            return self._found("series s", wide), nothing
        rows, path = conditions.rows(node), self._paths(node.path)
        sure = self._joined(node, conditions.column_of(node.values[0])) if long_list else rows.sure
        met = self._found("elements", path & sure)
        folds = any(self.universe.folds(self.db, p) for p in self.any_depth(node.path))
        if rows.doubt is NEVER or not folds:
            return met, nothing
        return met, self._found("elements", path & rows.doubt) & ~met

    def _joined(self, node: OneOf, column: str) -> Part:
        """A test whether a column is one of many values, which become a table."""
        name = f"listed_{self._tables}"
        self._tables += 1
        self.db.register(name, pa.table({"v": [comparable(value) for value in node.values]}))
        test = f"{column} in (select v from {name})"
        if column in ("number", "moment"):
            test += f" or {column}_max in (select v from {name})"
        elif dictionary.attribute(node.path).vr == "PN":
            test += (
                f" or (contains({column}, '=') and exists (select 1 from {name} where "
                f"list_contains(string_split({column}, '='), v)))"
            )
        return Part(f"({test})")

    def _found(self, table: str, part: Part) -> Mask:
        """The set of series for which a test holds on a row of a table."""
        return self.universe.mask(
            self._numbers(f"select series_id from {table} where {part.sql}", part)
        )

    def _numbers(self, statement: str, part: Part) -> Any:
        return numbers(self.db, statement, part.values)

    def _paths(self, path: str) -> Part:
        """A test on the column `path`; a path at any depth becomes those that occur."""
        if not path.startswith("*."):
            return Part("path = ?", (path,))
        return Part("path = any(?)", (self.any_depth(path),))

    def any_depth(self, path: str) -> list[str]:
        """The paths of the lake that a path with `*.` in front stands for."""
        return self.universe.any_depth(self.db, path)

    # Conditions on single instances

    def matching(self, node: Node, narrow: Mask) -> str:
        """A temporary table (series_id, SOPInstanceUID) of the instances that meet a condition."""
        name = f"matching_{self._tables}"
        self._tables += 1
        self.db.execute(f'create temp table {name} (series_id bigint, "SOPInstanceUID" varchar)')
        columns, rest = Part("true"), list[Node]()
        for part in node.parts if isinstance(node, And) else (node,):
            column = conditions.of_instance(part)
            if column is not None:
                columns = columns & column
            elif getattr(part, "path", "") in COMPUTED:
                narrow = narrow & self._leaf(part, narrow)
            else:
                rest.append(part)
        if not rest:
            self._keep(name, narrow, columns)
            return name
        left = rest[0] if len(rest) == 1 else And(tuple(rest))
        some, every = self._bounds(left)
        self._keep(name, some & every & narrow, columns)
        met = self._by_headers(left, some & ~every & narrow, columns)
        self._insert(name, met)
        return name

    def _keep(self, name: str, series: Mask, columns: Part) -> None:
        """Add the instances of some series that meet a condition on their columns to a table."""
        self.db.register("asked", pa.table({"series_id": self.universe.ids[series]}))
        self.db.execute(
            f'insert into {name} select i.series_id, i."SOPInstanceUID" from instances i '
            f"where i.series_id in (select series_id from asked) and {columns.sql}",
            list(columns.values),
        )
        self.db.unregister("asked")

    def _insert(self, name: str, met: list[tuple[int, str]]) -> None:
        if met:
            ids, uids = zip(*met, strict=True)
            self.db.register("met", pa.table({"s": pa.array(ids, pa.int64()), "u": pa.array(uids)}))
            self.db.execute(f"insert into {name} select * from met")
            self.db.unregister("met")

    def _bounds(self, node: Node) -> tuple[Mask, Mask]:
        """Series in which some instance may meet a condition, and those in which all do."""
        if isinstance(node, And | Or):
            some, every = self._bounds(node.parts[0])
            for part in node.parts[1:]:
                other = self._bounds(part)
                if isinstance(node, And):
                    some, every = some & other[0], every & other[1]
                else:
                    some, every = some | other[0], every | other[1]
            return some, every
        if isinstance(node, Not | Missing):
            inner = node.part if isinstance(node, Not) else Exists(node.path)
            some, every = self._bounds(inner)
            return ~every, ~some
        if isinstance(node, Same) and node.level in ("instance", "item"):
            some, every = self._bounds(node.part)
            return some, every if node.level == "instance" else np.zeros_like(every)
        if not isinstance(node, conditions.Leaf) or node.path in COMPUTED:
            what = f"same({node.level}, ...)" if isinstance(node, Same) else type(node).__name__
            raise Unsupported(f"The DuckDB engine cannot run {what} on single instances.")
        rows, path = conditions.rows(node), self._paths(node.path)
        some = self._found("elements", path & (rows.sure | rows.doubt))
        sure = path & rows.sure
        found = self.db.execute(
            f"select series_id, instances from elements where {sure.sql} and not folded",
            list(sure.values),
        ).fetchnumpy()
        places = self.universe.places(found["series_id"])
        whole = (places >= 0) & (self.universe.instances[places] == found["instances"])
        every = np.zeros(len(self.universe), np.bool_)
        every[places[whole]] = True
        return some, every

    def _by_headers(self, node: Node, series: Mask, columns: Part) -> list[tuple[int, str]]:
        """(series_id, SOPInstanceUID) of instances whose header meets a condition."""
        test = decider(node)
        ids = self.universe.ids[series].tolist()
        met: list[tuple[int, str]] = []
        for start in range(0, len(ids), HEADERS_AT_ONCE):
            rows = self.db.execute(
                f'select i.series_id, i."SOPInstanceUID", i.header from instances i '
                f"where i.series_id = any(?) and {columns.sql}",
                [ids[start : start + HEADERS_AT_ONCE], *columns.values],
            )
            while some := rows.fetchmany(256):
                met += [(s, uid) for s, uid, header in some if test(orjson.loads(header))]
        return met


def _effort(node: Node) -> int:
    """What needs headers comes last, and only for what the others leave."""
    if isinstance(node, Same) and node.level in ("instance", "item"):
        return 2
    return 0 if isinstance(node, conditions.Leaf) else 1
