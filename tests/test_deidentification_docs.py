"""The page about de-identification is true: its commands, Python and profile run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dicomlake.cli import main
from dicomlake.deid.profiles import names, parsed
from dicomlake.deid.tables import OPTIONS
from dicomlake.jobs.index import index

PAGE = (Path(__file__).parents[1] / "docs" / "deidentification.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_and_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    shutil.copy(str(get_testdata_file("CT_small.dcm")), "images")
    index(["images"], "hospital/lake", workers=1)
    for block in blocks("python"):
        exec(compile(block, "deidentification.md", "exec"), {})
    for line in "".join(blocks("sh")).splitlines():
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line.partition(" > ")[0])[1:])
        assert stopped.value.code == 0, line
    (made,) = Path("shared").rglob("*.dcm")
    assert made.stem.startswith("2.25.")


def test_the_profile_of_a_site() -> None:
    (text,) = blocks("yaml")
    profile = parsed(text, "ours")
    assert profile.dates == "modified"
    assert len(profile.attributes) == 3
    assert profile.pixels == {"look": "all"}


def test_every_profile_and_option_is_told() -> None:
    for name in (*names(), *OPTIONS):
        assert f"`{name}`" in PAGE
