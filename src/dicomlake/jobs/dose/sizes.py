"""Sizes of patients for size-specific dose: measured in pixels, or given in a table of the site.

Of several the first counts: as sent, water equivalent (slices), localiser calibrated, localiser,
localiser with one view, given. What was measured lies in sizes.sqlite of the folder of dose, by the
number of the series version; it holds nothing of a person, and goes out of sight with the version.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.dose.localiser import Line, Localiser
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.rows import select
from dicomlake.jobs.dose.size import effective
from dicomlake.terms import sheets

SENT, WATER, GIVEN = "as sent", "water equivalent", "given"
CALIBRATED, BOTH, ONE = "localiser calibrated", "localiser", "localiser, one view"
SOURCES = (SENT, WATER, CALIBRATED, BOTH, ONE, GIVEN)
"""Where a size is from, the best first."""
_COLUMNS = ("StudyInstanceUID", "AccessionNumber", "PatientID", "diameter", "ap", "lateral")
_KEYS = ("StudyInstanceUID", "AccessionNumber", "PatientID")
_TABLES = """
create table if not exists measured (
    series_id integer primary key, diameter real, slices integer not null, cut integer not null,
    method text not null, why text not null, made real not null);
create table if not exists slices (
    series_id integer primary key, z text not null, areas text not null);
create table if not exists localisers (
    series_id integer not null, number integer not null, seen text not null,
    primary key (series_id, number));
create table if not exists lines (
    device text not null, KVP real not null, view text not null, slope real not null,
    intercept real not null, n integer not null, residual real not null, why text not null,
    primary key (device, KVP, view));
create table if not exists localised (
    series_id integer primary key, diameter real not null, source text not null);
"""
FILE = "sizes.sqlite"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a series.

    `diameter`: mean water-equivalent diameter of its slices in mm, None when `why` says so; `cut`:
    slices that show the body cut off; `z` and `areas`: of its whole slices the place along the body
    and the water-equivalent area; `seen`: what its localisers show.
    """

    series_id: int
    diameter: float | None
    slices: int
    cut: int
    method: str
    why: str
    made: float
    """Seconds since 1970."""
    z: tuple[float, ...] = ()
    areas: tuple[float | None, ...] = ()
    """None: of slices that show the body cut off."""
    seen: tuple[Localiser, ...] = ()


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[sqlite3.Connection]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(folder / FILE, timeout=10)) as db, db:
            db.executescript(_TABLES)
            yield db
    except (sqlite3.Error, OSError) as error:
        raise ServiceError("Measured sizes cannot be read or written. Try again.") from error


def keep(folder: Path, found: Iterable[Measured]) -> None:
    """Keep what was measured; a newer one of the same series counts."""
    with _open(folder) as db:
        for m in found:
            db.execute(
                "insert or replace into measured values (?, ?, ?, ?, ?, ?, ?)",
                (m.series_id, m.diameter, m.slices, m.cut, m.method, m.why, m.made),
            )
            for table in ("slices", "localisers"):
                db.execute(f"delete from {table} where series_id = ?", (m.series_id,))
            if m.z:
                said = m.series_id, orjson.dumps(m.z).decode(), orjson.dumps(m.areas).decode()
                db.execute("insert into slices values (?, ?, ?)", said)
            db.executemany(
                "insert into localisers values (?, ?, ?)",
                [
                    (m.series_id, n, orjson.dumps(asdict(seen)).decode())
                    for n, seen in enumerate(m.seen)
                ],
            )


def kept(folder: Path | None) -> dict[int, Measured]:
    """Everything that was measured, by series_id, without slices and localisers."""
    return {row[0]: Measured(*row) for row in _all(folder, "measured")}


def _all(folder: Path | None, table: str) -> list[tuple[Any, ...]]:
    if folder is None or not (folder / FILE).is_file():
        return []
    with _open(folder) as db:
        return db.execute(f"select * from {table}").fetchall()


def slices(folder: Path) -> dict[int, tuple[list[float], list[float | None]]]:
    """Places and water-equivalent areas of slices, by series_id."""
    return {n: (orjson.loads(z), orjson.loads(areas)) for n, z, areas in _all(folder, "slices")}


def localisers(folder: Path) -> dict[int, list[Localiser]]:
    """What localisers show, by series_id."""
    found: dict[int, list[Localiser]] = {}
    for series_id, _, seen in _all(folder, "localisers"):
        said = orjson.loads(seen)
        rows = {name: tuple(said[name]) for name in ("z", "widths", "centres", "integrals")}
        found.setdefault(series_id, []).append(Localiser(**{**said, **rows}))
    return found


def lines(folder: Path | None) -> list[Line]:
    """The calibrations of localisers, those that are not used too."""
    return [Line(*row) for row in _all(folder, "lines")]


