"""Reading in parallel: chunks of files go to processes, which leave Parquet files behind.

Nothing but names and counts crosses between processes. They are started as plain programs, so a
script that indexes needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import queue
import socket
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from dicomlake.contracts import Found, Object, Source
from dicomlake.errors import ServiceError
from dicomlake.jobs.erasure.remembered import Remembered, spared
from dicomlake.jobs.processes import started
from dicomlake.lake.files import new_name, write_parquet
from dicomlake.readers.batch import Batch, rows_of
from dicomlake.readers.contents import ContentsReader
from dicomlake.readers.fold import Folder
from dicomlake.readers.header import HeaderReader

CHUNK_FILES = 768
CHUNK_BYTES = 4 * 1024**3
BATCH_BYTES = 64 * 1024**2
"""Bytes of headers held in memory before they are written."""
ARCHIVE_NUMBERS = 1_000_000
"""Series numbers set aside for one archive, besides one for each of its bytes."""
_AHEAD = 2
"""Chunks a process has at a time, so that it need not wait for the next one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Files that one process reads at a time; `numbers` series are numbered from `first_id`."""

    first_id: int
    numbers: int
    files: list[Found]

    @property
    def archive(self) -> bool:
        """Whether it is an archive."""
        return self.files[0].archive


@dataclass(eq=False, slots=True)
class Part:
    """Files that a process left behind: rows of `series`, and by table those of its children."""

    series: str
    children: dict[str, str]
    waiting: int = 0
    """Series in them that are not committed yet."""
    added: bool = False
    """Whether they belong to the tables by now."""


@dataclass(slots=True)
class Done:
    """What was read of a chunk; `finished` when that was the last of it.

    `index`: SeriesInstanceUID, series_id and number of instances of the series in `part`.
    `erased`: objects of erased patients, which were left out.
    """

    part: Part | None = None
    index: list[tuple[str, int, int]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    objects: int = 0
    finished: bool = False
    erased: int = 0


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
        wanted = sum(ARCHIVE_NUMBERS + f.size if f.archive else 1 for f in held)
        return Chunk(numbers.take(wanted), wanted, list(held))

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


class Worker:
    """Reads chunks, in this process or another, and leaves their rows in the folder `work`."""

    def __init__(self, source: Source, work: Path) -> None:
        self.source, self.work = source, work
        self.reader, self.folder, self.contents = HeaderReader(), Folder(), ContentsReader()
        self.remembered = Remembered(work.parent.parent)  # work lies in a folder of the lake

    def read(self, chunk: Chunk, check: Callable[[], None] = lambda: None) -> Iterator[Done]:
        """What a chunk holds, some hundred objects at a time."""
        batch = Batch(contents=self.contents)
        first, left = chunk.first_id, chunk.numbers
        for found, things in self._opened(chunk.files):
            for thing in things:
                batch.add(found, thing, self.reader)
                if batch.objects >= 2 * CHUNK_FILES or batch.bytes > BATCH_BYTES:
                    used = len(batch.series)
                    yield self._leave(batch, first)
                    batch = Batch(contents=self.contents)
                    first, left = first + used, left - used
                    if found.archive and left < 2 * CHUNK_FILES:
                        batch.fail(found, found.uri, "read", "too many objects in one archive")
                        break
                try:
                    check()
                except KeyboardInterrupt:
                    yield self._leave(batch, first)
                    raise
        done = self._leave(batch, first)
        done.finished = True
        yield done

    def _opened(self, files: list[Found]) -> Iterator[tuple[Found, Iterator[Object]]]:
        """Things found and the objects in them; a source may have the next ones ready by then."""
        ahead = getattr(self.source, "ahead", None)
        opened = ahead(files) if ahead else ((found, self._open(found)) for found in files)
        for found, things in opened:
            yield found, _guarded(found, things)

    def _open(self, found: Found) -> Iterator[Object]:
        yield from self.source.open(found)

    def _leave(self, batch: Batch, first_id: int) -> Done:
        """Write a batch to files that are not part of the tables yet."""
        done = Done(failures=batch.failures, files=batch.files, objects=batch.objects)
        if batch.series:
            rows = rows_of(batch, self.reader, self.folder, first_id)
            rows, gone, done.erased = spared(rows, self.remembered)
            done.objects -= done.erased
            done.files = [f for f in done.files if f.get("SeriesInstanceUID") not in gone]
        if batch.series and rows.series.num_rows:
            children = {name: new_name() for name in rows.children}
            done.part = Part(f"series-{first_id}.parquet", children)
            done.part.waiting = rows.series.num_rows
            for name, file in children.items():
                write_parquet(self.work / file, name, rows.children[name])
            write_parquet(self.work / done.part.series, "series", rows.series)
            picked = rows.series.select(["SeriesInstanceUID", "series_id", "instances"])
            done.index = [tuple(row.values()) for row in picked.to_pylist()]
        self.reader.forget()
        return done


def _guarded(found: Found, things: Iterator[Object]) -> Iterator[Object]:
    """The objects in one thing found, and a problem where the source fails.

    ServiceError passes: the source as a whole is away, which says nothing about its objects.
    """
    try:
        yield from things
    except ServiceError:
        raise
    except Exception as error:  # noqa: BLE001 - damage in one file must not stop a run
        why = f"cannot be read ({type(error).__name__})"
        yield Object(found.uri, 0, 0, lambda offset, length: b"", why)


def read_all(
    source: Source,
    work: Path,
    todo: Iterable[Chunk],
    workers: int,
    check: Callable[[], None],
) -> Iterator[tuple[Chunk, Done]]:
    """Read chunks in several processes; what is done comes back in any order.

    `check` may raise to stop. ServiceError when a process died.
    """
    if workers == 1 or type(source).__module__ == "__main__" or not sys.executable:
        worker = Worker(source, work)
        for chunk in todo:
            for done in worker.read(chunk, check):
                yield chunk, done
            check()
        return
    processes: list[_Process] = []
    try:
        yield from _rounds(processes, lambda: _Process(source, work), iter(todo), workers, check)
    finally:
        for process in processes:
            process.stop()


def _rounds(
    processes: list[_Process],
    start: Callable[[], _Process],
    todo: Iterator[Chunk],
    workers: int,
    check: Callable[[], None],
) -> Iterator[tuple[Chunk, Done]]:
    following = next(todo, None)
    while True:
        while following is not None:
            process = _free(processes, following)
            if process is None or (process.chunks and len(processes) < workers):
                if len(processes) == workers:
                    break
                process = start()
                processes.append(process)
            process.give(following)
            following = next(todo, None)
        busy: dict[Any, _Process] = {p.connection: p for p in processes if p.chunks}
        if not busy:
            return
        for connection in wait(list(busy), 0.5):
            yield busy[connection].take()
        check()


def _free(processes: list[_Process], chunk: Chunk) -> _Process | None:
    """The process that has least to do and may take a chunk; archives wait behind nothing."""
    free = [
        p
        for p in processes
        if not p.chunks
        or (len(p.chunks) < _AHEAD and not chunk.archive and not p.chunks[0].archive)
    ]
    return min(free, key=lambda p: len(p.chunks), default=None)


_PROGRAM = "import sys; from dicomlake.jobs.reading import serve; serve(int(sys.argv[1]))"


class _Process:
    """A reading process, seen from the one that started it; `chunks` are those it has."""

    def __init__(self, source: Source, work: Path) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = started(_PROGRAM, str(theirs.fileno()), [theirs.fileno()])
        finally:
            theirs.close()
        self.connection = Connection(ours.detach())
        self.chunks: deque[Chunk] = deque()
        self._send((source, work, os.getpid()))

    def give(self, chunk: Chunk) -> None:
        """Let it read a chunk after those it has."""
        self.chunks.append(chunk)
        self._send(chunk)

    def _send(self, thing: Any) -> None:
        try:
            self.connection.send(thing)
        except OSError as error:
            raise self._died() from error

    def take(self) -> tuple[Chunk, Done]:
        """What it has read; waits for it."""
        try:
            done = self.connection.recv()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise self._died() from error
        if not isinstance(done, Done):
            raise ServiceError(f"Reading stopped: {done}. What was committed is safe.")
        chunk = self.chunks[0]
        if done.finished:
            self.chunks.popleft()
        return chunk, done

    def _died(self) -> ServiceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        how = self._process.returncode
        return ServiceError(
            f"A reading process died (exit status {how}; out of memory?). What was committed is "
            "safe; start the same command again, with fewer workers if it happens again."
        )

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.connection.close()
        self._process.kill()
        self._process.wait()


def serve(handle: int) -> None:
    """What a reading process does: read the chunks that come until the parent is gone."""
    connection = Connection(handle)
    source, work, parent = connection.recv()
    inbox: queue.SimpleQueue[Chunk] = queue.SimpleQueue()

    def listen() -> None:
        with contextlib.suppress(OSError, EOFError):
            while os.getppid() == parent:
                if connection.poll(1):
                    inbox.put(connection.recv())
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    worker = Worker(source, work)
    gc.freeze()  # what a process imports never becomes garbage, and reading makes no cycles
    gc.set_threshold(100_000, 20, 100)
    try:
        while True:
            for done in worker.read(inbox.get()):
                connection.send(done)
    except BrokenPipeError:
        return
    except ServiceError as error:
        with contextlib.suppress(OSError):
            connection.send(str(error).rstrip("."))
    except Exception as error:  # noqa: BLE001 - the parent says it
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        with contextlib.suppress(OSError):
            connection.send(f"{type(error).__name__} in {where}")
