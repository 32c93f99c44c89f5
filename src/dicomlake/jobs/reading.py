"""Reading in parallel: chunks of files go to processes, which leave Parquet files behind.

Nothing but names and counts crosses between processes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomlake.contracts import Found, Progress, Source
from dicomlake.errors import ServiceError
from dicomlake.lake.store import Store, write_parquet
from dicomlake.readers.batch import Batch, rows_of
from dicomlake.readers.fold import Folder
from dicomlake.readers.header import HeaderReader

CHUNK_FILES = 768
CHUNK_BYTES = 4 * 1024**3
ARCHIVE_NUMBERS = 1_000_000
"""Series numbers set aside for one archive, which may hold as many objects."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Files that one process reads at a time; its series are numbered from `first_id`."""

    first_id: int
    files: list[Found]


@dataclass(frozen=True, slots=True)
class Part:
    """What a process left behind: file names in the tables, and which series are in them."""

    instances: str
    elements: str
    series: str
    index: list[tuple[str, int, int]]
    """SeriesInstanceUID, series_id, instances"""


@dataclass(slots=True)
class Done:
    """A chunk that was read."""

    chunk: Chunk
    parts: list[Part] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    objects: int = 0


@dataclass(slots=True)
class Numbers:
    """Deals out series numbers, each once."""

    next: int

    def take(self, count: int) -> int:
        """The first of `count` numbers in a row."""
        first = self.next
        self.next += count
        return first


def chunks(found: Iterable[Found], numbers: Numbers) -> Iterator[Chunk]:
    """Files in chunks, cut where a folder ends when that is near; an archive is one of its own."""
    held: list[Found] = []
    size = 0
    folder = ""

    def chunk() -> Chunk:
        wanted = sum(ARCHIVE_NUMBERS if f.archive else 1 for f in held)
        return Chunk(numbers.take(wanted), list(held))

    for file in found:
        here = file.uri.rpartition("/")[0]
        full = len(held) >= CHUNK_FILES or size >= CHUNK_BYTES
        apart = file.archive or (held and held[-1].archive)
        if held and (apart or (full and here != folder) or len(held) >= 2 * CHUNK_FILES):
            yield chunk()
            held, size = [], 0
        held.append(file)
        size += file.size
        folder = here
    if held:
        yield chunk()


class _Worker:
    """The state of one reading process."""

    def __init__(self, source: Source, lake: Path, work: Path) -> None:
        self.source, self.lake, self.work = source, Store(lake), work
        self.reader, self.folder = HeaderReader(), Folder()

    def read(self, chunk: Chunk) -> Done:
        done = Done(chunk)
        batch, first_id = Batch(), chunk.first_id
        for found in chunk.files:
            for thing in self.source.open(found):
                batch.add(found, thing, self.reader)
                if batch.objects >= 2 * CHUNK_FILES:
                    first_id += self._leave(batch, first_id, done)
                    batch = Batch()
        self._leave(batch, first_id, done)
        return done

    def _leave(self, batch: Batch, first_id: int, done: Done) -> int:
        """Write a batch into the tables' folders, not yet part of them; how many series it has."""
        done.failures += batch.failures
        done.files += batch.files
        done.objects += batch.objects
        if batch.series:
            rows = rows_of(batch, self.reader, self.folder, first_id)
            instances = self.lake.write("instances", rows.instances)
            elements = self.lake.write("elements", rows.elements)
            series = f"series-{first_id}.parquet"
            write_parquet(self.work / series, "series", rows.series)
            picked = rows.series.select(["SeriesInstanceUID", "series_id", "instances"])
            index = [tuple(row.values()) for row in picked.to_pylist()]
            done.parts.append(Part(instances or "", elements or "", series, index))
        self.reader.forget()
        return len(batch.series)


_worker: list[_Worker] = []


def _begin(source: Source, lake: Path, work: Path, parent: int) -> None:
    """Set up a reading process: the parent alone handles Ctrl-C, and its end is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    _worker[:] = [_Worker(source, lake, work)]


def _read(chunk: Chunk) -> Done:
    return _worker[0].read(chunk)


def read_all(
    source: Source,
    lake: Path,
    work: Path,
    todo: Iterable[Chunk],
    workers: int,
    progress: Progress,
) -> Iterator[Done]:
    """Read chunks in several processes; what is done comes back in any order.

    ServiceError when a process died; what was committed by then stays.
    """
    if workers == 1:
        worker = _Worker(source, lake, work)
        for chunk in todo:
            yield worker.read(chunk)
            _check(progress)
        return
    context = multiprocessing.get_context("spawn")
    arguments = (source, lake, work, os.getpid())
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=arguments)
    try:
        yield from _rounds(pool, iter(todo), workers, progress)
    except BrokenProcessPool as error:
        raise ServiceError(
            "A reading process died (out of memory?). What was committed is safe; start the same "
            "command again, with fewer --workers if it happens again."
        ) from error
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            with contextlib.suppress(OSError, AttributeError):
                process.terminate()


def _rounds(
    pool: ProcessPoolExecutor, todo: Iterator[Chunk], workers: int, progress: Progress
) -> Iterator[Done]:
    running: set[Future[Done]] = set()
    while True:
        while len(running) < workers + 1 and (chunk := next(todo, None)) is not None:
            running.add(pool.submit(_read, chunk))
        if not running:
            return
        finished, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
        for future in finished:
            yield future.result()
        _check(progress)


def _check(progress: Progress) -> None:
    if progress.cancelled:
        raise KeyboardInterrupt
