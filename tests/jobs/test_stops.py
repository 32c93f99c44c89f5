"""Stopped at any moment and started again, the lake ends as if it had never been stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from dicomlake.contracts import Silent
from dicomlake.errors import ServiceError
from dicomlake.jobs import reading
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.sources.folder import FolderSource

from .inside import kinds, made
from .made import content, healthy, put, run, slice_of

FILES = 1200
# Small chunks and commits after every few of them, so that most kills meet one.
PROGRAM = """
import sys
from dicomlake.jobs import index, reading
reading.CHUNK_FILES, index.COMMIT_AT, index.COMMIT_EVERY_S = 20, 60, 0.1
report = index.index([sys.argv[1]], sys.argv[2], workers=2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Series in one folder, series scattered over all folders, duplicates, and what fails."""
    folder = tmp_path_factory.mktemp("stops") / "files"
    for number in range(FILES):
        scattered = number % 5 == 0
        series = f"scattered/{number % 7}" if scattered else f"whole/{number // 40}"
        data = slice_of(series, number)
        if number % 7 == 0:  # one in seven has something inside, scattered series too
            data = made(f"{series}/inside", number, kinds(number)[number // 7 % 9]())
        put(folder, f"{number // 40:03}/{number:05}.dcm", data)
        if number % 300 == 0:
            put(folder, f"copy/{number:05}.dcm", data)
            put(folder, f"{number // 40:03}/{number:05}.txt", b"text")
            put(folder, f"{number // 40:03}/{number:05}-empty.dcm", b"")
    return folder


@pytest.fixture(scope="module")
def expected(folder, tmp_path_factory):
    lake = tmp_path_factory.mktemp("whole") / "lake"
    report = index([folder], lake, workers=2)
    assert report.lake["instances"] == FILES
    return content(lake)


def started(folder: Path, lake: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, str(folder), str(lake)]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)


def readers_of(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_until_gone(pids: list[int], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while any(map(runs, pids)):
        assert time.monotonic() < end, "reading processes outlived their parent"
        time.sleep(0.05)


def wait_for_readers(process: subprocess.Popen[bytes]) -> list[int]:
    while process.poll() is None and len(readers_of(process.pid)) < 2:
        time.sleep(0.01)
    return readers_of(process.pid)


@pytest.mark.parametrize("seed", range(2))
def test_killed_again_and_again(folder, expected, tmp_path, seed):
    chance, lake, kills = Random(seed), tmp_path / "lake", 0
    for victim in ("group", "parent", "reader", "group"):
        process = started(folder, lake)
        readers: list[int] = []
        if victim == "reader" or chance.random() < 0.7:
            readers = wait_for_readers(process)
        time.sleep(chance.random() * 1.2)
        readers = readers_of(process.pid) or readers
        if victim == "group":
            os.killpg(process.pid, signal.SIGKILL)
        elif victim == "parent":
            process.kill()
        elif alive := [reader for reader in readers if runs(reader)]:
            with suppress(ProcessLookupError):  # it may end by itself at this moment
                os.kill(chance.choice(alive), signal.SIGKILL)
        errors = process.communicate(timeout=60)[1].decode()
        kills += process.returncode != 0
        if victim == "reader" and process.returncode:
            assert "A reading process died" in errors
        wait_until_gone(readers)
        if (lake / "dicomlake.json").exists():
            healthy(lake)
    run(folder, lake)
    assert kills
    assert content(lake) == expected
    states = Store(lake).read("runs", ["state"]).column(0).to_pylist()
    assert "running" not in states
    healthy(lake)


def test_ctrl_c_commits_what_was_read(folder, expected, tmp_path):
    lake = tmp_path / "lake"
    process = started(folder, lake)
    readers = wait_for_readers(process)
    version = lake / "series" / "_delta_log" / f"{1:020}.json"
    while not version.exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode != 0
    assert errors.count("Traceback") == 1
    assert errors.strip().endswith("KeyboardInterrupt")
    wait_until_gone(readers)
    row = Store(lake).read("runs").to_pylist()[-1]
    assert row["state"] == "interrupted"
    there = Store(lake).read("instances", ["uri"]).num_rows
    assert 0 < there < FILES
    assert json.loads(row["counts"])["objects"] == there
    healthy(lake)
    report = run(folder, lake)
    assert report.counts["unchanged"] >= there
    assert content(lake) == expected


class Impatient(Silent):
    """Asks to stop after so many files."""

    def __init__(self, after: int) -> None:
        self.after, self.cancelled = after, False

    def advance(self, count: int = 1) -> None:
        self.after -= count
        self.cancelled = self.after < 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_progress_may_stop_the_job(folder, expected, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(reading, "CHUNK_FILES", 50)
    lake = tmp_path / "lake"
    with pytest.raises(KeyboardInterrupt):
        index([folder], lake, workers=workers, progress=Impatient(FILES + 300))
    assert 0 < Store(lake).read("instances", ["uri"]).num_rows < FILES
    run(folder, lake)
    assert content(lake) == expected


class Unread:
    """A source whose objects end the process that reads them."""

    name = "unread"

    def __init__(self, source, status: int | None = None) -> None:
        self.source, self.status = source, status

    def find(self):
        return self.source.find()

    def open(self, found):
        if self.status is not None:
            os._exit(self.status)
        return self.source.open(found)


def test_a_process_that_dies_is_an_error_in_words(folder, tmp_path):
    source = Unread(FolderSource((str(folder),)), 9)
    with pytest.raises(ServiceError, match="exit status 9"):
        index(source, tmp_path / "lake", workers=2)
    state = Store(tmp_path / "lake").read("runs", ["state"]).column(0).to_pylist()
    assert state == ["failed"]


def test_a_full_disk_is_an_error_in_words(folder, tmp_path):
    class Full(Store):
        def commit_series(self, *given, **more):
            raise OSError(28, "No space left on device")

    Store.create(tmp_path / "lake")
    with pytest.raises(ServiceError, match="No space left on device"):
        index([folder / "001"], Full(tmp_path / "lake"), workers=1)
    healthy(tmp_path / "lake")
    assert run(folder / "001", tmp_path / "lake").lake["instances"] == 40


MEMORY = """
import json, os, resource, sys, threading, time
from pathlib import Path
from dicomlake.jobs.index import index
peaks = {}
children = Path(f"/proc/self/task/{os.getpid()}/children")
def watch():
    while True:
        for pid in children.read_text().split():
            try:
                text = Path(f"/proc/{pid}/status").read_text()
                peaks[pid] = int(text.split("VmHWM:")[1].split()[0])
            except (OSError, IndexError):
                pass
        time.sleep(0.1)
threading.Thread(target=watch, daemon=True).start()
began = time.monotonic()
report = index([sys.argv[1]], sys.argv[2], workers=2)
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([report.counts["objects"], own, max(peaks.values()), time.monotonic() - began]))
"""


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    measured = []
    for files in (1_000, 4_000):
        folder = tmp_path / str(files)
        for series in range(files // 100):
            place = folder / f"{series:04}"
            place.mkdir(parents=True)
            for number in range(100):
                (place / f"{number}.dcm").write_bytes(slice_of(series, number))
        command = [sys.executable, "-c", MEMORY, str(folder), str(tmp_path / f"lake {files}")]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        measured.append(json.loads(done.stdout))
    (few, own, reader, _), (many, own_4, reader_4, _) = measured
    assert (few, many) == (1_000, 4_000)
    assert own_4 < own + 120_000, "kilobytes of the writing process"
    assert reader_4 < reader + 60_000, "kilobytes of a reading process"
