"""Rules of a site: a YAML file of questions whose series become findings.

- name: chest CT without contrast agent
  severity: warning
  where: Modality = 'CT' and BodyPartExamined = 'CHEST' and ContrastBolusAgent missing
  text: The agent is not documented.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dicomlake import plugins
from dicomlake.enrichers.conformance.rules import SEVERITIES, Rule
from dicomlake.errors import DicomlakeError, UsageError
from dicomlake.lake import Store
from dicomlake.query import Node, Query, parse

_KEYS = frozenset(["name", "severity", "where", "text", "path"])


@dataclass(frozen=True, slots=True)
class Asked:
    """A rule that is a question: its series have the fault."""

    name: str
    severity: str
    text: str
    path: str
    where: Node

    def row(self) -> dict[str, Any]:
        """Its row of `findings`."""
        return {"rule": self.name, "severity": self.severity, "path": self.path, "text": self.text}


def read(path: Path) -> tuple[tuple[Asked, ...], str]:
    """The rules of a file, and its digest; UsageError says what is wrong with which."""
    try:
        text = path.read_text(encoding="utf-8")
        told = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The rules {path} cannot be read. Give the path of a YAML file in UTF-8, from the "
            "folder of the lake."
        ) from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {error}.") from error
    if not isinstance(told, list):
        raise UsageError(f"{path} holds no list of rules. {_HOW}")
    rules = tuple(_rule(one, f"{path.name}, rule {at}") for at, one in enumerate(told, 1))
    names = [one.name for one in rules]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path.name} has two rules {name!r}. Give each its own name.")
    return rules, hashlib.sha256(text.encode()).hexdigest()[:8]


_HOW = "A rule has name, where (a question) and text; perhaps severity and path."


def _rule(told: Any, place: str) -> Asked:
    if not isinstance(told, dict) or not {"name", "where", "text"} <= set(told):
        raise UsageError(f"{place} is not complete. {_HOW}")
    if unknown := sorted(set(map(str, told)) - _KEYS):
        raise UsageError(f"{place} has {unknown[0]!r}, which is not known. {_HOW}")
    severity = str(told.get("severity", "warning"))
    if severity not in SEVERITIES:
        raise UsageError(f"{place}: {severity!r} is no severity. Use {', '.join(SEVERITIES)}.")
    try:
        where = parse(str(told["where"]))
    except DicomlakeError as error:
        raise UsageError(f"{place}: {error}") from error
    if where is None:
        raise UsageError(f"{place} asks nothing. {_HOW}")
    path = str(told.get("path", ""))
    return Asked(str(told["name"]), severity, str(told["text"]), path, where)


def met(store: Store, rules: tuple[Asked, ...]) -> dict[str, frozenset[str]]:
    """SeriesInstanceUID of the series that have the fault of each rule, by its name."""
    engine = plugins.load("engines", "duckdb")(store)
    found = {}
    for one in rules:
        rows = engine.answer(Query(one.where, "series", ("SeriesInstanceUID",))).rows
        found[one.name] = frozenset(map(str, rows.column("SeriesInstanceUID").to_pylist()))
    return found


def installed() -> list[Rule]:
    """Rules of other packages: entry points of the family `rules` name a Rule or a list of them."""
    found: list[Rule] = []
    for name in plugins.names("rules"):
        made = plugins.load("rules", name)
        found += [made] if isinstance(made, Rule) else list(made)
    return found
