"""Pieces of work of a dataset: objects cleaned and written, and what is made of a study then."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts.deid import Cleaner, Looking, Patient, Unresolved
from dicomlake.deid.assembly import cleaner_of
from dicomlake.errors import DataError, Incomplete, UsageError
from dicomlake.jobs.datasets import places
from dicomlake.jobs.datasets.identified import Unchanged
from dicomlake.jobs.datasets.labels import Drawn
from dicomlake.jobs.datasets.layouts import objects_in
from dicomlake.jobs.datasets.ledger import (
    FAILED,
    QUARANTINED,
    WRITTEN,
    Made,
    Note,
    Outcome,
    Thing,
)
from dicomlake.jobs.datasets.objects import parsed
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.deid.knowing import known_of_patient
from dicomlake.jobs.objects import elsewhere_of, object_of
from dicomlake.lake import Store
from dicomlake.readers.attributes import text
from dicomlake.settings import read
from dicomlake.sources.opening import bytes_of

MOST_OBJECTS, MOST_BYTES = 64, 256 * 1024**2
"""Objects and bytes of one piece."""
UNEXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What damaged objects make libraries raise."""


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of one series to be cleaned and written, and whose they are."""

    patient_key: int
    PatientID: str
    issuer: str
    things: tuple[Thing, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """A study whose objects are clean, of which more is to be made: its objects by series.

    `drawn`: what is drawn on them, with the numbers of labels, of which `most` is the largest.
    """

    StudyInstanceUID: str
    patient_key: int
    person: str
    series: tuple[Clean, ...]
    drawn: tuple[Drawn, ...] = ()
    most: int = 0


@dataclass(frozen=True, slots=True)
class Clean:
    """A series that was cleaned: old and new UIDs, and where its objects lie, by old UIDs."""

    SeriesInstanceUID: str
    new_study: str
    new_series: str
    Modality: str
    split: str
    fold: int | None
    paths: tuple[str, ...]
    uids: tuple[str, ...]


@dataclass(slots=True)
class Result:
    """What came of a piece: of its objects, files, and why some are not there."""

    outcomes: list[Outcome] = field(default_factory=list)
    files: list[Made] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)


def pieces_of(things: list[Thing], patients: dict[int, tuple[str, str]]) -> Iterator[Objects]:
    """The objects that wait, in pieces of one series each."""
    held: list[Thing] = []
    size = 0
    for thing in things:
        other = held and held[-1].SeriesInstanceUID != thing.SeriesInstanceUID
        if other or len(held) >= MOST_OBJECTS or size >= MOST_BYTES:
            yield _piece(held, patients)
            held, size = [], 0
        held.append(thing)
        size += thing.size
    if held:
        yield _piece(held, patients)


def _piece(things: list[Thing], patients: dict[int, tuple[str, str]]) -> Objects:
    PatientID, issuer = patients[things[0].patient_key]
    # Without a PatientID each study is a patient of its own, as in the lake.
    PatientID = PatientID or f"study {things[0].StudyInstanceUID}"
    return Objects(things[0].patient_key, PatientID, issuer, tuple(things))


def cleaner_for(lake: Path, wanted: Wanted) -> Cleaner:
    """What cleans the objects of a dataset; UsageError when there is no such profile or key."""
    if wanted.identified:
        return Unchanged()
    settings = read(lake).pseudonyms
    if wanted.pseudonyms not in settings:
        known = ", ".join(settings) or "none yet; write [pseudonyms.NAME] in dicomlake.toml"
        raise UsageError(f"There are no pseudonyms {wanted.pseudonyms!r}. There are: {known}.")
    return cleaner_of(wanted.profile, settings[wanted.pseudonyms])


@dataclass(frozen=True, slots=True)
class MakeWorker:
    """Makes a worker, in any process; `clean`: where clean objects lie, `root`: the dataset."""

    lake: Path
    wanted: Wanted
    root: Path
    clean: Path

    def __call__(self) -> Worker:
        """A worker."""
        return Worker(self, cleaner_for(self.lake, self.wanted))


class Worker:
    """Does pieces of work on a dataset; used by one thread."""

    def __init__(self, made: MakeWorker, cleaner: Cleaner) -> None:
        self._made, self._cleaner = made, cleaner
        self._store = Store(made.lake)
        self._elsewhere = elsewhere_of(made.lake)
        self._patient: tuple[int, Patient] | None = None
        self._seen = ""

    def do(self, piece: Objects | Study) -> Result:
        """What came of a piece; ServiceError when an archive is away, or the disk is full."""
        if isinstance(piece, Objects):
            patient = self._patient_of(piece)
            if isinstance(patient, Looking) and patient.looks:
                self._look(patient, piece.things[0].SeriesInstanceUID)
            return Result([self._object(thing, patient, piece) for thing in piece.things])
        from dicomlake.jobs.datasets.deriving import derived

        return derived(piece, self._made.wanted, self._made.root, self._made.clean)

    def close(self) -> None:
        """Let go of what is open."""
        self._cleaner.close()

    def _patient_of(self, piece: Objects) -> Patient:
        if self._patient is None or self._patient[0] != piece.patient_key:
            wanted = self._made.wanted
            known = [] if wanted.identified else known_of_patient(self._store, piece.patient_key)
            found = self._cleaner.patient(known, piece.PatientID, piece.issuer)
            self._patient = piece.patient_key, found
        return self._patient[1]

    def _look(self, patient: Looking, SeriesInstanceUID: str) -> None:
        """Let a cleaner look at a whole series, once."""
        if SeriesInstanceUID == self._seen:
            return
        self._seen = SeriesInstanceUID
        with self._store.database(only=("series", "instances")) as db:
            found = db.sql(
                'select "SOPInstanceUID", uri, "offset", size, header from instances '
                'where series_id in (select series_id from series where "SeriesInstanceUID" = ?)',
                params=[SeriesInstanceUID],
            )
            rows = found.to_arrow_table().to_pylist()
        headers = [orjson.loads(row["header"]) for row in rows]
        patient.look(headers, lambda number: object_of(rows[number], self._elsewhere))

    def _object(self, thing: Thing, patient: Patient, piece: Objects) -> Outcome:
        try:
            data = bytes_of(thing.row(), self._elsewhere)
            _check_same(data, thing)
        except (UsageError, Incomplete) as error:
            return Outcome(thing.number, FAILED, "gone", str(error))
        except DataError as error:
            return Outcome(thing.number, QUARANTINED, "unreadable", str(error))
        try:
            cleaned = patient.clean(data)
        except Unresolved as error:
            return Outcome(thing.number, QUARANTINED, error.check, str(error))
        except DataError as error:
            return Outcome(thing.number, QUARANTINED, "unreadable", str(error))
        except UNEXPECTED as error:
            why = f"it could not be cleaned ({type(error).__name__})"
            return Outcome(thing.number, QUARANTINED, "error", why)
        wanted = self._made.wanted
        folder = places.person(patient.PatientID, piece.issuer, identified=wanted.identified)
        path = objects_in(wanted.layout, folder, cleaned)
        places.write(self._made.clean / path, cleaned.data)
        return Outcome(
            thing.number,
            WRITTEN,
            path=path,
            sha256=places.sha256(cleaned.data),
            bytes=len(cleaned.data),
            new_study=cleaned.StudyInstanceUID,
            new_series=cleaned.SeriesInstanceUID,
            new_object=cleaned.SOPInstanceUID,
            codes=" ".join(cleaned.codes),
            pseudonym=folder,
        )


def _check_same(data: bytes, thing: Thing) -> None:
    """UsageError when it is another object than the one that was indexed."""
    if text(parsed(data).header, "SOPInstanceUID") != thing.SOPInstanceUID:
        raise UsageError(
            "Its file holds another object now. Bring the lake up to date with: "
            "dicomlake index FOLDER --lake LAKE"
        )
