"""Checking files of FHIR resources: JSON, NDJSON and bundles, in any number of folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts import Progress, Silent
from dicomlake.errors import UsageError
from dicomlake.fhir import Release
from dicomlake.fhir.validation import validate

_ENDS = (".json", ".ndjson")
_NUMBER = re.compile(r"\[\d+\]")


@dataclass(slots=True)
class Checked:
    """What was checked: resources by type, those with faults, and each fault with where it is."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        total = self.counts.total()
        said = f"{self.wrong:,} of {total:,} resources have faults" if self.wrong else "all valid"
        return f"{total:,} resources: {said}."


def check(
    paths: Iterable[str | Path],
    release: Release,
    *,
    profiles: Iterable[str] = (),
    progress: Progress | None = None,
) -> Checked:
    """Check every resource of files and folders; UsageError for a path that is not there."""
    files, progress, wanted = list(_files(paths)), progress or Silent(), tuple(profiles)
    done = Checked()
    progress.stage("checked", None, "resources")
    for path in files:
        for number, resource in _resources(path):
            _check(done, f"{path}:{number}", resource, release, wanted)
            progress.advance()
            if progress.cancelled:
                return done
    return done


def _check(
    done: Checked, place: str, resource: Any, release: Release, profiles: tuple[str, ...]
) -> None:
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    done.counts[str(type_ or "no resource")[:64]] += 1
    found = validate(resource, release, profiles)
    done.wrong += bool(found)
    for fault in found:
        kind = _NUMBER.sub("", str(fault))
        done.faults[kind] += 1
        done.places.setdefault(kind, place)


def _files(paths: Iterable[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.suffix in _ENDS)
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"{path} is not there. Name a file or a folder with FHIR resources.")


def _resources(path: Path) -> Iterator[tuple[int, Any]]:
    """Line and resource; those of a bundle one by one."""
    if path.suffix == ".ndjson":
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _parsed(line, path, number)
        return
    told = _parsed(path.read_bytes(), path, 1)
    if isinstance(told, dict) and told.get("resourceType") == "Bundle":
        for number, entry in enumerate(told.get("entry") or (), 1):
            if isinstance(entry, dict) and "resource" in entry:
                yield number, entry["resource"]
        return
    for number, one in enumerate(told if isinstance(told, list) else [told], 1):
        yield number, one


def _parsed(data: bytes, path: Path, number: int) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path}:{number} is no JSON: {error.msg}.") from error
