"""What can be asked of a lake: the tree of its attributes, with values and counts, ready to show.

vocabulary = Vocabulary.read(store)
vocabulary["MagneticFieldStrength"].range       '1.5 – 3 tesla'
vocabulary.children("RequestAttributesSequence")
vocabulary.search("prostate")
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from html import escape
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.dicom.wording import shown
from dicomlake.errors import UsageError
from dicomlake.lake.store import Store
from dicomlake.query.attributes import ANATOMY, attribute

_EPOCH = datetime(1970, 1, 1)
_MOMENTS = frozenset(["DA", "DT"])
_FIRST_PAGE = 40


@dataclass(frozen=True, slots=True)
class Value:
    """A frequent value: as questions write it, and as people read it.

    `value` of a code is scheme:value, and `meaning` what it is called.
    """

    value: str
    meaning: str
    label: str
    series: int
    patients: int


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram: series with a value from `low` to below `high`."""

    low: float
    high: float
    label: str
    series: int
    patients: int = 0
    """0 where they were not counted."""


@dataclass(frozen=True, slots=True)
class Term:
    """An attribute path that occurs: what it is, who has it, and what it says.

    `patients`, `studies` and `series` have it with a value, `empty` series only without one;
    `documents` are the objects that have it inside. `units` and `names`: those met, by series;
    `fill` is `series` as a share of all series. `distinct` is None where values are not counted.
    `lowest` and `highest` are seconds for TM, days for AS, items for SQ, bytes for binary VRs.
    """

    path: str
    parent: str
    vr: str
    vrs: tuple[tuple[str, int], ...]
    tag: str
    name: str
    patients: int
    studies: int
    series: int
    documents: int
    empty: int
    fill: float
    distinct: int | None
    lowest: float | None
    highest: float | None
    first: datetime | None
    last: datetime | None
    histogram: tuple[Bin, ...]
    values: tuple[Value, ...]
    children: int
    units: tuple[tuple[str, int], ...] = ()
    names: tuple[tuple[str, int], ...] = ()

    @property
    def segment(self) -> str:
        """The last part of the path: its keyword, or the tag of a private attribute."""
        return self.path[len(self.parent) + 1 :] if self.parent else self.path

    @property
    def inside(self) -> bool:
        """Whether it is inside of objects, and not in their headers."""
        known = _known(self.path)
        return self.path == ANATOMY or (known is not None and bool(known.table))

    @property
    def kind(self) -> str:
        """One of text, number, date, time, datetime, age, sequence, binary, unknown."""
        return dictionary.kind_of(self.vr)

    @property
    def unit(self) -> str:
        """Unit of the numbers, where the lake knows one."""
        known = _known(self.path)
        if known is not None and known.unit == tables.ANY_UNIT:
            return self.units[0][0] if len(self.units) == 1 else ""
        if self.units:
            return self.units[0][0]
        return tables.UNITS.get(self.segment, "")

    @property
    def creator(self) -> str:
        """Private creator, or empty."""
        known = _known(self.path)
        return known.creator if known else ""

    @property
    def ends(self) -> tuple[str, ...]:
        """The lowest and the highest, or the first and the last, as people read them."""
        ends: list[float | datetime | None] = [self.lowest, self.highest]
        if self.vr in _MOMENTS or self.lowest is None:
            ends = [self.first, self.last]
        return tuple(dict.fromkeys(shown(self.vr, end) for end in ends if end is not None))

    @property
    def range(self) -> str:
        """From one end to the other, with the unit; one value where they are the same."""
        return " – ".join(self.ends) + (f" {self.unit}" if self.unit and self.ends else "")

    @property
    def definition(self) -> str:
        """One sentence on what it is: name, tag, kind, multiplicity, dictionary.

        It does not depend on the lake.
        """
        return _definition(self.path, self.vr, self.name)


_VALUES = {
    "1": "one value",
    "1-n": "one value or more",
    "0-1": "no value or one",
}


