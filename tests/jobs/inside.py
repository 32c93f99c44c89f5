"""Small objects with something inside: reports, segments, waveforms, doses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dicomlake.terms import Code
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.hospital.codes import FINDING, FINDING_SITE, dcm, sct, ucum
from dicomlake.testing.hospital.reports import code, container, number, text, uidref

SR = "1.2.840.10008.5.1.4.1.1.88."
IMAGE = "1.2.840.10008.5.1.4.1.1."
MM, MGY, MGYCM = ucum("mm"), ucum("mGy"), ucum("mGy.cm")
LIVER, LIVER_SRT = sct("10200004", "Liver"), Code("T-62000", "SRT", "Liver")
LENGTH = Code("410668003", "SCT", "Length")


def made(series: object, at: int, description: dict[str, Any], **more: Any) -> bytes:
    """An object with its place in the information model."""
    return encode(
        {
            "SpecificCharacterSet": "ISO_IR 192",
            **description,
            "SOPInstanceUID": uid("inside", series, at),
            "SeriesInstanceUID": uid("series", series),
            "StudyInstanceUID": uid("study", str(series).partition("/")[0]),
            "PatientID": str(series).partition("/")[0],
            "InstanceNumber": at,
            **more,
        }
    )


def report(
    *children: dict[str, Any], title: Code | None = None, sop_class: str = "33"
) -> dict[str, Any]:
    title = title or dcm("126000", "Imaging Measurement Report")
    root = container(title, *children)
    del root["RelationshipType"]
    return {"SOPClassUID": SR + sop_class, "Modality": "SR", **root}


def measured(*sizes: float, site: Code = LIVER, words: str = "small") -> dict[str, Any]:
    """A report with a group of measurements for each size, in mm."""
    return report(
        container(
            dcm("126010", "Imaging Measurements"),
            *[
                container(
                    dcm("125007", "Measurement Group"),
                    text(dcm("112039", "Tracking Identifier"), f"lesion {at}"),
                    code(FINDING_SITE, site, relation="HAS CONCEPT MOD"),
                    text(FINDING, words),
                    number(LENGTH, size, MM),
                )
                for at, size in enumerate(sizes, 1)
            ],
        )
    )


def segmented(*types: Code) -> dict[str, Any]:
    """A segmentation without frames."""
    return {
        "SOPClassUID": IMAGE + "66.4",
        "Modality": "SEG",
        "SegmentSequence": [
            {
                "SegmentNumber": at,
                "SegmentLabel": f"{one.meaning} {at}",
                "SegmentedPropertyCategoryCodeSequence": [sct("123037004", "Body structure")],
                "SegmentedPropertyTypeCodeSequence": [one],
                "SegmentAlgorithmType": "MANUAL",
            }
            for at, one in enumerate(types, 1)
        ],
    }


def ecg(rate: int = 60) -> dict[str, Any]:
    """Two channels and an annotation."""
    channels = [
        {
            "ChannelSourceSequence": [Code(f"2:{lead}", "MDC", "Lead")],
            "ChannelSensitivity": 2.5,
            "ChannelSensitivityUnitsSequence": [ucum("uV")],
        }
        for lead in (1, 2)
    ]
    group = {
        "NumberOfWaveformChannels": 2,
        "NumberOfWaveformSamples": 4,
        "SamplingFrequency": 500,
        "ChannelDefinitionSequence": channels,
        "WaveformBitsAllocated": 16,
        "WaveformSampleInterpretation": "SS",
        "WaveformData": bytes(16),
    }
    note = {
        "ConceptNameCodeSequence": [Code("8867-4", "LN", "Heart rate")],
        "MeasurementUnitsCodeSequence": [ucum("/min")],
        "ReferencedWaveformChannels": [1, 0],
        "NumericValue": rate,
    }
    return {
        "SOPClassUID": IMAGE + "9.1.1",
        "Modality": "ECG",
        "WaveformSequence": [group],
        "WaveformAnnotationSequence": [note],
    }


def dose_report(event: str, ctdi: float = 10.0) -> dict[str, Any]:
    """A dose report of CT with one event."""
    return report(
        container(
            dcm("113811", "CT Accumulated Dose Data"),
            number(dcm("113813", "CT Dose Length Product Total"), ctdi * 30, MGYCM),
        ),
        container(
            dcm("113819", "CT Acquisition"),
            uidref(dcm("113769", "Irradiation Event UID"), event),
            code(dcm("123014", "Target Region"), LIVER_SRT),
            container(
                dcm("113829", "CT Dose"),
                number(dcm("113830", "Mean CTDIvol"), ctdi, MGY),
                number(dcm("113838", "DLP"), ctdi * 30, MGYCM),
            ),
        ),
        title=dcm("113701", "X-Ray Radiation Dose Report"),
        sop_class="67",
    )


def slice_with_dose(event: str, ctdi: float = 10.0, **more: Any) -> dict[str, Any]:
    """A CT image; one of those with the same event tells of its dose."""
    return image(PixelData=..., CTDIvol=ctdi, IrradiationEventUID=event, **more)


def x_ray(event: str, dose: float = 1.5) -> dict[str, Any]:
    """A digital X-ray image, which tells of its own dose."""
    return {
        "SOPClassUID": IMAGE + "1.1",
        "Modality": "DX",
        "KVP": 80,
        "IrradiationEventUID": event,
        "ImageAndFluoroscopyAreaDoseProduct": dose,
        "ViewCodeSequence": [sct("399067008", "lateral")],
    }


def kinds(n: int) -> list[Callable[[], dict[str, Any]]]:
    """One of each kind of object; they differ by a small number."""
    event = uid("event", n % 2)
    return [
        lambda: measured(10.0 + n),
        lambda: measured(1.5 + n, 20.0, site=LIVER_SRT, words=f"words {n}"),
        lambda: segmented(LIVER_SRT, *[sct("64033007", "Kidney")] * (n % 3)),
        lambda: ecg(60 + n),
        lambda: dose_report(event, 10.0 + n),
        lambda: slice_with_dose(event, 10.0 + n % 2),
        lambda: slice_with_dose(uid("event", n % 3), 10.0, ImageComments=f"{n}"),
        lambda: slice_with_dose(event, 11.0, ImageType=["DERIVED", "SECONDARY"]),
        lambda: x_ray(event, 1.5 + n % 4),
    ]
