"""Cohorts stay as they were frozen, and are without those who withdrew or were erased."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pytest

import dicomlake
from dicomlake.errors import LakeError, NotAllowed, UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.cohorts import keeping
from dicomlake.jobs.cohorts.approving import judge, request
from dicomlake.jobs.cohorts.comparing import compare, news
from dicomlake.jobs.cohorts.deciding import decide
from dicomlake.jobs.cohorts.withdrawing import restore, withdraw, withdrawals
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.testing.dicom import uid
from dicomlake.testing.hospital import write

from .made import put, run, slice_of

MR = "Modality = 'MR'"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of twelve patients."""
    folder = tmp_path_factory.mktemp("cohorts")
    write(folder / "files", patients=12, seed=3, pixels=False)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture
def lake(whole: Path, tmp_path: Path) -> Path:
    """The lake without any cohort."""
    return Path(shutil.copytree(whole, tmp_path / "lake"))


def uids(lake: Path, where: str) -> set[str]:
    rows = dicomlake.open(lake).query(where, show=["SeriesInstanceUID"]).rows
    return set(rows.column("SeriesInstanceUID").to_pylist())


def held(lake: Path, name: str) -> set[str]:
    return set(cohorts.opened(lake, name).series().column("SeriesInstanceUID").to_pylist())


