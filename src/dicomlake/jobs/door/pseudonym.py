"""Pseudonyms of patients and back: by who has the key, or by a gPAS that knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicomlake.contracts.pseudonyms import PATIENT, Back, Original, Pseudonyms
from dicomlake.errors import UsageError
from dicomlake.fhir import Site
from dicomlake.jobs.fhir.pseudonymising import pseudonyms_of
from dicomlake.lake import Store
from dicomlake.lake.store import is_lake
from dicomlake.settings import Settings

_SITE = Site(b"")
_STEP = 50_000


@dataclass(frozen=True, slots=True)
class Person:
    """A patient by their own identifier."""

    PatientID: str
    IssuerOfPatientID: str = ""


def name_of(lake: str | Path, settings: Settings, asked: str = "") -> str:
    """Which pseudonyms are meant: those asked for, else those by which the lake is de-identified.

    UsageError when there are none, or several and nothing says which.
    """
    door = Store(lake).door if is_lake(lake) else {}
    named = [asked, str(door.get("pseudonyms", "")), settings.service.deidentify.pseudonyms]
    there = settings.pseudonyms
    name = next(filter(None, named), "") or (next(iter(there)) if len(there) == 1 else "")
    if name not in there:
        names = ", ".join(there) or "none yet: add [pseudonyms.NAME] with a key_file"
        raise UsageError(f"Say which pseudonyms are meant. The settings have: {names}.")
    return name


@contextmanager
def _given(settings: Settings, name: str) -> Iterator[Pseudonyms]:
    made = pseudonyms_of(name, settings.pseudonyms[name])
    try:
        yield made
    finally:
        made.close()


def pseudonyms(settings: Settings, name: str, people: Sequence[Person]) -> list[str]:
    """The PatientID that takes the place of that of each of these people."""
    with _given(settings, name) as given:
        found = given.of(PATIENT, [_original(person) for person in people])
        return [found[_original(person)] for person in people]


def people(
    lake: str | Path, settings: Settings, name: str, pseudonyms: Sequence[str]
) -> list[Person | None]:
    """Whose pseudonyms these are; None where nobody can tell.

    Asked of who gives them, if they can be asked; else the patients of the lake are tried.
    """
    wanted = dict.fromkeys(pseudonyms)
    found: dict[str, Person] = {}
    with _given(settings, name) as given:
        if isinstance(given, Back) and (known := given.back(PATIENT, wanted)) is not None:
            found = {pseudonym: Person(value) for pseudonym, value in known.items()}
        else:
            for block in _people(lake):
                made = given.of(PATIENT, [_original(person) for person in block])
                found |= {
                    made[_original(person)]: person
                    for person in block
                    if made[_original(person)] in wanted
                }
                if len(found) == len(wanted):
                    break
    return [found.get(pseudonym) for pseudonym in pseudonyms]


def _people(lake: str | Path) -> Iterator[list[Person]]:
    """The patients of a lake, many at a time."""
    store = Store(lake)
    if store.door:
        raise UsageError(
            "This lake has pseudonyms alone. Name the lake that holds the patients themselves, or "
            "use pseudonyms of kind gpas, which can be asked."
        )
    with store.database(only=("series",)) as db:
        rows = db.execute(
            'select distinct "PatientID", coalesce("IssuerOfPatientID", \'\') from series '
            'where "PatientID" is not null'
        )
        while found := rows.fetchmany(_STEP):
            yield [Person(*row) for row in found]


def _original(person: Person) -> Original:
    return _SITE.patient_system(person.IssuerOfPatientID), person.PatientID
