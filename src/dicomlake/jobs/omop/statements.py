"""SQL that makes the rows of OMOP of the series in `img`; codes are turned to concepts after it.

`img` has the patient, ids, day and UIDs of each series as they go out. A code is written
SCHEME:VALUE, as everywhere in the lake. Of contents, codes with their meanings and numbers go out,
and no text that people wrote.
"""

from __future__ import annotations


def id_of(kind: str, *said: str) -> str:
    """SQL of the number of a row: the same in every run, of who has the salt alone."""
    parts = ", ".join(f"coalesce(({one})::varchar, '')" for one in said)
    return f"(md5_number_lower(concat_ws(chr(0), $salt, '{kind}', {parts})) >> 2)::bigint"


IMAGES = f"""
create or replace temp table img as
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
create or replace temp table features as
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
