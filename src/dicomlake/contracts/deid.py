"""De-identification: what its steps hand to each other, and the Protocols that they fit (PS3.15 E).

An object goes through the steps that its SOP class needs (pixels, documents), which say what takes
the place of some elements; the rewriting of its header comes last and puts everything together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from dicomlake.errors import DataError

Kind = Literal["name", "id", "date", "place", "phone", "mail", "url", "age", "other"]
"""What a piece of text tells of somebody."""


Dates = Literal["removed", "kept", "moved", "years"]
"""What becomes of dates."""


class Unresolved(DataError):
    """An object that cannot be made harmless: it goes into quarantine and never out.

    `check` is the short name of what found it, such as "pixels"; the message holds no patient data.
    """

    def __init__(self, check: str, message: str) -> None:
        self.check = check
        super().__init__(message)


class Identity(Protocol):
    """What the identifiers of one patient become; the same in every process and every run."""

    days: int
    """Dates move by so many days; 0: they do not move, since the profile removes or keeps them."""

    def uid(self, uid: str) -> str:
        """The UID in its place; those of the Standard stay."""

    def id(self, value: str, kind: str = "patient") -> str:
        """The pseudonym of an identifier: of kind patient, accession or other."""

    def moved(self, value: str, vr: str = "DA") -> str:
        """A DA, TM or DT moved by `days`, with its precision and its time zone."""


@dataclass(frozen=True, slots=True)
class Known:
    """Something known of a person, as the archive spells it: what kind it is, and the text."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text that identifies: from `start` to before `end`, in characters."""

    start: int
    end: int
    kind: Kind
    found_by: str
    """What found it: "known", the name of a pattern or a rule, or that of a model."""


class Words(Protocol):
    """Finds in texts what identifies one patient and those around it."""

    def spans(self, text: str) -> Sequence[Span]:
        """What identifies, in order and without overlap."""

    def clean(self, text: str) -> str:
        """The text with something harmless in the place of what identifies; dates may move."""


@dataclass(frozen=True, slots=True)
class Item:
    """An object as a step sees it: all its bytes (PS3.10), and its header as DICOM JSON."""

    data: bytes
    header: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replaced:
    """What takes the place of elements of an object.

    `values`: VR and bytes in little endian by tag of the top level (pixel data, icons, documents),
    None to remove it; compressed pixel data with its items, from the offset table to the delimiter.
    `syntax`: the transfer syntax, where it is another one then. `codes`: of CID 7050, for what is
    clean now. `changed`: whether anything is another one. `notes`: what was done, in words without
    patient data.
    """

    values: Mapping[int, tuple[str, bytes] | None] = field(default_factory=dict)
    syntax: str = ""
    codes: tuple[str, ...] = ()
    changed: bool = False
    notes: tuple[str, ...] = ()


class Step(Protocol):
    """Cleans what the rewriting of headers does not reach."""

    def clean(self, item: Item, words: Words, identity: Identity) -> Replaced | None:
        """What takes the place of what; None when the object has nothing of the kind.

        Unresolved when it cannot be made harmless.
        """


Opener = Callable[[int], AbstractContextManager[Any]]
"""Opens an object of a series by its number: `header` (DICOM JSON), `fetch` and `size`."""


@runtime_checkable
class Looking(Protocol):
    """What wants to see a whole series before its objects are cleaned one by one."""

    @property
    def looks(self) -> bool:
        """Whether it does."""

    def look(self, headers: Sequence[Mapping[str, Any]], opener: Opener) -> None:
        """Look at all objects of a series; what is wrong with it is told when one is cleaned."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """An object that may leave: its bytes (PS3.10), what it is called now, and what was done.

    `actions`: how often each action of PS3.15 Table E.1-1 was taken.
    """

    data: bytes
    PatientID: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    SOPClassUID: str
    TransferSyntaxUID: str
    codes: tuple[str, ...] = ()
    actions: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Cleaner(Protocol):
    """Makes objects harmless, one at a time; used by one thread."""

    name: str
    """Of its profile; "identified" for one that changes nothing."""
    digest: str
    """Of its rules and of its key: what was made by another one is made again."""

    @property
    def dates(self) -> Dates:
        """What becomes of dates."""

    def patient(self, known: Sequence[Known], PatientID: str, issuer: str = "") -> Patient:
        """What cleans the objects of one patient, of whom this is known."""

    def close(self) -> None:
        """Let go of what is open."""


class Patient(Protocol):
    """Makes the objects of one patient harmless."""

    PatientID: str
    """The pseudonym."""
    identity: Identity
    words: Words

    def clean(self, data: bytes) -> Cleaned:
        """The object as it may leave; Unresolved when it may not."""
