"""Structured reports as text (PS3.3 C.17.3): their content items, cleaned, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dicomlake.contracts.deid import Identity, Words
from dicomlake.deid.documents.moments import moved_time
from dicomlake.deid.documents.pieces import Replacement, clean_pieces
from dicomlake.deid.text import MARKS

DEEPEST = 64
"""Items inside of items; what is deeper is left out."""

_CHILDREN, _CONCEPT, _TYPE = "0040A730", "0040A043", "0040A040"
_SILENT = frozenset("IMAGE COMPOSITE WAVEFORM SCOORD SCOORD3D TCOORD".split())


def text_of_sr(
    header: Mapping[str, Any], words: Words, identity: Identity | None = None
) -> tuple[str, list[Replacement]]:
    """The content of a report (DICOM JSON) as cleaned lines, and what was replaced.

    Names of people and numbers that stand in items of their own are always replaced; references
    to images are left out.

    >>> from dicomlake.deid.text import words_of
    >>> name = {"00080104": {"vr": "LO", "Value": ["Finding"]}}
    >>> item = {"0040A040": {"Value": ["TEXT"]}, "0040A160": {"Value": ["Dr. Weber: no mass"]},
    ...         "0040A043": {"Value": [name]}}
    >>> text_of_sr({"0040A730": {"Value": [item]}}, words_of([]))[0]
    'Finding: Dr. [NAME]: no mass'
    """
    made: list[Replacement] = []
    lines: list[tuple[int, str, str]] = []
    title = _meaning(header, _CONCEPT)
    if title:
        lines.append((0, title, ""))
    lines += _lines(header, 1 if title else 0, identity, made)
    cleaned, replaced = clean_pieces(
        words, [f"{name}: {value}" if value else name for _, name, value in lines]
    )
    indented = ["  " * depth + text for (depth, _, _), text in zip(lines, cleaned, strict=True)]
    return "\n".join(indented), made + replaced


def _lines(
    item: Mapping[str, Any], depth: int, identity: Identity | None, made: list[Replacement]
) -> Iterator[tuple[int, str, str]]:
    if depth > DEEPEST:
        return
    for child in _values(item, _CHILDREN):
        if not isinstance(child, Mapping):
            continue
        kind = _first(child, _TYPE)
        name = _meaning(child, _CONCEPT)
        value = _value(child, kind, identity, made)
        if kind not in _SILENT and (name or value):
            yield depth, name or "-", value
        yield from _lines(child, depth + 1, identity, made)


def _value(
    item: Mapping[str, Any], kind: str, identity: Identity | None, made: list[Replacement]
) -> str:
    if kind == "TEXT":
        return _first(item, "0040A160")
    if kind == "CODE":
        return _meaning(item, "0040A168")
    if kind == "NUM":
        measured = next((v for v in _values(item, "0040A300") if isinstance(v, Mapping)), {})
        unit = _meaning(measured, "004008EA")
        number = _first(measured, "0040A30A").removesuffix(".0")
        return f"{number} {'' if unit == 'no units' else unit}".strip()
    if kind == "PNAME":
        made.append(Replacement("name", "SR"))
        return MARKS["name"]
    if kind == "UIDREF":
        made.append(Replacement("id", "SR"))
        uid = _first(item, "0040A124")
        return identity.uid(uid) if identity and uid else MARKS["id"]
    if kind in ("DATE", "DATETIME"):
        made.append(Replacement("date", "SR"))
        told = _first(item, "0040A121" if kind == "DATE" else "0040A120")
        return moved_time(told, identity) or MARKS["date"]
    return _first(item, "0040A122") if kind == "TIME" else ""


def _values(item: Mapping[str, Any], tag: str) -> list[Any]:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list) else []


def _first(item: Mapping[str, Any], tag: str) -> str:
    values = _values(item, tag)
    return str(values[0]) if values and not isinstance(values[0], Mapping) else ""


def _meaning(item: Mapping[str, Any], tag: str) -> str:
    """The meaning of a code; its value where it has none."""
    code = next((v for v in _values(item, tag) if isinstance(v, Mapping)), {})
    return _first(code, "00080104") or _first(code, "00080100")
