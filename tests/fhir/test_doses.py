"""Doses as summaries after the guide of HL7: claimed where all that it asks for is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicomlake.fhir.pseudonymous import pseudonymous
from dicomlake.fhir.validation import check
from dicomlake.jobs.fhir.making import Maker
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.hospital.codes import dcm, ucum
from dicomlake.testing.hospital.reports import code, container, moment, number, person
from tests.fhir.lakes import site
from tests.fhir.test_pseudonymous import rules

PROFILE = "http://hl7.org/fhir/uv/radiation-dose-summary/StructureDefinition/radiation-dose-summary"
RDSR = "1.2.840.10008.5.1.4.1.1.88.67"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def report(*items: dict[str, Any], **more: Any) -> bytes:
    """A dose report of a CT: 512.5 mGy.cm in two events, and some more items."""
    root = container(
        dcm("113701", "X-Ray Radiation Dose Report"),
        *items,
        container(
            dcm("113811", "CT Accumulated Dose Data"),
            number(dcm("113812", "Total Number of Irradiation Events"), 2, ucum("{events}")),
            number(dcm("113813", "CT Dose Length Product Total"), "512.50", ucum("mGy.cm")),
        ),
    )
    root.pop("RelationshipType")
    return encode(
        image(
            Modality="SR", SOPClassUID=RDSR, SOPInstanceUID=uid("dose", "report"),
            StudyInstanceUID=uid("dose", "study"), SeriesInstanceUID=uid("dose", "series"),
            AccessionNumber="A1", **root, **more,
        )
    )  # fmt: skip


START = moment(dcm("113809", "Start of X-Ray Irradiation"), "20240301115930", "HAS OBS CONTEXT")


def author(role: str = "113850") -> dict[str, Any]:
    name = person(dcm("113870", "Person Name"), "Kern^Ada", "CONTAINS")
    told = code(dcm("113875", "Person Role in Procedure"), dcm(role, "Irradiation Authorizing"),
                relation="HAS PROPERTIES")  # fmt: skip
    return {**name, "ContentSequence": [told]}


def summary(folder: Path, *items: dict[str, Any], release: Any = "R4", **more: Any) -> Any:
    files = folder / "files"
    files.mkdir(parents=True)
    (files / "1.dcm").write_bytes(report(*items, **more.pop("header", {})))
    index([files], folder / "lake", workers=1)
    made = Maker(Store(folder / "lake"), site(**more), release).all(types=["Observation"])
    (found,) = [m.resource for m in made if "73569-6" in m.line.decode()]
    assert check(found, release) == []
    return found


def test_a_report_is_a_summary_of_the_guide(tmp_path: Path) -> None:
    found = summary(tmp_path, START, author(), people=True)
    assert found["meta"]["profile"] == [PROFILE]
    assert found["effectiveDateTime"] == "2024-03-01T11:59:30+01:00"  # not when the study began
    assert found["valueString"] == (
        "CT Dose Length Product Total 512.5 mGy.cm; Total Number of Irradiation Events 2"
    )
    assert found["contained"] == [
        {"resourceType": "Practitioner", "id": "authorising", "name": [{"text": "Kern Ada"}]}
    ]
    assert found["performer"] == [{"reference": "#authorising", "type": "Practitioner"}]
    assert found["focus"][0]["reference"] == found["partOf"][0]["reference"]
    assert found["partOf"][0]["identifier"]["value"] == f"urn:oid:{uid('dose', 'study')}"
    assert found["identifier"][0]["value"] == f"urn:oid:{uid('dose', 'report')}"
    assert found["basedOn"][0]["identifier"]["value"] == "A1"


@pytest.mark.parametrize(
    ("items", "people", "why"),
    [
        ([author()], False, "masked"),
        ([], True, "unknown"),
        ([author("113851")], True, "unknown"),  # who administered it
    ],
)
def test_an_author_that_is_not_told_is_absent_with_the_reason(
    tmp_path: Path, items: list[dict[str, Any]], people: bool, why: str
) -> None:
    found = summary(tmp_path, START, *items, people=people)
    assert found["contained"][0]["name"] == [{"extension": [{"url": ABSENT, "valueCode": why}]}]
    assert "Kern" not in str(found)
    assert found["meta"]["profile"] == [PROFILE]


def test_nothing_is_claimed_of_r5_of_mii_and_without_a_date(tmp_path: Path) -> None:
    assert "meta" not in summary(tmp_path / "r5", START, release="R5")
    assert "meta" not in summary(tmp_path / "mii", START, profile="mii")
    undated = {"StudyDate": "", "SeriesDate": "", "ContentDate": ""}
    assert "meta" not in summary(tmp_path / "undated", header=undated)


def test_a_pseudonymous_summary_claims_nothing(tmp_path: Path) -> None:
    found = summary(tmp_path, START, author(), people=True)
    made = pseudonymous(found, rules())
    assert made is not None
    assert "Kern" not in str(made)
    assert PROFILE not in str(made)
    assert made["component"][0]["valueQuantity"]["value"] == 512.5
    assert check(made, "R4") == []
