"""Object storage as a source: the same lake as from files, few requests, errors in words."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dicomlake import settings
from dicomlake.cli import main
from dicomlake.errors import DataError, Refused, ServiceError, UsageError
from dicomlake.jobs.index import index
from dicomlake.jobs.objects import object_of
from dicomlake.lake import Store
from dicomlake.readers.header import HeaderReader
from dicomlake.sources.folder import FolderSource
from dicomlake.sources.objects import AHEAD, ObjectSource, object_source
from dicomlake.sources.opening import Elsewhere, bytes_of, opened
from dicomlake.testing.archives import Missing, enter_namespace
from dicomlake.testing.dicom import encode, image

from ..jobs.made import content, healthy, slice_of

KEYS = {"user": "key", "password": "secret", "region": "us-east-1"}


class Bucket:
    """A bucket of a local server, filled and emptied by its own client."""

    def __init__(self, endpoint: str, name: str) -> None:
        import obstore
        from obstore.store import S3Store

        self.endpoint, self.name, self._obstore = endpoint, name, obstore
        self._store = S3Store(
            name,
            config={
                "access_key_id": "key",
                "secret_access_key": "secret",
                "region": "us-east-1",
                "endpoint": endpoint,
            },
            client_options={"allow_http": True},
        )

    def put(self, key: str, data: bytes) -> None:
        self._obstore.put(self._store, key, data)

    def delete(self, key: str) -> None:
        self._obstore.delete(self._store, key)

    def fill(self, folder: Path, prefix: str = "") -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(prefix + path.relative_to(folder).as_posix(), path.read_bytes())

    def source(self, prefix: str = "") -> ObjectSource:
        return ObjectSource(f"s3://{self.name}/{prefix}", endpoint=self.endpoint, **KEYS)


@pytest.fixture(scope="module")
def same_network() -> None:
    """The network that tests of archives move to: threads of obstore stay where they begin."""
    with contextlib.suppress(Missing):
        enter_namespace()


@pytest.fixture(scope="module")
def server(same_network: None) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> Bucket:
    return made_bucket(server, f"b{abs(hash(request.node.name)):x}")


def made_bucket(server: str, name: str) -> Bucket:
    import urllib.request

    asked = urllib.request.Request(f"{server}/{name}", method="PUT")
    with urllib.request.urlopen(asked):
        pass
    return Bucket(server, name)


def told(lake: Path) -> dict[str, Any]:
    """What a lake says, apart from where its objects lie and when they changed."""
    found = content(lake)
    return {
        name: sorted(
            tuple((k, v) for k, v in row if k not in ("uri", "modified", "source"))
            for row in found[name]
        )
        for name in ("series", "instances", "elements")
    }


def uris(source: ObjectSource) -> list[str]:
    return [found.uri for found in source.find()]


@pytest.fixture(scope="module")
def files(small_hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the hospital, and archives of some other images."""
    folder = tmp_path_factory.mktemp("files") / "files"
    shutil.copytree(small_hospital, folder)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x/one.dcm", slice_of(1, 1))
        packed.writestr("x/two.txt", b"text")
    for name in ("b.tar", "c.tar.gz"):
        with tarfile.open(folder / name, f"w:{name[6:]}") as packed_:
            for number in range(3):
                info = tarfile.TarInfo(f"{number}.dcm")
                data = slice_of(name, number)
                info.size = len(data)
                packed_.addfile(info, io.BytesIO(data))
    (folder / "d.zip").write_bytes(b"PK no zip")
    return folder


@pytest.fixture(scope="module")
def stored(server: str, files: Path) -> Bucket:
    bucket = made_bucket(server, "hospital")
    bucket.fill(files, "2024/x y/")
    return bucket


def members_of(source: Any) -> list[tuple[str, int, int]]:
    return sorted(
        (thing.uri.partition("::")[0], thing.offset, thing.size)
        for found in source.find()
        if found.archive
        for thing in source.open(found)
        if "::" in thing.uri
    )


