"""Making resources of a snapshot of the lake: all of them, or those of some studies.

The same rows make the same resources, and a resource that others share does not depend on which
studies are asked for.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dicomlake.contracts import Progress, Silent
from dicomlake.errors import UsageError
from dicomlake.fhir import Release, Site, impetus, mapping, r4, r5
from dicomlake.fhir.model import Software, Thing
from dicomlake.jobs.fhir.rows import Chosen, Reading, Wanted, explained
from dicomlake.lake import Store

TYPES = (
    "Patient", "Device", "Endpoint", "ImagingStudy", "BodyStructure", "Observation",
    "DiagnosticReport", "DocumentReference", "ImagingSelection", "Provenance",
)  # fmt: skip
"""Types of resources that are made, those first that others point at; ImagingSelection in R5."""
_NEEDS = {
    "BodyStructure": ("annotations", "enrichments"),
    "Provenance": ("annotations", "enrichments"),
    "Device": ("annotations", "enrichments"),
    "Observation": ("annotations", "enrichments", "items", "dose_events", "dose_totals"),
    "DiagnosticReport": ("items", "elements"),
    "DocumentReference": ("instances", "elements"),
    "ImagingSelection": ("segments",),
    "ImagingStudy": ("elements", "annotations", "enrichments", "instances"),
}
"""Tables besides `series` that resources of a type are made of."""


_NOTHING: Reading | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A resource of the lake.

    `key`: system and value of its identifier; `study_key`: the study that it hangs on, None where
    others share it; `digest`: tells its content from another one; `line`: the resource as JSON.
    """

    type: str
    id: str
    key: tuple[str, str] | None
    resource: dict[str, Any]
    study_key: int | None
    patient_key: int | None
    digest: str
    line: bytes


class Maker:
    """Makes resources of a store at its version, as a site wants them, of a release of FHIR."""

    def __init__(self, store: Store, site: Site, release: Release) -> None:
        if site.profile == "impetus" and release != "R5":
            raise UsageError("The profile impetus is of R5. Use it with --release R5.")
        if site.profile == "mii" and release != "R4":
            raise UsageError("The profile mii is of R4. Use it with --release R4.")
        self._store, self._site, self._release = store, site, release
        self._lock, self._reading = threading.Lock(), _NOTHING
        self._resource: Callable[[Thing, Site], dict[str, Any]] = (
            r4.resource if release == "R4" else r5.resource
        )

    def all(
        self, progress: Progress | None = None, types: Iterable[str] | None = None
    ) -> Iterator[Made]:
        """Resources of all studies, those of `types` alone where they are named.

        UsageError at once for an unknown type. They end early when `progress` is cancelled.
        """
        return self._made(None, progress or Silent(), self._types(types))

    def of_studies(
        self, study_keys: Sequence[int], types: Iterable[str] | None = None
    ) -> Iterator[Made]:
        """What hangs on some studies, with their patients, devices and the endpoint."""
        return self._made(list(study_keys), Silent(), self._types(types))

    def _types(self, types: Iterable[str] | None) -> frozenset[str]:
        asked = frozenset(TYPES if types is None else types)
        if unknown := sorted(asked - set(TYPES)):
            raise UsageError(
                f"There is no resource type {unknown[0]!r} here. There are: {', '.join(TYPES)}."
            )
        return asked & set(impetus.TYPES) if self._site.profile == "impetus" else asked

    def _made(
        self, studies: list[int] | None, progress: Progress, types: frozenset[str]
    ) -> Iterator[Made]:
        with explained(), self._rows().chosen(studies, self._wanted(types)) as rows:
            progress.stage("resources", rows.studies, "studies")
            yield from self._shared(rows, types)
            if not types - {"Patient", "Endpoint"}:
                return
            seen: set[str] = set()
            for block in rows.blocks():
                for study_key, patient_key, given in block.studies:
                    for thing in mapping.things(self._site, self._release, given):
                        if made := self._thing(thing, study_key, patient_key, types, seen):
                            yield made
                progress.advance(len(block.studies))
                if progress.cancelled:
                    return

    def _rows(self) -> Reading:
        with self._lock:
            if self._reading is None:
                self._reading = Reading(self._store)
            return self._reading

    def _wanted(self, types: frozenset[str]) -> Wanted:
        site = self._site
        return Wanted(
            instances=site.instances,
            headers=site.instances and site.profile == "mii",
            tables=frozenset(table for one in types for table in _NEEDS.get(one, ())),
        )

    def _shared(self, rows: Chosen, types: frozenset[str]) -> Iterator[Made]:
        """Patients, devices and the endpoint."""
        site = self._site
        if "Patient" in types:
            for number, key, row in rows.patients():
                yield self._one(mapping.person(site, key, row), None, number)
        if "Device" in types:
            for _, key, row in rows.machines():
                yield self._one(mapping.machine(site, key, row), None, None)
        if "Endpoint" in types and site.base:
            yield self._one(mapping.door(site), None, None)

    def _thing(
        self,
        thing: Thing,
        study_key: int,
        patient_key: int,
        types: frozenset[str],
        seen: set[str],
    ) -> Made | None:
        if _type_of(thing) not in types:
            return None
        if isinstance(thing, Software):
            if thing.id in seen:
                return None
            seen.add(thing.id)
            return self._one(thing, None, None)
        return self._one(thing, study_key, patient_key)

    def _one(self, thing: Thing, study_key: int | None, patient_key: int | None) -> Made:
        resource = self._resource(thing, self._site)
        line = orjson.dumps(resource)
        digest = hashlib.blake2b(line, digest_size=16).hexdigest()
        return Made(
            resource["resourceType"],
            resource["id"],
            _key(resource),
            resource,
            study_key,
            patient_key,
            digest,
            line,
        )


def _type_of(thing: Thing) -> str:
    name = _NAMES[type(thing).__name__]
    if name == "Report":
        dicom = getattr(thing, "mime", "") == "application/dicom"
        return "DiagnosticReport" if dicom else "DocumentReference"
    return name


_NAMES = {
    "Person": "Patient", "Machine": "Device", "Software": "Device", "Door": "Endpoint",
    "Study": "ImagingStudy", "Body": "BodyStructure", "Measurement": "Observation",
    "Origin": "Provenance", "Report": "Report", "Selection": "ImagingSelection",
}  # fmt: skip


def _key(resource: dict[str, Any]) -> tuple[str, str] | None:
    known = [*resource.get("identifier", ()), resource.get("masterIdentifier") or {}]
    return next(((one["system"], one["value"]) for one in known if "system" in one), None)
