"""Datasets that go elsewhere: to object storage, and to a DICOM node."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.datasets.ledger import Ledger
from dicomlake.jobs.datasets.making import make, run
from dicomlake.jobs.datasets.places import sha256
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.sources.objects import ObjectSource
from dicomlake.testing.archives import Missing, enter_namespace, free_port, wait_for_port
from tests.jobs.made import put, slice_of
from tests.jobs.made import run as index
from tests.sources.pacs.dimse_made import dcmtk


@pytest.fixture(scope="module")
def network() -> None:
    with contextlib.suppress(Missing):
        enter_namespace()


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for number in range(1, 9):
        put(tmp_path / "archive", f"{number}.dcm", slice_of(1, number, PatientID="P1"))
    index(tmp_path / "archive", tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture(scope="module")
def server(network: None) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def settings(lake: Path, text: str) -> None:
    (lake / "dicomlake.toml").write_text(text, encoding="utf-8")


def wanted(out: str, **more: object) -> Wanted:
    return Wanted(out, where="Modality = 'CT'", profile="identified", **more)  # type: ignore[arg-type]


def test_object_storage_gets_everything_once_it_is_checked(
    lake: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_SECRET", "secret")
    settings(
        lake,
        f"""[source.shared]
kind = "objects"
url = "s3://shared/datasets"
endpoint = "{server}"
user = "key"
password_env = "S3_SECRET"
""",
    )
    with pytest.raises((UsageError, ServiceError)):  # there is no bucket yet
        make(lake, wanted("objects:shared/mine"), name="mine")
    job = Ledger(lake, "mine").job
    assert job["state"] == "stopped"
    asked = urllib.request.Request(f"{server}/shared", method="PUT")
    with urllib.request.urlopen(asked):
        pass
    assert run(lake, "mine").state == "finished"
    source = ObjectSource(
        "s3://shared/datasets/mine", endpoint=server, user="key", password="secret"
    )
    found = {source.key(one.uri).removeprefix("datasets/mine/"): one for one in source.find()}
    about = json.loads(_read(source, found["dataset.json"]))
    sums = _read(source, found["CHECKSUMS.sha256"])
    assert sha256(sums) == about["checksums"]
    said = dict(reversed(line.split("  ")) for line in sums.decode().splitlines())
    assert set(found) == {*said, "dataset.json", "CHECKSUMS.sha256"}
    for path, told in said.items():
        assert sha256(_read(source, found[path])) == told
    assert not (Ledger(lake, "mine").folder / "tree").exists()


def _read(source: ObjectSource, found: object) -> bytes:
    return source.reader(found.uri)(0, found.size)  # type: ignore[attr-defined]


@contextlib.contextmanager
def storescp(folder: Path, port: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    command = [dcmtk("storescp"), "-aet", "NODE", "-od", str(folder), "+xa", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait()


def test_a_node_gets_every_object(lake: Path, tmp_path: Path, network: None) -> None:
    import pydicom

    port = free_port()
    settings(
        lake,
        f"""[source.node]
kind = "dimse"
host = "127.0.0.1"
port = {port}
called = "NODE"
""",
    )
    with pytest.raises(UsageError, match="takes objects alone"):
        make(lake, wanted("dicom:node", formats=("dicom", "png")))
    with pytest.raises(ServiceError, match="cannot be reached"):
        make(lake, wanted("dicom:node"), name="sent")
    assert Ledger(lake, "sent").job["state"] == "stopped"
    with storescp(tmp_path / "got", port):
        assert run(lake, "sent").state == "finished"
    got = {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "got").iterdir()}
    rows = Ledger(lake, "sent").rows("select new_object from objects")
    assert got == {row[0] for row in rows}
    assert len(got) == 8


def test_a_target_that_is_none_is_told_before_anything_is_made(lake: Path) -> None:
    with pytest.raises(UsageError, match="There is no source 'nobody'"):
        make(lake, wanted("dicom:nobody"), name="nobody")
    with pytest.raises(UsageError, match="There is no source 'nobody'"):
        make(lake, wanted("objects:nobody"), name="nobody")
    assert not (lake / "_datasets" / "nobody").exists()
