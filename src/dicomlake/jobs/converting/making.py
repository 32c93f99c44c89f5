"""Converting files: to a folder, into a lake, or both; started again, it goes on.

Every file goes to the first converter that reads it. What it became is safe before the file counts
as done, and the objects of a file always have the same UIDs, so doing one twice changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.converters import Converter
from dicomlake.errors import DataError, LakeError, UsageError
from dicomlake.jobs.archives import kept_of
from dicomlake.jobs.clinical import take
from dicomlake.jobs.converting.hands import (
    DICOM,
    LONG,
    THERE,
    Made,
    Outcome,
    Way,
    asked_for,
    converters_of,
    images_of,
)
from dicomlake.jobs.converting.mappings import header_of
from dicomlake.jobs.converting.originals import (
    DONE,
    FOLDER,
    LEDGER,
    PART,
    Originals,
    Uids,
    originals_of,
)
from dicomlake.jobs.converting.rewriting import remembered_in, spared
from dicomlake.jobs.datasets.crew import done_by
from dicomlake.jobs.deposits import Deposit
from dicomlake.jobs.door.entrance import fetch_of, made
from dicomlake.jobs.erasure.remembered import Remembered
from dicomlake.jobs.inbox import Intake
from dicomlake.lake import Store
from dicomlake.lake.store import is_lake
from dicomlake.settings import Settings, read

SOURCE = "convert"
"""Name of the source of what was converted, unless it gets another one."""
STAGE = "convert"
"""Of rows of `failures`."""
_FLUSH_FILES, _FLUSH_BYTES, _FLUSH_S = 200, 64 * 1024**2, 20.0
"""What was converted becomes safe after so many files, bytes or seconds."""
PATIENCE_S = 20.0
_MOST_PARTS = 100
"""Rows of a file whose reasons are told."""

Paths = str | Path | Sequence[str | Path]


@dataclass(slots=True)
class Report:
    """What became of files.

    `studies`: UIDs of what they became; `patients`: patient_key of everybody whom they tell of.
    `refused`: reasons in words and how often; `failures`: URI and reason of each. `formats`: files
    converted, by format. `there`: converted before. `dicom`: DICOM already. `parts`: of
    converted files, such as rows, that could not be taken. `waits`: what came is
    in the inbox of the lake, for whoever is writing now.
    """

    converted: int = 0
    there: int = 0
    dicom: int = 0
    parts: int = 0
    objects: int = 0
    facts: int = 0
    documents: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    studies: set[str] = field(default_factory=set)
    patients: set[int] = field(default_factory=set)
    waits: bool = False
    dry: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        would = " would be" if self.dry else ""
        said = [f"{self.converted:,} files{would} converted to {self.objects:,} objects"]
        said += [f"{self.facts:,} facts"] if self.facts else []
        said += [f"{self.documents:,} documents"] if self.documents else []
        said += [f"{self.there:,} were converted before"] if self.there else []
        said += [f"{self.dicom:,} are DICOM already"] if self.dicom else []
        said += [f"{self.parts:,} rows or parts{would} refused"] if self.parts else []
        refused = sum(self.refused.values())
        said += [f"{refused:,} files{would} refused"] if refused else []
        return f"{', '.join(said)} ({self.seconds:.1f} s)"

    def count(self, outcome: Outcome) -> None:
        """Add what became of a file."""
        self.studies |= outcome.studies
        self.patients |= outcome.patients
        if outcome.state == THERE:
            self.there += 1
        elif outcome.state == DICOM:
            self.dicom += 1
        elif outcome.state in (DONE, PART):
            self.converted += outcome.state == DONE
            self.objects += len(outcome.objects)
            self.facts += len(outcome.facts)
            self.documents += len(outcome.documents)
            self.formats[outcome.format] += outcome.state == DONE
            self.notes.update(outcome.notes)
            self.parts += len(outcome.refused)
            if outcome.refused:
                self.failures.append((outcome.uri, _partly(outcome)))
        else:
            self.refused[outcome.reason] += 1
            self.failures.append((outcome.uri, outcome.reason))


def convert(
    paths: Paths,
    *,
    out: str | Path | None = None,
    lake: str | Path | None = None,
    mapping: Mapping[str, Any] | None = None,
    header: Mapping[str, str] | None = None,
    images: str | Path | None = None,
    source: str = SOURCE,
    workers: int = 1,
    again: bool = False,
    dry_run: bool = False,
    converters: Sequence[Converter] | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Convert files, and all files below folders, to a folder `out`, into a lake, or both.

    `images`: a folder of DICOM files in which series are looked for, instead of the lake; `source`:
    what the lake calls where they came from; `again`: also what was converted before. UsageError
    for a lake that de-identifies at its door. KeyboardInterrupt when it was asked to stop: what was
    converted until then stays.
    """
    began, shown = time.monotonic(), progress or Silent()
    place = place_of(out, lake, source=source, settings=settings, dry=dry_run)
    way = way_of(place, mapping or {}, header or {}, images, converters, again=again)
    found = list(files_of(paths))
    report = Report(dry=dry_run)
    shown.stage("converting", len(found))

    def check() -> None:
        if shown.cancelled:
            raise KeyboardInterrupt

    try:
        for outcome in outcomes_of(way, map(str, found), min(workers, len(found)), check):
            report.count(outcome)
            place.take(outcome, way)
            shown.advance(outcome.state != PART)
    finally:
        place.flush()
        report.waits = not place.taken_in(progress)
        report.seconds = time.monotonic() - began
    return report


