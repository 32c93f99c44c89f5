"""What reports and images share: rows of dose, their keys and limits, and values of a header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from math import isfinite
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Contents, coded
from dicomlake.dicom.values import moment_of, number_of
from dicomlake.readers.attributes import code_of as code_of_item
from dicomlake.readers.attributes import items, text, values
from dicomlake.terms import Code, units

Item = dict[str, Any]
Header = Mapping[str, Any]

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


UNITS = {**_units(tables.DOSE_TOTALS), **_units(tables.DOSE_EVENTS)}
"""The unit of every column that is a quantity."""

FILTER_PARTS = ("material", "material_meaning", "type", "minimum", "maximum")


def converted(number: float, unit: str, wanted: str) -> float | None:
    """A number in another unit, without the dust that multiplication leaves."""
    found = units.convert(number, unit, wanted)
    return found if found is None or unit == wanted else float(f"{found:.15g}")


def laterality(side: Code | None) -> dict[str, str]:
    """The columns `laterality` of a side; none where it is unknown."""
    return coded("laterality", side)


def put_filters(row: Item, filters: list[Item]) -> None:
    """Put filters into a row, and the smallest and largest thickness of them."""
    if not filters:
        return
    row["filters"] = filters
    least = [f["minimum"] for f in filters if f["minimum"] is not None]
    most = [f["maximum"] for f in filters if f["maximum"] is not None]
    row["FilterThicknessMinimum"] = min(least, default=None)
    row["FilterThicknessMaximum"] = max(most, default=None)


def key_of(row: Item, *parts: object) -> str | None:
    """A key of its own for what has no UID; it tells nothing of its parts."""
    study = row.get("StudyInstanceUID")
    if not study:
        return None
    texts = [f"{p:.6g}" if isinstance(p, float) else str(p) for p in parts]
    digest = blake2b("\x1f".join([study, *texts]).encode(), digest_size=16)
    return f"derived {digest.hexdigest()}"


def derived_key(row: Item) -> str | None:
    """A key made of study, time to the second, kVp, exposure and side; None without a time."""
    started = row.get("started")
    if started is None:
        return None
    second = started.replace(microsecond=0).isoformat()
    return key_of(row, second, *[row.get(c) for c in ("KVP", "Exposure", "laterality")])


def document_of(header: Header) -> dict[str, Any]:
    """The columns that all rows of a document have."""
    completion = text_in(header, "CompletionFlag")
    preliminary = text_in(header, "PreliminaryFlag") == "PRELIMINARY"
    return {
        "StudyInstanceUID": text_in(header, "StudyInstanceUID") or None,
        "documented": moment_in(header, "Content"),
        "complete": completion == "COMPLETE" and not preliminary if completion else None,
    }


def moment_in(header: Header, what: str) -> Any:
    """When something was, of its DateTime or of its Date and Time, in UTC."""
    zone = text_in(header, "TimezoneOffsetFromUTC")
    zone = zone if re.fullmatch(r"[+-]\d{4}", zone) else ""
    text = text_in(header, f"{what}DateTime") if what == "Acquisition" else ""
    if not text:
        day = text_in(header, f"{what}Date").replace(".", "")
        text = day + text_in(header, f"{what}Time").replace(":", "") if day else ""
    return moment_of(text if re.search(r"[+-]\d{4}$", text) else text + zone, "DT")


def finish(table: str, row: Item, path: str, contents: Contents) -> Item:
    """Add a row; count its quantities and note those beyond all likelihood."""
    row["filled"] = sum(row.get(column) is not None for column in UNITS)
    for column, (low, high) in _LIMITS.items():
        number = row.get(column)
        if number is not None and not low <= number <= high:
            contents.problem(path, "", f"{column} is not plausible")
    columns = tables.ALL[table].names
    return contents.add(table, {k: v for k, v in row.items() if k in columns and v is not None})


# DICOM JSON


def text_in(header: Header, keyword: str) -> str:
    """The first value of an attribute as text, or ""."""
    return text(header, keyword) or ""


def number_in(header: Header, keyword: str) -> float | None:
    """The first value of an attribute as a number, or None, whatever the others are."""
    value = next(iter(values(header, keyword)), None)
    if isinstance(value, str):
        value = number_of(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def code_of(column: str, header: Header, keyword: str) -> dict[str, str]:
    """The columns of the first code in a code sequence."""
    return coded(column, next(filter(None, map(code_of_item, items(header, keyword))), None))
