"""Merging: series that were read in several parts, or are in the lake already, under new numbers.

Which copy of an object stays is decided in the run's database; headers pass through one row group
at a time. So a series may be as large as it likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dicomlake import tables
from dicomlake.jobs.reading import Numbers
from dicomlake.lake import Store
from dicomlake.lake.database import parquet
from dicomlake.lake.files import Stream, order_of, row_groups
from dicomlake.readers.batch import elements_table, folded_of, moment, series_row
from dicomlake.readers.contents import ContentRows, ContentsReader, Wants
from dicomlake.readers.fold import Folded, fold, merge
from dicomlake.readers.header import HeaderReader

_FLUSH_ROWS = 100_000
IMAGE = 3
"""From this precedence on, a row of `dose_events` is told by one object of a series for all."""


@dataclass(slots=True)
class Wanted:
    """A series to merge: its number in the lake (None: it is new) and those of its parts."""

    uid: str
    known: int | None
    parts: list[int]


@dataclass(slots=True)
class Merged:
    """What merging made: files not part of the tables yet, rows of `series`, notes.

    `replaced`: SeriesInstanceUIDs whose rows give way. `repeated`: objects of this run that turned
    out to be duplicates.
    """

    children: dict[str, list[str]] = field(default_factory=dict)
    series: list[dict[str, Any]] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    files: list[dict[str, Any]] = field(default_factory=list)
    repeated: int = 0


class _Moving(NamedTuple):
    """A series, of the lake or a part, whose instances get a new number; or only some of them."""

    old: int
    number: int
    partly: bool


class _Anew:
    """Series that are made anew from the headers of their instances, by their numbers."""

    def __init__(self, reader: HeaderReader, contents: ContentsReader, series: set[int]) -> None:
        self.series = series
        self._reader, self._contents = reader, contents
        self._counts: dict[int, Counter[int]] = {number: Counter() for number in series}
        self._rows = ContentRows()
        self._headers: dict[tuple[int, int, str], tuple[str, str]] = {}

    def take(self, rows: pa.Table) -> None:
        """Read the headers of those instances that belong to the series."""
        if not self.series:
            return
        numbers = pa.array(self.series, pa.int64())
        picked = rows.filter(pc.is_in(rows.column("series_id"), value_set=numbers))
        picked = picked.select(["series_id", "SOPInstanceUID", "header"])
        for batch in picked.to_batches(max_chunksize=256):
            for number, uid, header in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                found = self._reader.read_json(orjson.loads(header))
                self._counts[number].update(found.rows)
                self._inside(number, uid, header, self._contents.wanted(found.first))

    def _inside(self, number: int, uid: str, header: str, wanted: Wants) -> None:
        """Read what an object tells of itself; note which one is to tell of its series."""
        itself = [place for place, what in wanted if not what]
        if itself:
            self._rows.add(number, uid, self._contents.read(header, itself))
        for place, what in wanted:
            key = number, place, what
            if what and uid <= self._headers.get(key, (uid, ""))[0]:
                self._headers[key] = uid, header

    def folded(self) -> dict[int, list[Folded]]:
        """The rows of `elements` of each series."""
        said = self._reader.rows
        found = {
            n: fold((said[i], count) for i, count in c.items()) for n, c in self._counts.items()
        }
        self._reader.forget()
        return found

    def insides(self) -> Iterator[tuple[str, pa.Table]]:
        """Rows of contents, by table."""
        for (number, place, _), (uid, header) in self._headers.items():
            self._rows.add(number, uid, self._contents.read(header, [place]))
        return self._rows.tables()


class Merger:
    """Merges series. `db` is the ledger's; numbers from `first` on were given in this run."""

    def __init__(self, store: Store, db: duckdb.DuckDBPyConnection, numbers: Numbers) -> None:
        self.store, self.db, self.numbers = store, db, numbers
        self.first = numbers.next
        self._reader = HeaderReader()
        self._contents = ContentsReader()

    def merge(self, wanted: list[Wanted], files: dict[str, list[Path]]) -> Merged:
        """Merge series whose parts have their rows in files by table, besides those of the lake."""
        merged = Merged()
        known = [w.known for w in wanted if w.known is not None]
        paths = {
            name: sorted({*map(str, parts), *self.store.paths(name, known)})
            for name, parts in files.items()
        }
        if not paths["instances"]:
            return merged
        self._choose(wanted, paths["instances"])
        self._note(wanted, merged)
        numbers = self._numbered(wanted, merged)
        if numbers:
            moving = self._moving(numbers)
            anew = _Anew(self._reader, self._contents, {m.number for m in moving if m.partly})
            merged.children["instances"] = self._instances(paths["instances"], moving, anew)
            refolded = anew.folded()
            self._elements(paths["elements"], numbers, refolded, wanted, merged)
            self._insides(paths, moving, anew, merged)
        return merged

    def _choose(self, wanted: list[Wanted], paths: list[str]) -> None:
        """Table `chosen`: one copy of each object, current and with the first URI, is `kept`."""
        rows: dict[int, tuple[int, bool]] = {}
        for place, series in enumerate(wanted):
            rows |= {number: (place, False) for number in series.parts}
            if series.known is not None:
                rows[series.known] = (place, True)
        self.db.register(
            "asked",
            pa.table(
                {
                    "series_id": pa.array(rows, pa.int64()),
                    "place": pa.array([place for place, _ in rows.values()], pa.int64()),
                    "old": pa.array([old for _, old in rows.values()], pa.bool_()),
                }
            ),
        )
        self.db.execute("create or replace temp table wanted as select * from asked")
        self.db.unregister("asked")
        # Rows that this run wrote are current, even if an archive is read again unchanged.
        self.db.execute(
            f"""create or replace temp table chosen as
            with copies as (
                select w.place, w.old, i.series_id, i."SOPInstanceUID" as sop, i.uri, i.size,
                       i.modified, w.old and i.series_id < {self.first} and s.uri is not null
                       as stale
                from {parquet(paths)} i join wanted w using (series_id)
                left join (select distinct uri, size, modified from stale
                           where what = 'instance') s
                on i.uri = s.uri and i.size = s.size and epoch_us(i.modified) = s.modified)
            select *, first(uri) over best as winner,
                   not stale and row_number() over best = 1 as kept
            from copies
            window best as (partition by place, sop order by stale, uri, not old, series_id
                            rows between unbounded preceding and unbounded following)"""
        )

    def _note(self, wanted: list[Wanted], merged: Merged) -> None:
        """Note copies that are not kept, and count those that this run has read."""
        rows = self.db.execute(
            """select c.place, c.sop, c.uri, c.size, epoch_us(c.modified), c.uri <> c.winner,
                      not c.old or t.uri is not null
            from chosen c left join todo t on split_part(c.uri, '::', -1) = t.uri
            where not c.kept and not c.stale"""
        ).fetchall()
        for place, sop, uri, size, modified, elsewhere, now in rows:
            merged.repeated += bool(now)
            if elsewhere:
                merged.files.append(
                    {
                        "uri": uri,
                        "size": size,
                        "modified": moment(modified),
                        "state": "duplicate",
                        "SeriesInstanceUID": wanted[place].uid,
                        "SOPInstanceUID": sop,
                    }
                )

    def _numbered(self, wanted: list[Wanted], merged: Merged) -> dict[int, tuple[int, int]]:
        """Place of each series that changes -> its new number and how many instances it keeps."""
        found = self.db.execute(
            """select place, count(*) filter (kept), bool_and(kept = old) from chosen
            group by place order by place"""
        ).fetchall()
        numbers: dict[int, tuple[int, int]] = {}
        for place, kept, same in found:
            if same:
                continue
            if wanted[place].known is not None:
                merged.replaced.add(wanted[place].uid)
            if kept:
                numbers[place] = (self.numbers.take(1), kept)
        return numbers

    def _moving(self, numbers: dict[int, tuple[int, int]]) -> list[_Moving]:
        """What of the parts and the lake goes on under which number."""
        found = self.db.execute(
            """select series_id, any_value(place), bool_or(not kept) from chosen
            group by series_id having bool_or(kept) order by series_id"""
        ).fetchall()
        return [
            _Moving(old, numbers[place][0], partly)
            for old, place, partly in found
            if place in numbers
        ]

    def _instances(self, paths: list[str], moving: list[_Moving], anew: _Anew) -> list[str]:
        """Write the kept instances under their new numbers."""
        ids = [m.old for m in moving]
        partly = {m.old for m in moving if m.partly}
        dropped = self._dropped(partly)
        value_set = pa.array(ids, pa.int64())
        new = pa.array([m.number for m in moving], pa.int64())
        stream = Stream(self.store.path / "instances", "instances", sort=True)
        for path in paths:
            for rows in row_groups(Path(path), ids):
                at = pc.index_in(rows.column("series_id"), value_set=value_set)
                rows = rows.filter(pc.is_valid(at))
                rows = rows.filter(_kept(rows, partly, dropped))
                if not rows.num_rows:
                    continue
                column = new.take(pc.index_in(rows.column("series_id"), value_set=value_set))
                rows = rows.set_column(0, tables.INSTANCES.field(0), column)
                anew.take(rows)
                stream.write(rows)
        return stream.close()

    def _dropped(self, partly: set[int]) -> set[tuple[int, str]]:
        if not partly:
            return set()
        found = self.db.execute("select series_id, sop from chosen where not kept").fetchall()
        return {(number, sop) for number, sop in found if number in partly}

    def _elements(
        self,
        paths: list[str],
        numbers: dict[int, tuple[int, int]],
        refolded: dict[int, list[Folded]],
        wanted: list[Wanted],
        merged: Merged,
    ) -> None:
        """Write the rows of the series, and make their rows of `series`."""
        stream = Stream(self.store.path / "elements", "elements", sort=True)
        places = {number: place for place, (number, _) in numbers.items()}
        whole = {place: n for place, (n, _) in numbers.items() if n not in refolded}
        held: list[tuple[int, list[Folded]]] = []
        size = 0
        for number, rows in chain(refolded.items(), self._parts(paths, whole)):
            uid, instances = wanted[places[number]].uid, numbers[places[number]][1]
            merged.series.append({"series_id": number, **series_row(uid, rows, instances)})
            held.append((number, rows))
            size += len(rows)
            if size > _FLUSH_ROWS:
                stream.write(elements_table(held))
                held, size = [], 0
        stream.write(elements_table(held))
        merged.children["elements"] = stream.close()

    def _insides(
        self, paths: dict[str, list[str]], moving: list[_Moving], anew: _Anew, merged: Merged
    ) -> None:
        """Write what is inside of objects: as it was for whole series, else as read anew."""
        whole = [m for m in moving if m.number not in anew.series]
        self.db.register(
            "whole",
            pa.table(
                {
                    "series_id": pa.array([m.old for m in whole], pa.int64()),
                    "number": pa.array([m.number for m in whole], pa.int64()),
                }
            ),
        )
        read = dict(anew.insides())
        for name in tables.CONTENTS:
            rows = [read[name]] if name in read else []
            if whole and paths[name]:
                rows.append(self._moved(name, paths[name]))
            file = None
            if rows:
                file = self.store.write(name, pa.concat_tables(rows).sort_by(order_of(name)))
            merged.children[name] = [file] if file else []
        self.db.unregister("whole")

    def _moved(self, name: str, paths: list[str]) -> pa.Table:
        """Rows of whole series under their new numbers; what stands for a series stands once."""
        columns = ", ".join(f'c."{column}"' for column in tables.ALL[name].names[1:])
        once = ""
        if name == "dose_events":
            once = (
                f"qualify c.precedence < {IMAGE} or row_number() over (partition by w.number, "
                'c.event_key order by c."SOPInstanceUID") = 1'
            )
        found = self.db.sql(
            f"select w.number as series_id, {columns} from {parquet(paths)} c "
            f"join whole w using (series_id) {once}"
        ).to_arrow_table()
        return found.cast(tables.ALL[name])

    def _parts(
        self, paths: list[str], numbers: dict[int, int]
    ) -> Iterator[tuple[int, list[Folded]]]:
        """The merged rows of series of which every part is kept whole or not at all."""
        if not numbers:
            return
        rows = pa.table(
            {
                "place": pa.array(numbers, pa.int64()),
                "number": pa.array(numbers.values(), pa.int64()),
            }
        )
        self.db.register("places", rows)
        self.db.execute(
            """create or replace temp table moved as
            select series_id, any_value(number) as number from chosen
            join places using (place) group by series_id having bool_or(kept)"""
        )
        self.db.unregister("places")
        columns = ", ".join(f'e."{name}"' for name in tables.ELEMENTS.names[1:])
        reader = self.db.sql(
            f"select m.number as series_id, {columns} from {parquet(paths)} e "
            "join moved m using (series_id) order by m.number"
        ).to_arrow_reader(20_000)
        numbered = (
            pair
            for batch in reader
            for pair in zip(batch.column(0).to_pylist(), folded_of(batch), strict=True)
        )
        met = set()
        for number, group in groupby(numbered, key=itemgetter(0)):
            met.add(number)
            yield number, merge(row for _, row in group)
        for number in numbers.values():
            if number not in met:
                yield number, []


def _kept(rows: pa.Table, partly: set[int], dropped: set[tuple[int, str]]) -> pa.Array:
    """Which rows are not among the dropped ones of series of which only a part is kept."""
    numbers = rows.column("series_id").to_pylist()
    if partly.isdisjoint(numbers):
        return pa.repeat(True, rows.num_rows)
    uids = rows.column("SOPInstanceUID").to_pylist()
    pairs = zip(numbers, uids, strict=True)
    return pa.array([pair not in dropped for pair in pairs], pa.bool_())
