"""Merging: series that were read in several parts, or are in the lake already, under new numbers.

Which copy of an object stays is decided in the run's database; headers pass through one row group
at a time. So a series may be as large as it likes.

What is inside of objects moves along, or is read from headers where only a part of a series stays.
Its problems stay with the instance that was read, also when another one stands for the series now.
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
from dicomlake.lake.files import Stream, row_groups
from dicomlake.readers.batch import elements_table, folded_of, moment, series_row
from dicomlake.readers.contents import Collector, ContentsReader, first_of
from dicomlake.readers.fold import Folded, fold, merge
from dicomlake.readers.header import HeaderReader

_FLUSH_ROWS = 100_000


@dataclass(slots=True)
class Wanted:
    """A series to merge: its number in the lake (None: it is new) and those of its parts.

    `anew`: it gets a new row even if it keeps just the instances that it has.
    """

    uid: str
    known: int | None
    anew: bool
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

    def __init__(
        self,
        reader: HeaderReader,
        contents: ContentsReader,
        series: set[int],
        streams: dict[str, Stream],
    ) -> None:
        self.series = series
        self._reader, self._contents, self._streams = reader, contents, streams
        self._counts: dict[int, Counter[int]] = {number: Counter() for number in series}
        self._collected = Collector(contents)

    def take(self, rows: pa.Table) -> None:
        """Read the headers of those instances that belong to the series."""
        for number, uid, text in _headers(rows, self.series):
            header = orjson.loads(text)
            found = self._reader.read_json(header)
            self._counts[number].update(found.rows)
            wanted = self._contents.wanted(found.first)
            self._collected.take(number, uid, text, header, wanted)
            if self._collected.rows.many:
                self._write()

    def _write(self) -> None:
        for name, rows in self._collected.rows.tables():
            self._streams[name].write(rows)

    def folded(self) -> dict[int, list[Folded]]:
        """The rows of `elements` of each series."""
        said = self._reader.rows
        found = {
            n: fold((said[i], count) for i, count in c.items()) for n, c in self._counts.items()
        }
        self._reader.forget()
        return found

    def finish(self) -> None:
        """Write what is left of the rows of contents."""
        self._collected.tell()
        self._write()


class _Standing:
    """Of objects that stand for the same in several parts of a series, the first one tells of it.

    `told`: the instances that have rows of contents, by number of their series.
    """

    def __init__(self, contents: ContentsReader, told: dict[int, set[str]]) -> None:
        self._contents, self._told = contents, told
        self._first: dict[tuple[int, int, str], str] = {}
        self._met: list[tuple[tuple[int, int, str], str]] = []

    def take(self, rows: pa.Table) -> None:
        """Look at instances under their new numbers."""
        for number, uid, header in _headers(rows, set(self._told)):
            for place, what in self._contents.wanted(first_of(orjson.loads(header))):
                if what:
                    key = number, place, what
                    self._first[key] = min(uid, self._first.get(key, uid))
                    if uid in self._told[number]:
                        self._met.append((key, uid))

    def second(self) -> pa.Table:
        """Number, instance and reader of rows that another instance makes superfluous."""
        names = [reader.name for reader in self._contents.readers]
        found = [(key[0], uid, names[key[1]]) for key, uid in self._met if uid != self._first[key]]
        kinds = (pa.int64(), pa.string(), pa.string())
        columns = zip(*found, strict=True) if found else ((), (), ())
        arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
        return pa.table(arrays, names=["number", "SOPInstanceUID", "reader"])


def _headers(rows: pa.Table, series: set[int]) -> Iterator[tuple[int, str, str]]:
    """Number, SOPInstanceUID and header of the instances of some series."""
    if series:
        numbers = pa.array(series, pa.int64())
        picked = rows.filter(pc.is_in(rows.column("series_id"), value_set=numbers))
        picked = picked.select(["series_id", "SOPInstanceUID", "header"])
        for batch in picked.to_batches(max_chunksize=256):
            yield from zip(*(c.to_pylist() for c in batch.columns), strict=True)


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
            partly = {m.number for m in moving if m.partly}
            whole = [m for m in moving if m.number not in partly]
            folders = {name: self.store.path / name for name in tables.CONTENTS}
            streams = {name: Stream(path, name, sort=True) for name, path in folders.items()}
            anew = _Anew(self._reader, self._contents, partly, streams)
            standing = _Standing(self._contents, self._told(paths, whole))
            merged.children["instances"] = self._instances(
                paths["instances"], moving, [anew, standing]
            )
            refolded = anew.folded()
            self._elements(paths["elements"], numbers, refolded, wanted, merged)
            anew.finish()
            self._move(paths, whole, standing, streams)
            merged.children |= {name: stream.close() for name, stream in streams.items()}
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
            if same and not wanted[place].anew:
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

    def _instances(
        self, paths: list[str], moving: list[_Moving], watching: list[_Anew | _Standing]
    ) -> list[str]:
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
                for one in watching:
                    one.take(rows)
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

    def _told(self, paths: dict[str, list[str]], whole: list[_Moving]) -> dict[int, set[str]]:
        """Instances with rows of contents, by new number, of series that come from several."""
        sources = Counter(m.number for m in whole)
        self._register([m for m in whole if sources[m.number] > 1])
        told: dict[int, set[str]] = {}
        for name in tables.CONTENTS:
            if paths[name]:
                found = self.db.execute(
                    f'select distinct w.number, c."SOPInstanceUID" from {parquet(paths[name])} c '
                    "join whole w using (series_id)"
                ).fetchall()
                for number, uid in found:
                    told.setdefault(number, set()).add(uid)
        self.db.unregister("whole")
        return told

    def _move(
        self,
        paths: dict[str, list[str]],
        whole: list[_Moving],
        standing: _Standing,
        streams: dict[str, Stream],
    ) -> None:
        """Write the rows of contents of whole series under their new numbers."""
        self._register(whole)
        self.db.register("second", standing.second())
        for name in tables.CONTENTS:
            if not whole or not paths[name]:
                continue
            columns = ", ".join(f'c."{column}"' for column in tables.ALL[name].names[1:])
            reader = self.db.sql(
                f"select w.number as series_id, {columns} from {parquet(paths[name])} c "
                "join whole w using (series_id) anti join second s on s.number = w.number "
                'and s."SOPInstanceUID" = c."SOPInstanceUID" and s.reader = c.reader'
            ).to_arrow_reader(20_000)
            for batch in reader:
                streams[name].write(pa.Table.from_batches([batch]).cast(tables.ALL[name]))
        self.db.unregister("second")
        self.db.unregister("whole")

    def _register(self, whole: list[_Moving]) -> None:
        """The table `whole`: old numbers of series and their new ones."""
        columns = {
            "series_id": pa.array([m.old for m in whole], pa.int64()),
            "number": pa.array([m.number for m in whole], pa.int64()),
        }
        self.db.register("whole", pa.table(columns))

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
