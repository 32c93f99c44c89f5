"""Made-up images whose every pixel is known, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomlake.terms import Code
from dicomlake.testing.dicom import dataset, encode, image, uid

SIZE, SLICES, SPACING = 64, 5, 1.5
STUDY = uid("phantom", "study")
SERIES = {name: uid("phantom", name) for name in ("CT", "SEG", "MR", "US", "DX")}
ORGAN = Code("113343008", "SCT", "Organ")
LIVER, SPLEEN = Code("10200004", "SCT", "Liver"), Code("78961009", "SCT", "Spleen")


def sop(series: str, number: int = 0) -> str:
    return uid("phantom", series, number)


def ct(at: int) -> NDArray[np.uint16]:
    """Stored values of the slice at a place; its values are 1024 less."""
    down, across = np.mgrid[0:SIZE, 0:SIZE]
    return np.asarray(900 + across * 4 + down + at * 20, np.uint16)


def loop() -> NDArray[np.uint8]:
    """Three frames: red, green, blue."""
    frames = np.zeros((3, 48, 40, 3), np.uint8)
    for at in range(3):
        frames[at, :, :, at] = 200
    return frames


def mask(segment: int, at: int) -> NDArray[np.bool_]:
    """A segment on a slice: the left half of all, or a box of the middle one."""
    down, across = np.mgrid[0:SIZE, 0:SIZE]
    if segment == 1:
        return np.asarray(across < SIZE // 2)
    return np.asarray((abs(across - 48) < 8) & (abs(down - 16) < 8) & (at == 2))


def write(folder: Path) -> Path:
    """Write all files, the slices of CT with numbers against their order."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {f"ct{at}": _ct(at) for at in range(SLICES)}
    made |= {"seg": _seg(), "us": _us(), "mr": _mr(), "dx": _dx()}
    for name, description in made.items():
        (folder / f"{name}.dcm").write_bytes(encode(description))
    return folder


def _of(series: str, number: int, modality: str, sop_class: str, **more: Any) -> dict[str, Any]:
    return image(
        SOPClassUID=sop_class,
        SOPInstanceUID=sop(series, number),
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=SERIES[series],
        Modality=modality,
        StudyDescription="Phantom",
        SeriesDescription=f"{series} of the phantom",
        SeriesNumber=list(SERIES).index(series) + 1,
        **more,
    )


def _ct(at: int) -> dict[str, Any]:
    return _of(
        "CT", at, "CT", "1.2.840.10008.5.1.4.1.1.2", InstanceNumber=SLICES - at, Rows=SIZE,
        Columns=SIZE, PixelSpacing=[SPACING, SPACING], ImagePositionPatient=[-48, -48, at * 3],
        SliceLocation=at * 3, SliceThickness=3, RescaleSlope=1, RescaleIntercept=-1024,
        RescaleType="HU", WindowCenter=[40, 20], WindowWidth=[400, 100], VOILUTFunction="LINEAR",
        WindowCenterWidthExplanation=["BODY", "NARROW"], PixelData=ct(at).tobytes(),
    )  # fmt: skip


