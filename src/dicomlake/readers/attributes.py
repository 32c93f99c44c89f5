"""Attributes of a header in DICOM JSON, by keyword; what is not as it should be is not there.

A header is what some bytes were read to, so nothing about it is certain: numbers may be text, texts
bytes, sequences closed. These functions give values of the kind that is asked for, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import isfinite
from typing import Any

from dicomlake.dicom import dictionary
from dicomlake.dicom.values import number_of
from dicomlake.terms import Code

Item = Mapping[str, Any]
"""An item of a sequence, or a whole header: tag to element."""


@cache
def key_of(keyword: str) -> str:
    """The key of an attribute in DICOM JSON.

    >>> key_of("SegmentSequence")
    '00620002'
    """
    return f"{dictionary.tag_of(keyword):08X}"


def values(item: Item, keyword: str) -> list[Any]:
    """All values of an attribute as the header has them."""
    element = item.get(key_of(keyword))
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []


def items(item: Item, keyword: str) -> list[Item]:
    """The items of a sequence.

    >>> items({"00620002": {"vr": "SQ", "Value": [{}, None]}}, "SegmentSequence")
    [{}]
    """
    element = item.get(key_of(keyword))
    if not isinstance(element, dict) or element.get("vr") != "SQ":
        return []
    found = element.get("Value")
    return [v for v in found if isinstance(v, dict)] if isinstance(found, list) else []


def first(item: Item, keyword: str) -> Item:
    """The first item of a sequence, or an empty one."""
    return next(iter(items(item, keyword)), {})


def texts(item: Item, keyword: str) -> list[str]:
    """All values as text; of person names the first group."""
    found = []
    for value in values(item, keyword):
        if isinstance(value, dict):
            value = next((v for v in value.values() if isinstance(v, str)), None)
        if value is not None and (text := str(value).strip()):
            found.append(text)
    return found


def text(item: Item, keyword: str) -> str | None:
    """The first value as text, or None."""
    return next(iter(texts(item, keyword)), None)


def numbers(item: Item, keyword: str) -> list[float]:
    """All values as numbers; empty when one of them is none.

    >>> numbers({"00280030": {"vr": "DS", "Value": ["7.0e-01", 0.5]}}, "PixelSpacing")
    [0.7, 0.5]
    """
    found = []
    for value in values(item, keyword):
        if isinstance(value, str):
            value = number_of(value.strip())
        if not isinstance(value, int | float) or not isfinite(value):
            return []
        found.append(float(value))
    return found


def number(item: Item, keyword: str) -> float | None:
    """The first value as a number, or None."""
    return next(iter(numbers(item, keyword)), None)


def wholes(item: Item, keyword: str) -> list[int]:
    """All values as whole numbers of 64 bits; empty when one of them is none."""
    found = numbers(item, keyword)
    if any(n != int(n) or abs(n) >= 1 << 62 for n in found):
        return []
    return [int(n) for n in found]


def whole(item: Item, keyword: str) -> int | None:
    """The first value as a whole number, or None."""
    return next(iter(wholes(item, keyword)), None)


def code(item: Item, keyword: str) -> Code | None:
    """The first item of a code sequence (PS3.3 8.8), or None."""
    return code_of(first(item, keyword))


def code_of(item: Item) -> Code | None:
    """The code that an item is, or None."""
    for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue"):
        if value := text(item, keyword):
            scheme = text(item, "CodingSchemeDesignator") or ""
            return Code(value, scheme, text(item, "CodeMeaning") or "")
    return None
