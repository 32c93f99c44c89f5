"""Dose that headers of images tell, in the fixed units of their attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dicomlake.contracts import Contents, coded
from dicomlake.dicom.values import moment_of, number_of
from dicomlake.readers.attributes import items, texts
from dicomlake.readers.dose.rows import (
    UNITS,
    Header,
    Item,
    code_of,
    converted,
    derived_key,
    document_of,
    finish,
    key_of,
    laterality,
    moment_in,
    number_in,
    put_filters,
    text_in,
)
from dicomlake.terms import Code

_IMAGE = "1.2.840.10008.5.1.4.1.1."
_KINDS = {
    **dict.fromkeys(("1", "1.1", "1.1.1", "1.3", "1.3.1"), "projection"),
    **dict.fromkeys(("12.1", "12.1.1", "12.2", "12.2.1"), "projection"),
    **dict.fromkeys(("1.2", "1.2.1"), "mammography"),
    "2": "CT", "20": "radiopharmaceutical", "128": "radiopharmaceutical",
    # enhanced and three-dimensional ones, whose dose lies in functional groups
    "2.1": "CT", "13.1.1": "projection", "13.1.2": "projection",
    **dict.fromkeys(("13.1.3", "13.1.4", "13.1.5"), "mammography"),
}  # fmt: skip
_TELLING = ("CTDIvol", "DAP", "AGD", "entrance", "Exposure")
"""Columns of which an image has to fill one, and not with 0, to be an event."""
_DOSES = """
ImageAndFluoroscopyAreaDoseProduct OrganDose EntranceDose EntranceDoseInmGy Exposure ExposureInuAs
""".split()
_LETTERS = {
    "R": Code("24028007", "SCT", "Right"),
    "L": Code("7771000", "SCT", "Left"),
    "B": Code("51440002", "SCT", "Right and left"),
}

# What image headers have: column -> attributes with their fixed units, the finer one first.
_XRAY = {
    "KVP": (("KVP", "kV"),),
    "XRayTubeCurrent": (("XRayTubeCurrentInmA", "mA"), ("XRayTubeCurrentInuA", "uA"),
                        ("XRayTubeCurrent", "mA")),
    "Exposure": (("ExposureInuAs", "uA.s"), ("ExposureInmAs", "mA.s"), ("Exposure", "mA.s")),
    "ExposureTime": (("ExposureTimeInms", "ms"), ("ExposureTimeInuS", "us"),
                     ("ExposureTime", "ms")),
    "FocalSpots": (("FocalSpots", "mm"),),
    "DistanceSourceToDetector": (("DistanceSourceToDetector", "mm"),),
    "DistanceSourceToIsocenter": (("DistanceSourceToIsocenter", "mm"),),
}  # fmt: skip
_PROJECTION = {
    **_XRAY,
    "DAP": (("ImageAndFluoroscopyAreaDoseProduct", "dGy.cm2"),),
    "entrance": (("EntranceDoseInmGy", "mGy"), ("EntranceDose", "dGy")),
    "HalfValueLayer": (("HalfValueLayer", "mm"),),
    "DistanceSourceToEntrance": (("DistanceSourceToEntrance", "mm"),),
    "PositionerPrimaryAngle": (("PositionerPrimaryAngle", "deg"),),
    "PositionerSecondaryAngle": (("PositionerSecondaryAngle", "deg"),),
    "ColumnAngulation": (("ColumnAngulation", "deg"),),
    "EstimatedRadiographicMagnificationFactor":
        (("EstimatedRadiographicMagnificationFactor", "1"),),
}  # fmt: skip
_ATTRIBUTES = {
    "projection": _PROJECTION,
    "mammography": {
        **_PROJECTION,
        "AGD": (("OrganDose", "dGy"),),
        "BodyPartThickness": (("BodyPartThickness", "mm"),),
        "CompressionForce": (("CompressionForce", "N"),),
    },
    "CT": {
        **_XRAY,
        "CTDIvol": (("CTDIvol", "mGy"),),
        "SingleCollimationWidth": (("SingleCollimationWidth", "mm"),),
        "TotalCollimationWidth": (("TotalCollimationWidth", "mm"),),
        "SpiralPitchFactor": (("SpiralPitchFactor", "1"),),
    },
}
_METALS = {  # CID 10006 X-Ray Filter Material, CID 10016 X-Ray Anode Target Material
    "ALUMINUM": "12503006", "COPPER": "66925006", "MOLYBDENUM": "71128006", "RHODIUM": "59801003",
    "SILVER": "41967008", "TUNGSTEN": "26194003", "NIOBIUM": "767776000", "EUROPIUM": "767775001",
    "LEAD": "88488004", "TANTALUM": "45215009",
}  # fmt: skip
_SMALLEST_BQ = 1e5
"""Smaller activities are MBq in old objects: nobody injects less than 0.1 MBq."""
_GLANDULAR = re.compile(r"(\d{1,3}) ?%")


def wants(first: Mapping[str, str]) -> str | None:
    """Which images tell a dose, and of which one per event is enough; see ContentReader.wants."""
    kind = kind_of(first.get("SOPClassUID", ""))
    if kind == "radiopharmaceutical":
        return kind if "RadiopharmaceuticalInformationSequence" in first else None
    if kind and "SharedFunctionalGroupsSequence" in first:
        return ""
    if kind == "CT":
        if "CTDIvol" not in first:
            return None
        acquisition = f"acquisition {first.get('AcquisitionNumber', '')} {first['CTDIvol']}"
        return first.get("IrradiationEventUID") or acquisition
    return "" if kind and any(map(first.__contains__, _DOSES)) else None


def kind_of(sop_class: str) -> str:
    """Kind of dose that images of a class tell, or ""."""
    if not sop_class.startswith(_IMAGE):
        return ""
    return _KINDS.get(sop_class.removeprefix(_IMAGE), "")


def image(kind: str, header: Header, contents: Contents) -> None:
    """Add the events that the header of an image of a kind tells of."""
    header = _with_groups(header)
    shared: Item = {**document_of(header), "source": "image", "precedence": 3, "kind": kind}
    shared["protocol"] = text_in(header, "ProtocolName") or None
    if kind == "radiopharmaceutical":
        _injections(shared, header, contents)
        return
    if kind == "CT" and texts(header, "ImageType")[:2] == ["DERIVED", "SECONDARY"]:
        return
    row = {**shared, **laterality(_LETTERS.get(_side_of(header)))}
    _measure(row, _ATTRIBUTES[kind], header, contents)
    if not any(row.get(column) for column in _TELLING):
        return
    for column, keyword in (
        ("region", "AnatomicRegionSequence"),
        ("view", "ViewCodeSequence"),
        ("phantom", "CTDIPhantomTypeCodeSequence"),
    ):
        row |= code_of(column, header, keyword)
    row |= _metal("anode", text_in(header, "AnodeTargetMaterial"))
    _image_filters(row, header)
    comment = _GLANDULAR.fullmatch(text_in(header, "CommentsOnRadiationDose"))
    if kind == "mammography" and comment:  # as GE writes it
        row["fibroglandular"] = float(comment[1])
        _sent(row, "fibroglandular", comment[1], "%", "CommentsOnRadiationDose")
    row["started"] = moment_in(header, "Acquisition")
    uid = text_in(header, "IrradiationEventUID")
    row["event_uid"] = uid or None
    row["event_key"] = (
        uid
        or (_acquisition_key(row, header) if kind == "CT" else None)
        or derived_key(row)
        or text_in(header, "SOPInstanceUID")
    )
    finish("dose_events", row, "", contents)


_GROUPS = ("XRay3DAcquisitionSequence", "SharedFunctionalGroupsSequence")
_DEEPEST = 3


def _with_groups(header: Header) -> Header:
    """A header with what holds for all frames of it (PS3.3 C.7.6.16) as if it stood at the top."""
    inside = [item for keyword in _GROUPS for item in items(header, keyword)]
    if not inside:
        return header
    found = dict(header)
    for _ in range(_DEEPEST):
        for item in inside:
            for key, element in item.items():
                found.setdefault(key, element)
        inside = [
            below
            for item in inside
            for element in item.values()
            if isinstance(element, Mapping) and element.get("vr") == "SQ"
            for below in element.get("Value") or ()
            if isinstance(below, Mapping)
        ]
    return found


def _injections(shared: Item, header: Header, contents: Contents) -> None:
    """One row per radiopharmaceutical of a PET or nuclear medicine image."""
    path = "RadiopharmaceuticalInformationSequence"
    for item in items(header, path):
        row = dict(shared)
        number = number_in(item, "RadionuclideTotalDose")
        if number is not None:
            unit = "MBq" if 0 < number < _SMALLEST_BQ else "Bq"
            if unit == "MBq":
                contents.problem(
                    f"{path}.RadionuclideTotalDose",
                    "DS",
                    "an activity too small for Bq; read as MBq",
                )
            row["activity"] = converted(number, unit, "MBq")
            sent = text_in(item, "RadionuclideTotalDose")
            _sent(row, "activity", sent, unit, "RadionuclideTotalDose")
        row |= code_of("agent", item, "RadiopharmaceuticalCodeSequence")
        row |= code_of("nuclide", item, "RadionuclideCodeSequence")
        start = text_in(item, "RadiopharmaceuticalStartDateTime")
        time = text_in(item, "RadiopharmaceuticalStartTime")
        day = text_in(header, "AcquisitionDate") or text_in(header, "SeriesDate")
        row["started"] = moment_of(start, "DT") or (
            moment_of(day + time.replace(":", ""), "DT") if day and time else None
        )
        uid = text_in(item, "RadiopharmaceuticalAdministrationEventUID")
        row["event_uid"] = uid or None
        parts = [row.get(c) for c in ("started", "activity", "nuclide")]
        row["event_key"] = (
            uid
            or (None if number is None else key_of(row, *parts))
            or text_in(header, "SOPInstanceUID")
        )
        if number is not None or uid:
            finish("dose_events", row, path, contents)


def _measure(row: Item, columns: Mapping[str, Any], header: Header, contents: Contents) -> None:
    for column, attributes in columns.items():
        for keyword, unit in attributes:
            number = number_in(header, keyword)
            if number is None:
                continue
            row[column] = converted(number, unit, UNITS[column])
            _sent(row, column, text_in(header, keyword), unit, keyword)
            break


def _sent(row: Item, column: str, number: str, unit: str, place: str) -> None:
    sent = {"quantity": column, "number": number, "unit": unit, "place": place}
    row.setdefault("sent", []).append(sent)


def _image_filters(row: Item, header: Header) -> None:
    """Filters of an image; some devices put commas between them instead of backslashes."""
    materials = _split(header, "FilterMaterial")
    types = _split(header, "FilterType")
    least = [number_of(t) for t in _split(header, "FilterThicknessMinimum")]
    most = [number_of(t) for t in _split(header, "FilterThicknessMaximum")]
    filters = []
    for at, material in enumerate(materials or [""] * len(least)):
        found = _metal("material", material)
        one = {
            "material": found.get("material"),
            "material_meaning": material or None,
            "type": types[at] if at < len(types) else None,
            "minimum": least[at] if at < len(least) else None,
            "maximum": most[at] if at < len(most) else None,
        }
        filters.append(one)
    put_filters(row, filters)


def _split(header: Header, keyword: str) -> list[str]:
    return [t.strip() for text in texts(header, keyword) for t in text.split(",") if t.strip()]


def _metal(column: str, name: str) -> dict[str, str]:
    """The code of a filter or anode material that images name with a word."""
    code = _METALS.get(name.upper())
    return coded(column, Code(code, "SCT", name.capitalize())) if code else {}


def _side_of(header: Header) -> str:
    found = text_in(header, "ImageLaterality") or text_in(header, "Laterality")
    return found.upper()


def _acquisition_key(row: Item, header: Header) -> str | None:
    """Slices and reconstructions of a CT acquisition differ in time: its number and CTDIvol."""
    acquisition = text_in(header, "AcquisitionNumber")
    return key_of(row, "CT", acquisition, row.get("CTDIvol")) if acquisition else None
