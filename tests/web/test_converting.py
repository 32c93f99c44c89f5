"""Watched folders over HTTP: what is there, and a look into one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dicomlake.settings import Service, Settings, WatchedFolder

from .serving import SOURCES

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "in").mkdir()
    folder = WatchedFolder(folder=tmp_path / "in", quiet_s=0)
    return Settings(source=SOURCES, service=Service(), convert={"labels": folder})


def test_a_look_queues_what_came(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "in" / "Doe_Jane.csv").write_text("a,b\n1,2\n")
    answer = client.post("/api/convert", json={"folder": "labels"})
    assert answer.status_code == 202
    said = answer.json()
    assert said["tasks"] == 1
    assert answer.headers["location"] == f"/api/jobs/{said['job']}"
    job = client.get(f"/api/jobs/{said['job']}").json()
    assert (job["source"], job["label"]) == ("convert-labels", "watched folder labels")
    tasks = client.get(f"/api/jobs/{said['job']}/tasks")
    assert tasks.status_code == 200
    assert "Jane" not in tasks.text
    assert client.post("/api/convert", json={"folder": "labels"}).json() == {"job": "", "tasks": 0}
    (folder,) = client.get("/api/convert").json()["folders"]
    assert (folder["name"], folder["waiting"], folder["failed"]) == ("labels", 1, 0)
    assert client.delete(f"/api/jobs/{said['job']}").json() == {"tasks": 1}


def test_folders_that_are_not_there(client: TestClient, tmp_path: Path) -> None:
    answer = client.post("/api/convert", json={"folder": "other"})
    assert answer.status_code == 404
    assert "There are: labels" in answer.json()["detail"]
    (tmp_path / "in").rmdir()
    answer = client.post("/api/convert", json={"folder": "labels"})
    assert answer.status_code == 422
    assert "Is a disk missing" in answer.json()["detail"]


def test_formats(client: TestClient) -> None:
    formats = {one["name"]: one for one in client.get("/api/convert").json()["formats"]}
    assert formats["nifti"]["converter"] == "masks"
    assert formats["csv"]["converter"] == "labels"
