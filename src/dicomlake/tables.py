"""The tables of a lake: Arrow schemas in which every column carries a comment.

Columns that are DICOM attributes have the standard keyword and a type that fits the VR (PS3.5 6.2):
DA date, DT timestamp in UTC, TM and AS text as sent, IS and US whole numbers, DS FD FL double,
multi-valued ones lists. Our own columns are snake_case.
"""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from dicomlake.dicom import dictionary

VERSION = 5
"""Layout of the tables; a lake of another one is refused with a clear message."""

STAMP = pa.timestamp("us", "UTC")
ANY_UNIT = "*"
"""The unit of columns whose numbers are of many kinds, each row with a unit of its own."""

# Constant over a series by the information model, or shown as the most frequent value.
SERIES_KEYWORDS = """
PatientID IssuerOfPatientID PatientName PatientBirthDate PatientSex PatientAge PatientSize
PatientWeight
StudyInstanceUID StudyDate StudyTime StudyID StudyDescription AccessionNumber ReferringPhysicianName
SeriesInstanceUID Modality SeriesNumber SeriesDate SeriesTime SeriesDescription ProtocolName
BodyPartExamined Laterality PatientPosition PerformedProcedureStepID
PerformedProcedureStepDescription RequestedProcedureDescription OperatorsName
Manufacturer ManufacturerModelName InstitutionName InstitutionalDepartmentName StationName
DeviceSerialNumber SoftwareVersions
SOPClassUID ImageType AcquisitionDate AcquisitionTime AcquisitionDateTime ContentDate ContentTime
InstanceCreationDate SpecificCharacterSet BurnedInAnnotation LossyImageCompression
PhotometricInterpretation SamplesPerPixel Rows Columns BitsAllocated BitsStored NumberOfFrames
PixelSpacing ImagerPixelSpacing SliceThickness SpacingBetweenSlices ImageOrientationPatient
FrameOfReferenceUID
KVP XRayTubeCurrent ExposureTime Exposure ConvolutionKernel ReconstructionDiameter FilterType
SpiralPitchFactor ScanOptions CTDIvol
ContrastBolusAgent ContrastBolusRoute
MagneticFieldStrength ScanningSequence SequenceVariant SequenceName MRAcquisitionType RepetitionTime
EchoTime InversionTime FlipAngle EchoTrainLength NumberOfAverages DiffusionBValue ReceiveCoilName
Radiopharmaceutical Units
ViewPosition ImageLaterality BodyPartThickness CompressionForce PositionerPrimaryAngle
DistanceSourceToDetector
CompletionFlag VerificationFlag
""".split()

# Numbers that often vary inside a series: also the smallest and the largest of them.
RANGED = """
SliceThickness KVP XRayTubeCurrent ExposureTime Exposure CTDIvol RepetitionTime EchoTime
InversionTime FlipAngle DiffusionBValue CompressionForce BodyPartThickness PositionerPrimaryAngle
""".split()

UNITS = {
    "PatientSize": "m", "PatientWeight": "kg", "SliceThickness": "mm",
    "SpacingBetweenSlices": "mm", "PixelSpacing": "mm, row then column",
    "ImagerPixelSpacing": "mm, row then column", "KVP": "kV", "XRayTubeCurrent": "mA",
    "ExposureTime": "ms", "Exposure": "mAs", "ReconstructionDiameter": "mm", "CTDIvol": "mGy",
    "MagneticFieldStrength": "tesla", "RepetitionTime": "ms", "EchoTime": "ms",
    "InversionTime": "ms", "FlipAngle": "degree", "DiffusionBValue": "s/mm2",
    "BodyPartThickness": "mm", "CompressionForce": "N", "PositionerPrimaryAngle": "degree",
    "DistanceSourceToDetector": "mm",
}  # fmt: skip


def _field(name: str, type_: pa.DataType, comment: str, **about: str) -> pa.Field:
    return pa.field(name, type_, True, {"comment": comment, **about})


def _text(name: str, comment: str) -> pa.Field:
    return _field(name, pa.string(), comment)


def _whole(name: str, comment: str) -> pa.Field:
    return _field(name, pa.int64(), comment)


def _measure(name: str, unit: str, comment: str) -> pa.Field:
    """A number in a unit of UCUM."""
    return _field(name, pa.float64(), f"{comment}, {unit}", unit=unit)


def _listed(name: str, kind: pa.DataType, comment: str) -> pa.Field:
    return _field(name, pa.list_(pa.field("element", kind)), comment)


def _coded(name: str, what: str, *, sent: bool = True) -> list[pa.Field]:
    """A code: as questions ask for it, and as it was sent."""
    asked = f"{what}: SCHEME:VALUE, of equal codes always the same one"
    found = [_field(name, pa.string(), asked, kind="code")]
    if sent:
        found += [
            _field(f"{name}_value", pa.string(), f"Code Value of {name} as sent"),
            _field(f"{name}_scheme", pa.string(), f"Coding Scheme Designator of {name} as sent"),
            _field(f"{name}_meaning", pa.string(), f"Code Meaning of {name} as sent"),
        ]
    return found


