"""SQL of the rows of OMOP that clinical facts and documents make.

Facts go by their kind: observations with a number are measurements. What came from OMOP goes back
into the table that it came from, with the concepts that it had. Of facts under pseudonyms codes,
numbers and moved dates go out, and no text that people wrote.
"""

from __future__ import annotations

from dicomlake.jobs.clinical.codes import OMOP
from dicomlake.jobs.omop.concepts import concept, joined
from dicomlake.jobs.omop.statements import id_of

TARGETS = {
    "condition_occurrence": "condition", "procedure_occurrence": "procedure",
    "drug_exposure": "medication", "measurement": "observation", "observation": "observation",
    "visit_occurrence": "encounter",
}  # fmt: skip
"""Tables by the kinds of facts that they take."""
_NAMES = ", ".join(f"'{name}'" for name in TARGETS)
_OTHERS = " ".join(
    f"when '{kind}' then '{name}'" for name, kind in TARGETS.items() if kind != "observation"
)
_MEANING = "case when identified or {0}_scheme in (select scheme from schemes) then {0}_meaning end"

FACTS = f"""
create view facts as
with said as (
    select f.*, p.person_id, p.days, p.years, p.identified,
        split_part(f.identifier, '/', 1) in ({_NAMES}) as omop,
        coalesce(f.code, f.codes[1]) as said,
        [try_cast(substr(one, {len(OMOP) + 2}) as bigint) for one in f.codes
            if starts_with(one, '{OMOP}:')] as own
    from linked_clinical_events f join people p using (patient_key)
    where f.kind <> 'patient' and f.started is not null),
moved as (
    select *, case when omop then split_part(identifier, '/', 1) else case kind {_OTHERS}
        when 'observation' then if(number is null, 'observation', 'measurement') end end as target,
        case when omop and kind = 'encounter' then split_part(identifier, '/', 2)
            else coalesce(encounter, if(kind = 'encounter', identifier, null)) end as stay,
        case when code is not null then own[1] end as standard_id,
        case when code is null then own[1] else own[2] end as own_id,
        {_MEANING.format("code")} as meaning, {_MEANING.format("value")} as value_says,
        case when identified then text end as words,
        started::timestamp as begun, ended::timestamp as over
    from said),
dated as (
    select * exclude (begun, over),
        case when years then date_trunc('year', begun)::date else begun::date - days end as day,
        case when years then date_trunc('year', over)::date else over::date - days end as last_day,
        case when precision = 'second' and not years then begun - days * interval 1 day end
            as moment,
        case when over::time <> time '00:00:00' and not years then over - days * interval 1 day end
            as last_moment
    from moved)
select *, {id_of("fact", "fact_key")} as fact_id,
    {id_of("encounter", "source", "stay", "person_id")} as stay_id,
    left(case when omop and identified and not strung then words
        when omop and identified then meaning
        else concat_ws(' ', said, coalesce(meaning, nullif(words, code_value))) end, 50)
        as source_value
from (select *, omop and kind = 'observation' and identified and value is null
    and coalesce(code_scheme, '{OMOP}') = '{OMOP}' and meaning is not null
    and text is distinct from meaning as strung from dated)
where identified or said is not null
"""
"""Facts of the patients that go out, with their table, ids, days and source value."""

STAYS = f"""
create table stays as
select stay_id, any_value(person_id) as person_id, min(day) as day,
    max(coalesce(last_day, day)) as last_day, min(moment) as moment,
    max(last_moment) as last_moment, arg_min(said, fact_key) as said,
    arg_min(standard_id, fact_key) as standard_id, arg_min(own_id, fact_key) as own_id,
    arg_min(source_value, fact_key) as source_value
from (select * replace (if(stay is null, {id_of("encounter", "fact_key")}, stay_id) as stay_id)
    from facts where target = 'visit_occurrence')
group by stay_id
"""

CODES = """
select said from facts union select value from facts union select 'UCUM:' || unit from facts
"""
"""Every code of facts."""


