"""Questions about dose of a made-up lake: seconds of processor, beside plain programs.

python -m bench --only dose [--series EVENTS]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.apart import apart
from dicomlake import tables
from dicomlake.lake import Store
from dicomlake.lake.database import connect
from dicomlake.lake.files import order_of

HEAD = ("", "events", "rows", "s", "s of processors", "most memory, MB", "x plain")
EACH = 4
"""Events of a study; of ten studies eight are CT, one fluoroscopy, one mammography."""
QUESTIONS = ("events", "studies", "patients", "alarms", "compare", "outliers", "trends",
             "protocols", "overview")  # fmt: skip

_SERIES = """
select i as series_id, i // 3 as patient_key, i as study_key, 'bench' as source,
    'all' as complete, 1::bigint as instances, 'SR' as "Modality", 'P' || i // 3 as "PatientID",
    'Made^' || i // 3 as "PatientName", '2.25.1' || i as "StudyInstanceUID",
    '2.25.2' || i as "SeriesInstanceUID", ['M', 'F'][1 + (i // 3) % 2] as "PatientSex",
    lpad(((pick(i // 3, 1) % 90))::varchar, 3, '0') || 'Y' as "PatientAge",
    (40 + pick(i // 3, 2) % 70)::double as "PatientWeight",
    date '2018-01-01' + (pick(i, 3) % 2500)::int as "StudyDate",
    ['Chest', 'Kopf', 'Abdomen', 'Trauma'][1 + pick(i, 4) % 4] as "StudyDescription",
    'A' || i as "AccessionNumber", ['SIEMENS', 'GE'][1 + pick(i, 5) % 2] as "Manufacturer",
    'Model ' || pick(i, 5) % 6 as "ManufacturerModelName", 'ST' || pick(i, 5) % 12 as "StationName"
from range({studies}) t(i)
"""
_KIND = "['CT','CT','CT','CT','CT','CT','CT','CT','projection','mammography'][1 + d % 10]"
_EVENTS = f"""
select d as series_id, '2.25.3' || d as "SOPInstanceUID", '2.25.1' || d as "StudyInstanceUID",
    n::int as item, 'RDSR' as source, 1::bigint as precedence, {_KIND} as kind,
    timestamptz '2018-01-01 12:00:00+00' + to_days((pick(d, 3) % 2500)::int) as documented,
    true as complete, 9::bigint as filled, '2.25.4' || d || '.' || n as event_key,
    '2.25.4' || d || '.' || n as event_uid,
    case when kind = 'CT' then ['DCM:113691', 'DCM:113690'][1 + pick(d, 6) % 2] end as phantom,
    case when kind = 'mammography' then ['SCT:24028007', 'SCT:7771000'][1 + n % 2] end
        as laterality,
    case when kind = 'CT' then (1 + pow(pick(d * 31 + n, 7) % 1000 / 1000.0, 2) * 60)::double end
        as "CTDIvol",
    case when kind = 'CT' then (20 + pow(pick(d * 31 + n, 8) % 1000 / 1000.0, 2) * 1500)::double end
        as "DLP",
    case when kind = 'projection' then (pick(d * 31 + n, 9) % 1000 / 1e6)::double end as "DAP",
    case when kind = 'projection' then (pick(d * 31 + n, 9) % 1000 / 5.0)::double end as "RP",
    case when kind = 'mammography' then (0.5 + pick(d * 31 + n, 9) % 100 / 50.0)::double end
        as "AGD",
    case when kind = 'CT' and d % 3 > 0 then (150 + pick(d, 10) % 250)::double end
        as water_equivalent_diameter,
    case when kind = 'CT' then
        ['SCT:51185008', 'SCT:69536005', 'SCT:818981001'][1 + pick(d, 6) % 3] end as region,
    case when kind = 'CT' then ['Thorax', 'Head routine', 'Abdomen', 'CTA', 'Neck'][
        1 + pick(d * 31 + n, 11) % 5] || ' ' || pick(d, 12) % 40 else 'Coro' end as protocol,
    120.0::double as "KVP"
from (select *, {_KIND} as kind from range({{studies}}) a(d), range(1, {EACH + 1}) b(n))
"""
_TOTALS = """
select series_id, "SOPInstanceUID", "StudyInstanceUID", 1::int as item, source, precedence, kind,
    documented, complete, 4::bigint as filled, 'single' as plane, sum("DLP") as "DLP",
    sum("DAP") as "DAP", sum("RP") as "RP", count(*)::bigint as events
from given where kind <> 'mammography' group by all
"""


def make(path: Path, events: int) -> None:
    """A lake of so many irradiation events, written straight into its tables."""
    store = Store.create(path)
    with connect(memory="3GB", spill=path.parent) as db:
        studies = max(events // EACH, 1)
        db.execute("create macro pick(a, b) as (hash(a, b) % 1000003)::bigint")
        given = db.sql(_EVENTS.format(studies=studies)).to_arrow_table()
        db.register("given", given)
        _append(store, "dose_events", given)
        _append(store, "dose_totals", db.sql(_TOTALS).to_arrow_table())
        rows = db.sql(_SERIES.format(studies=studies)).to_arrow_table()
    now = pa.array([datetime.now(UTC)] * rows.num_rows, tables.STAMP)
    _append(store, "series", rows.append_column("indexed", now), children="{}")


def _append(store: Store, name: str, rows: pa.Table, **notes: str) -> None:
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in tables.ALL[name]
    ]
    made = pa.Table.from_arrays(columns, schema=tables.ALL[name])
    store.append(name, made.sort_by(order_of(name)), **notes)


def measure(events: int) -> list[tuple[str, ...]]:
    """Rows of a table: each question in a process of its own, beside a plain program."""
    with tempfile.TemporaryDirectory() as place:
        lake = Path(place) / "lake"
        make(lake, events)
        plain = apart("bench.dose", "plain", lake)
        found = [_row("sums and effective doses, plain pandas", events, plain, plain)]
        return found + [
            _row(name, events, apart("bench.dose", name, lake), plain) for name in QUESTIONS
        ]


def _row(name: str, events: int, one: dict[str, float], plain: dict[str, float]) -> tuple[str, ...]:
    times = one["cpu"] / plain["cpu"]
    return (name, f"{events:,}", f"{one['rows']:,.0f}", f"{one['seconds']:.1f}",
            f"{one['cpu']:.1f}", f"{one['memory']:,.0f}", f"{times:.1f}")  # fmt: skip


def _plain(lake: Path) -> int:
    """What somebody would write who only wants sums and effective doses of studies."""
    from deltalake import DeltaTable

    def read(name: str, columns: list[str]) -> Any:
        return DeltaTable(lake / name).to_pyarrow_table(columns=columns).to_pandas()

    names = "series_id event_key StudyInstanceUID kind region phantom CTDIvol DLP DAP RP AGD"
    events = read("dose_events", names.split()).drop_duplicates("event_key")
    people = read("series", ["series_id", "patient_key", "PatientAge", "StudyDate"])
    events = events.merge(people, on="series_id")
    factors = {"SCT:51185008": 0.014, "SCT:69536005": 0.0021, "SCT:818981001": 0.015}
    events["effective_dose"] = events.DLP * events.region.map(factors)
    sums = events.groupby(["patient_key", "StudyInstanceUID", "StudyDate"], as_index=False).agg(
        {"DLP": "sum", "DAP": "sum", "RP": "sum", "AGD": "sum", "effective_dose": "sum",
         "CTDIvol": "max"}
    )  # fmt: skip
    return len(sums)


def _asking(what: str) -> Callable[[Path], int]:
    """A question, everything that it needs imported."""
    from dicomlake import plugins
    from dicomlake.jobs import dose
    from dicomlake.jobs.dose.overview import TABLES, Overview

    duck = plugins.load("engines", "duckdb")

    def ask(lake: Path) -> int:
        engine, options = duck(Store(lake)), dose.options_of(lake)
        if what == "overview":  # all that a page shows
            asked = Overview(engine, None, options)
            return sum(asked.table(name).num_rows for name in TABLES)
        return int(getattr(dose, what)(engine, options=options).num_rows)

    return ask


def _main(what: str, lake: Path) -> None:
    ask = _plain if what == "plain" else _asking(what)
    began, used = time.perf_counter(), time.process_time()
    rows = ask(lake)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "memory": memory}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        _main(sys.argv[1], Path(sys.argv[2]))