@cache
def type_of(keyword: str) -> pa.DataType:
    """Arrow type of the column of a keyword.

    >>> type_of("StudyDate"), type_of("PixelSpacing")
    (DataType(date32[day]), ListType(list<element: double>))
    """
    known = dictionary.attribute(keyword)
    scalar = {
        "DA": pa.date32(),
        "DT": STAMP,
        "DS": pa.float64(),
        "FD": pa.float64(),
        "FL": pa.float64(),
        "IS": pa.int64(),
        "US": pa.int64(),
        "UL": pa.int64(),
        "SS": pa.int64(),
    }.get(known.vr, pa.string())
    several = known.vm not in ("1", "1-n", "0-1") or keyword in _LISTS
    return pa.list_(pa.field("element", scalar)) if several else scalar


_LISTS = frozenset(["SoftwareVersions", "ConvolutionKernel", "FilterType", "SpecificCharacterSet"])
_LISTS |= frozenset(["ScanningSequence", "SequenceVariant", "ScanOptions", "OperatorsName"])


def _attribute(keyword: str) -> pa.Field:
    known = dictionary.attribute(keyword)
    unit = f", {UNITS[keyword]}" if keyword in UNITS else ""
    return _field(keyword, type_of(keyword), f"{known.name} {known.tag}, {known.vr}{unit}")


def _ranged(keyword: str) -> list[pa.Field]:
    unit = UNITS[keyword]
    return [
        _field(f"{keyword}_min", pa.float64(), f"smallest {keyword} of the instances, {unit}"),
        _field(f"{keyword}_max", pa.float64(), f"largest {keyword} of the instances, {unit}"),
    ]


_ID = _field("series_id", pa.int64(), "this version of the series; a new one gets the next number")

SERIES = pa.schema(
    [
        _ID,
        _field("patient_key", pa.int64(), "number of the patient: of issuer and PatientID, or of "
               "the study where PatientID is missing"),
        _field("study_key", pa.int64(), "number of the study: of StudyInstanceUID"),
        _field("source", pa.string(), "where its objects came from, as named when indexing"),
        _field("complete", pa.string(), "all: every instance found was read; headers: "
               "every one, but its header alone; some: others are known to be missing; first: only "
               "one was read, so what varies is not known"),
        _field("instances", pa.int64(), "SOP instances of this series in the lake"),
        _field("indexed", STAMP, "when this version was made"),
        _field("run_id", pa.string(), "the run that made it"),
        _field("varying", pa.list_(pa.field("element", pa.string())), "keywords among the columns "
               "that do not have the same value in every instance; the column shows the most "
               "frequent value, then the smallest"),
        *map(_attribute, SERIES_KEYWORDS),
        *[field for keyword in RANGED for field in _ranged(keyword)],
    ],
    {"comment": "one row per current version of a series; what is not here is not in the lake"},
)  # fmt: skip

_PROBLEM = pa.struct(
    [pa.field("path", pa.string()), pa.field("vr", pa.string()), pa.field("problem", pa.string())]
)

INSTANCES = pa.schema(
    [
        _ID,
        *map(_attribute, ["SOPInstanceUID", "SOPClassUID", "InstanceNumber", "TransferSyntaxUID"]),
        *map(_attribute, ["Rows", "Columns", "NumberOfFrames"]),
        _field("uri", pa.string(), "where the object is: file:///..., zip://member::file:///..."),
        _field("offset", pa.int64(), "bytes from the start of the uri to the object"),
        _field("size", pa.int64(), "bytes of the object"),
        _field("modified", STAMP, "when the file was last changed"),
        _field("problems", pa.list_(pa.field("element", _PROBLEM)), "what the object does against "
               "the Standard: path of the attribute (empty: the object), VR, problem in words"),
        _field("header", pa.string(), "the complete header as DICOM JSON (PS3.18 Annex F); bulk "
               "data are left out with ?offset=&length= in their BulkDataURI"),
    ],
    {"comment": "one row per SOP instance; rows whose series_id is not in series are not current"},
)  # fmt: skip

ELEMENTS = pa.schema(
    [
        _ID,
        _field("path", pa.string(), "attribute: keywords joined by dots through sequences, "
               '(gggg,"CREATOR",ee) for private ones'),
        _field("vr", pa.string(), "value representation"),
        _field("position", pa.int32(), "which value of a multi-valued attribute, from 1; for "
               "sequences of codes which item; null: empty, a sequence, or over 32 values"),
        _field("text", pa.string(), "value as sent, without padding; null for binary numbers"),
        _field("number", pa.float64(), "value as a number: TM seconds since midnight, AS days, SQ "
               "items, binary VRs bytes; the smallest where folded"),
        _field("number_max", pa.float64(), "the largest number where folded, else null"),
        _field("moment", STAMP, "value of DA or DT in UTC; the earliest where folded"),
        _field("moment_max", STAMP, "the latest moment where folded, else null"),
        _field("code_value", pa.string(), "Code Value of an item of a code sequence"),
        _field("code_scheme", pa.string(), "Coding Scheme Designator"),
        _field("code_meaning", pa.string(), "Code Meaning"),
        _field("instances", pa.int64(), "instances that have this value; where folded, values "
               "counted once per instance"),
        _field("folded", pa.bool_(), "true: one row for many values (numbers and dates with their "
               "range); ask instances.header for the single ones"),
    ],
    {"comment": "one row per attribute path and value of a series, public and private, any depth"},
)  # fmt: skip

