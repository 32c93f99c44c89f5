"""The README and the docs say what is true: their commands and examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dicomlake import tables
from dicomlake.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run("dicomlake demo hospital")
    return place


def run(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "dicomlake"
    with pytest.raises(SystemExit) as stopped:
        main(words[1:])
    assert stopped.value.code == 0, line


def test_every_command_of_the_readme_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(lines) >= 10
    for line in lines:
        run(line)
        assert "Traceback" not in capsys.readouterr().err
    assert (folder / "thin.csv").read_text().startswith('"PatientID"')


def test_every_python_block_of_the_readme_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    found = blocks("python")
    assert len(found) == 4
    for block in found:
        exec(compile(block, "README.md", "exec"), {})


def test_both_commands_stand_at_the_top() -> None:
    top = README.splitlines()[:12]
    assert any("make run" in line for line in top)
    assert any("make test" in line for line in top)


def test_the_page_of_tables_is_made_from_the_tables() -> None:
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == tables.markdown()


def test_no_lock_file_names_a_host() -> None:
    for lock in ROOT.glob("*.lock"):
        assert "://" not in lock.read_text(encoding="utf-8")
