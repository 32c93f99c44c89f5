"""The page about access is true: commands run, settings are settings, and roles are as they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tomlkit

from dicomlake.cli import main
from dicomlake.jobs.access.roles import ALLOWED, May, Role
from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing import hospital

PAGE = (Path(__file__).parents[1] / "docs" / "access.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_settings_are_settings() -> None:
    whole = "\n".join(blocks("toml"))
    first, rest = whole.split("[project.cardio]", 1)
    made = Settings.model_validate(tomlkit.parse(first).unwrap())
    assert made.service.access.oidc is not None
    more = Settings.model_validate(tomlkit.parse(f"[project.cardio]{rest}").unwrap())
    assert set(more.project) == {"cardio", "everything"}
    assert more.service.access.mask_below == 10


def test_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital.write(tmp_path / "files", 1, pixels=False)
    lake = tmp_path / "hospital" / "lake"
    index([tmp_path / "files"], lake, workers=1)
    (lake / "dicomlake.toml").write_text("[project.cardio]\nfilter = \"Modality = 'CT'\"\n")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, line


ROWS = {
    "counts": May.COUNT, "rows": May.READ, "SQL": May.SQL, "fetch documents": May.FETCH,
    "store objects": May.STORE, "status": May.WATCH, "audit log": May.AUDIT, "pause": May.OPERATE,
    "whose": May.REIDENTIFY,
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_the_table_of_roles_is_true(what: str) -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith("|") and what in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
    allowed = [ROWS[what] in ALLOWED[role] for role in Role]
    assert [bool(cell) for cell in cells] == allowed
