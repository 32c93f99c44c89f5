"""The page about ECG files is true: its program runs, its codes and limits are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dicomlake.converters.ecg import EcgConverter, recording, sierra, waveform
from dicomlake.converters.ecg.codes import measures
from dicomlake.converters.ecg.objects import CREATOR

PAGE = (Path(__file__).parents[1] / "docs" / "convert-ecg.md").read_text("utf-8")


def test_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, "convert-ecg.md", "exec"), names)
    assert "wave" in names


def test_codes_are_those_of_reports() -> None:
    told = set(re.findall(r"`(MDC:2:\d+|LN:8867-4)`", PAGE))
    assert told == {f"{code.scheme}:{code.value}" for code, _ in measures().values()}


def test_formats_groups_and_limits_are_those_of_the_code() -> None:
    assert re.findall(r"^\| `([a-z]+)` \| ", PAGE, re.MULTILINE) == list(EcgConverter.formats)
    for label in (recording.RHYTHM, recording.MEDIAN, recording.DERIVED):
        assert f"| `{label}` |" in PAGE
    assert f"{recording.MOST_SAMPLES:,} samples, {recording.MOST_LEADS} leads" in PAGE
    assert (
        f"{waveform._LONGEST:,} samples at most, {waveform._SLOWEST} to {waveform._FASTEST} Hz"
        in PAGE
    )
    assert f"{waveform._MOST} channels at most" in PAGE
    assert ", ".join(sierra.VERSIONS) in PAGE
    assert f"`{CREATOR}`" in PAGE
