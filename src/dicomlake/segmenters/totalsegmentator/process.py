"""The process of TotalSegmentator as its parent sees it: started, given jobs, watched, ended.

One job at a time. A process that dies, needs too much memory or takes too long is ended, and its
job is tried once more by a new one. What it writes lies in a folder that only its parent removes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomlake.errors import DataError, ServiceError
from dicomlake.segmenters.totalsegmentator import worker

log = logging.getLogger(__name__)

START_S = 300.0
"""How long a process may take until it is ready: torch is large."""
_LOOK_S = 0.25
_PROGRAM = Path(worker.__file__)


class Ended(Exception):
    """The process ended, or had to be ended; says why, in words."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may use: seconds for a job, bytes of memory, processors, jobs until it is new.

    `slab`: bytes that the results of a network may have before a volume is cut into slabs, of so
    many slices, with so many around them.
    """

    job_s: float = 1800.0
    memory: int = 16 << 30
    slab: tuple[int, int, int] = (4 << 30, worker.THICK, worker.MARGIN)
    threads: int = 0
    jobs: int = 50


class Process:
    """Jobs of TotalSegmentator, one after another."""

    def __init__(
        self,
        python: Path,
        weights: Path,
        files: Mapping[str, str],
        device: str = "gpu",
        limits: Limits | None = None,
    ) -> None:
        self._python, self._weights, self._files = python, weights, dict(files)
        self._device, self._limits = device, limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None
        self._done = 0
        self.starts = 0
        self.last: dict[str, Any] = {}
        """What the process said of its last job."""

    @property
    def pid(self) -> int | None:
        """The process, when there is one."""
        return None if self._process is None else self._process.pid

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for one job, which nobody else may read and which does not stay."""
        made = Path(tempfile.mkdtemp(prefix="dicomlake-segment-"))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def run(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a job; DataError when it failed twice, ServiceError when none can be done.

        What the process wrote into the folder of the job before it ended is written anew.
        """
        why = ""
        for _ in range(2):
            try:
                return self._try(job)
            except Ended as ended:
                why = str(ended)
                log.warning("the segmenter was ended", extra={"why": why})
        raise DataError(f"the segmenter gave up twice: {why}")

    def _try(self, job: Mapping[str, Any]) -> dict[str, Any]:
        if self._process is None or self._done >= self._limits.jobs:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        line = json.dumps({**job, "device": self._device}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError:
            raise self._ended("it ended") from None
        self._done += 1
        found = self._answer(self._limits.job_s)
        if "unfit" in found:
            self.close()
            raise ServiceError(
                f"TotalSegmentator cannot work: {found['unfit']}. "
                "Install its weights again with: dicomlake segmenter install DIR"
            )
        if found.get("error") == "MemoryError":
            raise self._ended("it needs more memory than it may have")
        if "error" in found:
            self.close()  # who knows what state it is in
            raise DataError(f"the segmenter could not do it ({found['error']})")
        self.last = found
        return found

    def _start(self) -> None:
        self.close()
        self._home = Path(tempfile.mkdtemp(prefix="dicomlake-segmenter-"))
        said = {
            "weights": str(self._weights),
            "files": self._files,
            "home": str(self._home / "home"),
            "device": self._device,
            "memory": self._limits.memory,
            "slab": self._limits.slab,
            "threads": self._limits.threads or processors(),
        }
        noisy = None if os.environ.get("DICOMLAKE_SEGMENTER_DEBUG") else subprocess.DEVNULL
        self._process = subprocess.Popen(
            [str(self._python), str(_PROGRAM), "work", json.dumps(said)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noisy,
            env={**os.environ, "TMPDIR": str(self._home)},
            start_new_session=True,
        )
        self._done = 0
        self.starts += 1
        try:
            found = self._answer(START_S)
        except Ended as ended:
            raise ServiceError(
                f"TotalSegmentator does not start: {ended}. See: dicomlake segmenter status"
            ) from None
        if not found.get("ready"):
            self.close()
            why = found.get("unfit") or found.get("error") or "it says nothing"
            raise ServiceError(
                f"TotalSegmentator does not start ({why}). See: dicomlake segmenter status"
            )
        log.info("the segmenter is ready", extra={"without_network": bool(found.get("cut"))})

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The next line that the process says; Ended when it does not say any."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        until = time.monotonic() + seconds
        held = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(_LOOK_S):
                    part = os.read(process.stdout.fileno(), 65536)
                    if not part:
                        raise self._ended("it was killed, or ended")
                    held += part
                    if held.endswith(b"\n"):
                        found: dict[str, Any] = json.loads(held)
                        return found
                if time.monotonic() > until:
                    raise self._ended(f"it took longer than {seconds:.0f} s")
                if memory_of(process.pid) > self._limits.memory:
                    raise self._ended("it needs more memory than it may have")

    def _ended(self, why: str) -> Ended:
        self.close()
        return Ended(why)

    def close(self) -> None:
        """End the process, and remove what it left."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None


def processors() -> int:
    """Processors that this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_of(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
