"""What studies have got: sums over distinct events, beside what documents state.

Documents state totals of their own events. One whose events all count by a newer or better
document says nothing more: of cumulative reports the last one counts, and continued reports add up.
Where documents share some events, the sum over events counts. CTDIvol is never added; its largest
value is told by phantom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.jobs.dose import factors, schemas
from dicomlake.jobs.dose.events import named, of_patients, told
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.rows import LEFT, RIGHT, put, read
from dicomlake.jobs.dose.skin import peaks_of_studies
from dicomlake.lake.database import connect, literal
from dicomlake.query import Node

DIFFERENCE = 0.05
"""Share from which on what is stated and what is summed differ."""
_STATED_FIRST = frozenset(["DAP", "RP"])
"""Quantities whose stated total counts: fluoroscopy is often not told event by event."""
_TOLD = ("DLP", "DAP", "RP", "AGD_right", "AGD_left")
_SHARED = [f.name for f in schemas.STUDIES if f.name in {e.name for e in schemas.EVENTS}]
_SHARED = [name for name in _SHARED if name not in schemas.UNITS and name not in ("why_not",)]
_SHARED = [name for name in _SHARED if name not in ("factor_set", "tissue_weighting")]
"""Columns that are those of the first event of a study, else of its first document."""


def studies(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    ticket: object = None,
    given: pa.Table | None = None,
) -> pa.Table:
    """Studies with dose of what a condition finds: `schemas.STUDIES`, oldest first.

    The effective dose is the sum over CT events by one set of factors; `unestimated` counts those
    that it lacks.
    """
    if given is None:
        given = told(engine, where, options=options, ticket=ticket)
    events = of_patients(given, options)
    totals = named(read(engine, "dose_totals", where, options, ticket), options)
    if not options.include_not_patient:
        nobodys = given.filter(given.column("not_patient")).column("StudyInstanceUID").unique()
        theirs = pc.is_in(totals.column("StudyInstanceUID"), nobodys, skip_nulls=True)
        totals = of_patients(totals.filter(pc.invert(theirs)), options)
    documents = engine.read(_DOCUMENTS, [], ticket)
    found = asked(_SUMS, events=events, totals=totals, documents=documents)
    event, total = (found.column(name).cast(pa.int64()) for name in ("first_event", "first_total"))
    at = pc.coalesce(event, pc.add(total, events.num_rows))
    both = pa.concat_tables(
        [schemas.fitted(_OF_FIRST, events), schemas.fitted(_OF_FIRST, totals)]
    ).take(at)
    found = put(found, dict(zip(_SHARED, both.columns, strict=True)))
    weighting = factors.of(options.factor_set, options.own("factors.csv")).weighting
    estimated = pc.is_valid(found.column("unestimated"))
    peaks = peaks_of_studies(engine, ticket)
    found = put(
        found,
        {
            "peak_skin_dose": pa.array(map(peaks.get, found.column("key").to_pylist()), _NUMBER),
            "factor_set": pc.if_else(estimated, options.factor_set, pa.scalar(None, pa.string())),
            "tissue_weighting": pc.if_else(estimated, weighting, pa.scalar(None, pa.string())),
        },
    )
    order = [("StudyDate", "ascending"), ("key", "ascending")]
    return schemas.fitted(schemas.STUDIES, found.take(pc.sort_indices(found, sort_keys=order)))


_NUMBER = pa.float64()
_OF_FIRST = pa.schema([schemas.STUDIES.field(name) for name in _SHARED])


def asked(sql: str, **given: pa.Table) -> pa.Table:
    """What SQL finds in tables by name, whose rows have numbers `n`; always in the same order."""
    with connect() as db:
        db.execute("set threads = 1")  # sums of the same numbers in the same order are the same
        for name, table in given.items():
            db.register(name, put(table, {"n": pa.array(np.arange(table.num_rows))}))
        found: pa.Table = db.sql(sql).to_arrow_table()
    return found


_DOCUMENTS = """
select e."SOPInstanceUID", e.kind, coalesce(e."StudyInstanceUID", e."SOPInstanceUID") as key,
    count(*) as events, count(*) filter (e.counted) as counted
from dose_events e group by all
"""
_KEY = """coalesce(nullif("StudyInstanceUID", ''), "SOPInstanceUID") as key"""
"""Of what a row is a part: its study, or its object where it has none."""

# Totals count of documents that have an event that counts. A document without events counts where
# nothing else of its study tells of that kind of dose, and then the newest of the best source.
_STATED = f"""
stated as (select t.*, {_KEY} from totals t),
with_events as (
    select s.*, d.counted, coalesce(d.counted < d.events, false) as shared from stated s
    left join documents d on d."SOPInstanceUID" = s."SOPInstanceUID" and d.key = s.key
        and d.kind is not distinct from s.kind),
