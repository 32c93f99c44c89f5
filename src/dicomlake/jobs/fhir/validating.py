"""Validating FHIR files: NDJSON, single resources, bundles and folders of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from dicomlake.errors import UsageError
from dicomlake.fhir.validation import Gathering, Problem
from dicomlake.fhir.validation.sets import about, entries

LINES = (".ndjson", ".jsonl")
"""Endings of files that have a resource per line."""
_EXAMPLES = 3
_INDEX = re.compile(r"\[\d+\]")


@dataclass(slots=True)
class Group:
    """A problem that several resources may have: how often, and some that have it."""

    severity: str
    path: str
    text: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What was looked at, by type of resource, and what is wrong: never values of a resource."""

    release: str
    types: Counter[str] = field(default_factory=Counter)
    groups: dict[tuple[str, str, str], Group] = field(default_factory=dict)

    def note(self, problem: Problem) -> None:
        """Count a problem with those that are like it."""
        path = _INDEX.sub("", problem.path)
        key = (problem.severity, path, problem.text)
        group = self.groups.setdefault(key, Group(*key))
        group.count += 1
        if len(group.examples) < _EXAMPLES and problem.about not in group.examples:
            group.examples.append(problem.about)

    def count(self, severity: str) -> int:
        """How many problems there are of a severity."""
        return sum(group.count for group in self.groups.values() if group.severity == severity)

    def listed(self) -> list[Group]:
        """All groups, errors first, then the frequent ones."""
        return sorted(self.groups.values(), key=lambda g: (g.severity, -g.count, g.path, g.text))


def validate(
    path: Path, release: str, profiles: Iterable[str] = (), *, alone: bool = False
) -> Report:
    """Check the resources of a file or of all files of a folder, which belong together.

    `alone`: do not ask whether what they refer to is among them. UsageError where there is no such
    file, or none in the folder.
    """
    report = Report(release)
    gathered = Gathering(release, profiles)
    for file in _files(path):
        for place, resource in _read(file):
            if isinstance(resource, orjson.JSONDecodeError):
                report.note(Problem("file", "error", "is no JSON", place))
                continue
            _count(report, resource)
            for problem in gathered.add(resource):
                report.note(problem)
    if not alone:
        for problem in gathered.missing():
            report.note(problem)
    return report


def _count(report: Report, resource: Any) -> None:
    report.types[about(resource).partition("/")[0]] += 1
    for _, inner in entries(resource):
        if inner is not None:
            report.types[about(inner).partition("/")[0]] += 1


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"There is no file or folder {path}.")
    found = sorted(one for one in path.rglob("*") if one.suffix in (*LINES, ".json"))
    if not found:
        raise UsageError(f"No file in {path} ends with .ndjson, .jsonl or .json.")
    return found


def _read(file: Path) -> Iterator[tuple[str, Any]]:
    """Each resource of a file with its place; an error of JSON where it is none."""
    if file.suffix not in LINES:
        yield file.name, _parsed(file.read_bytes())
        return
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.isspace():
                yield f"{file.name}:{number}", _parsed(line)


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return error
