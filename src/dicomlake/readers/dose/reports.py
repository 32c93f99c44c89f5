"""Dose reports (PS3.16 TID 10001, 10011, 10021, 10040), by their concept codes only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import fsum, isfinite
from typing import Any

from dicomlake.contracts import Contents
from dicomlake.readers.dose.rows import (
    FILTER_PARTS,
    UNITS,
    Header,
    Item,
    converted,
    derived_key,
    document_of,
    finish,
    laterality,
    put_filters,
    text_in,
)
from dicomlake.terms import Code, units

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
_CONTAINERS = {
    "DCM:113819": "CT", "DCM:113811": "CT", "DCM:113502": "radiopharmaceutical",
}  # fmt: skip
_PLANES = {"DCM:113622": "single", "DCM:113620": "A", "DCM:113621": "B"}
_SIDES = {  # breasts stand for their side
    "SCT:73056007": Code("24028007", "SCT", "Right"),
    "SCT:80248007": Code("7771000", "SCT", "Left"),
    "SCT:63762007": Code("51440002", "SCT", "Right and left"),
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

_SR = "1.2.840.10008.5.1.4.1.1.88."
_RDSR = frozenset(_SR + last for last in ("67", "68", "73", "76"))


def is_report(contents: Contents) -> bool:
    """Whether the items of an object are a dose report: its root says so, whatever its class."""
    items = contents.rows["items"]
    return bool(items) and items[0].get("concept") in _ROOTS


class Report:
    """One dose report, its items by the item around them."""

    def __init__(self, header: Header, contents: Contents) -> None:
        self.contents = contents
        self.items: list[Item] = contents.rows["items"]
        self.children: dict[int | None, list[Item]] = {}
        for item in self.items:
            self.children.setdefault(item.get("parent"), []).append(item)
        sop_class = text_in(header, "SOPClassUID")
        dose = sop_class in _RDSR
        self.document = {
            **document_of(header),
            "source": "RDSR" if dose else "enhanced SR",
            "precedence": 1 if dose else 2,
        }
        self.instance = text_in(header, "SOPInstanceUID")
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

    def _kind_of(self, concept: str) -> str:
        """Kind of dose in a container: some documents have those of two."""
        if concept in ("DCM:113706", "DCM:113702") and self.kind == "CT":
            return "projection"
        return _CONTAINERS.get(concept, self.kind)

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
        kind = self._kind_of(concept)
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
        row["event_key"] = uid or derived_key(row) or f"{self.instance} {container['place']}"
        return finish("dose_events", row, container["path"], self.contents)

    def _totals(self, container: Item) -> list[Item]:
        kind = self._kind_of(container["concept"])
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
        return [finish("dose_totals", r, container["path"], self.contents) for r in rows]

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
                parts = {k: one.get(k) for k in FILTER_PARTS}
                filters += [parts] if parts not in filters else []  # some say it for every pulse
        put_filters(row, filters)


_THICKNESS = {"FilterThicknessMinimum": ("113758",), "FilterThicknessMaximum": ("113773",)}


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
                return laterality(_SIDES[code])
            return {"laterality": code, "laterality_meaning": item.get("code_meaning")}
    return {}


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
                numbers += _numbers(item, column, UNITS[column], contents)
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
    ours = [converted(n, unit, wanted) for n in numbers]
    if None in ours:
        contents.problem(item["path"], "", f"{column} cannot be in {unit}")
    return [n for n in ours if n is not None]


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
