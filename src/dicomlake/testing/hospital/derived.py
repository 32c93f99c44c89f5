"""Objects drawn over images: segmentations, structure sets, presentation states; and a PDF."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.testing.dicom import uid
from dicomlake.testing.hospital import anatomy, phantom
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital.devices import devices_of
from dicomlake.testing.hospital.images import PLANES, STORAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomlake.terms import Code
    from dicomlake.testing.dicom import Value
    from dicomlake.testing.hospital.study import Series, Study

SEG, RTSTRUCT = STORAGE + "66.4", STORAGE + "481.3"
PRESENTATION, PDF = STORAGE + "11.1", STORAGE + "104.1"


@dataclass(frozen=True, slots=True)
class Drawn:
    """One structure somebody or something outlined."""

    label: str
    type: Code
    category: Code = c.ANATOMY
    side: Code | None = None
    by: str = "AUTOMATIC"


def segmentation(study: Study, images: Series, segments: Sequence[Drawn], words: str) -> Series:
    """A binary segmentation of an image series, two frames per segment."""
    desk = devices_of(study.site, "SR")[0]
    series = study.open("SEG", SEG, words, device=desk, traits=("segmentation",))
    sources = images.instances[:2]
    described, per_frame, masks = [], [], []
    for at, drawn in enumerate(segments, 1):
        segment: dict[str, Value] = {
            "SegmentNumber": at,
            "SegmentLabel": drawn.label,
            "SegmentAlgorithmType": drawn.by,
            "SegmentedPropertyCategoryCodeSequence": [drawn.category],
            "SegmentedPropertyTypeCodeSequence": [drawn.type],
            "RecommendedDisplayCIELabValue": [40000 + at * 900, 38000, 30000],
            "TrackingID": f"{drawn.label} {at}",
            "TrackingUID": uid(series.uid, "tracking", at),
        }
        if drawn.side:
            segment["SegmentedPropertyTypeCodeSequence"] = [
                {
                    "CodeValue": drawn.type.value,
                    "CodingSchemeDesignator": drawn.type.scheme,
                    "CodeMeaning": drawn.type.meaning,
                    "SegmentedPropertyTypeModifierCodeSequence": [drawn.side],
                }
            ]
        if drawn.by != "MANUAL":
            segment["SegmentAlgorithmName"] = "made-up network 1"
        described.append(segment)
        for slice_number, source in enumerate(sources):
            masks.append(phantom.mask_of(at + slice_number))
            reference = {
                "ReferencedSOPClassUID": images.sop_class,
                "ReferencedSOPInstanceUID": source,
            }
            per_frame.append(
                {
                    "DerivationImageSequence": [
                        {"SourceImageSequence": [reference], "DerivationCodeSequence": [_DERIVED]}
                    ],
                    "FrameContentSequence": [{"DimensionIndexValues": [at, slice_number + 1]}],
                    "PlanePositionSequence": [
                        {"ImagePositionPatient": [-120, -120, 5 * slice_number]}
                    ],
                    "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": at}],
                }
            )
    common: dict[str, Value] = {
        "ImageType": ["DERIVED", "PRIMARY"],
        "ContentLabel": "SEGMENTATION",
        "ContentDescription": words,
        "ContentCreatorName": "",
        "SegmentationType": "BINARY",
        "SegmentSequence": described,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": phantom.SIZE,
        "Columns": phantom.SIZE,
        "BitsAllocated": 1,
        "BitsStored": 1,
        "HighBit": 0,
        "PixelRepresentation": 0,
        "LossyImageCompression": "00",
        "NumberOfFrames": len(per_frame),
        "DimensionOrganizationSequence": [{"DimensionOrganizationUID": uid(series.uid, "dims")}],
        "ReferencedSeriesSequence": [
            {
                "SeriesInstanceUID": images.uid,
                "ReferencedInstanceSequence": study.references(images),
            }
        ],
        "SharedFunctionalGroupsSequence": [
            {
                "PixelMeasuresSequence": [
                    {"SliceThickness": 5, "SpacingBetweenSlices": 5, "PixelSpacing": [5, 5]}
                ],
                "PlaneOrientationSequence": [{"ImageOrientationPatient": PLANES["ax"][0]}],
            }
        ],
        "PerFrameFunctionalGroupsSequence": per_frame,
    }
    if study.options.pixels:
        bits = np.concatenate([mask.ravel() for mask in masks])
        common["PixelData"] = np.packbits(bits, bitorder="little")
    study.write(series, common, counts=[Counter({"segments": len(segments)})])
    series.facts = {"segments": [drawn.type.value for drawn in segments]}
    return series


_DERIVED = c.dcm("113076", "Segmentation")


def structure_set(study: Study, images: Series, regions: Sequence[tuple[str, str]]) -> Series:
    """An RT structure set: (name, interpreted type) of every region, two contours for each."""
    desk = devices_of(study.site, "SR")[0]
    series = study.open("RTSTRUCT", RTSTRUCT, "RTst", device=desk, traits=("structure set",))
    contour_images = [
        {"ReferencedSOPClassUID": images.sop_class, "ReferencedSOPInstanceUID": name}
        for name in images.instances
    ]
    rois, contours, observations = [], [], []
    for at, (name, kind) in enumerate(regions, 1):
        rois.append(
            {
                "ROINumber": at,
                "ReferencedFrameOfReferenceUID": study.frame_of_reference,
                "ROIName": name,
                "ROIGenerationAlgorithm": "MANUAL" if at % 2 else "SEMIAUTOMATIC",
            }
        )
        drawn = [
            {
                "ContourImageSequence": [source],
                "ContourGeometricType": "CLOSED_PLANAR",
                "NumberOfContourPoints": 4,
                "ContourData": [0, 0, z, 10 + at, 0, z, 10 + at, 10, z, 0, 10, z],
            }
            for z, source in enumerate(contour_images[:2])
        ]
        contours.append(
            {
                "ROIDisplayColor": [255, 20 * at % 256, 0],
                "ContourSequence": drawn,
                "ReferencedROINumber": at,
            }
        )
        observations.append(
            {
                "ObservationNumber": at,
                "ReferencedROINumber": at,
                "RTROIInterpretedType": kind,
                "ROIInterpreter": "",
            }
        )
    referenced: dict[str, Value] = {
        "FrameOfReferenceUID": study.frame_of_reference,
        "RTReferencedStudySequence": [
            {
                "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.1",
                "ReferencedSOPInstanceUID": study.uid,
                "RTReferencedSeriesSequence": [
                    {"SeriesInstanceUID": images.uid, "ContourImageSequence": contour_images}
                ],
            }
        ],
    }
    common: dict[str, Value] = {
        "StructureSetLabel": "PLAN1",
        "StructureSetDate": study.when,
        "StructureSetTime": study.when,
        "ReferencedFrameOfReferenceSequence": [referenced],
        "StructureSetROISequence": rois,
        "ROIContourSequence": contours,
        "RTROIObservationsSequence": observations,
        "ApprovalStatus": "UNAPPROVED",
    }
    study.write(series, common, counts=[Counter({"regions of interest": len(regions)})])
    return series


def presentation(study: Study, images: Series, remark: str) -> Series:
    """A grayscale presentation state: a window, and an arrow's text over one image."""
    desk = devices_of(study.site, "SR")[0]
    series = study.open("PR", PRESENTATION, "Presentation", device=desk, geometry=False)
    shown = study.references(images, 1)
    size = anatomy.SIZE if images.facts.get("field") else phantom.SIZE
    common: dict[str, Value] = {
        "ContentLabel": "ARROW",
        "ContentDescription": remark,
        "ContentCreatorName": study.site.physicians[0],
        "PresentationCreationDate": study.when,
        "PresentationCreationTime": study.when,
        "ReferencedSeriesSequence": [
            {"SeriesInstanceUID": images.uid, "ReferencedImageSequence": shown}
        ],
        "DisplayedAreaSelectionSequence": [
            {
                "DisplayedAreaTopLeftHandCorner": [1, 1],
                "DisplayedAreaBottomRightHandCorner": [size, size],
                "PresentationSizeMode": "SCALE TO FIT",
                "PresentationPixelAspectRatio": [1, 1],
            }
        ],
        "GraphicAnnotationSequence": [
            {
                "ReferencedImageSequence": shown,
                "GraphicLayer": "LAYER1",
                "TextObjectSequence": [
                    {
                        "AnchorPointAnnotationUnits": "PIXEL",
                        "UnformattedTextValue": remark,
                        "AnchorPoint": [20.0, 20.0],
                        "AnchorPointVisibility": "Y",
                    }
                ],
            }
        ],
        "GraphicLayerSequence": [{"GraphicLayer": "LAYER1", "GraphicLayerOrder": 1}],
        "SoftcopyVOILUTSequence": [{"WindowCenter": 40, "WindowWidth": 350}],
        "PresentationLUTShape": "IDENTITY",
    }
    study.write(series, common)
    return series


def document(study: Study, title: str) -> Series:
    """An encapsulated PDF with one line of text."""
    desk = devices_of(study.site, "SR")[0]
    series = study.open("DOC", PDF, title, device=desk, geometry=False)
    data = pdf("A made-up document of a made-up hospital")
    common: dict[str, Value] = {
        "ConversionType": "WSD",
        "BurnedInAnnotation": "YES",
        "AcquisitionDateTime": study.when,
        "DocumentTitle": title,
        "ConceptNameCodeSequence": [],
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "EncapsulatedDocument": data,
        "EncapsulatedDocumentLength": len(data),
    }
    study.write(series, common)
    return series


def pdf(line: str) -> bytes:
    """A valid PDF of one page with one line of ASCII text.

    >>> pdf("Hello")[:8], pdf("Hello")[-6:]
    (b'%PDF-1.4', b'%%EOF\\n')
    """
    stream = f"BT /F1 18 Tf 60 760 Td ({line}) Tj ET".encode("ascii")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(out)
    return out + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer
