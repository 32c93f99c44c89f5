"""Clinical facts by REST: stewards bring them in, and everybody else does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomlake.jobs.access.audit import Audit
from dicomlake.lake import Store

from .guarded import House, copied, make_lake, settings
from .guarded import house as opened

BODY = "\n".join(
    json.dumps(one)
    for one in (
        {"resourceType": "Patient", "id": "p", "identifier": [{"value": "NEW-PATIENT-7"}]},
        {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"},
         "code": {"text": "flu"}},
        {"resourceType": "Condition", "id": "d", "subject": {"reference": "Patient/p"}},
    )
).encode()  # fmt: skip
ROUTE = "/api/facts?source=clinic&name=export.ndjson"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("facts"))


@pytest.fixture
def house(made: Path, tmp_path: Path):
    with opened(copied(made, tmp_path), settings()) as found:
        yield found


def brought(house: House) -> int:
    """How many facts of the source there are."""
    sources = Store(house.lake).read("clinical_events", ["source"]).column("source").to_pylist()
    return sources.count("clinic")


def test_a_steward_brings_a_file_in(house: House) -> None:
    said = house.ask("steward", "POST", ROUTE, content=BODY)
    assert said.status_code == 200, said.text
    report = said.json()
    assert (report["facts"], report["failures"]) == ({"condition": 1, "patient": 1}, 1)
    again = house.ask("admin", "POST", ROUTE, content=BODY).json()
    assert (again["added"], again["unchanged"]) == (0, 2)
    listed = house.get("admin", "/api/facts").json()
    ours = [(one["kind"], one["rows"]) for one in listed if one["source"] == "clinic"]
    assert ours == [("condition", 1), ("patient", 1)]
    assert brought(house) == 2
    assert b"NEW-PATIENT-7" not in Audit.of(house.lake).path.read_bytes()
    assert list((house.lake / "_work").glob("facts-*")) == []


@pytest.mark.parametrize("who", ["researcher", "viewer", "steward of a project"])
def test_nobody_else_does(house: House, who: str) -> None:
    assert house.ask(who, "POST", ROUTE, content=BODY).status_code in (401, 403)
    assert brought(house) == 0


@pytest.mark.parametrize("name", ["../x.json", ".hidden", "a/b.json", ""])
def test_names_that_lead_elsewhere_are_refused(house: House, name: str) -> None:
    asked = house.ask("admin", "POST", "/api/facts", params={"source": "x", "name": name},
                      content=BODY)  # fmt: skip
    assert asked.status_code == 422


def test_another_writer_is_told_of(house: House) -> None:
    with Store(house.lake).lock():
        assert house.ask("admin", "POST", ROUTE, content=BODY).status_code == 409
