"""Tables of OMOP that are written: columns of CDM 5.4 and of its Medical Imaging extension.

Names, order, and what must not be empty as in the DDL of OHDSI: OMOPCDM 5.4 of CommonDataModel, and
MI-CDM 5.4 of ImageWG. `source_codes` is ours: codes for which the model has a concept id and no
place for a source value.
"""

from __future__ import annotations

import pyarrow as pa

_TYPES = {
    "id": pa.int64(), "text": pa.string(), "date": pa.date32(), "datetime": pa.timestamp("us"),
    "number": pa.float64(),
}  # fmt: skip


def _table(told: str) -> pa.Schema:
    """A schema of words: name, or name:type, with ! where it is required.

    What ends in _id is an id, in _date or _datetime one of these; other words are texts.
    """
    fields = []
    for word in told.split():
        name, _, kind = word.rstrip("!").partition(":")
        if not kind:
            kind = "id" if name.endswith("_id") else "text"
            kind = "date" if name.endswith("_date") else kind
            kind = "datetime" if name.endswith("_datetime") else kind
        fields.append(pa.field(name, _TYPES[kind], nullable=not word.endswith("!")))
    return pa.schema(fields)


TABLES = {
    "person": _table(
        """person_id! gender_concept_id! year_of_birth:id! month_of_birth:id day_of_birth:id
        birth_datetime race_concept_id! ethnicity_concept_id! location_id provider_id care_site_id
        person_source_value gender_source_value gender_source_concept_id race_source_value
        race_source_concept_id ethnicity_source_value ethnicity_source_concept_id"""
    ),
    "observation_period": _table(
        """observation_period_id! person_id! observation_period_start_date!
        observation_period_end_date! period_type_concept_id!"""
    ),
    "visit_occurrence": _table(
        """visit_occurrence_id! person_id! visit_concept_id! visit_start_date! visit_start_datetime
        visit_end_date! visit_end_datetime visit_type_concept_id! provider_id care_site_id
        visit_source_value visit_source_concept_id admitted_from_concept_id
        admitted_from_source_value discharged_to_concept_id discharged_to_source_value
        preceding_visit_occurrence_id"""
    ),
    "condition_occurrence": _table(
        """condition_occurrence_id! person_id! condition_concept_id! condition_start_date!
        condition_start_datetime condition_end_date condition_end_datetime
        condition_type_concept_id! condition_status_concept_id stop_reason provider_id
        visit_occurrence_id visit_detail_id condition_source_value condition_source_concept_id
        condition_status_source_value"""
    ),
    "drug_exposure": _table(
        """drug_exposure_id! person_id! drug_concept_id! drug_exposure_start_date!
        drug_exposure_start_datetime drug_exposure_end_date! drug_exposure_end_datetime
        verbatim_end_date drug_type_concept_id! stop_reason refills:id quantity:number
        days_supply:id sig route_concept_id lot_number provider_id visit_occurrence_id
        visit_detail_id drug_source_value drug_source_concept_id route_source_value
        dose_unit_source_value"""
    ),
    "procedure_occurrence": _table(
        """procedure_occurrence_id! person_id! procedure_concept_id! procedure_date!
        procedure_datetime procedure_end_date procedure_end_datetime procedure_type_concept_id!
        modifier_concept_id quantity:id provider_id visit_occurrence_id visit_detail_id
        procedure_source_value procedure_source_concept_id modifier_source_value"""
    ),
    "measurement": _table(
        """measurement_id! person_id! measurement_concept_id! measurement_date!
        measurement_datetime measurement_time measurement_type_concept_id! operator_concept_id
        value_as_number:number value_as_concept_id unit_concept_id range_low:number
        range_high:number provider_id visit_occurrence_id visit_detail_id measurement_source_value
        measurement_source_concept_id unit_source_value unit_source_concept_id value_source_value
        measurement_event_id meas_event_field_concept_id"""
    ),
    "observation": _table(
        """observation_id! person_id! observation_concept_id! observation_date!
        observation_datetime observation_type_concept_id! value_as_number:number value_as_string
        value_as_concept_id qualifier_concept_id unit_concept_id provider_id visit_occurrence_id
        visit_detail_id observation_source_value observation_source_concept_id unit_source_value
        qualifier_source_value value_source_value observation_event_id obs_event_field_concept_id"""
    ),
    "note": _table(
        """note_id! person_id! note_date! note_datetime note_type_concept_id!
        note_class_concept_id! note_title note_text! encoding_concept_id! language_concept_id!
        provider_id visit_occurrence_id visit_detail_id note_source_value note_event_id
        note_event_field_concept_id"""
    ),
    "image_occurrence": _table(
        """image_occurrence_id! person_id! procedure_occurrence_id! visit_occurrence_id
        anatomic_site_concept_id wadors_uri local_path image_occurrence_date! image_study_uid!
        image_series_uid! modality_concept_id!"""
    ),
    "image_feature": _table(
        """image_feature_id! person_id! image_occurrence_id! image_feature_event_field_concept_id
        image_feature_event_id image_feature_concept_id! image_feature_type_concept_id!
        image_finding_concept_id image_finding_id anatomic_site_concept_id alg_system
        alg_datetime"""
    ),
    "source_codes": _table("table_name! row_id! field! source_value! source_description"),
}
"""Every table that is written, with its columns in order; `note` when it is asked for."""
