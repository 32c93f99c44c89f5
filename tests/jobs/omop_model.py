"""What the DDL of OMOP says of the tables that are written: columns, types, what is required.

Facts of OMOPCDM_duckdb_5.4_ddl.sql, its primary keys and constraints (OHDSI/CommonDataModel), and
of MICDM_duckdb_5.4_ddl.sql and its constraints (dr-you-group/ImageWG, of OHDSI's working group of
imaging). Every id is an integer there; ours need bigint. A word is name:type, with ! where NOT
NULL; i integer, d date, t timestamp, n numeric, x text, and vN varchar(N).
"""

from __future__ import annotations

import duckdb

_MODEL = {
    "person": """person_id:i! gender_concept_id:i! year_of_birth:i! month_of_birth:i day_of_birth:i
        birth_datetime:t race_concept_id:i! ethnicity_concept_id:i! location_id:i provider_id:i
        care_site_id:i person_source_value:v50 gender_source_value:v50 gender_source_concept_id:i
        race_source_value:v50 race_source_concept_id:i ethnicity_source_value:v50
        ethnicity_source_concept_id:i""",
    "observation_period": """observation_period_id:i! person_id:i! observation_period_start_date:d!
        observation_period_end_date:d! period_type_concept_id:i!""",
    "visit_occurrence": """visit_occurrence_id:i! person_id:i! visit_concept_id:i!
        visit_start_date:d! visit_start_datetime:t visit_end_date:d! visit_end_datetime:t
        visit_type_concept_id:i! provider_id:i care_site_id:i visit_source_value:v50
        visit_source_concept_id:i admitted_from_concept_id:i admitted_from_source_value:v50
        discharged_to_concept_id:i discharged_to_source_value:v50
        preceding_visit_occurrence_id:i""",
    "condition_occurrence": """condition_occurrence_id:i! person_id:i! condition_concept_id:i!
        condition_start_date:d! condition_start_datetime:t condition_end_date:d
        condition_end_datetime:t condition_type_concept_id:i! condition_status_concept_id:i
        stop_reason:v20 provider_id:i visit_occurrence_id:i visit_detail_id:i
        condition_source_value:v50 condition_source_concept_id:i
        condition_status_source_value:v50""",
    "drug_exposure": """drug_exposure_id:i! person_id:i! drug_concept_id:i!
        drug_exposure_start_date:d! drug_exposure_start_datetime:t drug_exposure_end_date:d!
        drug_exposure_end_datetime:t verbatim_end_date:d drug_type_concept_id:i! stop_reason:v20
        refills:i quantity:n days_supply:i sig:x route_concept_id:i lot_number:v50 provider_id:i
        visit_occurrence_id:i visit_detail_id:i drug_source_value:v50 drug_source_concept_id:i
        route_source_value:v50 dose_unit_source_value:v50""",
    "procedure_occurrence": """procedure_occurrence_id:i! person_id:i! procedure_concept_id:i!
        procedure_date:d! procedure_datetime:t procedure_end_date:d procedure_end_datetime:t
        procedure_type_concept_id:i! modifier_concept_id:i quantity:i provider_id:i
        visit_occurrence_id:i visit_detail_id:i procedure_source_value:v50
        procedure_source_concept_id:i modifier_source_value:v50""",
    "measurement": """measurement_id:i! person_id:i! measurement_concept_id:i! measurement_date:d!
        measurement_datetime:t measurement_time:v10 measurement_type_concept_id:i!
        operator_concept_id:i value_as_number:n value_as_concept_id:i unit_concept_id:i range_low:n
        range_high:n provider_id:i visit_occurrence_id:i visit_detail_id:i
        measurement_source_value:v50 measurement_source_concept_id:i unit_source_value:v50
        unit_source_concept_id:i value_source_value:v50 measurement_event_id:i
        meas_event_field_concept_id:i""",
    "observation": """observation_id:i! person_id:i! observation_concept_id:i! observation_date:d!
        observation_datetime:t observation_type_concept_id:i! value_as_number:n value_as_string:v60
        value_as_concept_id:i qualifier_concept_id:i unit_concept_id:i provider_id:i
        visit_occurrence_id:i visit_detail_id:i observation_source_value:v50
        observation_source_concept_id:i unit_source_value:v50 qualifier_source_value:v50
        value_source_value:v50 observation_event_id:i obs_event_field_concept_id:i""",
    "note": """note_id:i! person_id:i! note_date:d! note_datetime:t note_type_concept_id:i!
        note_class_concept_id:i! note_title:v250 note_text:x! encoding_concept_id:i!
        language_concept_id:i! provider_id:i visit_occurrence_id:i visit_detail_id:i
        note_source_value:v50 note_event_id:i note_event_field_concept_id:i""",
    "image_occurrence": """image_occurrence_id:i! person_id:i! procedure_occurrence_id:i!
        visit_occurrence_id:i anatomic_site_concept_id:i wadors_uri:x local_path:x
        image_occurrence_date:d! image_study_uid:x! image_series_uid:x! modality_concept_id:i!""",
    "image_feature": """image_feature_id:i! person_id:i! image_occurrence_id:i!
        image_feature_event_field_concept_id:i image_feature_event_id:i image_feature_concept_id:i!
        image_feature_type_concept_id:i! image_finding_concept_id:i image_finding_id:i
        anatomic_site_concept_id:i alg_system:x alg_datetime:t""",
}  # fmt: skip
TABLES = tuple(_MODEL)
"""Names of the tables that the DDL knows, in an order in which they can be loaded."""
_TYPES = {"i": "bigint", "d": "date", "t": "timestamp", "n": "double", "x": "varchar"}
_KEYS = ("person", "visit_occurrence", "procedure_occurrence", "image_occurrence")


def columns(name: str) -> list[str]:
    """The columns of a table, in order."""
    return [word.partition(":")[0] for word in _MODEL[name].split()]


def create(db: duckdb.DuckDBPyConnection, concepts: list[int]) -> None:
    """Make the tables with primary and foreign keys, and one of the concepts that there are."""
    db.execute("create table concept (concept_id bigint primary key)")
    db.executemany("insert into concept values (?)", [[one] for one in {0, *concepts}])
    for name in TABLES:
        told = [_column(name, word) for word in _MODEL[name].split()]
        db.execute(f"create table {name} ({', '.join(told)})")


def _column(table: str, word: str) -> str:
    name, _, kind = word.rstrip("!").partition(":")
    parts = [name, _TYPES.get(kind, "varchar")]
    if word.endswith("!"):
        parts.append("not null")
    if kind.startswith("v"):
        parts.append(f"check (length({name}) <= {kind[1:]})")
    if name == f"{table}_id":
        parts.append("primary key")
    elif name.endswith("concept_id"):
        parts.append("references concept (concept_id)")
    else:
        parts += [f"references {key} ({key}_id)" for key in _KEYS if name == f"{key}_id"]
    return " ".join(parts)
