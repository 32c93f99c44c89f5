"""Volumes as NIfTI: converted by dcm2niix, and believed where our own geometry agrees.

Where it fails, gives several volumes or another geometry, our own volume is written instead, with a
note. What our own reading refuses - tilted, uneven, several phases - has no volume, and says why.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.segmenters import Grid, Volume
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.datasets.objects import opened
from dicomlake.jobs.objects import Opened
from dicomlake.readers.stacks import stack_of, volume_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_S = 600
"""dcm2niix has so long for a series."""
_LEVEL = 4
_BLANK = ((14, 18), (148, 80), (228, 24), (328, 16))
"""Texts in a header of NIfTI-1: db_name, descrip, aux_file, intent_name; place and bytes."""
_SIDECAR = frozenset(
    """Modality MagneticFieldStrength Manufacturer ManufacturersModelName MRAcquisitionType
    ScanningSequence SequenceVariant ScanOptions SliceThickness SpacingBetweenSlices EchoTime
    RepetitionTime InversionTime FlipAngle EchoTrainLength PhaseEncodingDirection
    ImageOrientationPatientDICOM ConversionSoftware ConversionSoftwareVersion XRayExposure
    ReconMatrixPE PixelBandwidth ConvolutionKernel""".split()
)
"""What of a sidecar of BIDS is kept: nothing that tells of people, places, devices or times."""


@dataclass(frozen=True, slots=True)
class Written:
    """A volume as a file of NIfTI, uncompressed, and what it is.

    `affine`: from indices to RAS, in mm. `by`: what converted it; `why`: why not dcm2niix.
    """

    data: bytes
    grid: Grid
    affine: NDArray[np.float64]
    shape: tuple[int, ...]
    by: str
    why: str = ""
    sidecar: dict[str, Any] = field(default_factory=dict)

    def packed(self) -> bytes:
        """As .nii.gz; the same bytes for the same volume."""
        return packed(self.data)


def packed(data: bytes) -> bytes:
    """Bytes as gzip has them, without name and time."""
    return gzip.compress(data, _LEVEL, mtime=0)


def volume_in(paths: Sequence[Path]) -> Written:
    """The volume of the objects of a series, which are alone in their folder.

    DataError says why there is none.
    """
    found = [opened(path) for path in paths]

    @contextmanager
    def opener(item: int) -> Iterator[Opened]:
        yield found[item]

    ours = volume_of(stack_of([one.header for one in found]), opener)
    try:
        data, sidecar = _converted(paths[0].parent)
        _check_agrees(ours, data)
    except DataError as error:
        return _own(ours, str(error))
    image = _image(data)
    sidecar = {name: value for name, value in sidecar.items() if name in _SIDECAR}
    return Written(
        _blanked(data), ours.grid, image.affine, image.shape, "dcm2niix", sidecar=sidecar
    )


def ras(grid: Grid) -> NDArray[np.float64]:
    """From column, row, slice to the coordinates of NIfTI, which run to the right and front."""
    found: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    return found


def nifti(voxels: NDArray[Any], affine: NDArray[np.float64]) -> bytes:
    """Voxels in the order column, row, slice as a file of NIfTI-1, in mm."""
    nibabel = _nibabel()
    image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    made: bytes = image.to_bytes()
    return made


def like(voxels: NDArray[Any], grid: Grid, affine: NDArray[np.float64]) -> NDArray[Any]:
    """Voxels on a grid (slice, row, column) in the order and directions of an affine."""
    orientations = _nibabel().orientations
    turn = orientations.ornt_transform(
        orientations.io_orientation(ras(grid)), orientations.io_orientation(affine)
    )
    turned: NDArray[Any] = orientations.apply_orientation(voxels.transpose(2, 1, 0), turn)
    return turned


def _own(ours: Volume, why: str) -> Written:
    affine = ras(ours.grid)
    voxels = ours.voxels.transpose(2, 1, 0)
    return Written(nifti(voxels, affine), ours.grid, affine, voxels.shape, "dicomlake", why)


def _converted(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """What dcm2niix makes of a folder: its only volume, and the sidecar of BIDS."""
    try:
        import dcm2niix
    except ImportError as error:
        raise UsageError("NIfTI needs dcm2niix: pip install 'dicomlake[export]'") from error
    with tempfile.TemporaryDirectory(prefix="dicomlake-") as out:
        command = [str(dcm2niix.bin), "-z", "n", "-b", "y", "-ba", "y", "-d", "0", "-w", "1"]
        command += ["-f", "image", "-o", out, str(folder)]
        try:
            subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise DataError(f"dcm2niix failed ({type(error).__name__})") from error
        made = sorted(Path(out).glob("*.nii"))
        if len(made) != 1:
            raise DataError(f"dcm2niix made {len(made)} volumes of it")
        return made[0].read_bytes(), _sidecar(made[0].with_suffix(".json"))


def _sidecar(path: Path) -> dict[str, Any]:
    """What dcm2niix says beside a volume; nothing where that is no JSON, as with odd texts."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_agrees(ours: Volume, data: bytes) -> None:
    """DataError when a file of NIfTI has other voxels than ours, or has them elsewhere."""
    image = _image(data)
    turned = like(ours.voxels, ours.grid, image.affine)
    if turned.shape != image.shape:
        raise DataError("dcm2niix made a volume of another size")
    nibabel = _nibabel()
    own = nibabel.Nifti1Image(ours.voxels.transpose(2, 1, 0), ras(ours.grid))
    there = own.as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.io_orientation(ras(ours.grid)),
            nibabel.orientations.io_orientation(image.affine),
        )
    )
    ends = np.array([[0, 0, 0, 1], [*(n - 1 for n in image.shape), 1]], float)
    if np.abs(ends @ (there.affine - image.affine).T).max() > 0.05 * min(ours.grid.spacing):
        raise DataError("dcm2niix puts it at another place")
    if not np.allclose(turned, np.asanyarray(image.dataobj), rtol=1e-4, atol=0.51):
        raise DataError("dcm2niix read other values")


def _image(data: bytes) -> Any:
    return _nibabel().Nifti1Image.from_bytes(data)


def _blanked(data: bytes) -> bytes:
    found = bytearray(data)
    for at, length in _BLANK:
        found[at : at + length] = bytes(length)
    return bytes(found)


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise UsageError("NIfTI needs nibabel: pip install 'dicomlake[export]'") from error
    return nibabel
