"""What a plugin offers: the Protocols of every family, and the values that pass between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

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
    """

    uri: str
    offset: int
    size: int
    fetch: Fetch
    problem: str = ""


class Source(Protocol):
    """Where objects come from; small enough to be sent to another process."""

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
