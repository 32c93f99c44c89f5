"""Layouts: where in a dataset objects, volumes and labels lie."""

from __future__ import annotations

from dicomlake.contracts.deid import Cleaned
from dicomlake.jobs.datasets.places import safe

_OBJECTS = {"plain": "dicom", "bids": "sourcedata"}


def objects_in(layout: str, person: str, cleaned: Cleaned) -> str:
    """The path of an object: patient, study, series, object."""
    parts = [safe(uid) for uid in (cleaned.StudyInstanceUID, cleaned.SeriesInstanceUID)]
    whose = f"sub-{label(person)}" if layout == "bids" else person
    folder = _OBJECTS.get(layout, "dicom")
    return "/".join([folder, whose, *parts, f"{safe(cleaned.SOPInstanceUID)}.dcm"])


def label(name: str) -> str:
    """A name as a label of BIDS: letters and digits alone.

    >>> label("p-01.a")
    'p01a'
    """
    return "".join(c for c in name if c.isascii() and c.isalnum())
