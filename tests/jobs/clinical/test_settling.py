"""What is taken becomes rows of a version of the lake: once, in order, and safe from a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from dicomlake import tables
from dicomlake.errors import LakeError, UsageError
from dicomlake.jobs.clinical import bring, bringing, remove, status, take
from dicomlake.jobs.compact import compact
from dicomlake.jobs.doctor import examine
from dicomlake.jobs.erasing import erase
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.readers.batch import key_of

from ..made import put as put_file
from ..made import slice_of
from .made import condition, facts, patient, put


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def _fact(id_, **more):
    return {"PatientID": "PAT1", "identifier": f"f{id_}", "kind": "condition",
            "code_value": "C61", "code_scheme": "I10", **more}  # fmt: skip


class TestTaking:
    def test_rows_as_dicts_are_completed(self, lake):
        made = take(
            lake,
            [_fact(1, kind="observation", number=1.0, unit="mmHg")],
            [{"PatientID": "PAT1", "text": "Kein Erguss."}],
            source="converter",
        )
        (row,) = facts(lake)
        assert row["patient_key"] == key_of("patient", "", "PAT1")
        assert (row["code"], row["codes"]) == ("I10:C61", ["I10:C61"])
        assert (row["quantity"], row["quantity_unit"]) == (1.0, "mm[Hg]")
        (document,) = facts(lake, "documents")
        assert (document["language"], document["negated"]) == ("de", "Kein Erguss.")
        assert made.added == 2

    def test_arrow_batches_are_taken_as_they_are(self, lake):
        rows = pa.table({"PatientID": ["A", "B"], "kind": ["condition"] * 2, "text": ["x", "y"]})
        take(lake, rows, source="one")
        take(lake, rows.to_batches(), source="one")
        assert sorted(row["text"] for row in facts(lake)) == ["x", "y"]

    def test_rows_without_an_identifier_are_what_they_say(self, lake):
        row = {"PatientID": "A", "kind": "condition", "text": "flu"}
        take(lake, [row, row, {**row, "text": "cold"}], source="one")
        assert take(lake, [row], source="one").added == 0
        assert len(facts(lake)) == 2

    def test_a_column_that_is_none_is_refused(self, lake):
        with pytest.raises(UsageError, match="no column 'diagnosis'"):
            take(lake, [{"diagnosis": "flu"}], source="one")

    def test_a_source_has_a_name(self, lake):
        with pytest.raises(UsageError, match="Name their source"):
            take(lake, [], source=" ")

    def test_a_lake_that_deidentifies_takes_none_without_its_key(self, lake):
        Store.create(lake).note_door({"profile": "research", "pseudonyms": "x"})
        with pytest.raises(UsageError, match="no pseudonyms 'x'"):
            take(lake, [_fact(1)], source="one")


class TestVersions:
    def test_a_version_of_the_lake_holds_the_facts_of_its_time(self, lake):
        take(lake, [_fact(1)], source="one")
        first = Store(lake).version
        take(lake, [_fact(2)], source="one")
        assert Store(lake, first).read("clinical_events").num_rows == 1
        assert Store(lake).read("clinical_events").num_rows == 2

    def test_facts_are_sorted_as_questions_want_them(self, lake):
        made = [_fact(n, code_value=f"C{n % 3}", PatientID=f"P{n}") for n in range(50)]
        take(lake, made, source="one")
        rows = Store(lake).read("clinical_events", ["code", "patient_key"]).to_pylist()
        listed = [(row["code"], row["patient_key"]) for row in rows]
        assert listed == sorted(listed)

    def test_compact_and_doctor_know_the_tables(self, lake):
        for number in range(4):
            take(lake, [_fact(number)], source="one")
        before = facts(lake)
        compact(lake, vacuum_hours=0)
        assert len(Store(lake).files("clinical_events")) == 1
        assert facts(lake) == before
        said = examine(lake)
        assert not [one for one in said if one.level == "error"]
        assert any("4 facts and documents, each once" in one.what for one in said)

    def test_a_kill_between_the_steps_is_mended_by_the_same_import(self, lake, monkeypatch):
        take(lake, [_fact(1)], source="one")
        older = Store(lake).version

        def killed(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Store, "touch", killed)
            with pytest.raises(KeyboardInterrupt):
                take(lake, [_fact(2)], source="one")
        assert Store(lake).version == older
        assert any("killed before its end" in one.what for one in examine(lake))
        made = take(lake, [_fact(2)], source="one")
        assert made.added == 0
        assert Store(lake).version == older + 1
        assert Store(lake, older).read("clinical_events").num_rows == 1
        assert len(facts(lake)) == 2

    def test_another_writer_is_waited_for(self, lake):
        store = Store.create(lake)
        with store.lock(), pytest.raises(LakeError, match="Another process is writing"):
            take(lake, [_fact(1)], source="one")


class TestResuming:
    def test_files_that_were_read_before_a_stop_are_not_read_again(
        self, tmp_path, lake, monkeypatch
    ):
        folder = tmp_path / "in"
        for name in "abc":
            put(
                folder,
                f"{name}.json",
                patient(name, f"PAT{name}"),
                condition(name, f"Patient/{name}"),
            )
        read = []
        original = bringing.Fhir.read

        def reading(self, path, span=None):
            if path.name == "c.json" and "c.json" not in read:
                read.append(path.name)
                raise KeyboardInterrupt
            read.append(path.name)
            original(self, path, span)

        monkeypatch.setattr(bringing, "TOGETHER", 1)
        monkeypatch.setattr(bringing.Fhir, "read", reading)
        with pytest.raises(KeyboardInterrupt):
            bring(lake, [folder], source="clinic")
        assert Store(lake).read("clinical_events").num_rows == 0
        bring(lake, [folder], source="clinic")
        assert read == ["a.json", "b.json", "c.json", "c.json"]
        assert len(facts(lake)) == 6
        assert list((lake / "_work").glob("facts-*")) == []

    def test_a_killed_process_leaves_a_lake_that_the_same_import_completes(self, tmp_path, lake):
        folder = tmp_path / "in"
        put(folder, "p.json", patient("p", "PAT1"))
        put(folder, "c.ndjson", *(condition(f"c{n}", "Patient/p") for n in range(300)))
        program = (
            "import os, sys; from dicomlake.jobs.clinical import bring, bringing\n"
            "def killed(*a, **k): os._exit(9)\n"
            f"bringing.{{}} = killed\nbring({str(lake)!r}, [{str(folder)!r}], source='clinic')"
        )
        for step in ("settle", "rebuild"):
            done = subprocess.run([sys.executable, "-c", program.format(step)], check=False,
                                  env=dict(os.environ))  # fmt: skip
            assert done.returncode == 9
        made = bring(lake, [folder], source="clinic")
        assert len(facts(lake)) == 301
        assert made.added + made.unchanged == 301
        assert Store(lake).settled


class TestManaging:
    def test_sources_are_counted_and_let_go_of(self, lake, tmp_path):
        put_file(tmp_path / "dicom", "1.dcm", slice_of("1/a", 1, PatientID="PAT1"))
        index([tmp_path / "dicom"], lake, workers=1)
        then = datetime(2014, 1, 2, tzinfo=UTC)
        take(lake, [_fact(1, started=then), _fact(2, PatientID="X")], source="one")
        take(lake, [_fact(1)], [{"PatientID": "PAT1", "text": "No effusion."}], source="two")
        first, second, third = status(lake)
        assert (first.source, first.kind, first.rows, first.linked) == ("one", "condition", 2, 1)
        assert first.first == then
        assert (second.source, third.kind) == ("two", "document")
        assert remove(lake, "two") == {"clinical_events": 1, "documents": 1}
        assert {row["source"] for row in facts(lake)} == {"one"}
        with pytest.raises(UsageError, match="Sources are: one"):
            remove(lake, "two")

    def test_facts_of_a_patient_who_was_erased_stay_away(self, lake, tmp_path):
        put_file(tmp_path / "dicom", "1.dcm", slice_of("1/a", 1, PatientID="PAT1"))
        index([tmp_path / "dicom"], lake, workers=1)
        take(lake, [_fact(1), _fact(2, PatientID="PAT2")], source="one")
        assert erase(lake, "PAT1").removed["clinical_events"] == 1
        made = take(lake, [_fact(1), _fact(2, PatientID="PAT2")], source="one")
        assert made.left_out == 1
        assert [row["PatientID"] for row in facts(lake)] == ["PAT2"]


def test_every_column_of_the_tables_is_made_or_staged(lake):
    take(lake, [_fact(1)], [{"PatientID": "P", "text": "x"}], source="one")
    for name in tables.CLINICAL:
        assert Store(lake).read(name).schema.names == tables.ALL[name].names