_OF = [
    _ID,
    _attribute("SOPInstanceUID"),
    _text("reader", "name of the reader of contents that made the row"),
]

ITEMS = pa.schema(
    [
        *_OF,
        _field("item", pa.int32(), "number of the item in its object, in order, from 1"),
        _field("parent", pa.int32(), "number of the item around it; null: a root"),
        _text("place", "which child of which child: 1.6.2"),
        _text("path", "concepts from the root to the item: [SCHEME:VALUE] joined by dots, of equal "
              "codes always the same one; [] has no concept"),
        _text("RelationshipType", "Relationship Type (0040,A010) to the item around it, as sent"),
        _text("target", "place of the item that a by-reference relation points at"),
        _text("ValueType", "Value Type (0040,A040) as sent"),
        _text("value_type", "value type: CONTAINER, TEXT, CODE, NUM, PNAME, DATE, TIME, DATETIME, "
              "UIDREF, IMAGE, WAVEFORM, COMPOSITE, SCOORD, SCOORD3D, TCOORD or TABLE"),
        *_coded("concept", "what the item is about"),
        _text("concept_version", "Coding Scheme Version of the concept as sent"),
        _text("text", "value of TEXT, PNAME, UIDREF, DATE, TIME, DATETIME as sent"),
        _field("number", pa.float64(), "first Numeric Value of NUM, in the unit as sent; its "
               "Floating Point Value where there is one"),
        _listed("numbers", pa.float64(), "all Numeric Values, where there are several"),
        _text("number_sent", "Numeric Value as sent"),
        *_coded("unit", "unit of the number, UCUM:CODE"),
        _field("quantity", pa.float64(), "first number in quantity_unit"),
        _text("quantity_unit", "the unit in which all numbers of this kind are compared, UCUM"),
        *_coded("qualifier", "why there is no number", sent=False),
        *_coded("code", "value of CODE"),
        _field("moment", STAMP, "value of DATE or DATETIME in UTC"),
        _listed("values", pa.string(), "values of TCOORD: sample positions, offsets in s or times"),
        _text("ReferencedSOPClassUID", "class of the object that the item refers to"),
        _text("ReferencedSOPInstanceUID", "the object that the item refers to"),
        _listed("ReferencedFrameNumber", pa.int64(), "frames of that object; null: all"),
        _listed("ReferencedSegmentNumber", pa.int64(), "segments of that object; null: all"),
        _listed("ReferencedWaveformChannels", pa.int64(), "pairs of group and channel"),
        _text("GraphicType", "SCOORD, SCOORD3D: Graphic Type; TCOORD: Temporal Range Type"),
        _listed("GraphicData", pa.float64(), "coordinates: column and row, or x, y, z in mm"),
        _text("ReferencedFrameOfReferenceUID", "frame of reference of SCOORD3D"),
        _text("template", "identifier of the template of the nearest container that names one"),
        _field("observed", STAMP, "nearest Observation DateTime in UTC"),
        _text("observation", "Observation UID of the item"),
        *_coded("finding", "nearest finding", sent=False),
        *_coded("site", "nearest finding site", sent=False),
        *_coded("laterality", "nearest laterality", sent=False),
        _text("tracking", "nearest tracking identifier"),
        _text("tracking_uid", "nearest tracking unique identifier"),
        _text("observer", "nearest person or device observer"),
        _text("language", "nearest language of content, RFC 5646"),
        _listed("modifiers", pa.int32(), "numbers of the modifiers and contexts around it that "
                "count for the item"),
    ],
    {"comment": "one row per content item of a report, and per annotation of a waveform"},
)  # fmt: skip

_MODIFIER = pa.struct([pa.field(n, pa.string()) for n in ("code", "value", "scheme", "meaning")])

SEGMENTS = pa.schema(
    [
        *_OF,
        _text("kind", "segmentation, label map, height map, surface or structure set"),
        _whole("number", "Segment Number or ROI Number"),
        _text("label", "Segment Label or ROI Name"),
        _text("description", "Segment Description or ROI Description"),
        *_coded("category", "what sort of thing it is: Segmented Property Category"),
        *_coded("type", "what it is: Segmented Property Type, or identification of the ROI"),
        *_coded("structure", "the type, where it is a part of a body by its category or without "
                "one", sent=False),
        _text("structure_meaning", "Code Meaning of structure as sent"),
        _listed("modifiers", _MODIFIER, "Segmented Property Type Modifier codes"),
        *_coded("laterality", "right, left, both or unilateral", sent=False),
        *_coded("region", "Anatomic Region"),
        _text("interpreted", "RT ROI Interpreted Type"),
        _text("algorithm_type", "AUTOMATIC, SEMIAUTOMATIC or MANUAL"),
        _text("algorithm_name", "Segment Algorithm Name"),
        _text("creator", "Content Creator's Name or ROI Interpreter"),
        _listed("color", pa.int64(), "recommended CIELab, or ROI Display Color"),
        _text("tracking", "Tracking ID"),
        _text("tracking_uid", "Tracking UID"),
        _text("fractional", "PROBABILITY or OCCUPANCY; null: binary"),
        _text("overlap", "Segments Overlap: YES, NO or UNDEFINED"),
        _whole("frames", "frames that show it; of a label map null"),
        _whole("contours", "contours of an ROI"),
        _text("geometry", "Contour Geometric Types"),
        _field("present", pa.bool_(), "whether frames or contours show it; null: unknown"),
        _text("FrameOfReferenceUID", "frame of reference"),
        _listed("ReferencedSeriesInstanceUID", pa.string(), "series that it was drawn on"),
        _listed("ReferencedSOPInstanceUID", pa.string(), "instances that it was drawn on"),
        _measure("volume", "mL", "volume by the geometry of its own object, if computed"),
        _text("volume_problem", "why there is no volume, in words"),
    ],
    {"comment": "one row per segment of a segmentation, and per ROI of an RT structure set"},
)  # fmt: skip

