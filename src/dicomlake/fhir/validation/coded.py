"""Codes: bindings to value sets that are required, by the type of the element."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dicomlake.fhir.validation.found import Check, Found

_MIME = re.compile(r"[a-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+(?:\s*;.*)?|[a-z]{2,10}")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
OPEN = {
    "http://hl7.org/fhir/ValueSet/mimetypes": (_MIME, "is no MIME type"),
    "http://hl7.org/fhir/ValueSet/all-languages": (_LANGUAGE, "is no language"),
}
"""Value sets that are a grammar."""

Codes = Mapping[str, frozenset[str]]


def bound(url: str, listed: Codes, type_: str) -> Check | None:
    """The check of a binding to a value set, for an element of a type; None where it has none."""
    name = url.rsplit("/", 1)[-1]
    words = f"the code is none of the required value set {name}"
    if type_ in ("code", "string", "uri"):
        return _plain(frozenset().union(*listed.values()), words)
    if type_ in ("Coding", "Quantity"):
        return _coding(listed, words)
    if type_ == "CodeableConcept":
        return _concept(listed, words)
    if type_ == "CodeableReference":
        concept = _concept(listed, words)

        def inside(value: Any, found: Found) -> None:
            if isinstance(value, dict) and "concept" in value:
                concept(value["concept"], found)

        return inside
    return None


def _plain(codes: frozenset[str], words: str) -> Check:
    everything = "*" in codes

    def check(value: Any, found: Found) -> None:
        if isinstance(value, str) and value not in codes and not everything:
            found.error(words)

    return check


def _in(listed: Codes, coding: Any) -> bool:
    if not isinstance(coding, dict):
        return True  # said elsewhere
    system, code = coding.get("system"), coding.get("code")
    if not isinstance(system, str) or not isinstance(code, str):
        return False
    codes = listed.get(system, frozenset())
    return code in codes or "*" in codes


def _coding(listed: Codes, words: str) -> Check:
    def check(value: Any, found: Found) -> None:
        if not _in(listed, value):
            found.error(words)

    return check


def _concept(listed: Codes, words: str) -> Check:
    def check(value: Any, found: Found) -> None:
        if not isinstance(value, dict):
            return
        codings = value.get("coding")
        if not isinstance(codings, list) or not any(_in(listed, one) for one in codings):
            found.error(words)

    return check
