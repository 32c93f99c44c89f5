"""Staging FHIR in several processes, which leave parts in the stage as the one import would.

What a process leaves undone, because it died or was stopped, is staged by the import itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dicomlake.errors import DataError, DicomlakeError
from dicomlake.jobs.clinical.formats.fhir import Fhir, Span
from dicomlake.jobs.clinical.staging import Part, Stage
from dicomlake.jobs.processes import started
from dicomlake.jobs.runs import Run

_PROGRAM = "import sys; from dicomlake.jobs.clinical.parallel import serve; serve(sys.argv[1])"
LEAST = 16 * 1024**2
"""Bytes of files that are worth the start of processes."""
_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class Work:
    """A part to be staged: its key and number, and the files that it is of."""

    key: str
    number: int
    files: tuple[tuple[Path, Span | None], ...]

    @property
    def bytes(self) -> int:
        """How much there is to be read."""
        return sum(
            path.stat().st_size if span is None else span.end - span.begin
            for path, span in self.files
        )


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stage_fhir(
    stage: Stage,
    work: Sequence[Work],
    workers: int,
    issuers: dict[str, str],
    issuer: str,
    run: Run,
) -> None:
    """Stage parts in some processes, each the same amount; KeyboardInterrupt when stopped."""
    left = [one for one in work if not stage.has(one.key)]
    if sum(one.bytes for one in left) < LEAST:
        return
    shares: list[list[Work]] = [[] for _ in range(min(workers, len(left)))]
    for one in sorted(left, key=lambda one: -one.bytes):
        min(shares, key=lambda share: sum(w.bytes for w in share)).append(one)
    said = {"folder": str(stage.folder), "issuers": issuers, "issuer": issuer}
    processes = [
        _start(stage.folder, number, {**said, "work": [_told(one) for one in share]})
        for number, share in enumerate(shares)
    ]
    try:
        while any(process.poll() is None for process in processes):
            run.check()
            time.sleep(0.05)
    finally:
        _end(processes)


def _told(one: Work) -> dict[str, object]:
    files = [(str(path), None if span is None else asdict(span)) for path, span in one.files]
    return {"key": one.key, "number": one.number, "files": files}


def _start(folder: Path, number: int, said: dict[str, object]) -> subprocess.Popen[bytes]:
    path = folder / f"share-{number}.json"
    path.write_text(json.dumps({**said, "parent": os.getpid()}))
    return started(_PROGRAM, str(path))


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve(path: str) -> None:
    """What such a process does, as a file says."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    said = json.loads(Path(path).read_text())

    def check(count: int) -> None:
        if os.getppid() != said["parent"]:
            sys.exit(1)

    stage = Stage(Path(said["folder"]))
    for one in said["work"]:
        with stage.numbered(one["key"], one["number"]) as part:
            for name, span in one["files"] if part is not None else ():
                assert part is not None
                file = Path(name)
                part.begin(file.name, file.as_uri())
                with noting(part, file):
                    reader = Fhir(part, said["issuers"], said["issuer"], check, text_of_pdf)
                    reader.read(file, None if span is None else Span(**span))


@contextlib.contextmanager
def noting(part: Part, path: Path) -> Iterator[None]:
    """Note why a file cannot be read, and go on."""
    try:
        yield
    except (OSError, EOFError) as error:
        part.fail("", f"cannot be read: {getattr(error, 'strerror', '') or 'damaged'}")
    except DicomlakeError as error:
        part.fail("", str(error).replace(str(path), "the file"))


def text_of_pdf(data: bytes) -> str:
    """The text of a PDF; DataError when it cannot be read."""
    from dicomlake.deid.documents.pdf import pages_of

    try:
        return "\n".join(pages_of(data)[0])
    except DicomlakeError as error:
        raise DataError(f"its PDF cannot be read: {error}") from error
