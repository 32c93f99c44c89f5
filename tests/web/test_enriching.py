"""Enrichers as the service shows them: how far they are, runs, who does them, provenance."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dicomlake
from dicomlake.contracts.queues import RUNNING
from dicomlake.jobs import enrichwork
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.enrichtasks import EnrichWorker
from dicomlake.jobs.inbox import Intake
from dicomlake.lake import Store
from dicomlake.settings import Settings
from dicomlake.web.desk import Desk
from tests.enricher_package import install

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

RUNS = "/api/enrichers/lengths/runs"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(install(tmp_path / "package")))


def of(client: TestClient, name: str = "lengths") -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [one for one in client.get("/api/enrichers").json() if one["name"] == name]
    return found


def modalities(lake: Path) -> Counter[str]:
    return Counter(Store(lake).read("series").column("Modality").to_pylist())


def do_all(lake: Path, desk: Desk) -> None:
    """Do what is queued, and take it into the lake."""
    worker = EnrichWorker(lake, Settings(), "here", queue=desk.requests.queue)
    while worker.turn() == 0:
        pass
    Intake(Store(lake), desk.requests.queue).take()


def test_what_waits_is_queued_done_and_counted(client: TestClient, lake: Path, desk: Desk) -> None:
    held = modalities(lake)
    concerned = held["CT"] + held["SR"] + held["SEG"]
    before = of(client)
    assert (before["done"], before["waiting"], before["problem"]) == (0, concerned, "")
    assert before["work"] == {
        "kind": "enrich-lengths", "waiting": 0, "running": 0, "failed": 0,
        "series_per_minute": None, "seconds_left": None, "advice": "",
    }  # fmt: skip
    answer = client.post(RUNS, json={})
    assert answer.status_code == 202
    assert answer.json()["tasks"] == (concerned + 1) // 2
    assert answer.json()["job"].startswith("enrich-lengths-")
    assert client.post(RUNS, json={}).json() == {"job": "", "tasks": 0, "advice": ""}
    do_all(lake, desk)
    after = of(client)
    assert after["done"] == held["CT"] == after["statements"]
    assert (after["skipped"], after["failed"]) == (held["SR"], held["SEG"])
    assert after["waiting"] == held["SEG"]
    assert {(one["state"], one["reason"], one["series"]) for one in after["reasons"]} == {
        ("skipped", "a report has no images", held["SR"]),
        *([("failed", "segmentations are too hard", held["SEG"])] if held["SEG"] else []),
    }
    assert after["work"]["waiting"] == after["work"]["running"] == 0
    assert after["work"]["series_per_minute"] > 0
    assert after["work"]["seconds_left"] is None


def test_some_series_and_all_again(client: TestClient, lake: Path, desk: Desk) -> None:
    held = modalities(lake)
    asked = {"where": "Modality = 'CT'", "priority": "now"}
    assert client.post(RUNS, json=asked).json()["tasks"] == (held["CT"] + 1) // 2
    assert {s.task.priority for s in desk.requests.queue.tasks()} == {0}
    do_all(lake, desk)
    tree = {"compare": {"path": "Modality", "op": "=", "value": "CT"}}
    assert client.post(RUNS, json={"where": tree}).json()["tasks"] == 0
    again = client.post(RUNS, json={"where": tree, "again": True}).json()
    assert again["tasks"] == (held["CT"] + 1) // 2
    do_all(lake, desk)
    assert of(client)["done"] == held["CT"]
    series = dicomlake.open(lake).query("Modality = 'CT'", limit=1).rows
    uid = series.column("SeriesInstanceUID").to_pylist()[0]
    told = client.get(f"/api/series/{uid}/provenance").json()
    assert [one["counts"] for one in told["enrichments"]] == [True, False]
    assert {one["enricher"] for one in told["enrichments"]} == {"lengths"}
    assert told["enrichments"][0]["run_id"] != told["enrichments"][1]["run_id"]


def test_what_is_queued_is_cancelled(client: TestClient, desk: Desk) -> None:
    tasks = client.post(RUNS, json={}).json()["tasks"]
    assert of(client)["work"]["waiting"] == tasks > 2
    assert client.delete(RUNS).json() == {"tasks": tasks}
    assert of(client)["work"]["waiting"] == 0
    assert client.delete(RUNS).json() == {"tasks": 0}


def test_failed_tasks_are_tried_again_by_their_kind(client: TestClient, desk: Desk) -> None:
    client.post(RUNS, json={})
    (lease,) = desk.requests.queue.lease("x", 1)
    desk.requests.queue.refuse(lease, "no memory")
    work = of(client)["work"]
    assert work["failed"] == 1
    assert client.post("/api/tasks/retry", json={"kind": work["kind"]}).json() == {"tasks": 1}
    assert of(client)["work"]["failed"] == 0


def test_nobody_works_and_somebody_does(client: TestClient, desk: Desk) -> None:
    client.post(RUNS, json={})
    queue, later = desk.requests.queue, time.time() + 60
    assert enrichwork.work(queue, ["lengths"])["lengths"].advice == ""
    told = enrichwork.work(queue, ["lengths"], later)["lengths"]
    assert told.advice.endswith("dicomlake worker --enrichers 1")
    (lease,) = queue.lease("x", 1)
    assert [s.state for s in queue.tasks((RUNNING,))] == ["running"]
    assert enrichwork.work(queue, ["lengths"], later)["lengths"].advice == ""
    queue.done(lease, {"done": 1, "skipped": 1})
    told = enrichwork.work(queue, ["lengths"], time.time() + 2)["lengths"]
    assert told.series_per_minute is not None
    assert 0 < told.series_per_minute <= 120
    assert told.seconds_left is not None
    assert told.seconds_left > told.waiting


def test_what_cannot_work_says_why(client: TestClient) -> None:
    found = of(client, "homesick")
    assert found["problem"] == "homesick needs a home. Build one."
    assert found["waiting"] is None
    assert "Install its package again" in of(client, "broken")["problem"]
    answer = client.post("/api/enrichers/homesick/runs", json={})
    assert (answer.status_code, answer.json()["detail"]) == (422, found["problem"])
    for method in ("POST", "DELETE"):
        answer = client.request(method, "/api/enrichers/nobody/runs", json={})
        assert answer.status_code == 404
        assert "lengths" in answer.json()["detail"]


def test_a_wrong_question_says_where(client: TestClient) -> None:
    answer = client.post(RUNS, json={"where": "Modalitty = 'CT'"})
    assert answer.status_code == 422
    assert answer.json()["near"] == ["Modality"]


def test_provenance_of_nothing(client: TestClient, lake: Path) -> None:
    assert client.get("/api/series/1.2.3/provenance").status_code == 404
    uid = Store(lake).read("series").column("SeriesInstanceUID").to_pylist()[0]
    assert client.get(f"/api/series/{uid}/provenance").json()["enrichments"] == []


def test_a_new_version_of_the_lake_is_counted_anew(client: TestClient, lake: Path) -> None:
    assert of(client)["done"] == 0
    enrich(lake, "lengths")
    deadline = time.monotonic() + 20
    while not of(client)["done"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
