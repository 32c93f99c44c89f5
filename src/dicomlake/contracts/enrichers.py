"""Enrichers: what is said of series beyond their headers, and the Protocol that they fit.

An enricher gets series of the lake and makes statements (`annotations`), faults (`findings`), or
says why it has nothing to say. It never writes: the job that calls it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
"""What became of a series: looked at; not for this enricher; went wrong and may be tried again."""

Hardware = Literal["cpu", "gpu"]

INSTANCES, HEADERS = "instances", "headers"
"""What may stand among `Enricher.reads` besides attribute paths: rows of the instances of a series
(uri, offset, size, ...), and these rows with the complete headers."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A series as an enricher sees it: rows of the tables as dicts by column.

    `elements`: by attribute path, of the paths that the enricher reads. `annotations`: what the
    enrichers in its `after` state. `open` opens an object by its row of `instances`: an Opened with
    `header` (DICOM JSON), `fetch` and `size`; UsageError, ServiceError or DataError when it cannot.
    """

    series: Mapping[str, Any]
    elements: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    instances: Sequence[Mapping[str, Any]] = ()
    annotations: Sequence[Mapping[str, Any]] = ()
    open: Callable[[Mapping[str, Any]], AbstractContextManager[Any]] | None = None

    @property
    def number(self) -> int:
        """Its series_id."""
        return int(self.series["series_id"])


@dataclass(slots=True)
class Enriched:
    """What an enricher says of one series.

    Rows are dicts by column of `tables.ANNOTATIONS` and `tables.FINDINGS`; the series and the
    enrichment are filled in later, columns left out are null. `reason`: why it was skipped or
    failed, in words and without patient data. `kept`: URIs of what was kept besides.
    """

    state: str = DONE
    reason: str = ""
    annotations: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


class Enricher(Protocol):
    """Says something of series; registered as `enrichers`, made by `cls(lake, options)`.

    `lake` is the folder of the lake, `options` texts by name; making it raises UsageError for an
    unknown option, and for what is not installed, with what to do.
    """

    name: str
    about: str
    """What it does, in one sentence for people."""
    version: str
    """Raise it when rows change: what an older version looked at is then looked at again."""
    model: str
    """What it decides by, tables or weights, by name and digest; another one is a new version."""
    reads: tuple[str, ...]
    """Attribute paths whose elements it needs, INSTANCES, HEADERS; the row of `series` always."""
    writes: tuple[str, ...]
    """Kinds of its annotations, and "finding" where it makes findings."""
    after: tuple[str, ...]
    """Names of enrichers whose annotations it reads; they run before it."""
    hardware: Hardware
    at_once: int
    """Series that are handed to it together, and that make one task of a queue."""

    def where(self) -> str:
        """SQL over the columns of `series`: which ones may concern it at all; "true": all."""

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        """What it says of each series, in their order.

        What is wrong with one series is its `Enriched`; ServiceError when none can be done now.
        """

    def close(self) -> None:
        """End what it keeps running."""


class EnricherClass(Protocol):
    """What an entry point of the family `enrichers` names."""

    name: str
    about: str
    version: str
    hardware: Hardware

    def __call__(self, lake: Path, options: Mapping[str, str]) -> Enricher:
        """An enricher for a lake."""


def no_options(name: str, options: Mapping[str, str]) -> None:
    """UsageError when an enricher without options is given some."""
    from dicomlake.errors import UsageError

    if options:
        raise UsageError(f"The enricher {name} has no option {sorted(options)[0]!r}.")


def each(subjects: Sequence[Subject], say: Callable[[Subject], Enriched]) -> Iterator[Enriched]:
    """What `say` says of each series; what is wrong with one (DataError) does not stop the rest."""
    from dicomlake.errors import DataError, Incomplete, Refused, UsageError

    for subject in subjects:
        try:
            yield say(subject)
        except (DataError, UsageError, Refused, Incomplete) as error:
            yield Enriched(FAILED, str(error))
