"""Patients who take their consent back: they are in no series of any cohort from then on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.errors import UsageError
from dicomlake.jobs.cohorts import keeping
from dicomlake.jobs.cohorts.keeping import INCLUDED, WITHDRAWN, Entry
from dicomlake.lake import Store
from dicomlake.lake.store import COHORTS
from dicomlake.readers.batch import key_of

_LOG = "withdrawn.jsonl"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a withdrawal reaches.

    `patients`: how many of the lake or of cohorts; `unknown`: how many that neither has, which are
    withdrawn all the same, when they come; `cohorts`: series of the newest version by name;
    `exports`: those of before that hold them, as `jobs.datasets.ledger.past` tells.
    """

    patients: int
    unknown: int
    cohorts: dict[str, int]
    exports: list[Any]


def withdraw(
    lake: str | Path | Store,
    PatientID: str | Iterable[str],
    reason: str = "",
    *,
    issuer: str | None = None,
    by: str = "",
) -> Withdrawal:
    """Withdraw patients from all cohorts, and list the exports that held them.

    `issuer`: of the PatientIDs, any when left out. Versions stay as they were frozen; what is
    opened, saved or exported from now on is without them. `restore` takes it back.
    """
    store, ids = keeping.store_of(lake), _ids(PatientID)
    with keeping.changing(store.path):
        keys = _keys(store, ids, issuer)
        patients = [{"PatientID": one, "issuer": issuer, "keys": keys[one]} for one in ids]
        about = {"patients": patients, "reason": reason.strip()}
        reached = _reached(store.path, Gone.of_patients(patients))
        keeping.append(store.path / COHORTS / _LOG, "withdraw", by, about)
    every = sorted({key for some in keys.values() for key in some})
    known = sum(bool(some) for some in keys.values())
    return Withdrawal(known, len(ids) - known, reached, past_exports(store.path, every))


def restore(
    lake: str | Path | Store, PatientID: str | Iterable[str], reason: str = "", *, by: str = ""
) -> int:
    """Take withdrawals back; of how many patients. UsageError when none of them is withdrawn."""
    store, ids = keeping.store_of(lake), _ids(PatientID)
    with keeping.changing(store.path):
        there = {one["PatientID"] for one in now(store.path)}
        had = [one for one in ids if one in there]
        if not had:
            raise UsageError("None of these patients is withdrawn.")
        patients: list[dict[str, Any]] = [
            {"PatientID": one, "issuer": None, "keys": []} for one in had
        ]
        about = {"patients": patients, "reason": reason.strip()}
        keeping.append(store.path / COHORTS / _LOG, "restore", by, about)
    return len(had)


def _ids(given: str | Iterable[str]) -> list[str]:
    listed = [given] if isinstance(given, str) else list(given)
    found = [text for one in dict.fromkeys(listed) if (text := one.strip())]
    if not found:
        raise UsageError("Name at least one PatientID.")
    return found


def withdrawals(lake: Path) -> list[Entry]:
    """Who was withdrawn or taken back by whom and when, oldest first."""
    return keeping.read_log(lake / COHORTS / _LOG)


def now(lake: Path) -> list[dict[str, Any]]:
    """Patients who are withdrawn: PatientID, issuer (None: any), keys, by, at, reason."""
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    for entry in withdrawals(lake):
        said = {"by": entry.by, "at": entry.at, "reason": entry.about["reason"]}
        for one in entry.about["patients"]:
            if entry.what == "withdraw":
                found[one["PatientID"], one["issuer"]] = {**one, **said}
            else:
                for known in [known for known in found if known[0] == one["PatientID"]]:
                    del found[known]
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Gone:
    """Who is withdrawn: PatientIDs of any issuer, those of one, and patient_keys."""

    ids: frozenset[str]
    issued: frozenset[tuple[str, str]]
    keys: frozenset[int]

    @classmethod
    def of_patients(cls, patients: Iterable[Mapping[str, Any]]) -> Gone:
        """These patients."""
        listed = list(patients)
        ids = (one["PatientID"] for one in listed if one["issuer"] is None)
        issued = ((p["PatientID"], p["issuer"]) for p in listed if p["issuer"] is not None)
        keys = (key for one in listed for key in one["keys"])
        return cls(frozenset(ids), frozenset(issued), frozenset(keys))

    def mask(self, rows: pa.Table) -> Any:
        """Rows of these patients."""
        patients = rows.column("PatientID")
        mask = pc.is_in(patients, value_set=pa.array(sorted(self.ids), pa.string()))
        keys = pa.array(sorted(self.keys), pa.int64())
        mask = pc.or_(mask, pc.is_in(rows.column("patient_key"), value_set=keys))
        for one, issuer in self.issued:
            same = pc.equal(rows.column("IssuerOfPatientID"), issuer)
            mask = pc.or_(mask, pc.and_(pc.equal(patients, one), same))
        return mask


