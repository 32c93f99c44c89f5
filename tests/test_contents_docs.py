"""The page about contents answers as it says, and its reader of private XML is read by its word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import dicomlake
from dicomlake.jobs.volumes import volumes
from dicomlake.testing.dicom import encode, image, uid

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "contents.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("contents")
    dicomlake_(place, "demo", "hospital")
    (place / "lesions.yaml").write_text(blocks(PAGE, "yaml")[0], encoding="utf-8")
    return place


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def dicomlake_(place: Path, *words: str, path: Path | None = None) -> str:
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    command = [sys.executable, "-c", "from dicomlake.cli import main; main()", *words]
    done = subprocess.run(command, cwd=place, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


LINES = [line for block in blocks(PAGE, "sh") for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("line", [line for line in LINES if "# " in line])
def test_questions_have_the_answers_that_the_page_gives(folder: Path, line: str) -> None:
    command, _, answer = line.rpartition("# ")
    said = dicomlake_(folder, *shlex.split(command)[1:], "--count")
    assert re.search(rf"\b{answer.strip()}\b", said), said
    count, what = answer.split()
    assert int(count) > 0
    level = re.search(r"--level (\w+)", command)
    assert (level[1] if level else "series")[:4] == what[:4]


ROWS = re.findall(r"^\| .*`(.+)` \| (\d+) patients \|$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def samples(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dicomlake.api.Lake:
    lake = dicomlake.make(corpus_folder, tmp_path_factory.mktemp("samples") / "lake", workers=2)
    volumes(lake.path)
    return lake.refresh()


@pytest.mark.parametrize(("question", "patients"), ROWS)
def test_real_files_have_the_answers_that_the_page_gives(
    samples: dicomlake.api.Lake, question: str, patients: str
) -> None:
    assert samples.query(question, level="patient").total == int(patients) > 0


def test_the_page_has_both_kinds_of_answers() -> None:
    assert len(ROWS) >= 5
    assert len([line for line in LINES if "# " in line]) >= 5


def test_the_other_commands_run(folder: Path) -> None:
    plain = [line for line in LINES if "# " not in line]
    assert len(plain) >= 6
    for line in plain:
        dicomlake_(folder, *shlex.split(line)[1:])
    assert "long_axis" in (folder / "lesions.csv").read_text()


def test_the_python_of_the_page_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (block,) = blocks(PAGE, "python")
    said: dict[str, object] = {}
    exec(compile(block, "contents.md", "exec"), said)
    assert said["ecg"].samples.shape[1] == 12  # type: ignore[attr-defined]


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A package with the reader of the page, installed as any other."""
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    (module,) = [block for block in blocks(page, "python") if "InjectorReader" in block]
    place = tmp_path / "site"
    info = place / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "acme.py").write_text(module, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    entry = re.search(r'\[project\.entry-points\."(.+)"\]\n +(injector = )"(.+)"', page)
    assert entry
    (info / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2]}{entry[3]}\n")
    return place


def write(folder: Path, number: int, xml: str) -> None:
    folder.mkdir(exist_ok=True)
    private = {'(0019,"ACME INJECTOR",01)': ("LT", xml)}
    data = encode(
        image(
            SeriesInstanceUID=uid("acme", number),
            SOPInstanceUID=uid("acme", number, 1),
            Modality="CT",
            **private,
        )
    )
    (folder / f"{number}.dcm").write_bytes(data)


def test_the_reader_of_the_page_reads_private_xml(tmp_path: Path, acme: Path) -> None:
    phase = '<phase agent="{}" volume="80 ml" flow="{} ml/s"/>'
    files = tmp_path / "files"
    write(files, 1, f"<p>{phase.format('Iomeprol 400', 4.5)}{phase.format('NaCl', 5)}</p>")
    write(files, 2, f"<p>{phase.format('Iomeprol 400', 2)}{phase.format('NaCl', 5)}</p>")
    write(files, 3, "<p>damaged")
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    question = re.search(r'dicomlake query "(same\(item, \[99ACME.+)"\n', page)
    assert question
    dicomlake_(tmp_path, "index", "files", "--lake", "lake", "-q")
    assert "0 found" in dicomlake_(tmp_path, "query", question[1], "--count", "--lake", "lake")
    dicomlake_(tmp_path, "contents", "lake", path=acme)
    lake = dicomlake.open(tmp_path / "lake")
    found = lake.query(question[1], show=["SeriesInstanceUID"])
    assert found.rows.column(0).to_pylist() == [uid("acme", 1)]
    flow = lake.vocabulary["[99ACME:PROTOCOL].[99ACME:PHASE].[99ACME:FLOW]"]
    assert (flow.series, flow.documents, flow.unit, flow.ends) == (2, 2, "mL/s", ("2", "5"))


def test_the_reader_of_the_page_notes_what_it_cannot_read(tmp_path: Path, acme: Path) -> None:
    files = tmp_path / "files"
    write(files, 3, "<p>damaged")
    dicomlake_(tmp_path, "index", "files", "--lake", "lake", "-q", path=acme)
    problems = dicomlake.open(tmp_path / "lake").sql("select problems from instances")
    said = [problem["problem"] for problem in problems.column(0).to_pylist()[0]]
    assert "not the XML of an injector" in said
