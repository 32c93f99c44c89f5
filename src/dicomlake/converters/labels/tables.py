"""Tables as people keep them: CSV, TSV and XLSX read as rows of texts."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from dicomlake.errors import DataError, UsageError

ZIP = b"PK\x03\x04"
MOST_COLUMNS = 16_384
_SNIFFED = 64 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its number as people count them, and texts by column."""

    number: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is laid out; what is empty is found out.

    `skip`: lines before the one with the names of the columns.
    """

    encoding: str = ""
    separator: str = ""
    sheet: str = ""
    skip: int = 0


def is_workbook(data: bytes) -> bool:
    """Whether some bytes are an XLSX workbook."""
    if not data.startswith(ZIP):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def is_text(data: bytes) -> bool:
    """Whether some bytes look like text: no zero bytes, but for UTF-16 with its mark."""
    return data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" not in data[:_SNIFFED]


def opened(data: bytes, layout: Layout) -> tuple[list[str], Iterator[Row]]:
    """Names of the columns, and the rows that are not empty, one by one.

    DataError says what is wrong, also later, when a row is read.
    """
    lines = _lines_of(data, layout)
    for _ in range(layout.skip):
        next(lines, None)
    head = next(lines, None)
    if head is None:
        raise DataError("the table is empty")
    names = [name.strip() for name in head[1]]
    while names and not names[-1]:
        names.pop()
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(f"two columns are called {twice[0]!r}")
    return names, _rows(names, lines)


def _lines_of(data: bytes, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    return _sheet(data, layout) if is_workbook(data) else _lines(data, layout)


def _rows(names: list[str], lines: Iterator[tuple[int, list[str]]]) -> Iterator[Row]:
    for at, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
            raise DataError(f"row {at} has more cells than there are columns")
        padded = [*cells, *[""] * (len(names) - len(cells))]
        yield Row(at, {n: c.strip() for n, c in zip(names, padded, strict=False) if n})


def _lines(data: bytes, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    said = text_of(data, layout)
    separator = layout.separator or separator_of(data, layout)
    reader = csv.reader(said, delimiter=separator, strict=True)
    number = 0
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"row {number} cannot be read: {error}") from error
        except UnicodeDecodeError as error:
            raise _undecoded(data, error.encoding) from error
        yield number, cells


def encoding_of(data: bytes, layout: Layout) -> str:
    """The encoding of a file: the one that is named, else by its mark, else UTF-8."""
    named = layout.encoding
    if not named:
        return "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        codecs.lookup(named)
    except LookupError as error:
        raise UsageError(f"There is no encoding {named!r}; utf-8 and cp1252 are usual.") from error
    return "utf-8-sig" if named.lower() in ("utf-8", "utf8") else named


def text_of(data: bytes, layout: Layout) -> io.TextIOWrapper:
    """A file as lines of text with their ends as they are."""
    return io.TextIOWrapper(io.BytesIO(data), encoding_of(data, layout), newline="")


def _undecoded(data: bytes, encoding: str) -> DataError:
    """What is said of a file that is not in its encoding: the line of the first such byte."""
    line = 1
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
    return DataError(
        f"line {line} is not in {encoding}; name the encoding in the mapping, such as cp1252"
    )


def separator_of(data: bytes, layout: Layout) -> str:
    """What most probably parts the cells: what the first line has most of."""
    try:
        first = next((line for line in text_of(data, layout) if line.strip("\r\n")), "")
    except UnicodeDecodeError as error:
        raise _undecoded(data, error.encoding) from error
    return max(";\t,|", key=lambda one: (first.count(one), one == ","))


@contextlib.contextmanager
def workbook(data: bytes) -> Iterator[Any]:
    """A workbook, open to be read row by row; DataError when it is none."""
    try:
        import openpyxl
    except ImportError as error:
        raise UsageError(
            "XLSX needs openpyxl. Install it with: pip install 'dicomlake[convert]'"
        ) from error
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except Exception as error:
        raise DataError(f"the workbook cannot be read ({type(error).__name__})") from error
    with contextlib.closing(book):
        yield book


def _sheet(data: bytes, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    with workbook(data) as book:
        if layout.sheet and layout.sheet not in book.sheetnames:
            raise DataError(f"there is no sheet {layout.sheet!r}; there are: "
                            f"{', '.join(book.sheetnames)}")  # fmt: skip
        sheet = book[layout.sheet] if layout.sheet else book.worksheets[0]
        for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
            yield number, [as_text(cell) for cell in cells[:MOST_COLUMNS]]


def as_text(cell: Any) -> str:
    """A cell of a workbook as text: whole numbers without a point, days without a time."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        midnight = cell.time() == time(0)
        return cell.date().isoformat() if midnight else cell.isoformat(sep=" ", timespec="seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)
