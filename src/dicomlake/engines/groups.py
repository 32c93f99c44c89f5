"""What meets a condition, counted or measured by group: the numbers behind charts.

A series belongs to a group of each of its values: one with two body parts counts in both. What has
no value is the group of null. Of a question for instances, only those that it finds are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from dicomlake import tables
from dicomlake.engines import contents
from dicomlake.engines.conditions import HAS_VALUE, Part
from dicomlake.engines.order import listed
from dicomlake.engines.search import Search
from dicomlake.engines.snapshot import Mask, Numbers
from dicomlake.errors import UsageError
from dicomlake.query import Exists, Node
from dicomlake.query.attributes import ANATOMY, ANATOMY_PATHS, ROWS, attribute

COUNTED = ("patients", "studies", "series", "instances")
MEASURES = ("min", "max", "mean", "median", "sum")
BINS = ("auto", "year", "quarter", "month", "week", "day", "weekday", "hour", "width", "steps")
OWN = {
    "source": "s.source",
    "complete": "s.complete",
    "indexed": "s.indexed",
    "run_id": "s.run_id",
    "lag": "date_diff('day', coalesce(s.StudyDate, s.SeriesDate), s.indexed::date)",
    "lag_created": "date_diff('day', s.InstanceCreationDate, s.indexed::date)",
}
"""Columns of `series` that are no attributes.

