"""Indexing: from a source to a lake, in parallel, resumable at any moment."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomlake.contracts import Progress, Source
from dicomlake.errors import ServiceError
from dicomlake.jobs.contents import outdated, read_again
from dicomlake.jobs.door.entrance import door_at, made
from dicomlake.jobs.door.sources import DoorSource
from dicomlake.jobs.ledger import Ledger
from dicomlake.jobs.reading import chunks, read_all
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.tidy import tidy
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.jobs.writing import Writer
from dicomlake.lake import Store
from dicomlake.lake.compaction import delete, leftovers
from dicomlake.lake.store import WORK
from dicomlake.readers.contents import ContentsReader
from dicomlake.sources.folder import FolderSource

COMMIT_EVERY_S = 20.0
COMMIT_AT = 20_000
"""Series that seem complete are committed after so many seconds or instances read."""

Paths = str | Path | Sequence[str | Path]


@dataclass(slots=True)
class Report:
    """What a run of indexing did.

    `counts`: files found, of these unchanged and changed; vanished; objects that are new in the
    lake or were read again; series new or changed; and files by state (not DICOM, DICOMDIR,
    duplicate, archive), those inside archives too. `lake`: patients, studies, series, instances,
    failures of the whole lake; `failures`: reasons and how often.
    """

    run_id: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    lake: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Options:
    workers: int | None
    prune: bool
    retry_failures: bool


def index(
    paths: Paths | Source,
    lake: str | Path | Store,
    *,
    workers: int | None = None,
    prune: bool = False,
    retry_failures: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Bring a lake up to date with folders, files and archives, or with any other source.

    Unchanged files are not read again. Files that vanished are counted; with `prune` what they
    held leaves the lake. Stopped at any moment and started again, the lake ends as if it had never
    been stopped. UsageError when a path does not exist or another process is writing.
    """
    source = _source(paths)
    store = lake if isinstance(lake, Store) else made(lake)
    if (door := door_at(store)) is not None:
        source = DoorSource(source, door)
    options = _Options(workers, prune, retry_failures)
    began = time.monotonic()
    with store.lock():
        what = {"source": source.name, "prune": prune, "retry_failures": retry_failures}
        with running(store, "index", what, progress) as run:
            report = Report(run.run_id)
            delete(leftovers(store))
            work = store.path / WORK / run.run_id
            work.mkdir(parents=True)
            try:
                _index(source, store, run, work, report, options)
            finally:
                run.counts = {**report.counts, "failures": sum(report.failures.values())}
                shutil.rmtree(work, ignore_errors=True)
        report.lake = totals(store)
    report.seconds = time.monotonic() - began
    return report


def _source(paths: Paths | Source) -> Source:
    if isinstance(paths, str | Path):
        return FolderSource((str(paths),))
    return FolderSource(tuple(map(str, paths))) if isinstance(paths, Sequence) else paths


def _index(
    source: Source, store: Store, run: Run, work: Path, report: Report, options: _Options
) -> None:
    readers = ContentsReader()
    if outdated(store, readers):  # so that old and new objects are read alike
        if store.files("series"):
            read_again(store, run, readers)
        store.note_content_readers(readers.versions)
    ledger = Ledger(store, work)
    try:
        ledger.scan(source, run)
        roots: list[str] = getattr(source, "roots", list)()
        report.counts |= ledger.compare(roots, again=options.retry_failures, prune=options.prune)
        store.remove("failures", "uri", ledger.noted("failure"))
        store.remove("files", "uri", ledger.noted("file"))
        todo = report.counts["files"] - report.counts["unchanged"]
        run.progress.stage("reading", todo, "files")
        workers = 1 if ledger.few() else options.workers or _processors()
        writer = Writer(store, ledger, run, work, source.name, quiet=2 * workers + 2)
        try:
            _read(source, writer, ledger, work, workers)
            writer.finish()
        except (KeyboardInterrupt, ServiceError):
            writer.commit(everything=True)
            raise
        finally:
            report.counts |= writer.counts
            report.failures = dict(writer.reasons.most_common())
    finally:
        ledger.close()
    tidy(store, run.progress)
    rebuild(store, progress=run.progress)


def _processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(source: Source, writer: Writer, ledger: Ledger, work: Path, workers: int) -> None:
    """Read what is to be read, and commit now and then."""
    run = writer.run
    last, before = time.monotonic(), 0
    todo = chunks(ledger.todo(), writer.numbers)
    for chunk, done in read_all(source, work, todo, workers, run.check):
        writer.take(chunk, done)
        if done.finished:
            run.progress.advance(len(chunk.files))
        if writer.pending - before > COMMIT_AT or time.monotonic() - last > COMMIT_EVERY_S:
            writer.commit()
            last, before = time.monotonic(), writer.pending
    run.progress.stage("writing")


def totals(store: Store) -> dict[str, int]:
    """Patients, studies, series, instances and failures of a lake."""
    with store.database() as db:
        rows: Any = db.execute(
            "select count(distinct patient_key), count(distinct study_key), count(*), "
            "coalesce(sum(instances), 0)::bigint, (select count(*) from failures) from series"
        ).fetchall()
    names = ("patients", "studies", "series", "instances", "failures")
    return dict(zip(names, rows[0], strict=True))
