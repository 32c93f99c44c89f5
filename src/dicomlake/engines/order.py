"""Which rows an answer has, and in which order: the first by their smallest or largest values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.engines import contents
from dicomlake.engines.conditions import Part, columns_of
from dicomlake.engines.counts import COUNTS, MODALITIES, counts
from dicomlake.engines.search import Instances, Search
from dicomlake.engines.snapshot import Mask, Numbers
from dicomlake.lake.linking import LINKED
from dicomlake.query import Query
from dicomlake.query.attributes import attribute, is_clinical, is_content
from dicomlake.query.headers import Item, sort_values

ORDER = {
    "patient": ("PatientID",),
    "study": ("PatientID", "-StudyDate"),
    "series": ("PatientID", "-StudyDate", "SeriesNumber"),
    "instance": ("SeriesInstanceUID", "InstanceNumber"),
}
"""The order of an answer that asks for none; a minus sorts downwards."""

Key: TypeAlias = NDArray[np.float64]
"""What things are ordered by; infinite where there is no value, so that these come last."""

ONE_VALUE = {path for path in tables.SERIES_KEYWORDS if not pa.types.is_list(tables.type_of(path))}
"""Columns of `series` that are no lists."""
OF_INSTANCE = frozenset(
    field.name for field in tables.INSTANCES if dictionary.is_keyword(field.name)
)
"""Columns of `instances` that are attributes."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of an answer, numbered from 0 to `size`, and the places of the series each is about."""

    rows: Numbers
    places: Numbers
    size: int

    def part(self, start: int, size: int) -> Page:
        """Some of the rows, numbered from 0 again."""
        size = max(min(size, self.size - start), 0)
        inside = (self.rows >= start) & (self.rows < start + size)
        return Page(self.rows[inside] - start, self.places[inside], size)


