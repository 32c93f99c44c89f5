"""dicomlake fhir validate, over files as they come."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dicomlake.cli import app, fhirvalidate
from dicomlake.errors import UsageError
from dicomlake.jobs.fhir.validating import validate

assert fhirvalidate

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "gender": "female",
    "name": [{"family": "Wintergrün"}],
}
STUDY: dict[str, Any] = {
    "resourceType": "ImagingStudy",
    "id": "s1",
    "status": "available",
    "subject": {"reference": "Patient/p1"},
}


def lines(path: Path, *resources: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in resources), encoding="utf-8")
    return path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["fhir", "validate", *map(str, arguments)])
    return done.exit_code, done.output


def test_a_folder_of_valid_files(tmp_path: Path) -> None:
    lines(tmp_path / "Patient.ndjson", PATIENT)
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    code, said = run(tmp_path)
    assert code == 0
    assert "1  ImagingStudy" in said
    assert "1  Patient" in said
    assert "2 resources by R4: valid, 0 errors, 0 warnings" in said


def test_problems_are_grouped_and_name_ids_alone(tmp_path: Path) -> None:
    wrong = [{**PATIENT, "id": f"p{n}", "gender": "Wintergrün"} for n in range(9)]
    code, said = run(lines(tmp_path / "Patient.ndjson", *wrong))
    assert code == 1
    assert "error Patient.gender: the code is none of the required value set" in said
    assert "9 times, as in Patient/p0, Patient/p1, Patient/p2" in said
    assert "Wintergrün" not in said


def test_what_is_referred_to_must_be_there_unless_it_is_elsewhere(tmp_path: Path) -> None:
    path = lines(tmp_path / "ImagingStudy.ndjson", STUDY)
    code, said = run(path)
    assert code == 1
    assert "ImagingStudy.subject.reference: leads to nothing of the set" in said
    assert run(path, "--alone")[0] == 0


def test_bundles_are_counted_by_what_they_hold(tmp_path: Path) -> None:
    entry = {
        "fullUrl": "urn:uuid:6f6b2a8e-5d0c-5f0a-9a52-6f1f1c1f4c55",
        "resource": PATIENT,
        "request": {"method": "PUT", "url": "Patient/p1"},
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry, entry]}
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle))
    report = validate(path, "R4")
    assert report.types == {"Bundle": 1, "Patient": 2}
    assert {group.text for group in report.listed()} == {
        "another entry has that fullUrl (bdl-7)",
        "another entry is about the same resource",
        "another resource has that type and id",
    }


def test_a_line_that_is_no_json_is_named_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"resourceType": "Patient"}\n\nGerda\n')
    code, said = run(path)
    assert code == 1
    assert "is no JSON" in said
    assert "a.ndjson:3" in said
    assert "Gerda" not in said


def test_warnings_fail_only_where_one_is_strict(tmp_path: Path) -> None:
    coded = {**STUDY, "reasonCode": [{"coding": [{"code": "X"}]}]}
    path = lines(tmp_path / "a.ndjson", PATIENT, coded)
    assert run(path)[0] == 0
    assert run(path, "--strict")[0] == 1


def test_there_must_be_a_file_and_a_release(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        validate(tmp_path / "none", "R4")
    with pytest.raises(UsageError, match=r"ends with \.ndjson"):
        validate(tmp_path, "R4")
    with pytest.raises(UsageError, match="Take R4 or R5"):
        validate(lines(tmp_path / "a.ndjson", PATIENT), "R6")


def test_the_commands_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "fhir-validation.md"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    lines(tmp_path / "out" / "Patient.ndjson", PATIENT)
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT}]}
    (tmp_path / "bundle.json").write_text(json.dumps(bundle))
    value = {"valueInteger": 1, "subject": {"reference": "Patient/p1"}}
    code = {"code": {"text": "count"}, "status": "final"}
    lines(tmp_path / "Observation.ndjson", {"resourceType": "Observation", **code, **value})
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command, comments=True)
        assert words[:3] == ["dicomlake", "fhir", "validate"]
        assert run(*words[3:])[0] == 0, command
