"""The embedded engine: DuckDB over the Parquet files of a snapshot.

A condition becomes a boolean over the rows of `series` (alias s). Without `same`, each condition
may be met by a different series of the entity asked for, so a condition at the level of patients
reads `s.patient_key in (select patient_key from series s where ...)`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Answer
from dicomlake.engines import conditions
from dicomlake.engines.columns import COMPUTED, Shown
from dicomlake.engines.conditions import NEVER, Part
from dicomlake.errors import Unsupported, UsageError
from dicomlake.lake import Store
from dicomlake.lake.store import connect, view
from dicomlake.query import (
    And,
    Exists,
    Missing,
    Node,
    Not,
    Or,
    Query,
    Related,
    Same,
)
from dicomlake.query.headers import decider

KEY = {"patient": "patient_key", "study": "study_key", "series": "series_id"}
HEADERS_AT_ONCE = 512


class DuckEngine:
    """Answers queries on one snapshot of a lake; safe to use from several threads.

    `memory_limit`: what DuckDB may use, such as "4GB"; it spills to the lake's folder beyond.
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

    def answer(self, query: Query) -> Answer:
        """The answer; Unsupported names a node that this engine cannot run."""
        began = time.perf_counter()
        with self._compiler() as compiler:
            if query.level == "instance":
                found = compiler.instances(query)
            else:
                found = compiler.entities(query)
            totals, rows = found
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
    def _compiler(self) -> Iterator[_Compiler]:
        db = self._db.cursor()
        try:
            yield _Compiler(db, self._store, self._varying)
        finally:
            db.close()


