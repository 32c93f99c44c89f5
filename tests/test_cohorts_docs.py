"""The page about cohorts is true: its commands and its Python run, in its order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dicomlake.cli import main
from dicomlake.jobs.cohorts import history, opened
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

PAGE = (Path(__file__).parents[1] / "docs" / "cohorts.md").read_text(encoding="utf-8")


def test_commands_and_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital.write(tmp_path / "hospital" / "archive", 20, pixels=False)
    lake = tmp_path / "hospital" / "lake"
    index([tmp_path / "hospital" / "archive"], lake, workers=1)
    monkeypatch.chdir(tmp_path)
    for kind, block in re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL):
        if kind == "python":
            exec(compile(block, "cohorts.md", "exec"), {})
            continue
        for line in block.splitlines():
            with pytest.raises(SystemExit) as stopped:
                main(shlex.split(line)[1:])
            assert stopped.value.code == 0, line
    made = [version.kind for version in history(lake, "knees")]
    assert made == ["split", "split", "split", "saved", "frozen"]
    assert opened(lake, "knees").approved
    assert opened(lake, "knees").withdrawn == 0
    assert (tmp_path / "series.csv").read_text().startswith('"SeriesInstanceUID"')
