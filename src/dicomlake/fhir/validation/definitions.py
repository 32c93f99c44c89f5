"""The definitions of a release: types, codes, extensions and profiles, compiled by `profiles/`."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from dicomlake.errors import UsageError

RELEASES = ("R4", "R5")
"""Releases that resources can be checked by."""

Element = tuple[str, int, int, list[str], dict[str, Any]]
"""Name, least, most (-1: any number), types, and what else is asked of an element."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """What a release says. Codes: value set -> system -> codes; "*" stands for all of a system."""

    release: str
    resources: frozenset[str]
    types: dict[str, list[Element]]
    codes: dict[str, dict[str, frozenset[str]]]
    extensions: dict[str, dict[str, Any]]
    profiles: dict[str, dict[str, Any]]


@cache
def definitions(release: str) -> Definitions:
    """The definitions of "R4" or "R5".

    >>> "ImagingSelection" in definitions("R5").resources, len(definitions("R4").resources)
    (True, 146)
    """
    if release not in RELEASES:
        raise UsageError(f"{release!r} is no release that can be checked. Take R4 or R5.")
    place = files(__package__) / "compiled" / f"{release.lower()}.json.gz"
    read = orjson.loads(gzip.decompress(place.read_bytes()))
    return Definitions(
        read["release"],
        frozenset(read["resources"]),
        read["types"],
        {
            url: {system: frozenset(codes) for system, codes in listed.items()}
            for url, listed in read["codes"].items()
        },
        read["extensions"],
        read["profiles"],
    )
