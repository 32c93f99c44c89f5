"""Values of one path among some series: the most frequent ones, and how they are spread."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from dicomlake.dicom import dictionary
from dicomlake.dicom.wording import shown
from dicomlake.engines import contents
from dicomlake.engines.conditions import HAS_VALUE, Part
from dicomlake.engines.order import listed
from dicomlake.engines.search import Search
from dicomlake.engines.snapshot import Mask
from dicomlake.errors import UsageError
from dicomlake.lake.vocabulary import Bin, Value, span
from dicomlake.query.attributes import ANATOMY, ANATOMY_PATHS, ROWS, attribute

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Spread:
    """Reads the values that some series have at a path."""

    def __init__(self, search: Search, mask: Mask) -> None:
        self.search, self.db, snapshot = search, search.db, search.snapshot
        table = {"series_id": snapshot.ids[mask], "patient": snapshot.patients[mask]}
        self.db.register("chosen", pa.table(table))

    def values(self, path: str, prefix: str = "", limit: int = 50) -> tuple[list[Value], bool]:
        """The most frequent values that begin with a prefix, and whether there are more."""
        source = self._rows(path)
        fits = "starts_with(lower(v), lower($p)) or starts_with(lower(label), lower($p))"
        named = dict(zip((f"v{n}" for n in range(len(source.values))), source.values, strict=True))
        sql = source.sql
        for name in named:
            sql = sql.replace("?", f"${name}", 1)
        if prefix:
            named["p"] = prefix
        self.search.check()
        found = self.db.execute(
            f"with rows as ({sql}) select v, any_value(label) as label, "
            "count(distinct series_id) as series, count(distinct patient) as patients "
            f"from rows where v is not null {f'and ({fits})' if prefix else ''} "
            f"group by v order by series desc, patients desc, v limit {limit + 1}",
            named,
        ).fetchall()
        values = [
            Value(v, "", _label(path, v, label), series, patients)
            for v, label, series, patients in found[:limit]
        ]
        return values, len(found) > limit

    def _rows(self, path: str) -> Part:
        """SELECT of series_id, patient, v (as questions write it) and label."""
        if path == ANATOMY:
            parts = [self._rows(each) for each in ANATOMY_PATHS]
            sql = " union all ".join(f"({part.sql})" for part in parts)
            return Part(sql, tuple(value for part in parts for value in part.values))
        about = attribute(path)
        if about.table:
            return self._inside(path)
        within = listed(self.search.any_depth(path))
        return Part(
            f"select e.series_id, c.patient, {_VALUE} as v, coalesce(code_meaning, '') as label "
            "from elements e join chosen c using (series_id) "
            f"where path in ({within}) and not folded and {HAS_VALUE.sql} "
            f"and (vr <> 'SQ' or code_value is not null)"
        )

    def _inside(self, path: str) -> Part:
        if path in ROWS:
            raise UsageError(f"{path} is a row and has no values. Ask one of its columns.")
        asked = contents.asked_rows(path)
        about = attribute(path)
        name = path.partition(".")[2]
        label, value = "''", "null"
        if about.kind == "content":
            value = _CONTENT
            label = "coalesce(c.code_meaning, '')"
        elif about.kind == "number" and about.vm == "1":
            value = _plain_number(contents.number(path))
        elif about.kind == "datetime":
            value = f"strftime(c.\"{name}\", '%Y-%m-%dT%H:%M:%S')"
        elif about.vm == "1":
            value = f"({contents.shown_field(path)})::varchar"
            label = f"coalesce({contents.meaning_field(path) or 'null'}, '')"
        source = self.search.rows_among(asked.table, "chosen")
        return Part(
            f"select c.series_id, k.patient, {value} as v, {label} as label "
            f"from {source} c join chosen k on k.series_id = c.series_id "
            f"where {asked.where.sql}",
            asked.where.values,
        )

    # Histograms

    def histogram(self, path: str, bins: int) -> list[Bin]:
        """Series in bins of a round width; those with a range are in every bin that it touches."""
        source, vr = self._measures(path)
        self.search.check()
        self.db.execute(
            f"create or replace temp table measures as {source.sql}", list(source.values)
        )
        ends = self.db.execute(
            "select min(low), max(high) from measures where isfinite(low) and isfinite(high)"
        ).fetchall()[0]
        if ends[0] is None:
            return []
        dated = vr in ("DA", "DT")
        edges = _edges(ends[0], ends[1], bins, dated=dated, whole=vr in _WHOLE)
        table = {"n": range(len(edges) - 1), "low": edges[:-1], "high": edges[1:]}
        self.db.register("bins", pa.table(table))
        counted = self.db.execute(
            "select n, count(distinct series_id), count(distinct patient) from measures m "
            "join chosen using (series_id) join bins b on m.low < b.high and m.high >= b.low "
            "group by n"
        ).fetchall()
        counts = {n: (series, patients) for n, series, patients in counted}
        label = span if dated else (lambda low, _: shown(vr, low))
        return [
            Bin(low, high, label(low, high), *counts.get(n, (0, 0)))
            for n, (low, high) in enumerate(itertools.pairwise(edges))
        ]

    def _measures(self, path: str) -> tuple[Part, str]:
        """SELECT of series_id, low and high as numbers, and the VR that says what they mean."""
        about = attribute(path)
        if about.table:
            return self._measures_inside(path)
        dated = about.kind in ("date", "datetime")
        if not dated and about.kind not in ("number", "time", "age", "sequence", "unknown"):
            raise UsageError(f"{path} holds {about.kind}s: there is no histogram of them.")
        low, high = ("epoch(moment)", "epoch(coalesce(moment_max, moment))") if dated else (
            "number", "coalesce(number_max, number)"
        )  # fmt: skip
        within = listed(self.search.any_depth(path))
        sql = (
            f"select e.series_id, {low}::double as low, {high}::double as high from elements e "
            f"join chosen using (series_id) where path in ({within}) and {low} is not null"
        )
        return Part(sql), about.vr or "DS"

    def _measures_inside(self, path: str) -> tuple[Part, str]:
        about = attribute(path)
        asked = contents.asked_rows(path)
        if about.kind == "datetime":
            value = f'epoch(c."{path.partition(".")[2]}")'
        elif about.kind in ("number", "content"):
            value = contents.number(path)
        else:
            raise UsageError(f"{path} holds {about.kind}s: there is no histogram of them.")
        sql = (
            f"select c.series_id, ({value})::double as low, ({value})::double as high "
            f"from {self.search.rows_among(asked.table, 'chosen')} c join chosen using (series_id) "
            f"where {asked.where.sql} and ({value}) is not null"
        )
        return Part(sql, asked.where.values), about.vr or "DS"


_WHOLE = frozenset(["IS", "US", "UL", "SS", "SL", "SV", "UV", "SQ"])
_CONTENT = (
    "coalesce(c.code, c.text, case when coalesce(c.quantity, c.number) is not null then "
    "(coalesce(c.quantity, c.number))::varchar end, strftime(c.moment, '%Y-%m-%d'))"
)


def _plain_number(column: str) -> str:
    return (
        f"case when {column} = trunc({column}) and abs({column}) < 1e15 "
        f"then {column}::bigint::varchar else {column}::varchar end"
    )


_VALUE = (
    "case when code_value is not null then coalesce(code_scheme, '') || ':' || code_value "
    "when vr = 'DA' and moment is not null then strftime(moment, '%Y-%m-%d') "
    f"when text is not null and vr not in ({listed(sorted(dictionary.NUMBERS))}) then text "
    f"when vr in ({listed(sorted(dictionary.BINARY))}) then null "
    f"else {_plain_number('number')} end"
)


def _label(path: str, value: str, meaning: str) -> str:
    """What people read of a value."""
    kind = attribute(path).kind
    if meaning:
        return f"{meaning} ({value})"
    if kind == "age" and value[:-1].isdigit() and value[-1:] in "YMWD":
        return shown("AS", int(value[:-1]) * {"D": 1, "W": 7, "M": 30.4375, "Y": 365.25}[value[-1]])
    if kind == "time" and value.replace(".", "").isdigit() and len(value) >= 6:
        return f"{value[:2]}:{value[2:4]}:{value[4:]}"
    return value


def _edges(low: float, high: float, bins: int, *, dated: bool, whole: bool) -> list[float]:
    """Ends of at most so many bins of a round width.

    >>> _edges(1.5, 3.0, 4, dated=False, whole=False)
    [1.5, 2.0, 2.5, 3.0, 3.5]
    """
    if dated:
        return _calendar(low, high, bins)
    width = _round_width((high - low) / max(bins - 1, 1)) if high > low else (1.0 if whole else 0.0)
    width = max(width, 1.0) if whole else width
    if width <= 0 or not math.isfinite(width):
        width = max(abs(low) * 1e-6, 1.0)
    begin = math.floor(low / width)
    count = min(math.floor(high / width) - begin + 1, 2 * bins + 1)
    edges = [round((begin + n) * width, 12) for n in range(count + 1)]
    if edges[-1] <= high:
        edges[-1] = math.nextafter(high, math.inf)
    return (
        edges
        if all(a < b for a, b in itertools.pairwise(edges))
        else [low, math.nextafter(high, math.inf)]
    )


def _round_width(width: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below a width."""
    if width <= 0 or not math.isfinite(width):
        return 0.0
    power = 10.0 ** math.floor(math.log10(width))
    return next(
        (step * power for step in (1, 2, 2.5, 5) if step * power >= width * (1 - 1e-9)), 10 * power
    )


