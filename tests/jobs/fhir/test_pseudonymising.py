"""What leaves a lake with pseudonyms names nobody, and is still whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from dicomlake.errors import ServiceError
from dicomlake.fhir.pseudonymous import DROPPED
from dicomlake.jobs.fhir.making import TYPES
from dicomlake.jobs.fhir.publishing import Made
from dicomlake.jobs.fhir.targets import maker_of, opened
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.settings import FhirSettings, FhirSite, FhirTarget, Pseudonyms, Settings
from dicomlake.testing import hospital
from dicomlake.testing.dicom import encode, image
from dicomlake.testing.fhir import FhirServer, references
from dicomlake.testing.gpas import Gpas

MARK = "QXHIDDEN"
TELLING = """PatientID PatientName StudyInstanceUID SeriesInstanceUID AccessionNumber StudyID
StudyDescription SeriesDescription ProtocolName InstitutionName InstitutionalDepartmentName
StationName DeviceSerialNumber ReferringPhysicianName OperatorsName
RequestedProcedureDescription PerformedProcedureStepDescription PerformedProcedureStepID
FrameOfReferenceUID""".split()
"""Attributes of which no value may get out."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("telling")
    hospital.write(folder / "files", 6, pixels=False, seed=3)
    marked = image(
        Modality="CT", PatientID=f"{MARK}1", PatientName=f"{MARK}^Anna", AccessionNumber=f"{MARK}2",
        StudyDescription=MARK, SeriesDescription=MARK, ProtocolName=MARK, StationName=MARK,
        InstitutionName=MARK, ReferringPhysicianName=f"{MARK}^Doctor", OperatorsName=f"{MARK}^Op",
        DeviceSerialNumber=f"{MARK}3", BodyPartExamined=MARK, PatientComments=MARK,
        StudyInstanceUID="2.25.666", SeriesInstanceUID="2.25.666.1", SOPInstanceUID="2.25.666.1.1",
        StudyDate="20240131", PatientBirthDate="19500607", ConvolutionKernel=MARK,
        ContrastBolusAgent=MARK, ImageType=["ORIGINAL", "PRIMARY", MARK],
    )  # fmt: skip
    (folder / "files" / "marked.dcm").write_bytes(encode(marked))
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("k" * 40)
    return tmp_path / "key"


def settings(key: Path, **more: Any) -> Settings:
    """Settings that tell all that can be told, with pseudonyms."""
    target = more.pop("target", {})
    site = FhirSite(
        names=True, people=True, instances=True, zone="Europe/Berlin",
        base_url="https://pacs.qxhidden.example/dicom-web",
        patients={"": f"https://{MARK}.example/pid"},
    )  # fmt: skip
    given = {"study": Pseudonyms(key_file=key, **more)}
    return Settings(fhir=FhirSettings(site=site, target=target), pseudonyms=given)


def telling(store: Store) -> set[str]:
    """Values of a lake that nobody outside may see."""
    found: set[str] = {MARK, MARK.lower()}
    with store.database() as db:
        for name in TELLING:
            for (value,) in db.execute(f'select distinct "{name}" from series').fetchall():
                for one in value if isinstance(value, list) else [value]:
                    found |= set(re.split(r"[\^=]", one)) if one else set()
        for name in ("SOPInstanceUID",):
            found |= {
                row[0] for row in db.execute(f'select distinct "{name}" from instances').fetchall()
            }
        for name in ("StudyDate", "SeriesDate", "PatientBirthDate"):
            days = db.execute(f'select distinct "{name}" from series').fetchall()
            found |= {row[0].isoformat() for row in days if row[0]}
    return {one for one in found if len(one) > 3 and one.casefold() not in _HARMLESS}


_HARMLESS = frozenset(["chest", "head", "none", "axial", "body", "brain"])
"""What is said in descriptions and is a code as well."""


def every(lake: Path, found: Settings, release: str, profile: str = "none") -> list[Made]:
    return list(maker_of(Store(lake), found, release, "study", profile).all())


@pytest.mark.parametrize("dates", ["shift", "year"])
@pytest.mark.parametrize(("release", "profile"), [("R4", "none"), ("R4", "mii"), ("R5", "none"),
                                                  ("R5", "impetus")])  # fmt: skip
