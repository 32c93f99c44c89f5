"""Converting: what is no DICOM becomes objects, facts and documents; the original is kept."""

from dicomlake.jobs.converting.hands import converters_of
from dicomlake.jobs.converting.making import Report, convert
from dicomlake.jobs.converting.mappings import mapping_of
from dicomlake.jobs.converting.originals import Originals, Provenance, originals_of

__all__ = [
    "Originals",
    "Provenance",
    "Report",
    "convert",
    "converters_of",
    "mapping_of",
    "originals_of",
]
