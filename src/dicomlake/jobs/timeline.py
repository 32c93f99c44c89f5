"""Everything that is known of a patient on one line of time: studies, doses, facts, documents.

Facts and documents belong to whom they name, or to whose accession number they carry.
"""

from __future__ import annotations

from typing import Any

from dicomlake.jobs.browsing import Row, patient

MOST_EVENTS = 20_000
LANES = (
    "study", "dose", "condition", "procedure", "observation", "medication", "encounter", "patient",
    "document",
)  # fmt: skip
"""Kinds of events, in the order in which people look at them."""


def timeline(engine: Any, key: int, ticket: object = None) -> Row:
    """A patient with all events in order of time, those without a time last.

    UsageError for a patient of whom this version of the lake has no series.
    """
    about = patient(engine, key, ticket)
    about.pop("all_studies")
    found: list[Row] = []
    for statement in (_STUDIES, _DOSES, _FACTS, _DOCUMENTS):
        values = [key] * statement.count("?")
        found += engine.read(statement, values, ticket).to_pylist()
    found.sort(key=_order)
    return {
        "patient": about,
        "events": found[:MOST_EVENTS],
        "more": max(len(found) - MOST_EVENTS, 0),
    }


def _order(event: Row) -> tuple[bool, str, int, str]:
    began = event["began"]
    lane = LANES.index(event["lane"]) if event["lane"] in LANES else len(LANES)
    return began is None, str(began), lane, event["title"] or ""


_ACCESSIONS = (
    'select "AccessionNumber" from series where patient_key = ? and "AccessionNumber" <> \'\''
)
_OURS = f"""(patient_key = ? or (patient_key is null and "AccessionNumber" in ({_ACCESSIONS})))"""
_STUDIES = """
select 'study' as lane, "StudyInstanceUID" as key,
    (any_value("StudyDate")::timestamp + case when regexp_full_match(min("StudyTime"),
        '([01][0-9]|2[0-3])[0-5][0-9].*') then (substr(min("StudyTime"), 1, 2)::int * 60
        + substr(min("StudyTime"), 3, 2)::int) * interval 1 minute else interval 0 minute end)
        as began,
    null::timestamp as ended, case when regexp_full_match(min("StudyTime"),
        '([01][0-9]|2[0-3])[0-5][0-9].*') then 'second' else 'day' end as precision,
    coalesce(min("StudyDescription"), '') as title,
    string_agg(distinct "Modality", ', ' order by "Modality") as text, null::varchar as code,
    count(*)::double as number, 'series' as unit, "StudyInstanceUID", null::varchar as source
from series where patient_key = ? group by "StudyInstanceUID"
"""
_DOSES = """
with told as (
    select s."StudyInstanceUID" as study,
        coalesce(started::timestamp, s."StudyDate"::timestamp) as moment,
        started is not null as timed, kind,
        coalesce("DLP", "DAP", activity, "AGD") as number, case when "DLP" is not null then 'mGy.cm'
        when "DAP" is not null then 'Gy.m2' when activity is not null then 'MBq'
        when "AGD" is not null then 'mGy' end as unit
    from dose_events e join series s using (series_id) where patient_key = ? and counted)
select 'dose' as lane, study as key, min(moment) as began, null::timestamp as ended,
    if(bool_and(timed), 'second', 'day') as precision, kind as title,
    count(*) || ' events' as text, null::varchar as code,
    sum(number) as number, unit, study as "StudyInstanceUID", null::varchar as source
from told where unit is not null group by study, kind, unit
"""
"""Sums of DLP, DAP, activity or glandular dose of a study; CTDIvol is never added up."""
_FACTS = f"""
select coalesce(kind, 'observation') as lane, fact_key::varchar as key, started::timestamp as began,
    ended::timestamp as ended, precision, coalesce(text, code_meaning, code, '') as title,
    coalesce(value_meaning, value) as text, code, number, unit,
    (select any_value(s."StudyInstanceUID") from series s where s.patient_key = ?
        and s."AccessionNumber" = f."AccessionNumber" and s."AccessionNumber" <> '')
        as "StudyInstanceUID", source
from clinical_events f where {_OURS}
"""
_DOCUMENTS = f"""
select 'document' as lane, document_key::varchar as key, written::timestamp as began,
    null::timestamp as ended, 'second' as precision,
    coalesce(title, type_meaning, type, '') as title, left(text, 300) as text, type as code,
    null::double as number, language as unit,
    coalesce((select any_value(s."StudyInstanceUID") from series s where s.patient_key = ?
        and s."StudyInstanceUID" = d."StudyInstanceUID"),
        (select any_value(s."StudyInstanceUID") from series s where s.patient_key = ?
        and s."AccessionNumber" = d."AccessionNumber" and s."AccessionNumber" <> ''))
        as "StudyInstanceUID", source
from documents d where {_OURS} or (patient_key is null and "StudyInstanceUID" in
    (select "StudyInstanceUID" from series where patient_key = ?))
"""
