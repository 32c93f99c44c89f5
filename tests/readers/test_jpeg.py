"""JPEG of every kind, beside what dcmtk makes of the same files."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import orjson
import pydicom
import pytest

from dicomlake.errors import DataError
from dicomlake.readers.header import HeaderReader
from dicomlake.readers.jpeg import EXTENDED, extended
from dicomlake.readers.pixels import Pixels
from dicomlake.testing.dicom import encode, image
from dicomlake.web.dicomweb.transcoding import plain_of

from ..conftest import needed

pytestmark = [pytest.mark.service, pytest.mark.filterwarnings("ignore::UserWarning")]
WAYS = {
    "+ee": EXTENDED,
    "+el": "1.2.840.10008.1.2.4.57",
    "+e1": "1.2.840.10008.1.2.4.70",
}
NAMES = ("JPGExtended.dcm", "JPEG-lossy.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "GH133.dcm",
         "nema-mr1_jply.dcm", "nema-ct1_jpll.dcm", "IM-0001-0001-0001.dcm",
         "SC_rgb_jpeg_gdcm.dcm")  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for program in ("dcmcjpeg", "dcmdjpeg"):
        if not shutil.which(program):
            needed(f"{program} is missing: install dcmtk")
    try:
        import gdcm
    except ImportError:
        needed("gdcm is missing: pip install 'dicomlake[pixels]'")
    assert gdcm


def run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60)


def pixels_of(raw: bytes) -> Pixels:
    header = orjson.loads(HeaderReader().read_bytes(raw).json)
    return Pixels(header, lambda at, length: raw[at : at + length], len(raw))


def agrees(file: Path, tmp_path: Path) -> None:
    """Both ways in which we decode a file give what dcmtk makes of it."""
    run("dcmdjpeg", "+cn", file, tmp_path / "plain.dcm")
    wanted = pydicom.dcmread(tmp_path / "plain.dcm").PixelData
    raw = file.read_bytes()
    whole = plain_of(lambda at, length: raw[at : at + length], len(raw))
    assert pydicom.dcmread(io.BytesIO(whole)).PixelData == wanted
    pixels = pixels_of(raw)
    frames = b"".join(pixels.native_bytes(n) for n in range(1, pixels.count + 1))
    assert frames == wanted[: len(frames)]
    assert len(wanted) - len(frames) in (0, 1)


@pytest.mark.parametrize(("way", "syntax"), WAYS.items())
@pytest.mark.parametrize("stored", [8, 12, 16])
def test_made_up_files(tmp_path: Path, way: str, syntax: str, stored: int) -> None:
    if way == "+ee" and stored == 16:
        return  # it has at most 12 bits
    size = 8 if stored == 8 else 16
    across, down = np.meshgrid(np.arange(37), np.arange(29))
    values = (across * 41 + down * 53) % (1 << stored)
    values = values.astype("<u1" if size == 8 else "<u2")
    made = image(
        Rows=29, Columns=37, BitsAllocated=size, BitsStored=stored, HighBit=stored - 1,
        PixelRepresentation=0, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
        PixelData=values.tobytes(),
    )  # fmt: skip
    (tmp_path / "made.dcm").write_bytes(encode(made))
    run("dcmcjpeg", way, tmp_path / "made.dcm", tmp_path / "packed.dcm")
    found = pydicom.dcmread(tmp_path / "packed.dcm")
    assert syntax == found.file_meta.TransferSyntaxUID
    agrees(tmp_path / "packed.dcm", tmp_path)
    if way != "+ee":
        raw = (tmp_path / "packed.dcm").read_bytes()
        assert (pixels_of(raw).decoded(1)[0] == values).all()


@pytest.mark.parametrize("name", NAMES)
def test_files_of_others(
    name: str, corpus_files: list[Path], pydicom_files: list[Path], tmp_path: Path
) -> None:
    found = [file for file in (*pydicom_files, *corpus_files) if file.name == name]
    assert found
    for file in found:
        agrees(file, tmp_path)


def test_what_is_no_jpeg_is_told() -> None:
    with pytest.raises(DataError, match="decoded"):
        extended(b"\xff\xd8 nothing of the kind", 4, 4, 12, signed=False)
