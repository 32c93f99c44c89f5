"""Masks as files: NIfTI-1, and DICOM Segmentation (PS3.3 A.51) with codes."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.segmenters import Grid, Labels, measured
from dicomlake.terms import Code, structures

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

_TYPES = {"uint8": (2, 8), "int16": (4, 16), "uint16": (512, 16)}
_GROUPS = ("0008", "0010", "0020", "0028")
_ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
_CHANGED = Code("49755003", "SCT", "Morphologically Altered Structure")
_SUBSTANCE = Code("105590001", "SCT", "Substance")
_TISSUE = Code("85756007", "SCT", "Tissue")
_CATEGORIES = {"structure": _ANATOMY, "tissue": _TISSUE, "finding": _CHANGED}


def missing() -> str:
    """What has to be installed to write DICOM Segmentations; empty when nothing is missing."""
    if find_spec("highdicom") is None:
        return (
            "DICOM Segmentations need highdicom. Install it with: pip install 'dicomlake[segment]'"
        )
    return ""


def write_nifti(path: Path, labels: Labels) -> Path:
    """Write the label volume as NIfTI-1 (.nii.gz), in RAS coordinates; returns the path."""
    with gzip.open(path, "wb", compresslevel=4) as file:
        voxels = np.ascontiguousarray(labels.voxels)
        file.write(nifti_header(voxels.dtype, labels.grid))
        file.write(voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).tobytes())
    return path


def nifti_header(kind: np.dtype[Any], grid: Grid) -> bytes:
    """The 352 bytes before the voxels: their type, size and place (sform and pixdim).

    NIfTI counts to the right and to the front where DICOM counts to the left and to the back.
    """
    code, bits = _TYPES[kind.name]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    depth, rows, columns = grid.shape
    z, y, x = grid.spacing
    head = struct.pack("<i35x1B", 348, 0)
    head += struct.pack("<8h", 3, columns, rows, depth, 1, 1, 1, 1)
    head += struct.pack("<3f4h", 0, 0, 0, 0, code, bits, 0)
    head += struct.pack("<8f", 1, x, y, z, 0, 0, 0, 0)
    head += struct.pack("<3fh2B4f2i", 352, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0)
    head += struct.pack("<80s24s2h", b"labels by dicomlake", b"", 0, 1)
    head += struct.pack("<6f", 0, 0, 0, *grid_offset(affine))
    head += struct.pack("<12f", *affine[:3].ravel())
    head += struct.pack("<16s4s", b"", b"n+1\0")
    return head + b"\0\0\0\0"


def grid_offset(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Where the middle of the first voxel lies."""
    return float(affine[0, 3]), float(affine[1, 3]), float(affine[2, 3])


def write_seg(
    path: Path,
    labels: Labels,
    headers: Sequence[Mapping[str, Any]],
    said: tuple[str, str, str],
) -> Path:
    """Write a DICOM Segmentation, one segment per structure with its codes; returns the path.

    `headers` are those of the series (DICOM JSON); `said` is name, version and model of what made
    it. It lies on the grid of the labels.
    """
    import highdicom as hd
    from highdicom.content import (
        PixelMeasuresSequence,
        PlaneOrientationSequence,
        PlanePositionSequence,
    )

    grid = labels.grid
    sources = [_source(header, grid.spacing[0]) for header in headers]
    found = [one.label for one in measured(labels)]
    z, y, x = grid.spacing
    steps = [np.asarray(step) / length for step, length in zip(grid.steps, (z, y, x), strict=True)]
    orientation = [float(v) for v in (*steps[2], *steps[1])]
    positions = [
        PlanePositionSequence(
            coordinate_system=hd.CoordinateSystemNames.PATIENT,
            image_position=[float(v) for v in grid.place((at, 0, 0))],
        )
        for at in range(grid.shape[0])
    ]
    made = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=_numbered(labels, found),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(n, label, said) for n, label in enumerate(found, start=1)],
        series_instance_uid=hd.UID(),
        series_number=1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="dicomlake",
        manufacturer_model_name=said[0][:64],
        software_versions=said[1][:64],
        device_serial_number="1",
        series_description=f"Structures by {said[0]}"[:64],
        pixel_measures=PixelMeasuresSequence(
            pixel_spacing=[y, x], slice_thickness=z, spacing_between_slices=z
        ),
        plane_orientation=PlaneOrientationSequence(
            coordinate_system=hd.CoordinateSystemNames.PATIENT, image_orientation=orientation
        ),
        plane_positions=positions,
        content_label="STRUCTURES",
        content_creator_name=None,
    )
    made.save_as(path)
    return path


def _source(header: Mapping[str, Any], thick: float) -> Dataset:
    """What highdicom takes over from a header: patient, study, series, equipment, geometry."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    source = Dataset.from_json(
        {
            tag: element
            for tag, element in header.items()
            if tag[:4] in _GROUPS and "BulkDataURI" not in element
        }
    )
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    source.file_meta = meta
    source.setdefault("SliceThickness", thick)
    return source


def _numbered(labels: Labels, found: Sequence[str]) -> NDArray[np.uint8]:
    """The number of the segment of each voxel; a plane per segment where they share voxels."""
    values = [value for label in found for value in labels.structures[label]]
    if len(values) == len(set(values)):
        numbers: NDArray[np.uint8] = np.zeros(max(int(labels.voxels.max()), *values) + 1, np.uint8)
        for number, label in enumerate(found, start=1):
            numbers[list(labels.structures[label])] = number
        return np.take(numbers, labels.voxels)
    planes = np.zeros((*labels.voxels.shape, len(found)), np.uint8)
    for number, label in enumerate(found):
        planes[..., number] = np.isin(labels.voxels, labels.structures[label])
    return planes


def _segment(number: int, label: str, said: tuple[str, str, str]) -> Any:
    """The description of a segment: its codes, or its words with a code of ours."""
    import highdicom as hd

    known = structures.of(label)
    category = _SUBSTANCE if known.code and known.kind == "tissue" else _CATEGORIES[known.kind]
    what = known.code or known.structure or Code(label[:16], "99DICOMLAKE", known.name[:64])
    made = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label[:64],
        segmented_property_category=_coded(category),
        segmented_property_type=_coded(what),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=said[0],
            version=said[1],
            family=hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence")
            if said[0] != "hounsfield"
            else hd.sr.CodedConcept("123105", "DCM", "Histogram Analysis"),
        ),
        anatomic_regions=[_coded(known.structure)] if known.code and known.structure else None,
        tracking_uid=hd.UID(),
        tracking_id=label[:64],
    )
    if known.laterality is not None:
        place = made if not made.get("AnatomicRegionSequence") else made.AnatomicRegionSequence[0]
        keyword = (
            "SegmentedPropertyTypeModifierCodeSequence"
            if place is made
            else "AnatomicRegionModifierSequence"
        )
        target = made.SegmentedPropertyTypeCodeSequence[0] if place is made else place
        setattr(target, keyword, [_coded(known.laterality)])
    return made


def _coded(code: Code) -> Any:
    import highdicom as hd

    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning[:64])
