"""Files that are sent to be converted, and the mapping files that are kept for them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from dicomlake.jobs.access.audit import Audit
from dicomlake.lake import Store

from .guarded import House, copied, make_lake, settings
from .guarded import house as opened

ROUTE = "/api/convert/files"
MAPPINGS = "/api/convert/mappings"
MAPPING = """
converter: labels
to: history
identify: {PatientID: Patient}
labels:
  - column: Pacemaker
    concept: [14106009, SCT, Cardiac pacemaker]
    section: devices
    values: {"yes": [373066001, SCT, "Yes"], "no": skip}
"""
TABLE = b"Patient,Pacemaker\nNEW-PATIENT-7,yes\nNEW-PATIENT-8,perhaps\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("conversions"))


@pytest.fixture
def house(made: Path, tmp_path: Path):
    with opened(copied(made, tmp_path), settings()) as found:
        yield found


def keep(house: House) -> None:
    said = house.ask("steward", "PUT", f"{MAPPINGS}/devices", json={"text": MAPPING})
    assert said.json() == {"name": "devices", "ours": True, "text": MAPPING}


def send(house: House, content: bytes, who: str = "steward", **said: str):
    params = {"source": "register", "name": "labels.csv", "mapping": "devices", **said}
    return house.ask(who, "POST", ROUTE, params=params, content=content)


def reasons(house: House) -> list[str]:
    """Why files that were sent are refused, as the lake knows it."""
    rows = Store(house.lake).read("failures", ["stage", "reason"]).to_pylist()
    return [row["reason"] for row in rows if row["stage"] == "convert"]


def test_a_table_that_is_sent_becomes_reports(house: House) -> None:
    keep(house)
    answer = send(house, TABLE)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["converted"], said["objects"], said["parts"]) == (1, 1, 1)
    (study,) = said["studies"]
    (patient,) = said["patients"]
    assert house.get("steward", f"/api/studies/{study}").status_code == 200
    assert house.get("steward", f"/api/patients/{patient}/timeline").status_code == 200
    (refused,) = said["refused"]
    assert (refused["file"], "row 3" in refused["why"]) == ("labels.csv", True)
    assert len(reasons(house)) == 1
    again = send(house, TABLE).json()
    assert (again["there"], again["objects"]) == (1, 0)
    mended = send(house, TABLE.replace(b"perhaps", b"no")).json()
    assert (mended["converted"], mended["refused"]) == (1, [])
    assert reasons(house) == []  # what was said of the file of that name is over
    assert not list((house.lake / "_work").glob("*/labels.csv"))
    assert b"NEW-PATIENT-7" not in Audit.of(house.lake).path.read_bytes()


def test_what_cannot_be_read_is_told(house: House) -> None:
    said = send(house, b"<x/>", name="ecg.xml", mapping="").json()
    assert (said["converted"], said["refused"][0]["file"]) == (0, "ecg.xml")
    assert "no converter reads" in said["refused"][0]["why"]


def test_an_archive_has_several(house: House) -> None:
    keep(house)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("a/one.csv", TABLE)
        packed.writestr("two.xml", b"<x/>")
    said = send(house, file.getvalue(), name="all.zip").json()
    assert (said["converted"], said["objects"]) == (1, 1)
    assert {one["file"] for one in said["refused"]} == {"all/a/one.csv", "all/two.xml"}
    assert send(house, b"PK no zip", name="bad.zip").status_code == 422


@pytest.mark.parametrize("who", ["researcher", "viewer", "steward of a project"])
def test_nobody_else_sends(house: House, who: str) -> None:
    assert send(house, TABLE, who, mapping="").status_code in (401, 403)
    assert house.ask(who, "PUT", f"{MAPPINGS}/x", json={"text": MAPPING}).status_code in (401, 403)
    assert house.ask(who, "DELETE", f"{MAPPINGS}/x").status_code in (401, 403)
    assert house.get("steward", MAPPINGS).json() == []


@pytest.mark.parametrize("name", ["../x.csv", ".hidden", "a/b.csv", ""])
def test_names_that_lead_elsewhere_are_refused(house: House, name: str) -> None:
    assert send(house, TABLE, name=name, mapping="").status_code == 422


def test_mappings_are_kept_listed_and_let_go(house: House) -> None:
    keep(house)
    (listed,) = house.get("steward", MAPPINGS).json()
    assert (listed["name"], listed["text"]) == ("devices", MAPPING)
    wrong = house.ask("steward", "PUT", f"{MAPPINGS}/devices", json={"text": "a: [1"})
    assert wrong.status_code == 422
    assert wrong.json()["detail"].startswith("The mapping is no YAML")
    reach = {"text": "converter: masks\nlabels: ../../other.tsv"}
    refused = house.ask("steward", "PUT", f"{MAPPINGS}/devices", json=reach)
    assert (refused.status_code, "names no file" in refused.text) == (422, True)
    assert house.ask("steward", "PUT", f"{MAPPINGS}/Up", json={"text": "a: 1"}).status_code == 422
    assert house.get("steward", MAPPINGS).json() == [listed]
    assert house.ask("steward", "DELETE", f"{MAPPINGS}/devices").json() == listed
    assert house.ask("steward", "DELETE", f"{MAPPINGS}/devices").status_code == 422
    answer = send(house, TABLE)
    assert (answer.status_code, "There are: none yet" in answer.text) == (422, True)
