"""Values of primitive types as JSON writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from math import isfinite
from typing import Any

from dicomlake.fhir.validation.found import Check, Found

_YEAR = r"(?!0000)[0-9]{4}"
_DAY = r"(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_FULL = rf"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_HIGHEST = 2_147_483_647

_PATTERNS = {
    "base64Binary": (r"\s*(?:[A-Za-z0-9+/]{4}\s*)*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\s*",
                     "is no base64"),
    "canonical": (r"\S+", "is no canonical address"),
    "code": (r"\S+(?: \S+)*", "is no code: it is empty or has needless blanks"),
    "date": (rf"{_YEAR}(?:-{_DAY})?", "is no date"),
    "dateTime": (rf"{_YEAR}(?:-{_DAY})?|{_FULL}T{_TIME}{_ZONE}", "is no dateTime"),
    "id": (r"[A-Za-z0-9\-.]{1,64}", "is no id: at most 64 letters, digits, dots and hyphens"),
    "instant": (rf"{_FULL}T{_TIME}{_ZONE}", "is no instant: it needs seconds and a time zone"),
    "integer64": (r"0|-?[1-9][0-9]{0,18}", "is no integer64, which JSON writes as a text"),
    "oid": (r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+", "is no oid"),
    "time": (_TIME, "is no time"),
    "uri": (r"\S+", "is no uri"),
    "url": (r"\S+", "is no url"),
    "uuid": (r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "is no uuid"),
}  # fmt: skip
_URN = re.compile(
    r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
    r"|urn:(?!uuid:|oid:)\S+"
)
_HTML = re.compile(r"<\s*(?:script|iframe|object|embed|form|input|link|base|meta)\b|\son\w+\s*=")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_LONGEST = 1024 * 1024


def _text(value: Any, found: Found) -> None:
    if type(value) is not str:
        found.error("must be a text")
    elif not value or value.isspace():
        found.error("is empty")
    elif _CONTROL.search(value) or len(value) > _LONGEST:
        found.error("has characters that no string may have, or more than a mebibyte")


def _matches(kind: str) -> Check:
    pattern, words = _PATTERNS[kind]
    fits = re.compile(pattern, re.ASCII).fullmatch

    def check(value: Any, found: Found) -> None:
        if type(value) is not str:
            found.error("must be a text")
        elif not fits(value):
            found.error(words if value else "is empty")

    return check


def _dated(kind: str) -> Check:
    fits = re.compile(_PATTERNS[kind][0], re.ASCII).fullmatch
    words = _PATTERNS[kind][1]

    def check(value: Any, found: Found) -> None:
        if type(value) is not str:
            found.error("must be a text")
        elif not fits(value):
            timed = kind == "dateTime" and "T" in value
            found.error("a dateTime with a time needs seconds and a time zone" if timed else words)
        elif len(value) >= 10 and value[8:10] > "28":
            try:
                date.fromisoformat(value[:10])
            except ValueError:
                found.error("is no day of that month")

    return check


def _uri(value: Any, found: Found) -> None:
    if type(value) is not str:
        found.error("must be a text")
    elif not value or any(c.isspace() for c in value):
        found.error("is no uri")
    elif value.startswith("urn:") and not _URN.fullmatch(value):
        found.error("is no urn: urn:uuid: has a lowercase uuid, urn:oid: an OID")


def _boolean(value: Any, found: Found) -> None:
    if type(value) is not bool:
        found.error("must be true or false")


def _decimal(value: Any, found: Found) -> None:
    if type(value) not in (int, float):
        found.error("must be a number")
    elif not isfinite(value):
        found.error("is no finite number")


def _whole(least: int) -> Check:
    def check(value: Any, found: Found) -> None:
        if type(value) is not int:
            found.error("must be a whole number")
        elif not least <= value <= _HIGHEST:
            found.error(f"is not between {least} and {_HIGHEST}")

    return check


def _xhtml(value: Any, found: Found) -> None:
    if type(value) is not str:
        found.error("must be a text")
    elif not value.lstrip().startswith("<div") or "http://www.w3.org/1999/xhtml" not in value:
        found.error("must be a div of the namespace of XHTML")
    elif _HTML.search(value.lower()):
        found.error("has elements or attributes that no narrative may have (txt-1)")
    elif not re.sub(r"<[^>]*>", "", value).strip() and "<img" not in value:
        found.error("says nothing (txt-2)")


PRIMITIVES: dict[str, Callable[[Any, Found], None]] = {
    **{kind: _matches(kind) for kind in _PATTERNS},
    **{kind: _dated(kind) for kind in ("date", "dateTime", "instant")},
    "string": _text,
    "markdown": _text,
    "uri": _uri,
    "boolean": _boolean,
    "decimal": _decimal,
    "integer": _whole(-_HIGHEST - 1),
    "unsignedInt": _whole(0),
    "positiveInt": _whole(1),
    "xhtml": _xhtml,
}
"""Type -> its check."""