class TestFreeze:
    def test_has_what_the_question_finds(self, lake: Path) -> None:
        made = cohorts.freeze(lake, "mr", MR, by="ann", comment="first")
        found = dicomlake.open(lake).query(MR)
        assert held(lake, "mr") == uids(lake, MR) != set()
        assert {k: made.counts[k] for k in found.totals} == found.totals
        sizes = dicomlake.open(lake).sql(
            "select sum(size)::bigint as bytes from instances join series using (series_id) "
            "where \"Modality\" = 'MR'"
        )
        assert made.counts["bytes"] == sizes.column("bytes")[0].as_py()
        assert (made.version, made.by, made.comment, made.text) == (1, "ann", "first", MR)

    def test_levels_hold_all_series_of_what_is_found(self, lake: Path) -> None:
        cohorts.freeze(lake, "people", MR, "patient")
        assert held(lake, "people") > uids(lake, MR)
        made = cohorts.opened(lake, "people").version_of
        assert made.counts["patients"] == dicomlake.open(lake).query(MR).totals["patients"]
        with pytest.raises(UsageError, match="whole series"):
            cohorts.freeze(lake, "single", MR, "instance")

    def test_stays_when_the_lake_changes(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        before = cohorts.opened(lake, "mr")
        digest, counts, gone = before.digest, before.counts, sorted(uids(lake, MR))[0]
        Store(lake).remove("series", "SeriesInstanceUID", [gone])
        after = cohorts.opened(lake, "mr")
        assert (after.digest, after.counts) == (digest, counts)
        assert held(lake, "mr") == uids(lake, MR)
        assert after.missing == 1

    def test_the_same_again_has_the_same_digest(self, lake: Path) -> None:
        first, second = (cohorts.freeze(lake, "mr", MR) for _ in range(2))
        assert (first.version, second.version) == (1, 2)
        assert first.digest == second.digest
        assert cohorts.freeze(lake, "ct", "Modality = 'CT'").digest != first.digest
        assert cohorts.opened(lake, "mr").version == 2
        assert cohorts.opened(lake, "mr@1").version == 1
        assert [one.name for one in cohorts.listed(lake)] == ["ct", "mr"]

    @pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b", "x" * 65, "mr@", "mr@x"])
    def test_names_that_are_none(self, lake: Path, name: str) -> None:
        with pytest.raises(UsageError):
            cohorts.opened(lake, name)
        with pytest.raises(UsageError):
            cohorts.freeze(lake, name, MR)

    def test_unknown_ones_say_what_there_is(self, lake: Path) -> None:
        with pytest.raises(UsageError, match="There is none yet"):
            cohorts.opened(lake, "mr")
        cohorts.freeze(lake, "mr", MR)
        with pytest.raises(UsageError, match="There are: mr"):
            cohorts.opened(lake, "mri")
        with pytest.raises(UsageError, match="no version 2; the newest is 1"):
            cohorts.opened(lake, "mr@2")
        with pytest.raises(UsageError, match="Names differ in more"):
            cohorts.freeze(lake, "MR", MR)

    def test_a_changed_file_is_refused(self, lake: Path) -> None:
        one, other = cohorts.freeze(lake, "mr", MR), cohorts.freeze(lake, "ct", "Modality = 'CT'")
        folder = lake / "_cohorts"
        shutil.copy(folder / "ct" / other.rows, folder / "mr" / one.rows)
        with pytest.raises(LakeError, match="not what was frozen"):
            cohorts.opened(lake, "mr").series()


class TestForget:
    def test_patients_leave_no_trace(self, lake: Path) -> None:
        first = dicomlake.open(lake).query("", "patient", ["PatientID"]).rows
        patient = first.column("PatientID")[0].as_py()
        cohorts.freeze(lake, "all", f"PatientID != '{patient}x'", comment=f"without {patient}?")
        cohorts.freeze(lake, "one", f"Modality exists and not (PatientID = '{patient}')")
        rows = cohorts.opened(lake, "all").series().to_pylist()
        key = next(row["patient_key"] for row in rows if row["PatientID"] == patient)
        series = [row["SeriesInstanceUID"] for row in rows if row["patient_key"] == key]
        assert cohorts.forget(lake, key) == {"all": len(series)}
        after = cohorts.opened(lake, "all")
        assert after.version_of.erased == 1
        assert patient not in after.rows.column("PatientID").to_pylist()
        assert after.counts["series"] == len(rows) - len(series) == len(held(lake, "all"))
        for path in (lake / "_cohorts").rglob("*"):
            said = path.read_bytes() if path.is_file() else b""
            for word in (f"'{patient}'", f" {patient}?", *series):
                assert word.encode() not in said
        assert cohorts.opened(lake, "one").text == "Modality exists and not PatientID = 'erased'"
        assert cohorts.forget(lake, [key]) == {}

    def test_questions_that_name_patients_of_no_cohort(self, lake: Path) -> None:
        rows = dicomlake.open(lake).series.to_pylist()
        patient, key = rows[0]["PatientID"], rows[0]["patient_key"]
        cohorts.freeze(lake, "one", f"not (PatientID = '{patient}')")
        withdraw(lake, patient, by="eve")
        assert cohorts.forget(lake, key) == {}
        assert cohorts.opened(lake, "one").text == "not PatientID = 'erased'"
        assert withdrawals(lake) == []

    def test_patients_whom_the_lake_forgot_before(self, lake: Path) -> None:
        rows = dicomlake.open(lake).series.to_pylist()
        patient, key = rows[0]["PatientID"], rows[0]["patient_key"]
        cohorts.freeze(lake, "one", f"not (PatientID = '{patient}')", comment=f"not {patient}.")
        mine = [row["SeriesInstanceUID"] for row in rows if row["patient_key"] == key]
        Store(lake).remove("series", "SeriesInstanceUID", mine)
        assert cohorts.forget(lake, key) == {}
        after = cohorts.opened(lake, "one")
        assert (after.text, after.version_of.comment) == ("not PatientID = 'erased'", "not erased.")

    def test_a_study_alone(self, lake: Path) -> None:
        cohorts.freeze(lake, "all")
        rows = cohorts.opened(lake, "all").series().to_pylist()
        study = rows[0]["StudyInstanceUID"]
        gone = {row["SeriesInstanceUID"] for row in rows if row["StudyInstanceUID"] == study}
        assert cohorts.forget(lake, (), studies=[study]) == {"all": len(gone)}
        after = cohorts.opened(lake, "all")
        assert held(lake, "all") == {row["SeriesInstanceUID"] for row in rows} - gone
        assert (after.version_of.erased, after.counts["series"]) == (0, len(rows) - len(gone))


class TestDecide:
    def test_exclude_include_and_flag(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        one, other = sorted(uids(lake, MR))[:2]
        decide(lake, "mr", "exclude", [one], "blurred", by="ann")
        decide(lake, "mr", "flag", other, flag="2", by="ben")
        assert held(lake, "mr") == uids(lake, MR)  # versions stay as they are
        made = cohorts.save(lake, "mr", by="ann", comment="reviewed")
        assert (made.version, made.kind, made.left_out["excluded"]) == (2, "saved", 1)
        assert held(lake, "mr") == uids(lake, MR) - {one}
        assert held(lake, "mr@1") == uids(lake, MR)
        rows = {r["SeriesInstanceUID"]: r for r in cohorts.opened(lake, "mr").rows.to_pylist()}
        assert (rows[one]["state"], rows[one]["reason"]) == ("excluded", "blurred")
        assert (rows[other]["state"], rows[other]["flag"]) == ("included", "2")
        decide(lake, "mr", "include", [one], by="ben")
        cohorts.save(lake, "mr")
        assert held(lake, "mr") == uids(lake, MR)
        with pytest.raises(UsageError, match="Nothing was decided since version 3"):
            cohorts.save(lake, "mr")
        told = [(entry.what, entry.by) for entry in keeping.log(lake, "mr")]
        assert told == [("exclude", "ann"), ("flag", "ben"), ("include", "ben")]

    def test_decisions_outlive_the_next_freezing(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        gone = sorted(uids(lake, MR))[0]
        more = sorted(uids(lake, "Modality = 'CT'"))[0]
        decide(lake, "mr", "exclude", gone, "blurred")
        decide(lake, "mr", "include", more, "asked for")
        cohorts.freeze(lake, "mr", MR)
        assert held(lake, "mr") == uids(lake, MR) - {gone} | {more}
        cohorts.freeze(lake, "mr", "Modality = 'US'")
        assert held(lake, "mr") == uids(lake, "Modality = 'US'") | {more}
        cohorts.freeze(lake, "mr", MR)
        assert held(lake, "mr") == uids(lake, MR) - {gone} | {more}

    def test_whole_studies_and_patients(self, lake: Path) -> None:
        cohorts.freeze(lake, "all")
        rows = cohorts.opened(lake, "all").series().to_pylist()
        study, patient = rows[0]["StudyInstanceUID"], rows[-1]["PatientID"]
        decide(lake, "all", "exclude", study, "test", level="study")
        decide(lake, "all", "exclude", patient, "test", level="patient")
        cohorts.save(lake, "all")
        left = cohorts.opened(lake, "all").series().to_pylist()
        assert left == [
            r for r in rows if r["StudyInstanceUID"] != study and r["PatientID"] != patient
        ]

    def test_mistakes(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        one = sorted(uids(lake, MR))[0]
        for said, given in {
            "Say why": ("exclude", one),
            "not in the cohort": ("exclude", "1.2.3", "why"),
            "not in the lake": ("include", "1.2.3", "why"),
            "is no decision": ("drop", one, "why"),
            "Name at least one": ("exclude", [], "why"),
        }.items():
            with pytest.raises(UsageError, match=said):
                decide(lake, "mr", *given)
        assert keeping.log(lake, "mr") == []

    def test_what_a_crash_cut_off_is_no_line(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        one, other = sorted(uids(lake, MR))[:2]
        decide(lake, "mr", "exclude", one, "why")
        log = lake / "_cohorts" / "mr" / "log.jsonl"
        log.write_bytes(log.read_bytes() + b'{"n": 2, "wh')
        decide(lake, "mr", "exclude", other, "why")
        assert [entry.n for entry in keeping.log(lake, "mr")] == [1, 2]
        cohorts.save(lake, "mr")
        assert held(lake, "mr") == uids(lake, MR) - {one, other}


class TestCompare:
    def test_says_what_and_why(self, lake: Path, tmp_path: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        rows = cohorts.opened(lake, "mr").series().to_pylist()
        first, second = list({r["PatientID"]: r["SeriesInstanceUID"] for r in rows}.values())[:2]
        put(tmp_path / "more", "1.dcm", slice_of(1, Modality="MR", PatientID="new"))
        run(tmp_path / "more", lake)
        decide(lake, "mr", "exclude", first, "blurred")
        patient = next(r["PatientID"] for r in rows if r["SeriesInstanceUID"] == second)
        mine = {r["SeriesInstanceUID"] for r in rows if r["PatientID"] == patient}
        withdraw(lake, patient)
        cohorts.freeze(lake, "mr", MR)
        found = compare(lake, "mr@1", "mr@2")
        told = {r["SeriesInstanceUID"]: (r["side"], r["why"]) for r in found.rows.to_pylist()}
        expected = dict.fromkeys(mine, ("only_a", "withdrawn"))
        expected[first] = ("only_a", "excluded")
        expected[uid("series", 1)] = ("only_b", "new or changed data")
        assert told == expected
        assert found.why["only_b"] == {"new or changed data": 1}
        both = len(held(lake, "mr@1") & held(lake, "mr@2"))
        assert found.counts["series"]["both"] == both
        assert found.counts["patients"]["only_a"] == 1

    def test_other_questions(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        cohorts.freeze(lake, "both", "Modality in ('MR', 'CT')")
        found = compare(lake, "both", "mr")
        assert found.why == {
            "only_a": {"other question": len(uids(lake, "Modality = 'CT'"))},
            "only_b": {},
        }
        assert compare(lake, "mr", "mr").same

    def test_news(self, lake: Path) -> None:
        one, other = sorted(uids(lake, MR))[:2]
        store = Store(lake)
        rows = store.read("series").filter(pc.field("SeriesInstanceUID") == one)
        store.remove("series", "SeriesInstanceUID", [one])
        cohorts.freeze(lake, "mr", MR)
        assert not news(lake, "mr").any
        store = Store(lake)
        store.commit_series(rows, [], "run")
        store.remove("series", "SeriesInstanceUID", [other])
        found = news(lake, "mr")
        assert found.rows.column("SeriesInstanceUID").to_pylist() == [one]
        assert (found.counts["series"], found.missing, found.lost) == (1, 1, 0)


class TestApprove:
    def test_another_steward_decides(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        asked = request(lake, "mr", "training", ethics="E-1", profile="basic", by="ann")
        assert not cohorts.opened(lake, "mr").approved
        with pytest.raises(NotAllowed, match="your own"):
            judge(lake, "mr", "approve", by="ann")
        judge(lake, "mr", "approve", by="eve", comment="fine")
        opened = cohorts.opened(lake, "mr")
        assert opened.approved
        assert opened.request is not None
        assert (opened.request.n, opened.request.decided_by) == (asked.n, "eve")
        cohorts.freeze(lake, "mr", MR)
        assert not cohorts.opened(lake, "mr").approved  # another version
        assert cohorts.opened(lake, "mr@1").approved
        judge(lake, "mr@1", "refuse", by="eve", comment="taken back")
        assert not cohorts.opened(lake, "mr@1").approved

    def test_open_mode_lets_one_approve_ones_own(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        request(lake, "mr", "training", by="ann")
        judge(lake, "mr", "approve", by="ann", own=True)
        assert cohorts.opened(lake, "mr").approved

    def test_an_approval_ends(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        today = datetime.now(UTC).date()
        asked = request(lake, "mr", "training", valid_until=today.isoformat(), by="ann")
        done = judge(lake, "mr", "approve", by="eve")
        assert cohorts.opened(lake, "mr").approved
        assert not done.approved(asked.at + 2 * 86_400)

    def test_mistakes(self, lake: Path) -> None:
        cohorts.freeze(lake, "mr", MR)
        with pytest.raises(UsageError, match="Nobody asked for version 1"):
            judge(lake, "mr", "approve")
        for said, given in {
            "Say what for": {"purpose": " "},
            "is no day": {"purpose": "x", "valid_until": "soon"},
            "is gone": {"purpose": "x", "valid_until": "2001-01-01"},
        }.items():
            with pytest.raises(UsageError, match=said):
                request(lake, "mr", **given)
        request(lake, "mr", "training", by="ann")
        with pytest.raises(UsageError, match="Say why"):
            judge(lake, "mr", "refuse", by="eve")


class TestWithdraw:
    def test_leaves_all_later_use(self, lake: Path) -> None:
        cohorts.freeze(lake, "all")
        cohorts.freeze(lake, "mr", MR)
        rows = cohorts.opened(lake, "mr").series().to_pylist()
        patient = rows[0]["PatientID"]
        mine = {r["SeriesInstanceUID"] for r in rows if r["PatientID"] == patient}
        before = cohorts.opened(lake, "mr").digest
        done = withdraw(lake, patient, "letter of 3 May", by="eve")
        assert (done.patients, done.unknown, done.exports) == (1, 0, [])
        assert done.cohorts["mr"] == len(mine) < done.cohorts["all"]
        after = cohorts.opened(lake, "mr")
        assert held(lake, "mr") == uids(lake, MR) - mine
        assert (after.withdrawn, after.digest) == (len(mine), before)
        made = cohorts.save(lake, "mr")
        assert made.left_out["withdrawn"] == len(mine)
        assert cohorts.freeze(lake, "late", MR).left_out["withdrawn"] == len(mine)
        decide(lake, "mr", "include", sorted(mine), "by mistake")
        assert held(lake, "mr").isdisjoint(mine)
        assert restore(lake, patient, by="eve") == 1
        cohorts.save(lake, "mr")
        assert held(lake, "mr") == uids(lake, MR)

    def test_one_who_is_not_there_yet(self, lake: Path) -> None:
        cohorts.freeze(lake, "all")
        done = withdraw(lake, ["nobody", "nobody"], by="eve")
        assert (done.patients, done.unknown, done.cohorts) == (0, 1, {})
        with pytest.raises(UsageError, match="None of these patients"):
            restore(lake, "somebody else")

    def test_of_one_issuer(self, lake: Path) -> None:
        cohorts.freeze(lake, "all")
        patient = cohorts.opened(lake, "all").rows.column("PatientID")[0].as_py()
        assert withdraw(lake, patient, issuer="elsewhere").patients == 0
        assert held(lake, "all") == uids(lake, "")
