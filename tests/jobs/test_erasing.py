"""Erasing: nothing of a patient is left anywhere, and everybody else stays as they were."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from dicomlake import tables
from dicomlake.api import Lake
from dicomlake.contracts import Found, Object
from dicomlake.contracts.queues import Task
from dicomlake.errors import LakeError, UsageError
from dicomlake.jobs import erasing
from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.charts import Charts
from dicomlake.jobs.clinical import take
from dicomlake.jobs.cohorts import freeze, opened
from dicomlake.jobs.compact import compact
from dicomlake.jobs.deposits import Deposit
from dicomlake.jobs.erasure import rows as erasure_rows
from dicomlake.jobs.erasure.remembered import Remembered
from dicomlake.jobs.erasure.traces import Finder, sweep
from dicomlake.jobs.extraction import extract, kept
from dicomlake.jobs.inbox import Inbox, Intake, Leaving
from dicomlake.jobs.saved import Saved
from dicomlake.lake import Store
from dicomlake.lake.keeping import Kept
from dicomlake.queues.sqlite import SqliteQueue
from dicomlake.readers.batch import Batch
from dicomlake.readers.contents import ContentsReader
from dicomlake.readers.fold import Folder
from dicomlake.readers.header import HeaderReader

from .made import content, healthy, put, run, slice_of

ID, NAME = "PAT-4711-X", "Grünwald^Änne"
OTHER, STRANGER = "PAT-0815-Y", "Meier^Otto"


def _put_people(folder: Path) -> None:
    for series in ("1/a", "1/b", "2/a"):
        for number in (1, 2):
            data = slice_of(
                series,
                number,
                PatientID=ID,
                PatientName=NAME,
                AccessionNumber=f"ACC-{series[0]}-77",
                SpecificCharacterSet="ISO_IR 192",
            )
            put(folder, f"{ID}/{series.replace('/', '-')}-{number}.dcm", data)
    for series in ("8/a", "9/a"):
        more = {"PatientID": OTHER, "PatientName": STRANGER, "AccessionNumber": "ACC-8-88"}
        put(folder, f"other/{series.replace('/', '-')}.dcm", slice_of(series, 1, **more))
    put(folder, f"{ID}/letter of {NAME}.txt", b"not DICOM")
    put(folder, f"{ID}/broken.dcm", b"")


@pytest.fixture
def places(tmp_path):
    """Files of two patients, and a lake of them that has an older version."""
    files, lake = tmp_path / "files", tmp_path / "lake"
    _put_people(files)
    run(files, lake)
    more = {"PatientID": ID, "PatientName": NAME, "SpecificCharacterSet": "ISO_IR 192"}
    put(files, f"{ID}/1-a-3.dcm", slice_of("1/a", 3, **more))
    run(files, lake)
    return files, lake


def _others(lake: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a lake says of those who stay, without what is counted of everybody."""
    with Store(lake).database() as db:
        stay = db.execute(
            'select "SeriesInstanceUID" from series where "PatientID" <> ?', [ID]
        ).fetchall()
    uids = {uid for (uid,) in stay}
    finder = Finder([ID, NAME], [], [])
    return {
        name: [
            row
            for row in rows
            if dict(row)["of"] in uids or (name in _LISTS and not finder.holds(str(row)))
        ]
        for name, rows in content(lake).items()
    }


_LISTS = ("failures", "files")


def _traces(lake: Path, *texts: str) -> list[object]:
    return sweep([lake], Finder(texts, [], []))[0]


