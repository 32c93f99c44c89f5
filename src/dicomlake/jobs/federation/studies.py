"""A study: what is asked of every site, as a file that all of them can read.

Sections are conditions of the query language. Nothing in a study points at persons: a site refuses
one that does.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dicomlake.errors import UsageError
from dicomlake.jobs.access import masking
from dicomlake.query import Node, parse
from dicomlake.query.nodes import paths_of

LEVELS = ("patient", "study", "series")
BY = ("modality", "year", "sex", "age", "device")
"""What a section can be counted by, besides as a whole."""
MOST_SECTIONS = 50
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_TOML = re.compile(r"^\s*\[|^\s*[\w-]+\s*=", re.MULTILINE)
_TITLE = re.compile(r"[^\x00-\x1f]{1,100}")


@dataclass(frozen=True, slots=True)
class Export:
    """The dataset that a study wants at each site: of which section, cleaned by which profile."""

    section: str
    profile: str
    formats: tuple[str, ...] = ("dicom", "tables")
    labels: str = ""


@dataclass(frozen=True, slots=True)
class Study:
    """Named conditions, and what they are counted by; `level`: of the conditions."""

    name: str
    purpose: str
    sections: dict[str, str]
    level: str = "patient"
    by: tuple[str, ...] = ()
    export: Export | None = None
    nodes: dict[str, Node] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Study:
        """A study from plain values; UsageError says what is wrong with it."""
        unknown = sorted(said.keys() - {"name", "purpose", "sections", "level", "by", "export"})
        if unknown:
            raise UsageError(f"A study has no {unknown[0]!r}. It has name, purpose, level, "
                             "sections, by and export.")  # fmt: skip
        name, sections = said.get("name", ""), said.get("sections")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError("A study needs a name of small letters, digits and dashes, up to 40.")
        if not isinstance(said.get("purpose", ""), str):
            raise UsageError("The purpose of a study is a text.")
        if not isinstance(sections, Mapping) or not 0 < len(sections) <= MOST_SECTIONS:
            raise UsageError(f"A study has 1 to {MOST_SECTIONS} sections: a name and a condition.")
        level, by = said.get("level", "patient"), tuple(said.get("by", ()))
        if level not in LEVELS:
            raise UsageError(f"The level of a study is one of {', '.join(LEVELS)}.")
        if wrong := [one for one in by if one not in BY]:
            raise UsageError(f"A study is not counted by {wrong[0]!r}, but by {', '.join(BY)}.")
        nodes = {str(title): _node(str(title), text) for title, text in sections.items()}
        texts = {title: str(text) for title, text in sections.items()}
        export = _export(said.get("export"), texts)
        return cls(name, said.get("purpose", ""), texts, level, by, export, nodes)

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = {
            "name": self.name, "purpose": self.purpose, "level": self.level,
            "sections": self.sections, "by": list(self.by),
        }  # fmt: skip
        if self.export:
            found["export"] = {
                "section": self.export.section, "profile": self.export.profile,
                "formats": list(self.export.formats), "labels": self.export.labels,
            }  # fmt: skip
        return found

    @property
    def digest(self) -> str:
        """What tells this study from any other one."""
        text = json.dumps(self.plain, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _node(title: str, text: object) -> Node:
    if not _TITLE.fullmatch(title):
        raise UsageError("The name of a section is a text of up to 100 characters.")
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"The section {title!r} needs a condition, such as \"Modality = 'CT'\".")
    try:
        node = parse(text)
    except UsageError as error:
        raise UsageError(f"The section {title!r} has a mistake. {error}") from error
    if node is None:
        raise UsageError(f"The section {title!r} needs a condition.")
    masking.check(paths_of(node))
    return node


def _export(said: object, sections: Mapping[str, str]) -> Export | None:
    if said is None:
        return None
    if not isinstance(said, Mapping) or set(said) - {"section", "profile", "formats", "labels"}:
        raise UsageError("An export has section, profile, formats and labels.")
    made = Export(
        str(said.get("section", "")),
        str(said.get("profile", "")),
        tuple(map(str, said.get("formats", ("dicom", "tables")))),
        str(said.get("labels", "")),
    )
    if made.section not in sections:
        raise UsageError("An export names one of the sections of the study: section = NAME.")
    if made.profile in ("", "identified"):
        raise UsageError("An export names the profile by which every site cleans its data.")
    return made


def written(text: str, form: str = "") -> Study:
    """The study of a text: TOML, YAML or JSON; UsageError when it is none.

    >>> written('name = "a"\\n[sections]\\nCT = "Modality = \\'CT\\'"').level
    'patient'
    """
    try:
        if form == ".toml" or (not form and _TOML.search(text)):
            said: Any = tomllib.loads(text)
        else:
            said = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError("That cannot be read as a study: it is no TOML, YAML or JSON.") from error
    if not isinstance(said, dict):
        raise UsageError("That is no study: it needs a name and sections.")
    return Study.of(said)


def load(path: str | Path) -> Study:
    """The study of a file (.toml, .yaml, .json); UsageError when it is none."""
    file = Path(path)
    try:
        return written(file.read_text(encoding="utf-8"), file.suffix)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{file} cannot be read as a study: {type(error).__name__}.") from error