alone as (
    select key, kind, "SOPInstanceUID", row_number() over (partition by key, kind order by
        any_value(precedence), max(coalesce(epoch(documented), 0)) desc, sum(filled) desc,
        "SOPInstanceUID") as place
    from with_events w where counted is null and not exists (select 1 from documents d
        where d.key = w.key and d.kind is not distinct from w.kind and d.counted > 0)
    group by key, kind, "SOPInstanceUID"),
counting as (
    select * from with_events where counted > 0 union all
    select w.* from with_events w join alone a on a.place = 1 and a.key = w.key
        and a.kind is not distinct from w.kind and a."SOPInstanceUID" = w."SOPInstanceUID"
    where w.counted is null)"""


def _sums(of: str, quantities: Mapping[str, str]) -> str:
    return ", ".join(f'{made} as "{name}_{of}"' for name, made in quantities.items())


def _sum(name: str, only: str = "") -> str:
    return f'sum("{name}")' + (f" filter ({only})" if only else "")


_BY_SIDE = {
    "DLP": _sum("DLP"), "DAP": _sum("DAP"), "RP": _sum("RP"),
    "AGD_right": _sum("AGD", f"laterality = {literal(RIGHT)}"),
    "AGD_left": _sum("AGD", f"laterality = {literal(LEFT)}"),
}  # fmt: skip
_WITH_DOSE = """kind = 'CT' and coalesce("DLP", 0) <> 0"""
_HEADS = f"factor_region in ({', '.join(map(literal, sorted(factors.HEADS)))})"
_OF_EVENTS = f"""
of_events as (
    select {_KEY}, min(n) as first_event, count(*) as events, {_sums("events", _BY_SIDE)},
        max("CTDIvol") filter (phantom = 16) as "CTDIvol_head",
        max("CTDIvol") filter (phantom = 32) as "CTDIvol_body",
        max("CTDIvol") filter (phantom is null) as "CTDIvol_unknown",
        {_sum("AGD", f"coalesce(laterality, '') not in ({literal(RIGHT)}, {literal(LEFT)})")}
            as "AGD_unknown",
        sum(activity) as activity, list(distinct kind) filter (kind is not null) as kinds,
        list_sort(list(distinct standard_protocol) filter (standard_protocol is not null))
            as standard_protocols,
        sum(effective_dose) filter ({_WITH_DOSE}) as effective_dose,
        sum(effective_dose) filter ({_WITH_DOSE} and {_HEADS}) as effective_dose_head,
        sum(effective_dose) filter ({_WITH_DOSE} and not coalesce({_HEADS}, false))
            as effective_dose_body,
        case when count(*) filter ({_WITH_DOSE}) > 0 then
            count(*) filter ({_WITH_DOSE} and effective_dose is null) end as unestimated,
        list_sort(list_distinct(flatten(list(list_filter(why_not, lambda said:
            not contains(said, 'SSDE'))) filter (why_not is not null)))) as why_not
    from events group by all)"""
_OF_TOTALS = f"""
once as (
    select key, sum(events) as events_stated from (
        select key, first(events order by n) as events from counting where events is not null
        group by key, "SOPInstanceUID", kind) group by key),
of_totals as (
    select key, min(n) as first_total, bool_or(shared) as shared, {_sums("stated", _BY_SIDE)},
        sum("DAP_fluoro") as "DAP_fluoro", sum("DAP_acquisition") as "DAP_acquisition",
        sum(fluoro_time) as fluoro_time, list(distinct kind) filter (kind is not null) as kinds
    from counting group by key)"""


def _both(name: str) -> str:
    """What counts of a quantity, what events and documents say, and whether both differ."""
    ours, theirs = f'e."{name}_events"', f't."{name}_stated"'
    one = f"case when coalesce(t.shared, false) then {ours} else {theirs} end"
    first = one if name in _STATED_FIRST else ours
    return f"""coalesce({first}, {ours}, {theirs}) as "{name}", {ours}, {theirs},
        abs({ours} - {theirs}) > {DIFFERENCE} * greatest(abs({ours}), abs({theirs}))
            as "{name}_differs" """


_SUMS = f"""
with {_STATED}, {_OF_EVENTS}, {_OF_TOTALS}
select key, first_event, first_total, list_sort(list_distinct(list_concat(
        coalesce(e.kinds, []), coalesce(t.kinds, [])))) as kinds, e.standard_protocols,
    coalesce(e.events, 0) as events, o.events_stated, {", ".join(map(_both, _TOLD))},
    "CTDIvol_head", "CTDIvol_body", "CTDIvol_unknown", "AGD_unknown", e.activity, "DAP_fluoro",
    "DAP_acquisition", fluoro_time, effective_dose, effective_dose_head, effective_dose_body,
    unestimated, case when len(why_not) > 0 then why_not end as why_not
from of_events e full join of_totals t using (key) left join once o using (key)
"""
