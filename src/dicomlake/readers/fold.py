"""The fold: what many instances say becomes what their series says.

Equal values are one row with a count; many different ones are one row with their range. Folding
parts and merging them gives the same rows as folding all at once, in any order, so a series may be
read by several processes and at different times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
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
    return merge(_folded(row, count) for row, count in counted)


def _folded(row: Row, count: int) -> Folded:
    path, vr, position, text, number, moment, value, scheme, meaning, unread = row
    return Folded(
        path, vr, position, text, number, None, moment, None, value, scheme, meaning, count, unread
    )


def merge(parts: Iterable[Folded]) -> list[Folded]:
    """One list of rows from those of several parts of a series."""
    groups: dict[tuple[Any, ...], list[Folded]] = defaultdict(list)
    for row in parts:
        groups[row.path, row.vr, row.position, row.empty, row.measured].append(row)
    merged: list[Folded] = []
    for group in groups.values():
        merged += group if len(group) == 1 else _merge_group(group)
    return merged


def _merge_group(group: list[Folded]) -> list[Folded]:
    counts: dict[Folded, int] = defaultdict(int)
    for row in group:
        counts[row._replace(instances=0)] += row.instances
    if not any(row.folded for row in counts) and len(counts) <= most(group[0].vr):
        return [row._replace(instances=count) for row, count in counts.items()]
    numbers = [n for row in counts for n in (row.number, row.number_max) if n is not None]
    moments = [m for row in counts for m in (row.moment, row.moment_max) if m is not None]
    path, vr, position = group[0][:3]
    low, high = min(numbers, default=None), max(numbers, default=None)
    first, last = min(moments, default=None), max(moments, default=None)
    count = sum(counts.values())
    return [Folded(path, vr, position, None, low, high, first, last, None, None, None, count, True)]


def most(vr: str) -> int:
    """How many different values of a VR are kept apart in one series."""
    return MOST_TEXTS if kind_of(vr) in ("text", "sequence", "unknown") else MOST_NUMBERS


_NOTHING = (None, None, None, None, False)


class Folder:
    """Folds series of numbered rows; follows a list of rows that only grows.

    The same as `fold`, made for many series: rows are grouped and judged once, when they are new.
    """

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._group: list[int] = []
        self._wanted: list[bool] = []
        self._groups: dict[tuple[Any, ...], int] = {}

    def follow(self, rows: list[Row]) -> None:
        """Take note of the rows that are new; another list starts anew."""
        if rows is not self._rows:
            self._rows, self._group, self._wanted, self._groups = rows, [], [], {}
        for row in rows[len(self._group) :]:
            path, vr, position, text, number, moment, value, _, _, unread = row
            empty = (text, number, moment, value, unread) == _NOTHING
            key = (path, vr, position, empty, number is not None or moment is not None)
            self._group.append(self._groups.setdefault(key, len(self._groups)))
            self._wanted.append(path in _WANTED and not empty)

    def fold(self, counts: Mapping[int, int]) -> tuple[list[int], list[Folded], list[Folded]]:
        """Numbers of the rows that stay as they are, the folded others, and those of columns."""
        rows, group, wanted = self._rows, self._group, self._wanted
        alone: dict[int, int] = {}
        several: dict[int, list[int]] = {}
        for number in counts:
            key = group[number]
            first = alone.setdefault(key, number)
            if first != number:
                several.setdefault(key, [first]).append(number)
        kept = [number for key, number in alone.items() if key not in several]
        folded: list[Folded] = []
        for numbers in several.values():
            one = rows[numbers[0]]
            if len(numbers) > most(one.vr) or any(rows[n].unread for n in numbers):
                folded += _merge_group([_folded(rows[n], counts[n]) for n in numbers])
            else:
                kept += numbers
        shown = [_folded(rows[n], counts[n]) for n in kept if wanted[n]]
        shown += [row for row in folded if row.path in _WANTED]
        return kept, folded, shown


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


_WANTED = frozenset(tables.SERIES_KEYWORDS)
_RANGED = frozenset(tables.RANGED)


def _columns_of(keyword: str) -> tuple[bool, Callable[[Folded], Any]]:
    """Whether a column holds lists, and what gives a value its type; None when it has none."""
    kind = str(tables.type_of(keyword))
    if "date32" in kind:
        return "list" in kind, lambda row: row.moment.date() if row.moment else None
    if "timestamp" in kind:
        return "list" in kind, lambda row: row.moment
    if "int64" in kind:
        return "list" in kind, lambda row: _whole(row.number)
    if "double" in kind:
        return "list" in kind, lambda row: row.number
    return "list" in kind, lambda row: row.text


def _whole(number: float | None) -> int | None:
    fits = number is not None and abs(number) < 1 << 62 and number.is_integer()
    return int(number or 0) if fits else None


_COLUMNS = {keyword: _columns_of(keyword) for keyword in tables.SERIES_KEYWORDS}


def columns(rows: Iterable[Folded]) -> dict[str, Any]:
    """The columns of `series` that are attributes, from the rows of the series.

    The most frequent value, then the smallest; `varying` names those that have others too.
    """
    found: dict[str, list[Folded]] = {}
    for row in rows:
        if row.path in _WANTED and not row.empty:
            found.setdefault(row.path, []).append(row)
    said: dict[str, Any] = {}
    varying: list[str] = []
    for keyword, values in found.items():
        listed, typed = _COLUMNS[keyword]
        if len(values) == 1 and not values[0].folded:
            value = typed(values[0])
            said[keyword] = None if value is None else [value] if listed else value
        else:
            said[keyword], varies = _several(values, listed, typed)
            if varies:
                varying.append(keyword)
        if keyword in _RANGED:
            numbers = [n for r in values for n in (r.number, r.number_max) if n is not None]
            said[f"{keyword}_min"] = min(numbers, default=None)
            said[f"{keyword}_max"] = max(numbers, default=None)
    said["varying"] = sorted(varying)
    return said


def _several(
    values: list[Folded], listed: bool, typed: Callable[[Folded], Any]
) -> tuple[Any, bool]:
    """The cell of an attribute with several values, and whether instances differ in it."""
    places: dict[int, list[Folded]] = defaultdict(list)
    for row in values:
        places[row.position or 1].append(row)
    best = [typed(min(places[p], key=_most)) for p in sorted(places)]
    varies = any(len(p) > 1 or p[0].folded for p in places.values())
    best = [b for b in best if b is not None]
    if listed:
        return best or None, varies
    if len(places) > 1 and best and isinstance(best[0], str):
        return "\\".join(best), True
    return best[0] if best else None, varies or len(places) > 1


def _most(row: Folded) -> tuple[Any, ...]:
    return (-row.instances, *_order(row))
