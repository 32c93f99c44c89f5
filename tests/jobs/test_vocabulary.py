from __future__ import annotations

import io
import logging
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from dicomlake.cli.vocabulary import print_found, print_tree
from dicomlake.errors import UnknownAttribute, UsageError
from dicomlake.jobs.vocabulary import MOST_ADDED, rebuild
from dicomlake.lake import Store
from dicomlake.lake.compaction import compact_table
from dicomlake.lake.vocabulary import Vocabulary

from .small_lake import (
    Rows,
    SmallLake,
    code,
    cs,
    da,
    day,
    ds,
    empty,
    folded,
    inside,
    item,
    items,
)

CHEST = ("ProcedureCodeSequence", "169069000", "SCT", "CT of chest")


@pytest.fixture
def lake(tmp_path: Path) -> SmallLake:
    """Two patients, three studies, four series."""
    lake = SmallLake(tmp_path / "lake")
    lake.put(
        (
            "1.1",
            1,
            11,
            [
                *cs("Modality", "CT"),
                *cs("ImageType", "ORIGINAL", "PRIMARY", "AXIAL"),
                *ds("SliceThickness", 1.5),
                *da("StudyDate", "2024-01-31"),
                *ds("PatientAge", 45 * 365.25, vr="AS"),
                *code(*CHEST),
                *cs("PatientName", "Doe^Jane", vr="PN"),
                *cs("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2", vr="UI"),
                *cs("StudyInstanceUID", "1.2.3", vr="UI"),
            ],
        ),
        (
            "1.2",
            1,
            12,
            [
                *cs("Modality", "MR"),
                *cs("ImageType", "ORIGINAL", "PRIMARY", "M", "M"),
                *folded("SliceThickness", 2.0, 4.0),
                *da("StudyDate", "2023-11-02"),
                *empty("BodyPartExamined", "CS"),
                *ds("ContentTime", 45015.5, vr="TM"),
            ],
        ),
        (
            "2.1",
            2,
            21,
            [
                *cs("Modality", "MR"),
                *ds("SliceThickness", 3.0, 3.0),
                *da("StudyDate", "2024-03-15"),
                *cs("BodyPartExamined", "HEAD"),
                *code("ProcedureCodeSequence", "169069000", "SCT", "Chest CT"),
                *cs("ProcedureCodeSequence.CodeValue", "169069000", vr="SH"),
            ],
        ),
        (
            "2.2",
            2,
            21,
            [
                *cs("Modality", "MR"),
                *empty("BodyPartExamined", "CS"),
                *code("ProcedureCodeSequence", "169069000", "SCT", "CT of chest"),
                *cs('(0019,"ACME. MR",0C)', "<b>1000</b>", vr="LO"),
                *items("RequestAttributesSequence", 2),
            ],
        ),
    )
    rebuild(lake.store)
    return lake


def rows_of(store: Store) -> list[dict[str, Any]]:
    found = store.read("vocabulary").sort_by("path").to_pylist()
    return [dict(row) for row in found]


def counts(term: Any) -> tuple[int, int, int, int]:
    return term.patients, term.studies, term.series, term.empty