class TestTables:
    def test_nothing_is_left_and_the_others_stay_the_same(self, places):
        _, lake = places
        uids = [u for u in Store(lake).read("instances", ["SOPInstanceUID"]).column(0).to_pylist()]
        assert _traces(lake, ID, NAME)
        proof = erasing.erase(lake, ID)
        assert proof.whole
        assert proof.left == []
        assert proof.removed["series"] == 3
        assert proof.removed["instances"] == 7
        assert proof.removed["files"] == 1
        assert proof.removed["failures"] == 1
        assert _traces(lake, ID, NAME, "ACC-1-77") == []
        left = set(Store(lake).read("instances", ["SOPInstanceUID"]).column(0).to_pylist())
        assert len(left) == 2
        assert _traces(lake, *(set(uids) - left)) == []
        healthy(lake)

    def test_rows_of_everybody_else_are_what_they_were(self, places):
        _, lake = places
        compact(lake)
        before = _others(lake)
        assert len(before["series"]) == 2
        assert before["elements"]
        erasing.erase(lake, ID)
        assert content(lake) == {name: before[name] for name in content(lake)}

    def test_the_vocabulary_forgets_and_older_versions_are_gone(self, places):
        _, lake = places
        old = Store(lake).version
        erasing.erase(lake, ID)
        with pytest.raises(LakeError, match="cannot be read any more"):
            Store(lake, old)
        assert Lake(lake).vocabulary.patients == 1
        on_disk = {p.name for t in tables.ALL for p in (lake / t).glob("*.parquet")}
        assert on_disk == {f.name for t in tables.ALL for f in Store(lake).files(t)}

    def test_one_study_goes_and_the_patient_stays(self, places):
        _, lake = places
        with Store(lake).database() as db:
            study, stays = [
                row[0]
                for row in db.execute(
                    'select distinct "StudyInstanceUID" from series where "PatientID" = ? '
                    'order by "AccessionNumber"',
                    [ID],
                ).fetchall()
            ]
        freeze(lake, "theirs", f"PatientID = '{ID}'", by="Doe")
        proof = erasing.erase(lake, ID, study=study)
        assert proof.kind == "study"
        frozen = opened(lake, "theirs").series()
        assert set(frozen.column("StudyInstanceUID").to_pylist()) == {stays}
        assert proof.whole
        left = Store(lake).read("series", ["StudyInstanceUID", "PatientID"]).to_pylist()
        assert {"StudyInstanceUID": stays, "PatientID": ID} in left
        assert study not in {row["StudyInstanceUID"] for row in left}
        assert _traces(lake, study) == []
        with pytest.raises(UsageError, match="no such study"):
            erasing.erase(lake, ID, study="1.2.3")

    def test_two_issuers_gave_the_same_id(self, tmp_path):
        for number, issuer in enumerate(("A", "B")):
            more = {"PatientID": ID, "IssuerOfPatientID": issuer, "PatientName": f"P^{issuer * 5}"}
            put(tmp_path / "files", f"{issuer}.dcm", slice_of(f"{number}/x", 1, **more))
        lake = tmp_path / "lake"
        run(tmp_path / "files", lake)
        with pytest.raises(UsageError, match="--issuer"):
            erasing.erase(lake, ID)
        proof = erasing.erase(lake, ID, issuer="A")
        assert proof.whole
        rows = Store(lake).read("series", ["IssuerOfPatientID"]).column(0).to_pylist()
        assert rows == ["B"]


