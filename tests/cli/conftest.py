"""The command line, run in the folder `place` of a test module, on a screen of `columns`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dicomlake.cli import main

Run = Callable[..., tuple[int, str, str]]
"""Words of a command -> exit code, standard output, standard error."""


@pytest.fixture
def columns() -> int:
    return 200


@pytest.fixture
def run(
    place: Path,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> Run:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", str(columns))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(list(words))
        out, err = capsysbinary.readouterr()
        return int(stopped.value.code or 0), out.decode(), err.decode()

    return run
