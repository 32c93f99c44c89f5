"""Radiation dose: rows of `dose_events` and `dose_totals` from dose reports and image headers.

Dose reports (PS3.16 TID 10001, 10011, 10021, 10040) are known by the concept of their root and read
by concept codes only: identifiers of templates and meanings of codes are often wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from math import fsum, isfinite
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Contents, coded
from dicomlake.dicom import dictionary
from dicomlake.dicom.values import moment_of, number_of
from dicomlake.terms import Code, units

Item = dict[str, Any]
Header = Mapping[str, Any]

_SR = "1.2.840.10008.5.1.4.1.1.88."
_RDSR = frozenset(_SR + last for last in ("67", "68", "73", "76"))
_IMAGE = "1.2.840.10008.5.1.4.1.1."
_KINDS = {
    **dict.fromkeys(("1", "1.1", "1.1.1", "1.3", "1.3.1"), "projection"),
    **dict.fromkeys(("12.1", "12.1.1", "12.2", "12.2.1"), "projection"),
    **dict.fromkeys(("1.2", "1.2.1"), "mammography"),
    "2": "CT", "20": "radiopharmaceutical", "128": "radiopharmaceutical",
}  # fmt: skip
_TELLING = ("CTDIvol", "DAP", "AGD", "entrance", "Exposure")
"""Columns of which an image has to fill one, and not with 0, to be an event."""
_UNEXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a mistake of ours may raise on a header that nobody foresaw."""
_DOSES = """
ImageAndFluoroscopyAreaDoseProduct OrganDose EntranceDose EntranceDoseInmGy Exposure ExposureInuAs
""".split()

# Concepts of reports, as items.concept has them.
_ROOTS = frozenset(["DCM:113701", "DCM:113500", "DCM:128401"])
_EVENTS = frozenset(["DCM:113819", "DCM:113706", "DCM:113502", "DCM:130501"])
_TOTALS = frozenset(["DCM:113811", "DCM:113702", "DCM:130500"])
_EVENT_UIDS = ("DCM:113769", "DCM:113853", "DCM:113503")
_STARTS = ("DCM:111526", "DCM:123003")
_FILTERS, _PLANE, _AGD_TOTAL, _EVENT_COUNT = "DCM:113771", "DCM:113764", "DCM:111637", "DCM:113812"
_PROCEDURE, _LATERALITY = "DCM:121058", "SCT:272741003"
_PROCEDURES = {
    "SCT:77477000": "CT", "SCT:71651007": "mammography", "DCM:113704": "projection",
}  # fmt: skip
_PLANES = {"DCM:113622": "single", "DCM:113620": "A", "DCM:113621": "B"}
_SIDES = {  # breasts stand for their side
    "SCT:73056007": Code("24028007", "SCT", "Right"),
    "SCT:80248007": Code("7771000", "SCT", "Left"),
    "SCT:63762007": Code("51440002", "SCT", "Right and left"),
}
_LETTERS = {
    "R": Code("24028007", "SCT", "Right"),
    "L": Code("7771000", "SCT", "Left"),
    "B": Code("51440002", "SCT", "Right and left"),
}

