"""The page about reports is true: commands and Python run, and its figures are those measured."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from dicomlake.cli import main
from dicomlake.deid.text import words_of
from dicomlake.jobs.index import index
from dicomlake.testing import hospital
from tests.deid import labelled

PAGE = (Path(__file__).parents[1] / "docs" / "deid-reports.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital.write(tmp_path / "files", 1, pixels=False)
    index([tmp_path / "files"], tmp_path / "hospital" / "lake", workers=1)
    (tmp_path / "known.csv").write_text("kind,text\nname,Doe^Jane\n")
    for name in ("letter.txt", "reports/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("Jane Doe: no mass")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, line
    assert (tmp_path / "clean.txt").read_text() == "[NAME]: no mass"
    assert (tmp_path / "review" / "review.html").exists()


def test_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "deid-reports.md", "exec"), names)
    assert capsys.readouterr().out == ("Frau [NAME] ([ID]), gez. Dr. [NAME]: Morbus Crohn, 12 mm\n")
    (tmp_path / "surnames.txt").write_text("quernholt")
    words = words_of([], recognisers=[names["Surnames"](tmp_path)])
    assert words.clean("seen with quernholt") == "seen with [NAME]"


@pytest.mark.parametrize("header", [True, False])
def test_figures_are_those_measured(header: bool) -> None:
    score = labelled.score("test", header=header)
    row = "the header tells" if header else "nothing is known"
    told = next(line for line in PAGE.splitlines() if line.startswith(f"| {row}"))
    shown = [float(number) for number in re.findall(r"([\d.]+) %", told)]
    assert shown == [round(score.recall * 100, 1), round(score.precision * 100, 1)]
    assert f"{score.labelled:,} places" in PAGE
