"""A mapping tried on the first rows of a table, before anything is converted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dicomlake.contracts.converters import Asked, Original
from dicomlake.converters.labels import Preview, preview
from dicomlake.errors import UsageError
from dicomlake.jobs.converting.hands import images_of
from dicomlake.jobs.converting.mappings import header_of, mapping_of
from dicomlake.jobs.converting.originals import Uids


def checked(
    mapping: str | Path,
    table: str | Path,
    *,
    lake: str | Path | None = None,
    images: str | Path | None = None,
    header: Mapping[str, str] | None = None,
    count: int = 5,
) -> Preview:
    """What the first rows of a table become, in words; UsageError for what is wrong with both."""
    path = Path(table)
    try:
        original = Original(path.name, path.read_bytes(), path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    found = images_of(
        None if lake is None else Path(lake), None if images is None else Path(images)
    )
    asked = Asked(
        Uids(b""),
        mapping_of(mapping),
        header_of(header or {}),
        None if found is None else found.series,
        None if found is None else found.find,
    )
    return preview(original, asked, count)
