"""Shelves of mapping files: those that people put into a lake, and those of its watched folders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dicomlake.errors import UsageError

MOST_BYTES = 1024**2
"""Of a mapping file that is kept."""
_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Named:
    """A mapping file: `ours` when it lies in the lake, else a watched folder names it."""

    name: str
    path: Path
    ours: bool

    @property
    def text(self) -> str:
        """What it says; "" where that is no text."""
        try:
            return self.path.read_text(encoding="utf-8-sig")[:MOST_BYTES]
        except (OSError, UnicodeDecodeError):
            return ""


class Shelf:
    """Mapping files of one kind by name.

    `folder`: where the lake has its own; `watched`: those that watched folders name; `check`: looks
    at a new one, UsageError says what is wrong in it.
    """

    def __init__(
        self, folder: Path, watched: Mapping[str, Path | None], check: Callable[[str], object]
    ) -> None:
        self._folder, self._check = folder, check
        self._watched = {name: path for name, path in watched.items() if path is not None}

    def named(self) -> dict[str, Named]:
        """All of them; one in the lake comes before that of a folder of the same name."""
        found = {name: Named(name, path, ours=False) for name, path in self._watched.items()}
        for path in self._folder.glob("*.yaml"):
            found[path.stem] = Named(path.stem, path, ours=True)
        return dict(sorted(found.items()))

    def path_of(self, name: str) -> Path:
        """The mapping file of a name; UsageError names those that there are."""
        found = self.named()
        if name not in found:
            there = ", ".join(found) or "none yet"
            raise UsageError(f"There is no mapping {name[:64]!r}. There are: {there}.")
        return found[name].path

    def keep(self, name: str, text: str) -> Named:
        """Put a mapping file into the lake, instead of an older one; UsageError when it is none."""
        if not _NAME.fullmatch(name):
            raise UsageError("A mapping is named with small letters, digits, - and _, up to 32.")
        if len(text.encode("utf-8", "replace")) > MOST_BYTES:
            raise UsageError("The mapping is too large: 1 MB at most.")
        self._check(text)
        path = self._folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{name}.part")
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(path)
        return Named(name, path, ours=True)

    def drop(self, name: str) -> str:
        """Let a mapping file of the lake go; what it said. UsageError when there is none."""
        path = self._folder / f"{name}.yaml"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise UsageError(f"The lake has no mapping {name[:64]!r}.")
        text = Named(name, path, ours=True).text
        path.unlink()
        return text
