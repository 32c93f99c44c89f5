"""Images of every class that the benchmark has, with words burned into some of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.testing.deidbench import drawing
from dicomlake.testing.deidbench.drafting import Draft, path_of, references
from dicomlake.testing.deidbench.drawing import Text
from dicomlake.testing.dicom import (
    DEFLATED,
    EXPLICIT_BE,
    IMPLICIT_LE,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    RLE,
    Fragments,
    Value,
    code_item,
    uid,
)
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital.images import (
    CR,
    CT,
    DX,
    ENHANCED_CT,
    ENHANCED_MR,
    MG,
    MR,
    NM,
    PT,
    SECONDARY_CAPTURE,
    STORAGE,
    US,
    US_MULTIFRAME,
    XA,
)

if TYPE_CHECKING:
    from dicomlake.testing.deidbench.drawing import Picture

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
PHOTO = STORAGE + "77.1.4"


def grey(
    draft: Draft, frames: Sequence[Picture], bits: int = 12, **more: Value
) -> dict[str, Value]:
    """Image Pixel attributes and pixels of grey frames, in the transfer syntax of the draft."""
    first = frames[0]
    wide = 16 if bits > 8 else 8
    values: dict[str, Value] = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": first.shape[0],
        "Columns": first.shape[1],
        "BitsAllocated": wide,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        **more,
    }
    typed = [frame.astype(np.uint16 if wide == 16 else np.uint8) for frame in frames]
    if draft.syntax == RLE:
        values["PixelData"] = Fragments(tuple(drawing.as_rle(frame) for frame in typed))
    elif draft.syntax == JPEG_2000_LOSSLESS:
        values["PixelData"] = Fragments(tuple(drawing.as_j2k(frame) for frame in typed))
    elif draft.syntax == JPEG_LOSSLESS:
        values["PixelData"] = Fragments(
            tuple(drawing.as_lossless_jpeg(frame, bits) for frame in typed)
        )
    else:
        values["PixelData"] = np.stack(typed)
    return values


def colour(draft: Draft, frames: Sequence[Picture]) -> dict[str, Value]:
    """The same of frames in RGB; as baseline JPEG they become YBR_FULL_422."""
    first = frames[0]
    values: dict[str, Value] = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": first.shape[0],
        "Columns": first.shape[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    typed = [frame.astype(np.uint8) for frame in frames]
    if draft.syntax == JPEG_BASELINE:
        values["PhotometricInterpretation"] = "YBR_FULL_422"
        values["LossyImageCompression"] = "01"
        values["LossyImageCompressionMethod"] = "ISO_10918_1"
        values["LossyImageCompressionRatio"] = 8
        values["PixelData"] = Fragments(tuple(drawing.as_jpeg(frame) for frame in typed))
    elif draft.syntax == RLE:
        values["PixelData"] = Fragments(tuple(drawing.as_rle(frame) for frame in typed))
    else:
        values["PixelData"] = np.stack(typed)
    return values


def words_in(
    draft: Draft,
    frames: Sequence[Picture],
    texts: Sequence[Text],
    white: int,
    every: int = 1,
    category: str = "H11",
) -> None:
    """Burn words that identify into frames, with a check for each."""
    for at, frame in enumerate(frames):
        if at % every:
            continue
        for text in texts:
            box = drawing.burn(frame, text, white)
            draft.check(
                "pixels_hidden", category, path_of("PixelData"), text=text.words, frame=at, box=box,
                hipaa_letter="A", applies_if="pixels",
            )  # fmt: skip


def kept(draft: Draft, banner: bool = False) -> None:
    """What must not have changed: all pixels but the boxes and their surroundings."""
    draft.check(
        "pixels_retained", "H11", path_of("PixelData"), severity=3,
        text="over-mask <= 0.05" if banner else "",
    )  # fmt: skip


def _marker(draft: Draft, frame: Picture, letter: str, white: int) -> None:
    """An L or R as technologists leave it, which must stay."""
    rows, columns = frame.shape[:2]
    text = Text(letter, columns - columns // 5, rows // 3, 26)
    box = drawing.burn(frame, text, white)
    draft.check("pixels_retained", "H11", path_of("PixelData"), box=box, severity=3, text="marker")


def _banner(draft: Draft, height: int = 12) -> list[Text]:
    person = draft.person
    when = draft.study.when
    return [
        Text(f"{person.in_pixels} {person.id}", 4, 4, height),
        Text(f"{when:%d.%m.%Y} {person.given}", 4, 8 + height + height // 3, height),
    ]


_PLAIN: dict[str, Value] = {"Laterality": "", "PatientOrientation": ""}
_SLICE: dict[str, Value] = {
    "Laterality": "",
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [5, 5],
    "SliceThickness": 5,
    "PositionReferenceIndicator": "",
    "PatientPosition": "HFS",
}


def _ct(draft: Draft) -> dict[str, Value]:
    at = len(draft.series.objects)
    top = 3000
    return {
        **_SLICE,
        "SOPClassUID": CT,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "FrameOfReferenceUID": draft.study.frame_of_reference,
        "AcquisitionNumber": 1,
        "KVP": 120,
        "ConvolutionKernel": "B30f",
        "ImagePositionPatient": [-160, -160, 5 * at],
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "RescaleType": "HU",
        "WindowCenter": 40,
        "WindowWidth": 400,
        **grey(draft, [drawing.anatomy(64, 64, top, draft.number)]),
    }


def ct(draft: Draft) -> None:
    """An axial CT slice, without words in it."""
    draft.values |= _ct(draft)
    kept(draft)


def ct_dirty(draft: Draft) -> None:
    """A CT with an overlay, a curve, an icon and words in the bits that nobody looks at."""
    draft.values |= _ct(draft)
    rows = columns = 64
    name = draft.person.in_pixels[:7]
    bitmap = np.zeros((rows, columns), np.uint8)
    box = drawing.burn(bitmap, Text(name, 2, 20, 12), 1)
    draft.values |= {
        "OverlayRows": rows,
        "OverlayColumns": columns,
        "OverlayType": "G",
        "OverlayOrigin": [1, 1],
        "OverlayBitsAllocated": 1,
        "OverlayBitPosition": 0,
        "OverlayData": np.packbits(bitmap.ravel(), bitorder="little"),
        "(6000,4000)": ("LT", f"Overlay of {draft.person.given}"),
        "(5000,0005)": ("US", 1),
        "(5000,0010)": ("US", 4),
        "(5000,0103)": ("US", 0),
        "(5000,2500)": ("LO", f"Curve {draft.person.given}"),
        "(5000,3000)": ("OW", draft.person.id.encode("ascii").ljust(12, b"\0")),
    }
    draft.check("pixels_hidden", "H10", "(6000,3000)", box=box, text=name, hipaa_letter="A",
                applies_if="graphics or pixels")  # fmt: skip
    draft.check("tag_removed", "H10", "(6000,3000)", applies_if="not graphics")
    draft.removed("H10", "(6000,4000)", draft.person.given)
    draft.check("tag_removed", "H10", "(5000,3000)")
    draft.removed("H10", "(5000,2500)", draft.person.given)
    icon = np.zeros((24, 64), np.uint8)
    box = drawing.burn(icon, Text(name, 1, 4, 12), 255)
    draft.values["IconImageSequence"] = [
        {
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": 24,
            "Columns": 64,
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "PixelRepresentation": 0,
            "PixelData": icon,
        }
    ]
    inside = path_of("IconImageSequence", 1, "PixelData")
    draft.check("pixels_hidden", "H10", inside, box=box, text=name, hipaa_letter="A")
    above = np.zeros((rows, columns), np.uint16)
    box = drawing.burn(above, Text(name, 2, 40, 12), 15)
    draft.values["PixelData"] = draft.values["PixelData"] | (above << 12)
    draft.check("pixels_hidden", "H10", path_of("PixelData"), box=box, text="bits above",
                hipaa_letter="A", applies_if="pixels")  # fmt: skip
    kept(draft)


def ct_screen(draft: Draft) -> None:
    """A derived CT of 16 bits with a banner, as workstations save it."""
    frame = drawing.anatomy(256, 256, 2600, draft.number)
    words_in(draft, [frame], _banner(draft, 14), 4000)
    draft.values |= {
        **_ct(draft),
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CSA 3D EDITOR"],
        "BurnedInAnnotation": "NO",  # a lie
        **grey(draft, [frame]),
    }
    kept(draft, banner=True)


def mr(draft: Draft) -> None:
    """An MR slice."""
    at = len(draft.series.objects)
    draft.values |= {
        **_SLICE,
        "SOPClassUID": MR,
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "FrameOfReferenceUID": draft.study.frame_of_reference,
        "ScanningSequence": "SE",
        "SequenceVariant": "SK",
        "ScanOptions": "PFP",
        "MRAcquisitionType": "2D",
        "RepetitionTime": 4000,
        "EchoTime": 100,
        "EchoTrainLength": 15,
        "MagneticFieldStrength": 3,
        "ImagePositionPatient": [-160, -160, 5 * at],
        "WindowCenter": 400,
        "WindowWidth": 800,
        **grey(draft, [drawing.anatomy(64, 64, 900, draft.number)]),
    }
    kept(draft)


def dimensions(draft: Draft, *pointers: str) -> dict[str, Value]:
    """The dimensions of a multi-frame object, by the attributes that they point to."""
    named = uid(draft.uid, "dimensions")
    return {
        "DimensionOrganizationSequence": [{"DimensionOrganizationUID": named}],
        "DimensionIndexSequence": [
            {
                "DimensionIndexPointer": pointer,
                "FunctionalGroupPointer": "FrameContentSequence",
                "DimensionOrganizationUID": named,
            }
            for pointer in pointers
        ],
    }


def _enhanced(draft: Draft, sop_class: str, modality: str) -> None:
    frames = [drawing.anatomy(48, 48, 1500, draft.number, at) for at in range(3)]
    when = draft.study.when
    per_frame = [
        {
            "FrameContentSequence": [
                {
                    "FrameAcquisitionDateTime": f"{when:%Y%m%d%H%M}{10 + at}",
                    "FrameReferenceDateTime": f"{when:%Y%m%d%H%M}{10 + at}",
                    "FrameAcquisitionDuration": 12.5,
                    "StackID": "1",
                    "InStackPositionNumber": at + 1,
                    "DimensionIndexValues": [1, at + 1],
                    "FrameComments": f"Bild von {draft.person.given}",
                }
            ],
            "PlanePositionSequence": [{"ImagePositionPatient": [-120, -120, 5 * at]}],
        }
        for at in range(3)
    ]
    for at in range(1, 4):
        inside = ("PerFrameFunctionalGroupsSequence", at, "FrameContentSequence", 1)
        draft.removed("H3", path_of(*inside, "FrameComments"), draft.person.given, hipaa_letter="A")
        draft.check("date_shifted", "H7", path_of(*inside, "FrameAcquisitionDateTime"),
                    f"{when:%Y%m%d%H%M}{9 + at}", applies_if="not full_dates",
                    hipaa_letter="C")  # fmt: skip
    draft.values |= {
        "SOPClassUID": sop_class,
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "FrameOfReferenceUID": draft.study.frame_of_reference,
        "PositionReferenceIndicator": "",
        "AcquisitionDateTime": f"{when:%Y%m%d%H%M%S}",
        "AcquisitionNumber": 1,
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
        "ContentQualification": "PRODUCT",
        "LossyImageCompression": "00",
        "PresentationLUTShape": "IDENTITY",
        "NumberOfFrames": 3,
        "PatientPosition": "HFS",
        "BurnedInAnnotation": "NO",
        "AcquisitionContextSequence": [],
        "AcquisitionDuration": 1.0,
        **dimensions(draft, "StackID", "InStackPositionNumber"),
        "SharedFunctionalGroupsSequence": [
            {
                "PixelMeasuresSequence": [{"SliceThickness": 5, "PixelSpacing": [5, 5]}],
                "PlaneOrientationSequence": [{"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}],
                "FrameAnatomySequence": [
                    {
                        "FrameLaterality": "U",
                        "AnatomicRegionSequence": [c.sct("10200004", "Liver")],
                    }
                ],
            }
        ],
        "PerFrameFunctionalGroupsSequence": per_frame,
        **grey(draft, frames),
    }
    draft.check("uid_changed", "H8", path_of("DimensionOrganizationSequence", 1,
                "DimensionOrganizationUID"), uid(draft.uid, "dimensions"), severity=2,
                applies_if="not uids")  # fmt: skip
    draft.retained("H5", path_of("SharedFunctionalGroupsSequence", 1, "FrameAnatomySequence", 1,
                                 "AnatomicRegionSequence", 1, "CodeMeaning"), "Liver")  # fmt: skip
    if modality == "MR":
        draft.values |= {
            "ResonantNucleus": "1H",
            "MagneticFieldStrength": 3.0,
            "AcquisitionContrast": "T1",
            "ComplexImageComponent": "MAGNITUDE",
            "KSpaceFiltering": "NONE",
        }
    kept(draft)


def enhanced_ct(draft: Draft) -> None:
    """A multi-frame CT with functional groups."""
    _enhanced(draft, ENHANCED_CT, "CT")


def enhanced_mr(draft: Draft) -> None:
    """A multi-frame MR with functional groups."""
    _enhanced(draft, ENHANCED_MR, "MR")


def pt(draft: Draft) -> None:
    """A PET slice: from injection to scan is an interval that must stay exact."""
    when = draft.study.when
    draft.values |= {
        **{name: value for name, value in _SLICE.items() if name != "PatientPosition"},
        "SOPClassUID": PT,
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "FrameOfReferenceUID": draft.study.frame_of_reference,
        "SeriesType": ["STATIC", "IMAGE"],
        "PatientOrientationCodeSequence": [],
        "PatientGantryRelationshipCodeSequence": [],
        "AcquisitionTime": when,
        "DecayFactor": 1.1,
        "Units": "BQML",
        "CountsSource": "EMISSION",
        "CorrectedImage": ["ATTN", "DECY"],
        "DecayCorrection": "START",
        "CollimatorType": "NONE",
        "NumberOfSlices": 1,
        "ImageIndex": 1,
        "FrameReferenceTime": 0,
        "ActualFrameDuration": 120000,
        "RescaleIntercept": 0,
        "RescaleSlope": 1.25,
        "ImagePositionPatient": [-160, -160, 0],
        "RadiopharmaceuticalInformationSequence": [
            {
                "RadionuclideTotalDose": 350000000,
                "RadionuclideHalfLife": 6586.2,
                "RadiopharmaceuticalStartDateTime": f"{when:%Y%m%d}060000",
                "RadionuclideCodeSequence": [c.sct("77004003", "^18^Fluorine")],
            }
        ],
        **grey(draft, [drawing.anatomy(48, 48, 3000, draft.number)], 16),
    }
    inside = ("RadiopharmaceuticalInformationSequence", 1)
    draft.check("date_consistent", "H7", path_of(*inside, "RadiopharmaceuticalStartDateTime"),
                f"{when:%Y%m%d}060000", applies_if="modified_dates", severity=3,
                text="interval")  # fmt: skip
    for name in ("RadionuclideTotalDose", "RadionuclideHalfLife"):
        value = "350000000" if name.endswith("Dose") else "6586.2"
        draft.retained("H7", path_of(*inside, name), value)
    draft.retained("H7", path_of("RescaleSlope"), "1.25")
    kept(draft)


def nm(draft: Draft) -> None:
    """A scintigram of four frames with a banner in the first one."""
    frames = [drawing.anatomy(128, 128, 180, draft.number, at) for at in range(4)]
    words_in(draft, frames, [Text(draft.person.in_pixels, 3, 3, 14)], 255, every=4)
    draft.values |= {
        **_PLAIN,
        "SOPClassUID": NM,
        "PatientOrientationCodeSequence": [],
        "PatientGantryRelationshipCodeSequence": [],
        "CountsAccumulated": "",
        "ActualFrameDuration": 1000,
        "EnergyWindowInformationSequence": [],
        "RadiopharmaceuticalInformationSequence": [],
        "DetectorInformationSequence": [],
        "ImageType": ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"],
        "NumberOfFrames": 4,
        "FrameIncrementPointer": ["EnergyWindowVector", "DetectorVector"],
        "EnergyWindowVector": [1, 1, 1, 1],
        "NumberOfEnergyWindows": 1,
        "DetectorVector": [1, 1, 2, 2],
        "NumberOfDetectors": 2,
        "PixelSpacing": [4, 4],
        **grey(draft, frames, 8),
    }
    kept(draft, banner=True)


def _regions(*boxes: tuple[int, int, int, int]) -> list[dict[str, Value]]:
    return [
        {
            "RegionSpatialFormat": 1,
            "RegionDataType": 1,
            "RegionFlags": 0,
            "RegionLocationMinX0": x0,
            "RegionLocationMinY0": y0,
            "RegionLocationMaxX1": x1,
            "RegionLocationMaxY1": y1,
            "PhysicalUnitsXDirection": 3,
            "PhysicalUnitsYDirection": 3,
            "PhysicalDeltaX": 0.05,
            "PhysicalDeltaY": 0.05,
        }
        for x0, y0, x1, y1 in boxes
    ]


def _fan(draft: Draft, frames: int, rows: int = 240, columns: int = 320) -> list[Any]:
    """Colour frames: a fan of speckle between row 60 and the last ones, black elsewhere."""
    made = []
    for at in range(frames):
        frame = np.zeros((rows, columns, 3), np.uint8)
        speckle = drawing.anatomy(rows - 70, columns - 40, 160, draft.number, at)
        frame[60 : rows - 10, 20 : columns - 20] = speckle[..., None]
        made.append(frame)
    return made


_US: dict[str, Value] = {
    **_PLAIN,
    "ImageType": ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"],
    "LossyImageCompression": "00",
}


def us(draft: Draft) -> None:
    """Ultrasound with a region; the banner is outside of it, a note inside."""
    frames = _fan(draft, 1)
    words_in(draft, frames, _banner(draft), 255)
    words_in(draft, frames, [Text(draft.person.in_pixels, 90, 140, 18)], 255)
    draft.values |= {
        **_US,
        "SOPClassUID": US,
        "BurnedInAnnotation": "YES",
        "SequenceOfUltrasoundRegions": _regions((20, 60, 300, 230)),
        **colour(draft, frames),
    }
    kept(draft, banner=True)


def us_cine(draft: Draft) -> None:
    """A loop without regions; words in every third frame."""
    frames = _fan(draft, 6, 200, 240)
    words_in(draft, frames, [Text(draft.person.in_pixels, 60, 20, 20)], 255, every=3)
    draft.values |= {
        **_US,
        "SOPClassUID": US_MULTIFRAME,
        "NumberOfFrames": 6,
        "FrameTime": 40,
        "FrameIncrementPointer": ["FrameTime"],
        **colour(draft, frames),
    }
    kept(draft, banner=True)


def us_wrong(draft: Draft) -> None:
    """A loop whose region covers everything, the banner too."""
    frames = _fan(draft, 2)
    words_in(draft, frames, _banner(draft, 14), 255)
    draft.values |= {
        **_US,
        "SOPClassUID": US_MULTIFRAME,
        "NumberOfFrames": 2,
        "FrameTime": 40,
        "FrameIncrementPointer": ["FrameTime"],
        "SequenceOfUltrasoundRegions": _regions((0, 0, 319, 239)),
        **colour(draft, frames),
    }
    kept(draft, banner=True)


def us_plain(draft: Draft) -> None:
    """Ultrasound without a word: nothing in it may change."""
    frames = _fan(draft, 1)
    draft.values |= {
        **_US,
        "SOPClassUID": US,
        "SequenceOfUltrasoundRegions": _regions((20, 60, 300, 230)),
        **colour(draft, frames),
    }
    kept(draft)


_PROJECTION: dict[str, Value] = {
    "ImageType": ["ORIGINAL", "PRIMARY", ""],
    "PixelSpacing": [0.5, 0.5],
    "ImagerPixelSpacing": [0.5, 0.5],
    "PatientOrientation": ["L", "F"],
    "ViewPosition": "AP",
    "BurnedInAnnotation": "NO",
    "PixelIntensityRelationship": "LIN",
    "PixelIntensityRelationshipSign": 1,
    "RescaleIntercept": 0,
    "RescaleSlope": 1,
    "RescaleType": "US",
    "PresentationLUTShape": "IDENTITY",
    "PresentationIntentType": "FOR PRESENTATION",
    "LossyImageCompression": "00",
    "DetectorType": "DIRECT",
    "PositionerType": "",
    "AcquisitionContextSequence": [],
}


def dx(draft: Draft) -> None:
    """A radiograph of 14 bits with a note of 40 and one of 8 pixels."""
    frame = drawing.anatomy(320, 320, 9000, draft.number)
    words_in(draft, [frame], [Text(draft.person.given.upper(), 10, 10, 40)], 15000)
    words_in(draft, [frame], [Text(draft.person.id, 20, 290, 8)], 15000)
    _marker(draft, frame, "L", 15000)
    draft.values |= {
        **_PROJECTION,
        "SOPClassUID": DX,
        "ImageLaterality": "L",
        "AnatomicRegionSequence": [c.sct("51185008", "Chest")],
        "WindowCenter": 8000,
        "WindowWidth": 16000,
        **grey(draft, [frame], 14),
    }
    draft.retained("H11", path_of("ImageLaterality"), "L")
    kept(draft)


def cr(draft: Draft) -> None:
    """A MONOCHROME1 radiograph: words are dark where the numbers are high."""
    frame = drawing.anatomy(256, 256, 2500, draft.number)
    words_in(draft, [frame], [Text(f"{draft.person.in_pixels} {draft.person.id}", 8, 12, 16)], 4095)
    draft.values |= {
        "SOPClassUID": CR,
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Laterality": "",
        "BodyPartExamined": "HAND",
        "ViewPosition": "AP",
        "PatientOrientation": ["L", "F"],
        **grey(draft, [frame], PhotometricInterpretation="MONOCHROME1"),
    }
    draft.retained("H4", path_of("BodyPartExamined"), "HAND")
    kept(draft)


def mg(draft: Draft) -> None:
    """A mammogram with a marker that stays and a note of little contrast."""
    frame = drawing.anatomy(256, 256, 2500, draft.number)
    words_in(draft, [frame], [Text(draft.person.given.upper(), 10, 226, 18, 0.35)], 4095)
    _marker(draft, frame, "R", 4000)
    draft.values |= {
        **_PROJECTION,
        "SOPClassUID": MG,
        "ImageLaterality": "R",
        "OrganExposed": "BREAST",
        "BreastImplantPresent": "NO",
        "PositionerType": "MAMMOGRAPHIC",
        "AnatomicRegionSequence": [c.sct("76752008", "Breast")],
        "ViewCodeSequence": [
            {**code_item(c.sct("399162004", "cranio-caudal")), "ViewModifierCodeSequence": []}
        ],
        "WindowCenter": 2000,
        "WindowWidth": 4000,
        **grey(draft, [frame]),
    }
    draft.retained("H11", path_of("ImageLaterality"), "R")
    draft.retained("H5", path_of("ViewCodeSequence", 1, "CodeMeaning"), "cranio caudal")
    kept(draft)


def xa(draft: Draft) -> None:
    """An angiogram of three frames with words that stand upright."""
    frames = [drawing.anatomy(256, 256, 180, draft.number, at) for at in range(3)]
    name = Text(draft.person.in_pixels, 6, 60, 18, turned=True)
    words_in(draft, frames, [name], 255)
    draft.values |= {
        **_PLAIN,
        "SOPClassUID": XA,
        "XRayTubeCurrent": 100,
        "ExposureTime": 100,
        "Exposure": 10,
        "PositionerMotion": "STATIC",
        "PositionerPrimaryAngle": 0,
        "PositionerSecondaryAngle": 0,
        "ImageType": ["ORIGINAL", "PRIMARY", "SINGLE PLANE"],
        "NumberOfFrames": 3,
        "FrameTime": 66,
        "FrameIncrementPointer": ["FrameTime"],
        "PixelIntensityRelationship": "LIN",
        "KVP": 70,
        "RadiationSetting": "GR",
        "ImagerPixelSpacing": [0.3, 0.3],
        **grey(draft, frames, 8),
    }
    kept(draft, banner=True)


def sc(draft: Draft) -> None:
    """A dose screen: lines of white words on black, in colour."""
    frame = np.zeros((240, 320, 3), np.uint8)
    person = draft.person
    lines = [
        Text(f"Name: {person.in_pixels}", 8, 8, 14),
        Text(f"ID: {person.id}", 8, 34, 14),
        Text(f"Exam {draft.study.when:%d-%b-%Y}", 8, 60, 14),
    ]
    words_in(draft, [frame], lines, 255)
    draft.values |= {
        **_PLAIN,
        "SOPClassUID": SECONDARY_CAPTURE,
        "ImageType": ["DERIVED", "SECONDARY", "OTHER", "CSA RESULT"],
        "ConversionType": "WSD",
        **colour(draft, [frame]),
    }


def photo(draft: Draft) -> None:
    """A photograph with a label stuck beside what it shows."""
    frame = np.repeat(drawing.anatomy(240, 320, 200, draft.number)[..., None], 3, 2)
    frame = (frame * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    words_in(draft, [frame], [Text(draft.person.id, 10, 10, 22)], 255)
    draft.values |= {
        **_PLAIN,
        "SOPClassUID": PHOTO,
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "AcquisitionContextSequence": [],
        "AnatomicRegionSequence": [c.sct("39937001", "Skin")],
        "LossyImageCompression": "00",
        **colour(draft, [frame]),
    }
    kept(draft, banner=True)


Kind = tuple[str, str, Callable[[Draft], None], str, bool]
"""Name, Modality, what makes it, transfer syntax, undefined lengths."""

BASES: list[Kind] = [
    ("ct", "CT", ct, IMPLICIT_LE, False),
    ("mr", "MR", mr, DEFLATED, False),
    ("ct big endian", "CT", ct, EXPLICIT_BE, False),
    ("mr undefined", "MR", mr, "1.2.840.10008.1.2.1", True),
    ("pt", "PT", pt, RLE, False),
]
"""Series that others refer to."""
IMAGES: list[Kind] = [
    ("ct dirty", "CT", ct_dirty, "1.2.840.10008.1.2.1", False),
    ("us", "US", us, "1.2.840.10008.1.2.1", False),
    ("ct screen", "CT", ct_screen, IMPLICIT_LE, True),
    ("us cine", "US", us_cine, RLE, False),
    ("dx", "DX", dx, JPEG_LOSSLESS, False),
    ("us wrong region", "US", us_wrong, JPEG_BASELINE, False),
    ("mg", "MG", mg, JPEG_2000_LOSSLESS, False),
    ("cr", "CR", cr, IMPLICIT_LE, False),
    ("xa", "XA", xa, "1.2.840.10008.1.2.1", True),
    ("sc", "OT", sc, "1.2.840.10008.1.2.1", False),
    ("us plain", "US", us_plain, "1.2.840.10008.1.2.1", False),
    ("nm", "NM", nm, EXPLICIT_BE, False),
    ("photo", "XC", photo, JPEG_BASELINE, False),
    ("enhanced ct", "CT", enhanced_ct, "1.2.840.10008.1.2.1", False),
    ("enhanced mr", "MR", enhanced_mr, "1.2.840.10008.1.2.1", True),
]
"""Other images, each a series of its own."""

__all__ = ["BASES", "IMAGES", "Kind", "colour", "grey", "references"]