class TestCounts:
    def test_patients_studies_series_and_empty(self, lake: SmallLake) -> None:
        vocabulary = Vocabulary.read(lake.store)
        assert (vocabulary.patients, vocabulary.studies, vocabulary.series) == (2, 3, 4)
        assert counts(vocabulary["Modality"]) == (2, 3, 4, 0)
        assert counts(vocabulary["BodyPartExamined"]) == (1, 1, 1, 2)
        assert counts(vocabulary["PatientAge"]) == (1, 1, 1, 0)
        assert vocabulary["Modality"].fill == 1.0
        assert vocabulary["BodyPartExamined"].fill == 0.25

    def test_values_with_series_and_patients(self, lake: SmallLake) -> None:
        vocabulary = Vocabulary.read(lake.store)
        found = [(v.value, v.series, v.patients) for v in vocabulary["Modality"].values]
        assert found == [("MR", 3, 2), ("CT", 1, 1)]
        image_type = vocabulary["ImageType"]
        assert image_type.distinct == 4
        # "M" stands twice in one series, and is counted once.
        assert {v.value: v.series for v in image_type.values} == {
            "ORIGINAL": 2,
            "PRIMARY": 2,
            "AXIAL": 1,
            "M": 1,
        }

    def test_numbers_have_a_range_and_a_histogram_with_folded_ones_spread(
        self, lake: SmallLake
    ) -> None:
        term = Vocabulary.read(lake.store)["SliceThickness"]
        assert (term.lowest, term.highest, term.range) == (1.5, 4.0, "1.5 – 4 mm")
        assert term.distinct == 2
        assert [(v.value, v.series) for v in term.values] == [("1.5", 1), ("3", 1)]
        by_low = {b.label: b.series for b in term.histogram}
        assert by_low["1.5"] == 1
        assert by_low["2"] == by_low["2.5"] == by_low["4"] == 1
        assert by_low["3"] == 2
        assert by_low["1.7"] == 0

    def test_dates_have_a_range_and_calendar_bins(self, lake: SmallLake) -> None:
        term = Vocabulary.read(lake.store)["StudyDate"]
        assert (term.first, term.last) == (day("2023-11-02"), day("2024-03-15"))
        assert term.range == "2023-11-02 – 2024-03-15"
        assert sum(b.series for b in term.histogram) == 3
        assert term.histogram[0].label == "2023-10-30"  # the Monday of its week
        assert {v.value for v in term.values} == {"2023-11-02", "2024-01-31", "2024-03-15"}

    def test_times_and_ages_are_readable(self, lake: SmallLake) -> None:
        vocabulary = Vocabulary.read(lake.store)
        assert vocabulary["ContentTime"].range == "12:30:15.5"
        assert vocabulary["ContentTime"].values[0].value == "12:30:15.5"
        assert vocabulary["PatientAge"].range == "45 years"
        assert vocabulary["PatientAge"].values[0].value == "45Y"

    def test_codes_are_scheme_and_value_with_the_most_frequent_meaning(
        self, lake: SmallLake
    ) -> None:
        term = Vocabulary.read(lake.store)["ProcedureCodeSequence"]
        (value,) = term.values
        assert (value.value, value.meaning) == ("SCT:169069000", "CT of chest")
        assert (value.series, value.patients, term.distinct) == (3, 2, 1)
        assert value.label == "CT of chest (SCT:169069000)"

    def test_sequences_count_items(self, lake: SmallLake) -> None:
        assert Vocabulary.read(lake.store)["RequestAttributesSequence"].range == "2 items"

    def test_names_and_uids_are_not_listed_but_those_of_the_standard_are(
        self, lake: SmallLake
    ) -> None:
        vocabulary = Vocabulary.read(lake.store)
        for path in ("PatientName", "StudyInstanceUID"):
            assert vocabulary[path].values == ()
            assert vocabulary[path].distinct is None
            assert vocabulary[path].series == 1
        (value,) = vocabulary["SOPClassUID"].values
        assert value.label == "CT Image Storage"
        assert b"Doe" not in b"".join(
            Path(path).read_bytes()
            for name in ("vocabulary", "vocabulary_values")
            for path in lake.store.paths(name)
        )

    def test_values_that_nearly_every_patient_has_for_oneself_are_not_listed(
        self, tmp_path: Path
    ) -> None:
        lake = SmallLake(tmp_path / "lake")
        lake.put(
            *[
                (
                    f"1.{i}",
                    i,
                    i,
                    [
                        *cs("PatientID", "shared by all", vr="LO"),
                        *cs("StationName", f"own {i}" if i > 4 else "common", vr="SH"),
                        *cs("Modality", "CT"),
                    ],
                )
                for i in range(30)
            ]
        )
        rebuild(lake.store)
        vocabulary = Vocabulary.read(lake.store)
        assert vocabulary["PatientID"].values == ()
        assert [v.value for v in vocabulary["StationName"].values] == ["common"]
        assert vocabulary["StationName"].distinct == 26
        assert [v.value for v in vocabulary["Modality"].values] == ["CT"]

    def test_all_numbers_are_those_of_counting_by_hand(self, tmp_path: Path) -> None:
        dice = random.Random(7)
        lake = SmallLake(tmp_path / "lake")
        lake.put(*[random_series(dice, lake) for _ in range(200)])
        rebuild(lake.store)
        found = {term.path: term for term in Vocabulary.read(lake.store) if not term.inside}
        by_hand = counted_by_hand(lake.store)
        assert found.keys() == by_hand.keys()
        for path, rows in by_hand.items():
            term = found[path]
            full = [row for row in rows if row["full"]]
            assert counts(term) == (
                len({row["patient_key"] for row in full}),
                len({row["study_key"] for row in full}),
                len({row["series_id"] for row in full}),
                len({r["series_id"] for r in rows} - {r["series_id"] for r in full}),
            )
            ends = [e for r in rows for e in (r["number"], r["number_max"]) if e is not None]
            assert (term.lowest, term.highest) == (min(ends, default=None), max(ends, default=None))
            dates = [row["moment"] for row in rows if row["moment"]]
            assert (term.first, term.last) == (min(dates, default=None), max(dates, default=None))
            values: dict[Any, tuple[set[int], set[int]]] = {}
            for row in full:
                if not row["folded"]:
                    series, patients = values.setdefault(row["value"], (set(), set()))
                    series.add(row["series_id"])
                    patients.add(row["patient_key"])
            if term.distinct is not None:
                assert term.distinct == len(values)
            if path in ("Modality", "ImageType", "BodyPartExamined"):
                assert {v.value: (v.series, v.patients) for v in term.values} == {
                    value: (len(series), len(patients))
                    for value, (series, patients) in values.items()
                }
            if path == "SliceLocation":
                for part in term.histogram:
                    assert part.series == len(
                        {
                            row["series_id"]
                            for row in rows
                            if row["number"] < part.high
                            and row["number_max" if row["folded"] else "number"] >= part.low
                        }
                    )