def _row(table: str, about: str, start: str, more: str, *, end: str = "", where: str = "") -> str:
    """SQL of the rows of a table that facts make, with their codes as concepts."""
    ended = f"f.last_day as {end}_date, f.last_moment as {end}_datetime," if end else ""
    return f"""
select fact_id as {table}_id, f.person_id, coalesce(f.standard_id, {concept("c")})
    as {about}_concept_id, f.day as {start}_date, f.moment as {start}_datetime, {ended}
    type_of_record() as {about}_type_concept_id, s.stay_id as visit_occurrence_id,
    f.source_value as {about}_source_value,
    coalesce(f.own_id, {concept("c", "source_concept_id")}) as {about}_source_concept_id, {more}
from facts f left join stays s using (stay_id)
    {joined(c="f.said", u="'UCUM:' || f.unit", v="f.value")}
where f.target = '{table}' {where}"""


_VALUE = f"""coalesce(try_cast(substr(if(starts_with(f.value, '{OMOP}:'), f.value, null),
        {len(OMOP) + 2}) as bigint), {concept("v")})"""
_VALUED = f"""f.number as value_as_number, if(f.value is null, null, {_VALUE})
        as value_as_concept_id, if(f.unit is null, null, {concept("u")}) as unit_concept_id,
    left(f.unit, 50) as unit_source_value,
    left(if(f.value is null, null, concat_ws(' ', f.value, f.value_says)), 50)
        as value_source_value"""

ROWS = {
    "visit_occurrence": f"""
select s.stay_id as visit_occurrence_id, s.person_id, coalesce(s.standard_id, {concept("c")})
    as visit_concept_id, s.day as visit_start_date, s.moment as visit_start_datetime,
    greatest(s.day, s.last_day) as visit_end_date, s.last_moment as visit_end_datetime,
    type_of_record() as visit_type_concept_id, s.source_value as visit_source_value,
    coalesce(s.own_id, {concept("c", "source_concept_id")}) as visit_source_concept_id
from stays s {joined(c="s.said")}""",
    "condition_occurrence": _row(
        "condition_occurrence", "condition", "condition_start",
        "null as condition_status_source_value", end="condition_end",
    ),
    "procedure_occurrence": _row(
        "procedure_occurrence", "procedure", "procedure", "null as quantity", end="procedure_end",
    ),
    "drug_exposure": _row(
        "drug_exposure", "drug", "drug_exposure_start",
        """coalesce(greatest(f.day, f.last_day), f.day) as drug_exposure_end_date,
    f.last_moment as drug_exposure_end_datetime, if(f.omop, f.number, null) as quantity,
    if(f.omop or f.number is null, null, concat_ws(' ', f.number, f.unit)) as sig,
    left(f.unit, 50) as dose_unit_source_value""",
    ),
    "measurement": _row("measurement", "measurement", "measurement", _VALUED),
    "observation": _row(
        "observation", "observation", "observation",
        f"""{_VALUED}, left(case when f.strung then f.words when f.omop then null
        when f.value is not null then coalesce(f.value_says, f.value)
        when f.number is null then f.words end, 60)
        as value_as_string""",
    ),
}  # fmt: skip
"""Rows of the tables that facts make."""

NOTES = f"""
select {id_of("note", "document_key")} as note_id, p.person_id, d.written::date as note_date,
    if(d.written::timestamp::time = time '00:00:00', null, d.written::timestamp) as note_datetime,
    type_of_record() as note_type_concept_id, {concept("c")} as note_class_concept_id,
    left(d.title, 250) as note_title, d.text as note_text, 0 as encoding_concept_id,
    0 as language_concept_id, s.stay_id as visit_occurrence_id,
    left(concat_ws(' ', d.type, d.type_meaning), 50) as note_source_value
from linked_documents d join people p using (patient_key)
    left join stays s on s.stay_id = {id_of("encounter", "d.source", "d.encounter", "p.person_id")}
    {joined(c="d.type")}
where d.written is not null and d.text is not null
"""
"""Rows of `note`, of identified patients."""
