"""The series of a snapshot as numbers in memory: a set of series is a mask over their places.

A million series take some 30 MB. What conditions find on single series is joined, turned round and
lifted to studies and patients here, in a few milliseconds and without another query.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dicomlake.lake.linking import keep_links

if TYPE_CHECKING:
    import duckdb

Mask: TypeAlias = NDArray[np.bool_]
"""One truth value per series."""
Numbers: TypeAlias = NDArray[np.int64]

TIME = "coalesce(StudyDate, SeriesDate, AcquisitionDate, ContentDate)"
"""The day of a series."""
_NO_DAY = -(1 << 40)
_SPAN = 1 << 24
"""Distance of two patients on one line of time, in days: nobody is near another one."""


_PARTLY = {
    "first": "were read by one object only: what differs inside of them is not known.",
    "some": "lack objects that the archive did not send: dicomlake missing lists them.",
}


class Snapshot:
    """Places 0 to n-1 of all series, ordered by their numbers.

    `ids`: series_id; `patients`, `studies`: numbers from 0; `instances`: how many each has;
    `partly`: of those that are not complete, which are called "first" or "some".
    """

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        found = db.sql(
            "select series_id, patient_key, study_key, instances, "
            f"coalesce(date_diff('day', date '1970-01-01', {TIME}), {_NO_DAY})::bigint as day, "
            "complete = 'first' as first, complete = 'some' as some "
            "from series order by series_id"
        ).to_arrow_table()
        self.ids = _numbers(found, "series_id")
        self.instances = _numbers(found, "instances")
        self.days = _numbers(found, "day")
        self.partly = {
            name: found.column(name).to_numpy(zero_copy_only=False).astype(bool)
            for name in ("first", "some")
        }
        self.patients, self._patient_keys = _dense(found.column("patient_key"))
        self.studies, self._study_keys = _dense(found.column("study_key"))
        self.patient_count, self.study_count = len(self._patient_keys), len(self._study_keys)
        self._highest = int(self.ids[-1]) if len(self.ids) else 0
        self._known: dict[Hashable, Any] = {}
        self._lock, self._linked = threading.Lock(), False

    def __len__(self) -> int:
        return len(self.ids)

    def once(self, what: Hashable, find: Callable[[], Any]) -> Any:
        """What `find` finds, which is the same for every question; it is called once."""
        if what not in self._known:
            self._known[what] = find()
        return self._known[what]

    def link(self, db: duckdb.DuckDBPyConnection) -> None:
        """Make the views of facts and documents that know whose they are; this is done once."""
        with self._lock:
            if not self._linked:
                keep_links(db)
                self._linked = True

    def none(self) -> Mask:
        """No series."""
        return np.zeros(len(self), bool)

    def every(self) -> Mask:
        """All series."""
        return np.ones(len(self), bool)

    def mask(self, ids: Numbers) -> Mask:
        """The series of these numbers; numbers of other versions are passed over."""
        hit = np.zeros(self._highest + 1, bool)
        hit[ids[(ids >= 0) & (ids <= self._highest)]] = True
        return hit[self.ids]

    def places(self, ids: Numbers) -> tuple[Numbers, Mask]:
        """The place of each number, and whether it has one."""
        at = np.minimum(np.searchsorted(self.ids, ids), max(len(self) - 1, 0))
        known = self.ids[at] == ids if len(self) else np.zeros(len(ids), bool)
        return at, known

    def entities(self, level: str) -> tuple[Numbers, int]:
        """The number of the patient, study or series at each place, and how many there are."""
        if level == "patient":
            return self.patients, self.patient_count
        if level == "study":
            return self.studies, self.study_count
        return np.arange(len(self)), len(self)

    def lift(self, mask: Mask, level: str) -> Mask:
        """All series of the patients or studies that have one of these."""
        if level == "series":
            return mask
        of, count = self.entities(level)
        hit = np.zeros(count, bool)
        hit[of[mask]] = True
        return hit[of]

    def histories(self, table: pa.Table) -> Histories:
        """Facts or documents: rows of patient_key, study_key and `day`, as numbers of ours."""
        patients = self._places(table.column("patient_key"), "patient")
        studies = self._places(table.column("study_key"), "study")
        tied = table.column("study_key").is_valid().to_numpy()
        there = (patients >= 0) & ((studies >= 0) | ~tied)
        days = _numbers(table, "day") if "day" in table.column_names else None
        return Histories(patients[there], studies[there], None if days is None else days[there])

    def _places(self, column: pa.ChunkedArray, level: str) -> Numbers:
        """The number of the patient or study of each key, -1 where the lake does not have it."""
        keys, numbers = self.once(("keys", level), partial(self._sorted_keys, level))
        wanted = pc.fill_null(column, -1).to_numpy().astype(np.int64, copy=False)
        if not len(keys) or not len(wanted):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, numbers[at], -1)

    def _sorted_keys(self, level: str) -> tuple[Numbers, Numbers]:
        """The keys of all patients or studies in order, and the number of each."""
        keys = (self._patient_keys if level == "patient" else self._study_keys).to_numpy()
        order = np.argsort(keys)
        return keys[order], order

    def having(self, found: Histories) -> Mask:
        """The series that these facts or documents belong to."""
        tied = found.studies >= 0
        patients = np.zeros(self.patient_count, bool)
        patients[found.patients[~tied]] = True
        mask: Mask = patients[self.patients]
        if tied.any():
            studies, theirs = np.zeros(self.study_count, bool), np.zeros(self.patient_count, bool)
            studies[found.studies[tied]] = True
            theirs[found.patients[tied]] = True
            mask |= studies[self.studies] & theirs[self.patients]
        return mask

    def totals(self, mask: Mask, instances: Numbers) -> dict[str, int]:
        """Patients, studies, series and instances; `instances` counts them per series."""
        counts = {}
        for level, plural in (("patient", "patients"), ("study", "studies")):
            of, count = self.entities(level)
            hit = np.zeros(count, bool)
            hit[of[mask]] = True
            counts[plural] = int(np.count_nonzero(hit))
        counts["series"] = int(np.count_nonzero(mask))
        counts["instances"] = int(instances[mask].sum())
        return counts

    def notes(self, mask: Mask) -> tuple[str, ...]:
        """What an answer with these series cannot know, in sentences."""
        found = []
        for name, why in _PARTLY.items():
            here = int(np.count_nonzero(self.partly[name] & mask))
            lake = int(np.count_nonzero(self.partly[name]))
            if lake:
                found.append(f"{here:,} of the series found, {lake:,} of the lake, {why}")
        return tuple(found)

    def line(self, mask: Mask) -> tuple[Numbers, Numbers]:
        """Places of some series that have a day, and where that is on the line of all patients."""
        places = np.flatnonzero(mask & (self.days > _NO_DAY))
        return places, self.patients[places] * _SPAN + self.days[places]


@dataclass(frozen=True, slots=True)
class Histories:
    """Facts or documents: the number of the patient, of the study or -1, and the day of each."""

    patients: Numbers
    studies: Numbers
    days: Numbers | None

    @property
    def size(self) -> int:
        """Bytes."""
        return 3 * self.patients.nbytes

    @property
    def line(self) -> Numbers:
        """Where their days are on the line of all patients."""
        assert self.days is not None
        return self.patients * _SPAN + self.days

    def part(self, some: Mask) -> Histories:
        """Some of them."""
        days = None if self.days is None else self.days[some]
        return Histories(self.patients[some], self.studies[some], days)


def near(first: Numbers, second: Numbers, low: float, high: float) -> Mask:
    """Which of the first have one of the second, of the same patient, `low` to `high` days later.

    >>> near(np.array([10, 50]), np.array([12]), 0, 5).tolist()
    [True, False]
    """
    there = np.unique(second)
    most = _SPAN // 4  # more days than any calendar has
    earliest = first + int(np.ceil(max(low, -most)))
    latest = first + int(np.floor(min(high, most)))
    at = np.searchsorted(there, earliest)
    there = np.append(there, np.iinfo(np.int64).max)
    found: Mask = there[at] <= latest
    return found


def _numbers(table: pa.Table, column: str) -> Numbers:
    numbers: Numbers = table.column(column).to_numpy().astype(np.int64, copy=False)
    return numbers


def _dense(column: pa.ChunkedArray) -> tuple[Numbers, pa.Array]:
    """Numbers from 0 in place of any, and what each stands for."""
    if not len(column):
        return np.zeros(0, np.int64), pa.array([], column.type)
    coded: Any = pc.dictionary_encode(column.combine_chunks())
    return coded.indices.to_numpy().astype(np.int64), coded.dictionary