WAVEFORMS = pa.schema(
    [
        *_OF,
        _whole("group", "multiplex group, from 1"),
        _text("group_label", "Multiplex Group Label: RHYTHM, MEDIAN BEAT, ..."),
        _text("originality", "ORIGINAL or DERIVED"),
        _whole("channel", "channel of the group, from 1"),
        _text("lead", "plain name of an ECG lead: I, II, III, aVR, aVL, aVF, V1 to V9, ..."),
        *_coded("source", "what the channel records"),
        _text("label", "Channel Label"),
        _measure("SamplingFrequency", "Hz", "samples per second"),
        _whole("samples", "samples per channel"),
        _measure("duration", "s", "samples by frequency"),
        _measure("offset", "ms", "Multiplex Group Time Offset"),
        _measure("skew", "s", "Channel Time Skew or Sample Skew"),
        _field("sensitivity", pa.float64(), "units per step of a sample, correction included"),
        _field("baseline", pa.float64(), "what a sample of 0 stands for, in units"),
        *_coded("unit", "unit of the samples, UCUM:CODE"),
        _measure("filter_low", "Hz", "Filter Low Frequency"),
        _measure("filter_high", "Hz", "Filter High Frequency"),
        _measure("notch", "Hz", "Notch Filter Frequency"),
        _text("interpretation", "Waveform Sample Interpretation: SS, US, SB, UB, MB, AB, SL, UL"),
        _whole("bits", "Waveform Bits Allocated"),
        _field("padding", pa.float64(), "Waveform Padding Value"),
    ],
    {"comment": "one row per channel of a waveform; Lake.waveform reads the samples"},
)  # fmt: skip

_SENT_NUMBER = pa.struct(
    [pa.field(n, pa.string()) for n in ("quantity", "number", "unit", "place")]
)

_FILTER = pa.struct(
    [
        pa.field("material", pa.string()),
        pa.field("material_meaning", pa.string()),
        pa.field("type", pa.string()),
        pa.field("minimum", pa.float64()),
        pa.field("maximum", pa.float64()),
    ]
)

_DOSE = [
    *_OF,
    _attribute("StudyInstanceUID"),
    _field("item", pa.int32(), "number of its container in items; null: from header attributes"),
    _text("source", "RDSR, enhanced SR, image or secondary capture"),
    _whole("precedence", "smaller is better: 1 RDSR, 2 enhanced SR, 3 image, 4 secondary capture"),
    _text("kind", "CT, projection, mammography or radiopharmaceutical"),
    _field("documented", STAMP, "when the document was made"),
    _field("complete", pa.bool_(), "whether the document says that it is complete"),
    _whole("filled", "how many quantities the row has"),
    _text("plane", "acquisition plane: single, A or B"),
    *_coded("laterality", "side: right, left, both or unilateral; of a breast its side",
            sent=False),
    *_coded("phantom", "phantom of CTDIvol", sent=False),
    *_coded("reference_point", "where RP is meant", sent=False),
    _measure("CTDIvol", "mGy", "mean CTDIvol"),
    _measure("DLP", "mGy.cm", "dose length product"),
    _measure("DAP", "Gy.m2", "dose area product"),
    _measure("RP", "mGy", "air kerma at the reference point"),
    _measure("AGD", "mGy", "average glandular dose"),
    _measure("activity", "MBq", "administered activity"),
    _listed("sent", _SENT_NUMBER, "numbers and units as sent: the column that they fill, and the "
            "place of their item or their keyword"),
]  # fmt: skip

