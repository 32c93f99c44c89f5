"""The page about clinical facts is true: its commands, Python, settings and mapping work."""

from __future__ import annotations

import re
import shlex
from importlib.resources import files
from pathlib import Path

import pytest

from dicomlake import settings
from dicomlake.cli import main
from dicomlake.jobs.clinical.formats import mapping
from dicomlake.jobs.index import index
from dicomlake.testing import hospital

PAGE = (Path(__file__).parents[1] / "docs" / "clinical.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_and_python_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital.write(tmp_path / "files", 3, pixels=False)
    index([tmp_path / "files"], tmp_path / "hospital" / "lake", workers=1)
    hospital.histories(tmp_path / "export", 30)
    text = files("dicomlake.testing.hospital").joinpath("mappings", "SUD.yaml").read_text("utf-8")
    (tmp_path / "SUD.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    first, *rest = blocks("sh")
    _run(first)
    said = capsys.readouterr().out
    assert "Linked by the patient" in said
    assert "encounter" in said
    for block in blocks("python"):
        exec(compile(block, "clinical.md", "exec"), {})
    _run("\n".join(rest))
    assert "removed." in capsys.readouterr().out


def _run(block: str) -> None:
    for line in filter(None, block.splitlines()):
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, line


def test_settings_and_mapping_are_read(tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_text("\n".join(blocks("toml")))
    said = settings.read(tmp_path)
    assert said.clinical.issuers["urn:oid:1.2.276.0.76.4.8"] == ""
    assert said.facts["labs"].source == "lab"
    (block,) = blocks("yaml")
    (tmp_path / "map.yaml").write_text(block)
    found = mapping.read_mapping(tmp_path / "map.yaml")
    assert [one.kind for one in found.tables] == ["condition", "observation"]
    assert [bool(one.index) for one in found.texts] == [False, True]
    for name in (*mapping.KINDS, *mapping._COLUMNS):
        assert re.search(rf"\b{name}\b", PAGE), f"docs/clinical.md does not explain {name}"