def counted_by_hand(store: Store) -> dict[str, list[dict[str, Any]]]:
    """The rows of every path with what they count as."""
    series = {row["series_id"]: row for row in store.read("series").to_pylist()}
    by_path: dict[str, list[dict[str, Any]]] = {}
    for row in store.read("elements").to_pylist():
        row |= {key: series[row["series_id"]][key] for key in ("patient_key", "study_key")}
        code_ = (row["code_scheme"], row["code_value"]) if row["code_value"] else None
        typed = row["number"] if row["number"] is not None else row["moment"]
        row["value"] = row["text"] if typed is None and not code_ else code_ or typed
        row["full"] = row["folded"] or row["value"] is not None
        by_path.setdefault(row["path"], []).append(row)
    return by_path


class TestInside:
    """Counts of what is inside of objects."""

    def test_documents_units_names_and_anatomy(self, tmp_path: Path) -> None:
        lake = SmallLake(tmp_path / "lake")
        path = "[DCM:126000].[SCT:410668003]"
        said = {"number": 2.0, "concept_meaning": "Length"}
        kidney = {"type": "SCT:64033007", "type_meaning": "Kidney"}
        structure = {"structure": "SCT:64033007", "structure_meaning": "Kidney"}
        lake.put(
            (
                "1.1",
                1,
                11,
                [
                    *item(path, "NUM", "1.9", quantity=20.0, quantity_unit="mm", **said),
                    *item(path, "NUM", "1.9", quantity=40.0, quantity_unit="mm", **said),
                    *item(path, "NUM", "1.8", unit_value="mm", **said, site="SCT:64033007"),
                    *code("AnatomicRegionSequence", "T-71000", "SRT", "Kidney"),
                ],
            ),
            (
                "2.1",
                2,
                21,
                [
                    *item(path, "NUM", "1.9", qualifier="DCM:114006", concept_meaning="Länge"),
                    *inside("segments", "1.7", **kidney, **structure),
                    *inside("segments", "1.7", **kidney, **structure),
                    *code("X.AnatomicRegionSequence", "64033007", "SCT", "Kidney"),
                ],
            ),
        )
        rebuild(lake.store)
        vocabulary = Vocabulary.read(lake.store)
        length = vocabulary[path]
        assert counts(length) == (1, 1, 1, 1)
        assert (length.documents, length.lowest, length.highest) == (2, 2.0, 40.0)
        assert length.units == (("mm", 1),)
        assert length.names == (("Length", 1), ("Länge", 1))
        assert length.name == "Length"
        assert (vocabulary["segment.type"].documents, vocabulary["segment"].documents) == (1, 1)
        (one,) = vocabulary["anatomy"].values
        assert (one.value, one.series, one.patients) == ("SCT:64033007", 2, 2)
        assert counts(vocabulary["anatomy"]) == (2, 2, 2, 0)
        assert vocabulary["anatomy"].documents == 2

    def test_words_are_listed_when_three_patients_share_them(self, tmp_path: Path) -> None:
        lake = SmallLake(tmp_path / "lake")
        text, name, uid = "[DCM:1].[DCM:2]", "[DCM:1].[DCM:3]", "[DCM:1].[DCM:4]"
        lake.put(
            *[
                (
                    f"1.{patient}",
                    patient,
                    patient,
                    [
                        *item(text, "TEXT", text="shared by two" if patient < 2 else "by three"),
                        *item(text, "TEXT", text="twice"),
                        *item(text, "TEXT", text="Doe, born 1960" if patient == 4 else "twice"),
                        *item(name, "PNAME", text="Doe^Jane"),
                        *item(uid, "UIDREF", text="1.2.3"),
                    ],
                )
                for patient in range(5)
            ]
        )
        rebuild(lake.store)
        vocabulary = Vocabulary.read(lake.store)
        assert {v.value for v in vocabulary[text].values} == {"twice", "by three"}
        assert vocabulary[name].values == vocabulary[uid].values == ()
        assert vocabulary[name].distinct is None
        held = b"".join(
            Path(path).read_bytes()
            for table in ("vocabulary", "vocabulary_values")
            for path in lake.store.paths(table)
        )
        assert b"Doe^Jane" not in held