class Order:
    """Puts what was found in the order that a query asks for, and cuts it at its limit.

    `start`: rows at the beginning that are left out; the limit counts from there.
    """

    def __init__(self, search: Search, query: Query, start: int = 0) -> None:
        self.search, self.db, self.snapshot = search, search.db, search.snapshot
        self.level, self.start = query.level, start
        self.limit = None if query.limit is None else query.limit + start
        self.order = query.order or ORDER[query.level]

    def entities(self, mask: Mask, own: Mask) -> Page:
        """The rows of patients, studies or series, whose series these are.

        A row is about those of its series that meet the whole condition by themselves (`own`), or
        about all where none does.
        """
        places = np.flatnonzero(mask)
        if self.level == "series":
            first = _first([self._key(path)[places] for path in self.order], self.limit)
            chosen = places[first[self.start :]]
            return Page(np.arange(len(chosen)), chosen, len(chosen))
        of, count = self.snapshot.entities(self.level)
        there = np.zeros(count, bool)
        there[of[places]] = True
        entities = np.flatnonzero(there)
        keys = [
            _lowest(self._key(path)[places], of[places], count)[entities] for path in self.order
        ]
        chosen = entities[_first(keys, self.limit)[self.start :]]
        row = np.full(count, -1)
        row[chosen] = np.arange(len(chosen))
        places = np.flatnonzero(own | (mask & ~self.snapshot.lift(own, self.level)))
        rows = row[of[places]]
        return Page(rows[rows >= 0], places[rows >= 0], len(chosen))

    def instances(self, found: Instances) -> pa.Table:
        """The rows of instances: series_id and SOPInstanceUID."""
        mask = found.counts > 0
        inside = [path for path in self.order if path.removeprefix("-") not in OF_INSTANCE]
        contained = [path for path in inside if is_content(path.removeprefix("-"))]
        inside = [path for path in inside if path not in contained]
        if not all(self._alike(path.removeprefix("-"), mask) for path in inside):
            return self._by_headers(found, mask)
        picked = self._first_series(mask)
        keys = {f"key_{n}": self._key(path)[picked] for n, path in enumerate(inside)}
        order = [
            f"key_{inside.index(path)}"
            if path in inside
            else self._by_contents(path)
            if path in contained
            else _by_column(path)
            for path in self.order
        ]
        limit = "" if self.limit is None else f"limit {self.limit - self.start}"
        limit += f" offset {self.start}" if self.start else ""
        members = self._members(found, picked, 'i.series_id, i."SOPInstanceUID"', keys)
        tail = f'order by {", ".join(order)}, i."SOPInstanceUID", i.series_id {limit}'
        return self.db.sql(f"{members.sql} {tail}", params=[*members.values]).to_arrow_table()

    # Keys of series

    def _key(self, path: str) -> Key:
        """The smallest value of each series, or the largest one turned round."""
        down, path = path.startswith("-"), path.removeprefix("-")
        find = partial(self._find_key, path, down)
        key: Key = self.snapshot.once(("order", path, down), find)
        return key

    def _find_key(self, path: str, down: bool) -> Key:
        snapshot = self.snapshot
        sign = -1.0 if down else 1.0
        if path in COUNTS:
            return counts(snapshot, path).astype(np.float64) * sign
        if path == MODALITIES:
            of, count = snapshot.entities("study")
            return _lowest(self._key("-Modality" if down else "Modality"), of, count)[of]
        table = self.db.sql(self._values(path, down)).to_arrow_table()
        at, known = snapshot.places(table.column("series_id").to_numpy())
        key = np.full(len(snapshot), np.inf)
        key[at[known]] = _ranks(table.column("value"))[known] * sign
        return key

    def _values(self, path: str, down: bool) -> str:
        """SQL of the value by which each series is ordered."""
        about = attribute(path)
        kind = about.kind
        if about.table:
            return self._inside(path, down)
        if path in ONE_VALUE and kind not in ("time", "age"):
            return f'select series_id, "{path}" as value from series where value is not null'
        paths = self.search.any_depth(path)
        columns = columns_of(path, self.search.forms(paths))
        value = columns.high if down else columns.low
        if kind in ("text", "unknown"):
            value = columns.text
        return (
            f"select series_id, {'max' if down else 'min'}({value}) as value from elements "
            f"where path in ({listed(paths)}) group by series_id having value is not null"
        )

    def _inside(self, path: str, down: bool, key: str = "series_id") -> str:
        """SQL of the value inside of objects by which each series, or each object, is ordered."""
        asked = contents.asked_rows(path)
        where = _inlined(asked.where)
        if asked.table in tables.CLINICAL:
            return self._of_people(path, down)
        source = contents.by_instance(asked.table) if "SOP" in key else asked.table
        value = f"{'max' if down else 'min'}({contents.sortable(path, down)})"
        return (
            f"select {key}, {value} as value from {source} c where {where} "
            f"group by {key} having value is not null"
        )

    def _of_people(self, path: str, down: bool) -> str:
        """SQL of the value of facts or documents by which each series is ordered."""
        self.search.link()
        pick = "max" if down else "min"
        value = f"{pick}({contents.sortable(path, down)})"
        return (
            f"select k.series_id, {pick}(v.value) as value from series k join ("
            f"select c.patient_key, c.study_key, {value} as value "
            f"from {LINKED[attribute(path).table]} c group by all having value is not null"
            ") v on v.patient_key = k.patient_key "
            "and (v.study_key is null or v.study_key = k.study_key) group by k.series_id"
        )

    def _by_contents(self, path: str) -> str:
        """SQL that orders instances `i` by what is inside of them."""
        down, path = path.startswith("-"), path.removeprefix("-")
        if is_clinical(path):
            rows = self._of_people(path, down)
            value = f"(select v.value from ({rows}) v where v.series_id = i.series_id)"
            return f"{value} {'desc' if down else ''} nulls last"
        rows = self._inside(path, down, 'c.series_id, c."SOPInstanceUID"')
        value = (
            f"(select v.value from ({rows}) v where v.series_id = i.series_id "
            'and v."SOPInstanceUID" = i."SOPInstanceUID")'
        )
        return f"{value} {'desc' if down else ''} nulls last"

    # Instances

    def _alike(self, path: str, mask: Mask) -> bool:
        """Whether all instances of each of these series are alike in an attribute."""
        if path in COUNTS or path in (MODALITIES, "SeriesInstanceUID"):
            return True
        return bool(self.search.constant(path)[mask].all())

    def _first_series(self, mask: Mask) -> Numbers:
        """Places of those series that hold the first instances, by the keys that come first."""
        places = np.flatnonzero(mask)
        lead = []
        for path in self.order:
            if path.removeprefix("-") in OF_INSTANCE or is_content(path.removeprefix("-")):
                break
            lead.append(self._key(path)[places])
        if self.limit is None or not lead or self.limit >= len(places):
            return places
        first = _first(lead, self.limit)
        picked = np.logical_and.reduce([key == key[first[-1]] for key in lead])
        picked[first] = True
        return places[picked]

    def _by_headers(self, found: Instances, mask: Mask) -> pa.Table:
        """The first instances by values that differ inside of a series."""
        members = self._members(
            found, np.flatnonzero(mask), 'i.series_id, i."SOPInstanceUID", i.header', {}
        )
        reads = [self._reader(path) for path in self.order]
        met: list[tuple[int, str, list[Any]]] = []
        for number, uid, header in self.search.stream(members):
            item = orjson.loads(header)
            met.append((number, uid, [read(number, uid, item) for read in reads]))
        met.sort(key=lambda row: (row[1], row[0]))
        for at, path in reversed([*enumerate(self.order)]):
            there = [row for row in met if row[2][at] is not None]
            there.sort(key=lambda row: row[2][at], reverse=path.startswith("-"))
            met = there + [row for row in met if row[2][at] is None]
        met = met[self.start : self.limit]
        numbers = pa.array([m[0] for m in met], pa.int64())
        return pa.table(
            {"series_id": numbers, "SOPInstanceUID": pa.array([m[1] for m in met], pa.string())}
        )

    def _reader(self, path: str) -> Callable[[int, str, Item], Any]:
        """What one instance is ordered by, from the number of its series and its header."""
        pick, path = (max if path.startswith("-") else min), path.removeprefix("-")
        if path in COUNTS or path == MODALITIES:
            key = self._key(path)
            return lambda number, _uid, _: key[np.searchsorted(self.snapshot.ids, number)]
        if is_clinical(path):
            of_series = dict(self.db.execute(self._of_people(path, pick is max)).fetchall())
            return lambda number, _uid, _: of_series.get(number)
        if is_content(path):
            rows = self._inside(path, pick is max, 'c.series_id, c."SOPInstanceUID"')
            said = {(n, uid): value for n, uid, value in self.db.execute(rows).fetchall()}
            return lambda number, uid, _: said.get((number, uid))
        read = sort_values(path)
        return lambda _number, _uid, item: pick(read(item), default=None)

    def _members(self, found: Instances, picked: Numbers, what: str, keys: dict[str, Key]) -> Part:
        """SELECT of the instances of a set that are in some series; `keys` are those of series."""
        ids, whole = self.snapshot.ids[picked], found.whole[picked]
        self.db.register("picked", pa.table({"series_id": ids, "whole": whole, **keys}))
        self.db.register("single", found.single)
        for name, table in found.lists.items():
            self.db.register(name, table)
        select = (
            f"select {what} from instances i join picked p on p.series_id = i.series_id "
            "left join single m on m.series_id = i.series_id "
            'and m."SOPInstanceUID" = i."SOPInstanceUID" '
            f"where ((p.whole and {found.columns.sql}) or m.series_id is not null)"
        )
        return Part(select, found.columns.values)