def outcomes_of(
    way: Way, files: Iterable[str], workers: int, check: Callable[[], None]
) -> Iterator[Outcome]:
    """What became of files; what is long comes part by part, and is done by this process."""
    hand = way()
    if workers <= 1:
        for file in files:
            check()
            for outcome in hand.parts(file):
                yield outcome
                check()
        return
    for file, outcome in done_by(way, files, workers, check):
        yield from hand.parts(file) if outcome.state == LONG else (outcome,)


def _partly(outcome: Outcome) -> str:
    """Why parts of a file were refused: the first of them."""
    more = len(outcome.refused) - _MOST_PARTS
    said = [*outcome.refused[:_MOST_PARTS], *([f"and {more:,} more"] if more > 0 else [])]
    return "; ".join(said)


def files_of(paths: Paths) -> Iterator[Path]:
    """The files of some paths; below folders, without hidden ones and kept originals."""
    for path in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(path)
        if path.is_dir():
            yield from _below(path)
        elif path.exists():
            yield path
        else:
            raise UsageError(f"{path} does not exist. Is a disk missing?")


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        if LEDGER in names:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def way_of(
    place: Place,
    mapping: Mapping[str, Any],
    header: Mapping[str, str],
    images: str | Path | None = None,
    converters: Sequence[Converter] | None = None,
    *,
    again: bool = False,
) -> Way:
    """How files are converted that go to a place; UsageError for what cannot be right."""
    named = mapping.get("converter")
    names = [str(named)] if named else None
    found = converters_of(names) if converters is None else converters
    return Way(
        tuple(asked_for(found, mapping)),
        dict(mapping),
        header_of(header),
        images_of(place.lake, None if images is None else Path(images)),
        place.originals,
        Uids(b"") if place.dry else place.originals.uids(),
        again=again,
        keep=not place.dry,
        facts=place.lake is not None,
    )


def place_of(
    out: str | Path | None,
    lake: str | Path | None,
    *,
    source: str = SOURCE,
    settings: Settings | None = None,
    dry: bool = False,
    patience_s: float = PATIENCE_S,
) -> Place:
    """Where what is converted goes; UsageError when that is nowhere, or cannot be.

    `patience_s`: so long facts wait for others who are writing to the lake, before LakeError.
    """
    folder = None if out is None else Path(out)
    if lake is None:
        if folder is None:
            raise UsageError("Say where to: --out FOLDER, --lake LAKE, or both.")
        return Place(folder, None, Originals(folder / FOLDER), source, None, dry=dry)
    lake = Path(lake).absolute()
    found = read(lake) if settings is None else settings
    if found.lake.profile or (is_lake(lake) and Store(lake).door):
        raise UsageError(
            "This lake de-identifies at its door, so it cannot keep originals. Convert with --out "
            "FOLDER, then: dicomlake index FOLDER --lake LAKE"
        )
    made(lake, found)
    return Place(
        folder, lake, originals_of(lake, found), source, found, dry=dry, patience_s=patience_s
    )


