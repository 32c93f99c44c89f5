"""The cleaner that changes nothing: objects leave as they are, for whoever may have them so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicomlake.contracts.deid import Cleaned, Dates, Identity, Known, Patient, Span, Words
from dicomlake.errors import DataError
from dicomlake.jobs.datasets.objects import parsed
from dicomlake.jobs.datasets.wanted import IDENTIFIED
from dicomlake.readers.attributes import text


class AsTheyAre:
    """An identity and words that find and change nothing."""

    days = 0

    def uid(self, uid: str) -> str:
        """The UID itself."""
        return uid

    def id(self, value: str, kind: str = "patient") -> str:
        """The identifier itself."""
        return value

    def moved(self, value: str, vr: str = "DA") -> str:
        """The date itself."""
        return value

    def spans(self, text: str) -> Sequence[Span]:
        """Nothing."""
        return ()

    def clean(self, text: str) -> str:
        """The text itself."""
        return text


@dataclass(slots=True)
class SamePatient:
    """A patient whose objects stay as they are."""

    PatientID: str
    identity: Identity
    words: Words

    def clean(self, data: bytes) -> Cleaned:
        """The object as it is; DataError when it is no DICOM object that can be read."""
        header = parsed(data).header
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
        uids = [text(header, name) or "" for name in (*names, "TransferSyntaxUID")]
        if not uids[2]:
            raise DataError("the object has no SOPInstanceUID")
        return Cleaned(data, self.PatientID, uids[0], uids[1], uids[2], uids[3], uids[4])


class Unchanged:
    """A `dicomlake.contracts.deid.Cleaner` that changes nothing."""

    name = IDENTIFIED
    digest = IDENTIFIED
    dates: Dates = "kept"

    def patient(self, known: Sequence[Known], PatientID: str, issuer: str = "") -> Patient:
        """What leaves the objects of a patient as they are."""
        same = AsTheyAre()
        return SamePatient(PatientID, same, same)

    def close(self) -> None:
        """Nothing is open."""
