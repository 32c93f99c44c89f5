"""The FHIR server for tests is as strict as the strictest of the real ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dicomlake.testing.fhir import FhirServer

SYSTEM = "http://example.org/pid"


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with FhirServer() as made:
        yield made


@pytest.fixture
def client(server: FhirServer) -> Iterator[httpx.Client]:
    headers = {"content-type": "application/fhir+json"}
    with httpx.Client(base_url=server.address, headers=headers, trust_env=False) as made:
        yield made


def patient(value: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more
    }  # fmt: skip


def study(subject: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy", "status": "available",
        "subject": {"reference": subject}, **more,
    }  # fmt: skip


def put(resource: dict[str, Any], id_: str, full: str = "") -> dict[str, Any]:
    kind = resource["resourceType"]
    asked = {"method": "PUT", "url": f"{kind}/{id_}"}
    said = {"resource": {**resource, "id": id_}, "request": asked}
    return {**said, "fullUrl": full} if full else said


def conditional(resource: dict[str, Any], method: str, value: str, full: str) -> dict[str, Any]:
    kind, condition = resource["resourceType"], f"identifier={SYSTEM}|{value}"
    asked = (
        {"method": "POST", "url": kind, "ifNoneExist": condition}
        if method == "POST"
        else {"method": "PUT", "url": f"{kind}?{condition}"}
    )
    return {"fullUrl": full, "resource": resource, "request": asked}


def send(client: httpx.Client, *entries: dict[str, Any], kind: str = "transaction") -> Any:
    bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return client.post("", json=bundle)


URN = "urn:uuid:" + str(uuid.UUID(int=1))


def test_a_bundle_is_done_whole_and_its_urns_become_references(client: httpx.Client) -> None:
    answer = send(client, put(patient(), "p", URN), put(study(URN), "s"))
    assert [e["response"]["status"] for e in answer.json()["entry"]] == ["201 Created"] * 2
    found = client.get("/ImagingStudy/s")
    assert found.json()["subject"]["reference"] == "Patient/p"
    assert found.headers["etag"] == 'W/"1"'
    assert found.json()["meta"]["versionId"] == "1"


def test_a_bundle_with_a_fault_changes_nothing(client: httpx.Client, server: FhirServer) -> None:
    answer = send(client, put(patient(), "p", URN), put(study("Patient/none"), "s"))
    assert answer.status_code == 422
    issue = answer.json()["issue"][0]
    assert issue["expression"] == ["Bundle.entry[1].resource.subject.reference"]
    assert server.resources.every() == []


@pytest.mark.parametrize(
    "reference", ["0000-1", str(uuid.UUID(int=1)), "urn:uuid:" + str(uuid.UUID(int=9)), "#none"]
)
def test_what_points_at_nothing_is_refused(client: httpx.Client, reference: str) -> None:
    answer = send(client, put(patient(), "p", URN), put(study(reference), "s"))
    assert answer.status_code in (400, 422)


def test_a_bare_uuid_is_no_full_url(client: httpx.Client) -> None:
    answer = send(client, put(patient(), "p", str(uuid.UUID(int=1))))
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "value")


def test_put_makes_versions_and_history_keeps_them(client: httpx.Client) -> None:
    send(client, put(patient(active=True), "p"))
    send(client, put(patient(active=False), "p"))
    assert client.get("/Patient/p").json()["active"] is False
    assert client.get("/Patient/p/_history/1").json()["active"] is True
    assert client.get("/Patient/p/_history").json()["total"] == 2
    assert client.get("/Patient/p/_history/3").status_code == 404


def test_a_server_may_forbid_ids_of_clients() -> None:
    with FhirServer(client_ids=False) as server:
        headers = {"content-type": "application/fhir+json"}
        with httpx.Client(base_url=server.address, headers=headers, trust_env=False) as client:
            assert send(client, put(patient(), "p")).status_code == 405
            made = client.post("/Patient", json=patient())
            assert made.status_code == 201
            known = made.json()["id"]
            assert send(client, put(patient(active=True), known)).status_code == 200


def test_conditional_create_finds_what_is_there(client: httpx.Client, server: FhirServer) -> None:
    entries = conditional(patient(), "POST", "1", URN), put(study(URN), "s")
    assert send(client, *entries).json()["entry"][0]["response"]["status"] == "201 Created"
    again = send(client, *entries).json()["entry"]
    assert [one["response"]["status"] for one in again] == ["200 OK", "200 OK"]
    (only,) = server.resources.every("Patient")
    assert client.get("/ImagingStudy/s").json()["subject"]["reference"] == f"Patient/{only['id']}"


def test_conditional_update_makes_then_changes_one(client: httpx.Client) -> None:
    for active in (True, False):
        assert send(client, conditional(patient(active=active), "PUT", "1", URN)).is_success
    found = client.get("/Patient", params={"identifier": f"{SYSTEM}|1"}).json()
    assert (found["total"], found["entry"][0]["resource"]["active"]) == (1, False)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_several_matches_are_412(client: httpx.Client, method: str) -> None:
    for id_ in ("a", "b"):
        send(client, put(patient(), id_))
    answer = send(client, conditional(patient(), method, "1", URN))
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (412, "multiple-matches")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_one_condition_twice_in_a_bundle_is_refused(client: httpx.Client, method: str) -> None:
    entries = [conditional(patient(), method, "1", f"{URN[:-1]}{n}") for n in (1, 2)]
    assert send(client, *entries).status_code == 400
    assert send(client, put(patient(), "p"), put(patient(), "p")).status_code == 400


def test_deleted_is_gone_unless_others_point_at_it(client: httpx.Client) -> None:
    send(client, put(patient(), "p"), put(study("Patient/p"), "s"))
    remove = {"request": {"method": "DELETE", "url": "Patient/p"}}
    assert send(client, remove).status_code == 409
    both = {"request": {"method": "DELETE", "url": "ImagingStudy/s"}}
    assert send(client, remove, both).status_code == 200
    assert client.get("/Patient/p").status_code == 410
    assert send(client, remove).status_code == 200
    assert client.get("/Patient/q").status_code == 404


def test_a_version_that_is_not_the_newest_is_not_changed(client: httpx.Client) -> None:
    send(client, put(patient(), "p"))
    entry = put(patient(active=True), "p")
    entry["request"]["ifMatch"] = 'W/"7"'
    assert send(client, entry).status_code == 412
    entry["request"]["ifMatch"] = 'W/"1"'
    assert send(client, entry).status_code == 200


def test_searches_by_identifier_id_tag_and_time(client: httpx.Client) -> None:
    tag = {"tag": [{"system": "http://x", "code": "c"}]}
    send(client, *(put(patient(str(n), meta=tag), f"p{n}") for n in range(3)))
    for query, ids in (
        (f"identifier={SYSTEM}|1", ["p1"]), ("identifier=2", ["p2"]), ("identifier=|2", []),
        ("_id=p0,p2", ["p0", "p2"]), ("_tag=http://x|c", ["p0", "p1", "p2"]), ("_tag=d", []),
        ("_lastUpdated=gt2000-01-01", ["p0", "p1", "p2"]), ("_lastUpdated=lt2000-01-01", []),
    ):  # fmt: skip
        found = client.get(f"/Patient?{query}").json()
        assert sorted(e["resource"]["id"] for e in found.get("entry", [])) == ids
    page = client.get("/Patient?_count=2").json()
    (link,) = page["link"]
    rest = client.get(link["url"]).json()
    assert len(page["entry"]) + len(rest["entry"]) == page["total"] == 3
    assert client.get("/Patient?_summary=count").json()["total"] == 3
    assert client.get("/Patient?mothersMaidenName=x").status_code == 400


def test_a_batch_does_what_it_can(client: httpx.Client) -> None:
    answer = send(client, put(patient(), "p"), put(study("Patient/none"), "s"), kind="batch")
    assert [e["response"]["status"][:3] for e in answer.json()["entry"]] == ["201", "422"]


def test_faults_come_as_they_were_ordered(client: httpx.Client, server: FhirServer) -> None:
    server.fault("429", wait_s=7)
    assert client.get("/Patient").headers["retry-after"] == "7"
    server.fault("503", times=2)
    assert [client.get("/Patient").status_code for _ in range(3)] == [503, 503, 200]
    server.fault("drop before")
    with pytest.raises(httpx.TransportError):
        send(client, put(patient(), "p"))
    assert server.resources.every() == []
    server.fault("drop after")
    with pytest.raises(httpx.TransportError):
        send(client, put(patient(), "p"))
    assert len(server.resources.every()) == 1


@pytest.mark.parametrize(
    ("given", "right"),
    [({"token": "t"}, "Bearer t"), ({"user": "u", "password": "p"}, "Basic dTpw")],
)
def test_who_sends_nothing_right_is_not_let_in(given: dict[str, str], right: str) -> None:
    with FhirServer(**given) as server:  # type: ignore[arg-type]
        for said, status in (("", 401), ("Bearer x", 401), (right, 200)):
            headers = {"authorization": said}
            got = httpx.get(f"{server.address}/Patient", headers=headers, trust_env=False)
            assert got.status_code == status


def test_another_release_is_refused() -> None:
    with FhirServer("R5") as server:
        told = httpx.get(f"{server.address}/metadata", trust_env=False).json()
        assert told["fhirVersion"] == "5.0.0"
        headers = {"content-type": "application/fhir+json; fhirVersion=4.0"}
        got = httpx.post(server.address, json={}, headers=headers, trust_env=False)
        assert got.status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", b"{"), ("POST", "", b"[]"), ("POST", "", b"{}"),
        ("PUT", "/Patient/1", b'{"resourceType": "Device"}'),
        ("PUT", "/Patient/1", b'{"resourceType": "Patient", "id": "2"}'),
        ("PUT", "/Patient/a b", b'{"resourceType": "Patient", "id": "a b"}'),
        ("PATCH", "/Patient/1", b"{}"), ("POST", "/patient", b"{}"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(
    client: httpx.Client, method: str, path: str, body: bytes
) -> None:
    answer = client.request(method, path, content=body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["resourceType"] == "OperationOutcome"
