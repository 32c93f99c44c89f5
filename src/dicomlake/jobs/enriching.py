"""Enriching: enrichers look at series, and what they state becomes rows of the lake.

Rows are appended under the number of an enrichment; its row of `enrichments` comes last and makes
them visible. A later enrichment of the same series and enricher supersedes an earlier one, whose
rows stay. So a run may be stopped at any time and goes on where it was.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake import plugins, tables
from dicomlake.contracts import Progress
from dicomlake.contracts.enrichers import (
    DONE,
    FAILED,
    HEADERS,
    INSTANCES,
    SKIPPED,
    Enriched,
    Enricher,
    EnricherClass,
    Subject,
)
from dicomlake.errors import DicomlakeError, ServiceError, UsageError
from dicomlake.jobs.objects import elsewhere_of, object_of
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.tidy import tidy
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.compaction import delete, leftovers
from dicomlake.lake.database import literal
from dicomlake.lake.files import order_of
from dicomlake.lake.store import CURRENT
from dicomlake.query import Node, Query, parse

log = logging.getLogger(__name__)

CHECKPOINT_S = 20.0
"""What was stated is committed after so many seconds."""
MOST_ROWS = 100_000
"""Statements after which it is committed at the latest."""
BLOCK = 20_000
"""Series whose rows are read together."""
BLOCK_INSTANCES = 4_000
"""Instances whose rows are read together at most, of enrichers that read them."""
NAMES = (*tables.STATED, "enrichments")


def enricher_of(lake: str | Path, name: str, options: Mapping[str, str] | None = None) -> Enricher:
    """An enricher of a lake, ready to work; UsageError says what it needs."""
    made: Enricher = plugins.load("enrichers", name)(Path(lake).absolute(), dict(options or {}))
    return made


@dataclass(slots=True)
class EnrichReport:
    """What a run did: series done, skipped, failed; rows; reasons and how often."""

    enricher: str = ""
    run_id: str = ""
    done: int = 0
    skipped: int = 0
    failed: int = 0
    annotations: int = 0
    findings: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __str__(self) -> str:
        said = f"{self.enricher}: {self.done:,} series, {self.annotations:,} statements"
        if self.findings:
            said += f", {self.findings:,} findings"
        said += f"; {self.skipped:,} skipped, {self.failed:,} failed, in {self.seconds:.1f} s"
        return said


# What there is to do


def waiting(
    store: Store,
    enricher: Enricher,
    *,
    where: str | Node | None = None,
    again: bool = False,
    failed: bool = True,
) -> pa.Table:
    """The series that an enricher has not looked at, by number, UID, StudyDate and instances.

    Those of the day before and of today come first, then backwards in time. `where`: only series
    that meet a condition. `again`: also those it has looked at. `failed`: also where it failed.
    """
    picked = f"({enricher.where()})"
    with store.database(only=("series", "enrichments")) as db:
        if where is not None:
            db.register("asked", _asked(store, where))
            picked += ' and "SeriesInstanceUID" in (select "SeriesInstanceUID" from asked)'
        if not again:
            states = "" if not failed else f"and state <> {literal(FAILED)}"
            picked += (
                " and series_id not in (select series_id from enrichments where "
                f"enricher = {literal(enricher.name)} and version = {literal(enricher.version)} "
                f"and model = {literal(enricher.model)} {states})"
            )
        return db.sql(
            'select series_id, "SeriesInstanceUID", "StudyDate", instances from series '
            f'where {picked} order by "StudyDate" desc nulls last, series_id'
        ).to_arrow_table()


def _asked(store: Store, where: str | Node) -> pa.Table:
    node = parse(where) if isinstance(where, str) else where
    engine = plugins.load("engines", "duckdb")(store)
    rows = engine.answer(Query(node, "series", ("SeriesInstanceUID",))).rows
    return pa.table({"SeriesInstanceUID": rows.column("SeriesInstanceUID").cast(pa.string())})


SEEN = ("series", "elements", "instances", "annotations")
"""Tables that enrichers see."""


def subjects(
    store: Store, enricher: Enricher, ids: Sequence[int], settings: Any = None
) -> list[Subject]:
    """Some series as an enricher sees them, in the order of their numbers given.

    Those that the lake no longer holds are left out.
    """
    with store.database(only=SEEN) as db:
        db.register("wanted_series", pa.table({"series_id": pa.array(ids, pa.int64())}))
        db.execute("create temp table wanted as select * from wanted_series")
        series = _rows_of(db, "select * from series semi join wanted using (series_id)")
        by_path = _elements(db, enricher.reads)
        instances = _instances(db, enricher.reads)
        stated = _stated(db, enricher.after)
    elsewhere = elsewhere_of(store.path, settings) if instances else None

    def opener(row: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Any]:
        uids = {n: row[n] for n in ("StudyInstanceUID", "SeriesInstanceUID")}
        return lambda instance: object_of({**uids, **instance}, elsewhere)

    rows = {row["series_id"]: row for row in series}
    return [
        Subject(
            rows[n],
            by_path.get(n, {}),
            instances.get(n, ()),
            stated.get(n, ()),
            opener(rows[n]) if elsewhere is not None else None,
        )
        for n in ids
        if n in rows
    ]


class _Columns(dict[str, list[Any]]):
    """Columns of rows as lists; one that nobody asks for is never made."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def __missing__(self, name: str) -> list[Any]:
        found: list[Any] = self.rows.column(name).to_pylist()
        self[name] = found
        return found


