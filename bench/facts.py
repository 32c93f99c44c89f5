"""Clinical facts brought into a lake: rate and memory, beside plain readers of the same files."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from bench.apart import apart
from dicomlake.lake.database import connect, literal

HEAD = ("", "facts", "s", "s of processors", "facts/s of one", "most memory, MB", "x reader")
_PER_PATIENT = 100
_IN_NDJSON = 10
"""Of so many facts of the tables one is in NDJSON."""


def measure(facts: int) -> list[tuple[str, ...]]:
    """Rows of a table: imports of OMOP and FHIR, each beside a plain reader."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tables, resources = folder / "omop", folder / "fhir"
        write_omop(tables, facts, facts // _PER_PATIENT)
        count = facts // _IN_NDJSON
        _write_fhir(resources, count)
        found = []
        for name, what, rows in (
            ("OMOP as CSV", tables, facts),
            ("FHIR as NDJSON", resources, count),
        ):
            lake = folder / f"lake-{what.name}"
            plain = apart("bench.facts", "plain", what, folder / "plain.parquet")
            ours = apart("bench.facts", "ours", what, lake)
            again = apart("bench.facts", "ours", what, lake)
            found.append(_row(f"{name}, DuckDB to Parquet", rows, plain, plain))
            found.append(_row(f"{name}, into the lake", rows, ours, plain))
            found.append(_row(f"{name}, the same again", rows, again, plain))
        return found


def _row(name: str, rows: int, one: dict[str, float], plain: dict[str, float]) -> tuple[str, ...]:
    return (name, f"{rows:,}", f"{one['seconds']:.1f}", f"{one['cpu']:.1f}",
            f"{rows / one['cpu']:,.0f}",
            f"{one['memory']:,.0f}", f"{one['cpu'] / plain['cpu']:.1f}")  # fmt: skip


def write_omop(folder: Path, facts: int, people: int) -> None:
    """Persons P00000000 ... and measurements, most values repeated as in life."""
    folder.mkdir()
    people = max(1, people)
    with connect() as db:
        db.execute(
            f"copy (select i as person_id, 8507 as gender_concept_id, 1930 + i % 80 as "
            f"year_of_birth, 'P' || lpad(i::varchar, 8, '0') as person_source_value "
            f"from range({people}) r(i)) to {literal(folder / 'person.csv')} (header)"
        )
        db.execute(
            "copy (select i as measurement_id, i % {} as person_id, 3000000 + (i * 7919) % 500 "
            "as measurement_concept_id, date '2010-01-01' + ((i * 31) % 5000)::int as "
            "measurement_date, round(((i * 104729) % 5000) / 37, 1) as value_as_number, "
            "['g/dL', 'mmol/L', 'mg/dL', '%'][1 + i % 4] as unit_source_value, "
            "'LAB' || (i * 7919) % 500 as measurement_source_value from range({}) r(i)) to {} "
            "(header)".format(people, facts, literal(folder / "measurement.csv"))
        )


def _write_fhir(folder: Path, facts: int) -> None:
    folder.mkdir()
    people = max(1, facts // _PER_PATIENT)
    with (folder / "Patient.ndjson").open("w") as file:
        for i in range(people):
            said = {"resourceType": "Patient", "id": f"{i}", "identifier": [{"value": f"PAT{i}"}]}
            file.write(json.dumps(said) + "\n")
    with (folder / "Observation.ndjson").open("w") as file:
        for i in range(facts):
            code = {"system": "http://loinc.org", "code": f"{i * 7919 % 500}-1", "display": "Lab"}
            said = {
                "resourceType": "Observation", "id": f"o{i}", "status": "final",
                "code": {"coding": [code], "text": "Lab"},
                "subject": {"reference": f"Patient/{i % people}"},
                "effectiveDateTime": f"20{10 + i % 14}-0{1 + i % 9}-1{i % 10}T10:11:12+01:00",
                "valueQuantity": {"value": (i * 104729 % 5000) / 10, "unit": "mg/dL",
                                  "system": "http://unitsofmeasure.org", "code": "mg/dL"},
            }  # fmt: skip
            file.write(json.dumps(said) + "\n")


def _plain(what: Path, where: Path) -> None:
    """What somebody would write who only wants the rows, sorted, in a Parquet file."""
    with connect(memory="1GB", spill=where.parent) as db:
        if what.name == "omop":
            rows = f"read_csv({literal(what / 'measurement.csv')}, all_varchar = true)"
            order = "measurement_concept_id, person_id, measurement_date"
        else:
            rows = (
                f"read_json({literal(what / 'Observation.ndjson')}, format = 'newline_delimited')"
            )
            order = "code, subject, effectiveDateTime"
        db.execute(
            f"copy (select * from {rows} order by {order}) to {literal(where)} "
            "(format parquet, compression zstd)"
        )


def _main(how: str, what: Path, where: Path) -> None:
    began = time.perf_counter()
    if how == "plain":
        _plain(what, where)
    else:
        from dicomlake.jobs.clinical import bring

        bring(where, [what], source="bench")
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    memory = max(one.ru_maxrss for one in used) / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "memory": memory}))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
