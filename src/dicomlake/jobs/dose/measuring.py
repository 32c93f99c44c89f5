"""Sizes of patients measured in the pixels of CT series: slices (AAPM 220) and localisers.

Opens objects, so it runs only when asked. It goes on where it was stopped; a series that has a
diameter, or says why it has none, is not opened again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from math import pi
from pathlib import Path
from typing import Any

import orjson

from dicomlake import plugins
from dicomlake.contracts import Progress
from dicomlake.contracts.segmenters import Stack
from dicomlake.errors import DataError, DicomlakeError, Incomplete, Refused, UsageError
from dicomlake.jobs.dose.localiser import Localiser, is_localiser, localiser_of
from dicomlake.jobs.dose.localising import localise
from dicomlake.jobs.dose.options import DoseOptions, options_of
from dicomlake.jobs.dose.rows import Row, select
from dicomlake.jobs.dose.size import LARGEST, SMALLEST, Water, water
from dicomlake.jobs.dose.sizes import Measured, keep, kept
from dicomlake.jobs.objects import Opened, elsewhere_of, object_of
from dicomlake.jobs.runs import running
from dicomlake.jobs.volumes import AWAY, GONE
from dicomlake.lake import Store
from dicomlake.query import And, Compare, Node
from dicomlake.readers.attributes import number
from dicomlake.readers.pixels import Pixels
from dicomlake.readers.stacks import stack_of, stored_of, volume_of
from dicomlake.sources.opening import ARCHIVE, Elsewhere

log = logging.getLogger(__name__)

METHOD = "AAPM 220, mean of slices, version 2"
LOCALISER = "it is a localiser"
_BEFORE = "it is a localizer, or has one among its images"
"""Why localisers had no size, until they were measured themselves."""
MOST_SLICES = 15
"""So many slices of a series are measured, evenly from one end to the other."""
_AXIAL = 0.94
"""Cosine of the largest angle between slices and the axis of the body, 20 degrees."""
_CHECKPOINT = 50
"""Series after which what was measured is kept."""
_MOST_VIEWS = 20
"""So many localisers of a series are measured."""


@dataclass(slots=True)
class MeasuringReport:
    """What was done: series looked at, those with a diameter, those cut off, those without.

    `localisers`: series of localisers; `lines`: calibrations of localisers that are used.
    """

    run_id: str = ""
    series: int = 0
    measured: int = 0
    cut: int = 0
    localisers: int = 0
    unmeasured: int = 0
    lines: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.series:,} series opened; {self.measured:,} have a water-equivalent diameter, "
            f"of which {self.cut:,} show bodies that are cut off and do not count; "
            f"{self.localisers:,} are localisers ({self.lines:,} calibrations are good); "
            f"{self.unmeasured:,} say why they have none, in {self.seconds:.1f} s"
        )


def measure(
    lake: Store | str | Path,
    where: Node | None = None,
    *,
    options: DoseOptions | None = None,
    progress: Progress | None = None,
    again: bool = False,
    elsewhere: Elsewhere | None = None,
) -> MeasuringReport:
    """Measure the CT series of a lake that a condition finds; `again`: measured ones, too.

    LakeError when somebody else is writing. KeyboardInterrupt when it was asked to stop: what was
    measured until then is kept.
    """
    began = time.monotonic()
    store = lake if isinstance(lake, Store) else Store(lake)
    options = options or options_of(store.path)
    if options.folder is None:
        raise UsageError("There is no folder of dose to keep sizes in.")
    elsewhere = elsewhere or replace(elsewhere_of(store.path), fetch_from=None)
    report = MeasuringReport()
    with store.lock(), running(store, "dose sizes", {"again": again}, progress) as run:
        store.refresh()
        report.run_id = run.run_id
        engine = plugins.load("engines", "duckdb")(store)
        waiting = _waiting(engine, where, options, again)
        run.progress.stage("measuring", len(waiting), "series")
        held: list[Measured] = []
        try:
            for series_id in waiting:
                run.check()
                held.append(_measured(engine, series_id, elsewhere))
                _count(report, held[-1])
                run.progress.advance()
                if len(held) >= _CHECKPOINT:
                    keep(options.folder, held)
                    held = []
        finally:
            keep(options.folder, held)
            run.counts = {"series": report.series, "measured": report.measured}
        report.lines = sum(not line.why for line in localise(engine, options.folder))
    report.seconds = time.monotonic() - began
    log.info("sizes measured", extra={"series": report.series, "measured": report.measured})
    return report


def _count(report: MeasuringReport, found: Measured) -> None:
    report.series += 1
    report.measured += found.diameter is not None
    report.cut += found.diameter is not None and found.cut > 0
    report.localisers += bool(found.seen)
    report.unmeasured += found.diameter is None and not found.seen


def _waiting(engine: Any, where: Node | None, options: DoseOptions, again: bool) -> list[int]:
    """The series of CT to be measured: of what the condition finds by itself."""
    ct = Compare("Modality", "=", "CT")
    with engine.chosen(ct if where is None else And((ct, where)), "series") as (search, mask):
        found: list[int] = search.snapshot.ids[mask].tolist()
    known = {} if again else kept(options.folder)
    later = (GONE, AWAY, _BEFORE)
    tried = {i for i, m in known.items() if m.diameter is not None or m.why not in later}
    return [i for i in found if i not in tried]


_OBJECTS = """
select i.*, s."StudyInstanceUID", s."SeriesInstanceUID" from instances i
join series s using (series_id) where series_id = ? order by i."SOPInstanceUID"
"""


def _measured(engine: Any, series_id: int, elsewhere: Elsewhere) -> Measured:
    """What the pixels of a series say, or why they say nothing; never raises for what is wrong."""
    rows = select(engine, _OBJECTS, [series_id])
    headers = [orjson.loads(row["header"]) for row in rows]
    shown = [n for n, header in enumerate(headers) if is_localiser(header)]
    found: list[tuple[float, Water]] = []
    seen: list[Localiser] = []
    why = ""
    try:
        seen = [_seen(rows[n], elsewhere) for n in shown[:_MOST_VIEWS]]
        rest = [n for n in range(len(rows)) if n not in set(shown)]
        if rest or not shown:
            found = waters([rows[n] for n in rest], elsewhere)
    except (UsageError, Refused, Incomplete):
        archived = any(str(row["uri"]).startswith(ARCHIVE) for row in rows)
        why = AWAY if archived else GONE
    except DicomlakeError as error:
        why = str(error)
    except (ArithmeticError, LookupError, MemoryError, OSError, TypeError, ValueError) as error:
        log.warning("a series could not be measured", extra={"error": type(error).__name__})
        why = f"not measurable ({type(error).__name__})"
    good = [(z, one) for z, one in found if SMALLEST / 2 <= one.diameter <= 2 * LARGEST]
    diameter = sum(one.diameter for _, one in good) / len(good) if good else None
    cut = sum(one.truncated for _, one in good)
    why = why or ("" if good else LOCALISER if seen else "no body is to be seen")
    return Measured(
        series_id, diameter, len(good), cut, METHOD, why, time.time(),
        tuple(z for z, _ in good),
        tuple(None if one.truncated else pi * (one.diameter / 2) ** 2 for _, one in good),
        tuple(seen),
    )  # fmt: skip


def _seen(row: Row, elsewhere: Elsewhere) -> Localiser:
    with object_of(row, elsewhere) as opened:
        header = opened.header
        values = stored_of(Pixels(header, opened.fetch, opened.size), header, 1)
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    return localiser_of(header, values * (slope or 1.0) + (intercept or 0.0))


def waters(rows: Sequence[Row], elsewhere: Elsewhere) -> list[tuple[float, Water]]:
    """Water-equivalent diameters of slices of a series; rows of its `instances`.

    Each with its place along the body. DataError says why there are none.
    """
    headers = [orjson.loads(row["header"]) for row in rows]

    @contextmanager
    def opener(item: int) -> Iterator[Opened]:
        with object_of(rows[item], elsewhere) as opened:
            yield opened

    return waters_of(stack_of(headers), opener)


def waters_of(
    stack: Stack, opener: Callable[[int], AbstractContextManager[Any]]
) -> list[tuple[float, Water]]:
    """The same of a stack of CT; see `readers.stacks.volume_of`."""
    if stack.unit != "HU":
        raise DataError("its values are no Hounsfield units")
    z, y, x = stack.grid.spacing
    if abs(stack.grid.steps[0][2]) < _AXIAL * z:
        raise DataError("its slices are not axial")
    places = _places(len(stack.slices))
    volume = volume_of(_thinned(stack, places), opener)
    along = [stack.grid.origin[2] + place * stack.grid.steps[0][2] for place in places]
    found = [(z, water(one, (y, x))) for z, one in zip(along, volume.voxels, strict=True)]
    return [(z, one) for z, one in found if one is not None]


def _places(count: int) -> list[int]:
    """Numbers of some slices, evenly from one end to the other."""
    most = min(count, MOST_SLICES)
    return sorted({round((n + 0.5) * count / most - 0.5) for n in range(most)})


def _thinned(stack: Stack, places: Sequence[int]) -> Stack:
    """Some slices of a stack."""
    _, rows, columns = stack.grid.shape
    grid = replace(stack.grid, shape=(len(places), rows, columns))
    return replace(stack, grid=grid, slices=tuple(stack.slices[place] for place in places))