class _Row(Mapping[str, Any]):
    """A row of a table, by column."""

    __slots__ = ("_at", "_columns")

    def __init__(self, columns: _Columns, at: int) -> None:
        self._columns, self._at = columns, at

    def __getitem__(self, name: str) -> Any:
        return self._columns[name][self._at]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns.rows.column_names)

    def __len__(self) -> int:
        return int(self._columns.rows.num_columns)


def _rows_of(db: duckdb.DuckDBPyConnection, statement: str) -> list[Mapping[str, Any]]:
    """The rows that a statement finds."""
    columns = _Columns(db.sql(statement).to_arrow_table())
    return [_Row(columns, at) for at in range(columns.rows.num_rows)]


def _elements(
    db: duckdb.DuckDBPyConnection, reads: Iterable[str]
) -> dict[int, dict[str, list[Mapping[str, Any]]]]:
    """Rows of `elements` of the wanted series by number and path."""
    paths = [path for path in reads if path not in (INSTANCES, HEADERS)]
    found: dict[int, dict[str, list[Mapping[str, Any]]]] = {}
    if paths:
        listed = ", ".join(map(literal, paths))
        rows = _rows_of(
            db,
            f"select * from elements semi join wanted using (series_id) where path in ({listed}) "
            "order by series_id, path, position",
        )
        for row in rows:
            found.setdefault(row["series_id"], {}).setdefault(row["path"], []).append(row)
    return found


def _instances(
    db: duckdb.DuckDBPyConnection, reads: Iterable[str]
) -> dict[int, list[Mapping[str, Any]]]:
    """Rows of `instances` of the wanted series by number, with headers where these are read."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    if HEADERS in reads or INSTANCES in reads:
        left = "" if HEADERS in reads else "exclude (header)"
        rows = _rows_of(
            db,
            f"select * {left} from instances semi join wanted using (series_id) "
            'order by series_id, "InstanceNumber", "SOPInstanceUID"',
        )
        for row in rows:
            found.setdefault(row["series_id"], []).append(row)
    return found


def _stated(
    db: duckdb.DuckDBPyConnection, after: Sequence[str]
) -> dict[int, list[Mapping[str, Any]]]:
    """What other enrichers state of the wanted series, by number."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    if after:
        names = ", ".join(map(literal, after))
        rows = _rows_of(
            db,
            "select * from annotations semi join wanted using (series_id) "
            f"where enricher in ({names})",
        )
        for row in rows:
            found.setdefault(row["series_id"], []).append(row)
    return found


# What is stated, as rows


class _Held:
    """Rows of a table of statements. One that is said of many series is kept once."""

    def __init__(self) -> None:
        self._rows: list[Mapping[str, Any]] = []
        self._known: dict[int, int] = {}
        self._which: list[int] = []
        self._of: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._which)

    def add(self, row: Mapping[str, Any], series: int, enrichment: int) -> None:
        """Note a row; the same object, said again, is the same row."""
        at = self._known.setdefault(id(row), len(self._rows))
        if at == len(self._rows):
            self._rows.append(row)
        self._which.append(at)
        self._of.append((series, enrichment))

    def table(self, schema: pa.Schema, enricher: str) -> pa.Table:
        """The rows as a table."""
        rows = pa.Table.from_pylist([{**row} for row in self._rows], schema)
        rows = rows.take(pa.array(self._which, pa.int64()))
        series, enrichments = zip(*self._of, strict=True) if self._of else ((), ())
        made = {
            "series_id": pa.array(series, pa.int64()),
            "enrichment_id": pa.array(enrichments, pa.int64()),
            "enricher": pa.array([enricher] * len(self), pa.string()),
        }
        for name, column in made.items():
            place = schema.get_field_index(name)
            rows = rows.set_column(place, schema.field(place), column)
        return rows


