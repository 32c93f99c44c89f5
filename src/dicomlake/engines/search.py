"""Conditions to the series and instances that meet them.

DuckDB finds the series of every single condition in `elements`; masks over the snapshot join them.
Without `same`, each condition may be met by another series of the entity asked for, so what is
found on series is lifted to studies or patients before it is joined. Where folded rows leave a
doubt, the headers of the doubtful series decide, and only of those that nothing else rules out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial, singledispatchmethod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import orjson
import pyarrow as pa

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.engines import conditions, contents
from dicomlake.engines.conditions import ALWAYS, HAS_VALUE, NEVER, Forms, Leaf, Lists, Part
from dicomlake.engines.counts import COUNTS, MODALITIES, counts, meets
from dicomlake.engines.remembered import Remembered
from dicomlake.engines.snapshot import Histories, Mask, Numbers, Snapshot, near
from dicomlake.errors import Unsupported
from dicomlake.query import And, Exists, Missing, Node, Not, Or, Related, Same
from dicomlake.query.attributes import ROWS, is_content
from dicomlake.query.headers import Test, decider
from dicomlake.query.nodes import clinical_row, paths_of

if TYPE_CHECKING:
    import duckdb

HEADERS_AT_ONCE = 512
_SIZE = {"patient": 0, "study": 1, "series": 2}
_GROUPS = frozenset(_SIZE)
"""Levels of series and what they make up."""


@dataclass(slots=True)
class Instances:
    """A set of instances: those of `whole` series that meet `columns`, and some single ones.

    `columns`: a condition over `instances i`; `single`: series_id and SOPInstanceUID; `counts`: how
    many each series of the snapshot has in the set.
    """

    whole: Mask
    columns: Part
    lists: Lists
    single: pa.Table
    counts: Numbers


Bounds: TypeAlias = tuple[Mask, Mask]
"""Series in which some instance may meet a condition, and those in which all do for certain."""


def scans(most: int) -> Remembered[Node, tuple[Mask, Mask]]:
    """What single conditions find, for certain and perhaps; up to so many bytes."""
    return Remembered(most, lambda found: found[0].nbytes + found[1].nbytes)


def moments(most: int) -> Remembered[Node, Histories]:
    """Facts and documents that sides of `related` find; up to so many bytes."""
    return Remembered(most, lambda found: found.size)


@dataclass(slots=True)
class Search:
    """Evaluates the conditions of one query. `check` raises when the answer was cancelled.

    `scanned`: what single conditions found before, in this snapshot; `dated`: facts and documents.
    """

    db: duckdb.DuckDBPyConnection
    snapshot: Snapshot
    check: Callable[[], None]
    _per_series: dict[Node, Mask] = field(default_factory=dict)
    scanned: Remembered[Node, tuple[Mask, Mask]] = field(default_factory=lambda: scans(1 << 30))
    dated: Remembered[Node, Histories] = field(default_factory=lambda: moments(1 << 30))
    _judgements: dict[Node, tuple[Mask, Mask]] = field(default_factory=dict)

    def series(self, node: Node, level: str, narrow: Mask | None = None) -> Mask:
        """The series of the patients, studies or series that meet a condition.

        Right within `narrow`, a mask that holds all series of a patient or study or none.
        """
        return self._find(node, level, self.snapshot.every() if narrow is None else narrow)

    # Conditions at the level of patients, studies and series

    @singledispatchmethod
    def _find(self, node: Node, level: str, narrow: Mask) -> Mask:
        if not isinstance(node, Leaf):
            raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__}.")
        if node.path == MODALITIES:
            return self._find(Same("study", replace(node, path="Modality")), level, narrow)
        if node.path in COUNTS:
            mask = meets(node, counts(self.snapshot, node.path))
        else:
            mask, doubt = self._met(node)
            doubt &= narrow & ~mask
            if doubt.any():
                mask |= self._judged(node, doubt, self._decided)
        return self.snapshot.lift(mask, level)

    @_find.register
    def _(self, node: And, level: str, narrow: Mask) -> Mask:
        for part in sorted(node.parts, key=_effort):
            narrow = narrow & self._find(part, level, narrow)
        return narrow

    @_find.register
    def _(self, node: Or, level: str, narrow: Mask) -> Mask:
        mask = self.snapshot.none()
        for part in node.parts:
            mask |= self._find(part, level, narrow)
        return mask

    @_find.register
    def _(self, node: Not, level: str, narrow: Mask) -> Mask:
        return ~self._find(node.part, level, narrow)

    @_find.register
    def _(self, node: Missing, level: str, narrow: Mask) -> Mask:
        return ~self._find(Exists(node.path), level, narrow)

    @_find.register
    def _(self, node: Same, level: str, narrow: Mask) -> Mask:
        if _asks_rows(node) or contents.is_of_people(node):
            mask = self._with_rows(node)
        elif node.level == "item":
            mask = self._judged(node, self._some_item(node.part) & narrow, self._decided)
        elif node.level == "instance":
            mask = self._judged(node, narrow, self._with_instance)
        elif _SIZE[node.level] < _SIZE[level]:
            # A series has one study: at a finer level, same(study) asks about that study.
            return self.series(node.part, node.level)
        else:
            mask = self._find(node.part, node.level, narrow)
        return self.snapshot.lift(mask, level)

    @_find.register
    def _(self, node: Related, level: str, narrow: Mask) -> Mask:
        bounded = node.days_low is not None or node.days_high is not None
        nearest = 0 if node.relation == "within" or bounded else 1
        low = nearest if node.days_low is None else node.days_low
        high = np.inf if node.days_high is None else node.days_high
        first = self._timed(node.first, narrow)
        second = self._timed(node.second, self.snapshot.lift(first.series(), "patient"))
        met = np.zeros(len(first.line), bool)
        if node.relation in ("before", "within"):
            met |= near(first.line, second.line, low, high)
        if node.relation in ("after", "within"):
            met |= near(first.line, second.line, -high, -low)
        return self.snapshot.lift(first.series(met), level)

    def _timed(self, node: Node, narrow: Mask) -> _Timed:
        """What meets a side of `related`, with its days."""
        row = clinical_row(node)
        if not row:
            places, line = self.snapshot.line(self._find(node, "series", narrow) & narrow)
            return _Timed(self.snapshot, line, places=places)
        when = f'c."{_WHEN[row]}"::date'
        found = self.dated.once(node, partial(self._histories, node, when), self.check)
        return _Timed(self.snapshot, found.line, rows=found)

    # Conditions on one attribute, on single series

    def _met(self, node: Leaf) -> tuple[Mask, Mask]:
        """Series that meet a condition for certain, and those that may."""
        if is_content(node.path):
            return self._with_rows(node), self.snapshot.none()
        mask, doubt = self.scanned.once(node, partial(self._scan, node), self.check)
        return mask.copy(), doubt.copy()

    def _with_rows(self, node: Node) -> Mask:
        """Series with an object whose contents meet a condition."""
        mask, _ = self.scanned.once(node, partial(self._scan_rows, node), self.check)
        return mask.copy()

    def _scan_rows(self, node: Node) -> tuple[Mask, Mask]:
        lists: Lists = {}
        if contents.is_of_people(node):
            found = self._histories(node)
            return self.snapshot.having(found), self.snapshot.none()
        select = contents.objects(node, lists, contents.SERIES)
        what = Part(f"select distinct series_id from ({select.sql})", select.values)
        mask = self.snapshot.mask(self._fetch(what, lists)["series_id"])
        return mask, self.snapshot.none()

    def _histories(self, node: Node, when: str = "") -> Histories:
        """The facts or documents that meet a condition, each one alone; `when`: SQL of the day."""
        self.link()
        lists: Lists = {}
        if contents.asks_trees(node):
            lists[contents.CODINGS] = self.snapshot.once("codings", self._codings)
        what = "c.patient_key, c.study_key"
        if when:
            what += f", date_diff('day', date '1970-01-01', {when})::bigint as day"
        select = contents.people(node, lists, what)
        for name, table in lists.items():
            self.db.register(name, table)
        self.check()
        known = "where day is not null" if when else ""
        distinct = f"select distinct * from ({select.sql}) {known}"
        found = self.db.sql(distinct, params=[*select.values])
        return self.snapshot.histories(found.to_arrow_table())

    def _codings(self) -> pa.Table:
        """The codes of facts, and by what else they are coded."""
        self.check()
        return self.db.sql(
            "select distinct code, unnest(codes) as other from clinical_events"
        ).to_arrow_table()

    def rows_among(self, table: str, some: str) -> str:
        """SQL of rows of contents, of facts or documents with the series_id of a table `some`."""
        if table in tables.CLINICAL:
            self.link()
        return contents.rows_among(table, some)

    def link(self) -> None:
        """Make the views of facts and documents that know whose they are."""
        self.snapshot.link(self.db)

    def _scan(self, node: Leaf) -> tuple[Mask, Mask]:
        paths = self.any_depth(node.path)
        forms = self.forms(paths)
        if not forms.vrs:
            return self.snapshot.none(), self.snapshot.none()
        lists: Lists = {}
        test = conditions.rows(node, forms, lists)
        where = _among(paths)
        if test.doubt is NEVER:
            found = self._fetch(_select(Part("series_id"), where & test.sure), lists)
            return self.snapshot.mask(found["series_id"]), self.snapshot.none()
        what = Part(f"series_id, coalesce({test.sure.sql}, false) as sure", test.sure.values)
        found = self._fetch(_select(what, where & (test.sure | test.doubt)), lists)
        ids, sure = found["series_id"], found["sure"].astype(bool)
        return self.snapshot.mask(ids[sure]), self.snapshot.mask(ids[~sure])

    def _judged(self, node: Node, asked: Mask, judge: Callable[[Any, Mask], Mask]) -> Mask:
        """Those of the series asked about that `judge` finds; no series is judged twice."""
        known, met = self._judgements.get(node, (self.snapshot.none(), self.snapshot.none()))
        new = asked & ~known
        if new.any():
            met = met | judge(node, new)
            self._judgements[node] = known | new, met
        return met & asked

    def _with_instance(self, node: Same, series: Mask) -> Mask:
        """Those of some series that have an instance which meets a condition."""
        return self.instances(node.part, series).counts > 0

    def _decided(self, node: Node, doubtful: Mask) -> Mask:
        """Those of doubtful series that have an instance which meets a condition."""
        lists: Lists = {}
        column = conditions.of_instance(node, lists)
        if column is None or not self._plain(node):
            met = self._by_headers(node, doubtful, ALWAYS, lists, once=True)
            return self.snapshot.mask(met.column("series_id").to_numpy())
        return self._counted(doubtful, column, lists) > 0

    def any_depth(self, path: str) -> list[str]:
        """The paths of the lake that a path with `*.` in front stands for."""
        if not path.startswith("*."):
            return [path]
        last = path[2:]
        return [p for p in self._all_paths() if p == last or p.endswith("." + last)]

    def _all_paths(self) -> list[str]:
        def find() -> list[str]:
            found = self.db.execute("select distinct path from elements").fetchall()
            return sorted(row[0] for row in found)

        paths: list[str] = self.snapshot.once("paths", find)
        return paths

    def forms(self, paths: list[str]) -> Forms:
        """How attributes at these paths occur."""
        known: dict[str, Forms] = self.snapshot.once("forms", dict)
        new = [path for path in paths if path not in known]
        if new:
            select = _select(Part("path, vr, bool_or(folded)"), _among(new), "path, vr")
            said: dict[str, list[tuple[str, bool]]] = {path: [] for path in new}
            for path, vr, folded in self.db.execute(select.sql, [*select.values]).fetchall():
                said[path].append((vr, folded))
            for path, found in said.items():
                known[path] = Forms(frozenset(vr for vr, _ in found), any(f for _, f in found))
        vrs = frozenset[str]().union(*(known[path].vrs for path in paths))
        return Forms(vrs, any(known[path].folded for path in paths))

    def _plain(self, node: Node) -> bool:
        """Whether the column of an attribute in `instances` says all that headers say."""
        path = getattr(node, "path", "")

        def find() -> bool:
            found = self.db.execute(
                "select count(*) from elements where path = ? and (position > 1 or "
                "number <> trunc(number) or abs(number) >= 2147483648 or "
                "(vr = 'IS' and text is not null and number is null))",
                [path],
            ).fetchall()
            return not found[0][0]

        plain: bool = self.snapshot.once(("plain", path), find)
        return plain

    # Conditions on single instances

    def instances(self, node: Node | None, narrow: Mask | None = None) -> Instances:
        """The instances of the series in `narrow` that meet a condition."""
        snapshot = self.snapshot
        narrow = snapshot.every() if narrow is None else narrow
        lists: Lists = {}
        parts = node.parts if isinstance(node, And) else () if node is None else (node,)
        columns, rest = self._split(parts, lists)
        some = every = narrow
        for part in rest:
            part_some, part_every = self._bounds(part)
            some, every = some & part_some, every & part_every
        if columns is ALWAYS:
            met = np.where(every, snapshot.instances, 0)
        else:
            met = self._counted(every, columns, lists)
        left = rest[0] if len(rest) == 1 else And(tuple(rest)) if rest else None
        single = _NO_INSTANCES
        if left is not None and (some & ~every).any():
            single = self._by_headers(left, some & ~every, columns, lists)
            at, _ = snapshot.places(single.column("series_id").to_numpy())
            met = met + np.bincount(at, minlength=len(snapshot))
        return Instances(every, columns, lists, single, met)

    def _split(self, parts: tuple[Node, ...], lists: Lists) -> tuple[Part, list[Node]]:
        """What columns of `instances` can tell of conditions that all hold, and the rest."""
        columns, rest = ALWAYS, []
        for part in parts:
            column = self._column(part, lists)
            if column is None:
                rest.append(part)
            else:
                columns = column if columns is ALWAYS else columns & column
        return columns, rest

    def _column(self, node: Node, lists: Lists) -> Part | None:
        if isinstance(node, Not):
            part = self._column(node.part, lists)
            return None if part is None else ~part
        if isinstance(node, And | Or):
            parts = []
            for each in node.parts:
                column = self._column(each, lists)
                if column is None:
                    return None
                parts.append(column)
            return conditions.joined("and" if isinstance(node, And) else "or", parts)
        if _asks_rows(node):
            if isinstance(node, Missing):
                return self._column(Not(Exists(node.path)), lists)
            objects = contents.objects(node, lists)
            return Part(f'(i.series_id, i."SOPInstanceUID") in ({objects.sql})', objects.values)
        found = conditions.of_instance(node, lists)
        return found if found is not None and self._plain(node) else None

    def _bounds(self, node: Node) -> Bounds:
        mask = self._of_series(node)
        if mask is not None:
            return mask, mask
        if _asks_rows(node) and not isinstance(node, Missing):
            return self._with_rows(node), self.snapshot.none()
        if isinstance(node, And | Or):
            bounds = [self._bounds(part) for part in node.parts]
            join = np.logical_and if isinstance(node, And) else np.logical_or
            return join.reduce([b[0] for b in bounds]), join.reduce([b[1] for b in bounds])
        if isinstance(node, Not):
            some, every = self._bounds(node.part)
            return ~every, ~some
        if isinstance(node, Missing):
            return self._bounds(Not(Exists(node.path)))
        if isinstance(node, Same):
            if node.level == "instance":
                return self._bounds(node.part)
            return self._some_item(node.part), self.snapshot.none()
        if not isinstance(node, Leaf):
            raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__}.")
        sure, doubt = self._met(node)
        return sure | doubt, self.met_by_all(node)

    def _of_series(self, node: Node) -> Mask | None:
        """The series that meet a condition which is not about single instances, else None.

        Times are those of series, and so are the counts of series, studies and patients.
        """
        related = isinstance(node, Related) or getattr(node, "path", "") in _COUNTED
        related = related or contents.is_of_people(node)
        if not related and not (isinstance(node, Same) and node.level in _GROUPS):
            return None
        if node not in self._per_series:
            self._per_series[node] = self.series(node, "series")
        return self._per_series[node]

    def met_by_all(self, node: Leaf) -> Mask:
        """Series in which every instance has a value that meets a condition, for certain.

        A public attribute at the top has one value in a position of an instance, so its rows tell
        when they add up to all instances; elsewhere, one row has to.
        """
        paths = self.any_depth(node.path)
        forms = self.forms(paths)
        if not forms.vrs or not len(self.snapshot):
            return self.snapshot.none()
        lists: Lists = {}
        where = _among(paths) & conditions.rows(node, forms, lists).every
        if _once_per_instance(node.path):
            what = Part("series_id, sum(instances)::bigint as n")
            placed = where & Part("(position is not null or vr = 'SQ')")
            found = self._fetch(_select(what, placed, "series_id, position"), lists)
        else:
            what = Part("series_id, instances as n")
            found = self._fetch(_select(what, where & Part("not folded")), lists)
        at, known = self.snapshot.places(found["series_id"])
        mask = self.snapshot.none()
        mask[at[known & (found["n"] == self.snapshot.instances[at])]] = True
        return mask

    def constant(self, path: str) -> Mask:
        """Series of which all instances have one and the same value, or none has any."""
        mask: Mask = self.snapshot.once(("constant", path), partial(self._constant, path))
        return mask

    def _constant(self, path: str) -> Mask:
        paths = self.any_depth(path)
        if not paths:
            return self.snapshot.every()
        where = _among(paths) & HAS_VALUE
        what = Part("series_id, count(*) as n, max(instances) as most, bool_or(folded) as folded")
        found = self._fetch(_select(what, where, "series_id"), {})
        if not len(self.snapshot):
            return self.snapshot.every()
        at, known = self.snapshot.places(found["series_id"])
        once = (found["n"] == 1) & (found["most"] == self.snapshot.instances[at])
        mask = self.snapshot.every()
        mask[at[known & ~(once & ~found["folded"].astype(bool))]] = False
        return mask

    def _some_item(self, node: Node) -> Mask:
        """Series that may have an item which meets a condition."""
        mask = self._of_series(node)
        if mask is not None:
            return mask
        if isinstance(node, And | Or):
            join = np.logical_and if isinstance(node, And) else np.logical_or
            found: Mask = join.reduce([self._some_item(part) for part in node.parts])
            return found
        if isinstance(node, Not | Missing):
            return self.snapshot.every()
        if isinstance(node, Same):
            return self._some_item(node.part)
        if not isinstance(node, Leaf):
            raise Unsupported(f"The DuckDB engine cannot run {type(node).__name__}.")
        sure, doubt = self._met(node)
        return sure | doubt

    # Headers

    def _by_headers(
        self, node: Node, series: Mask, columns: Part, lists: Lists, *, once: bool = False
    ) -> pa.Table:
        """The instances of some series that meet `columns`, and a condition by their headers.

        `once`: one of each series is enough.
        """
        place, here = 0, (0, "")

        def known(node: Node) -> Test | None:
            if _asks_rows(node):
                if isinstance(node, Missing):
                    some = self._objects(Exists(node.path))
                    return lambda _: here not in some
                there = self._objects(node)
                return lambda _: here in there
            mask = self._of_series(node)
            return None if mask is None else lambda _: bool(mask[place])

        test = decider(node, known)
        met: list[tuple[int, str]] = []
        done: set[int] = set()
        for number, uid, header in self._headers(series, columns, lists):
            if once and number in done:
                continue
            place, here = int(np.searchsorted(self.snapshot.ids, number)), (number, uid)
            if test(orjson.loads(header)):
                met.append((number, uid))
                done.add(number)
        numbers, uids = [m[0] for m in met], [m[1] for m in met]
        return pa.table([pa.array(numbers, pa.int64()), pa.array(uids, pa.string())], _FOUND)

    def _objects(self, node: Node) -> set[tuple[int, str]]:
        """The objects whose contents meet a condition: series_id and SOPInstanceUID."""
        lists: Lists = {}
        select = contents.objects(node, lists)
        found = self._fetch(Part(f"select distinct * from ({select.sql})", select.values), lists)
        return set(zip(found["series_id"].tolist(), found["SOPInstanceUID"].tolist(), strict=True))

    def _headers(self, series: Mask, columns: Part, lists: Lists) -> Iterator[tuple[int, str, str]]:
        self._want(series, lists)
        select = (
            'select series_id, "SOPInstanceUID", header from instances i '
            f"where series_id in (select series_id from wanted) and {columns.sql}"
        )
        return self.stream(Part(select, columns.values))

    def stream(self, select: Part) -> Iterator[tuple[Any, ...]]:
        """Rows of many headers, without holding all of them."""
        reader = self.db.sql(select.sql, params=list(select.values)).to_arrow_reader(
            HEADERS_AT_ONCE
        )
        with reader:
            for batch in reader:
                self.check()
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _counted(self, series: Mask, columns: Part, lists: Lists) -> Numbers:
        """How many instances of each of some series meet a condition over columns."""
        self._want(series, lists)
        select = (
            "select series_id, count(*) as n from instances i where series_id in "
            f"(select series_id from wanted) and {columns.sql} group by series_id"
        )
        found = self._fetch(Part(select, columns.values), lists)
        met = np.zeros(len(self.snapshot), np.int64)
        at, known = self.snapshot.places(found["series_id"])
        met[at[known]] = found["n"][known]
        return met

    def _want(self, series: Mask, lists: Lists) -> None:
        """Register series as the table `wanted`, and lists of values."""
        self.db.register("wanted", pa.table({"series_id": self.snapshot.ids[series]}))
        for name, table in lists.items():
            self.db.register(name, table)

    def _fetch(self, select: Part, lists: Lists) -> dict[str, Any]:
        for name, table in lists.items():
            self.db.register(name, table)
        self.check()
        return self.db.execute(select.sql, list(select.values)).fetchnumpy()


@dataclass(frozen=True, slots=True)
class _Timed:
    """What meets a side of `related`: series, or rows of facts or documents, and their days."""

    snapshot: Snapshot
    line: Numbers
    places: Numbers | None = None
    rows: Histories | None = None

    def series(self, some: Mask | None = None) -> Mask:
        """The series of all or some of it."""
        some = np.ones(len(self.line), bool) if some is None else some
        if self.rows is not None:
            return self.snapshot.having(self.rows.part(some))
        assert self.places is not None
        mask = self.snapshot.none()
        mask[self.places[some]] = True
        return mask


_WHEN = {"fact": "started", "document": "written"}
"""The column with the time of a row."""


def _asks_rows(node: Node) -> bool:
    """Whether a condition is about rows inside of objects: on one path, or on one and the same."""
    if contents.is_of_people(node):
        return False
    if isinstance(node, Same) and node.level in ROWS:
        return any(map(is_content, paths_of(node.part)))
    return isinstance(node, Leaf) and is_content(node.path)


_COUNTED = frozenset([*COUNTS, MODALITIES])
_FOUND = pa.schema([("series_id", pa.int64()), ("SOPInstanceUID", pa.string())])
_NO_INSTANCES: pa.Table = _FOUND.empty_table()


def _effort(node: Node) -> int:
    """What needs headers comes last, and only for what the others leave."""
    if isinstance(node, Same) and node.level in ("instance", "item"):
        return 2
    return 0 if isinstance(node, Leaf) else 1


def _among(paths: list[str]) -> Part:
    if len(paths) == 1:
        return Part("path = ?", tuple(paths))
    return Part(f"path in ({', '.join('?' * len(paths))})", tuple(paths))


def _select(what: Part, where: Part, group: str = "") -> Part:
    grouped = f"group by {group}" if group else ""
    sql = f"select {what.sql} from elements where {where.sql} {grouped}"
    return Part(sql, what.values + where.values)


def _once_per_instance(path: str) -> bool:
    """Whether an instance has at most one element at a path."""
    if not dictionary.WORD.fullmatch(path):
        return False
    group = dictionary.tag_of(path) >> 16
    return group >> 8 not in (0x50, 0x60) and group != 0x1010
