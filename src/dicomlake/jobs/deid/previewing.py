"""What the cleaning of pixels would do with one object, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts.deid import Item
from dicomlake.deid.pixels import Options, PixelStep
from dicomlake.deid.pixels.review import Review, png, review
from dicomlake.dicom.walk import Fetch
from dicomlake.errors import DataError, UsageError
from dicomlake.readers.bulk import read_all
from dicomlake.readers.header import HeaderReader

LARGEST = 2 * 1024**3
"""Objects with more bytes are not looked at."""


def preview(
    file: str | Path, options: Options | Mapping[str, Any] | None = None, most_shown: int = 1
) -> Review:
    """What would be blanked in a file and why, with so many of its frames before and after.

    UsageError when the file is no DICOM object with pixels.
    """
    path = Path(file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return of_bytes(data, PixelStep(options), most_shown)
    except DataError as error:
        raise UsageError(f"{path} cannot be looked at: {error}.") from error


def of_object(fetch: Fetch, size: int, step: PixelStep, most_shown: int = 1) -> Review:
    """What would be blanked in an object of a lake; DataError when it has no pixels."""
    if size > LARGEST:
        raise DataError("the object is too large to be looked at")
    return of_bytes(read_all(fetch, 0, size), step, most_shown)


def of_bytes(data: bytes, step: PixelStep, most_shown: int = 1) -> Review:
    """What would be blanked in an object; DataError when it has no pixels."""
    header = orjson.loads(HeaderReader().read_bytes(data).json)
    return review(Item(data, header), step, most_shown=most_shown)


def write(found: Review, folder: str | Path) -> list[Path]:
    """Pictures of the frames, before and after, as PNG files; their names tell of nobody."""
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    made = []
    for each in found.shown:
        for name, picture in (("before", each.before), ("after", each.after)):
            path = where / f"frame-{each.frame:04d}-{name}.png"
            path.write_bytes(png(picture))
            made.append(path)
    return made
