"""Making datasets: planned once, then made by any number of workers, and gone on with after a stop.

An object is written whole or not at all, and the ledger notes it afterwards: what was being done
when somebody pulled the plug is done again, and gives the same bytes. `dataset.json` and
`CHECKSUMS.sha256` come last; without them nothing looks finished.
"""

from __future__ import annotations

import contextlib
import itertools
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

import pyarrow as pa

from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.deid import Cleaner
from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.datasets import places
from dicomlake.jobs.datasets.card import card, provenance, statement
from dicomlake.jobs.datasets.checking import (
    Checker,
    Entry,
    Finding,
    old_uids,
    patients_in,
    unresolved,
)
from dicomlake.jobs.datasets.crew import Hand, done_by
from dicomlake.jobs.datasets.histories import facts_of
from dicomlake.jobs.datasets.labels import (
    Drawn,
    Mapped,
    automatic,
    drawn_of,
    mapping_of,
    segments_of,
)
from dicomlake.jobs.datasets.layouts import Case, consecutive, lists_of, objects_folder
from dicomlake.jobs.datasets.ledger import (
    FAILED,
    QUARANTINED,
    WAITING,
    WORK,
    WRITTEN,
    Ledger,
    Made,
    Note,
    now,
)
from dicomlake.jobs.datasets.rows import encoded, tables_of
from dicomlake.jobs.datasets.selection import objects_of, patients_of, selected
from dicomlake.jobs.datasets.targets import check_target, send
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
from dicomlake.version import __version__

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
    if wanted.remote:
        check_target(Path(lake), wanted.out, wanted.formats)
    else:
        _check_free(Path(wanted.out))
        wanted = replace(wanted, out=str(Path(wanted.out).absolute()))
    with contextlib.closing(cleaner_for(Path(lake), wanted)) as cleaner:
        digest = cleaner.digest
    return _planned(store, wanted, name, digest, made)


def _planned(store: Store, wanted: Wanted, name: str, digest: str, made: str) -> str:
    wanted = replace(wanted, name=name)
    mapping_of(wanted.labels)
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
    again: bool = False,
) -> Report:
    """Make a dataset that was planned, or go on with one that was stopped; nothing where finished.

    What could not be read is tried again; `without`: it is left out instead; `again`: what is in
    quarantine is tried again, too, also of a finished one. KeyboardInterrupt when it was asked to
    stop. UsageError when somebody makes it now, or the cleaner is another one.
    """
    began = time.monotonic()
    with contextlib.closing(Ledger(lake, name)) as ledger, ledger.lock():
        job = ledger.job
        if job["state"] == "planning":
            shutil.rmtree(ledger.folder)
            raise UsageError(f"{name} was stopped while it was planned. Make it again.")
        if job["state"] != FINISHED or again:
            ledger.uncancel()
            ledger.note_job(state=RUNNING, why="", pid=os.getpid())
            making = _Making(Path(lake).absolute(), ledger, progress or Silent(), workers, cleaner)
            _until_it_stops(ledger, making, without, again)
        return report_of(ledger, time.monotonic() - began)


