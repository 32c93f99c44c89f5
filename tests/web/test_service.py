"""The door, operations, metrics and the description of the service; and the real server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openapi_spec_validator
import pytest
from fastapi.testclient import TestClient

from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs import layout
from dicomlake.jobs.access.roles import Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.settings import Service, Settings
from dicomlake.testing.archives import free_port
from dicomlake.web import app, guard, metrics
from dicomlake.web.desk import Desk

from .serving import SOURCES

PROBLEM = "application/problem+json"


def served(lake: Path, base: str = "http://localhost", **service: Any) -> TestClient:
    settings = Settings(source=SOURCES, service=Service(**service))
    return TestClient(app(lake, settings), base_url=base)


# The door


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SERVICE_TOKEN", "s3cret-ü")
    return "s3cret-ü"


@pytest.mark.parametrize(
    "sent", [None, "Bearer wrong", "Bearer", "Basic s3cret-ü", "s3cret-ü", "Bearer s3cret-ü2"]
)
def test_without_the_token_nobody_enters(lake: Path, token: str, sent: str | None) -> None:
    client = served(lake, token_env="SERVICE_TOKEN")
    headers = {} if sent is None else {"authorization": sent.encode()}
    for path in ("/api/jobs", "/metrics", "/api/openapi.json", "/nothing"):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/api/health", headers=headers).json()["status"] == "ok"


def test_with_the_token_one_enters(lake: Path, token: str) -> None:
    client = served(lake, token_env="SERVICE_TOKEN")
    sent = {"authorization": f"Bearer {token}".encode()}
    assert client.get("/api/jobs", headers=sent).json() == []


def test_an_empty_token_is_a_mistake(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "")
    with pytest.raises(UsageError, match="empty"):
        served(lake, token_env="SERVICE_TOKEN")
    monkeypatch.delenv("SERVICE_TOKEN")
    with pytest.raises(UsageError, match="SERVICE_TOKEN"):
        served(lake, token_env="SERVICE_TOKEN")


@pytest.mark.parametrize(
    ("host", "bound", "hosts", "enters"),
    [
        ("localhost", "127.0.0.1", (), True),
        ("localhost:8080", "127.0.0.1", (), True),
        ("[::1]:8080", "127.0.0.1", (), True),
        ("LOCALHOST", "127.0.0.1", (), True),
        ("evil.example", "127.0.0.1", (), False),
        ("10.0.0.5", "127.0.0.1", (), False),
        ("localhost.evil.example", "127.0.0.1", (), False),
        ("localhost@evil.example", "127.0.0.1", (), False),
        ("", "127.0.0.1", (), False),
        ("[", "127.0.0.1", (), False),
        ("10.0.0.5:8080", "10.0.0.5", (), True),
        ("lake.hospital:8080", "10.0.0.5", (), False),
        ("lake.hospital:8080", "10.0.0.5", ("lake.hospital",), True),
        ("10.0.0.5", "0.0.0.0", (), True),
        ("evil.example", "0.0.0.0", (), False),
    ],
)
def test_only_our_names_are_answered(
    lake: Path, host: str, bound: str, hosts: tuple[str, ...], enters: bool
) -> None:
    answer = served(lake, host=bound, hosts=hosts).get("/api/health", headers={"host": host})
    assert answer.status_code == (200 if enters else 403)
    if not enters:
        assert answer.headers["content-type"] == PROBLEM
        assert "hosts" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "enters"),
    [
        ({}, True),
        ({"origin": "http://localhost"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://localhost:9999"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost"}, True),
    ],
)
def test_pages_of_other_sites_change_nothing(
    client: TestClient, headers: dict[str, str], enters: bool
) -> None:
    answer = client.post("/api/pause", headers=headers)
    assert answer.status_code == (200 if enters else 403)


def test_what_is_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_BYTES", 1000)

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"A1234567\n" * 10

    told = {"params": {"source": "pacs"}, "headers": {"content-type": "text/plain"}}
    whole = client.post("/api/jobs", content=b"".join(pieces()), **told)  # type: ignore[arg-type]
    piecewise = client.post("/api/jobs", content=pieces(), **told)  # type: ignore[arg-type]
    for answer in (whole, piecewise):
        assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    assert client.get("/api/jobs").json() == []


def test_what_goes_wrong_inside_stays_inside(
    client: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken() -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr(desk, "status", broken)
    answer = client.get("/api/status")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "Doe" not in answer.text + caplog.text
    assert [record.error for record in caplog.records if record.message == "request failed"]


def test_a_queue_that_is_away_is_told(
    client: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise ServiceError("The queue is away.")

    monkeypatch.setattr(desk, "status", away)
    answer = client.get("/api/status")
    assert (answer.status_code, answer.json()["detail"]) == (503, "The queue is away.")
    assert answer.headers["retry-after"] == "5"


def test_there_is_a_problem_for_unknown_paths_and_methods(client: TestClient) -> None:
    for method, path, status in (("GET", "/api/nothing", 404), ("PUT", "/api/jobs", 405)):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
        assert "openapi.json" in answer.json()["detail"]


def test_answers_are_not_kept_by_others(client: TestClient) -> None:
    headers = client.get("/api/jobs").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


# Operations


def test_status_and_sources(client: TestClient) -> None:
    client.post("/api/jobs", json={"source": "pacs", "accession_numbers": ["A1", "A2"]})
    found = client.get("/api/status").json()
    assert found["states"]["waiting"] == 2
    assert {source["name"] for source in found["sources"]} == {"pacs", "bucket"}
    (pacs,) = [s for s in client.get("/api/sources").json() if s["name"] == "pacs"]
    assert (pacs["kind"], pacs["paused"], pacs["in_use"]) == ("dimse", False, 0)


def test_a_source_is_paused_and_resumed(client: TestClient) -> None:
    assert client.post("/api/sources/pacs/pause").json()["paused"]
    found = {s["name"]: s["paused"] for s in client.get("/api/sources").json()}
    assert found["pacs"]
    assert not client.post("/api/sources/pacs/resume").json()["paused"]
    for path in ("pause", "resume"):
        answer = client.post(f"/api/sources/unknown/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


def test_everything_is_paused_and_resumed(client: TestClient) -> None:
    assert client.post("/api/pause").status_code == 200
    assert client.get("/api/status").json()["everything_paused"]
    assert client.post("/api/resume").status_code == 200
    assert not client.get("/api/status").json()["everything_paused"]


def test_a_source_is_tried(client: TestClient) -> None:
    answer = client.get("/api/sources/pacs/check")
    assert answer.status_code == 200
    assert not answer.json()[0]["works"]
    assert client.get("/api/sources/unknown/check").status_code == 404


def test_schemas_are_those_that_are_shipped(client: TestClient) -> None:
    for name, file in (("json", "document.schema.json"), ("xsd", "document.xsd")):
        assert client.get(f"/api/schemas/document.{name}").content == layout.shipped(file)


def test_metrics_are_those_of_the_status(client: TestClient) -> None:
    client.post("/api/jobs", json={"source": "pacs", "accession_numbers": ["A1", "A2"]})
    client.post("/api/sources/pacs/pause")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    waiting = 'dicomlake_tasks{kind="find",priority="0",source="pacs",state="waiting"} 2.0'
    assert waiting in text
    assert 'dicomlake_source_paused{source="pacs"} 1.0' in text
    assert 'dicomlake_lag_seconds{of="0"}' in text
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"dicomlake_\w+(\{.*\})? [-+.e0-9]+", line)


def test_metrics_are_given_at_a_port_of_their_own(lake: Path, settings: Settings) -> None:
    port = free_port()
    metrics.serve(lake, settings, port)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text
    assert 'dicomlake_source_paused{source="pacs"} 0.0' in text
    with pytest.raises(UsageError, match=str(port)):
        metrics.serve(lake, settings, port)


# The description

QUEUED = (
    "/api/jobs", "/api/enrichers/{name}/runs", "/api/datasets", "/api/datasets/{name}/resume",
    "/api/convert", "/api/facts/tasks", "/api/facts/look", "/api/omop",
)  # fmt: skip


def test_the_description_is_valid_and_complete(client: TestClient) -> None:
    found = client.get("/api/openapi.json").json()
    openapi_spec_validator.validate(found)
    components = found["components"]
    names = set()
    for path, methods in found["paths"].items():
        for method, said in methods.items():
            names.add(f"{method.upper()} {path}")
            assert said["summary"], path
            assert said["description"], path
            if path in ("/api/login/start", "/api/login/done"):
                assert "302" in said["responses"]  # they send a browser on
                continue
            if "204" in said["responses"]:
                continue  # nothing comes back
            status = "202" if method == "post" and path in QUEUED else "200"
            content = said["responses"][status]["content"]
            shown = [one for one in content.values() if "example" in one]
            assert shown, path
            for one in shown:
                if "schema" in one:
                    schema = {**one["schema"], "components": components}
                    jsonschema.Draft202012Validator(schema).validate(one["example"])
            for answer in ("404", "422", "503"):
                if answer in said["responses"]:
                    kinds = said["responses"][answer]["content"]
                    assert PROBLEM in kinds, (path, answer)
    assert names >= {
        "POST /api/jobs", "GET /api/jobs", "GET /api/jobs/{id}", "DELETE /api/jobs/{id}",
        "GET /api/jobs/{id}/missing", "GET /api/jobs/{id}/tasks", "POST /api/jobs/{id}/retry",
        "GET /api/jobs/{id}/documents", "GET /api/jobs/{id}/events", "GET /api/status",
        "GET /api/sources", "GET /api/sources/{name}/check", "POST /api/sources/{name}/pause",
        "POST /api/sources/{name}/resume", "POST /api/pause", "POST /api/resume",
        "GET /api/schemas/document.json", "GET /api/schemas/document.xsd", "GET /metrics",
        "GET /api/health",
    }  # fmt: skip


def test_the_examples_of_requests_are_taken(client: TestClient) -> None:
    found = client.get("/api/openapi.json").json()
    content = found["paths"]["/api/jobs"]["post"]["requestBody"]["content"]
    for kind, said in content.items():
        examples = [e["value"] for e in said.get("examples", {}).values()]
        for body in examples + ([said["example"]] if kind.startswith("text/") else []):
            told: dict[str, Any] = {"json": body} if kind == "application/json" else {
                "content": body.encode(), "params": {"source": "pacs"},
                "headers": {"content-type": kind},
            }  # fmt: skip
            assert client.post("/api/jobs", **told).status_code == 202, kind


def test_the_description_knows_the_token(lake: Path, token: str) -> None:
    client = served(lake, token_env="SERVICE_TOKEN")
    sent = {"authorization": f"Bearer {token}".encode()}
    found = client.get("/api/openapi.json", headers=sent).json()
    assert found["security"] == [{"token": []}, {"password": []}, {"session": []}]
    assert found["paths"]["/api/health"]["get"]["security"] == []
    assert "401" not in found["paths"]["/api/health"]["get"]["responses"]
    assert PROBLEM in found["paths"]["/api/jobs"]["get"]["responses"]["401"]["content"]
    openapi_spec_validator.validate(found)


# The real server


def start(lake: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from dicomlake.cli import main; main()", "serve", *words]
    return subprocess.Popen([*command, "--lake", str(lake)], stderr=subprocess.PIPE, text=True)


@pytest.fixture
def address(lake: Path) -> Iterator[str]:
    (lake / "dicomlake.toml").write_text(
        '[source.pacs]\nkind = "dimse"\nhost = "127.0.0.1"\nport = 1\ncalled = "PACS"\n'
    )
    server = start(lake, "--port", "0")
    assert server.stderr is not None
    try:
        said = server.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said
        yield found[0]
    finally:
        server.send_signal(signal.SIGINT)
        code = server.wait(20)
        rest = server.stderr.read()
        server.stderr.close()
    assert "Traceback" not in rest
    assert code in (0, 130, -signal.SIGINT)


def test_the_real_server_answers(address: str) -> None:
    with httpx.Client(base_url=address, timeout=20) as client:
        for _ in range(100):
            try:
                assert client.get("/api/health").json()["status"] == "ok"
                break
            except httpx.TransportError:
                time.sleep(0.1)
        answer = client.post("/api/jobs", json={"source": "pacs", "accession_numbers": ["A1"]})
        assert answer.status_code == 202
        job = client.get(answer.headers["location"]).json()
        assert job["asked"] == {"AccessionNumber": 1}
        assert client.get(f"/api/jobs/{job['id']}/documents").json() == []
        with client.stream("GET", f"/api/jobs/{job['id']}/events") as events:
            lines = events.iter_lines()
            assert next(lines) == "event: progress"
            client.delete(f"/api/jobs/{job['id']}")
            assert any(line == "event: end" for line in lines)
        assert client.get("/metrics").status_code == 200
        assert client.get("/api/health", headers={"host": "evil.example"}).status_code == 403
        assert "server" not in answer.headers


def test_serve_says_what_is_wrong(lake: Path, tmp_path: Path) -> None:
    def said(*words: str, **environment: str) -> tuple[int, str]:
        command = [sys.executable, "-c", "from dicomlake.cli import main; main()", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
        )
        return done.returncode, done.stderr

    code, text = said("serve", "--lake", str(tmp_path / "none"))
    assert code == 2
    assert "is no lake" in text
    code, text = said("serve", "--lake", str(lake), "--host", "192.0.2.1")
    assert code == 2
    assert "access token add" in text
    Tokens(lake).add("ann", Role.admin)
    code, text = said("serve", "--lake", str(lake), "--host", "192.0.2.1")
    assert code == 2
    assert "--port" in text
    fake = tmp_path / "without" / "uvicorn.py"
    fake.parent.mkdir()
    fake.write_text("raise ModuleNotFoundError(\"No module named 'uvicorn'\", name='uvicorn')")
    path = f"{fake.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    code, text = said("serve", "--lake", str(lake), PYTHONPATH=path)
    assert code == 2
    assert "pip install 'dicomlake[web]'" in text