DOSE_EVENTS = pa.schema(
    [
        *_DOSE,
        _text("event_key", "irradiation or administration event UID; else made of study, time, "
              "kVp, exposure and laterality. Rows of one key are one event"),
        _text("event_uid", "irradiation or administration event UID as sent"),
        _field("started", STAMP, "when irradiation or administration began, in UTC"),
        *_coded("type", "acquisition type or event type"),
        _text("protocol", "acquisition protocol as sent"),
        *_coded("region", "target region"),
        *_coded("view", "image view"),
        *_coded("agent", "radiopharmaceutical"),
        *_coded("nuclide", "radionuclide", sent=False),
        *_coded("mode", "fluoro mode", sent=False),
        *_coded("anode", "anode target material", sent=False),
        _measure("KVP", "kV", "tube voltage: mean of the values that are not 0"),
        _measure("KVP_max", "kV", "largest tube voltage"),
        _measure("XRayTubeCurrent", "mA", "tube current: mean of the values that are not 0"),
        _measure("XRayTubeCurrent_max", "mA", "largest tube current"),
        _measure("Exposure", "mA.s", "exposure"),
        _measure("ExposureTime", "ms", "exposure time"),
        _measure("rotation_time", "s", "exposure time per rotation"),
        _measure("duration", "s", "irradiation duration"),
        _measure("length", "mm", "scanning length"),
        _measure("reconstructed_length", "mm", "length of the reconstructable volume"),
        _measure("exposed_range", "mm", "exposed range"),
        _measure("SingleCollimationWidth", "mm", "nominal single collimation width"),
        _measure("TotalCollimationWidth", "mm", "nominal total collimation width"),
        _measure("SpiralPitchFactor", "1", "pitch factor"),
        _measure("sources", "1", "number of X-ray sources"),
        _measure("frames", "1", "number of pulses or frames"),
        _measure("pulse_rate", "Hz", "pulses per second"),
        _measure("pulse_width", "ms", "pulse width: mean of the values that are not 0"),
        _measure("FocalSpots", "mm", "focal spot size"),
        _listed("filters", _FILTER, "X-ray filters: material and type as codes, thickness in mm"),
        _measure("FilterThicknessMinimum", "mm", "smallest thickness of a filter"),
        _measure("FilterThicknessMaximum", "mm", "largest thickness of a filter"),
        _measure("HalfValueLayer", "mm", "half value layer"),
        _measure("entrance", "mGy", "entrance exposure at the reference point"),
        _measure("BodyPartThickness", "mm", "compression thickness"),
        _measure("CompressionForce", "N", "compression force"),
        _measure("fibroglandular", "%", "percent fibroglandular tissue"),
        _measure("DistanceSourceToDetector", "mm", "distance source to detector"),
        _measure("DistanceSourceToIsocenter", "mm", "distance source to isocenter"),
        _measure("DistanceSourceToEntrance", "mm", "distance source to entrance surface"),
        _measure("reference_distance", "mm", "distance source to reference point"),
        _measure("PositionerPrimaryAngle", "deg", "positioner primary angle, at the begin"),
        _measure("PositionerSecondaryAngle", "deg", "positioner secondary angle, at the begin"),
        _measure("primary_end_angle", "deg", "positioner primary angle at the end"),
        _measure("secondary_end_angle", "deg", "positioner secondary angle at the end"),
        _measure("ColumnAngulation", "deg", "column angulation"),
        _measure("EstimatedRadiographicMagnificationFactor", "1", "magnification factor"),
        _measure("field_area", "m2", "collimated field area"),
        _measure("field_height", "mm", "collimated field height"),
        _measure("field_width", "mm", "collimated field width"),
        _measure("SSDE", "mGy", "size specific dose estimate as sent"),
        _measure("water_equivalent_diameter", "mm", "water equivalent diameter as sent"),
        _measure("CTDIvol_alert", "mGy", "dose check: alert value"),
        _measure("DLP_alert", "mGy.cm", "dose check: alert value"),
        _measure("CTDIvol_alert_estimate", "mGy", "dose check: accumulated forward estimate that "
                 "exceeds the alert value"),
        _measure("DLP_alert_estimate", "mGy.cm", "dose check: accumulated forward estimate that "
                 "exceeds the alert value"),
        _measure("CTDIvol_notification", "mGy", "dose check: notification value"),
        _measure("DLP_notification", "mGy.cm", "dose check: notification value"),
        _measure("CTDIvol_notification_estimate", "mGy", "dose check: forward estimate that "
                 "exceeds the notification value"),
        _measure("DLP_notification_estimate", "mGy.cm", "dose check: forward estimate that "
                 "exceeds the notification value"),
    ],
    {"comment": "one row per irradiation event and document that tells of it; views add counted"},
)  # fmt: skip

DOSE_TOTALS = pa.schema(
    [
        *_DOSE,
        _whole("events", "number of irradiation events as stated"),
        _measure("DAP_fluoro", "Gy.m2", "dose area product of fluoroscopy"),
        _measure("DAP_acquisition", "Gy.m2", "dose area product of acquisitions"),
        _measure("RP_fluoro", "mGy", "air kerma at the reference point of fluoroscopy"),
        _measure("RP_acquisition", "mGy", "air kerma at the reference point of acquisitions"),
        _measure("fluoro_time", "s", "total fluoro time"),
        _measure("acquisition_time", "s", "total acquisition time"),
        _measure("frames", "1", "total number of radiographic frames"),
    ],
    {"comment": "one row per accumulated dose that a document states, by plane and side"},
)

_MADE = [
    _field("enrichment_id", pa.int64(), "the enrichment that made the row"),
    _text("enricher", "name of the enricher that made it"),
]

_EVIDENCE = pa.struct(
    [
        pa.field("path", pa.string()),
        pa.field("text", pa.string()),
        pa.field("code", pa.string()),
        pa.field("confidence", pa.float64()),
        pa.field("rule", pa.string()),
    ]
)

