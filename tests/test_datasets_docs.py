"""The page about datasets: its commands and its Python run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dicomlake.jobs.datasets.labels import mapping_of
from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing import hospital

PAGE = (Path(__file__).parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("datasets")
    hospital.write(place / "hospital" / "archive", 3)
    index([place / "hospital" / "archive"], place / "hospital" / "lake", workers=1)
    return place


def test_the_commands_run(folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line)
        command = [sys.executable, "-c", "from dicomlake.cli import main; main()", *words[1:]]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, (line, done.stdout.decode(), done.stderr.decode())
    assert (folder / "livers" / "datalist.json").exists()
    assert (folder / "livers" / "README.md").exists()


def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for block in blocks("python"):
        exec(compile(block, "datasets.md", "exec"), {})
    assert (folder / "small" / "dataset.json").exists()


def test_settings_and_labels_are_read() -> None:
    for block in blocks("toml"):
        Settings.model_validate(tomllib.loads(block))
    (labels,) = blocks("yaml")
    assert [one.number for one in mapping_of(labels).labels] == [1, 2, 3]
