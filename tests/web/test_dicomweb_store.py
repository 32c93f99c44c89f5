"""Storing (STOW-RS) against the whole application, and what comes of it in the lake."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import dicomlake
from dicomlake.jobs.deposits import DOES_NOT_MATCH, NOT_UNDERSTOOD
from dicomlake.jobs.index import index
from dicomlake.settings import CacheSettings, Service, Settings
from dicomlake.testing.dicom import encode, image
from dicomlake.web import app

BOUNDARY = "here-it-ends"
TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def body(*objects: bytes) -> bytes:
    parts = [
        b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (BOUNDARY.encode(), each)
        for each in objects
    ]
    return b"".join(parts) + b"--%s--\r\n" % BOUNDARY.encode()


def made(n: int, **more: Any) -> bytes:
    return encode(
        image(
            StudyInstanceUID="2.25.1", SeriesInstanceUID="2.25.1.1", SOPInstanceUID=f"2.25.2.{n}",
            InstanceNumber=n, PatientID="STOW", **more,
        )
    )  # fmt: skip


def post(pictures: TestClient, content: bytes, path: str = "/studies", kind: str = TYPE) -> Any:
    return pictures.post(f"/dicom-web{path}", content=content, headers={"Content-Type": kind})


def uids(answer: Any, tag: str) -> list[str]:
    items = answer.json().get(tag, {}).get("Value", [])
    return [item["00081155"]["Value"][0] for item in items]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def web(place: Path) -> Iterator[TestClient]:
    """A service of a lake that is not there yet."""
    with TestClient(app(place, Settings()), base_url="http://localhost") as client:
        yield client


def settled(pictures: TestClient, count: int, path: str = "/instances") -> list[dict[str, Any]]:
    """The instances of the lake once there are so many."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        rows: list[dict[str, Any]] = pictures.get(f"/dicom-web{path}").json()
        if len(rows) >= count:
            return rows
        time.sleep(0.1)
    raise AssertionError(f"there are not {count} instances")


def test_what_is_stored_can_be_found_and_fetched(pictures: TestClient, place: Path) -> None:
    objects = [made(n) for n in (1, 2, 3)]
    answer = post(pictures, body(*objects))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert uids(answer, "00081199") == ["2.25.2.1", "2.25.2.2", "2.25.2.3"]
    assert "00081198" not in answer.json()
    assert answer.json()["00081190"]["Value"][0].endswith("/dicom-web/studies/2.25.1")
    rows = settled(pictures, 3)
    assert {row["00080056"]["Value"][0] for row in rows} == {"ONLINE"}
    accept = {"Accept": "application/dicom"}
    for reference, raw in zip(answer.json()["00081199"]["Value"], objects, strict=True):
        assert pictures.get(reference["00081190"]["Value"][0], headers=accept).content == raw
    lake = dicomlake.open(place)
    assert lake.totals["instances"] == 3
    assert lake.series.column("source").to_pylist() == ["stow"]


def test_kept_objects_are_pinned(tmp_path: Path) -> None:
    settings = Settings(cache=CacheSettings(size="1 kB"))
    with TestClient(app(tmp_path / "lake", settings), base_url="http://localhost") as pictures:
        assert post(pictures, body(*[made(n) for n in range(1, 6)])).status_code == 200
        settled(pictures, 5)
        for n in range(1, 6):
            path = f"/dicom-web/studies/2.25.1/series/2.25.1.1/instances/2.25.2.{n}"
            assert pictures.get(path).status_code == 200


def test_again_replaces_and_adds_nothing(pictures: TestClient, place: Path) -> None:
    for description in ("first", "second"):
        assert post(pictures, body(made(1, SeriesDescription=description))).status_code == 200
        settled(pictures, 1)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            (row,) = pictures.get("/dicom-web/series").json()
            if row["0008103E"]["Value"] == [description]:
                break
            time.sleep(0.1)
        assert row["0008103E"]["Value"] == [description]
    assert dicomlake.open(place).totals["instances"] == 1