ANNOTATIONS = pa.schema(
    [
        _ID,
        *_MADE,
        _text("kind", "what sort of statement it is: structure (seen in the picture), tissue, "
              "body part, laterality, procedure, series type, code or finding"),
        _text("label", "what the enricher calls it: kidney_left, CHEST, arterial"),
        *_coded("structure", "the part of a body, without its side"),
        *_coded("laterality", "side: right, left, both or unilateral", sent=False),
        *_coded("code", "what is said where it is no part of a body: a procedure, a phase"),
        _text("name", "what it is called, with its side: Left kidney"),
        _listed("also", pa.string(), "the same in other codes: SCHEME:VALUE; of a side "
                "pre-coordinated ones, of structures RadLex"),
        _listed("regions", pa.string(), "of a body part: regions that it lies in or is made up of, "
                "SCHEME:VALUE, in all their codes; `within` finds it by them, too"),
        _field("confidence", pa.float64(), "how sure the enricher is, 0 to 1; null: not said"),
        _text("equivalence", "how well the code fits what was mapped to it: equal, "
              "equivalent, narrower or broader (ISO/TR 12300); null: nothing was mapped"),
        _listed("evidence", _EVIDENCE, "what it follows from: attribute path, text as sent, "
                "code and confidence of each, and the row of a table or the rule that says so"),
        _measure("volume", "mL", "volume in the picture"),
        _field("intensity", pa.float64(), "mean value of its voxels; of CT in HU"),
        _field("complete", pa.bool_(), "false: cut off by the field of view; null: unknown"),
        _listed("box", pa.float64(), "smallest and largest x, y, z of its voxels in mm, patient "
                "coordinates (PS3.3 C.7.6.2): x, y, z, x, y, z"),
        _measure("grid", "mm", "distance of the voxels that it was measured on"),
    ],
    {"comment": "one row per statement of an enricher about a series"},
)  # fmt: skip

FINDINGS = pa.schema(
    [
        _ID,
        *_MADE,
        _text("rule", "name of the rule: body part disagrees, date in the future, ..."),
        _text("severity", "error, warning or note"),
        _text("path", "the attribute that it is about, as in elements; empty: the series"),
        _text("text", "what is wrong, in words and without patient data"),
        _text("value", "the value as sent, where it is no name, date or identifier of a person"),
        _text("expected", "what would be right"),
        _field("instances", pa.int64(), "instances that it is found in, where they are counted"),
    ],
    {"comment": "one row per fault or disagreement that an enricher found in a series"},
)  # fmt: skip

ENRICHMENTS = pa.schema(
    [
        _ID,
        _field("enrichment_id", pa.int64(), "number of this enrichment; of those of one series "
               "and enricher that did not fail the highest one counts"),
        _text("enricher", "name of the enricher"),
        _text("version", "its version"),
        _text("model", "what it decides by: tables or weights, by name and digest"),
        _text("options", "how it was asked to work, as JSON"),
        _text("state", "done, skipped (not for this series) or failed"),
        _text("reason", "why it was skipped or failed, in words and without patient data"),
        _whole("annotations", "rows of annotations that it made"),
        _whole("findings", "rows of findings that it made"),
        _listed("kept", pa.string(), "what was kept besides: URIs of masks"),
        _text("run_id", "the run that wrote it"),
        _text("worker", "host and device that computed it"),
        _field("made", STAMP, "when it was computed"),
        _field("seconds", pa.float64(), "how long that took, s"),
    ],
    {"comment": "one row per series and enricher that looked at it: where annotations and "
     "findings come from; a later one supersedes, none is overwritten"},
)  # fmt: skip

_OF_PATIENT = [
    _whole("patient_key", "number of the patient: of issuer and PatientID as in series; null: only "
           "the accession number is known"),
    _attribute("PatientID"),
    _attribute("IssuerOfPatientID"),
    _attribute("AccessionNumber"),
    _text("encounter", "identifier of the encounter that it belongs to, as sent"),
    _text("status", "status as sent: completed, final, active, ..."),
    _text("source", "name of the system that it came from, as named when importing"),
    _text("identifier", "identifier in that system"),
    _text("origin", "where it was read: file and line or entry, without patient data"),
    _field("updated", STAMP, "when the source last changed it; of versions of one thing the newest "
           "counts"),
    _text("run_id", "the run that brought it"),
    _field("imported", STAMP, "when it was brought"),
]  # fmt: skip

CLINICAL_EVENTS = pa.schema(
    [
        _field("fact_key", pa.int64(), "number of the fact: of source and identifier, or of what "
               "it says where it has none; the same fact brought twice is one row"),
        *_OF_PATIENT,
        _text("kind", "condition, procedure, observation, medication, encounter or patient"),
        *_coded("code", "what it is: the diagnosis, procedure, observable, medication"),
        _listed("codes", pa.string(), "all codings of it, SCHEME:VALUE, that of code first: what "
                "questions for codes ask"),
        _text("text", "what it is called or what it says, in words as sent"),
        *_coded("value", "value of an observation that is a code"),
        _field("number", pa.float64(), "value of an observation, dose of a medication, as sent"),
        _text("unit", "unit of the number, UCUM where the source says so"),
        _field("quantity", pa.float64(), "the number in quantity_unit", unit=ANY_UNIT),
        _text("quantity_unit", "the unit in which numbers of this kind are compared, UCUM"),
        *_coded("site", "where in the body", sent=False),
        *_coded("laterality", "side", sent=False),
        _field("started", STAMP, "when it began or was done, in UTC; a known day is its begin"),
        _field("ended", STAMP, "when it ended; null: one moment, or not over"),
        _text("precision", "how exactly started is known: year, month, day or second"),
    ],
    {"comment": "one row per diagnosis, procedure, laboratory value, medication, stay of a "
     "patient"},
)  # fmt: skip