`lag` is days from the study to its indexing, `lag_created` those from the making of its objects.
"""
MOST_BY = 4
MOST_STEPS = 100
_SPANS = ((45, "day"), (300, "week"), (1900, "month"), (5500, "quarter"))
"""Up to so many days from the first to the last, dates are shown by that; by year beyond."""


@dataclass(frozen=True, slots=True)
class By:
    """What groups are made of: an attribute path or a column of OWN, its values perhaps in bins.

    `bin`: a part of a date or time; "auto": a day, week, month, quarter or year, so that there are
    some dozens of them; "width": numbers from k * width to below (k + 1) * width; "steps": numbers
    from one of `steps` to below the next, the first of them with all that is smaller.
    """

    path: str
    bin: str = ""
    width: float = 0.0
    steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.path not in OWN:
            object.__setattr__(self, "path", attribute(self.path).path)
        if self.path in ROWS:
            raise UsageError(f"{self.path} is a row. Group by one of its columns.")
        if self.kind == "binary":
            raise UsageError(f"{self.path} holds bulk data, which makes no groups.")
        if self.bin and self.bin not in BINS:
            raise UsageError(f"{self.bin!r} is no bin. Use one of {', '.join(BINS)}.")
        numbers = ("number", "content", "age")
        fits = {"width": numbers, "steps": numbers, "hour": ("time", "datetime", "content")}
        dates = ("date", "datetime", "content")
        if self.bin and self.kind not in fits.get(self.bin, dates):
            raise UsageError(f"{self.path} has no {self.bin}: it holds {self.kind}s.")
        if self.bin == "width" and not 0 < self.width < float("inf"):
            raise UsageError("Give bins of a width the width: a number above 0.")
        if self.bin == "steps":
            self._check_steps()

    def _check_steps(self) -> None:
        rising = all(low < high for low, high in pairwise(self.steps))
        if not rising or not 0 < len(self.steps) <= MOST_STEPS:
            raise UsageError(f"Give steps: up to {MOST_STEPS} numbers, each above the one before.")

    @property
    def kind(self) -> str:
        """Kind of value that is grouped."""
        if self.path in OWN:
            kinds = {"indexed": "datetime", "lag": "number", "lag_created": "number"}
            return kinds.get(self.path, "text")
        return "text" if self.path == ANATOMY else attribute(self.path).kind


@dataclass(frozen=True, slots=True)
class Grouped:
    """A question for groups.

    `measure`: one of COUNTED, or one of MEASURES of the number at `of`. `limit`: the largest
    groups; `others`: and the rest of them as one.
    """

    by: tuple[By, ...]
    where: Node | None = None
    level: str = "series"
    measure: str = "series"
    of: str = ""
    limit: int = 1000
    others: bool = False

    def __post_init__(self) -> None:
        if len(self.by) > MOST_BY:
            raise UsageError(f"Group by {MOST_BY} things at most.")
        if self.measure not in (*COUNTED, *MEASURES):
            raise UsageError(
                f"{self.measure!r} is no measure. Use one of {', '.join((*COUNTED, *MEASURES))}."
            )
        if self.measure in MEASURES and not self.of:
            raise UsageError(f"Say of which number the {self.measure} is wanted.")
        if (
            self.of
            and self.of not in OWN
            and attribute(self.of).kind not in ("number", "content", "age")
        ):
            raise UsageError(f"{self.of} holds no numbers.")


class Groups:
    """Counts and measures some series by group.

    `instances`: how many instances of each series of the snapshot count; all when left out.
    """

    def __init__(self, search: Search, mask: Mask, instances: Numbers | None = None) -> None:
        self.search, self.db, snapshot = search, search.db, search.snapshot
        instances = snapshot.instances if instances is None else instances
        self._bins: dict[str, str] = {}
        table = {
            "series_id": snapshot.ids[mask],
            "patient": snapshot.patients[mask],
            "study": snapshot.studies[mask],
            "instances": instances[mask],
        }
        self.db.register("chosen", pa.table(table))

    def rows(self, question: Grouped) -> pa.Table:
        """A row per group: g0, g1, ... and `value`, the largest first; `others` says the rest.

        The metadata of a column say under `bin` what its values are in.
        """
        for n, by in enumerate(question.by):
            self.register(f"by{n}", by)
        if question.of:
            self.register("measured", By(question.of), numbers=True)
        names = [f"g{n}" for n in range(len(question.by))]
        joins = "".join(
            f" left join by{n} on by{n}.series_id = c.series_id" for n in range(len(question.by))
        )
        picked = "".join(f"by{n}.v as g{n}, " for n in range(len(question.by)))
        joins += " join measured m on m.series_id = c.series_id" if question.of else ""
        number = "m.v as number" if question.of else "0 as number"
        self.search.check()
        self.db.execute(
            "create or replace temp table grouped as select distinct "
            f"{picked}c.series_id, c.patient, c.study, c.instances, {number} from chosen c{joins}"
        )
        value = _measured(question.measure)
        grouped = f"group by {', '.join(names)}" if names else ""
        keys = "".join(f"{name}, " for name in names)
        whole = self.db.sql(
            f"select {keys}{value} as value, false as others from grouped {grouped} "
            f"order by value desc nulls last{''.join(f', {n}' for n in names)} "
            f"limit {question.limit + 1}"
        ).to_arrow_table()
        if whole.num_rows > question.limit:
            first = whole.slice(0, question.limit)
            whole = self._with_rest(first, names, value) if question.others and names else first
        return self._with_bins(whole)

    def _with_bins(self, table: pa.Table) -> pa.Table:
        """The same rows; columns of groups know their bins."""
        fields = [
            table.field(n).with_metadata({"bin": self._bins[f"by{n}"]})
            if f"by{n}" in self._bins
            else table.field(n)
            for n in range(table.num_columns)
        ]
        return pa.Table.from_arrays(table.columns, schema=pa.schema(fields))

    def _with_rest(self, first: pa.Table, names: list[str], value: str) -> pa.Table:
        """The largest groups, and all that is in none of them as one more."""
        self.db.register("first_groups", first)
        same = " and ".join(f"f.{n} is not distinct from g.{n}" for n in names)
        nothing = ", ".join(f"null as {n}" for n in names)
        rest = self.db.sql(
            f"select {nothing}, {value} as value, true as others from grouped g "
            f"where not exists (select 1 from first_groups f where {same})"
        ).to_arrow_table()
        return pa.concat_tables([first, rest.cast(first.schema)])

    def register(self, name: str, by: By, *, numbers: bool = False) -> None:
        """A temporary table of series_id and value `v`."""
        self.search.check()
        source = self._values(by, numbers=numbers or by.bin in ("width", "steps"))
        unit = by.bin
        if unit == "auto":
            span = f"select date_diff('day', min(v), max(v)) from ({source.sql})"
            unit = fitting(self.db.execute(span, list(source.values)).fetchall()[0][0] or 0)
        if unit:
            self._bins[name] = unit
        self.db.execute(
            f"create or replace temp table {name} as "
            f"select distinct series_id, {_binned(by, unit)} as v "
            f"from ({source.sql}) where v is not null",
            list(source.values),
        )

    def _values(self, by: By, *, numbers: bool) -> Part:
        """SELECT of series_id and v: every value that chosen series have."""
        if by.path in OWN:
            return Part(
                f"select s.series_id, {OWN[by.path]} as v from series s "
                "join chosen using (series_id)"
            )
        if by.path == ANATOMY:
            parts = [self._values(By(path), numbers=False) for path in ANATOMY_PATHS]
            return Part(
                " union all ".join(part.sql for part in parts),
                tuple(value for part in parts for value in part.values),
            )
        if attribute(by.path).table:
            return self._inside(by.path, numbers=numbers, dated=by.bin not in _UNDATED)
        return self._of_headers(by.path)

    def _inside(self, path: str, *, numbers: bool, dated: bool) -> Part:
        asked = contents.asked_rows(path)
        kind = attribute(path).kind
        value = contents.shown(path)
        if kind == "datetime":
            value = f'c."{path.partition(".")[2]}"'
        elif dated:
            value = "c.moment"
        elif kind == "number" or numbers:
            value = contents.number(path)
        sql = (
            f"select c.series_id, {value} as v from "
            f"{self.search.rows_among(asked.table, 'chosen')} c "
            f"join chosen on chosen.series_id = c.series_id where {asked.where.sql}"
        )
        return Part(sql, asked.where.values)

    def _of_headers(self, path: str) -> Part:
        kind = attribute(path).kind
        names = self.search.any_depth(path)
        value = {
            "number": "number", "time": "number", "age": "number", "date": "moment::date",
            "datetime": "moment",
        }.get(kind, _TEXT)  # fmt: skip
        elements = (
            f"select e.series_id, {value} as v from elements e join chosen using (series_id) "
            f"where path in ({listed(names)}) and {HAS_VALUE.sql}"
        )
        if path in tables.SERIES_KEYWORDS and kind in ("text", "number", "date"):
            return Part(self._of_series(path, value))
        return Part(elements)

    def _of_series(self, path: str, value: str) -> str:
        """From the column of `series` where all instances agree, else from their values."""
        several = pa.types.is_list(tables.type_of(path))
        own = f'unnest(s."{path}")' if several else f's."{path}"'
        return (
            f"select s.series_id, {own} as v from series s join chosen using (series_id) "
            f"where not list_contains(s.varying, '{path}') union all "
            f"select e.series_id, {value} as v from elements e join chosen using (series_id) "
            f"join series s on s.series_id = e.series_id and list_contains(s.varying, '{path}') "
            f"where e.path = '{path}' and {HAS_VALUE.sql}"
        )


_UNDATED = ("", "width", "steps")


def fitting(days: int) -> str:
    """The bin in which dates over so many days make some dozens of groups.

    >>> fitting(30), fitting(3000)
    ('day', 'quarter')
    """
    return next((name for most, name in _SPANS if days <= most), "year")


_TEXT = (
    "case when code_value is not null then trim(coalesce(code_meaning, '') || ' (' || "
    "coalesce(code_scheme, '') || ':' || code_value || ')') else coalesce(text, case when "
    "number = trunc(number) and abs(number) < 1e15 then number::bigint::varchar "
    "else number::varchar end) end"
)


def _binned(by: By, unit: str) -> str:
    """SQL of the bin of a value `v`."""
    if by.bin == "width":
        return f"floor(v / {by.width!r}) * {by.width!r}"
    if by.bin == "steps":
        cases = "".join(
            f"when v >= {float(step)!r} then {float(step)!r} " for step in by.steps[::-1]
        )
        return f"case {cases}else {float(by.steps[0])!r} end::double"
    if by.bin == "hour":
        return "floor(v / 3600)::int" if by.kind == "time" else "hour(v)"
    if by.bin == "weekday":
        return "isodow(v)"
    if by.bin == "year":
        return "year(v)"
    if by.bin:
        return f"date_trunc('{unit}', v)::date"
    return "v"


def _measured(measure: str) -> str:
    """SQL of a measure over `grouped`, in which a series may stand several times in a group."""
    if measure == "series":
        return "count(distinct series_id)"
    if measure in ("patients", "studies"):
        return f"count(distinct {'patient' if measure == 'patients' else 'study'})"
    if measure == "instances":
        return (
            "coalesce(list_sum(map_values(map_from_entries(list(distinct "
            "{'k': series_id, 'v': instances})))), 0)::bigint"
        )
    return {"mean": "avg(number)", "median": "median(number)"}.get(measure, f"{measure}(number)")


@dataclass(frozen=True, slots=True)
class Filled:
    """How many series of each group have a value at each path.

    Rows are the value of the group, its series, and of these those with a value at each path;
    `whole` is such a row of all series that were found, also of those in no group.
    """

    paths: list[str]
    rows: list[tuple[Any, int, list[int]]]
    whole: tuple[Any, int, list[int]]


def fill_rate(search: Search, mask: Mask, by: By, paths: list[str], limit: int) -> Filled:
    """Which paths have values in the largest groups."""
    Groups(search, mask).register("by0", by)
    search.db.execute(
        "create or replace temp table sized as select v, count(*) as n, "
        "row_number() over (order by count(*) desc, v) - 1 as place from by0 group by v "
        "qualify place < ?",
        [limit],
    )
    sized = search.db.execute("select v, n from sized order by place").fetchall()
    rows = search.db.execute("select series_id, place from by0 join sized using (v)").fetchnumpy()
    at, _ = search.snapshot.places(rows["series_id"].astype(np.int64))
    place = rows["place"].astype(np.int64)
    filled, whole = [], []
    for path in paths:
        has = search.series(Exists(path), "series")
        filled.append(np.bincount(place[has[at]], minlength=len(sized)).tolist())
        whole.append(int(np.count_nonzero(has & mask)))
    counts = list(zip(*filled, strict=True)) or [()] * len(sized)
    found = [(key, n, list(row)) for (key, n), row in zip(sized, counts, strict=True)]
    return Filled(paths, found, (None, int(np.count_nonzero(mask)), whole))
