"""The page about radiation dose is true: commands, Python, tables and settings run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dicomlake import settings
from dicomlake.cli import main
from dicomlake.jobs.dose import DoseOptions
from dicomlake.jobs.dose.alarms import rules_of
from dicomlake.jobs.dose.levels import levels_of
from dicomlake.jobs.dose.options import options_of
from dicomlake.jobs.dose.protocols import names_of
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "dose.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dose")
    hospital.write(folder / "hospital" / "archive", 12)
    index([folder / "hospital" / "archive"], folder / "hospital" / "lake", workers=1)
    return folder


def test_commands_and_python(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 10
    for line in lines:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, line
    assert "water-equivalent diameter" in capsys.readouterr().out
    (python,) = blocks("python")
    exec(compile(python, "dose.md", "exec"), {})
    assert "mGy.cm" in capsys.readouterr().out


def test_tables_of_a_site(tmp_path: Path) -> None:
    names, alarms = blocks("yaml")
    (tmp_path / "names.yaml").write_text(names)
    (tmp_path / "alarms.yaml").write_text(alarms)
    (tmp_path / "levels.csv").write_text(blocks("csv")[0])
    options = DoseOptions(folder=tmp_path)
    row = {"kind": "CT", "protocol": "Low_Dose THORAX", "StationName": "CTN02"}
    found = names_of(options.own("names.yaml"))
    rule = found.protocol(row, None)
    assert rule is not None
    assert (rule.standard, found.device(row, None)) == ("CT chest low dose", "Emergency CT")
    assert found.not_patient({"PatientID": "ZZ12"})
    assert {"much CT in a year", "high chest", "fluoroscopy RP"} <= {
        rule.name for rule in rules_of(options)
    }
    german = [level for level in levels_of(options.own("levels.csv")) if level.country == "DE"]
    assert [level.value for level in german] == [55.0]


def test_settings(tmp_path: Path) -> None:
    (toml,) = blocks("toml")
    (tmp_path / settings.FILE).write_text(toml)
    found = options_of(tmp_path)
    assert (found.factor_set, found.country, found.sets) == ("NCI 2012", "DE", ("ncrp168",))
    assert found.folder == tmp_path / "_dose"
    for name in settings.DoseSettings.model_fields:
        assert re.search(rf"\b{name}\b", toml), f"docs/dose.md does not show {name}"


def test_every_command_is_told() -> None:
    from dicomlake.cli.dose import dose

    for command in dose.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        assert f"dose {name}" in PAGE, name
