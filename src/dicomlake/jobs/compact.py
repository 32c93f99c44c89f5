"""Compaction: a lake with fewer files that answers the same."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from dicomlake import tables
from dicomlake.contracts import Progress
from dicomlake.jobs.runs import running
from dicomlake.lake import Store, results
from dicomlake.lake.compaction import compact_table, delete, expired, leftovers


@dataclass(slots=True)
class CompactReport:
    """What compaction did: files before and after, rows that nobody could see, bytes freed.

    `leftovers`: files and folders of killed runs; `expired`: files that only old versions needed.
    """

    run_id: str = ""
    files_before: dict[str, int] = field(default_factory=dict)
    files_after: dict[str, int] = field(default_factory=dict)
    rows_dropped: int = 0
    leftovers: int = 0
    expired: int = 0
    bytes_freed: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        before, after = sum(self.files_before.values()), sum(self.files_after.values())
        return (
            f"{before:,} files became {after:,}; {self.rows_dropped:,} rows that nobody could see "
            f"dropped; {self.leftovers:,} leftovers and {self.expired:,} files of old versions "
            f"deleted ({self.bytes_freed / 1e6:,.1f} MB) in {self.seconds:.1f} s"
        )


def compact(
    lake: str | Path,
    *,
    full: bool = False,
    vacuum_hours: float = 168,
    progress: Progress | None = None,
) -> CompactReport:
    """Merge and sort files of a lake, and delete what nobody needs; all answers stay the same.

    `full`: also rewrite files that are large already. Versions older than `vacuum_hours` can no
    longer be read afterwards, those of extractions included. LakeError when somebody else is
    writing.
    """
    began = time.monotonic()
    store = Store(lake)
    report = CompactReport()
    what = {"full": full, "vacuum_hours": vacuum_hours}
    with store.lock(), running(store, "compact", what, progress) as run:
        report.run_id = run.run_id
        run.progress.stage("compacting", len(tables.ALL), "tables")
        swept = leftovers(store)
        report.leftovers, report.bytes_freed = len(swept), delete(swept)
        for name in tables.ALL:
            done = compact_table(store, name, full=full)
            report.files_before[name] = done.files_before
            report.files_after[name] = done.files_after
            report.rows_dropped += done.rows_dropped
            run.progress.advance()
            run.check()
        for name in tables.ALL:
            old = expired(store, name, vacuum_hours)
            report.expired += len(old)
            report.bytes_freed += delete(old)
        old = results.swept(store, vacuum_hours)
        report.expired += len(old)
        report.bytes_freed += delete(old)
        delete(leftovers(store))
        run.counts = {
            "files_before": sum(report.files_before.values()),
            "files_after": sum(report.files_after.values()),
            "rows_dropped": report.rows_dropped,
            "bytes_freed": report.bytes_freed,
        }
    report.seconds = time.monotonic() - began
    return report
