"""The fold: what many instances say becomes what their series says.

Equal values are one row with a count; many different ones are one row with their range. Folding
parts and merging them gives the same rows as folding all at once, in any order, so a series may be
read by several processes and at different times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from dicomlake import tables
from dicomlake.dicom.dictionary import kind_of
from dicomlake.dicom.values import Row

MOST_NUMBERS = 8
"""More different numbers or moments than this become one row with their range."""
MOST_TEXTS = 16
"""More different texts or codes than this become one row without them."""


class Folded(NamedTuple):
    """A row of `elements` without its series_id."""

    path: str
    vr: str
    position: int | None
    text: str | None
    number: float | None
    number_max: float | None
    moment: datetime | None
    moment_max: datetime | None
    code_value: str | None
    code_scheme: str | None
    code_meaning: str | None
    instances: int
    folded: bool

    @property
    def empty(self) -> bool:
        """Whether the attribute is there without a value."""
        return not self.folded and not any(v is not None for v in self[3:11])

    @property
    def measured(self) -> bool:
        """Whether it is a number or a moment; what is none is folded apart from those that are."""
        return self.number is not None or self.moment is not None


def fold(counted: Iterable[tuple[Row, int]]) -> list[Folded]:
    """Rows of a series from the rows of its instances and how many instances have each."""
    return merge(
        Folded(
            row.path,
            row.vr,
            row.position,
            row.text,
            row.number,
            None,
            row.moment,
            None,
            row.code_value,
            row.code_scheme,
            row.code_meaning,
            count,
            row.unread,
        )
        for row, count in counted
    )


def merge(parts: Iterable[Folded]) -> list[Folded]:
    """One list of rows from those of several parts of a series, ordered by path and value."""
    groups: dict[tuple[Any, ...], list[Folded]] = defaultdict(list)
    for row in parts:
        groups[row.path, row.vr, row.position, row.empty, row.measured].append(row)
    merged: list[Folded] = []
    for group in groups.values():
        merged += group if len(group) == 1 else _merge_group(group)
    merged.sort(key=_order)
    return merged


def _order(row: Folded) -> tuple[Any, ...]:
    return (
        row.path,
        row.vr,
        row.position or 0,
        row.text or "",
        -1e300 if row.number is None else row.number,
        row.code_value or "",
        row.code_scheme or "",
        row.code_meaning or "",
        row.instances,
    )


def _merge_group(group: list[Folded]) -> list[Folded]:
    counts: dict[Folded, int] = defaultdict(int)
    for row in group:
        counts[row._replace(instances=0)] += row.instances
    many = any(row.folded for row in counts)
    if not many:
        measured = kind_of(group[0].vr) not in ("text", "sequence", "unknown")
        many = len(counts) > (MOST_NUMBERS if measured else MOST_TEXTS)
    if not many:
        return [row._replace(instances=count) for row, count in counts.items()]
    numbers = [n for row in counts for n in (row.number, row.number_max) if n is not None]
    moments = [m for row in counts for m in (row.moment, row.moment_max) if m is not None]
    first = group[0]
    return [
        Folded(
            first.path,
            first.vr,
            first.position,
            None,
            min(numbers, default=None),
            max(numbers, default=None),
            min(moments, default=None),
            max(moments, default=None),
            None,
            None,
            None,
            sum(counts.values()),
            True,
        )
    ]


_WANTED = frozenset(tables.SERIES_KEYWORDS)
_RANGED = frozenset(tables.RANGED)
_TYPES = {keyword: str(tables.type_of(keyword)) for keyword in tables.SERIES_KEYWORDS}


def columns(rows: Iterable[Folded]) -> dict[str, Any]:
    """The columns of `series` that are attributes, from the rows of the series.

    The most frequent value, then the smallest; `varying` names those that have others too.
    """
    found: dict[str, list[Folded]] = defaultdict(list)
    for row in rows:
        if row.path in _WANTED and not row.empty:
            found[row.path].append(row)
    said: dict[str, Any] = {}
    varying: list[str] = []
    for keyword, values in found.items():
        kind = _TYPES[keyword]
        places: dict[int, list[Folded]] = defaultdict(list)
        for row in values:
            places[row.position or 1].append(row)
        best = [_typed(_most(places[p]), kind) for p in sorted(places)]
        if kind.startswith("list"):
            said[keyword] = [b for b in best if b is not None] or None
        elif len(best) > 1 and kind == "string":
            said[keyword] = "\\".join(str(b) for b in best if b is not None)
        else:
            said[keyword] = best[0]
        several = len(best) > 1 and not kind.startswith("list")
        if several or any(len(p) > 1 or p[0].folded for p in places.values()):
            varying.append(keyword)
        if keyword in _RANGED:
            numbers = [n for r in values for n in (r.number, r.number_max) if n is not None]
            said[f"{keyword}_min"] = min(numbers, default=None)
            said[f"{keyword}_max"] = max(numbers, default=None)
    said["varying"] = sorted(varying)
    return said


def _most(values: list[Folded]) -> Folded:
    return min(values, key=lambda row: (-row.instances, _order(row)))


def _typed(row: Folded, kind: str) -> Any:
    """The value of a row in the type of its column; None when it has none of that type."""
    if "date32" in kind:
        return row.moment.date() if row.moment else None
    if "timestamp" in kind:
        return row.moment
    if "int64" in kind:
        number = row.number
        fits = number is not None and abs(number) < 1 << 62 and number.is_integer()
        return int(number or 0) if fits else None
    if "double" in kind:
        return row.number
    return row.text
