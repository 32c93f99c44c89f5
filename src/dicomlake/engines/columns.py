"""What an answer shows: a page of what was found, in order, typed where cells have one value."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.engines.conditions import HAS_VALUE, Part, columns_of
from dicomlake.engines.counts import COUNTS, MODALITIES, counts
from dicomlake.engines.search import Instances, Search
from dicomlake.engines.snapshot import Mask, Numbers
from dicomlake.query import Query
from dicomlake.query.headers import shower, sort_values

DEFAULTS = {
    "patient": (
        "PatientID",
        "PatientSex",
        "PatientBirthDate",
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    ),
    "study": (
        "PatientID",
        "StudyDate",
        "ModalitiesInStudy",
        "StudyDescription",
        "AccessionNumber",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "StudyInstanceUID",
    ),
    "series": (
        "PatientID",
        "StudyDate",
        "Modality",
        "BodyPartExamined",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
        "SeriesInstanceUID",
    ),
    "instance": ("SeriesInstanceUID", "InstanceNumber", "SOPInstanceUID"),
}
"""Columns of an answer that names none."""

ORDER = {
    "patient": ("PatientID",),
    "study": ("PatientID", "-StudyDate"),
    "series": ("PatientID", "-StudyDate", "SeriesNumber"),
    "instance": ("SeriesInstanceUID", "InstanceNumber"),
}

MOST_KEPT = 3_000_000
"""Columns of lakes with more series are read again for every answer."""

Keys: TypeAlias = list[NDArray[np.float64]]
"""What things are ordered by, the first key first; infinite where there is no value."""

_WHOLE = {path for path in tables.SERIES_KEYWORDS if not pa.types.is_list(tables.type_of(path))}
_INSTANCE = frozenset(tables.INSTANCES.names) - {"header", "problems", "uri", "offset", "size"}
_INSTANCE -= {"series_id", "modified"}

# A value of `elements` as people read it, and folded ones as a range.
_READABLE = """case
  when folded and moment is not null
    then strftime(moment, '%Y-%m-%d') || ' .. ' || strftime(moment_max, '%Y-%m-%d')
  when folded and number is not null then {low} || ' .. ' || {high}
  when folded then '(many)'
  when code_value is not null
    then trim(coalesce(code_meaning, '') || ' (' || coalesce(code_scheme, '') || ':' || code_value
      || ')')
  when text is not null then text
  when vr = 'SQ' then {low} || case when number = 1 then ' item' else ' items' end
  when vr in ({binary}) then {low} || case when number = 1 then ' byte' else ' bytes' end
  else {low} end""".format(
    low="case when number = trunc(number) and abs(number) < 1e15 "
    "then number::bigint::varchar else number::varchar end",
    high="case when number_max = trunc(number_max) and abs(number_max) < 1e15 "
    "then number_max::bigint::varchar else number_max::varchar end",
    binary=", ".join(f"'{vr}'" for vr in sorted(dictionary.BINARY)),
)


class Shown:
    """Finds what a query asks for, and fetches the rows of its answer."""

    def __init__(self, search: Search, query: Query) -> None:
        self.search, self.query = search, query
        self.db, self.snapshot = search.db, search.snapshot
        self.show = query.show or DEFAULTS[query.level]
        self.order = query.order or ORDER[query.level]

    def entities(self) -> tuple[dict[str, int], pa.Table]:
        """Totals, and rows of patients, studies or series."""
        where, level, snapshot = self.query.where, self.query.level, self.snapshot
        mask = snapshot.every() if where is None else self.search.series(where, level)
        own = mask
        if where is not None and level != "series":
            own = self.search.series(where, "series", mask) & mask
        self._register(*self._page(mask, own))
        found = self._counted()
        found |= self._wide([path for path in self.show if path in tables.SERIES_KEYWORDS])
        found |= self._long([path for path in self.show if path not in found])
        columns = pa.table({path: found[path] for path in self.show})
        return snapshot.totals(mask, snapshot.instances), columns

    def instances(self) -> tuple[dict[str, int], pa.Table]:
        """Totals, and rows of instances."""
        found = self.search.instances(self.query.where)
        totals = self.snapshot.totals(found.counts > 0, found.counts)
        page = self._ordered(found)
        at, _ = self.snapshot.places(page.column("series_id").to_numpy())
        self._register(np.arange(len(at)), at)
        self.db.register("members", page.append_column("place", pa.array(np.arange(len(at)))))
        columns = self._counted()
        columns |= self._of_instances([path for path in self.show if path not in columns])
        return totals, pa.table({path: columns[path] for path in self.show})

    # Which rows, in which order

    def _page(self, mask: Mask, own: Mask) -> tuple[Numbers, Numbers]:
        """Rows of the answer, and the places of the series that each is about.

        Those are the series that meet the whole condition by themselves (`own`), or all series of
        a patient or study without one.
        """
        of, count = self.snapshot.entities(self.query.level)
        places = np.flatnonzero(mask)
        there = np.zeros(count, bool)
        there[of[places]] = True
        entities = np.flatnonzero(there)
        keys = []
        for path in self.order:
            key = np.full(count, np.inf)
            np.minimum.at(key, of[places], self._key(path)[places])
            keys.append(key[entities])
        chosen = entities[_first(keys, self.query.limit)]
        row = np.full(count, -1)
        row[chosen] = np.arange(len(chosen))
        places = np.flatnonzero(own | (mask & ~self.snapshot.lift(own, self.query.level)))
        rows = row[of[places]]
        return rows[rows >= 0], places[rows >= 0]

    def _register(self, rows: Numbers, places: Numbers) -> None:
        self._rows, self._places = rows, places
        self._size = int(rows.max()) + 1 if len(rows) else 0
        self.db.register("page", pa.table({"place": rows, "series_id": self.snapshot.ids[places]}))

    def _key(self, path: str) -> NDArray[np.float64]:
        """What series are ordered by: the smallest value, or the largest turned round."""
        down, path = path.startswith("-"), path.removeprefix("-")
        find = partial(self._find_key, path, down)
        key: NDArray[np.float64] = self.snapshot.once(("order", path, down), find)
        return key

    def _find_key(self, path: str, down: bool) -> NDArray[np.float64]:
        snapshot = self.snapshot
        if path in COUNTS:
            return (counts(snapshot, path) * (-1 if down else 1)).astype(np.float64)
        if path == MODALITIES:
            of, count = snapshot.entities("study")
            lowest = np.full(count, np.inf)
            np.minimum.at(lowest, of, self._key("-Modality" if down else "Modality"))
            return lowest[of]
        table = self.db.sql(self._values(path, down)).to_arrow_table()
        numbers = _ranks(table.column("value")) * (-1 if down else 1)
        at, known = snapshot.places(table.column("series_id").to_numpy())
        key = np.full(len(snapshot), np.inf)
        key[at[known]] = numbers[known]
        return key

    def _values(self, path: str, down: bool) -> str:
        """SQL of the value that each series is ordered by."""
        about = dictionary.attribute(path)
        if path in _WHOLE and about.kind not in ("time", "age"):
            return f'select series_id, "{path}" as value from series where value is not null'
        paths = self.search.any_depth(path)
        columns = columns_of(path, self.search.forms(paths))
        value = columns.text
        if about.kind not in ("text", "unknown"):
            value = columns.high if down else columns.low
        word = "max" if down else "min"
        return (
            f"select series_id, {word}({value}) as value from elements "
            f"where path in ({_listed(paths) or 'null'}) group by series_id "
            "having value is not null"
        )

    def _ordered(self, found: Instances) -> pa.Table:
        """Numbers of series and SOPInstanceUIDs of the rows of the answer, in order."""
        mask = found.counts > 0
        inside = [path for path in self.order if path.removeprefix("-") not in _INSTANCE]
        if not all(self._constant(path.removeprefix("-"), mask) for path in inside):
            return self._ordered_by_headers(found)
        lead = [self._key(path) for path in _leading(self.order)]
        picked = _restricted(mask, lead, self.query.limit)
        numbers = {f"key_{i}": self._key(path)[picked] for i, path in enumerate(inside)}
        order = [
            f"key_{inside.index(path)}" if path in inside else _by_column(path)
            for path in self.order
        ]
        limit = "" if self.query.limit is None else f"limit {self.query.limit}"
        select = self._members(found, picked, 'i.series_id, i."SOPInstanceUID"', numbers)
        tail = f'order by {", ".join(order)}, i."SOPInstanceUID", i.series_id {limit}'
        return self.db.sql(f"{select} {tail}", params=list(found.columns.values)).to_arrow_table()

    def _constant(self, path: str, mask: Mask) -> bool:
        """Whether all instances of each of these series are alike in an attribute."""
        if path in COUNTS or path == MODALITIES:
            return True
        return bool(self.search.constant(path)[mask].all())

    def _ordered_by_headers(self, found: Instances) -> pa.Table:
        picked = np.flatnonzero(found.counts > 0)
        what = 'i.series_id, i."SOPInstanceUID", i.header'
        reads = [(path, sort_values(path.removeprefix("-"))) for path in self.order]
        met: list[tuple[int, str, list[Any]]] = []
        select = Part(self._members(found, picked, what, {}), found.columns.values)
        for number, uid, header in self.search.stream(select):
            item = orjson.loads(header)
            values = [read(item) for _, read in reads]
            met.append((number, uid, values))
        met.sort(key=lambda row: (row[1], row[0]))
        for at in reversed(range(len(reads))):
            down = reads[at][0].startswith("-")
            have = [row for row in met if row[2][at]]
            have.sort(key=lambda row: (max if down else min)(row[2][at]), reverse=down)
            met = have + [row for row in met if not row[2][at]]
        met = met[: self.query.limit]
        return pa.table({"series_id": [m[0] for m in met], "SOPInstanceUID": [m[1] for m in met]})

    def _members(
        self, found: Instances, picked: Numbers, what: str, numbers: dict[str, Any]
    ) -> str:
        """SQL of the instances of a set that are in some series; `numbers` per series with them."""
        ids, whole = self.snapshot.ids[picked], found.whole[picked]
        self.db.register("picked", pa.table({"series_id": ids, "whole": whole, **numbers}))
        self.db.register("single", found.single)
        for name, table in found.lists.items():
            self.db.register(name, table)
        return (
            f"select {what} from instances i join picked p on p.series_id = i.series_id "
            "left join single m on m.series_id = i.series_id "
            'and m."SOPInstanceUID" = i."SOPInstanceUID" '
            f"where ((p.whole and {found.columns.sql}) or m.series_id is not null)"
        )

    # What to show of them

    def _counted(self) -> dict[str, pa.Array]:
        """Columns that the lake counts."""
        found: dict[str, pa.Array] = {}
        for path in self.show:
            if path in COUNTS:
                numbers = counts(self.snapshot, path)[self._places]
                cells: list[list[Any]] = [[] for _ in range(self._size)]
                for row, number in np.unique(np.stack([self._rows, numbers], 1), axis=0).tolist():
                    cells[row].append(number)
                found[path] = _column(cells, pa.int64())
            elif path == MODALITIES:
                found[path] = self._modalities()
        return found

    def _modalities(self) -> pa.Array:
        """Modalities of the studies that rows are about."""
        snapshot = self.snapshot
        studies = snapshot.studies[self._places]
        inside = np.zeros(snapshot.study_count, bool)
        inside[studies] = True
        inside = inside[snapshot.studies]
        table = {"series_id": snapshot.ids[inside], "study": snapshot.studies[inside]}
        self.db.register("inside", pa.table(table))
        said = self.db.execute(
            "select distinct study, Modality from series join inside using (series_id) "
            "where Modality is not null"
        ).fetchall()
        by_study: dict[int, set[str]] = {}
        for study, modality in said:
            by_study.setdefault(study, set()).add(modality)
        cells: list[set[str]] = [set() for _ in range(self._size)]
        for row, study in zip(self._rows.tolist(), studies.tolist(), strict=True):
            cells[row] |= by_study.get(study, set())
        return pa.array(["\\".join(sorted(cell)) or None for cell in cells], pa.string())

    def _wide(self, paths: list[str]) -> dict[str, pa.Array]:
        """Columns of `series`, read together."""
        if not paths:
            return {}
        order = np.argsort(self._rows, kind="stable")
        places = pa.array(self._places[order])
        taken = {path: self._series_column(path).take(places) for path in paths}
        if self.query.level == "series":
            return taken
        self.db.register("taken", pa.table({"place": self._rows[order], **taken}))
        picked = ", ".join(
            f'list(distinct "{path}" order by "{path}") filter ("{path}" is not null) as "{path}"'
            for path in paths
        )
        table = self.db.sql(
            f"select {picked} from taken group by place order by place"
        ).to_arrow_table()
        return {
            path: _column(
                [cell or [] for cell in table.column(path).to_pylist()],
                table.column(path).type.value_type,
            )
            for path in paths
        }

    def _series_column(self, path: str) -> pa.ChunkedArray:
        """A column of `series` by place, lists joined by backslashes; kept in memory once read."""
        value = f'"{path}"' if path in _WHOLE else f"array_to_string(\"{path}\", '\\')"

        def read() -> pa.ChunkedArray:
            found = self.db.sql(f"select {value} as value from series order by series_id")
            return found.to_arrow_table().column("value")

        if len(self.snapshot) > MOST_KEPT:
            return read()
        return self.snapshot.once(("column", path), read)

    def _long(self, paths: list[str]) -> dict[str, pa.Array]:
        """Columns from `elements`, read together."""
        names = {path: self.search.any_depth(path) for path in paths}
        listed = _listed(sorted({name for some in names.values() for name in some}))
        if not listed:
            return {path: pa.nulls(self._size, pa.string()) for path in paths}
        rows = self.db.execute(
            f"with e as (select p.place, e.*, {_READABLE} as shown from elements e "
            f"join page p using (series_id) where path in ({listed}) and {HAS_VALUE.sql}), "
            # the values of one element together, unless they differ between instances
            "v as (select place, path, case when max(position) > 1 and bool_and(vr <> 'SQ') "
            "and count(*) = count(distinct position) "
            "then [string_agg(shown, '\\' order by position)] else list(distinct shown) end as v, "
            "list(distinct number) filter (vr in (" + _NUMBERS + ") and not folded) as n, "
            "list(distinct moment::date) filter (moment is not null and not folded) as d "
            "from e group by place, path, series_id) "
            "select place, path, list_sort(list_distinct(flatten(list(v)))), "
            "list_distinct(flatten(list(n))), list_distinct(flatten(list(d))) "
            "from v group by place, path order by place, path"
        ).fetchall()
        said: dict[str, list[tuple[int, list[Any], list[Any], list[Any]]]] = {}
        for place, path, texts, numbers, days in rows:
            said.setdefault(path, []).append((place, texts, numbers or [], days or []))
        return {path: self._cells(path, names[path], said) for path in paths}

    def _cells(self, path: str, names: list[str], said: dict[str, Any]) -> pa.Array:
        about = dictionary.attribute(path)
        cells: list[list[Any]] = [[] for _ in range(self._size)]
        for name in names:
            for place, texts, numbers, days in said.get(name, ()):
                typed = {"number": numbers, "date": days}.get(about.kind, [])
                cells[place] += typed if len(typed) == len(texts) == 1 else texts
        return _column(cells, _type(about))

    def _of_instances(self, paths: list[str]) -> dict[str, pa.Array]:
        """Columns of instances: from `instances`, the rest from their headers."""
        own = [path for path in paths if path in _INSTANCE]
        read = {p: shower(p) for p in paths if p not in _INSTANCE and p != "SeriesInstanceUID"}
        picked = [f'i."{path}"' for path in own]
        picked += ["s.SeriesInstanceUID"] * ("SeriesInstanceUID" in paths)
        picked += ["i.header"] * bool(read)
        cells: dict[str, list[list[Any]]] = {path: [] for path in read}
        if not picked:
            return {}
        table = self.db.sql(
            f"select {', '.join(picked)} from members m join instances i "
            'on i.series_id = m.series_id and i."SOPInstanceUID" = m."SOPInstanceUID" '
            "join series s on s.series_id = m.series_id order by m.place"
        ).to_arrow_table()
        if read:
            for header in table.column("header").to_pylist():
                item = orjson.loads(header)
                for path, show in read.items():
                    cells[path].append(show(item))
        found = {path: table.column(path) for path in paths if path not in read}
        return found | {p: _column(c, _type(dictionary.attribute(p))) for p, c in cells.items()}


_NUMBERS = ", ".join(f"'{vr}'" for vr in sorted(dictionary.NUMBERS))
_INTEGERS = dictionary.NUMBERS - {"DS", "FD", "FL"}


def _type(about: dictionary.Attribute) -> pa.DataType:
    """The type of a column whose cells have one value each."""
    if about.kind == "number":
        return pa.int64() if about.vr in _INTEGERS else pa.float64()
    return pa.date32() if about.kind == "date" else pa.string()


def _column(cells: list[list[Any]], kind: pa.DataType) -> pa.Array:
    """Cells as values of a type where each has at most one and all are of it, else as text."""
    if pa.types.is_integer(kind) and any(type(v) is float for cell in cells for v in cell):
        whole = all(type(v) is not float or v.is_integer() for cell in cells for v in cell)
        kind = kind if whole else pa.float64()
    textual = pa.types.is_string(kind)
    fits = all(len(cell) <= 1 for cell in cells)
    if fits and not textual and not any(isinstance(v, str) for cell in cells for v in cell):
        made = int if pa.types.is_integer(kind) else lambda value: value
        return pa.array([made(cell[0]) if cell else None for cell in cells], kind)
    texts = ["; ".join(dict.fromkeys(map(_said, cell))) or None for cell in cells]
    return pa.array(texts, pa.string())


def _said(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else str(value)


def _ranks(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers in the order of values."""
    if pa.types.is_string(column.type):
        coded: Any = pc.dictionary_encode(column.combine_chunks())
        order = pc.array_sort_indices(coded.dictionary).to_numpy()
        rank = np.empty(len(order))
        rank[order] = np.arange(len(order))
        ranks: NDArray[np.float64] = rank[coded.indices.to_numpy()]
        return ranks
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    numbers: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return numbers


