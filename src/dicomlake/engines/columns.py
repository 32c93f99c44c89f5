"""What an answer shows of its rows: any attribute, typed where every cell has one value."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.engines import contents
from dicomlake.engines.conditions import HAS_VALUE, Part
from dicomlake.engines.counts import COUNTS, MODALITIES, counts
from dicomlake.engines.order import OF_INSTANCE, ONE_VALUE, Page, listed
from dicomlake.engines.search import Search
from dicomlake.query import Query
from dicomlake.query.attributes import ANATOMY, ANATOMY_PATHS, ROWS, attribute
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

MOST_KEPT = 3_000_000
"""Columns of lakes with more series are read again for every answer."""

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
    """Fetches the columns of the rows of an answer."""

    def __init__(self, search: Search, query: Query, page: Page) -> None:
        self.search, self.db, self.snapshot = search, search.db, search.snapshot
        self.level, self.page = query.level, page
        self.show = query.show or DEFAULTS[query.level]
        ids = self.snapshot.ids[page.places]
        self.db.register("page", pa.table({"place": page.rows, "series_id": ids}))

    def entities(self) -> pa.Table:
        """Rows of patients, studies or series."""
        found = self._counted()
        found |= self._wide([path for path in self.show if path in tables.SERIES_KEYWORDS])
        found |= self._inside([path for path in self.show if _inside(path)])
        found |= self._long([path for path in self.show if path not in found])
        return pa.table({path: found[path] for path in self.show})

    def instances(self, members: pa.Table) -> pa.Table:
        """Rows of instances, given by series_id and SOPInstanceUID."""
        self.db.register("members", members.append_column("place", pa.array(self.page.rows)))
        found = self._counted()
        found |= self._inside([path for path in self.show if _inside(path)], "members")
        found |= self._of_instances([path for path in self.show if path not in found])
        return pa.table({path: found[path] for path in self.show})

    def _counted(self) -> dict[str, pa.Array]:
        """Columns that the lake counts."""
        found: dict[str, pa.Array] = {}
        for path in self.show:
            if path in COUNTS:
                numbers = counts(self.snapshot, path)[self.page.places]
                cells: list[list[Any]] = [[] for _ in range(self.page.size)]
                for row, number in np.unique(
                    np.stack([self.page.rows, numbers], 1), axis=0
                ).tolist():
                    cells[row].append(number)
                found[path] = _column(cells, pa.int64())
            elif path == MODALITIES:
                found[path] = self._modalities()
        return found

    def _modalities(self) -> pa.Array:
        """Modalities of the studies that rows are about."""
        snapshot = self.snapshot
        studies = snapshot.studies[self.page.places]
        inside = np.zeros(snapshot.study_count, bool)
        inside[studies] = True
        inside = inside[snapshot.studies]
        table = {"series_id": snapshot.ids[inside], "study": snapshot.studies[inside]}
        self.db.register("inside", pa.table(table))
        select = (
            "select distinct study, Modality from series join inside using (series_id) "
            "where Modality is not null"
        )
        if not self.search.constant("Modality")[inside].all():
            select += (
                " union select study, text from elements join inside using (series_id) "
                "where path = 'Modality' and text is not null"
            )
        said = self.db.execute(select).fetchall()
        by_study: dict[int, set[str]] = {}
        for study, modality in said:
            by_study.setdefault(study, set()).add(modality)
        cells: list[set[str]] = [set() for _ in range(self.page.size)]
        for row, study in zip(self.page.rows.tolist(), studies.tolist(), strict=True):
            cells[row] |= by_study.get(study, set())
        return pa.array(["\\".join(sorted(cell)) or None for cell in cells], pa.string())

    def _wide(self, paths: list[str]) -> dict[str, pa.Array]:
        """Columns of `series`, read together."""
        if not paths:
            return {}
        order = np.argsort(self.page.rows, kind="stable")
        places = pa.array(self.page.places[order])
        taken = {path: self._series_column(path).take(places) for path in paths}
        if self.level == "series":
            return taken
        self.db.register("taken", pa.table({"place": self.page.rows[order], **taken}))
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
        value = f'"{path}"' if path in ONE_VALUE else f"array_to_string(\"{path}\", '\\')"

        def read() -> pa.ChunkedArray:
            found = self.db.sql(f"select {value} as value from series order by series_id")
            return found.to_arrow_table().column("value")

        if len(self.snapshot) > MOST_KEPT:
            return read()
        return self.snapshot.once(("column", path), read)

    def _long(self, paths: list[str]) -> dict[str, pa.Array]:
        """Columns from `elements`, read together."""
        names = {path: self.search.any_depth(path) for path in paths}
        if not any(names.values()):
            return {path: pa.nulls(self.page.size, pa.string()) for path in paths}
        within = listed(sorted({name for some in names.values() for name in some}))
        rows = self.db.execute(
            f"with e as (select p.place, e.*, {_READABLE} as shown from elements e "
            f"join page p using (series_id) where path in ({within}) and {HAS_VALUE.sql}), "
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

    def _inside(self, paths: list[str], page: str = "page") -> dict[str, pa.Array]:
        """Columns from what is inside of objects."""
        found: dict[str, pa.Array] = {}
        for path in paths:
            if path == ANATOMY:
                found[path] = self._anatomy(page)
                continue
            if path in ROWS:
                found[path] = self._rows(path, page, _same(attribute(path).table, page))
                continue
            asked = contents.asked_rows(path)
            plain = attribute(path).unit != tables.ANY_UNIT  # others are shown with their unit
            number = contents.number(path) if plain else "null"
            same = _same(asked.table, page)
            source = self.search.rows_among(asked.table, page)
            rows = self.db.execute(
                f"select p.place, list(distinct {contents.shown(path)}) as shown, "
                f"list(distinct {number}) as numbers "
                f"from {source} c join {page} p on p.series_id = c.series_id and {same} "
                f"where {asked.where.sql} group by p.place",
                list(asked.where.values),
            ).fetchall()
            cells: list[list[Any]] = [[] for _ in range(self.page.size)]
            for place, texts, numbers in rows:
                texts = sorted(text for text in texts if text is not None)
                numbers = [number for number in numbers if number is not None]
                cells[place] = numbers if len(numbers) == len(texts) == 1 else texts
            about = attribute(path)
            found[path] = _column(cells, pa.float64() if about.kind == "content" else _type(about))
        return found

    def _rows(self, path: str, page: str, same: str) -> pa.Array:
        """How many rows of a table of contents there are inside."""
        table = attribute(path).table
        number = f"count(distinct c.{path}_key)" if table in tables.CLINICAL else "count(*)"
        found = self.db.execute(
            f"select p.place, {number} from {self.search.rows_among(table, page)} c "
            f"join {page} p on p.series_id = c.series_id and {same} group by p.place"
        ).fetchall()
        count = dict(found)
        return pa.array([count.get(place) for place in range(self.page.size)], pa.int64())

    def _anatomy(self, page: str) -> pa.Array:
        """Everything that says what is in the picture."""
        inside = [path for path in ANATOMY_PATHS if attribute(path).table]
        around = [path for path in ANATOMY_PATHS if path not in inside]
        columns = list(self._inside(inside, page).values())
        if page == "page":
            columns += self._long(around).values()
        else:
            columns += self._of_instances(around).values()
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        texts = [dict.fromkeys(t for cell in row if cell for t in cell.split("; ")) for row in rows]
        return pa.array(["; ".join(text) or None for text in texts], pa.string())

    def _cells(self, path: str, names: list[str], said: dict[str, Any]) -> pa.Array:
        about = attribute(path)
        cells: list[list[Any]] = [[] for _ in range(self.page.size)]
        for name in names:
            for place, texts, numbers, days in said.get(name, ()):
                typed = {"number": numbers, "date": days}.get(about.kind, [])
                cells[place] += typed if len(typed) == len(texts) == 1 else texts
        return _column(cells, _type(about))

    def _of_instances(self, paths: list[str]) -> dict[str, pa.Array]:
        """Columns of instances: from `instances`, the rest from their headers."""
        own = {path: f'i."{path}"' for path in paths if path in OF_INSTANCE}
        if "SeriesInstanceUID" in paths:
            own["SeriesInstanceUID"] = "s.SeriesInstanceUID"
        source = (
            "from members m join instances i "
            'on i.series_id = m.series_id and i."SOPInstanceUID" = m."SOPInstanceUID" '
        )
        found = self._headers([path for path in paths if path not in own], source)
        if own:
            table = self.db.sql(
                f"select {', '.join(own.values())} {source} "
                "join series s on s.series_id = m.series_id order by m.place"
            ).to_arrow_table()
            found |= {path: table.column(path) for path in own}
        return found

    def _headers(self, paths: list[str], source: str) -> dict[str, pa.Array]:
        read = [(path, shower(path)) for path in paths]
        cells: dict[str, list[list[Any]]] = {path: [[]] * self.page.size for path in paths}
        if read:
            for place, header in self.search.stream(Part(f"select m.place, i.header {source}")):
                item = orjson.loads(header)
                for path, show in read:
                    cells[path][place] = show(item)
        return {path: _column(cells[path], _type(attribute(path))) for path in paths}


def _inside(path: str) -> bool:
    return path == ANATOMY or bool(attribute(path).table)


_NUMBERS = ", ".join(f"'{vr}'" for vr in sorted(dictionary.NUMBERS))
_INTEGERS = dictionary.NUMBERS - {"DS", "FD", "FL"}


def _type(about: dictionary.Attribute) -> pa.DataType:
    """The type of a column whose cells have one value each."""
    if about.kind == "number":
        return pa.int64() if about.vr in _INTEGERS else pa.float64()
    return pa.date32() if about.kind == "date" else pa.string()


def _same(table: str, page: str) -> str:
    """SQL of whether a row `c` belongs to a row `p` of a page of instances or of other things."""
    whole = table in tables.STATED or table in tables.CLINICAL
    single = page == "members" and not whole
    return 'p."SOPInstanceUID" = c."SOPInstanceUID"' if single else "true"


def _column(cells: list[list[Any]], kind: pa.DataType) -> pa.Array:
    """Cells as values of a type where each has at most one and all are of it, else as text."""
    cells = [list(dict.fromkeys(cell)) for cell in cells]
    values = [value for cell in cells for value in cell]
    if (
        pa.types.is_string(kind)
        or any(isinstance(value, str) for value in values)
        or any(len(cell) > 1 for cell in cells)
    ):
        return pa.array(["; ".join(map(_said, cell)) or None for cell in cells], pa.string())
    if pa.types.is_integer(kind):
        whole = all(float(value).is_integer() for value in values)
        kind, number = (kind, int) if whole else (pa.float64(), float)
        cells = [[number(value) for value in cell] for cell in cells]
    return pa.array([cell[0] if cell else None for cell in cells], kind)


def _said(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else str(value)
