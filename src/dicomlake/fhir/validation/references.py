"""References: how they are written, and to which types they may lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dicomlake.fhir.validation.found import Found

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FORMS = re.compile(
    r"(?P<base>https?://[^\s?#]+/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(?:/_history/[A-Za-z0-9\-.]{1,64})?"
    r"|(?P<query>[A-Z][A-Za-z]+)\?\S+"
    rf"|urn:uuid:{_UUID}|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
    r"|#[A-Za-z0-9\-.]{0,64}|https?://\S+"
)


def check_reference(
    value: Any, targets: frozenset[str], known: frozenset[str], found: Found
) -> None:
    """Whether a Reference can be followed and leads to one of some types (none: to any)."""
    if not isinstance(value, dict):
        return
    text, type_ = value.get("reference"), value.get("type")
    if isinstance(type_, str):
        type_ = type_.rsplit("/", 1)[-1]
        if type_ not in known and targets:
            found.error("names no type of resource", "type")
        elif targets and type_ not in targets:
            found.error("may not lead to that type of resource", "type")
    if text is None:
        if not value.keys() & {"identifier", "display", "extension", "_reference", "type"}:
            found.error("has neither a reference nor an identifier nor a display (ref-2)")
        return
    if not isinstance(text, str):
        return
    form = _FORMS.fullmatch(text)
    if form is None:
        found.error(
            "is no reference: TYPE/ID, urn:uuid:..., #ID or an absolute address", "reference"
        )
        return
    if form["query"] and not found.in_bundle:
        found.error("a search is a reference only inside of a transaction", "reference")
    leads = form["type"] or form["query"]
    if leads is None:
        return
    if leads not in known:
        if form["base"] is None:
            found.error("names no type of resource", "reference")
    elif targets and leads not in targets:
        found.error(f"leads to {leads}, which may not be referred to here", "reference")
    elif isinstance(type_, str) and type_ != leads:
        found.error("is another type than the reference leads to", "type")


def leads_to(value: Any) -> str | None:
    """The type that a Reference leads to; None where it does not say.

    >>> leads_to({"reference": "Patient/1"}), leads_to({"reference": "#p", "type": "Patient"})
    ('Patient', 'Patient')
    """
    if not isinstance(value, dict):
        return None
    text, type_ = value.get("reference"), value.get("type")
    form = _FORMS.fullmatch(text) if isinstance(text, str) else None
    if form is not None and (form["type"] or form["query"]):
        return form["type"] or form["query"]
    return type_ if isinstance(type_, str) else None


def references(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Places and texts of all references inside of a value.

    >>> list(references({"subject": {"reference": "Patient/1"}}))
    [('subject.reference', 'Patient/1')]
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            if key == "reference" and isinstance(inner, str):
                yield here, inner
            elif isinstance(inner, (dict, list)):
                yield from references(inner, here)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, (dict, list)):
                yield from references(inner, f"{path}[{number}]")
