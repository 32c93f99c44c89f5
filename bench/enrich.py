"""Enrichers on a large lake: where the time of a run goes, and questions about statements.

The enricher is a trivial one, so that what is measured is everything around it.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from bench import scale
from bench.scale import median_ms
from dicomlake import tables
from dicomlake.contracts import coded
from dicomlake.contracts.enrichers import Enriched, Subject
from dicomlake.jobs import enriching
from dicomlake.lake import Store
from dicomlake.lake.store import connect
from dicomlake.terms import Code

STATEMENTS = 10
"""Of every series of the lake that is asked."""
_STRUCTURES = (
    "['SCT:39607008','SCT:39607008','SCT:10200004','SCT:64033007','SCT:78961009','SCT:41216001',"
    "'SCT:12738006','SCT:76752008','SCT:80891009','SCT:15776009','SCT:71341001','SCT:69536005']"
)
_AT_ONCE = 200_000
_PARTS = {
    "what waits": "waiting",
    "reading series": "subjects",
    "rows to Arrow": "Statements.tables",
    "commits": "keep",
    "tidying": "tidy",
    "vocabulary": "rebuild",
}


class Trivial:
    """Says two things of every series, from its row and two elements."""

    name, about, version, model = "trivial", "Says next to nothing.", "1", "none"
    reads = ("KVP", "EchoTime")
    writes = ("series type", "body part")
    after: tuple[str, ...] = ()
    hardware = "cpu"
    at_once = 5_000

    def where(self) -> str:
        """Every series."""
        return "true"

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        """Two statements of each."""
        liver = coded("structure", Code("10200004", "SCT", "Liver"))
        for subject in subjects:
            rows: list[dict[str, Any]] = [
                {"kind": "series type", "label": str(subject.series["Modality"])},
                {"kind": "body part", "label": "liver", **liver, "confidence": 0.9},
            ]
            yield Enriched(annotations=rows)

    def close(self) -> None:
        """Nothing to end."""


def measure(
    path: Path, looked_at: int, series: int
) -> dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Tables of rows by their titles: a run over some series, questions to a lake of others."""
    return {
        f"A trivial enricher on {looked_at:,} series, two statements each": (
            ("", "seconds", "of processors", "series/s"),
            _run(path / "run", looked_at),
        ),
        f"Questions to {series:,} series with {series * STATEMENTS:,} statements, warm": (
            ("", "ms", "found"),
            _questions(path / "asked", series),
        ),
    }


def _run(path: Path, series: int) -> list[tuple[str, ...]]:
    scale.make(path, series, rows_per_series=scale.COMMON)
    spent = dict.fromkeys(_PARTS, (0.0, 0.0))
    whole_cpu = time.process_time()
    with ExitStack() as stack:
        for what, name in _PARTS.items():
            stack.enter_context(_timed(what, name, spent))
        report = enriching.enrich(path, Trivial())
    assert report.done == series
    seconds, cpu = report.seconds, time.process_time() - whole_cpu
    rest = (seconds - sum(s for s, _ in spent.values()), cpu - sum(c for _, c in spent.values()))
    parts = {"the whole run": (seconds, cpu), **spent, "saying and noting": rest}
    rows = [(what, f"{s:.1f}", f"{c:.1f}", f"{series / max(s, 0.001):,.0f}")
            for what, (s, c) in parts.items()]  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*rows, ("most memory, MB", f"{peak:,.0f}", "", "")]


@contextmanager
def _timed(what: str, name: str, spent: dict[str, tuple[float, float]]) -> Iterator[None]:
    """Count the seconds of a function of the job."""
    holder: Any = enriching
    *outer, last = name.split(".")
    for one in outer:
        holder = getattr(holder, one)
    original = getattr(holder, last)

    def timed(*args: Any, **more: Any) -> Any:
        began, cpu = time.perf_counter(), time.process_time()
        try:
            return original(*args, **more)
        finally:
            before = spent[what]
            spent[what] = (
                before[0] + time.perf_counter() - began,
                before[1] + time.process_time() - cpu,
            )

    with mock.patch.object(holder, last, timed):
        yield


