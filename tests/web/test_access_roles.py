"""Every route says what it needs, and nobody else gets its answer."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from dicomlake.jobs.access.roles import ALLOWED, WHOLE, May, Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.settings import Project, Settings
from dicomlake.web import app
from dicomlake.web.access.needs import declared, needs
from dicomlake.web.explore import queries
from dicomlake.web.guard import UNDECLARED

from .guarded import PROJECTS, WHOS, House, copied, house, make_lake, settings
from .serving import served


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("roles"))


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "WAIT_S", 0.0)


@pytest.fixture(scope="module")
def inside(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(copied(made, tmp_path_factory.mktemp("inside"))) as found:
        yield found


ROUTES = sorted(
    {(method, path, needed) for method, path, needed in declared(app(Path("none"), Settings()))},
    key=lambda one: one[:2],
)


def test_every_route_declares_what_it_needs() -> None:
    assert len(ROUTES) > 80
    undeclared = [(method, path) for method, path, needed in ROUTES if not needed]
    assert undeclared == [], "add dependencies=[needs(May. ...)] to the route or its router"


def test_every_role_is_in_the_table_and_each_sees_more_than_the_one_before() -> None:
    assert ALLOWED.keys() == set(Role)
    partner, viewer, researcher, steward, admin = (ALLOWED[role] for role in Role)
    assert viewer < researcher < steward < admin == frozenset(May)
    assert partner == {May.OPEN, May.ENTER, May.FEDERATE}


FILLED = {
    "{StudyInstanceUID}": "1.2", "{SeriesInstanceUID}": "1.2", "{SOPInstanceUID}": "1.2",
    "{study}": "1.2", "{series}": "1.2", "{instance}": "1.2", "{frames}": "1",
    "{path:path}": "7FE00010", "{rest:path}": "x", "{patient_key}": "1", "{id}": "none",
    "{name}": "none",
}  # fmt: skip
BODIES: dict[str, Any] = {
    "/api/query/parse": {"text": "Modality = 'CT'"},
    "/api/sql": {"sql": "select 1"},
    "/api/jobs": {"source": "none"},
    "/api/me/project": {"project": "none"},
    "/api/login": {"token": "wrong"},
    "/api/charts": {"name": "n", "spec": {}},
    "/api/charts/{id}": {"name": "n", "spec": {}},
    "/api/charts/data": {"spec": {}},
    "/api/queries": {"name": "n", "query": {}},
    "/api/queries/{id}": {"name": "n", "query": {}},
    "/api/omop": {"cohort": "none"},
}
QUERIES = {
    "/api/vocabulary/node": {"path": "Modality"},
    "/api/vocabulary/values": {"path": "Modality"},
    "/api/vocabulary/histogram": {"path": "KVP"},
    "/api/compare": {"a": "1.2", "b": "1.3"},
    "/api/common": {"path": "Modality", "value": "CT"},
    "/api/permalink": {"link": "none"},
}


def asked(house: House, who: str | None, method: str, path: str) -> httpx.Response:
    there = path
    for name, value in FILLED.items():
        there = there.replace(name, value)
    body = {"json": BODIES.get(path, {})} if method in ("POST", "PUT") else {}
    query = QUERIES.get(path) if method == "GET" else None
    if who is None:
        return house.client.request(method, there, params=query, **body)
    found: httpx.Response = house.ask(who, method, there, params=query, **body)
    return found


@pytest.mark.parametrize("who", WHOS)
def test_who_may_not_is_refused_and_who_may_is_not(inside: House, who: str) -> None:
    role, project = WHOS[who]
    filtered = bool(project and PROJECTS[project].filter)
    for method, path, needed in ROUTES:
        if path == "/api/login":
            continue
        allowed = needed <= ALLOWED[role] and not (filtered and needed & WHOLE)
        status = asked(inside, who, method, path).status_code
        assert (status != 403) == allowed or path == "/api/me/project", (who, method, path, status)
        assert status not in (401, 500), (who, method, path)


def test_who_is_unknown_gets_nothing(inside: House) -> None:
    for method, path, needed in ROUTES:
        answer = asked(inside, None, method, path)
        if needed == {May.OPEN}:
            assert answer.status_code not in (403, 500), (method, path)
        else:
            assert answer.status_code == 401, (method, path)
    for path in UNDECLARED:
        assert inside.client.get(path).status_code == 401


def something() -> dict[str, str]:
    return {"PatientID": "P1"}


def test_a_route_that_says_nothing_answers_nobody(made: Path, tmp_path: Path) -> None:
    with house(copied(made, tmp_path)) as found:
        more = APIRouter()
        more.add_api_route("/api/forgotten", something)
        more.add_api_route("/api/said", something, dependencies=[needs(May.READ)])
        found.client.app.include_router(more)  # type: ignore[attr-defined]
        answer = found.get("admin", "/api/forgotten")
        assert (answer.status_code, "P1" in answer.text) == (403, False)
        assert found.get("admin", "/api/said").status_code == 200
        assert found.get("viewer", "/api/said").status_code == 403


def test_a_refusal_says_who_may(inside: House) -> None:
    answer = inside.get("viewer", "/api/studies/1.2")
    assert "researcher" in answer.json()["detail"]
    answer = inside.post("researcher", "/api/sql", {"sql": "select 1"})
    assert "project open" in answer.json()["detail"]


# Tokens


def test_tokens_are_kept_as_hashes_for_their_owner_alone(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    told = tokens.add("ann", Role.viewer)
    kept = tokens.path.read_text()
    assert told.rpartition("_")[2] not in kept
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(tokens.path.parent.stat().st_mode) == 0o700
    found = Tokens(tmp_path).who(told)
    assert found is not None
    assert (found.name, found.role) == ("ann", Role.viewer)


def test_a_token_ends(inside: House, monkeypatch: pytest.MonkeyPatch) -> None:
    told = inside.tokens.add("short", Role.admin, days=1e-9)
    headers = {"authorization": f"Bearer {told}"}
    assert inside.client.get("/api/lake", headers=headers).status_code == 401
    told = inside.tokens.add("gone", Role.admin)
    headers = {"authorization": f"Bearer {told}"}
    assert inside.client.get("/api/lake", headers=headers).status_code == 200
    inside.tokens.revoke("gone")
    assert inside.client.get("/api/lake", headers=headers).status_code == 401


@pytest.mark.parametrize("spoiled", ["{0}x", "x{0}", "{0} ", "dl_00000000_{1}", "", "dl__", "ü"])
def test_what_is_no_token_opens_nothing(tmp_path: Path, spoiled: str) -> None:
    tokens = Tokens(tmp_path)
    told = tokens.add("ann", Role.admin)
    assert tokens.who(spoiled.format(told, told.rpartition("_")[2])) is None
    assert tokens.who(told) is not None


def test_viewers_of_dicomweb_may_send_the_token_as_password(inside: House) -> None:
    secret = inside.secrets["researcher"]
    client = inside.client
    assert client.get("/dicom-web/studies", auth=("me", secret)).status_code == 200
    assert client.get("/dicom-web/studies", auth=(secret, "me")).status_code == 401


def test_a_service_that_had_tokens_never_opens_by_itself(made: Path, tmp_path: Path) -> None:
    lake = copied(made, tmp_path)
    with TestClient(app(lake, settings()), base_url="http://localhost") as client:
        assert client.get("/api/lake").status_code == 200
        assert client.get("/api/me").json()["role"] == "admin"
        Tokens(lake).add("ann", Role.viewer)
        assert client.get("/api/lake").status_code == 401
        Tokens(lake).revoke("ann")
        assert client.get("/api/lake").status_code == 401


def test_damaged_tokens_open_nothing(made: Path, tmp_path: Path) -> None:
    lake = copied(made, tmp_path)
    with house(lake) as found:
        found.tokens.path.write_text("{")
        answer = found.get("admin", "/api/lake")
        assert (answer.status_code, "lake" in answer.json()["detail"]) == (503, True)


def test_wrong_tokens_make_an_address_wait(made: Path, tmp_path: Path) -> None:
    with house(copied(made, tmp_path)) as found:
        client = found.client
        assert found.get("viewer", "/api/lake").status_code == 200
        wrong = [
            client.get("/api/lake", headers={"authorization": f"Bearer {n}"}).status_code
            for n in range(8)
        ]
        assert wrong == [401] * 5 + [429] * 3
        answer = client.post("/api/login", json={"token": found.secrets["admin"]})
        assert (answer.status_code, "seconds" in answer.json()["detail"]) == (429, True)
        refused = found.get("steward", "/api/lake")
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert found.get("viewer", "/api/lake").status_code == 200  # was right before


def test_a_project_that_is_gone_shows_nothing(made: Path, tmp_path: Path) -> None:
    lake = copied(made, tmp_path)
    Tokens(lake)
    with house(lake, settings().model_copy(update={"project": {"x": Project()}})) as found:
        answer = found.get("researcher", "/api/lake")
        assert (answer.status_code, "project" in answer.json()["detail"]) == (403, True)
        assert found.get("researcher", "/api/me").status_code == 200


# Sessions


def test_signing_in_and_out(inside: House, made: Path, tmp_path: Path) -> None:
    with house(copied(made, tmp_path)) as found:
        client = found.client
        assert client.get("/api/me").json()["signed_in"] is False
        assert client.post("/api/login", json={"token": "wrong"}).status_code == 401
        answer = client.post("/api/login", json={"token": found.secrets["researcher"]})
        assert (answer.status_code, answer.json()["name"]) == (200, "researcher")
        said = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Lax"} <= {part.strip() for part in said.split(";")}
        assert found.secrets["researcher"] not in said
        assert client.get("/api/lake").status_code == 200
        assert client.get("/api/me").json()["project"] == "open"
        assert client.get("/api/failures").status_code == 403
        body = {"where": None}
        assert client.post("/api/query/count", json=body).status_code == 403  # no origin
        own = {"origin": "http://localhost"}
        assert client.post("/api/query/count", json=body, headers=own).status_code == 200
        other = {"origin": "http://evil.example"}
        assert client.post("/api/query/count", json=body, headers=other).status_code == 403
        cookies = dict(client.cookies)
        assert client.post("/api/logout", headers=own).json()["signed_in"] is False
        client.cookies.update(cookies)
        assert client.get("/api/lake").status_code == 401  # the cookie of before is worth nothing


def test_a_session_ends_with_its_token(made: Path, tmp_path: Path) -> None:
    with house(copied(made, tmp_path)) as found:
        found.client.post("/api/login", json={"token": found.secrets["steward"]})
        assert found.client.get("/api/lake").status_code == 200
        found.tokens.revoke("steward")
        assert found.client.get("/api/lake").status_code == 401


def test_a_cookie_is_secure_behind_tls(made: Path, tmp_path: Path) -> None:
    made_settings = settings()
    service = made_settings.service.model_copy(update={"url": "https://lake.example"})
    lake = copied(made, tmp_path)
    with house(lake, made_settings.model_copy(update={"service": service})) as found:
        headers = {"host": "lake.example", "origin": "https://lake.example"}
        sent = {"token": found.secrets["admin"]}
        answer = found.client.post("/api/login", json=sent, headers=headers)
        assert "Secure" in answer.headers["set-cookie"]


# The command


def said(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", "from dicomlake.cli import main; main()", *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_elsewhere_than_on_loopback_it_needs_a_way_to_tell_who_calls(
    made: Path, tmp_path: Path
) -> None:
    lake = copied(made, tmp_path)
    code, text = said("serve", "--lake", str(lake), "--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert "access token add" in text
    assert "docs/access.md" in text


def test_a_real_server_lets_those_in_who_have_a_token(made: Path, tmp_path: Path) -> None:
    lake = copied(made, tmp_path)
    (lake / "dicomlake.toml").write_text("[project.ct]\nfilter = \"Modality = 'CT'\"\n")
    code, text = said(
        "access", "token", "add", "ann", "--role", "researcher", "--project", "ct",
        "--lake", str(lake),
    )  # fmt: skip
    assert code == 0
    told = text.splitlines()[0]
    with served(lake, Settings(project={"ct": Project(filter="Modality = 'CT'")})) as base:
        assert httpx.get(f"{base}/api/lake").status_code == 401
        headers = {"authorization": f"Bearer {told}"}
        asked = {"by": ["Modality"]}
        rows = httpx.post(f"{base}/api/aggregate", json=asked, headers=headers).json()["rows"]
        assert [row["keys"] for row in rows] == [["CT"]]
    code, text = said("access", "token", "list", "--lake", str(lake))
    assert (code, "ann" in text, "good" in text, told in text) == (0, True, True, False)
    code, text = said("access", "token", "revoke", "ann", "--lake", str(lake))
    assert (code, "Revoked" in text) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("add", "ann", "--role", "researcher"), "--project"),
        (("add", "ann", "--role", "viewer", "--project", "none"), "no project"),
        (("add", " ", "--role", "viewer"), "no name"),
        (("add", "ann", "--role", "viewer", "--days", "-1"), "days"),
        (("revoke", "nobody"), "token list"),
    ],
)
def test_the_command_says_what_is_wrong(
    made: Path, tmp_path: Path, arguments: tuple[str, ...], word: str
) -> None:
    code, text = said("access", "token", *arguments, "--lake", str(copied(made, tmp_path)))
    assert (code, word in text) == (2, True)
