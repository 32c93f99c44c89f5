"""Cohorts by REST: frozen, read, decided, split, asked for and approved, each by who may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.access.masking import cell
from dicomlake.settings import Settings
from dicomlake.web import app

from .guarded import House, copied, house, make_lake

CT = {"compare": {"path": "Modality", "op": "=", "value": "CT"}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("cohorts"))


@pytest.fixture
def inside(made: Path, tmp_path: Path) -> Iterator[House]:
    with house(copied(made, tmp_path)) as found:
        yield found


def freeze(inside: House, who: str = "researcher of all", name: str = "ct", **more: Any) -> Any:
    answer = inside.post(who, "/api/cohorts", {"name": name, "where": CT, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows(inside: House, who: str = "researcher of all", name: str = "ct", **asked: Any) -> Any:
    return inside.get(who, f"/api/cohorts/{name}/series", **asked).json()


def test_from_a_question_to_an_approval(inside: House) -> None:
    counted = inside.post("admin", "/api/query/count", {"where": CT}).json()
    made = freeze(inside, comment="first")
    assert made["counts"] == {**counted["totals"], "bytes": made["counts"]["bytes"]}
    assert (made["by"], made["text"], made["sentence"]) == (
        "researcher of all", "Modality = 'CT'", "Series with: Modality is CT.",
    )  # fmt: skip
    page = rows(inside, limit=2)
    assert (page["total"], len(page["rows"])) == (counted["totals"]["series"], 2)
    first = page["rows"][0]
    assert first["SeriesDescription"]
    assert first["here"]
    base = "/api/cohorts/ct"
    said = {"what": "exclude", "of": [first["SeriesInstanceUID"]], "reason": "blurred"}
    assert inside.post("researcher of all", f"{base}/decisions", said).json()["pending"]
    assert rows(inside)["states"] == {"included": page["total"] - 1, "excluded": 1}
    assert rows(inside, state="excluded")["rows"][0]["reason"] == "blurred"
    assert rows(inside, version=1)["states"] == {"included": page["total"]}
    saved = inside.post("researcher of all", f"{base}/versions", {"comment": "read"}).json()
    assert (saved["version"], saved["excluded"]) == (2, 1)
    shares = {"train": 0.5, "test": 0.5}
    done = inside.post("researcher of all", f"{base}/split", {"fractions": shares, "seed": 4})
    assert done.json()["split"]["fractions"] == shares
    assert inside.get("researcher of all", f"{base}/check").json() == []
    told = inside.get("researcher of all", base).json()
    assert {one["split"] for one in told["shares"]} == {"train", "test"}
    assert [one["version"] for one in told["history"]] == [3, 2, 1]
    assert told["attrition"][0]["kept"] == counted["totals"]
    compared = inside.get("researcher of all", f"{base}/compare", other="ct@1").json()
    assert compared["why"]["only_b"] == {"excluded": 1}
    assert not inside.get("researcher of all", f"{base}/news").json()["any"]
    asked = inside.post("researcher of all", f"{base}/requests", {"purpose": "training"}).json()
    judged = {"n": asked["n"], "what": "approve", "comment": "fine"}
    assert (
        inside.ask("researcher of all", "PUT", f"{base}/requests", json=judged).status_code == 403
    )
    assert (
        inside.ask("steward", "PUT", f"{base}/requests", json=judged).json()["state"] == "approved"
    )
    assert inside.get("researcher of all", base).json()["approved"]


def test_nobody_approves_ones_own(inside: House) -> None:
    freeze(inside, "steward")
    base = "/api/cohorts/ct/requests"
    asked = inside.post("steward", base, {"purpose": "x"}).json()
    answer = inside.ask("steward", "PUT", base, json={"n": asked["n"], "what": "approve"})
    assert answer.status_code == 403
    assert "your own" in answer.json()["detail"]


def test_on_this_machine_alone_one_does(made: Path, tmp_path: Path) -> None:
    lake = copied(made, tmp_path)
    with TestClient(app(lake, Settings()), base_url="http://localhost") as client:
        client.post("/api/cohorts", json={"name": "ct", "where": CT})
        asked = client.post("/api/cohorts/ct/requests", json={"purpose": "x"}).json()
        judged = {"n": asked["n"], "what": "approve"}
        assert client.put("/api/cohorts/ct/requests", json=judged).json()["state"] == "approved"


def test_projects_see_theirs(inside: House) -> None:
    whole, part = freeze(inside, "steward", "all"), freeze(inside, "researcher", "mine", where=None)
    listed = {
        who: {one["name"] for one in inside.get(who, "/api/cohorts").json()}
        for who in ("steward", "researcher", "viewer", "viewer of a project")
    }
    assert listed["steward"] == listed["viewer"] == {"all", "mine"}
    assert listed["researcher"] == listed["viewer of a project"] == {"mine"}
    assert inside.get("researcher", "/api/cohorts/all").status_code == 404
    seen = inside.post("researcher", "/api/query/count", {}).json()["totals"]
    assert {key: part["counts"][key] for key in seen} == seen
    assert part["project"] == "open"
    assert whole["project"] == ""
    taken = inside.post("researcher", "/api/cohorts", {"name": "all"})
    assert taken.status_code == 403
    assert "taken" in taken.json()["detail"]


def test_viewers_see_masked_counts(inside: House) -> None:
    made = freeze(inside, comment="secret")
    (told,) = inside.get("viewer", "/api/cohorts").json()
    assert (told["text"], told["comment"], told["where"], told["by"]) == ("", "", None, "")
    for key in ("patients", "studies", "series", "instances"):
        assert told["counts"][key] == cell(made["counts"][key], made["counts"]["patients"], 5)
    details = inside.get("viewer", "/api/cohorts/ct").json()
    assert details["counts"] == told["counts"]
    assert details["log"] == details["attrition"] == details["shares"] == []
    assert inside.get("viewer", "/api/cohorts/ct/series").status_code == 403


def test_withdrawals(inside: House) -> None:
    freeze(inside)
    patient = rows(inside, limit=1)["rows"][0]["PatientID"]
    body = {"PatientID": [patient, "nobody"], "reason": "letter"}
    assert inside.post("researcher of all", "/api/withdrawals", body).status_code == 403
    done = inside.post("steward", "/api/withdrawals", body).json()
    assert (done["patients"], done["unknown"], done["exports"]) == (1, 1, [])
    assert rows(inside)["states"]["withdrawn"] == done["cohorts"]["ct"]
    assert inside.get("researcher of all", "/api/cohorts/ct").json()["withdrawn_since"] > 0
    listed = inside.get("steward", "/api/withdrawals").json()
    assert {one["PatientID"] for one in listed} == {patient, "nobody"}
    assert (
        inside.post("steward", "/api/withdrawals", {**body, "undo": True}).json()["patients"] == 2
    )
    assert "withdrawn" not in rows(inside)["states"]
    lines, _ = Audit.of(inside.lake).newest(100, what="/api/withdrawals")
    assert [line["status"] for line in lines] == [200, 200, 200, 403]


def test_mistakes(inside: House) -> None:
    freeze(inside)
    for path, body in {
        "/api/cohorts": {"name": "a b"},
        "/api/cohorts/ct/versions": {},
        "/api/cohorts/ct/split": {"fractions": {"a": 2}},
        "/api/cohorts/ct/decisions": {"what": "exclude", "of": ["1.2"], "reason": "x"},
        "/api/cohorts/ct/requests": {"purpose": "x", "valid_until": "2001-01-01"},
    }.items():
        answer = inside.post("admin", path, body)
        assert answer.status_code == 422, (path, answer.text)
    assert inside.get("admin", "/api/cohorts/none").status_code == 404
    assert inside.get("admin", "/api/cohorts/ct", version=9).status_code == 404
    assert (
        inside.post("admin", "/api/cohorts", {"name": "x", "level": "instance"}).status_code == 422
    )