class Statements:
    """What enrichers state of some series, with enrichments numbered from 1."""

    def __init__(self, enricher: Enricher, options: Mapping[str, str] | None = None) -> None:
        self._enricher = enricher
        self._options = json.dumps(dict(options or {}), sort_keys=True)
        self._worker = f"{socket.gethostname()} {enricher.hardware}"
        self._held = {name: _Held() for name in tables.STATED}
        self._enrichments: list[dict[str, Any]] = []
        self.reasons: Counter[str] = Counter()
        self.states: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._enrichments) + sum(map(len, self._held.values()))

    def count(self, name: str) -> int:
        """How many rows of a table there are."""
        return len(self._enrichments if name == "enrichments" else self._held[name])

    def take(self, subject: Subject, said: Enriched, seconds: float) -> None:
        """Note what was said of a series."""
        series, number = subject.number, len(self._enrichments) + 1
        if said.state == DONE:
            for name in tables.STATED:
                for row in getattr(said, name):
                    self._held[name].add(row, series, number)
        self.states[said.state] += 1
        if said.reason:
            self.reasons[said.reason] += 1
        self._enrichments.append(
            {
                "series_id": series,
                "enrichment_id": number,
                "enricher": self._enricher.name,
                "version": self._enricher.version,
                "model": self._enricher.model,
                "options": self._options,
                "state": said.state,
                "reason": said.reason or None,
                "annotations": len(said.annotations) if said.state == DONE else 0,
                "findings": len(said.findings) if said.state == DONE else 0,
                "kept": said.kept or None,
                "worker": self._worker,
                "made": datetime.now(UTC),
                "seconds": seconds,
            }
        )

    def tables(self) -> dict[str, pa.Table]:
        """The rows as tables."""
        name = self._enricher.name
        made = {n: held.table(tables.ALL[n], name) for n, held in self._held.items()}
        made["enrichments"] = pa.Table.from_pylist(self._enrichments, tables.ENRICHMENTS)
        return made


def said_of(
    enricher: Enricher, some: Sequence[Subject], check: Callable[[], None] = lambda: None
) -> Iterator[tuple[Subject, Enriched, float]]:
    """What an enricher says of each of some series, and in how many seconds.

    An error of its own is what it says of the series at which it happened.
    """
    for at in range(0, len(some), enricher.at_once):
        part = list(some[at : at + enricher.at_once])
        while part:
            check()
            began, told = time.perf_counter(), 0
            try:
                for subject, said in zip(part, enricher.enrich(part), strict=True):
                    now = time.perf_counter()
                    yield subject, said, now - began
                    began, told = now, told + 1
                part = []
            except ServiceError:
                raise
            except (DicomlakeError, *_UNEXPECTED) as error:
                why = str(error) if isinstance(error, DicomlakeError) else _name(error)
                log.warning(
                    "a series could not be enriched",
                    extra={"enricher": enricher.name, "error": type(error).__name__},
                )
                if told >= len(part):
                    raise
                yield part[told], Enriched(FAILED, why), time.perf_counter() - began
                part = part[told + 1 :]


def _name(error: BaseException) -> str:
    return f"it could not be looked at ({type(error).__name__})"


_UNEXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


# Into the lake


def keep(store: Store, batches: Sequence[Mapping[str, pa.Table]], run_id: str) -> int:
    """Make batches of statements part of the lake, each numbered from 1; how many enrichments.

    Only while the writer's lock is held. Statements about series that the lake no longer holds are
    dropped.
    """
    found = _joined(batches, _next(store)) if batches else {}
    if not found or not found["enrichments"].num_rows:
        return 0
    with store.database(only=("series",)) as db:
        for name in NAMES:
            db.register(f"new_{name}", found[name])
        for name in NAMES:
            named = f"replace ({literal(run_id)} as run_id)" if name == "enrichments" else ""
            rows = db.sql(
                f"select * {named} from new_{name} semi join series using (series_id)"
            ).to_arrow_table()
            store.append(name, rows.cast(tables.ALL[name]).sort_by(order_of(name)), run_id=run_id)
    store.touch(run_id)
    return int(found["enrichments"].num_rows)


def _joined(batches: Sequence[Mapping[str, pa.Table]], first: int) -> dict[str, pa.Table]:
    """Batches as one, with enrichments numbered from `first` on."""
    parts: dict[str, list[pa.Table]] = {name: [] for name in NAMES}
    for batch in batches:
        for name in NAMES:
            rows = batch.get(name, tables.ALL[name].empty_table())
            place = rows.schema.get_field_index("enrichment_id")
            numbers = pc.add(rows.column("enrichment_id"), first - 1)
            parts[name].append(rows.set_column(place, rows.schema.field(place), numbers))
        first += batch["enrichments"].num_rows
    return {name: pa.concat_tables(some) for name, some in parts.items()}


