"""Measuring in processes of their own: no measurement is warmed or fattened by another one."""

from __future__ import annotations

import json
import subprocess
import sys


def apart(module: str, *words: object) -> dict[str, float]:
    """What a module of ours prints of itself, as JSON in its last line: seconds, memory, ..."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
