"""What leaks from one split of a cohort into another: patients, studies, objects, coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from dicomlake.jobs.cohorts.cohort import opened
from dicomlake.lake import Store

_MOST_NAMED = 20
_CHECKS: tuple[tuple[str, str, str, str, str], ...] = (
    ("patient", "error", "h.patient_key::varchar", "patients", ""),
    ("study", "error", 'h."StudyInstanceUID"', "studies", ""),
    (
        "person",
        "warning",
        "s.\"PatientName\" || '|' || s.\"PatientBirthDate\"::varchar || '|' || "
        "coalesce(s.\"PatientSex\", '')",
        "persons of one name, birth date and sex, but several PatientIDs",
        "",
    ),
    (
        "frame of reference",
        "warning",
        's."FrameOfReferenceUID"',
        "frames of reference",
        ": images of one examination may be",
    ),
)
"""Kind, level, what is looked at as SQL, what that is, and the end of the sentence."""
_DEVICE = (
    "device",
    "note",
    's."Manufacturer" || \'|\' || s."DeviceSerialNumber"',
    "devices",
    ", which a model may know",
)


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that is in several splits or folds, or in none.

    `level`: error, warning or note; `of`: split or fold; `count`: how many; `series`: some of them.
    """

    kind: str
    level: str
    of: str
    count: int
    message: str
    series: tuple[str, ...] = ()


def check(lake: str | Path | Store, name: str, *, devices: bool = False) -> list[Leak]:
    """What leaks between splits of "NAME" or "NAME@3", the worst first; empty where nothing does.

    `devices`: also tell of devices in several splits. Looked at are the series that the lake has.
    """
    cohort = opened(lake, name)
    rows = cohort.series()
    found: list[Leak] = []
    with cohort.store.database(only=("series", "instances")) as db:
        db.register("rows", rows)
        db.execute("create temp table held as from rows")
        for of in ("split", "fold"):
            if rows.column(of).null_count == rows.num_rows:
                continue
            for one in (*_CHECKS, _DEVICE) if devices else _CHECKS:
                found += _shared(db, of, *one)
            found += _objects(db, of)
        found += _nowhere(db, rows.column("split").null_count < rows.num_rows)
    order = ("error", "warning", "note")
    return sorted(found, key=lambda one: order.index(one.level))


def _shared(
    db: duckdb.DuckDBPyConnection, of: str, kind: str, level: str, what: str, said: str, end: str
) -> list[Leak]:
    """What has one value in several splits."""
    return _leaks(
        db,
        of,
        kind,
        level,
        (said, end),
        f'select {what} as key, h.{of} as place, h."SeriesInstanceUID" as uid '
        'from held h join series s using ("SeriesInstanceUID")',
    )


def _objects(db: duckdb.DuckDBPyConnection, of: str) -> list[Leak]:
    """Objects of one SOPInstanceUID that are in series of several splits."""
    return _leaks(
        db,
        of,
        "object",
        "error",
        ("objects of the same SOPInstanceUID", ""),
        f'select i."SOPInstanceUID" as key, h.{of} as place, h."SeriesInstanceUID" as uid '
        'from held h join series s using ("SeriesInstanceUID") '
        "join instances i using (series_id)",
    )


def _leaks(
    db: duckdb.DuckDBPyConnection,
    of: str,
    kind: str,
    level: str,
    said: tuple[str, str],
    select: str,
) -> list[Leak]:
    count, series = _one(
        db,
        f"with placed as ({select}), several as (select key from placed "
        "where key is not null and key <> '' and place is not null "
        "group by key having min(place) <> max(place)) "
        "select (select count(*) from several), (select list(uid) from (select distinct uid "
        "from placed where key in (select key from several) and place is not null "
        f"order by uid limit {_MOST_NAMED}))",
    )
    if not count:
        return []
    return [
        Leak(
            kind,
            level,
            of,
            count,
            f"{count:,} {said[0]} are in several {of}s{said[1]}.",
            tuple(series),
        )
    ]


def _nowhere(db: duckdb.DuckDBPyConnection, split: bool) -> list[Leak]:
    """Series without a split, where others have one."""
    if not split:
        return []
    count, series = _one(
        db,
        'with none as (select "SeriesInstanceUID" as uid from held where split is null) '
        "select (select count(*) from none), "
        f"(select list(uid) from (from none order by uid limit {_MOST_NAMED}))",
    )
    if not count:
        return []
    message = f"{count:,} series are in no split."
    return [Leak("nowhere", "note", "split", count, message, tuple(series))]


def _one(db: duckdb.DuckDBPyConnection, statement: str) -> tuple[int, list[Any]]:
    ((count, series),) = db.execute(statement).fetchall()
    return int(count), list(series or ())
