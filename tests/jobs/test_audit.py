"""The audit log: nobody changes it unseen, many write it at once, and a crash leaves it whole."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from dicomlake.errors import ServiceError
from dicomlake.jobs.access.audit import START, Audit


@pytest.fixture
def log(tmp_path: Path) -> Audit:
    return Audit.of(tmp_path)


def filled(log: Audit, count: int = 5) -> list[bytes]:
    for n in range(count):
        log.append({"name": "ann", "what": f"view {n}", "params": {"StudyInstanceUID": f"1.{n}"}})
    return log.path.read_bytes().splitlines(keepends=True)


def test_lines_are_a_chain(log: Audit) -> None:
    lines = [orjson.loads(line) for line in filled(log)]
    assert [line["n"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["before"] for line in lines] == [START, *(line["hash"] for line in lines[:-1])]
    found = log.verify()
    assert (found.good, found.lines, found.head) == (True, 5, lines[-1]["hash"])
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_what_is_said_cannot_stand_for_the_chain(log: Audit) -> None:
    log.append({"n": 9, "before": "x", "hash": "y", "torn": "z", "time": 0, "what": "view"})
    assert log.verify().good


SPOILED: dict[str, Any] = {
    "changed": (3, lambda lines: [*lines[:2], lines[2].replace(b"view 2", b"view 7"), *lines[3:]]),
    "garbled": (3, lambda lines: [*lines[:2], b"{" + lines[2], *lines[3:]]),
    "removed": (3, lambda lines: [*lines[:2], *lines[3:]]),
    "swapped": (2, lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]),
    "first removed": (1, lambda lines: lines[1:]),
    "added": (2, lambda lines: [lines[0], lines[0], *lines[1:]]),
    "more inserted": (3, lambda lines: [*lines[:2], b"{}\n", *lines[2:]]),
}


@pytest.mark.parametrize("how", SPOILED)
def test_the_first_broken_line_is_told(log: Audit, how: str) -> None:
    place, spoil = SPOILED[how]
    log.path.write_bytes(b"".join(spoil(filled(log))))
    found = Audit(log.path).verify()
    assert (found.good, found.broken) == (False, place)


def test_what_was_cut_off_at_the_end_is_told(log: Audit) -> None:
    lines = filled(log)
    log.path.write_bytes(b"".join(lines[:3]))
    found = log.verify()
    assert (found.good, "4 to 5" in found.why) == (False, True)
    log._head.unlink()  # whoever cuts lines can do that, too
    assert log.verify().good
    head = orjson.loads(lines[-1])["hash"]
    assert not log.verify(head).good
    assert log.verify(orjson.loads(lines[1])["hash"]).good


def test_a_log_that_was_written_anew_is_told_by_a_noted_hash(log: Audit) -> None:
    filled(log)
    head = log.verify().head
    log.path.unlink()
    log._head.unlink()
    filled(Audit(log.path), 9)
    assert log.verify().good
    assert not log.verify(head).good


@pytest.mark.parametrize("left", [1, 40, -1])
def test_a_crash_in_the_middle_of_a_line_is_told_and_gone_over(log: Audit, left: int) -> None:
    lines = filled(log)
    log.path.write_bytes(b"".join(lines[:4]) + lines[4][:left])
    os.pwrite(os.open(log._head, os.O_WRONLY), b"%020d" % 4, 0)
    log._head.write_text(f"{4:020d} {orjson.loads(lines[3])['hash']}\n")
    assert log.verify().good  # the last line may be being written
    again = Audit(log.path)
    again.append({"what": "after"})
    found = log.verify()
    assert (found.good, found.torn) == (True, 0 if left == -1 else 1)
    assert again.newest(1)[0][0]["what"] == "after"
    torn = log.path.read_bytes().splitlines(keepends=True)
    if left != -1:
        log.path.write_bytes(b"".join(torn[:4] + torn[5:]))
        assert not log.verify().good  # nobody takes away what a crash left, either


def writing(path: Path, name: str, count: int) -> None:
    log = Audit(path)
    for n in range(count):
        log.append({"name": name, "what": f"view {n}"})


def test_many_processes_write_one_chain(log: Audit) -> None:
    many = multiprocessing.get_context("spawn")
    writers = [many.Process(target=writing, args=(log.path, f"p{n}", 60)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    found = log.verify()
    assert (found.good, found.lines) == (True, 180)
    for n in range(3):
        lines, total = log.newest(100, name=f"p{n}")
        assert total == 60
        assert [line["what"] for line in reversed(lines)] == [f"view {i}" for i in range(60)]


def test_a_killed_writer_leaves_a_whole_chain(log: Audit) -> None:
    told = (
        "import sys; from pathlib import Path; from dicomlake.jobs.access.audit import Audit\n"
        "log = Audit(Path(sys.argv[1]))\n"
        "while True: log.append({'what': 'x' * 5000})"
    )
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", told, str(log.path)]) as writer:
            size, until = log.path.stat().st_size if log.path.exists() else 0, time.time() + 60
            while time.time() < until and (
                not log.path.exists() or log.path.stat().st_size < size + 50_000
            ):
                time.sleep(0.01)
            writer.send_signal(signal.SIGKILL)
        log.append({"what": "after"})
        assert log.verify().good


def test_lines_are_found(log: Audit) -> None:
    filled(log)
    log.append({"name": "Bob", "what": "export", "body": {"where": "PatientID = 'P7'"}})
    assert log.newest(10, name="bob")[1] == 1
    assert log.newest(10, what="view")[1] == 5
    assert log.newest(10, any="p7")[0][0]["name"] == "Bob"
    lines, total = log.newest(2, 1)
    assert ([line["n"] for line in lines], total) == ([5, 4], 6)


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    log = Audit(tmp_path / "none" / "audit.jsonl")
    with pytest.raises(ServiceError, match="audit log"):
        log.append({"what": "view"})
