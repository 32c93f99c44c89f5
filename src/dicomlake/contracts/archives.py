"""Archives: what a PACS, or anything else that is asked over a network, offers to the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dicomlake.contracts import Object

LEVELS = ("STUDY", "SERIES", "IMAGE")
"""Query/Retrieve levels below the patient (PS3.4 C.6.2)."""

KEYS = {
    "STUDY": """StudyInstanceUID StudyDate StudyTime AccessionNumber PatientID IssuerOfPatientID
    StudyID StudyDescription ModalitiesInStudy NumberOfStudyRelatedSeries
    NumberOfStudyRelatedInstances""".split(),
    "SERIES": """StudyInstanceUID SeriesInstanceUID Modality SeriesNumber SeriesDescription
    BodyPartExamined NumberOfSeriesRelatedInstances""".split(),
    "IMAGE": "StudyInstanceUID SeriesInstanceUID SOPInstanceUID SOPClassUID InstanceNumber".split(),
}
"""What a query returns at each level unless other attributes are asked for."""


def uri_of(source: str, uid: str) -> str:
    """The URI of an object (or series) that a source has under a UID, whatever way it came.

    >>> uri_of("orthanc", "1.2.3")
    'pacs://orthanc/1.2.3'
    """
    return f"pacs://{source}/{uid}"


@dataclass(frozen=True, slots=True)
class Match:
    """What a query found: rows by keyword, values as text, several joined by a backslash.

    `cut`: the archive may hold more than it answered; ask for less at a time. `status` is what the
    archive ended with, in words.
    """

    rows: list[dict[str, str]]
    cut: bool = False
    status: str = "success"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing tried when a source is tested: what, whether it works, how long, what to do."""

    what: str
    works: bool
    seconds: float
    says: str


class Archive(Protocol):
    """A connection to one archive; used by one thread, kept open between calls, closed at the end.

    Every method raises `Refused` when the archive is busy, away or stops in the middle (try again
    later), and UsageError when asking again cannot help (credentials, an unknown AE title).
    """

    name: str
    """Name of the source; first part of the URIs of what it sends."""

    @property
    def way(self) -> str:
        """How objects are brought: "wado", "get" or "move"; asks the archive when not settled."""

    @property
    def whole_headers(self) -> bool:
        """Whether headers of all instances of a series can be had without their pixel data."""

    def find(
        self,
        level: str,
        keys: Mapping[str, str],
        wanted: Sequence[str] = (),
        limit: int | None = None,
    ) -> Match:
        """What matches at a level of LEVELS.

        `keys` are matching keys by keyword as C-FIND has them (PS3.4 C.2.2.2: wildcards, ranges
        `20240101-20240131`, lists of UIDs joined by a backslash), `wanted` what to return, else
        `KEYS`. Values in the answer are text in Unicode without padding.
        """

    def headers(self, study: str, series: str, *, first: bool = False) -> Iterator[Object]:
        """The headers of a series by the cheapest way that there is.

        All of them where `whole_headers`, unless `first`: then, and elsewhere, those of one object.
        `Object.header` has them as DICOM JSON; where only whole objects can be had, their bytes.
        """

    def objects(self, study: str, series: str, instances: Sequence[str] = ()) -> Iterator[Object]:
        """The objects of a series, or some of them, as bytes of a file (PS3.10).

        Each is to be used before the next one is asked for. Raises `Incomplete` at the end when
        the archive says that some failed.
        """

    def check(self) -> Iterator[Check]:
        """Try what can be tried without changing anything: connect, ask, ways to retrieve."""

    def close(self) -> None:
        """Let go of the connection."""


Arrived = Callable[[Object], None]
"""Called with each object that a listener receives, before its sender is told that it is safe."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends an object to the listener, and for which C-MOVE, if it says so."""

    calling: str
    called: str
    address: str = ""
    originator: str = ""
    message: int = 0


class Listener(Protocol):
    """Receives objects (C-STORE); C-MOVE of our own sends them here."""

    ae_title: str
    """What archives call as the destination of a C-MOVE."""

    def expect(self, series: str, arrived: Arrived) -> Any:
        """A context manager: objects of a series go to `arrived` as long as it is open.

        It has `message`, the number that the C-MOVE request must carry (Message ID).
        """