_SECTION = pa.struct([pa.field(n, pa.string()) for n in ("title", "code", "text")])

DOCUMENTS = pa.schema(
    [
        _field(
            "document_key",
            pa.int64(),
            "number of the document: of source and identifier, or "
            "of its text; the same document brought twice is one row",
        ),
        *_OF_PATIENT,
        _attribute("StudyInstanceUID"),
        *_coded("type", "type of the document, LOINC where the source says so"),
        _text("title", "title as sent"),
        _text("language", "language of the text, RFC 5646: de, en, fr, es; null: not known"),
        _field("written", STAMP, "when it was written or released, in UTC"),
        _text("text", "the whole text"),
        _listed("sections", _SECTION, "its sections: title, LOINC code where known, and text"),
        _text("affirmed", "sentences and parts of them that say that something is there"),
        _text("negated", "those that say that something is not there: no sign of, kein Nachweis"),
        _text("uncertain", "those that leave it open: cannot be excluded, Verdacht auf"),
    ],
    {"comment": "one row per text of a report from outside of DICOM"},
)

COUNTED = """
(row_number() over (
    partition by event_key
    order by precedence, complete desc nulls last, documented desc nulls last, filled desc,
        SOPInstanceUID, item, StudyInstanceUID, series_id
) = 1
and precedence = min(precedence) over (
    partition by coalesce(StudyInstanceUID, SOPInstanceUID), kind
))
""".strip()
"""SQL over `dose_events`: whether a row is the one that counts of its event.

Of the documents that tell of an event the best one counts. Events from a worse source do not count
where the study has a better one for the same kind of dose, whatever their keys.
"""

RUNS = pa.schema(
    [
        _field("run_id", pa.string(), "name of the run, sortable by time"),
        _field("kind", pa.string(), "index, compact, ..."),
        _field(
            "state", pa.string(), "running, finished, interrupted (stopped or killed) or failed"
        ),
        _field("started", STAMP, "when it began"),
        _field("ended", STAMP, "when it ended"),
        _field("version", pa.string(), "version of dicomlake"),
        _field("what", pa.string(), "its arguments, as JSON"),
        _field(
            "counts", pa.string(), "what it did, as JSON: files, objects, series, failures, ..."
        ),
    ],
    {"comment": "one row per job run"},
)

FAILURES = pa.schema(
    [
        _field("run_id", pa.string(), "the run that met it"),
        _field("uri", pa.string(), "what could not be read"),
        _field("size", pa.int64(), "its bytes"),
        _field("modified", STAMP, "when the file was last changed"),
        _field("stage", pa.string(), "open, read, store, retrieve (from an archive) or import"),
        _field("reason", pa.string(), "why, in words and without patient data"),
        _field("met", STAMP, "when"),
    ],
    {"comment": "one row per object that could not be read; gone once it has been"},
)

FILES = pa.schema(
    [
        _field("run_id", pa.string(), "the run that met it"),
        _field("uri", pa.string(), "the file"),
        _field("size", pa.int64(), "its bytes"),
        _field("modified", STAMP, "when the file was last changed"),
        _field("state", pa.string(), "not DICOM, DICOMDIR, duplicate or archive"),
        _field("SeriesInstanceUID", pa.string(), "of a duplicate: the series of its object"),
        _field("SOPInstanceUID", pa.string(), "of a duplicate: the object that it repeats"),
    ],
    {"comment": "files without an object of their own, so that they are not read again"},
)

_TOP = pa.struct(
    [
        pa.field("value", pa.string()),
        pa.field("meaning", pa.string()),
        pa.field("number", pa.float64()),
        pa.field("moment", STAMP),
        pa.field("series", pa.int64()),
        pa.field("patients", pa.int64()),
    ]
)
_BIN = pa.struct(
    [
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("series", pa.int64()),
    ]
)
_SENT = pa.struct([pa.field("vr", pa.string()), pa.field("series", pa.int64())])
_CALLED = pa.struct([pa.field("text", pa.string()), pa.field("series", pa.int64())])

