"""What is known of the patients of a dataset, to be cleaned away and not to be found again."""

from __future__ import annotations

from importlib import import_module

from dicomlake.contracts.deid import Known
from dicomlake.lake import Store


def known_of(store: Store, patient_key: int) -> list[Known]:
    """What the lake knows of a patient, as it is to be found in texts."""
    knowing = import_module("dicomlake.jobs.deid.knowing")
    found: list[Known] = knowing.known_of_patient(store, patient_key)
    return found