def _next(store: Store) -> int:
    """The first number that no enrichment has or ever had among rows that are there."""
    with store.database(current=False, only=NAMES) as db:
        every = " union all ".join(f"select max(enrichment_id) as n from {name}" for name in NAMES)
        return int(db.sql(f"select coalesce(max(n), 0) + 1 from ({every})").fetchall()[0][0])


def enrich(
    lake: str | Path | Store,
    name: str | Enricher,
    *,
    where: str | Node | None = None,
    options: Mapping[str, str] | None = None,
    again: bool = False,
    limit: int | None = None,
    progress: Progress | None = None,
) -> EnrichReport:
    """Have an enricher look at all series that it has not looked at; `again`: at all of them.

    `where`: only at series that meet a condition; `limit`: only at so many. LakeError when somebody
    else is writing. KeyboardInterrupt when it was asked to stop: what was stated until then stays.
    """
    began = time.monotonic()
    store = lake if isinstance(lake, Store) else Store(lake)
    enricher = enricher_of(store.path, name, options) if isinstance(name, str) else name
    report = EnrichReport(enricher.name)
    what = {"enricher": enricher.name, "version": enricher.version, "model": enricher.model,
            "again": again}  # fmt: skip
    with (
        contextlib.closing(enricher),
        store.lock(),
        running(store, "enrich", what, progress) as run,
    ):
        delete(leftovers(store))
        store.refresh()
        report.run_id = run.run_id
        found = waiting(store, enricher, where=where, again=again).slice(0, limit)
        run.progress.stage(f"{enricher.name}: looking at series", found.num_rows, "series")
        _enrich(store, enricher, found, options, run, report)
        tidy(store, run.progress)
        rebuild(store, progress=run.progress)
    report.seconds = time.monotonic() - began
    log.info("series enriched", extra={"enricher": enricher.name, **run.counts})
    return report


def _enrich(
    store: Store,
    enricher: Enricher,
    found: pa.Table,
    options: Mapping[str, str] | None,
    run: Run,
    report: EnrichReport,
) -> None:
    held = Statements(enricher, options)
    last = time.monotonic()

    def commit() -> None:
        nonlocal held, last
        keep(store, [held.tables()], run.run_id)
        _count(report, held, run)
        held, last = Statements(enricher, options), time.monotonic()

    try:
        for block in blocks_of(found, enricher):
            for subject, said, seconds in said_of(
                enricher, subjects(store, enricher, block), run.check
            ):
                held.take(subject, said, seconds)
                run.progress.advance()
                if len(held) >= MOST_ROWS or time.monotonic() - last > CHECKPOINT_S:
                    commit()
    finally:
        commit()


def blocks_of(found: pa.Table, enricher: Enricher) -> Iterator[list[int]]:
    """Numbers of series whose rows are read together: full portions of the enricher."""
    counted = {INSTANCES, HEADERS} & set(enricher.reads)
    ids = found.column("series_id").to_pylist()
    sizes = found.column("instances").to_pylist() if counted else [0] * len(ids)
    block: list[int] = []
    held = 0
    for number, size in zip(ids, sizes, strict=True):
        full = len(block) >= BLOCK or held + size > BLOCK_INSTANCES
        if block and full and len(block) % enricher.at_once == 0:
            yield block
            block, held = [], 0
        block.append(number)
        held += size
    if block:
        yield block


def _count(report: EnrichReport, held: Statements, run: Run) -> None:
    report.done += held.states[DONE]
    report.skipped += held.states[SKIPPED]
    report.failed += held.states[FAILED]
    report.annotations += held.count("annotations")
    report.findings += held.count("findings")
    report.reasons += held.reasons
    run.counts = {n: getattr(report, n) for n in ("done", "skipped", "failed", *tables.STATED)}