def _definition(path: str, vr: str, name: str) -> str:
    known = _known(path)
    if known is not None and known.kind == "content":
        kind = dictionary.kind_of(vr) if vr != "SQ" else "code, container or reference"
        return f"Content items of reports called {name}, {kind}."
    if known is not None and (known.table or path == ANATOMY):
        return f"{known.name[:1].upper()}{known.name[1:]}."
    if known is None or not (known.name or known.creator):
        tag = f" {known.tag}" if known else ""
        return f"Attribute{tag}, {vr}, that no dictionary knows."
    retired = ", retired" if known.retired else ""
    if known.creator:
        name = known.name or "Attribute"
        source = "named by a private dictionary" if known.name else "that no dictionary knows"
        return f"{name} {known.tag} of {known.creator}, {vr}, {source}."
    count = _VALUES.get(known.vm, f"{known.vm} values")
    unit = tables.UNITS.get(known.keyword)
    measured = f", in {unit}" if unit else ""
    return f"{known.name} {known.tag}, {vr}, {count}{measured}{retired} (PS3.6)."


def _known(path: str) -> dictionary.Attribute | None:
    try:
        return attribute(path)
    except UsageError:
        return None


class Vocabulary:
    """What can be asked of one snapshot of a lake; it stays the same when the lake grows.

    `version` is that of the snapshot, `patients`, `studies` and `series` are all of its.
    """

    def __init__(self, table: pa.Table, version: int = 0) -> None:
        """From a table of `tables.VOCABULARY`."""
        whole = [row for row in table.select(_COUNTS).to_pylist() if not row["path"]]
        told: dict[str, Any] = whole[0] if whole else {}
        self.version = version
        self.patients: int = told.get("patients") or 0
        self.studies: int = told.get("studies") or 0
        self.series: int = told.get("series") or 0
        paths = table.column("path").to_pylist()
        self._table = table.filter(pa.array([path != "" for path in paths], pa.bool_()))
        self._rows = {path: i for i, path in enumerate(path for path in paths if path)}
        self._inside = self._tree()

    @classmethod
    def read(cls, store: Store) -> Vocabulary:
        """The vocabulary of a store's snapshot; of the newest one before it that has any."""
        for entry in store.notes("vocabulary", "counted"):
            said = json.loads(entry["counted"])
            if said["series"] <= store.version:
                paths = store.paths_at("vocabulary", entry["version"])
                # Not pq.read_table: it loads pandas first, which takes a quarter of a second.
                found = [pq.ParquetFile(path).read().cast(tables.VOCABULARY) for path in paths]
                return cls(pa.concat_tables(found), said["series"])
        return cls(tables.VOCABULARY.empty_table(), store.version)

    def _tree(self) -> dict[str, list[int]]:
        """Rows by parent, those that most patients have first."""
        parents = self._table.column("parent").to_pylist()
        patients = self._table.column("patients").to_pylist()
        series = self._table.column("series").to_pylist()
        inside: dict[str, list[int]] = defaultdict(list)
        for i, parent in enumerate(parents):
            inside[parent if parent in self._rows else ""].append(i)
        for rows in inside.values():
            rows.sort(key=lambda i: (-patients[i], -series[i]))
        return dict(inside)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Term]:
        for start in range(0, len(self._rows), 500):
            yield from self._terms(range(start, min(start + 500, len(self._rows))))

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._row(path) is not None

    def __getitem__(self, path: str) -> Term:
        """The term of a path, also written as a tag; UsageError when nothing in the lake has it."""
        row = self._row(path)
        if row is None:
            attribute(path)  # a misspelt keyword says so
            raise UsageError(f"Nothing in this lake has {path}. Search the vocabulary for others.")
        return self._terms([row])[0]

    def find(self, path: str) -> Term | None:
        """The term of a path, or None when nothing in the lake has it."""
        row = self._row(path)
        return None if row is None else self._terms([row])[0]

    def _row(self, path: str) -> int | None:
        if path not in self._rows:
            found, end = dictionary.match_path(path)
            path = ".".join(found) if end == len(path) else ""
        return self._rows.get(path)

    def children(
        self, path: str = "", *, order: str = "patients", limit: int | None = None, start: int = 0
    ) -> list[Term]:
        """The terms inside a sequence, or at the top: most patients first, or in order of "tag".

        A page of them with `limit` and `start`.
        """
        if path:
            row = self._row(path)
            path = "" if row is None else self._table.column("path")[row].as_py()
            if not path:
                return []
        rows = self._inside.get(path, [])
        if order == "tag":
            tags = self._table.column("tag").to_pylist()
            rows = sorted(rows, key=lambda i: tags[i].replace("xx", "00"))
        elif order != "patients":
            raise UsageError(f"{order!r} is no order of a vocabulary. Choose patients or tag.")
        return self._terms(rows[start : None if limit is None else start + limit])

    def search(self, text: str, limit: int = 50) -> list[Term]:
        """Terms in which every word of the text occurs, best first; case does not matter.

        Keyword, name, tag (with or without parentheses and comma), private creator, unit and the
        most frequent values are searched. The keyword itself comes first, then what begins with the
        text, then words of the name, then values; among equals those that most patients have.
        """
        words = text.casefold().split()
        if not words:
            return []
        whole = _bare(text)
        patients = self._table.column("patients").to_pylist()
        ranked: list[tuple[int, int, int, int]] = []
        for row, entry in enumerate(self._entries):
            rank = entry.rank(words, whole)
            if rank is not None:
                ranked.append((rank, entry.depth, -patients[row], row))
        return self._terms([row for *_, row in sorted(ranked)[:limit]])

    @cached_property
    def _entries(self) -> list[_Entry]:
        top = self._table.column("top").combine_chunks()
        lists = top.to_pylist()
        columns = (self._table.column(name).to_pylist() for name in ("path", "tag", "name"))
        return [
            _Entry.of(path, tag, name, values or ())
            for path, tag, name, values in zip(*columns, lists, strict=True)
        ]

    def arrow(self) -> pa.Table:
        """The terms as an Arrow table with the columns of `tables.VOCABULARY`."""
        return self._table

    def _terms(self, rows: Iterable[int]) -> list[Term]:
        rows = list(rows)
        found = self._table.take(pa.array(rows, pa.int64())).to_pylist()
        return [self._term(row) for row in found]

    def _term(self, row: dict[str, Any]) -> Term:
        vr = row["vr"]
        return Term(
            path=row["path"],
            parent=row["parent"],
            vr=vr,
            vrs=tuple((sent["vr"], sent["series"]) for sent in row["vrs"] or ()),
            tag=row["tag"],
            name=row["name"],
            patients=row["patients"],
            studies=row["studies"],
            series=row["series"],
            documents=row["documents"],
            empty=row["empty"],
            fill=row["series"] / self.series if self.series else 0.0,
            distinct=row["distinct_values"],
            lowest=row["lowest"],
            highest=row["highest"],
            first=row["first"],
            last=row["last"],
            histogram=_bins(row),
            values=tuple(_value(vr, top) for top in row["top"] or ()),
            children=len(self._inside.get(row["path"], ())),
            units=tuple((sent["text"], sent["series"]) for sent in row["units"] or ()),
            names=tuple((sent["text"], sent["series"]) for sent in row["names"] or ()),
        )

    def __repr__(self) -> str:
        return (
            f"<Vocabulary of version {self.version}: {len(self)} attributes of "
            f"{self.patients} patients, {self.series} series>"
        )

    def _repr_html_(self) -> str:
        """The first attributes as a table for notebooks."""
        terms = self.children(limit=_FIRST_PAGE)
        heads = ("Attribute", "VR", "Name", "Patients", "Series", "Fill", "Values")
        lines = ["".join(f"<th>{head}</th>" for head in heads)]
        for term in terms:
            cells = (
                term.path,
                term.vr,
                term.name,
                f"{term.patients:,}",
                f"{term.series:,}",
                f"{term.fill:.0%}",
                summary(term),
            )
            lines.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        rest = len(self._inside.get("", ())) - len(terms)
        more = f"<p>and {rest:,} more at the top level</p>" if rest > 0 else ""
        return f"<p>{escape(repr(self)[1:-1])}</p><table>{body}</table>{more}"


