"""Work of the service as pages show it: tasks, what failed, the lake's tables and checks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dicomlake import tables
from dicomlake.jobs.doctor import examine
from dicomlake.lake import Store
from dicomlake.web.desk import Desk

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


def dead(client: TestClient, desk: Desk) -> None:
    client.post("/api/jobs", json={"source": "pacs", "accession_numbers": ["A1", "A2", "A3"]})
    queue = desk.requests.queue
    first, second, _ = queue.lease("worker", 3)
    queue.refuse(first, "unknown AE title")
    queue.refuse(second, "connection refused")


def test_failed_tasks_are_listed_and_tried_again(client: TestClient, desk: Desk) -> None:
    dead(client, desk)
    found = client.get("/api/tasks", params={"state": "dead"}).json()
    assert {(one["source"], one["error"]) for one in found} == {
        ("pacs", "unknown AE title"),
        ("pacs", "connection refused"),
    }
    assert len(client.get("/api/tasks").json()) == 3
    assert client.get("/api/tasks", params={"source": "other"}).json() == []
    kind = found[0]["kind"]
    assert len(client.get("/api/tasks", params={"kind": kind, "limit": 1}).json()) == 1
    assert client.post("/api/tasks/retry", json={"source": "other"}).json() == {"tasks": 0}
    assert client.post("/api/tasks/retry", json={"ids": [found[0]["id"]]}).json() == {"tasks": 1}
    assert client.post("/api/tasks/retry", json={"kind": kind}).json() == {"tasks": 1}
    assert client.get("/api/tasks", params={"state": "dead"}).json() == []


def test_status_has_the_pace_of_an_hour(client: TestClient, desk: Desk) -> None:
    pace = client.get("/api/status").json()["pace"]
    assert pace == [0] * 60


def test_tables_have_their_sizes(web: TestClient, hospital_lake: Path) -> None:
    found = {one["name"]: one for one in web.get("/api/lake/tables").json()}
    assert set(found) == set(tables.ALL)
    files = list((hospital_lake / "series").glob("**/*.parquet"))
    assert found["series"]["rows"] == Store(hospital_lake).read("series", []).num_rows
    assert 0 < found["series"]["bytes"] <= sum(file.stat().st_size for file in files)


def test_the_checkup_says_what_the_doctor_says(web: TestClient, hospital_lake: Path) -> None:
    def but_for_the_disk(what: str) -> str:
        return re.sub(r"the disk [\d.]+ \w+ free", "", what)  # others write to it meanwhile

    found = web.get("/api/lake/checkup").json()["findings"]
    assert [(one["level"], but_for_the_disk(one["what"]), one["advice"]) for one in found] == [
        (one.level, but_for_the_disk(one.what), one.advice) for one in examine(hospital_lake)
    ]
