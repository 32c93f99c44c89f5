"""De-identification: dicomlake and its peers on one corpus of planted secrets, one judge for all.

The peers are installed by pip, each into an environment of its own below DICOMLAKE_BENCH_CACHE
(else the user's cache).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from dicomlake.errors import ServiceError
from dicomlake.testing.deidbench import running, tools
from dicomlake.testing.deidbench.page import columns

Rows = list[tuple[str, ...]]


def there() -> list[str]:
    """dicomlake, and the tools that could be installed."""
    found = [running.OURS]
    for name, tool in tools.TOOLS.items():
        try:
            tools.python_of(tool)
        except ServiceError as error:
            print(f"{name} is left out: {error}")
            continue
        found.append(name)
    return found


def measure(patients: int) -> tuple[tuple[str, ...], Rows]:
    """A row for each measure, a column for each tool."""
    with tempfile.TemporaryDirectory() as place:
        told = running.run(Path(place) / "bench", there(), patients=patients, thorough=False)
    values = {name: dict(columns(one)) for name, one in told["tools"].items()}
    names = list(dict.fromkeys(name for held in values.values() for name in held))
    rows = [(name, *(held.get(name, "") for held in values.values())) for name in names]
    return ("", *values), rows