_ALWAYS = {
    "CTDIvol": ("113830",), "DLP": ("113838",), "DAP": ("122130",), "RP": ("113738",),
    "AGD": ("111631",), "activity": ("113507",),
}  # fmt: skip
_EVENT_NUMBERS = {
    **_ALWAYS,
    "KVP": ("113733",), "XRayTubeCurrent": ("113767", "113734"),
    "XRayTubeCurrent_max": ("113833",),
    "Exposure": ("113736",), "ExposureTime": ("113824", "113735"), "rotation_time": ("113834",),
    "duration": ("113742",), "length": ("113825",), "reconstructed_length": ("113893",),
    "exposed_range": ("113899",), "SingleCollimationWidth": ("113826",),
    "TotalCollimationWidth": ("113827",), "SpiralPitchFactor": ("113828",),
    "sources": ("113823",), "frames": ("113768",), "pulse_rate": ("113791",),
    "pulse_width": ("113793",), "FocalSpots": ("113766",), "HalfValueLayer": ("111634",),
    "entrance": ("111636",), "BodyPartThickness": ("111633",), "CompressionForce": ("111647",),
    "fibroglandular": ("111046",), "DistanceSourceToDetector": ("113750",),
    "DistanceSourceToIsocenter": ("113748",), "reference_distance": ("113737",),
    "PositionerPrimaryAngle": ("112011",), "PositionerSecondaryAngle": ("112012",),
    "primary_end_angle": ("113739",), "secondary_end_angle": ("113740",),
    "ColumnAngulation": ("113770",), "field_area": ("113790",), "field_height": ("113788",),
    "field_width": ("113789",), "SSDE": ("113930",),
    "water_equivalent_diameter": ("113980", "113981", "113982"),
    "CTDIvol_alert": ("113904",), "DLP_alert": ("113903",),
    "CTDIvol_alert_estimate": ("113906",), "DLP_alert_estimate": ("113905",),
    "CTDIvol_notification": ("113912",), "DLP_notification": ("113911",),
    "CTDIvol_notification_estimate": ("113914",), "DLP_notification_estimate": ("113913",),
}  # fmt: skip
_TOTAL_NUMBERS = {
    "DLP": ("113813",), "DAP": ("113722",), "RP": ("113725",),
    "DAP_fluoro": ("113726",), "DAP_acquisition": ("113727",), "RP_fluoro": ("113728",),
    "RP_acquisition": ("113729",), "fluoro_time": ("113730",), "acquisition_time": ("113855",),
    "frames": ("113731",),
}  # fmt: skip
_CODES = {
    "type": ("DCM:113820", "DCM:113721"), "region": ("DCM:123014",), "view": ("DCM:111031",),
    "phantom": ("DCM:113835",), "reference_point": ("DCM:113780",), "mode": ("DCM:113732",),
    "anode": ("DCM:111632",),
    "agent": ("SCT:349358000", "SRT:F-61FDB", "SNM3:F-61FDB", "99SDM:F-61FDB"),
    "nuclide": ("SCT:89457008",),
}  # fmt: skip
_MEANS = frozenset(["KVP", "XRayTubeCurrent", "pulse_width"])
"""Columns that are the mean of the values that are not 0, where a report has one per pulse."""
_LARGEST = {"KVP": "KVP_max", "XRayTubeCurrent": "XRayTubeCurrent_max"}

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

_LIMITS: dict[str, tuple[float, float]] = {
    "CTDIvol": (0, 2000), "DLP": (0, 50_000), "DAP": (0, 0.5), "RP": (0, 50_000), "AGD": (0, 50),
    "activity": (0, 50_000), "KVP": (10, 200), "XRayTubeCurrent": (0, 3000),
    "Exposure": (0, 20_000), "ExposureTime": (0, 3_600_000), "length": (0, 3000),
    "SpiralPitchFactor": (0, 10), "FocalSpots": (0.01, 5), "BodyPartThickness": (0, 600),
    "CompressionForce": (0, 400), "HalfValueLayer": (0, 20), "entrance": (0, 10_000),
    "fibroglandular": (0, 100), "DistanceSourceToDetector": (100, 5000),
    "DistanceSourceToEntrance": (100, 5000), "DistanceSourceToIsocenter": (100, 5000),
    "SSDE": (0, 4000), "water_equivalent_diameter": (20, 800), "fluoro_time": (0, 36_000),
}  # fmt: skip
"""Smallest and largest plausible value; what is beyond is kept and noted."""


def _units(schema: pa.Schema) -> dict[str, str]:
    return {f.name: f.metadata[b"unit"].decode() for f in schema if b"unit" in (f.metadata or {})}


_UNITS = {**_units(tables.DOSE_TOTALS), **_units(tables.DOSE_EVENTS)}
"""The unit of every column that is a quantity."""


