"""A cohort as those use it who export it: what is included, not withdrawn, and still there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake.jobs.cohorts import approving, keeping, withdrawing
from dicomlake.jobs.cohorts.approving import Request
from dicomlake.jobs.cohorts.freezing import question_of
from dicomlake.jobs.cohorts.keeping import INCLUDED, Entry, Version
from dicomlake.lake import Store
from dicomlake.query import Query

SHOWN = (
    "SeriesInstanceUID", "StudyInstanceUID", "patient_key", "PatientID", "Modality", "split",
    "fold",
)  # fmt: skip


@dataclass(frozen=True)
class Cohort:
    """A version of a cohort; `version_of` has all that is known of it."""

    store: Store
    version_of: Version

    @property
    def name(self) -> str:
        """What it is called."""
        return self.version_of.name

    @property
    def version(self) -> int:
        """Its number, from 1."""
        return self.version_of.version

    @property
    def digest(self) -> str:
        """What tells its series, states and splits from those of any other version."""
        return self.version_of.digest

    @property
    def text(self) -> str:
        """The condition of its question as text; empty: everything."""
        return self.version_of.text

    @cached_property
    def query(self) -> Query:
        """Its question."""
        return Query(question_of(self.version_of), self.version_of.level)

    @property
    def counts(self) -> dict[str, int]:
        """Patients, studies, series, instances and bytes, as they were frozen."""
        return self.version_of.counts

    @cached_property
    def request(self) -> Request | None:
        """The newest request for this version, with what was decided about it."""
        asked = approving.requests(self.store.path, self.name)
        return next((one for one in reversed(asked) if one.version == self.version), None)

    @property
    def approved(self) -> bool:
        """Whether a steward approved this version, and the approval is not over."""
        return self.request is not None and self.request.approved(time.time())

    @cached_property
    def rows(self) -> pa.Table:
        """All series of the version, also those left out, as `keeping.ROWS`."""
        return keeping.seen(self.store, keeping.rows(self.store.path, self.version_of))

    @cached_property
    def _here(self) -> tuple[pa.Table, int, int, int]:
        """Series that count; and how many are withdrawn since, gone, or changed in the lake."""
        kept = self.rows.filter(pc.equal(self.rows.column("state"), INCLUDED))
        gone = withdrawing.gone(self.store.path, kept)
        withdrawn = pc.sum(gone).as_py() or 0
        kept = kept.filter(pc.invert(gone))
        now = _now(self.store, kept)
        there = pc.is_valid(now)
        missing = kept.num_rows - (pc.sum(there).as_py() or 0)
        same = pc.equal(now, kept.column("instances"))
        changed = kept.num_rows - missing - (pc.sum(same).as_py() or 0)
        return kept.filter(there), withdrawn, missing, changed

    def series(self) -> pa.Table:
        """What is included, not withdrawn and still in the lake, by SeriesInstanceUID.

        `missing` says how many are not in the lake any more.
        """
        return self._here[0].select(list(SHOWN))

    @property
    def withdrawn(self) -> int:
        """Series of patients who were withdrawn since it was frozen."""
        return self._here[1]

    @property
    def missing(self) -> int:
        """Series that are not in the lake any more."""
        return self._here[2]

    @property
    def changed(self) -> int:
        """Series that have another number of instances now."""
        return self._here[3]

    @property
    def decided(self) -> list[Entry]:
        """What people decided since the version was made; the next one has it."""
        return keeping.log(self.store.path, self.name)[self.version_of.entries :]


def _now(store: Store, rows: pa.Table) -> pa.ChunkedArray:
    """How many instances each series has in the lake now; null: it is not there."""
    with store.database(only=("series",)) as db:
        db.register("held", rows.select(["SeriesInstanceUID"]))
        found = db.sql(
            'select h."SeriesInstanceUID", coalesce(s.instances, 0) as instances, '
            's."SeriesInstanceUID" is not null as there '
            'from held h left join series s using ("SeriesInstanceUID") order by 1'
        ).to_arrow_table()
    return pc.if_else(found.column("there"), found.column("instances"), None)


def opened(lake: str | Path | Store, name: str) -> Cohort:
    """A cohort by "NAME", at its newest version, or by "NAME@3".

    UsageError when there is no such cohort, or no such version.
    """
    store = keeping.store_of(lake)
    called, version = keeping.split_name(name)
    return Cohort(store, keeping.read(store.path, called, version))


def listed(lake: str | Path, project: str | None = None) -> list[Version]:
    """The newest version of every cohort, newest first; `project`: only those of this one."""
    place = Path(lake)
    found = [keeping.read(place, name) for name in keeping.names(place)]
    mine = [one for one in found if project in (None, one.project)]
    return sorted(mine, key=lambda one: -one.made)


def history(lake: str | Path, name: str) -> list[Version]:
    """All versions of a cohort, newest first."""
    place = Path(lake)
    return [keeping.read(place, name, one) for one in reversed(keeping.numbers(place, name))]
