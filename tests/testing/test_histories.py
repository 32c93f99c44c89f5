"""What the houses write down is what the truth says, read again by nothing of ours."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from dicomlake.testing.hospital import Histories, histories, originals
from dicomlake.testing.hospital.history import QUESTIONS, history
from dicomlake.testing.hospital.letters import LANGUAGES

if TYPE_CHECKING:
    from pathlib import Path

PATIENTS = 300
KINDS = {
    "Condition": "condition",
    "Procedure": "procedure",
    "Observation": "observation",
    "MedicationStatement": "medication",
    "Encounter": "encounter",
}
OMOP = {
    "condition_occurrence": "condition",
    "procedure_occurrence": "procedure",
    "measurement": "observation",
    "drug_exposure": "medication",
    "visit_occurrence": "encounter",
}
SUD = {
    "diagnostics": "condition",
    "actes": "procedure",
    "biologie": "observation",
    "medicaments": "medication",
    "sejours": "encounter",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("houses")


@pytest.fixture(scope="module")
def truth(folder: Path) -> Histories:
    return histories(folder, PATIENTS)


def table(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def resources(folder: Path) -> list[dict]:
    return [
        json.loads(line)
        for path in (folder / "NORD" / "fhir").glob("*.ndjson")
        for line in path.read_text().splitlines()
    ]


def test_facts_of_all_houses_are_those_of_the_truth(folder: Path, truth: Histories) -> None:
    found = Counter(KINDS.get(r["resourceType"], "patient") for r in resources(folder))
    del found["patient"]
    for name, kind in SUD.items():
        found[kind] += len(table(folder / "SUD" / f"{name}.csv", "latin-1", ";"))
    for name, kind in OMOP.items():
        found[kind] += len(table(folder / "WEST" / "omop" / f"{name}.csv"))
    assert found == truth.facts
    assert set(found) == set(KINDS.values())


def test_letters_of_all_houses_are_those_of_the_truth(folder: Path, truth: Histories) -> None:
    messages = [p.read_bytes().decode() for p in (folder / "NORD" / "hl7").iterdir()]
    index = table(folder / "SUD" / "lettres" / "index.csv")
    notes = table(folder / "WEST" / "omop" / "note.csv")
    texts = [(folder / "SUD" / "lettres" / row["file"]).read_text() for row in index]
    assert len(messages) == truth.documents["de"]
    assert len(notes) == truth.documents["en"]
    assert sum("Hallazgos:" in text for text in texts) == truth.documents["es"]
    assert sum("Résultats:" in text for text in texts) == truth.documents["fr"]
    assert set(truth.documents) == set(LANGUAGES)
    negated = sum(f"No {w}" in n["note_text"] or f"evidence of {w}" in n["note_text"]
                  for n in notes for w in ["lymphadenopathy"])  # fmt: skip
    assert negated == truth.negated["en lymphadenopathy"] > 0
    for message in messages:
        head, person, order, *lines = [s.split("|") for s in message.rstrip("\r").split("\r")]
        assert (head[17], person[0], order[24]) == ("UNICODE UTF-8", "PID", "RAD")
        assert all(line[:1] + line[11:12] == ["OBX", "F"] for line in lines)


def test_questions_are_counted_again_from_what_was_written(folder: Path, truth: Histories) -> None:
    whose: Counter[tuple[str, str]] = Counter()
    for resource in resources(folder):
        if resource["resourceType"] == "Procedure":
            codes = {coding["code"] for coding in resource["code"]["coding"]}
            if "90470006" in codes:
                assert "5-604.02" in codes
                whose["NORD", resource["subject"]["reference"]] += 1
    for row in table(folder / "SUD" / "actes.csv", "latin-1", ";"):
        if row["nomenclature"] == "CCAM" and row["code"] == "JGFA006":
            whose["SUD", row["ipp"]] += 1
    omop = folder / "WEST" / "omop"
    (concept,) = [
        row["concept_id"]
        for row in table(omop / "concept.csv")
        if (row["vocabulary_id"], row["concept_code"]) == ("SNOMED", "90470006")
    ]
    for row in table(omop / "procedure_occurrence.csv"):
        if row["procedure_concept_id"] == concept:
            whose["WEST", row["person_id"]] += 1
    assert len(whose) == truth.answers[QUESTIONS[0]] > 10


def test_some_operations_come_after_an_mr_and_some_do_not(truth: Histories) -> None:
    operated, asked, after, at_three_tesla, *_ = [truth.answers[q] for q in QUESTIONS]
    assert operated > asked > after > at_three_tesla > 0
    gaps = [
        fact.started - study.when
        for number in range(1, PATIENTS + 1)
        for told in [history(7, number)]
        for fact in told.facts
        if fact.name == "prostatectomy"
        for name, study in told.studies
        if name == "MR prostate"
    ]
    year = timedelta(days=365)
    assert any(timedelta(0) < gap < year for gap in gaps)
    assert any(gap > year for gap in gaps)
    assert any(gap < timedelta(0) for gap in gaps)
    assert all(abs(gap - year) > timedelta(hours=12) for gap in gaps)


def test_a_patient_is_the_same_in_every_hospital(tmp_path: Path, folder: Path) -> None:
    histories(tmp_path, 40)
    lines = (tmp_path / "NORD" / "fhir" / "Procedure.ndjson").read_text().splitlines()
    more = (folder / "NORD" / "fhir" / "Procedure.ndjson").read_text().splitlines()
    assert lines == more[: len(lines)]
    assert lines


def test_nothing_happens_outside_of_the_years_that_are_told() -> None:
    for number in range(1, PATIENTS + 1):
        for fact in history(7, number).facts:
            assert datetime(2011, 1, 1) < fact.started < datetime(2026, 12, 31)
            assert fact.ended is None or fact.ended > fact.started


def test_ecgs_and_the_register_are_of_patients_who_came_for_the_heart(tmp_path: Path) -> None:
    counts = originals(tmp_path, PATIENTS)
    register = table(tmp_path / "labels" / "register.csv", "latin-1", ";")
    files = sorted((tmp_path / "ecg").rglob("*.*"))
    assert len(register) == counts.pop("register") == len(files)
    assert Counter(path.stem[:-6] for path in files) == counts
    assert set(counts) == {"scp", "aecg", "muse", "sierra"}
    assert {path.parent.name for path in files} == {"NORD", "SUD", "WEST"}
    paced = {(row["Haus"], row["Patient"]) for row in register if row["Herzschrittmacher"] == "ja"}
    known = {
        (told.person.issuer, told.person.id)
        for told in map(partial(history, 7), range(1, PATIENTS + 1))
        if any(fact.name == "pacemaker" for fact in told.facts)
    }
    assert paced == known
    assert known
