"""Clinical facts in datasets: under pseudonyms, with dates moved as those of the objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dicomlake import tables
from dicomlake.jobs.datasets.checking import check
from dicomlake.jobs.datasets.ledger import Ledger
from dicomlake.jobs.datasets.making import make
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.lake import Store
from tests.jobs.datasets.lungs import KEY, WHERE, make_lake

WHEN = datetime(2019, 5, 6, 7, 30, tzinfo=UTC)
TEXT = "Quendolin says that it hurts"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = make_lake(tmp_path_factory.mktemp("histories"))
    store = Store(lake)
    rows = store.read("series", ["patient_key", "PatientID", "AccessionNumber"]).to_pylist()
    people = sorted({row["patient_key"]: row for row in rows}.values(), key=str)
    facts = [
        {
            "fact_key": number,
            "patient_key": row["patient_key"],
            "PatientID": row["PatientID"],
            "kind": kind,
            "code": f"{scheme}:X{number}",
            "code_value": f"X{number}",
            "code_scheme": scheme,
            "code_meaning": meaning,
            "text": TEXT,
            "number": 3.5,
            "unit": "mmol/L",
            "started": WHEN + timedelta(days=number),
            "precision": "second",
            "identifier": f"secret-{number}",
            "source": "record system",
        }
        for number, (row, kind, scheme, meaning) in enumerate(
            (row, *one)
            for row in people
            for one in (
                ("condition", "SCT", "Asthma"),
                ("observation", "99HOUSE", TEXT),
                ("patient", "SCT", "male"),
            )
        )
    ]
    stranger = {**facts[0], "fact_key": 999, "patient_key": 12345, "code": "SCT:STRANGER"}
    store.append(
        "clinical_events", pa.Table.from_pylist([*facts, stranger], tables.CLINICAL_EVENTS)
    )
    store.touch("a-run")
    return lake


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_KEY", KEY)


def facts(lake: Path, out: Path, profile: str) -> list[dict[str, Any]]:
    """The facts of a dataset that is made and checked."""
    key = "" if profile == "identified" else "study"
    wanted = Wanted(
        str(out), where=WHERE, profile=profile, pseudonyms=key, formats=("dicom", "tables")
    )
    assert make(lake, wanted, name=f"{profile}-{out.name}").state == "finished"
    assert check(out, lake) == []
    found: list[dict[str, Any]] = pq.read_table(out / "tables" / "facts.parquet").to_pylist()
    return found


def test_facts_leave_under_the_pseudonyms_of_the_objects(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = facts(lake, out, "research")
    series = pq.read_table(out / "tables" / "series.parquet").to_pylist()
    assert {row["PatientID"] for row in found} == {row["PatientID"] for row in series}
    assert {row["kind"] for row in found} == {"condition", "observation"}
    said = str(found)
    assert not [word for word in (TEXT, "secret", "STRANGER", "record system") if word in said]
    meanings = {(row["code_scheme"], row["code_meaning"]) for row in found}
    assert meanings == {("SCT", "Asthma"), ("99HOUSE", None)}
    assert {row["number"] for row in found} == {3.5}


def test_dates_move_as_those_of_the_objects(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "moved"
    found = facts(lake, out, "research")
    before = {row["StudyDate"] for row in Store(lake).read("series", ["StudyDate"]).to_pylist()}
    series = pq.read_table(out / "tables" / "series.parquet").to_pylist()
    assert len(before) == 1
    (date,) = before
    moved = {row["PatientID"]: row["StudyDate"] - date for row in series}
    assert all(moved.values())
    for row in found:
        number = int(row["code_value"].removeprefix("X"))
        assert row["started"] == WHEN + timedelta(days=number) + moved[row["PatientID"]]


def test_there_are_no_dates_where_the_profile_takes_them_away(lake: Path, tmp_path: Path) -> None:
    found = facts(lake, tmp_path / "out", "basic")
    assert found
    assert {row["started"] for row in found} == {None}


def test_identified_facts_stay_as_they_are(lake: Path, tmp_path: Path) -> None:
    found = facts(lake, tmp_path / "out", "identified")
    ledger = Ledger(lake, "identified-out")
    assert {row["PatientID"] for row in found} == {
        row[0] for row in ledger.rows("select PatientID from patients")
    }
    assert {row["started"].date().year for row in found} == {2019}
    assert TEXT in {row["code_meaning"] for row in found}
    assert "text" not in found[0]
