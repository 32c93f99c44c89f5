"""A lake of the made-up hospital holds what the hospital says of itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dicomlake
from dicomlake import tables
from dicomlake.jobs.contents import contents
from dicomlake.lake import Store
from dicomlake.lake.vocabulary import Term, Vocabulary
from dicomlake.query.attributes import ANATOMY
from dicomlake.readers.contents import ContentsReader
from dicomlake.terms.mapping import normal
from dicomlake.testing import hospital
from dicomlake.testing.hospital import Summary

from .made import content, healthy

PATIENTS = 25
LEFT, RIGHT = "SCT:87878005", "SCT:53085002"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("hospital")
    truth = hospital.write(folder / "files", PATIENTS, pixels=False)
    dicomlake.make(folder / "files", folder / "lake", workers=2)
    return folder / "lake", truth


@pytest.fixture(scope="module")
def lake(made: tuple[Path, Summary]) -> dicomlake.Lake:
    return dicomlake.open(made[0])


@pytest.fixture(scope="module")
def truth(made: tuple[Path, Summary]) -> Summary:
    return made[1]


def one(lake: dicomlake.Lake, statement: str) -> int:
    return int(lake.sql(statement).column(0)[0].as_py())


def test_every_row_that_the_hospital_wrote(lake: dicomlake.Lake, truth: Summary) -> None:
    rows = truth.rows
    assert min(rows.values()) > 0
    assert one(lake, "select count(*) from items where reader = 'report'") == rows["content items"]
    assert (
        one(lake, "select count(*) from items where reader = 'waveforms' and parent is not null")
        == rows["annotations"]
    )
    assert one(lake, "select count(*) from waveforms") == rows["waveform channels"]
    kinds = "select count(*) from segments where kind"
    assert one(lake, f"{kinds} = 'segmentation'") == rows["segments"]
    assert one(lake, f"{kinds} = 'structure set'") == rows["regions of interest"]
    assert (
        one(lake, "select count(*) from dose_events where source = 'RDSR'") == rows["dose events"]
    )
    groups = "select count(*) from items where concept = 'DCM:125007' and value_type = 'CONTAINER'"
    assert one(lake, groups) == rows["measurement groups"]


def test_questions_have_the_answers_of_the_hospital(lake: dicomlake.Lake, truth: Summary) -> None:
    answers = truth.answers
    drawn = "select distinct patient_key from series join segments using (series_id) where type = "
    each = [set(lake.sql(f"{drawn}'{one}'").column(0).to_pylist()) for one in (LEFT, RIGHT)]
    assert len(each[0] & each[1]) == answers["patients with both ventricles"] > 0
    both = f"same(series, segment.type within {LEFT} and segment.type within {RIGHT})"
    found = lake.query(both, level="patient").total
    assert found == answers["patients with both ventricles in one SEG"] > 0
    strong = lake.query("MagneticFieldStrength = 3 and Modality = 'MR'").total
    assert strong == answers["MR series at 3 T"] > 0


def test_the_lake_is_well_and_reading_again_changes_nothing(made: tuple[Path, Summary]) -> None:
    path = made[0]
    healthy(path)
    before = content(path)
    contents(path)
    assert content(path) == before


# The vocabulary, counted by hand

_VALUED = frozenset("NUM CODE TEXT PNAME DATE TIME DATETIME UIDREF".split())


def by_hand(store: Store) -> dict[str, list[dict[str, Any]]]:
    """By path, one row per value: who has it, and what it is; from the tables alone."""
    people = {row["series_id"]: row for row in store.read("series").to_pylist()}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def put(path: str, row: dict[str, Any], **said: Any) -> None:
        series = people[row["series_id"]]
        found[path].append(
            {
                "series": row["series_id"],
                "patient": series["patient_key"],
                "study": series["study_key"],
                "document": (row["series_id"], row["SOPInstanceUID"]),
                **said,
            }
        )

    for row in store.read("items").to_pylist():
        said: dict[str, Any] = {"name": row["concept_meaning"]}
        if row["value_type"] == "NUM":
            numbers = row["numbers"] or [row["number"]]
            factor = 1.0
            if row["quantity"] is not None and row["number"]:
                factor = row["quantity"] / row["number"]
            if row["number"] is not None:
                said["ends"] = min(numbers) * factor, max(numbers) * factor
                said["value"] = row["quantity"] if row["quantity"] is not None else row["number"]
            said["unit"] = row["quantity_unit"] or row["unit_value"]
        elif row["value_type"] == "CODE":
            said["value"] = row["code"]
        elif row["value_type"] in _VALUED:
            said["value"] = row["moment"] or row["text"]
        else:
            said["value"] = 1.0
        put(row["path"], row, **said)
        if row["site"] is not None:
            put(ANATOMY, row, value=row["site"])
    for row in store.read("segments").to_pylist():
        for name in ("type", "category", "label", "frames", "present", "kind"):
            if row[name] is not None:
                put(f"segment.{name}", row, value=row[name])
        for name in ("structure", "region"):
            if row[name] is not None:
                put(ANATOMY, row, value=row[name])
    for row in store.read("waveforms").to_pylist():
        for name in ("lead", "source", "SamplingFrequency", "unit"):
            unit = {"unit": "Hz"} if name == "SamplingFrequency" else {}
            if row[name] is not None:
                put(f"channel.{name}", row, value=row[name], **unit)
    for table, root in (("dose_events", "event"), ("dose_totals", "total")):
        for row in store.read(table).to_pylist():
            for field in tables.ALL[table]:
                unit = (field.metadata or {}).get(b"unit", b"").decode()
                if unit and row[field.name] is not None:
                    value = row[field.name]
                    put(f"{root}.{field.name}", row, value=value, unit=unit, ends=(value, value))
            if row.get("region") is not None:
                put(ANATOMY, row, value=row["region"])
    for row in store.read("elements").to_pylist():
        last = row["path"].rpartition(".")[2]
        if last == "AnatomicRegionSequence" and row["code_value"]:
            value, scheme = normal(row["code_value"], row["code_scheme"])
            put(ANATOMY, row | {"SOPInstanceUID": None}, value=f"{scheme}:{value}")
    return found


def check(term: Term, rows: list[dict[str, Any]]) -> None:
    full = [row for row in rows if row.get("value") is not None]
    for name in ("patient", "study", "series", "document"):
        plural = {"study": "studies", "series": "series"}.get(name, f"{name}s")
        met = {row[name] for row in full}
        if name == "document":
            met = {row for row in met if row[1] is not None}
        assert getattr(term, plural) == len(met), (term.path, name)
    ends = [end for row in full for end in row.get("ends", ())]
    if ends:
        assert math.isclose(term.lowest or 0, min(ends), rel_tol=1e-9)
        assert math.isclose(term.highest or 0, max(ends), rel_tol=1e-9)
    for told, key in ((term.units, "unit"), (term.names, "name")):
        series: dict[str, set[int]] = defaultdict(set)
        for row in rows:
            if row.get(key):
                series[row[key]].add(row["series"])
        assert dict(told) == {text: len(met) for text, met in series.items()}, (term.path, key)
    values: dict[Any, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    for row in full:
        value = row["value"]
        if isinstance(value, bool):
            value = "yes" if value else "no"
        values[value][0].add(row["series"])
        values[value][1].add(row["patient"])
    if term.distinct is not None:
        assert term.distinct == len(values), term.path
    if term.kind in ("text", "sequence") and term.values and term.lowest is None:
        counts = {value: (len(s), len(p)) for value, (s, p) in values.items()}
        for top in term.values:
            assert counts[top.value] == (top.series, top.patients), (term.path, top)
        if not term.path.startswith("[") or term.vr != "UT":
            most = max(s for s, _ in counts.values())
            assert term.values[0].series == most or len(values) > term.patients / 2


def test_the_vocabulary_counts_as_one_does_by_hand(lake: dicomlake.Lake) -> None:
    found = Vocabulary.read(Store(lake.path))
    hand = by_hand(Store(lake.path))
    assert len(hand) > 120
    for path, rows in hand.items():
        check(found[path], rows)
    assert {t.path for t in found if t.path.startswith("[")} == {
        path for path in hand if path.startswith("[")
    }


def test_words_and_names_of_reports_are_not_listed(lake: dicomlake.Lake) -> None:
    hand = by_hand(Store(lake.path))
    words = 0
    for term in Vocabulary.read(Store(lake.path)):
        if not term.path.startswith("["):
            continue
        if term.vr in ("PN", "UI"):
            assert not [v for v in term.values if not v.value.startswith("1.2.840.10008.")]
        if term.vr == "UT":
            words += 1
            for value in term.values:
                has = {
                    row["patient"]
                    for row in hand[term.path]
                    if str(row["value"])[:50] == value.value[:50]
                }
                assert len(has) >= 3, value
    assert words > 3


def test_codes_of_anatomy_are_one_whatever_they_were_sent_in(lake: dicomlake.Lake) -> None:
    found: Iterator[str] = (v.value for v in Vocabulary.read(Store(lake.path))[ANATOMY].values)
    assert not [value for value in found if not value.startswith("SCT:")]


def test_nothing_is_outdated(lake: dicomlake.Lake) -> None:
    assert Store(lake.path).content_readers == ContentsReader().versions