def _seg() -> dict[str, Any]:
    wanted = [(1, at) for at in range(SLICES)] + [(2, 2)]
    bits = np.concatenate([mask(*each).reshape(-1) for each in wanted])
    segments = [
        {
            "SegmentNumber": number,
            "SegmentLabel": label,
            "SegmentAlgorithmType": "MANUAL",
            "SegmentedPropertyCategoryCodeSequence": [ORGAN],
            "SegmentedPropertyTypeCodeSequence": [kind],
            "RecommendedDisplayCIELabValue": lab,
        }
        for number, label, kind, lab in (
            (1, "Left", LIVER, [34885, 53485, 50171]),
            (2, "Box", SPLEEN, [57497, 10716, 54273]),
        )
    ]
    groups = [
        {
            "PlanePositionSequence": [{"ImagePositionPatient": [-48, -48, at * 3]}],
            "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": number}],
            "FrameContentSequence": [{"DimensionIndexValues": [number, at + 1]}],
        }
        for number, at in wanted
    ]
    shared = {
        "PlaneOrientationSequence": [{"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}],
        "PixelMeasuresSequence": [{"PixelSpacing": [SPACING, SPACING], "SliceThickness": 3}],
    }
    return _of(
        "SEG", 0, "SEG", "1.2.840.10008.5.1.4.1.1.66.4", InstanceNumber=1, Rows=SIZE,
        Columns=SIZE, BitsAllocated=1, BitsStored=1, HighBit=0, PixelRepresentation=0,
        NumberOfFrames=len(wanted), SegmentationType="BINARY", SegmentSequence=segments,
        PerFrameFunctionalGroupsSequence=groups, SharedFunctionalGroupsSequence=[shared],
        ReferencedSeriesSequence=[
            {
                "SeriesInstanceUID": SERIES["CT"],
                "ReferencedInstanceSequence": [
                    {"ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
                     "ReferencedSOPInstanceUID": sop("CT", at)}
                    for at in range(SLICES)
                ],
            }
        ],
        PixelData=np.packbits(bits, bitorder="little").tobytes(),
        **dict.fromkeys(_PLACES, ...),
    )  # fmt: skip


_PLACES = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
           "SliceLocation")  # fmt: skip


def _us() -> dict[str, Any]:
    frames = loop()
    region = {
        "RegionSpatialFormat": 1, "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.05, "PhysicalDeltaY": 0.05,
    }  # fmt: skip
    return _of(
        "US", 0, "US", "1.2.840.10008.5.1.4.1.1.3.1", InstanceNumber=1, Rows=48, Columns=40,
        NumberOfFrames=3, FrameTime=100, SamplesPerPixel=3, PlanarConfiguration=0,
        PhotometricInterpretation="RGB", BitsAllocated=8, BitsStored=8, HighBit=7,
        SequenceOfUltrasoundRegions=[region], PixelData=frames.tobytes(),
        **dict.fromkeys(_PLACES, ...),
    )  # fmt: skip


def _mr() -> dict[str, Any]:
    """An enhanced object whose frames lie against their order, with a window for each."""
    frames = np.stack([np.full((8, 8), -100 + 50 * at, np.int16) for at in range(4)])
    groups = [
        {
            "PlanePositionSequence": [{"ImagePositionPatient": [0, 0, 30 - 10 * at]}],
            "FrameVOILUTSequence": [{"WindowCenter": 10 * at, "WindowWidth": 200 + at}],
            "PixelValueTransformationSequence": [
                {"RescaleSlope": 2, "RescaleIntercept": at, "RescaleType": "US"}
            ],
            "FrameContentSequence": [{"DimensionIndexValues": [1, at + 1]}],
        }
        for at in range(4)
    ]
    shared = {
        "PlaneOrientationSequence": [{"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}],
        "PixelMeasuresSequence": [{"PixelSpacing": [2, 1], "SliceThickness": 5}],
    }
    return _of(
        "MR", 0, "MR", "1.2.840.10008.5.1.4.1.1.4.1", InstanceNumber=1, Rows=8, Columns=8,
        BitsStored=16, HighBit=15, PixelRepresentation=1, NumberOfFrames=4,
        PerFrameFunctionalGroupsSequence=groups, SharedFunctionalGroupsSequence=[shared],
        PixelData=frames.tobytes(), **dict.fromkeys(_PLACES, ...),
    )  # fmt: skip


def _dx() -> dict[str, Any]:
    """MONOCHROME1 with a VOI LUT and a spacing at the detector."""
    values = np.tile(np.arange(16, dtype=np.uint16), (16, 1))
    return dataset(
        _of(
            "DX", 0, "DX", "1.2.840.10008.5.1.4.1.1.1.1", InstanceNumber=1, Rows=16, Columns=16,
            PhotometricInterpretation="MONOCHROME1", ImagerPixelSpacing=[0.2, 0.2],
            PatientOrientation=["L", "F"], PixelData=values.tobytes(),
            VOILUTSequence=[{"LUTDescriptor": [16, 0, 8], "LUTExplanation": "STEPS",
                             "LUTData": [at * 17 for at in range(16)]}],
            **dict.fromkeys(_PLACES, ...),
        )
    )  # fmt: skip
