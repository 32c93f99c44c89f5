"""Tables written anew without some of their rows; the others keep their numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dicomlake.contracts.converters import Piece
from dicomlake.converters.labels.mapping import Spec
from dicomlake.converters.labels.tables import (
    as_text,
    encoding_of,
    is_workbook,
    separator_of,
    text_of,
    workbook,
)
from dicomlake.errors import DataError

Gone = Callable[[Piece], bool]
Clean = Callable[[str], str]


def without(
    data: bytes, spec: Spec, header: Mapping[str, str], gone: Gone, clean: Clean
) -> tuple[bytes, int]:
    """A table without the rows that are gone, and how many they were; b"" when none is left.

    What changes around the rows is counted, too.
    Text stays byte for byte what it is, with an empty line for each that went. A workbook becomes
    one of the same values: its formats, formulas, comments and pictures are not taken over.
    """
    who = _Who(spec, header)
    found = _Sheets(data, who, gone, clean) if is_workbook(data) else _Text(data, who, gone, clean)
    made = found.written()
    return (made if found.left else b""), found.count


class _Who:
    """Whom rows are about, as the columns that identify say it, whatever they say."""

    def __init__(self, spec: Spec, header: Mapping[str, str]) -> None:
        self.spec = spec
        self._told = {**header, **spec.constant}

    def piece(self, names: list[str], number: int, cells: list[str]) -> Piece:
        """A row as a piece of the table."""
        row = {name.strip(): cell.strip() for name, cell in zip(names, cells, strict=False)}
        told = {k: row[c] for k, c in self.spec.identify.items() if row.get(c)}
        return Piece(f"row {number}", {**self._told, **told}, tuple(filter(None, cells)))


class _Text:
    """A table in text."""

    def __init__(self, data: bytes, who: _Who, gone: Gone, clean: Clean) -> None:
        self._data, self._who, self._gone, self._clean = data, who, gone, clean
        self.count = self.left = 0

    def written(self) -> bytes:
        """The table anew."""
        layout = self._who.spec.layout
        encoding = encoding_of(self._data, layout)
        made = io.BytesIO()
        try:
            out = io.TextIOWrapper(made, encoding, newline="")
            if encoding == "utf-16" and self._data.startswith(b"\xfe\xff"):
                out = io.TextIOWrapper(made, "utf-16-be", newline="")
                out.write("\ufeff")
            for line in self._lines(separator_of(self._data, layout)):
                out.write(line)
            out.flush()
        except (UnicodeError, csv.Error) as error:
            raise DataError(f"the table cannot be read ({type(error).__name__})") from error
        marked = self._data.startswith(b"\xef\xbb\xbf") or encoding != "utf-8-sig"
        return made.getvalue() if marked else made.getvalue().removeprefix(b"\xef\xbb\xbf")

    def _lines(self, separator: str) -> Iterator[str]:
        seen: list[str] = []
        reader = csv.reader(_noted(text_of(self._data, self._who.spec.layout), seen),
                            delimiter=separator, strict=True)  # fmt: skip
        names: list[str] = []
        skipped = number = 0
        for cells in reader:
            number, last = reader.line_num - len(seen) + 1, seen.copy()
            seen.clear()
            if skipped <= self._who.spec.layout.skip:
                skipped, names = skipped + 1, cells
                yield from map(self._cleaned, last)
            elif any(cells) and self._gone(self._who.piece(names, number, cells)):
                self.count += 1
                yield from (line[len(line.rstrip("\r\n")) :] for line in last)
            else:
                self.left += any(cell.strip() for cell in cells)
                yield from last

    def _cleaned(self, line: str) -> str:
        found = self._clean(line)
        self.count += found != line
        return found


def _noted(lines: Iterable[str], seen: list[str]) -> Iterator[str]:
    for line in lines:
        seen.append(line)
        yield line


class _Sheets:
    """A workbook: the sheet of the mapping by its columns, others by what stands in them."""

    def __init__(self, data: bytes, who: _Who, gone: Gone, clean: Clean) -> None:
        self._data, self._who, self._gone, self._clean = data, who, gone, clean
        self.count = self.left = 0

    def written(self) -> bytes:
        """The workbook anew."""
        import openpyxl

        with workbook(self._data) as book:
            made = openpyxl.Workbook(write_only=True)
            named = self._who.spec.layout.sheet or book.worksheets[0].title
            for sheet in book.worksheets:
                target = made.create_sheet(self._cleaned(sheet.title)[:31])
                target.sheet_state = sheet.sheet_state
                ours = sheet.title == named
                for cells in self._rows(sheet.iter_rows(values_only=True), ours=ours):
                    target.append([_plain(target, cell) for cell in cells])
        held = io.BytesIO()
        made.save(held)
        return held.getvalue()

    def _rows(self, rows: Iterable[tuple[Any, ...]], *, ours: bool) -> Iterator[list[Any]]:
        names: list[str] = []
        for number, cells in enumerate(rows, 1):
            texts = [as_text(cell) for cell in cells]
            if ours and number <= self._who.spec.layout.skip + 1:
                names = texts
                yield [self._cleaned(cell) for cell in cells]
                continue
            piece = self._who.piece(names, number, texts) if ours else Piece("", {}, tuple(texts))
            if any(texts) and self._gone(piece):
                self.count += 1
                yield []
            else:
                self.left += ours and any(texts)
                yield list(cells)

    def _cleaned(self, value: Any) -> Any:
        found = self._clean(value) if isinstance(value, str) else value
        self.count += found != value
        return found


def _plain(sheet: Any, value: Any) -> Any:
    """A value of a cell, which stays a text where it looks like a formula."""
    if not (isinstance(value, str) and value.startswith("=")):
        return value
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, value)
    cell.data_type = "s"
    return cell
