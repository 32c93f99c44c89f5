"""Activity over HTTP: the same as in Python, narrowed, and names only for those who may know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import dicomlake
from dicomlake.jobs.access.roles import Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.settings import Service, Settings
from dicomlake.testing import clinic
from dicomlake.web import app


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("activity") / "lake"
    clinic.write(path, 1)
    return path


@pytest.fixture(scope="module")
def who(path: Path) -> dict[str, dict[str, str]]:
    tokens = Tokens(path)
    roles = {"ann": Role.researcher, "sue": Role.steward}
    made = {name: tokens.add(name, role, "") for name, role in roles.items()}
    return {name: {"authorization": f"Bearer {_text(token)}"} for name, token in made.items()}


def _text(token: Any) -> str:
    return token if isinstance(token, str) else str(token[0])


@pytest.fixture(scope="module")
def client(path: Path, who: Any) -> Iterator[TestClient]:
    del who  # tokens are there before the service is
    settings = Settings(service=Service())
    with TestClient(app(path, settings), base_url="http://localhost") as made:
        yield made


def get(client: TestClient, headers: Any, part: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/api/activity/{part}", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_map_is_that_of_python(client: TestClient, who: Any, path: Path) -> None:
    found = get(client, who["ann"], "devices")
    lake = dicomlake.open(path)
    rows = lake.activity().devices().to_pylist()
    assert [row["device"] for row in found["devices"]] == [row["device"] for row in rows]
    assert [row["utilisation"] for row in found["devices"]] == [row["utilisation"] for row in rows]
    some = get(client, who["ann"], "devices", where="Modality = 'MR'", since="2024-01-02")
    assert {row["modalities"][0] for row in some["devices"]} == {"MR"}
    assert {row["first_seen"] for row in some["devices"]} == {"2024-01-02"}


def test_hours_and_gaps_of_one_device(client: TestClient, who: Any) -> None:
    device = "Model Aurora N-101"
    hours = get(client, who["ann"], "utilisation", device=device)["hours"]
    assert len(hours) == 168
    assert sum(row["examinations"] for row in hours) == sum(
        each.device.serial == "N-101" for each in clinic.examinations(1)
    )
    found = get(client, who["ann"], "gaps", device=device, hours="08:00-10:00")
    assert {row["device"] for row in found["days"]} == {device}
    assert all("08:00" <= row["began"][11:16] <= "10:00" for row in found["gaps"])
    assert sum(row["pauses"] for row in found["pauses"]) > 100


def test_mistakes_are_told(client: TestClient, who: Any) -> None:
    for query in ({"hours": "10-8"}, {"since": "2024-02-01", "until": "2024-01-01"},
                  {"where": "Modalty = 'CT'"}):  # fmt: skip
        answer = client.get("/api/activity/devices", params=query, headers=who["ann"])
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"]


def test_only_who_may_see_the_log_sees_names(client: TestClient, who: Any) -> None:
    study = f"2.25.7.{next(clinic.examinations(1)).study}"
    assert client.get(f"/api/studies/{study}", headers=who["ann"]).status_code == 200
    ann = get(client, who["ann"], "access")
    assert ann["users"] is None
    roles = {row["role"]: row for row in ann["roles"]}
    assert roles["researcher"]["openings"] == 1
    assert '"ann"' not in client.get("/api/activity/access", headers=who["ann"]).text
    sue = get(client, who["sue"], "access")
    users = {row["name"]: row for row in sue["users"]}
    assert users["ann"]["studies"] == 1
