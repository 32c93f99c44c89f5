"""Masks as files: NIfTI-1, and DICOM Segmentation (PS3.3 A.51) with codes."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.segmenters import Grid, Labels, measured
from dicomlake.dicom.segmentation import (
    HISTOGRAM,
    LEARNED,
    Algorithm,
    Planes,
    Series,
    missing,
    segment_of,
    segmentation,
)

__all__ = ["grid_offset", "missing", "nifti_header", "write_nifti", "write_seg"]

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

_TYPES = {"uint8": (2, 8), "int16": (4, 16), "uint16": (512, 16)}
_GROUPS = ("0008", "0010", "0020", "0028")


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
    grid = labels.grid
    sources = [_source(header, grid.spacing[0]) for header in headers]
    found = [one.label for one in measured(labels)]
    steps = [np.asarray(step) / n for step, n in zip(grid.steps, grid.spacing, strict=True)]
    family = LEARNED if said[0] != "hounsfield" else HISTOGRAM
    made = segmentation(
        sources,
        _numbered(labels, found),
        [segment_of(label) for label in found],
        Algorithm("AUTOMATIC", said[0], said[1], family),
        Planes(
            (*steps[2], *steps[1]),
            grid.spacing,
            [tuple(grid.place((at, 0, 0))) for at in range(grid.shape[0])],
        ),
        Series(f"Structures by {said[0]}", said[0], said[1]),
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
