"""dicomlake convert: what it says, its exit codes, and its mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.jobs.converting.test_labels import MAPPING, TABLE
from tests.jobs.made import put, slice_of
from tests.jobs.made import run as index

from .conftest import Run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("converting")
    put(made / "files", "1.dcm", slice_of(1, 1))
    index(made / "files", made / "lake")
    put(made, "labels.csv", TABLE.encode())
    put(made, "labels.yaml", yaml.safe_dump(MAPPING).encode())
    put(made, "odd.csv", b"a;b\n1;2\n")
    return made


LABELS = ("convert", "labels.csv", "--mapping", "labels.yaml")


def test_into_a_lake_and_back_to_the_original(run: Run, place: Path) -> None:
    code, out, _ = run(*LABELS, "--lake", "lake", "--out", "both")
    assert code == 0
    assert out.startswith("1 files converted to 2 objects, 2 rows or parts refused")
    assert "row 4: column 'Verkalkt' has a value that the mapping does not name" in out
    (one, _) = sorted((place / "both").rglob("*.dcm"))
    code, out, _ = run("convert", "original", one.stem, "--lake", "lake")
    assert code == 0
    assert Path(out.splitlines()[0]).read_bytes() == TABLE.encode()
    assert re.search(r"SHA-256 [0-9a-f]{64}\n", out)
    assert "converted by labels (csv)" in out
    code, out, _ = run(*LABELS, "--lake", "lake")
    assert "1 were converted before" in out


def test_a_dry_run(run: Run, place: Path) -> None:
    code, out, _ = run(*LABELS, "--out", "dry", "--images", "files", "--dry-run")
    assert (code, (place / "dry").exists()) == (0, False)
    assert "would be converted to 2 objects" in out


def test_refused_files_are_an_exit_code(run: Run) -> None:
    code, out, _ = run("convert", "odd.csv", "--mapping", "labels.yaml", "--lake", "lake")
    assert code == 1
    assert "1 files refused" in out
    assert "The table has no column 'Auftrag'" in out


def test_check_shows_rows(run: Run) -> None:
    code, out, _ = run("convert", "check", "labels.yaml", "labels.csv", "--lake", "lake")
    assert code == 0
    first, *_, last = out.splitlines()
    assert first == ("row 2: Left ventricular Ejection fraction = 55.5 %; Finding = Calcification")
    assert last == "row 5: nothing is there with its AccessionNumber"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (LABELS, "Say where to: --out FOLDER, --lake LAKE, or both"),
        (("convert", "none.csv", "--lake", "lake"), "none.csv does not exist"),
        ((*LABELS, "--lake", "lake", "--header", "PatientID"), "KEYWORD=VALUE"),
        ((*LABELS, "--lake", "lake", "--header", "PatientIdd=1"), "Did you mean PatientID"),
        (("convert", "odd.csv", "--mapping", "none.yaml", "--out", "x"), "cannot be read"),
        (("convert", "original", "1.2.3", "--lake", "lake"), "No file was converted"),
        (("convert", "labels.csv", "--watch", "--lake", "lake"), "is no folder"),
        (("convert", "check", "labels.yaml", "odd.csv"), "has no column 'Auftrag'"),
    ],
)
def test_mistakes_are_sentences(run: Run, words: tuple[str, ...], why: str) -> None:
    code, _, said = run(*words)
    assert code == 2
    assert why in said
    assert "Traceback" not in said


def test_a_mapping_for_another_converter(run: Run, place: Path) -> None:
    put(place, "other.yaml", b"converter: homesick\n")
    code, _, said = run("convert", "odd.csv", "--mapping", "other.yaml", "--out", "x")
    assert code == 2
    assert "There is no plugin 'homesick' among the converters" in said
