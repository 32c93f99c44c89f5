"""The tutorials are true: each runs from an empty folder, block by block, as somebody types it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a command dicomlake that is this one."""
    scripts = tmp_path / "bin"
    scripts.mkdir()
    script = f"#!{sys.executable}\nfrom dicomlake.cli import main\nmain()\n"
    (scripts / "dicomlake").write_text(script)
    (scripts / "dicomlake").chmod(0o755)
    return {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}


@pytest.mark.parametrize("page", PAGES)
def test_a_tutorial_runs_from_an_empty_folder(
    page: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)
    assert len(found) >= 5
    place = tmp_path / "empty"
    place.mkdir()
    for kind, block in found:
        command = ["bash", "-euc"] if kind == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, block], cwd=place, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def test_pictures_and_pages_that_are_linked_are_there() -> None:
    for page in [*PAGES, "README"]:
        text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", text):
            assert (FOLDER / target).exists(), f"{page}.md names {target}"


def test_the_index_names_every_tutorial() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(([a-z-]+)\.md\)", index)) == PAGES
    assert "docs/tutorials/README.md" in (FOLDER.parents[1] / "README.md").read_text("utf-8")
