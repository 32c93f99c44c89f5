"""Publishing on the command line, and by workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.testing import hospital
from dicomlake.testing.dicom import encode, image
from dicomlake.testing.fhir import FhirServer

from .conftest import Run


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with FhirServer() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, server: FhirServer) -> Path:
    hospital.write(tmp_path / "files", 2, pixels=False)
    index([tmp_path / "files"], tmp_path / "lake", workers=1)
    settings(tmp_path / "lake", server)
    return tmp_path


def settings(lake: Path, server: FhirServer, *more: str) -> None:
    lines = ["[fhir.target.station]", f'url = "{server.address}"', *more]
    (lake / "dicomlake.toml").write_text("\n".join(lines) + "\n")


def studies(lake: Path) -> int:
    with Store(lake).database() as db:
        row = db.execute("select count(distinct study_key) from series").fetchone()
    return int(row[0]) if row else 0


def there(server: FhirServer) -> int:
    return len(server.resources.ids("ImagingStudy"))


def until(met: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_push_sends_and_then_only_what_changed(run: Run, place: Path, server: FhirServer) -> None:
    code, out, err = run("fhir", "push", "station")
    assert code == 0, err
    assert "resources sent, 0 unchanged" in out
    assert there(server) == studies(place / "lake")
    code, out, _ = run("fhir", "push", "station")
    assert (code, out.partition(",")[0]) == (0, "0 resources sent")
    code, out, _ = run("fhir", "push", "station", "--all")
    assert out.startswith("0 resources sent")
    code, out, _ = run("fhir", "status", "station")
    assert code == 0
    assert "0 studies wait" in out
    assert "ImagingStudy" in out


def test_what_is_refused_is_listed_and_sent_again(
    run: Run, place: Path, server: FhirServer
) -> None:
    assert run("fhir", "status", "station")[1].startswith("Nothing was published")
    settings(place / "lake", server, "entries = 10000", 'size = "100 MB"')
    server.resources.client_ids = False
    code, out, err = run("fhir", "push", "station")
    assert code == 1
    assert "refused (see: dicomlake fhir status station)" in out
    code, out, _ = run("fhir", "status", "station", "--format", "json", "--limit", "10000")
    rows = json.loads(out)
    assert {"405"} <= {str(row["status"]) for row in rows}
    assert all(row["why"] for row in rows)
    code, out, _ = run("fhir", "retry", "station")
    assert out.startswith(f"{len(rows):,} resources are sent again")
    server.resources.client_ids = True
    code, out, err = run("fhir", "push", "station")
    assert code == 0, err
    assert there(server) == studies(place / "lake")


def test_only_what_a_question_finds_is_sent(run: Run, place: Path, server: FhirServer) -> None:
    lake = place / "lake"
    for level in ("study", "series"):
        question = "Modality = 'CT'"
        code, _, err = run("fhir", "push", "station", "--where", question, "--level", level)
        assert code == 0, err
        with Store(lake).database() as db:
            wanted = db.execute(
                "select 'urn:oid:' || \"StudyInstanceUID\", count(*), "
                "count(*) filter (\"Modality\" = 'CT') as found from series group by 1 "
                "having found > 0"
            ).fetchall()
        held = {
            i["value"]: one["numberOfSeries"]
            for one in server.resources.every("ImagingStudy")
            for i in one["identifier"] if i.get("system") == "urn:dicom:uid"
        }  # fmt: skip
        assert held == {uid: whole if level == "study" else found for uid, whole, found in wanted}
    assert 0 < len(held) < studies(lake)
    assert run("fhir", "push", "station", "--where", "x", "--follow")[0] == 2
    assert run("fhir", "push", "station", "--where", "Modality = 'CT'", "--level", "x")[0] == 2


def test_mistakes_are_told(run: Run, place: Path, server: FhirServer) -> None:
    code, _, err = run("fhir", "push", "nowhere")
    assert (code, "There is no FHIR target 'nowhere'. There are: station." in err) == (2, True)
    settings(place / "lake", server, "token_env = 'NO_SUCH_TOKEN'")
    code, _, err = run("fhir", "push", "station")
    assert (code, "NO_SUCH_TOKEN" in err) == (2, True)
    settings(place / "lake", server, "query = 'Modalty = 1'")
    code, _, err = run("fhir", "push", "station")
    assert (code, "Did you mean" in err) == (2, True)


def add(place: Path, number: int) -> None:
    uid = f"2.25.9.{number}"
    said = {"StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1", "PatientID": f"N{number}"}
    content = encode(image(SOPInstanceUID=f"{uid}.1.1", Modality="MR", **said))
    (place / "files" / f"{number}.dcm").write_bytes(content)
    index([place / "files"], place / "lake", workers=1)


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc, as on Linux")
def test_workers_publish_what_comes_even_when_killed(place: Path, server: FhirServer) -> None:
    settings(place / "lake", server, "continuous = true", "quiet_s = 0.2")
    words = ["worker", "-n", "0", "--lake", str(place / "lake")]
    program = "from dicomlake.cli import main; main()"
    crew = subprocess.Popen(
        [sys.executable, "-c", program, *words], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    try:
        until(lambda: there(server) == studies(place / "lake"))
        before = there(server)
        (publisher,) = children(crew.pid)
        add(place, 1)
        os.kill(publisher, signal.SIGKILL)
        until(lambda: there(server) == before + 1)
        add(place, 2)
        until(lambda: there(server) == before + 2)
    finally:
        crew.send_signal(signal.SIGINT)
        crew.communicate(timeout=60)
    assert crew.returncode == 0
