"""Watched folders of facts, and files that people send, as tasks of the queue."""

from __future__ import annotations

import os
import time

import pytest

from dicomlake.contracts.queues import CANCELLED, DEAD, DONE, RUNNING, WAITING
from dicomlake.errors import UsageError
from dicomlake.jobs.clinical import bringing, watching
from dicomlake.jobs.clinical.watching import (
    FactsWatchers,
    FactsWorker,
    how_far,
    place_of_sent,
    submit,
    submit_sent,
    sweep,
)
from dicomlake.jobs.requests import Requests
from dicomlake.lake import Store
from dicomlake.settings import FactsFolder, Settings

from .made import condition, facts, patient, put

MAPPING = """
tables:
  - files: labs*.csv
    kind: observation
    columns: {PatientID: no, code: "LN:2857-1", number: psa}
"""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture
def settings(tmp_path, folder):
    (tmp_path / "labs.yaml").write_text(MAPPING)
    said = FactsFolder(folder=folder, mapping=tmp_path / "labs.yaml", issuer="HOSP", quiet_s=0)
    return Settings(facts={"labs": said})


@pytest.fixture
def lake(tmp_path):
    return Store.create(tmp_path / "lake").path


@pytest.fixture
def requests(lake, settings):
    with Requests(lake, settings) as found:
        yield found


def states(requests):
    return [state.state for state in requests.queue.tasks()]


def test_files_that_came_are_one_task_and_are_put_aside(lake, folder, settings, requests):
    (folder / "labs1.csv").write_text("no,psa\nP1,4.5\nP2,high\n")
    put(folder, "c.json", condition("c", "Patient/p"))
    put(folder, "p.json", patient("p", "P1"))
    (folder / "surprise.csv").write_text("a,b\n1,2\n")
    job = submit(lake, settings, "labs", requests)
    assert submit(lake, settings, "labs", requests) is None  # one at a time
    worker = FactsWorker(lake, settings, "w")
    assert worker.turn() == 0.0
    (state,) = requests.queue.tasks()
    assert (state.state, state.result["added"], state.result["failures"]) == (DONE, 3, 2)
    assert requests.job(job.id).state == "finished"
    assert {(row["IssuerOfPatientID"], row["source"]) for row in facts(lake)} == {("HOSP", "labs")}
    there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert there == [
        "done/c.json", "done/labs1.csv", "done/labs1.csv.reason.txt", "done/p.json",
        "refused/surprise.csv", "refused/surprise.csv.reason.txt",
    ]  # fmt: skip
    assert (folder / "done/labs1.csv.reason.txt").read_text() == "3: number is no number\n"
    assert submit(lake, settings, "labs", requests) is None
    worker.queue.close()


def test_files_are_waited_for_until_all_are_quiet(tmp_path, folder):
    now = time.time()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("x")
    assert watching.waiting(folder, 5.0, now + 4) == []
    assert [one.file for one in watching.waiting(folder, 5.0, now + 9)] == ["a.csv", "b.csv"]
    os.utime(folder / "b.csv", (now + 8, now + 8))
    assert watching.waiting(folder, 5.0, now + 9) == []


def test_files_that_stay_are_taken_once(lake, folder, settings, requests):
    said = settings.facts["labs"].model_copy(update={"done": "keep"})
    settings = settings.model_copy(update={"facts": {"labs": said}})
    (folder / "labs.csv").write_text("no,psa\nP1,4.5\n")
    submit(lake, settings, "labs", requests)
    FactsWorker(lake, settings, "w", queue=requests.queue).turn()
    assert (folder / "labs.csv").exists()
    watchers = FactsWatchers(lake, settings)
    watchers.tick()
    assert states(requests) == [DONE]
    (folder / "labs2.csv").write_text("no,psa\nP2,5.5\n")
    watchers._last = float("-inf")
    watchers.tick()
    watchers.close()
    assert sorted(states(requests)) == [DONE, WAITING]


def test_a_wrong_setting_kills_a_task_once(lake, folder, settings, requests, tmp_path):
    (tmp_path / "labs.yaml").write_text("tables: surprise")
    (folder / "labs.csv").write_text("no,psa\nP1,4.5\n")
    submit(lake, settings, "labs", requests)
    FactsWorker(lake, settings, "w", queue=requests.queue).turn()
    (state,) = requests.queue.tasks()
    assert (state.state, "tables is a list" in state.error) == (DEAD, True)
    assert submit(lake, settings, "labs", requests) is None
    with pytest.raises(UsageError, match="There are: labs"):
        submit(lake, settings, "other", requests)


def test_an_import_that_is_stopped_goes_on(lake, settings, requests, monkeypatch):
    files = place_of_sent(lake)
    for name in "abc":
        put(files, f"{name}.json", condition(name, f"Patient/{name}"))
    submit_sent(files, requests, source="clinic")
    read, told = [], []
    original = bringing.Fhir.read

    def reading(self, path):
        read.append(path.name)
        original(self, path)
        told.append(how_far(lake, requests.queue.tasks((RUNNING,))[0]))

    monkeypatch.setattr(bringing, "TOGETHER", 1)
    monkeypatch.setattr(bringing.Fhir, "read", reading)
    worker = FactsWorker(lake, settings, "w", queue=requests.queue)
    worker.turn(lambda: len(read) == 2)
    assert (states(requests), read) == ([WAITING], ["a.json", "b.json"])
    assert (told[0].stage, told[0].total) == ("reading", 3)
    worker.turn()
    assert (states(requests), read) == ([DONE], ["a.json", "b.json", "b.json", "c.json"])
    assert len(facts(lake)) == 3
    assert not files.exists()


def test_what_was_cancelled_is_swept_away(lake, settings, requests):
    files, other = place_of_sent(lake), place_of_sent(lake)
    assert files.stat().st_mode & 0o77 == 0
    put(files, "a.json", condition("a", "Patient/a"))
    job = submit_sent(files, requests, source="clinic")
    submit_sent(other, requests, source="clinic")
    requests.cancel(job.id)
    sweep(lake, requests.queue, older_s=-1.0)
    assert (files.exists(), other.exists()) == (False, True)
    assert sorted(states(requests)) == [CANCELLED, WAITING]
    assert facts(lake) == []


def test_a_lake_in_use_is_waited_for(lake, settings, requests):
    files = place_of_sent(lake)
    put(files, "a.json", condition("a", "Patient/a"))
    submit_sent(files, requests, source="clinic")
    with Store(lake).lock():
        FactsWorker(lake, settings, "w", queue=requests.queue).turn()
    (state,) = requests.queue.tasks()
    assert (state.state, files.exists()) == (WAITING, True)