def _first(keys: Keys, limit: int | None) -> Numbers:
    """Places of the first things by their keys, in order."""
    places = np.arange(len(keys[0]))
    if limit is not None and limit < len(places):
        last = np.partition(keys[0], limit - 1)[limit - 1]
        places = np.flatnonzero(keys[0] <= last)
    order = np.lexsort([places, *(key[places] for key in reversed(keys))])
    chosen: Numbers = places[order][:limit]
    return chosen


def _leading(order: tuple[str, ...]) -> list[str]:
    """The first keys of an order that are about series."""
    leading = []
    for path in order:
        if path.removeprefix("-") in _INSTANCE:
            break
        leading.append(path)
    return leading


def _restricted(mask: Mask, lead: Keys, limit: int | None) -> Numbers:
    """Places of the series that the first instances are in."""
    places = np.flatnonzero(mask)
    if limit is None or not lead or limit >= len(places):
        return places
    keys = [key[places] for key in lead]
    last = _first(keys, limit)[-1]
    tied = np.logical_and.reduce([key == key[last] for key in keys])
    tied[_first(keys, limit)] = True
    return places[tied]


def _by_column(path: str) -> str:
    down = " desc" if path.startswith("-") else ""
    return f'i."{path.removeprefix("-")}"{down} nulls last'


def _listed(paths: list[str]) -> str:
    return ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
