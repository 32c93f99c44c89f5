"""The series of a snapshot as arrays: sets of them are masks, and logic on sets is logic on masks.

A million series take about 20 MB. Everything that a condition finds by scanning a table comes back
as numbers of series and becomes a mask; and, or, not, and the step from series to their study or
patient are then array operations of a few milliseconds, whatever the size of the sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dicomlake import tables

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

DAY = "coalesce(StudyDate, SeriesDate, AcquisitionDate, ContentDate)"
"""The day of a series, for relations in time."""
MOST_KEPT = 3_000_000
"""Columns of larger lakes are read again for every answer."""
_FAR = 10_000_000
"""More days than any two dates are apart."""


class Universe:
    """All current series: `ids`, and the patient and study of each as numbers from 0."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        found = db.execute(
            "select series_id, patient_key, study_key, coalesce(instances, 0)::bigint as n "
            "from series order by series_id"
        ).fetchnumpy()
        self.ids: Numbers = np.asarray(found["series_id"], np.int64)
        self.instances: Numbers = np.asarray(found["n"], np.int64)
        self.keys: dict[str, Numbers] = {"series": self.ids}
        self.group: dict[str, Numbers] = {"series": np.arange(len(self.ids))}
        for level in ("patient", "study"):
            keys, group = np.unique(np.asarray(found[f"{level}_key"]), return_inverse=True)
            self.keys[level], self.group[level] = keys, group.reshape(-1)
        self._ranks: dict[tuple[str, tuple[str, ...]], Numbers] = {}
        self._days: Numbers | None = None
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._folded: dict[str, bool] = {}
        self._counts: dict[tuple[str, str], Numbers] = {}
        self._deep: dict[str, list[str]] = {}
        self._place = self._table()

    def __len__(self) -> int:
        return len(self.ids)

    def _table(self) -> npt.NDArray[np.int32] | None:
        """Place of each series by its number, where the numbers are not too far apart."""
        if not len(self.ids) or self.ids[-1] - self.ids[0] > 32 * len(self.ids) + 1_000_000:
            return None
        table = np.full(self.ids[-1] - self.ids[0] + 1, -1, np.int32)
        table[self.ids - self.ids[0]] = np.arange(len(self.ids), dtype=np.int32)
        return table

    def places(self, ids: Numbers) -> Numbers:
        """Places of series by their numbers, -1 for numbers that are not current."""
        ids = np.asarray(ids, np.int64)
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        inside = np.clip(ids, self.ids[0], self.ids[-1])
        if self._place is not None:
            found = np.asarray(self._place[inside - self.ids[0]], np.int64)
        else:
            found = np.searchsorted(self.ids, inside)
            found[self.ids[found] != inside] = -1
        found[inside != ids] = -1
        return found

    def mask(self, ids: Numbers) -> Mask:
        """The set of series with these numbers."""
        made = np.zeros(len(self.ids), np.bool_)
        places = self.places(ids)
        made[places[places >= 0]] = True
        return made

    def lift(self, mask: Mask, level: str) -> Mask:
        """All series of the patients or studies that have a series in the set."""
        return mask if level == "series" else self.having(mask, level)[self.group[level]]

    def having(self, mask: Mask, level: str) -> Mask:
        """The set of patients, studies or series that have a series in the set."""
        if level == "series":
            return mask
        made = np.zeros(len(self.keys[level]), np.bool_)
        made[self.group[level][mask]] = True
        return made

    def totals(self, mask: Mask) -> dict[str, int]:
        """Patients, studies, series and instances of a set of series."""
        return {
            "patients": int(np.count_nonzero(self.having(mask, "patient"))),
            "studies": int(np.count_nonzero(self.having(mask, "study"))),
            "series": int(np.count_nonzero(mask)),
            "instances": int(self.instances[mask].sum()),
        }

    def counts(self, level: str, of: str) -> Numbers:
        """For each patient, study or series: how many studies, series or instances it has."""
        if (level, of) not in self._counts:
            self._counts[level, of] = self._count(level, of)
        return self._counts[level, of]

    def _count(self, level: str, of: str) -> Numbers:
        group, size = self.group[level], len(self.keys[level])
        if of == "instances":
            return np.bincount(group, self.instances, size).astype(np.int64)
        if of == "series":
            return np.bincount(group, minlength=size)
        _, first = np.unique(self.group["study"], return_index=True)
        return np.bincount(group[first], minlength=size)

    def rank(self, level: str, order: tuple[str, ...], sort: Callable[[], Numbers]) -> Numbers:
        """Rank of each patient, study or series in an order; `sort` gives their keys, in order."""
        rank = self._ranks.get((level, order))
        if rank is None:
            places = np.searchsorted(self.keys[level], sort())
            rank = np.empty(len(places), np.int64)
            rank[places] = np.arange(len(places))
            self._ranks[level, order] = rank
        return rank

    def column(self, db: duckdb.DuckDBPyConnection, path: str) -> pa.ChunkedArray:
        """A column of `series` in the order of `ids`, kept once read; lists joined by `\\`."""
        if path not in self._columns:
            listed = str(tables.type_of(path)).startswith("list")
            value = f"array_to_string(\"{path}\", '\\')" if listed else f'"{path}"'
            found = db.sql(f"select {value} as v from series order by series_id").to_arrow_table()
            column = found.column("v")
            if pa.types.is_string(column.type):
                column = column.dictionary_encode()
            if len(self) > MOST_KEPT:
                return column
            self._columns[path] = column
        return self._columns[path]

    def any_depth(self, db: duckdb.DuckDBPyConnection, path: str) -> list[str]:
        """The paths of the lake that a path with `*.` in front stands for."""
        if not path.startswith("*."):
            return [path]
        if path not in self._deep:
            last = path[2:]
            prepared = numbers(db, "select count(*) from vocabulary")[0]
            found = db.execute(
                f"select distinct path from {'vocabulary' if prepared else 'elements'} "
                "where path = ? or ends_with(path, ?)",
                [last, "." + last],
            ).fetchall()
            self._deep[path] = [row[0] for row in found]
        return self._deep[path]

    def folds(self, db: duckdb.DuckDBPyConnection, path: str) -> bool:
        """Whether any series has a folded row of an attribute."""
        if path not in self._folded:
            rows = db.execute(
                "select 1 from elements where path = ? and folded limit 1", [path]
            ).fetchall()
            self._folded[path] = bool(rows)
        return self._folded[path]

    def days(self, db: duckdb.DuckDBPyConnection) -> Numbers:
        """Day of each series since 1970, -_FAR where it has none."""
        if self._days is None:
            found = db.execute(
                f"select coalesce(date_diff('day', date '1970-01-01', {DAY}), {-_FAR})::bigint d "
                "from series order by series_id"
            ).fetchnumpy()
            self._days = np.asarray(found["d"], np.int64)
        return self._days

    def related(self, first: Mask, second: Mask, low: float, high: float, days: Numbers) -> Mask:
        """Series of the first set that have one of the second, of the same patient, between `low`
        and `high` days later (both included; negative: earlier)."""
        known = days > -_FAR
        patient = self.group["patient"]
        line = patient * (4 * _FAR) + days  # days of different patients never come near
        a = np.flatnonzero(first & known)
        b = np.sort(line[second & known])
        low, high = max(low, -_FAR), min(high, _FAR)
        begin = np.searchsorted(b, line[a] + np.ceil(low), "left")
        end = np.searchsorted(b, line[a] + np.floor(high), "right")
        made = np.zeros(len(self.ids), np.bool_)
        made[a[end > begin]] = True
        return made


def numbers(db: duckdb.DuckDBPyConnection, statement: str, values: Any = ()) -> Numbers:
    """The first column of a statement's rows as numbers."""
    found = db.execute(statement, list(values)).fetchnumpy()
    return np.asarray(next(iter(found.values())), np.int64)
