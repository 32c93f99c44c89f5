"""Processes that pull are killed at any moment; nothing is lost, and nothing is there twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
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
    return Service(199, 10)


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


def reached(crew: subprocess.Popen[bytes], lake: Path, series: int) -> bool:
    assert crew.poll() is None, ended(crew)
    return done(lake) >= series


def all_ended(pids: list[int]) -> bool:
    return not any(map(runs, pids))


def test_killed_at_random_and_nothing_is_lost(service, url, tmp_path):
    lake, chance = tmp_path / "lake", Random(5)
    add(lake, url, limits={"associations": 3})
    with Requests(lake, settings.read(lake)) as requests:
        job = requests.submit(Request("pacs", dates=("20240101", "20240110"))).id
    start = partial(command, "worker", "--once", "-n", "3", lake=lake)
    crew = start()
    try:
        for mark in range(100, 1990, 240):
            until(partial(reached, crew, lake, mark))
            workers = children(crew.pid)
            if chance.random() < 0.6 and workers:
                kill(chance.choice(workers))
                continue
            kill(crew.pid)
            ended(crew)
            until(partial(all_ended, workers), 30, "workers outlived their crew")
            crew = start()
        (lake / INBOX / ".part-999999999-left").mkdir(parents=True, exist_ok=True)
        errors = ended(crew)
        assert crew.returncode == 0, errors
    finally:
        kill(crew.pid)
        crew.wait()
    end = command("worker", "--once", "-n", "1", lake=lake)
    assert "Traceback" not in ended(end)
    assert not list((lake / INBOX).iterdir()), "what was left is swept"
    store = Store(lake)
    series = store.read("series", ["SeriesInstanceUID", "instances", "complete", "source"])
    assert len(set(series.column(0).to_pylist())) == series.num_rows == 1990
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
        assert requests.job(job).tasks["done"] >= 2189
        assert list(requests.missing(job)) == []
    assert [found for found in examine(lake) if found.level == "error"] == []
