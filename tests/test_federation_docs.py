"""The page about federations is true: files are read, settings are settings, commands run."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from dicomlake.cli import main
from dicomlake.jobs.access.roles import Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.jobs.federation.asking import sites_of
from dicomlake.jobs.federation.studies import load
from dicomlake.jobs.index import index
from dicomlake.settings import Federation
from dicomlake.testing import hospital
from tests.web.serving import served

PAGE = (Path(__file__).parents[1] / "docs" / "federation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_settings_are_settings() -> None:
    for block in blocks("toml")[2:]:
        made = Federation.model_validate(tomllib.loads(block)["federation"])
        assert made.site == "here"


def test_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital.write(tmp_path / "files", 8, pixels=False)
    lake = tmp_path / "hospital" / "lake"
    index([tmp_path / "files"], lake, workers=1)
    monkeypatch.chdir(tmp_path)
    study, sites = blocks("toml")[:2]
    Path("study.toml").write_text(study, encoding="utf-8")
    assert load("study.toml").export is not None
    Path("sites.toml").write_text(sites, encoding="utf-8")
    assert set(sites_of("sites.toml")) == {"here", "kiel"}
    Path("here.token").write_text(Tokens(lake).add("consortium", Role.partner))
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 3
    with served(lake) as url:
        alone = sites.partition("[site.kiel]")[0].replace("http://127.0.0.1:8080", url)
        Path("sites.toml").write_text(alone, encoding="utf-8")
        codes = []
        for line in lines:
            with pytest.raises(SystemExit) as stopped:
                main(shlex.split(line)[1:])
            codes.append(stopped.value.code)
    assert codes == [0, 0, 1]  # the export waits: the site names no folder for it
    assert "CT and ECG" in Path("table.csv").read_text(encoding="utf-8")
    assert "This site makes no datasets" in capsys.readouterr().out
