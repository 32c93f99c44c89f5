"""Erasing by REST: typed twice, by administrators alone, and the audit log does not say who."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomlake.jobs.access.audit import Audit
from dicomlake.lake import Store

from .guarded import MARK, House, copied, make_lake, settings
from .guarded import house as opened

WHO = {"PatientID": f"{MARK}-P"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("erasing"))


@pytest.fixture
def house(made: Path, tmp_path: Path):
    with opened(copied(made, tmp_path), settings()) as found:
        yield found


def test_an_admin_erases_and_gets_a_proof(house: House) -> None:
    shown = house.post("admin", "/api/erasures/preview", WHO).json()
    assert (shown["series"], shown["kind"], shown["erased"]) == (1, "patient", "")
    wrong = house.post("admin", "/api/erasures", {**WHO, "confirm": "else"})
    assert wrong.status_code == 422
    assert "Nothing was erased" in wrong.json()["detail"]
    assert house.post("admin", "/api/erasures", {**WHO, "confirm": 7}).status_code == 422
    proof = house.post("admin", "/api/erasures", {**WHO, "confirm": WHO["PatientID"]}).json()
    assert proof["whole"], proof["left"]
    assert MARK not in str(proof)
    ids = Store(house.lake).read("series", ["PatientID"]).column(0).to_pylist()
    assert WHO["PatientID"] not in ids
    assert house.get("admin", "/api/erasures").json() == [proof]
    assert house.post("admin", "/api/erasures/preview", WHO).json()["erased"]
    log = Audit.of(house.lake)
    assert log.verify().good
    lines, _ = log.newest(100, what="erase a patient")
    assert [line.get("erasure") for line in lines].count(proof["id"]) == 1
    assert WHO["PatientID"].encode() not in log.path.read_bytes()


@pytest.mark.parametrize("who", ["steward", "researcher", "viewer", "steward of a project"])
def test_nobody_else_may(house: House, who: str) -> None:
    for path in ("/api/erasures", "/api/erasures/preview"):
        body = {**WHO, "confirm": WHO["PatientID"]}
        assert house.post(who, path, body).status_code == 403
    assert house.get(who, "/api/erasures").status_code == 403


def test_it_waits_for_the_one_who_writes(house: House) -> None:
    with Store(house.lake).lock():
        answer = house.post("admin", "/api/erasures", {**WHO, "confirm": WHO["PatientID"]})
    assert answer.status_code == 409
