"""Eight heart centres with habits of their own, harmonised by mapping files alone.

Every site comes into a lake by the same commands, and the same questions find what is true there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import dicomlake
from dicomlake.cli import main
from dicomlake.engines.duck import DuckEngine
from dicomlake.jobs.federation.answering import answer
from dicomlake.jobs.federation.merging import Told, merged
from dicomlake.jobs.federation.studies import Study
from dicomlake.lake import Store
from dicomlake.settings import Federation
from dicomlake.testing.sites import COMBINATIONS, QUESTIONS, SITES, Truth, steps, write

PATIENTS = 12
NAMES = [site.name for site in SITES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("centres")


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, Truth]:
    return write(folder, PATIENTS)


def brought(place: Path, lake: Path) -> None:
    """Bring a site into a lake, and put what its words mean beside it."""
    for step in steps(place, lake, workers=1):
        if step[0] == "enrich" and (place / "mapping" / "lake").is_dir():
            shutil.copytree(place / "mapping" / "lake", lake, dirs_exist_ok=True)
        with pytest.raises(SystemExit) as stopped:
            main(step)
        assert stopped.value.code == 0, step


@pytest.fixture(scope="module")
def lakes(folder: Path, truth: dict[str, Truth]) -> dict[str, Path]:
    found = {}
    for name in truth:
        place = folder / name.lower()
        brought(place, place / "lake")
        found[name] = place / "lake"
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_combination_counts_as_many_patients_as_there_are(
    name: str, lakes: dict[str, Path], truth: dict[str, Truth]
) -> None:
    lake = dicomlake.open(lakes[name])
    found = {title: lake.query(text, "patient").total for title, text in QUESTIONS.items()}
    assert found == dict(truth[name].counts)
    assert found["CT, ECG and pacemaker"] + found["CT, ECG, no pacemaker"] == found["CT and ECG"]


@pytest.mark.parametrize("name", NAMES)
def test_the_very_patients_are_found(
    name: str, lakes: dict[str, Path], truth: dict[str, Truth]
) -> None:
    lake = dicomlake.open(lakes[name])
    for title in ("CT", "ECG", "CT, ECG, no pacemaker", "CT and TAVI"):
        rows = lake.query(QUESTIONS[title], "patient", ["PatientID"]).rows.to_pylist()
        wanted = {who.id for who in truth[name].patients if COMBINATIONS[title](who)}
        assert {row["PatientID"] for row in rows} == wanted, title


@pytest.mark.parametrize("name", NAMES)
def test_nothing_was_left_out(name: str, lakes: dict[str, Path]) -> None:
    assert Store(lakes[name]).read("failures").num_rows == 0


def test_without_its_mapping_files_a_site_does_not_say_the_same(
    folder: Path, truth: dict[str, Truth], tmp_path: Path
) -> None:
    """What harmonises is the mapping: the same site without what its words mean has no heart."""
    place = folder / "birke"
    for step in steps(place, tmp_path / "lake", workers=1):
        if step[0] != "convert":
            with pytest.raises(SystemExit) as stopped:
                main(step)
            assert stopped.value.code == 0
    lake = dicomlake.open(tmp_path / "lake")
    assert lake.query(QUESTIONS["CT"], "patient").total == 0 < truth["BIRKE"].counts["CT"]


def ranged(text: str) -> Iterator[int]:
    """The least and the most of a cell."""
    if under := re.fullmatch(r"under (\d+)", text):
        yield from (0, int(under[1]) - 1)
    else:
        low, _, high = text.partition(" to ")
        yield from (int(low), int(high or low))


def test_all_sites_together_say_what_is_true_of_all(
    lakes: dict[str, Path], truth: dict[str, Truth]
) -> None:
    asked = ("CT", "pacemaker")
    study = Study.of(
        {"name": "hearts", "purpose": "a test", "level": "patient",
         "sections": {title: QUESTIONS[title] for title in asked}}
    )  # fmt: skip
    told = []
    for name, lake in lakes.items():
        store = Store(lake)
        said = answer(store, DuckEngine(store), study, Federation(site=name), 5, "consortium")
        told.append(Told(name, said))
    table = merged(study.name, study.digest, told)
    assert table.away == {}
    for row in table.rows:
        for name, cell in zip(table.sites, row.cells, strict=True):
            if cell != "refused":
                low, high = ranged(cell)
                assert low <= truth[name].counts[row.section] <= high
    assert any(cell != "refused" for row in table.rows for cell in row.cells)
