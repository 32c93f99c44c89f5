"""The experiment of Rennes: a cohort by procedure, time window and MR before it, and its peer.

The peer is SQL over the same files, written by hand for this one question.
"""

from __future__ import annotations

import itertools
import resource
import time
from pathlib import Path
from typing import Any

from bench.scale import median_ms
from dicomlake.lake import Store
from dicomlake.lake.store import connect
from dicomlake.testing import rennes

BY_HAND = """
with mr as (
    select distinct s.patient_key, s.StudyDate as day from series s
    join elements e on e.series_id = s.series_id and e.path = 'AnatomicRegionSequence'
        and e.code_value = '12921003' and e.code_scheme = 'SCT'
    where s.Modality = 'MR' and s.MagneticFieldStrength >= 2.5
),
studies as (
    select AccessionNumber, any_value(patient_key) as patient_key from series
    where AccessionNumber is not null group by AccessionNumber
),
done as (
    select coalesce(f.patient_key, a.patient_key) as patient_key, f.started::date as day
    from clinical_events f left join studies a on f.patient_key is null
        and a.AccessionNumber = f.AccessionNumber
    where list_contains(f.codes, 'SCT:90470006')
        and f.started >= timestamptz '2014-01-01' and f.started < timestamptz '2020-01-01'
)
select count(distinct mr.patient_key) from mr join done using (patient_key)
where done.day - mr.day between 0 and 365
"""

QUESTIONS = {
    "the cohort of Rennes": (rennes.QUESTION, "patient"),
    "a code": ("fact.code within I10GM:C61 and Modality = 'MR'", "patient"),
    "a code narrower by its beginning": ("fact.code within OPS:5-60", "patient"),
    "a value in a unit": (
        "same(fact, fact.code within LN:2857-1 and fact.quantity > 12 mmol/L)",
        "patient",
    ),
    "two facts in time": (
        "related(fact.code within OPS:1-465, fact.code within LN:2857-1, before 30 days)",
        "patient",
    ),
    "every fact": ("fact exists", "patient"),
}


def measure(path: Path, patients: int, facts: int) -> dict[str, tuple[Any, ...]]:
    """Tables of questions to so many patients with so many facts each."""
    from dicomlake.engines.duck import DuckEngine
    from dicomlake.query import Query, parse

    store = rennes.write(path, patients, facts=facts)
    rows: list[tuple[str, ...]] = []
    for name, (text, level) in QUESTIONS.items():
        engine = DuckEngine(store)
        began = time.perf_counter()
        found = engine.answer(Query(parse(text), level, limit=25)).total
        first = (time.perf_counter() - began) * 1000
        again = _never_asked_before(engine, text, level)
        rows.append((name, f"{first:,.0f}", f"{again:,.0f}", f"{found:,}"))
    rows.append(_by_hand(store))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(("most memory, MB", f"{most:,.0f}", "", ""))
    title = f"Questions to {patients:,} patients with {patients * facts:,} facts and more"
    return {title: (("", "first ms", "ms", "found"), rows)}


def _never_asked_before(engine: Any, text: str, level: str) -> float:
    """Median milliseconds of questions of which the engine remembers nothing."""
    from dicomlake.query import Query, parse

    where = parse(text)
    count = itertools.count(1)

    def ask() -> None:
        engine.forget()
        engine.answer(Query(where, level, limit=next(count)))

    return median_ms(ask)


def _by_hand(store: Store) -> tuple[str, ...]:
    with connect() as db:
        for name in ("series", "elements", "clinical_events"):
            store.show(db, name)
        began = time.perf_counter()
        ((found,),) = db.sql(BY_HAND).fetchall()
        first = (time.perf_counter() - began) * 1000
        again = median_ms(lambda: db.sql(BY_HAND).fetchall())
    return ("the cohort of Rennes, SQL by hand", f"{first:,.0f}", f"{again:,.0f}", f"{found:,}")
