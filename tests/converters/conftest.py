from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomlake.contracts.converters import Asked
from dicomlake.testing.dicom import uid


@pytest.fixture
def ask() -> Callable[..., Asked]:
    """Makes what a converter is asked with, UIDs as tests know them."""

    def made(mapping: dict | None = None, **more: object) -> Asked:
        return Asked(lambda *names: uid("test", *names), mapping or {}, **more)

    return made


@pytest.fixture
def faults(tmp_path: Path) -> Callable[[object], list[str]]:
    """What dciodvfy has against an object."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("needs dciodvfy (Debian: dicom3tools)")

    def found(one: object) -> list[str]:
        path = tmp_path / "checked.dcm"
        one.save_as(path, enforce_file_format=True)  # type: ignore[attr-defined]
        done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        return [line for line in done.stderr.splitlines() if line.startswith("Error")]

    return found
