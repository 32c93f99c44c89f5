"""The README and the docs say what is true: their commands and examples run."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dicomlake import settings, tables
from dicomlake.cli import main
from dicomlake.testing import hospital
from dicomlake.testing.archives import Orthanc

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACS_PAGE = (ROOT / "docs" / "pacs.md").read_text(encoding="utf-8")
_BEFORE, PACS, _AFTER = re.split(r"## Connect your PACS\n|(?<=\n)## Open the lake", README)
FILES_ALONE = _BEFORE + "## Open the lake" + _AFTER


def blocks(language: str, text: str = FILES_ALONE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run("dicomlake demo hospital")
    return place


def run(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "dicomlake"
    with pytest.raises(SystemExit) as stopped:
        main(words[1:])
    assert stopped.value.code == 0, line


def test_every_command_of_the_readme_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(lines) >= 10
    for line in lines:
        if line.startswith("dicomlake "):
            run(line)
        else:
            subprocess.run(line, shell=True, check=True, cwd=folder)
        assert "Traceback" not in capsys.readouterr().err
    assert (folder / "thin-ct" / "dataset.json").is_file()
    assert (folder / "thin.csv").read_text().startswith('"PatientID"')


def test_every_python_block_of_the_readme_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    found = blocks("python")
    assert len(found) == 4
    for block in found:
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.service
def test_your_pacs_is_connected_word_by_word(
    orthanc_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (configuration,) = blocks("json", PACS)
    allowed = {f"DicomAlwaysAllow{what}": False for what in ("Find", "Get", "Move")}
    options = {**allowed, **json.loads(configuration)}
    hospital.write(tmp_path / "hospital" / "archive", 40)  # what the demo writes
    with Orthanc(tmp_path / "orthanc", options=options, http=8042, dicom=4242) as orthanc:
        for kind, block in re.findall(r"```(sh|toml)\n(.*?)```", PACS, re.DOTALL):
            if kind == "toml":
                with (tmp_path / "lake" / settings.FILE).open("a") as file:
                    file.write(block)
                continue
            for line in block.splitlines():
                _typed(line, tmp_path)
        assert len(orthanc.get("/instances")) > 1000
        for block in blocks("sh", PACS_PAGE):
            _typed(block.strip(), tmp_path)
        monkeypatch.chdir(tmp_path)
        for block in blocks("python", PACS_PAGE):
            exec(compile(block, "pacs.md", "exec"), {})
    found = settings.read(tmp_path / "lake")
    assert [entry.what for entry in found.schedule] == ["yesterday", "legacy"]
    assert (tmp_path / "missing.csv").read_text().startswith('"source"')


def _typed(line: str, folder: Path) -> None:
    """Run a line in a shell, in a folder; a worker is stopped as somebody at a terminal does."""
    scripts = folder / "bin"
    if not scripts.exists():
        scripts.mkdir()
        script = f"#!{sys.executable}\nfrom dicomlake.cli import main\nmain()\n"
        (scripts / "dicomlake").write_text(script)
        (scripts / "dicomlake").chmod(0o755)
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if line == "dicomlake worker":
        time.sleep(6)
        process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, f"{line}\n{said}"
    assert "Traceback" not in said, f"{line}\n{said}"
    if "pull" in line:
        assert re.search("[1-9][0-9]* series", said), f"{line}\n{said}"


def test_the_settings_of_the_docs_are_settings(tmp_path: Path) -> None:
    whole, *_ = blocks("toml", PACS_PAGE)
    (tmp_path / settings.FILE).write_text(whole)
    found = settings.read(tmp_path)
    assert set(found.source) == {"pacs", "web", "bucket", "disk"}
    for model in (settings.Source, settings.Limits, settings.Tls, settings.ListenerSettings):
        for name in model.model_fields:
            assert re.search(rf"\b{name}\b", PACS_PAGE), f"docs/pacs.md does not explain {name}"
    for model in (settings.CacheSettings, settings.QueueSettings, settings.Schedule):
        for name in model.model_fields:
            assert re.search(rf"\b{name}\b", PACS_PAGE), f"docs/pacs.md does not explain {name}"


def test_both_commands_stand_at_the_top() -> None:
    top = README.splitlines()[:12]
    assert any("make run" in line for line in top)
    assert any("make test" in line for line in top)


def test_the_page_of_tables_is_made_from_the_tables() -> None:
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == tables.markdown()


def test_no_lock_file_names_a_host() -> None:
    for lock in ROOT.glob("*.lock"):
        assert "://" not in lock.read_text(encoding="utf-8")
