"""Rules over series, and the report of quality of a large lake."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench import scale
from dicomlake import plugins
from dicomlake.engines.assessment import Asked
from dicomlake.enrichers.conformance import ConformanceEnricher
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.jobs.quality import of_lake, page
from dicomlake.lake import Store
from dicomlake.lake.store import is_lake
from dicomlake.testing import hospital

Rows = list[tuple[str, ...]]


def rules(patients: int) -> Rows:
    """The enricher over the made-up hospital, and its report."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        hospital.write(folder / "archive", patients)
        lake = folder / "lake"
        index([folder / "archive"], lake)
        told = enrich(lake, ConformanceEnricher(lake, {}, more=()))
        began = time.perf_counter()
        html = page(of_lake(lake))
        spent = time.perf_counter() - began
    return [
        ("series/s", f"{told.done / told.seconds:,.0f}"),
        ("findings/s", f"{told.findings / told.seconds:,.0f}"),
        (f"report of {told.done:,} series, s", f"{spent:.1f}"),
        ("its page, KiB", f"{len(html) / 1024:,.0f}"),
    ]


def report(lake: Path, series: int) -> Rows:
    """Seconds of the report of a large lake, by what it is by."""
    if not is_lake(lake):
        scale.make(lake, series)
    engine = plugins.load("engines", "duckdb")(Store(lake))
    engine.count(None, "series")
    rows = []
    for by in ("device", "site", "year"):
        began = time.perf_counter()
        engine.quality(Asked(by), None, "series")
        rows.append((f"by {by}", f"{time.perf_counter() - began:.1f}"))
    return rows
