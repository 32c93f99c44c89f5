"""Pseudonyms: what stands for identifiers of people when something leaves the lake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from dicomlake.settings import Pseudonyms as Settings

PATIENT, ACCESSION, OTHER = "patient", "accession", "other"
"""Kinds of identifiers: of a patient, of an order, any other one."""
Original = tuple[str, str]
"""System and value of an identifier."""


class Pseudonyms(Protocol):
    """Gives pseudonyms, for the same original always the same one; used by one thread.

    Registered as `pseudonyms`, made by `cls(name, settings)`.
    """

    def of(self, kind: str, originals: Collection[Original]) -> Mapping[Original, str]:
        """The pseudonyms of identifiers of one kind, all of them.

        `Refused` when who gives them is away: nothing leaves the lake then.
        """

    def close(self) -> None:
        """Let go of the connection."""


@runtime_checkable
class Back(Protocol):
    """Pseudonyms that also tell whose they are."""

    def back(self, kind: str, pseudonyms: Collection[str]) -> Mapping[str, str] | None:
        """The values of identifiers by their pseudonyms, as far as they are known.

        None when this kind cannot be asked for.
        """


class PseudonymsClass(Protocol):
    """What an entry point of the family `pseudonyms` names."""

    def __call__(self, name: str, settings: Settings) -> Pseudonyms:
        """Pseudonyms as settings say."""
