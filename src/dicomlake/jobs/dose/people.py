"""Who is one person under several numbers: patients.csv of a site, as merges of its records say.

The lake knows a patient by PatientID and issuer. A person who was registered twice is two of them,
until a table says that both are one; cumulative doses are of persons.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.readers.batch import key_of
from dicomlake.terms import sheets

FILE = "patients.csv"
_COLUMNS = ("PatientID", "IssuerOfPatientID", "same_as", "same_as_issuer")
_Name = tuple[str, str]
"""Issuer and PatientID."""


class People:
    """Which keys of patients are those of one person."""

    def __init__(self, options: DoseOptions) -> None:
        own = options.own(FILE)
        self._leading = _read(own, own.stat().st_mtime_ns) if own else {}

    def one(self, key: int) -> int:
        """The key that stands for a person; that of the patient where no table says another."""
        return self._leading.get(key, key)

    def all(self, key: int) -> set[int]:
        """All keys of the person of a key."""
        one = self.one(key)
        return {one, *(other for other, leading in self._leading.items() if leading == one)}


@lru_cache(maxsize=8)
def _read(own: Path, changed: int) -> dict[int, int]:
    """The leading key of every key that the table names; chains are followed to their end."""
    said: dict[_Name, _Name] = {}
    text = sheets.of_site(own, "patients")
    for place, row in sheets.rows(own.name, text, _COLUMNS, ("PatientID", "same_as")):
        name = row["IssuerOfPatientID"], row["PatientID"]
        other = row["same_as_issuer"], row["same_as"]
        if not row["PatientID"] or not row["same_as"]:
            raise UsageError(f"{place}: say who is who, as PatientID and same_as.")
        if said.setdefault(name, other) != other:
            raise UsageError(f"{place}: this patient is already said to be another one.")
    return {_key(name): _key(_end(name, said, own.name)) for name in said}


def _end(name: _Name, said: dict[_Name, _Name], file: str) -> _Name:
    seen = {name}
    while name in said:
        name = said[name]
        if name in seen:
            raise UsageError(f"{file}: some patients are each other in a circle.")
        seen.add(name)
    return name


def _key(name: _Name) -> int:
    return key_of("patient", *name)
