"""What is known of the patients of a dataset, to be cleaned away and not to be found again."""

from __future__ import annotations

from dicomlake.contracts.deid import Known
from dicomlake.jobs.deid.knowing import known_of_patient
from dicomlake.lake import Store


def known_of(store: Store, patient_key: int) -> list[Known]:
    """What the lake knows of a patient, as it is to be found in texts."""
    return known_of_patient(store, patient_key)
