"""Who was erased: keyed digests, so that nobody comes back and a later request can be checked.

No identifier is kept. A digest is an HMAC with a key of the lake; without that key nobody can try
which PatientID it stands for.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.errors import LakeError
from dicomlake.jobs.access.tokens import folder_of
from dicomlake.lake.store import ACCESS
from dicomlake.readers.batch import Rows

_FILE, _KEY = "erased.json", "erased.key"


@dataclass(frozen=True, slots=True)
class Mark:
    """One erased patient or study: `digest` stands for it; `again`: it may come back.

    `kind`: patient or study; id, of a PatientID whoever gave it, by which a mark is found; or
    order, of an accession number.
    """

    digest: str
    kind: str
    erasure: str
    when: str
    again: bool = False


class Remembered:
    """The patients and studies that were erased from a lake, as digests."""

    def __init__(self, lake: str | Path) -> None:
        self.path = Path(lake) / ACCESS / _FILE
        self._marks: tuple[tuple[int, int], dict[str, Mark]] = ((0, 0), {})

    def all(self) -> list[Mark]:
        """Every mark, oldest first; LakeError when they cannot be read."""
        return list(self._known().values())

    def of_patient(self, key: int) -> str:
        """What stands for a patient by its patient_key."""
        return self._digest(f"patient {key}")

    def of_study(self, uid: str) -> str:
        """What stands for a study."""
        return self._digest(f"study {uid}")

    def of_id(self, PatientID: str) -> str:
        """What stands for a PatientID, whoever gave it; it shuts nobody out."""
        return self._digest(f"id {PatientID}")

    def of_order(self, AccessionNumber: str) -> str:
        """What stands for an order; it shuts nobody out, but no row of a table tells of it."""
        return self._digest(f"order {AccessionNumber}")

    def _digest(self, what: str) -> str:
        return hmac.new(self._key, what.encode(), hashlib.sha256).hexdigest()

    @cached_property
    def _key(self) -> bytes:
        path = self.path.with_name(_KEY)
        try:
            return bytes.fromhex(path.read_text(encoding="ascii").strip())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise LakeError(f"{path} cannot be read. Put it back from a copy.") from error
        folder_of(path)
        _write(path, secrets.token_hex(32) + "\n", new=True)
        return bytes.fromhex(path.read_text(encoding="ascii").strip())

    def add(self, digests: Iterable[tuple[str, str]], erasure: str) -> None:
        """Remember digests with what they stand for: patient or study."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        known = dict(self._known())
        for digest, kind in digests:
            held = known.get(digest)
            if held is None or held.again:
                known[digest] = Mark(digest, kind, erasure, now)
        self._put(known)

    def allow(self, digests: Iterable[str]) -> int:
        """Let those come back; how many could not before."""
        known = dict(self._known())
        found = [d for d in digests if d in known and not known[d].again]
        self._put(known | {d: replace(known[d], again=True) for d in found})
        return len(found)

    def find(self, digest: str) -> Mark | None:
        """The mark of a digest, if there is one."""
        return self._known().get(digest)

    def shuts_out(self, patient: int | None, study: str | None) -> bool:
        """Whether a patient, or a study, must not come into the lake."""
        if not any(not mark.again for mark in self._known().values()):
            return False
        digests = [self.of_patient(patient)] if patient is not None else []
        digests += [self.of_study(study)] if study else []
        return any((mark := self.find(digest)) is not None and not mark.again for digest in digests)

    def kept_out(self, series: pa.Table) -> list[int]:
        """Those series_id of some rows of `series` that must not come into the lake."""
        if not series.num_rows or not any(not mark.again for mark in self._known().values()):
            return []
        names = ("series_id", "patient_key", "StudyInstanceUID")
        rows = zip(*(series.column(name).to_pylist() for name in names), strict=True)
        return [number for number, patient, study in rows if self.shuts_out(patient, study)]

    def _known(self) -> dict[str, Mark]:
        try:
            told = self.path.stat()
        except FileNotFoundError:
            return {}
        mark = (told.st_mtime_ns, told.st_ino)
        if self._marks[0] != mark:
            self._marks = (mark, _load(self.path))
        return self._marks[1]

    def _put(self, known: dict[str, Mark]) -> None:
        folder_of(self.path)
        _write(self.path, json.dumps([asdict(mark) for mark in known.values()], indent=1) + "\n")


def _load(path: Path) -> dict[str, Mark]:
    try:
        told: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return {one["digest"]: Mark(**one) for one in told}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LakeError(f"{path} cannot be read. Put it back from a copy.") from error


def _write(path: Path, text: str, *, new: bool = False) -> None:
    """Write a file that only its owner may read, whole or not at all; `new`: unless it is there."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if new:
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
        part.unlink()
    else:
        part.replace(path)


def without(table: pa.Table, ids: list[int]) -> pa.Table:
    """Rows of a table without those of some series_id."""
    if not ids:
        return table
    unwanted = pa.array(ids, pa.int64())
    return table.filter(pc.invert(pc.is_in(table.column("series_id"), value_set=unwanted)))


def spared(rows: Rows, remembered: Remembered) -> tuple[Rows, set[str], int]:
    """Rows that were read, without those of erased patients: which series went, and instances."""
    ids = remembered.kept_out(rows.series)
    if not ids:
        return rows, set(), 0
    gone = rows.series.filter(pc.is_in(rows.series.column("series_id"), pa.array(ids, pa.int64())))
    uids = set(gone.column("SeriesInstanceUID").to_pylist())
    count = int(pc.sum(gone.column("instances")).as_py() or 0)
    children = {name: without(table, ids) for name, table in rows.children.items()}
    return Rows(without(rows.series, ids), children), uids, count
