"""The folders of the sites: raw files as they are, and the mapping files that explain them."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from dicomlake.testing.sites.houses import SITES, Site
from dicomlake.testing.sites.labels import SOURCES
from dicomlake.testing.sites.objects import SUFFIXES, ct, ecg
from dicomlake.testing.sites.patients import Patient, counted, patient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dicomlake.testing.sites.labels import File


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a site: its patients, and how many answer each combination."""

    site: Site
    patients: tuple[Patient, ...]
    counts: Counter[str]


def write(
    folder: Path,
    patients: int = 40,
    seed: int = 11,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Truth]:
    """Write eight sites, each into a folder of its own; the truth about each by its name.

    A site has `dicom`, `ecg`, `labels` and `facts`, as far as it has such files, and `mapping`:
    labels.yaml says what the columns of tables mean; lake/ belongs into the folder of the lake and
    has what words of the house mean.
    """
    found = {}
    for at, site in enumerate(SITES, 1):
        people = [patient(seed, site, number) for number in range(1, patients + 1)]
        place = folder / site.name.lower()
        for path, data in files_of(site, people):
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        _explained(site, place / "mapping")
        found[site.name] = Truth(site, tuple(people), counted(people))
        if progress:
            progress(at, len(SITES))
    return found


def files_of(site: Site, people: list[Patient]) -> Iterator[File]:
    """Every file of a site, as (path, bytes)."""
    for who in people:
        named = f"{who.number:06d}"
        if who.heart:
            words = site.heart[who.number % len(site.heart)]
            for at, data in enumerate(ct(who, "heart", words)):
                yield f"dicom/{named}/H{at:03d}.dcm", data
        if who.other:
            words = site.other[who.number % len(site.other)]
            for at, data in enumerate(ct(who, "other", words)):
                yield f"dicom/{named}/O{at:03d}.dcm", data
        if who.ecg:
            kind = site.ecg[who.number % len(site.ecg)]
            place = "dicom" if kind == "dicom" else "ecg"
            yield f"{place}/{named}/ecg{SUFFIXES[kind]}", ecg(who, kind)
    yield from SOURCES[site.labels](people)


def _explained(site: Site, target: Path) -> None:
    """Put the mapping files of a site where they belong."""
    source = resources.files(__package__) / "mappings" / site.name.lower()
    if source.is_dir():
        with resources.as_file(source) as folder:
            shutil.copytree(folder, target, dirs_exist_ok=True)
