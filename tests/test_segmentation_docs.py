"""The page about segmentation is true: its commands and programs run, its options are there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from dicomlake.cli import main, segmenter
from dicomlake.enrichers.anatomy import KINDS
from dicomlake.segmenters.hounsfield import BODY_HU, BONE_HU, DENSE_HU, FAT_HU, FEWEST, LUNG_HU
from dicomlake.segmenters.totalsegmentator import FEWEST as OF_TOTAL
from dicomlake.segmenters.totalsegmentator import OPTIONS, Limits
from dicomlake.segmenters.totalsegmentator.worker import MARGIN, MODES, THICK
from dicomlake.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "segmentation.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 5
    said = ""
    for line in lines:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, line
        said += capsys.readouterr().out
    assert re.search(r"hounsfield: [1-9]\d* series, [1-9]\d* statements", said)
    assert re.search(r"\b[1-9]\d* found: ", said)
    assert len(list((tmp_path / "hospital" / "lake" / "_masks").rglob("*.nii.gz"))) == 2


def test_programs_run() -> None:
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "segmentation.md", "exec"), names)
    assert "BrightEnricher" in names


def test_options_and_commands_are_there() -> None:
    for option in (*OPTIONS, "keep"):
        assert f"`{option}`" in PAGE
    for mode in MODES:
        assert f"`{mode}`" in PAGE
    assert all(f"`{kind}`" in PAGE for kind in KINDS)
    commands = {c.callback.__name__ for c in segmenter.segmenters.registered_commands if c.callback}
    assert set(re.findall(r"dicomlake segmenter (\w+)", PAGE)) == commands
    (found,) = re.findall(r"\n(    \[enrich[^`]*?)\n\n", PAGE)
    assert Settings.model_validate(tomllib.loads(found)).enrich["totalsegmentator"]


def test_numbers_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"above {BODY_HU} HU" in text
    assert f"between {LUNG_HU[0]} and {LUNG_HU[1]} HU" in text
    assert f"above {BONE_HU} HU with something above {DENSE_HU}" in text
    assert f"between {FAT_HU[0]} and {FAT_HU[1]} HU" in text
    assert f"`hounsfield` needs {FEWEST}, TotalSegmentator {OF_TOTAL}" in text
    assert f"slabs of {THICK} slices that overlap by {MARGIN}" in text
    limits = Limits()
    assert f"After {limits.jobs} series" in text
    assert f"for one series, {limits.job_s / 60:.0f}; GB that the process" in text


def test_the_constraints_are_those_of_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    pinned = (ROOT / "constraints" / "totalsegmentator.txt").read_text("utf-8").splitlines()
    assert set(extras["totalsegmentator"]) <= set(pinned)
    assert all(line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pinned)
    locked = re.search(r"EXTRAS := (.*)", (ROOT / "Makefile").read_text("utf-8"))
    assert locked
    assert {*locked[1].split(), "totalsegmentator"} == set(extras)
