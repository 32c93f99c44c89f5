"""Images of a series in the order in which people look at them, and what can be drawn over them.

Everything comes from the headers that the lake holds; no object is opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import orjson

from dicomlake.errors import UsageError
from dicomlake.readers.attributes import (
    Item,
    first,
    items,
    key_of,
    number,
    numbers,
    text,
    texts,
    values,
    whole,
    wholes,
)

MOST_IMAGES = 20_000
"""Images of one series that are listed."""
MOST_OVERLAYS = 200
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51))
_UNITS = {"BQML": "Bq/mL", "CNTS": "counts", "GML": "g/mL", "PROPCPS": "counts/s", "US": "",
          "OD": "OD", "HU": "HU", "HU_MOD": "HU", "MGML": "mg/mL", "PCT": "%", "Z_EFF": "Z",
          "ED": "10²³/mL", "EDW": "", "NONE": "", "UNSPECIFIED": ""}  # fmt: skip
"""How Rescale Type and Units are written (PS3.3 C.11.1.1.2, C.8.9.1.1.3)."""

Row = dict[str, Any]


def images(engine: Any, uid: str, ticket: object = None) -> Row:
    """The images of a series, every frame one, sorted; and objects that say something of them."""
    about = _series(engine, uid, ticket)
    rows = engine.read(
        'select "SOPInstanceUID", "TransferSyntaxUID", header from instances where series_id = ? '
        'order by "InstanceNumber" nulls last, "SOPInstanceUID"',
        [about["series_id"]],
        ticket,
    ).to_pylist()
    found: list[Row] = []
    for row in rows:
        header = orjson.loads(row["header"])
        if any(key_of(keyword) in header for keyword in _PIXELS):
            found += _images(row, header, about["Modality"], MOST_IMAGES + 1 - len(found))
    return {
        **{k: about[k] for k in ("StudyInstanceUID", "SeriesInstanceUID", "Modality")},
        **{k: about[k] for k in ("SeriesNumber", "SeriesDescription")},
        "images": ordered(found[:MOST_IMAGES]),
        "more": len(found) > MOST_IMAGES,
        "overlays": _overlays(engine, about, ticket),
    }


def _series(engine: Any, uid: str, ticket: object) -> Row:
    found = engine.read(
        'select series_id, patient_key, "StudyInstanceUID", "SeriesInstanceUID", "Modality", '
        '"SeriesNumber", "SeriesDescription", "FrameOfReferenceUID" from series '
        'where "SeriesInstanceUID" = ?',
        [uid],
        ticket,
    ).to_pylist()
    if not found:
        raise UsageError("There is no series of that SeriesInstanceUID in this version.")
    row: Row = found[0]
    return row


# One image


def _images(row: Row, header: Item, modality: str | None, most: int) -> Iterator[Row]:
    """What has to be known of each frame of an object to show it."""
    frames = items(header, "PerFrameFunctionalGroupsSequence")
    shared = first(header, "SharedFunctionalGroupsSequence")
    count = max(1, whole(header, "NumberOfFrames") or 1)
    said = _of_object(row, header)
    for frame in range(1, min(count, most) + 1):
        group = frames[frame - 1] if frame <= len(frames) else {}
        yield {**said, "frame": frame, **_of_frame(header, group, shared, modality)}


def _of_object(row: Row, header: Item) -> Row:
    bits = whole(header, "BitsStored") or whole(header, "BitsAllocated") or 0
    padding = number(header, "PixelPaddingValue")
    limit = number(header, "PixelPaddingRangeLimit")
    lossy = text(header, "LossyImageCompression") == "01" or row["TransferSyntaxUID"] in _LOSSY
    photometric = text(header, "PhotometricInterpretation") or "MONOCHROME2"
    is_float = key_of("PixelData") not in header
    shape = text(header, "PresentationLUTShape")
    high = whole(header, "HighBit")
    return {
        "SOPInstanceUID": row["SOPInstanceUID"],
        "InstanceNumber": whole(header, "InstanceNumber"),
        "Rows": whole(header, "Rows") or 0,
        "Columns": whole(header, "Columns") or 0,
        "PhotometricInterpretation": photometric,
        "color": (whole(header, "SamplesPerPixel") or 1) > 1 or photometric == "PALETTE COLOR",
        "BitsAllocated": whole(header, "BitsAllocated") or 0,
        "BitsStored": bits,
        "HighBit": bits - 1 if high is None else high,
        "signed": whole(header, "PixelRepresentation") == 1,
        "floats": is_float,
        "lossy": lossy,
        "inverse": photometric == "MONOCHROME1" or shape == "INVERSE",
        "padding": None if padding is None else sorted([padding, padding if limit is None
                                                         else limit]),
        "frame_time": _frame_time(header),
        "laterality": text(header, "ImageLaterality") or text(header, "Laterality"),
        "view": text(header, "ViewPosition"),
    }  # fmt: skip


def _frame_time(header: Item) -> float | None:
    """Milliseconds from one frame to the next (PS3.3 C.7.6.5)."""
    rate = number(header, "RecommendedDisplayFrameRate") or number(header, "CineRate")
    if rate:
        return 1000 / rate
    if time := number(header, "FrameTime"):
        return time
    times = [t for t in numbers(header, "FrameTimeVector")[1:] if t > 0]
    return sum(times) / len(times) if times else None


def _of_frame(header: Item, group: Item, shared: Item, modality: str | None) -> Row:
    def around(sequence: str) -> Item:
        return first(group, sequence) or first(shared, sequence)

    measures, plane = around("PixelMeasuresSequence"), around("PlanePositionSequence")
    turned = around("PlaneOrientationSequence")
    values_ = around("PixelValueTransformationSequence")
    window = around("FrameVOILUTSequence")
    content = first(group, "FrameContentSequence")
    spacing, place = _spacing(measures or header)
    slope, intercept, unit = _rescale(values_ or header, header, modality)
    return {
        "spacing": spacing,
        "spacing_at": place,
        "position": _three(numbers(plane or header, "ImagePositionPatient")),
        "orientation": _six(numbers(turned or header, "ImageOrientationPatient")),
        "sides": texts(header, "PatientOrientation"),
        "location": number(header, "SliceLocation"),
        "thickness": number(measures or header, "SliceThickness"),
        "slope": slope,
        "intercept": intercept,
        "unit": unit,
        "tables": _tables(header),
        "windows": _windows(window or header),
        "place": wholes(content, "DimensionIndexValues"),
    }


def _spacing(item: Item) -> tuple[list[float] | None, str | None]:
    """Millimetres between rows and between columns, and where that is measured (C.10.7.1.3)."""
    for keyword, place in (
        ("PixelSpacing", "patient"),
        ("ImagerPixelSpacing", "detector"),
        ("NominalScannedPixelSpacing", "patient"),
    ):
        found = numbers(item, keyword)
        if len(found) >= 2 and min(found[:2]) > 0:
            projected = keyword == "PixelSpacing" and found[:2] == numbers(
                item, "ImagerPixelSpacing"
            )[:2]  # fmt: skip
            return found[:2], "detector" if projected else place
    regions = [r for r in items(item, "SequenceOfUltrasoundRegions") if _in_cm(r)]
    if len(regions) == 1:
        return [10 * (number(regions[0], f"PhysicalDelta{axis}") or 0) for axis in "YX"], "patient"
    ratio = numbers(item, "PixelAspectRatio")
    if len(ratio) == 2 and min(ratio) > 0 and ratio[0] != ratio[1]:
        return [ratio[0] / ratio[1], 1.0], None
    return None, None


def _in_cm(region: Item) -> bool:
    """Whether a region of ultrasound is a plane in centimetres (PS3.3 C.8.5.5)."""
    units = [whole(region, f"PhysicalUnits{axis}Direction") for axis in "XY"]
    deltas = [number(region, f"PhysicalDelta{axis}") or 0 for axis in "XY"]
    return units == [3, 3] and min(deltas) > 0


def _rescale(item: Item, header: Item, modality: str | None) -> tuple[float, float, str]:
    slope = number(item, "RescaleSlope")
    intercept = number(item, "RescaleIntercept") or 0.0
    kind = text(item, "RescaleType") or (text(header, "Units") if modality == "PT" else None)
    if not slope:
        return 1.0, 0.0, ""
    if kind is None and modality == "CT":
        kind = "HU"
    return slope, intercept, _UNITS.get(kind or "", kind or "")


def _tables(header: Item) -> list[Row]:
    """LUTs of the header: where each begins, and its entries or where these are."""
    found = []
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        item = first(header, keyword)
        described = wholes(item, "LUTDescriptor")
        if len(described) != 3:
            continue
        place = f"bulkdata/{key_of(keyword)}/0/{key_of('LUTData')}"
        entries = wholes(item, "LUTData")
        found.append(
            {
                "kind": "modality" if keyword == "ModalityLUTSequence" else "voi",
                "first": described[1],
                "entries": [e & 0xFFFF for e in entries] or None,
                "bulk": None if entries else place,
                "bits": described[2],
                "explanation": text(item, "LUTExplanation") or "",
                "type": _UNITS.get(said := text(item, "ModalityLUTType") or "", said),
            }
        )
    return found


def _windows(item: Item) -> list[Row]:
    """Windows of the header, in its order (PS3.3 C.11.2.1.2)."""
    said = texts(item, "WindowCenterWidthExplanation")
    function = text(item, "VOILUTFunction") or "LINEAR"
    pairs = zip(numbers(item, "WindowCenter"), numbers(item, "WindowWidth"), strict=False)
    return [
        {"center": c, "width": w, "function": function, "name": said[n] if n < len(said) else ""}
        for n, (c, w) in enumerate(pairs)
        if w > 0
    ]


def _three(found: list[float]) -> list[float] | None:
    return found if len(found) == 3 else None


def _six(found: list[float]) -> list[float] | None:
    """An orientation that is one: two directions of length one, at a right angle."""
    if len(found) != 6:
        return None
    row, column = found[:3], found[3:]
    right = abs(sum(a * b for a, b in zip(row, column, strict=True))) < 0.01
    whole_ = all(abs(sum(v * v for v in each) - 1) < 0.02 for each in (row, column))
    return found if right and whole_ else None


# Order


def ordered(found: list[Row]) -> list[Row]:
    """Images in order: along the normal of their planes where all lie parallel, at places of their
    own, else as numbered.
    """
    if (places := _places(found)) is not None:
        return [found[n] for n in sorted(range(len(found)), key=lambda n: (places[n], n))]
    return found


def _places(found: list[Row]) -> list[float] | None:
    """How far along the normal each image lies; None when that gives no order."""
    if len(found) < 2 or any(not (i["position"] and i["orientation"]) for i in found):
        return None
    one = found[0]["orientation"]
    if any(abs(a - b) > 0.01 for i in found for a, b in zip(i["orientation"], one, strict=True)):
        return None
    (a, b, c), (d, e, f) = one[:3], one[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    places = [sum(n * p for n, p in zip(normal, i["position"], strict=True)) for i in found]
    steps = sorted(places)
    if any(later - earlier < 0.01 for earlier, later in pairwise(steps)):
        return None  # several phases or echoes: their numbers keep them apart
    return places


# What can be drawn over images


def _overlays(engine: Any, about: Row, ticket: object) -> list[Row]:
    """Segmentations, structure sets, presentation states and reports that draw on a series."""
    found = [
        *_segmented(engine, about, ticket),
        *_presented(engine, about, ticket),
        *_reported(engine, about, ticket),
    ]
    return found[:MOST_OVERLAYS]


_OF = 's."StudyInstanceUID", s."SeriesInstanceUID", s."Modality", s."SeriesDescription"'


def _segmented(engine: Any, about: Row, ticket: object) -> list[Row]:
    rows = engine.read(
        f'select g."SOPInstanceUID", {_OF}, g.number, g.label, g.type_meaning, g.kind, g.color, '
        "g.volume from segments g join series s using (series_id) where s.patient_key = ? and "
        'list_contains(g."ReferencedSeriesInstanceUID", ?) '
        'order by s."SeriesNumber", s."SeriesInstanceUID", g."SOPInstanceUID", g.number',
        [about["patient_key"], about["SeriesInstanceUID"]],
        ticket,
    ).to_pylist()
    by_object: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_object[row["SOPInstanceUID"]].append(row)
    return [
        {**_head(of[0]), "segments": [_segment(row) for row in of]} for of in by_object.values()
    ]


def _head(row: Row) -> Row:
    names = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
    return {**{n: row[n] for n in names}, "label": row["SeriesDescription"] or ""}


def _segment(row: Row) -> Row:
    return {
        "number": row["number"],
        "label": row["label"] or row["type_meaning"] or "",
        "color": colour(row["color"], lab=row["kind"] != "structure set"),
        "volume": row["volume"],
    }


def _presented(engine: Any, about: Row, ticket: object) -> list[Row]:
    rows = engine.read(
        f'select i."SOPInstanceUID", {_OF} from series s join instances i using (series_id) '
        "where s.patient_key = ? and s.\"Modality\" = 'PR' and series_id in (select series_id "
        "from elements where path = 'ReferencedSeriesSequence.SeriesInstanceUID' and text = ?) "
        'order by s."SeriesNumber", i."InstanceNumber", i."SOPInstanceUID"',
        [about["patient_key"], about["SeriesInstanceUID"]],
        ticket,
    ).to_pylist()
    return [{**_head(row), "segments": []} for row in rows]


def _reported(engine: Any, about: Row, ticket: object) -> list[Row]:
    rows = engine.read(
        f'select distinct t."SOPInstanceUID", {_OF} from items t join series s using (series_id) '
        "where s.patient_key = ? and t.value_type = 'IMAGE' and t.\"ReferencedSOPInstanceUID\" in "
        '(select "SOPInstanceUID" from instances where series_id = ?) and exists (select 1 from '
        'items c where c.series_id = t.series_id and c."SOPInstanceUID" = t."SOPInstanceUID" and '
        "c.value_type = 'SCOORD') order by all",
        [about["patient_key"], about["series_id"]],
        ticket,
    ).to_pylist()
    return [{**_head(row), "segments": []} for row in rows]


def overlay(engine: Any, uid: str, ticket: object = None) -> Row:
    """What an object draws: frames of masks, contours in the patient, or shapes on images."""
    found = engine.read(
        'select series_id, "SOPClassUID", header from instances where "SOPInstanceUID" = ? limit 1',
        [uid],
        ticket,
    ).to_pylist()
    if not found:
        raise UsageError("There is no instance of that SOPInstanceUID in this version.")
    header = orjson.loads(found[0]["header"])
    drawn: Row = {"SOPInstanceUID": uid, "masks": [], "contours": [], "shapes": []}
    drawn |= {"Rows": None, "Columns": None, "bits": None, "most": None, "labels": False}
    if items(header, "SegmentSequence"):
        drawn |= _masks(header)
    elif items(header, "ROIContourSequence"):
        drawn["contours"] = list(_contours(header))
    elif items(header, "GraphicAnnotationSequence"):
        drawn["shapes"] = list(_graphics(header))
    else:
        drawn["shapes"] = list(_coordinates(engine, found[0]["series_id"], uid, ticket))
    return drawn


def _masks(header: Item) -> Row:
    """The frames of a segmentation: which segment each shows, and where it lies."""
    shared = first(header, "SharedFunctionalGroupsSequence")
    kind = text(header, "SegmentationType")
    masks = []
    for n, group in enumerate(items(header, "PerFrameFunctionalGroupsSequence"), 1):

        def around(sequence: str, group: Item = group) -> Item:
            return first(group, sequence) or first(shared, sequence)

        measures = around("PixelMeasuresSequence")
        turned = around("PlaneOrientationSequence")
        masks.append(
            {
                "frame": n,
                "segment": whole(around("SegmentIdentificationSequence"),
                                 "ReferencedSegmentNumber"),
                "position": _three(numbers(around("PlanePositionSequence"),
                                           "ImagePositionPatient")),
                "orientation": _six(numbers(turned, "ImageOrientationPatient")),
                "spacing": _spacing(measures)[0],
                "on": _sources(group),
            }
        )  # fmt: skip
    return {
        "masks": masks,
        "Rows": whole(header, "Rows"),
        "Columns": whole(header, "Columns"),
        "bits": whole(header, "BitsAllocated"),
        "most": whole(header, "MaximumFractionalValue") if kind == "FRACTIONAL" else 1,
        "labels": kind == "LABELMAP",
    }


def _sources(group: Item) -> list[Row]:
    """Images that a frame was drawn on."""
    return [
        {
            "SOPInstanceUID": text(source, "ReferencedSOPInstanceUID") or "",
            "frames": wholes(source, "ReferencedFrameNumber"),
        }
        for derived in items(group, "DerivationImageSequence")
        for source in items(derived, "SourceImageSequence")
    ]


def _contours(header: Item) -> Iterator[Row]:
    for roi in items(header, "ROIContourSequence"):
        for contour in items(roi, "ContourSequence"):
            points = numbers(contour, "ContourData")
            if len(points) < 3 or len(points) % 3:
                continue
            yield {
                "segment": whole(roi, "ReferencedROINumber"),
                "closed": text(contour, "ContourGeometricType") == "CLOSED_PLANAR",
                "points": points,
                "on": [
                    {"SOPInstanceUID": text(each, "ReferencedSOPInstanceUID") or "",
                     "frames": wholes(each, "ReferencedFrameNumber")}
                    for each in items(contour, "ContourImageSequence")
                ],
            }  # fmt: skip


def _graphics(header: Item) -> Iterator[Row]:
    """Shapes and texts of a presentation state (PS3.3 C.10.5)."""
    for annotation in items(header, "GraphicAnnotationSequence"):
        on = [
            {"SOPInstanceUID": text(each, "ReferencedSOPInstanceUID") or "",
             "frames": wholes(each, "ReferencedFrameNumber")}
            for each in items(annotation, "ReferencedImageSequence")
        ]  # fmt: skip
        for graphic in items(annotation, "GraphicObjectSequence"):
            yield {
                "type": text(graphic, "GraphicType") or "POLYLINE",
                "points": numbers(graphic, "GraphicData"),
                "relative": text(graphic, "GraphicAnnotationUnits") == "DISPLAY",
                "filled": text(graphic, "GraphicFilled") == "Y",
                "text": "",
                "on": on,
            }
        for said in items(annotation, "TextObjectSequence"):
            anchored = numbers(said, "AnchorPoint")
            units = "AnchorPointAnnotationUnits" if anchored else "BoundingBoxAnnotationUnits"
            yield {
                "type": "TEXT",
                "points": anchored or numbers(said, "BoundingBoxTopLeftHandCorner"),
                "relative": text(said, units) == "DISPLAY",
                "filled": False,
                "text": "\n".join(map(str, values(said, "UnformattedTextValue"))),
                "on": on,
            }


def _coordinates(engine: Any, number_: int, uid: str, ticket: object) -> Iterator[Row]:
    """Regions of a report, each with what is said of it (PS3.3 C.18.6)."""
    rows = engine.read(
        "select item, parent, place, target, value_type, concept_meaning, number_sent, unit_value, "
        'code_meaning, text, "GraphicType", "GraphicData", "ReferencedSOPInstanceUID", '
        '"ReferencedFrameNumber", tracking from items where series_id = ? and '
        '"SOPInstanceUID" = ? order by item',
        [number_, uid],
        ticket,
    ).to_pylist()
    known = {row["item"]: row for row in rows}
    placed = {row["place"]: row for row in rows}
    below: dict[int | None, list[Row]] = defaultdict(list)
    for row in rows:
        below[row["parent"]].append(row)
    for row in rows:
        if row["value_type"] != "SCOORD" or not row["GraphicData"]:
            continue
        near = [placed.get(child["target"], child) for child in below[row["item"]]]
        on = [_referred(image) for image in near if image["value_type"] == "IMAGE"]
        yield {
            "type": row["GraphicType"] or "POLYLINE",
            "points": row["GraphicData"],
            "relative": False,
            "filled": False,
            "text": _told(row, known, below),
            "on": on,
        }


def _referred(image: Row) -> Row:
    frames = image["ReferencedFrameNumber"] or []
    return {"SOPInstanceUID": image["ReferencedSOPInstanceUID"] or "", "frames": frames}


def _told(row: Row, known: dict[int, Row], below: dict[int | None, list[Row]]) -> str:
    """What a region stands for: the number that was measured there, and what it is tracked as."""
    around: Row | None = row
    while around is not None and around["value_type"] != "NUM":
        if around["value_type"] == "CONTAINER":
            measured = [r for r in below[around["item"]] if r["value_type"] == "NUM"]
            around = measured[0] if measured else None
            break
        around = known.get(around["parent"])
    said = [row["tracking"] or ""]
    if around is not None and around["number_sent"]:
        unit = around["unit_value"] or ""
        number_ = f"{around['number_sent']} {unit if unit != '1' else ''}".strip()
        said.append(f"{around['concept_meaning'] or ''} {number_}".strip())
    elif row["concept_meaning"]:
        said.append(row["concept_meaning"])
    return ": ".join(part for part in said if part)


def colour(sent: Sequence[int] | None, *, lab: bool) -> str | None:
    """A colour as web pages write it, of CIELab as DICOM packs it (PS3.3 C.10.7.1.1) or of RGB.

    >>> colour([65535, 32896, 32896], lab=True), colour([255, 0, 128], lab=False)
    ('#ffffff', '#ff0080')
    """
    if sent is None or len(sent) != 3:
        return None
    if not lab:
        return "#" + "".join(f"{min(max(int(v), 0), 255):02x}" for v in sent)
    lightness, a, b = sent[0] / 65535 * 100, sent[1] / 257 - 128, sent[2] / 257 - 128
    y = (lightness + 16) / 116
    x, z = y + a / 500, y - b / 200
    # with the white of D65, as those who write segmentations reckon
    white = [
        (v**3 if v**3 > 0.008856 else (v - 16 / 116) / 7.787) * scale
        for v, scale in zip((x, y, z), (0.95047, 1.0, 1.08883), strict=True)
    ]
    linear = [
        sum(m * v for m, v in zip(row, white, strict=True))
        for row in (
            (3.2404542, -1.5371385, -0.4985314),
            (-0.9692660, 1.8760108, 0.0415560),
            (0.0556434, -0.2040259, 1.0572252),
        )
    ]
    shown = [12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in linear]
    return "#" + "".join(f"{min(max(round(v * 255), 0), 255):02x}" for v in shown)
