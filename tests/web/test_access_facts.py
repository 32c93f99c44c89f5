"""Facts and documents for those who do not see everything: projects, counting roles, federation."""

from pathlib import Path

import pytest

import dicomlake
from dicomlake.engines.groups import By, Grouped
from dicomlake.errors import NotAllowed
from dicomlake.jobs import cohorts
from dicomlake.jobs.access import masking
from dicomlake.jobs.federation.answering import answer
from dicomlake.jobs.federation.studies import Study
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.query import parse
from dicomlake.query.attributes import fields
from dicomlake.settings import Federation, Project
from dicomlake.testing import engines, histories
from dicomlake.web.access.lakes import CountsLake, part_of


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    index([engines.write(tmp_path / "objects")], tmp_path / "lake", workers=1)
    histories.tell(Store(tmp_path / "lake"))
    return tmp_path / "lake"


def codes(part: dicomlake.Lake) -> set[str]:
    return set(part.table("clinical_events", ["code"]).column(0).to_pylist())


def test_a_project_sees_the_facts_of_its_patients(lake: Path, tmp_path: Path) -> None:
    project = Project(filter="PatientID = 'P2'", level="patient")
    part = part_of(dicomlake.open(lake), project, tmp_path)
    seen = {"I10GM:C34.1", "CCAM:JGFA006", "LN:8867-4", "ATC:C09AA05"}
    assert codes(part) == seen
    assert part.table("documents").num_rows == 2
    found = part.engine.groups(Grouped((By("fact.code"),), measure="patients"))
    assert len(found) == 4
    assert part.engine.count(parse("fact.kind = 'encounter'"), "patient")["patients"] == 0
    assert {value.value for value in part.vocabulary["fact.code"].values} == seen


def test_facts_of_another_study_stay_hidden(lake: Path, tmp_path: Path) -> None:
    """Also where the project does not have the study that they name: it is found in the whole."""
    part = part_of(dicomlake.open(lake), Project(filter="Modality = 'ECG'"), tmp_path)
    assert codes(part) == {"I10GM:C34.1", "LN:8867-4", "ATC:C09AA05"}
    assert part.table("documents", ["language"]).column(0).to_pylist() == ["fr"]
    assert part.engine.count(parse("fact.code within CCAM:JGFA006"), "patient")["patients"] == 0
    assert part.engine.count(parse("fact.code within LN:8867-4"), "patient")["patients"] == 1


def test_a_project_may_be_made_of_facts(lake: Path, tmp_path: Path) -> None:
    project = Project(filter="fact.code within SCT:90470006", level="patient")
    part = part_of(dicomlake.open(lake), project, tmp_path)
    assert part.totals["series"] == 4
    assert codes(part) == {"SCT:90470006", "LN:15074-8"}


IDENTIFYING = [
    "fact.PatientID", "fact.IssuerOfPatientID", "fact.AccessionNumber", "fact.identifier",
    "fact.encounter", "fact.origin", "fact.text", "document.text", "document.title",
    "document.affirmed", "document.negated", "document.uncertain", "document.StudyInstanceUID",
    "document.identifier", "document.origin",
]  # fmt: skip


@pytest.mark.parametrize("path", IDENTIFYING)
def test_who_only_counts_cannot_ask_what_points_at_persons(lake: Path, path: str) -> None:
    counts = CountsLake(dicomlake.open(lake), 2)
    for ask in (
        lambda: counts.engine.count(parse(f"{path} exists"), "patient"),
        lambda: counts.engine.count(parse(f"same(patient, {path} missing)"), "patient"),
        lambda: counts.engine.groups(Grouped((By(path),))),
        lambda: counts.values(path),
    ):
        with pytest.raises(NotAllowed):
            ask()


def test_who_only_counts_may_ask_codes_and_values(lake: Path) -> None:
    counts = CountsLake(dicomlake.open(lake), 2)
    assert counts.engine.count(parse("fact.kind = 'procedure'"), "patient")["patients"] == 2
    assert counts.engine.count(parse("fact.kind = 'encounter'"), "patient")["patients"] == 0
    assert [value.patients for value in counts.values("fact.kind")[0]] == [2, 2, 2]


def test_every_column_is_either_asked_or_not_by_decision() -> None:
    """A new column of facts or documents has to be decided upon."""
    open_ = {
        "fact": "kind status source code value number unit quantity quantity_unit site laterality "
        "started ended precision imported updated run_id",
        "document": "status source type language written imported updated run_id",
    }
    for root, names in open_.items():
        free = {name for name in fields(root) if not masking.identifying(f"{root}.{name}")}
        sent = {name for name in free if name.endswith(("_value", "_scheme", "_meaning"))}
        assert free - sent == set(names.split())


def test_federation_counts_by_facts(lake: Path) -> None:
    whole = dicomlake.open(lake)
    sections = {"operated": "fact.kind = 'procedure'", "in hospital": "fact.kind = 'encounter'"}
    study = Study.of({"name": "f", "purpose": "x", "sections": sections})
    said = answer(whole.store, whole.engine, study, Federation(least=2), 2, "site")
    operated, few = said["sections"]
    assert operated["counts"]["patients"] == [2, 3]
    assert few["counts"]["patients"] == [0, 1]
    with pytest.raises(NotAllowed):
        Study.of({"name": "f", "purpose": "x", "sections": {"a": "fact.text contains 'x'"}})


def test_a_frozen_cohort_stays_as_it_was(lake: Path) -> None:
    question = "fact.kind = 'condition'"
    cohorts.freeze(lake, "ill", question)
    store = Store(lake)
    frozen = store.version
    said = {"PatientID": "P1", "kind": "condition", "code": "SCT:399068003"}
    store.append("clinical_events", histories.rows(store, "clinical_events", [said], 100))
    store.touch("more")
    assert cohorts.opened(lake, "ill").series().num_rows == 5
    then, now = dicomlake.open(lake, version=frozen), dicomlake.open(lake)
    assert then.engine.count(parse(question), "series")["series"] == 5
    assert now.engine.count(parse(question), "series")["series"] == 9
