"""Paths that climb, names that are scripts, requests that are huge or no requests at all."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing.dicom import encode, image
from dicomlake.web import app, guard
from dicomlake.web.access.needs import declared
from dicomlake.web.explore import queries
from dicomlake.web.pages import pages

from .guarded import House, house
from .serving import served

SCRIPT = "<script>alert('QX')</script>"
STUDY, SERIES, INSTANCE = "2.25.51", "2.25.51.1", "2.25.51.1.1"
LOOT = "QXLOOT"
"""Lies in files beside the lake and in it, which nobody may read."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "files").mkdir()
    for n in range(6):
        more = {"PatientComments": SCRIPT} if n == 0 else {}
        uids = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES} if n == 0 else {
            "StudyInstanceUID": f"2.25.6{n}", "SeriesInstanceUID": f"2.25.6{n}.1"}  # fmt: skip
        (folder / "files" / f"{n}.dcm").write_bytes(
            encode(
                image(
                    PatientName=f"{SCRIPT}^{SCRIPT[:20]}", PatientID=f"P{n}",
                    StudyDescription=SCRIPT, SeriesDescription=SCRIPT, StationName="<b>x</b>",
                    SOPInstanceUID=INSTANCE if n == 0 else f"2.25.6{n}.1.1", **uids, **more,
                )
            )
        )  # fmt: skip
    index([folder / "files"], folder / "lake", workers=1)
    (folder / "loot.txt").write_text(LOOT)
    (folder / "lake" / "loot.txt").write_text(LOOT)
    (folder / "lake" / "dicomlake.toml").write_text(f"# {LOOT}\n")
    return folder / "lake"


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "WAIT_S", 0.0)


@pytest.fixture(scope="module")
def inside(made: Path) -> Iterator[House]:
    with house(made) as found:
        yield found


# Paths that climb

CLIMBING = [
    "../loot.txt", "..%2floot.txt", "%2e%2e%2floot.txt", "..%5cloot.txt", "....//loot.txt",
    "%2e%2e/%2e%2e/loot.txt", "/etc/passwd", "%2fetc%2fpasswd", "..%00", "%00", "file:///etc/passwd",
    "..%c0%af..%c0%afloot.txt", "loot.txt%00.json", "a" * 3000, "%ff%fe", "..", ".", "*", "~root",
    "C:%5cWindows%5cwin.ini", "'; drop table series; --", "1.2.3/../../loot.txt",
]  # fmt: skip
PARAMETERS = sorted(
    (method, path)
    for method, path, _ in declared(app(Path("none"), Settings()))
    if "{" in path and method != "HEAD"
)
GOOD = {
    "{study}": STUDY, "{series}": SERIES, "{instance}": INSTANCE, "{frames}": "1",
    "{StudyInstanceUID}": STUDY, "{SeriesInstanceUID}": SERIES, "{SOPInstanceUID}": INSTANCE,
    "{path:path}": "7FE00010",
}  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PARAMETERS)
def test_no_path_leads_out(inside: House, method: str, path: str) -> None:
    names = [part for part in path.replace("}", "}|").split("|") if "{" in part]
    for name in (part[part.index("{") :] for part in names):
        for climbing in CLIMBING:
            there = path.replace(name, climbing)
            for other, good in GOOD.items():
                there = there.replace(other, good)
            answer = inside.ask("admin", method, there)
            assert answer.status_code < 500, (there, answer.text)
            assert LOOT not in answer.text, there
            assert "root:" not in answer.text, there


@pytest.mark.parametrize("climbing", CLIMBING)
def test_no_file_of_the_pages_leads_out(inside: House, climbing: str, tmp_path: Path) -> None:
    (tmp_path / "static" / "assets").mkdir(parents=True)
    (tmp_path / "static" / "index.html").write_text("page")
    (tmp_path / "static" / "assets" / "ours.js").write_text("ours")
    (tmp_path / "loot.txt").write_text(LOOT)
    (tmp_path / "static" / "loot.txt").write_text(LOOT)
    (tmp_path / "static" / "assets" / "link.txt").symlink_to(tmp_path / "loot.txt")
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from dicomlake.web import problems

    own = FastAPI()
    own.include_router(pages(tmp_path / "static"))
    problems.register(own)
    with TestClient(own, base_url="http://localhost") as client:
        assert client.get("/assets/ours.js").text == "ours"
        for base in ("/assets/", "/assets/../", "/"):
            assert LOOT not in client.get(f"{base}{climbing}").text
        assert LOOT not in client.get("/assets/link.txt").text