class TestIndexing:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_the_lake_is_that_of_the_files(
        self, stored: Bucket, files: Path, tmp_path: Path, workers: int
    ) -> None:
        source = stored.source("2024")
        report = index(source, tmp_path / "stored", workers=workers)
        expected = index([files], tmp_path / "files", workers=1)
        assert report.counts == expected.counts
        assert report.failures == expected.failures
        assert report.lake == expected.lake
        assert told(tmp_path / "stored") == told(tmp_path / "files")
        rows = Store(tmp_path / "stored").read("instances", ["uri"]).column(0).to_pylist()
        assert all(row.rpartition("::")[2].startswith("s3://hospital/2024/x%20y/") for row in rows)
        assert {row.partition("://")[0] for row in rows} == {"s3", "zip", "tar"}
        healthy(tmp_path / "stored")
        again = index(source, tmp_path / "stored", workers=workers)
        assert again.counts["unchanged"] == again.counts["files"] == report.counts["files"]
        assert again.counts["objects"] == 0

    def test_members_are_found_where_files_have_them(self, stored: Bucket, files: Path) -> None:
        here, there = FolderSource((str(files),)), stored.source()
        assert members_of(there) == members_of(here)

    def test_objects_are_opened_again(self, stored: Bucket, files: Path, tmp_path: Path) -> None:
        source = stored.source()
        index(source, tmp_path / "lake", workers=1)
        rows = Store(tmp_path / "lake").read("instances").to_pylist()
        by_scheme = {row["uri"].partition("://")[0]: row for row in rows}
        for row in by_scheme.values():
            with object_of(row, Elsewhere(buckets=(source,))) as found:
                assert found.header["00080018"]["Value"] == [row["SOPInstanceUID"]]
            assert len(bytes_of(row, Elsewhere(buckets=(source,)))) == row["size"]


class TestChanges:
    def test_what_changed_vanished_and_came(self, bucket: Bucket, tmp_path: Path) -> None:
        for number in range(4):
            bucket.put(f"a/{number}.dcm", slice_of(1, number))
        lake, source = tmp_path / "lake", bucket.source()
        assert index(source, lake).counts["objects"] == 4
        bucket.put("a/1.dcm", slice_of(1, 1, StudyDescription="changed"))
        bucket.delete("a/2.dcm")
        bucket.put("a/9.dcm", slice_of(1, 9))
        counts = index(source, lake, prune=True).counts
        assert (counts["unchanged"], counts["changed"], counts["vanished"]) == (2, 1, 1)
        assert counts["objects"] == 2
        healthy(lake)
        assert len(Store(lake).read("instances")) == 4

    def test_deleted_between_listing_and_reading(self, bucket: Bucket, tmp_path: Path) -> None:
        for number in range(3):
            bucket.put(f"{number}.dcm", slice_of(1, number))

        report = index(Meanwhile(bucket.source(), lambda: bucket.delete("1.dcm")), tmp_path / "l")
        assert report.counts["objects"] == 2
        rows = Store(tmp_path / "l").read("failures").to_pylist()
        assert [(row["uri"], row["stage"], row["reason"]) for row in rows] == [
            (f"s3://{bucket.name}/1.dcm", "open", "cannot be opened: it is no longer there")
        ]

    def test_changed_between_listing_and_reading(self, bucket: Bucket, tmp_path: Path) -> None:
        bucket.put("1.dcm", slice_of(1, 1))
        other = slice_of(1, 2, StudyDescription="longer")
        source = Meanwhile(bucket.source(), lambda: bucket.put("1.dcm", other))
        report = index(source, tmp_path / "lake")
        assert report.failures == {"cannot be opened: it changed after it was listed": 1}
        assert index(bucket.source(), tmp_path / "lake").counts["objects"] == 1
        assert len(Store(tmp_path / "lake").read("failures")) == 0


class Meanwhile:
    """A source at which something happens between listing and reading."""

    def __init__(self, source: ObjectSource, happens: Callable[[], None]) -> None:
        self.source, self.happens, self.name = source, happens, source.name

    def find(self) -> Iterator[Any]:
        yield from self.source.find()
        self.happens()

    def open(self, found: Any) -> Iterator[Any]:
        yield from self.source.open(found)

    def ahead(self, founds: Any) -> Iterator[Any]:
        yield from self.source.ahead(founds)


