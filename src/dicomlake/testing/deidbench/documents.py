"""Objects that are no images: reports, references, structures, waveforms, documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dicomlake.terms import Code
from dicomlake.testing.deidbench import drawing, papers
from dicomlake.testing.deidbench.drafting import Draft, path_of, references
from dicomlake.testing.deidbench.images import Kind, dimensions
from dicomlake.testing.deidbench.narratives import LANGUAGES, Narrative, narrative
from dicomlake.testing.dicom import EXPLICIT_BE, IMPLICIT_LE, Value, uid
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital.derived import PDF, PRESENTATION, RTSTRUCT, SEG
from dicomlake.testing.hospital.images import STORAGE
from dicomlake.testing.hospital.reports import (
    BASIC_TEXT,
    COMPREHENSIVE_SR,
    DOSE_SR,
    ENHANCED_SR,
    KEY_OBJECTS,
    Item,
    container,
    moment,
    number,
    person,
    picture,
    text,
    uidref,
)
from dicomlake.testing.hospital.waveforms import LEADS, TWELVE_LEAD, samples

if TYPE_CHECKING:
    from collections.abc import Sequence

RTDOSE, CDA = STORAGE + "481.2", STORAGE + "104.2"
_EXPLICIT = "1.2.840.10008.1.2.1"


def _evidence(draft: Draft) -> list[dict[str, Value]]:
    study = draft.study
    held = {
        "SeriesInstanceUID": study.series[0].uid,
        "ReferencedSOPSequence": references(study.images),
    }
    return [{"StudyInstanceUID": study.uid, "ReferencedSeriesSequence": [held]}]


def refers(draft: Draft, *path: str | int, at: int = 0) -> None:
    """A reference at this path must lead to an object of the study in the output, too."""
    target = draft.study.images[at]
    draft.check("ref_integrity", "H8", path_of(*path), target.uid, target.uid, severity=2)


def _report(draft: Draft, sop_class: str, root: Item, modality: str = "SR") -> None:
    study = draft.study
    tree = {key: value for key, value in root.items() if key != "RelationshipType"}
    draft.values |= {**tree, "SOPClassUID": sop_class}
    evidence = "CurrentRequestedProcedureEvidenceSequence"
    draft.values[evidence] = _evidence(draft)
    observer = path_of(*_child(1), "PersonName")
    draft.removed("H5", observer, draft.person.operator, hipaa_letter="A")
    refers(draft, evidence, 1, "ReferencedSeriesSequence", 1, "ReferencedSOPSequence", 2,
           "ReferencedSOPInstanceUID", at=1)  # fmt: skip
    if modality != "SR":
        draft.values["ReferencedPerformedProcedureStepSequence"] = []
        return
    draft.values |= {
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "VERIFIED",
        "ReferencedPerformedProcedureStepSequence": [],
        "PerformedProcedureCodeSequence": [],
        "VerifyingObserverSequence": [
            {
                "VerifyingOrganization": draft.person.institution,
                "VerificationDateTime": f"{study.when:%Y%m%d%H%M%S}",
                "VerifyingObserverName": f"{draft.person.operator}^Dr",
                "VerifyingObserverIdentificationCodeSequence": [],
            }
        ],
    }
    inside = ("VerifyingObserverSequence", 1)
    draft.removed("H1", path_of(*inside, "VerifyingOrganization"), draft.person.institution,
                  applies_if="not institution", hipaa_letter="B")  # fmt: skip
    draft.removed("H1", path_of(*inside, "VerifyingObserverName"), draft.person.operator,
                  hipaa_letter="A")  # fmt: skip


def _child(*numbers: int) -> tuple[str | int, ...]:
    """Path of a content item, by the places of it and of those around it."""
    return tuple(step for at in numbers for step in ("ContentSequence", at))


_FINDING, _COMMENT = c.dcm("121071", "Finding"), c.dcm("121106", "Comment")
_OBSERVER = c.dcm("121008", "Person Observer Name")


def measured(draft: Draft) -> None:
    """A report of measurements (TID 1500): names, dates and UIDs between numbers and codes."""
    study, who = draft.study, draft.person
    follow = uid(draft.uid, "tracking")
    group = container(
        c.dcm("125007", "Measurement Group"),
        text(c.dcm("112039", "Tracking Identifier"), f"Lesion of {who.given}", relation="HAS OBS"
             " CONTEXT"),
        uidref(c.dcm("112040", "Tracking Unique Identifier"), follow, "HAS OBS CONTEXT"),
        number(c.sct("103339001", "Long Axis"), "32.5", c.ucum("mm"),
               picture(study.images[0].values["SOPClassUID"], study.images[0].uid,
                       "INFERRED FROM")),
    )  # fmt: skip
    root = container(
        c.dcm("126000", "Imaging Measurement Report"),
        person(_OBSERVER, f"{who.operator}^Dr"),
        container(c.dcm("126010", "Imaging Measurements"), group),
        moment(c.dcm("121125", "DateTime of Recording of Log Entry"),
               f"{study.when:%Y%m%d%H%M%S}", "CONTAINS"),
        template="1500",
    )  # fmt: skip
    _report(draft, COMPREHENSIVE_SR, root)
    at = _child(2, 1)
    draft.removed("H5", path_of(*at, *_child(1), "TextValue"), who.given, hipaa_letter="A")
    draft.retained("H5", path_of(*at, *_child(1), "TextValue"), "Lesion", applies_if="structured")
    draft.check("uid_changed", "H8", path_of(*at, *_child(2), "UID"), follow, severity=2,
                applies_if="not uids", text="may be absent")  # fmt: skip
    value = (*at, *_child(3), "MeasuredValueSequence", 1)
    draft.retained("H5", path_of(*value, "NumericValue"), "32.5", applies_if="structured")
    draft.retained("H5", path_of(*at, *_child(3), "ConceptNameCodeSequence", 1, "CodeMeaning"),
                   "Long Axis", applies_if="structured")  # fmt: skip
    draft.check("ref_integrity", "H8", path_of(*at, *_child(3, 1), "ReferencedSOPSequence", 1,
                "ReferencedSOPInstanceUID"), study.images[0].uid, study.images[0].uid, severity=2,
                applies_if="structured")  # fmt: skip
    draft.check("date_consistent", "H7", path_of(*_child(3), "DateTime"),
                f"{study.when:%Y%m%d%H%M%S}", severity=3,
                applies_if="structured and modified_dates")  # fmt: skip


def dose(draft: Draft) -> None:
    """A dose report: its event and device have UIDs, its dose must stay."""
    event = uid(draft.uid, "event")
    root = container(
        c.dcm("113701", "X-Ray Radiation Dose Report"),
        person(_OBSERVER, f"{draft.person.operator}^Dr"),
        container(
            c.dcm("113819", "CT Acquisition"),
            uidref(c.dcm("113769", "Irradiation Event UID"), event),
            number(c.dcm("113838", "DLP"), "431.07", c.ucum("mGy.cm")),
            text(c.dcm("125203", "Acquisition Protocol"), f"Abdomen {draft.person.given} nativ"),
        ),
        template="10011",
    )
    _report(draft, DOSE_SR, root)
    draft.check("uid_changed", "H8", path_of(*_child(2, 1), "UID"), event, severity=2,
                applies_if="not uids", text="may be absent")  # fmt: skip
    value = (*_child(2, 2), "MeasuredValueSequence", 1, "NumericValue")
    draft.retained("H5", path_of(*value), "431.07", applies_if="structured")
    protocol = path_of(*_child(2, 3), "TextValue")
    draft.removed("H5", protocol, draft.person.given, hipaa_letter="A")
    draft.retained("H4", protocol, "Abdomen nativ", applies_if="structured")


def _language(draft: Draft) -> Narrative:
    tongue = LANGUAGES[draft.number % len(LANGUAGES)]
    if draft.person.charset != "ISO_IR 192" and draft.person.charset != "ISO_IR 100":
        tongue = "en"  # the only one that every character set can write
    return narrative(tongue, draft.number // 4, draft.person, draft.study.when.date())


def spans(draft: Draft, path: str, note: Narrative, category: str, applies_if: str) -> None:
    """Checks of a narrative at a path: what must go, and what must stay."""
    for span in note.spans:
        draft.check(
            "report_span", category, path, span.text, "phrase" if span.phrase else "",
            hipaa_letter=span.letter,
        )  # fmt: skip
    words = " ".join(note.wanted)
    draft.check("text_retained", category, path, "", words, severity=3, applies_if=applies_if)
    for trap in note.traps:
        draft.check("text_retained", category, path, "", f"={trap}", severity=3,
                    applies_if=applies_if)  # fmt: skip


def letter(draft: Draft) -> None:
    """A report of one long narrative, and a line with another spelling of the name."""
    note = _language(draft)
    upper = f"{draft.person.given.upper()} {draft.person.family.lower()}"
    root = container(
        c.dcm("18748-4", "Diagnostic Imaging Report"),
        person(_OBSERVER, f"{draft.person.operator}^Dr"),
        text(_FINDING, note.text.replace("\n", "\r\n")),
        text(_COMMENT, f"Seen: {upper}"),
    )
    _report(draft, ENHANCED_SR if draft.number % 2 else BASIC_TEXT, root)
    spans(draft, path_of(*_child(2), "TextValue"), note, "H13", "structured")
    tokens = [draft.person.given] if draft.person.trap else upper.split()
    draft.removed("H14", path_of(*_child(3), "TextValue"), *tokens, hipaa_letter="A")


def key_objects(draft: Draft) -> None:
    """A selection of images with a remark."""
    first = draft.study.images[0]
    root = container(
        c.dcm("113000", "Of Interest"),
        person(_OBSERVER, f"{draft.person.operator}^Dr"),
        text(c.dcm("113012", "Key Object Description"), f"see {draft.person.given} again"),
        picture(first.values["SOPClassUID"], first.uid),
        template="2010",
    )
    _report(draft, KEY_OBJECTS, root, "KO")
    draft.removed("H5", path_of(*_child(2), "TextValue"), draft.person.given, hipaa_letter="A")
    draft.check("ref_integrity", "H8", path_of(*_child(3), "ReferencedSOPSequence", 1,
                "ReferencedSOPInstanceUID"), first.uid, first.uid, severity=2,
                applies_if="structured")  # fmt: skip


def segmentation(draft: Draft) -> None:
    """Segments whose labels name the patient; frames refer to images."""
    study = draft.study
    given = draft.person.given
    follow = uid(draft.uid, "tracking")
    mask = np.zeros((2, 64, 64), np.uint8)
    mask[:, 20:40, 20:40] = 1
    frames = [
        {
            "DerivationImageSequence": [
                {
                    "SourceImageSequence": references([source]),
                    "DerivationCodeSequence": [c.dcm("113076", "Segmentation")],
                }
            ],
            "FrameContentSequence": [{"DimensionIndexValues": [1, at + 1]}],
            "PlanePositionSequence": [{"ImagePositionPatient": [-160, -160, 5 * at]}],
            "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": 1}],
        }
        for at, source in enumerate(study.images[:2])
    ]
    series = {
        "SeriesInstanceUID": study.series[0].uid,
        "ReferencedInstanceSequence": references(study.images[:2]),
    }
    draft.values |= {
        "SOPClassUID": SEG,
        "ImageType": ["DERIVED", "PRIMARY"],
        "FrameOfReferenceUID": study.frame_of_reference,
        "PositionReferenceIndicator": "",
        "ContentLabel": "SEGMENTATION",
        "ContentDescription": f"Liver of {given}",
        "ContentCreatorName": f"{draft.person.operator}^Dr",
        "SegmentationType": "BINARY",
        "LossyImageCompression": "00",
        "SegmentSequence": [
            {
                "SegmentNumber": 1,
                "SegmentLabel": f"Liver {given}",
                "SegmentDescription": f"Drawn for {given}",
                "SegmentAlgorithmType": "MANUAL",
                "SegmentedPropertyCategoryCodeSequence": [c.ANATOMY],
                "SegmentedPropertyTypeCodeSequence": [c.sct("10200004", "Liver")],
                "TrackingID": f"{given} 1",
                "TrackingUID": follow,
            }
        ],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 64,
        "Columns": 64,
        "BitsAllocated": 1,
        "BitsStored": 1,
        "HighBit": 0,
        "PixelRepresentation": 0,
        "NumberOfFrames": 2,
        **dimensions(draft, "ReferencedSegmentNumber", "ImagePositionPatient"),
        "ReferencedSeriesSequence": [series],
        "SharedFunctionalGroupsSequence": [
            {
                "PixelMeasuresSequence": [
                    {"SliceThickness": 5, "SpacingBetweenSlices": 5, "PixelSpacing": [5, 5]}
                ],
                "PlaneOrientationSequence": [{"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}],
            }
        ],
        "PerFrameFunctionalGroupsSequence": frames,
        "PixelData": np.packbits(mask.ravel(), bitorder="little"),
    }
    draft.removed("H5", path_of("ContentDescription"), given, hipaa_letter="A")
    draft.removed("H1", path_of("ContentCreatorName"), draft.person.operator, hipaa_letter="A")
    segment = ("SegmentSequence", 1)
    for name in ("SegmentLabel", "SegmentDescription", "TrackingID"):
        draft.removed("H5", path_of(*segment, name), given, hipaa_letter="A")
    draft.retained("H5", path_of(*segment, "SegmentLabel"), "Liver", applies_if="descriptors")
    draft.retained("H5", path_of(*segment, "SegmentedPropertyTypeCodeSequence", 1, "CodeValue"),
                   "10200004")  # fmt: skip
    draft.check("uid_changed", "H8", path_of(*segment, "TrackingUID"), follow, severity=2,
                applies_if="not uids")  # fmt: skip
    refers(draft, "PerFrameFunctionalGroupsSequence", 2, "DerivationImageSequence", 1,
           "SourceImageSequence", 1, "ReferencedSOPInstanceUID", at=1)  # fmt: skip
    refers(draft, "ReferencedSeriesSequence", 1, "ReferencedInstanceSequence", 1,
           "ReferencedSOPInstanceUID")  # fmt: skip
    draft.check("pixels_retained", "H11", path_of("PixelData"), severity=3)


def structure_set(draft: Draft) -> None:
    """Regions of interest: their names, who drew them, the images they lie in."""
    study, given = draft.study, draft.person.given
    draft.values |= {
        "SOPClassUID": RTSTRUCT,
        "FrameOfReferenceUID": study.frame_of_reference,
        "PositionReferenceIndicator": "",
        "StructureSetLabel": "PLAN1",
        "StructureSetName": f"Plan {given}",
        "StructureSetDate": study.when,
        "StructureSetTime": study.when,
        "ReferencedFrameOfReferenceSequence": [
            {
                "FrameOfReferenceUID": study.frame_of_reference,
                "RTReferencedStudySequence": [
                    {
                        "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.1",
                        "ReferencedSOPInstanceUID": study.uid,
                        "RTReferencedSeriesSequence": [
                            {
                                "SeriesInstanceUID": study.series[0].uid,
                                "ContourImageSequence": references(study.images),
                            }
                        ],
                    }
                ],
            }
        ],
        "StructureSetROISequence": [
            {
                "ROINumber": 1,
                "ReferencedFrameOfReferenceUID": study.frame_of_reference,
                "ROIName": f"Leber {given}",
                "ROIGenerationAlgorithm": "MANUAL",
            }
        ],
        "ROIContourSequence": [
            {
                "ROIDisplayColor": [255, 0, 0],
                "ReferencedROINumber": 1,
                "ContourSequence": [
                    {
                        "ContourImageSequence": references(study.images[:1]),
                        "ContourGeometricType": "CLOSED_PLANAR",
                        "NumberOfContourPoints": 3,
                        "ContourData": [0, 0, 0, 10, 0, 0, 10, 10, 0],
                    }
                ],
            }
        ],
        "RTROIObservationsSequence": [
            {
                "ObservationNumber": 1,
                "ReferencedROINumber": 1,
                "RTROIInterpretedType": "ORGAN",
                "ROIInterpreter": f"{draft.person.operator}^Dr",
            }
        ],
        "ApprovalStatus": "UNAPPROVED",
    }
    name = path_of("StructureSetROISequence", 1, "ROIName")
    draft.removed("H5", name, given, hipaa_letter="A")
    draft.retained("H5", name, "Leber", applies_if="descriptors")
    draft.removed("H5", path_of("StructureSetName"), given, hipaa_letter="A")
    draft.removed("H1", path_of("RTROIObservationsSequence", 1, "ROIInterpreter"),
                  draft.person.operator, hipaa_letter="A")  # fmt: skip
    refers(draft, "ROIContourSequence", 1, "ContourSequence", 1, "ContourImageSequence", 1,
           "ReferencedSOPInstanceUID")  # fmt: skip
    frame = path_of("StructureSetROISequence", 1, "ReferencedFrameOfReferenceUID")
    draft.check("uid_consistent", "H8", frame, study.frame_of_reference, severity=2,
                applies_if="not uids")  # fmt: skip


def rt_dose(draft: Draft) -> None:
    """A dose grid that refers to a plan that is not here."""
    plan = uid(draft.uid, "plan")
    grid = drawing.anatomy(16, 16, 9000, draft.number)
    draft.values |= {
        "SOPClassUID": RTDOSE,
        "FrameOfReferenceUID": draft.study.frame_of_reference,
        "PositionReferenceIndicator": "",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 16,
        "Columns": 16,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelSpacing": [5, 5],
        "ImagePositionPatient": [0, 0, 0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SliceThickness": "",
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseComment": f"Dose of {draft.person.given}",
        "DoseSummationType": "PLAN",
        "DoseGridScaling": 0.001,
        "ReferencedRTPlanSequence": [
            {
                "ReferencedSOPClassUID": STORAGE + "481.5",
                "ReferencedSOPInstanceUID": plan,
            }
        ],
        "PixelData": grid,
    }
    draft.removed("H4", path_of("DoseComment"), draft.person.given, hipaa_letter="A")
    draft.check("uid_changed", "H8", path_of("ReferencedRTPlanSequence", 1,
                "ReferencedSOPInstanceUID"), plan, severity=2,
                applies_if="not uids")  # fmt: skip
    draft.retained("H7", path_of("DoseGridScaling"), "0.001")
    draft.check("pixels_retained", "H11", path_of("PixelData"), severity=3)


def presentation(draft: Draft) -> None:
    """An arrow with a remark over an image."""
    study, given = draft.study, draft.person.given
    draft.values |= {
        "SOPClassUID": PRESENTATION,
        "Laterality": "",
        "ContentLabel": "ARROW",
        "ContentDescription": f"Arrow for {given}",
        "ContentCreatorName": f"{draft.person.operator}^Dr",
        "PresentationCreationDate": study.when,
        "PresentationCreationTime": study.when,
        "ReferencedSeriesSequence": [
            {
                "SeriesInstanceUID": study.series[0].uid,
                "ReferencedImageSequence": references(study.images[:1]),
            }
        ],
        "DisplayedAreaSelectionSequence": [
            {
                "DisplayedAreaTopLeftHandCorner": [1, 1],
                "DisplayedAreaBottomRightHandCorner": [64, 64],
                "PresentationSizeMode": "SCALE TO FIT",
                "PresentationPixelAspectRatio": [1, 1],
            }
        ],
        "GraphicAnnotationSequence": [
            {
                "ReferencedImageSequence": references(study.images[:1]),
                "GraphicLayer": "LAYER1",
                "TextObjectSequence": [
                    {
                        "AnchorPointAnnotationUnits": "PIXEL",
                        "UnformattedTextValue": f"Lesion {given}",
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
    inside = ("GraphicAnnotationSequence", 1, "TextObjectSequence", 1, "UnformattedTextValue")
    draft.removed("H10", path_of(*inside), given, hipaa_letter="A")
    draft.removed("H5", path_of("ContentDescription"), given, hipaa_letter="A")
    draft.removed("H1", path_of("ContentCreatorName"), draft.person.operator, hipaa_letter="A")
    refers(draft, "ReferencedSeriesSequence", 1, "ReferencedImageSequence", 1,
           "ReferencedSOPInstanceUID")  # fmt: skip


def ecg(draft: Draft) -> None:
    """Twelve leads and an annotation that names the patient."""
    given, count = draft.person.given, 200
    channels = [
        {
            "ChannelLabel": f"{name} {given}" if name == "V6" else name,
            "ChannelSourceSequence": [Code(f"2:{at}", "MDC", f"Lead {name}")],
            "ChannelSensitivity": 2.5,
            "ChannelSensitivityUnitsSequence": [c.ucum("uV")],
            "ChannelSensitivityCorrectionFactor": 1,
            "ChannelBaseline": 0,
            "ChannelSampleSkew": 0,
            "WaveformBitsStored": 16,
        }
        for at, name in enumerate(LEADS, 1)
    ]
    draft.values |= {
        "SOPClassUID": TWELVE_LEAD,
        "AcquisitionDateTime": f"{draft.study.when:%Y%m%d%H%M%S}",
        "AcquisitionContextSequence": [],
        "WaveformSequence": [
            {
                "WaveformOriginality": "ORIGINAL",
                "NumberOfWaveformChannels": 12,
                "NumberOfWaveformSamples": count,
                "SamplingFrequency": 500,
                "MultiplexGroupLabel": f"RHYTHM {given}",
                "ChannelDefinitionSequence": channels,
                "WaveformBitsAllocated": 16,
                "WaveformSampleInterpretation": "SS",
                "WaveformData": samples(60, count),
            }
        ],
        "WaveformAnnotationSequence": [
            {
                "UnformattedTextValue": f"ECG of {given}",
                "ReferencedWaveformChannels": [1, 0],
                "AnnotationGroupNumber": 0,
            }
        ],
    }
    inside = ("WaveformSequence", 1)
    draft.removed("H5", path_of(*inside, "MultiplexGroupLabel"), given, hipaa_letter="A")
    draft.removed("H5", path_of(*inside, "ChannelDefinitionSequence", 12, "ChannelLabel"), given,
                  hipaa_letter="A")  # fmt: skip
    draft.removed("H5", path_of("WaveformAnnotationSequence", 1, "UnformattedTextValue"), given,
                  hipaa_letter="A")  # fmt: skip
    draft.retained("H5", path_of(*inside, "NumberOfWaveformSamples"), str(count))
    draft.check("tag_retained", "H5", path_of(*inside, "WaveformData"), severity=3)


def _document(draft: Draft, sop_class: str, kind: str, data: bytes) -> None:
    draft.values |= {
        "SOPClassUID": sop_class,
        "ConversionType": "WSD",
        "BurnedInAnnotation": "YES",
        "AcquisitionDateTime": f"{draft.study.when:%Y%m%d%H%M%S}",
        "DocumentTitle": f"Report {draft.person.given}",
        "ConceptNameCodeSequence": [],
        "MIMETypeOfEncapsulatedDocument": kind,
        "EncapsulatedDocument": data,
    }
    draft.removed("H12", path_of("DocumentTitle"), draft.person.given, hipaa_letter="A")


def pdf(draft: Draft) -> None:
    """A PDF: text, who wrote it, and a picture of a line of text."""
    note = _language(draft)
    scan = np.full((40, 300), 255, np.uint8)
    shown = drawing.ink(f"{draft.person.in_pixels} {draft.person.id}", 18)
    scan[8 : 8 + shown.shape[0], 10 : 10 + shown.shape[1]] -= shown
    author = f"{draft.person.operator} {draft.person.id}"
    data = papers.pdf(
        note.text, author, f"About {draft.person.given}", scan, packed=draft.number % 2 == 0
    )
    _document(draft, PDF, "application/pdf", data)
    path = path_of("EncapsulatedDocument")
    spans(draft, path, note, "H12", "reports")
    draft.removed("H12", path, author, text="information", hipaa_letter="A")
    box = (10, 8, 10 + shown.shape[1], 8 + shown.shape[0])
    draft.check("pixels_hidden", "H12", path, box=box, hipaa_letter="A", text="picture")


def cda(draft: Draft) -> None:
    """A clinical document."""
    note = _language(draft)
    data = papers.cda(note.text, draft.person, draft.study.when, note.language)
    _document(draft, CDA, "text/XML", data)
    path = path_of("EncapsulatedDocument")
    spans(draft, path, note, "H12", "reports")
    for token in papers.heads(draft.person)[".xml"]:
        draft.removed("H12", path, token, hipaa_letter="A")


OTHERS: Sequence[Kind] = (
    ("sr measurements", "SR", measured, _EXPLICIT, False),
    ("sr dose", "SR", dose, IMPLICIT_LE, False),
    ("sr letter", "SR", letter, _EXPLICIT, True),
    ("ko", "KO", key_objects, _EXPLICIT, False),
    ("seg", "SEG", segmentation, _EXPLICIT, False),
    ("rtstruct", "RTSTRUCT", structure_set, IMPLICIT_LE, False),
    ("rtdose", "RTDOSE", rt_dose, EXPLICIT_BE, False),
    ("presentation", "PR", presentation, _EXPLICIT, False),
    ("ecg", "ECG", ecg, _EXPLICIT, False),
    ("pdf", "DOC", pdf, _EXPLICIT, False),
    ("cda", "DOC", cda, IMPLICIT_LE, False),
)
"""Objects that are no images."""
