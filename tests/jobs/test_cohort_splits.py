"""Splits keep patients whole and shares right; the check finds what leaks all the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dicomlake import tables
from dicomlake.errors import UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.cohorts import keeping
from dicomlake.jobs.cohorts.checking import check
from dicomlake.jobs.cohorts.splitting import Spec, split
from dicomlake.lake import Store

PARTS = {"train": 0.7, "val": 0.1, "test": 0.2}


def commit(lake: Path, rows: list[dict[str, Any]]) -> None:
    """More series of a lake; each row has what differs."""
    store = Store.create(lake)
    first = store.next_id()
    made = []
    for number, row in enumerate(rows, first):
        patient, study = row["patient"], row.get("study", row["patient"])
        made.append({
            "series_id": number, "patient_key": patient, "study_key": study, "instances": 1,
            "SeriesInstanceUID": f"1.2.{number}", "StudyInstanceUID": f"1.3.{study}",
            "PatientID": f"P{patient}", "Modality": "CT", **{
                key: value for key, value in row.items() if key not in ("patient", "study", "sop")
            },
        })  # fmt: skip
    instances = [
        {"series_id": number, "SOPInstanceUID": row.get("sop", f"1.4.{number}"), "size": 10}
        for number, row in enumerate(rows, first)
    ]
    store.append("instances", pa.Table.from_pylist(instances, tables.INSTANCES))
    store.commit_series(pa.Table.from_pylist(made, tables.SERIES), [], "run")


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """200 patients, two series each: a quarter at site B, a tenth women, some MR."""
    rows: list[dict[str, Any]] = []
    for patient in range(200):
        about = {
            "patient": patient,
            "InstitutionName": "B" if patient % 4 == 0 else "A",
            "PatientSex": "F" if patient % 10 == 1 else "M",
            "StudyDate": f"20{10 + patient // 20:02d}-01-{1 + patient % 20:02d}",
        }
        about["StudyDate"] = pa.scalar(about["StudyDate"]).cast(pa.date32()).as_py()
        rows += [about, {**about, "Modality": "MR" if patient % 3 == 0 else "CT"}]
    commit(tmp_path / "lake", rows)
    cohorts.freeze(tmp_path / "lake", "all")
    return tmp_path / "lake"


def placed(lake: Path, name: str = "all", of: str = "split") -> dict[int, set[Any]]:
    """Where the series of each patient are."""
    found: dict[int, set[Any]] = {}
    for row in cohorts.opened(lake, name).series().to_pylist():
        found.setdefault(row["patient_key"], set()).add(row[of])
    assert all(len(places) == 1 for places in found.values())
    return found


def shares(lake: Path, patients: range = range(200), of: str = "split") -> Counter[Any]:
    where = placed(lake, of=of)
    return Counter(next(iter(where[patient])) for patient in patients)


class TestFractions:
    def test_patients_stay_whole_and_shares_are_right(self, lake: Path) -> None:
        split(lake, "all", Spec(fractions=PARTS, seed=1))
        assert shares(lake) == {"train": 140, "val": 20, "test": 40}
        assert check(lake, "all") == []

    def test_seeds(self, lake: Path) -> None:
        made = [split(lake, "all", Spec(fractions=PARTS, seed=seed)) for seed in (1, 1, 2)]
        assert made[0].digest == made[1].digest != made[2].digest
        assert [one.kind for one in made] == ["split"] * 3

    def test_strata(self, lake: Path) -> None:
        split(lake, "all", Spec(fractions=PARTS, stratify=("sex", "site", "Modality")))
        women = range(1, 200, 10)
        site = range(0, 200, 4)
        for part, share in PARTS.items():
            assert abs(shares(lake, women)[part] - 20 * share) <= 1
            assert abs(shares(lake, site)[part] - 50 * share) <= 2
            assert abs(shares(lake)[part] - 200 * share) <= 2

    def test_shares_are_right_where_every_stratum_is_small(self, lake: Path) -> None:
        split(lake, "all", Spec(fractions=PARTS, stratify=("PatientID",)))
        assert shares(lake) == {"train": 140, "val": 20, "test": 40}

    def test_folds(self, lake: Path) -> None:
        split(lake, "all", Spec(fractions=PARTS, folds=5))
        of_fold = Counter(next(iter(folds)) for folds in placed(lake, of="fold").values())
        assert of_fold == {0: 28, 1: 28, 2: 28, 3: 28, 4: 28, None: 60}
        split(lake, "all", Spec(folds=4))
        assert set(shares(lake, of="fold").values()) == {50}
        assert shares(lake) == {None: 200}

    def test_patients_who_share_a_study_stay_together(self, lake: Path) -> None:
        commit(lake, [{"patient": 1000 + n, "study": n // 4} for n in range(400)])
        cohorts.freeze(lake, "shared", "PatientID >= 'P1000'")
        split(lake, "shared", Spec(fractions={"a": 0.5, "b": 0.5}))
        assert not [leak for leak in check(lake, "shared") if leak.level == "error"]

    def test_later_patients_leave_the_others_where_they_are(self, lake: Path) -> None:
        split(lake, "all", Spec(fractions=PARTS))
        before = placed(lake)
        commit(lake, [{"patient": patient} for patient in range(195, 300)])
        made = cohorts.freeze(lake, "all")
        after = placed(lake)
        assert made.split is not None
        assert {patient: after[patient] for patient in before} == before
        assert shares(lake, range(300)) == {"train": 210, "val": 30, "test": 60}


class TestOthers:
    def test_sites_by_name(self, lake: Path) -> None:
        spec = Spec(by="site", values={"B": "test", "*": "train"})
        split(lake, "all", spec)
        assert shares(lake) == {"train": 150, "test": 50}
        commit(lake, [{"patient": 0, "study": 5000, "InstitutionName": "A"}])
        cohorts.freeze(lake, "again")
        split(lake, "again", spec)
        assert placed(lake, "again")[0] == {None}
        (note,) = check(lake, "again")
        assert (note.kind, note.level, note.count) == ("nowhere", "note", 3)

    def test_whole_sites_by_shares(self, lake: Path) -> None:
        split(lake, "all", Spec(by="site", fractions={"train": 0.75, "test": 0.25}))
        assert len({next(iter(placed(lake)[patient])) for patient in range(0, 200, 4)}) == 1

    def test_dates(self, lake: Path) -> None:
        split(lake, "all", Spec(by="date", dates={"train": "", "test": "2018-01-01"}))
        assert shares(lake) == {"train": 160, "test": 40}
        split(lake, "all", Spec(by="date", fractions={"old": 0.5, "new": 0.5}))
        assert shares(lake, range(100)) == {"old": 100}
        assert shares(lake, range(100, 200)) == {"new": 100}

    @pytest.mark.parametrize(
        "told",
        [
            {},
            {"fractions": {"a": 0.5}},
            {"fractions": {"a": 1.5, "b": -0.5}},
            {"fractions": {"a": 1}, "values": {"B": "x"}, "by": "site"},
            {"by": "moon", "folds": 2},
            {"values": {"B": "x"}},
            {"dates": {"a": ""}},
            {"by": "date", "dates": {"a": "x"}},
            {"folds": 1},
            {"fractions": {"": 1}},
            {"folds": 2, "stratify": ("Moon",)},
        ],
    )
    def test_mistakes(self, told: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            Spec(**told)


class TestCheck:
    def test_finds_what_leaks(self, tmp_path: Path) -> None:
        """Splits that were made elsewhere, and leak in every way."""
        lake = tmp_path / "lake"
        same = {"PatientName": "A^B", "PatientBirthDate": pa.scalar(0, pa.date32()).as_py()}
        commit(lake, [
            {"patient": 1}, {"patient": 1, "study": 11},
            {"patient": 2, "study": 20}, {"patient": 3, "study": 20},
            {"patient": 4, **same}, {"patient": 5, **same},
            {"patient": 6, "sop": "1.9"}, {"patient": 7, "sop": "1.9"},
            {"patient": 8, "FrameOfReferenceUID": "1.8"},
            {"patient": 9, "FrameOfReferenceUID": "1.8"},
            {"patient": 10, "Manufacturer": "M", "DeviceSerialNumber": "1"},
            {"patient": 11, "Manufacturer": "M", "DeviceSerialNumber": "1"},
            {"patient": 12},
        ])  # fmt: skip
        made = cohorts.freeze(lake, "bad")
        rows = keeping.rows(lake, made)
        number = [int(uid.split(".")[-1]) for uid in rows.column("SeriesInstanceUID").to_pylist()]
        parts = [None if n == 13 else ("a", "b")[n % 2] for n in number]
        at = rows.schema.get_field_index("split")
        rows = rows.set_column(at, rows.schema.field(at), pa.array(parts, pa.string()))
        with keeping.changing(lake):
            keeping.next_of(lake, made, rows, "split", "", "")
        found = {leak.kind: leak for leak in check(lake, "bad", devices=True)}
        assert {kind: (leak.level, leak.count) for kind, leak in found.items()} == {
            "patient": ("error", 1),
            "study": ("error", 1),
            "object": ("error", 1),
            "person": ("warning", 1),
            "frame of reference": ("warning", 1),
            "device": ("note", 1),
            "nowhere": ("note", 1),
        }
        assert found["patient"].series == ("1.2.1", "1.2.2")
        assert "device" not in {leak.kind for leak in check(lake, "bad")}
        assert check(lake, "bad@1") == []
