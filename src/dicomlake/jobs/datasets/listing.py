"""The datasets of a lake, and what is to be said of each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dicomlake.jobs.datasets.ledger import Ledger, names
from dicomlake.jobs.datasets.making import RUNNING, STOPPED, Report, report_of

MOST_REASONS = 200


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset: when it was asked for, of which cohort, what was wanted, and how far it is."""

    name: str
    made: str
    cohort: str
    version: int | None
    wanted: dict[str, Any]
    report: Report
    about: dict[str, Any]
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Details(Dataset):
    """With why what is not there: by check or kind, in words, and how many."""

    quarantine: tuple[tuple[str, str, int], ...] = ()
    failed: tuple[tuple[str, str, int], ...] = ()
    notes: tuple[tuple[str, str, int], ...] = ()


def listed(lake: str | Path) -> list[Dataset]:
    """All datasets of a lake, the newest first."""
    found = []
    for name in names(lake):
        with contextlib.closing(Ledger(lake, name)) as ledger:
            found.append(Dataset(name, **_said(ledger)))
    return sorted(found, key=lambda one: (one.made, one.name), reverse=True)


def details(lake: str | Path, name: str) -> Details:
    """A dataset with its quarantine; UsageError when there is none of that name."""
    with contextlib.closing(Ledger(lake, name)) as ledger:

        def counted(statement: str) -> tuple[tuple[str, str, int], ...]:
            rows = ledger.rows(f"{statement} group by 1, 2 order by 3 desc limit {MOST_REASONS}")
            return tuple((row[0], row[1], row[2]) for row in rows)

        of = 'select "check", why, count(*) from objects where state ='
        return Details(
            name,
            **_said(ledger),
            quarantine=counted(f"{of} 'quarantined'"),
            failed=counted(f"{of} 'failed'"),
            notes=counted("select kind, why, count(distinct series) from notes"),
        )


def _said(ledger: Ledger) -> dict[str, Any]:
    job, report = ledger.job, report_of(ledger)
    if report.state == RUNNING and not ledger.running:
        report = replace(report, state=STOPPED, why="It ended in the middle; resume goes on.")
    return {
        "made": job["made"], "cohort": job["cohort"], "version": job["version"],
        "wanted": job["wanted"], "report": report, "about": job.get("about", {}),
        "forgotten": sum(one["instances"] for one in job.get("forgotten", [])),
    }  # fmt: skip