def _inlined(part: Part) -> str:
    """A condition on texts with its parameters written into it."""
    pieces = part.sql.split("?")
    values = ["'" + str(value).replace("'", "''") + "'" for value in part.values]
    return "".join(a + b for a, b in zip(pieces, [*values, ""], strict=True))


def listed(paths: list[str]) -> str:
    """Paths as SQL of a list, with none in it where there are none."""
    return ", ".join("'" + path.replace("'", "''") + "'" for path in paths) or "null"


def _by_column(path: str) -> str:
    down = " desc" if path.startswith("-") else ""
    return f'i."{path.removeprefix("-")}"{down} nulls last'


def _lowest(key: Key, of: Numbers, count: int) -> Key:
    lowest = np.full(count, np.inf)
    np.minimum.at(lowest, of, key)
    return lowest


def _ranks(column: pa.ChunkedArray) -> Key:
    """Numbers in the order of values."""
    if pa.types.is_string(column.type):
        coded: Any = pc.dictionary_encode(column.combine_chunks())
        order = pc.array_sort_indices(coded.dictionary).to_numpy()
        rank = np.empty(len(order))
        rank[order] = np.arange(len(order))
        ranks: Key = rank[coded.indices.to_numpy()]
        return ranks
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    numbers: Key = column.to_numpy().astype(np.float64)
    return numbers


def _first(keys: list[Key], limit: int | None) -> Numbers:
    """Places of the first things by their keys, in order."""
    places = np.arange(len(keys[0]))
    if limit is not None and limit < len(places):
        last = np.partition(keys[0], limit - 1)[limit - 1]
        places = np.flatnonzero(keys[0] <= last)
    order = np.lexsort([places, *(key[places] for key in reversed(keys))])
    chosen: Numbers = places[order][:limit]
    return chosen
