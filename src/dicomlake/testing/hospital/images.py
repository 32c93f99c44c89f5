"""Image series of every modality: what is constant, what varies from image to image."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.terms import Code
from dicomlake.testing.dicom import EXPLICIT_LE, RLE, Fragments, uid
from dicomlake.testing.hospital import anatomy, phantom

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomlake.testing.dicom import Description, Value
    from dicomlake.testing.hospital.devices import Device
    from dicomlake.testing.hospital.study import Series, Study, Words

STORAGE = "1.2.840.10008.5.1.4.1.1."
CT, ENHANCED_CT = STORAGE + "2", STORAGE + "2.1"
MR, ENHANCED_MR = STORAGE + "4", STORAGE + "4.1"
CR, DX = STORAGE + "1", STORAGE + "1.1"
MG, XA, NM, PT = STORAGE + "1.2", STORAGE + "12.1", STORAGE + "20", STORAGE + "128"
US, US_MULTIFRAME = STORAGE + "6.1", STORAGE + "3.1"
SECONDARY_CAPTURE = STORAGE + "7"

PLANES = {
    "ax": ([1, 0, 0, 0, 1, 0], 2),
    "sag": ([0, 1, 0, 0, 0, -1], 0),
    "cor": ([1, 0, 0, 0, 0, -1], 1),
}


@dataclass(frozen=True, slots=True)
class Scan:
    """One series as a protocol plans it: its name at each site, its images, its attributes."""

    words: Words
    images: int
    values: Description = field(default_factory=dict)
    plane: str = "ax"
    look: str = ""
    bvalues: tuple[int, ...] = ()
    enhanced: bool = False
    trunk: tuple[int, int] | None = None
    """With pixels, CT of a trunk: height of the first image, number of images."""


def _pixels(study: Study, matrix: int) -> dict[str, Value]:
    """Image Pixel attributes; the picture is small when there are pixels, else as large as real."""
    size = phantom.SIZE if study.options.pixels else matrix
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": size,
        "Columns": size,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }


def _spacing(study: Study, field_of_view: float, matrix: int) -> list[float]:
    size = phantom.SIZE if study.options.pixels else matrix
    return [round(field_of_view / size, 6)] * 2


@lru_cache(maxsize=8192)
def position(plane: str, start: float, step: float, at: int, half: float) -> list[float]:
    """Image Position (Patient) of slice `at`, in mm.

    >>> position("ax", -100, 5, 2, 180)
    [-180, -180, -90]
    """
    along = round(start + step * at, 4)
    if plane == "sag":
        return [along, -half, half]
    return [-half, along, half] if plane == "cor" else [-half, -half, along]


def _contrast(agent: str) -> dict[str, Value]:
    if not agent:
        return {}
    route = {"ContrastBolusRoute": "IV", "ContrastBolusVolume": 80 if "io" in agent.lower() else 8}
    return {"ContrastBolusAgent": agent, **route}


AGENTS = {
    "CT": {"de": "Ultravist 370", "fr": "IOMERON 400", "en": "Omnipaque 350 iodine"},
    "MR": {"de": "Gadovist", "fr": "DOTAREM", "en": "Gadavist 7.5ml"},
}

_KERNELS = {
    "siemens": {"soft": ["I31f", "3"], "lung": ["B70f"], "bone": ["B60s"]},
    "ge": {"soft": ["STANDARD"], "lung": ["LUNG"], "bone": ["BONEPLUS"]},
    "philips": {"soft": ["B"], "lung": ["YC"], "bone": ["D"]},
    "toshiba": {"soft": ["FC08"], "lung": ["FC51"], "bone": ["FC30"]},
}


_WRONG = 29
"""Of so many patients one is scanned with four times the dose of the protocol."""


def ct(study: Study, scan: Scan, acquisition: int = 1) -> Series:
    """A CT series; series of one acquisition share its irradiation event."""
    device = study.device("CT")
    if scan.enhanced:
        return enhanced(study, scan, "CT", ENHANCED_CT)
    rng = study.rng
    kvp = rng.choice([80, 100, 120, 120, 120, 140])
    ctdi = round(rng.uniform(4, 16) * (3.5 if study.body_part == "HEAD" else 1), 2)
    if study.person.number % _WRONG == 11:
        ctdi = round(ctdi * 4, 2)
    event = uid(study.uid, "event", acquisition)
    known = next((s.facts for s in study.series if s.facts.get("event") == event), None)
    if known:
        kvp, ctdi = known["kvp"], known["ctdi"]
    values = dict(scan.values)
    kernel = _KERNELS[device.dialect][values.pop("kernel", "soft")]
    agent = AGENTS["CT"][study.site.language] if values.pop("contrast", False) else ""
    thickness = values.get("SliceThickness", 5)
    field = _field(study, scan, thickness, bool(agent))
    wide = field.wide if field else 220 if study.body_part == "HEAD" else 380
    series = study.open(
        "CT", CT, study.say(scan.words), event=event, kvp=kvp, ctdi=ctdi, mas=rng.randint(90, 260),
        length=thickness * scan.images * 8, field=field,
    )  # fmt: skip
    common = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "AcquisitionDate": study.when,
        "AcquisitionNumber": acquisition,
        "ProtocolName": study.description[:60],
        "PatientPosition": "HFS" if study.body_part == "HEAD" else "FFS",
        "ScanOptions": "HELICAL MODE" if device.dialect == "ge" else "HELIX",
        "KVP": kvp,
        "DataCollectionDiameter": 500,
        "ReconstructionDiameter": wide,
        "DistanceSourceToDetector": 1085.6,
        "DistanceSourceToPatient": 595,
        "GantryDetectorTilt": 0,
        "TableHeight": 150.5,
        "RotationDirection": "CW",
        "ExposureTime": 500,
        "Exposure": series.facts["mas"],
        "FilterType": "BODY FILTER",
        "GeneratorPower": 40,
        "FocalSpots": [0.7],
        "ConvolutionKernel": kernel,
        "RevolutionTime": 0.5,
        "SingleCollimationWidth": 0.6,
        "TotalCollimationWidth": 38.4,
        "SpiralPitchFactor": 0.9,
        "CTDIvol": ctdi,
        "IrradiationEventUID": event,
        "SliceThickness": thickness,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": _spacing(study, wide, 512),
        **_pixels(study, 512),
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "RescaleType": "HU",
        "WindowCenter": [40, -600] if scan.look == "LUNG" else 40,
        "WindowWidth": [400, 1600] if scan.look == "LUNG" else 400,
        **_contrast(agent),
        **values,
    }
    varying = ["ImagePositionPatient", "SliceLocation", "XRayTubeCurrent", "AcquisitionTime"]
    start = study.when.strftime("%H%M%S.")
    images = study.images(scan.trunk[1] if field and scan.trunk else scan.images)
    rows: list[list[Value]] = []
    for at in range(images):
        place = field.position(at) if field else position("ax", -150, thickness, at, wide / 2)
        rows.append([place, place[2], 120 + at * 37 % 180, f"{start}{at * 50 % 1000000:06d}"])
    if field:
        common |= {"Rows": anatomy.SIZE, "Columns": anatomy.SIZE}
        common["PixelSpacing"] = [round(wide / anatomy.SIZE, 6)] * 2
        for at, row in enumerate(rows):
            row.append(field.picture(at))
        study.write(series, common, [*varying, "PixelData"], rows)
    else:
        _write(study, series, common, varying, rows, scan.look or "CT")
    return series


# how CTs of the chest are aimed: (higher by, across by, width of the images)
_CUTS = ((0, 0, 380), (-55, 0, 380), (55, 0, 380), (0, 0, 380), (0, -50, 300))


def _field(study: Study, scan: Scan, thickness: int, contrast: bool) -> anatomy.Field | None:
    """What a CT series shows of a trunk; some CTs of the chest cut the lungs off.

    None: headers only, or another part of the body.
    """
    if scan.trunk is None or not study.options.pixels:
        return None
    higher, across, wide = (0, 0, 380)
    if study.body_part == "CHEST":
        higher, across, wide = _CUTS[(study.person.number // 2 + study.number) % len(_CUTS)]
    return anatomy.Field(scan.trunk[0] + higher, thickness, wide, across, contrast)


def _write(
    study: Study,
    series: Series,
    common: Description,
    varying: list[str],
    rows: list[list[Value]],
    look: str,
) -> None:
    """Write the rows, with pixel data where wanted."""
    if study.options.pixels:
        varying = [*varying, "PixelData"]
        for at, row in enumerate(rows):
            row.append(phantom.slice_of(look, at % 16))
    study.write(series, common, varying, rows)


def mr(study: Study, scan: Scan) -> Series:
    """An MR series; diffusion series write their b value the way the manufacturer does."""
    device = study.device("MR")
    if scan.enhanced and device.enhanced:
        return enhanced(study, scan, "MR", ENHANCED_MR)
    wide = 240 if study.body_part in ("HEAD", "BRAIN") else 220
    values = dict(scan.values)
    agent = AGENTS["MR"][study.site.language] if values.pop("contrast", False) else ""
    thickness = values.get("SliceThickness", 4)
    bmax = max(scan.bvalues, default=None)
    traits = ("b value private",) if scan.bvalues and device.dialect != "canon" else ()
    series = study.open("MR", MR, study.say(scan.words), traits=traits, bmax=bmax)
    common: dict[str, Value] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "AcquisitionDate": study.when,
        "AcquisitionTime": study.when + timedelta(minutes=3 * series.number),
        "ProtocolName": study.say(scan.words),
        "PatientPosition": "HFS",
        "ScanningSequence": "SE",
        "SequenceVariant": ["SK", "SP", "OSP"],
        "ScanOptions": "PFP",
        "MRAcquisitionType": "2D",
        "SequenceName": "*tse2d1_15",
        "AngioFlag": "N",
        "SliceThickness": thickness,
        "RepetitionTime": 4000,
        "EchoTime": 100,
        "NumberOfAverages": 2,
        "ImagingFrequency": 123.25 if device.tesla == 3 else 63.68,
        "ImagedNucleus": "1H",
        "EchoNumbers": 1,
        "MagneticFieldStrength": device.tesla,
        "SpacingBetweenSlices": thickness * 1.1,
        "NumberOfPhaseEncodingSteps": 256,
        "EchoTrainLength": 15,
        "PercentSampling": 80,
        "PercentPhaseFieldOfView": 100,
        "PixelBandwidth": 200,
        "ReceiveCoilName": "HeadNeck_20" if wide == 240 else "Body_18",
        "TransmitCoilName": "Body",
        "InPlanePhaseEncodingDirection": "ROW",
        "FlipAngle": 150,
        "VariableFlipAngleFlag": "N",
        "SAR": 0.85,
        "ImageOrientationPatient": PLANES[scan.plane][0],
        "PixelSpacing": _spacing(study, wide, 320),
        **_pixels(study, 320),
        "WindowCenter": 400,
        "WindowWidth": 800,
        **_contrast(agent),
        **values,
    }
    varying = ["ImagePositionPatient", "SliceLocation", "AcquisitionNumber"]
    axis, slices = PLANES[scan.plane][1], study.images(scan.images)
    write_b = _B_VALUE[device.dialect] if scan.bvalues else None
    if write_b:
        key, sample = write_b(0)
        common[key] = device.as_sent(key, sample)
        varying.append(key)
    rows: list[list[Value]] = []
    for turn, b in enumerate(scan.bvalues or (0,)):
        for at in range(slices):
            place = position(scan.plane, -60, thickness * 1.1, at, wide / 2)
            row: list[Value] = [place, place[axis], turn + 1]
            if write_b:
                row.append(device.as_sent(*write_b(b)))
            rows.append(row)
    _write(study, series, common, varying, rows, scan.look or "MR")
    return series


_B_VALUE: dict[str, Callable[[int], tuple[str, Value]]] = {
    "siemens": lambda b: ('(0019,"SIEMENS MR HEADER",0C)', ("IS", b)),
    "ge": lambda b: ('(0043,"GEMS_PARM_01",39)', ("IS", [1000000000 + b, 8, 0, 0])),
    "philips": lambda b: ('(2001,"Philips Imaging DD 001",03)', ("FL", float(b))),
    "canon": lambda b: ("DiffusionBValue", ("FD", float(b))),
}


def enhanced(study: Study, scan: Scan, modality: str, sop_class: str) -> Series:
    """One multi-frame object with shared and per-frame functional groups (PS3.3 C.7.6.16)."""
    device = study.device(modality)
    series = study.open(
        modality,
        sop_class,
        study.say(scan.words),
        traits=("enhanced",),
        bmax=max(scan.bvalues, default=None),
    )
    thickness, wide = scan.values.get("SliceThickness", 4), 240
    slices = study.images(scan.images)
    bvalues = scan.bvalues or (0,)
    frames = [(b, at) for b in bvalues for at in range(slices)]
    per_frame = []
    for number, (b, at) in enumerate(frames):
        place = position("ax", -60, thickness, at, wide / 2)
        group: dict[str, Value] = {
            "FrameContentSequence": [
                {
                    "FrameAcquisitionNumber": number + 1,
                    "StackID": "1",
                    "InStackPositionNumber": at + 1,
                    "DimensionIndexValues": [1, at + 1],
                }
            ],
            "PlanePositionSequence": [{"ImagePositionPatient": place}],
        }
        if modality == "MR":
            group["MREchoSequence"] = [{"EffectiveEchoTime": 80.0}]
            if scan.bvalues:
                group["MRDiffusionSequence"] = [
                    {
                        "DiffusionBValue": float(b),
                        "DiffusionDirectionality": "ISOTROPIC" if b else "NONE",
                    }
                ]
        else:
            group["CTExposureSequence"] = [{"XRayTubeCurrentInmA": 200.0 + number, "CTDIvol": 8.5}]
        per_frame.append(group)
    spacing = _spacing(study, wide, 256)
    shared: dict[str, Value] = {
        "PixelMeasuresSequence": [{"SliceThickness": thickness, "PixelSpacing": spacing}],
        "PlaneOrientationSequence": [{"ImageOrientationPatient": PLANES["ax"][0]}],
        "FrameAnatomySequence": [
            {"FrameLaterality": "U", "AnatomicRegionSequence": [study.region]}
        ],
    }
    if modality == "MR":
        shared["MRTimingAndRelatedParametersSequence"] = [
            {"RepetitionTime": 4200, "FlipAngle": 90, "EchoTrainLength": 49}
        ]
    common: dict[str, Value] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION" if scan.bvalues else "VOLUME", "NONE"],
        "AcquisitionDateTime": study.when,
        "ProtocolName": study.say(scan.words),
        "VolumetricProperties": "VOLUME",
        "NumberOfFrames": len(frames),
        "DimensionOrganizationSequence": [{"DimensionOrganizationUID": uid(series.uid, "dims")}],
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": per_frame,
        **_pixels(study, 256),
    }
    if modality == "MR":
        common["MagneticFieldStrength"] = device.tesla
        common["PulseSequenceName"] = "DwiSE" if scan.bvalues else "TSE"
        common["ResonantNucleus"] = "1H"
    if study.options.pixels:
        common["PixelData"] = np.stack([phantom.slice_of("DWI", at % 16) for _, at in frames])
    study.write(series, common)
    return series


def pet(study: Study, scan: Scan) -> Series:
    """A PET series with its tracer."""
    series = study.open("PT", PT, study.say(scan.words))
    wide, start = 600, study.when - timedelta(minutes=62)
    common = {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "SeriesType": ["WHOLE BODY", "IMAGE"],
        "Units": "BQML",
        "CountsSource": "EMISSION",
        "CorrectedImage": ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"],
        "DecayCorrection": "START",
        "ReconstructionMethod": "PSF+TOF 2i21s",
        "AcquisitionDate": study.when,
        "NumberOfSlices": study.images(scan.images),
        "RadiopharmaceuticalInformationSequence": [
            {
                "Radiopharmaceutical": "Fluorodeoxyglucose",
                "RadiopharmaceuticalStartDateTime": start,
                "RadiopharmaceuticalStartTime": start,
                "RadionuclideTotalDose": float(study.rng.randint(180, 420) * 1000000),
                "RadionuclideHalfLife": 6586.2,
                "RadionuclidePositronFraction": 0.97,
            }
        ],
        "SliceThickness": 3,
        "ImageOrientationPatient": PLANES["ax"][0],
        "PixelSpacing": _spacing(study, wide, 200),
        **_pixels(study, 200),
        "RescaleIntercept": 0,
        "RescaleSlope": 1.7321,
        **scan.values,
    }
    rows: list[list[Value]] = []
    for at in range(study.images(scan.images)):
        place = position("ax", -400, 3, at, wide / 2)
        rows.append([place, place[2], 300000 + at])
    varying = ["ImagePositionPatient", "SliceLocation", "ActualFrameDuration"]
    _write(study, series, common, varying, rows, "PT")
    return series


def radiograph(study: Study, scan: Scan) -> Series:
    """A projection radiograph, digital or computed as the site's device is."""
    device = study.device("DX")
    series = study.open(
        "DX", DX if device.modality == "DX" else CR, study.say(scan.words), geometry=False
    )
    views: list[str] = list(scan.values["views"])
    common = {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "ProtocolName": study.say(scan.words),
        "KVP": 125 if study.body_part == "CHEST" else 55,
        "Exposure": 2,
        "ExposureInuAs": 2100,
        "DistanceSourceToDetector": 1800,
        "ImageAndFluoroscopyAreaDoseProduct": round(study.rng.uniform(0.4, 2.4), 3),
        "PresentationIntentType": "FOR PRESENTATION",
        "ImagerPixelSpacing": [0.148, 0.148],
        "AnatomicRegionSequence": [study.region],
        "ImageLaterality": scan.values.get("side", "U"),
        **_pixels(study, 2800),
        "BodyPartExamined": study.body_part,
        "WindowCenter": 2000,
        "WindowWidth": 4000,
        "LossyImageCompression": "00",
        "IconImageSequence": [
            {
                **_pixels(study, 8),
                "Rows": 8,
                "Columns": 8,
                "BitsAllocated": 8,
                "BitsStored": 8,
                "HighBit": 7,
                "PixelData": phantom.bytes_of("DX", 0, 8),
            }
        ],
    }
    rows: list[list[Value]] = [[view, study.when] for view in views]
    _write(study, series, common, ["ViewPosition", "AcquisitionTime"], rows, "DX")
    return series


