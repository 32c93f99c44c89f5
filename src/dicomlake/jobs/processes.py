"""Processes of our own that work beside the one that starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable


def started(program: str, said: str, files: Iterable[int] = ()) -> subprocess.Popen[bytes]:
    """A Python process that runs `program` with `said` as its argument, and imports as this one.

    `files`: descriptors that it inherits. Ctrl-C in a terminal reaches all processes; started with
    it blocked, ours leave it to the one that started them.
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        return subprocess.Popen(
            [sys.executable, "-c", program, said],
            stdin=subprocess.DEVNULL,
            pass_fds=[*files],
            env={**os.environ, "PYTHONPATH": paths},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
