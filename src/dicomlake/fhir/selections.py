"""Segments of segmentations as selections of an object (ImagingSelection of R5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dicomlake.fhir.model import Json, Selection
from dicomlake.fhir.sites import resource_id
from dicomlake.fhir.statements import Context, side_of
from dicomlake.fhir.values import coding, line, uid

Row = Mapping[str, Any]

KINDS = ("segmentation", "label map")
"""Kinds of segments that have a Segment Number by which they can be selected."""


def of_series(
    context: Context, row: Row, segments: Mapping[int, Sequence[Row]]
) -> Iterator[Selection]:
    """The segments of a series, in R5; those that no frame shows are left out."""
    if context.release != "R5":
        return
    seen: set[tuple[str, int]] = set()
    for one in segments.get(row["series_id"], ()):
        object_, number = uid(one["SOPInstanceUID"]), one["number"]
        known = object_ and number is not None and (object_, number) not in seen
        if not (known and one["kind"] in KINDS and one["present"] is not False):
            continue
        seen.add((str(object_), number))
        yield Selection(
            resource_id(context.site, "ImagingSelection", f"{object_}|{number}"),
            str(object_),
            str(row["SOPClassUID"]),
            number,
            context.study,
            context.uid,
            str(uid(row["SeriesInstanceUID"])),
            context.patient,
            uid(one["FrameOfReferenceUID"]),
            _site(one),
        )


def _site(one: Row) -> Json | None:
    """What the segment shows: its code where it is a part of a body, and words."""
    found = coding(one["type_value"], one["type_scheme"], one["type_meaning"])
    words = line(one["type_meaning"]) or line(one["label"])
    side = side_of(one["laterality"])
    if words and side is not None and side.meaning.lower() not in words.lower():
        words = f"{words} ({side.meaning})"
    made: Json = {"coding": [found]} if found and one["structure"] else {}
    return {**made, "text": words} if words else made or None
