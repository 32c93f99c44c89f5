"""Tables of terms as CSV files: ours in this package, those of a site on disk."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Collection, Iterator
from importlib import resources
from pathlib import Path

from dicomlake.errors import UsageError

_VERSION = re.compile(r"\bVersion ([\w.-]{0,39}\w)")
Row = dict[str, str]


def ours(package: str, name: str) -> str:
    """The text of one of our own tables."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def of_site(path: str | Path, what: str) -> str:
    """The text of a table of a site; UsageError when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The table of {what} {str(path)!r} cannot be read. Give the path of a CSV file in "
            "UTF-8."
        ) from error


def stamp(name: str, text: str) -> str:
    """A table as evidence names it: its file, and its version or the start of its digest.

    >>> stamp("anna.csv", "# Words of St. Anna, Version 3, 2026-11-01")
    'anna.csv 3'
    """
    said = _VERSION.search(text.split("\n", 1)[0]) if text.startswith("#") else None
    return f"{name} {said[1] if said else digest(text)}"


def digest(text: str) -> str:
    """The start of the digest of a table.

    >>> digest("kind,term")
    '198dd307'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def columns_of(text: str) -> list[str]:
    """The columns that a table names; lines that begin with # are remarks.

    >>> columns_of("# Words\\nkind,term\\nword,x\\n")
    ['kind', 'term']
    """
    return next((row for _, row in _lines("", text)), [])


def first_line(text: str) -> int:
    """The number of the line that names the columns; 1 where there is none.

    >>> first_line("# Words\\nkind,term\\n")
    2
    """
    lines = enumerate(text.splitlines(), 1)
    return next((n for n, line in lines if line.strip() and not line.startswith("#")), 1)


def rows(
    name: str, text: str, columns: Collection[str], needed: Collection[str]
) -> Iterator[tuple[str, Row]]:
    """Every row of a table, with its place, such as "site.csv, line 3"; what is missing is "".

    UsageError for an unknown column, one of `needed` that is missing, a row that is too long, and
    for what is no CSV.
    """
    head: list[str] | None = None
    for line, row in _lines(name, text):
        place = f"{name}, line {line}"
        if head is None:
            head = row
            _check(place, head, columns, needed)
            continue
        if len(row) > len(head):
            raise UsageError(
                f"{place}: it has {len(row)} values for {len(head)} columns. Put what has a comma "
                "in it between quotation marks."
            )
        said = dict(zip(head, row, strict=False))
        yield place, {column: said.get(column, "").strip() for column in columns}
    if head is None:
        _check(f"{name}, line 1", [], columns, needed)


def _check(place: str, head: list[str], columns: Collection[str], needed: Collection[str]) -> None:
    unknown = [column for column in head if column not in columns]
    missing = [column for column in needed if column not in head]
    if unknown or missing:
        wrong = (unknown or missing)[0]
        raise UsageError(
            f"{place}: {'unknown' if unknown else 'no'} column {wrong!r}. "
            f"The columns of such a table are {', '.join(columns)}."
        )


def _lines(name: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the numbers of their lines, without remarks and empty lines."""
    numbered = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    reader = csv.reader(io.StringIO("\n".join(line for _, line in numbered)), strict=True)
    read = 0
    try:
        for row in reader:
            yield numbered[read][0], row
            read = reader.line_num
    except csv.Error as error:
        number = numbered[min(read, len(numbered) - 1)][0]
        raise UsageError(
            f"{name}, line {number}: this is no CSV: {error}. Save the table as CSV, with commas."
        ) from error
