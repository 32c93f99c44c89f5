"""Processes that pull are killed at any moment; nothing is lost, and nothing is there twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from dicomlake import settings
from dicomlake.jobs.doctor import examine
from dicomlake.jobs.requests import Request, Requests
from dicomlake.lake import Store
from dicomlake.lake.store import INBOX, QUEUE

from .served import Service, add, children, command, runs, serving, until


@pytest.fixture(scope="module")
def service() -> Service:
    return Service(400, 5)


@pytest.fixture(scope="module")
def url(service: Service) -> Iterator[str]:
    with serving(service) as url:
        yield url


def done(lake: Path) -> int:
    """How many series are on their way, or there."""
    path = lake / QUEUE / "tasks.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        text = "select count(*) from task where kind = 'series' and state in ('written', 'done')"
        return int(db.execute(text).fetchone()[0])


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def ended(process: subprocess.Popen[bytes], seconds: float = 120) -> str:
    """What a process said until it ended."""
    return process.communicate(timeout=seconds)[1].decode()


def test_killed_at_random_and_nothing_is_lost(service, url, tmp_path):
    lake, chance = tmp_path / "lake", Random(5)
    add(lake, url, limits={"associations": 3})
    with Requests(lake, settings.read(lake)) as requests:
        job = requests.submit(Request("pacs", dates=("20240101", "20240110"))).id
    crew = None
    try:
        for mark in range(100, 2000, 240):
            if crew is None:
                crew = command("worker", "--once", "-n", "3", lake=lake)
            process = crew
            until(lambda: process.poll() is not None or (done(lake) >= mark), 60)
            workers = children(process.pid)
            if process.poll() is not None:
                break
            if chance.random() < 0.6 and workers:
                kill(chance.choice(workers))
                continue
            kill(process.pid)
            ended(process)
            crew = None
            until(lambda: not any(map(runs, workers)), 30, "workers outlived their crew")
        parts = lake / INBOX / ".part-999999999-left"
        parts.mkdir(parents=True, exist_ok=True)
        last = crew or command("worker", "--once", "-n", "2", lake=lake)
        errors = ended(last)
        assert last.returncode == 0, errors
    finally:
        if crew is not None and crew.poll() is None:
            crew.terminate()
            ended(crew)
    end = command("worker", "--once", "-n", "1", lake=lake)
    assert "Traceback" not in ended(end)
    assert not list((lake / INBOX).iterdir()), "what was left is swept"
    store = Store(lake)
    series = store.read("series", ["SeriesInstanceUID", "instances", "complete", "source"])
    assert len(set(series.column(0).to_pylist())) == series.num_rows == 2000
    assert set(zip(*(c.to_pylist() for c in series.columns[1:]), strict=True)) == {
        (2, "headers", "pacs")
    }
    with store.database() as db:
        found = db.sql(
            'select "SOPInstanceUID" from instances semi join series using (series_id)'
        ).fetchall()
    assert sorted(uid for (uid,) in found) == sorted(service.uids())
    assert store.read("failures").num_rows == 0
    with Requests(lake, settings.read(lake)) as requests:
        assert requests.job(job).state == "finished"
        assert requests.job(job).tasks["done"] >= 2400
        assert list(requests.missing(job)) == []
    assert [found for found in examine(lake) if found.level == "error"] == []