class TestUpdates:
    def test_nothing_happens_when_nothing_changed(self, lake: SmallLake) -> None:
        before = lake.store.table("vocabulary").version()
        rebuild(lake.store)
        assert lake.store.table("vocabulary").version() == before

    def test_paths_that_nobody_has_any_more_are_gone(self, lake: SmallLake) -> None:
        lake.drop("2.2")
        rebuild(lake.store, largest_share=9)
        vocabulary = Vocabulary.read(lake.store)
        assert "RequestAttributesSequence" not in vocabulary
        assert '(0019,"ACME. MR",0C)' not in vocabulary
        assert counts(vocabulary["BodyPartExamined"]) == (1, 1, 1, 1)

    def test_an_older_snapshot_has_its_own_vocabulary(self, lake: SmallLake) -> None:
        version = lake.store.version
        lake.drop("1.1")
        rebuild(lake.store)
        old = Store(lake.store.path, version)
        assert Vocabulary.read(old)["Modality"].series == 4
        assert Vocabulary.read(lake.store)["Modality"].series == 3

    def test_after_compaction_the_older_files_are_used(
        self, lake: SmallLake, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="dicomlake")
        lake.put(("2.2", 2, 21, cs("Modality", "PT")))
        compact_table(lake.store, "elements", full=True)
        rebuild(lake.store, largest_share=9)
        assert "vocabulary updated" in caplog.messages
        assert_like_counted_anew(lake.store)

    def test_when_older_files_are_gone_everything_is_counted_anew(
        self, lake: SmallLake, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="dicomlake")
        lake.put(("2.2", 2, 21, cs("Modality", "PT")))
        compact_table(lake.store, "elements", full=True)
        lake.store.table("elements").vacuum(
            retention_hours=0, enforce_retention_duration=False, dry_run=False
        )
        caplog.clear()
        rebuild(lake.store, largest_share=9)
        assert "vocabulary counted" in caplog.messages
        assert Vocabulary.read(lake.store)["Modality"].values[0].value == "MR"
        assert_like_counted_anew(lake.store)

    def test_half_written_values_are_counted_anew(self, lake: SmallLake) -> None:
        lake.store.append("vocabulary_values", lake.store.read("vocabulary_values").slice(0, 3))
        lake.put(("9.9", 9, 9, cs("Modality", "MR")))
        rebuild(lake.store, largest_share=9)
        assert_like_counted_anew(lake.store)

    def test_a_study_of_two_patients_is_counted_once(self, lake: SmallLake) -> None:
        lake.put(("3.1", 3, 21, cs("Modality", "MR")))
        rebuild(lake.store, largest_share=9)
        assert counts(Vocabulary.read(lake.store)["Modality"]) == (3, 3, 5, 0)
        assert_like_counted_anew(lake.store)

    def test_values_are_listed_as_soon_as_they_no_longer_point_at_persons(
        self, tmp_path: Path
    ) -> None:
        lake = SmallLake(tmp_path / "lake")
        own = [(f"1.{i}", i, i, cs("StationName", f"of two {i // 2}", vr="SH")) for i in range(40)]
        lake.put(*own, ("9.9", 0, 0, cs("StationName", "of one", vr="SH")))
        rebuild(lake.store)
        assert Vocabulary.read(lake.store)["StationName"].values == ()
        lake.drop("9.9")
        rebuild(lake.store, largest_share=9)
        assert len(Vocabulary.read(lake.store)["StationName"].values) == 20
        assert_like_counted_anew(lake.store)

    def test_many_small_updates_are_written_together(self, lake: SmallLake) -> None:
        for i in range(MOST_ADDED + 1):
            lake.put((f"5.{i % 3}", 5, 5, cs("Modality", f"X{i}")))
            rebuild(lake.store, largest_share=9)
        assert len(lake.store.paths("vocabulary_values")) == 1
        assert "X0" not in [row["text"] for row in lake.store.read("vocabulary_values").to_pylist()]
        assert_like_counted_anew(lake.store)

    @pytest.mark.parametrize("seed", range(3))
    def test_updates_equal_counting_anew(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
    ) -> None:
        caplog.set_level(logging.INFO, logger="dicomlake")
        dice = random.Random(seed)
        lake = SmallLake(tmp_path / "lake")
        lake.put(*[random_series(dice, lake) for _ in range(200)])
        rebuild(lake.store)
        for _ in range(6):
            caplog.clear()
            for _ in range(dice.randint(1, 2)):
                change(dice, lake)
            if dice.random() < 0.3:
                compact_table(lake.store, "elements", full=True)
            rebuild(lake.store, largest_share=9)
            assert "vocabulary updated" in caplog.messages
            assert_like_counted_anew(lake.store)