_COUNTS = ["path", "patients", "studies", "series"]


def summary(term: Term, most: int = 5) -> str:
    """What a term says, in a line: its most frequent values, else its range, else how many.

    Numbers and moments show their range where there are more values than fit, or folded ones.
    """
    labels = [value.label for value in term.values]
    many = term.distinct is None or term.distinct > most
    measured = term.ends and term.kind != "sequence"
    if labels and not (measured and (many or not set(term.ends) <= set(labels))):
        return ", ".join(labels[:most]) + (", …" if many or len(labels) > most else "")
    if term.ends:
        return term.range
    return f"{term.distinct:,} values" if term.distinct else ""


def _value(vr: str, top: dict[str, Any]) -> Value:
    typed = top["number"] if top["number"] is not None else top["moment"]
    label = top["value"] if typed is None else shown(vr, typed)
    meaning = top["meaning"] or ""
    if meaning:
        label = f"{meaning} ({label})" if vr == "SQ" else meaning
    return Value(top["value"], meaning, label, top["series"], top["patients"])


def _bins(row: dict[str, Any]) -> tuple[Bin, ...]:
    dated = row["vr"] in _MOMENTS or row["lowest"] is None
    label = span if dated else lambda low, high: shown(row["vr"], low)
    return tuple(
        Bin(part["low"], part["high"], label(part["low"], part["high"]), part["series"])
        for part in row["histogram"] or ()
    )


