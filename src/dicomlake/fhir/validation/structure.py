"""Checks of types, compiled from their definitions into functions, once each.

A function per type looks at each member of an object: is it an element of the type, is it one value
or a list as it must be, does its own type hold, do its codes, its references and its extensions?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dicomlake.fhir.validation.coded import OPEN, bound
from dicomlake.fhir.validation.definitions import Definitions, Element
from dicomlake.fhir.validation.found import Check, Found, named
from dicomlake.fhir.validation.invariants import INVARIANTS, R5_ONLY
from dicomlake.fhir.validation.primitives import PRIMITIVES
from dicomlake.fhir.validation.references import check_reference


class Structures:
    """Checks of all types of a release; `resource` checks what is inside of others."""

    def __init__(self, defined: Definitions, resource: Check, extended: Extended) -> None:
        self._defined, self._resource, self._extended = defined, resource, extended
        self._made: dict[str, Check] = {}

    def of(self, type_: str) -> Check:
        """The check of a type."""
        made = self._made.get(type_)
        if made is None:
            made = self._made[type_] = self._compiled(type_)
        return made

    def _compiled(self, type_: str) -> Check:
        if type_ in PRIMITIVES:
            return PRIMITIVES[type_]
        if type_ == "Resource" or type_ not in self._defined.types:
            return self._resource
        table = _Table()
        for element in self._defined.types[type_]:
            self._add(table, type_, element)
        rules = INVARIANTS.get(type_, ())
        if self._defined.release == "R5":
            rules += R5_ONLY.get(type_, ())
        return _of_object(table, rules, type_ in self._defined.resources)

    def _add(self, table: _Table, owner: str, element: Element) -> None:
        name, least, most, kinds, more = element
        choice = name.endswith("[x]")
        keys = []
        for kind in kinds:
            key = name[:-3] + kind[0].upper() + kind[1:] if choice else name
            keys.append(key)
            check = self._value(owner, name, kind, more)
            primitive = kind in PRIMITIVES
            if name == "contained":
                check = _contained(check)
            table.checks[key] = check if most == 1 else _many(check, most, primitive)
            if primitive:
                extra = self._later("Element")
                table.checks[f"_{key}"] = extra if most == 1 else _companions(extra)
                table.primitives.add(key)
                if most != 1:
                    table.lists.append(key)
        if least:
            table.required.append((name.removesuffix("[x]"), [*keys, *(f"_{k}" for k in keys)]))
        if choice:
            table.choices.append((name, frozenset(keys)))

    def _later(self, type_: str) -> Check:
        """The check of a type that is compiled when it is met: types hold one another."""
        inner: Check | None = None

        def check(value: Any, found: Found) -> None:
            nonlocal inner
            if inner is None:
                inner = self.of(type_)
            inner(value, found)

        return check

    def _value(self, owner: str, name: str, kind: str, more: Mapping[str, Any]) -> Check:
        """The check of one value of an element."""
        if kind == "Extension":
            return self._extended.check(self._later("Extension"), owner, name)
        checks = [PRIMITIVES.get(kind) or self._later(kind)]
        if kind in ("Reference", "CodeableReference"):
            targets = frozenset(more.get("targets", ())) - {"Resource"}
            checks.append(self._referring(kind, targets))
        url = more.get("binding", "")
        if url in OPEN:
            checks.append(_grammar(*OPEN[url]))
        elif url in self._defined.codes:
            coded = bound(url, self._defined.codes[url], kind)
            checks += [coded] if coded else []
        if "fixed" in more:
            checks.append(_fixed(more["fixed"]))
        if more.get("simple"):
            checks.append(_simple)
        return _all(checks)

    def _referring(self, kind: str, targets: frozenset[str]) -> Check:
        known = self._defined.resources

        def check(value: Any, found: Found) -> None:
            check_reference(value, targets, known, found)

        def inside(value: Any, found: Found) -> None:
            if isinstance(value, dict) and "reference" in value:
                start = len(found)
                check_reference(value["reference"], targets, known, found)
                found.below(start, "reference")

        return check if kind == "Reference" else inside


class _Table:
    """The members that objects of a type may have."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}
        self.required: list[tuple[str, list[str]]] = []
        self.choices: list[tuple[str, frozenset[str]]] = []
        self.primitives: set[str] = set()
        self.lists: list[str] = []