# Scripts in names


def test_a_name_that_is_a_script_stays_a_name(inside: House) -> None:
    """Where a browser could take an answer for a page, nothing of it runs."""
    told = 0
    for path in (
        f"/api/studies/{STUDY}", f"/api/series/{SERIES}", f"/api/instances/{INSTANCE}/header",
        "/api/vocabulary/values?path=StudyDescription",
        "/api/vocabulary/node?path=StudyDescription",
        f"/dicom-web/studies/{STUDY}/metadata", "/dicom-web/studies?includefield=all",
        f"/api/studies/{quote(SCRIPT)}", f"/api/jobs/{quote(SCRIPT)}", f"/{quote(SCRIPT)}",
        f"/dicom-web/studies?PatientName={quote(SCRIPT)}", f"/api/sources/{quote(SCRIPT)}/check",
    ):  # fmt: skip
        answer = inside.get("admin", path)
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in ("application/json", "application/dicom+json", "application/problem+json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        told += SCRIPT in answer.text
    assert told >= 5
    xml = {"accept": 'multipart/related; type="application/dicom+xml"'}
    answer = inside.ask("admin", "GET", f"/dicom-web/studies/{STUDY}/metadata", headers=xml)
    assert "&lt;script" in answer.text
    assert "<script" not in answer.text
    csv = inside.ask("admin", "POST", "/api/query/export", json={"show": ["PatientName"]})
    assert csv.headers["content-type"].startswith("text/csv")
    assert "attachment" in csv.headers["content-disposition"]


# What is no request

NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "no end": b'{"where": ',
    "a list": b"[]",
    "a number": b"1e99999",
    "not a number": b"NaN",
    "half a character": b'{"where": "\\ud800"}',
    "no text": b"\xff\xfe\x00",
    "invalid UTF-8": b'{"where": "\xff\xfe"}',
    "a zero": b'{"where": "\\u0000"}',
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"where":' + b'{"and":[' * 50_000 + b"]}" * 50_000 + b"}",
    "deep conditions": b'{"where": "' + b"not (" * 5000 + b"Modality exists" + b")" * 5000 + b'"}',
    "wide conditions": b'{"where": "' + b" or ".join([b"KVP = 1"] * 20_000) + b'"}',
    "a long text": b'{"where": "' + b"x" * 2_000_000 + b'"}',
    "long digits": b'{"where": null, "limit": ' + b"9" * 6000 + b"}",
    "same keys": b'{"where": null, "where": "Modality = 1", "where": 3}',
    "unknown members": b'{"__proto__": {}, "constructor": 1}',
    "a form": b"where=x&limit=1",
    "XML with entities": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
}
READ_JSON = [
    ("POST", "/api/query"), ("POST", "/api/query/count"), ("POST", "/api/query/steps"),
    ("POST", "/api/query/parse"), ("POST", "/api/query/export"), ("POST", "/api/aggregate"),
    ("POST", "/api/sql"), ("POST", "/api/queries"), ("PUT", "/api/queries/none"),
    ("POST", "/api/permalink"), ("POST", "/api/jobs"), ("POST", "/api/login"),
    ("POST", "/api/me/project"), ("POST", "/api/conformance"), ("POST", "/api/charts"),
    ("PUT", "/api/charts/none"), ("POST", "/api/charts/data"), ("POST", "/api/fill-rate"),
    ("POST", "/api/tasks/retry"), ("POST", "/api/enrichers/none/runs"),
    ("POST", "/api/deid/preview"), ("POST", "/api/convert"),
    ("POST", "/api/cohorts"), ("POST", "/api/cohorts/none/decisions"),
    ("POST", "/api/cohorts/none/versions"), ("POST", "/api/cohorts/none/split"),
    ("POST", "/api/cohorts/none/requests"), ("PUT", "/api/cohorts/none/requests"),
    ("POST", "/api/withdrawals"), ("POST", "/api/deid/plan"),
    ("POST", "/api/erasures"), ("POST", "/api/erasures/preview"),
    ("POST", "/api/datasets"), ("POST", "/api/datasets/estimate"),
    ("POST", "/api/datasets/none/resume"),
    ("POST", "/api/federation/ask"), ("POST", "/api/federation/answer"),
    ("POST", "/api/federation/export"),
    ("POST", "/api/pseudonyms"), ("POST", "/api/pseudonyms/back"),
    ("POST", "/api/dose/overview"), ("POST", "/api/dose/none"),
    ("POST", "/api/dose/alarms/none"), ("PUT", "/api/facts/mappings/none"),
    ("POST", "/api/facts/look"),
    ("PUT", "/api/convert/mappings/none"),
]  # fmt: skip


@pytest.mark.parametrize("what", NO_JSON)
def test_what_is_no_question_is_told(inside: House, what: str) -> None:
    for method, path in READ_JSON:
        answer = inside.ask(
            "admin", method, path, content=NO_JSON[what],
            headers={"content-type": "application/json"},
        )  # fmt: skip
        assert answer.status_code < 500, (path, answer.text[:300])
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", path
            assert len(answer.content) < 20_000
            assert "root:" not in answer.text


def test_long_paths_are_told(inside: House) -> None:
    for path in ("/api/fill-rate?path=", "/api/fill-rate?by=", "/api/common?value=x&path="):
        assert inside.get("admin", f"{path}{'x' * 3000}").status_code == 422


def test_all_routes_with_a_body_were_asked() -> None:
    reading = {
        (method, path)
        for method, path, _ in declared(app(Path("none"), Settings()))
        if method in ("POST", "PUT", "PATCH") and path.startswith("/api/")
    }
    without = {
        ("POST", "/api/logout"), ("POST", "/api/jobs/{id}/retry"), ("POST", "/api/pause"),
        ("POST", "/api/resume"), ("POST", "/api/sources/{name}/pause"),
        ("POST", "/api/sources/{name}/resume"), ("POST", "/api/facts"),
        ("POST", "/api/facts/tasks"),
        ("POST", "/api/convert/files"),
    }  # fmt: skip
    filled = {(m, re.sub("{(id|name)}", "none", p)) for m, p in reading - without}
    assert filled == set(READ_JSON)


@pytest.mark.parametrize(
    "kind", ["", "text/html", "multipart/form-data", "application/xml", "x", "*/*", "a/b; c=" * 99]
)
def test_bodies_of_another_kind_are_told(inside: House, kind: str) -> None:
    for method, path in READ_JSON:
        answer = inside.ask("admin", method, path, content=b"<x/>", headers={"content-type": kind})
        assert 400 <= answer.status_code < 500, (path, answer.text[:300])
    for path in ("/dicom-web/studies", f"/dicom-web/studies/{STUDY}"):
        answer = inside.ask("admin", "POST", path, content=b"x", headers={"content-type": kind})
        assert 400 <= answer.status_code < 500


STORED: dict[str, tuple[str, bytes]] = {
    "no boundary": ('multipart/related; type="application/dicom"', b"--x\r\n"),
    "no parts": ('multipart/related; type="application/dicom"; boundary=x', b"--x--\r\n"),
    "no end": ('multipart/related; type="application/dicom"; boundary=x', b"--x\r\n\r\nDICM"),
    "many heads": ('multipart/related; type="application/dicom"; boundary=x',
                   b"--x\r\n" + b"A: b\r\n" * 100_000),
    "a long head": ('multipart/related; type="application/dicom"; boundary=x',
                    b"--x\r\nA: " + b"b" * 3_000_000),
    "a long boundary": (f'multipart/related; type="application/dicom"; boundary={"x" * 4000}', b""),
    "no object": ("application/dicom", b"\x00" * 128 + b"DICM" + b"\xff" * 1000),
    "zeros": ("application/dicom", b"\x00" * 100_000),
    "deep items": ("application/dicom",
                   encode(image())[:400] + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 9000),
}  # fmt: skip


@pytest.mark.parametrize("what", STORED)
def test_objects_that_are_none_are_told(inside: House, what: str) -> None:
    kind, content = STORED[what]
    answer = inside.ask(
        "admin", "POST", "/dicom-web/studies", content=content, headers={"content-type": kind}
    )
    assert 400 <= answer.status_code < 500, answer.text


HEADERS: dict[str, dict[str, str]] = {
    "long": {"x-user": "x" * 50_000},
    "query id": {"x-query-id": "../../x"},
    "range": {"range": "bytes=-99999999999999999999,0-,5-2,x"},
    "accept": {"accept": "a/b;q=x, */*;q=" + "9" * 400 + ",,;;;=,\\"},
    "etag": {"if-none-match": 'W/"' + "x" * 9000},
    "encoding": {"accept-encoding": "gzip;q=-1, *;q=nan"},
    "cookie": {"cookie": "dicomlake=" + "x" * 9000 + "; ;;=;dicomlake"},
    "project": {"x-project": "../x"},
    "forwarded": {"x-forwarded-for": "x" * 9000, "forwarded": "for=x"},
}


@pytest.mark.parametrize("what", HEADERS)
def test_odd_headers_break_nothing(inside: House, what: str) -> None:
    root = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
    for path in (
        "/api/lake", "/api/queries", f"/api/studies/{STUDY}", root, f"{root}/metadata",
        f"{root}/bulkdata/7FE00010", f"{root}/frames/1", f"{root}/thumbnail", "/dicom-web/studies",
        "/api/vocabulary/values?path=Modality", "/", "/assets/x.js",
    ):  # fmt: skip
        answer = inside.ask("admin", "GET", path, headers=HEADERS[what])
        assert answer.status_code < 500 or path == "/", (path, answer.text)


CREDENTIALS = [
    "Basic", "Basic =", "Basic " + "x" * 9000, "Basic ww==", "Basic Og==", "Bearer a.b.c",
    "Bearer " + "dl_" * 3000, "Bearer dl__", "Negotiate x", "\x00", "Bearer \xff\xfe", "  ",
]  # fmt: skip


@pytest.mark.parametrize("sent", CREDENTIALS)
def test_odd_credentials_open_nothing(made: Path, sent: str) -> None:
    with house(made) as found:
        headers = {"authorization": sent.encode("latin-1")}
        answer = found.client.get("/api/lake", headers=headers)
        assert answer.status_code == 401


def test_a_body_over_the_limit_is_not_read_to_its_end(
    inside: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "MOST_BYTES", 10_000)
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for _ in range(10_000):
            read += 1
            yield b" " * 100

    for method, path in READ_JSON:
        answer = inside.ask(
            "admin", method, path, content=pieces(), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 413, path


# On the wire, where clients do not help

WIRE: dict[str, bytes] = {
    "no request": b"\x16\x03\x01\x02\x00\x01\x00",
    "no path": b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two hosts": b"GET /api/lake HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "another host": b"GET http://evil.example/api/lake HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "two lengths": b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
    b"Content-Length: 9\r\n\r\n{}",
    "length and chunks": b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
    "negative length": b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "a long line": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "climbing": b"GET /assets/../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no UTF-8": b"GET /api/studies/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a strange method": b"BREW /api/lake HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "upgrade": b"GET /api/lake HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n",
}


def test_what_comes_over_the_wire(made: Path) -> None:
    with house(made), served(made) as base:
        port = urlsplit(base).port
        for what, sent in WIRE.items():
            with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
                line.sendall(sent)
                line.shutdown(socket.SHUT_WR)
                told = _all(line)
            assert not told.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")), (what, told[:200])
            assert b"patients" not in told
            assert b"root:" not in told


def _all(line: socket.socket) -> bytes:
    told = b""
    with contextlib.suppress(ConnectionError):
        while piece := line.recv(65536):
            told += piece
    return told


def test_wrong_methods_are_told(inside: House) -> None:
    for _, path, _ in declared(app(Path("none"), Settings())):
        there: Any = path
        for name, good in GOOD.items():
            there = there.replace(name, good)
        answer = inside.ask("admin", "TRACE", there)
        assert answer.status_code in (404, 405), path
