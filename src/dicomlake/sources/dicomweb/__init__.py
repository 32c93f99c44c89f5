"""DICOMweb services as archives: QIDO-RS and WADO-RS (PS3.18 Sections 8.3, 10.4 and 10.6)."""

from dicomlake.sources.dicomweb.archive import DicomwebArchive

__all__ = ["DicomwebArchive"]
