"""The page about FHIR does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomlkit

from dicomlake.settings import Settings

PAGE = (Path(__file__).parents[1] / "docs" / "fhir.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fhir")
    dicomlake(place, "dicomlake demo hospital")
    return place


def dicomlake(place: Path, line: str) -> str:
    environment = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}"}
    program = place / "dicomlake"
    if not program.exists():
        program.write_text(f"#!{sys.executable}\nfrom dicomlake.cli import main\nmain()\n")
        program.chmod(0o755)
    done = subprocess.run(line, cwd=place, shell=True, capture_output=True, text=True,
                          env=environment, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_commands_run_and_what_they_make_is_valid(folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    said = [dicomlake(folder, line) for line in lines]
    assert len(said) == 5
    assert all(": valid, 0 errors" in one for one in said[3:])
    assert "41 ImagingStudy" in said[2]


def test_the_python_example_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (code,) = blocks("python")
    exec(compile(code, "docs/fhir.md", "exec"), {})


def test_the_settings_are_settings() -> None:
    (told,) = blocks("toml")
    found = Settings.model_validate(tomlkit.parse(told).unwrap())
    assert found.fhir.site.patients == {"": "https://hospital.example/pid"}
