"""The commands about enrichers, with an enricher that a package brings."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from dicomlake.jobs.index import index
from dicomlake.jobs.requests import queue_of
from dicomlake.lake import Store
from dicomlake.settings import Settings
from dicomlake.testing import hospital
from tests.enricher_package import install

from .conftest import Run


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("enriching")
    hospital.write(folder / "files", 2, pixels=False)
    index([folder / "files"], folder / "lake", workers=1)
    return folder


@pytest.fixture
def place(indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a lake of its own, and the package installed."""
    shutil.copytree(indexed / "lake", tmp_path / "lake")
    monkeypatch.syspath_prepend(str(install(tmp_path / "package")))
    return tmp_path


def held(place: Path) -> Counter[str]:
    return Counter(Store(place / "lake").read("series").column("Modality").to_pylist())


def test_a_run_says_what_it_did_and_why_not(run: Run, place: Path) -> None:
    modalities = held(place)
    code, out, _ = run("enrich", "lengths")
    assert code == 0
    assert out.startswith(f"lengths: {modalities['CT']} series, {modalities['CT']} statements; ")
    assert f"{modalities['SR']} a report has no images" in out
    code, out, _ = run("enrich", "lengths")
    assert out.startswith("lengths: 0 series, 0 statements; 0 skipped, ")
    code, out, _ = run("query", "annotation.label in ('long', 'short')")
    assert out.startswith(f"{modalities['CT']:,} found: ")


def test_some_series_again_and_a_limit(run: Run, place: Path) -> None:
    run("enrich", "lengths")
    code, out, _ = run("enrich", "lengths", "--again", "--where", "Modality = 'CT'", "--limit", "2")
    assert code == 0
    assert out.startswith("lengths: 2 series, 2 statements; 0 skipped, 0 failed")


def test_the_list_says_how_far_they_are_and_what_is_wrong(run: Run, place: Path) -> None:
    run("enrich", "lengths", "--where", "Modality = 'CT'")
    code, out, _ = run("enrichers")
    assert code == 0
    modalities = held(place)
    (line,) = [one for one in out.splitlines() if one.startswith("lengths ")]
    assert line.split()[:8] == ["lengths", "1", "cpu", str(modalities["CT"]), "0", "0",
                                str(modalities["SR"] + modalities["SEG"]),
                                str(modalities["CT"])]  # fmt: skip
    assert "lengths: Says of CT whether a series is long." in out
    assert "  homesick needs a home. Build one." in out
    assert "  It cannot be loaded (ModuleNotFoundError)." in out


def test_provenance_lists_every_look(run: Run, place: Path) -> None:
    rows = Store(place / "lake").read("series").to_pylist()
    uid = next(row["SeriesInstanceUID"] for row in rows if row["Modality"] == "CT")
    code, out, _ = run("provenance", uid)
    assert (code, "No enricher has looked at this series yet" in out) == (0, True)
    run("enrich", "lengths")
    run("enrich", "lengths", "--again")
    code, out, _ = run("provenance", uid)
    lines = out.splitlines()
    assert [line[0] for line in lines] == ["*", " "]
    assert all("lengths 1 (five images)  done: 1 statements, 0 findings" in line for line in lines)
    code, _, err = run("provenance", "1.2.3")
    assert code == 2
    assert "No series of the lake has SeriesInstanceUID 1.2.3." in err


def test_work_is_left_to_workers(run: Run, place: Path) -> None:
    code, out, _ = run("enrich", "lengths", "--queue", "--priority", "0")
    assert code == 0
    assert "They are done by: dicomlake worker --enrichers 1" in out
    queue = queue_of(place / "lake", Settings())
    tasks = queue.tasks()
    queue.close()
    assert out.startswith(f"{len(tasks)} tasks queued as {tasks[0].task.job}.")
    assert {state.task.priority for state in tasks} == {0}
    code, out, _ = run("enrich", "lengths", "--queue")
    assert out == "Nothing waits for lengths that is not queued already.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("lengths", "--set", "fast"), "Write an option as NAME=VALUE, not 'fast'."),
        (("lengths", "--set", "fast=true"), "The enricher lengths has no option 'fast'."),
        (("lengths", "--queue", "--set", "a=b"), "write a=b under [enrich.lengths]"),
        (("nobody",), "There is no plugin 'nobody' among the enrichers."),
        (("homesick",), "homesick needs a home. Build one."),
        (("lengths", "--where", "Modalitty = 'CT'"), "Did you mean Modality?"),
    ],
)
def test_what_is_wrong_is_told(run: Run, words: tuple[str, ...], told: str) -> None:
    code, _, err = run("enrich", *words)
    assert code == 2
    assert told in " ".join(err.split())
