"""Compile the definitions that the validator reads: `python -m profiles.definitions`.

They come from the packages in tests/fhir/node_modules (`npm ci` there). Of each release stay the
elements of all types, codes of value sets that are required, and extensions with their types.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from profiles.rules import extension_of, rules_of, table, written

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "tests" / "fhir" / "node_modules"
SHIPPED = HERE.parent / "src" / "dicomlake" / "fhir" / "validation" / "compiled"
OWN = SHIPPED.parent / "profiles"
"""Profiles of ours, as SUSHI compiled them."""
RELEASES = {"R4": "hl7.fhir.r4.examples", "R5": "hl7.fhir.r5.core"}
CORE = "http://hl7.org/fhir/StructureDefinition/"
"""Base of the addresses of HL7's own definitions."""
PROFILES = ("vitalsigns", "bodyheight", "bodyweight", "SimpleQuantity")
"""Profiles of HL7 that we use."""

__all__ = ["compiled", "main", "packed", "read", "table", "unpacked"]

GRAMMARS = ("http://hl7.org/fhir/ValueSet/mimetypes", "http://hl7.org/fhir/ValueSet/all-languages")
"""Value sets whose codes follow a grammar."""

Json = dict[str, Any]


def read(folder: Path, kind: str) -> Iterator[Json]:
    """The definitions of a kind in a package, in order of their files."""
    for path in sorted(folder.glob(f"{kind}-*.json")):
        found = json.loads(path.read_bytes())
        if found.get("resourceType") == kind:
            yield found


def compiled(release: str, packages: Path = PACKAGES) -> Json:
    """All that the validator knows of a release."""
    folder = packages / RELEASES[release]
    structures = list(read(folder, "StructureDefinition"))
    resources = sorted(one["name"] for one in structures if _is_resource(one))
    codes = Codes(folder, OWN / release.lower())
    types: Json = {}
    for one in structures:
        base = one.get("derivation", "specialization") == "specialization"
        if one["kind"] in ("resource", "complex-type") and base:
            types.update(_types(one, codes, resources))
    known = [one for one in structures if one["url"].removeprefix(CORE) in PROFILES]
    own = list(_shipped(release))
    profiles = {one["url"]: rules_of(one) for one in [*known, *own] if one["type"] != "Extension"}
    extensions = {
        one["url"]: extension_of(one)
        for one in [*structures, *own]
        if one["type"] == "Extension" and one.get("derivation") == "constraint"
    }
    for one in written(HERE):
        kind, url = one.pop("kind"), one["url"]
        if kind == "codes":
            codes.needed[url] = {one["system"]: one["codes"]}
        elif one.pop("release") == release:
            (profiles if kind == "profile" else extensions)[url] = one
    for rules in _all_rules(profiles.values()):
        if "binding" in rules:
            codes.need(rules["binding"])
    return {
        "release": release,
        "resources": resources,
        "types": types,
        "codes": codes.needed,
        "extensions": extensions,
        "profiles": profiles,
    }


def _shipped(release: str) -> Iterator[Json]:
    """Profiles and extensions of ours."""
    yield from read(OWN / release.lower(), "StructureDefinition")


def _all_rules(profiles: Iterable[Json]) -> Iterator[Json]:
    for one in profiles:
        yield from one["elements"]


def _is_resource(one: Json) -> bool:
    kind = one["kind"] == "resource" and one.get("derivation") == "specialization"
    return kind and not one["abstract"]


def _types(structure: Json, codes: Codes, resources: list[str]) -> Json:
    """Elements of a type, and of the types inside of it: name, least, most, types, more."""
    made: Json = {}
    for element in structure["snapshot"]["element"]:
        path = element["path"]
        parent, _, name = path.rpartition(".")
        if not parent:
            made[path] = []
            continue
        made.setdefault(parent, []).append(
            _element(element, path, name, parent in resources, codes)
        )
    return made