def test_what_was_indexed_before_is_not_doubled(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "1.dcm").write_bytes(made(1))
    index([tmp_path / "files"], tmp_path / "lake", workers=1)
    with TestClient(app(tmp_path / "lake", Settings()), base_url="http://localhost") as pictures:
        assert post(pictures, body(made(1), made(2))).status_code == 200
        assert len(settled(pictures, 2)) == 2
    assert dicomlake.open(tmp_path / "lake").totals["instances"] == 2


def test_some_fail(pictures: TestClient) -> None:
    other = encode(image(StudyInstanceUID="2.25.9", SOPInstanceUID="2.25.9.1"))
    answer = post(pictures, body(made(1), other, b"no DICOM at all"), "/studies/2.25.1")
    assert answer.status_code == 202
    assert uids(answer, "00081199") == ["2.25.2.1"]
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081155"]["Value"] == ["2.25.9.1"]
    assert failed["00081197"]["Value"] == [DOES_NOT_MATCH]
    (unknown,) = answer.json()["0008119A"]["Value"]
    assert unknown == {"00081197": {"vr": "US", "Value": [NOT_UNDERSTOOD]}}
    assert len(settled(pictures, 1)) == 1


def test_all_fail(pictures: TestClient) -> None:
    assert post(pictures, body(b"no", b"nor this")).status_code == 409
    assert post(pictures, body(made(1)), "/studies/2.25.7").status_code == 409
    assert pictures.get("/dicom-web/studies").json() == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", 'multipart/related; type="application/dicom"', 400),
        (b"", TYPE, 400),
        (b"garbage", TYPE, 400),
        (body(b"x")[:-20], TYPE, 400),
        (b"", TYPE.replace("application/dicom", "application/dicom+xml"), 415),
    ],
)
def test_bodies_that_cannot_be_read(
    pictures: TestClient, content: bytes, kind: str, status: int
) -> None:
    answer = post(pictures, content, kind=kind)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_came_before_a_cut_is_safe(pictures: TestClient) -> None:
    answer = post(pictures, body(made(1), made(2))[:-400])
    assert answer.status_code == 400
    assert "1 objects" in answer.json()["detail"]
    assert len(settled(pictures, 1)) == 1


def test_one_object_by_itself(pictures: TestClient) -> None:
    assert post(pictures, made(1), kind="application/dicom").status_code == 200
    settled(pictures, 1)


def test_the_answer_as_xml(pictures: TestClient) -> None:
    headers = {"Content-Type": TYPE, "Accept": "application/dicom+xml"}
    answer = pictures.post("/dicom-web/studies", content=body(made(1)), headers=headers)
    assert answer.headers["content-type"] == "application/dicom+xml"
    assert b'keyword="ReferencedSOPSequence"' in answer.content


def test_the_guard_stands_before_it(place: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    settings = Settings(service=Service(token_file=tmp_path / "token"))
    with TestClient(app(place, settings), base_url="http://localhost") as pictures:
        assert post(pictures, body(made(1))).status_code == 401
        assert pictures.get("/dicom-web/studies").status_code == 401
        assert (
            pictures.get("/dicom-web/studies", headers={"Host": "evil.example"}).status_code == 403
        )
        token = {"Authorization": "Bearer secret"}
        assert pictures.get("/dicom-web/studies", headers=token).json() == []
        foreign = {**token, "Origin": "https://evil.example", "Content-Type": TYPE}
        assert pictures.post("/dicom-web/studies", content=b"", headers=foreign).status_code == 403
        assert (
            "access-control-allow-origin"
            not in pictures.get(
                "/dicom-web/studies", headers={**token, "Origin": "https://evil.example"}
            ).headers
        )


def test_more_than_the_limit_of_other_requests(pictures: TestClient) -> None:
    pixels = bytes(1024 * 1024)
    big = [made(n, Rows=1024, Columns=1024, BitsAllocated=8, PixelData=pixels) for n in (1, 2)]

    def chunks() -> Iterator[bytes]:
        data = io.BytesIO(body(*big * 33))
        while chunk := data.read(1 << 20):
            yield chunk

    answer = pictures.post("/dicom-web/studies", content=chunks(), headers={"Content-Type": TYPE})
    assert answer.status_code == 200
    assert len(uids(answer, "00081199")) == 66
    assert len(settled(pictures, 2)) == 2
