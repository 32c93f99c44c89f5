"""Cleaning at the door: headers before they become rows, and whole objects before they leave."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dicomlake import tables
from dicomlake.contracts.deid import Cleaned, Cleaner, Dates, Known, Patient, Unresolved
from dicomlake.dicom.dictionary import vr_of
from dicomlake.errors import DicomlakeError, UsageError
from dicomlake.jobs.deid.knowing import known_of_header, known_of_value
from dicomlake.jobs.door.seals import Seal
from dicomlake.lake import Store
from dicomlake.readers.attributes import text
from dicomlake.readers.bare import Bare
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import Pseudonyms, Settings

_MOST_PATIENTS = 200
Header = Mapping[str, Any]
"""A header in DICOM JSON (PS3.18 F)."""
KnownOf = Callable[[Header], Sequence[Known]]
"""What is known of the patient of a header."""


def cleaner_of(profile: str, pseudonyms: Pseudonyms) -> Cleaner:
    """What cleans by a profile."""
    from dicomlake.deid import assembly

    made: Cleaner = assembly.cleaner_of(profile, pseudonyms)
    return made


@dataclass(frozen=True, slots=True)
class Door:
    """By what is cleaned: a profile, and pseudonyms of the settings; can be sent to processes."""

    profile: str
    pseudonyms: str
    settings: Pseudonyms
    cleaners: Callable[[str, Pseudonyms], Cleaner] = cleaner_of

    @property
    def seal(self) -> Seal:
        """What seals where objects lie."""
        return Seal(self.settings.key())

    def cleaning(self, known_of: KnownOf | None = None) -> Cleaning:
        """What cleans headers and objects; UsageError when there is no such profile or key."""
        return Cleaning(self.cleaners(self.profile, self.settings), known_of or known_of_header)


def door_of(
    settings: Settings,
    profile: str,
    pseudonyms: str,
    cleaners: Callable[[str, Pseudonyms], Cleaner] = cleaner_of,
) -> Door:
    """The door of a profile and of pseudonyms by their name; UsageError when there are none."""
    found = settings.pseudonyms.get(pseudonyms)
    if found is None:
        names = ", ".join(settings.pseudonyms) or "none yet"
        raise UsageError(
            f"The settings have no pseudonyms {pseudonyms!r}. There are: {names}. Add them as "
            f"[pseudonyms.{pseudonyms or 'NAME'}] with a key_file or key_env."
        )
    return Door(profile, pseudonyms, found, cleaners)


class Cleaning:
    """Cleans headers and objects of any patients; used by any threads, one at a time."""

    def __init__(self, cleaner: Cleaner, known_of: KnownOf) -> None:
        self._cleaner, self._known_of = cleaner, known_of
        self._reader = HeaderReader()
        self._patients: OrderedDict[tuple[Any, ...], Patient] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def digest(self) -> str:
        """Of rules and key."""
        return self._cleaner.digest

    def patient(self, header: Header) -> Patient:
        """What cleans the objects of the patient of a header."""
        known = tuple(self._known_of(header))
        said = text(header, "PatientID") or "", text(header, "IssuerOfPatientID") or ""
        key = (*said, text(header, "StudyInstanceUID") if not said[0] else "", known)
        with self._lock:
            if key not in self._patients:
                self._patients[key] = self._cleaner.patient(known, *said)
                if len(self._patients) > _MOST_PATIENTS:
                    self._patients.popitem(last=False)
            self._patients.move_to_end(key)
            return self._patients[key]

    def header(self, header: Header) -> dict[str, Any]:
        """A header as it may be seen; Unresolved when it may not."""
        with self._lock:
            bare = Bare(header)
            cleaned = self._cleaned(header, bare.data)
            found = orjson.loads(self._reader.read_bytes(cleaned.data).json)
            self._reader.forget()
            return bare.whole(found)

    def object(self, data: bytes) -> Cleaned:
        """An object as it may leave, its pixels too; Unresolved when it may not."""
        with self._lock:
            header = orjson.loads(self._reader.read_bytes(data).json)
            self._reader.forget()
            return self._cleaned(header, data)

    def _cleaned(self, header: Header, data: bytes) -> Cleaned:
        """An object cleaned; whatever goes wrong, it does not leave."""
        try:
            return self.patient(header).clean(data)
        except UsageError as error:  # such as a package that is not installed
            raise Unresolved("set-up", str(error)) from error
        except DicomlakeError:
            raise
        except Exception as error:  # what a bug says may hold values: only its name
            kind = type(error).__name__
            raise Unresolved("object", f"The object cannot be de-identified ({kind}).") from error

    @property
    def dates(self) -> Dates:
        """What becomes of dates of days."""
        return self._cleaner.dates

    def person(self, PatientID: str, issuer: str) -> tuple[str, int]:
        """The pseudonym of a patient, and by how many days their dates move."""
        with self._lock:
            found = self._cleaner.patient((), PatientID, issuer)
            return found.PatientID, found.identity.days

    def uid(self, uid: str) -> str:
        """The UID in the place of one, which is the same for all patients."""
        with self._lock:
            return self._cleaner.patient((), "", "").identity.uid(uid)

    def close(self) -> None:
        """Let go of what is open."""
        self._cleaner.close()


class KnownInLake:
    """What a header says of persons, and what the lake has of the other series of the patient."""

    def __init__(self, lake: Store) -> None:
        self._lake, self._held = lake, OrderedDict[tuple[str, str], list[Known]]()
        self._columns = [name for name in _TOLD if name in tables.SERIES.names]

    def __call__(self, header: Header) -> list[Known]:
        """Each once."""
        found = dict.fromkeys(known_of_header(header))
        person = text(header, "PatientID") or "", text(header, "IssuerOfPatientID") or ""
        if person[0]:
            found |= dict.fromkeys(self._of(person))
        return list(found)

    def _of(self, person: tuple[str, str]) -> list[Known]:
        if person not in self._held:
            said = ", ".join(f'"{name}"' for name in self._columns)
            with self._lake.database(only=("series",)) as db:
                rows = db.execute(
                    f'select distinct {said} from series where "PatientID" = ? '
                    "and coalesce(\"IssuerOfPatientID\", '') = ?",
                    person,
                ).fetchall()
            self._held[person] = [
                one
                for row in rows
                for name, value in zip(self._columns, row, strict=True)
                if value is not None
                for one in known_of_value(name, vr_of(name), str(value))
            ]
            if len(self._held) > _MOST_PATIENTS:
                self._held.popitem(last=False)
        return self._held[person]


_TOLD = """PatientName PatientID AccessionNumber StudyID ReferringPhysicianName OperatorsName
PerformingPhysicianName PhysiciansOfRecord NameOfPhysiciansReadingStudy InstitutionName
InstitutionAddress InstitutionalDepartmentName StationName DeviceSerialNumber OtherPatientIDs
RequestedProcedureID PerformedProcedureStepID""".split()
"""Columns of `series` that tell of persons and places."""


__all__ = ["Cleaning", "Door", "KnownInLake", "Unresolved", "cleaner_of", "door_of"]
