"""Saved questions and links over HTTP."""

from __future__ import annotations

import base64
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dicomlake.jobs.saved import packed
from dicomlake.lake import Store
from dicomlake.lake.store import SAVED

PROBLEM = "application/problem+json"
MR = {"where": "Modality = 'MR'", "level": "study", "show": ["PatientID"], "order": ["-StudyDate"]}


def save(client: TestClient, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/queries", json={"name": "All MR", "query": MR, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_every_change_is_a_version(client: TestClient) -> None:
    first = save(client, tags=["mr", "mr"], comment="to begin with")
    assert (first["version"], first["tags"], first["sentence"]) == (
        1, ["mr"], "Studies with: Modality is MR. Sorted by Study Date downwards.",
    )  # fmt: skip
    path = f"/api/queries/{first['id']}"
    changed = {"name": "All CT", "shared": True, "query": {"where": "Modality = 'CT'"}}
    second = client.put(path, json=changed).json()
    assert (second["id"], second["version"], second["name"]) == (first["id"], 2, "All CT")
    found = client.get(path).json()
    assert [one["version"] for one in found["history"]] == [2, 1]
    assert found["query"]["where"] == {"compare": {"path": "Modality", "op": "=", "value": "CT"}}
    old = client.get(path, params={"version": 1}).json()
    assert {key: old[key] for key in first} == first
    assert client.get(path, params={"version": 9}).status_code == 404
    assert [one["version"] for one in client.get("/api/queries").json()] == [2]
    assert client.get("/api/queries", params={"tag": "mr"}).json() == []
    assert client.delete(path).json() == {"tasks": 2}
    assert client.get(path).status_code == 404
    assert client.put(path, json=changed).status_code == 404
    assert client.delete(path).status_code == 404


def test_what_is_not_shared_is_ones_own(client: TestClient) -> None:
    mine = {"X-User": "ada"}
    answer = client.post("/api/queries", json={"name": "a", "query": MR}, headers=mine)
    path = f"/api/queries/{answer.json()['id']}"
    assert client.get("/api/queries").json() == []
    assert len(client.get("/api/queries", headers=mine).json()) == 1
    assert client.get(path).status_code == 404
    assert client.put(path, json={"name": "b", "query": MR}).status_code == 404
    assert client.delete(path, headers={"X-User": "bob"}).status_code == 404
    assert client.get(path, headers=mine).json()["owner"] == "ada"


def test_saved_questions_lie_in_the_lake(client: TestClient, lake: Path) -> None:
    save(client)
    assert (lake / SAVED / "saved.sqlite").is_file()
    assert Store.create(lake).version >= 0  # the folder is one of ours


def test_many_save_at_once(client: TestClient) -> None:
    first = save(client)
    body = {"name": "again", "query": MR}
    threads = [
        threading.Thread(target=client.put, args=(f"/api/queries/{first['id']}",),
                         kwargs={"json": body})
        for _ in range(8)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = client.get(f"/api/queries/{first['id']}").json()["history"]
    assert [one["version"] for one in history] == list(range(9, 0, -1))


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "query": MR},
        {"name": "x"},
        {"name": "x", "query": {"where": "Modalty = 'MR'"}},
        {"name": "x", "query": {"show": ["Nothing"]}},
        {"name": "x" * 201, "query": MR},
        {"name": "x", "query": MR, "tags": [""]},
    ],
)
def test_only_what_can_be_asked_is_saved(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/api/queries", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert client.get("/api/queries").json() == []


def test_links_open(client: TestClient) -> None:
    link = client.post("/api/permalink", json=MR).json()
    assert client.post("/api/permalink", json=MR).json() == link
    tree = {"compare": {"path": "Modality", "op": "=", "value": "MR"}}
    same = client.post("/api/permalink", json={**MR, "where": tree}).json()
    assert same == link
    for text in (link["id"], link["packed"]):
        found = client.get("/api/permalink", params={"link": text}).json()
        assert found["query"]["where"] == tree
        assert found["query"]["order"] == ["-StudyDate"]
        counted = client.post("/api/query/count", json={
            "where": found["query"]["where"], "level": found["query"]["level"]
        })  # fmt: skip
        assert counted.json()["total"] > 0


BOMB = "z" + base64.urlsafe_b64encode(zlib.compress(b" " * 50_000_000)).decode()


@pytest.mark.parametrize(
    ("link", "status"),
    [
        ("q0000", 404),
        ("z", 404),
        ("z!!!", 404),
        ("zAAAA", 404),
        (packed({"level": "study"})[:-4], 404),
        (packed({"level": "galaxy"}), 422),
        (packed({"where": "Modalty = 1"}), 422),
        (BOMB, 404),
        ("", 422),
    ],
)
def test_damaged_links_say_so(client: TestClient, link: str, status: int) -> None:
    answer = client.get("/api/permalink", params={"link": link})
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
