"""The page about pixels is true: commands, Python and rules run; options are all told."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from dicomlake.cli import main
from dicomlake.deid.pixels import Options
from dicomlake.deid.pixels.devices import read
from dicomlake.testing.dicom import encode
from dicomlake.testing.volumes import series
from tests.deid.heads import VALUES, head
from tests.deid.objects import described
from tests.deid.planted import ultrasound, write

PAGE = (Path(__file__).parents[1] / "docs" / "deid-pixels.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_options_are_told_with_their_values() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE, re.MULTILINE))
    for each in fields(Options):
        value = getattr(Options(), each.name)
        wanted = {"True": "true", "()": ""}.get(str(value), str(value))
        assert told[each.name].strip("` ") == wanted, each.name


def test_rules_can_be_read(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    assert len(read(file)) == 2


def test_commands_and_python_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rapidocr_onnxruntime", exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    pixels = ultrasound(5, 400, 300)
    write(pixels, (10, 8), "MUELLER ANNA", 16, (230, 10))
    Path("image.dcm").write_bytes(encode(described(pixels)))
    Path("archive").mkdir()
    for at, data in enumerate(series(head().volume(VALUES), BodyPartExamined="HEAD")):
        Path("archive", f"{at}.dcm").write_bytes(data)
    Path("project.key").write_text("k" * 40)
    for line in "".join(blocks("sh")).splitlines():
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert not stopped.value.code, line
    for code in blocks("python"):
        exec(compile(code, "deid-pixels.md", "exec"), {})
    assert "Searched for text: " in capsys.readouterr().out
    assert len(list(Path("review").iterdir())) == 2
    assert len(list(Path("harmless").rglob("*.dcm"))) == 94
