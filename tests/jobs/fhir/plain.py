"""The fewest resources that a lake can be published as, and lakes that grow."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from dicomlake.jobs.fhir.published import Published
from dicomlake.jobs.fhir.publishing import Publisher
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.settings import FhirTarget
from dicomlake.sinks.fhir import FhirSink
from dicomlake.testing.dicom import encode, image
from dicomlake.testing.fhir import FhirServer

PID = "http://example.org/pid"


def id_(type_: str, key: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{type_}|{key}"))


@dataclass(frozen=True, slots=True)
class Made:
    type: str
    id: str
    key: tuple[str, str] | None
    resource: dict[str, Any]
    study_key: int | None
    patient_key: int | None
    digest: str


def made(resource: dict[str, Any], key: object, study: int | None, patient: int | None) -> Made:
    type_ = resource["resourceType"]
    whole = {**resource, "id": id_(type_, key)}
    known = whole.get("identifier", [])
    name = (known[0]["system"], known[0]["value"]) if known else None
    digest = hashlib.sha256(orjson.dumps(whole)).hexdigest()
    return Made(type_, whole["id"], name, whole, study, patient, digest)


class PlainMaker:
    """Patient, Device, ImagingStudy and a Provenance of each study."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def all(self, progress: object = None, types: object = None) -> Iterator[Made]:
        return self._made("")

    def of_studies(self, study_keys: Sequence[int], types: object = None) -> Iterator[Made]:
        listed = ", ".join(map(str, study_keys))
        return self._made(f"where study_key in ({listed or -1})")

    def _made(self, where: str) -> Iterator[Made]:
        with self.store.database() as db:
            rows = db.execute(
                'select study_key, any_value(patient_key), any_value("StudyInstanceUID"), '
                'any_value("PatientID"), any_value("ManufacturerModelName"), '
                'list("SeriesInstanceUID" order by "SeriesInstanceUID") '
                f"from series {where} group by study_key order by study_key"
            ).fetchall()
        for study, patient, uid, pid, model, series in rows:
            yield from self._study(study, patient, uid, pid, model or "none", series)

    def _study(
        self, study: int, patient: int, uid: str, pid: str, model: str, series: list[str]
    ) -> Iterator[Made]:
        name = id_("ImagingStudy", uid)
        yield made(  # what points at others comes first: the publisher has to sort
            {"resourceType": "Provenance", "target": [{"reference": f"ImagingStudy/{name}"}],
             "recorded": f"2024-01-0{min(len(series), 9)}T00:00:00Z",
             "agent": [{"who": {"reference": f"Device/{id_('Device', model)}"}}]},
            uid, study, patient,
        )  # fmt: skip
        yield made(
            {"resourceType": "ImagingStudy", "status": "available",
             "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
             "subject": {"reference": f"Patient/{id_('Patient', patient)}"},
             "numberOfSeries": len(series),
             "series": [{"uid": one, "modality": {"code": "MR"}} for one in series]},
            uid, study, patient,
        )  # fmt: skip
        identifier = [{"system": PID, "value": pid}]
        yield made({"resourceType": "Patient", "identifier": identifier}, patient, None, patient)
        identifier = [{"system": "urn:model", "value": model}]
        yield made({"resourceType": "Device", "identifier": identifier}, model, None, None)


class Growing:
    """A lake that grows: series of studies of patients, one object each."""

    def __init__(self, folder: Path) -> None:
        self.files, self.lake = folder / "files", folder / "lake"
        self.files.mkdir(parents=True)

    def add(self, *series: tuple[int, int, int], **attributes: Any) -> None:
        """Series as (patient, study, series)."""
        for patient, study, number in series:
            uid = f"2.25.{patient}.{study}"
            content = encode(
                image(
                    PatientID=f"P{patient}", PatientName=f"Meyer^Anna{patient}",
                    StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.{number}", Modality="MR",
                    SOPInstanceUID=f"{uid}.{number}.1", ManufacturerModelName="Skyra",
                    **attributes,
                )
            )  # fmt: skip
            (self.files / f"{uid}.{number}.dcm").write_bytes(content)
        index([self.files], self.lake, workers=1, prune=True)

    def remove(self, *series: tuple[int, int, int]) -> None:
        for patient, study, number in series:
            (self.files / f"2.25.{patient}.{study}.{number}.dcm").unlink()
        index([self.files], self.lake, workers=1, prune=True)


def publisher(lake: Path, server: FhirServer, **more: Any) -> Publisher:
    """A publisher of a lake to a server; settings and arguments of Publisher."""
    options = {n: more.pop(n) for n in ("progress", "clock", "wait", "narrow") if n in more}
    target = FhirTarget(url=server.address, **more)
    published = Published(lake, "station")
    options.setdefault("wait", lambda seconds: None)
    sink = FhirSink("station", target)
    return Publisher(Store(lake), "station", target, PlainMaker, sink, published, **options)


def close(made: Publisher) -> None:
    made._sink.close()
    made.published.close()