def _until_it_stops(ledger: Ledger, making: _Making, without: bool, again: bool) -> None:
    """Let the job say how it ended, however that was."""
    try:
        making.run(without=without, again=again)
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
        self._labels: dict[str, int] = {}
        self._drawn: dict[str, list[Drawn]] = {}

    def run(self, *, without: bool, again: bool) -> None:
        """Everything that is not done yet, in its order."""
        self._check_cleaner()
        _claim(self.root, self._job)
        places.sweep_parts(self.root)
        places.sweep_parts(self.clean)
        if without:
            why = "it could not be read, and was left out"
            self._ledger.take_out("state = 'failed'", "unreadable", why)
        self._ledger.again(FAILED)
        if again:
            self._ledger.again(QUARANTINED)
            self._ledger.clear_notes()
        self._withdraw()
        before, began = self._ledger.counts()[WAITING], time.monotonic()
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
        if self._check_made():
            self._finish()
        if before:
            pace = before / (time.monotonic() - began)
            self._ledger.note_job(pace=round(pace, 3))

    def _withdraw(self) -> None:
        """Leave out what is not in the cohort any more: its patient was withdrawn."""
        if not self.wanted.cohort:
            return
        name = f"{self._job['cohort']}@{self._job['version']}"
        chosen = selected(Store(self._lake), replace(self.wanted, cohort=name))
        there = set(chosen.series.column("SeriesInstanceUID").to_pylist())
        rows = self._ledger.rows("select distinct SeriesInstanceUID, new_series from objects")
        for uid, new in rows:
            if uid in there:
                continue
            for (path,) in self._ledger.rows("select path from files where series = ?", new):
                (self.root / path).unlink(missing_ok=True)
                self._ledger.drop([path])
            self._ledger.drop_cases(new)
            why = "it is not in the cohort any more"
            self._ledger.take_out("SeriesInstanceUID = ?", "withdrawn", why, uid)

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
        if self._progress.cancelled or self._ledger.cancelled:
            raise KeyboardInterrupt

    # Objects and studies

    def _objects(self) -> None:
        things = self._ledger.things(WAITING)
        patients = {
            row[0]: (row[1], row[2])
            for row in self._ledger.rows("select patient_key, PatientID, issuer from patients")
        }
        done = self._ledger.finished()
        if "nifti" in self.wanted.formats:
            self._know_labels()
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

    def _know_labels(self) -> None:
        """What is drawn on what, and which number each structure has."""
        store = Store(self._lake)
        rows = self._ledger.rows("select SOPInstanceUID, SeriesInstanceUID from objects")
        series_of = {row[0]: row[1] for row in rows} | {row[1]: row[1] for row in rows}
        segments = segments_of(store, sorted({row[1] for row in rows}))
        mapped = mapping_of(self.wanted.labels)
        labels = mapped.labels or automatic(segments).labels
        if self.wanted.layout == "nnunet":  # its labels have no gaps
            order = consecutive({one.name: one.number for one in labels})
            labels = tuple(replace(one, number=order[one.name]) for one in labels)
        self._labels = {one.name: one.number for one in labels}
        self._drawn, notes = drawn_of(segments, Mapped(labels), series_of)
        self._ledger.tell([], [], [Note(self._new(uid), "labels", why) for uid, why in notes])

    def _new(self, uid: str) -> str:
        """What a series is called in the dataset; nothing while that is not known."""
        rows = self._ledger.rows(
            "select new_series from objects where SeriesInstanceUID = ? limit 1", uid
        )
        return rows[0][0] if rows else ""

    def _maker(self, make: MakeWorker) -> Any:
        if self._cleaner is None:
            return make
        cleaner = self._cleaner

        def here() -> Hand:
            return Worker(make, cleaner)

        return here

    def _note(self, piece: Objects | Study, result: Result) -> None:
        if isinstance(piece, Study):
            self._ledger.finish(
                piece.StudyInstanceUID, result.files, result.notes, result.cases, piece.patient_key
            )
            if not self._keeps and "tables" not in self.wanted.formats:
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
            "select SeriesInstanceUID, SOPInstanceUID, new_study, new_series, Modality, split, "
            "fold, path, o.patient_key, pseudonym from objects o join patients using (patient_key) "
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
                  of[0]["fold"], tuple(row["path"] for row in of),
                  tuple(row["SOPInstanceUID"] for row in of))
            for uid, of in found.items()
        )  # fmt: skip
        first = rows[0]
        self._pieces.waiting.append(
            Study(study, first["patient_key"], first["pseudonym"], series,
                  tuple(self._drawn.get(study, ())), max(self._labels.values(), default=0))
        )  # fmt: skip

    # The end

    def _finish(self) -> None:
        self._progress.stage("finishing", None, "files")
        labels = dict(self._labels)
        files = list(self._tables()) + list(self._lists(labels))
        about = self._about(labels)
        files += [Made(path, "card", places.sha256(data), len(data))
                  for path, data in card(about, [f.plain() for f in files]).items()
                  if self._put(path, data)]  # fmt: skip
        self._check_common(files)
        self._ledger.tell([], files)
        self._write_last(about)
        (self.root / MARK).unlink(missing_ok=True)
        if self.wanted.remote:
            self._progress.stage("sending", self._ledger.counts()["files"], "files")
            send(self._lake, self._ledger, self.root, self._progress, self._check)
            shutil.rmtree(self.root)
        shutil.rmtree(self._ledger.folder / WORK, ignore_errors=True)
        self._ledger.note_job(state=FINISHED, why="", finished=now(), about=about)
        log.info("dataset made", extra={"dataset": self._ledger.name, **self._ledger.counts()})

    def _put(self, path: str, data: bytes) -> bool:
        places.write(self.root / path, data)
        return True

    def _check_made(self) -> bool:
        """Look at every file again; what is wrong goes into quarantine, with all made of it.

        False when nothing is left.
        """
        rows = self._ledger.rows(
            "select path, sha256, kind, patient_key, series from files where patient_key is not "
            "null order by patient_key, path"
        )
        self._progress.stage("checking", len(rows), "files")
        store = Store(self._lake)
        identified = self.wanted.identified
        checker = Checker(
            self.root, identified=identified, store=store, uids=old_uids(self._ledger)
        )
        found = [] if identified or not self._keeps else list(
            unresolved(self._ledger, self.root, store)
        )  # fmt: skip
        for row in rows:
            self._check()
            found += checker.check(Entry(row[0], row[1], row[2], row[3]))
            self._progress.advance()
        for one in found:
            self._take_out(one)
        unsure = {row[4] for row in rows if row[0] in checker.unsure}
        why = "they do not say that identity is removed: nobody has looked at their pixels"
        self._ledger.tell([], [], [Note(series, "pixels", why) for series in sorted(unsure)])
        if self._ledger.counts()[WRITTEN]:
            return True
        name = self._ledger.name
        self._ledger.note_job(
            state=INCOMPLETE,
            why=f"Nothing may leave: every object is in quarantine. dicomlake dataset show {name} "
            f"says why; after a change: dicomlake dataset resume {name} --again",
        )
        return False

    def _take_out(self, found: Finding) -> None:
        """Put an object or a file into quarantine, and what was made of its series."""
        rows = self._ledger.rows("select kind, series from files where path = ?", found.path)
        if not rows:
            return
        kind, series = rows[0]
        gone = [found.path]
        if kind == "dicom":
            self._ledger.take_out("path = ?", found.check, found.why, found.path)
            gone += [
                row[0]
                for row in self._ledger.rows(
                    "select path from files where series = ? and kind <> 'dicom'", series
                )
            ]
        self._ledger.drop(gone)
        self._ledger.drop_cases(series)
        for path in gone:
            (self.root / path).unlink(missing_ok=True)
        self._ledger.tell([], [], [Note(series, kind, f"{found.check}: {found.why}")])

    def _tables(self) -> Iterator[Made]:
        """The tables, written."""
        if "tables" not in self.wanted.formats:
            return
        series = {
            row[0]: row[1]
            for row in self._ledger.rows(
                "select distinct SeriesInstanceUID, new_series from objects where "
                "state = 'written' order by new_series"
            )
        }
        made = tables_of(
            Store(self._lake), self.clean / objects_folder(self.wanted.layout),
            self._ledger.folder / WORK / "index", series, mapping_of(self.wanted.labels),
        )  # fmt: skip
        for name, rows in itertools.chain(made, self._facts()):
            data = encoded(rows, self.wanted.tables)
            path = f"tables/{name}.{self.wanted.tables}"
            self._put(path, data)
            yield Made(path, "table", places.sha256(data), len(data))

    def _facts(self) -> Iterator[tuple[str, pa.Table]]:
        """What is known of the patients of its objects besides, where something is."""
        patients = self._ledger.rows(
            "select patient_key, PatientID, issuer from patients where patient_key in "
            "(select patient_key from objects where state = 'written') order by 1"
        )
        identified = self.wanted.identified
        with contextlib.closing(cleaner_for(self._lake, self.wanted)) as cleaner:
            rows = facts_of(Store(self._lake), cleaner, map(tuple, patients), identified=identified)
        if rows.num_rows:
            yield "facts", rows

    def _lists(self, labels: dict[str, int]) -> Iterator[Made]:
        """The lists of the layout, written."""
        cases = [Case.of(one) for one in self._ledger.cases()]
        about = {
            "name": self._ledger.name, "title": self.wanted.title or self._ledger.name,
            "licence": self.wanted.licence, "version": __version__,
        }  # fmt: skip
        for path, data in lists_of(self.wanted, cases, labels, about).items():
            self._put(path, data)
            yield Made(path, "list", places.sha256(data), len(data))

    def _check_common(self, files: list[Made]) -> None:
        """ServiceError when what is about everybody tells of somebody; it is removed."""
        if self.wanted.identified:
            return
        uids = old_uids(self._ledger)
        checker = Checker(self.root, identified=False, store=Store(self._lake), uids=uids)
        checker.everybody(patients_in(self._ledger))
        for one in files:
            for found in checker.check(Entry(one.path, one.sha256, one.kind)):
                (self.root / one.path).unlink(missing_ok=True)
                raise ServiceError(
                    f"{one.path} was removed, since it failed the check {found.check!r}: "
                    f"{found.why}. Leave the format out, or look at title, labels and profile."
                )

    def _about(self, labels: dict[str, int]) -> dict[str, Any]:
        """What dataset.json says of the dataset."""
        counts = self._ledger.counts()
        rows = self._ledger.rows

        def counted(statement: str) -> dict[str, int]:
            return {row[0]: row[1] for row in rows(statement)}

        per = "count(distinct SeriesInstanceUID) from objects where state = 'written' group by 1"
        codes: Counter[str] = Counter()
        for told, count in rows(
            "select codes, count(*) from objects where state = 'written' group by 1"
        ):
            codes.update(dict.fromkeys(told.split(), count))
        people = rows(
            "select count(distinct patient_key), count(distinct StudyInstanceUID), "
            "count(distinct SeriesInstanceUID) from objects where state = 'written'"
        )[0]
        return {
            "name": self._ledger.name,
            "title": self.wanted.title or self._ledger.name,
            "made": self._job["made"],
            "licence": self.wanted.licence,
            "identified": self.wanted.identified,
            "deidentification": statement(self.wanted, codes),
            "layout": self.wanted.layout,
            "formats": list(self.wanted.formats),
            "site": self.wanted.site,
            "counts": {"patients": people[0], "studies": people[1], "series": people[2],
                       "objects": counts[WRITTEN], "volumes": len(self._ledger.cases())},
            "modalities": counted(f"select Modality, {per} order by 1"),
            "splits": counted(f"select split, {per} order by 1"),
            "labels": labels,
            "quarantine": counted("select \"check\", count(*) from objects where state = "
                                  "'quarantined' group by 1 order by 1"),
            "provenance": provenance(self.wanted, self._job, self._enrichers()),
        }  # fmt: skip

    def _enrichers(self) -> list[str]:
        ids = [row[0] for row in self._ledger.rows("select distinct series_id from objects")]
        with Store(self._lake).database(only=["series", "enrichments"]) as db:
            found = db.execute(
                "select distinct enricher || ' ' || version from enrichments where state = 'done' "
                "and list_contains($ids, series_id) order by 1",
                {"ids": ids},
            ).fetchall()
        return [row[0] for row in found]

    def _write_last(self, about: dict[str, Any]) -> None:
        rows = self._ledger.rows("select path, sha256, bytes from files order by path")
        sums = "".join(f"{row['sha256']}  {row['path']}\n" for row in rows).encode()
        self._put(LAST[0], sums)
        files = {"files": len(rows), "bytes": sum(row["bytes"] for row in rows)}
        said = {**about, **files, "checksums": places.sha256(sums)}
        data = (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()
        self._ledger.note_job(last=places.sha256(data))
        self._put(LAST[1], data)


def _check_free(out: Path) -> None:
    """UsageError when a folder holds files already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already. Name a new or an empty folder.")


def _claim(root: Path, job: dict[str, Any]) -> None:
    """Make the folder ours; UsageError when it is somebody else's."""
    mark, about = root / MARK, root / LAST[1]
    with places.full_disks():
        if root.is_dir() and any(root.iterdir()):
            # It may have been finished before, and be gone on with.
            finished = about.is_file() and places.sha256_of(about) == job.get("last")
            marked = mark.is_file() and mark.read_text(encoding="utf-8") == job["job"]
            if not (finished or marked):
                raise UsageError(f"{root} holds other files now. Move them, and go on then.")
        root.mkdir(parents=True, exist_ok=True)
    places.write(mark, job["job"].encode())
    about.unlink(missing_ok=True)