class TestAround:
    def test_whatever_lies_around_forgets(self, places, tmp_path):
        _, lake = places
        queue = SqliteQueue(lake / "_queue" / "tasks.sqlite")
        queue.put([Task(f"patient:{ID}", "find", {"PatientID": ID}), Task("free", "find")])
        queue.close()
        saved = Saved(lake)
        tree = {"where": {"keyword": "PatientID", "op": "=", "value": ID}}
        saved.put(tree, name=f"Case {ID}", shared=True)
        saved.put({"where": None}, name="everybody", shared=True)
        link = saved.link(tree)
        Charts(lake).put(_CHART, name="one")
        store_kept = Kept(lake / "_kept")
        ours, theirs = (_instance_of(lake, patient) for patient in (ID, OTHER))
        for uid in (ours, theirs):
            store_kept.put(uid, lambda at, n: b"x" * n, 10)
        put(lake / "_masks" / "hu", f"{ours}.nii", b"voxels")
        put(lake / "_masks" / "hu", "1.2.3.nii", b"voxels")
        put(lake / "_spill", "part.tmp", NAME.encode("utf-16-le"))
        put(lake / "_queue" / "journals", "999999-a.journal", f'["{ID}"]\t{{}}\nkeep\n'.encode())
        log = Audit.of(lake)
        log.append({"name": "ann", "what": "GET /api", "query": f"PatientID={ID}"})
        log.append({"name": "bob", "what": "POST /api/query", "body": {"value": [ID, 3]}})
        head = log.verify().head
        freeze(lake, "all")
        freeze(lake, "one", f"PatientID = '{ID}'")
        assert saved.opened(link)

        preview = erasing.preview(lake, ID)
        assert preview.questions == ["Case erased", "a link", "one"]
        proof = erasing.erase(lake, ID)
        assert proof.whole, proof.left
        assert proof.questions == ["Case erased", "a link", "one"]
        assert proof.removed["kept objects"] == 1
        assert proof.removed["masks"] == 1
        assert proof.removed["journals"] == 1
        assert proof.removed["audit log"] == 2
        assert _traces(lake, ID, NAME, NAME.replace("^", " ")) == []
        assert opened(lake, "all").series().column("PatientID").to_pylist() == [OTHER, OTHER]
        assert not store_kept.holds(ours)
        assert (lake / "_masks" / "hu" / "1.2.3.nii").exists()
        assert (lake / "_queue" / "journals" / "999999-a.journal").read_bytes() == b"keep\n"
        tasks = SqliteQueue(lake / "_queue" / "tasks.sqlite").tasks()
        assert [state.task.key for state in tasks] == ["free"]
        assert {one.name for one in saved.all()} == {"Case erased", "everybody"}
        checked = log.verify(head)
        assert checked.good, checked.why
        assert checked.redacted == 2

    def test_saved_questions_can_be_removed(self, places):
        _, lake = places
        saved = Saved(lake)
        saved.put({"value": ID}, name="of one", shared=True)
        saved.put({"value": 3}, name="of all", shared=True)
        proof = erasing.erase(lake, ID, questions="remove")
        assert proof.questions == ["of one"]
        assert [one.name for one in saved.all()] == ["of all"]
        with pytest.raises(UsageError, match="redact"):
            erasing.erase(lake, ID, questions="keep")

    def test_freed_pages_of_databases_are_gone(self, places):
        _, lake = places
        path = lake / "_queue" / "requests.sqlite"
        path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(path)) as db:
            db.execute("pragma secure_delete = off")
            db.execute("create table requests (id text primary key, said text)")
            db.executemany(
                "insert into requests values (?, ?)",
                [(str(n), f"{ID} {'x' * 900}") for n in range(20)],
            )
            db.execute("delete from requests where id <> '0'")
            db.commit()
        assert ID.encode() in path.read_bytes()
        erasing.erase(lake, ID)
        assert ID.encode() not in path.read_bytes()
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("select said from requests").fetchone()[0].startswith("erased ")

    def test_results_of_extractions_lose_the_patient(self, places):
        _, lake = places
        extract(lake, _EXTRACTION)
        assert ID in kept(lake, "slices").column("PatientID").to_pylist()
        proof = erasing.erase(lake, ID)
        assert proof.whole, proof.left
        assert set(kept(lake, "slices").column("PatientID").to_pylist()) == {OTHER}

    def test_batches_that_wait_lose_the_patient(self, places):
        _, lake = places
        _leave(lake, ("5/a", ID), ("6/a", OTHER))
        erasing.erase(lake, ID)
        assert _traces(lake / "_inbox", ID) == []
        Intake(Store(lake)).take()
        assert set(Store(lake).read("series", ["PatientID"]).column(0).to_pylist()) == {OTHER}
        assert len(Store(lake).files("series")) >= 1
        assert Lake(lake).totals["series"] == 3
        healthy(lake)


_CHART = {"title": f"Dose of {NAME}", "data": {"dicomlake": {"by": ["Modality"]}}, "mark": "bar"}
_EXTRACTION = """
name: slices
each: series
columns:
  number: {path: SliceLocation, several: first}
"""


def _instance_of(lake: Path, patient: str) -> str:
    with Store(lake).database() as db:
        found = db.execute(
            'select "SOPInstanceUID" from instances semi join (select series_id from series '
            'where "PatientID" = ?) using (series_id) order by 1',
            [patient],
        ).fetchall()
    return str(found[0][0])


def _leave(lake: Path, *series: tuple[str, str]) -> None:
    reader = HeaderReader()
    leaving = Leaving(Batch(contents=ContentsReader()))
    for name, patient in series:
        data = slice_of(name, 1, PatientID=patient)
        thing = Object(f"pacs://x/{name}", 0, len(data), lambda at, n, d=data: d[at : at + n])
        leaving.batch.add(Found(thing.uri, len(data), 1), thing, reader)
    Inbox(lake).leave(leaving, reader, Folder())


