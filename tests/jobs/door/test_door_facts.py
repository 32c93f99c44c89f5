"""Facts and documents in a lake that de-identifies at its door: as in its images, in any order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dicomlake
from dicomlake.errors import LakeError, UsageError
from dicomlake.jobs import clinical
from dicomlake.jobs.door.cleaning import door_of
from dicomlake.jobs.door.entrance import fix
from dicomlake.jobs.door.views import bring_up
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.query import parse
from dicomlake.settings import read
from dicomlake.testing import engines, histories

from ...planted import KEY, MARK
from .swept import swept

WRITTEN = {"run_id", "imported"}


def guarded(folder: Path, name: str, profile: str = "research") -> Path:
    """A lake with a door, and nothing in it."""
    lake = folder / name
    lake.mkdir()
    (folder / "secret.key").write_text(KEY)
    (lake / "dicomlake.toml").write_text(
        f'[pseudonyms.study]\nkey_file = "{folder / "secret.key"}"\n'
    )
    fix(Store.create(lake), read(lake), profile, "study")
    return lake


def told() -> list[dict[str, Any]]:
    """Facts of the contract of engines, as an import reads them."""
    return [{**one, "identifier": f"Condition/{n}"} for n, one in enumerate(histories.FACTS)]


def said_in(lake: Path) -> list[dict[str, Any]]:
    """The facts of a lake, but for when they came."""
    rows = Store(lake).read("clinical_events").to_pylist()
    kept = [{k: v for k, v in row.items() if k not in WRITTEN} for row in rows]
    return sorted(kept, key=lambda row: row["fact_key"])


def test_facts_are_of_their_patients_whatever_comes_first(tmp_path: Path) -> None:
    objects = engines.write(tmp_path / "objects")
    index([objects], tmp_path / "plain", workers=1)
    clinical.take(tmp_path / "plain", told(), source="clinic")
    first, last = guarded(tmp_path, "first"), guarded(tmp_path, "last")
    index([objects], last, workers=1)
    taken = [clinical.take(lake, told(), source="clinic") for lake in (first, last)]
    index([objects], first, workers=1)
    assert [(one.added, one.nameless) for one in taken] == [(9, 1), (9, 1)]
    assert said_in(first) == said_in(last)
    there = dicomlake.open(tmp_path / "plain")
    for question in (
        "fact.code within SCT:90470006",
        "fact.kind = 'condition' and Modality = 'CT'",
        "fact.code within CCAM:JGFA006",
        "fact.quantity > 7 mmol/L",
        "related(Modality = 'MR', fact.code within SCT:90470006, before 106 days)",
        "related(Modality = 'MR', fact.code within SCT:90470006, before 105 days)",
        "related(fact.code within I10GM:C34, Modality = 'CT', before 10 days)",
    ):
        asked = parse(question)
        whole = there.engine.count(asked, "patient")["patients"]
        for lake in (first, last):
            found = dicomlake.open(lake).engine.count(asked, "patient")["patients"]
            assert found == whole, question
    again = clinical.take(first, told(), source="clinic")
    assert (again.added, again.replaced, again.removed, again.unchanged) == (0, 0, 0, 9)


def resource(kind: str, number: int, **more: Any) -> dict[str, Any]:
    """A FHIR resource that says the mark wherever it may."""
    return {
        "resourceType": kind, "id": f"{MARK}-{number}", "subject": {"reference": f"Patient/{MARK}"},
        "encounter": {"reference": f"Encounter/{MARK}"}, "note": [{"text": MARK}], **more,
    }  # fmt: skip


def bundle(day: str = "2014-05-03") -> str:
    """Lines of resources of one patient, and one that cannot be read."""
    code = {"coding": [{"system": f"http://{MARK}.example", "code": "7", "display": MARK}],
            "text": f"Mrs {MARK}"}  # fmt: skip
    lines: list[Any] = [
        {"resourceType": "Patient", "id": MARK, "identifier": [{"value": f"{MARK}-1"}],
         "birthDate": "1931-07-04", "name": [{"family": MARK}]},
        resource("Condition", 1, onsetDateTime=day, code={"coding": [
            {"system": "http://snomed.info/sct", "code": "399068003", "display": "Cancer"}],
            "text": MARK}),
        resource("Observation", 2, effectiveDateTime=day, status="final", code=code,
                 component=[{"code": {"coding": [{"system": "http://loinc.org", "code": "2857-1"}]},
                             "valueQuantity": {"value": 4.5, "unit": "ng/mL"}}]),
        resource("DiagnosticReport", 3, issued=f"{day}T10:00:00Z", status="final", code=code,
                 conclusion=f"Kein Pneumothorax bei {MARK}"),
    ]  # fmt: skip
    return "\n".join([*map(json.dumps, lines), "{broken", ""])


def test_nothing_that_is_written_freely_comes_in(tmp_path: Path) -> None:
    lake = guarded(tmp_path, "lake", "times-and-device")
    file = tmp_path / f"{MARK}.ndjson"
    file.write_text(bundle())
    taken = clinical.bring(lake, [file], source="clinic")
    assert (taken.added, taken.documents, taken.failures) == (3 + 1, 1, 1)
    names = [MARK, MARK.lower(), "Pneumothorax", "1931"]
    assert swept(lake, names) == {}
    rows = said_in(lake)
    assert {row["code"] for row in rows} >= {"SCT:399068003", "LN:2857-1"}
    assert [row["code"][:2] for row in rows if row["code"].endswith(":7")] == ["99"]
    assert {row["started"].date().isoformat() for row in rows} == {"2014-05-03"}
    assert {row["code_meaning"] for row in rows} >= {"Cancer"}
    file.write_text(bundle("2015-06-04"))
    taken = clinical.bring(lake, [file], source="clinic")
    assert (taken.added, taken.replaced, taken.removed) == (0, 4, 0)
    assert {row["started"].year for row in said_in(lake)} == {2015}
    failures = Store(lake).read("failures").to_pylist()
    assert [row["stage"] for row in failures] == ["import"]
    assert swept(lake, names) == {}


def test_facts_that_came_as_they_are_keep_a_door_away(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    clinical.take(lake, told(), source="clinic")
    (tmp_path / "secret.key").write_text(KEY)
    (lake / "dicomlake.toml").write_text(
        f'[pseudonyms.study]\nkey_file = "{tmp_path / "secret.key"}"\n'
    )
    with pytest.raises(LakeError, match="has objects already"):
        fix(Store(lake), read(lake), "research", "study")


def test_a_view_is_told_through_its_lake(tmp_path: Path) -> None:
    index([engines.write(tmp_path / "objects")], tmp_path / "lake", workers=1)
    settings = read(guarded(tmp_path, "other"))
    view = bring_up(tmp_path / "lake", door_of(settings, "research", "study"))
    with pytest.raises(UsageError, match="view of another lake"):
        clinical.take(view, told(), source="clinic", settings=settings)
