"""Counting what the rows of `elements` say: per attribute path, and per value of it.

Every count is a sum over groups of patients and their studies, so what some of them contribute is
counted by the same statements as the whole lake. Paths are taken some at a time, so that memory
stays bounded however large the lake is.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from dicomlake import tables
from dicomlake.dicom.dictionary import BINARY
from dicomlake.jobs.axis import Axis, Moments, Numbers
from dicomlake.jobs.inside import anatomy_codes, columns, placed
from dicomlake.lake.store import CURRENT, connect, view
from dicomlake.terms.mapping import normal

MOST_TOP = 20
LONGEST_VALUE = 100
"""Texts are the same value when so many first characters are."""
MEMORY = "2GB"
ROWS_AT_ONCE = 1_000_000
ROWS_BETWEEN = 500_000
"""Rows of other paths that are read in passing."""
FEW_ROWS = 50_000
"""So many rows of a table are held in memory: some hundred columns of it are read one by one."""
BITS_AT_ONCE = 1_000_000_000
"""Paths times series whose sets are held in memory together."""

_STANDARD_UIDS = "1.2.840.10008."
_QUOTED = ", ".join(f"'{vr}'" for vr in sorted(BINARY))

KEY = "path, text, number, moment"
"""What makes a value: exactly one of text, number and moment is not null."""


class Top(NamedTuple):
    """A frequent value and how many have it."""

    text: str | None
    number: float | None
    moment: datetime | None
    series: int
    patients: int

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sorts the most frequent first, always in the same order."""
        moment = self.moment.timestamp() if self.moment else 0.0
        return (-self.series, -self.patients, self.text or "", self.number or 0.0, moment)


@dataclass(slots=True)
class Count:
    """What is counted at one path. `distinct` is None where there are values nobody lists."""

    patients: int = 0
    studies: int = 0
    series: int = 0
    documents: int = 0
    empty: int = 0
    distinct: int | None = 0
    lowest: float | None = None
    highest: float | None = None
    first: datetime | None = None
    last: datetime | None = None
    vrs: dict[str, int] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    bins: list[int] = field(default_factory=list)
    top: list[Top] = field(default_factory=list)
    meanings: dict[str, str] = field(default_factory=dict)

    @property
    def vr(self) -> str:
        """The most frequent VR."""
        return min(self.vrs, key=lambda vr: (-self.vrs[vr], vr), default="")

    @property
    def axis(self) -> Axis | None:
        """The axis of its histogram; None where there are neither numbers nor moments."""
        dated = self.vr in ("DA", "DT") or self.lowest is None
        if dated and self.first is not None and self.last is not None:
            return Moments.over(self.first, self.last)
        if self.lowest is not None and self.highest is not None:
            return Numbers.over(self.vr, self.lowest, self.highest)
        return None


Counts = dict[str, Count]


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection of bounded memory that puts what is too much into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with connect() as db:
            db.execute(f"set memory_limit = '{MEMORY}'")
            db.execute(f"set temp_directory = '{str(folder).replace(chr(39), chr(39) * 2)}'")
            yield db
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def snapshot(db: duckdb.DuckDBPyConnection, name: str, paths: Callable[[str], list[str]]) -> None:
    """Make a snapshot known under a name; `paths` gives the files of a table.

    NAME_series has its series, NAME_placed elements and items as rows of one shape, NAME_columns
    the SQL of more such rows for each path that columns of contents fill, and how many there are.
    """
    view(db, f"{name}_files", paths("series"), tables.SERIES)
    db.execute(
        f"create temp table {name}_series as "
        f"select series_id, patient_key, study_key from {name}_files"
    )
    view(db, f"{name}_elements_", paths("elements"), tables.ELEMENTS)
    view(db, f"{name}_enrichments", paths("enrichments"), tables.ALL["enrichments"])
    db.execute(f"create temp table {name}_current as {CURRENT.format(f'{name}_enrichments')}")
    for table in (*tables.CONTENTS, *tables.STATED):
        view(db, f"{name}_all_{table}", paths(table), tables.ALL[table])
        stated = f"where enrichment_id in (select enrichment_id from {name}_current)"
        few = only_row(db, f"select count(*) <= {FEW_ROWS} from {name}_all_{table}")[0]
        db.execute(
            f"create temp {'table' if few else 'view'} {name}_{table} as "
            f"select * from {name}_all_{table} {stated if table in tables.STATED else ''}"
        )
    found = db.execute(
        f"select distinct code_scheme, code_value from {name}_elements_ where {anatomy_codes()} "
        "and code_scheme is not null"
    ).fetchall()
    rows = [(scheme, value, *normal(value, scheme)[::-1]) for scheme, value in found]
    kinds = ("code_scheme text", "code_value text", "scheme text", "value text")
    fill(db, f"{name}_codes", kinds, rows)
    db.execute(f"create temp view {name}_placed as {placed(name)}")
    fill(db, f"{name}_columns", ("path text", "sql text", "n bigint"), _filled(db, name))


