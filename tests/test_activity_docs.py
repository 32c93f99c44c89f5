"""The pages about activity, histories and OMOP are true: commands, Python and settings run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dicomlake import settings
from dicomlake.cli import main
from dicomlake.jobs.activity.exams import FAR_DAYS, PAUSE_MIN
from dicomlake.jobs.activity.use import FEWEST_DAYS, IDLE_MIN
from dicomlake.jobs.index import index
from dicomlake.jobs.omop.columns import TABLES
from dicomlake.testing import hospital

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def block(name: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", page(name), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    hospital.write(folder / "files", 3, pixels=False)
    index([folder / "files"], folder / "hospital" / "lake", workers=1)
    return folder


@pytest.mark.parametrize("name", ["activity.md", "omop.md"])
def test_commands_and_python_run(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for line in block(name, "sh").splitlines():
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, line
    assert capsys.readouterr().out
    exec(compile(block(name, "python"), name, "exec"), {})
    assert capsys.readouterr().out


def test_the_settings_are_settings(tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_text(block("activity.md", "toml"))
    found = settings.read(tmp_path).activity
    assert (found.timezone, found.hours) == ("Europe/Berlin", "07:30-16:00")
    for name in settings.ActivitySettings.model_fields:
        assert name in page("activity.md")
    (tmp_path / settings.FILE).write_text(block("omop.md", "toml"))
    told = settings.read(tmp_path).omop
    assert told.vocabulary == Path("/data/athena/CONCEPT.csv")
    assert told.wado.startswith("https://")


def test_the_numbers_are_those_of_the_code() -> None:
    told = page("activity.md")
    assert PAUSE_MIN == 60
    assert "an hour's pause" in told
    assert IDLE_MIN == 30
    assert "half an hour or longer" in told
    assert FEWEST_DAYS == 5
    assert "from five days on" in told
    assert f"over {FAR_DAYS} days from its study" in told


def test_every_table_of_omop_is_on_its_page() -> None:
    for name in TABLES:
        assert f"`{name}`" in page("omop.md")


@pytest.mark.parametrize("name", ["activity.md", "timeline.md", "omop.md"])
def test_pictures_and_pages_are_there(name: str) -> None:
    for there in re.findall(r"\]\(([\w./-]+)\)", page(name)):
        assert (ROOT / "docs" / there).exists(), there
