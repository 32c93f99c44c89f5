"""What all objects made of an ECG file share: patient, study, equipment and origin."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicomlake.dicom import dictionary
from dicomlake.errors import DataError, UsageError
from dicomlake.version import __version__

if TYPE_CHECKING:
    from datetime import datetime

    from dicomlake.contracts.converters import Asked, Original
    from dicomlake.converters.ecg.recording import Recording
    from dicomlake.terms import Code

IMPLEMENTATION = "2.25.308595111996141265878056584044657596176"
CREATOR = "DICOMLAKE"
"""Of the private block (0009) that says what an object was made of: 01 format, 02 SHA-256."""
_EMPTY = (
    "PatientName PatientID PatientBirthDate PatientSex StudyID AccessionNumber "
    "ReferringPhysicianName Manufacturer"
).split()
_REPORTED = (
    "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientAge PatientSize "
    "PatientWeight ReferringPhysicianName AccessionNumber StudyID StudyDescription "
    "InstitutionName InstitutionalDepartmentName"
).split()
"""Attributes that a report has in common with the waveform."""
_NEVER = frozenset(
    "SpecificCharacterSet SOPClassUID SOPInstanceUID SeriesInstanceUID Modality SeriesNumber "
    "InstanceNumber SeriesDate SeriesTime ContentDate ContentTime AcquisitionDateTime "
    "TimezoneOffsetFromUTC StudyDate StudyTime".split()
)
"""Attributes that a header cannot set: the file, or the moment, says them."""


@dataclass(frozen=True, slots=True)
class Made:
    """One conversion: the file, what it says, and how its objects are to be called."""

    original: Original
    recording: Recording
    asked: Asked
    moment: datetime
    digest: str

    @classmethod
    def of(cls, original: Original, recording: Recording, asked: Asked) -> Made:
        """A conversion; DataError when nobody says when the ECG was recorded."""
        moment = recording.moment or _moment(asked)
        if moment is None:
            raise DataError(
                "it does not say when it was recorded: give AcquisitionDateTime with the header"
            )
        return cls(original, recording, asked, moment, sha256(original.data).hexdigest())

    def uid(self, what: str) -> str:
        """The UID of one of the objects; the same one for the same file."""
        return self.asked.uid("ecg", self.digest, what)

    @property
    def study(self) -> str:
        """StudyInstanceUID: as asked for, else of this file alone."""
        return self.asked.header.get("StudyInstanceUID") or self.uid("study")

    def dataset(self, sop_class: str, what: str, modality: str, number: int) -> Dataset:
        """An object with patient, study, series and origin, and nothing of its own yet."""
        made = Dataset()
        made.SpecificCharacterSet = "ISO_IR 192"
        made.SOPClassUID = UID(sop_class)
        made.SOPInstanceUID = UID(self.uid(what))
        made.StudyInstanceUID = UID(self.study)
        made.SeriesInstanceUID = UID(self.uid(f"{what} series"))
        made.Modality, made.SeriesNumber, made.InstanceNumber = modality, number, 1
        date, time = f"{self.moment:%Y%m%d}", _time(self.moment)
        made.StudyDate = made.SeriesDate = made.ContentDate = date
        made.StudyTime = made.SeriesTime = made.ContentTime = time
        if self.moment.utcoffset() is not None:
            made.TimezoneOffsetFromUTC = f"{self.moment:%z}"[:5]
        self._attributes(made, of_report=modality == "SR")
        self._origin(made)
        made.file_meta = FileMetaDataset()
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION)
        made.file_meta.ImplementationVersionName = f"DICOMLAKE {__version__}"[:16]
        return made

    def _attributes(self, made: Dataset, *, of_report: bool) -> None:
        said = dict(self.recording.header)
        for keyword, value in self.asked.header.items():
            if keyword in _NEVER or said.get(keyword):
                continue
            if not dictionary.is_keyword(keyword):
                raise UsageError(f"{keyword!r} is not a DICOM keyword: correct the header")
            said[keyword] = value
        if self.asked.header.get("StudyInstanceUID"):  # a study that is there already has its date
            for keyword in ("StudyDate", "StudyTime"):
                said[keyword] = self.asked.header.get(keyword) or getattr(made, keyword)
        for keyword in _EMPTY:
            said.setdefault(keyword, "")
        for keyword, value in said.items():
            own = keyword in self.recording.header and keyword not in _REPORTED
            if of_report and own and not keyword.startswith("ClinicalTrial"):
                continue  # it is about the device that recorded
            if value or keyword in _EMPTY or keyword.startswith("ClinicalTrial"):
                setattr(made, keyword, value)

    def _origin(self, made: Dataset) -> None:
        """Say in the object of what it was made, by which program, and that file's digest."""
        item = Dataset()
        item.PurposeOfReferenceCodeSequence = [coded_as("109103", "DCM", "Modifying Equipment")]
        item.Manufacturer = item.ManufacturerModelName = "dicomlake"
        item.SoftwareVersions = __version__
        item.ContributionDescription = (
            f"Converted from {self.recording.format}; SHA-256 of the original: {self.digest}"
        )
        made.ContributingEquipmentSequence = [item]
        block = made.private_block(0x0009, CREATOR, create=True)
        block.add_new(0x01, "LO", self.recording.format[:64])
        block.add_new(0x02, "LO", self.digest)

    @property
    def acquired(self) -> str:
        """The moment as a date with time, with the offset of its zone if the file has one."""
        zone = f"{self.moment:%z}"[:5] if self.moment.utcoffset() is not None else ""
        return f"{self.moment:%Y%m%d}{_time(self.moment)}{zone}"


def _time(moment: datetime) -> str:
    return f"{moment:%H%M%S.%f}" if moment.microsecond else f"{moment:%H%M%S}"


def _moment(asked: Asked) -> datetime | None:
    """The moment that whoever converts gives."""
    from pydicom.valuerep import DT

    header = asked.header
    said = header.get("AcquisitionDateTime") or (
        header["StudyDate"] + header["StudyTime"]
        if header.get("StudyDate") and header.get("StudyTime")
        else ""
    )
    if not said:
        return None
    try:
        moment = DT(said)
    except ValueError:
        moment = None
    if moment is None or len(said) < 12:
        raise UsageError(
            "AcquisitionDateTime of the header is no date with time: write it as 20240131120000"
        )
    return moment


def coded_as(value: str, scheme: str, meaning: str) -> Dataset:
    """The item of a code sequence.

    >>> coded_as("ms", "UCUM", "millisecond").CodingSchemeDesignator
    'UCUM'
    """
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning[:64]
    return item


def coded(code: Code) -> Dataset:
    """The item of a code sequence."""
    return coded_as(code.value, code.scheme, code.meaning)


def decimal_string(number: Decimal) -> str:
    """A number in the 16 characters of a decimal string; digits that do not fit are rounded away.

    >>> decimal_string(Decimal("5E+2")), decimal_string(Decimal(1) / 3)
    ('500', '0.33333333333333')
    """
    text = format(number.normalize(), "f")
    for digits in range(16, 0, -1):
        if len(text) <= 16:
            break
        text = f"{number:.{digits}g}"
    return text
