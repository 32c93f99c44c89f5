"""Compile definitions of FHIR to what `dicomlake.fhir.validation` reads.

    python fhir/compile.py R4 PACKAGE    of the unpacked npm package hl7.fhir.r4.examples 4.0.1
    python fhir/compile.py R5 PACKAGE    of the unpacked npm package hl7.fhir.r5.core 5.0.0

PACKAGE is the folder with the JSON files. What the resources of dicomlake are made of is kept:
cardinality, types, fixed values, required bindings whose codes can be listed, targets of references
and the forms of primitive values. The result is src/dicomlake/fhir/definitions/RELEASE.json, or in
the folder that is named last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parent / "src/dicomlake/fhir/definitions"
RESOURCES = """Patient Device Endpoint ImagingStudy BodyStructure Observation DiagnosticReport
    DocumentReference Provenance ImagingSelection Bundle Practitioner Organization""".split()
_BASE = "http://hl7.org/fhir/StructureDefinition/"
_SYSTEM = "http://hl7.org/fhirpath/System."
_REGEX = "http://hl7.org/fhir/StructureDefinition/regex"

Json = dict[str, Any]


class Package:
    """The definitions of a package."""

    def __init__(self, folder: Path) -> None:
        self.about = json.loads((folder / "package.json").read_text())
        self.types = {
            path.stem.partition("-")[2]: path for path in folder.glob("StructureDefinition-*.json")
        }
        self.sets = {path.stem.partition("-")[2]: path for path in folder.glob("ValueSet-*.json")}
        self._systems: dict[str, Json] = {}
        for path in folder.glob("CodeSystem-*.json"):
            told = json.loads(path.read_text())
            self._systems[told["url"]] = told
        self._urls: dict[str, Path] = {}
        for path in self.sets.values():
            self._urls[json.loads(path.read_text())["url"]] = path

    def structure(self, name: str) -> Json:
        """The definition of a type."""
        found: Json = json.loads(self.types[name].read_text())
        return found

    def codes(self, url: str) -> list[list[str]] | None:
        """System and code of everything in a value set; None where it cannot be listed."""
        path = self._urls.get(url.partition("|")[0])
        if path is None:
            return None
        compose = json.loads(path.read_text()).get("compose", {})
        if "exclude" in compose:
            return None
        found: list[list[str]] = []
        for include in compose.get("include", ()):
            codes = self._included(include)
            if codes is None:
                return None
            found += codes
        return found or None

    def _included(self, include: Json) -> list[list[str]] | None:
        if "filter" in include:
            return None
        found: list[list[str]] = []
        for url in include.get("valueSet", ()):
            more = self.codes(url)
            if more is None:
                return None
            found += more
        system = include.get("system")
        if system is None:
            return found
        if "concept" in include:
            return found + [[system, one["code"]] for one in include["concept"]]
        known = self._systems.get(system)
        if known is None or known.get("content") != "complete" or len(found) > 2000:
            return None
        return found + [[system, code] for code in _codes(known.get("concept", ()))]


def _codes(concepts: Any) -> Iterator[str]:
    for one in concepts:
        yield one["code"]
        yield from _codes(one.get("concept", ()))


def compile_(package: Package, release: str) -> Json:
    """The definitions of the resources of a release, and of every type that they are made of."""
    types: dict[str, Json] = {}
    sets: dict[str, list[list[str]]] = {}
    wanted = [name for name in RESOURCES if name in package.types]
    while wanted:
        name = wanted.pop()
        if name in types:
            continue
        types[name] = _type(package, name, sets)
        wanted += [
            one
            for element in types[name].get("elements", {}).values()
            for one in element["types"]
            if one not in types
            and one in package.types
            and one not in ("Resource", "DomainResource")
        ]
    about = package.about
    source = f"{about['name']} {about['version']}"
    return {
        "release": release,
        "source": source.replace("r4.examples", "r4.core (in hl7.fhir.r4.examples)"),
        "licence": "CC0-1.0",
        "resources": sorted(name for name in RESOURCES if name in types),
        "types": dict(sorted(types.items())),
        "sets": dict(sorted(sets.items())),
    }


def _type(package: Package, name: str, sets: dict[str, list[list[str]]]) -> Json:
    told = package.structure(name)
    if told["kind"] == "primitive-type":
        return {"primitive": _form(told)}
    elements = {}
    for one in told["snapshot"]["element"][1:]:
        path = one["path"].partition(".")[2]
        elements[path] = _element(package, one, sets)
    return {"elements": elements}


def _form(told: Json) -> str:
    """The regular expression of a primitive type."""
    for element in told["snapshot"]["element"]:
        if element["path"].endswith(".value"):
            for type_ in element.get("type", ()):
                for extension in type_.get("extension", ()):
                    if extension["url"] == _REGEX:
                        return str(extension["valueString"])
    return ""


def _element(package: Package, one: Json, sets: dict[str, list[list[str]]]) -> Json:
    made: Json = {"min": one["min"], "max": one["max"], "types": []}
    if "contentReference" in one:
        made["like"] = one["contentReference"].rpartition("#")[2].partition(".")[2]
    targets: set[str] = set()
    for type_ in one.get("type", ()):
        code = type_["code"]
        made["types"].append("string" if code.startswith(_SYSTEM) else code)
        targets |= {url.removeprefix(_BASE) for url in type_.get("targetProfile", ())}
    if targets and "Resource" not in targets:
        made["targets"] = sorted(targets)
    for key, value in one.items():
        if key.startswith(("fixed", "pattern")):
            made["pattern"] = value
    binding = one.get("binding", {})
    if binding.get("strength") == "required" and "valueSet" in binding:
        url = binding["valueSet"].partition("|")[0]
        codes = sets.get(url) or package.codes(url)
        if codes and len(codes) < 1000:
            sets[url] = codes
            made["set"] = url
    return made


def main() -> None:
    """Write the definitions of a release."""
    release, folder, *out = sys.argv[1:]
    made = compile_(Package(Path(folder)), release)
    path = Path(out[0] if out else OUT) / f"{release}.json"
    path.write_text(json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n")
    sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes, {len(made['types'])} types\n")


if __name__ == "__main__":
    main()
