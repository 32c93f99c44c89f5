"""What somebody wants as a dataset: of which series, in which formats and layout, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dicomlake.errors import UsageError

FORMATS = ("dicom", "nifti", "png", "waveforms", "tables")
LAYOUTS = ("plain", "bids", "monai", "nnunet", "federated")
TABLES = ("parquet", "csv")
WAVES = ("parquet", "npz")
IDENTIFIED = "identified"
"""The name of the cleaner that changes nothing."""
_OF_IMAGES = ("bids", "monai", "nnunet", "federated")
_LICENCE = re.compile(r"[\w .,:/()+-]{1,200}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that decides what the files of a dataset are.

    `cohort`: "NAME" or "NAME@3"; else `where`, a question. `out`: a folder, s3://BUCKET/PREFIX, or
    the name of a source of dicomlake.toml. `labels`: the text of labels.yaml. `site`: what a
    federated dataset says it is of. `depth`: bits of PNG. `number`: that of nnU-Net.
    """

    out: str
    cohort: str = ""
    where: str = ""
    profile: str = ""
    pseudonyms: str = ""
    formats: tuple[str, ...] = ("dicom",)
    layout: str = "plain"
    tables: str = "parquet"
    waves: str = "parquet"
    labels: str = ""
    title: str = ""
    licence: str = ""
    site: str = ""
    depth: int = 8
    name: str = ""
    number: int = 501

    def __post_init__(self) -> None:
        if bool(self.cohort) == bool(self.where):
            raise UsageError("Name a cohort, or ask a question with --where; not both.")
        if not self.out:
            raise UsageError("Say where the dataset is to be: a new folder, or s3://BUCKET/PREFIX.")
        _known(self.formats, FORMATS, "a format")
        _known((self.layout,), LAYOUTS, "a layout")
        _known((self.tables,), TABLES, "a form of tables")
        _known((self.waves,), WAVES, "a form of waveforms")
        if not self.formats:
            raise UsageError(f"Say in which formats: {', '.join(FORMATS)}.")
        if self.layout in _OF_IMAGES and "nifti" not in self.formats:
            raise UsageError(f"The layout {self.layout} is one of volumes: add nifti to --format.")
        if self.depth not in (8, 16):
            raise UsageError("PNG has 8 or 16 bits.")
        if not 1 <= self.number <= 999:
            raise UsageError("The number of a dataset of nnU-Net is 1 to 999.")
        if self.licence and not _LICENCE.fullmatch(self.licence):
            raise UsageError("A licence is a short name, such as CC-BY-4.0.")
        if self.profile == IDENTIFIED and self.pseudonyms:
            raise UsageError("Identified data has no pseudonyms: leave one of the two out.")
        if self.profile not in ("", IDENTIFIED) and not self.pseudonyms:
            raise UsageError(
                f"The profile {self.profile} needs --pseudonyms: the name of [pseudonyms.NAME]"
                " in dicomlake.toml."
            )
        if not self.profile:
            raise UsageError(
                "Say how the data is cleaned: --profile NAME (dicomlake deid lists them), or "
                "--identified to leave everything as it is."
            )

    @property
    def identified(self) -> bool:
        """Whether everything stays as it is."""
        return self.profile == IDENTIFIED

    @property
    def derived(self) -> bool:
        """Whether anything is made of the objects of a study once they are clean."""
        return bool({"nifti", "png", "waveforms"} & set(self.formats))

    @property
    def remote(self) -> bool:
        """Whether it is made here and sent elsewhere afterwards."""
        return self.out.startswith(("s3://", "dicom:", "objects:"))

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**found, "formats": list(self.formats)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Wanted:
        """From JSON."""
        known = {field.name for field in fields(cls)}
        found = {name: value for name, value in plain.items() if name in known}
        found["formats"] = tuple(found.get("formats", ()))
        return cls(**found)


def listed(text: str) -> tuple[str, ...]:
    """The formats in a text, each once, in our order.

    >>> listed("nifti, dicom")
    ('dicom', 'nifti')
    """
    said = {part.strip() for part in text.split(",") if part.strip()}
    _known(said, FORMATS, "a format")
    return tuple(name for name in FORMATS if name in said)


def name_of(wanted: Wanted) -> str:
    """A name for a dataset that was given none: of its cohort, else of its folder.

    >>> name_of(Wanted("/data/Liver CT", where="Modality = 'CT'", profile="identified"))
    'liver-ct'
    """
    text = wanted.cohort.partition("@")[0] or Path(wanted.out.rstrip("/")).name
    return slug(text)


def slug(text: str) -> str:
    """A text as the name of a dataset.

    >>> slug("Knee MR.2")
    'knee-mr-2'
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-_")[:32].strip("-_") or "dataset"


def _known(said: Iterable[str], known: tuple[str, ...], what: str) -> None:
    for one in said:
        if one not in known:
            raise UsageError(f"{one!r} is no {what[2:]}. There are: {', '.join(known)}.")
