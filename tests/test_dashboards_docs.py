"""The page about dashboards is true: its chart is one, commands and Python run, routes exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from dicomlake.cli import main
from dicomlake.engines.groups import BINS, COUNTED, MEASURES, OWN
from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing import hospital
from dicomlake.web import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def run(line: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(line)[1:])
    assert stopped.value.code == 0, line


def test_the_chart_the_commands_and_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital.write(tmp_path / "hospital" / "archive", 2, pixels=False)
    index([tmp_path / "hospital" / "archive"], tmp_path / "hospital" / "lake", workers=1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies.json").write_text(block("json"))
    for line in block("sh").splitlines():
        run(line)
    said = capsys.readouterr().out
    assert "Version 1 of 'Studies per year'" in said
    assert "studies" in said
    made = re.search(r"[0-9a-f]{12}", said)
    assert made is not None
    run(f"dicomlake chart show {made[0]} --lake hospital/lake")
    shown = json.loads(capsys.readouterr().out)
    assert shown["spec"] == json.loads(block("json"))
    (tmp_path / "again.json").write_text(json.dumps(shown))
    run(f"dicomlake chart save again.json --id {made[0]} --lake hospital/lake")
    assert "Version 2 of 'Studies per year'" in capsys.readouterr().out
    run(f"dicomlake chart data {made[0]} -f csv --lake hospital/lake")
    assert capsys.readouterr().out.startswith('"year","Modality","studies"')
    exec(compile(block("python"), "dashboards.md", "exec"), {})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("dicomlake chart show 0badcafe0001", "dicomlake chart list"),
        ("dicomlake chart data nothing.json", "There is no chart"),
        ("dicomlake chart save nothing.json", "cannot be read"),
        ("dicomlake chart save list.json", "holds no chart"),
        ("dicomlake chart save broken.json", "is no JSON"),
        ("dicomlake chart save image.json", "image marks"),
    ],
)
def test_what_cannot_be_shown_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    why: str,
) -> None:
    hospital.write(tmp_path / "files", 1, pixels=False)
    index([tmp_path / "files"], tmp_path / "lake", workers=1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "image.json").write_text(
        json.dumps({"data": {"dicomlake": {"by": ["Modality"]}}, "mark": "image"})
    )
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(line)[1:])
    assert stopped.value.code == 2
    assert why in capsys.readouterr().err


def test_nothing_is_named_that_is_not_there(tmp_path: Path) -> None:
    routes = app(tmp_path, Settings()).openapi()["paths"]
    for method, path in re.findall(r"`(GET|POST) (/api/[a-z-]+)`", PAGE):
        assert method.lower() in routes[path], path
    for name in (*BINS, *COUNTED, *MEASURES, *OWN):
        assert f"`{name}`" in PAGE or f'"{name}"' in PAGE, name
    for image in re.findall(r"\]\((images/[^)]+)\)", PAGE):
        assert (ROOT / "docs" / image).stat().st_size < 200_000
