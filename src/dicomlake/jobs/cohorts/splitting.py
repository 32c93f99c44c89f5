"""Splits of a cohort: training, validation and test, and folds; no patient is in two of them.

What is put as a whole is a unit: a patient with all PatientIDs and studies, and all others who
share a study, or a site where whole sites are split. The same seed puts the same units, wherever
they come in the order; new patients of later versions leave the others where they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dicomlake import tables
from dicomlake.errors import UsageError
from dicomlake.jobs.cohorts import deciding, keeping, withdrawing
from dicomlake.jobs.cohorts.keeping import INCLUDED, Version
from dicomlake.lake import Store

Numbers = NDArray[np.int64]

GROUPS = {
    "site": "InstitutionName",
    "device": "DeviceSerialNumber",
    "model": "ManufacturerModelName",
    "source": "source",
    "sex": "PatientSex",
    "modality": "Modality",
}
"""Short names of columns of `series`."""
AGE = "age"
"""Decade of the youngest age: a column that is calculated."""
BY = ("patient", "site", "device", "model", "source", "date")
MOST_FOLDS = 100
_REST = "*"


@dataclass(frozen=True, slots=True)
class Spec:
    """How a cohort is split.

    `fractions`: share of the units by split; or `values`: split by site, device, model or source
    ("*": all others); or `dates`: first day by split, "" for the beginning. `stratify`: attributes
    whose values are as frequent in every split, also "age". `folds`: of the first split, or of all.
    """

    by: str = "patient"
    fractions: dict[str, float] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    stratify: tuple[str, ...] = ()
    seed: int = 0
    folds: int = 0

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise UsageError(f"{self.by[:40]!r} splits nothing. Use one of {', '.join(BY)}.")
        if bool(self.fractions) + bool(self.values) + bool(self.dates) > 1:
            raise UsageError("Give fractions, values or dates, not several of them.")
        self._check_numbers()
        if self.values and self.by in ("patient", "date"):
            raise UsageError("Values are those of a site, device, model or source: say which.")
        if self.dates and self.by != "date":
            raise UsageError("Dates split by date: say so.")
        for day in self.dates.values():
            _day(day)
        for name in (*self.names, *self.values.values()):
            if not name or len(name) > 40 or not name.isprintable():
                raise UsageError("A split needs a name of up to 40 characters, such as train.")
        object.__setattr__(self, "stratify", tuple(_column(name) for name in self.stratify))

    def _check_numbers(self) -> None:
        shares = self.fractions.values()
        if self.fractions and (min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6):
            raise UsageError("Fractions are more than 0 and make 1: train=0.7, val=0.1, test=0.2.")
        if not 0 <= self.folds <= MOST_FOLDS or self.folds == 1:
            raise UsageError(f"Use 2 to {MOST_FOLDS} folds, or 0 for none.")
        if not (self.fractions or self.values or self.dates or self.folds):
            raise UsageError("Say how: fractions, values, dates or folds.")

    @property
    def names(self) -> list[str]:
        """The splits, in their order."""
        return list(dict.fromkeys([*self.fractions, *self.dates, *self.values.values()]))


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError as error:
        raise UsageError(f"{text[:40]!r} is no day. Write it as 2024-12-31.") from error


def _column(name: str) -> str:
    """The column of `series` that a name means, or "age"; UsageError when it means none."""
    found = GROUPS.get(name, name)
    if found != AGE and found not in tables.SERIES.names:
        known = ", ".join([*GROUPS, AGE])
        raise UsageError(f"{name[:60]!r} is no attribute of series. Use its keyword, or {known}.")
    return found


def split(
    lake: str | Path | Store, name: str, spec: Spec, *, by: str = "", comment: str = ""
) -> Version:
    """The next version of a cohort, in which every patient has a split, and a fold if wanted.

    What was decided since the newest version is in it. Patients whom the spec puts nowhere, such as
    those who were at sites of two splits, have none; `checking.check` tells.
    """
    store = keeping.store_of(lake)
    with keeping.changing(store.path):
        before = keeping.read(store.path, name)
        entries = keeping.log(store.path, name)
        rows = deciding.applied(store, keeping.rows(store.path, before), entries[before.entries :])
        rows = _put(store, _without(withdrawing.marked(store.path, rows)), spec)
        said = {"entries": len(entries), "split": plain(spec)}
        return keeping.next_of(store.path, before, rows, "split", by, comment, **said)


def shares(rows: pa.Table) -> list[dict[str, Any]]:
    """Patients, studies and series of every split and fold that rows have, by name."""
    found = (
        rows.group_by(["split", "fold"])
        .aggregate(
            [
                ("patient_key", "count_distinct"),
                ("StudyInstanceUID", "count_distinct"),
                ("SeriesInstanceUID", "count"),
            ]
        )
        .sort_by([("split", "ascending"), ("fold", "ascending")])
    )
    names = ("split", "fold", "patients", "studies", "series")
    columns = ("split", "fold", "patient_key_count_distinct", "StudyInstanceUID_count_distinct",
               "SeriesInstanceUID_count")  # fmt: skip
    cells = (found.column(name).to_pylist() for name in columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def plain(spec: Spec) -> dict[str, Any]:
    """A spec as JSON."""
    return {**asdict(spec), "stratify": list(spec.stratify)}


def carried(store: Store, rows: pa.Table, before: pa.Table, spec: Mapping[str, Any]) -> pa.Table:
    """Rows in which patients are in the split in which they were, and new ones in one of theirs."""
    known = {
        key: (split, fold)
        for key, split, fold in zip(
            *(before.column(name).to_pylist() for name in ("patient_key", "split", "fold")),
            strict=True,
        )
        if split is not None or fold is not None
    }
    return _put(store, _without(rows), Spec(**{**spec, "stratify": tuple(spec["stratify"])}), known)


def _without(rows: pa.Table) -> pa.Table:
    """Rows without splits."""
    for name in ("split", "fold"):
        at = rows.schema.get_field_index(name)
        field_ = rows.schema.field(at)
        rows = rows.set_column(at, field_, pa.nulls(rows.num_rows, field_.type))
    return rows


def _put(
    store: Store,
    rows: pa.Table,
    spec: Spec,
    known: Mapping[int, tuple[str | None, int | None]] = {},
) -> pa.Table:
    """Rows with the splits and folds of their units; those that are left out have none."""
    kept = rows.filter(pc.equal(rows.column("state"), INCLUDED))
    if not kept.num_rows:
        return rows
    units = _Units(store, kept, spec)
    before = units.before(known)
    splits = units.splits({unit: one[0] for unit, one in before.items() if one[0] is not None})
    folds = units.folds(splits, {u: one[1] for u, one in before.items() if one[1] is not None})
    at = pc.index_in(rows.column("SeriesInstanceUID"), value_set=kept.column("SeriesInstanceUID"))
    for name, values in (("split", splits), ("fold", folds)):
        of_rows = pa.array(
            [values[unit] for unit in units.of.tolist()], keeping.ROWS.field(name).type
        )
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), of_rows.take(at.combine_chunks()))
    return rows


class _Units:
    """What is put as a whole: units 0 to n-1, in the order in which the seed draws them."""

    def __init__(self, store: Store, rows: pa.Table, spec: Spec) -> None:
        self._rows, self._spec = rows, spec
        self._about = _attributes(store, rows, spec)
        keys = [_codes(rows.column("patient_key")), _codes(rows.column("study_key"))]
        if spec.by in GROUPS and spec.fractions:
            keys.append(_codes(self._about.column(GROUPS[spec.by])))
        self.of = _drawn(_joined(keys), _names(rows), spec.seed)
        self.count = int(self.of.max()) + 1

    def before(self, known: Mapping[int, tuple[Any, Any]]) -> dict[int, tuple[Any, Any]]:
        """Where units were before: the patient whose series come first decides."""
        found: dict[int, tuple[Any, Any]] = {}
        if known:
            keys = self._rows.column("patient_key").to_pylist()
            for unit, key in zip(self.of.tolist(), keys, strict=True):
                if unit not in found and key in known:
                    found[unit] = known[key]
        return found

    def splits(self, before: Mapping[int, str]) -> list[str | None]:
        """The split of each unit."""
        spec = self._spec
        if spec.fractions and spec.by != "date":
            return [*_shared(self._strata(), spec.fractions, before)]
        if spec.by == "date" and (spec.fractions or spec.dates):
            days = self._newest()
            bounds = spec.dates or self._cut(days)
            found = [_dated(day, bounds) for day in days]
        elif spec.values:
            found = self._by_value()
        else:
            found = [None] * self.count
        return [before.get(unit, one) for unit, one in enumerate(found)]

    def folds(self, splits: Sequence[str | None], before: Mapping[int, int]) -> list[int | None]:
        """The fold of each unit of the first split, or of all where there are no splits."""
        if not self._spec.folds:
            return [None] * self.count
        first = next(iter(self._spec.names), None)
        chosen = [unit for unit in range(self.count) if splits[unit] == first]
        strata = self._strata()
        shares = dict.fromkeys(range(self._spec.folds), 1 / self._spec.folds)
        had = {place: before[unit] for place, unit in enumerate(chosen) if unit in before}
        drawn = _shared([strata[unit] for unit in chosen], shares, had)
        found: list[int | None] = [None] * self.count
        for unit, fold in zip(chosen, drawn, strict=True):
            found[unit] = fold
        return found

    def _strata(self) -> list[tuple[Any, ...]]:
        """What each unit has of the attributes that are to be as frequent everywhere."""
        columns = [self._values(name) for name in self._spec.stratify]
        return [tuple(column[unit] for column in columns) for unit in range(self.count)]

    def _values(self, name: str) -> list[Any]:
        """All values of an attribute that each unit has; of ages the youngest."""
        pairs = pa.table({"unit": self.of, "value": self._about.column(name)})
        if name == AGE:
            found = pairs.group_by("unit").aggregate([("value", "min")]).sort_by("unit")
            return list(found.column("value_min").to_pylist())
        pairs = pairs.group_by(["unit", "value"]).aggregate([])
        values: list[list[str]] = [[] for _ in range(self.count)]
        for unit, value in zip(
            pairs.column("unit").to_pylist(), pairs.column("value").to_pylist(), strict=True
        ):
            values[unit].append("" if value is None else str(value))
        return [tuple(sorted(some)) for some in values]

    def _by_value(self) -> list[str | None]:
        wanted = self._spec.values
        found: list[str | None] = []
        for values in self._values(GROUPS[self._spec.by]):
            names = {wanted.get(value, wanted.get(_REST)) for value in values}
            found.append(names.pop() if len(names) == 1 else None)
        return found

    def _newest(self) -> list[date | None]:
        """The newest day of each unit."""
        pairs = pa.table({"unit": self.of, "day": self._about.column("StudyDate")})
        found = pairs.group_by("unit").aggregate([("day", "max")]).sort_by("unit")
        return list(found.column("day_max").to_pylist())

    def _cut(self, days: Sequence[date | None]) -> dict[str, str]:
        """First days of splits that have these shares of the units, the oldest first."""
        known = sorted(day for day in days if day is not None)
        bounds: dict[str, str] = {}
        at = 0.0
        for name, share in self._spec.fractions.items():
            place = min(round(at * len(known)), len(known) - 1)
            bounds[name] = known[place].isoformat() if at and known else ""
            at += share
        return bounds


def _dated(day: date | None, bounds: Mapping[str, str]) -> str | None:
    """The split with the newest first day that is not after a day."""
    if day is None:
        return None
    fits = [(first, name) for name, first in bounds.items() if first <= day.isoformat()]
    return max(fits)[1] if fits else None


def _shared(
    strata: Sequence[tuple[Any, ...]], shares: Mapping[Any, float], before: Mapping[int, Any]
) -> list[Any]:
    """A name for each unit in turn, so that all of them and every stratum have their shares."""
    names = list(shares)
    every = dict.fromkeys(names, 0)
    within: dict[tuple[Any, ...], dict[Any, int]] = {}
    found: list[Any] = [None] * len(strata)

    def take(unit: int, name: Any) -> None:
        found[unit] = name
        if name in every:
            every[name] += 1
            within.setdefault(strata[unit], dict.fromkeys(names, 0))[name] += 1

    for unit, name in before.items():
        take(unit, name)
    total = sum(every.values())
    for unit, stratum in enumerate(strata):
        if unit in before:
            continue
        here = within.get(stratum) or dict.fromkeys(names, 0)
        size = sum(here.values())
        total += 1
        take(
            unit,
            max(
                names,
                key=lambda n: shares[n] * size - here[n] + shares[n] * total - every[n],
            ),
        )
    return found


def _codes(column: pa.ChunkedArray) -> Numbers:
    """Values as numbers from 0; missing ones are each their own."""
    coded = column.combine_chunks().dictionary_encode()
    codes = np.asarray(pc.fill_null(coded.indices, -1), np.int64)
    none = codes < 0
    codes[none] = len(coded.dictionary) + np.arange(int(none.sum()))
    return codes


def _joined(keys: Sequence[Numbers]) -> Numbers:
    """The first of all rows that share a value of some key with a row, directly or by others."""
    root = np.arange(len(keys[0]))
    while True:
        before = root
        for codes in keys:
            lowest = np.full(int(codes.max()) + 1, len(root))
            np.minimum.at(lowest, codes, root)
            root = lowest[codes]
        root = root[root]
        if np.array_equal(before, root):
            return root


def _names(rows: pa.Table) -> pa.Array:
    """What tells the patient of a row from others in any lake."""
    issuer, patient = (rows.column(n) for n in ("IssuerOfPatientID", "PatientID"))
    named = pc.binary_join_element_wise(issuer, patient, "\0")
    return pc.if_else(pc.equal(patient, ""), rows.column("StudyInstanceUID"), named)


def _drawn(roots: Numbers, names: Any, seed: int) -> Numbers:
    """Numbers from 0 of the units of rows, in the order in which a seed draws them."""
    table = pa.table({"root": roots, "name": names})
    units = table.group_by("root").aggregate([("name", "min")])
    marks = [
        hashlib.sha256(f"{seed}\0{name}".encode()).digest()
        for name in units.column("name_min").to_pylist()
    ]
    order = pc.sort_indices(pa.array(marks, pa.binary()))
    drawn = units.column("root").combine_chunks().take(order)
    found: Numbers = np.asarray(pc.index_in(pa.array(roots), value_set=drawn), np.int64)
    return found


def _attributes(store: Store, rows: pa.Table, spec: Spec) -> pa.Table:
    """Columns of the lake that a spec needs, in the order of rows; none of what is gone."""
    wanted = [name for name in spec.stratify if name != AGE]
    wanted += [GROUPS[spec.by]] if spec.by in GROUPS else []
    columns = [f's."{name}"::varchar as "{name}"' for name in dict.fromkeys(wanted)]
    columns += ['s."StudyDate" as "StudyDate"', f"{_AGE} as {AGE}"]
    with store.database(only=("series",)) as db:
        db.register("held", rows.select(["SeriesInstanceUID"]))
        return db.sql(
            f"select {', '.join(columns)} from held h left join series s "
            'using ("SeriesInstanceUID") order by h."SeriesInstanceUID"'
        ).to_arrow_table()


_AGE = """
    10 * (coalesce(
        case when regexp_matches(s."PatientAge", '^[0-9]{3}Y$') then s."PatientAge"[1:3]::integer
             when regexp_matches(s."PatientAge", '^[0-9]{3}[DWM]$') then 0 end,
        date_sub('year', s."PatientBirthDate", s."StudyDate")) // 10)
"""
