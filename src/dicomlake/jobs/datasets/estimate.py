"""How much a dataset will be, and how long it will take, before anything is made."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from dicomlake.jobs.datasets.ledger import Ledger, names
from dicomlake.jobs.datasets.selection import Selection, objects_of, selected
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.lake import Store

OBJECTS_PER_S = {"dicom": 120.0, "nifti": 60.0, "png": 40.0, "waveforms": 400.0, "tables": 300.0}
"""What is done in a second where no dataset of this lake says it."""
SHARE = {"dicom": 1.0, "nifti": 0.45, "png": 0.35, "waveforms": 0.02, "tables": 0.02}
"""Bytes of a format for one byte of the objects, about."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a dataset will hold, about how many bytes it will have, and how long it will take.

    `source_bytes`: of the objects as they lie now; `measured`: the pace is that of earlier datasets
    of this lake.
    """

    patients: int
    studies: int
    series: int
    objects: int
    source_bytes: int
    bytes: int
    seconds: float
    measured: bool
    approved: bool
    cohort: str
    version: int | None

    def __str__(self) -> str:
        about = "at the pace of earlier datasets" if self.measured else "roughly"
        return (
            f"{self.patients:,} patients, {self.studies:,} studies, {self.series:,} series, "
            f"{self.objects:,} objects of {self.source_bytes / 1e6:,.1f} MB; about "
            f"{self.bytes / 1e6:,.1f} MB to write, {self.seconds:,.0f} s {about}"
        )


def estimate(lake: str | Path, wanted: Wanted, workers: int = 1) -> Estimate:
    """What making a dataset would come to; UsageError when there is nothing in it."""
    store = Store(lake)
    chosen = selected(store, wanted)
    objects = source = 0
    for row in objects_of(store, chosen.series):
        objects += 1
        source += row[-1]
    pace = _pace(store.path, wanted.formats)
    seconds = objects / pace if pace else sum(objects / OBJECTS_PER_S[f] for f in wanted.formats)
    return Estimate(
        _count(chosen, "patient_key"), _count(chosen, "StudyInstanceUID"),
        chosen.series.num_rows, objects, source,
        round(source * sum(SHARE[one] for one in wanted.formats)),
        seconds / (1 if pace else max(1, workers)), pace > 0, chosen.approved, chosen.name,
        chosen.version,
    )  # fmt: skip


def _count(chosen: Selection, column: str) -> int:
    return len(set(chosen.series.column(column).to_pylist()))


def _pace(lake: Path, formats: tuple[str, ...]) -> float:
    """Objects per second of the newest dataset with these formats; 0 where there is none."""
    found = (0.0, "")
    for name in names(lake):
        with contextlib.closing(Ledger(lake, name)) as ledger:
            job = ledger.job
        paced = job.get("pace", 0.0)
        if paced and tuple(job["wanted"]["formats"]) == formats:
            found = max(found, (paced, job["made"]), key=lambda one: one[1])
    return found[0]