def test_nothing_telling_leaves_the_lake(
    lake: Path, key: Path, release: str, profile: str, dates: str
) -> None:
    made = every(lake, settings(key, dates=dates), release, profile)
    types = {one.type for one in made}
    if profile != "impetus":
        assert {"Patient", "ImagingStudy", "Device", "Observation"} <= types
    assert types <= set(TYPES) - DROPPED
    secrets = telling(Store(lake))
    assert len(secrets) > 100
    for one in made:
        text = orjson.dumps([one.resource, one.key]).decode()
        words = set(re.findall(r'"((?:[^"\\]|\\.)*)"', text))
        told = {s for s in secrets if s in words or (len(s) > 7 and s in text)}
        shifted = (
            {w for w in words if re.match(r"\d{4}-\d\d-\d\d", w)} if dates == "year" else set()
        )
        assert {s for s in told if not re.fullmatch(r"\d{4}-\d\d-\d\d", s)} == set(), one.type
        assert all(re.match(r"\d{4}-01-01T00:00:00", one) for one in shifted)


def test_it_would_be_told_without_pseudonyms(lake: Path, key: Path) -> None:
    """The test above can fail."""
    plain = maker_of(Store(lake), settings(key), "R4", "", "none")
    text = b"".join(orjson.dumps(one.resource) for one in plain.all()).decode()
    secrets = telling(Store(lake))
    assert MARK in text
    assert len([one for one in secrets if one in text]) > 0.3 * len(secrets)


def test_days_between_dates_of_a_patient_stay(lake: Path, key: Path) -> None:
    found = settings(key)
    plain = maker_of(Store(lake), found, "R4", "", "none")
    before: dict[tuple[int, int], str] = {
        (one.patient_key or 0, one.study_key or 0): one.resource.get("started", "")
        for one in plain.all(types=("ImagingStudy",))
    }
    moved: dict[int, set[int]] = {}
    for one in every(lake, found, "R4"):
        if one.type == "ImagingStudy" and "started" in one.resource:
            old = before[one.patient_key or 0, one.study_key or 0]
            days = date.fromisoformat(old[:10]) - date.fromisoformat(one.resource["started"][:10])
            moved.setdefault(one.patient_key or 0, set()).add(days.days)
    assert len(moved) > 3
    assert all(len(days) == 1 and 1 <= min(days) <= 365 for days in moved.values())
    assert len({min(days) for days in moved.values()}) > 1


def test_projects_cannot_be_joined(lake: Path, key: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("o" * 40)
    first = every(lake, settings(key), "R4")
    second = every(lake, settings(tmp_path / "other"), "R4")
    assert len(first) == len(second)
    assert {one.id for one in first}.isdisjoint(one.id for one in second)
    keys = [{one.key for one in made if one.key} for made in (first, second)]
    assert keys[0].isdisjoint(keys[1])
    assert [one.digest for one in every(lake, settings(key), "R4")] == [o.digest for o in first]


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with FhirServer() as made:
        yield made


def test_publishing_with_pseudonyms_is_whole(lake: Path, key: Path, server: FhirServer) -> None:
    target = {"out": FhirTarget(url=server.address, pseudonyms="study")}
    found = settings(key, target=target)
    with opened(lake, found, "out") as publisher:
        report = publisher.push()
        assert report.refused == 0, [one.why for one in publisher.published.refused()]
    every_ = server.resources.every()
    there = {f"{one['resourceType']}/{one['id']}" for one in every_}
    assert set(references(every_)) <= there
    assert MARK not in orjson.dumps(every_).decode()
    with opened(lake, found, "out") as publisher:
        assert publisher.push().sent == 0


def test_nothing_leaves_while_the_gpas_is_away(lake: Path, key: Path, server: FhirServer) -> None:
    with Gpas("patients") as gpas:
        target = {"gpas": FhirTarget(url=server.address, pseudonyms="study")}
        found = settings(key, target=target, kind="gpas", url=gpas.address, domain="patients")
        gpas.status = 503
        with opened(lake, found, "gpas") as publisher, pytest.raises(ServiceError):
            publisher.push()
        assert server.resources.every() == []
        gpas.status = 200
        with opened(lake, found, "gpas") as publisher:
            assert publisher.push().refused == 0
        names = {i["value"] for p in server.resources.every("Patient") for i in p["identifier"]}
        assert names == set(gpas.given.values())
