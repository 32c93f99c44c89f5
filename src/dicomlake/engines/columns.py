"""What an answer shows: columns at the level asked for, typed where every cell has one value."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.engines import conditions
from dicomlake.engines.universe import Mask, Numbers, Universe, numbers
from dicomlake.errors import Unsupported
from dicomlake.query import Between, Compare, Exists, Node, OneOf, Query
from dicomlake.query.headers import comparable, shower

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


@dataclass(frozen=True, slots=True)
class Computed:
    """An attribute that the lake counts instead of reading (PS3.4 C.3.4).

    `of` is what is counted for each patient, study or series; "" where it is a list.
    """

    level: str
    of: str

    def met(self, node: Node, universe: Universe) -> Mask:
        """Series of the patients, studies or series whose count meets a condition."""
        counts = universe.counts(self.level, self.of)
        group = universe.group[self.level]
        if isinstance(node, Exists):
            return np.ones(len(universe), np.bool_)
        if isinstance(node, Compare):
            return np.asarray(_OPERATORS[node.op](counts, node.value))[group]
        if isinstance(node, Between):
            low, high = comparable(node.low), comparable(node.high)
            return np.asarray((counts >= low) & (counts <= high))[group]
        if isinstance(node, OneOf):
            return np.isin(counts, np.array(node.values))[group]
        raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__} on a count.")


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

COMPUTED = {
    "NumberOfSeriesRelatedInstances": Computed("series", "instances"),
    "NumberOfStudyRelatedSeries": Computed("study", "series"),
    "NumberOfStudyRelatedInstances": Computed("study", "instances"),
    "ModalitiesInStudy": Computed("study", ""),
    "NumberOfPatientRelatedStudies": Computed("patient", "studies"),
    "NumberOfPatientRelatedSeries": Computed("patient", "series"),
    "NumberOfPatientRelatedInstances": Computed("patient", "instances"),
}
"""Attributes that no object holds and everybody asks for."""

_KEY = {"patient": "patient_key", "study": "study_key", "series": "series_id"}

# A value of `elements` as people read it; folded ones as a range.
_READABLE = """case
  when folded and moment is not null
    then strftime(moment, '%Y-%m-%d') || ' .. ' || strftime(moment_max, '%Y-%m-%d')
  when folded and number is not null then number::varchar || ' .. ' || number_max::varchar
  when folded then '(many)'
  when code_value is not null
    then coalesce(code_meaning, '') || ' (' || coalesce(code_scheme, '') || ':' || code_value || ')'
  when text is not null then text
  when number is not null then number::varchar
  else strftime(moment, '%Y-%m-%d') end"""


class Shown:
    """Fetches the rows of an answer."""

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        universe: Universe,
        query: Query,
        any_depth: Callable[[str], list[str]],
    ) -> None:
        self.db, self.universe, self.query, self.any_depth = db, universe, query, any_depth
        self.show = query.show or DEFAULTS[query.level]
        self.order = query.order or ORDER[query.level]

    def entities(self, mask: Mask, own: Mask) -> pa.Table:
        """Rows of patients, studies or series.

        `mask` is all of their series, `own` those that meet the whole condition by themselves: they
        say what is shown of an entity that has any, else all of its series do.
        """
        level = self.query.level
        found = np.flatnonzero(self.universe.having(mask, level))
        rank = self.universe.rank(level, self.order, self._sorted)
        found = found[np.argsort(rank[found], kind="stable")]
        if self.query.limit is not None:
            found = found[: self.query.limit]
        self._page(found, mask, own)
        read = self._wide([p for p in self.show if p in tables.SERIES_KEYWORDS])
        for path in self.show:
            made = COMPUTED.get(path)
            if made is not None and made.level == level and made.of:
                read[path] = pa.array(self.universe.counts(level, made.of)[found])
            elif made is not None:
                read[path] = self._computed(made)
            elif path not in read:
                read[path] = self._long(path)
        return pa.table({path: read[path] for path in self.show})

    def _page(self, found: Numbers, mask: Mask, own: Mask) -> None:
        """Register `page` (place, series_id): which series say what is shown in which row."""
        level, group = self.query.level, self.universe.group[self.query.level]
        place = np.full(len(self.universe.keys[level]), -1, np.int64)
        place[found] = np.arange(len(found))
        some = own | (mask & ~self.universe.lift(own, level))
        shown = np.flatnonzero(some & (place[group] >= 0))
        self._places, self._rows = place[group[shown]], len(found)
        self._series = shown
        self.db.register(
            "page", pa.table({"place": self._places, "series_id": self.universe.ids[shown]})
        )

    def _sorted(self) -> Numbers:
        """Keys of all entities in the order asked for."""
        key = _KEY[self.query.level]
        joins: list[str] = []
        sorts: list[str] = []
        for number, path in enumerate(self.order):
            down = path.startswith("-")
            path = path.removeprefix("-")
            value = self._sortable(path, number, joins)
            if key != "series_id":
                value = f"{'max' if down else 'min'}({value})"
            sorts.append(f"{value} {'desc' if down else 'asc'} nulls last")
        group = "" if key == "series_id" else f"group by s.{key}"
        return numbers(
            self.db,
            f"select s.{key} from series s {' '.join(joins)} {group} "
            f"order by {', '.join(sorts)}, s.{key}",
        )

    def _sortable(self, path: str, number: int, joins: list[str]) -> str:
        """An SQL value to sort by; what it has to be joined with is added to `joins`."""
        made = COMPUTED.get(path)
        if made is not None and made.of:
            counts = self.universe.counts(made.level, made.of)[self.universe.group[made.level]]
            name = f"counted_{number}"
            self.db.register(name, pa.table({"series_id": self.universe.ids, "n": counts}))
            joins.append(f"join {name} using (series_id)")
            return f"{name}.n"
        if made is not None:
            return "s.Modality"
        if path in tables.SERIES_KEYWORDS:
            return f's."{path}"'
        kind = dictionary.attribute(path).kind
        column = "number" if kind in ("number", "time", "age") else "text"
        column = "moment" if kind in ("date", "datetime") else column
        joins.append(
            f"left join (select series_id, min({column}) as v from elements "
            f"where path in ({self._listed(path)}) group by series_id) e{number} using (series_id)"
        )
        return f"e{number}.v"

    def _listed(self, path: str) -> str:
        paths = ("'" + p.replace("'", "''") + "'" for p in self.any_depth(path))
        return ", ".join(paths) or "null"

    def _computed(self, made: Computed) -> pa.Array:
        """A count of another level, or the modalities of the studies of each row."""
        group = self.universe.group[made.level]
        if made.of:
            counts = self.universe.counts(made.level, made.of)[group[self._series]]
            cells: list[set[Any]] = [set() for _ in range(self._rows)]
            for place, count in zip(self._places.tolist(), counts.tolist(), strict=True):
                cells[place].add(count)
            lists = pa.array([sorted(c) for c in cells], pa.list_(pa.int64()))
            return _reduced(pa.chunked_array([lists]))
        studies = pa.table(
            {"place": self._places, "k": self.universe.keys["study"][group[self._series]]}
        )
        self.db.register("studies", studies)
        table = self.db.sql(
            "select place, list(distinct s.Modality order by s.Modality) "
            "filter (s.Modality is not null) as v from (select distinct * from studies) d "
            "join series s on s.study_key = d.k group by place order by place"
        ).to_arrow_table()
        return pc.binary_join(table.column("v"), "\\")

    def _wide(self, paths: list[str]) -> dict[str, Any]:
        """Columns of `series`."""
        if not paths:
            return {}
        in_order = np.argsort(self._places, kind="stable")
        taken = {
            path: self.universe.column(self.db, path).take(pa.array(self._series[in_order]))
            for path in paths
        }
        plain = {p: c.cast(c.type.value_type) if _encoded(c) else c for p, c in taken.items()}
        if self.query.level == "series":
            return plain
        self.db.register("taken", pa.table({"place": self._places[in_order], **plain}))
        picked = ", ".join(
            f'list(distinct "{p}" order by "{p}") filter ("{p}" is not null) as "{p}"'
            for p in paths
        )
        found = self.db.sql(
            f"select {picked} from taken group by place order by place"
        ).to_arrow_table()
        return {path: _reduced(found.column(path)) for path in paths}

    def _long(self, path: str) -> pa.Array:
        """A column of values that only `elements` has."""
        table = self.db.sql(
            f"with e as (select * from elements where path in ({self._listed(path)}) and "
            f"{conditions.HAS_VALUE.sql} and series_id in (select series_id from page)), "
            f"j as (select p.place, {_READABLE} as shown, number, folded from page p "
            "join e using (series_id)) "
            "select p.place, list(distinct shown order by shown) filter (shown is not null) as v, "
            "list(distinct number order by number) filter (number is not null) as n, "
            "coalesce(bool_or(folded), false) as folded "
            "from (select distinct place from page) p left join j using (place) "
            "group by p.place order by p.place"
        ).to_arrow_table()
        numeric = dictionary.attribute(path).kind == "number"
        if numeric and not pc.any(table.column("folded")).as_py():
            return _reduced(table.column("n"))
        return _reduced(table.column("v"))

    def instances(self, matched: str | None) -> pa.Table:
        """Rows of the instances in a table (series_id, SOPInstanceUID), or of all instances."""
        limit = "" if self.query.limit is None else f"limit {self.query.limit}"
        order = ", ".join(self._instance_sort(path) for path in self.order)
        headers = [path for path in self.show if path not in _INSTANCE]
        picked = [f'i."{p}"' for p in self.show if p in _INSTANCE]
        picked += ["i.header"] if headers else []
        join = "" if matched is None else f'join {matched} m using (series_id, "SOPInstanceUID")'
        table = self.db.sql(
            f"select {', '.join(picked)} from instances i {join} "
            f'join series s using (series_id) order by {order}, i."SOPInstanceUID" {limit}'
        ).to_arrow_table()
        read = {path: shower(path) for path in headers}
        made: dict[str, list[str | None]] = {path: [] for path in headers}
        if headers:
            for header in table.column("header").to_pylist():
                item = orjson.loads(header)
                for path, show in read.items():
                    made[path].append(show(item))
        columns = {
            path: table.column(path) if path in _INSTANCE else pa.array(made[path], pa.string())
            for path in self.show
        }
        return pa.table(columns)

    def _instance_sort(self, path: str) -> str:
        down = " desc" if path.startswith("-") else ""
        path = path.removeprefix("-")
        if path in _INSTANCE:
            return f'i."{path}"{down} nulls last'
        if path in tables.SERIES_KEYWORDS:
            return f's."{path}"{down} nulls last'
        raise Unsupported(f"The DuckDB engine cannot order instances by {path}.")


_INSTANCE = frozenset(tables.INSTANCES.names) - {"header", "problems", "uri", "offset", "size"}


def _encoded(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_dictionary(column.type))


def _reduced(column: pa.ChunkedArray) -> pa.Array:
    """Cells of lists as single values where no list has more than one, else as joined text."""
    longest = pc.max(pc.list_value_length(column)).as_py() or 0
    cells = column.to_pylist()
    if longest <= 1:
        return pa.array([cell[0] if cell else None for cell in cells], column.type.value_type)
    return pa.array(["; ".join(map(str, cell)) if cell else None for cell in cells], pa.string())
