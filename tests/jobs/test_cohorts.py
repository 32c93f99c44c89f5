"""Cohorts stay as they were frozen, and are without those who withdrew or were erased."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import dicomlake
from dicomlake.errors import LakeError, UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.testing.hospital import write

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
