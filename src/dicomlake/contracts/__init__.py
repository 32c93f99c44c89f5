"""What a plugin offers: the Protocols of every family, and the values that pass between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dicomlake import tables
from dicomlake.dicom.concepts import step
from dicomlake.terms import Code, units
from dicomlake.terms.mapping import normal

if TYPE_CHECKING:
    import pyarrow as pa

    from dicomlake.dicom.walk import Fetch
    from dicomlake.query import Query


@dataclass(frozen=True, slots=True)
class Found:
    """Something that may hold objects: a file, or an archive of files.

    `modified` is in microseconds since 1970. Equal uri, size and modified mean: unchanged.
    """

    uri: str
    size: int
    modified: int
    archive: bool = False


@dataclass(frozen=True, slots=True)
class Object:
    """One thing to read: `fetch(offset, length)` gives at most that many of its `size` bytes.

    `offset` is where it starts inside its uri. `problem` says why it cannot be opened, or is "".
    `header` is there when the source gives headers (DICOM JSON, PS3.18 Annex F) instead of bytes.
    """

    uri: str
    offset: int
    size: int
    fetch: Fetch
    problem: str = ""
    header: dict[str, Any] | None = None


class Source(Protocol):
    """Where objects come from; small enough to be sent to another process.

    It may have `roots() -> list[str]`, URIs below which `find` lists everything, so that what
    vanished can be told; and `ahead(founds) -> Iterator[tuple[Found, Iterator[Object]]]`, which
    opens many things in their order and fetches the next ones meanwhile. Its `find` and `open` may
    raise ServiceError when it is away: the run stops and can be started again.
    """

    @property
    def name(self) -> str:
        """What `series.source` says of its objects."""

    def find(self) -> Iterator[Found]:
        """Everything that may hold objects, in any order."""

    def open(self, found: Found) -> Iterator[Object]:
        """The objects in one thing found; each is read before the next is asked for."""


class Reader(Protocol):
    """Reads one object to its header and rows."""

    def read(self, fetch: Fetch, size: int) -> Any:
        """The header of an object; DataError when it cannot be read."""


MOST_ITEMS = 200_000
"""Content items of one object; what follows them is left out and noted."""


def coded(name: str, code: Code | None) -> dict[str, str]:
    """The columns of a code in a row of contents.

    >>> coded("site", Code("T-62000", "SRT", "Liver"))["site"]
    'SCT:10200004'
    """
    if code is None:
        return {}
    value, scheme = normal(code.value, code.scheme)
    return {
        name: f"{scheme}:{value}",
        f"{name}_value": code.value,
        f"{name}_scheme": code.scheme,
        f"{name}_meaning": code.meaning,
    }


def unit_columns(unit: Code | None) -> dict[str, Any]:
    """The columns of a unit: UCUM:CODE where it can be known what it stands for.

    >>> unit_columns(Code("mGycm", "UCUM"))["unit"]
    'UCUM:mGy.cm'
    """
    if unit is None:
        return {}
    known = units.ucum(unit.value, unit.scheme)
    return {**coded("unit", unit), "unit": f"UCUM:{known}" if known else None}


def measured(number: float | None, unit: Code | None) -> dict[str, Any]:
    """The columns of a number and its unit in a row of `items`.

    >>> measured(2.5, Code("cm", "UCUM"))["quantity"], measured(2.5, None)["quantity"]
    (25.0, None)
    """
    known = units.ucum(unit.value, unit.scheme) if unit else None
    found = units.common(number, known) if number is not None and known else None
    quantity, common = found or (None, None)
    return {
        "number": number,
        **unit_columns(unit),
        "quantity": quantity,
        "quantity_unit": common,
    }


class Contents:
    """Rows that readers of contents make of one object, and problems that they met.

    Rows are dicts by column; `series_id`, `SOPInstanceUID` and `reader` are filled in later, and
    columns left out are null.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables.CONTENTS}
        self.problems: list[tuple[str, str, str]] = []
        self.reader = ""
        self._children: dict[int, int] = {}

    def add(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        """Add a row to a table of `tables.CONTENTS`."""
        row["reader"] = self.reader
        self.rows[table].append(row)
        return row

    def item(
        self,
        parent: dict[str, Any] | None,
        concept: Code | None,
        value_type: str,
        **columns: Any,
    ) -> dict[str, Any]:
        """Add a row of `items` below another one, or a root; numbers and paths are made here."""
        items = self.rows["items"]
        above = parent["item"] if parent else 0
        child = self._children[above] = self._children.get(above, 0) + 1
        value, scheme = normal(concept.value, concept.scheme) if concept else ("", "")
        here = step(value, scheme)
        row = {
            "item": len(items) + 1,
            "parent": above or None,
            "place": f"{parent['place']}.{child}" if parent else str(child),
            "path": f"{parent['path']}.{here}" if parent else here,
            "value_type": value_type,
            **coded("concept", concept),
            **columns,
        }
        return self.add("items", row)

    def problem(self, path: str, vr: str, problem: str) -> None:
        """Note what is wrong, in words and without patient data: it becomes part of `problems`."""
        self.problems.append((path, vr, problem))


class ContentReader(Protocol):
    """Reads what is inside of an object into rows of `tables.CONTENTS`; registered as `contents`.

    It gets the header that the lake keeps, so lakes can be read again without their objects.
    """

    name: str
    """What the column `reader` says of its rows."""
    version: int
    """Raise it when rows change: `dicomlake contents` then reads again what older versions made."""
    after: tuple[str, ...]
    """Names of readers that have to see the object first, because it reads their rows."""

    def wants(self, first: Mapping[str, str]) -> str | None:
        """Whether it reads an object: None no, "" yes.

        Any other text: one object of the series is enough of those with the same text. `first` has
        the first value of the attributes that `dicomlake.readers.header.FIRST` names, "1" for
        sequences that are there.
        """

    def read(self, header: dict[str, Any], contents: Contents) -> None:
        """Add rows and problems for a header (DICOM JSON, PS3.18 Annex F); must never raise."""


@runtime_checkable
class Progress(Protocol):
    """How far a job is; whoever starts a job hands one in. `cancelled` asks the job to stop."""

    cancelled: bool

    def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
        """A new part of the job begins; `total` when it is known."""

    def advance(self, count: int = 1) -> None:
        """So many more are done."""


class Silent:
    """A Progress that shows nothing."""

    cancelled = False

    def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
        """Show nothing."""

    def advance(self, count: int = 1) -> None:
        """Show nothing."""


@dataclass(frozen=True, repr=False)
class Answer:
    """What a query found: true totals, and the rows that were asked for.

    `rows` has a column per attribute shown; `totals` counts patients, studies, series, instances.
    """

    query: Query
    totals: dict[str, int]
    rows: pa.Table
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @property
    def total(self) -> int:
        """How many of the asked level were found, whatever the limit."""
        from dicomlake.query import LEVELS

        plural = dict(zip(LEVELS, ("patients", "studies", "series", "instances"), strict=True))
        return self.totals[plural[self.query.level]]

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self.rows

    def pandas(self) -> Any:
        """The rows as a pandas DataFrame (pip install 'dicomlake[pandas]')."""
        return self.rows.to_pandas()

    def polars(self) -> Any:
        """The rows as a Polars DataFrame (pip install 'dicomlake[polars]')."""
        import polars

        return polars.from_arrow(self.rows)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {what}" for what, count in self.totals.items())
        return f"<Answer: {counts}; {len(self):,} rows here>"

    def _repr_html_(self) -> str:
        counts = ", ".join(f"<b>{count:,}</b> {what}" for what, count in self.totals.items())
        head = "".join(f"<th>{escape(name)}</th>" for name in self.rows.column_names)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>"
            for row in self.rows.slice(0, 20).to_pylist()
        )
        more = "<p>the first 20 rows</p>" if len(self) > 20 else ""
        return f"<p>{counts}</p><table><tr>{head}</tr>{body}</table>{more}"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.rows.to_batches(max_chunksize=1024):
            yield from batch.to_pylist()


def _cell(value: Any) -> str:
    return "" if value is None else escape(str(value)[:200])


class Engine(Protocol):
    """Runs queries on the snapshot of a lake."""

    def answer(self, query: Query) -> Answer:
        """The answer; Unsupported names a node that this engine cannot run."""

    def sql(self, statement: str, limit: int | None = None) -> pa.Table:
        """The rows of a read-only SQL statement over the tables of the snapshot."""
