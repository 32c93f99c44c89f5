"""Electrocardiograms of other formats made into DICOM: a waveform and a report of each.

    scp     SCP-ECG, EN 1064 / ISO 11073-91064      aecg    HL7 annotated ECG
    muse    GE MUSE XML, resting ECG                sierra  Philips Sierra XML 1.03 and 1.04

The samples are whole numbers and stay the same numbers. Measurements are those that the file
states; none is calculated. What cannot be read is a DataError that says why.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from dicomlake.contracts.converters import Asked, Converted, Original
from dicomlake.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomlake.converters.ecg.recording import Recording

_ROOTS = {"AnnotatedECG": "aecg", "RestingECG": "muse", "restingecgdata": "sierra"}
_HEAD = 16_384


class EcgConverter:
    """Makes a DICOM waveform and a TID 3700 report of an ECG file."""

    name = "ecg"
    about = "electrocardiograms: SCP-ECG, HL7 aECG, GE MUSE XML, Philips Sierra XML"
    formats: Mapping[str, str] = MappingProxyType(
        {
            "scp": "SCP-ECG (EN 1064, ISO 11073-91064)",
            "aecg": "HL7 annotated ECG (aECG)",
            "muse": "GE MUSE XML of resting ECGs",
            "sierra": "Philips Sierra XML 1.03 and 1.04",
        }
    )
    version = "2"

    def format_of(self, original: Original, asked: Asked) -> str:
        """The format by the first bytes: the pointers of SCP-ECG, or the root of an XML."""
        from dicomlake.converters.ecg import scp
        from dicomlake.converters.ecg.markup import root_name

        head = original.data[:_HEAD]
        if scp.looks_like(head):
            return "scp"
        return _ROOTS.get(root_name(head), "")

    def convert(self, original: Original, asked: Asked) -> Converted:
        """The waveform and the report of a file; DataError with the reason."""
        from dicomlake.converters.ecg.objects import Made
        from dicomlake.converters.ecg.report import report
        from dicomlake.converters.ecg.waveform import waveform

        recording = read(self.format_of(original, asked), original.data)
        made = Made.of(original, recording, asked)
        wave = waveform(made)
        return Converted([wave, report(made, wave)], notes=list(dict.fromkeys(recording.notes)))


def read(form: str, data: bytes) -> Recording:
    """What a file of one of the formats says; DataError when it cannot be read."""
    from dicomlake.converters.ecg import aecg, muse, scp, sierra
    from dicomlake.converters.ecg.recording import MOST_BYTES

    readers = {"scp": scp.read, "aecg": aecg.read, "muse": muse.read, "sierra": sierra.read}
    if form not in readers:
        raise DataError("it is no ECG in a format that is read: SCP-ECG, aECG, MUSE or Sierra XML")
    if len(data) > MOST_BYTES:
        raise DataError(f"it has more than {MOST_BYTES >> 20} MB: that is no resting ECG")
    return readers[form](data)
