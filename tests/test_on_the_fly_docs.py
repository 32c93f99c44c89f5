"""The page about de-identification on the fly is true: commands run, settings are settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from dicomlake.lake import Store
from dicomlake.settings import Deidentify, LakeSettings, Settings

from .test_docs import _typed

PAGE = (Path(__file__).parents[1] / "docs" / "on-the-fly.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_run(tmp_path: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 9
    for line in lines:
        _typed(line, tmp_path)
    assert Store(tmp_path / "guarded").door["pseudonyms"] == "study"
    assert not Store(tmp_path / "lake").door


def test_settings_are_settings() -> None:
    whole = tomllib.loads("\n".join(blocks("toml")))
    found = Settings.model_validate(whole)
    assert found.service.deidentify.roles == ("viewer", "researcher")
    assert found.project["knees"].deidentified
    for model in (Deidentify, LakeSettings):
        for name in model.model_fields:
            assert re.search(rf"\b{name} = ", PAGE), name
