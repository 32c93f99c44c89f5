"""A dataset looked at again: is everything there, does it hold together, does it tell of nobody.

Checksums, reading every object again, references, marks of de-identification; and with the lake at
hand, the sweep for old UIDs and for what is known of its patients, in contents and in names.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.deid import Known
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.datasets import places
from dicomlake.jobs.datasets.ledger import Ledger
from dicomlake.jobs.datasets.objects import parsed
from dicomlake.jobs.datasets.sweeping import Sweep, swept
from dicomlake.jobs.deid.knowing import known_of_patient
from dicomlake.jobs.objects import Opened
from dicomlake.lake import Store
from dicomlake.readers.attributes import items, text

SUMS, ABOUT = "CHECKSUMS.sha256", "dataset.json"
_REFERENCED = "00081155"
CHECKS = {
    "checksum": "the file is another one than its checksum says",
    "missing": "the file is not there",
    "extra": "the file is not one of the dataset",
    "parse": "the object cannot be read",
    "reference": "it refers to an object of the dataset by a UID that the dataset does not have",
    "mark": "it does not say that it was de-identified",
    "old UID": "a UID of the archive is in it",
    "known word": "something is in it by which a patient is known",
}
"""What is checked, and what is said where it fails."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a file of a dataset."""

    path: str
    check: str

    @property
    def why(self) -> str:
        """In words, without what was found."""
        return CHECKS[self.check]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a dataset, as its ledger has it."""

    path: str
    sha256: str
    kind: str = ""
    patient_key: int | None = None


class Checker:
    """Checks files of a dataset; with a store also for what is known of patients."""

    def __init__(
        self, root: Path, *, identified: bool, store: Store | None = None, uids: Iterable[str] = ()
    ) -> None:
        self._root, self._identified, self._store = root, identified, store
        self._uids = frozenset(uids)
        self._held: tuple[int | None, Sweep] | None = None
        self.unsure: set[str] = set()
        """Objects that say themselves that they may still identify somebody."""

    def check(self, entry: Entry) -> Iterator[Finding]:
        """What is wrong with a file."""
        path = self._root / entry.path
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            yield Finding(entry.path, "missing")
            return
        if places.sha256(data) != entry.sha256:
            yield Finding(entry.path, "checksum")
            return
        found: Opened | None = None
        if entry.path.endswith(".dcm"):
            try:
                found = parsed(data)
                yield from self._object(entry, found.header)
            except DataError:
                yield Finding(entry.path, "parse")
        if not self._identified:
            yield from self._sweep(entry, path, data, found)

    def _object(self, entry: Entry, header: dict[str, Any]) -> Iterator[Finding]:
        if not self._identified:
            removed = text(header, "PatientIdentityRemoved")
            how = text(header, "DeidentificationMethod") or items(
                header, "DeidentificationMethodCodeSequence"
            )
            if not (removed and how):
                yield Finding(entry.path, "mark")
            elif removed != "YES":
                self.unsure.add(entry.path)

    def _sweep(
        self, entry: Entry, path: Path, data: bytes, found: Opened | None
    ) -> Iterator[Finding]:
        sweep = self._sweep_of(entry.patient_key)
        try:
            parts, free = swept(path, data, found)
        except DataError:
            parts, free = [data], []
        for what in {sweep.found(part, free) for part in parts} | {
            sweep.found(entry.path.encode())
        }:
            if what:
                yield Finding(entry.path, what)

    def _sweep_of(self, patient_key: int | None) -> Sweep:
        if self._held is None or self._held[0] != patient_key:
            known: list[Known] = []
            if self._store is not None and patient_key is not None:
                known = known_of_patient(self._store, patient_key)
            self._held = patient_key, Sweep(self._uids, known)
        return self._held[1]

    def everybody(self, keys: Iterable[int]) -> None:
        """Let files of nobody be looked through for what is known of all these patients."""
        if self._store is None or self._identified:
            return
        known = [one for key in keys for one in known_of_patient(self._store, key)]
        self._held = None, Sweep(self._uids, (one for one in known if len(one.text) > 5))


def references(header: dict[str, Any]) -> set[str]:
    """The objects that a header refers to, at any depth."""
    found: set[str] = set()
    for tag, element in header.items():
        if not isinstance(element, dict):
            continue
        for value in element.get("Value") or ():
            if isinstance(value, dict) and element.get("vr") == "SQ":
                found |= references(value)
            elif tag == _REFERENCED and isinstance(value, str):
                found.add(value)
    return found


def unresolved(ledger: Ledger, root: Path, store: Store) -> Iterator[Finding]:
    """Objects that refer to more that is not in the dataset than before they were cleaned.

    References may be removed, but what is left of those into the dataset leads into it again.
    """
    import orjson

    rows = ledger.rows(
        "select SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID, path, series_id, new_object, "
        "new_series, new_study from objects where state = 'written' and Modality in "
        "('SEG', 'SR', 'PR', 'KO', 'RTSTRUCT', 'RTPLAN', 'RTDOSE', 'REG', 'DOC') order by number"
    )
    if not rows:
        return
    whole = ledger.rows("select SOPInstanceUID, new_object from objects where state = 'written'")
    before, after = {row[0] for row in whole}, {row[1] for row in whole}
    with store.database(only=["series", "instances"]) as db:
        for row in rows:
            found = db.execute(
                'select header from instances where series_id = ? and "SOPInstanceUID" = ?',
                [row["series_id"], row["SOPInstanceUID"]],
            ).fetchone()
            path = root / row["path"]
            if found is None or not path.is_file():
                continue
            outside = references(orjson.loads(found[0])) - before
            with contextlib.suppress(DataError):
                if len(references(parsed(path.read_bytes()).header) - after) > len(outside):
                    yield Finding(row["path"], "reference")


def check(
    folder: str | Path, lake: str | Path | None = None, progress: Progress | None = None
) -> list[Finding]:
    """What is wrong with a finished dataset, file by file; nothing where all is well.

    With the lake that made it also what tells of patients. UsageError when it is no dataset.
    """
    root = Path(folder)
    progress = progress or Silent()
    about = about_of(root)
    entries = {path: Entry(path, said) for path, said in _sums(root, about).items()}
    found = [Finding(path, "extra") for path in _extra(root, entries)]
    identified = bool(about.get("identified"))
    progress.stage("checking", len(entries))
    with contextlib.ExitStack() as stack:
        store = Store(lake) if lake is not None else None
        uids: list[str] = []
        keys: list[int] = []
        if lake is not None and store is not None:
            ledger = stack.enter_context(contextlib.closing(Ledger(lake, about["name"])))
            uids, keys = old_uids(ledger), patients_in(ledger)
            rows = ledger.rows("select path, patient_key from files")
            owners: dict[str, int | None] = {row[0]: row[1] for row in rows}
            entries = {
                path: Entry(path, one.sha256, "", owners.get(path)) for path, one in entries.items()
            }
            if not identified:
                found += unresolved(ledger, root, store)
        checker = Checker(root, identified=identified, store=store, uids=uids)
        for entry in sorted(entries.values(), key=lambda one: (one.patient_key or 0, one.path)):
            if entry.patient_key is None:
                checker.everybody(keys)
            found += checker.check(entry)
            progress.advance()
            if progress.cancelled:
                raise KeyboardInterrupt
    return found


def old_uids(ledger: Ledger) -> list[str]:
    """The UIDs of the archive that no file may have."""
    if ledger.job["wanted"]["profile"] == "identified":
        return []
    found: set[str] = set()
    for level in ("Study", "Series", "SOP"):
        new = {"Study": "new_study", "Series": "new_series", "SOP": "new_object"}[level]
        found |= {
            row[0]
            for row in ledger.rows(f"select {level}InstanceUID from objects where {new} <> "
                                   f"{level}InstanceUID")
        }  # fmt: skip
    return sorted(found)


def patients_in(ledger: Ledger) -> list[int]:
    """The numbers of the patients of a dataset."""
    return [row[0] for row in ledger.rows("select patient_key from patients order by 1")]


def about_of(root: Path) -> dict[str, Any]:
    """What a dataset says of itself; UsageError when it is none, or not finished."""
    try:
        found: dict[str, Any] = json.loads((root / ABOUT).read_bytes())
    except FileNotFoundError as error:
        raise UsageError(
            f"{root} is no finished dataset: it has no {ABOUT}. Go on with: dicomlake dataset "
            "resume NAME"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{root / ABOUT} cannot be read.") from error
    return found


def _sums(root: Path, about: dict[str, Any]) -> dict[str, str]:
    try:
        data = (root / SUMS).read_bytes()
    except OSError as error:
        raise UsageError(f"{root} has no {SUMS}, so nothing can be checked.") from error
    if places.sha256(data) != about.get("checksums"):
        raise UsageError(f"{root / SUMS} was changed after the dataset was made.")
    lines = (line.partition("  ") for line in data.decode().splitlines())
    return {path: said for said, _, path in lines}


def _extra(root: Path, entries: dict[str, Entry]) -> list[str]:
    there = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return sorted(path for path in there if path not in entries and path not in (SUMS, ABOUT))
