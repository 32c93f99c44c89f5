"""One file converted: read, given to the converter that takes it, and what it became as bytes."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomlake import plugins
from dicomlake.contracts.converters import Asked, Converted, Converter, InPieces, Original
from dicomlake.dicom.walk import sniff
from dicomlake.errors import DataError, ServiceError, UsageError
from dicomlake.jobs.converting.images import FolderImages, Images, LakeImages
from dicomlake.jobs.converting.originals import DONE, PART, REFUSED, Originals, Uids, digest_of
from dicomlake.readers.batch import key_of
from dicomlake.sources.folder import uri_of

if TYPE_CHECKING:
    from pydicom import Dataset

log = logging.getLogger(__name__)

DICOM, THERE = "dicom", "there"
"""States of files that need no converting: DICOM already, and converted before."""
LONG = "long"
"""State of a file that becomes too much for one answer: its parts come one by one."""
LARGEST = 2 * 1024**3
_NOBODY = "no converter reads this kind of file; those that are read: dicomlake convert formats"


@dataclass(frozen=True, slots=True)
class Made:
    """One object that a file became; `origin`: the place in the file, `patient`: its key."""

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    data: bytes
    origin: str = ""
    patient: int | None = None


@dataclass(slots=True)
class Outcome:
    """What became of one file: `state` is done, refused, dicom, there or long.

    Of a file with many rows there is one of state part for every some rows, and a last one that
    is done. `refused`: parts of it that could not be taken, and why. `patients`: patient_key of
    everybody whom it tells of; `studies`: UIDs.
    """

    uri: str
    state: str
    digest: str = ""
    size: int = 0
    reason: str = ""
    format: str = ""
    converter: str = ""
    objects: list[Made] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    patients: set[int] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Way:
    """How files are converted; the same in every process.

    `again`: also those that were converted before; `keep`: their originals are kept.
    """

    converters: tuple[Converter, ...]
    mapping: Mapping[str, Any]
    header: Mapping[str, str]
    images: Images | None
    originals: Originals
    uids: Uids
    again: bool = False
    keep: bool = True
    facts: bool = True
    """Whether facts and documents have a place to go."""

    def __call__(self) -> Hand:
        """What converts files this way."""
        return Hand(self)

    @property
    def digest(self) -> str:
        """What tells this way from others: converters, mapping and header."""
        made_by = sorted((one.name, one.version) for one in self.converters)
        said = json.dumps([made_by, self.mapping, self.header], sort_keys=True, default=str)
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def said(self) -> str:
        """Mapping and header as JSON."""
        return json.dumps({"mapping": self.mapping, "header": self.header}, default=str)


def converters_of(names: Sequence[str] | None = None) -> list[Converter]:
    """The installed converters, or those of some names, in the order of their names."""
    there = plugins.names("converters")
    return [plugins.load("converters", name)() for name in (there if names is None else names)]


def asked_for(converters: Sequence[Converter], mapping: Mapping[str, Any]) -> list[Converter]:
    """The converters that a mapping is for: the one that it names, else all.

    UsageError for one that is not there.
    """
    name = mapping.get("converter")
    if name is None:
        return list(converters)
    found = [one for one in converters if one.name == name]
    if not found:
        known = ", ".join(one.name for one in converters) or "none"
        raise UsageError(f"The mapping is for the converter {str(name)!r}. There are: {known}.")
    return found


def images_of(lake: Path | None, folder: Path | None) -> Images | None:
    """Where series are looked for: in a folder if there is one, else in the lake."""
    if folder is not None:
        return FolderImages(folder)
    return None if lake is None else LakeImages(lake)


class Hand:
    """Converts files one by one; used by one thread."""

    def __init__(self, way: Way) -> None:
        self._way, self._how = way, way.digest
        images = way.images
        self._asked = Asked(
            way.uids,
            way.mapping,
            way.header,
            None if images is None else images.series,
            None if images is None else images.find,
        )

    def do(self, piece: str) -> Outcome:
        """What became of a file; never raises for what is wrong with it."""
        for outcome in self.parts(piece):
            if outcome.state != PART:
                return outcome
            break
        return Outcome(uri_of(str(Path(piece).absolute())), LONG)

    def parts(self, piece: str) -> Iterator[Outcome]:
        """What became of a file, some of its rows at a time; one outcome of what has no rows."""
        path = Path(piece)
        uri = uri_of(str(path.absolute()))
        try:
            size = path.stat().st_size
            if size > LARGEST:
                yield Outcome(uri, REFUSED, size=size, reason="the file is too large")
                return
            data = path.read_bytes()
        except OSError as error:
            why = f"cannot be read: {error.strerror or 'I/O error'}"
            yield Outcome(uri, REFUSED, reason=why)
            return
        found = Outcome(uri, REFUSED, digest_of(data), len(data))
        if sniff(data[:132]) and data[128:132] == b"DICM":
            found.state = DICOM
            yield found
            return
        known = None if self._way.again else self._way.originals.state(found.digest, self._how)
        if known is not None and known[0] == DONE:
            found.state = THERE
            yield found
            return
        yield from self._converted(Original(path.name, data, path), found)

    def _converted(self, original: Original, found: Outcome) -> Iterator[Outcome]:
        """Outcomes of a file like one that says which file it is."""
        blank, refused = replace(found), []
        parts = self._parts(original, found)
        try:
            made = next(parts)
            for following in parts:
                refused += made.refused
                yield self._filled(replace(blank, state=PART, format=found.format,
                                           converter=found.converter), made)  # fmt: skip
                made = following
            refused += made.refused
            found.state = DONE
            self._filled(found, made)
            found.refused = refused
        except (DataError, UsageError) as error:
            found.state, found.reason = REFUSED, str(error)
        except ServiceError:
            raise
        except Exception as error:  # noqa: BLE001 - one file must never stop a run
            log.warning("not converted", extra={"error": type(error).__name__})
            found.state, found.reason = REFUSED, f"not readable ({type(error).__name__})"
        if self._way.keep and found.state == DONE:
            self._way.originals.keep(found.digest, original.data)
        yield found

    def _parts(self, original: Original, found: Outcome) -> Iterator[Converted]:
        converter, found.format = self._taker(original)
        found.converter = converter.name
        if isinstance(converter, InPieces):
            yield from converter.parts(original, self._asked)
        else:
            yield converter.convert(original, self._asked)

    def _taker(self, original: Original) -> tuple[Converter, str]:
        if not original.data:
            raise DataError("the file is empty")
        for converter in self._way.converters:
            if format_ := converter.format_of(original, self._asked):
                return converter, format_
        raise DataError(_NOBODY)

    def _filled(self, found: Outcome, converted: Converted) -> Outcome:
        if (converted.facts or converted.documents) and not self._way.facts:
            raise DataError("it tells clinical facts, which only a lake holds: use --lake LAKE")
        found.objects = [
            _made(one, converted.origins.get(str(one.SOPInstanceUID), ""))
            for one in converted.objects
        ]
        found.facts, found.documents = converted.facts, converted.documents
        found.notes = converted.notes
        found.studies = {one.StudyInstanceUID for one in found.objects}
        rows = (*found.facts, *found.documents)
        keys = {_patient(row.get("PatientID"), row.get("IssuerOfPatientID")) for row in rows}
        keys |= {one.patient for one in found.objects}
        found.patients = {key for key in keys if key is not None}
        return found

    def close(self) -> None:
        """Nothing is open."""


def _patient(PatientID: Any, issuer: Any) -> int | None:
    return key_of("patient", str(issuer or ""), str(PatientID)) if PatientID else None


def _made(one: Dataset, origin: str) -> Made:
    """An object as bytes; DataError when it lacks what every object has."""
    uids = [str(one.get(f"{what}InstanceUID") or "") for what in ("Study", "Series", "SOP")]
    if not all(uids):
        raise DataError("the converter made an object without UIDs")
    file = io.BytesIO()
    one.save_as(file, enforce_file_format=True)
    patient = _patient(one.get("PatientID"), one.get("IssuerOfPatientID"))
    return Made(uids[0], uids[1], uids[2], file.getvalue(), origin, patient)