QUESTIONS = {
    "a structure": ("annotation.structure within SCT:39607008", "series"),
    "a structure, patients": ("annotation.structure within SCT:10200004", "patient"),
    "with its parts": ("annotation.structure within SCT:78961009", "series"),
    "one statement, complete and large": (
        "same(annotation, annotation.structure within SCT:39607008 and annotation.complete = 'yes' "
        "and annotation.volume > 100 mL)",
        "series",
    ),
    "with an attribute": ("annotation.structure within SCT:64033007 and Modality = 'CT'", "series"),
    "not stated": ("not annotation.structure within SCT:39607008", "series"),
    "a finding": ("finding.rule = 'rule 3'", "study"),
    "anatomy": ("anatomy within SCT:39607008", "patient"),
}


def _questions(path: Path, series: int) -> list[tuple[str, ...]]:
    from dicomlake.engines.duck import DuckEngine
    from dicomlake.query import Query, parse

    store = scale.make(path, series, rows_per_series=scale.COMMON)
    if not store.paths("annotations"):
        _state(store, series)
    store = Store(path)
    began = time.perf_counter()
    engine = DuckEngine(store)
    engine.answer(Query(parse(QUESTIONS["a structure"][0]), "series", limit=25))
    rows = [("opening, and the first", f"{(time.perf_counter() - began) * 1000:,.0f}", "")]
    for name, (text, level) in QUESTIONS.items():
        query = Query(parse(text), level, limit=25)
        found = engine.answer(query)
        taken = median_ms(lambda q=query: engine.answer(q))
        rows.append((name, f"{taken:,.0f}", f"{found.total:,}"))
    return rows


def _state(store: Store, series: int) -> None:
    """Statements about all series, of which the first tenth is superseded."""
    with connect() as db:
        db.execute("set memory_limit = '3GB'")
        for low in range(0, series, _AT_ONCE):
            ids = f"range({low}, {min(low + _AT_ONCE, series)}) a(s)"
            _append(
                store,
                db,
                "annotations",
                f"""
                select s as series_id, 1 + s as enrichment_id, 'made up' as enricher,
                'structure' as kind, 'part ' || k as label,
                list_extract({_STRUCTURES}, 1 + (hash(s, k) % 12)::int) as structure,
                (hash(s, k, 2) % 3000)::double as volume, hash(s, k, 3) % 3 > 0 as complete,
                0.9::double as confidence from {ids}, range({STATEMENTS}) b(k)""",
            )
            _append(
                store,
                db,
                "findings",
                f"""
                select s as series_id, 1 + s as enrichment_id, 'made up' as enricher,
                'rule ' || (hash(s, 4) % 40) as rule, 'warning' as severity,
                'It is made up.' as text from {ids}""",
            )
            _append(store, db, "enrichments", _looks(ids, "1 + s", "where true"))
        _append(store, db, "enrichments",
                _looks(f"range({series // 10}) a(s)", f"{series} + 1 + s", ""))  # fmt: skip
    store.touch("bench")


def _looks(ids: str, number: str, where: str) -> str:
    return (
        f"select s as series_id, {number} as enrichment_id, 'made up' as enricher, '1' as version, "
        f"'none' as model, 'done' as state, 10 as annotations, 1 as findings, now() as made, "
        f"'bench' as run_id from {ids} {where}"
    )


def _append(store: Store, db: Any, name: str, select: str) -> None:
    rows = db.sql(select).to_arrow_table()
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in tables.ALL[name]
    ]
    made = pa.Table.from_arrays(columns, schema=tables.ALL[name])
    store.append(name, made.sort_by(enriching.order_of(name)), run_id="bench")
