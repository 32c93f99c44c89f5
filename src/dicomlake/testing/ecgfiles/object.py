"""A DICOM 12-lead ECG, as a device with an interface of its own would send it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomlake.terms import Code
from dicomlake.testing.dicom import encode, uid
from dicomlake.testing.ecgfiles.binary import NUMBERS
from dicomlake.testing.ecgfiles.made import LEADS, Ecg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dicomlake.testing.dicom import Value

TWELVE_LEAD = "1.2.840.10008.5.1.4.1.1.9.1.1"


def dicom(ecg: Ecg, **attributes: Value) -> bytes:
    """A DICOM file of an ECG: rhythm, median beat and measurements; `attributes` on top.

    >>> from dicomlake.testing.ecgfiles import made
    >>> dicom(made(1))[128:132]
    b'DICM'
    """
    name = (ecg.patient_id, ecg.moment)
    return encode(
        {
            "SpecificCharacterSet": "ISO_IR 192",
            "SOPClassUID": TWELVE_LEAD,
            "SOPInstanceUID": uid("ecg", *name),
            "StudyInstanceUID": uid("ecg study", *name),
            "SeriesInstanceUID": uid("ecg series", *name),
            "StudyDate": ecg.moment.date(),
            "StudyTime": ecg.moment.time(),
            "ContentDate": ecg.moment.date(),
            "ContentTime": ecg.moment.time(),
            "AcquisitionDateTime": ecg.moment,
            "AccessionNumber": "",
            "Modality": "ECG",
            "Manufacturer": ecg.manufacturer,
            "ManufacturerModelName": ecg.model,
            "DeviceSerialNumber": ecg.serial,
            "SoftwareVersions": ecg.software,
            "InstitutionName": ecg.institution,
            "ReferringPhysicianName": "",
            "PatientName": f"{ecg.family}^{ecg.given}",
            "PatientID": ecg.patient_id,
            "PatientBirthDate": ecg.born,
            "PatientSex": ecg.sex,
            "PatientAge": f"{ecg.age:03d}Y",
            "StudyID": "",
            "SeriesNumber": 1,
            "InstanceNumber": 1,
            "AcquisitionContextSequence": [],
            "WaveformSequence": [
                _group(ecg, "RHYTHM", ecg.samples),
                _group(ecg, "MEDIAN BEAT", ecg.beat),
            ],
            "WaveformAnnotationSequence": [*_measured(ecg), *_said(ecg)],
            **attributes,
        }
    )


def _group(ecg: Ecg, label: str, samples: NDArray[np.int16]) -> dict[str, Value]:
    return {
        "WaveformOriginality": "ORIGINAL" if label == "RHYTHM" else "DERIVED",
        "NumberOfWaveformChannels": len(LEADS),
        "NumberOfWaveformSamples": len(samples),
        "SamplingFrequency": ecg.rate,
        "MultiplexGroupLabel": label,
        "ChannelDefinitionSequence": [
            {
                "ChannelLabel": lead,
                "ChannelSourceSequence": [Code(f"2:{NUMBERS[lead]}", "MDC", f"Lead {lead}")],
                "ChannelSensitivity": ecg.step,
                "ChannelSensitivityUnitsSequence": [Code("uV", "UCUM", "microvolt")],
                "ChannelSensitivityCorrectionFactor": 1,
                "ChannelBaseline": 0,
                "ChannelSampleSkew": 0,
                "WaveformBitsStored": 16,
                "FilterLowFrequency": 0.05,
                "FilterHighFrequency": 150,
                "NotchFilterFrequency": 50,
            }
            for lead in LEADS
        ],
        "WaveformBitsAllocated": 16,
        "WaveformSampleInterpretation": "SS",
        "WaveformData": samples,
    }


def _measured(ecg: Ecg) -> list[dict[str, Value]]:
    ms, degree = Code("ms", "UCUM", "millisecond"), Code("deg", "UCUM", "degree")
    measured = (
        (Code("8867-4", "LN", "Heart rate"), ecg.heart_rate, Code("/min", "UCUM", "per minute")),
        (Code("2:16168", "MDC", "RR interval global"), ecg.rr, ms),
        (Code("2:15872", "MDC", "PR interval global"), ecg.pr, ms),
        (Code("2:16184", "MDC", "P duration global"), ecg.p_duration, ms),
        (Code("2:16156", "MDC", "QRS duration global"), ecg.qrs, ms),
        (Code("2:16160", "MDC", "QT interval global"), ecg.qt, ms),
        (Code("2:15880", "MDC", "QTc interval global using Bazett's formula"), ecg.qtc, ms),
        (Code("2:16128", "MDC", "P axis"), ecg.p_axis, degree),
        (Code("2:16132", "MDC", "QRS axis"), ecg.qrs_axis, degree),
        (Code("2:16136", "MDC", "T axis"), ecg.t_axis, degree),
    )
    return [
        {
            "ConceptNameCodeSequence": [name],
            "MeasurementUnitsCodeSequence": [unit],
            "ReferencedWaveformChannels": [1, 0],
            "AnnotationGroupNumber": 0,
            "NumericValue": value,
        }
        for name, value, unit in measured
    ]


def _said(ecg: Ecg) -> list[dict[str, Value]]:
    return [
        {
            "UnformattedTextValue": text,
            "ReferencedWaveformChannels": [1, 0],
            "AnnotationGroupNumber": 1,
        }
        for text in ecg.statements
    ]
