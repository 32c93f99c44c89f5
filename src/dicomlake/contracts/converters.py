"""Converters: what is no DICOM made into DICOM objects, and the Protocol that they fit.

A converter reads one file and yields objects; it never writes. The job that calls it gives them
their place, keeps the original beside them and links the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import Dataset


@dataclass(frozen=True, slots=True)
class Original:
    """The file to convert: its name as given, its bytes, and where it lies."""

    name: str
    data: bytes
    path: Path | None = None

    @property
    def suffix(self) -> str:
        """The end of its name with the dot, in lower case.

        >>> Original("ECG.XML", b"").suffix
        '.xml'
        """
        return Path(self.name).suffix.lower()


@dataclass(frozen=True, slots=True)
class Asked:
    """How a file is to be converted.

    `mapping`: what a mapping file says, {} without one. `uid`: the UID of a thing by its names,
    always the same one for the same names, so that converting twice makes the same objects.
    `header`: attributes by keyword that every object gets where its file does not say them
    (PatientID, IssuerOfPatientID, StudyInstanceUID, InstitutionName, ...). `series`: gives the
    DICOM headers of the series with this SeriesInstanceUID, in a lake or a folder, for what is
    drawn on images; UsageError when nobody has it. `find`: one header of each series, of a lake or
    a folder, that has all of some attributes by keyword (PatientID, AccessionNumber,
    StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID); of an instance its own; [] for none.
    """

    uid: Callable[..., str]
    mapping: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, str] = field(default_factory=dict)
    series: Callable[[str], list[Dataset]] | None = None
    find: Callable[[Mapping[str, str]], list[Dataset]] | None = None


@dataclass(slots=True)
class Converted:
    """What a file became: DICOM objects, rows of facts, and remarks in words without patient data.

    `objects` are pydicom datasets with file meta information, ready to be written. `facts` are
    dicts by column of `tables.CLINICAL_EVENTS`, `documents` of `tables.DOCUMENTS`. `refused`: parts
    of the file that could not be taken, each with its place and the reason, such as rows.
    `origins`: the place in the file, such as "row 4", by SOPInstanceUID; facts have their own.
    """

    objects: list[Dataset] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file, such as a row of a table.

    `origin`: its place as `Converted` says it, "" for what stands around the parts, such as names
    of columns; `who`: whom it says it is about, by keyword; `texts`: all that stands in it.
    """

    origin: str
    who: Mapping[str, str]
    texts: tuple[str, ...]


class Converter(Protocol):
    """Makes DICOM of files of some formats; registered as `converters`, made by `cls()`.

    `name` and `about` are for people, `formats` names what it reads: name -> in words.
    """

    name: str
    about: str
    formats: Mapping[str, str]
    version: str
    """Raise it when objects change."""

    def format_of(self, original: Original, asked: Asked) -> str:
        """The format of a file, one of `formats`; "" when this converter does not read it.

        Looks at the first bytes, not at the name alone.
        """

    def convert(self, original: Original, asked: Asked) -> Converted:
        """What the file becomes; DataError with the reason when it cannot be read."""


@runtime_checkable
class InPieces(Protocol):
    """A converter whose files tell of many patients; of any other, a file stays whole or goes."""

    def parts(self, original: Original, asked: Asked) -> Iterator[Converted]:
        """What the file becomes, some pieces at a time, so that memory does not grow with it.

        As of `convert`; what is wrong with the whole file is raised before the first part.
        """

    def without(
        self,
        original: Original,
        asked: Asked,
        gone: Callable[[Piece], bool],
        clean: Callable[[str], str],
    ) -> tuple[bytes, int]:
        """The file anew without its pieces that are gone, and how many they were.

        Places of the others stay what they are. b"" when none is left. `clean` takes out of a text
        around the pieces what must not stand there.
        """


class ConverterClass(Protocol):
    """What an entry point of the family `converters` names."""

    name: str
    about: str

    def __call__(self) -> Converter:
        """A converter."""


def all_formats(converters: Iterable[Converter]) -> dict[str, str]:
    """What some converters read: format -> in words."""
    return {name: about for each in converters for name, about in each.formats.items()}
