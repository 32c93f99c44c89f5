"""A folder of DICOM files becomes another one that identifies nobody.

First every header is read, so that what is known of a patient comes from all of their files; then
the files are rewritten under new names. Started again, it goes on where it was stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import orjson

from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.deid import Known, Looking, Unresolved
from dicomlake.deid.assembly import cleaner_of
from dicomlake.deid.cleaning import ProfileCleaner
from dicomlake.deid.profiles import Profile, profile_of
from dicomlake.dicom.walk import sniff
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.deid.knowing import known_of_header
from dicomlake.jobs.objects import Opened
from dicomlake.readers.attributes import text
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import Pseudonyms

REPORT = "deid-report.json"
"""What was done, beside the files; it names no source."""
REFUSED = "quarantine.jsonl"
"""Which files were refused and why, beside their copies; it names sources and stays inside."""
_CHUNK = 100
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


_Uids = tuple[str, str, str]
"""UIDs of study, series and instance."""


@dataclass(slots=True)
class FilesReport:
    """What became of the files of a folder."""

    profile: str
    digest: str
    codes: list[str] = field(default_factory=list)
    written: int = 0
    there: int = 0
    """Written before."""
    duplicates: int = 0
    no_dicom: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """By the check that refused them."""
    patients: int = 0
    actions: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        said = [f"{self.written:,} files of {self.patients:,} patients written"]
        said += [f"{self.there:,} were there"] if self.there else []
        said += [f"{self.duplicates:,} duplicates"] if self.duplicates else []
        said += [f"{self.no_dicom:,} were no DICOM"] if self.no_dicom else []
        refused = sum(self.refused.values())
        why = ", ".join(f"{n:,} {check}" for check, n in sorted(self.refused.items()))
        said += [f"{refused:,} refused ({why})"] if refused else []
        return f"{', '.join(said)} ({self.seconds:.1f} s)"


@dataclass(frozen=True, slots=True)
class _Person:
    PatientID: str
    issuer: str


@dataclass(slots=True)
class _Group:
    """The files of a patient, and what is known of them."""

    known: dict[Known, None] = field(default_factory=dict)
    files: dict[_Uids, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Done:
    written: int = 0
    there: int = 0
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    codes: set[str] = field(default_factory=set)
    looked: int = 0


_Task = tuple[_Person, list[Known], list[tuple[_Uids, str]]]


def deidentify_files(
    source: str | Path,
    out: str | Path,
    profile: str | Path | Profile,
    pseudonyms: Pseudonyms,
    *,
    quarantine: str | Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> FilesReport:
    """De-identify all DICOM files below a folder into another one; what cannot be stays out.

    UsageError when the folder has files of another profile or another key.
    """
    start, shown = time.monotonic(), progress or Silent()
    source, out = Path(source), Path(out)
    chosen = profile if isinstance(profile, Profile) else profile_of(profile)
    cleaner = cleaner_of(chosen, pseudonyms)
    report = FilesReport(chosen.name, cleaner.digest)
    _prepare(source, out, report)
    groups, refused = _groups(source, report, shown)
    report.patients = len(groups)
    tasks = list(_tasks(groups, whole=cleaner.looks))
    total = sum(len(files) for _, _, files in tasks)
    shown.stage("De-identifying", total)
    kept = _Quarantine(Path(quarantine) if quarantine is not None else None, report)
    kept.add(refused)
    codes: set[str] = set()
    make = partial(cleaner_of, chosen, pseudonyms)
    for done in _run(tasks, cleaner, make, out, workers, shown):
        report.written += done.written
        report.there += done.there
        _add(report.actions, done.actions)
        _add(report.notes, done.notes)
        codes |= done.codes
        kept.add(done.refused)
        shown.advance(done.looked)
    report.codes = sorted(codes)
    report.seconds = round(time.monotonic() - start, 1)
    cleaner.close()
    _write(out / REPORT, json.dumps(asdict(report), indent=1).encode())
    return report


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number


def _prepare(source: Path, out: Path, report: FilesReport) -> None:
    if not source.exists():
        raise UsageError(f"There is no folder {str(source)!r}.")
    if out.resolve().is_relative_to(source.resolve()):
        raise UsageError("The new folder is inside the old one. Choose another place for it.")
    before = out / REPORT
    if before.exists():
        said = json.loads(before.read_text(encoding="utf-8"))
        if said.get("digest") != report.digest:
            raise UsageError(
                f"{str(out)!r} has files of another profile or another key. Choose another folder, "
                "or remove this one."
            )
    elif out.exists() and any(out.iterdir()):
        raise UsageError(f"{str(out)!r} is not empty. Choose a folder that is empty or new.")
    out.mkdir(parents=True, exist_ok=True)
    _write(before, json.dumps(asdict(report), indent=1).encode())


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _groups(
    source: Path, report: FilesReport, shown: Progress
) -> tuple[dict[_Person, _Group], list[tuple[str, str, str]]]:
    """The files by patient, and those whose header cannot be read."""
    groups: dict[_Person, _Group] = {}
    refused: list[tuple[str, str, str]] = []
    reader = HeaderReader()
    shown.stage("Reading headers")
    for path in _files(source):
        shown.advance()
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not sniff(file.read(132)):
                report.no_dicom += 1
                continue

            def fetch(offset: int, length: int, file: Any = file) -> bytes:
                file.seek(offset)
                return bytes(file.read(length))

            try:
                header = orjson.loads(reader.read(fetch, size).json)
            except DataError as error:
                refused.append((str(path), "structure", f"The header cannot be read: {error}"))
                continue
        if "00041220" in header:
            refused.append((str(path), "dicomdir", "A DICOMDIR names files of others."))
            continue
        person = _Person(*(text(header, k) or "" for k in ("PatientID", "IssuerOfPatientID")))
        group = groups.setdefault(person, _Group())
        group.known.update(dict.fromkeys(known_of_header(header)))
        study, series, instance = (text(header, keyword) or "" for keyword in _UIDS)
        if group.files.setdefault((study, series, instance), str(path)) != str(path):
            report.duplicates += 1
    return groups, refused


def _tasks(groups: Mapping[_Person, _Group], *, whole: bool) -> Iterator[_Task]:
    """The files of each patient in portions; `whole`: with no series in two of them."""
    for person, group in groups.items():
        files = list(group.files.items())
        if not whole:
            for start in range(0, len(files), _CHUNK):
                yield person, list(group.known), files[start : start + _CHUNK]
            continue
        held: list[tuple[_Uids, str]] = []
        for _, series in groupby(sorted(files), key=lambda file: file[0][:2]):
            held += series
            if len(held) >= _CHUNK:
                yield person, list(group.known), held
                held = []
        if held:
            yield person, list(group.known), held


def _run(
    tasks: list[_Task],
    cleaner: ProfileCleaner,
    make: partial[ProfileCleaner],
    out: Path,
    workers: int,
    shown: Progress,
) -> Iterator[_Done]:
    if workers <= 1:
        for task in tasks:
            if shown.cancelled:
                return
            yield _cleaned(cleaner, task, out)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(make, out)
    ) as pool:
        left = iter(tasks)
        running: set[Future[_Done]] = set()
        while True:
            for task in left:
                running.add(pool.submit(_cleaned_there, task))
                if len(running) >= 2 * workers:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()
            if shown.cancelled:
                for one in running:
                    one.cancel()
                return


_THERE: list[tuple[ProfileCleaner, Path]] = []
"""The cleaner of a worker process."""


def _begin(make: partial[ProfileCleaner], out: Path) -> None:
    _THERE.append((make(), out))


def _cleaned_there(task: _Task) -> _Done:
    cleaner, out = _THERE[0]
    return _cleaned(cleaner, task, out)


def _cleaned(cleaner: ProfileCleaner, task: _Task, out: Path) -> _Done:
    """Clean and write the files of a task."""
    person, known, files = task
    patient = cleaner.patient(known, person.PatientID, person.issuer)
    done = _Done(looked=len(files))
    if patient.looks:
        for _, series in groupby(files, key=lambda file: file[0][:2]):
            _look(patient, [path for _, path in series])
    for uids, path in files:
        try:
            if _target(out, patient.named(*uids)).exists():
                done.there += 1
                continue
            made = patient.clean(Path(path).read_bytes())
        except Unresolved as error:
            done.refused.append((path, error.check, str(error)))
            continue
        except OSError as error:
            done.refused.append((path, "file", error.strerror or "cannot be read"))
            continue
        done.actions.update(made.actions)
        done.notes.update(made.notes)
        done.codes.update(made.codes)
        name = (
            made.PatientID,
            made.StudyInstanceUID,
            made.SeriesInstanceUID,
            made.SOPInstanceUID,
        )
        _write(_target(out, name), made.data)
        done.written += 1
    return done


def _look(patient: Looking, paths: list[str]) -> None:
    """Let a cleaner look at the objects of a series; those that cannot be read are left out."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for path in paths:
        with contextlib.suppress(DataError, OSError), _opened(path) as one:
            found.append((path, one.header))
    patient.look([header for _, header in found], lambda number: _opened(found[number][0]))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Opened]:
    data = Path(path).read_bytes()

    def fetch(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    yield Opened(orjson.loads(HeaderReader().read(fetch, len(data)).json), fetch, len(data))


def _target(out: Path, name: tuple[str, str, str, str]) -> Path:
    PatientID, study, series, instance = name
    return out / _name(PatientID) / (study or "_") / (series or "_") / f"{instance}.dcm"


def _name(PatientID: str) -> str:
    """A pseudonym as the name of a folder: others than ours give any letters."""
    return "".join(one if one.isalnum() or one in "-_." else "_" for one in PatientID).strip(".")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)


class _Quarantine:
    """Where refused files go; without a folder they are only counted."""

    def __init__(self, folder: Path | None, report: FilesReport) -> None:
        self._folder, self._report, self._count = folder, report, 0

    def add(self, refused: Iterable[tuple[str, str, str]]) -> None:
        """Count them, copy them and note why."""
        for path, check, why in refused:
            self._report.refused[check] = self._report.refused.get(check, 0) + 1
            if self._folder is None:
                continue
            self._count += 1
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{self._count:06}.dcm"
            shutil.copyfile(path, self._folder / name)
            line = {"file": name, "source": path, "check": check, "why": why}
            with (self._folder / REFUSED).open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")
