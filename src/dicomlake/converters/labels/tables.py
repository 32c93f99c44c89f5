"""Tables as people keep them: CSV, TSV and XLSX read as rows of texts."""

from __future__ import annotations

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


def rows_of(data: bytes, layout: Layout) -> tuple[list[str], list[Row]]:
    """Names of the columns, and the rows that are not empty; DataError says what is wrong."""
    lines = _sheet(data, layout) if is_workbook(data) else _lines(data, layout)
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
    rows = []
    for at, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
            raise DataError(f"row {at} has more cells than there are columns")
        padded = [*cells, *[""] * (len(names) - len(cells))]
        rows.append(Row(at, {n: c.strip() for n, c in zip(names, padded, strict=False) if n}))
    return names, rows


def _lines(data: bytes, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    said = _decoded(data, layout.encoding)
    separator = layout.separator or _separator(said)
    reader = csv.reader(io.StringIO(said, newline=""), delimiter=separator, strict=True)
    number = 0
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"row {number} cannot be read: {error}") from error
        yield number, cells


def _decoded(data: bytes, encoding: str) -> str:
    """The text of a file: in the encoding that is named, else by its mark, else UTF-8."""
    if not encoding:
        marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        encoding = "utf-16" if marked else "utf-8-sig"
    try:
        return data.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except LookupError as error:
        raise UsageError(
            f"There is no encoding {encoding!r}; utf-8 and cp1252 are usual."
        ) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"line {line} is not in {encoding}; name the encoding in the mapping, such as cp1252"
        ) from error


def _separator(said: str) -> str:
    """What most probably parts the cells: what the first line has most of."""
    first = said.lstrip("\r\n").partition("\n")[0]
    return max(";\t,|", key=lambda one: (first.count(one), one == ","))


def _sheet(data: bytes, layout: Layout) -> Iterator[tuple[int, list[str]]]:
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
    try:
        if layout.sheet and layout.sheet not in book.sheetnames:
            raise DataError(f"there is no sheet {layout.sheet!r}; there are: "
                            f"{', '.join(book.sheetnames)}")  # fmt: skip
        sheet = book[layout.sheet] if layout.sheet else book.worksheets[0]
        for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
            yield number, [_text(cell) for cell in cells[:MOST_COLUMNS]]
    finally:
        book.close()


def _text(cell: Any) -> str:
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