def gone(lake: Path, rows: pa.Table) -> Any:
    """A mask of the rows of patients who are withdrawn now."""
    return Gone.of_patients(now(lake)).mask(rows)


def marked(lake: Path, rows: pa.Table) -> pa.Table:
    """Rows whose state says who is withdrawn, and who is not any more."""
    mask = gone(lake, rows)
    state = rows.column("state")
    back = pc.if_else(pc.equal(state, WITHDRAWN), INCLUDED, state)
    at = rows.schema.get_field_index("state")
    states = pc.if_else(mask, WITHDRAWN, back)
    return rows.set_column(at, rows.schema.field(at), states).combine_chunks()


def _keys(store: Store, ids: list[str], issuer: str | None) -> dict[str, list[int]]:
    """patient_keys of each PatientID, in the lake and in cohorts."""
    wanted = pa.array(ids, pa.string())
    with store.database(only=("series",)) as db:
        db.register("chosen", pa.table({"PatientID": wanted}))
        rows = db.sql(
            'select distinct "PatientID", coalesce("IssuerOfPatientID", \'\') as issuer, '
            'patient_key from series where "PatientID" in (select "PatientID" from chosen)'
        ).fetchall()
    columns = ["PatientID", "IssuerOfPatientID", "patient_key"]
    for name in keeping.names(store.path):
        for number in keeping.numbers(store.path, name):
            version = keeping.read(store.path, name, number)
            held = keeping.rows(store.path, version, columns)
            held = held.filter(pc.is_in(held.column("PatientID"), value_set=wanted))
            rows += [tuple(row.values()) for row in held.to_pylist()]
    found: dict[str, set[int]] = {one: set() for one in ids}
    for patient, of, key in rows:
        if issuer in (None, of):
            found[patient].add(key)
    return {patient: sorted(keys) for patient, keys in found.items()}


def _reached(lake: Path, who: Gone) -> dict[str, int]:
    """Included series of patients by cohort."""
    found = {}
    columns = ["PatientID", "IssuerOfPatientID", "patient_key", "state"]
    for name in keeping.names(lake):
        rows = keeping.rows(lake, keeping.read(lake, name), columns)
        rows = rows.filter(pc.equal(rows.column("state"), INCLUDED))
        if number := pc.sum(who.mask(rows)).as_py():
            found[name] = number
    return found


def past_exports(lake: Path, keys: list[int]) -> list[Any]:
    """Exports of before that hold patients, by their patient_keys."""
    try:
        ledger = import_module("dicomlake.jobs.datasets.ledger")
    except ModuleNotFoundError:
        return []
    return list(ledger.past(lake, keys)) if keys else []


def forget(lake: Path, ids: frozenset[str], keys: frozenset[int]) -> None:
    """Let the log of withdrawals not know patients any more; only inside of `keeping.changing`."""
    path = lake / COHORTS / _LOG
    entries = keeping.read_log(path)

    def kept(one: Mapping[str, Any]) -> bool:
        own = key_of("patient", one["issuer"] or "", one["PatientID"])
        return one["PatientID"] not in ids and keys.isdisjoint([own, *one["keys"]])

    left = []
    for entry in entries:
        patients = [one for one in entry.about["patients"] if kept(one)]
        if patients:
            left.append(replace(entry, about={**entry.about, "patients": patients}))
    if left != entries:
        keeping.rewrite(path, left)
