"""What an answer shows: columns at the level asked for, typed where every cell has one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.engines import conditions
from dicomlake.engines.conditions import Part
from dicomlake.errors import Unsupported
from dicomlake.query import Exists, Missing, Node, Query
from dicomlake.query.headers import shower

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

    `key` is the level that it belongs to, `value` an aggregate over its series.
    """

    key: str
    value: str
    kind: str = "int64"

    def condition(self, node: Node) -> Part:
        """A boolean over `series s`."""
        if isinstance(node, Exists | Missing):
            return Part("true" if isinstance(node, Exists) else "false")
        if self.kind == "string":
            test = conditions.wide_column(node, "Modality", "string")
            inner = "select study_key from series s where"
        else:
            test = conditions.wide_column(node, self.value, self.kind)
            inner = f"select {self.key} from series s group by {self.key} having"
        if test is None:
            raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__} on a count.")
        return Part(f"s.{self.key} in ({inner} {test.sql})", test.values)


COMPUTED = {
    "NumberOfSeriesRelatedInstances": Computed("series_id", "sum(s.instances)"),
    "NumberOfStudyRelatedSeries": Computed("study_key", "count(*)"),
    "NumberOfStudyRelatedInstances": Computed("study_key", "sum(s.instances)"),
    "ModalitiesInStudy": Computed("study_key", "list(distinct s.Modality)", "string"),
    "NumberOfPatientRelatedStudies": Computed("patient_key", "count(distinct s.study_key)"),
    "NumberOfPatientRelatedSeries": Computed("patient_key", "count(*)"),
    "NumberOfPatientRelatedInstances": Computed("patient_key", "sum(s.instances)"),
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
        self, db: duckdb.DuckDBPyConnection, query: Query, any_depth: Callable[[str], list[str]]
    ) -> None:
        self.db, self.query, self.any_depth = db, query, any_depth
        self.show = query.show or DEFAULTS[query.level]
        self.order = query.order or ORDER[query.level]

    def entities(self, where: Part) -> pa.Table:
        """Rows of patients, studies or series that meet a condition over `series s`."""
        key = _KEY[self.query.level]
        limit = "" if self.query.limit is None else f"limit {self.query.limit}"
        sorts = [self._sort(path) for path in self.order]
        group = "" if key == "series_id" else f"group by s.{key}"
        picked = ", ".join(
            f"{s.replace('min(', '(').replace('max(', '(') if not group else s} as o{i}"
            for i, (s, _) in enumerate(sorts)
        )
        order = ", ".join(f"o{i} {d} nulls last" for i, (_, d) in enumerate(sorts))
        self.db.execute(
            f"create or replace temp table page as select key, row_number() over () as place from "
            f"(select s.{key} as key, {picked} from series s where {where.sql} {group} "
            f"order by {order}, key {limit})",
            list(where.values),
        )
        read = self._wide([p for p in self.show if p in tables.SERIES_KEYWORDS], key)
        for path in self.show:
            if path in COMPUTED:
                read[path] = self._computed(COMPUTED[path], key)
            elif path not in read:
                read[path] = self._long(path, key)
        return pa.table({path: read[path] for path in self.show})

    def _sort(self, path: str) -> tuple[str, str]:
        down = path.startswith("-")
        path = path.removeprefix("-")
        word = "max" if down else "min"
        return f"{word}({self._sortable(path)})", "desc" if down else "asc"

    def _sortable(self, path: str) -> str:
        if path in COMPUTED:
            made = COMPUTED[path]
            if made.kind == "string":
                return "s.Modality"
            inner = made.value.replace("s.", "c.")
            return f"(select {inner} from series c where c.{made.key} = s.{made.key})"
        if path in tables.SERIES_KEYWORDS:
            return f's."{path}"'
        kind = dictionary.attribute(path).kind
        column = {"number": "number", "time": "number", "age": "number"}.get(kind, "text")
        column = "moment" if kind in ("date", "datetime") else column
        listed = ", ".join("'" + p.replace("'", "''") + "'" for p in self.any_depth(path))
        return (
            f"(select min(e.{column}) from elements e where e.series_id = s.series_id "
            f"and e.path in ({listed or 'null'}))"
        )

    def _computed(self, made: Computed, key: str) -> pa.Array:
        value, group = made.value, f"group by s.{made.key}"
        if made.kind == "string":
            value, group = "s.Modality", ""
        table = self.db.sql(
            f"with e as (select distinct p.place, s.{made.key} as k from page p "
            f"join series s on s.{key} = p.key), "
            f"v as (select s.{made.key} as k, {value} as v from series s "
            f"where s.{made.key} in (select k from e) {group}) "
            "select place, list(distinct v order by v) filter (v is not null) as v "
            "from e join v using (k) group by place order by place"
        ).to_arrow_table()
        column = table.column("v")
        if made.kind == "string":
            return pc.binary_join(column, "\\")
        return _reduced(column.cast(pa.list_(pa.int64())))

    def _wide(self, paths: list[str], key: str) -> dict[str, pa.Array]:
        """Columns of `series`, read together."""
        if not paths:
            return {}
        values = {}
        for path in paths:
            several = str(tables.type_of(path)).startswith("list")
            values[path] = f"array_to_string(s.\"{path}\", '\\')" if several else f's."{path}"'
        if key == "series_id":
            picked = ", ".join(f'{value} as "{path}"' for path, value in values.items())
            found = self.db.sql(
                f"select {picked} from page p join series s on s.series_id = p.key order by p.place"
            ).to_arrow_table()
            return {path: found.column(path) for path in paths}
        picked = ", ".join(
            f'list(distinct {value} order by {value}) filter ({value} is not null) as "{path}"'
            for path, value in values.items()
        )
        found = self.db.sql(
            f"select {picked} from page p join series s on s.{key} = p.key "
            "group by p.place order by p.place"
        ).to_arrow_table()
        return {path: _reduced(found.column(path)) for path in paths}

    def _long(self, path: str, key: str) -> pa.Array:
        listed = ", ".join("'" + p.replace("'", "''") + "'" for p in self.any_depth(path))
        table = self.db.sql(
            f"with e as (select * from elements where path in ({listed or 'null'}) and "
            f"{conditions.HAS_VALUE.sql}), "
            f"j as (select p.place, {_READABLE} as shown, number, folded from page p "
            f"join series s on s.{key} = p.key join e using (series_id)) "
            "select p.place, list(distinct shown order by shown) filter (shown is not null) as v, "
            "list(distinct number order by number) filter (number is not null) as n, "
            "coalesce(bool_or(folded), false) as folded "
            "from page p left join j using (place) group by p.place order by p.place"
        ).to_arrow_table()
        numeric = dictionary.attribute(path).kind == "number"
        if numeric and not pc.any(table.column("folded")).as_py():
            return _reduced(table.column("n"))
        return _reduced(table.column("v"))

    def instances(self, matched: str) -> pa.Table:
        """Rows of the instances in a table (series_id, SOPInstanceUID)."""
        limit = "" if self.query.limit is None else f"limit {self.query.limit}"
        order = ", ".join(self._instance_sort(path) for path in self.order)
        picked = ", ".join(f'i."{p}"' for p in self.show if p in _INSTANCE)
        headers = [path for path in self.show if path not in _INSTANCE]
        picked = ", ".join([p for p in (picked, "i.header" if headers else "") if p])
        table = self.db.sql(
            f"select {picked} from {matched} m join instances i on m.series_id = i.series_id "
            'and m."SOPInstanceUID" = i."SOPInstanceUID" '
            f'join series s on s.series_id = i.series_id order by {order}, i."SOPInstanceUID" '
            f"{limit}"
        ).to_arrow_table()
        read = {path: shower(path) for path in headers}
        made: dict[str, list[Any]] = {path: [] for path in headers}
        if headers:
            for header in table.column("header").to_pylist():
                item = orjson.loads(header)
                for path, show in read.items():
                    made[path].append(show(item))
        columns: dict[str, Any] = {}
        for path in self.show:
            columns[path] = (
                table.column(path) if path in _INSTANCE else pa.array(made[path], pa.string())
            )
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


def _reduced(column: pa.ChunkedArray) -> pa.Array:
    """Cells of lists as single values where no list has more than one, else as joined text."""
    longest = pc.max(pc.list_value_length(column)).as_py() or 0
    cells = column.to_pylist()
    if longest <= 1:
        return pa.array([cell[0] if cell else None for cell in cells], column.type.value_type)
    return pa.array(["; ".join(map(str, cell)) if cell else None for cell in cells], pa.string())
