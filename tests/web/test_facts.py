"""Clinical facts by REST: stewards bring them in, and everybody else does not."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from dicomlake.errors import DataError
from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.clinical import unpacking
from dicomlake.jobs.clinical.watching import FactsWorker
from dicomlake.jobs.requests import queue_of
from dicomlake.lake import Store
from dicomlake.settings import FactsFolder

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


MAPPING = """
tables:
  - files: labs*.csv
    kind: observation
    columns:
      PatientID: patient_no
      code: LN:2857-1
      number: psa
"""
LABS = b"patient_no,psa\nP1,4.5\nP2,high\n"


def zipped(**files: bytes) -> bytes:
    """A zip of some files: CSV."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        for name, content in files.items():
            packed.writestr(f"export/{name}.csv", content)
    return made.getvalue()


def test_a_table_comes_in_by_a_mapping_that_was_kept(house: House) -> None:
    route = "/api/facts/mappings/labs"
    assert house.ask("researcher", "PUT", route, json={"text": MAPPING}).status_code == 403
    kept = house.ask("steward", "PUT", route, json={"text": MAPPING})
    assert kept.json() == {"name": "labs", "ours": True, "text": MAPPING}
    assert house.get("steward", "/api/facts/mappings").json() == [kept.json()]
    asked = {"source": "clinic", "name": "labs.csv"}
    plain = house.ask("steward", "POST", "/api/facts", params=asked, content=LABS).json()
    assert (plain["facts"], plain["failures"]) == ({}, 1)
    asked["mapping"] = "labs"
    made = house.ask("steward", "POST", "/api/facts", params=asked, content=LABS).json()
    assert (made["facts"], made["failures"]) == ({"observation": 1}, 1)
    assert house.ask("steward", "DELETE", route).status_code == 204
    said = house.ask("steward", "POST", "/api/facts", params=asked, content=LABS)
    assert (said.status_code, "There are: none yet" in said.text) == (422, True)


def test_a_mapping_that_is_wrong_is_told(house: House) -> None:
    for name, text in (("labs", "tables: [{kind: surprise}]"), ("labs", "a: ["), ("..", MAPPING)):
        said = house.ask("steward", "PUT", f"/api/facts/mappings/{name}", json={"text": text})
        assert said.status_code in (404, 405, 422), said.text
    assert house.get("steward", "/api/facts/mappings").json() == []


def test_an_archive_has_files_that_refer_to_each_other(house: House) -> None:
    body = zipped(
        person=b"person_id,year_of_birth,person_source_value\n1,1950,NEW-7\n",
        measurement=b"measurement_id,person_id,measurement_concept_id,measurement_date,"
        b"value_as_number,measurement_source_value\n1,1,3013603,2019-05-04,4.5,PSA\n",
    )
    asked = {"source": "clinic", "name": "omop.zip"}
    made = house.ask("steward", "POST", "/api/facts", params=asked, content=body).json()
    assert (made["facts"], made["failures"]) == ({"observation": 1, "patient": 1}, 0)
    assert made["unlinked"] == {"stranger": 2}


def test_files_that_are_sent_are_brought_in_by_workers(house: House) -> None:
    house.ask("steward", "PUT", "/api/facts/mappings/labs", json={"text": MAPPING})
    asked = {"source": "clinic", "name": "labs.zip", "mapping": "labs"}
    body = zipped(labs=LABS)
    assert house.ask("researcher", "POST", "/api/facts/tasks", params=asked).status_code == 403
    said = house.ask("steward", "POST", "/api/facts/tasks", params=asked, content=body)
    assert said.status_code == 202, said.text
    job = house.get("steward", said.headers["location"]).json()
    assert (job["id"], job["state"], job["label"]) == (
        said.json()["job"],
        "waiting",
        "facts of clinic",
    )
    with contextlib.closing(queue_of(house.lake, settings())) as queue:
        FactsWorker(house.lake, settings(), "w", queue=queue).turn()
    work = house.get("steward", "/api/facts/tasks").json()
    (task,) = work["tasks"]
    assert (task["job"], task["source"], task["state"]) == (job["id"], "clinic", "done")
    assert (task["result"]["added"], task["result"]["failures"]) == (1, 1)
    assert brought(house) == 1
    assert list((house.lake / "_facts" / "sent").iterdir()) == []
    broken = house.ask("steward", "POST", "/api/facts/tasks", params=asked, content=b"no archive")
    assert broken.status_code == 422
    assert list((house.lake / "_facts" / "sent").iterdir()) == []


def test_a_watched_folder_is_looked_into(made: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Doe_Jane.csv").write_bytes(LABS)
    said = settings().model_copy(
        update={"facts": {"labs": FactsFolder(folder=tmp_path / "in", quiet_s=0)}}
    )
    with opened(copied(made, tmp_path), said) as house:
        look = house.ask("steward", "POST", "/api/facts/look", json={"folder": "labs"})
        assert look.status_code == 202
        (task,) = house.get("steward", "/api/facts/tasks").json()["tasks"]
        assert (task["folder"], task["source"], task["state"]) == ("labs", "labs", "waiting")
        tasks = house.get("steward", f"/api/jobs/{look.json()['job']}/tasks")
        assert (tasks.status_code, "Jane" in tasks.text) == (200, False)
        again = house.ask("steward", "POST", "/api/facts/look", json={"folder": "labs"})
        assert again.json() == {"job": ""}
        other = house.ask("steward", "POST", "/api/facts/look", json={"folder": "other"})
        assert (other.status_code, "There are: labs" in other.text) == (404, True)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no archive", "damaged"),
        (zipped(**{"../../x": b"a"}), "leads out"),
        (zipped(half=b"0,1\n" * 99)[:-30], "damaged"),
    ],
)
def test_archives_that_are_a_trap_are_refused(house: House, body: bytes, why: str) -> None:
    asked = {"source": "clinic", "name": "a.zip"}
    said = house.ask("steward", "POST", "/api/facts", params=asked, content=body)
    assert (said.status_code, why in said.json()["detail"]) == (422, True)


def test_an_archive_that_becomes_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "FREE", 100)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", b"0" * 10**6)
    path = tmp_path / "a.zip"
    path.write_bytes(packed.getvalue())
    with pytest.raises(DataError, match="too large"):
        unpacking.unpack(path, tmp_path / "out")
