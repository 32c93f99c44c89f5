"""What the files of a hospital say, read by pydicom alone: one record per series."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError


@dataclass(slots=True)
class PlainSeries:
    """A series as its files have it."""

    patient: str
    study: str
    objects: dict[str, FileDataset] = field(default_factory=dict)

    def values(self, keyword: str) -> set[str]:
        """All values of an attribute, as text without padding."""
        found: set[str] = set()
        for ds in self.objects.values():
            raw = ds.get(keyword)
            many = raw if isinstance(raw, pydicom.multival.MultiValue) else [raw]
            found |= {str(one).strip() for one in many if one is not None and str(one).strip()}
        return found


def read(folder: Path) -> dict[str, PlainSeries]:
    """Every series below a folder by its SeriesInstanceUID."""
    found: dict[str, PlainSeries] = {}
    for data in _files(folder):
        ds = _object(data)
        if ds is None:
            continue
        series = found.setdefault(
            str(ds.SeriesInstanceUID),
            PlainSeries(str(ds.get("PatientID", "")).strip(), str(ds.StudyInstanceUID)),
        )
        series.objects.setdefault(str(ds.SOPInstanceUID), ds)
    return found


def _object(data: bytes) -> FileDataset | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
            return ds if "SOPInstanceUID" in ds and "SeriesInstanceUID" in ds else None
        except (InvalidDicomError, OSError, ValueError, AttributeError, EOFError):
            return None


def _files(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as opened:
                yield from (opened.read(name) for name in opened.namelist())
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as packed:
                members = (packed.extractfile(one) for one in packed)
                yield from (one.read() for one in members if one is not None)
        else:
            yield path.read_bytes()
