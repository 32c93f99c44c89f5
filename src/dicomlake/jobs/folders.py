"""Watched folders: which files have come, and where they go when they are over."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dicomlake.errors import UsageError

ASIDE = ("done", "refused")
"""Folders of files that are over, below the watched one."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that does not grow any more: its place in the folder, bytes and time of change."""

    file: str
    size: int
    modified: int


def ready(folder: Path, quiet_s: float, now: float | None = None) -> Iterator[Ready]:
    """Files below a folder that nobody changed for so long; hidden ones are left out.

    UsageError when the folder is not there.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {str(folder)!r} to be watched. Is a disk missing?")
    before = (time.time() if now is None else now) - quiet_s
    for place, folders, names in os.walk(folder):
        top = Path(place) == folder
        folders[:] = sorted(
            f for f in folders if not f.startswith(".") and not (top and f in ASIDE)
        )
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or path.is_symlink():
                continue
            with contextlib.suppress(FileNotFoundError):
                info = path.stat()
                if max(info.st_mtime, info.st_ctime) <= before:
                    yield Ready(str(path.relative_to(folder)), info.st_size, info.st_mtime_ns)


def put_aside(folder: Path, file: str, reason: str = "", *, refused: bool = False) -> Path:
    """Move a file to `done` or `refused` of its folder; where it is now.

    `reason` is written beside it. One that is there with another content is not replaced.
    """
    path = folder / file
    target = folder / ASIDE[refused] / file
    if target.exists():
        with path.open("rb") as opened:
            mark = hashlib.file_digest(opened, "sha256").hexdigest()[:8]
        target = target.with_name(f"{target.stem}-{mark}{target.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    if reason:
        target.with_name(f"{target.name}.reason.txt").write_text(f"{reason}\n", encoding="utf-8")
    return target
