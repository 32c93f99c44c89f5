"""SQL of the rows of OMOP that series and their contents make.

`img` has the patient, ids, day and UIDs of each series as they go out. A code is written
SCHEME:VALUE, as everywhere in the lake. Of contents, codes with their meanings and numbers go out,
and no text that people wrote.
"""

from __future__ import annotations

from dicomlake.jobs.omop.concepts import concept, joined


def id_of(kind: str, *said: str) -> str:
    """SQL of the number of a row: the same in every run, of who has the salt alone.

    It needs a macro `salt()`.
    """
    parts = ", ".join(f"coalesce(({one})::varchar, '')" for one in said)
    return f"(md5_number_lower(concat_ws(chr(0), salt(), '{kind}', {parts})) >> 2)::bigint"


IMAGES = f"""
create table img as
with told as (
    select s.series_id, s.patient_key, s."Modality", s."StudyDescription", s."BodyPartExamined",
        s."StudyInstanceUID" as study, s."SeriesInstanceUID" as series,
        coalesce(s."SeriesDate", s."AcquisitionDate", s."StudyDate", s."ContentDate") as sent_day,
        coalesce(s."StudyDate", s."SeriesDate", s."AcquisitionDate", s."ContentDate")
            as sent_study_day, s."RequestedProcedureDescription"
    from series s semi join chosen using (series_id)),
moved as (
    select t.*, p.person_id, u.uid as study_uid, v.uid as series_uid,
        case when p.years then date_trunc('year', sent_day)::date else sent_day - p.days end as day,
        case when p.years then date_trunc('year', sent_study_day)::date
            else sent_study_day - p.days end as study_day, p.days, p.years, p.identified
    from told t join people p using (patient_key) join uids u on u.sent = study
        join uids v on v.sent = series),
visited as (
    select *, min(study_day) over (partition by study) as visit_day, case when identified
        then coalesce("RequestedProcedureDescription", "StudyDescription", '')
        else string_agg(distinct "Modality", ' ') over (partition by study) end as description
    from moved where day is not null)
select *, {id_of("image_occurrence", "series")} as image_id,
    {id_of("procedure_occurrence", "study")} as procedure_id,
    {id_of("visit_occurrence", "person_id", "visit_day")} as visit_id
from visited
"""


FEATURES = f"""
create table features as
with volumes as (
    select 'segment' as kind, concat_ws('|', s."SOPInstanceUID", number) as row, s.series_id,
        s."ReferencedSeriesInstanceUID"[1] as drawn_on, 'SCT:118565006' as concept,
        'Volume' as meaning, volume as number, 'mL' as unit, null::varchar as value,
        null::varchar as value_meaning, coalesce(structure, type) as site,
        coalesce(structure_meaning, type_meaning) as site_meaning,
        null::varchar as finding, algorithm_name as system, null::timestamp as computed,
        tracking_uid as grouped
    from segments s where volume is not null),
seen as (
    select 'annotation', concat_ws('|', a.enrichment_id, a.kind, a.label, a.laterality, m.name),
        a.series_id, null, m.concept, m.name, m.number, m.unit, null, null,
        structure, structure_meaning, null,
        concat_ws(' ', a.enricher, e.version, e.model), e.made::timestamp, null
    from annotations a left join enrichments e using (series_id, enrichment_id)
        cross join lateral (values ('Volume', 'SCT:118565006', a.volume, 'mL'),
            ('Mean intensity', 'DCM:112031', a.intensity, '[hnsf''U]'))
            as m(name, concept, number, unit)
    where m.number is not null),
items_of as (
    select i.*, row_number() over (partition by i.series_id, "SOPInstanceUID" order by item) as n
    from items i where starts_with(i.path, '[') and value_type in ('NUM', 'CODE')
        and coalesce("RelationshipType", '') in ('CONTAINS', 'HAS PROPERTIES', 'INFERRED FROM')
        and not exists (select 1 from dose_events d where d.series_id = i.series_id)),
measured as (
    select 'item', concat_ws('|', i."SOPInstanceUID", i.item), i.series_id, null, concept,
        coalesce(concept_meaning, ''), i.number,
        case when i.number is not null then case when starts_with(unit, 'UCUM:')
            then substr(unit, 6) else coalesce(unit_value, '1') end end, code, code_meaning, site,
        null, finding, null, observed::timestamp, coalesce(tracking_uid, tracking)
    from items_of i where (value_type = 'NUM' and i.number is not null)
        or (value_type = 'CODE' and code is not null)),
doses as (
    select 'dose', concat_ws('|', event_key, m.name, plane, laterality), d.series_id, null,
        m.concept, m.name, m.number, m.unit, null, null, region, region_meaning, null,
        null, started::timestamp, event_key
    from dose_events d cross join lateral (values
        ('Mean CTDIvol', 'DCM:113830', "CTDIvol", 'mGy'), ('DLP', 'DCM:113838', "DLP", 'mGy.cm'),
        ('Dose Area Product', 'DCM:122130', "DAP", 'Gy.m2'), ('Dose (RP)', 'DCM:113738', "RP",
        'mGy'), ('Average Glandular Dose', 'DCM:111631', "AGD", 'mGy'),
        ('Administered activity', 'DCM:113507', activity, 'MBq')) as m(name, concept, number, unit)
    where d.counted and m.number is not null),
every as (from volumes union all from seen union all from measured union all from doses),
numbered as (
    select *, row_number() over (partition by kind, row, concept order by number) as n from every)
select f.*, coalesce(o.image_id, i.image_id) as image_id, i.person_id, i.visit_id, i.day,
    {id_of("image_feature", "f.kind", "f.row", "f.concept", "f.n")} as feature_id,
    {id_of("event", "f.kind", "f.row", "f.concept", "f.n")} as event_id,
    case when f.grouped is null then null
        else {id_of("finding", "f.series_id", "f.grouped")} end as finding_id,
    case when i.years then null else (f.computed - i.days * interval 1 day) end as moment
from numbered f join img i using (series_id) left join img o on o.series = f.drawn_on
"""