VOCABULARY = pa.schema(
    [
        _field("path", pa.string(), "attribute path, as in elements; empty: the lake as a whole"),
        _field("parent", pa.string(), "path of the sequence around it, or empty"),
        _field("vr", pa.string(), "value representation, the most frequent one"),
        _field("vrs", pa.list_(pa.field("element", _SENT)), "every value representation and how "
               "many series have it, most frequent first"),
        _listed("units", _CALLED, "units of the numbers, UCUM, and how many series have them"),
        _listed("names", _CALLED, "what reports call the concept, and how many series do"),
        _field("tag", pa.string(), "tag; private ones with xx for the block"),
        _field("name", pa.string(), "what PS3.6, a private dictionary or most reports call it"),
        _field("patients", pa.int64(), "patients that have it with a value"),
        _field("studies", pa.int64(), "studies that have it with a value"),
        _field("series", pa.int64(), "series that have it with a value"),
        _field("documents", pa.int64(), "objects that have it inside; 0 for header attributes"),
        _field("empty", pa.int64(), "series that have it only without a value"),
        _field("distinct_values", pa.int64(), "different values, folded ones not counted, numbers "
               "compared as numbers and texts by their first 100 characters; null: not counted, "
               "because there are names or UIDs of one's own"),
        _field("lowest", pa.float64(), "smallest number, in the unit of elements.number"),
        _field("highest", pa.float64(), "largest number"),
        _field("first", STAMP, "earliest moment"),
        _field("last", STAMP, "latest moment"),
        _field("histogram", pa.list_(pa.field("element", _BIN)), "series with a value from low to "
               "below high, a folded one in every bin that its range touches; numbers, or seconds "
               "since 1970 for dates"),
        _field("top", pa.list_(pa.field("element", _TOP)), "most frequent values by series, as "
               "questions write them; of codes scheme:value; none where values point at persons"),
    ],
    {"comment": "one row per attribute path that occurs: what can be asked"},
)  # fmt: skip

VOCABULARY_VALUES = pa.schema(
    [
        _field("path", pa.string(), "attribute path, as in elements"),
        _field("text", pa.string(), "the value where it is no number and no moment, up to 100 "
               "characters; of codes scheme:value; empty: a name or a UID of one's own"),
        _field("number", pa.float64(), "the value where it is a number"),
        _field("moment", STAMP, "the value where it is a moment"),
        _field("meaning", pa.string(), "null: counts of the value; else: of this code meaning"),
        _field("series", pa.int64(), "series that came to have it, less those that no longer do"),
        _field("patients", pa.int64(), "patients that came to have it, less those that no longer "
               "do"),
    ],
    {"comment": "what the vocabulary is counted from: sum the rows of a path and value"},
)  # fmt: skip

CATALOGUE = pa.schema(
    [
        _field("key", pa.string(), "source, StudyInstanceUID, and of series SeriesInstanceUID"),
        _field("source", pa.string(), "the archive that listed it"),
        _field("level", pa.string(), "STUDY or SERIES"),
        *map(_attribute, """StudyInstanceUID SeriesInstanceUID PatientID IssuerOfPatientID StudyDate
             StudyTime AccessionNumber StudyID StudyDescription""".split()),
        _listed("ModalitiesInStudy", pa.string(), "Modalities in Study (0008,0061), CS"),
        *map(_attribute, """NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances Modality
             SeriesNumber SeriesDescription BodyPartExamined NumberOfSeriesRelatedInstances
             """.split()),
        _field("listed", STAMP, "when the archive said so last"),
    ],
    {"comment": "one row per study or series that an archive lists, whether it is in the lake or "
     "not"},
)  # fmt: skip

ALL = {
    "series": SERIES,
    "instances": INSTANCES,
    "elements": ELEMENTS,
    "items": ITEMS,
    "segments": SEGMENTS,
    "waveforms": WAVEFORMS,
    "dose_events": DOSE_EVENTS,
    "dose_totals": DOSE_TOTALS,
    "annotations": ANNOTATIONS,
    "findings": FINDINGS,
    "enrichments": ENRICHMENTS,
    "clinical_events": CLINICAL_EVENTS,
    "documents": DOCUMENTS,
    "runs": RUNS,
    "failures": FAILURES,
    "files": FILES,
    "catalogue": CATALOGUE,
    "vocabulary": VOCABULARY,
    "vocabulary_values": VOCABULARY_VALUES,
}
"""Every table by name, in the order in which `describe` shows them."""

CONTENTS = ("items", "segments", "waveforms", "dose_events", "dose_totals")
"""Tables of what is inside of objects; readers of contents make their rows."""
STATED = ("annotations", "findings")
"""Tables of what enrichers state; rows count while their enrichment is not superseded."""
CHILDREN = ("instances", "elements", *CONTENTS, *STATED, "enrichments")
"""Tables whose rows count only while `series` holds their series_id."""
CLINICAL = ("clinical_events", "documents")
"""Tables of what is known of patients from elsewhere; of a version of the lake like the others."""
PINNED = (*CHILDREN, *CLINICAL)
"""Tables whose versions every version of `series` remembers."""


def comment_of(field: pa.Field | pa.Schema) -> str:
    """The comment of a column or a table."""
    found = (field.metadata or {}).get(b"comment", b"")
    return str(found.decode())


def markdown() -> str:
    """The page `docs/tables.md`: every table and column with type and comment."""
    lines = [
        "# Tables",
        "",
        "Delta tables below the folder of the lake. `dicomlake describe` shows those of a lake.",
        "Columns that are DICOM attributes carry the standard keyword; our own are snake_case.",
        "",
    ]
    for name, schema in ALL.items():
        lines += [f"## {name}", "", comment_of(schema).capitalize() + ".", ""]
        lines += ["| column | type | comment |", "|---|---|---|"]
        lines += [
            f"| {field.name} | {str(field.type).replace('|', ' ')} | {comment_of(field)} |"
            for field in schema
        ]
        lines.append("")
    return "\n".join(lines)
