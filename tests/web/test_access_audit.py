"""What the audit log says of requests, and that nothing is answered without it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomlake.jobs.access.audit import Audit
from dicomlake.testing.dicom import encode, image

from .guarded import HIDDEN, SEEN_INSTANCE, STUDY, House, copied, house, make_lake, settings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def inside(made: Path, tmp_path: Path) -> Iterator[House]:
    with house(copied(made, tmp_path)) as found:
        yield found


def lines(house: House) -> list[dict[str, Any]]:
    """Lines of the log, oldest first."""
    return Audit.of(house.lake).newest(1000)[0][::-1]


def test_questions_say_who_what_from_where_and_how_many(inside: House) -> None:
    body = {"where": "PatientID = 'SEEN'", "level": "study"}
    found = inside.post("researcher", "/api/query", body).json()
    (line,) = lines(inside)
    assert line["name"] == "researcher"
    assert (line["role"], line["project"]) == ("researcher", "open")
    assert line["how"].startswith("token ")
    assert line["from"] == "testclient"
    assert line["what"] == "POST /api/query"
    assert line["body"] == body
    assert (line["status"], line["counts"]) == (200, found["totals"])
    assert line["rows"] == len(found["rows"])


def test_views_say_the_uids(inside: House) -> None:
    inside.get("steward", f"/api/studies/{STUDY}")
    inside.get("steward", f"/api/instances/{SEEN_INSTANCE}/header")
    inside.get("steward", f"/dicom-web/studies/{STUDY}/metadata")
    inside.get("steward", "/dicom-web/studies", PatientID="SEEN")
    inside.get("researcher", f"/api/series/{HIDDEN}")
    found = lines(inside)
    assert [line["status"] for line in found] == [200, 200, 200, 200, 404]
    assert found[0]["params"] == {"StudyInstanceUID": STUDY}
    assert found[1]["params"] == {"SOPInstanceUID": SEEN_INSTANCE}
    assert found[2]["params"] == {"study": STUDY}
    assert (found[3]["query"], found[3]["counts"]) == ("PatientID=SEEN", {"study": 1})
    assert found[4]["params"] == {"SeriesInstanceUID": HIDDEN}


def test_exports_say_how_many_rows_went_out(inside: House) -> None:
    for form in ("csv", "ndjson", "parquet"):
        body = {"show": ["PatientID"]}
        answer = inside.ask("steward", "POST", f"/api/query/export?format={form}", json=body)
        begun, ended = lines(inside)[-2:]
        assert (begun["what"], begun["body"]) == ("POST /api/query/export", body)
        assert (ended["of"], ended["rows"]) == (begun["n"], begun["counts"]["series"])
        assert ended["bytes"] == len(answer.content)


def test_what_is_stored_and_sql(inside: House) -> None:
    inside.post("steward", "/api/sql", {"sql": "select 1 as n"})
    assert lines(inside)[-1]["body"]["sql"] == "select 1 as n"
    content = encode(image(SOPInstanceUID="2.25.31", StudyInstanceUID="2.25.3"))
    answer = inside.ask(
        "steward", "POST", "/dicom-web/studies", content=content,
        headers={"content-type": "application/dicom"},
    )  # fmt: skip
    assert answer.status_code == 200
    last = lines(inside)[-1]
    assert (last["what"], last["stored"]) == ("POST /dicom-web/studies", ["2.25.31"])
    assert "body" not in last


def test_refusals_and_signing_in(inside: House) -> None:
    client = inside.client
    assert inside.get("viewer", f"/api/studies/{STUDY}").status_code == 403
    assert client.get("/api/lake").status_code == 401
    wrong = {"authorization": "Bearer dl_wrong"}
    for _ in range(4):
        assert client.get("/api/lake", headers=wrong).status_code == 401
    client.post("/api/login", json={"token": inside.secrets["viewer"]})
    found = lines(inside)
    assert [(line["what"], line["status"]) for line in found] == [
        (f"GET /api/studies/{STUDY}", 403), ("GET /api/lake", 401), ("sign in", 200),
    ]  # fmt: skip
    assert "name" not in found[1]
    assert found[2]["name"] == "viewer"
    text = Audit.of(inside.lake).path.read_text()
    assert not any(secret in text for secret in inside.secrets.values())
    assert "dl_wrong" not in text


def test_what_goes_on_is_not_written_down_again_and_again(inside: House) -> None:
    for path in ("/api/status", "/api/me", "/api/health", "/", "/metrics", "/api/jobs"):
        inside.get("admin", path)
    assert lines(inside) == []


def test_nothing_is_answered_that_cannot_be_written_down(inside: House) -> None:
    inside.get("steward", "/api/lake")
    path = Audit.of(inside.lake).path
    path.unlink()
    path.mkdir()
    answer = inside.get("steward", f"/api/studies/{STUDY}")
    assert (answer.status_code, "audit log" in answer.json()["detail"]) == (503, True)
    assert STUDY not in answer.text
    assert inside.get("steward", "/api/me").status_code == 200


def test_stewards_read_the_log(inside: House) -> None:
    for _ in range(3):
        inside.post("researcher", "/api/query/count", {"where": "Modality = 'CT'"})
    inside.get("steward", f"/api/studies/{STUDY}")
    page = inside.get("steward", "/api/audit", limit=2, verify=True).json()
    assert (page["total"], page["good"], len(page["lines"])) == (4, True, 2)
    assert page["lines"][0]["more"]["params"] == {"StudyInstanceUID": STUDY}
    assert page["head"] == Audit.of(inside.lake).newest(5)[0][1]["hash"]
    some = inside.get("steward", "/api/audit", name="researcher", what="count").json()
    assert (some["total"], some["good"]) == (3, None)
    assert inside.get("steward", "/api/audit", text="Modality").json()["total"] == 3
    assert inside.get("researcher", "/api/audit").status_code == 403
    path = Audit.of(inside.lake).path
    path.write_text(path.read_text().replace("Modality = 'CT'", "Modality = 'MR'", 1))
    spoiled = inside.get("steward", "/api/audit", verify=True).json()
    assert (spoiled["good"], spoiled["why"]) == (False, "Line 1: the line was changed")


def test_an_address_behind_a_proxy(made: Path, tmp_path: Path) -> None:
    with house(copied(made, tmp_path), settings(proxies=("testclient",))) as found:
        for said in ("10.1.2.3", "6.6.6.6, 10.1.2.3"):
            found.ask("steward", "GET", "/api/lake", headers={"x-forwarded-for": said})
    assert [line["from"] for line in Audit.of(found.lake).newest(9)[0]] == ["10.1.2.3"] * 2


def test_nobody_says_where_they_call_from(inside: House) -> None:
    inside.ask("steward", "GET", "/api/lake", headers={"x-forwarded-for": "10.1.2.3"})
    assert lines(inside)[0]["from"] == "testclient"


def test_the_log_may_lie_elsewhere(made: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    place = tmp_path / "logs" / "audit.jsonl"
    with house(copied(made, tmp_path), settings(audit=place)) as found:
        found.get("steward", "/api/lake")
    assert Audit(place).verify().lines == 1


def said(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", "from dicomlake.cli import main; main()", *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_command_checks_and_shows(inside: House) -> None:
    inside.get("steward", f"/api/studies/{STUDY}")
    lake = str(inside.lake)
    code, text = said("audit", "verify", "--lake", lake)
    assert (code, "whole: 1 lines" in text) == (0, True)
    head = text.split()[-1]
    code, text = said("audit", "show", "--lake", lake, "--what", "studies")
    assert (code, STUDY in text, "steward" in text) == (0, True, True)
    path = Audit.of(inside.lake).path
    path.write_text(path.read_text().replace("steward", "somebody"))
    code, text = said("audit", "verify", "--lake", lake)
    assert (code, "Line 1: the line was changed" in text) == (1, True)
    path.unlink()
    code, text = said("audit", "verify", "--lake", lake, "--head", head)
    assert (code, "cut off" in text) == (1, True)
