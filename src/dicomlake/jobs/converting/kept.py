"""Mapping files by name: those that people put into a lake, and those of its watched folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.jobs.converting.mappings import mapping_of
from dicomlake.jobs.converting.originals import originals_of
from dicomlake.settings import Settings

FOLDER = "mappings"
"""Of the originals of a lake."""
MOST_BYTES = 1024**2
"""Of a mapping file that is kept."""
_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Named:
    """A mapping file: `ours` when it lies in the lake, else a watched folder names it."""

    name: str
    path: Path
    ours: bool


def named(lake: str | Path, settings: Settings) -> Mapping[str, Named]:
    """The mapping files by name; one in the lake comes before that of a folder of the same name."""
    found = {
        name: Named(name, said.mapping, ours=False)
        for name, said in settings.convert.items()
        if said.mapping is not None
    }
    for path in sorted(_folder(lake, settings).glob("*.yaml")):
        found[path.stem] = Named(path.stem, path, ours=True)
    return dict(sorted(found.items()))


def path_of(lake: str | Path, settings: Settings, name: str) -> Path:
    """The mapping file of a name; UsageError names those that there are."""
    found = named(lake, settings)
    if name not in found:
        there = ", ".join(found) or "none yet"
        raise UsageError(f"There is no mapping {name[:64]!r}. There are: {there}.")
    return found[name].path


def keep(lake: str | Path, settings: Settings, name: str, text: str) -> Named:
    """Put a mapping file into the lake, instead of an older one; UsageError when it is none."""
    if not _NAME.fullmatch(name):
        raise UsageError("A mapping is named with small letters, digits, - and _, up to 32.")
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise UsageError("The mapping is too large: 1 MB at most.")
    path = _folder(lake, settings) / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{name}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        mapping_of(part)
    except UsageError as error:
        part.unlink()
        raise UsageError(str(error).replace(str(part), "The mapping")) from error
    part.replace(path)
    return Named(name, path, ours=True)


def drop(lake: str | Path, settings: Settings, name: str) -> str:
    """The text of a mapping file of the lake that goes; UsageError when there is none."""
    path = _folder(lake, settings) / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise UsageError(f"The lake has no mapping {name[:64]!r}.")
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text


def _folder(lake: str | Path, settings: Settings) -> Path:
    return originals_of(lake, settings).folder / FOLDER