def _of_object(table: _Table, rules: tuple[Check, ...], resource: bool) -> Check:
    checks, required, choices = table.checks, table.required, table.choices
    listed = frozenset(table.lists)

    def check(value: Any, found: Found) -> None:
        if type(value) is not dict:
            found.error("must be an object")
            return
        if not value:
            found.error("is empty (ele-1)")
            return
        for key, member in value.items():
            look = checks.get(key)
            if look is None:
                if not (resource and key == "resourceType"):
                    found.error("is no element of that place", named(key))
                continue
            start = len(found)
            look(member, found)
            if key in listed and None in (member if type(member) is list else ()):
                _holes(value, key, found)
            if len(found) != start:
                found.below(start, key)
        for name, keys in required:
            if not any(key in value for key in keys):
                found.error("is missing", name)
        for name, several in choices:
            if len(several & value.keys()) > 1:
                found.error("has more than one value", name)
        for rule in rules:
            rule(value, found)

    return check


def _contained(check: Check) -> Check:
    def run(value: Any, found: Found) -> None:
        outside, found.inside = found.inside, True
        check(value, found)
        found.inside = outside

    return run


def _holes(value: Mapping[str, Any], key: str, found: Found) -> None:
    """Where a list of primitives has null, its companion has an object."""
    beside = value.get(f"_{key}")
    for number, one in enumerate(value[key]):
        extra = beside[number] if isinstance(beside, list) and number < len(beside) else None
        if one is None and extra is None:
            found.error("is null", f"[{number}]")


def _many(check: Check, most: int, primitive: bool) -> Check:
    def run(value: Any, found: Found) -> None:
        if type(value) is not list:
            found.error("must be a list")
            return
        if not value:
            found.error("is an empty list")
        if most == 0:
            found.error("may not be here")
        elif 0 < most < len(value):
            found.error(f"has more than {most} values")
        for number, one in enumerate(value):
            if one is None and primitive:
                continue
            start = len(found)
            check(one, found)
            if len(found) != start:
                found.below(start, f"[{number}]")

    return run


def _companions(check: Check) -> Check:
    def run(value: Any, found: Found) -> None:
        if type(value) is not list or not any(value):
            found.error("must be a list that says something")
            return
        for number, one in enumerate(value):
            if one is not None:
                start = len(found)
                check(one, found)
                found.below(start, f"[{number}]")

    return run


