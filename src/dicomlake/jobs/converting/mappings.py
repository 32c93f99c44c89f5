"""Mapping files of people: YAML that says how a file is to be converted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dicomlake.converters.label_tables import SUFFIXES, table_of
from dicomlake.dicom import dictionary
from dicomlake.errors import DataError, UsageError

LARGEST = 4 * 1024**2


def mapping_of(path: str | Path) -> dict[str, Any]:
    """What a mapping file says; UsageError with the line when it is no YAML."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path} is too large for a mapping file.")
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise UsageError(
            f"{path} is no YAML{where}: {getattr(error, 'problem', '') or 'it cannot be read'}."
        ) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} says nothing: a mapping begins with names, such as converter:")
    return _with_labels(path, found)


def _with_labels(path: Path, said: dict[str, Any]) -> dict[str, Any]:
    """A mapping of masks with the table of labels whose file it names, seen from its own folder."""
    labels = said.get("labels")
    if not isinstance(labels, str) or Path(labels).suffix.lower() not in SUFFIXES:
        return said
    try:
        return {**said, "labels": table_of(path.parent / labels)}
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