class TestComingBack:
    def test_indexing_leaves_the_patient_out(self, places):
        files, lake = places
        erasing.erase(lake, ID)
        report = run(files, lake)
        assert report.counts["erased"] == 7
        assert report.counts["objects"] == 0
        assert Lake(lake).totals["patients"] == 1
        assert _traces(lake, NAME) == []

    def test_several_processes_leave_the_patient_out(self, places, tmp_path):
        files, lake = places
        erasing.erase(lake, ID)
        for number in range(30):
            put(files, f"more/{number}.dcm", slice_of("7/a", number, PatientID=ID))
        report = run(files, lake, workers=2)
        assert report.counts["erased"] == 37
        assert Lake(lake).totals["patients"] == 1

    def test_what_archives_send_is_left_out(self, places):
        _, lake = places
        erasing.erase(lake, ID)
        _leave(lake, ("5/a", ID), ("6/a", OTHER))
        assert _traces(lake / "_inbox", ID) == []
        Intake(Store(lake)).take()
        assert Lake(lake).totals["patients"] == 1

    def test_what_is_stored_is_left_out_and_not_kept(self, places):
        _, lake = places
        erasing.erase(lake, ID)
        store_kept = Kept(lake / "_kept")
        deposit = Deposit(lake, store_kept)
        for name, patient in (("5/a", ID), ("6/a", OTHER)):
            data = slice_of(name, 1, PatientID=patient)
            stored = deposit.add(lambda at, n, d=data: d[at : at + n], len(data))
            assert stored.failure == 0
        deposit.close()
        Intake(Store(lake)).take()
        assert Lake(lake).totals["patients"] == 1
        assert _traces(lake, ID) == []
        (path,) = (lake / "_kept").rglob("*.dcm")
        assert OTHER.encode() in path.read_bytes()

    def test_a_batch_that_was_left_before_is_spared_when_it_is_taken(self, places):
        _, lake = places
        _leave(lake, ("5/a", ID), ("6/a", OTHER))
        remembered = Remembered(lake)
        key = erasing.key_of("patient", "", ID)
        remembered.add([(remembered.of_patient(key), "patient")], "x")
        Intake(Store(lake)).take()
        series = Store(lake).read("series").to_pylist()
        assert sum(row["PatientID"] == ID for row in series) == 3
        assert sum(row["PatientID"] == OTHER for row in series) == 3

    def test_it_may_be_allowed_again(self, places):
        files, lake = places
        proof = erasing.erase(lake, ID)
        mark = erasing.was_erased(lake, ID)
        assert mark.erasure == proof.id
        assert ID not in (lake / "_access" / "erased.json").read_text()
        assert erasing.was_erased(lake, OTHER) is None
        assert erasing.allow_again(lake, ID)
        assert not erasing.allow_again(lake, OTHER)
        run(files, lake)
        assert Lake(lake).totals["patients"] == 2
        erasing.erase(lake, ID, allow_again=True)
        run(files, lake)
        assert Lake(lake).totals["patients"] == 2


