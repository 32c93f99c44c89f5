"""What clinical facts and documents add to the vocabulary of a lake: rows of their columns.

They are counted anew whenever facts, documents or series have changed: in one pass for who has
what, and one per column for its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb

from dicomlake import tables
from dicomlake.dicom.dictionary import Attribute
from dicomlake.jobs.counting import utc
from dicomlake.lake import Store
from dicomlake.lake.linking import LINKED, keep_links
from dicomlake.query.attributes import CLINICAL, ROWS, attribute, fields

MOST_CODES = 5000
"""Codes that are listed and found by what they are called; of other columns so many values:"""
_MOST_TOP = 20
_CODES = frozenset(["fact.code", "fact.value", "document.type"])
_FREE = frozenset(
    """PatientID IssuerOfPatientID AccessionNumber StudyInstanceUID encounter identifier origin
    run_id text title affirmed negated uncertain""".split()
)
"""Columns whose values are never listed: identifiers, and what is written freely."""


def clinical_terms(store: Store) -> list[dict[str, Any]]:
    """Rows of the vocabulary for what facts and documents say of patients of a snapshot."""
    with store.database(only=("series", *tables.CLINICAL)) as db:
        if not any(_any(db, table) for table in tables.CLINICAL):
            return []
        keep_links(db)
        _count_series(db)
        return [row for root in CLINICAL if _any(db, ROWS[root]) for row in _of_root(db, root)]


def _any(db: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(db.sql(f"select 1 from {table} limit 1").fetchall())


def _count_series(db: duckdb.DuckDBPyConnection) -> None:
    """The tables `of_patient` and `of_study`: how many studies and series each has."""
    db.execute(
        """create table of_patient as select patient_key, count(distinct study_key) as studies,
            count(*) as series from series group by patient_key;
        create table of_study as select patient_key, study_key, count(*) as series
            from series group by patient_key, study_key"""
    )


def _of_root(db: duckdb.DuckDBPyConnection, root: str) -> Iterator[dict[str, Any]]:
    about = {name: one for name, one in fields(root).items() if _counted(name)}
    having = ", ".join(f'count("{name}") as "{name}"' for name in about)
    db.execute(
        "create or replace temp table told as select patient_key, study_key, count(*) as n_rows, "
        f"{having} from {LINKED[ROWS[root]]} "
        "where patient_key in (select patient_key from of_patient) group by patient_key, study_key"
    )
    whole = attribute(root)
    yield _row(root, whole, _who(db, _some("n_rows")), {})
    for name, one in about.items():
        found = _who(db, _some(f'"{name}"'))
        if found:
            yield _row(root, one, found, _said(db, root, name, one))


def _counted(name: str) -> bool:
    return not name.endswith(("_value", "_scheme", "_meaning", "_unit"))


def _some(column: str) -> str:
    """SQL of who has a column with a value."""
    return f"select 1 as v, patient_key, study_key, {column} as n from told where {column} > 0"


def _each(root: str, value: str) -> str:
    """SQL of who has which value."""
    return (
        f"select {value} as v, patient_key, study_key, count(*) as n from {LINKED[ROWS[root]]} "
        f"where {value} is not null group by all"
    )


_BELONGING = """
with each as (
    select v, patient_key, bool_or(study_key is null) as whole, sum(n)::bigint as n,
        count(study_key) as studies, sum(series)::bigint as series
    from ({}) left join of_study using (patient_key, study_key) group by v, patient_key
)
select v, count(*) as patients,
    sum(case when whole then p.studies else e.studies end)::bigint as studies,
    sum(case when whole then p.series else e.series end)::bigint as series, sum(n)::bigint as n
from each e join of_patient p using (patient_key) where whole or e.series > 0 group by v
"""
"""Patients, studies and series that values belong to, and rows with them."""


def _who(db: duckdb.DuckDBPyConnection, told: str) -> tuple[int, ...]:
    """Patients, studies, series and rows of all; none where nobody has it."""
    found = db.execute(_BELONGING.format(told)).fetchall()
    return tuple(found[0][1:]) if found else ()


def _said(db: duckdb.DuckDBPyConnection, root: str, name: str, about: Attribute) -> dict[str, Any]:
    """Range, units, and the most frequent values of a column."""
    source = LINKED[ROWS[root]]
    of = f"from {source} where patient_key in (select patient_key from of_patient)"
    if about.kind == "number":
        low, high = db.execute(f'select min("{name}"), max("{name}") {of}').fetchall()[0]
        said: dict[str, Any] = {"lowest": low, "highest": high}
        if name == "quantity":
            units = db.execute(_BELONGING.format(_each(root, "quantity_unit"))).fetchall()
            units.sort(key=lambda row: (-row[3], row[0]))
            said["units"] = [{"text": row[0], "series": row[3]} for row in units]
        return said
    if about.kind == "datetime":
        days = f'min("{name}")::timestamp, max("{name}")::timestamp'
        first, last = db.execute(f"select {days} {of}").fetchall()[0]
        return {"first": utc(first), "last": utc(last)}
    if name in _FREE:
        return {"distinct_values": None}
    return _top(db, root, name, about)


def _top(db: duckdb.DuckDBPyConnection, root: str, name: str, about: Attribute) -> dict[str, Any]:
    most = MOST_CODES if about.path in _CODES else _MOST_TOP
    meaning = f"{name}_meaning"
    meant = "null::text"
    if meaning in tables.ALL[ROWS[root]].names:
        source = f'(select "{name}" as v, mode("{meaning}") as said from {LINKED[ROWS[root]]} '
        source += f'where "{name}" is not null group by v)'
        meant = f"(select said from {source} m where m.v = t.v)"
    each = _BELONGING.format(_each(root, f'"{name}"'))
    found = db.execute(
        f"with t as (select *, count(*) over () as many from ({each}) "
        f"order by series desc, patients desc, v limit {most}) "
        f"select v, {meant}, series, patients, many from t order by series desc, patients desc, v"
    ).fetchall()
    top = [
        {"value": value, "meaning": said or "", "number": None, "moment": None, "series": series,
         "patients": patients}
        for value, said, series, patients, _ in found
    ]  # fmt: skip
    return {"top": top, "distinct_values": found[0][4] if found else 0}


def _row(
    root: str, about: Attribute, found: tuple[int, ...], said: dict[str, Any]
) -> dict[str, Any]:
    patients, studies, series, rows = found or (0, 0, 0, 0)
    vr = about.vr
    return {
        "path": about.path, "parent": root if "." in about.path else "", "vr": vr,
        "vrs": [{"vr": vr, "series": series}], "units": [], "names": [], "tag": "",
        "name": about.name, "patients": patients, "studies": studies, "series": series,
        "documents": rows, "empty": 0, "distinct_values": 0, "lowest": None, "highest": None,
        "first": None, "last": None, "histogram": [], "top": [], **said,
    }  # fmt: skip
