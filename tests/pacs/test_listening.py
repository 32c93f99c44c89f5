"""Others send to a lake that listens: what they were told is stored is there, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.errors import InvalidDicomError
from pynetdicom import evt

from dicomlake import settings
from dicomlake.contracts.queues import DONE
from dicomlake.jobs import reception
from dicomlake.jobs.doctor import examine
from dicomlake.jobs.requests import Request, Requests
from dicomlake.lake import Store
from dicomlake.lake.store import INBOX, KEPT, QUEUE
from dicomlake.settings import add_source, set_listener
from dicomlake.testing.archives import Orthanc, free_port, program
from tests.sources.pacs.test_dimse_listener import Reports, commit

from .served import Service, add, children, command, runs, serving, until

pytestmark = pytest.mark.service

SENT = b"I: Sending file: "
STORED = b"I: Received Store Response (Success)"


@dataclass
class Lake:
    """A lake that listens on a port of loopback."""

    path: Path
    port: int

    def uids(self) -> list[str]:
        """SOPInstanceUIDs of what is shown, each as often as it is there."""
        if not (self.path / "series").exists():
            return []
        store = Store(self.path)
        if not store.files("series"):
            return []
        with store.database() as db:
            found = db.sql(
                'select "SOPInstanceUID" from instances semi join series using (series_id)'
            ).fetchall()
        return sorted(uid for (uid,) in found)

    def journals(self) -> int:
        """Bytes of the journals."""
        found = 0
        for path in (self.path / QUEUE / "journals").glob("*.journal"):
            with suppress(FileNotFoundError):
                found += path.stat().st_size
        return found

    def sending(self, *files: Path, calling: str = "PACS") -> subprocess.Popen[bytes]:
        """storescu, which sends files."""
        place = ["-aet", calling, "-aec", "LAKE", "127.0.0.1", str(self.port)]
        return subprocess.Popen(
            [program("storescu"), "-v", "-R", *place, *map(str, files)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TCP_NODELAY": "1"},
        )

    def send(self, *files: Path, calling: str = "PACS") -> tuple[int, bytes]:
        """The exit status of storescu, and what it says."""
        process = self.sending(*files, calling=calling)
        said = process.communicate(timeout=60)[0]
        return process.returncode, said

    def answers(self) -> bool:
        """Whether somebody listens."""
        place = ["-aet", "PACS", "-aec", "LAKE", "127.0.0.1", str(self.port)]
        asked = subprocess.run([program("echoscu"), *place], capture_output=True, check=False)
        return asked.returncode == 0


def made(folder: Path, **more: object) -> Lake:
    lake = Lake(folder / "lake", free_port())
    values = {"kind": "dimse", "host": "127.0.0.1", "port": 1, "called": "PACS"}
    add_source(lake.path, "pacs", values)
    set_listener(lake.path, {"ae_title": "LAKE", "port": lake.port, **more})
    return lake


@contextmanager
def working(lake: Lake, processes: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """`dicomlake worker`, once it listens."""
    crew = command("worker", "-n", str(processes), lake=lake.path)
    try:
        until(lake.answers, 60, "nobody listens")
        yield crew
        crew.send_signal(signal.SIGINT)
        said = crew.communicate(timeout=60)[1].decode()
        assert "Traceback" not in said, said
    finally:
        for pid in [*children(crew.pid), crew.pid] if crew.returncode is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        crew.communicate()


@pytest.fixture(scope="module")
def files(small_hospital: Path) -> dict[str, Path]:
    """Files by SOPInstanceUID, without those that are broken on purpose."""
    found = {}
    for path in sorted(small_hospital.rglob("*.dcm")):
        with suppress(InvalidDicomError, AttributeError):
            ds = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"])
            found[str(ds.SOPInstanceUID)] = path
    return found


@pytest.fixture(scope="module")
def keeping(dcmqrscp_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake that keeps what it is sent, with its worker."""
    lake = made(tmp_path_factory.mktemp("keeping"), keep=True)
    with working(lake):
        yield lake


def told(said: bytes, files: dict[str, Path]) -> list[str]:
    """SOPInstanceUIDs of the files that storescu was told are stored."""
    uids, found, now = {str(path).encode(): uid for uid, path in files.items()}, [], b""
    for line in said.splitlines():
        if line.startswith(SENT):
            now = line.removeprefix(SENT).strip()
        elif line.startswith(STORED):
            found.append(uids[now])
    return sorted(found)


def test_a_hospital_is_sent(keeping: Lake, files: dict[str, Path]) -> None:
    code, said = keeping.send(*files.values())
    assert code == 0, said
    assert told(said, files) == sorted(files)
    until(lambda: keeping.uids() == sorted(files))
    series = Store(keeping.path).read("series", ["source"]).column(0).to_pylist()
    assert set(series) == {"pacs"}
    assert all((keeping.path / KEPT).rglob(f"{uid}.dcm") for uid in files)
    assert [found for found in examine(keeping.path) if found.level == "error"] == []


def test_unknown_callers_are_refused(keeping: Lake, files: dict[str, Path]) -> None:
    code, said = keeping.send(next(iter(files.values())), calling="STRANGER")
    assert code
    assert b"Calling AE Title Not Recognized" in said


