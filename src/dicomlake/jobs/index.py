"""Indexing: from a source to a lake, in parallel, resumable at any moment."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake.contracts import Progress, Silent, Source
from dicomlake.jobs.ledger import Ledger
from dicomlake.jobs.reading import chunks, read_all
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.tidy import tidy
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.jobs.writing import Writer
from dicomlake.lake import Store
from dicomlake.sources.folder import FolderSource, uri_of

COMMIT_EVERY_S = 20.0
COMMIT_AT = 20_000
"""Instances read but not committed at which quiet series are committed."""


@dataclass(slots=True)
class Report:
    """What a run of indexing did.

    `counts`: files, unchanged, changed, vanished, objects, series, and files by state; `lake`:
    patients, studies, series, instances of the whole lake; `failures`: reasons and how often.
    """

    run_id: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    lake: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def index(
    paths: list[str | Path] | Source,
    lake: str | Path,
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
    progress = progress or Silent()
    source: Source = (
        FolderSource(tuple(str(p) for p in paths)) if isinstance(paths, list) else paths
    )
    began = time.monotonic()
    store = Store.create(lake)
    with store.lock():
        what = {"source": source.name, "prune": prune, "retry_failures": retry_failures}
        with running(store, "index", what) as run:
            report = Report(run.run_id)
            work = _work(store)
            try:
                _index(source, store, run, work, report, workers, prune, retry_failures, progress)
            finally:
                run.counts = {**report.counts, "failures": sum(report.failures.values())}
                shutil.rmtree(work, ignore_errors=True)
        report.lake = totals(store)
    report.seconds = time.monotonic() - began
    return report


def _work(store: Store) -> Path:
    """An empty folder for what is only needed while a run lasts."""
    work = store.path / "_work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    return work


def _index(
    source: Source,
    store: Store,
    run: Run,
    work: Path,
    report: Report,
    workers: int | None,
    prune: bool,
    retry_failures: bool,
    progress: Progress,
) -> None:
    workers = workers or len(os.sched_getaffinity(0))
    ledger = Ledger(store, work)
    try:
        ledger.scan(source, progress)
        report.counts.update(ledger.compare(again=retry_failures))
        roots = [uri_of(os.path.realpath(p)) for p in getattr(source, "paths", ())]
        report.counts["vanished"] = ledger.vanished(roots)
        if prune:
            ledger.prune()
        _forget(store, ledger.stale_noted())
        todo = report.counts["files"] - report.counts["unchanged"]
        progress.stage("reading", todo, "files")
        # A few files are read faster than processes start.
        workers = 1 if todo < 200 else workers
        writer = Writer(store, ledger, run, work, source.name, quiet=2 * workers + 2)
        try:
            _read(source, store, writer, ledger, report, work, workers, progress)
        finally:
            progress.stage("writing")
            writer.commit(everything=True)
            report.counts["series"] = writer.series
        writer.finish()
        report.counts["series"] = writer.series
    finally:
        ledger.close()
    progress.stage("tidying")
    tidy(store)
    rebuild(store, progress=progress)


def _read(
    source: Source,
    store: Store,
    writer: Writer,
    ledger: Ledger,
    report: Report,
    work: Path,
    workers: int,
    progress: Progress,
) -> None:
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    last = time.monotonic()
    todo = chunks(ledger.todo(), writer.numbers)
    for done in read_all(source, store.path, work, todo, workers, progress):
        writer.take(done)
        counts["objects"] += done.objects
        counts.update(f"{row['state']}" for row in done.files)
        reasons.update(row["reason"] for row in done.failures)
        report.counts.update(counts)
        report.failures = dict(reasons.most_common())
        progress.advance(len(done.chunk.files))
        if writer.pending > COMMIT_AT or time.monotonic() - last > COMMIT_EVERY_S:
            writer.commit()
            last = time.monotonic()
    report.counts.setdefault("objects", 0)


def _forget(store: Store, uris: list[str]) -> None:
    """Drop notes about files that are about to be read again."""
    if not uris:
        return
    stale = set(uris)
    for name in ("failures", "files"):
        rows = store.read(name)
        keep = [uri not in stale for uri in rows.column("uri").to_pylist()]
        if not all(keep):
            store.overwrite(name, rows.filter(pa.array(keep, pa.bool_())))


def totals(store: Store) -> dict[str, int]:
    """Patients, studies, series, instances and failures of a lake."""
    with store.database() as db:
        rows: Any = db.execute(
            "select count(distinct patient_key), count(distinct study_key), count(*), "
            "coalesce(sum(instances), 0)::bigint, (select count(*) from failures) from series"
        ).fetchall()
    names = ("patients", "studies", "series", "instances", "failures")
    return dict(zip(names, rows[0], strict=True))
