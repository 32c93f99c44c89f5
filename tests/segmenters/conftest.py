"""An environment with TotalSegmentator, and weights whose answers are known."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import needed

collect_ignore = ["hu_bands.py"]
"""It runs where torch is, in a process of its own."""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def segment_python() -> Path:
    """The Python of DICOMLAKE_SEGMENT_PYTHON, or of the environment that `make segment` builds."""
    said = os.environ.get("DICOMLAKE_SEGMENT_PYTHON")
    found = Path(said) if said else ROOT / ".venv-segment" / "bin" / "python"
    if not found.exists():
        needed(f"TotalSegmentator is not installed: there is no {found}. Build it: make segment")
    return found


@pytest.fixture(scope="session")
def bands(segment_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights in which the value of a voxel says what it is; see `hu_bands.py`."""
    folder = tmp_path_factory.mktemp("weights")
    program = Path(__file__).with_name("hu_bands.py")
    numbers = ["297", "298", "291", "292", "293", "294", "295"]
    subprocess.run([segment_python, program, folder, *numbers], check=True)
    return folder
