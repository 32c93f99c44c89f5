"""Watched folders: files that come are tasks, with states, retries and dead letters."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dicomlake.converters.labels import LabelsConverter
from dicomlake.errors import UsageError
from dicomlake.jobs.converting.watching import ConvertWorker, Watchers, ready, submit, watch
from dicomlake.jobs.inbox import Intake
from dicomlake.jobs.requests import Requests
from dicomlake.jobs.working import Crew
from dicomlake.lake import Store
from dicomlake.settings import Settings, read
from tests.jobs.converting.test_labels import FACTS, MAPPING, PROCEDURES, TABLE
from tests.jobs.made import put, run, slice_of, uids

GOOD = TABLE.splitlines()[0] + "\n" + TABLE.splitlines()[1] + "\n"
BAD = "nothing;that;is;known\n1;2;3;4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def lake(tmp_path: Path, folder: Path) -> Path:
    put(tmp_path / "files", "1.dcm", slice_of(1, 1))
    run(tmp_path / "files", tmp_path / "lake")
    mapping = put(tmp_path, "labels.yaml", yaml.safe_dump(MAPPING).encode())
    told = f'[convert.labels]\nfolder = "{folder}"\nmapping = "{mapping}"\nquiet_s = 0.0\n'
    (tmp_path / "lake" / "dicomlake.toml").write_text(told)
    return tmp_path / "lake"


@pytest.fixture
def settings(lake: Path) -> Settings:
    return read(lake)


@pytest.fixture
def requests(lake: Path, settings: Settings) -> Iterator[Requests]:
    with Requests(lake, settings) as opened:
        yield opened


@pytest.fixture
def worker(lake: Path, settings: Settings) -> Iterator[ConvertWorker]:
    made = ConvertWorker(lake, settings, "here:1:c", converters=[LabelsConverter()])
    yield made
    made.queue.close()


def test_a_file_that_came_is_converted_and_put_aside(lake, folder, settings, requests, worker):
    put(folder, "deep/one.csv", GOOD.encode())
    job = submit(lake, settings, "labels", requests)
    assert job is not None
    assert (job.tasks, job.request.source) == ({"waiting": 1}, "convert-labels")
    assert submit(lake, settings, "labels", requests) is None
    worker.turn()
    assert requests.job(job.id).tasks == {"written": 1}
    Intake(Store(lake), requests.queue).take()
    assert requests.job(job.id).state == "finished"
    assert (folder / "done" / "deep" / "one.csv").read_text() == GOOD
    assert not (folder / "deep" / "one.csv").exists()
    assert len(uids(lake)) == 2
    (row,) = [r for r in Store(lake).read("series").to_pylist() if r["Modality"] == "SR"]
    assert row["source"] == "labels"
    assert submit(lake, settings, "labels", requests) is None


def test_a_refused_one_is_a_dead_letter_with_its_reason(lake, folder, settings, requests, worker):
    put(folder, "Doe_Jane.csv", BAD.encode())
    job = submit(lake, settings, "labels", requests)
    worker.turn()
    (missing,) = requests.missing(job.id)
    assert requests.job(job.id).state == "failed"
    assert "has no column 'Auftrag'" in missing.why
    assert "Jane" not in f"{missing}"
    refused = folder / "refused" / "Doe_Jane.csv"
    assert refused.read_text() == BAD
    reason = refused.with_name("Doe_Jane.csv.reason.txt")
    assert "has no column 'Auftrag'" in reason.read_text()
    Intake(Store(lake), requests.queue).take()
    assert Store(lake).read("failures").column("stage").to_pylist() == ["convert"]
    assert submit(lake, settings, "labels", requests) is None


def test_a_dead_letter_is_tried_again_from_where_it_lies(lake, folder, settings, requests, worker):
    put(folder, "one.csv", BAD.encode())
    job = submit(lake, settings, "labels", requests)
    worker.turn()
    (folder / "refused" / "one.csv").write_text(GOOD)
    assert requests.retry(job.id) == 1
    worker.turn()
    Intake(Store(lake), requests.queue).take()
    assert requests.job(job.id).state == "finished"
    assert (folder / "done" / "one.csv").exists()
    assert list((folder / "refused").iterdir()) == []


def test_a_mapping_that_is_broken_leaves_the_file(lake, folder, settings, requests, worker):
    put(folder, "one.csv", GOOD.encode())
    settings.convert["labels"].mapping.write_text("converter: [")
    job = submit(lake, settings, "labels", requests)
    worker.turn()
    (missing,) = requests.missing(job.id)
    assert "is no YAML" in missing.why
    assert (folder / "one.csv").exists()


def test_files_may_stay_where_they_are(lake, folder, settings, requests, worker):
    kept = settings.convert["labels"].model_copy(update={"done": "keep"})
    settings.convert["labels"] = kept
    put(folder, "one.csv", GOOD.encode())
    put(folder, "two.csv", BAD.encode())
    submit(lake, settings, "labels", requests)
    worker.turn()
    worker.turn()
    assert sorted(p.name for p in folder.iterdir()) == ["one.csv", "two.csv"]
    requests.queue.forget(time.time() + 60)
    assert submit(lake, settings, "labels", requests) is None
    put(folder, "two.csv", GOOD.replace("55,5", "56").encode())
    assert submit(lake, settings, "labels", requests) is not None


def test_files_of_a_day_are_one_job(lake, folder, settings, requests, worker) -> None:
    put(folder, "one.csv", GOOD.encode())
    job = submit(lake, settings, "labels", requests)
    worker.turn()
    put(folder, "two.csv", BAD.encode())
    assert submit(lake, settings, "labels", requests).id == job.id
    assert sum(requests.job(job.id).tasks.values()) == 2
    requests.cancel(job.id)
    put(folder, "three.csv", GOOD.replace("55,5", "56").encode())
    assert submit(lake, settings, "labels", requests).id != job.id


def test_facts_wait_while_somebody_else_is_writing(lake, folder, settings, requests, worker):
    settings.convert["labels"].mapping.write_text(yaml.safe_dump(FACTS))
    put(folder, "ops.csv", PROCEDURES.encode())
    job = submit(lake, settings, "labels", requests)
    with Store(lake).lock():
        worker.turn()
    assert requests.job(job.id).tasks == {"waiting": 1}
    assert (folder / "ops.csv").exists()
    until = time.monotonic() + 30
    while not requests.job(job.id).over and time.monotonic() < until:
        worker.turn()
        Intake(Store(lake), requests.queue).take()
        time.sleep(0.2)
    assert requests.job(job.id).state == "finished"
    assert Store(lake).read("clinical_events").num_rows == 2
    reason = folder / "done" / "ops.csv.reason.txt"
    assert reason.read_text().startswith("row 4: column 'OPS' has something that is no code")


def test_a_file_that_grows_waits(folder: Path) -> None:
    path = put(folder, "one.csv", b"a")
    put(folder, ".hidden", b"a")
    put(folder, "done/old.csv", b"a")
    now = path.stat().st_mtime
    assert list(ready(folder, 5.0, now + 4)) == []
    assert [one.file for one in ready(folder, 5.0, now + 6)] == ["one.csv"]
    os.utime(path, (0, 0))  # a copy keeps the time of its original
    assert list(ready(folder, 5.0, time.time() + 4)) == []


def test_a_folder_that_is_not_there(lake, settings, requests, folder) -> None:
    folder.rmdir()
    with pytest.raises(UsageError, match="Is a disk missing"):
        submit(lake, settings, "labels", requests)
    with pytest.raises(UsageError, match=r"no watched folder 'other'\. There are: labels"):
        submit(lake, settings, "other", requests)
    watchers = Watchers(lake, settings)
    assert watchers.tick() == 0
    watchers.close()


def test_watchers_queue_what_comes(lake, folder, settings, requests) -> None:
    put(folder, "one.csv", GOOD.encode())
    watchers = Watchers(lake, settings)
    assert watchers.tick() == 1
    assert watchers.tick() == 0
    watchers.close()
    (job,) = requests.jobs()
    assert job.request.label == "watched folder labels"


def test_a_crew_converts_what_comes(lake, folder, settings, requests) -> None:
    put(folder, "one.csv", GOOD.encode())
    put(folder, "two.csv", BAD.encode())
    until = time.monotonic() + 90

    def over() -> bool:
        jobs = requests.jobs()
        return time.monotonic() > until or (bool(jobs) and all(job.over for job in jobs))

    Crew(lake, settings, 1).run(over)
    assert (folder / "done" / "one.csv").exists()
    assert (folder / "refused" / "two.csv").exists()
    assert len(uids(lake)) == 2


def test_watching_without_a_queue(tmp_path: Path, lake: Path, folder: Path) -> None:
    stopped, said = threading.Event(), []

    def told(line: str) -> None:
        said.append(line)
        stopped.set()

    put(folder, "one.csv", GOOD.encode())
    put(folder, "two.csv", BAD.encode())
    report = watch([folder], lake=lake, mapping=MAPPING, quiet_s=0.0,
                   converters=[LabelsConverter()], stop=stopped.is_set, told=told)  # fmt: skip
    assert (report.converted, len(report.refused)) == (1, 1)
    assert said[0].startswith("1 files converted to 1 objects")
    assert (folder / "done" / "one.csv").exists()
    assert (folder / "refused" / "two.csv.reason.txt").exists()
    assert len(uids(lake)) == 2
