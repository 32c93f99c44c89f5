"""Facts and documents that come into a lake with a door: what becomes of them before they are rows.

People get the pseudonyms that their images get, and dates move by the same days, whatever comes
first. An order is known by its accession number alone, which images lose at the door: so what
names no patient is left out, and a fact belongs to its patient, a document to the study it names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import duckdb
import pyarrow as pa

from dicomlake import tables
from dicomlake.errors import UsageError
from dicomlake.jobs.clinical.staging import Stage
from dicomlake.jobs.door.cleaning import Cleaning, Door
from dicomlake.jobs.door.entrance import door_at, made
from dicomlake.jobs.door.facts import columns, harmless_units, persons, register, stays, when
from dicomlake.jobs.door.places import sealed_uri
from dicomlake.lake import Store
from dicomlake.lake.database import literal
from dicomlake.lake.store import WORK
from dicomlake.settings import Settings

_FAMILIES = (
    "(Condition|Procedure|Observation|Encounter|Medication[A-Za-z]*|DiagnosticReport|"
    "DocumentReference|[a-z]+_occurrence|measurement|observation|drug_exposure|note)"
)
"""What identifiers may begin with that say what a thing is in its source."""


def opened(lake: str | Path, settings: Settings | None = None) -> tuple[Store, Door | None]:
    """A lake that facts come into, made if there is none, and its door if it has one.

    UsageError for a de-identified view, and for a door without its key.
    """
    store = made(lake, settings)
    if store.door.get("view"):
        raise UsageError(
            "This is a de-identified view of another lake. Bring things into that one: the view "
            "follows it."
        )
    return store, door_at(store, settings)


@contextmanager
def staged(store: Store, door: Door | None, name: str) -> Iterator[Stage]:
    """A stage below the work folder of a lake; outside of one with a door, and gone at the end."""
    if door is None:
        yield Stage(store.path / WORK / name)
        return
    with TemporaryDirectory(prefix="dicomlake-") as folder:
        yield Stage(Path(folder) / name)


def passing_of(lake: str | Path) -> Path:
    """The folder for files that are sent: outside of a lake with a door."""
    return Path(gettempdir()) if Store(lake).door else Path(lake) / WORK


def place_of(door: Door | None, uri: str) -> str:
    """Where something was read, as a lake may know it."""
    return uri if door is None else sealed_uri(door.seal, uri)


def admit(db: duckdb.DuckDBPyConnection, name: str, cleaning: Cleaning, door: Door) -> None:
    """Make the view `admitted` of the rows of the view `whole` as a lake with a door has them."""
    people = db.sql('select patient_key, "PatientID", issuer from patients').fetchall()
    persons(db, cleaning, people)
    salt = literal(door.seal.short("identifiers of facts"))
    rows: dict[str, str] = {
        **columns(name, cleaning.dates, door.seal),
        "AccessionNumber": "null::varchar",
        "identifier": _identifier(salt),
        "updated": when("c.updated", "null::varchar", cleaning.dates),
    }
    if name == "clinical_events":
        harmless_units(db, "whole")
        studies = ""
    else:
        _studies(db, cleaning)
        rows["StudyInstanceUID"] = "u.uid"
        studies = 'left join uids u on u.original = c."StudyInstanceUID"'
    said = ", ".join(f'{rows[n]} as "{n}"' for n in tables.ALL[name].names if n in rows)
    db.execute(
        f"create view admitted as select c.* replace ({said}) from whole c "
        f"left join persons p on p.original = c.patient_key {studies} where {stays(name)}"
    )


def _identifier(salt: str) -> str:
    """SQL of what stands for an identifier: the same each time, and nobody can tell for what."""

    def hashed(text: str) -> str:
        return f"md5(concat({salt}, {text}))"

    family = f"regexp_extract(c.identifier, '^{_FAMILIES}/', 0)"
    base, whole = hashed("split_part(c.identifier, '#', 1)"), hashed("c.identifier")
    part = f"case when contains(c.identifier, '#') then '#' || {whole} else '' end"
    return f"{family} || {base} || {part}"


def _studies(db: duckdb.DuckDBPyConnection, cleaning: Cleaning) -> None:
    found = db.sql(
        'select distinct "StudyInstanceUID" from whole where "StudyInstanceUID" is not null'
    ).fetchall()
    uids = [uid for (uid,) in found]
    register(db, "uids", pa.table({
        "original": pa.array(uids, pa.string()),
        "uid": pa.array(list(map(cleaning.uid, uids)), pa.string()),
    }))  # fmt: skip


def nameless(db: duckdb.DuckDBPyConnection) -> int:
    """Leave rows out that name no patient; how many."""
    where = "patient_key is null and not gone"
    found = db.sql(f"select count(*) from keys where {where}").fetchall()
    db.execute(f"delete from keys where {where}")
    return int(found[0][0])


__all__ = ["admit", "nameless", "opened", "passing_of", "place_of", "staged"]
