"""Real archives that die in the middle, do not say what they hold, or a disk that is full."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from pydicom.errors import InvalidDicomError

from dicomlake import settings
from dicomlake.contracts.queues import DONE
from dicomlake.jobs.doctor import examine
from dicomlake.jobs.requests import Request, Requests
from dicomlake.lake import Store
from dicomlake.settings import add_source, set_listener
from dicomlake.testing.archives import Dcmqrscp, Orthanc, free_port
from tests.conftest import needed
from tests.sources.pacs.dimse_made import COMPRESSED, sample, series_of, written

from .served import Service, add, children, command, serving, until

pytestmark = pytest.mark.service


def shown(lake: Path) -> list[str]:
    """SOPInstanceUIDs of what is shown, each as often as it is there."""
    with Store(lake).database() as db:
        found = db.sql(
            'select "SOPInstanceUID" from instances semi join series using (series_id)'
        ).fetchall()
    return sorted(uid for (uid,) in found)


def asked(lake: Path, **more: object) -> str:
    with Requests(lake, settings.read(lake)) as requests:
        values = {"depth": "complete", "undated": True, **more}
        return requests.submit(Request("pacs", **values)).id


def ended(process: subprocess.Popen[bytes]) -> None:
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 0, said
    assert "Traceback" not in said


def kill(process: subprocess.Popen[bytes]) -> None:
    for pid in [*children(process.pid), process.pid] if process.poll() is None else []:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def whole(lake: Path, job: str, uids: list[str]) -> None:
    """All of a job is there, once."""
    with Requests(lake, settings.read(lake)) as requests:
        missing = list(requests.missing(job))
        assert [m for m in missing if m.state != DONE] == []
        assert requests.job(job).state == "finished"
    assert shown(lake) == sorted(uids)
    assert Store(lake).read("failures").num_rows == 0
    assert [found for found in examine(lake) if found.level == "error"] == []


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty series of four images."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(40):
        series_of(folder / str(number), 4, f"1.2.7.{number % 4}", f"1.2.7.{number % 4}.{number}")
    return folder


@pytest.mark.parametrize("way", ["get", "dicomweb"])
def test_an_orthanc_that_dies_and_comes_back(
    orthanc_installed: None, images: Path, tmp_path: Path, way: str
) -> None:
    lake, files = tmp_path / "lake", sorted(images.rglob("*.dcm"))
    orthanc = Orthanc(tmp_path / "orthanc", options={"SyncStorageArea": True})
    with orthanc:
        assert not orthanc.seed(files)
        values = {"kind": "dicomweb", "url": orthanc.dicomweb}
        if way == "get":
            values = {"kind": "dimse", "host": "127.0.0.1", "port": orthanc.dicom}
            values |= {"called": "ORTHANC", "retrieve": "get"}
        add_source(lake, "pacs", {**values, "limits": {"objects_per_second": 25}})
        job = asked(lake)
        worker = command("worker", "--once", "-n", "2", lake=lake)
        try:
            with Requests(lake, settings.read(lake)) as requests:

                def series() -> int:
                    return sum(
                        count.tasks
                        for count in requests.queue.counts(job)
                        if count.kind == "series" and count.state in ("written", DONE)
                    )

                until(lambda: series() > 2)
                orthanc.stop(kill=True)
                assert series() < 40, "it was over before the archive was killed"
                until(lambda: refusals(lake) > 0, 30, "nobody noticed")
            orthanc.start()
            ended(worker)
        finally:
            kill(worker)
    whole(lake, job, [path.stem for path in files])


def refusals(lake: Path) -> int:
    from contextlib import closing

    from dicomlake.jobs.working import care_of

    with closing(care_of(lake)) as care:
        return care.refusals("pacs")


@pytest.fixture(scope="module")
def hospital(small_hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of a hospital by SOPInstanceUID."""
    found: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("found")
    for path in sorted(small_hospital.rglob("*.dcm")):
        with suppress(InvalidDicomError, AttributeError):
            ds = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"])
            uid = str(ds.SOPInstanceUID)
            if uid not in found:
                found[uid] = folder / f"{uid}.dcm"
                found[uid].symlink_to(path)
    return found


@pytest.mark.parametrize("way", ["get", "move"])
def test_all_of_a_dcmqrscp_that_does_not_say_classes(
    dcmqrscp_installed: None, hospital: dict[str, Path], tmp_path: Path, way: str
) -> None:
    lake, port = tmp_path / "lake", free_port()
    archive = Dcmqrscp(tmp_path / "archive", {"LAKE": port}, arguments=["+xr"])
    uids, files = list(hospital), tmp_path / "files"
    files.mkdir()
    for uid, file in hospital.items():
        (files / f"{uid}.dcm").symlink_to(file)
    if way == "get":  # by C-MOVE it sends nothing that is compressed, or nothing else
        of = {"StudyInstanceUID": "1.6", "SeriesInstanceUID": "1.6.1", "PatientID": "C"}
        written(sample(COMPRESSED["RLE"], **of, SOPInstanceUID="1.6.1.1"), files)
        uids.append("1.6.1.1")
    archive.seed(files)
    values = {"kind": "dimse", "host": "127.0.0.1", "port": archive.dicom, "called": "QRSCP"}
    add_source(lake, "pacs", {**values, "calling": "LAKE", "retrieve": way})
    if way == "move":
        set_listener(lake, {"ae_title": "LAKE", "port": port})
    with archive:
        job = asked(lake)
        worker = command("worker", "--once", "-n", "1", lake=lake)
        try:
            ended(worker)
        finally:
            kill(worker)
    whole(lake, job, uids)


@pytest.fixture
def small_disk(network: None, tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=12m"):
        needed(f"no file system can be mounted here ({os.strerror(ctypes.get_errno())})")
    try:
        yield folder
    finally:
        libc.umount2(str(folder).encode(), 2)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    lake, service = small_disk / "lake", Service(20, 5)
    filler = small_disk / "filler"
    with serving(service) as url:
        add(lake, url)
        job = asked(lake, depth="headers")
        service.pause_s = 0.01
        worker = command("worker", "--once", "-n", "1", lake=lake)
        try:
            until(lambda: service.asked["metadata"] > 3)
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            service.pause_s = 0.0
            os.set_blocking(worker.stderr.fileno(), False)  # type: ignore[union-attr]
            said = bytearray()

            def complained() -> bool:
                said.extend(worker.stderr.read() or b"")  # type: ignore[union-attr]
                return b"waits" in said or b"full" in said

            until(complained, 60, "nobody said that the disk is full")
            assert worker.poll() is None, said.decode()
            os.set_blocking(worker.stderr.fileno(), True)  # type: ignore[union-attr]
            filler.unlink()
            ended(worker)
        finally:
            kill(worker)
    whole(lake, job, sorted(service.uids()))
