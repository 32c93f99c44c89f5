"""Sizes of series by the localisers of their study: calibrations, and diameters made with them.

Made of everything that was measured, so studies that come later make the lines better. A calibrated
localiser counts before the plain geometry of one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomlake.jobs.dose.localiser import (
    Kind,
    Line,
    Localiser,
    diameter,
    integral,
    kind_of,
    line_of,
    water,
)
from dicomlake.jobs.dose.rows import select
from dicomlake.jobs.dose.sizes import BOTH, CALIBRATED, ONE, localisers, slices, tell

_WHERE = """
select s.series_id, s."StudyInstanceUID" as study, (
    select any_value(text) from elements e where e.series_id = s.series_id
        and e.path = 'FrameOfReferenceUID') as frame
from series s where s.series_id in (select unnest(?::bigint[]))
"""
_Slices = tuple[list[float], list[float | None]]


@dataclass(slots=True)
class _Body:
    """Localisers and slices of a study in one frame of reference."""

    views: dict[int, list[Localiser]] = field(default_factory=dict)
    slices: dict[int, _Slices] = field(default_factory=dict)

    @property
    def seen(self) -> list[Localiser]:
        return [one for views in self.views.values() for one in views]


def localise(engine: Any, folder: Path) -> list[Line]:
    """Make calibrations and sizes of everything that is kept in the folder of dose.

    The calibrations come back, also those that are not used.
    """
    bodies = _bodies(engine, folder)
    points: dict[Kind, list[tuple[float, float]]] = defaultdict(list)
    for body in bodies:
        for seen in body.seen:
            points[kind_of(seen)] += _point(body, seen)
    made = {kind: line_of(kind, found) for kind, found in sorted(points.items())}
    sizes = {n: size for body in bodies for n, size in _sizes(body, made)}
    tell(folder, made.values(), sizes)
    return list(made.values())


def _bodies(engine: Any, folder: Path) -> list[_Body]:
    shown, cuts = localisers(folder), slices(folder)
    if not shown:
        return []
    ids = sorted(shown.keys() | cuts.keys())
    found: dict[tuple[str, str], _Body] = defaultdict(_Body)
    for row in select(engine, _WHERE, [ids]):
        body, one = found[row["study"], row["frame"] or ""], row["series_id"]
        if one in shown:
            body.views[one] = shown[one]
        else:
            body.slices[one] = cuts[one]
    return [body for body in found.values() if body.views]


def _point(body: _Body, seen: Localiser) -> list[tuple[float, float]]:
    """Mean integral and area of a study where slices and localiser show the same."""
    places, areas = [], []
    for z, found in body.slices.values():
        for place, area in zip(z, found, strict=True):
            if area is not None and seen.near([place]):
                places.append(place)
                areas.append(area)
    value = integral(body.seen, seen, places) if places else None
    return [] if value is None else [(value, sum(areas) / len(areas))]


def _sizes(body: _Body, lines: Mapping[Kind, Line]) -> Iterator[tuple[int, tuple[float, str]]]:
    """Sizes of the series of a study; localisers have that of all that they show."""
    places: list[tuple[int, Sequence[float] | None]] = [(n, None) for n in body.views]
    places += [(n, z) for n, (z, _) in body.slices.items()]
    for series_id, where in places:
        if found := water(body.seen, lines, where):
            yield series_id, (found, CALIBRATED)
        elif geometry := diameter(body.seen, where):
            yield series_id, (geometry[0], BOTH if geometry[1] else ONE)
