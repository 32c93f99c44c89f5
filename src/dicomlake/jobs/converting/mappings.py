"""Mapping files of people: YAML that says how a file is to be converted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dicomlake.converters.label_tables import SUFFIXES, table_of
from dicomlake.dicom import dictionary
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.converting.originals import originals_of
from dicomlake.jobs.shelves import Shelf
from dicomlake.settings import Settings

LARGEST = 4 * 1024**2


def shelf(lake: str | Path, settings: Settings) -> Shelf:
    """Mapping files of a lake, beside its originals, and of its watched folders."""
    watched = {name: said.mapping for name, said in settings.convert.items()}
    return Shelf(originals_of(lake, settings).folder / "mappings", watched, _alone)


def mapping_of(path: str | Path) -> dict[str, Any]:
    """What a mapping file says; UsageError with the line when it is no YAML."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path} is too large for a mapping file.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8.") from error
    said = _read(text, str(path))
    return {**said, "labels": _labels(path, said["labels"])} if _names_file(said) else said


def _read(text: str, called: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise UsageError(
            f"{called} is no YAML{where}: {getattr(error, 'problem', '') or 'it cannot be read'}."
        ) from error
    if not isinstance(found, dict):
        raise UsageError(f"{called} says nothing: a mapping begins with names, such as converter:")
    return found


def _alone(text: str) -> None:
    """Look at a mapping that somebody sends: it may name no file of this machine."""
    if _names_file(_read(text, "The mapping")):
        raise UsageError("A mapping that is sent names no file: write its labels into it.")


def _names_file(said: Mapping[str, Any]) -> bool:
    labels = said.get("labels")
    return isinstance(labels, str) and Path(labels).suffix.lower() in SUFFIXES


def _labels(path: Path, name: str) -> Any:
    """The table of labels of masks in a file that a mapping names, seen from its own folder."""
    try:
        return table_of(path.parent / name)
    except DataError as error:
        raise UsageError(f"The mapping has a mistake at labels: {error}.") from error


def header_of(texts: Mapping[str, str]) -> dict[str, str]:
    """Attributes by keyword that every object gets; UnknownAttribute for what DICOM has not.

    >>> header_of({"IssuerOfPatientID": "HOSPITAL"})
    {'IssuerOfPatientID': 'HOSPITAL'}
    """
    for keyword in texts:
        dictionary.tag_of(keyword)
    return dict(texts)
