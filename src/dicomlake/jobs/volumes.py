"""Volumes: the columns `volume`, `volume_problem` and `present` of segments, filled in later.

Every other column of `segments` comes from headers; this job opens the objects. It goes on where it
was stopped, and a row that has a volume or says why there is none is not measured again.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Progress
from dicomlake.errors import DicomlakeError, Incomplete, Refused, UsageError
from dicomlake.jobs.objects import elsewhere_of, object_of
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.files import File, Stream, holds, row_groups
from dicomlake.lake.store import REWRITTEN
from dicomlake.readers.volumes import Volume, volumes_of
from dicomlake.sources.opening import ARCHIVE, Elsewhere

log = logging.getLogger(__name__)

GONE = "its file is gone, or has changed since it was indexed"
AWAY = "its object lies in an archive; pull its series with --depth complete --keep"
"""Problems that may go away: such rows are tried again."""
CHECKPOINT_S = 120.0
"""What was measured is committed after so many seconds."""
MOST_HELD = 100_000
"""Objects after which it is committed at the latest."""

_UNEXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(slots=True)
class VolumesReport:
    """What was measured: objects opened, segments with a volume now, and those without."""

    run_id: str = ""
    objects: int = 0
    measured: int = 0
    unmeasured: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.objects:,} objects opened; {self.measured:,} segments have a volume now, "
            f"{self.unmeasured:,} say why they have none, in {self.seconds:.1f} s"
        )


class _Key(NamedTuple):
    series_id: int
    SOPInstanceUID: str


_Found = dict[_Key, dict[int, Volume] | Volume]
"""Volumes by object and number; one for all numbers where an object could not be read."""


def volumes(
    lake: Store | str | Path,
    progress: Progress | None = None,
    again: bool = False,
    *,
    elsewhere: Elsewhere | None = None,
) -> VolumesReport:
    """Measure the segments of a lake that have no volume yet; `again`: all of them.

    Objects of archives are opened where they are kept; `elsewhere` may say how to fetch them.
    LakeError when somebody else is writing. KeyboardInterrupt when it was asked to stop: what was
    measured until then is kept.
    """
    began = time.monotonic()
    store = lake if isinstance(lake, Store) else Store(lake)
    report = VolumesReport()
    elsewhere = elsewhere or replace(elsewhere_of(store.path), fetch_from=None)
    with store.lock(), running(store, "volumes", {"again": again}, progress) as run:
        store.refresh()
        report.run_id = run.run_id
        rows = _waiting(store, again)
        run.progress.stage("measuring", len(rows), "objects")
        found: _Found = {}
        last = time.monotonic()
        try:
            for row in rows:
                run.check()
                found[_Key(row["series_id"], row["SOPInstanceUID"])] = _measure(row, elsewhere)
                report.objects += 1
                run.progress.advance()
                if len(found) >= MOST_HELD or time.monotonic() - last > CHECKPOINT_S:
                    _keep(store, found, run, report)
                    found, last = {}, time.monotonic()
        finally:
            _keep(store, found, run, report)
        rebuild(store, progress=run.progress)
    report.seconds = time.monotonic() - began
    log.info("volumes measured", extra=run.counts)
    return report


def _waiting(store: Store, again: bool) -> list[dict[str, Any]]:
    """The objects with segments to be measured, in the order in which they lie on disk."""
    statement = (
        'select f.*, s."StudyInstanceUID", s."SeriesInstanceUID" from ('
        'select distinct on (series_id, "SOPInstanceUID") series_id, "SOPInstanceUID", '
        'uri, "offset", size from instances semi join (select series_id, "SOPInstanceUID" '
        "from segments where $again or (volume is null and "
        "(volume_problem is null or volume_problem in ($gone, $away)))) "
        'using (series_id, "SOPInstanceUID")) f join series s using (series_id)'
    )
    with store.database() as db:
        found = db.sql(
            statement, params={"again": again, "gone": GONE, "away": AWAY}
        ).to_arrow_table()
    found = found.sort_by([("uri", "ascending"), ("offset", "ascending")])
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def _measure(row: dict[str, Any], elsewhere: Elsewhere) -> dict[int, Volume] | Volume:
    """The volumes of an object, or why there are none; never raises for what is wrong with it."""
    try:
        with object_of(row, elsewhere) as found:
            return volumes_of(found.header, found.fetch, found.size)
    except (UsageError, Refused, Incomplete):
        return Volume(None, AWAY if str(row["uri"]).startswith(ARCHIVE) else GONE)
    except DicomlakeError as error:
        return Volume(None, str(error))
    except _UNEXPECTED as error:
        said = {"SOPInstanceUID": row["SOPInstanceUID"], "error": type(error).__name__}
        log.warning("an object could not be measured", extra=said)
        return Volume(None, f"not measurable ({type(error).__name__})")


def _keep(store: Store, found: _Found, run: Run, report: VolumesReport) -> None:
    """Exchange the files of `segments` that hold rows of these objects, in one commit."""
    if found:
        ids = sorted({key.series_id for key in found})
        files = [f for f in store.files("segments") if holds(ids, f.lowest, f.highest)]
        stream = Stream(store.path / "segments", "segments")
        gone: list[File] = []
        for file in files:
            gone.append(file)
            for rows in _rewritten(row_groups(store.path / "segments" / file.name), found, report):
                stream.write(rows)
        notes = {"run_id": run.run_id, REWRITTEN: "volumes"}
        store.commit("segments", stream.close(), gone, notes)
    run.counts = {
        "objects": report.objects,
        "measured": report.measured,
        "unmeasured": report.unmeasured,
    }


def _rewritten(
    groups: Iterable[pa.Table], found: _Found, report: VolumesReport
) -> Iterator[pa.Table]:
    """Rows of `segments` with what was measured filled in."""
    changed = ("volume", "volume_problem", "present")
    names = ("series_id", "SOPInstanceUID", "number", "kind", *changed)
    for rows in groups:
        old = [rows.column(name).to_pylist() for name in names]
        new: dict[str, list[Any]] = {name: [] for name in changed}
        for series_id, uid, number, kind, *before in zip(*old, strict=True):
            after = _after(found.get(_Key(series_id, uid)), number, kind, before)
            if after is not before:
                report.measured += after[0] is not None
                report.unmeasured += after[0] is None
            for name, value in zip(changed, after, strict=True):
                new[name].append(value)
        for name, values in new.items():
            place = rows.schema.get_field_index(name)
            field = tables.SEGMENTS.field(name)
            rows = rows.set_column(place, field, pa.array(values, field.type))
        yield rows


def _after(
    volumes: dict[int, Volume] | Volume | None, number: int | None, kind: str, before: list[Any]
) -> list[Any]:
    """Volume, problem and presence of a row: what was measured, or as they were.

    Only of a label map do pixels tell what is there; of others frames and contours do.
    """
    if volumes is None:
        return before
    if isinstance(volumes, dict):
        nothing = Volume(None, "the object has no segment of this number")
        volumes = nothing if number is None else volumes.get(number, nothing)
    present = before[2]
    if kind == "label map" and volumes.present is not None:
        present = volumes.present
    return [volumes.volume, volumes.problem, present]
