"""The page about erasing is true: commands and Python run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dicomlake.api import Lake
from dicomlake.cli import main
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

PAGE = (Path(__file__).parents[1] / "docs" / "erasure.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_and_python_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital.write(tmp_path / "files", 3, pixels=False)
    lake = tmp_path / "hospital" / "lake"
    index([tmp_path / "files"], lake, workers=1)
    before = Lake(lake).totals["patients"]
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, line
    assert "is left out when it comes again" in capsys.readouterr().out
    assert (tmp_path / "proof.json").read_text().count("P000001") == 0
    for block in blocks("python"):
        exec(compile(block, "erasure.md", "exec"), {})
    assert Lake(lake).totals["patients"] == before - 2
