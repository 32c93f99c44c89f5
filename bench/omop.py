"""A large lake written as tables of OMOP, and its activity, each beside SQL written by hand.

The peer of OMOP writes the rows of `image_occurrence` and `measurement` by plain DuckDB, without
pseudonyms, concepts, visits and the other tables. The peer of activity groups series to
examinations by station and study.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bench import facts, scale
from bench.apart import apart
from dicomlake.jobs.clinical import bring
from dicomlake.lake import Store
from dicomlake.lake.database import connect, literal, parquet
from dicomlake.readers.batch import key_of

HEAD = ("", "rows", "s", "s of processors", "most memory, MB", "x by hand")
_BY_HAND = {
    "image_occurrence": """
select hash("SeriesInstanceUID") as image_occurrence_id, hash("PatientID") as person_id,
    "StudyDate" as image_occurrence_date, "StudyInstanceUID" as image_study_uid,
    "SeriesInstanceUID" as image_series_uid, "Modality" as modality
from {series} where "StudyDate" is not null order by 1""",
    "measurement": """
select hash(fact_key) as measurement_id, hash("PatientID") as person_id, code,
    started::date as measurement_date, number as value_as_number, unit as unit_source_value,
    text as measurement_source_value
from {clinical_events} where kind = 'observation' order by 1""",
}
_ACTIVITY_BY_HAND = """
select "StationName", "ManufacturerModelName", "StudyInstanceUID", count(*) as series,
    min("StudyDate" + try_strptime("AcquisitionTime", '%H%M%S')::time) as began,
    max("StudyDate" + try_strptime("AcquisitionTime", '%H%M%S')::time) as ended
from {series} group by all order by all
"""


def measure(series: int, events: int) -> list[tuple[str, ...]]:
    """Rows of a table: tables of OMOP, identified and by pseudonyms, and examinations."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lake = folder / "lake"
        apart("bench.omop", "make", lake, folder / f"{series} {events}")
        key = folder / "key"
        key.write_text("k" * 40)
        (lake / "dicomlake.toml").write_text(f'[pseudonyms.bench]\nkey_file = "{key}"\n')
        found = {how: apart("bench.omop", how, lake, folder / how) for how in
                 ("by hand", "identified", "csv", "pseudonyms", "exams by hand",
                  "exams")}  # fmt: skip
    plain, exams = found["by hand"], found["exams by hand"]
    return [
        _row("two tables of OMOP by hand, Parquet", plain, plain),
        _row("all tables of OMOP, identified, Parquet", found["identified"], plain),
        _row("all tables of OMOP, identified, CSV", found["csv"], plain),
        _row("all tables of OMOP, by pseudonyms, Parquet", found["pseudonyms"], plain),
        _row("examinations of devices by hand", exams, exams),
        _row("examinations, use and gaps of devices", found["exams"], exams),
    ]


def make(path: Path, series: int, events: int) -> None:
    """A lake of so many series with times of devices, and of facts of the same patients."""
    with tempfile.TemporaryDirectory(dir=path.parent) as place:
        plain = Store.create(Path(place) / "plain")
        with connect() as db:
            scale.few(plain, db, series, ["Modality"])
        Store.create(path).append("series", _timed(plain.read("series")), children="{}")
        facts.write_omop(Path(place) / "omop", events, max(1, series // 4))
        bring(path, [Path(place) / "omop"], source="bench")


def _timed(rows: pa.Table) -> pa.Table:
    """Series with the numbers that their patients have, and with times between 7 and 19 o'clock."""
    keys = {name: key_of("patient", "", name) for name in pc.unique(rows["PatientID"]).to_pylist()}
    numbers = pa.array([keys[name] for name in rows["PatientID"].to_pylist()])
    with connect() as db:
        db.register("given", rows)
        db.register("numbers", pa.table({"number": numbers}))
        made = db.sql(
            """select g.* replace (number as patient_key, "StudyDate" as "AcquisitionDate",
                strftime(timestamp '2000-01-01 07:00' + to_seconds(hash(study_key) % 42000
                    + series_id % 2 * 300), '%H%M%S') as "AcquisitionTime")
            from given g positional join numbers"""
        ).to_arrow_table()
    return made.cast(rows.schema)


def _row(name: str, one: dict[str, float], plain: dict[str, float]) -> tuple[str, ...]:
    return (name, f"{one['rows']:,.0f}", f"{one['seconds']:.1f}", f"{one['cpu']:.1f}",
            f"{one['memory']:,.0f}", f"{one['cpu'] / plain['cpu']:.1f}")  # fmt: skip


def _by_hand(lake: Path, out: Path) -> int:
    store = Store(lake)
    places = {name: parquet(store.paths(name)) for name in ("series", "clinical_events")}
    out.mkdir()
    rows = 0
    with connect(memory="1GB", spill=out) as db:
        for name, statement in _BY_HAND.items():
            file = literal(out / f"{name}.parquet")
            told = db.execute(
                f"copy ({statement.format(**places)}) to {file} (format parquet, compression zstd)"
            )
            rows += told.fetchall()[0][0]
    return rows


def _written(lake: Path, out: Path, how: str) -> int:
    from dicomlake import settings
    from dicomlake.jobs.omop import Asked, write

    asked = Asked("csv" if how == "csv" else "parquet",
                  pseudonyms="bench" if how == "pseudonyms" else "")  # fmt: skip
    return sum(write(Store(lake), out, asked, settings.read(lake)).rows.values())


def _exams_by_hand(lake: Path) -> int:
    with connect() as db:
        series = parquet(Store(lake).paths("series"))
        return int(db.sql(_ACTIVITY_BY_HAND.format(series=series)).to_arrow_table().num_rows)


def _exams(lake: Path) -> int:
    from dicomlake.engines.duck import DuckEngine
    from dicomlake.jobs.activity import Activity, Asked

    made = Activity.of(DuckEngine(Store(lake)), Asked())
    made.devices(), made.utilisation(), made.gaps()
    return int(made.exams.num_rows)


def _main(how: str, lake: Path, out: Path) -> None:
    began = time.perf_counter()
    work: dict[str, Any] = {
        "make": lambda: make(lake, *map(int, out.name.split())),
        "by hand": lambda: _by_hand(lake, out),
        "exams by hand": lambda: _exams_by_hand(lake),
        "exams": lambda: _exams(lake),
    }
    rows = work.get(how, lambda: _written(lake, out, how))() or 0
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = {"rows": rows, "seconds": seconds, "cpu": time.process_time(), "memory": memory}
    print(json.dumps(said))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
