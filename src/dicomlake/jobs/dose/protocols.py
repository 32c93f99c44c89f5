"""Standard names of protocols and devices by rules, and what is no patient.

Rules are data: `tables/names.yaml` here, names.yaml of a site before it. The first rule that fits
counts. A rule may hold from a day on, and until one: names have a history.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from dicomlake.errors import UsageError
from dicomlake.terms import sheets

_PACKAGE = "dicomlake.jobs.dose.tables"
_ON = ("protocol", "StudyDescription", "RequestedProcedureDescription")
"""Columns that rules look at when they do not say which."""
COLUMNS = frozenset(
    """protocol StudyDescription RequestedProcedureDescription kind type region
    Manufacturer ManufacturerModelName StationName DeviceSerialNumber InstitutionName
    PatientID PatientName""".split()
)
"""Columns that rules may look at."""
_KEYS = frozenset(
    "standard kind region match codes except columns device valid_from valid_to".split()
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it says, and of what."""

    standard: str
    name: str
    kind: str = ""
    region: str = ""
    on: tuple[str, ...] = _ON
    fits: tuple[Callable[[str], bool], ...] = ()
    unless: tuple[Callable[[str], bool], ...] = ()
    device: tuple[Callable[[str], bool], ...] = ()
    valid_from: date | None = None
    valid_to: date | None = None

    def holds(self, row: Mapping[str, Any], day: date | None) -> bool:
        """Whether the rule fits a row of that day; without a day its history does not count."""
        if self.kind and row.get("kind") != self.kind:
            return False
        if day and self.valid_from and day < self.valid_from:
            return False
        if day and self.valid_to and day > self.valid_to:
            return False
        if self.device and not _any(self.device, row.get("ManufacturerModelName")):
            return False
        said = [text for name in self.on if (text := row.get(name))]
        if any(_any(self.unless, text) for text in said):
            return False
        return any(_any(self.fits, text) for text in said)


def _any(tests: Iterable[Callable[[str], bool]], text: object) -> bool:
    return text is not None and any(test(str(text)) for test in tests)


@dataclass(slots=True)
class Names:
    """All rules; `stamp` says of which files."""

    protocols: tuple[Rule, ...]
    devices: tuple[Rule, ...]
    nobody: tuple[Rule, ...]
    stamp: str
    _known: dict[tuple[Any, ...], Rule | None] = field(default_factory=dict)
    _looked: dict[int, tuple[tuple[str, ...], bool]] = field(default_factory=dict)

    def protocol(self, row: Mapping[str, Any], day: date | None) -> Rule | None:
        """The rule that names the protocol of a row; remembered."""
        return self._first(self.protocols, row, day)

    def device(self, row: Mapping[str, Any], day: date | None) -> str | None:
        """The name of the device of a row, as mapped."""
        found = self._first(self.devices, row, day)
        return found.standard if found else None

    def not_patient(self, row: Mapping[str, Any]) -> str:
        """Why a row is of no patient, in words without data of patients; "" for one."""
        found = self._first(self.nobody, row, None)
        return f"{' or '.join(found.on)} is that of no patient" if found else ""

    def asked(self, part: str) -> list[str]:
        """Columns that rules of a part look at: protocols, devices or nobody."""
        names, with_history = _looked_at(getattr(self, part))
        return [*names, "StudyDate"] if with_history else [*names]

    def telling(self, part: str, column: str, text: str | None) -> bool:
        """Whether a text of a column says anything to a rule of a part."""
        rules = [rule for rule in getattr(self, part) if column in rule.on]
        return any(_any(rule.fits, text) or _any(rule.unless, text) for rule in rules)

    def _first(
        self, rules: tuple[Rule, ...], row: Mapping[str, Any], day: date | None
    ) -> Rule | None:
        if id(rules) not in self._looked:
            self._looked[id(rules)] = _looked_at(rules)
        names, with_history = self._looked[id(rules)]
        key = (id(rules), day if with_history else None, *map(row.get, names))
        if key not in self._known:
            self._known[key] = next((rule for rule in rules if rule.holds(row, day)), None)
        return self._known[key]


_ALWAYS = frozenset(["kind", "ManufacturerModelName"])
"""Columns that rules look at besides those that they name."""


def _looked_at(rules: tuple[Rule, ...]) -> tuple[tuple[str, ...], bool]:
    """Columns that some rules look at, and whether any of them has a history."""
    names = {name for rule in rules for name in rule.on} | _ALWAYS
    return tuple(sorted(names)), any(rule.valid_from or rule.valid_to for rule in rules)


