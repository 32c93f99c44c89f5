"""Segments: what segmentations and RT structure sets show, from their headers alone.

One row of `segments` per segment or ROI. Frames are counted by what they refer to, never by their
pixels; volumes are computed later, by `dicomlake.readers.volumes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dicomlake.contracts import Contents, coded
from dicomlake.readers.attributes import (
    Item,
    code,
    code_of,
    first,
    items,
    text,
    texts,
    values,
    whole,
    wholes,
)
from dicomlake.terms import Code
from dicomlake.terms.mapping import normal

STORAGE = "1.2.840.10008.5.1.4.1.1."
# Label and height maps are younger than pydicom, so classes are compared by their value.
KINDS = {
    STORAGE + "66.4": "segmentation",
    STORAGE + "66.5": "surface",
    STORAGE + "66.7": "label map",
    STORAGE + "66.8": "height map",
    STORAGE + "481.3": "structure set",
}
"""What `kind` says, by SOP class."""
MOST_REFERENCES = 100_000
"""Instances that one row names as those that it was drawn on."""

_SIDES = {"7771000": "left", "24028007": "right", "51440002": "both", "66459002": "unilateral"}
_BACKGROUND = ("125040", "DCM")
_BOTH = {"7771000", "24028007"}
_MODIFIERS = ("SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionModifierSequence")


class SegmentReader:
    """Reads segmentations (binary, fractional, label and height maps, surfaces) and RTSTRUCT."""

    name = "segments"
    version = 1
    after: tuple[str, ...] = ()

    def wants(self, first: Mapping[str, str]) -> str | None:
        """Every object that declares segments or regions of interest."""
        declares = "SegmentSequence" in first or "StructureSetROISequence" in first
        return "" if declares or first.get("SOPClassUID") in KINDS else None

    def read(self, header: dict[str, Any], contents: Contents) -> None:
        """Add a row per segment or ROI."""
        kind = kind_of(header)
        if kind == "structure set":
            _structures(header, contents)
        else:
            _segments(header, kind, contents)


def kind_of(header: Item) -> str:
    """What `kind` says of the rows of a header."""
    found = KINDS.get(text(header, "SOPClassUID") or "")
    if found is None:
        found = "segmentation" if items(header, "SegmentSequence") else "structure set"
    if found == "segmentation" and text(header, "SegmentationType") == "LABELMAP":
        return "label map"
    return found


# Segmentations


@dataclass(slots=True)
class _Frames:
    """What the frames of a segmentation refer to.

    `drawn` and `counted` are by segment; 0 stands for frames that name none. `groups` is how many
    frames the header describes.
    """

    groups: int = 0
    counted: Counter[int] = field(default_factory=Counter)
    drawn: dict[int, dict[str, None]] = field(default_factory=dict)


def _segments(header: Item, kind: str, contents: Contents) -> None:
    declared = items(header, "SegmentSequence")
    if not declared:
        contents.problem("SegmentSequence", "SQ", "no segment is declared")
        return
    frames = _frames(header)
    stated = whole(header, "NumberOfFrames") or 1
    if frames.groups and frames.groups != stated and kind != "surface":
        said = f"{stated} frames, but functional groups of {frames.groups}"
        contents.problem("PerFrameFunctionalGroupsSequence", "SQ", said)
    marked = [n for n in (whole(segment, "SegmentNumber") for segment in declared) if n is not None]
    if len(marked) < len(declared):
        contents.problem("SegmentSequence.SegmentNumber", "US", "a segment has no number")
    if len(set(marked)) < len(marked):
        contents.problem("SegmentSequence.SegmentNumber", "US", "two segments have one number")
    if kind == "segmentation":
        _complete(frames, marked, contents)
    places = _places(header)
    creator = text(header, "ContentCreatorName")
    common: dict[str, Any] = {
        "kind": kind,
        "fractional": text(header, "SegmentationFractionalType"),
        "overlap": text(header, "SegmentsOverlap"),
        "FrameOfReferenceUID": text(header, "FrameOfReferenceUID"),
    }
    for segment in declared:
        number = whole(segment, "SegmentNumber")
        if number == 0 and kind == "label map" and _is_background(segment):
            continue
        row: dict[str, Any] = {**common, "number": number, **_described(segment)}
        row["creator"] = creator
        drawn = frames.drawn.get(number or 0) if kind == "segmentation" else None
        drawn = drawn or frames.drawn.get(0) or places.sources
        _refer(row, drawn, places)
        if kind == "segmentation" and frames.groups and number is not None:
            row["frames"] = frames.counted[number]
            row["present"] = frames.counted[number] > 0 or (None if frames.counted[0] else False)
        elif kind == "surface":
            count = whole(segment, "SurfaceCount")
            row["present"] = None if count is None else count > 0
        contents.add("segments", row)


def _frames(header: Item) -> _Frames:
    """Which segments the frames show, and what they were drawn on."""
    shared = first(header, "SharedFunctionalGroupsSequence")
    default = _segment_of(shared)
    everywhere = _sources(shared)
    groups = values(header, "PerFrameFunctionalGroupsSequence")
    frames = _Frames(len(groups))
    if everywhere:
        frames.drawn[0] = dict.fromkeys(everywhere)
    for group in groups:
        if not isinstance(group, dict):
            group = {}
        number = _segment_of(group)
        if number is None:
            number = default
        frames.counted[number or 0] += 1
        found = _sources(group)
        if found:
            drawn = frames.drawn.setdefault(number or 0, {})
            if len(drawn) < MOST_REFERENCES:
                drawn.update(dict.fromkeys(found))
    if not groups and default is not None:
        frames.groups = whole(header, "NumberOfFrames") or 1
        frames.counted[default] = frames.groups
    return frames


def _segment_of(group: Item) -> int | None:
    """The segment that a functional group names."""
    return whole(first(group, "SegmentIdentificationSequence"), "ReferencedSegmentNumber")


def _sources(group: Item) -> list[str]:
    """The instances that a functional group says it was derived from."""
    found = []
    for derived in items(group, "DerivationImageSequence"):
        for source in items(derived, "SourceImageSequence"):
            found += texts(source, "ReferencedSOPInstanceUID")
    return found


def _complete(frames: _Frames, numbers: list[int], contents: Contents) -> None:
    """Note what frames name and nobody declared; of a single segment all frames are its own."""
    path = "PerFrameFunctionalGroupsSequence.SegmentIdentificationSequence.ReferencedSegmentNumber"
    unnamed = frames.counted[0]
    if unnamed:
        if len(numbers) == 1:
            frames.counted[numbers[0]] += unnamed
            frames.counted[0] = 0
        contents.problem(path, "US", f"{unnamed} frames do not say which segment they show")
    elif not frames.groups:
        contents.problem("PerFrameFunctionalGroupsSequence", "SQ", "nothing is said of frames")
    unknown = sorted(n for n in frames.counted if n and n not in set(numbers))
    if unknown:
        said = f"frames show {len(unknown)} segments that are not declared"
        contents.problem(path, "US", said)


@dataclass(slots=True)
class _Places:
    """Series and instances that an object refers to as a whole, and the series of an instance."""

    series: list[str] = field(default_factory=list)
    of: dict[str, str] = field(default_factory=dict)
    sources: dict[str, None] = field(default_factory=dict)


def _places(header: Item) -> _Places:
    places = _Places()
    listed = list(items(header, "ReferencedSeriesSequence"))
    for study in items(header, "StudiesContainingOtherReferencedInstancesSequence"):
        listed += items(study, "ReferencedSeriesSequence")
    for series in listed:
        uid = text(series, "SeriesInstanceUID")
        if uid is None:
            continue
        if uid not in places.series:
            places.series.append(uid)
        for keyword in ("ReferencedInstanceSequence", "ReferencedSOPSequence"):
            for instance in items(series, keyword):
                if found := text(instance, "ReferencedSOPInstanceUID"):
                    places.of[found] = uid
    for source in items(header, "SourceImageSequence"):
        places.sources.update(dict.fromkeys(texts(source, "ReferencedSOPInstanceUID")))
    if not places.sources:
        places.sources = dict.fromkeys(places.of)
    return places


def _refer(row: dict[str, Any], drawn: dict[str, None] | None, places: _Places) -> None:
    """Fill in what a row was drawn on; its series are all of them where nobody can know better."""
    row["ReferencedSOPInstanceUID"] = list(drawn)[:MOST_REFERENCES] if drawn else None
    exact = dict.fromkeys(places.of[uid] for uid in drawn or () if uid in places.of)
    row["ReferencedSeriesInstanceUID"] = list(exact) or places.series or None


def _described(segment: Item) -> dict[str, Any]:
    """The columns that describe one segment."""
    kind, region = first(segment, "SegmentedPropertyTypeCodeSequence"), _region(segment)
    modifiers = [*_codes(kind, _MODIFIERS[0]), *_codes(segment, _MODIFIERS[0])]
    sides = [*modifiers, *_codes(region, _MODIFIERS[1]), *_codes(segment, _MODIFIERS[1])]
    algorithm = first(segment, "SegmentationAlgorithmIdentificationSequence")
    return {
        "label": text(segment, "SegmentLabel"),
        "description": text(segment, "SegmentDescription"),
        **_what(code(segment, "SegmentedPropertyCategoryCodeSequence"), code_of(kind)),
        **_modified(modifiers, sides),
        **coded("region", code_of(region)),
        "algorithm_type": text(segment, "SegmentAlgorithmType"),
        "algorithm_name": text(segment, "SegmentAlgorithmName") or text(algorithm, "AlgorithmName"),
        "color": wholes(segment, "RecommendedDisplayCIELabValue") or None,
        "tracking": text(segment, "TrackingID"),
        "tracking_uid": text(segment, "TrackingUID"),
    }


def _is_background(segment: Item) -> bool:
    """Whether a segment says that it is what no segment covers: no structure, so no row."""
    keywords = ("SegmentedPropertyTypeCodeSequence", "SegmentedPropertyCategoryCodeSequence")
    found = (code(segment, keyword) for keyword in keywords)
    return any(c is not None and (c.value, c.scheme) == _BACKGROUND for c in found)


def _region(item: Item) -> Item:
    return first(item, "AnatomicRegionSequence") or first(item, "PrimaryAnatomicStructureSequence")


def _codes(item: Item, keyword: str) -> list[Code]:
    return [found for found in map(code_of, items(item, keyword)) if found is not None]


_NO_ANATOMY = frozenset(
    [
        "SCT:49755003",  # morphologically altered structure
        "SCT:260787004",  # physical object
        "SCT:410607006",  # organism
        "SCT:105590001",  # substance
        "SCT:309825002",  # spatial and relational concept
        "SCT:246464006",  # function
    ]
)
"""Categories of CID 7150 whose types are no parts of a body."""


def _what(category: Code | None, kind: Code | None) -> dict[str, str]:
    """The columns that say what a segment is."""
    found = coded("category", category) | coded("type", kind)
    if kind is not None and found.get("category") not in _NO_ANATOMY:
        found |= {"structure": found["type"], "structure_meaning": kind.meaning}
    return found


def _modified(modifiers: Iterable[Code], sides: Iterable[Code]) -> dict[str, Any]:
    """The columns `modifiers` and `laterality`; left and right together are both."""
    listed = [
        {
            "code": ":".join(reversed(normal(m.value, m.scheme))),
            "value": m.value,
            "scheme": m.scheme,
            "meaning": m.meaning,
        }
        for m in modifiers
    ]
    found = {normal(side.value, side.scheme)[0]: None for side in sides}
    known = [value for value in found if value in _SIDES]
    side = "51440002" if set(known) >= _BOTH else next(iter(known), None)
    return {"modifiers": listed or None, "laterality": f"SCT:{side}" if side else None}


# Structure sets


def _structures(header: Item, contents: Contents) -> None:
    declared = items(header, "StructureSetROISequence")
    if not declared:
        contents.problem("StructureSetROISequence", "SQ", "no region of interest is declared")
        return
    shapes = _by_number(header, "ROIContourSequence")
    observed = _by_number(header, "RTROIObservationsSequence")
    series = _series_of_frames(header)
    seen: set[int] = set()
    for roi in declared:
        number = whole(roi, "ROINumber")
        if number is None or number in seen:
            said = "a region has no number" if number is None else "two regions have one number"
            contents.problem("StructureSetROISequence.ROINumber", "IS", said)
        if number is not None:
            seen.add(number)
        frame = text(roi, "ReferencedFrameOfReferenceUID")
        known = shapes.get(number, []) if number is not None else []
        row: dict[str, Any] = {
            "kind": "structure set",
            "number": number,
            "label": text(roi, "ROIName"),
            "description": text(roi, "ROIDescription"),
            "algorithm_type": text(roi, "ROIGenerationAlgorithm"),
            "algorithm_name": text(roi, "ROIGenerationDescription"),
            "FrameOfReferenceUID": frame,
            "ReferencedSeriesInstanceUID": series.get(frame) or series.get(None) or None,
            **_observed(observed.get(number, []) if number is not None else []),
            **_drawn(known),
        }
        contents.add("segments", row)
    if set(shapes) - seen:
        said = "contours of a region that is not declared"
        contents.problem("ROIContourSequence.ReferencedROINumber", "IS", said)


def _by_number(header: Item, keyword: str) -> dict[int, list[Item]]:
    """Items of a sequence by the ROI that they refer to."""
    found: dict[int, list[Item]] = {}
    for item in items(header, keyword):
        number = whole(item, "ReferencedROINumber")
        if number is not None:
            found.setdefault(number, []).append(item)
    return found


def _series_of_frames(header: Item) -> dict[str | None, list[str]]:
    """Series by frame of reference; of None, all of them."""
    found: dict[str | None, list[str]] = {None: []}
    for frame in items(header, "ReferencedFrameOfReferenceSequence"):
        listed = found.setdefault(text(frame, "FrameOfReferenceUID"), [])
        for study in items(frame, "RTReferencedStudySequence"):
            for series in items(study, "RTReferencedSeriesSequence"):
                uid = text(series, "SeriesInstanceUID")
                for place in (listed, found[None]):
                    if uid is not None and uid not in place:
                        place.append(uid)
    return found


def _observed(observations: list[Item]) -> dict[str, Any]:
    """The columns that observations of a region tell: the first that says something counts."""

    def said(keyword: str) -> str | None:
        return next(filter(None, (text(o, keyword) for o in observations)), None)

    def named(keyword: str) -> Item:
        return next(filter(code_of, (first(o, keyword) for o in observations)), {})

    kind = named("RTROIIdentificationCodeSequence") or named("SegmentedPropertyTypeCodeSequence")
    category = named("SegmentedPropertyCategoryCodeSequence")
    category = category or named("TherapeuticRoleCategoryCodeSequence")
    region = next(filter(None, map(_region, observations)), {})
    modifiers = _codes(kind, _MODIFIERS[0])
    return {
        **_what(code_of(category), code_of(kind)),
        **_modified(modifiers, [*modifiers, *_codes(region, _MODIFIERS[1])]),
        **coded("region", code_of(region)),
        "interpreted": said("RTROIInterpretedType"),
        "creator": said("ROIInterpreter"),
        "tracking": said("TrackingID"),
        "tracking_uid": said("TrackingUID"),
    }


def _drawn(shapes: list[Item]) -> dict[str, Any]:
    """The columns that the contours of a region tell."""
    contours = 0
    types: dict[str | None, None] = {}
    images: dict[str, None] = {}
    colors: list[int] = []
    for shape in shapes:
        colors = colors or wholes(shape, "ROIDisplayColor")
        for contour in items(shape, "ContourSequence"):
            contours += 1
            types[text(contour, "ContourGeometricType")] = None
            for image in items(contour, "ContourImageSequence"):
                if uid := text(image, "ReferencedSOPInstanceUID"):
                    images[uid] = None
    return {
        "color": colors or None,
        "contours": contours,
        "geometry": ", ".join(sorted(filter(None, types))) or None,
        "present": contours > 0,
        "ReferencedSOPInstanceUID": list(images)[:MOST_REFERENCES] or None,
    }
