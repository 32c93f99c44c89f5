"""Water-equivalent diameters of CT series, measured in their pixels (AAPM 220).

Opens objects, so it runs only when asked. It goes on where it was stopped; a series that has a
diameter, or says why it has none, is not opened again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from dicomlake import plugins
from dicomlake.contracts import Progress
from dicomlake.contracts.segmenters import Stack
from dicomlake.errors import DataError, DicomlakeError, Incomplete, Refused, UsageError
from dicomlake.jobs.dose.options import DoseOptions, options_of
from dicomlake.jobs.dose.rows import Row, select
from dicomlake.jobs.dose.size import LARGEST, SMALLEST, Water, water
from dicomlake.jobs.dose.sizes import Measured, keep, kept
from dicomlake.jobs.objects import Opened, elsewhere_of, object_of
from dicomlake.jobs.runs import running
from dicomlake.jobs.volumes import AWAY, GONE
from dicomlake.lake import Store
from dicomlake.query import And, Compare, Node
from dicomlake.readers.stacks import stack_of, volume_of
from dicomlake.sources.opening import ARCHIVE, Elsewhere

log = logging.getLogger(__name__)

METHOD = "AAPM 220, mean of slices, version 1"
MOST_SLICES = 15
"""So many slices of a series are measured, evenly from one end to the other."""
_AXIAL = 0.94
"""Cosine of the largest angle between slices and the axis of the body, 20 degrees."""
_CHECKPOINT = 50
"""Series after which what was measured is kept."""


@dataclass(slots=True)
class MeasuringReport:
    """What was done: series looked at, those with a diameter, those cut off, those without."""

    run_id: str = ""
    series: int = 0
    measured: int = 0
    cut: int = 0
    unmeasured: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.series:,} series opened; {self.measured:,} have a water-equivalent diameter, "
            f"of which {self.cut:,} show bodies that are cut off and do not count; "
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
    report.seconds = time.monotonic() - began
    log.info("sizes measured", extra={"series": report.series, "measured": report.measured})
    return report


def _count(report: MeasuringReport, found: Measured) -> None:
    report.series += 1
    report.measured += found.diameter is not None
    report.cut += found.diameter is not None and found.cut > 0
    report.unmeasured += found.diameter is None


def _waiting(engine: Any, where: Node | None, options: DoseOptions, again: bool) -> list[int]:
    """The series of CT to be measured: of what the condition finds by itself."""
    ct = Compare("Modality", "=", "CT")
    with engine.chosen(ct if where is None else And((ct, where)), "series") as (search, mask):
        found: list[int] = search.snapshot.ids[mask].tolist()
    known = {} if again else kept(options.folder)
    tried = {i for i, m in known.items() if m.diameter is not None or m.why not in (GONE, AWAY)}
    return [i for i in found if i not in tried]


_OBJECTS = """
select i.*, s."StudyInstanceUID", s."SeriesInstanceUID" from instances i
join series s using (series_id) where series_id = ? order by i."SOPInstanceUID"
"""


def _measured(engine: Any, series_id: int, elsewhere: Elsewhere) -> Measured:
    """The diameter of a series, or why it has none; never raises for what is wrong with it."""
    rows = select(engine, _OBJECTS, [series_id])
    why = ""
    try:
        found = waters(rows, elsewhere)
    except (UsageError, Refused, Incomplete):
        archived = any(str(row["uri"]).startswith(ARCHIVE) for row in rows)
        found, why = [], AWAY if archived else GONE
    except DicomlakeError as error:
        found, why = [], str(error)
    except (ArithmeticError, LookupError, MemoryError, OSError, TypeError, ValueError) as error:
        log.warning("a series could not be measured", extra={"error": type(error).__name__})
        found, why = [], f"not measurable ({type(error).__name__})"
    good = [one for one in found if SMALLEST / 2 <= one.diameter <= 2 * LARGEST]
    diameter = sum(one.diameter for one in good) / len(good) if good else None
    cut = sum(one.truncated for one in good)
    why = why or ("" if good else "no body is to be seen")
    return Measured(series_id, diameter, len(good), cut, METHOD, why, time.time())


def waters(rows: Sequence[Row], elsewhere: Elsewhere) -> list[Water]:
    """Water-equivalent diameters of slices of a series; rows of its `instances`.

    DataError says why there are none.
    """
    headers = [orjson.loads(row["header"]) for row in rows]

    @contextmanager
    def opener(item: int) -> Iterator[Opened]:
        with object_of(rows[item], elsewhere) as opened:
            yield opened

    return waters_of(stack_of(headers), opener)


def waters_of(stack: Stack, opener: Callable[[int], AbstractContextManager[Any]]) -> list[Water]:
    """The same of a stack of CT; see `readers.stacks.volume_of`."""
    if stack.unit != "HU":
        raise DataError("its values are no Hounsfield units")
    z, y, x = stack.grid.spacing
    if abs(stack.grid.steps[0][2]) < _AXIAL * z:
        raise DataError("its slices are not axial")
    volume = volume_of(_thinned(stack), opener)
    found = [water(slice_, (y, x)) for slice_ in volume.voxels]
    return [one for one in found if one is not None]


def _thinned(stack: Stack) -> Stack:
    """Some slices of a stack, evenly from one end to the other."""
    count = len(stack.slices)
    most = min(count, MOST_SLICES)
    places = sorted({round((n + 0.5) * count / most - 0.5) for n in range(most)})
    _, rows, columns = stack.grid.shape
    grid = replace(stack.grid, shape=(len(places), rows, columns))
    return replace(stack, grid=grid, slices=tuple(stack.slices[place] for place in places))