def change(dice: random.Random, lake: SmallLake) -> None:
    """Add some series, change some, or remove some or all of a patient's."""
    kind = dice.choice(["add", "change", "remove", "patient"])
    held = sorted(lake.held)
    if kind == "add" or len(held) < 20:
        lake.put(*[random_series(dice, lake) for _ in range(dice.randint(1, 8))])
    elif kind == "change":
        picked = dice.sample(held, dice.randint(1, 5))
        lake.put(*[(uid, *random_series(dice, lake)[1:]) for uid in picked])
    elif kind == "remove":
        lake.drop(*dice.sample(held, dice.randint(1, 5)))
    else:
        patient = lake.held[dice.choice(held)][0]
        lake.drop(*[uid for uid in held if lake.held[uid][0] == patient])


def random_series(dice: random.Random, lake: SmallLake) -> tuple[str, int, int, Rows]:
    patient = dice.randint(1, 90)
    study = patient * 10 + dice.randint(0, 2)
    if dice.random() < 0.02:
        study += 10  # a study of two patients
    some: list[Rows] = [
        cs("Modality", dice.choice(["CT", "MR", "US"])),
        cs("SeriesDescription", f"text {int(dice.expovariate(0.08))}", vr="LO"),
        cs("ProtocolName", f"protocol {dice.randint(1, 42)}", vr="LO"),
        cs("StudyDescription", f"study {min(dice.randint(1, 60), 34)}", vr="LO"),
        cs("StationName", f"station {dice.randint(1, 400)}", vr="SH"),
        cs("ImageType", *dice.choices(["A", "B", "C", "D"], k=dice.randint(1, 4))),
        cs("PatientName", f"Name^{patient}", vr="PN"),
        cs("StudyInstanceUID", f"1.2.{study}", vr="UI"),
        cs("SOPClassUID", f"1.2.840.10008.5.1.4.1.1.{dice.randint(1, 4)}", vr="UI"),
        ds("EchoTime", *[round(dice.uniform(0, 50), 1) for _ in range(dice.randint(1, 3))]),
        ds("Rows", dice.choice([128, 256, 512]), vr="US"),
        ds("ContentTime", float(dice.randint(0, 86_399)), vr="TM"),
        folded("SliceLocation", dice.randint(-99, 0), dice.randint(0, 99)),
        ds("SliceLocation", dice.randint(-99, 99)),
        da("StudyDate", f"20{dice.randint(10, 24)}-{dice.randint(1, 12):02d}-01"),
        da("PatientBirthDate", f"19{dice.randint(10, 99)}-01-01"),
        code(
            "ProcedureCodeSequence",
            str(dice.randint(1, 30)),
            "SCT",
            dice.choice(["one", "two", "three"]),
        ),
        items("RequestAttributesSequence", dice.randint(1, 3)),
        cs("RequestAttributesSequence.RequestedProcedureID", f"{dice.randint(1, 9)}", vr="SH"),
        empty("BodyPartExamined", "CS"),
        cs("BodyPartExamined", dice.choice(["HEAD", "CHEST"])),
        ds('(0019,"ACME. MR",0C)', dice.randint(0, 5), vr="IS"),
        da('(0019,"ACME. MR",0C)', "2020-02-02", vr="DA"),
        cs('(0019,"ACME. MR",0C)', "text", vr="UN"),
        cs(f"(0021,{dice.randint(1, 60):04X})", "rare", vr="UN"),
    ]
    some += random_contents(dice)
    picked = dice.sample(some, dice.randint(len(some) // 2, len(some)))
    uid = f"1.{len(lake.held)}.{dice.randint(0, 1 << 60)}"
    return uid, patient, study, [row for rows in picked for row in rows]


def random_contents(dice: random.Random) -> list[Rows]:
    """Rows of what is inside of up to three objects."""
    number = dice.randint(1, 40) / 4
    factor = dice.choice([1, 10])
    several = [number, number + dice.randint(0, 9)] if dice.random() < 0.2 else None
    document = f"1.2.{dice.randint(1, 3)}"
    kidney = {"type": "SCT:64033007", "type_meaning": dice.choice(["Kidney", "Niere"])}
    return [
        item(
            "[DCM:126000].[SCT:410668003]",
            "NUM",
            document,
            number=number,
            numbers=several,
            quantity=number * factor,
            quantity_unit=dice.choice(["mm", "mm", "cm"]),
            concept_meaning=dice.choice(["Length", "Länge", "Longueur"]),
            site=f"SCT:{dice.randint(1, 5)}",
        ),
        item("[DCM:126000]", "CONTAINER", document, template="1500"),
        item("[DCM:126000].[DCM:121071]", "TEXT", text=f"words {min(dice.randint(1, 60), 30)}"),
        item("[DCM:126000].[DCM:121008]", "PNAME", text=f"Name^{dice.randint(1, 9)}"),
        item("[DCM:126000].[DCM:112040]", "UIDREF", text=f"1.2.{dice.randint(1, 9)}"),
        item(
            "[DCM:126000].[DCM:121069]",
            "CODE",
            document,
            code=f"SCT:{dice.randint(1, 4)}",
            code_meaning=dice.choice(["a", "b"]),
        ),
        inside("segments", document, label=f"segment {dice.randint(1, 90)}", **kidney),
        inside(
            "segments", document, region="SCT:1", volume=number if dice.random() < 0.3 else None
        ),
        inside("waveforms", document, lead=dice.choice(["I", "II"]), SamplingFrequency=500.0),
        inside(
            "dose_events",
            document,
            CTDIvol=number,
            region=f"SCT:{dice.randint(1, 3)}",
            started=day(f"20{dice.randint(10, 24)}-02-03"),
            complete=dice.choice([True, False, None]),
        ),
        inside("dose_totals", document, DLP=number * 100),
        code("AnatomicRegionSequence", "T-71000", "SRT", "Kidney"),
    ]


def assert_like_counted_anew(store: Store) -> None:
    """The vocabulary and the sums behind it are those of counting from nothing."""
    with_care = rows_of(store)
    sums = sums_of(store)
    copy = store.path.with_name("copy")
    shutil.copytree(store.path, copy)
    anew = Store(copy)
    rebuild(anew, full=True)
    for one, other in zip(with_care, rows_of(anew), strict=True):
        assert one == other
    assert sums == sums_of(anew)
    shutil.rmtree(copy)


def sums_of(store: Store) -> list[Any]:
    with store.database() as db:
        return db.execute(
            """select path, text, number, moment::timestamp, meaning,
                      sum(series)::bigint, sum(patients)::bigint
            from vocabulary_values group by all having sum(series) <> 0 order by all"""
        ).fetchall()


class TestReading:
    def test_a_fresh_lake_has_an_empty_vocabulary(self, tmp_path: Path) -> None:
        store = Store.create(tmp_path / "lake")
        for _ in range(2):
            vocabulary = Vocabulary.read(store)
            assert (len(vocabulary), vocabulary.patients) == (0, 0)
            assert list(vocabulary) == vocabulary.children() == vocabulary.search("CT") == []
            assert "<table>" in vocabulary._repr_html_()
            assert vocabulary.arrow().num_rows == 0
            with pytest.raises(UsageError, match="Nothing in this lake has Modality"):
                vocabulary["Modality"]
            rebuild(store)

    def test_a_lake_that_was_emptied(self, lake: SmallLake) -> None:
        lake.drop(*list(lake.held))
        rebuild(lake.store, largest_share=9)
        assert list(Vocabulary.read(lake.store)) == []

    def test_a_term_is_found_by_keyword_tag_and_private_tag(self, lake: SmallLake) -> None:
        vocabulary = Vocabulary.read(lake.store)
        assert vocabulary["(0008,0060)"] == vocabulary["Modality"]
        assert vocabulary['(0019, "ACME. MR", xx0c)'].series == 1
        assert '(0019,"ACME. MR",0C)' in vocabulary
        assert 3 not in vocabulary

    def test_a_misspelt_one_says_what_is_near(self, lake: SmallLake) -> None:
        with pytest.raises(UnknownAttribute, match="Did you mean Modality"):
            Vocabulary.read(lake.store)["Modalty"]

    def test_children_as_dicom_nests_them(self, lake: SmallLake) -> None:
        vocabulary = Vocabulary.read(lake.store)
        top = [term.path for term in vocabulary.children()]
        assert top[0] == "Modality"  # most patients, then most series
        assert "ProcedureCodeSequence.CodeValue" not in top
        (inside,) = vocabulary.children("ProcedureCodeSequence")
        assert (inside.path, inside.segment) == ("ProcedureCodeSequence.CodeValue", "CodeValue")
        assert vocabulary["ProcedureCodeSequence"].children == 1
        assert vocabulary.children("Modality") == vocabulary.children("KVP") == []
        assert [t.path for t in vocabulary.children(limit=2, start=1)] == top[1:3]

    def test_children_in_order_of_tags(self, lake: SmallLake) -> None:
        vocabulary = Vocabulary.read(lake.store)
        tags = [term.tag.replace("xx", "00") for term in vocabulary.children(order="tag")]
        assert tags == sorted(tags)
        with pytest.raises(UsageError, match="patients or tag"):
            vocabulary.children(order="size")

    def test_definitions(self, lake: SmallLake) -> None:
        vocabulary = Vocabulary.read(lake.store)
        assert vocabulary["SliceThickness"].definition == (
            "Slice Thickness (0018,0050), DS, one value, in mm (PS3.6)."
        )
        private = vocabulary['(0019,"ACME. MR",0C)']
        assert private.definition == (
            "Attribute (0019,xx0C) of ACME. MR, LO, that no dictionary knows."
        )
        assert private.creator == "ACME. MR"
        assert vocabulary["Modality"].kind == "text"

    def test_iteration_and_arrow(self, lake: SmallLake) -> None:
        vocabulary = Vocabulary.read(lake.store)
        paths = [term.path for term in vocabulary]
        assert paths == sorted(paths)
        assert len(paths) == len(vocabulary) == vocabulary.arrow().num_rows
        assert isinstance(vocabulary.arrow(), pa.Table)

    def test_html_is_escaped(self, lake: SmallLake) -> None:
        html = Vocabulary.read(lake.store)._repr_html_()
        assert "&lt;b&gt;1000&lt;/b&gt;" in html
        assert "<b>" not in html


class TestSearch:
    @pytest.fixture
    def vocabulary(self, tmp_path: Path) -> Vocabulary:
        lake = SmallLake(tmp_path / "lake")
        said = [
            *cs("StudyDate", "x", vr="LO"),
            *cs("StudyDescription", "Prostate MR", vr="LO"),
            *cs("Study", "odd", vr="LO"),
            *cs("RequestAttributesSequence.StudyDate", "x", vr="LO"),
            *cs("ProtocolName", "study of the knee", vr="LO"),
            *ds("MagneticFieldStrength", 3),
            *code(*CHEST),
            *cs('(0019,"SIEMENS MR HEADER",0C)', "1000", vr="IS"),
        ]
        lake.put(("1.1", 1, 1, said))
        rebuild(lake.store)
        return Vocabulary.read(lake.store)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("studydate", ["StudyDate", "RequestAttributesSequence.StudyDate"]),
            ("study date", ["StudyDate", "RequestAttributesSequence.StudyDate"]),
            ("(0018,0087)", ["MagneticFieldStrength"]),
            ("0018,0087", ["MagneticFieldStrength"]),
            ("00180087", ["MagneticFieldStrength"]),
            ("(0019,100c)", ['(0019,"SIEMENS MR HEADER",0C)']),
            ("siemens", ['(0019,"SIEMENS MR HEADER",0C)']),
            ("b_value", ['(0019,"SIEMENS MR HEADER",0C)']),
            ("FIELD mag", ["MagneticFieldStrength"]),
            ("prostate", ["StudyDescription"]),
            ("description prostate", ["StudyDescription"]),
            ("chest", ["ProcedureCodeSequence"]),
            ("169069000", ["ProcedureCodeSequence"]),
            ("SCT:169069000", ["ProcedureCodeSequence"]),
            ("prostate knee", []),
            ("   ", []),
        ],
    )
    def test_finds(self, vocabulary: Vocabulary, text: str, found: list[str]) -> None:
        assert [term.path for term in vocabulary.search(text)] == found

    def test_keyword_before_prefix_before_word_before_value(self, vocabulary: Vocabulary) -> None:
        found = [term.path for term in vocabulary.search("study")]
        assert found[0] == "Study"
        assert set(found[1:4]) == {
            "StudyDate",
            "StudyDescription",
            "RequestAttributesSequence.StudyDate",
        }
        assert found[4] == "ProtocolName"
        assert len(vocabulary.search("study", limit=2)) == 2


