"""Identifiers as they are found: checked, in order, each once, the narrowest of what is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dicomlake.errors import UsageError

KINDS = ("AccessionNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID")
"""Keywords of what can be pulled."""
NARROWEST = ("SeriesInstanceUID", "StudyInstanceUID", "AccessionNumber", "PatientID")
"""The same ones, those that name the least first."""

_LONGEST = {"AccessionNumber": 16, "PatientID": 64}  # SH and LO (PS3.5 6.2)
_UID = re.compile(r"(?=.{1,64}$)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+", re.ASCII)
_LEAST_PARTS = 5
"""A value with fewer parts may be an accession number that only looks like a UID."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is said, for errors: a file, and a line or another number in it."""

    what: str
    number: int = 0
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.what}, {self.unit} {self.number}" if self.number else self.what


class Found:
    """What was found of `kind`, or of all kinds of KINDS."""

    def __init__(self, kind: str | None = None) -> None:
        self.kind = kind
        self._values: dict[str, dict[str, None]] = {name: {} for name in KINDS}
        self._covered: set[str] = set()

    def add_value(self, value: str, place: Place) -> None:
        """A value that nothing says the kind of."""
        guess = "StudyInstanceUID" if looks_like_uid(value) else "AccessionNumber"
        self.add(self.kind or guess, value, place)

    def add(self, kind: str, value: str, place: Place) -> None:
        """A value of a kind; UsageError when it cannot be one."""
        if self.kind in (None, kind):
            check(kind, value, place)
            self._values[kind][value] = None

    def add_row(self, row: Mapping[str, str], place: Place) -> None:
        """What one row of a table says: the narrowest of its values, or the one asked for."""
        for kind in NARROWEST:
            if row.get(kind) and self.kind in (None, kind):
                self.add(kind, row[kind], place)
                return

    def add_order(self, studies: Sequence[str], accessions: Sequence[str], place: Place) -> None:
        """What one order or study says: its studies, or else its accession numbers.

        Accession numbers of studies that are known are not needed any more, wherever they are.
        """
        for uid in studies:
            self.add("StudyInstanceUID", uid, place)
        for number in accessions:
            self.add("AccessionNumber", number, place)
        if studies:
            self.cover(accessions)

    def cover(self, accessions: Iterable[str]) -> None:
        """These accession numbers are those of studies whose UIDs are known."""
        if self.kind is None:
            self._covered.update(accessions)

    def lists(self) -> dict[str, list[str]]:
        """What was found, by kind; kinds of which there is nothing are left out."""
        numbers = self._values["AccessionNumber"]
        left = {k: v for k, v in numbers.items() if k not in self._covered}
        values = {**self._values, "AccessionNumber": left}
        return {kind: list(values[kind]) for kind in KINDS if values[kind]}


def check_kind(kind: str | None) -> None:
    """UsageError when a kind is none of KINDS."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"{kind!r} cannot be listed. What can: {', '.join(KINDS)}.")


def looks_like_uid(value: str) -> bool:
    """Whether a value can hardly be anything but a UID.

    >>> looks_like_uid("1.2.840.113619.2"), looks_like_uid("1.234")
    (True, False)
    """
    parts = value.count(".") + 1
    return bool(_UID.fullmatch(value)) and (parts >= _LEAST_PARTS or len(value) > 16)


def check(kind: str, value: str, place: Place) -> None:
    """UsageError when a value cannot be of its kind, or would match others in an archive too.

    It names the place, never the value.
    """
    if any(c in "*?\\" for c in value):
        raise UsageError(
            f"{place}: *, ? and \\ are not allowed in {kind}. An archive takes them for "
            "wildcards and lists, so they would bring other patients."
        )
    if not value or not value.isprintable():
        raise UsageError(f"{place}: {kind} is empty or has control characters in it.")
    if kind.endswith("UID"):
        if not _UID.fullmatch(value):
            raise UsageError(f"{place}: no {kind}: numbers joined by dots, 64 characters at most.")
    elif len(value) > _LONGEST[kind]:
        raise UsageError(
            f"{place}: longer than the {_LONGEST[kind]} characters that {kind} can have. "
            "Is it the right column?"
        )