def _all(checks: list[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks

        def both(value: Any, found: Found) -> None:
            first(value, found)
            second(value, found)

        return both

    def run(value: Any, found: Found) -> None:
        for check in checks:
            check(value, found)

    return run


def _grammar(pattern: Any, words: str) -> Check:
    def check(value: Any, found: Found) -> None:
        if isinstance(value, str) and not pattern.fullmatch(value):
            found.error(words)

    return check


def _fixed(wanted: Any) -> Check:
    def check(value: Any, found: Found) -> None:
        if value != wanted:
            found.error("is not the value that is fixed here")

    return check


def _simple(value: Any, found: Found) -> None:
    if isinstance(value, dict) and "comparator" in value:
        found.error("may not be here (sqty-1)", "comparator")


_DEFINING = ("CodeSystem", "OperationDefinition", "StructureDefinition", "ValueSet")
"""Resources whose extensions HL7 puts where their own contexts do not say."""


class Extended:
    """Checks of extensions: known ones by their rules, unknown ones as far as it goes."""

    def __init__(self, defined: Definitions, known: tuple[str, ...]) -> None:
        self._rules, self._codes, self._known = defined.extensions, defined.codes, known
        self._resources = defined.resources

    def check(self, structure: Check, owner: str, name: str) -> Check:
        """The check of an extension of elements of a type."""
        inner = owner == "Extension"
        place = owner if owner.partition(".")[0] in self._resources else ""

        def run(value: Any, found: Found) -> None:
            start = len(found)
            structure(value, found)
            sound = all(one[1] != "error" for one in found[start:])
            if sound and not (inner and ":" not in value["url"]):
                self._look(value, place, name, found)

        return run

    def _look(self, value: dict[str, Any], place: str, name: str, found: Found) -> None:
        url = value["url"]
        rules = self._rules.get(url)
        if rules is None:
            if ":" not in url:
                found.error("must be an absolute address", "url")
            elif url.startswith(self._known):
                found.error("is an extension that its publisher does not have", "url")
            elif name == "modifierExtension":
                found.error("a modifierExtension that is not known may not be ignored", "url")
            else:
                found.warning("is an extension that is not known here", "url")
            return
        contexts = rules["contexts"]
        if (
            place
            and contexts
            and not place.startswith(_DEFINING)
            and not _fits(place, contexts, self._resources)
        ):
            found.error(f"this extension may not be an extension of {place}", "url")
        if rules["parts"]:
            self._parts(value, rules["parts"], found)
        else:
            self._held(value, rules["values"], rules, found)

    def _parts(self, value: dict[str, Any], parts: dict[str, Any], found: Found) -> None:
        if any(key.startswith("value") for key in value):
            found.error("an extension of parts has no value of its own (ext-1)")
        counts = dict.fromkeys(parts, 0)
        for number, one in enumerate(value.get("extension", ())):
            start, part = len(found), parts.get(one["url"])
            if part is None:
                if ":" not in one["url"]:
                    found.error("is no part of this extension", "url")
            else:
                counts[one["url"]] += 1
                if part.get("types"):
                    self._held(one, part["types"], part, found)
            found.below(start, f"extension[{number}]")
        for url, part in parts.items():
            if counts[url] < part["min"]:
                found.error(f"lacks the part {url}")
            elif 0 <= part["max"] < counts[url]:
                found.error(f"has the part {url} more than {part['max']} times")

    def _held(
        self, value: dict[str, Any], types: list[str], rules: dict[str, Any], found: Found
    ) -> None:
        """Whether the value of an extension, or of a part, is as its rules want it."""
        keys = {"value" + kind[0].upper() + kind[1:]: kind for kind in types}
        held = [key for key in value if key.startswith("value")]
        if not held:
            if types and not any(key.startswith("_value") for key in value):
                found.error("has no value")
            return
        key = held[0]
        if key not in keys:
            found.error("is not of the type that this extension has", key)
            return
        start = len(found)
        if "binding" in rules:
            check = bound(rules["binding"], self._codes.get(rules["binding"], {}), keys[key])
            if check is not None:
                check(value[key], found)
        if "fixed" in rules:
            matches(rules["fixed"], value[key], found)
        if "targets" in rules:
            targets = frozenset(rules["targets"])
            check_reference(value[key], targets, self._resources, found)
        if isinstance(value[key], dict) and value[key].get("value") == 0 and "fixed" in rules:
            found.warning("is zero, which is no measurement", "value")
        found.below(start, key)


def _fits(place: str, contexts: list[str], resources: frozenset[str]) -> bool:
    general = {"Element", "Extension"}
    general |= {"Resource", "DomainResource"} if place in resources else {"BackboneElement"}
    return any(one == place or one in general or one.startswith(f"{place}#") for one in contexts)


def matches(pattern: Any, value: Any, found: Found) -> None:
    """Say where a value is not what a pattern fixes."""
    if isinstance(pattern, dict):
        for key, wanted in pattern.items():
            start = len(found)
            if not isinstance(value, dict) or key not in value:
                found.error("is missing")
            else:
                matches(wanted, value[key], found)
            found.below(start, key)
    elif isinstance(pattern, list):
        for wanted in pattern:
            if not isinstance(value, list) or not any(fits(wanted, one) for one in value):
                found.error("lacks what the profile fixes")
    elif value != pattern:
        found.error("is not what the profile fixes")


def fits(pattern: Any, value: Any) -> bool:
    """Whether a value is what a pattern fixes."""
    found = Found()
    matches(pattern, value, found)
    return not found
