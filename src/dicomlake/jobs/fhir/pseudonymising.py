"""Pseudonyms on the way out: resources are changed in blocks before they are sent."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from dicomlake import plugins
from dicomlake.contracts import Progress
from dicomlake.contracts.pseudonyms import Original, Pseudonyms
from dicomlake.contracts.sinks import Ref
from dicomlake.deid.identity import Keyed
from dicomlake.fhir.pseudonymous import Rules, identifiers, pseudonymous
from dicomlake.jobs.fhir.publishing import Made, Making
from dicomlake.settings import Pseudonyms as Settings

SYSTEM = "urn:dicomlake:pseudonym"
"""System of identifiers that are pseudonyms; their kind follows."""
_BLOCK = 500


@dataclass(frozen=True, slots=True)
class Changed:
    """A resource with pseudonyms."""

    type: str
    id: str
    key: tuple[str, str] | None
    resource: dict[str, Any]
    study_key: int | None
    patient_key: int | None
    digest: str


class Pseudonymised:
    """Makes what another one makes, with pseudonyms."""

    def __init__(self, making: Making, name: str, settings: Settings, given: Pseudonyms) -> None:
        self._making, self._given = making, given
        self._keyed, self._settings = Keyed(settings.key()), settings
        self._system = f"{SYSTEM}:{name}"

    def all(
        self, progress: Progress | None = None, types: Iterable[str] | None = None
    ) -> Iterator[Made]:
        """Resources of all studies."""
        return self._changed(self._making.all(progress, types))

    def of_studies(
        self, study_keys: Sequence[int], types: Iterable[str] | None = None
    ) -> Iterator[Made]:
        """What hangs on some studies."""
        return self._changed(self._making.of_studies(study_keys, types))

    def other(self, ref: Ref) -> str:
        """The id that a resource has there."""
        return self._id(*ref)

    def _changed(self, made: Iterator[Made]) -> Iterator[Made]:
        while block := list(islice(made, _BLOCK)):
            names = self._names(block)
            for one in block:
                rules = self._rules(names, one.patient_key)
                resource = pseudonymous(one.resource, rules)
                if resource is not None:
                    yield self._one(one, resource, rules)

    def _one(self, made: Made, resource: dict[str, Any], rules: Rules) -> Changed:
        digest = hashlib.sha256(orjson.dumps(resource, option=orjson.OPT_SORT_KEYS)).hexdigest()
        known = resource.get("identifier", [])
        first = known[0] if isinstance(known, list) and known else {}
        key = None
        if made.key is not None and first:
            key = (first["system"], first["value"])
            said = [i for i in made.resource.get("identifier", ()) if i.get("value")]
            for mine, theirs in zip(known, said, strict=True):
                if (theirs.get("system", ""), theirs.get("value")) == made.key:
                    key = (mine["system"], mine["value"])
        return Changed(
            made.type, resource["id"], key, resource, made.study_key, made.patient_key, digest
        )

    def _names(self, block: Sequence[Made]) -> dict[tuple[str, str, str], str]:
        """Pseudonyms of all identifiers in a block, asked for together."""
        wanted: dict[str, set[Original]] = {}
        for made in block:
            for kind, system, value in identifiers(made.resource):
                wanted.setdefault(kind, set()).add((system, value))
        found: dict[tuple[str, str, str], str] = {}
        for kind, originals in wanted.items():
            given = self._given.of(kind, originals)
            found.update({(kind, *original): given[original] for original in originals})
        return found

    def _rules(self, names: Mapping[tuple[str, str, str], str], patient: int | None) -> Rules:
        return Rules(
            lambda kind, system, value: names[kind, system, value],
            self._system,
            self._id,
            self._keyed.uid,
            self._days(patient) if self._settings.dates == "shift" else None,
        )

    def _id(self, type_: str, id_: str) -> str:
        return str(uuid.UUID(bytes=self._keyed.digest("id", type_, id_)[:16], version=4))

    def _days(self, patient: int | None) -> int:
        """How far back all dates of a patient go: from 1 day to what the settings say."""
        return self._keyed.days(patient, self._settings.days)


def pseudonyms_of(name: str, settings: Settings) -> Pseudonyms:
    """Who gives the pseudonyms of that name in the settings."""
    made: Pseudonyms = plugins.load("pseudonyms", settings.kind)(name, settings)
    return made
