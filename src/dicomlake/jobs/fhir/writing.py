"""Resources as files: NDJSON, one file per type, in parts of a bounded size."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dicomlake.contracts import Progress, Silent
from dicomlake.errors import UsageError
from dicomlake.fhir import Release, Site
from dicomlake.jobs.fhir.making import Made, Maker
from dicomlake.lake import Store

PART = 256_000_000
"""Bytes of a file from which on the next part begins."""


@dataclass(slots=True)
class Written:
    """What was written: the folder, resources by type, files and bytes."""

    folder: Path
    counts: Counter[str] = field(default_factory=Counter)
    files: list[Path] = field(default_factory=list)
    bytes: int = 0
    stopped: bool = False

    def __str__(self) -> str:
        if self.stopped:
            return "Stopped. Nothing was written."
        kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()))
        return f"{self.counts.total():,} resources in {self.folder}: {kinds or 'none'}."


def write_ndjson(
    store: Store,
    folder: str | Path,
    site: Site,
    release: Release,
    *,
    types: Iterable[str] | None = None,
    progress: Progress | None = None,
    part: int = PART,
) -> Written:
    """Write resources into a new folder: Type.ndjson, Type-2.ndjson and so on.

    The folder is there when all of it is; when the job is cancelled or fails, nothing is.
    UsageError when the folder is there already, or cannot be made.
    """
    target, progress = Path(folder).absolute(), progress or Silent()
    made = Maker(store, site, release).all(progress, types)
    with _new(target) as work:
        written = _written(made, work, target, part)
        written.stopped = progress.cancelled
        if not written.stopped:
            _publish(work, target)
    return written


def _written(made: Iterable[Made], work: Path, target: Path, part: int) -> Written:
    written = Written(target)
    with contextlib.ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        parts: Counter[str] = Counter()
        for one in made:
            type_ = one.type
            if type_ not in files or files[type_].tell() >= part:
                parts[type_] += 1
                name = f"{type_}.ndjson" if parts[type_] == 1 else f"{type_}-{parts[type_]}.ndjson"
                files[type_] = stack.enter_context((work / name).open("wb"))
                written.files.append(target / name)
            written.bytes += files[type_].write(one.line + b"\n")
            written.counts[type_] += 1
    return written


@contextlib.contextmanager
def _new(target: Path) -> Iterator[Path]:
    """A folder beside the one that is to come, gone when the block ends."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already. Name a new folder.")
    work = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(f"{target} cannot be made: {error.strerror}.") from error
    try:
        yield work
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _publish(work: Path, target: Path) -> None:
    for path in work.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if target.exists():
        target.rmdir()
    work.replace(target)