class TestFinding:
    def test_lakes_and_neighbours_are_left_out(self, bucket: Bucket) -> None:
        for key in ("a/lake/0.dcm", "a/lake/dicomlake.json", "a/lake/z/1.dcm", "a/lakes/2.dcm"):
            bucket.put(key, b"x")
        bucket.put("ab/3.dcm", b"x")
        whole = f"s3://{bucket.name}/"
        assert uris(bucket.source()) == [whole + "a/lakes/2.dcm", whole + "ab/3.dcm"]
        assert uris(bucket.source("a/")) == uris(bucket.source("a")) == [whole + "a/lakes/2.dcm"]
        bucket.put("dicomlake.json", b"{}")
        assert uris(bucket.source()) == []

    def test_one_object(self, bucket: Bucket) -> None:
        bucket.put("a/one.zip", b"x")
        (found,) = bucket.source("a/one.zip").find()
        assert (found.uri, found.size, found.archive) == (f"s3://{bucket.name}/a/one.zip", 1, True)
        assert abs(found.modified / 1e6 - time.time()) < 60

    @pytest.mark.parametrize("key", ["ä b+%.dcm", "a/%20x", "~#?&=.dcm", "日本/::1.dcm"])
    def test_odd_keys(self, bucket: Bucket, key: str) -> None:
        data = slice_of(1, 1)
        bucket.put(key, data)
        source = bucket.source()
        (found,) = source.find()
        assert found.uri.isascii()
        assert "::" not in found.uri
        assert source.key(found.uri) == key
        (thing,) = source.open(found)
        assert thing.fetch(0, len(data)) == data
        assert (
            bytes_of(
                {"uri": found.uri, "offset": 0, "size": len(data)}, Elsewhere(buckets=(source,))
            )
            == data
        )

    def test_more_than_a_page(self, bucket: Bucket) -> None:
        for number in range(1005):
            bucket.put(f"{number:04}", b"x")
        assert uris(bucket.source()) == [f"s3://{bucket.name}/{n:04}" for n in range(1005)]

    def test_it_can_be_sent_to_another_process(self, bucket: Bucket) -> None:
        bucket.put("a", b"x")
        source = bucket.source()
        list(source.find())
        sent = pickle.dumps(source)
        assert len(sent) < 2000
        assert uris(pickle.loads(sent)) == uris(source)
        assert "secret" not in repr(source)

    def test_settings(self, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
        monkeypatch.setenv("SECRET", "s")
        made = object_source(
            "mine",
            settings.Source(
                kind="objects",
                url="s3://b/p",
                endpoint=server,
                region="eu-west-1",
                user="u",
                password_env="SECRET",
            ),
        )
        assert made == ObjectSource(
            "s3://b/p", "mine", endpoint=server, region="eu-west-1", user="u", password="s"
        )
        with pytest.raises(UsageError, match="s3://bucket/prefix"):
            ObjectSource("s3:///x")


class Counted(BaseHTTPRequestHandler):
    """Just enough of S3, in one bucket: range reads, counted, slow or refused as told."""

    objects: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []
    wait_s = 0.0
    at_once = most_at_once = 0
    refuse: tuple[int, str] | None = None
    lock = threading.Lock()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind = type(self)
        with kind.lock:
            kind.asked.append((self.path, self.headers.get("Range", "")))
            kind.at_once += 1
            kind.most_at_once = max(kind.most_at_once, kind.at_once)
        try:
            time.sleep(kind.wait_s)
            self._answer()
        finally:
            with kind.lock:
                kind.at_once -= 1

    def _answer(self) -> None:
        if self.refuse:
            status, code = self.refuse
            self._send(status, f"<Error><Code>{code}</Code></Error>".encode(), {})
            return
        data = self.objects[self.path.rpartition("/")[2]]
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = data[int(first) : int(last) + 1]
        more = {
            "Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}",
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "ETag": '"1"',
        }
        self._send(206, part, more)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def counted(same_network: None) -> Iterator[tuple[type[Counted], ObjectSource]]:
    kind = type("Mine", (Counted,), {"objects": {}, "asked": [], "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kind, ObjectSource("s3://b", endpoint=f"http://127.0.0.1:{server.server_port}", **KEYS)
    server.shutdown()
    server.server_close()
    thread.join()


def found_of(source: ObjectSource, name: str, data: bytes) -> Any:
    from dicomlake.contracts import Found

    return Found(source.uri(name), len(data), 1_767_225_600_000_000)


class TestRequests:
    @pytest.mark.parametrize(
        ("pixels", "requests"), [(1000, 1), (524_288, 1), (50_000_000, 1)], ids=str
    )
    def test_a_header_costs_one_request(
        self, counted: tuple[type[Counted], ObjectSource], pixels: int, requests: int
    ) -> None:
        kind, source = counted
        kind.objects["x"] = data = encode(image(PixelData=bytes(pixels)))
        (thing,) = source.open(found_of(source, "x", data))
        header = HeaderReader().read(thing.fetch, thing.size)
        assert header.json == HeaderReader().read_bytes(data).json
        assert len(kind.asked) == requests

    def test_what_lies_behind_the_pixels_costs_another(
        self, counted: tuple[type[Counted], ObjectSource]
    ) -> None:
        kind, source = counted
        dataset = image(PixelData=bytes(5_000_000), DataSetTrailingPadding=b"abcd")
        kind.objects["x"] = data = encode(dataset)
        (thing,) = source.open(found_of(source, "x", data))
        header = HeaderReader().read(thing.fetch, thing.size)
        assert header.json == HeaderReader().read_bytes(data).json
        assert b"FFFCFFFC" in header.json
        assert len(kind.asked) == 2

    def test_steps_grow_when_much_is_read(
        self, counted: tuple[type[Counted], ObjectSource]
    ) -> None:
        kind, source = counted
        kind.objects["x"] = data = os.urandom(1_000_000) * 30
        (thing,) = source.open(found_of(source, "x", data))
        read = b"".join(thing.fetch(at, 10_000) for at in range(0, len(data) + 20_000, 10_000))
        assert read == data
        assert len(kind.asked) < 15
        assert thing.fetch(len(data) - 3, 10) == data[-3:]
        assert thing.fetch(len(data) + 3, 10) == b""
        assert thing.fetch(5, 10) == data[5:15]
        with pytest.raises(DataError, match="too large"):
            thing.fetch(0, 1 << 30)

    def test_the_next_ones_are_fetched_meanwhile(
        self, counted: tuple[type[Counted], ObjectSource]
    ) -> None:
        kind, source = counted
        kind.wait_s = 0.05
        data = slice_of(1, 1)
        kind.objects |= {str(n): data for n in range(64)}
        founds = [found_of(source, str(n), data) for n in range(64)]
        seen = []
        for found, things in source.ahead(founds):
            (thing,) = things
            assert thing.uri == found.uri
            assert thing.fetch(0, 10**6) == data
            seen.append(found)
        assert seen == founds
        assert 4 < kind.most_at_once <= AHEAD
        assert len(kind.asked) == 64

    def test_stopping_early_asks_no_more(self, counted: tuple[type[Counted], ObjectSource]) -> None:
        kind, source = counted
        data = slice_of(1, 1)
        kind.objects |= {str(n): data for n in range(500)}
        opened_ = source.ahead(found_of(source, str(n), data) for n in range(500))
        next(opened_)
        opened_.close()
        time.sleep(0.1)
        assert len(kind.asked) <= 2 * AHEAD + 1

    @pytest.mark.parametrize(
        ("status", "code", "says"),
        [
            (404, "NoSuchKey", "it is no longer there"),
            (403, "InvalidObjectState", "it may not be read"),
            (412, "PreconditionFailed", "it changed while it was read"),
        ],
    )
    def test_what_is_wrong_with_one_object(
        self,
        counted: tuple[type[Counted], ObjectSource],
        status: int,
        code: str,
        says: str,
    ) -> None:
        kind, source = counted
        kind.refuse = status, code
        (thing,) = source.open(found_of(source, "x", b"123"))
        assert says in thing.problem

    def test_credentials_that_end_stop_the_run(
        self, counted: tuple[type[Counted], ObjectSource], tmp_path: Path
    ) -> None:
        kind, source = counted
        kind.refuse = 400, "ExpiredToken"
        with pytest.raises(Refused, match="ExpiredToken"):
            list(source.open(found_of(source, "x", b"123")))

    def test_a_storage_that_goes_away_stops_the_run(
        self,
        counted: tuple[type[Counted], ObjectSource],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        kind, source = counted
        kind.objects["x"] = data = encode(image(PixelData=bytes(2_000_000)))
        found = found_of(source, "x", data)

        class Away:
            name = "away"

            def find(self) -> Iterator[Any]:
                yield found

            def open(self, found: Any) -> Iterator[Any]:
                (thing,) = source.open(found)
                kind.refuse = 400, "ExpiredToken"
                yield thing.__class__(thing.uri, 0, thing.size, _late(thing.fetch))

        with pytest.raises(ServiceError, match="ExpiredToken"):
            index(Away(), tmp_path / "lake", workers=1)
        assert len(Store(tmp_path / "lake").read("failures")) == 0


def _late(fetch: Any) -> Any:
    return lambda offset, length: fetch(offset + 600_000, length)


class TestErrors:
    def test_missing_bucket(self, server: str) -> None:
        with pytest.raises(UsageError, match="no bucket 'not-there'"):
            list(ObjectSource("s3://not-there/x", endpoint=server, **KEYS).find())

    def test_missing_prefix(self, bucket: Bucket) -> None:
        bucket.put("a/b", b"x")
        with pytest.raises(UsageError, match=r"nothing below s3://.*/c\. Is it spelled"):
            list(bucket.source("c").find())

    def test_missing_credentials(self, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        # where cloud machines find theirs: nobody answers here
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(UsageError, match="Set AWS_ACCESS_KEY_ID"):
            list(ObjectSource("s3://b", endpoint=server).find())

    @pytest.mark.parametrize(
        ("status", "code", "kind", "says"),
        [
            (403, "InvalidAccessKeyId", UsageError, "does not accept the credentials"),
            (403, "AccessDenied", UsageError, "may not be listed"),
            (301, "PermanentRedirect", UsageError, "endpoint and region"),
        ],
    )
    def test_refused(
        self,
        counted: tuple[type[Counted], ObjectSource],
        status: int,
        code: str,
        kind: type[Exception],
        says: str,
    ) -> None:
        handler, source = counted
        handler.refuse = status, code
        with pytest.raises(kind, match=says) as raised:
            list(source.find())
        assert "secret" not in str(raised.value)

    def test_nobody_there(self, same_network: None) -> None:
        source = ObjectSource("s3://b", endpoint="http://127.0.0.1:9", **KEYS)
        with pytest.raises(Refused, match="cannot be reached"):
            list(source.find())

    def test_keys_that_cannot_be_read(self, bucket: Bucket, server: str) -> None:
        import urllib.request

        asked = urllib.request.Request(f"{server}/{bucket.name}/a//b", data=b"x", method="PUT")
        with urllib.request.urlopen(asked):
            pass
        with pytest.raises(UsageError, match="empty part"):
            list(bucket.source().find())

    def test_opened_again_when_gone_or_changed(self, bucket: Bucket) -> None:
        bucket.put("a.dcm", b"12345")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("m", b"inside")
        bucket.put("b.zip", archive.getvalue())
        source = bucket.source()
        for uri, size, says in [
            ("a.dcm", 4, "has changed"),
            ("b.dcm", 4, "no longer there"),
        ]:
            with (
                pytest.raises(UsageError, match=says),
                opened(
                    {"uri": source.uri(uri), "offset": 0, "size": size},
                    Elsewhere(buckets=(source,)),
                ),
            ):
                pass
        inside = f"zip://m::{source.uri('b.zip')}"
        assert (
            bytes_of({"uri": inside, "offset": 0, "size": 6}, Elsewhere(buckets=(source,)))
            == b"inside"
        )
        for uri in ("zip://n::" + source.uri("b.zip"), "zip://m::" + source.uri("c.zip")):
            with pytest.raises(UsageError, match=r"s3://.*(has changed|no longer)"):
                bytes_of({"uri": uri, "offset": 0, "size": 6}, Elsewhere(buckets=(source,)))

    def test_tar_members_are_read_in_place(self, bucket: Bucket) -> None:
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as packed:
            info = tarfile.TarInfo("m")
            info.size = 6
            packed.addfile(info, io.BytesIO(b"inside"))
        bucket.put("b.tar", held.getvalue())
        source = bucket.source()
        (found,) = source.find()
        (thing,) = source.open(found)
        row = {"uri": thing.uri, "offset": thing.offset, "size": thing.size}
        assert thing.offset == 512
        assert bytes_of(row, Elsewhere(buckets=(source,))) == b"inside"


PROGRAM = """
import sys
from dicomlake.jobs import index, reading
from dicomlake.sources.objects import ObjectSource
reading.CHUNK_FILES, index.COMMIT_AT, index.COMMIT_EVERY_S = 10, 20, 0.1
source = ObjectSource(sys.argv[1], endpoint=sys.argv[2], user="key", password="secret")
index.index(source, sys.argv[3], workers=2)
"""


def test_killed_and_started_again(bucket: Bucket, tmp_path: Path) -> None:
    for number in range(160):
        bucket.put(f"{number // 20:02}/{number:03}.dcm", slice_of(number // 20, number))
    lake, source = tmp_path / "lake", bucket.source()
    command = [sys.executable, "-c", PROGRAM, source.url, bucket.endpoint, str(lake)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    version = lake / "series" / "_delta_log" / f"{1:020}.json"
    while not version.exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    report = index(source, lake, workers=2)
    assert 0 < report.counts["unchanged"] < 160
    whole = tmp_path / "whole"
    index(source, whole, workers=1)
    assert content(lake) == content(whole)
    healthy(lake)


class TestCommand:
    def test_index(self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bucket.put("a/1.dcm", slice_of(1, 1))
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": bucket.endpoint,
        }.items():
            monkeypatch.setenv(name, value)
        lake = tmp_path / "lake"
        assert _status(["index", f"s3://{bucket.name}/a", "--lake", str(lake), "--quiet"]) == 0
        (row,) = Store(lake).read("instances").to_pylist()
        assert row["uri"] == f"s3://{bucket.name}/a/1.dcm"
        assert bytes_of(row) == slice_of(1, 1)

    def test_settings_of_the_lake(
        self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket.put("a/1.dcm", slice_of(1, 1))
        monkeypatch.setenv("SECRET", "secret")
        lake, url = tmp_path / "lake", f"s3://{bucket.name}/a"
        values = {"kind": "objects", "url": url, "endpoint": bucket.endpoint, "user": "key"}
        Store.create(lake)
        settings.add_source(lake, "cloud", {**values, "password_env": "SECRET"})
        assert _status(["index", url, "--lake", str(lake), "--quiet"]) == 0
        assert Store(lake).read("series", ["source"]).column(0).to_pylist() == ["cloud"]

    def test_alone(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert _status(["index", "s3://b/a", str(tmp_path), "--lake", str(tmp_path / "l")]) != 0
        assert "one s3://bucket/prefix at a time" in capsys.readouterr().err


def _status(arguments: list[str]) -> Any:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return stopped.value.code


def test_without_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(UsageError, match=r"pip install 'dicomlake\[pacs\]'"):
        list(ObjectSource("s3://nobody-asked-yet").find())


def test_nothing_heavy_is_loaded() -> None:
    script = (
        "import sys, dicomlake.sources.objects, dicomlake.sources.dicomweb\n"
        "print([m for m in ('obstore', 'httpx', 'moto') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout.decode()) == []