def _element(element: Json, path: str, name: str, top: bool, codes: Codes) -> list[Any]:
    most = -1 if element["max"] == "*" else int(element["max"])
    more: Json = {}
    if "contentReference" in element:
        return [name, element["min"], most, [element["contentReference"].partition("#")[2]], more]
    kinds = []
    for kind in element.get("type", ()):
        code = kind["code"]
        if name == "id":
            code = "id" if top else "string"
        elif code.startswith("http://hl7.org/fhirpath/"):
            code = _own_type(kind)
        if code in ("BackboneElement", "Element"):
            code = path
        kinds.append(code)
        if code in ("Reference", "CodeableReference"):
            more["targets"] = [one.rsplit("/", 1)[-1] for one in kind.get("targetProfile", ())]
        if any(one.endswith("/SimpleQuantity") for one in kind.get("profile", ())):
            more["simple"] = True
    binding = element.get("binding", {})
    if binding.get("strength") == "required":
        url = binding["valueSet"].partition("|")[0]
        if codes.need(url) or url in GRAMMARS:
            more["binding"] = url
    for key, value in element.items():
        if key.startswith(("fixed", "pattern")):
            more["fixed"] = value
    return [name, element["min"], most, kinds, more]


def _own_type(kind: Json) -> str:
    """The type of a value that is written as one of FHIRPath."""
    told = [one.get("valueUrl") for one in kind.get("extension", ())]
    return str(told[0]) if told and told[0] else "string"


class Codes:
    """Codes of value sets, as far as a package lists them."""

    def __init__(self, *folders: Path) -> None:
        self._sets = {one["url"]: one for place in folders for one in read(place, "ValueSet")}
        self._systems = {one["url"]: one for place in folders for one in read(place, "CodeSystem")}
        self.needed: dict[str, dict[str, list[str]]] = {}
        self._open: set[str] = set()

    def need(self, address: str) -> bool:
        """Whether the codes of a value set are known; remembers them."""
        url = address.partition("|")[0]
        if url not in self.needed and url not in self._open:
            found = self._codes(url)
            if found is None:
                self._open.add(url)
            else:
                self.needed[url] = {name: sorted(codes) for name, codes in sorted(found.items())}
        return url in self.needed

    def _codes(self, url: str) -> dict[str, set[str]] | None:
        """System -> its codes; None when not all of them are listed."""
        found: dict[str, set[str]] = {}
        for part in self._sets.get(url, {}).get("compose", {}).get("include", ()):
            if "filter" in part:
                return None
            for inner in part.get("valueSet", ()):
                more = self._codes(inner.partition("|")[0])
                if more is None:
                    return None
                for system, codes in more.items():
                    found.setdefault(system, set()).update(codes)
            if "system" not in part:
                continue
            listed = part.get("concept")
            codes = {one["code"] for one in listed} if listed else self._all(part["system"])
            if not codes:
                return None
            found.setdefault(part["system"], set()).update(codes)
        for part in self._sets.get(url, {}).get("compose", {}).get("exclude", ()):
            gone = {one["code"] for one in part.get("concept", ())}
            found.get(part.get("system", ""), set()).difference_update(gone)
        return found or None

    def _all(self, system: str) -> set[str]:
        known = self._systems.get(system, {})
        if known.get("content") != "complete":
            return set()
        return set(_flat(known.get("concept", ())))


def _flat(concepts: Iterable[Json]) -> Iterator[str]:
    for one in concepts:
        yield one["code"]
        yield from _flat(one.get("concept", ()))


def packed(made: Json) -> bytes:
    """The compiled definitions as they are shipped: the same bytes for the same definitions."""
    text = json.dumps(made, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def unpacked(made: bytes) -> Json:
    """Definitions that were packed."""
    found: Json = json.loads(gzip.decompress(made))
    return found


def main() -> None:
    """Compile both releases."""
    SHIPPED.mkdir(exist_ok=True)
    for release in RELEASES:
        made = packed(compiled(release))
        (SHIPPED / f"{release.lower()}.json.gz").write_bytes(made)
        print(f"{release}: {len(made):,} bytes")


if __name__ == "__main__":
    main()