def names_of(own: Path | None) -> Names:
    """The rules of a site and ours; UsageError says what is wrong with those of a site."""
    return _names(own, own.stat().st_mtime_ns if own else 0)


@lru_cache(maxsize=8)
def _names(own: Path | None, changed: int) -> Names:
    texts = [("names.yaml", sheets.ours(_PACKAGE, "names.yaml"))]
    if own:
        texts.insert(0, (f"{own.name} of the site", sheets.of_site(own, "names")))
    read = [(name, _document(name, text)) for name, text in texts]
    rules = {
        part: tuple(
            _rule(f"{name}, {part} {n}", rule, part)
            for name, document in read
            for n, rule in enumerate(document.get(part) or (), 1)
        )
        for part in ("protocols", "devices", "not_patient")
    }
    stamp = ", ".join(f"{name} {document.get('version', '')}".strip() for name, document in read)
    return Names(rules["protocols"], rules["devices"], rules["not_patient"], stamp)


def _document(name: str, text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{name} is no YAML: {str(error).splitlines()[0]}.") from error
    parts = {"version", "protocols", "devices", "not_patient"}
    if not isinstance(found, dict) or set(found) - parts:
        raise UsageError(f"{name}: it may have {', '.join(sorted(parts))}, and nothing else.")
    return found


def _rule(place: str, said: Any, part: str) -> Rule:
    if not isinstance(said, dict) or set(said) - _KEYS:
        wrong = sorted(set(said) - _KEYS)[0] if isinstance(said, dict) else said
        raise UsageError(f"{place}: {wrong!r} is not known. A rule has {', '.join(sorted(_KEYS))}.")
    if part != "not_patient" and not said.get("standard"):
        raise UsageError(f"{place}: say the standard name, as standard.")
    on = _listed(said.get("columns")) or (_ON if part == "protocols" else ())
    if not on or set(on) - COLUMNS:
        raise UsageError(f"{place}: columns is one or several of {', '.join(sorted(COLUMNS))}.")
    fits = tuple(pattern(place, text) for text in _listed(said.get("match")))
    fits += tuple(_equal(code) for code in _listed(said.get("codes")))
    if not fits:
        raise UsageError(f"{place}: say what it fits, as match or codes.")
    return Rule(
        str(said.get("standard") or "no patient"),
        place,
        str(said.get("kind") or ""),
        str(said.get("region") or ""),
        on,
        fits,
        tuple(pattern(place, text) for text in _listed(said.get("except"))),
        tuple(pattern(place, text) for text in _listed(said.get("device"))),
        day_of(place, said.get("valid_from")),
        day_of(place, said.get("valid_to")),
    )


def _listed(said: Any) -> tuple[str, ...]:
    if said is None:
        return ()
    return tuple(str(one) for one in said) if isinstance(said, list) else (str(said),)


def day_of(place: str, said: Any) -> date | None:
    """A day of a table; UsageError says where it is none."""
    if said in (None, ""):
        return None
    if isinstance(said, date):
        return said
    try:
        return date.fromisoformat(str(said))
    except ValueError as error:
        raise UsageError(f"{place}: {said!r} is no day. Write it like 2026-11-21.") from error


def _equal(code: str) -> Callable[[str], bool]:
    return lambda text: text == code


def pattern(place: str, text: str) -> Callable[[str], bool]:
    """A test of texts: a word or phrase that stands alone, a glob, or /a regular expression/.

    >>> test = pattern("", "schädel")
    >>> test("CT Schaedel"), test("SCHÄDEL_nativ"), test("Schädelbasis")
    (False, True, False)
    """
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            made = re.compile(text[1:-1], re.IGNORECASE)
        except re.error as error:
            raise UsageError(f"{place}: {text!r} is no regular expression: {error}.") from error
        return lambda said: made.search(said) is not None
    plain = _plain(text)
    if "*" in plain or "?" in plain:
        whole = re.compile(translate(plain))
        return lambda said: whole.match(_plain(said)) is not None
    alone = re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)")
    return lambda said: alone.search(_plain(said)) is not None


@lru_cache(maxsize=65536)
def _plain(text: str) -> str:
    """Small letters without accents; what joins words is a space."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in bare if not unicodedata.combining(letter))
    return re.sub(r"[_^\s]+", " ", bare).strip()
