"""Sizes of patients by CT localisers: what projections say of width and attenuation.

A localiser shows the body from the front or from the side. Its width across the body is LAT in the
frontal view and AP in the lateral one; the sum of its values across the body grows with the
water-equivalent area, by a line that has to be found for each device, voltage and view (AAPM 220).
Pixels are taken as equal steps of the fan of rays, measured at the isocentre. Sizes are in mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import pi, sqrt, tan
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomlake.errors import DataError
from dicomlake.jobs.dose.size import effective
from dicomlake.readers.attributes import Item, number, numbers, text, texts

FRONTAL, LATERAL = "frontal", "lateral"
LEAST_STUDIES = 5
"""So many studies with slices and localiser make a calibration."""
MOST_RESIDUAL = 0.1
"""Share by which areas may lie beside the line, as 1.4826 times the median of their distances."""
STEP = 5.0
"""mm along the body of each row that is kept."""
_STRAIGHT = 0.94
_EDGE = 0.1
"""Share of the largest attenuation of a row at which the body ends; of the table there is less."""
_MARGIN = 10.0
"""mm of air that a body has on both sides, where it is not cut off."""
_LEAST_WIDTH, _MOST_WIDTH = 40.0, 700.0
_TABLE_204 = (
    (8, 92, 88), (10, 102, 116), (12, 113, 144), (14, 124, 170), (16, 137, 196), (18, 150, 220),
    (20, 164, 243), (22, 179, 266), (24, 195, 287), (26, 211, 307), (28, 229, 326), (30, 247, 344),
    (32, 266, 360), (34, 286, 376), (36, 306, 391), (38, 327, 404), (40, 349, 417), (42, 372, 428),
    (44, 396, 439), (46, 421, 448), (48, 446, 456), (50, 472, 464), (52, 499, 470), (54, 527, 475),
)  # fmt: skip
"""AAPM 204, tables 2B and 2C: a dimension in cm, and the effective diameter in mm of who has it as
LAT and of who has it as AP."""


@dataclass(frozen=True, slots=True)
class Localiser:
    """What one projection shows, row by row along the body, feet or head first.

    `device`: serial number, else model; `distance`: mm from source to isocentre; `height`: mm of
    the table top below the isocentre; `above`: whether the tube was above, None when not said;
    `widths`: mm at the isocentre; `centres`: mm of their middle from that of the image, to the left
    or downwards; `integrals`: value times mm.
    """

    view: str
    device: str
    KVP: float
    distance: float | None
    height: float | None
    above: bool | None
    z: tuple[float, ...]
    widths: tuple[float, ...]
    centres: tuple[float, ...]
    integrals: tuple[float, ...]

    def near(self, places: Sequence[float] | None) -> list[int]:
        """Numbers of the rows nearest to places along the body, all rows for None."""
        if places is None:
            return list(range(len(self.z)))
        own = np.asarray(self.z)
        found = {int(np.abs(own - z).argmin()) for z in places}
        reach = 2 * STEP
        return sorted(i for i in found if min(abs(self.z[i] - z) for z in places) <= reach)


def is_localiser(header: Item) -> bool:
    """Whether an image is a localiser of CT by its ImageType."""
    return "LOCALIZER" in (said.upper() for said in texts(header, "ImageType")[2:])


def localiser_of(header: Item, values: NDArray[Any]) -> Localiser:
    """What a localiser shows; `values`: its pixels after rescaling.

    DataError says why nothing can be measured.
    """
    view, along, turned = _direction(header)
    spacing, start = numbers(header, "PixelSpacing"), numbers(header, "ImagePositionPatient")
    if len(spacing) != 2 or min(spacing) <= 0 or len(start) != 3:
        raise DataError("the localiser has no pixel spacing or position")
    rows = np.asarray(values, float)
    down, across = spacing
    if turned:  # the body lies along the rows
        rows, down, across = rows.T, across, down
    cosines = numbers(header, "ImageOrientationPatient")
    side = cosines[3:] if turned else cosines[:3]
    sign = 1.0 if side[0 if view == FRONTAL else 1] > 0 else -1.0
    if view == LATERAL and (text(header, "PatientPosition") or "").endswith("P"):
        sign = -sign  # who lies on the belly has the back above
    each = max(round(STEP / down), 1)
    found = _rows(_thicker(rows, each), across, sign)
    if not found:
        raise DataError("the localiser shows no body, or one that is cut off")
    return Localiser(
        view,
        text(header, "DeviceSerialNumber") or text(header, "ManufacturerModelName") or "",
        float(round(number(header, "KVP") or 0)),
        number(header, "DistanceSourceToPatient") or None,
        number(header, "TableHeight"),
        _above(header),
        tuple(start[2] + along * down * (each * n + (each - 1) / 2) for n, *_ in found),
        *(tuple(one[i] for one in found) for i in (1, 2, 3)),
    )


def _direction(header: Item) -> tuple[str, float, bool]:
    """View, step along the body per row, and whether the body lies along the rows."""
    cosines = numbers(header, "ImageOrientationPatient")
    if len(cosines) != 6:
        raise DataError("the localiser does not say from where it was taken")
    turned = abs(cosines[2]) > _STRAIGHT
    side, body = (cosines[3:], cosines[:3]) if turned else (cosines[:3], cosines[3:])
    if abs(body[2]) <= _STRAIGHT:
        raise DataError("the localiser does not lie along the body")
    for view, axis in ((FRONTAL, 0), (LATERAL, 1)):
        if abs(side[axis]) > _STRAIGHT:
            return view, body[2], turned
    raise DataError("the localiser is neither frontal nor lateral")


def _above(header: Item) -> bool | None:
    """Whether the tube was above somebody who lies on the back or the belly; None: not said."""
    azimuth = _azimuth(header)
    if azimuth is not None:
        return {0: True, 180: False}.get(azimuth)
    said, position = text(header, "ViewPosition") or "", text(header, "PatientPosition") or ""
    if said not in ("AP", "PA") or position[-1:] not in ("S", "P"):
        return None
    return (said == "AP") == (position[-1] == "S")


def _azimuth(header: Item) -> int | None:
    """Degrees of the tube, 0 above, as GE says them in a private element."""
    creator, said = (header.get(key) for key in ("00190010", "00191026"))
    if not isinstance(creator, dict) or creator.get("Value") != ["GEMS_ACQU_01"]:
        return None
    found = said.get("Value") if isinstance(said, dict) else None
    return found[0] % 360 if isinstance(found, list) and isinstance(found[0], int) else None


def _thicker(rows: NDArray[Any], each: int) -> NDArray[Any]:
    """Means of so many rows each; what is left over is dropped."""
    count = max(len(rows) // each, 1)
    found: NDArray[Any] = rows[: count * each].reshape(count, -1, rows.shape[1]).mean(axis=1)
    return found


def _rows(rows: NDArray[Any], across: float, sign: float) -> list[tuple[int, float, float, float]]:
    """Number, width, centre and integral of rows that show a whole body."""
    above = rows - np.percentile(rows, 1)
    most = float(np.percentile(above, 99.5))
    margin = max(round(_MARGIN / across), 1)
    found = []
    for n, row in enumerate(above):
        high = float(np.percentile(row, 98))
        if most <= 0 or high < 0.2 * most:
            continue
        first, last, cut = _run(row, _EDGE * high, margin)
        width = (last - first) * across
        if not cut and _LEAST_WIDTH <= width <= _MOST_WIDTH:
            centre = sign * ((first + last) / 2 - len(row) / 2) * across
            inside = row[int(first) : int(last) + 1]
            found.append((n, float(width), float(centre), float(inside.sum()) * across))
    return found


def _run(row: NDArray[Any], edge: float, margin: int) -> tuple[float, float, bool]:
    """Where the body begins and ends in a row, between two pixels, and whether it is cut off."""
    steps = np.flatnonzero(np.diff(np.concatenate(([0], (row > edge).view(np.int8), [0]))))
    begins, ends = steps[::2], steps[1::2]
    sums = [float(row[a:b].sum()) for a, b in zip(begins, ends, strict=True)]
    one = int(np.argmax(sums))
    begin, end = int(begins[one]), int(ends[one])
    if begin < margin or end > len(row) - margin:
        return begin, end, True
    before = (row[begin] - edge) / max(row[begin] - row[begin - 1], 1e-9)
    after = (row[end - 1] - edge) / max(row[end - 1] - row[end], 1e-9)
    return begin + 0.5 - before, end - 0.5 + after, False


# By geometry


def diameter(
    views: Sequence[Localiser], places: Sequence[float] | None = None
) -> tuple[float, bool] | None:
    """The effective diameter at places along the body, and whether both views say so.

    One view alone says it by the relation of AAPM 204. None where no row is there.
    """
    frontal = _seen(views, FRONTAL, places)
    lateral = _seen(views, LATERAL, places)
    if frontal is None and lateral is None:
        return None
    LAT = frontal[1] if frontal else 0.0
    AP = lateral[1] if lateral else 0.0
    for _ in range(5):  # each dimension needs the other one
        if frontal is None:
            LAT = effective_by(AP=AP) ** 2 / AP
        if lateral is None:
            AP = effective_by(LAT=LAT) ** 2 / LAT
        if frontal:
            LAT = _true(frontal[1], frontal[0], AP, _lift(frontal[0], lateral, AP))
        if lateral:
            AP = _true(lateral[1], lateral[0], LAT, 0.0)
    return effective(AP, LAT), frontal is not None and lateral is not None


def _seen(
    views: Sequence[Localiser], view: str, places: Sequence[float] | None
) -> tuple[Localiser, float, float] | None:
    """The localiser of a view with most rows, and the mean of its widths and centres."""
    with_rows = [(one, one.near(places)) for one in views if one.view == view]
    best = max(with_rows, key=lambda pair: len(pair[1]), default=None)
    if best is None or not best[1]:
        return None
    one, rows = best
    return (
        one,
        sum(one.widths[i] for i in rows) / len(rows),
        sum(one.centres[i] for i in rows) / len(rows),
    )


def _lift(frontal: Localiser, lateral: tuple[Localiser, float, float] | None, AP: float) -> float:
    """How far the middle of the body lies from the isocentre towards the tube of a frontal view."""
    if frontal.above is None:
        return 0.0
    if lateral is not None:
        up = -lateral[2]
    elif frontal.height is not None:
        up = AP / 2 - frontal.height
    else:
        return 0.0
    return up if frontal.above else -up


def _true(width: float, seen: Localiser, depth: float, lift: float) -> float:
    """The width of an ellipse of a depth along the rays that is seen so wide at the isocentre."""
    if seen.distance is None or seen.distance <= depth:
        return width
    away = seen.distance - lift
    return 2 * sqrt(max(away**2 - (depth / 2) ** 2, 0.0)) * tan(width / 2 / seen.distance)


def effective_by(*, LAT: float | None = None, AP: float | None = None) -> float:
    """The effective diameter of who has one dimension, by AAPM 204.

    >>> effective_by(LAT=300), effective_by(AP=200)
    (247.0, 243.0)
    """
    column = 1 if AP is None else 2
    dimension = (LAT if AP is None else AP) or 0.0
    cm = [row[0] for row in _TABLE_204]
    return float(np.interp(dimension / 10, cm, [row[column] for row in _TABLE_204]))


# By attenuation


@dataclass(frozen=True, slots=True)
class Line:
    """Water-equivalent area (mm2) by the integral of rows, of one device, voltage and view.

    `n`: studies that it was made of; `residual`: share by which they lie beside it; `why` says why
    it is not used.
    """

    device: str
    KVP: float
    view: str
    slope: float
    intercept: float
    n: int
    residual: float
    why: str = ""

    def area(self, integral: float) -> float:
        """The area of a row."""
        return self.slope * integral + self.intercept


Kind = tuple[str, float, str]
"""Device, voltage and view: what a line is good for."""


def kind_of(seen: Localiser) -> Kind:
    """What line a localiser wants."""
    return seen.device, seen.KVP, seen.view


def line_of(kind: Kind, points: Sequence[tuple[float, float]]) -> Line:
    """The robust line through integrals and areas, one point per study (Theil and Sen).

    >>> line_of(("CT1", 120.0, "frontal"), [(n, 2.0 * n + 10) for n in range(1, 7)]).slope
    2.0
    """
    n = len(points)
    if n < LEAST_STUDIES:
        return Line(*kind, 0.0, 0.0, n, 0.0, f"{n} studies have both, {LEAST_STUDIES} are needed")
    pairs = combinations(points, 2)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] != a[0]]
    slope = median(slopes) if slopes else 0.0
    intercept = median(area - slope * x for x, area in points)
    residual = 1.4826 * median(abs(slope * x + intercept - area) / area for x, area in points)
    why = ""
    if slope <= 0:
        why = "areas do not grow with the values of the localiser"
    elif residual > MOST_RESIDUAL:
        why = f"studies lie {100 * residual:.0f} % beside the line"
    return Line(*kind, slope, intercept, n, residual, why)


def integral(
    views: Sequence[Localiser], seen: Localiser, places: Sequence[float] | None
) -> float | None:
    """The mean integral of the rows of one of the views of a body, as at the isocentre."""
    rows = seen.near(places)
    if not rows:
        return None
    found = sum(seen.integrals[i] for i in rows) / len(rows)
    if seen.view == LATERAL or seen.distance is None:
        return found
    lateral = _seen(views, LATERAL, places)
    LAT = sum(seen.widths[i] for i in rows) / len(rows)
    lift = _lift(seen, lateral, effective_by(LAT=LAT) ** 2 / LAT)
    return found * (1 - lift / seen.distance)


def water(
    views: Sequence[Localiser],
    lines: Mapping[Kind, Line],
    places: Sequence[float] | None = None,
) -> float | None:
    """The water-equivalent diameter of views that have a line, None where none has."""
    areas = []
    for seen in views:
        line = lines.get(kind_of(seen))
        found = integral(views, seen, places)
        if line is not None and not line.why and found is not None:
            areas.append(line.area(found))
    good = [area for area in areas if area > 0]
    return 2 * sqrt(sum(good) / len(good) / pi) if good else None