def _filled(db: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, str, int]]:
    """Path, SQL and number of the rows that columns of contents make."""
    sources: dict[str, list[tuple[str, str, str]]] = {}
    for path, sql, source, where in columns(name):
        sources.setdefault(source, []).append((path, sql, where))
    found = []
    for source, some in sources.items():
        counts = ", ".join(f"count(*) filter (where {where})" for _, _, where in some)
        numbers = only_row(db, f"select {counts} from {source}")
        found += [(p, sql, n) for (p, sql, _), n in zip(some, numbers, strict=True) if n]
    return found


def only_row(db: duckdb.DuckDBPyConnection, statement: str) -> tuple[Any, ...]:
    """The one row of a statement, which is drained: others can run afterwards."""
    (row,) = db.execute(statement).fetchall()
    return tuple(row)


def measure(
    db: duckdb.DuckDBPyConnection,
    name: str,
    take: Callable[[Counts], None],
    *,
    affected: bool = False,
    paths: list[str] | None = None,
    axes: dict[str, Axis | None] | None = None,
) -> None:
    """Count a snapshot, some paths at a time, and hand each part to `take`.

    While `take` runs, the table `counted` has the counts of values (`KEY`, meaning, series,
    patients) of that part. `affected`: only patients in the table of that name. `axes`: of the
    histograms; without it, each has the axis that fits what was counted.
    """
    share = _people(db, name, affected)
    if not share:
        return
    for part in list(_parts(db, name, share, paths)):
        _facts(db, name, part)
        counts = _counted(db)
        if axes is None:
            _bin(db, counts, {path: count.axis for path, count in counts.items()})
        else:
            _bin(db, counts, {path: axes.get(path) for path in counts})
        _values(db)
        take(counts)


def _people(db: duckdb.DuckDBPyConnection, name: str, affected: bool) -> float:
    """Number the series, patients and studies that count; their share of all series."""
    only = "where patient_key in (select patient_key from affected)" if affected else ""
    db.execute(
        f"""create or replace temp table who as
        select series_id,
               (row_number() over (order by series_id) - 1)::integer as s,
               (dense_rank() over (order by patient_key) - 1)::integer as p,
               (dense_rank() over (order by study_key) - 1)::integer as t
        from {name}_series {only}"""
    )
    share = only_row(db, f"select (select count(*) from who) / count(*) from {name}_series")[0]
    return float(share) if share and share == share else 0.0


