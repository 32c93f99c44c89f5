"""How fast the enricher codes looks at series, how much memory that takes, and how right it is.

The lake holds a made-up hospital many times over: headers repeat, as those of an archive do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from dicomlake import tables
from dicomlake.jobs.index import index
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.testing import hospital

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

_RUN = """
import sys, time
from dicomlake.enrichers.codes import CodesEnricher
from dicomlake.jobs import enriching
from dicomlake.lake import Store

store = Store(sys.argv[1])
enricher = CodesEnricher(store.path, {})
ids = enriching.waiting(store, enricher).column("series_id").to_pylist()
ids = ids[: enriching.BLOCK]
some = enriching.subjects(store, enricher, ids)
began = time.process_time()
said = list(enricher.enrich(some))
judged = len(ids) / (time.process_time() - began)
del some, said
began, cpu = time.monotonic(), time.process_time()
report = enriching.enrich(store, enricher)
wall, spent = time.monotonic() - began, time.process_time() - cpu
with open("/proc/self/status") as status:  # ru_maxrss counts what the parent held, too
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
print(judged, report.done, report.annotations, wall, spent, peak)
"""


def make(path: Path, series: int, patients: int = 200) -> Store:
    """A lake of at least so many series: those of a hospital, again and again."""
    with tempfile.TemporaryDirectory() as place:
        hospital.write(Path(place) / "files", patients, pixels=False)
        index([Path(place) / "files"], Path(place) / "lake", workers=1)
        small = Store(Path(place) / "lake")
        store = Store.create(path)
        with small.database() as db:
            held = db.sql("select count(*), max(series_id) + 1 from series").fetchall()[0]
            times = -(-series // held[0])
            for name in ("elements", "series"):
                new = f"s.series_id + {held[1]} * t.again as series_id"
                if name == "series":
                    uid = '"SeriesInstanceUID"'
                    new += f", {uid} || '.' || t.again as {uid}"
                rows = db.sql(
                    f"select s.* replace ({new}) from {name} s, range({times}) t(again)"
                ).to_arrow_table()
                rows = rows.select(tables.ALL[name].names).cast(tables.ALL[name])
                if name == "series":
                    store.append(name, rows, children="{}")
                else:
                    store.add(name, [store.write(name, rows.sort_by("path"))])
    rebuild(store)
    return store


def measure(series: int) -> dict[str, Table]:
    with tempfile.TemporaryDirectory() as place:
        lake = Path(place) / "lake"
        make(lake, series)
        found = subprocess.run(
            [sys.executable, "-c", _RUN, str(lake)], check=True, capture_output=True, text=True
        )
    judged, done, rows, wall, spent, peak = map(float, found.stdout.split())
    return {
        f"The enricher codes, {done:,.0f} series with repeating headers": (
            ("", "measured"),
            [
                ("judging alone, one core", f"{judged:,.0f} series/s"),
                ("the whole run, with reading and writing", f"{done / wall:,.0f} series/s"),
                ("the same, of processor time", f"{done / spent:,.0f} series/s"),
                ("statements", f"{rows:,.0f}"),
                ("peak memory", f"{peak:,.0f} MiB"),
            ],
        )
    }