class DoseReader:
    """Reads dose reports, and the dose that headers of images tell."""

    name = "dose"
    version = 1
    after = ("report",)

    def wants(self, first: Mapping[str, str]) -> str | None:
        """Reports; and of images that tell a dose one per event.

        >>> reader = DoseReader()
        >>> reader.wants({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "CTDIvol": "a0",
        ...               "AcquisitionNumber": "3"})
        'acquisition 3 a0'
        >>> reader.wants({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "KVP": "120"})
        """
        if "ContentSequence" in first:
            return ""
        kind = _kind_of(first.get("SOPClassUID", ""))
        if kind == "radiopharmaceutical":
            return kind if "RadiopharmaceuticalInformationSequence" in first else None
        if kind == "CT":
            if "CTDIvol" not in first:
                return None
            acquisition = f"acquisition {first.get('AcquisitionNumber', '')} {first['CTDIvol']}"
            return first.get("IrradiationEventUID") or acquisition
        return "" if kind and any(map(first.__contains__, _DOSES)) else None

    def read(self, header: dict[str, Any], contents: Contents) -> None:
        """Add rows of dose; a report needs its rows of `items`."""
        items = contents.rows["items"]
        try:
            if items and items[0].get("concept") in _ROOTS:
                _Report(header, contents).read()
            elif kind := _kind_of(_text(header, "SOPClassUID")):
                _image(kind, header, contents)
        except _UNEXPECTED as error:
            contents.problem("", "", f"dose not readable ({type(error).__name__})")


def _kind_of(sop_class: str) -> str:
    """Kind of dose that images of a class tell, or ""."""
    if not sop_class.startswith(_IMAGE):
        return ""
    return _KINDS.get(sop_class.removeprefix(_IMAGE), "")


# Reports


