"""The page about enrichers: its commands and examples run, and its enricher keeps the contract."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dicomlake
from dicomlake import tables
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing import hospital

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "enrichment.md").read_text(encoding="utf-8")
EXTENDING = (DOCS / "extending.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital as the demo leaves it, before enrichers look at it."""
    place = tmp_path_factory.mktemp("enrichment")
    hospital.write(place / "hospital" / "archive", 3)
    index([place / "hospital" / "archive"], place / "hospital" / "lake", workers=1)
    return place


def dicomlake_(place: Path, *words: str, path: Path | None = None) -> str:
    environment = {**os.environ}
    if path is not None:
        environment["PYTHONPATH"] = f"{path}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    command = [sys.executable, "-c", "from dicomlake.cli import main; main()", *words]
    done = subprocess.run(command, cwd=place, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def test_the_commands_run_and_questions_find_something(folder: Path) -> None:
    lines = [line for block in blocks(PAGE, "sh") for line in block.splitlines() if line.strip()]
    assert len(lines) > 8
    for line in lines:
        said = dicomlake_(folder, *shlex.split(line)[1:])
        if " query " in line:
            assert re.match(r"[1-9]", said), (line, said)


def test_the_python_of_the_page_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    enrich(folder / "hospital" / "lake", "hounsfield")
    (block,) = blocks(PAGE, "python")
    there: dict[str, object] = {}
    exec(compile(block, "enrichment.md", "exec"), there)
    whole = there["whole"]
    truth = [s for s in hospital.shown(3).values() if "lungs" in s and s["lungs"].complete]
    assert whole.total == len(truth) > 0  # type: ignore[attr-defined]


def test_the_settings_of_the_page_are_settings() -> None:
    (block,) = blocks(PAGE, "toml")
    found = Settings.model_validate(tomllib.loads(block))
    assert found.enrich["totalsegmentator"].options == {"fast": "true"}
    assert found.enrich["codes"].automatic


@pytest.mark.parametrize(
    ("name", "table"), [("annotation", "annotations"), ("finding", "findings")]
)
def test_what_can_be_asked_is_there(name: str, table: str) -> None:
    (listed,) = re.findall(rf"`{name}` has (.*?)[;.]", PAGE, re.DOTALL)
    words = re.findall(r"`(\w+)`", listed)
    assert len(words) > 4
    assert set(words) <= set(tables.ALL[table].names)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The enricher of the page about extending, installed."""
    place = tmp_path_factory.mktemp("coverage")
    module, test = [b for b in blocks(EXTENDING, "python") if "CoverageEnricher" in b]
    (place / "coverage.py").write_text(module, encoding="utf-8")
    (place / "test_coverage.py").write_text(test, encoding="utf-8")
    info = place / "coverage_enricher-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coverage-enricher\nVersion: 1\n")
    (lines,) = re.findall(r'    (\[project.entry-points."dicomlake.enrichers"\]\n.*)\n', EXTENDING)
    head, line = (one.strip() for one in lines.splitlines())
    assert head == '[project.entry-points."dicomlake.enrichers"]'
    (info / "entry_points.txt").write_text(
        f"[dicomlake.enrichers]\n{line.replace(chr(34), '')}\n", encoding="utf-8"
    )
    return place


def test_the_enricher_of_the_page_keeps_the_contract(package: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_coverage.py"]
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=package, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"4 passed", done.stdout), done.stdout


def test_the_enricher_of_the_page_works(folder: Path, package: Path) -> None:
    lake = folder / "hospital" / "lake"
    said = dicomlake_(folder, "enrich", "coverage", "--lake", str(lake), path=package)
    assert re.match(r"coverage: [1-9]", said)
    found = dicomlake.open(lake).query(
        "annotation.label = 'long'", show=["SeriesInstanceUID", "annotation.name"]
    )
    low_dose = [u for u, s in hospital.shown(3).items() if s["body"].volume_mL > 20_000]
    rows = {row["SeriesInstanceUID"]: row["annotation.name"] for row in found.rows.to_pylist()}
    assert low_dose
    assert all("Covers 390 mm" in rows[uid] for uid in low_dose)
