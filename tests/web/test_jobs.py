"""Jobs over REST: asked for, followed, fetched as documents."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import xmlschema
from fastapi.testclient import TestClient

from dicomlake.contracts.queues import DONE
from dicomlake.jobs import layout
from dicomlake.jobs.requests import first_tasks
from dicomlake.lake import Store
from dicomlake.web.desk import Desk

JSON = jsonschema.Draft202012Validator(orjson.loads(layout.shipped("document.schema.json")))
XML = xmlschema.XMLSchema(io.BytesIO(layout.shipped("document.xsd")))


def submit(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/api/jobs", json={"source": "pacs", **body})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/jobs/{made['id']}"
    return made


def uids(lake: Path) -> list[str]:
    return sorted(Store(lake).read("series", ["SeriesInstanceUID"]).column(0).to_pylist())


def work(desk: Desk, *results: dict[str, Any]) -> None:
    """Do so many tasks as a worker would, with these results."""
    for lease, result in zip(
        desk.requests.queue.lease("worker", len(results)), results, strict=True
    ):
        assert desk.requests.queue.done(lease, result)


# Asking


def test_a_job_is_asked_for_and_shown(client: TestClient) -> None:
    made = submit(
        client, accession_numbers=["A1", " A2 ", "A1", ""], features=["items"], label="trial"
    )
    assert made["state"] == "waiting"
    assert made["asked"] == {"AccessionNumber": 2}
    assert made["features"] == ["items"]
    assert (made["depth"], made["keep"], made["priority"]) == ("headers", False, "now")
    assert made["progress"] == {"done": 0, "total": 2, "fraction": 0.0}
    found = client.get(f"/api/jobs/{made['id']}").json()
    assert found.pop("missing") == {"total": 2, "reasons": {"not asked yet": 2}}
    assert found == made
    assert client.get("/api/jobs").json() == [made]


def test_tasks_are_those_of_the_request(client: TestClient, desk: Desk) -> None:
    made = submit(client, study_uids=["1.2.3"], patient_ids=["P1"], priority="later", again=True)
    request = desk.requests.job(made["id"]).request
    assert request.priority == 8
    assert request.again
    expected = {task.key for task in first_tasks(request, made["id"])}
    assert {s.task.key for s in desk.requests.queue.tasks(job=made["id"])} == expected
    told = client.get(f"/api/jobs/{made['id']}/tasks").json()
    assert {(t["what"], t["value"]) for t in told} == {
        ("StudyInstanceUID", "1.2.3"),
        ("PatientID", "P1"),
    }


def test_dates_are_asked_for(client: TestClient, desk: Desk) -> None:
    made = submit(client, dates={"from": "2024-01-01", "to": "2024-01-31"}, depth="catalogue")
    assert made["dates"] == {"from": "2024-01-01", "to": "2024-01-31"}
    assert desk.requests.job(made["id"]).request.dates == ("20240101", "20240131")
    made = submit(client, dates={"from": "2024-01-01"})
    assert made["dates"] == {"from": "2024-01-01", "to": None}


def test_twenty_thousand_accession_numbers(client: TestClient) -> None:
    made = submit(client, accession_numbers=[f"A{n:07}" for n in range(20_000)])
    assert made["progress"]["total"] == 20_000
    assert len(client.get(f"/api/jobs/{made['id']}/missing").json()) == 20_000
    assert client.get(f"/api/jobs/{made['id']}").json()["missing"]["total"] == 20_000


@pytest.mark.parametrize(
    ("kind", "body", "more", "asked"),
    [
        ("text/plain", "A1\nA2\n\nA3", {}, {"AccessionNumber": 3}),
        ("text/plain; charset=utf-8", "P1\nP2", {"what": "PatientID"}, {"PatientID": 2}),
        ("text/csv", "AccessionNumber;Name\nA1;x\nA2;y\n", {}, {"AccessionNumber": 2}),
        ("text/csv", "StudyInstanceUID\n1.2.840.1.2.3\n", {}, {"StudyInstanceUID": 1}),
    ],
)
def test_lists_are_read(
    client: TestClient, kind: str, body: str, more: dict[str, str], asked: dict[str, int]
) -> None:
    told = {"source": "pacs", "features": "dose, Modality", "priority": "today", **more}
    answer = client.post(
        "/api/jobs", content=body.encode(), headers={"content-type": kind}, params=told
    )
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert made["asked"] == asked
    assert (made["features"], made["priority"]) == (["dose", "Modality"], "today")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"source": "pcas", "patient_ids": ["SECRET"]}, "no source 'pcas'. There are: pacs"),
        ({"source": "bucket", "patient_ids": ["SECRET"]}, "kind objects"),
        ({"source": "pacs"}, "say what is wanted"),
        ({"source": "pacs", "accession_numbers": [" ", ""]}, "AccessionNumber|what is wanted"),
        ({"source": "pacs", "patient_ids": ["SECRET*"]}, "wildcard"),
        ({"source": "pacs", "patient_ids": "SECRET"}, "patient_ids: .*array"),
        ({"source": "pacs", "patient_ids": ["ok", 12345]}, "patient_ids.1: .*string"),
        ({"source": "pacs", "patients": ["SECRET"]}, "patients: "),
        ({"source": "pacs", "dates": {}}, "say what is wanted"),
        ({"source": "pacs", "dates": {"from": "2024-02-01", "to": "2024-01-01"}}, "after"),
        ({"source": "pacs", "dates": {"from": "SECRET"}}, "dates.from"),
        ({"source": "pacs", "patient_ids": ["P"], "dates": {"from": "2024-01-01"}}, "not both"),
        ({"source": "pacs", "patient_ids": ["P"], "features": ["segmets"]}, "segments"),
        ({"source": "pacs", "patient_ids": ["P"], "depth": "deep"}, "depth: "),
    ],
)
def test_mistakes_are_told_without_values(
    client: TestClient, body: dict[str, Any], said: str
) -> None:
    answer = client.post("/api/jobs", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 422
    assert re.search(said, answer.json()["detail"]), answer.json()
    assert "SECRET" not in answer.text
    assert client.get("/api/jobs").json() == []


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{not json SECRET", 422),
        ("application/octet-stream", b"x", 415),
        ("text/plain", b"\xff\xfe\x00", 422),
        ("text/plain", b"", 422),
        ("text/csv", b"SECRET,B\n1,2\n", 422),
        ("text/csv", b"<xml>SECRET</xml>", 422),
    ],
)
def test_bodies_that_cannot_be_read(
    client: TestClient, kind: str, body: bytes, status: int
) -> None:
    answer = client.post(
        "/api/jobs", content=body, headers={"content-type": kind}, params={"source": "pacs"}
    )
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "SECRET" not in answer.text
    assert "/tmp" not in answer.text


# Following


def test_what_is_missing_is_listed_exactly(client: TestClient, desk: Desk) -> None:
    made = submit(client, accession_numbers=["A1", "A2"])
    work(desk, {"missing": "the archive has none with this value"}, {"answers": 1})
    path = f"/api/jobs/{made['id']}"
    (found,) = client.get(f"{path}/missing").json()
    assert found["what"] == "AccessionNumber"
    assert found["value"] in ("A1", "A2")
    assert found["why"] == "the archive has none with this value"
    job = client.get(path).json()
    assert job["state"] == "finished"
    assert job["ended"]
    assert job["progress"] == {"done": 2, "total": 2, "fraction": 1.0}
    assert job["missing"] == {"total": 1, "reasons": {"the archive has none with this value": 1}}


def test_dead_tasks_are_shown_and_tried_again(client: TestClient, desk: Desk) -> None:
    made = submit(client, accession_numbers=["A1"])
    path = f"/api/jobs/{made['id']}"
    desk.requests.queue.refuse(desk.requests.queue.lease("worker")[0], "unknown AE title")
    (task,) = client.get(f"{path}/tasks", params={"state": "dead"}).json()
    assert (task["error"], task["attempts"], task["value"]) == ("unknown AE title", 1, "A1")
    assert client.get(f"{path}/tasks", params={"state": ["done", "waiting"]}).json() == []
    assert client.get(path).json()["state"] == "failed"
    assert client.post(f"{path}/retry").json() == {"tasks": 1}
    assert client.get(path).json()["state"] == "waiting"


def test_a_job_is_cancelled(client: TestClient) -> None:
    made = submit(client, accession_numbers=["A1", "A2"])
    assert client.delete(f"/api/jobs/{made['id']}").json() == {"tasks": 2}
    assert client.get(f"/api/jobs/{made['id']}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/missing"),
        ("GET", "/tasks"),
        ("GET", "/documents"),
        ("GET", "/events"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ],
)
def test_an_unknown_job_is_not_found(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, f"/api/jobs/unknown{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "GET /api/jobs" in answer.json()["detail"]


def test_jobs_come_newest_first_and_so_many(client: TestClient) -> None:
    ids = [submit(client, accession_numbers=[f"A{n}"])["id"] for n in range(3)]
    found = [job["id"] for job in client.get("/api/jobs", params={"limit": 2}).json()]
    assert found == ids[:0:-1]
    assert client.get("/api/jobs", params={"limit": 0}).status_code == 422


def test_events_tell_until_a_job_is_over(client: TestClient, desk: Desk) -> None:
    made = submit(client, accession_numbers=["A1"])
    work(desk, {"answers": 0})
    answer = client.get(f"/api/jobs/{made['id']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    progress, end = answer.text.strip().split("\n\n")
    assert progress.startswith("event: progress\ndata: {")
    assert end.startswith("event: end\ndata: {")
    assert orjson.loads(end.partition("data: ")[2])["state"] == "finished"


# Fetching


def test_documents_of_what_is_there(client: TestClient, desk: Desk, lake: Path) -> None:
    held = uids(lake)
    made = submit(client, accession_numbers=["A1", "A2"])
    path = f"/api/jobs/{made['id']}/documents"
    answer = client.get(path)
    assert answer.json() == []
    assert answer.headers["x-job-complete"] == "false"
    assert answer.headers["x-job-state"] == "waiting"
    work(desk, {"held": held[:3]})
    answer = client.get(path)
    assert [d["series"]["SeriesInstanceUID"] for d in answer.json()] == held[:3]
    assert answer.headers["x-job-complete"] == "false"
    work(desk, {"held": held})
    answer = client.get(path)
    assert answer.headers["x-job-complete"] == "true"
    assert len(answer.json()) == len(held)
    assert made["id"] in answer.headers["content-disposition"]
    for document in answer.json():
        JSON.validate(document)


def test_documents_in_all_forms(client: TestClient, desk: Desk, lake: Path) -> None:
    held = uids(lake)
    made = submit(client, accession_numbers=["A1"], features=["items", "Modality"])
    work(desk, {"held": held})
    path = f"/api/jobs/{made['id']}/documents"
    plain = client.get(path).json()
    assert {e["path"] for d in plain for e in d["elements"]} == {"Modality"}
    lines = client.get(path, params={"format": "ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert [orjson.loads(line) for line in lines.text.splitlines()] == plain
    found = client.get(path, params={"format": "xml"})
    assert found.headers["content-type"] == "application/xml"
    XML.validate(io.BytesIO(found.content))
    archive = zipfile.ZipFile(io.BytesIO(client.get(path, params={"format": "zip"}).content))
    assert archive.namelist() == [f"{uid}.xml" for uid in held]
    other = client.get(path, params={"features": "dose, PatientID"}).json()
    assert {e["path"] for d in other for e in d["elements"]} == {"PatientID"}
    assert client.get(path, params={"features": "segmets"}).status_code == 422
    assert client.get(path, params={"format": "yaml"}).status_code == 422


def test_a_lake_without_series_has_no_documents(client: TestClient, desk: Desk) -> None:
    made = submit(client, accession_numbers=["A1"])
    work(desk, {"held": ["9.9.9"]})
    assert [s.state for s in desk.requests.queue.tasks((DONE,), made["id"])] == ["done"]
    assert client.get(f"/api/jobs/{made['id']}/documents").json() == []
