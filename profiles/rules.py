"""Rules of profiles and extensions, from StructureDefinitions and from tables written by hand.

A table (`*.rules`) has a line per element, in the words of FHIR Shorthand where they are short:

    profile R4 ImagingStudy https://example.org/StructureDefinition/study
    series.modality from cid-33
    series.performer.actor only Device
    extension:reason 0..1
    category slice code,system
    category:lab 1..1 = {"code": "lab", "system": "https://example.org/kinds"}

    extension R4 ImagingStudy.series https://example.org/StructureDefinition/ct
    KVP 0..1 Quantity = {"unit": "kilovolt", "code": "kV"}

    codes cid-33 http://dicom.nema.org/resources/ontology/DCM CT MR
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def rules_of(structure: Json) -> Json:
    """The rules of a profile: what its differential says of elements."""
    return {
        "url": structure["url"],
        "type": structure["type"],
        "base": structure["baseDefinition"],
        "elements": [
            rules
            for element in structure["differential"]["element"]
            if "." in element["id"] and len(rules := _rules(element)) > 1
        ],
    }


def _rules(element: Json) -> Json:
    made: Json = {"id": element["id"].partition(".")[2]}
    if element.get("min"):
        made["min"] = element["min"]
    if element.get("max", "*") != "*":
        made["max"] = int(element["max"])
    kinds = element.get("type", ())
    if kinds and element["id"].endswith("[x]"):
        made["types"] = [kind["code"] for kind in kinds]
    targets = [target for kind in kinds for target in kind.get("targetProfile", ())]
    if targets:
        made["targets"] = [one.rsplit("/", 1)[-1] for one in targets]
    profiles = [url for kind in kinds for url in kind.get("profile", ())]
    if profiles and element["path"].endswith(("extension", "modifierExtension")):
        made["extension"] = profiles[0]
    for key, value in element.items():
        if key.startswith(("fixed", "pattern")):
            made["fixed"] = value
    binding = element.get("binding", {})
    if binding.get("strength") == "required":
        made["binding"] = binding["valueSet"].partition("|")[0]
    if "slicing" in element:
        found = element["slicing"]
        made["slicing"] = [one["path"] for one in found.get("discriminator", ())]
        made["closed"] = found.get("rules") == "closed"
    return made


def extension_of(structure: Json) -> Json:
    """The rules of an extension: types of its value, its parts, and where it may be."""
    made: Json = {"values": [], "parts": {}, "contexts": _contexts(structure)}
    view = structure.get("snapshot") or structure["differential"]
    slices: dict[str, Json] = {}
    for element in view["element"]:
        id_ = element["id"]
        if id_ == "Extension.value[x]" and element.get("max") != "0":
            made["values"] = [kind["code"] for kind in element.get("type", ())]
        if not id_.startswith("Extension.extension:"):
            continue
        name, _, rest = id_.removeprefix("Extension.extension:").partition(".")
        part = slices.setdefault(name, {"url": name, "min": 0, "max": -1, "types": []})
        if not rest:
            part["min"] = element.get("min", 0)
            most = element.get("max", "*")
            part["max"] = -1 if most == "*" else int(most)
        elif rest == "url":
            part["url"] = element.get("fixedUri", name)
        elif rest == "value[x]" and element.get("max") != "0":
            part["types"] = [kind["code"] for kind in element.get("type", ())]
    for part in slices.values():
        made["parts"][part.pop("url")] = part
    return made


def _contexts(structure: Json) -> list[str]:
    found = structure.get("context", ())
    if any(one["type"] != "element" for one in found):
        return []
    return [one["expression"] for one in found]


def written(folder: Path) -> Iterator[Json]:
    """What the tables of a folder say: things with `kind` "profile", "extension" or "codes"."""
    for path in sorted(folder.glob("*.rules")):
        yield from table(path.read_text(encoding="utf-8").splitlines())


def table(lines: Iterable[str]) -> Iterator[Json]:
    """What the lines of a table say."""
    open_: Json | None = None
    for line in lines:
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        head, _, rest = line.partition(" ")
        if head in ("profile", "extension", "codes"):
            if open_ is not None:
                yield open_
            open_ = _HEADS[head](rest.split())
        elif open_ is not None and open_["kind"] == "profile":
            open_["elements"].append(_element(line))
        elif open_ is not None:
            _part(open_, line)
    if open_ is not None:
        yield open_


def _profile(words: list[str]) -> Json:
    release, type_, url, *more = words
    base = more[0] if more else f"http://hl7.org/fhir/StructureDefinition/{type_}"
    return {
        "kind": "profile", "release": release, "url": url, "type": type_, "base": base,
        "elements": [],
    }  # fmt: skip


def _extension(words: list[str]) -> Json:
    release, contexts, url = words
    return {
        "kind": "extension", "release": release, "url": url, "values": [], "parts": {},
        "contexts": [] if contexts == "*" else contexts.split(","),
    }  # fmt: skip


def _codes(words: list[str]) -> Json:
    name, system, *codes = words
    return {"kind": "codes", "url": name, "system": system, "codes": codes}


_HEADS = {"profile": _profile, "extension": _extension, "codes": _codes}


def _said(line: str) -> Json:
    """What a line says after the name of its element."""
    line, _, fixed = line.partition(" = ")
    made: Json = {"fixed": json.loads(fixed)} if fixed else {}
    words = iter(shlex.split(line)[1:])
    for word in words:
        if ".." in word:
            least, _, most = word.partition("..")
            if least not in ("", "0"):
                made["min"] = int(least)
            if most not in ("", "*"):
                made["max"] = int(most)
        elif word == "from":
            made["binding"] = next(words)
        elif word == "only":
            made["targets"] = next(words).split(",")
        elif word == "slice":
            made["slicing"] = next(words).split(",")
        elif word == "closed":
            made["closed"] = True
        elif word == "is":
            made["extension"] = next(words)
        else:
            made["types"] = word.split(",")
    return made


def _element(line: str) -> Json:
    return {"id": line.split(" ", 1)[0], **_said(line)}


def _part(extension: Json, line: str) -> None:
    name, said = line.split(" ", 1)[0], _said(line)
    if name == "value[x]":
        extension["values"] = said.pop("types")
        extension.update({key: said[key] for key in ("fixed", "binding", "targets") if key in said})
    else:
        extension["parts"][name] = {"min": 0, "max": -1, **said}
