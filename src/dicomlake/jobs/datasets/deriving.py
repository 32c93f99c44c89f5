"""What is made of a study whose objects are clean: volumes, labels, pictures, waveforms."""

from __future__ import annotations

from pathlib import Path

import orjson

from dicomlake.errors import DataError
from dicomlake.jobs.datasets import places
from dicomlake.jobs.datasets.ledger import Made, Note
from dicomlake.jobs.datasets.pictures import pictures_of
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.datasets.waves import waves_of
from dicomlake.jobs.datasets.work import UNEXPECTED, Clean, Result, Study
from dicomlake.jobs.objects import Opened
from dicomlake.readers.attributes import key_of
from dicomlake.readers.header import HeaderReader

_BY_OBJECT = {"png": pictures_of, "waveforms": waves_of}


class Writer:
    """Writes files of a dataset that belong to a patient, and notes them."""

    def __init__(self, root: Path, study: Study) -> None:
        self._root, self._study = root, study
        self.result = Result()

    def write(self, path: str, kind: str, data: bytes, series: Clean) -> None:
        """Write a file."""
        places.write(self._root / path, data)
        made = Made(path, kind, places.sha256(data), len(data), self._study.patient_key,
                    series.new_series)  # fmt: skip
        self.result.files.append(made)

    def note(self, series: Clean, kind: str, why: str) -> None:
        """Note why something is not there."""
        self.result.notes.append(Note(series.new_series, kind, why, self._study.patient_key))


def derived(study: Study, wanted: Wanted, root: Path, clean: Path) -> Result:
    """What is made of a study; why something is not made is noted and stops nothing."""
    writer = Writer(root, study)
    for series in study.series:
        for kind in sorted(_BY_OBJECT.keys() & set(wanted.formats)):
            for path in series.paths:
                _of_object(writer, study, series, kind, clean / path, wanted)
    return writer.result


def _of_object(
    writer: Writer, study: Study, series: Clean, kind: str, path: Path, wanted: Wanted
) -> None:
    try:
        found = opened(path)
        folder = "/".join(
            [kind, study.person, places.safe(series.new_study), places.safe(series.new_series)]
        )
        for name, data in _BY_OBJECT[kind](found, wanted):
            writer.write(f"{folder}/{path.stem}{name}", kind, data, series)
    except DataError as error:
        writer.note(series, kind, str(error))
    except UNEXPECTED as error:
        writer.note(series, kind, f"it could not be made ({type(error).__name__})")


def opened(path: Path) -> Opened:
    """An object of the dataset: its header and its bytes."""
    data = path.read_bytes()

    def fetch(at: int, length: int) -> bytes:
        return data[at : at + length]

    return Opened(orjson.loads(HeaderReader().read(fetch, len(data)).json), fetch, len(data))


def has(found: Opened, *keywords: str) -> bool:
    """Whether an object has one of these elements."""
    return any(key_of(keyword) in found.header for keyword in keywords)
