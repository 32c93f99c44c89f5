"""The series of a snapshot as numbers in memory: a set of series is a mask over their places.

A million series take some 30 MB. What conditions find on single series is joined, turned round and
lifted to studies and patients here, in a few milliseconds and without another query.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
        self.patients, self.patient_count = _dense(found.column("patient_key"))
        self.studies, self.study_count = _dense(found.column("study_key"))
        self._highest = int(self.ids[-1]) if len(self.ids) else 0
        self._known: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def once(self, what: Hashable, find: Callable[[], Any]) -> Any:
        """What `find` finds, which is the same for every question; it is called once."""
        if what not in self._known:
            self._known[what] = find()
        return self._known[what]

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

    def near(self, first: Mask, second: Mask, low: float, high: float) -> Mask:
        """Those of the first with one of the second, same patient, `low` to `high` days later."""
        known = self.days > _NO_DAY
        line = self.patients * _SPAN + self.days
        there = np.unique(line[second & known])
        asked = np.flatnonzero(first & known)
        most = _SPAN // 4  # more days than any calendar has
        earliest = line[asked] + int(np.ceil(max(low, -most)))
        latest = line[asked] + int(np.floor(min(high, most)))
        at = np.searchsorted(there, earliest)
        there = np.append(there, np.iinfo(np.int64).max)
        found = self.none()
        found[asked[there[at] <= latest]] = True
        return found


def _numbers(table: pa.Table, column: str) -> Numbers:
    numbers: Numbers = table.column(column).to_numpy().astype(np.int64, copy=False)
    return numbers


def _dense(column: pa.ChunkedArray) -> tuple[Numbers, int]:
    """Numbers from 0 in place of any, and how many there are."""
    if not len(column):
        return np.zeros(0, np.int64), 0
    coded: Any = pc.dictionary_encode(column.combine_chunks())
    return coded.indices.to_numpy().astype(np.int64), len(coded.dictionary)