_VIEWS = {
    "CC": Code("399162004", "SCT", "cranio-caudal"),
    "MLO": Code("399368009", "SCT", "medio-lateral oblique"),
}


def mammogram(study: Study, scan: Scan) -> list[Series]:
    """The four views of a screening, each in its own series as many devices send them."""
    made = []
    for side, view in (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")):
        series = study.open("MG", MG, f"{side} {view}", geometry=False, side=side, view=view)
        dose = round(study.rng.uniform(0.9, 2.2), 2)
        series.facts = {**series.facts, "agd": dose, "event": uid(series.uid, "event")}
        common: dict[str, Value] = {
            "ImageType": ["DERIVED", "PRIMARY", "", "SIMULATED"],
            "PresentationIntentType": "FOR PRESENTATION",
            "ImageLaterality": side,
            "ViewPosition": view,
            "ViewCodeSequence": [_VIEWS[view]],
            "BreastImplantPresent": "NO",
            "KVP": 29,
            "AnodeTargetMaterial": "TUNGSTEN",
            "FilterMaterial": "RHODIUM",
            "BodyPartThickness": study.rng.randint(32, 78),
            "CompressionForce": study.rng.randint(60, 140),
            "OrganDose": dose / 100,  # dGy
            "EntranceDoseInmGy": round(dose * 4.1, 2),
            "ExposureInuAs": 68000,
            "IrradiationEventUID": series.facts["event"],
            "PartialView": "NO",
            "BodyPartExamined": "BREAST",
            "AnatomicRegionSequence": [study.region],
            "ImagerPixelSpacing": [0.07, 0.07],
            "AcquisitionTime": study.when,
            "DataSetTrailingPadding": bytes(32),
            **_pixels(study, 3328),
            "WindowCenter": 2000,
            "WindowWidth": 3000,
        }
        _write(study, series, common, [], [[]], "MG")
        made.append(series)
    return made


def _difficulty(study: Study) -> int:
    """How much more dose than usual: one patient in 31 has an intervention that takes long."""
    return 16 if study.person.number % 31 == 0 else 1


def angiography(study: Study, scan: Scan) -> list[Series]:
    """Multi-frame runs of an angiography, one irradiation event each."""
    made = []
    for run in range(study.images(scan.images)):
        series = study.open("XA", XA, study.say(scan.words), geometry=False)
        event = uid(series.uid, "event")
        dap = round(study.rng.uniform(40, 320) * _difficulty(study), 1)  # dGy.cm2
        series.facts = {"event": event, "dap": dap, "frames": 8, "kvp": 70 + run * 3}
        size = phantom.SIZE if study.options.pixels else 512
        common: dict[str, Value] = {
            "ImageType": ["ORIGINAL", "PRIMARY", "SINGLE PLANE"],
            "ProtocolName": study.description[:60],
            "KVP": 70 + run * 3,
            "XRayTubeCurrent": 600,
            "ExposureTime": 6,
            "RadiationSetting": "GR",
            "ImageAndFluoroscopyAreaDoseProduct": dap,
            "IrradiationEventUID": event,
            "PositionerMotion": "STATIC",
            "PositionerPrimaryAngle": [-30, 0, 45, 90][run % 4],
            "PositionerSecondaryAngle": [0, 25, -20][run % 3],
            "DistanceSourceToDetector": 1050,
            "CineRate": 15,
            "FrameTime": 66.667,
            "FrameIncrementPointer": "FrameTime",
            "NumberOfFrames": 8,
            "ContrastBolusAgent": AGENTS["CT"][study.site.language],
            "BodyPartExamined": study.body_part,
            **_pixels(study, size),
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "PixelIntensityRelationship": "LIN",
        }
        if study.options.pixels:
            common["PixelData"] = np.stack([phantom.bytes_of("XA", at) for at in range(8)])
        study.write(series, common)
        made.append(series)
    return made


def ultrasound(study: Study, scan: Scan) -> Series:
    """Still pictures of an ultrasound, or a loop when the protocol asks for frames."""
    frames = scan.values.get("frames", 0)
    series = study.open(
        "US", US_MULTIFRAME if frames else US, study.say(scan.words), geometry=False
    )
    common: dict[str, Value] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "", "0001"],
        "TransducerData": ["C5-1", "", ""],
        "BodyPartExamined": study.body_part,
        "SequenceOfUltrasoundRegions": [
            {
                "RegionSpatialFormat": 1,
                "RegionDataType": 1,
                "RegionFlags": 0,
                "RegionLocationMinX0": 0,
                "RegionLocationMinY0": 0,
                "RegionLocationMaxX1": phantom.SIZE - 1,
                "RegionLocationMaxY1": phantom.SIZE - 1,
                "PhysicalUnitsXDirection": 3,
                "PhysicalUnitsYDirection": 3,
                "PhysicalDeltaX": 0.03,
                "PhysicalDeltaY": 0.03,
            }
        ],
        **_pixels(study, 768),
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    if frames:
        common |= {"NumberOfFrames": frames, "FrameTime": 33.3, "HeartRate": 68}
        common["FrameIncrementPointer"] = "FrameTime"
        if study.options.pixels:
            grey = [phantom.bytes_of("US", at) for at in range(frames)]
            common["PixelData"] = np.stack([np.stack([g] * 3, axis=-1) for g in grey])
        study.write(series, common)
        return series
    rows: list[list[Value]] = [[] for _ in range(study.images(scan.images))]
    varying = []
    if study.options.pixels:
        varying = ["PixelData"]
        rows = [
            [np.stack([phantom.bytes_of("US", at % 16)] * 3, axis=-1)] for at in range(len(rows))
        ]
    study.write(series, common, varying, rows)
    return series