class Place:
    """Where what is converted goes: a folder, a lake, or both; used by one thread."""

    def __init__(
        self,
        out: Path | None,
        lake: Path | None,
        originals: Originals,
        source: str,
        settings: Settings | None,
        *,
        dry: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self.out, self.lake, self.originals, self.dry = out, lake, originals, dry
        self._source = source
        self._held: list[tuple[Outcome, Way]] = []
        self._shut: dict[str, set[str]] = {}
        self._bytes, self._since = 0, time.monotonic()
        self._left = False
        self._deposit: Deposit | None = None
        if lake is not None and settings is not None and not dry:
            self._deposit = Deposit(lake, kept_of(lake, settings), settings, source=source)

    def take(self, outcome: Outcome, way: Way) -> None:
        """Take what became of a file; what was taken becomes safe now and then."""
        if self.dry or outcome.state in (DICOM, THERE):
            return
        if outcome.state in (DONE, PART):
            for one in outcome.objects:
                self._write(one)
        if outcome.state != PART:
            self._say(outcome)
        self._held.append((outcome, way))
        self._bytes += sum(len(one.data) for one in outcome.objects)
        late = time.monotonic() - self._since > _FLUSH_S
        if len(self._held) >= _FLUSH_FILES or self._bytes > _FLUSH_BYTES or late:
            self.flush()

    def _write(self, one: Made) -> None:
        if self.out is not None:
            path = self.out / one.StudyInstanceUID / one.SeriesInstanceUID
            path.mkdir(parents=True, exist_ok=True)
            part = path / f"{one.SOPInstanceUID}.dcm.{os.getpid()}.part"
            part.write_bytes(one.data)
            part.replace(path / f"{one.SOPInstanceUID}.dcm")
        if self._deposit is not None:
            stored = self._deposit.add(fetch_of(one.data), len(one.data))
            if stored.failure:
                raise DataError(f"The lake does not take an object ({stored.failure:04X}).")

    def _say(self, outcome: Outcome) -> None:
        """Tell the lake that a file was refused, or is not any more."""
        if self._deposit is None:
            return
        if outcome.state == DONE and not outcome.refused:
            self._deposit.forget(outcome.uri)
        else:
            why = outcome.reason or _partly(outcome)
            self._deposit.fail(outcome.uri, outcome.size, STAGE, why)

    def flush(self, tasks: Sequence[str] = ()) -> bool:
        """Make safe what was taken, brought by some tasks; whether something waits in the inbox."""
        left = False
        if self._deposit is not None:
            left = self._deposit.close(tasks)
            self._left |= left
        self._facts()
        held, self._held = self._held, []
        self._bytes, self._since = 0, time.monotonic()
        for outcome, way in held:
            self._note(outcome, way)
        return left

    def _facts(self) -> None:
        facts = [row for outcome, _ in self._held for row in outcome.facts]
        documents = [row for outcome, _ in self._held for row in outcome.documents]
        until = time.monotonic() + self._patience_s
        while self.lake is not None and (facts or documents):
            try:
                take(self.lake, facts, documents, source=self._source)
            except LakeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
            else:
                return

    def _note(self, outcome: Outcome, way: Way) -> None:
        if not outcome.digest:
            return
        self.originals.note(
            outcome.digest,
            way.digest,
            uri=outcome.uri,
            size=outcome.size,
            state=outcome.state,
            kept=outcome.state == DONE,
            format=outcome.format,
            converter=outcome.converter,
            reason=outcome.reason,
            instances={one.SOPInstanceUID: one.origin for one in outcome.objects},
            patients=outcome.patients,
            way=way.said,
        )
        if self.lake is not None and outcome.state in (DONE, PART):
            self._spare(outcome, Remembered(self.lake))

    def _spare(self, outcome: Outcome, remembered: Remembered) -> None:
        """Keep of an original nothing that tells of somebody who was erased from the lake."""
        who = remembered_in(remembered)
        if who is None:
            return
        shut = self._shut.setdefault(outcome.digest, set())
        shut |= {one.origin for one in outcome.objects
                 if remembered.shuts_out(one.patient, one.StudyInstanceUID)}  # fmt: skip
        if outcome.state == DONE:
            erased = any(remembered.shuts_out(key, None) for key in outcome.patients)
            spared(self.originals, outcome.digest, who, self._shut.pop(outcome.digest),
                   whole=erased or bool(shut))  # fmt: skip

    def taken_in(self, progress: Progress | None = None) -> bool:
        """Whether the lake has all that came; it is taken in now unless others are writing."""
        if self.lake is None or not self._left:
            return True
        with contextlib.suppress(LakeError):
            Intake(Store(self.lake)).take(progress)
            self._left = False
        return not self._left
