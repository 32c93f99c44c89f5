"""The page about images is true: commands, settings, addresses and keys are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from dicomlake.cli import app as cli
from dicomlake.cli import viewer
from dicomlake.jobs import ohif
from dicomlake.settings import Settings
from dicomlake.web import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "viewer.md").read_text("utf-8")


def test_commands_and_options_are_there() -> None:
    named = set(re.findall(r"dicomlake viewer (\w+)", PAGE))
    assert named == {command.callback.__name__ for command in viewer.viewers.registered_commands
                     if command.callback}  # fmt: skip
    for option in ("unchecked", "everything"):
        assert f"--{option}" in PAGE
        assert f"--{option}" in CliRunner().invoke(cli, ["viewer", "install", "--help"]).output
    assert ohif.VERSION in PAGE


def test_settings_are_read() -> None:
    for page in ("viewer", "dicomweb"):
        text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
        (found,) = re.findall(r"\n((?:    .*\n)*    \[service\]\n(?:    .*\n)+)", text)
        service = Settings.model_validate(tomllib.loads(found)).service
        assert service.viewer or service.proxies


def test_addresses_are_there(tmp_path: Path) -> None:
    paths = app(tmp_path, Settings()).openapi()["paths"]
    for path in re.findall(r"GET (/api/[^`]+)`", PAGE):
        assert path in paths


def test_keys_are_those_of_the_viewer() -> None:
    source = (ROOT / "ui" / "src" / "parts" / "viewer.tsx").read_text("utf-8")
    tools = dict(re.findall(r'\["(\w+)", "\w+", "viewer\.\w+", "(\w)"\]', source))
    assert len(tools) == 7
    for name, words in (("pan", "move (`P`"), ("zoom", "zoom (`Z`"), ("length", "distance (`L`"),
                        ("rectangle", "rectangle (`R`"), ("ellipse", "ellipse (`E`")):  # fmt: skip
        assert f"`{tools[name].upper()}`" in words
        assert words in PAGE
    for key in "aifhxo":
        assert re.search(rf"^      {key}: \(\)", source, re.MULTILINE), key
        assert f"`{key.upper()}`" in PAGE
    presets = (ROOT / "ui" / "src" / "image" / "window.ts").read_text("utf-8")
    assert len(re.findall(r'\["window\.\w+", ', presets)) == 7
    assert "`1` to `7`" in PAGE


def test_the_picture_is_there() -> None:
    for name in re.findall(r"\]\((images/[^)]+)\)", PAGE):
        assert (ROOT / "docs" / name).stat().st_size < 200_000