class _Report:
    """One dose report, its items by the item around them."""

    def __init__(self, header: Header, contents: Contents) -> None:
        self.contents = contents
        self.items: list[Item] = contents.rows["items"]
        self.children: dict[int | None, list[Item]] = {}
        for item in self.items:
            self.children.setdefault(item.get("parent"), []).append(item)
        sop_class = _text(header, "SOPClassUID")
        dose = sop_class in _RDSR
        self.document = {
            **_document(header),
            "source": "RDSR" if dose else "enhanced SR",
            "precedence": 1 if dose else 2,
        }
        self.instance = _text(header, "SOPInstanceUID")
        self.kind = self._kind()

    def read(self) -> None:
        """Add a row per event and per accumulated dose."""
        events, totals = [], []
        for item in self.items:
            if item.get("concept") in _EVENTS:
                events.append(self._event(item))
            elif item.get("concept") in _TOTALS:
                totals += self._totals(item)
        _compare(events, totals, self.contents)

    def _kind(self) -> str:
        if any(item.get("concept") in ("DCM:111631", _AGD_TOTAL) for item in self.items):
            return "mammography"
        for item in self.items:
            if item.get("concept") == _PROCEDURE and item.get("code") in _PROCEDURES:
                return _PROCEDURES[item["code"]]
        if any(item.get("concept") in ("DCM:113830", "DCM:113838") for item in self.items):
            return "CT"
        return "projection"

    def _below(self, item: Item) -> Iterator[Item]:
        """Every item below one, in order, but nothing of other events."""
        stack = self.children.get(item["item"], [])[::-1]
        while stack:
            found = stack.pop()
            if found.get("concept") in _EVENTS or found.get("concept") in _TOTALS:
                continue
            yield found
            if found["item"] > (found.get("parent") or 0):  # never in circles
                stack += self.children.get(found["item"], [])[::-1]

    def _event(self, container: Item) -> Item:
        concept = container["concept"]
        kind = {"DCM:113819": "CT", "DCM:113502": "radiopharmaceutical"}.get(concept, self.kind)
        row: Item = {**self.document, "item": container["item"], "kind": kind}
        below = list(self._below(container))
        by_concept = _by_concept(below)
        _fill(row, _EVENT_NUMBERS, by_concept, self.contents)
        self._codes(row, _CODES, by_concept)
        uid = next(_texts(by_concept, _EVENT_UIDS), "")
        protocol = next(_texts(by_concept, ("DCM:125203",)), None)
        row |= {
            "event_uid": uid or None,
            "protocol": protocol,
            "plane": self._plane(by_concept),
            "started": next(
                (i["moment"] for c in _STARTS for i in by_concept.get(c, ()) if i.get("moment")),
                None,
            ),
        }
        if kind != "radiopharmaceutical":  # there laterality is that of organs
            row |= _side(by_concept.get(_LATERALITY, ()))
        self._filters(row, below)
        if not uid:
            self.contents.problem(container["path"], "", "an event without a UID")
        row["event_key"] = uid or _derived_key(row) or f"{self.instance} {container['place']}"
        return _finish("dose_events", row, container["path"], self.contents)

    def _totals(self, container: Item) -> list[Item]:
        kind = "CT" if container["concept"] == "DCM:113811" else self.kind
        shared: Item = {**self.document, "item": container["item"], "kind": kind}
        by_concept = _by_concept(self._below(container))
        shared["plane"] = self._plane(by_concept)
        rows = []
        sides = by_concept.get(_AGD_TOTAL, [])
        for item in sides:
            row = dict(shared)
            _fill(row, {"AGD": ("111637",)}, {_AGD_TOTAL: [item]}, self.contents)
            row |= _side(i for i in self._below(item) if i.get("concept") == _LATERALITY)
            rows.append(row)
        row = dict(shared)
        _fill(row, _TOTAL_NUMBERS, by_concept, self.contents)
        self._codes(row, {c: _CODES[c] for c in ("phantom", "reference_point")}, by_concept)
        stated = [i["number"] for i in by_concept.get(_EVENT_COUNT, ()) if _is_number(i)]
        if stated:
            row["events"] = round(stated[0])
        if not sides or row.get("sent") or "events" in row:
            rows.insert(0, row)
        return [_finish("dose_totals", r, container["path"], self.contents) for r in rows]

    def _codes(
        self, row: Item, codes: Mapping[str, tuple[str, ...]], found: Mapping[str, list[Item]]
    ) -> None:
        for column, concepts in codes.items():
            for item in (i for c in concepts for i in found.get(c, ()) if i.get("code")):
                row |= {
                    f"{column}{part}": item.get(f"code{part}")
                    for part in ("", "_value", "_scheme", "_meaning")
                }
                break

    def _plane(self, found: Mapping[str, list[Item]]) -> str | None:
        return next((_PLANES.get(i.get("code") or "") for i in found.get(_PLANE, ())), None)

    def _filters(self, row: Item, below: Iterable[Item]) -> None:
        containers = [i for i in below if i.get("concept") == _FILTERS]
        filters = []
        for container in containers:
            children = _by_concept(self._below(container))
            one: Item = {}
            codes = {"material": ("DCM:113757",), "type": ("DCM:113772",)}
            self._codes(one, codes, children)
            _fill(one, _THICKNESS, children, self.contents)
            if one:
                row.setdefault("sent", []).extend(one.pop("sent", []))
                one["minimum"] = one.get("FilterThicknessMinimum")
                one["maximum"] = one.get("FilterThicknessMaximum")
                found = {k: one.get(k) for k in _FILTER_PARTS}
                filters += [found] if found not in filters else []  # some say it for every pulse
        _thickness(row, filters)


_THICKNESS = {"FilterThicknessMinimum": ("113758",), "FilterThicknessMaximum": ("113773",)}
_FILTER_PARTS = ("material", "material_meaning", "type", "minimum", "maximum")


def _thickness(row: Item, filters: list[Item]) -> None:
    """Put filters into a row, and the smallest and largest thickness of them."""
    if not filters:
        return
    row["filters"] = filters
    least = [f["minimum"] for f in filters if f["minimum"] is not None]
    most = [f["maximum"] for f in filters if f["maximum"] is not None]
    row["FilterThicknessMinimum"] = min(least, default=None)
    row["FilterThicknessMaximum"] = max(most, default=None)


