"""Images that converters ask for: headers of series, from a lake or from a folder of files."""

from __future__ import annotations

import contextlib
import os
import time
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
    import duckdb
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
LOOK_AGAIN_S = 5.0
"""So long a lake is taken to be as it was."""


class Images(Protocol):
    """Where converters find headers."""

    def series(self, SeriesInstanceUID: str) -> list[Dataset]:
        """Headers of all instances of a series; UsageError when it is not here."""

    def find(self, keys: Mapping[str, str]) -> list[Dataset]:
        """One header of each series that has all of some attributes; of an instance its own."""


class LakeImages:
    """Headers as a lake holds them; what identifies series is held in memory between calls."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self._store: Store | None = None
        self._open = contextlib.ExitStack()
        self._db: duckdb.DuckDBPyConnection | None = None
        self._looked = 0.0

    def series(self, SeriesInstanceUID: str) -> list[Dataset]:
        """As of `Images`."""
        found = self._headers(
            "header", "true", [], self._numbers({"SeriesInstanceUID": SeriesInstanceUID})
        )
        if not found:
            raise UsageError(_absent(SeriesInstanceUID, "The lake"))
        return found

    def find(self, keys: Mapping[str, str]) -> list[Dataset]:
        """As of `Images`."""
        checked(keys)
        uid = keys.get("SOPInstanceUID")
        wanted = {name: value for name, value in keys.items() if name != "SOPInstanceUID"}
        numbers = self._numbers(wanted) if wanted else None
        if uid is not None:
            return self._headers("header", '"SOPInstanceUID" = ?', [uid], numbers)
        first = 'arg_min(header, "SOPInstanceUID")'
        return self._headers(first, "true", [], numbers, "group by series_id order by series_id")

    def _numbers(self, keys: Mapping[str, str]) -> list[int]:
        """Numbers of the series that have some attributes."""
        db = self._look()
        if db is None:
            return []
        where = " and ".join(f'"{name}" = ?' for name in keys)
        rows = db.execute(
            f"select series_id from identified where {where}", list(keys.values())
        ).fetchall()
        return [number for (number,) in rows]

    def _headers(
        self, what: str, where: str, values: list[str], numbers: list[int] | None, then: str = ""
    ) -> list[Dataset]:
        """Headers of instances, of some series only."""
        db = self._look()
        if db is None or numbers == []:
            return []
        of = "" if numbers is None else f"and series_id in ({', '.join(map(str, numbers))})"
        rows = db.execute(
            f"select {what} from instances where {where} {of} {then}", values
        ).fetchall()
        return [dataset_of(orjson.loads(header)) for (header,) in rows]

    def _look(self) -> duckdb.DuckDBPyConnection | None:
        """The lake as it was a few seconds ago at most; None when it has no series."""
        now = time.monotonic()
        if self._store is not None and now - self._looked < LOOK_AGAIN_S:
            return self._db
        self._looked = now
        if self._store is None:
            self._store = Store(self.lake)
        elif not self._store.refresh():
            return self._db
        self._open.close()
        self._db = None
        if self._store.files("series"):
            db = self._open.enter_context(self._store.database(only=("series", "instances")))
            columns = ", ".join(f'"{name}"' for name in KEYWORDS[:-1])
            db.execute(f"create temp table identified as select series_id, {columns} from series")
            self._db = db
        return self._db


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
    """A header (DICOM JSON) as a dataset, without what was left out of it.

    Values that pydicom would object to are taken as they are, or left out.
    """
    from pydicom import Dataset, config
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    found = Dataset()
    with config.disable_value_validation():
        for tag, element in _told(header).items():
            if tag[:4] != "0002":
                with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError):
                    found.update(Dataset.from_json({tag: element}))
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