def span(low: float, high: float) -> str:
    """What people call a part of the calendar.

    >>> span(1704067200, 1706745600), span(1704067200, 1735689600), span(1704067200, 1704153600)
    ('2024-01', '2024', '2024-01-01')
    """
    begin, end = (_EPOCH + timedelta(seconds=seconds) for seconds in (low, high))
    if begin.hour or end.hour:
        return begin.isoformat(" ", "minutes")
    if (begin.month, begin.day, end.month, end.day) == (1, 1, 1, 1):
        return str(begin.year)
    return begin.isoformat()[:7] if begin.day == end.day == 1 else begin.date().isoformat()


# Searching

_EXACT, _BEGINS, _WORD, _INSIDE, _VALUE, _IN_VALUE = range(6)
_HUMPS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def _bare(text: str) -> str:
    """Letters and digits alone, so that (0018,0087) and "field strength" find what they mean."""
    return "".join(filter(str.isalnum, text.casefold()))


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a term is found by."""

    keyword: str
    names: str
    tag: str
    words: tuple[str, ...]
    values: str
    depth: int

    @classmethod
    def of(cls, path: str, tag: str, name: str, values: Iterable[dict[str, Any]]) -> _Entry:
        """An entry of a row of `tables.VOCABULARY`."""
        try:
            *around, keyword = dictionary.segments(path)
        except UsageError:
            around, keyword = [], path
        said = "\n".join(f"{v['value']}\n{v['meaning'] or ''}" for v in values).casefold()
        split = [*_HUMPS.findall(keyword), *name.casefold().split()]
        return cls(
            _bare(keyword),
            f"{path}\n{name}\n{tag}\n{tables.UNITS.get(keyword, '')}".casefold(),
            _bare(tag),
            tuple(word.casefold() for word in split),
            said,
            len(around),
        )

    def rank(self, words: list[str], whole: str) -> int | None:
        """How well a text fits, 0 best; None when one of its words is not there."""
        if whole and (whole == self.keyword or self._is_tag(whole)):
            return _EXACT
        if whole and self.keyword.startswith(whole):
            return _BEGINS
        worst = _WORD
        for word in words:
            found = self._word(word)
            if found is None:
                return None
            worst = max(worst, found)
        return worst

    def _is_tag(self, whole: str) -> bool:
        if len(whole) != 8 or not self.tag:
            return False
        return self.tag in (whole, f"{whole[:4]}xx{whole[6:]}")

    def _word(self, word: str) -> int | None:
        if any(part.startswith(word) for part in self.words):
            return _WORD
        bare = _bare(word)
        if word in self.names or (len(bare) >= 4 and bare in self.tag):
            return _INSIDE
        place = self.values.find(word)
        if place < 0:
            return None
        return _VALUE if place == 0 or not self.values[place - 1].isalnum() else _IN_VALUE