# What was done


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an enricher is with a lake: series by state, and those that wait for it.

    Of an enricher that works here, what an older version or model looked at waits as well, and
    so do the `failed` ones. `problem`: why it cannot work here, with what to do; `waiting` is None
    then. `reasons`: why series were skipped or failed, as (state, reason, series), the most
    frequent first.
    """

    name: str
    about: str
    version: str
    model: str
    hardware: str
    done: int
    skipped: int
    failed: int
    annotations: int
    findings: int
    waiting: int | None
    problem: str = ""
    reasons: tuple[tuple[str, str, int], ...] = ()


MOST_REASONS = 5
"""Of each state that a standing lists."""


def standings(
    store: Store, options: Mapping[str, Mapping[str, str]] | None = None
) -> list[Standing]:
    """All enrichers that are installed, and those that have worked on the lake."""
    there = plugins.names("enrichers")
    with store.database(only=("series", "enrichments")) as db:
        db.execute(f"create temp table newest as {_NEWEST}")
        worked = [row[0] for row in db.sql("select distinct enricher from newest").fetchall()]
        return [
            _standing(store, db, name, name in there, (options or {}).get(name))
            for name in sorted({*there, *worked})
        ]


_NEWEST = (
    "select enricher, series_id, version, model, state, reason, annotations, findings "
    "from enrichments where enrichment_id in "
    "(select max(enrichment_id) from enrichments group by series_id, enricher)"
)
"""SQL of the last enrichment of every series and enricher, whatever became of it."""


def _standing(
    store: Store,
    db: duckdb.DuckDBPyConnection,
    name: str,
    there: bool,
    options: Mapping[str, str] | None,
) -> Standing:
    about, hardware, version, model, waits = "", "cpu", "", "", None
    problem = "" if there else "It is not installed here."
    ours = f"enricher = {literal(name)}"
    try:
        if there:
            known: EnricherClass = plugins.load("enrichers", name)
            about, hardware, version = known.about, known.hardware, known.version
            with contextlib.closing(enricher_of(store.path, name, options)) as made:
                version, model, where = made.version, made.model, made.where()
            ours += f" and version = {literal(version)} and model = {literal(model)}"
            waits = _waits(db, where, ours)
    except DicomlakeError as error:
        problem = str(error)
    except (ImportError, SyntaxError, AttributeError) as error:
        problem = f"It cannot be loaded ({type(error).__name__}). Install its package again."
    if problem:
        (row,) = db.sql(f"select max(version), max(model) from newest where {ours}").fetchall()
        version, model = version or row[0] or "", model or row[1] or ""
    return Standing(name, about, version, model, hardware, *_states(db, ours), waits, problem,
                    _reasons(db, ours))  # fmt: skip


def _waits(db: duckdb.DuckDBPyConnection, where: str, ours: str) -> int:
    """Series that an enricher has not looked at as it is now, or failed at."""
    (row,) = db.sql(
        f"select count(*) from series where ({where}) and series_id not in "
        f"(select series_id from newest where {ours} and state <> {literal(FAILED)})"
    ).fetchall()
    return int(row[0])


def _states(db: duckdb.DuckDBPyConnection, ours: str) -> tuple[int, int, int, int, int]:
    """Series done, skipped and failed, statements and findings."""
    (row,) = db.sql(
        "select count(*) filter (state = 'done'), count(*) filter (state = 'skipped'), "
        "count(*) filter (state = 'failed'), coalesce(sum(annotations), 0)::bigint, "
        f"coalesce(sum(findings), 0)::bigint from newest where {ours}"
    ).fetchall()
    done, skipped, failed, annotations, findings = row
    return done, skipped, failed, annotations, findings


def _reasons(db: duckdb.DuckDBPyConnection, ours: str) -> tuple[tuple[str, str, int], ...]:
    rows = db.sql(
        f"select state, reason, count(*) as n from newest where {ours} and reason is not null "
        "group by state, reason "
        f"qualify row_number() over (partition by state order by n desc, reason) <= {MOST_REASONS} "
        "order by n desc, state, reason"
    ).fetchall()
    return tuple((state, reason, series) for state, reason, series in rows)


def provenance(store: Store, SeriesInstanceUID: str) -> list[dict[str, Any]]:
    """Every enrichment of a series, newest first: rows of `enrichments`, with `counts`.

    `counts`: its rows count, no later one supersedes it. UsageError for an unknown series.
    """
    with store.database(only=("series", "enrichments")) as db:
        known = db.execute(
            'select series_id from series where "SeriesInstanceUID" = ?', [SeriesInstanceUID]
        ).fetchall()
        if not known:
            raise UsageError(f"No series of the lake has SeriesInstanceUID {SeriesInstanceUID}.")
        rows: list[dict[str, Any]] = (
            db.sql(
                "select e.*, e.enrichment_id in (select enrichment_id from "
                f"({CURRENT.format('enrichments')})) as counts from enrichments e "
                "where series_id = ? order by enrichment_id desc",
                params=[known[0][0]],
            )
            .to_arrow_table()
            .to_pylist()
        )
    return rows
