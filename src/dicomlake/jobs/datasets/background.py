"""Datasets that are made beside other work, by processes of their own.

They go on when the one who began them ends; `cancel` of their ledger stops them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
from pathlib import Path

from dicomlake.jobs.datasets.ledger import Ledger, folder_of

_PROGRAM = "from dicomlake.cli import main; import sys; main(sys.argv[1:])"
_begun: list[subprocess.Popen[bytes]] = []


@atexit.register
def _leave() -> None:
    """Let what was begun go on without us."""
    for one in _begun:
        if one.poll() is None:
            one.returncode = 0


def start(
    lake: str | Path, name: str, workers: int = 1, *, without: bool = False, again: bool = False
) -> None:
    """Have a dataset made that was planned or stopped; UsageError when somebody makes it now."""
    with contextlib.closing(Ledger(lake, name)) as ledger, ledger.lock():
        ledger.uncancel()
        ledger.note_job(state="waiting", why="")
    command = [sys.executable, "-c", _PROGRAM, "dataset", "resume", name, "--lake", str(lake)]
    command += ["--workers", str(workers)]
    command += ["--without"] if without else []
    command += ["--again"] if again else []
    paths = os.pathsep.join(path for path in sys.path if path)
    with (folder_of(lake, name) / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
    _begun[:] = [one for one in _begun if one.poll() is None]  # what has ended is buried
    _begun.append(process)


def busy(lake: str | Path, name: str) -> bool:
    """Whether a dataset is being made, or about to be."""
    return any(
        one.poll() is None and isinstance(one.args, list) and name in one.args
        and str(lake) in one.args for one in _begun
    )  # fmt: skip
