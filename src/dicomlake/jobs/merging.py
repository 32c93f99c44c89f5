"""Merging: series that were read in several parts, or are in the lake already, under new numbers.

Which copy of an object stays is decided in the run's database; headers pass through one row group
at a time. So a series may be as large as it likes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

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
from dicomlake.readers.fold import Folded, fold, merge
from dicomlake.readers.header import HeaderReader

_FLUSH_ROWS = 100_000


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

    instances: list[str] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    series: list[dict[str, Any]] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    files: list[dict[str, Any]] = field(default_factory=list)
    repeated: int = 0


class Merger:
    """Merges series. `db` is the ledger's; numbers from `first` on were given in this run."""

    def __init__(self, store: Store, db: duckdb.DuckDBPyConnection, numbers: Numbers) -> None:
        self.store, self.db, self.numbers = store, db, numbers
        self.first = numbers.next
        self._reader = HeaderReader()

    def merge(self, wanted: list[Wanted], instances: list[Path], elements: list[Path]) -> Merged:
        """Merge series whose parts have their rows in some files, besides those of the lake."""
        merged = Merged()
        known = [w.known for w in wanted if w.known is not None]
        paths = {
            name: sorted({*map(str, parts), *self.store.paths(name, known)})
            for name, parts in (("instances", instances), ("elements", elements))
        }
        if not paths["instances"]:
            return merged
        self._choose(wanted, paths["instances"])
        self._note(wanted, merged)
        numbers = self._numbered(wanted, merged)
        if numbers:
            refolded = self._instances(paths["instances"], numbers, merged)
            self._elements(paths["elements"], numbers, refolded, wanted, merged)
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

    def _instances(
        self, paths: list[str], numbers: dict[int, tuple[int, int]], merged: Merged
    ) -> dict[int, list[Folded]]:
        """Write the kept instances under their new numbers; the rows of series that have to be
        folded anew, because only some instances of a part are kept."""
        moving = self.db.execute(
            """select series_id, any_value(place), bool_or(not kept) from chosen
            group by series_id having bool_or(kept) order by series_id"""
        ).fetchall()
        moving = [row for row in moving if row[1] in numbers]
        ids = [row[0] for row in moving]
        partly = {row[0] for row in moving if row[2]}
        refold = {numbers[row[1]][0] for row in moving if row[2]}
        dropped = self._dropped(partly)
        value_set = pa.array(ids, pa.int64())
        new = pa.array([numbers[place][0] for _, place, _ in moving], pa.int64())
        stream = Stream(self.store.path / "instances", "instances", sort=True)
        counts: dict[int, Counter[int]] = defaultdict(Counter)
        for path in paths:
            for rows in row_groups(Path(path), ids):
                at = pc.index_in(rows.column("series_id"), value_set=value_set)
                rows = rows.filter(pc.is_valid(at))
                rows = rows.filter(_kept(rows, partly, dropped))
                if not rows.num_rows:
                    continue
                column = new.take(pc.index_in(rows.column("series_id"), value_set=value_set))
                rows = rows.set_column(0, tables.INSTANCES.field(0), column)
                self._count(rows, refold, counts)
                stream.write(rows)
        merged.instances = stream.close()
        said = self._reader.rows
        folded = {n: fold((said[i], count) for i, count in c.items()) for n, c in counts.items()}
        self._reader.forget()
        return folded

    def _dropped(self, partly: set[int]) -> set[tuple[int, str]]:
        if not partly:
            return set()
        found = self.db.execute("select series_id, sop from chosen where not kept").fetchall()
        return {(number, sop) for number, sop in found if number in partly}

    def _count(self, rows: pa.Table, refold: set[int], counts: dict[int, Counter[int]]) -> None:
        """Count what the headers of some series say."""
        if not refold:
            return
        mask = pc.is_in(rows.column("series_id"), value_set=pa.array(refold, pa.int64()))
        picked = rows.filter(mask).select(["series_id", "header"])
        for batch in picked.to_batches(max_chunksize=256):
            for number, header in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                counts[number].update(self._reader.read_json(orjson.loads(header)).rows)

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
        merged.elements = stream.close()

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
