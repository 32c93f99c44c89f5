"""What a plugin for texts offers: models that find names, and models that translate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from dicomlake.contracts.deid import Span


@runtime_checkable
class Recogniser(Protocol):
    """Finds what identifies in texts with a model of the site; nothing is ever downloaded.

    Registered among the entry points `dicomlake.recognisers`; built with the folder of its model.
    """

    name: str
    """What the spans say that found them, with the version of the model."""

    def spans(self, text: str) -> Sequence[Span]:
        """What identifies; spans may overlap those of others."""


@runtime_checkable
class Translator(Protocol):
    """Translates texts from which everything that identifies is gone already.

    Registered among the entry points `dicomlake.translators`; built with the folder of its model.
    """

    def translate(self, lines: Sequence[str]) -> list[str]:
        """Each line in the other language; marks such as [NAME] stay what they are."""
