"""What a path of a question asks: attributes of headers, concepts of reports, columns of contents.

EchoTime                  an attribute of headers
*.[MDC:2:16160]           content items of that concept, at any depth
segment.type              a column of the rows inside of objects
anatomy                   every place where anatomy is written down
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

import pyarrow as pa

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.dicom.dictionary import Attribute
from dicomlake.errors import UnknownAttribute, UsageError

ROWS = {
    "item": "items",
    "segment": "segments",
    "channel": "waveforms",
    "event": "dose_events",
    "total": "dose_totals",
    "annotation": "annotations",
    "finding": "findings",
    "fact": "clinical_events",
    "document": "documents",
}
"""What one row of each table of contents is called in questions."""
CLINICAL = ("fact", "document")
"""Rows that are no part of any object, but belong to a patient or to a study."""
ANATOMY = "anatomy"
ANATOMY_PATHS = (
    "segment.structure",
    "segment.region",
    "item.site",
    "event.region",
    "annotation.structure",
    "*.AnatomicRegionSequence",
)
"""Where anatomy is written down as a code."""
ANATOMY_OF = {
    "item": ("item.site",),
    "segment": ("segment.structure", "segment.region"),
    "event": ("event.region",),
    "annotation": ("annotation.structure",),
}
"""Where one row says its anatomy."""

_HIDDEN = frozenset(
    [
        "series_id",
        "SOPInstanceUID",
        "sent",
        "GraphicData",
        "values",
        "enrichment_id",
        "box",
        "regions",
        "fact_key",
        "document_key",
        "patient_key",
        "codes",
        "sections",
    ]
)
_PERSONS = frozenset(["creator", "observer"])


@lru_cache(maxsize=65536)
def attribute(path: str) -> Attribute:
    """What is known of a path; UnknownAttribute for a misspelt keyword, UsageError for no path.

    >>> attribute("segment.volume").unit, attribute("*.[MDC:2:16160]").kind
    ('mL', 'content')
    """
    root, _, name = path.partition(".")
    if path == ANATOMY:
        return Attribute(path, "", "", "SQ", "1-n", "Anatomy, wherever it is written down")
    if root in ROWS:
        return _field(root, name)
    parts = dictionary.segments(path)
    if not any(part.startswith("[") for part in parts):
        return _of_headers(path, parts)
    if parts[-1].startswith("[") and all(p.startswith(("[", "*")) for p in parts):
        return Attribute(".".join(parts), "", "", "", "1-n", "", table="items")
    raise UsageError(
        f"{path!r} is no path of a report. Join concepts by dots: [DCM:126000].[DCM:125007], or "
        "*.[DCM:125007] at any depth."
    )


def _of_headers(path: str, parts: list[str]) -> Attribute:
    """An attribute of headers; UsageError names what of contents a misspelt path is like."""
    try:
        return dictionary.attribute(path)
    except UnknownAttribute as error:
        near = get_close_matches(parts[0].lower(), [ANATOMY, *ROWS], n=1, cutoff=0.75)
        if not near or (near == [ANATOMY] and len(parts) > 1):
            raise
        meant = ".".join([near[0], *parts[1:]])
        raise UnknownAttribute(path, [meant]) from error


def is_content(path: str) -> bool:
    """Whether a path asks what is inside of objects.

    >>> is_content("segment.type"), is_content("*.[DCM:121071]"), is_content("Modality")
    (True, True, False)
    """
    return bool(attribute(path).table)


def is_clinical(path: str) -> bool:
    """Whether a path asks clinical facts or documents.

    >>> is_clinical("fact.code"), is_clinical("segment.type")
    (True, False)
    """
    return path.partition(".")[0] in CLINICAL


@lru_cache(maxsize=64)
def fields(root: str) -> dict[str, Attribute]:
    """The columns of what is called `root` that can be asked, by name."""
    table = ROWS[root]
    found = {}
    for column in tables.ALL[table]:
        if column.name not in _HIDDEN:
            about = {k.decode(): v.decode() for k, v in (column.metadata or {}).items()}
            vr = _vr(column, about)
            found[column.name] = Attribute(
                f"{root}.{column.name}",
                "",
                "",
                vr,
                "1-n" if pa.types.is_list(column.type) else "1",
                about.get("comment", ""),
                table=table,
                unit=about.get("unit", ""),
            )
    return found


def _vr(column: pa.Field, about: dict[str, str]) -> str:
    """The VR that stands for the type of a column."""
    kind = column.type.value_type if pa.types.is_list(column.type) else column.type
    if about.get("kind") == "code" or pa.types.is_struct(kind):
        return "SQ"
    if pa.types.is_floating(kind):
        return "FD"
    if pa.types.is_integer(kind):
        return "SL"
    if pa.types.is_timestamp(kind):
        return "DT"
    if column.name in _PERSONS:
        return "PN"
    return "UI" if column.name.endswith(("UID", "_uid")) else "LO"


def _field(root: str, name: str) -> Attribute:
    known = fields(root)
    if not name:
        return Attribute(root, "", "", "SQ", "1-n", tables.comment_of(tables.ALL[ROWS[root]]),
                         table=ROWS[root])  # fmt: skip
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {root}.{near[0]}?" if near else f"There are: {', '.join(known)}."
        raise UsageError(f"{root}.{name} is not known. {hint}")
    return known[name]