@dataclass(slots=True)
class _Compiler:
    """Compiles one query; temporary tables live as long as its cursor."""

    db: duckdb.DuckDBPyConnection
    store: Store
    varying: frozenset[str]
    _tables: int = 0
    _known: dict[tuple[Node, str], Part] = field(default_factory=dict)

    # Answers

    def entities(self, query: Query) -> tuple[dict[str, int], pa.Table]:
        """Totals and rows at the level of patients, studies or series."""
        where = Part("true")
        if query.where is not None:
            where = self.condition(query.where, query.level, None)
        row = self._one(
            "select count(distinct patient_key), count(distinct study_key), count(*), "
            f"coalesce(sum(instances), 0)::bigint from series s where {where.sql}",
            where.values,
        )
        names = ("patients", "studies", "series", "instances")
        totals = dict(zip(names, row, strict=True))
        shown = Shown(self.db, query, self.any_depth)
        return totals, shown.entities(where)

    def instances(self, query: Query) -> tuple[dict[str, int], pa.Table]:
        """Totals and rows at the level of instances."""
        if query.where is None:
            matched = "(select series_id, SOPInstanceUID from instances)"
        else:
            matched = self.matching(query.where, None)
        row = self._one(
            "select count(distinct s.patient_key), count(distinct s.study_key), "
            f"count(distinct s.series_id), count(*) from {matched} m "
            "join series s using (series_id)"
        )
        totals = dict(zip(("patients", "studies", "series", "instances"), row, strict=True))
        shown = Shown(self.db, query, self.any_depth)
        return totals, shown.instances(matched)

    def _one(self, statement: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        return tuple(self.db.execute(statement, list(values)).fetchall()[0])

    # Conditions over series s

    def condition(self, node: Node, level: str, narrow: Part | None) -> Part:
        """A boolean over `series s` at a level; `narrow` is one that must hold as well."""
        return self._condition(node, level, narrow)

    @singledispatchmethod
    def _condition(self, node: Node, level: str, narrow: Part | None) -> Part:
        if isinstance(node, conditions.Leaf):
            return self._lift(self._leaf(node, level, narrow), level)
        raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__}.")

    @_condition.register
    def _(self, node: And, level: str, narrow: Part | None) -> Part:
        # What needs headers comes last, and only for what the others leave.
        found: Part | None = None
        for part in sorted(node.parts, key=self._effort):
            within = narrow if found is None else (found if narrow is None else narrow & found)
            made = self._condition(part, level, within)
            found = made if found is None else found & made
        assert found is not None
        return found

    @_condition.register
    def _(self, node: Or, level: str, narrow: Part | None) -> Part:
        parts = [self._condition(part, level, narrow) for part in node.parts]
        found = parts[0]
        for part in parts[1:]:
            found = found | part
        return found

    @_condition.register
    def _(self, node: Not, level: str, narrow: Part | None) -> Part:
        part = self._condition(node.part, level, narrow)
        return Part(f"(not coalesce({part.sql}, false))", part.values)

    @_condition.register
    def _(self, node: Missing, level: str, narrow: Part | None) -> Part:
        return self._condition(Not(Exists(node.path)), level, narrow)

    @_condition.register
    def _(self, node: Same, level: str, narrow: Part | None) -> Part:
        if node.level == "segment":
            raise Unsupported(
                "The DuckDB engine cannot run same(segment, ...): this lake has no segments."
            )
        if node.level in ("instance", "item"):
            inner: Node = node if node.level == "item" else node.part
            matched = self.matching(inner, narrow)
            part = Part(f"s.series_id in (select series_id from {matched})")
            return self._lift(part, level)
        if _ORDER[node.level] < _ORDER[level]:
            # A series has one study: at a finer level, same(study) asks about that study.
            return self._condition(node.part, node.level, None)
        return self._lift(self._condition(node.part, node.level, None), level)

    @_condition.register
    def _(self, node: Related, level: str, narrow: Part | None) -> Part:
        name = self._name("related")
        first = self._condition(node.first, "series", None)
        second = self._condition(node.second, "series", None)
        moment = "coalesce(StudyDate, SeriesDate, AcquisitionDate, ContentDate)"
        apart = "b.day - a.day"
        low, high = node.days_low, node.days_high
        strict = "0" if low is not None or high is not None else "1"
        bounds = {
            "before": f"{apart} between {low or strict} and {'1e9' if high is None else high}",
            "after": f"-({apart}) between {low or strict} and {'1e9' if high is None else high}",
            "within": f"abs({apart}) between {low or 0} and {'1e9' if high is None else high}",
        }[node.relation]
        key = KEY[level]
        self.db.execute(
            f"create temp table {name} as "
            f"with a as (select distinct patient_key, {key} as entity, {moment} as day "
            f"from series s where {first.sql}), "
            f"b as (select distinct patient_key, {moment} as day from series s "
            f"where {second.sql}) "
            f"select distinct a.entity from a join b using (patient_key) where {bounds}",
            [*first.values, *second.values],
        )
        return Part(f"s.{key} in (select entity from {name})")

    def _lift(self, part: Part, level: str) -> Part:
        """A condition on single series as one on the patients or studies that have such ones."""
        if level == "series":
            return part
        key = KEY[level]
        return Part(f"s.{key} in (select {key} from series s where {part.sql})", part.values)

    def _effort(self, node: Node) -> int:
        if isinstance(node, Same) and node.level in ("instance", "item"):
            return 2
        return 1 if isinstance(node, Related | And | Or | Not) else 0

    # Conditions on one attribute

    def _leaf(self, node: Any, level: str, narrow: Part | None) -> Part:
        """A boolean over `series s`: some value of this series meets the condition."""
        computed = COMPUTED.get(node.path)
        if computed is not None:
            return computed.condition(node)
        found = conditions.wide(node)
        if found is not None and node.path not in self.varying:
            return found
        both = conditions.rows(node)
        path = self._paths(node.path)
        made = Part(
            f"s.series_id in (select series_id from elements where {path.sql} and {both.sure.sql})",
            path.values + both.sure.values,
        )
        if both.doubt is NEVER:
            return made
        doubt = Part(
            "s.series_id in (select series_id from elements "
            f"where {path.sql} and {both.doubt.sql})",
            path.values + both.doubt.values,
        )
        return self._decided(node, made, doubt, narrow)

    def _decided(self, node: Node, sure: Part, doubt: Part, narrow: Part | None) -> Part:
        """`sure`, or a doubtful series with an instance whose header meets the condition."""
        doubtful = doubt & Part(f"not ({sure.sql})", sure.values)
        if narrow is not None:
            doubtful = doubtful & narrow
        count = self._one(f"select count(*) from series s where {doubtful.sql}", doubtful.values)
        if not count[0]:
            return sure
        name = self._name("decided")
        self.db.execute(f"create temp table {name} (series_id bigint)")
        self._by_headers(node, doubtful, Part("true"), name, by_series=True)
        return sure | Part(f"s.series_id in (select series_id from {name})")

    def _paths(self, path: str) -> Part:
        """A test on the column `path`; a path at any depth becomes those that occur."""
        if not path.startswith("*."):
            return Part("path = ?", (path,))
        return Part("path = any(?)", (self.any_depth(path),))

    def any_depth(self, path: str) -> list[str]:
        """The paths of the lake that a path with `*.` in front stands for."""
        if not path.startswith("*."):
            return [path]
        last = path[2:]
        source = "vocabulary" if self._one("select count(*) from vocabulary")[0] else "elements"
        found = self.db.execute(
            f"select distinct path from {source} where path = ? or ends_with(path, ?)",
            [last, "." + last],
        ).fetchall()
        return [row[0] for row in found]

    # Conditions on single instances

    def matching(self, node: Node, narrow: Part | None) -> str:
        """A temporary table (series_id, SOPInstanceUID) of the instances that meet a condition."""
        name = self._name("matching")
        self.db.execute(f'create temp table {name} (series_id bigint, "SOPInstanceUID" varchar)')
        parts = node.parts if isinstance(node, And) else (node,)
        columns = Part("true")
        rest: list[Node] = []
        for part in parts:
            column = conditions.of_instance(part)
            if column is None:
                rest.append(part)
            else:
                columns = columns & column
        if not rest:
            self._insert(name, narrow or Part("true"), columns)
            return name
        left = rest[0] if len(rest) == 1 else And(tuple(rest))
        some, every = self._bounds(left)
        inside = some if narrow is None else some & narrow
        self._insert(name, inside & every, columns)
        doubtful = inside & Part(f"not coalesce({every.sql}, false)", every.values)
        self._by_headers(left, doubtful, columns, name, by_series=False)
        return name

    def _insert(self, name: str, series: Part, instances: Part) -> None:
        self.db.execute(
            f'insert into {name} select i.series_id, i."SOPInstanceUID" from instances i '
            f"where i.series_id in (select series_id from series s where {series.sql}) "
            f"and {instances.sql}",
            [*series.values, *instances.values],
        )

    def _bounds(self, node: Node) -> tuple[Part, Part]:
        """Series in which some instance may meet a condition, and those in which all do."""
        if isinstance(node, And | Or):
            both = [self._bounds(part) for part in node.parts]
            some, every = both[0]
            for other_some, other_every in both[1:]:
                if isinstance(node, And):
                    some, every = some & other_some, every & other_every
                else:
                    some, every = some | other_some, every | other_every
            return some, every
        if isinstance(node, Not):
            some, every = self._bounds(node.part)
            return (
                Part(f"not coalesce({every.sql}, false)", every.values),
                Part(f"not coalesce({some.sql}, false)", some.values),
            )
        if isinstance(node, Missing):
            return self._bounds(Not(Exists(node.path)))
        if isinstance(node, Same):
            if node.level in ("study", "series", "segment"):
                raise Unsupported(
                    f"The DuckDB engine cannot run same({node.level}, ...) on single instances."
                )
            some, every = self._bounds(node.part)
            return (some, every if node.level == "instance" else NEVER)
        if isinstance(node, Related):
            raise Unsupported("The DuckDB engine cannot run related(...) on single instances.")
        both_rows, path = conditions.rows(node), self._paths(node.path)  # type: ignore[attr-defined]
        some = Part(
            "s.series_id in (select series_id from elements where "
            f"{path.sql} and ({both_rows.sure.sql} or {both_rows.doubt.sql}))",
            path.values + both_rows.sure.values + both_rows.doubt.values,
        )
        every = Part(
            "(s.series_id, s.instances) in (select (series_id, instances) from elements where "
            f"{path.sql} and not folded and {both_rows.sure.sql})",
            path.values + both_rows.sure.values,
        )
        return some, every

    def _by_headers(
        self, node: Node, series: Part, instances: Part, name: str, *, by_series: bool
    ) -> None:
        """Add what the headers of doubtful series show to meet a condition to a table."""
        test = decider(node)
        found = self.db.execute(
            f"select s.series_id from series s where {series.sql}", [*series.values]
        )
        ids = [row[0] for row in found.fetchall()]
        for start in range(0, len(ids), HEADERS_AT_ONCE):
            met = self._met(test, ids[start : start + HEADERS_AT_ONCE], instances)
            columns = {"series_id": pa.array([m[0] for m in met], pa.int64())}
            if not by_series:
                columns["SOPInstanceUID"] = pa.array([m[1] for m in met], pa.string())
            self.db.register("met", pa.table(columns))
            self.db.execute(f"insert into {name} select distinct * from met")
            self.db.unregister("met")

    def _met(self, test: Any, ids: list[int], instances: Part) -> list[tuple[int, str]]:
        db = self.db.cursor()
        try:
            rows = db.execute(
                f'select i.series_id, i."SOPInstanceUID", i.header from instances i '
                f"where i.series_id = any(?) and {instances.sql}",
                [ids, *instances.values],
            )
            met = []
            while some := rows.fetchmany(256):
                met += [(s, uid) for s, uid, header in some if test(orjson.loads(header))]
            return met
        finally:
            db.close()

    def _name(self, what: str) -> str:
        self._tables += 1
        return f"_{what}_{self._tables}"


def _confine(db: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Let a connection read the files of the lake and nothing else."""
    folder = str(store.path.resolve()).replace("'", "''")
    db.execute(f"set allowed_directories = ['{folder}']")
    db.execute("set enable_external_access = false")
    db.execute("set lock_configuration = true")


_ORDER = {"patient": 0, "study": 1, "series": 2}
