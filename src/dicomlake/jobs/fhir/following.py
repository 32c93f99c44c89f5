"""Continuous publication: a process per target that publishes what comes to the lake.

Each may be killed at any time; the crew starts it again, and it goes on from there.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dicomlake import settings
from dicomlake.contracts import Progress
from dicomlake.errors import DicomlakeError, LakeError, ServiceError
from dicomlake.jobs.fhir.targets import opened
from dicomlake.jobs.processes import started
from dicomlake.settings import Settings

log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""A target that cannot be published to is tried again so often."""
_PROGRAM = "from dicomlake.jobs.fhir.following import work; work()"


def follow(
    lake: str | Path,
    found: Settings,
    target: str,
    stop: Callable[[], bool],
    progress: Progress | None = None,
) -> None:
    """Publish what comes to a lake to a target until `stop`.

    LakeError when somebody else publishes to it already.
    """
    with opened(lake, found, target, progress=progress) as publisher:
        publisher.follow(stop)


class Followers:
    """The processes of the continuous targets of a lake."""

    def __init__(self, lake: Path, found: Settings, log_as: tuple[str, bool]) -> None:
        self._lake, self._log = lake, log_as
        self._targets = [name for name, one in found.fhir.target.items() if one.continuous]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._began: dict[str, float] = {}

    def keep(self) -> None:
        """Start those that are not there, or died; those that ended at once wait a little."""
        for name in self._targets:
            process = self._processes.get(name)
            if process is not None and process.poll() is None:
                continue
            if process is not None:
                log.warning("publishing ended", extra={"target": name, "status": process.poll()})
                del self._processes[name]
            if time.monotonic() - self._began.get(name, -AGAIN_S) >= AGAIN_S:
                self._processes[name] = self._start(name)
                self._began[name] = time.monotonic()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        told = {"lake": str(self._lake), "target": name, "parent": os.getpid(), "log": self._log}
        return started(_PROGRAM, json.dumps(told))

    @property
    def pids(self) -> list[int]:
        """Process ids."""
        return [process.pid for process in self._processes.values()]

    def stop(self) -> None:
        """Ask them to end, and wait for them."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


def work() -> None:
    """What a process does, as its first argument says."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    from dicomlake.log import configure

    configure(told["log"][0], as_json=told["log"][1])
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())

    def orphaned() -> None:
        while os.getppid() == told["parent"]:
            time.sleep(0.5)
        stopped.set()
        time.sleep(20)
        os._exit(1)

    threading.Thread(target=orphaned, daemon=True).start()
    lake, target = Path(told["lake"]), str(told["target"])
    while not stopped.is_set():
        try:
            follow(lake, settings.read(lake), target, stopped.is_set)
        except (ServiceError, LakeError) as error:
            log.warning("publishing waits", extra={"target": target, "why": str(error)})
        except DicomlakeError as error:  # until somebody mends it
            log.error("publishing is not possible", extra={"target": target, "why": str(error)})
        with suppress(KeyboardInterrupt):
            stopped.wait(AGAIN_S)
