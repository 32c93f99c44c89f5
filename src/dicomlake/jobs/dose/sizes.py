"""Sizes of patients for size-specific dose: measured in pixels, or given in a table of the site.

Measured ones lie in sizes.sqlite of the folder of dose, by the number of the series version; they
hold nothing of a person, and go out of sight with the version.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.rows import Row, select
from dicomlake.jobs.dose.size import effective
from dicomlake.terms import sheets

_COLUMNS = ("StudyInstanceUID", "AccessionNumber", "PatientID", "diameter", "ap", "lateral")
_KEYS = ("StudyInstanceUID", "AccessionNumber", "PatientID")
_TABLE = """
create table if not exists measured (
    series_id integer primary key, diameter real, slices integer not null, cut integer not null,
    method text not null, why text not null, made real not null);
"""
FILE = "sizes.sqlite"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a series.

    `diameter`: mean water-equivalent diameter of its slices in mm, None when `why` says so; `cut`:
    slices that show the body cut off.
    """

    series_id: int
    diameter: float | None
    slices: int
    cut: int
    method: str
    why: str
    made: float
    """Seconds since 1970."""


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[sqlite3.Connection]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(folder / FILE, timeout=10)) as db, db:
            db.executescript(_TABLE)
            yield db
    except (sqlite3.Error, OSError) as error:
        raise ServiceError("Measured sizes cannot be read or written. Try again.") from error


def keep(folder: Path, found: Iterable[Measured]) -> None:
    """Keep what was measured; a newer one of the same series counts."""
    with _open(folder) as db:
        db.executemany(
            "insert or replace into measured values (?, ?, ?, ?, ?, ?, ?)",
            [(m.series_id, m.diameter, m.slices, m.cut, m.method, m.why, m.made) for m in found],
        )


def kept(folder: Path | None) -> dict[int, Measured]:
    """Everything that was measured, by series_id."""
    if folder is None or not (folder / FILE).is_file():
        return {}
    with _open(folder) as db:
        rows = db.execute("select * from measured").fetchall()
    return {row[0]: Measured(*row) for row in rows}


class Sizes:
    """Finds the size that an event was made with: measured, else as the table of the site says."""

    def __init__(self, engine: Any, options: DoseOptions, ticket: object = None) -> None:
        self._by_event, self._by_study = _measured(engine, options, ticket)
        own = options.own("sizes.csv")
        self._given = _given(own.name, sheets.of_site(own, "sizes")) if own else {}

    def of(self, row: Row) -> tuple[float | None, str | None]:
        """Diameter in mm and where it is from; None for both where nobody knows it."""
        if row["kind"] != "CT":
            return None, None
        found = self._by_event.get(row["event_key"]) or self._by_study.get(row["StudyInstanceUID"])
        if found:
            return found, "water equivalent"
        for name in _KEYS:
            if found := self._given.get((name, row.get(name) or "")):
                return found, "given"
        return None, None


def _measured(
    engine: Any, options: DoseOptions, ticket: object
) -> tuple[dict[str, float], dict[str, float]]:
    """Measured diameters by irradiation event; by study where it has one event and one series."""
    known = {i: m.diameter for i, m in kept(options.folder).items() if m.diameter and not m.cut}
    if not known:
        return {}, {}
    tied = select(
        engine,
        "select series_id, text from elements where path = 'IrradiationEventUID' "
        "and series_id in (select unnest(?::bigint[]))",
        [sorted(known)],
        ticket,
    )
    events: dict[str, list[float]] = {}
    for row in tied:
        events.setdefault(row["text"], []).append(known[row["series_id"]])
    studies = select(
        engine,
        'select "StudyInstanceUID", any_value(s.series_id) as one, count(*) as n from series s '
        "where series_id in (select unnest(?::bigint[])) group by 1 having n = 1 and "
        "(select count(distinct event_key) from dose_events e where counted and "
        'e."StudyInstanceUID" = s."StudyInstanceUID" and e."CTDIvol" is not null and '
        "coalesce(e.type, '') <> 'DCM:113805') = 1",
        [sorted(known)],
        ticket,
    )
    by_event = {uid: sum(found) / len(found) for uid, found in events.items()}
    return by_event, {row["StudyInstanceUID"]: known[row["one"]] for row in studies}


def _given(name: str, text: str) -> dict[tuple[str, str], float]:
    """Diameters in mm by study, accession number or patient, of a table of the site."""
    found: dict[tuple[str, str], float] = {}
    for place, row in sheets.rows(name, text, _COLUMNS, ()):
        keys = [(key, row[key]) for key in _KEYS if row[key]]
        if not keys:
            raise UsageError(f"{place}: say of whom, as one of {', '.join(_KEYS)}.")
        try:
            numbers = [float(row[c]) if row[c] else 0.0 for c in ("diameter", "ap", "lateral")]
        except ValueError as error:
            raise UsageError(f"{place}: sizes are numbers in mm.") from error
        diameter, ap, lateral = numbers
        if not diameter and ap > 0 and lateral > 0:
            diameter = effective(ap, lateral)
        if not diameter > 0:
            raise UsageError(f"{place}: say diameter, or ap and lateral, in mm.")
        found[keys[0]] = diameter
    return found