class TestScreen:
    @pytest.fixture
    def console(self) -> Console:
        return Console(file=io.StringIO(), width=120, record=True)

    def test_a_tree(self, lake: SmallLake, console: Console) -> None:
        print_tree(Vocabulary.read(lake.store), "", console, depth=2)
        text = console.export_text()
        assert text.startswith("14 attributes of 2 patients, 4 series")
        assert "ProcedureCodeSequence  ▸1" in text
        assert "\n  CodeValue" in text
        assert "1.5 – 4 mm" in text
        assert "100 %" in text

    def test_so_many_lines_and_how_many_more(self, lake: SmallLake, console: Console) -> None:
        print_tree(Vocabulary.read(lake.store), "", console, limit=2)
        assert "... and 11 more" in console.export_text()

    def test_one_term(self, lake: SmallLake, console: Console) -> None:
        print_tree(Vocabulary.read(lake.store), "ProcedureCodeSequence", console)
        text = console.export_text()
        assert "2 patients, 2 studies, 3 series (75 %)" in text
        assert "CT of chest (SCT:169069000)" in text
        assert "CodeValue" in text

    def test_what_a_search_finds(self, lake: SmallLake, console: Console) -> None:
        print_found(Vocabulary.read(lake.store), "chest", console)
        print_found(Vocabulary.read(lake.store), "[bold]nowhere", console)
        text = console.export_text()
        assert "ProcedureCodeSequence" in text
        assert "Nothing in this lake fits '[bold]nowhere'." in text

    def test_a_fresh_lake(self, tmp_path: Path, console: Console) -> None:
        vocabulary = Vocabulary.read(Store.create(tmp_path / "lake"))
        print_tree(vocabulary, "", console)
        print_found(vocabulary, "CT", console)
        assert "0 attributes of 0 patients" in console.export_text()
