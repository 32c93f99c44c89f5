"""What tests of DIMSE share: files to store, programs of dcmtk, and settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

from dicomlake.settings import Source

COMPRESSED = {
    "RLE": "MR_small_RLE.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG 2000 lossless": "MR_small_jp2klossless.dcm",
    "JPEG 2000": "JPEG2000.dcm",
    "JPEG baseline": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG extended": "JPEG-lossy.dcm",
    "JPEG lossless": "SC_rgb_jpeg_gdcm.dcm",
    "explicit": "MR_small.dcm",
    "implicit": "MR_small_implicit.dcm",
    "big endian": "MR_small_bigendian.dcm",
}
"""Sample files of pydicom, one per transfer syntax."""


def sample(file: str, **values: Any) -> pydicom.Dataset:
    """A sample of pydicom with other values."""
    path = get_testdata_file(file)
    assert path is not None
    ds = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def written(ds: pydicom.Dataset, folder: Path) -> Path:
    """A data set as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(path)
    return path


def series_of(folder: Path, count: int, study: str = "1.2.3", series: str = "1.2.3.1") -> Path:
    """A folder with a series of small CT images."""
    for number in range(1, count + 1):
        values = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        ds = sample("CT_small.dcm", **values, SOPInstanceUID=f"{series}.{number}")
        ds.InstanceNumber = number
        written(ds, folder)
    return folder


def dcmtk(name: str) -> str:
    """The path of a program of dcmtk; pynetdicom has some of the same names."""
    found = shutil.which(name, path="/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} of dcmtk is missing")
    return found


def ran(name: str, *arguments: str, code: int = 0) -> bytes:
    """What a program of dcmtk says; it must end with a code."""
    done = subprocess.run(
        [dcmtk(name), *arguments],
        capture_output=True,
        check=False,
        timeout=30,
        env={**os.environ, "TCP_NODELAY": "1"},
    )
    said = done.stdout + done.stderr
    assert (done.returncode == 0) == (code == 0), said.decode("utf-8", "replace")
    return said


def source(port: int, called: str = "ORTHANC", **values: Any) -> Source:
    """Settings of an archive on loopback."""
    return Source(kind="dimse", host="127.0.0.1", port=port, called=called, **values)


def uids(objects: Sequence[Any]) -> list[str]:
    """The last parts of the URIs of objects."""
    return sorted(found.uri.rpartition("/")[2] for found in objects)
