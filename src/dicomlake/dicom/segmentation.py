"""DICOM Segmentations written (PS3.3 A.51): voxels with their place, and segments with codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dicomlake.terms import Code, structures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydicom import Dataset

ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
CHANGED = Code("49755003", "SCT", "Morphologically Altered Structure")
SUBSTANCE = Code("105590001", "SCT", "Substance")
TISSUE = Code("85756007", "SCT", "Tissue")
CATEGORIES = {"structure": ANATOMY, "tissue": TISSUE, "finding": CHANGED}
"""Categories of what a label may mean."""
LEARNED = Code("123110", "DCM", "Artificial Intelligence")
HISTOGRAM = Code("123105", "DCM", "Histogram Analysis")
ALGORITHMS = ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL")
"""How segments come to be (SegmentAlgorithmType)."""

Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What made segments; a person needs no name of one."""

    kind: str = "AUTOMATIC"
    name: str = ""
    version: str = ""
    family: Code = LEARNED


@dataclass(frozen=True, slots=True)
class Segment:
    """What a segment is: its label for people, and codes."""

    label: str
    what: Code
    category: Code = ANATOMY
    laterality: Code | None = None
    region: Code | None = None
    """Where it is, if that is not what it is."""


@dataclass(frozen=True, slots=True)
class Planes:
    """Where planes of voxels lie: directions along rows and columns, spacing in mm, positions.

    Without positions they lie as the images that they are of.
    """

    orientation: Vector
    spacing: tuple[float, float, float]
    """Of slices, rows, columns."""
    positions: Sequence[Vector] = field(default=())


@dataclass(frozen=True, slots=True)
class Series:
    """What the object is called; UIDs that are left out are made."""

    description: str
    model: str
    version: str
    content_label: str = "STRUCTURES"
    SeriesInstanceUID: str = ""
    SOPInstanceUID: str = ""


def missing() -> str:
    """What has to be installed to write DICOM Segmentations; empty when nothing is missing."""
    if find_spec("highdicom") is None:
        return (
            "DICOM Segmentations need highdicom. Install it with: pip install 'dicomlake[segment]'"
        )
    return ""


def segment_of(label: str) -> Segment:
    """The segment of a label of segmenters: its codes, or its words with a code of ours.

    >>> segment_of("kidney_left").what.meaning, segment_of("kidney_left").laterality.meaning
    ('Kidney', 'Left')
    """
    known = structures.of(label)
    category = SUBSTANCE if known.code and known.kind == "tissue" else CATEGORIES[known.kind]
    what = known.code or known.structure or Code(label[:16], "99DICOMLAKE", known.name[:64])
    region = known.structure if known.code else None
    return Segment(label, what, category, known.laterality, region)


def segmentation(
    sources: Sequence[Dataset],
    voxels: NDArray[np.uint8] | NDArray[np.uint16],
    segments: Sequence[Segment],
    algorithm: Algorithm,
    planes: Planes | None,
    series: Series,
) -> Dataset:
    """A binary Segmentation of images, by their headers.

    `voxels` are numbers of segments by slice, row and column, or a plane for each segment in a
    fourth axis. Without `planes` they are the frames of the images, in the order of `sources`.
    """
    import highdicom as hd

    more = {} if planes is None else _placed(planes)
    made: Dataset = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=voxels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_described(n, one, algorithm) for n, one in enumerate(segments, 1)],
        series_instance_uid=series.SeriesInstanceUID or hd.UID(),
        series_number=1000,
        sop_instance_uid=series.SOPInstanceUID or hd.UID(),
        instance_number=1,
        manufacturer="dicomlake",
        manufacturer_model_name=series.model[:64],
        software_versions=series.version[:64],
        device_serial_number="1",
        series_description=series.description[:64],
        content_label=series.content_label,
        content_creator_name=None,
        **more,
    )
    return made


def _placed(planes: Planes) -> dict[str, Any]:
    import highdicom as hd
    from highdicom.content import (
        PixelMeasuresSequence,
        PlaneOrientationSequence,
        PlanePositionSequence,
    )

    z, y, x = planes.spacing
    patient = hd.CoordinateSystemNames.PATIENT
    return {
        "pixel_measures": PixelMeasuresSequence(
            pixel_spacing=[y, x], slice_thickness=z, spacing_between_slices=z
        ),
        "plane_orientation": PlaneOrientationSequence(
            coordinate_system=patient, image_orientation=[float(v) for v in planes.orientation]
        ),
        "plane_positions": [
            PlanePositionSequence(coordinate_system=patient, image_position=[float(v) for v in at])
            for at in planes.positions
        ],
    }


def _described(number: int, one: Segment, algorithm: Algorithm) -> Any:
    """The description of a segment."""
    import highdicom as hd

    made_by = None
    if algorithm.kind != "MANUAL":
        made_by = hd.AlgorithmIdentificationSequence(
            name=algorithm.name or "unknown",
            version=algorithm.version or "unknown",
            family=_coded(algorithm.family),
        )
    made = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=one.label[:64],
        segmented_property_category=_coded(one.category),
        segmented_property_type=_coded(one.what),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues(algorithm.kind),
        algorithm_identification=made_by,
        anatomic_regions=None if one.region is None else [_coded(one.region)],
        tracking_uid=hd.UID(),
        tracking_id=one.label[:64],
    )
    if one.laterality is not None:
        side = [_coded(one.laterality)]
        if one.region is None:
            what = made.SegmentedPropertyTypeCodeSequence[0]
            what.SegmentedPropertyTypeModifierCodeSequence = side
        else:
            made.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = side
    return made


def _coded(code: Code) -> Any:
    import highdicom as hd

    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning[:64])