def _by_concept(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        if concept := item.get("concept"):
            found.setdefault(concept, []).append(item)
    return found


def _texts(found: Mapping[str, list[Item]], concepts: Iterable[str]) -> Iterator[str]:
    return (
        text for c in concepts for i in found.get(c, ()) if (text := (i.get("text") or "").strip())
    )


def _side(items: Iterable[Item]) -> dict[str, Any]:
    """The columns `laterality` of the first item that has a code."""
    for item in items:
        if code := item.get("code"):
            if code in _SIDES:
                return _laterality(_SIDES[code])
            return {"laterality": code, "laterality_meaning": item.get("code_meaning")}
    return {}


def _laterality(side: Code | None) -> dict[str, str]:
    return coded("laterality", side)


def _is_number(item: Item) -> bool:
    return isinstance(item.get("number"), int | float) and isfinite(item["number"])


def _fill(
    row: Item,
    columns: Mapping[str, tuple[str, ...]],
    found: Mapping[str, list[Item]],
    contents: Contents,
) -> None:
    """Put the numbers of items into columns, in the units of the columns; keep them as sent."""
    for column, concepts in columns.items():
        chosen: list[float] = []
        for concept in concepts:
            numbers: list[float] = []
            for item in found.get(f"DCM:{concept}", ()):
                if item.get("number_sent"):
                    sent = {
                        "quantity": column,
                        "number": item["number_sent"],
                        "unit": item.get("unit_value"),
                        "place": item.get("place"),
                    }
                    row.setdefault("sent", []).append(sent)
                numbers += _numbers(item, column, _UNITS[column], contents)
            chosen = chosen or numbers
        if not chosen:
            continue
        if column in _MEANS:
            true = [n for n in chosen if n]
            row[column] = float(f"{fsum(true) / len(true):.12g}") if true else 0.0
            if column in _LARGEST:
                row[_LARGEST[column]] = max(chosen)
            continue
        row[column] = chosen[0]
        if any(n != chosen[0] for n in chosen):
            path = found[next(f"DCM:{c}" for c in concepts if f"DCM:{c}" in found)][0]["path"]
            contents.problem(path, "", f"several values of {column}; the first one counts")


def _numbers(item: Item, column: str, wanted: str, contents: Contents) -> list[float]:
    """The numbers of an item in the unit of a column; none where nobody knows their unit."""
    numbers = item.get("numbers") or [item.get("number")]
    numbers = [n for n in numbers if isinstance(n, int | float) and isfinite(n)]
    if not numbers:
        return []
    sent, scheme = item.get("unit_value"), item.get("unit_scheme") or ""
    unit = units.ucum(sent, scheme) if sent else "1" if wanted == "1" else None
    if unit is None:
        why = f"is in the unknown unit {sent[:16]!r}" if sent else "has no unit"
        contents.problem(item["path"], "", f"{column} {why}")
        return []
    converted = [_converted(n, unit, wanted) for n in numbers]
    if None in converted:
        contents.problem(item["path"], "", f"{column} cannot be in {unit}")
    return [n for n in converted if n is not None]


def _converted(number: float, unit: str, wanted: str) -> float | None:
    """A number in another unit, without the dust that multiplication leaves."""
    found = units.convert(number, unit, wanted)
    return found if found is None or unit == wanted else float(f"{found:.15g}")


def _compare(events: list[Item], totals: list[Item], contents: Contents) -> None:
    """Note where totals do not fit the events of the same document."""
    for column in ("DLP", "DAP", "RP"):
        total = sum(t.get(column) or 0 for t in totals)
        summed = sum(e.get(column) or 0 for e in events)
        if total > 0 and summed > 0 and abs(total - summed) > 0.05 * total:
            contents.problem("", "", f"the total of {column} is not the sum of its events")
    stated = [t["events"] for t in totals if t.get("events") is not None]
    if stated and sum(stated) != len(events):
        contents.problem("", "", "not as many events as the report states")
    keys = [e["event_key"] for e in events]
    if len(set(keys)) < len(keys):
        contents.problem("", "", "a UID of an event occurs twice")


# Images


def _image(kind: str, header: Header, contents: Contents) -> None:
    shared: Item = {**_document(header), "source": "image", "precedence": 3, "kind": kind}
    shared["protocol"] = _text(header, "ProtocolName") or None
    if kind == "radiopharmaceutical":
        _injections(shared, header, contents)
        return
    if kind == "CT" and _texts_of(header, "ImageType")[:2] == ["DERIVED", "SECONDARY"]:
        return
    row = {**shared, **_laterality(_LETTERS.get(_side_of(header)))}
    _measure(row, _ATTRIBUTES[kind], header, contents)
    if not any(row.get(column) for column in _TELLING):
        return
    for column, keyword in (
        ("region", "AnatomicRegionSequence"),
        ("view", "ViewCodeSequence"),
        ("phantom", "CTDIPhantomTypeCodeSequence"),
    ):
        row |= _code_of(column, header, keyword)
    row |= _metal("anode", _text(header, "AnodeTargetMaterial"))
    _image_filters(row, header)
    comment = _GLANDULAR.fullmatch(_text(header, "CommentsOnRadiationDose"))
    if kind == "mammography" and comment:  # as GE writes it
        row["fibroglandular"] = float(comment[1])
        _sent(row, "fibroglandular", comment[1], "%", "CommentsOnRadiationDose")
    row["started"] = _moment(header, "Acquisition")
    uid = _text(header, "IrradiationEventUID")
    row["event_uid"] = uid or None
    row["event_key"] = (
        uid
        or (_acquisition_key(row, header) if kind == "CT" else None)
        or _derived_key(row)
        or _text(header, "SOPInstanceUID")
    )
    _finish("dose_events", row, "", contents)


def _injections(shared: Item, header: Header, contents: Contents) -> None:
    """One row per radiopharmaceutical of a PET or nuclear medicine image."""
    path = "RadiopharmaceuticalInformationSequence"
    for item in _items(header, path):
        row = dict(shared)
        number = _number(item, "RadionuclideTotalDose")
        if number is not None:
            unit = "MBq" if 0 < number < _SMALLEST_BQ else "Bq"
            if unit == "MBq":
                contents.problem(
                    f"{path}.RadionuclideTotalDose",
                    "DS",
                    "an activity too small for Bq; read as MBq",
                )
            row["activity"] = _converted(number, unit, "MBq")
            sent = _text(item, "RadionuclideTotalDose")
            _sent(row, "activity", sent, unit, "RadionuclideTotalDose")
        row |= _code_of("agent", item, "RadiopharmaceuticalCodeSequence")
        row |= _code_of("nuclide", item, "RadionuclideCodeSequence")
        start = _text(item, "RadiopharmaceuticalStartDateTime")
        time = _text(item, "RadiopharmaceuticalStartTime")
        day = _text(header, "AcquisitionDate") or _text(header, "SeriesDate")
        row["started"] = moment_of(start, "DT") or (
            moment_of(day + time.replace(":", ""), "DT") if day and time else None
        )
        uid = _text(item, "RadiopharmaceuticalAdministrationEventUID")
        row["event_uid"] = uid or None
        parts = [row.get(c) for c in ("started", "activity", "nuclide")]
        row["event_key"] = (
            uid or (number is not None and _key(row, *parts)) or _text(header, "SOPInstanceUID")
        )
        if number is not None or uid:
            _finish("dose_events", row, path, contents)


def _measure(row: Item, columns: Mapping[str, Any], header: Header, contents: Contents) -> None:
    for column, attributes in columns.items():
        for keyword, unit in attributes:
            number = _number(header, keyword)
            if number is None:
                continue
            row[column] = _converted(number, unit, _UNITS[column])
            _sent(row, column, _text(header, keyword), unit, keyword)
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
    _thickness(row, filters)


def _split(header: Header, keyword: str) -> list[str]:
    return [t.strip() for text in _texts_of(header, keyword) for t in text.split(",") if t.strip()]


def _metal(column: str, name: str) -> dict[str, str]:
    """The code of a filter or anode material that images name with a word."""
    code = _METALS.get(name.upper())
    return coded(column, Code(code, "SCT", name.capitalize())) if code else {}


def _side_of(header: Header) -> str:
    found = _text(header, "ImageLaterality") or _text(header, "Laterality")
    return found.upper()


# Keys, documents and rows


def _key(row: Item, *parts: object) -> str | None:
    """A key of its own for what has no UID; it tells nothing of its parts."""
    study = row.get("StudyInstanceUID")
    if not study:
        return None
    texts = [f"{p:.6g}" if isinstance(p, float) else str(p) for p in parts]
    digest = blake2b("\x1f".join([study, *texts]).encode(), digest_size=16)
    return f"derived {digest.hexdigest()}"


def _derived_key(row: Item) -> str | None:
    started = row.get("started")
    if started is None:
        return None
    second = started.replace(microsecond=0).isoformat()
    return _key(row, second, *[row.get(c) for c in ("KVP", "Exposure", "laterality")])


def _acquisition_key(row: Item, header: Header) -> str | None:
    """Slices and reconstructions of a CT acquisition differ in time: its number and CTDIvol."""
    acquisition = _text(header, "AcquisitionNumber")
    return _key(row, "CT", acquisition, row.get("CTDIvol")) if acquisition else None


def _document(header: Header) -> dict[str, Any]:
    completion = _text(header, "CompletionFlag")
    preliminary = _text(header, "PreliminaryFlag") == "PRELIMINARY"
    return {
        "StudyInstanceUID": _text(header, "StudyInstanceUID") or None,
        "documented": _moment(header, "Content"),
        "complete": completion == "COMPLETE" and not preliminary if completion else None,
    }


def _moment(header: Header, what: str) -> Any:
    """When something was, of its DateTime or of its Date and Time, in UTC."""
    zone = _text(header, "TimezoneOffsetFromUTC")
    zone = zone if re.fullmatch(r"[+-]\d{4}", zone) else ""
    text = _text(header, f"{what}DateTime") if what == "Acquisition" else ""
    if not text:
        day = _text(header, f"{what}Date").replace(".", "")
        text = day + _text(header, f"{what}Time").replace(":", "") if day else ""
    return moment_of(text if re.search(r"[+-]\d{4}$", text) else text + zone, "DT")


def _finish(table: str, row: Item, path: str, contents: Contents) -> Item:
    """Add a row; count its quantities and note those beyond all likelihood."""
    row["filled"] = sum(row.get(column) is not None for column in _UNITS)
    for column, (low, high) in _LIMITS.items():
        number = row.get(column)
        if number is not None and not low <= number <= high:
            contents.problem(path, "", f"{column} is not plausible")
    columns = tables.ALL[table].names
    return contents.add(table, {k: v for k, v in row.items() if k in columns and v is not None})


# DICOM JSON


def _values(header: Header, keyword: str) -> list[Any]:
    element = header.get(f"{dictionary.tag_of(keyword):08X}")
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values if isinstance(values, list) else []


def _texts_of(header: Header, keyword: str) -> list[str]:
    return [str(v).strip() for v in _values(header, keyword) if isinstance(v, str | int | float)]


def _text(header: Header, keyword: str) -> str:
    return next(iter(_texts_of(header, keyword)), "")


def _items(header: Header, keyword: str) -> list[Mapping[str, Any]]:
    return [v for v in _values(header, keyword) if isinstance(v, Mapping)]


def _number(header: Header, keyword: str) -> float | None:
    value = next(iter(_values(header, keyword)), None)
    if isinstance(value, str):
        value = number_of(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def _code_of(column: str, header: Header, keyword: str) -> dict[str, str]:
    for item in _items(header, keyword):
        value = next(
            (v for k in ("CodeValue", "LongCodeValue", "URNCodeValue") if (v := _text(item, k))), ""
        )
        if value:
            scheme, meaning = _text(item, "CodingSchemeDesignator"), _text(item, "CodeMeaning")
            return coded(column, Code(value, scheme, meaning))
    return {}