def _parts(
    db: duckdb.DuckDBPyConnection, name: str, share: float, paths: list[str] | None
) -> Iterator[list[str]]:
    """Paths that lie near each other and fit into memory together."""
    most = max(BITS_AT_ONCE // max(only_row(db, "select count(*) from who")[0], 1), 1)
    wanted = None if paths is None else frozenset(paths)
    found = db.execute(
        f"select path, sum(n)::bigint from (select path, count(*) as n from {name}_placed "
        f"group by path union all select path, n from {name}_columns) group by path order by path"
    ).fetchall()
    part: list[str] = []
    rows = between = 0.0
    for path, count in found:
        if wanted is not None and path not in wanted:
            between += count
            continue
        full = rows + count * share > ROWS_AT_ONCE or len(part) >= most
        if part and (full or between > ROWS_BETWEEN):
            yield part
            part, rows = [], 0.0
        part.append(path)
        rows, between = rows + count * share, 0.0
    if part:
        yield part


def _facts(db: duckdb.DuckDBPyConnection, name: str, paths: list[str]) -> None:
    """The rows of some paths, with small numbers for everything, as the table `facts`.

    `text`, where not null, is the value that the row counts as.
    """
    fill(db, "names", ("path text", "k integer"), [(path, k) for k, path in enumerate(paths)])
    more = db.execute(f"select sql from {name}_columns where path in (select path from names)")
    others = "".join(f" union all {sql}" for (sql,) in more.fetchall())
    clipped = (
        f"case when length(text) > {LONGEST_VALUE} then left(text, {LONGEST_VALUE}) || '…' "
        "else text end"
    )
    db.execute(
        f"""create or replace temp table facts as
        select k, s, p, t, vr, folded, number, number_max, unit as measured, called,
               case when object is not null then hash(series_id, object) end as d,
               moment::timestamp as moment, moment_max::timestamp as moment_max,
               case when text is null then
                      case when code_value is not null
                           then coalesce(code_scheme, '') || ':' || code_value end
                    when vr = 'PN' or (vr = 'UI' and not starts_with(text, '{_STANDARD_UIDS}'))
                      then ''
                    when vr in ({_QUOTED}) or (number is null and moment is null) then {clipped}
                    end as text,
               case when code_value is not null then code_meaning end as meaning,
               not folded and text is null and number is null and moment is null
                 and code_value is null and code_scheme is null and code_meaning is null as bare
        from (select * from {name}_placed where path between ? and ? {others})
        join names using (path) join who using (series_id)""",
        [paths[0], paths[-1]],
    )


def _counted(db: duckdb.DuckDBPyConnection) -> Counts:
    """Counts and ranges per path of `facts`."""
    top = only_row(db, "select max(s), max(p), max(t) from who")
    series, patients, studies = (f"0, {number}" for number in top)
    found = db.execute(
        f"""select path,
               bit_count(bitstring_agg(p, {patients}) filter (not bare)),
               bit_count(bitstring_agg(t, {studies}) filter (not bare)),
               bit_count(bitstring_agg(s, {series}) filter (not bare)),
               bit_count(bitstring_agg(s, {series})),
               min(number), max(greatest(number, number_max)),
               min(moment), max(greatest(moment, moment_max)),
               count(distinct d) filter (not bare)
        from facts join names using (k) group by path"""
    ).fetchall()
    counts = {
        path: Count(
            p or 0, t or 0, s or 0, documents, seen - (s or 0), 0, low, high, utc(first), utc(last)
        )
        for path, p, t, s, seen, low, high, first, last, documents in found
    }
    rows = db.execute(
        f"""select path, vr, bit_count(bitstring_agg(s, {series}))
        from facts join names using (k) group by path, vr"""
    ).fetchall()
    for path, vr, number in rows:
        counts[path].vrs[vr] = number
    for column, of in (("measured", "units"), ("called", "names")):
        rows = db.execute(
            f"""select path, {column}, bit_count(bitstring_agg(s, {series}))
            from facts join names using (k) where {column} is not null group by path, {column}"""
        ).fetchall()
        for path, text, number in rows:
            getattr(counts[path], of)[text] = number
    return counts


def utc(moment: datetime | None) -> datetime | None:
    """A moment that the database gave without zone, in UTC."""
    return moment and moment.replace(tzinfo=UTC)


def naive(moment: datetime | None) -> datetime | None:
    """A moment as the database takes it."""
    return moment and moment.astimezone(UTC).replace(tzinfo=None)


def _bin(db: duckdb.DuckDBPyConnection, counts: Counts, axes: dict[str, Axis | None]) -> None:
    """Count the series in every bin of every axis."""
    for path, count in counts.items():
        axis = axes[path]
        count.bins = [0] * axis.count if axis else []
    numbers = {path: axis for path, axis in axes.items() if isinstance(axis, Numbers)}
    moments = {path: axis for path, axis in axes.items() if isinstance(axis, Moments)}
    if numbers:
        rows = [(p, a.width, a.parts, a.base, a.count) for p, a in numbers.items()]
        kinds = ("path text", "width double", "parts double", "base double", "bins integer")
        fill(db, "axes", kinds, rows)
        place = "floor({} * parts / width) - base"
        _spread(db, counts, place.format("number"), place.format("number_max"), "number")
    if moments:
        days = [(p, a.unit, a.step, naive(a.start), a.count) for p, a in moments.items()]
        kinds = ("path text", "unit text", "step integer", "start timestamp", "bins integer")
        fill(db, "axes", kinds, days)
        place = "date_diff(unit, start, {}) // step"
        _spread(db, counts, place.format("moment"), place.format("moment_max"), "moment")


def fill(db: duckdb.DuckDBPyConnection, name: str, kinds: tuple[str, ...], rows: list[Any]) -> None:
    """Make a small table of rows; `kinds` are its columns with their types."""
    db.execute(f"create or replace temp table {name} ({', '.join(kinds)})")
    if rows:
        names = [kind.split()[0] for kind in kinds]
        columns = [list(column) for column in zip(*rows, strict=True)]
        db.register("_rows", pa.table(dict(zip(names, columns, strict=True))))
        db.execute(f"insert into {name} select * from _rows")
        db.unregister("_rows")


def _spread(
    db: duckdb.DuckDBPyConnection, counts: Counts, low: str, high: str, column: str
) -> None:
    found = db.execute(
        f"""with placed as (
            select k, s, greatest(least({low}, bins - 1), 0)::integer as low,
                   case when {column}_max is not null
                        then greatest(least({high}, bins - 1), 0)::integer end as high
            from facts join names using (k) join axes using (path)
            where {column} is not null)
        select path, bin, count(*) from (
            select distinct k, s, bin from (
                select k, s, low as bin from placed
                union all
                select k, s, unnest(range(low + 1, high + 1)) from placed where high > low))
        join names using (k) group by path, bin"""
    ).fetchall()
    for path, place, series in found:
        counts[path].bins[place] += series


def _values(db: duckdb.DuckDBPyConnection) -> None:
    """Count the series and patients of every value, as the table `counted`."""
    db.execute(
        "create or replace temp table counted (path text, text text, number double, "
        "moment timestamp, meaning text, series bigint, patients bigint)"
    )
    kinds = {
        "text": "text is not null",
        "number": "text is null and number is not null",
        "moment": "text is null and number is null and moment is not null",
    }
    for kind, holds in kinds.items():
        db.execute(
            f"""insert into counted by name
            select path, {kind}, series, patients from (
                select k, {kind}, sum(n)::bigint as series, count(*) as patients from (
                    select k, {kind}, p, count(*) as n from (
                        select distinct k, {kind}, s, p from facts where not folded and {holds})
                    group by k, {kind}, p)
                group by k, {kind})
            join names using (k)"""
        )
    db.execute(
        """insert into counted by name
        select path, text, meaning, count(distinct s) as series, count(distinct p) as patients
        from facts join names using (k)
        where meaning is not null and text is not null group by path, text, meaning"""
    )


def add_distinct(db: duckdb.DuckDBPyConnection, values: str, counts: Counts) -> None:
    """Set how many values each path has in a table of values; None where some are not listed."""
    found = db.execute(
        f"""select path, count(*), coalesce(bool_or(text = ''), false) from {values}
        where meaning is null group by path"""
    ).fetchall()
    for path, number, unlisted in found:
        counts[path].distinct = None if unlisted else number


def add_top(
    db: duckdb.DuckDBPyConnection, values: str, counts: Counts, least: dict[str, int]
) -> None:
    """Set the most frequent values of paths that at least so many patients have."""
    fill(db, "asked", ("path text", "least bigint"), list(least.items()))
    found = db.execute(
        f"""select {KEY}, series, patients from {values} join asked using (path)
        where meaning is null and text is distinct from '' and patients >= least
        qualify row_number() over (
            partition by path order by series desc, patients desc, coalesce(text, ''),
            coalesce(number, 0), coalesce(moment, '1970-01-01'::timestamp)) <= {MOST_TOP}"""
    ).fetchall()
    for path in least:
        counts[path].top = []
    for path, text, number, moment, series, patients in found:
        counts[path].top.append(Top(text, number, utc(moment), series, patients))
    for path in least:
        counts[path].top.sort(key=lambda top: top.rank)


def add_meanings(db: duckdb.DuckDBPyConnection, values: str, counts: Counts) -> None:
    """Set the most frequent meaning of every code among the most frequent values."""
    coded = [path for path, count in counts.items() if count.top and "SQ" in count.vrs]
    found = db.execute(
        f"""select path, text, meaning from {values}
        where meaning is not null and path = any(?)
        qualify row_number() over (partition by path, text order by series desc, meaning) = 1""",
        [coded],
    ).fetchall()
    for path, text, meaning in found:
        counts[path].meanings[text] = meaning
