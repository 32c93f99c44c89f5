"""The validator finds what is wrong, one fault at a time, and our profiles are what SUSHI makes."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicomlake.errors import UsageError
from dicomlake.fhir import Release
from dicomlake.fhir.validation import definitions, profiles_of, validate
from dicomlake.jobs.fhir.checking import check
from dicomlake.lake import Store
from tests.fhir.conftest import Referee
from tests.fhir.made import made

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
Change = Callable[[Json], object]


def study(store: Store, release: Release, **more: Any) -> Json:
    (found,) = [m.resource for m in made(store, release, **more) if m.type == "ImagingStudy"]
    return copy.deepcopy(found)


# What is done to a study of R4, and where the fault is seen.
WRONG: dict[str, tuple[Change, str]] = {
    "unknown element": (lambda r: r.update(colour="red"), "ImagingStudy.colour"),
    "unknown inner element": (lambda r: r["series"][0].update(x=1), "ImagingStudy.series[0].x"),
    "missing": (lambda r: r.pop("subject"), "ImagingStudy.subject"),
    "missing below": (lambda r: r["series"][0].pop("uid"), "ImagingStudy.series[0].uid"),
    "no list": (lambda r: r.update(modality=r["modality"][0]), "ImagingStudy.modality"),
    "a list": (lambda r: r.update(status=["available"]), "ImagingStudy.status"),
    "empty list": (lambda r: r.update(note=[]), "ImagingStudy.note"),
    "empty text": (lambda r: r.update(description=""), "ImagingStudy.description"),
    "empty object": (lambda r: r.update(location={}), "ImagingStudy.location"),
    "required code": (lambda r: r.update(status="bogus"), "ImagingStudy.status"),
    "long id": (lambda r: r.update(id="x" * 65), "ImagingStudy.id"),
    "time without zone": (lambda r: r.update(started="2024-01-01T10:00:00"),
                          "ImagingStudy.started"),
    "negative count": (lambda r: r.update(numberOfSeries=-1), "ImagingStudy.numberOfSeries"),
    "true as a number": (lambda r: r.update(numberOfSeries=True), "ImagingStudy.numberOfSeries"),
    "text as a number": (lambda r: r.update(numberOfSeries="1"), "ImagingStudy.numberOfSeries"),
    "target of a reference": (lambda r: r["subject"].update(reference="Endpoint/1"),
                              "ImagingStudy.subject.reference"),
    "no reference": (lambda r: r["subject"].update(reference="Patient 1"),
                     "ImagingStudy.subject.reference"),
    "code without system": (lambda r: r["series"][0]["modality"].pop("system"),
                            "ImagingStudy.series[0].modality"),
    "two of one uid": (lambda r: r["series"].append(r["series"][0]), "ImagingStudy.series"),
    "series before study": (lambda r: r["series"][0].update(started="1999-01-01"),
                            "ImagingStudy.series[0].started"),
    "two values": (lambda r: r.update(extension=[{"url": "urn:x", "valueCode": "a",
                                                  "valueString": "b"}]),
                   "ImagingStudy.extension[0].value[x]"),
    "value and extension": (lambda r: r.update(extension=[{"url": "urn:x", "valueCode": "a",
                                                           "extension": [{"url": "y",
                                                           "valueCode": "b"}]}]),
                            "ImagingStudy.extension[0]"),
    "no value": (lambda r: r.update(extension=[{"url": "urn:x"}]), "ImagingStudy.extension[0]"),
    "unit without code": (lambda r: r.update(extension=[{"url": "urn:x", "valueQuantity": {
        "value": 1, "unit": "mm"}}]), "ImagingStudy.extension[0].valueQuantity"),
    "identifier without system": (lambda r: r.update(identifier=[{"value": "A1"}]),
                                  "ImagingStudy.identifier[0]"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_one_fault_is_seen_where_it_is(small: Store, name: str) -> None:
    change, place = WRONG[name]
    resource = study(small, "R4")
    assert validate(resource, "R4") == []
    change(resource)
    assert place in [fault.path for fault in validate(resource, "R4")]


MII_WRONG: dict[str, tuple[Change, str]] = {
    "unit of an extension": (
        lambda r: r["series"][0]["extension"][0]["extension"][0]["valueQuantity"].update(unit="V"),
        "valueQuantity"),
    "unknown part": (
        lambda r: r["series"][0]["extension"][0]["extension"].append(
            {"url": "dose", "valueString": "1"}), "extension[1]"),
    "wrong place": (lambda r: r.update(extension=[r["series"][0]["extension"][0]]),
                    "ImagingStudy.extension[0]"),
    "modality": (lambda r: r["series"][0]["modality"].update(code="FOO"), "modality"),
}  # fmt: skip


@pytest.mark.parametrize("name", MII_WRONG)
def test_faults_against_a_profile_are_seen(small: Store, name: str) -> None:
    change, place = MII_WRONG[name]
    resource = study(small, "R4", profile="mii")
    assert validate(resource, "R4") == []
    change(resource)
    found = validate(resource, "R4")
    assert found
    assert any(fault.path.endswith(place) for fault in found)


@pytest.mark.parametrize("name", ["unknown element", "missing", "missing below", "required code"])
def test_the_referee_agrees(small: Store, referee: Referee, name: str) -> None:
    resource = study(small, "R4")
    WRONG[name][0](resource)
    (said,) = referee([resource])
    assert said


def test_impetus_wants_no_names_and_ct_alone(small: Store) -> None:
    resource = study(small, "R5", profile="impetus")
    assert resource["meta"]["profile"][0].endswith("ImpetusCTIndexerImagingStudy")
    resource["series"][0]["modality"]["coding"][0]["code"] = "MR"
    assert [f.path for f in validate(resource, "R5")] == ["ImagingStudy.series[0].modality"]
    person = {
        "resourceType": "Patient", "name": [{"family": "M"}],
        "meta": {"profile": [url for url in profiles_of("R5") if url.endswith("IndexerPatient")]},
    }  # fmt: skip
    assert [f.path for f in validate(person, "R5")] == ["Patient.name"]


def test_r5_is_not_r4(small: Store) -> None:
    assert validate(study(small, "R5"), "R4") != []
    assert validate(study(small, "R4"), "R5") != []


def test_unknown_types_and_profiles_say_so() -> None:
    assert validate({"resourceType": "Robot"}, "R4")[0].path == "Robot"
    assert validate([], "R4")[0].what == "it has no resourceType"
    with pytest.raises(UsageError, match="There is no profile urn:x here"):
        validate({"resourceType": "Patient"}, "R4", ["urn:x"])


def test_faults_tell_no_values_of_people() -> None:
    wrong = {"resourceType": "Patient", "birthDate": "Meyer 4711", "name": [{"family": 4711}]}
    assert "4711" not in " ".join(map(str, validate(wrong, "R4")))


def test_files_and_bundles_are_checked(tmp_path: Path) -> None:
    good = {"resourceType": "Patient", "active": True}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": good}]}
    (tmp_path / "bundle.json").write_text(json.dumps(bundle))
    (tmp_path / "Patient.ndjson").write_text(json.dumps(good) + "\n" + '{"resourceType":"Patient",'
                                             '"gender":"m"}\n')  # fmt: skip
    done = check([tmp_path], "R4")
    assert (done.counts.total(), done.wrong) == (3, 1)
    assert list(done.faults) == ["Patient.gender: 'm' is not one of its codes"]
    assert done.places["Patient.gender: 'm' is not one of its codes"].endswith("Patient.ndjson:2")
    with pytest.raises(UsageError, match="is not there"):
        check([tmp_path / "nothing"], "R4")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UsageError, match="is no JSON"):
        check([tmp_path / "bad.json"], "R4")


def test_definitions_are_compiled_of_the_packages(packages: Path, tmp_path: Path) -> None:
    for release, name in (("R4", "hl7.fhir.r4.examples"), ("R5", "hl7.fhir.r5.core")):
        command = [sys.executable, str(ROOT / "fhir/compile.py"), release, str(packages / name),
                   str(tmp_path)]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        shipped = ROOT / f"src/dicomlake/fhir/definitions/{release}.json"
        assert json.loads((tmp_path / f"{release}.json").read_text()) == json.loads(
            shipped.read_text()
        )
        assert definitions("R4")["release"] == "R4"


def test_our_profiles_are_what_sushi_makes(packages: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for release, name, version, package in (
        ("r4", "hl7.fhir.r4.core", "4.0.1", "hl7.fhir.r4.examples"),
        ("r5", "hl7.fhir.r5.core", "5.0.0", "hl7.fhir.r5.core"),
    ):
        place = home / ".fhir/packages" / f"{name}#{version}" / "package"
        shutil.copytree(packages / package, place)
        about = json.loads((place / "package.json").read_text())
        (place / "package.json").write_text(json.dumps({**about, "name": name}))
        work = tmp_path / release
        shutil.copytree(ROOT / "fhir" / release, work, ignore=shutil.ignore_patterns("fsh-gen*"))
        command = ["node", str(packages / "fsh-sushi/dist/app.js"), "build", str(work)]
        environment = {**os.environ, "HOME": str(home)}
        subprocess.run(command, check=True, capture_output=True, env=environment, timeout=300)
        ours = ROOT / "fhir" / release / "fsh-generated/resources"
        found = sorted((work / "fsh-generated/resources").glob("*.json"))
        assert [p.name for p in found] == sorted(p.name for p in ours.glob("*.json"))
        for path in found:
            assert json.loads(path.read_text()) == json.loads((ours / path.name).read_text())


def test_shipped_profiles_are_those_of_the_repository(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "fhir/profiles.py"), str(tmp_path)],
        check=True, capture_output=True,
    )  # fmt: skip
    for name in ("profiles.json", "dicomlake.json"):
        shipped = ROOT / "src/dicomlake/fhir/definitions" / name
        assert json.loads((tmp_path / name).read_text()) == json.loads(shipped.read_text())
