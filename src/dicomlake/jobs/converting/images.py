"""Images that converters ask for: headers of series, from a lake or from a folder of files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from dicomlake.dicom.walk import sniff
from dicomlake.errors import DataError, UsageError
from dicomlake.lake import Store
from dicomlake.readers.attributes import text
from dicomlake.readers.header import HeaderReader

if TYPE_CHECKING:
    from pydicom import Dataset

KEYWORDS = (
    "PatientID",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
)
"""Attributes by which series are found."""


class Images(Protocol):
    """Where converters find headers."""

    def series(self, SeriesInstanceUID: str) -> list[Dataset]:
        """Headers of all instances of a series; UsageError when it is not here."""

    def find(self, keys: Mapping[str, str]) -> list[Dataset]:
        """One header of each series that has all of some attributes; of an instance its own."""


@dataclass(slots=True)
class LakeImages:
    """Headers as a lake holds them."""

    lake: Path
    _store: Store | None = None

    def series(self, SeriesInstanceUID: str) -> list[Dataset]:
        """As of `Images`."""
        found = self._headers(
            'i.series_id in (select series_id from series where "SeriesInstanceUID" = ?)',
            [SeriesInstanceUID],
        )
        if not found:
            raise UsageError(_absent(SeriesInstanceUID, "The lake"))
        return found

    def find(self, keys: Mapping[str, str]) -> list[Dataset]:
        """As of `Images`."""
        checked(keys)
        uid = keys.get("SOPInstanceUID")
        wanted = {name: value for name, value in keys.items() if name != "SOPInstanceUID"}
        where = " and ".join(f's."{name}" = ?' for name in wanted) or "true"
        values = list(wanted.values())
        if uid is not None:
            return self._headers(f'{where} and i."SOPInstanceUID" = ?', [*values, uid])
        first = (
            f"{where} qualify row_number() over "
            '(partition by i.series_id order by i."SOPInstanceUID") = 1'
        )
        return self._headers(first, values)

    def _headers(self, where: str, values: list[str]) -> list[Dataset]:
        if self._store is None:
            self._store = Store(self.lake)
        else:
            self._store.refresh()
        if not self._store.files("series"):
            return []
        with self._store.database(only=("series", "instances")) as db:
            rows = db.execute(
                f"select i.header from instances i join series s using (series_id) where {where}",
                values,
            ).fetchall()
        return [dataset_of(orjson.loads(header)) for (header,) in rows]


@dataclass(slots=True)
class FolderImages:
    """Headers of the DICOM files below a folder, read once."""

    folder: Path
    _found: list[dict[str, Any]] | None = None
    _by_series: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def series(self, SeriesInstanceUID: str) -> list[Dataset]:
        """As of `Images`."""
        self._read()
        if SeriesInstanceUID not in self._by_series:
            raise UsageError(_absent(SeriesInstanceUID, str(self.folder)))
        return [dataset_of(header) for header in self._by_series[SeriesInstanceUID]]

    def find(self, keys: Mapping[str, str]) -> list[Dataset]:
        """As of `Images`."""
        checked(keys)
        found = []
        for headers in self._read().values():
            same = [h for h in headers if all(text(h, k) == value for k, value in keys.items())]
            found += same[:1]
        return [dataset_of(header) for header in found]

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        if self._found is None:
            self._found = list(_headers_in(self.folder))
            for header in self._found:
                uid = text(header, "SeriesInstanceUID") or ""
                self._by_series.setdefault(uid, []).append(header)
        return self._by_series


def checked(keys: Mapping[str, str]) -> None:
    """Nothing; UsageError for what series cannot be found by."""
    wrong = [name for name in keys if name not in KEYWORDS]
    if wrong or not keys:
        said = wrong[0] if wrong else "nothing"
        raise UsageError(f"Series are not found by {said}; by {', '.join(KEYWORDS)} they are.")


def dataset_of(header: Mapping[str, Any]) -> Dataset:
    """A header (DICOM JSON) as a dataset, without what was left out of it."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    with warnings.catch_warnings():  # of values that are not as the Standard wants them
        warnings.simplefilter("ignore")
        found = Dataset.from_json({t: e for t, e in _told(header).items() if t[:4] != "0002"})
    found.file_meta = FileMetaDataset()
    if syntax := text(header, "TransferSyntaxUID"):
        found.file_meta.TransferSyntaxUID = UID(syntax)
    return found


def _absent(uid: str, where: str) -> str:
    return f"{where} has no series with SeriesInstanceUID {uid}; index it first."


def _headers_in(folder: Path) -> Iterator[dict[str, Any]]:
    if not folder.is_dir():
        raise UsageError(f"There is no folder {str(folder)!r}.")
    reader = HeaderReader()
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            with Path(place, name).open("rb") as file:
                if not sniff(file.read(132)):
                    continue

                def fetch(offset: int, length: int, file: Any = file) -> bytes:
                    file.seek(offset)
                    return bytes(file.read(length))

                try:
                    size = os.fstat(file.fileno()).st_size
                    yield orjson.loads(reader.read(fetch, size).json)
                except DataError:
                    continue


def _told(header: Mapping[str, Any]) -> dict[str, Any]:
    """A header without bulk data, also that of items: samples of an ECG lie in a sequence."""
    return {
        tag: {**element, "Value": [_told(item) for item in element["Value"]]}
        if element.get("vr") == "SQ" and "Value" in element
        else element
        for tag, element in header.items()
        if "BulkDataURI" not in element
    }