def reported(port: int, uids: list[str]) -> Reports:
    """The report of a storage commitment that was asked for."""
    reports = Reports()
    association = commit(port, uids, [(evt.EVT_N_EVENT_REPORT, reports)])
    assert reports.come.wait(20)
    association.release()  # type: ignore[attr-defined]
    return reports


def test_storage_commitment_is_given_for_what_is_kept(
    keeping: Lake, files: dict[str, Path]
) -> None:
    uids = sorted(files)[:3]
    assert keeping.send(*(files[uid] for uid in uids))[0] == 0
    reports = reported(keeping.port, uids)
    assert reports.kind == 1
    assert [i.ReferencedSOPInstanceUID for i in reports.ds.ReferencedSOPSequence] == uids
    pins = {path.stem for path in (keeping.path / KEPT).rglob("*.pin")}
    assert pins == set(uids)
    reports = reported(keeping.port, ["1.2.3.4", uids[0]])
    assert reports.kind == 2
    assert [i.ReferencedSOPInstanceUID for i in reports.ds.FailedSOPSequence] == ["1.2.3.4"]


def test_storage_commitment_is_denied_for_what_is_not_kept(
    dcmqrscp_installed: None, files: dict[str, Path], tmp_path: Path
) -> None:
    lake = made(tmp_path)
    uid, file = next(iter(files.items()))
    with reception.receiving(lake.path, settings.read(lake.path)):
        assert lake.send(file)[0] == 0
        reports = reported(lake.port, [uid])
    assert reports.kind == 2
    assert [i.ReferencedSOPInstanceUID for i in reports.ds.FailedSOPSequence] == [uid]
    assert "ReferencedSOPSequence" not in reports.ds


def test_senders_wait_while_the_writer_does_not_follow(
    dcmqrscp_installed: None,
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reception, "MOST_WAITING", 1)
    lake = made(tmp_path)
    some = list(files.values())[:3]
    with reception.receiving(lake.path, settings.read(lake.path)):
        for name in "ab":
            (lake.path / INBOX / name).mkdir(parents=True)
        code, said = lake.send(*some)
        assert code
        assert b"Refused: OutOfResources" in said
        assert told(said, files) == []
        (lake.path / INBOX / "b").rmdir()
        code, said = lake.send(*some)
        assert code == 0, said
        assert len(told(said, files)) == 3


def test_a_killed_listener_loses_nothing_that_it_said_is_stored(
    dcmqrscp_installed: None, files: dict[str, Path], tmp_path: Path
) -> None:
    lake = made(tmp_path)
    with working(lake) as crew:
        (worker,) = children(crew.pid)
        process = lake.sending(*files.values())
        until(lake.journals, 30)
        process.send_signal(signal.SIGSTOP)  # in the middle of its association
        os.kill(worker, signal.SIGKILL)
        until(lambda: not runs(worker))
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=60)[0]
        assert process.returncode, "the association was not cut"
        first = told(said, files)
        assert 0 < len(first) < len(files)
        until(lambda: set(first) <= set(lake.uids()), 60, "what was stored is lost")
        until(lake.answers, 30, "the crew did not start it again")
        assert children(crew.pid) != [worker]
        code, said = lake.send(*files.values())
        assert code == 0, said
        until(lambda: lake.uids() == sorted(files))
    assert not list((lake.path / QUEUE / "journals").iterdir())
    assert [found for found in examine(lake.path) if found.level == "error"] == []


def test_what_moves_goes_on_where_it_is_listened_while_others_work(
    orthanc_installed: None, files: dict[str, Path], tmp_path: Path
) -> None:
    lake, service = Lake(tmp_path / "lake", free_port()), Service(30, 4)
    set_listener(lake.path, {"ae_title": "LAKE", "port": lake.port})
    orthanc = Orthanc(tmp_path / "orthanc", {"LAKE": lake.port})
    some = dict(list(files.items())[:60])
    with orthanc, serving(service) as url:
        orthanc.seed(some.values())
        values = {"kind": "dimse", "host": "127.0.0.1", "port": orthanc.dicom, "called": "ORTHANC"}
        add_source(lake.path, "moved", {**values, "calling": "LAKE", "retrieve": "move"})
        add(lake.path, url)
        set_listener(lake.path, {"ae_title": "LAKE", "port": lake.port, "callers": ["PACS"]})
        service.pause_s = 0.1  # as long as only one process works
        with Requests(lake.path, settings.read(lake.path)) as requests, working(lake, 2):
            web = requests.submit(Request("pacs", dates=("20240101", "20240110"))).id
            move = requests.submit(Request("moved", depth="complete", undated=True)).id

            def owners(job: str) -> set[str]:
                found = requests.tasks(job, (DONE,), 10_000)
                return {state.owner.split(":")[1] for state in found}

            until(lambda: len(owners(web)) == 2, 60, "only one process works")
            service.pause_s = 0.0
            until(lambda: all(requests.job(job).over for job in (web, move)), 60)
            assert {requests.job(job).state for job in (web, move)} == {"finished"}
            assert len({s.owner.split(":")[1] for s in done(requests, move)}) == 1
            assert list(requests.missing(move)) == []
    assert lake.uids() == sorted({*some, *service.uids()})


def done(requests: Requests, job: str) -> list:
    """Series that were retrieved for a job."""
    return [s for s in requests.tasks(job, (DONE,), 10_000) if s.task.kind == "series"]
