"""Profiles: what is asked of a resource beyond its type, as far as the rules of a profile say it.

The rules are those of a differential: an id such as `series.extension:ct` and what is asked there.
They become a tree, which is walked beside the resource; slices are told apart by the values that
their own rules fix at the discriminators.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dicomlake.fhir.validation.coded import bound
from dicomlake.fhir.validation.definitions import Definitions
from dicomlake.fhir.validation.found import Found
from dicomlake.fhir.validation.references import leads_to
from dicomlake.fhir.validation.structure import fits, matches


@dataclass(slots=True)
class Node:
    """What a profile asks of an element, and of the elements inside of it."""

    name: str
    rules: dict[str, Any] = field(default_factory=dict)
    inner: dict[str, Node] = field(default_factory=dict)
    slices: dict[str, Node] = field(default_factory=dict)


class Overlays:
    """The trees of the profiles of a release."""

    def __init__(self, defined: Definitions) -> None:
        self._defined = defined
        self._trees: dict[str, Node] = {}

    def known(self, url: str) -> bool:
        """Whether a profile is known."""
        return url in self._defined.profiles

    def check(self, url: str, resource: dict[str, Any], found: Found) -> None:
        """Look at a resource by a profile and by those that it is based on."""
        profile = self._defined.profiles.get(url)
        if profile is None:
            return
        if profile["type"] != resource.get("resourceType"):
            found.error(f"the profile {_short(url)} is one of {profile['type']}", "meta.profile")
            return
        self.check(profile["base"], resource, found)
        tree = self._trees.get(url)
        if tree is None:
            tree = self._trees[url] = _tree(profile["elements"])
        start = len(found)
        self._inside(tree, resource, found)
        for one in found[start:]:
            one[2] += f" ({_short(url)})"

    def _inside(self, node: Node, value: Any, found: Found) -> None:
        if isinstance(value, dict):
            for inner in node.inner.values():
                self._element(inner, value, found)

    def _element(self, node: Node, owner: dict[str, Any], found: Found) -> None:
        """An element of an object: how often, and each of its values."""
        rules = node.rules
        for key, values, listed in _values(owner, node.name):
            least, most = rules.get("min", 0), rules.get("max", -1)
            if len(values) < least:
                found.error("is missing" if least == 1 else f"needs {least} values", key)
            elif 0 <= most < len(values):
                found.error(f"has more than {most} values" if most else "may not be here", key)
            types = rules.get("types")
            if types and values and not _typed(key, node.name, types):
                found.error("is not of a type that the profile has", key)
            for number, one in enumerate(values):
                start = len(found)
                self._value(node, key, one, found)
                found.below(start, f"{key}[{number}]" if listed else key)
            if node.slices:
                self._slices(node, key, values, found)

    def _value(self, node: Node, key: str, value: Any, found: Found) -> None:
        rules = node.rules
        if "fixed" in rules:
            matches(rules["fixed"], value, found)
        if "targets" in rules:
            targets = frozenset(map(self._type_of, rules["targets"])) - {"Resource"}
            inside = isinstance(value, dict) and isinstance(value.get("reference"), dict)
            leads = leads_to(value["reference"] if inside else value)
            if targets and leads in self._defined.resources and leads not in targets:
                found.error(f"leads to {leads}, which the profile does not have")
        listed = self._defined.codes.get(rules.get("binding", ""))
        if listed is not None:
            check = bound(rules["binding"], listed, _shape(value))
            if check is not None:
                check(value, found)
        self._inside(node, value, found)

    def _type_of(self, target: str) -> str:
        """The type of resource that a target names: a type, or the end of a profile's address."""
        if target in self._defined.resources:
            return target
        for url, profile in self._defined.profiles.items():
            if url.endswith(f"/{target}"):
                return str(profile["type"])
        return "Resource"

    def _slices(self, node: Node, key: str, values: list[Any], found: Found) -> None:
        by = node.rules.get("slicing", ())
        met: set[int] = set()
        for name, one in node.slices.items():
            hits = [n for n, value in enumerate(values) if _is_slice(one, by, value)]
            met.update(hits)
            least, most = one.rules.get("min", 0), one.rules.get("max", -1)
            if len(hits) < least:
                found.error(f"lacks {name}, which the profile asks for", key)
            elif 0 <= most < len(hits):
                found.error(f"has {name} more than {most} times", key)
            for number in hits:
                start = len(found)
                self._value(one, key, values[number], found)
                found.below(start, f"{key}[{number}]")
        if node.rules.get("closed") and len(met) < len(values):
            found.error("has values that the profile does not have", key)


