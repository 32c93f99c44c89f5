"""The page about the benchmark of de-identification is true: its commands and Python run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dicomlake.cli import main
from dicomlake.testing.deidbench.answers import RESEARCH

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "deid-benchmark.md").read_text(encoding="utf-8")
pytest.importorskip("pypdf")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_and_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key.txt").write_text("k" * 64)
    make, clean, judge = blocks("sh")[0].splitlines()
    assert run(make.replace("--patients 2", "--patients 1")) == 0
    options = "descriptors,device,graphics,modified_dates,patient,structured"
    Path("headers.yaml").write_text(
        "title: research without pixels\nextends: basic\noptions:\n"
        "  - graphics\n  - structured-content\n  - descriptors\n  - modified-dates\n"
        "  - patient-characteristics\n  - device\n"
    )
    assert set(options.split(",")) == RESEARCH - {"pixels"}
    assert run(clean.replace("research", "headers.yaml")) == 0
    assert run(f"{judge} --options {options}") == 0  # pixels are promised by nobody
    assert "direct leaks" in Path("report.html").read_text(encoding="utf-8")
    (python,) = blocks("python")
    exec(compile(python, "deid-benchmark.md", "exec"), {})


def run(line: str) -> object:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(line)[1:])
    return stopped.value.code