class TestSafely:
    def test_it_refuses_while_somebody_writes(self, places):
        _, lake = places
        with Store(lake).lock(), pytest.raises(LakeError, match="Another process is writing"):
            erasing.erase(lake, ID)
        assert Lake(lake).totals["patients"] == 2

    @pytest.mark.parametrize("after_s", [0.1, 0.4, 0.8, 1.4])
    def test_killed_at_any_moment_it_goes_on(self, places, after_s):
        _, lake = places
        Audit.of(lake).append({"what": "GET", "query": ID})
        before = _others(lake)
        code = (
            "import sys; from dicomlake.jobs import erasing\n"
            "print('go', flush=True); erasing.erase(sys.argv[1], sys.argv[2])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(lake), ID], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        proofs = erasing.resume(lake)
        if Lake(lake).totals["patients"] == 2:  # killed before anything was noted
            assert proofs == []
            proofs = [erasing.erase(lake, ID)]
        assert all(proof.whole for proof in proofs)
        assert _traces(lake, ID, NAME) == []
        assert content(lake) == {name: before[name] for name in content(lake)}
        assert Audit.of(lake).verify().good
        assert list((lake / "_access").glob("erasing-*")) == []
        healthy(lake)

    @pytest.mark.parametrize("step", ["take_out", "purge"])
    def test_an_error_in_the_middle_is_mended_by_the_next(self, places, monkeypatch, step):
        _, lake = places

        def fail(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(erasure_rows, step, fail)
            with pytest.raises(KeyboardInterrupt):
                erasing.erase(lake, ID)
        (proof,) = erasing.resume(lake)
        assert proof.whole
        assert proof.removed["series"] == 3
        assert _traces(lake, ID, NAME) == []

    def test_readers_go_on(self, places):
        _, lake = places
        stop, seen, wrong = threading.Event(), set(), []

        def look() -> None:
            while not stop.is_set():
                try:
                    seen.add(Lake(lake).totals["patients"])
                except LakeError as error:
                    wrong.append(str(error))
                except Exception as error:  # noqa: BLE001 - what a reader may never see
                    wrong.append(repr(error))
                    return

        thread = threading.Thread(target=look)
        thread.start()
        time.sleep(0.5)
        erasing.erase(lake, ID)
        time.sleep(0.5)
        stop.set()
        thread.join()
        assert {1, 2} <= seen
        assert all("cannot be read" in why or "gone" in why for why in wrong), wrong


class TestTraces:
    @pytest.mark.parametrize(
        "data",
        [
            NAME.encode(),
            NAME.encode("latin-1"),
            NAME.encode("utf-16-le"),
            NAME.encode("utf-16-be"),
            json.dumps(NAME).encode(),
            b"?q=Gr%C3%BCnwald%5E%C3%84nne&x",
            b"AAAA" + base64.b64encode(b"z" + NAME.encode() + b"yy"),
        ],
    )
    def test_every_spelling_is_found(self, tmp_path, data):
        put(tmp_path / "x", "file", b"before " + data + b" after")
        assert sweep([tmp_path / "x"], Finder([NAME], [], []))[0]

    def test_columns_of_parquet_are_read(self, tmp_path):
        path = tmp_path / "x" / "a.parquet"
        path.parent.mkdir()
        duckdb.sql(
            f"copy (select ['a', '{ID}'] as l, {{'b': '1.2.3.4'}} as s, 77::bigint as patient_key) "
            f"to '{path}' (format parquet, compression zstd)"
        )
        found, files, _ = sweep([path.parent], Finder([ID], ["1.2.3.4"], [77]))
        assert files == 1
        assert {"column l", "column s", "column patient_key"} <= {one.how for one in found}

    def test_numbers_and_longer_words_are_no_traces(self, tmp_path):
        put(
            tmp_path / "x",
            "a.json",
            b'{"size": 123456, "id": "1234567890", "uid": "1.2.12345678.9"}',
        )
        assert sweep([tmp_path / "x"], Finder(["123456", "12345678"], ["1.2.3.4"], []))[0] == []
        put(tmp_path / "x", "b.json", b'{"id": "123456"}')
        assert len(sweep([tmp_path / "x"], Finder(["123456"], [], []))[0]) == 1

    def test_a_trace_over_the_edge_of_a_piece(self, tmp_path):
        step = 8 * 1024**2
        put(tmp_path / "x", "big", b" " * (step - 3) + ID.encode() + b" " * 100)
        (found,) = sweep([tmp_path / "x"], Finder([ID], [], []))[0]
        assert found.count == 1


class TestAuditLog:
    def test_who_crosses_out_without_saying_so_is_found_out(self, tmp_path):
        log = Audit(tmp_path / "audit.jsonl")
        for number in range(5):
            log.append({"what": f"GET {number}", "query": f"id=ABCD{number}"})
        data = log.path.read_bytes()
        log.path.write_bytes(data.replace(b"ABCD2", b"*****"))
        assert log.verify().why == "the line was changed"

    def test_a_crossed_line_cannot_be_changed_again(self, tmp_path):
        log = Audit(tmp_path / "audit.jsonl")
        for number in range(5):
            log.append({"what": "GET", "body": [number, 4711001], "query": f"id=ABCD{number}"})
        head = log.verify().head
        finder = Finder(["ABCD2"], [], [])
        assert log.redact(finder.spans, {"what": "erasure"}) == 1
        checked = log.verify(head)
        assert checked.good
        assert (checked.redacted, checked.lines) == (1, 6)
        assert log.redact(finder.spans, {"what": "erasure"}) == 0
        data = log.path.read_bytes()
        log.path.write_bytes(data.replace(b"[2,4711001]", b"[3,4711001]"))
        assert not log.verify().good

    def test_killed_after_it_was_told_the_log_is_whole(self, tmp_path):
        log = Audit(tmp_path / "audit.jsonl")
        log.append({"what": "GET", "query": "id=ABCD2"})
        before = log.path.read_bytes()
        log.redact(Finder(["ABCD2"], [], []).spans, {"what": "erasure"})
        log.path.write_bytes(before + log.path.read_bytes()[len(before) :])
        assert log.verify().good
        assert log.redact(Finder(["ABCD2"], [], []).spans, {"what": "erasure"}) == 1
        assert log.verify().good


def test_processes_do_not_share_what_they_remember(tmp_path):
    lake = tmp_path / "lake"
    lake.mkdir()
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        keys = pool.map(_digest_in, [str(lake)] * 6)
    assert len(set(keys)) == 1
    assert os.stat(lake / "_access" / "erased.key").st_mode & 0o777 == 0o600


def _digest_in(lake: str) -> str:
    return Remembered(lake).of_patient(1)


class TestClinical:
    """Facts and reports go with their patient."""

    @pytest.fixture
    def lake(self, places):
        _, lake = places
        take(
            lake,
            [
                {"PatientID": ID, "identifier": "f1", "kind": "condition", "text": "flu"},
                {"AccessionNumber": "ACC-1-77", "identifier": "f2", "kind": "observation",
                 "text": "of the order"},
                {"PatientID": OTHER, "identifier": "f3", "kind": "condition", "text": "cold"},
                {"AccessionNumber": "ACC-8-88", "identifier": "f4", "kind": "condition",
                 "text": "of another order"},
            ],
            [
                {"PatientID": ID, "identifier": "d1", "text": f"Report of {NAME}: no effusion."},
                {"AccessionNumber": "ACC-2-77", "identifier": "d2", "text": "No nodule."},
                {"PatientID": OTHER, "identifier": "d3", "text": "No pneumothorax."},
            ],
            source="clinic",
        )  # fmt: skip
        return lake

    def _left(self, lake):
        store = Store(lake)
        names = [*store.read("clinical_events", ["identifier"]).column(0).to_pylist()]
        return sorted([*names, *store.read("documents", ["identifier"]).column(0).to_pylist()])

    def test_they_go_and_the_proof_lists_them(self, lake):
        assert erasing.preview(lake, ID).rows["documents"] == 2
        proof = erasing.erase(lake, ID)
        assert proof.whole, proof.left
        assert (proof.removed["clinical_events"], proof.removed["documents"]) == (2, 2)
        assert self._left(lake) == ["d3", "f3", "f4"]
        assert _traces(lake, ID, NAME, "ACC-1-77") == []
        healthy(lake)

    def test_what_belongs_to_the_order_of_one_study_goes_with_it(self, lake):
        with Store(lake).database() as db:
            ((study,),) = db.execute(
                'select distinct "StudyInstanceUID" from series '
                "where \"AccessionNumber\" = 'ACC-1-77'"
            ).fetchall()
        erasing.erase(lake, ID, study=study)
        assert self._left(lake) == ["d1", "d2", "d3", "f1", "f3", "f4"]

    def test_somebody_without_images_is_erased_as_well(self, lake):
        take(lake, [{"PatientID": "NO-IMAGES-1", "IssuerOfPatientID": "HOSP", "kind": "condition",
                     "text": "flu"}], source="other")  # fmt: skip
        proof = erasing.erase(lake, "NO-IMAGES-1")
        assert proof.whole
        assert proof.removed["clinical_events"] == 1
        assert _traces(lake, "NO-IMAGES-1") == []

    def test_the_same_number_of_another_issuer_is_somebody_else(self, lake):
        take(lake, [{"PatientID": ID, "IssuerOfPatientID": "ELSE", "kind": "condition",
                     "identifier": "f9", "text": "flu"}], source="other")  # fmt: skip
        with pytest.raises(UsageError, match="Say whose"):
            erasing.erase(lake, ID)
        proof = erasing.erase(lake, ID, issuer="")
        assert proof.whole, proof.left
        assert self._left(lake) == ["d3", "f3", "f4", "f9"]