def _calendar(low: float, high: float, bins: int) -> list[float]:
    """Days, weeks, months, quarters, years or decades, whichever first gives few enough bins."""
    begin, end = _day(low), _day(high)
    for months in (0, 1, 3, 12, 60, 120, 1200):
        edges = _months(begin, end, months) if months else _days(begin, end, bins)
        if edges and len(edges) - 1 <= max(bins, 1):
            break
    return edges or [low, high + 86400]


def _days(begin: datetime, end: datetime, bins: int) -> list[float]:
    for step in (1, 7):
        count = (end - begin).days // step + 1
        if count <= bins:
            return [
                (begin + timedelta(days=n * step) - _EPOCH).total_seconds()
                for n in range(count + 1)
            ]
    return []


def _months(begin: datetime, end: datetime, months: int) -> list[float]:
    first = (begin.year * 12 + begin.month - 1) // months * months
    last = (end.year * 12 + end.month - 1) // months * months + months
    found = []
    for at in range(first, last + 1, months):
        year, month = divmod(at, 12)
        if not 1 <= year <= 9998:
            year, month = min(max(year, 1), 9998), 0
        found.append((datetime(year, month + 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
    return list(dict.fromkeys(found))


def _day(seconds: float) -> datetime:
    moment = _EPOCH + timedelta(seconds=seconds)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