CODES = """
select 'DCM:' || "Modality" as code from img union select site from sites
union select concept from features union select value from features union select site from features
union select finding from features union select 'UCUM:' || unit from features
"""
"""Every code of series and of what is inside of them."""
_EVENT = """
select f.event_id as {table}_id, f.person_id, {concept} as {table}_concept_id,
    f.day as {table}_date, f.moment as {table}_datetime, type_of_record()
    as {table}_type_concept_id, f.number as value_as_number,
    if(f.value is null, null, {value}) as value_as_concept_id,
    if(f.unit is null, null, {unit}) as unit_concept_id, f.visit_id as visit_occurrence_id,
    left(concat_ws(' ', f.concept, f.meaning), 50) as {table}_source_value,
    {source} as {table}_source_concept_id, left(f.unit, 50) as unit_source_value,
    left(if(f.value is null, null, concat_ws(' ', f.value, f.value_meaning)), 50)
    as value_source_value, {more}
from features f {joins} where {where}
"""


def _event(table: str, where: str, more: str) -> str:
    return _EVENT.format(
        table=table, where=where, more=more, concept=concept("c"), value=concept("v"),
        unit=concept("u"), source=concept("c", "source_concept_id"),
        joins=joined(c="f.concept", v="f.value", u="'UCUM:' || f.unit"),
    )  # fmt: skip


ROWS = {
    "person": f"""
select distinct on (person_id) person_id, {concept("g")} as gender_concept_id, year_of_birth,
    month_of_birth, day_of_birth, 0 as race_concept_id, 0 as ethnicity_concept_id,
    left(source, 50) as person_source_value, left(sex, 50) as gender_source_value,
    0 as gender_source_concept_id
from people {joined(g="'Gender:' || sex")} order by person_id, patient_key""",
    "visit_occurrence": """
select visit_id as visit_occurrence_id, any_value(person_id) as person_id, 0 as visit_concept_id,
    any_value(visit_day) as visit_start_date, any_value(visit_day) as visit_end_date,
    type_of_record() as visit_type_concept_id, 'imaging' as visit_source_value,
    0 as visit_source_concept_id
from img group by visit_id""",
    "procedure_occurrence": """
select procedure_id as procedure_occurrence_id, any_value(person_id) as person_id,
    0 as procedure_concept_id, any_value(visit_day) as procedure_date,
    type_of_record() as procedure_type_concept_id, any_value(visit_id) as visit_occurrence_id,
    left(any_value(description), 50) as procedure_source_value, 0 as procedure_source_concept_id
from img group by procedure_id""",
    "image_occurrence": f"""
select image_id as image_occurrence_id, person_id, procedure_id as procedure_occurrence_id,
    visit_id as visit_occurrence_id, {concept("a")} as anatomic_site_concept_id,
    wado() || '/studies/' || study_uid || '/series/' || series_uid as wadors_uri,
    day as image_occurrence_date, study_uid as image_study_uid, series_uid as image_series_uid,
    {concept("m")} as modality_concept_id
from img i left join sites s on s.part = i."BodyPartExamined"
    {joined(a="s.site", m="'DCM:' || i.Modality")}""",
    "image_feature": f"""
select feature_id as image_feature_id, person_id, image_id as image_occurrence_id,
    if(number is null, field_of_observation(), field_of_measurement())
    as image_feature_event_field_concept_id, event_id as image_feature_event_id,
    {concept("c")} as image_feature_concept_id, if(kind = 'annotation', type_of_algorithm(),
    type_of_record()) as image_feature_type_concept_id,
    if(finding is null, null, {concept("d")}) as image_finding_concept_id,
    finding_id as image_finding_id, {concept("a")} as anatomic_site_concept_id,
    system as alg_system, moment as alg_datetime
from features f {joined(c="f.concept", d="f.finding", a="f.site")}""",
    "measurement": _event(
        "measurement", "number is not null",
        "f.feature_id as measurement_event_id, field_of_feature() as meas_event_field_concept_id",
    ),
    "observation": _event(
        "observation", "number is null",
        "left(coalesce(f.value_meaning, f.value), 60) as value_as_string, f.feature_id as "
        "observation_event_id, field_of_feature() as obs_event_field_concept_id",
    ),
    "source_codes": """
select 'image_occurrence' as table_name, image_id as row_id, 'modality' as field,
    'DCM:' || "Modality" as source_value, "Modality" as source_description
from img where "Modality" is not null
union all
select 'image_occurrence', image_id, 'anatomic_site', site, part from img
join sites on part = "BodyPartExamined"
union all
select 'image_feature', feature_id, 'image_feature', concept, meaning from features
where concept is not null
union all
select 'image_feature', feature_id, 'anatomic_site', site, site_meaning from features
where site is not null
union all
select 'image_feature', feature_id, 'image_finding', finding, null from features
where finding is not null""",
}  # fmt: skip
"""Rows of the tables that series and their contents make; constants are macros."""
CONSTANTS = {
    "type_of_record": "Type:EHR", "type_of_algorithm": "Type:Algorithm",
    "field_of_measurement": "CDM:measurement.measurement_id",
    "field_of_observation": "CDM:observation.observation_id",
    "field_of_feature": "CDM:image_feature.image_feature_id",
}  # fmt: skip
"""Concepts that rows of all kinds have, by the macros that give them."""
