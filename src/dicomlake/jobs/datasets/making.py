"""Making datasets: planned once, then made by any number of workers, and gone on with after a stop.

An object is written whole or not at all, and the ledger notes it afterwards: what was being done
when somebody pulled the plug is done again, and gives the same bytes. `dataset.json` and
`CHECKSUMS.sha256` come last; without them nothing looks finished.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.deid import Cleaner
from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.datasets import places
from dicomlake.jobs.datasets.crew import Hand, done_by
from dicomlake.jobs.datasets.ledger import (
    FAILED,
    QUARANTINED,
    WAITING,
    WORK,
    WRITTEN,
    Ledger,
    Made,
    now,
)
from dicomlake.jobs.datasets.selection import objects_of, patients_of, selected
from dicomlake.jobs.datasets.wanted import Wanted, name_of
from dicomlake.jobs.datasets.work import (
    Clean,
    MakeWorker,
    Objects,
    Result,
    Study,
    Worker,
    cleaner_for,
    pieces_of,
)
from dicomlake.lake import Store

log = logging.getLogger(__name__)

MARK = ".dicomlake-dataset"
"""In a folder that is not finished: the job that writes it."""
TREE = "tree"
"""Where a dataset is made that goes elsewhere afterwards, beside its ledger."""
LAST = ("CHECKSUMS.sha256", "dataset.json")
"""The files that come last, in their order."""
OPEN, RUNNING, STOPPED, INCOMPLETE, CANCELLED, FINISHED = (
    "waiting", "running", "stopped", "incomplete", "cancelled", "finished",
)  # fmt: skip
"""States of a dataset. An incomplete one has objects that could not be read."""


@dataclass(frozen=True, slots=True)
class Report:
    """What there is of a dataset now."""

    name: str
    state: str
    out: str
    written: int
    waiting: int
    failed: int
    quarantined: int
    files: int
    bytes: int
    seconds: float
    why: str = ""

    def __str__(self) -> str:
        parts = [f"{self.name} is {self.state}: {self.written:,} objects"]
        if self.quarantined:
            parts.append(f"{self.quarantined:,} in quarantine")
        if self.failed:
            parts.append(f"{self.failed:,} could not be read")
        if self.waiting:
            parts.append(f"{self.waiting:,} wait")
        parts.append(f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB in {self.seconds:.1f} s")
        return ", ".join(parts)


def begin(lake: str | Path, wanted: Wanted, name: str = "", made: str = "") -> str:
    """Plan a dataset, which `run` makes: its name. UsageError when it cannot be.

    `made`: the moment that it says it was made at.
    """
    store = Store(lake)
    name = name or name_of(wanted)
    if not wanted.remote:
        _check_free(Path(wanted.out))
        wanted = replace(wanted, out=str(Path(wanted.out).absolute()))
    with contextlib.closing(cleaner_for(Path(lake), wanted)) as cleaner:
        digest = cleaner.digest
    return _planned(store, wanted, name, digest, made)


def _planned(store: Store, wanted: Wanted, name: str, digest: str, made: str) -> str:
    chosen = selected(store, wanted)
    job = {
        "wanted": wanted.plain(), "cohort": chosen.name, "version": chosen.version,
        "approved": chosen.approved, "query": chosen.query, "lake_version": chosen.lake_version,
        "out": wanted.out, "made": made or now(), "job": secrets.token_hex(8), "digest": digest,
        "state": "planning", "why": "",
    }  # fmt: skip
    with contextlib.closing(Ledger.begin(store.path, name, job)) as ledger:
        ledger.plan(patients_of(store, chosen.series), objects_of(store, chosen.series))
        ledger.note_job(state=OPEN)
    return name


def make(
    lake: str | Path,
    wanted: Wanted,
    *,
    name: str = "",
    workers: int = 1,
    progress: Progress | None = None,
    cleaner: Cleaner | None = None,
    made: str = "",
) -> Report:
    """Plan a dataset and make it; `cleaner` instead of the one of the profile, in this process.

    UsageError when it cannot be made; ServiceError when it stopped in the middle: `run` goes on.
    """
    if cleaner is not None:
        found = name or name_of(wanted)
        if not wanted.remote:
            _check_free(Path(wanted.out))
            wanted = replace(wanted, out=str(Path(wanted.out).absolute()))
        name = _planned(Store(lake), wanted, found, cleaner.digest, made)
    else:
        name = begin(lake, wanted, name, made)
    return run(lake, name, workers=workers, progress=progress, cleaner=cleaner)


def run(
    lake: str | Path,
    name: str,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    cleaner: Cleaner | None = None,
    without: bool = False,
) -> Report:
    """Make a dataset that was planned, or go on with one that was stopped; nothing where finished.

    What could not be read is tried again; `without`: it is left out instead. KeyboardInterrupt when
    it was asked to stop. UsageError when somebody makes it now, or the cleaner is another one.
    """
    began = time.monotonic()
    with contextlib.closing(Ledger(lake, name)) as ledger, ledger.lock():
        job = ledger.job
        if job["state"] == "planning":
            shutil.rmtree(ledger.folder)
            raise UsageError(f"{name} was stopped while it was planned. Make it again.")
        if job["state"] != FINISHED:
            ledger.uncancel()
            ledger.note_job(state=RUNNING, why="", pid=os.getpid())
            making = _Making(Path(lake).absolute(), ledger, progress or Silent(), workers, cleaner)
            _until_it_stops(ledger, making, without)
        return report_of(ledger, time.monotonic() - began)


def _until_it_stops(ledger: Ledger, making: _Making, without: bool) -> None:
    """Let the job say how it ended, however that was."""
    try:
        making.run(without=without)
    except KeyboardInterrupt:
        ledger.note_job(state=CANCELLED if ledger.cancelled else STOPPED, why="Somebody stopped it")
        raise
    except ServiceError as error:
        with contextlib.suppress(ServiceError):
            ledger.note_job(state=STOPPED, why=str(error))
        raise
    except UsageError as error:
        ledger.note_job(state=STOPPED, why=str(error))
        raise
    except BaseException as error:
        with contextlib.suppress(ServiceError):
            ledger.note_job(state=STOPPED, why=f"It failed ({type(error).__name__}).")
        raise


def report_of(ledger: Ledger, seconds: float = 0.0) -> Report:
    """What there is of a dataset."""
    job, counts = ledger.job, ledger.counts()
    state = job["state"]
    return Report(
        ledger.name, state, job["out"], counts[WRITTEN], counts[WAITING], counts[FAILED],
        counts[QUARANTINED], counts["files"], counts["bytes"], seconds, job["why"],
    )  # fmt: skip


class _Pieces:
    """Pieces that wait; more may come while others are worked on."""

    def __init__(self) -> None:
        self.waiting: deque[Any] = deque()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self.waiting:
            raise StopIteration
        return self.waiting.popleft()


class _Making:
    """One run of a dataset."""

    def __init__(
        self,
        lake: Path,
        ledger: Ledger,
        progress: Progress,
        workers: int,
        cleaner: Cleaner | None,
    ) -> None:
        self._lake, self._ledger, self._progress = lake, ledger, progress
        self._workers, self._cleaner = workers if cleaner is None else 1, cleaner
        self._job = ledger.job
        self.wanted = Wanted.of(self._job["wanted"])
        self.root = ledger.folder / TREE if self.wanted.remote else Path(self.wanted.out)
        self._keeps = "dicom" in self.wanted.formats
        self.clean = self.root if self._keeps else ledger.folder / WORK
        self._pieces = _Pieces()
        self._open: Counter[str] = Counter()
        self._looked = 0.0

    def run(self, *, without: bool) -> None:
        """Everything that is not done yet, in its order."""
        self._check_cleaner()
        _claim(self.root, self._job["job"])
        places.sweep_parts(self.root)
        places.sweep_parts(self.clean)
        if without:
            why = "it could not be read, and was left out"
            self._ledger.take_out("state = 'failed'", "unreadable", why)
        self._ledger.again(FAILED)
        self._objects()
        counts = self._ledger.counts()
        if counts[FAILED]:
            self._ledger.note_job(
                state=INCOMPLETE,
                why=f"{counts[FAILED]:,} objects could not be read: dicomlake dataset show "
                f"{self._ledger.name} says why. Try again with: dicomlake dataset resume "
                f"{self._ledger.name}, or leave them out with --without.",
            )
            return
        self._finish()

    def _check_cleaner(self) -> None:
        if self._cleaner is not None:
            digest = self._cleaner.digest
        else:
            with contextlib.closing(cleaner_for(self._lake, self.wanted)) as cleaner:
                digest = cleaner.digest
        if digest != self._job["digest"]:
            raise UsageError(
                "The profile or the key of the pseudonyms is another one than when this dataset "
                "was begun. Put it back, or make a new dataset."
            )

    def _check(self) -> None:
        """Raise KeyboardInterrupt once somebody asked to stop."""
        if self._progress.cancelled:
            raise KeyboardInterrupt
        if time.monotonic() - self._looked > 0.2:
            self._looked = time.monotonic()
            if self._ledger.cancelled:
                raise KeyboardInterrupt

    # Objects and studies

    def _objects(self) -> None:
        things = self._ledger.things(WAITING)
        patients = {
            row[0]: (row[1], row[2])
            for row in self._ledger.rows("select patient_key, PatientID, issuer from patients")
        }
        done = self._ledger.finished()
        for piece in pieces_of(things, patients):
            self._open[piece.things[0].StudyInstanceUID] += 1
            self._pieces.waiting.append(piece)
        if self.wanted.derived:
            rows = self._ledger.rows("select distinct StudyInstanceUID from objects order by 1")
            for (study,) in rows:
                if study not in done and not self._open[study]:
                    self._derive(study)
        self._progress.stage("cleaning", len(things), "objects")
        make = MakeWorker(self._lake, self.wanted, self.root, self.clean)
        for piece, result in done_by(self._maker(make), self._pieces, self._workers, self._check):
            self._note(piece, result)

    def _maker(self, make: MakeWorker) -> Any:
        if self._cleaner is None:
            return make
        cleaner = self._cleaner

        def here() -> Hand:
            return Worker(make, cleaner)

        return here

    def _note(self, piece: Objects | Study, result: Result) -> None:
        if isinstance(piece, Study):
            self._ledger.finish(piece.StudyInstanceUID, result.files, result.notes)
            if not self._keeps:
                for series in piece.series:
                    for path in series.paths:
                        (self.clean / path).unlink(missing_ok=True)
            return
        files = [
            Made(one.path, "dicom", one.sha256, one.bytes, piece.patient_key, one.new_series)
            for one in result.outcomes
            if one.state == WRITTEN and self._keeps
        ]
        self._ledger.tell(result.outcomes, files)
        self._progress.advance(len(result.outcomes))
        study = piece.things[0].StudyInstanceUID
        self._open[study] -= 1
        if not self._open[study] and self.wanted.derived:
            self._derive(study)

    def _derive(self, study: str) -> None:
        """Let more be made of a study whose objects are clean."""
        rows = self._ledger.rows(
            "select SeriesInstanceUID, new_study, new_series, Modality, split, path, "
            "o.patient_key, pseudonym from objects o join patients using (patient_key) "
            "where StudyInstanceUID = ? and state = 'written' order by number",
            study,
        )
        if not rows:
            return
        found: dict[str, list[Any]] = {}
        for row in rows:
            found.setdefault(row["SeriesInstanceUID"], []).append(row)
        series = tuple(
            Clean(uid, of[0]["new_study"], of[0]["new_series"], of[0]["Modality"], of[0]["split"],
                  tuple(row["path"] for row in of))
            for uid, of in found.items()
        )  # fmt: skip
        first = rows[0]
        self._pieces.waiting.append(Study(study, first["patient_key"], first["pseudonym"], series))

    # The end

    def _finish(self) -> None:
        self._progress.stage("finishing", None, "files")
        self._write_last()
        (self.root / MARK).unlink(missing_ok=True)
        shutil.rmtree(self._ledger.folder / WORK, ignore_errors=True)
        self._ledger.note_job(state=FINISHED, why="", finished=now())
        log.info("dataset made", extra={"dataset": self._ledger.name, **self._ledger.counts()})

    def _write_last(self) -> None:
        lines = [
            f"{row['sha256']}  {row['path']}\n"
            for row in self._ledger.rows("select path, sha256 from files order by path")
        ]
        sums = "".join(lines).encode()
        places.write(self.root / LAST[0], sums)
        counts = self._ledger.counts()
        said = {
            "name": self._ledger.name,
            "made": self._job["made"],
            "layout": self.wanted.layout,
            "formats": list(self.wanted.formats),
            "checksums": places.sha256(sums),
            "counts": {"objects": counts[WRITTEN], "files": counts["files"],
                       "bytes": counts["bytes"], "quarantined": counts[QUARANTINED]},
        }  # fmt: skip
        text = json.dumps(said, indent=1, ensure_ascii=False) + "\n"
        places.write(self.root / LAST[1], text.encode())


def _check_free(out: Path) -> None:
    """UsageError when a folder holds files already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already. Name a new or an empty folder.")


def _claim(root: Path, job: str) -> None:
    """Make the folder ours; UsageError when it is somebody else's."""
    with places.full_disks():
        if root.is_dir() and any(root.iterdir()):
            mark = root / MARK
            if not mark.is_file() or mark.read_text(encoding="utf-8") != job:
                raise UsageError(f"{root} holds other files now. Move them, and go on then.")
            return
        root.mkdir(parents=True, exist_ok=True)
    places.write(root / MARK, job.encode())
