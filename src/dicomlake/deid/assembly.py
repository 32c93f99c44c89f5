"""Puts a cleaner together from a profile and from what is installed."""

from __future__ import annotations

from pathlib import Path

from dicomlake.contracts.deid import Step
from dicomlake.deid.cleaning import ProfileCleaner
from dicomlake.deid.profiles import Profile, profile_of
from dicomlake.deid.text import words_of
from dicomlake.settings import Pseudonyms as Settings


def cleaner_of(profile: str | Path | Profile, pseudonyms: Settings) -> ProfileCleaner:
    """The cleaner of a profile, with the key and the pseudonyms that settings name."""
    chosen = profile if isinstance(profile, Profile) else profile_of(profile)
    return ProfileCleaner(chosen, pseudonyms, _steps(chosen), words_of)


def _steps(profile: Profile) -> list[Step]:
    steps: list[Step] = []
    if "visual-features" in profile.options:
        from dicomlake.deid.pixels.faces import FaceStep

        steps.append(FaceStep())
    if "pixels" in profile.options:
        from dicomlake.deid.pixels import PixelStep

        steps.append(PixelStep(profile.pixels))
    if "structured-content" in profile.options:
        from dicomlake.deid.documents import DocumentStep

        steps.append(DocumentStep())
    return steps
