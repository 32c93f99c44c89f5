"""New alarms told as they come: after every change of the lake, in a process of its own.

Finding alarms takes a while on a large lake, and whoever takes objects in must not wait for it.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

from dicomlake.errors import DicomlakeError, LakeError
from dicomlake.jobs.processes import started
from dicomlake.lake import Store
from dicomlake.settings import Settings

log = logging.getLogger(__name__)

EVERY_S = 60.0
"""So often it is looked whether the lake has changed, and tried again what went wrong."""
_PROGRAM = "from dicomlake.jobs.dose.calling import work; work()"


class Caller:
    """Tells of new alarms of a lake whose settings say whom; does nothing where they do not."""

    def __init__(self, lake: Path, found: Settings, every_s: float = EVERY_S) -> None:
        self._lake, self._every_s = lake, every_s
        self._on = found.dose.webhook is not None
        self._told = -1
        self._telling = -1
        self._looked = -every_s
        self._process: subprocess.Popen[bytes] | None = None

    def tick(self) -> None:
        """Begin to tell where the lake has changed; never waits."""
        if not self._on or not self._ended() or time.monotonic() - self._looked < self._every_s:
            return
        self._looked = time.monotonic()
        try:
            version = Store(self._lake).version
        except LakeError:
            return  # not made yet
        if version == self._told:
            return
        self._telling = version
        self._process = started(_PROGRAM, str(self._lake))

    def _ended(self) -> bool:
        """Whether nothing is being told now; what was told is noted."""
        if self._process is None:
            return True
        status = self._process.poll()
        if status is None:
            return False
        self._process = None
        if status == 0:
            self._told = self._telling
        return True

    def stop(self) -> None:
        """End what is going on: it is told the next time."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


def work() -> None:
    """What the process does: tell, once; its status is 1 where that was in vain."""
    from dicomlake.engines.duck import DuckEngine
    from dicomlake.jobs.dose.telling import tell

    lake = Path(sys.argv[1])
    try:
        tell(lake, DuckEngine(Store(lake)))
    except DicomlakeError as error:
        log.warning("alarms of dose cannot be told", extra={"why": str(error)})
        sys.exit(1)