def scintigram(study: Study, scan: Scan) -> Series:
    """A whole-body bone scan, front and back as two frames."""
    series = study.open("NM", NM, study.say(scan.words))
    common: dict[str, Value] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"],
        "NumberOfFrames": 2,
        "FrameIncrementPointer": ["EnergyWindowVector", "DetectorVector"],
        "EnergyWindowVector": [1, 1],
        "DetectorVector": [1, 2],
        "NumberOfEnergyWindows": 1,
        "NumberOfDetectors": 2,
        "CountsAccumulated": 1800000,
        "ActualFrameDuration": 1200000,
        "RadiopharmaceuticalInformationSequence": [
            {
                "Radiopharmaceutical": "Tc-99m DPD",
                "RadionuclideTotalDose": 700.0,  # MBq, as old devices write it
            }
        ],
        **_pixels(study, 1024),
    }
    if study.options.pixels:
        common["PixelData"] = np.stack([phantom.slice_of("PT", at) for at in range(2)])
    study.write(series, common)
    return series


def screenshot(study: Study, words: str, device: Device) -> Series:
    """A secondary capture, RLE compressed: a picture of a screen."""
    series = study.open("OT", SECONDARY_CAPTURE, words, device=device, geometry=False)
    grey = phantom.bytes_of("US")
    common: dict[str, Value] = {
        "ConversionType": "WSD",
        "OverlayRows": 8,
        "OverlayColumns": 8,
        "OverlayType": "G",
        "OverlayOrigin": [1, 1],
        "OverlayBitsAllocated": 1,
        "OverlayBitPosition": 0,
        "OverlayData": bytes(range(8)),
        **_pixels(study, 512),
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    if study.options.pixels:
        common["PixelData"] = grey
        if study.habits.syntax == EXPLICIT_LE:
            common["PixelData"] = Fragments((phantom.rle(grey),))
            common["TransferSyntaxUID"] = RLE
    study.write(series, common)
    return series