def tell(folder: Path, made: Iterable[Line], sizes: Mapping[int, tuple[float, str]]) -> None:
    """Take calibrations, and sizes of series by localisers, in the place of those before."""
    with _open(folder) as db:
        db.execute("delete from lines")
        db.execute("delete from localised")
        db.executemany(
            "insert into lines values (?, ?, ?, ?, ?, ?, ?, ?)",
            [tuple(asdict(line).values()) for line in made],
        )
        db.executemany(
            "insert into localised values (?, ?, ?)",
            [(n, diameter, source) for n, (diameter, source) in sizes.items()],
        )


_Size = tuple[float, str]
"""A diameter in mm, and where it is from."""


class Sizes:
    """Finds the sizes that events were made with."""

    def __init__(self, engine: Any, options: DoseOptions, ticket: object = None) -> None:
        self._by_event, self._by_study = _measured(engine, options, ticket)
        own = options.own("sizes.csv")
        self._given = _given(own.name, sheets.of_site(own, "sizes")) if own else {}

    def of(self, events: pa.Table) -> tuple[list[float | None], list[str | None]]:
        """Diameters in mm of rows of `dose_events`, and where each is from; None: nobody knows."""
        sent = events.column("water_equivalent_diameter").to_pylist()
        sizes: list[_Size | None] = [(one, SENT) if one else None for one in sent]
        if self._by_event or self._by_study or self._given:
            self._fill(events, sizes)
        pairs = [one or (None, None) for one in sizes]
        return [diameter for diameter, _ in pairs], [source for _, source in pairs]

    def _fill(self, events: pa.Table, sizes: list[_Size | None]) -> None:
        ct = pc.fill_null(pc.equal(events.column("kind"), "CT"), False).to_pylist()
        keys = [events.column(name).to_pylist() for name in ("event_key", *_KEYS)]
        for n, (is_ct, event, *names) in enumerate(zip(ct, *keys, strict=True)):
            if not is_ct or sizes[n]:
                continue
            known = self._by_event.get(event) or self._by_study.get(names[0])
            sizes[n] = known or self._by_hand(names)

    def _by_hand(self, names: list[str | None]) -> _Size | None:
        said = (self._given.get((key, name or "")) for key, name in zip(_KEYS, names, strict=True))
        found = next(filter(None, said), None)
        return (found, GIVEN) if found else None


_OF_EVENTS = """
select series_id, text from elements where path = 'IrradiationEventUID'
    and series_id in (select unnest(?::bigint[]))
"""
_OF_STUDIES = """
select "StudyInstanceUID" as uid, list(s.series_id order by s.series_id) as series, (
        select count(distinct event_key) from dose_events e where counted and
        e."StudyInstanceUID" = s."StudyInstanceUID" and e."CTDIvol" is not null and
        coalesce(e.type, '') <> 'DCM:113805') as events, (
        select count(distinct (coalesce(e.region, ''), coalesce(e.phantom, ''))) from dose_events e
        where counted and e."StudyInstanceUID" = s."StudyInstanceUID" and
        e."CTDIvol" is not null and coalesce(e.type, '') <> 'DCM:113805') as regions
from series s where series_id in (select unnest(?::bigint[])) group by 1
"""


def _measured(
    engine: Any, options: DoseOptions, ticket: object
) -> tuple[dict[str, _Size], dict[str, _Size]]:
    """Measured sizes by irradiation event, and by study.

    A study has the size of its series where it has one event and one series; that of its localiser
    where all events are of one region and phantom.
    """
    whole = {
        i: (m.diameter, WATER) for i, m in kept(options.folder).items() if m.diameter and not m.cut
    }
    more = {n: (diameter, source) for n, diameter, source in _all(options.folder, "localised")}
    if not whole and not more:
        return {}, {}
    shown = {n for n, *_ in _all(options.folder, "localisers")}
    ids = [sorted(whole.keys() | more.keys())]
    tied: dict[str, list[_Size]] = {}
    for row in select(engine, _OF_EVENTS, ids, ticket):
        one = row["series_id"]
        if one not in shown:
            tied.setdefault(row["text"], []).append(whole.get(one) or more[one])
    studies: dict[str, _Size] = {}
    for row in select(engine, _OF_STUDIES, ids, ticket):
        bodies = [n for n in row["series"] if n not in shown]
        scouts = [more[n] for n in row["series"] if n in shown and n in more]
        if len(bodies) == 1 and row["events"] == 1:
            studies[row["uid"]] = whole.get(bodies[0]) or more[bodies[0]]
        elif scouts and row["regions"] == 1:
            studies[row["uid"]] = _best(scouts)
    return {uid: _best(found) for uid, found in tied.items()}, studies


def _best(found: list[_Size]) -> _Size:
    """The mean of the sizes of the best source."""
    source = min((source for _, source in found), key=SOURCES.index)
    same = [diameter for diameter, one in found if one == source]
    return sum(same) / len(same), source


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