def _short(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def _shape(value: Any) -> str:
    """The type of a coded value, by its members."""
    if isinstance(value, str):
        return "code"
    if isinstance(value, dict):
        if "concept" in value:
            return "CodeableReference"
        return "Coding" if value.keys() & {"system", "code"} else "CodeableConcept"
    return ""


def _values(owner: dict[str, Any], name: str) -> Iterator[tuple[str, list[Any], bool]]:
    """Key, values and whether they are a list: value[x] stands for what is there of it."""
    key = name
    if name.endswith("[x]"):
        base = name[:-3]
        found = [one for one in owner if one.startswith(base) and one[len(base) :][:1].isupper()]
        key = found[0] if found else base
    value = owner.get(key)
    if value is None:
        yield key, [], False
    elif isinstance(value, list):
        yield key, value, True
    else:
        yield key, [value], False


def _typed(key: str, name: str, types: list[str]) -> bool:
    if not name.endswith("[x]"):
        return True
    return key in {name[:-3] + one[0].upper() + one[1:] for one in types}


def _is_slice(node: Node, by: list[str] | tuple[str, ...], value: Any) -> bool:
    """Whether a value is one of a slice: it has what the slice fixes at the discriminators."""
    if "extension" in node.rules:
        return isinstance(value, dict) and value.get("url") == node.rules["extension"]
    told = False
    for path in by or ("$this",):
        for wanted, there in _at(node, [] if path == "$this" else path.split("."), value):
            told = True
            if not any(fits(wanted, one) for one in there):
                return False
    return told


def _at(node: Node, path: list[str], value: Any) -> Iterator[tuple[Any, list[Any]]]:
    """What a slice fixes at a path, or inside of it, and what a value has there."""
    here = [value]
    at: Node | None = node
    for number, name in enumerate(path):
        if at is not None and "fixed" in at.rules:
            wanted = at.rules["fixed"]
            for rest in path[number:]:
                wanted = _step(wanted, rest)
            if wanted is not None:
                yield wanted, [deep for one in here for deep in _walk(one, path[number:])]
                return
        at = at.inner.get(name) if at is not None else None
        here = [deep for one in here for deep in _walk(one, [name])]
    if at is None:
        return
    if "fixed" in at.rules:
        yield at.rules["fixed"], here
    for name in at.inner:
        yield from _at(node, [*path, name], value)


def _step(pattern: Any, name: str) -> Any:
    if isinstance(pattern, list):
        pattern = pattern[0] if pattern else None
    return pattern.get(name) if isinstance(pattern, dict) else None


def _walk(value: Any, path: list[str]) -> list[Any]:
    """The values at a path inside of a value."""
    here = [value]
    for name in path:
        deeper: list[Any] = []
        for one in here:
            inner = one.get(name) if isinstance(one, dict) else None
            if isinstance(inner, list):
                deeper += inner
            elif inner is not None:
                deeper.append(inner)
        here = deeper
    return here


def _tree(elements: list[dict[str, Any]]) -> Node:
    root = Node("")
    for rules in elements:
        node = root
        for step in rules["id"].split("."):
            name, _, part = step.partition(":")
            if name.endswith("[x]") and part:
                name, part = part, ""  # value[x]:valueQuantity is valueQuantity
            node = node.inner.setdefault(name, Node(name))
            if part:
                node = node.slices.setdefault(part, Node(part))
        node.rules.update({key: value for key, value in rules.items() if key != "id"})
    return root
