"""A report of dose as a workbook: one sheet per table, numbers as numbers, nothing that runs."""

from __future__ import annotations

import io
import re
from typing import Any

from dicomlake.errors import UsageError
from dicomlake.jobs.dose.reporting.content import Cell, Told

MOST_TEXT = 32_000
"""Characters of a cell that a workbook can hold, about."""
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_RUNS = ("=", "+", "-", "@", "\t", "\r", "|", "%")
"""Beginnings of texts that programs may take for something to run."""


def written(told: Told) -> bytes:
    """The workbook of a report."""
    try:
        from openpyxl import Workbook
    except ImportError as error:
        raise UsageError(
            "A workbook needs openpyxl. Install it with: pip install 'dicomlake[dose]'"
        ) from error
    book = Workbook()
    first = book.active
    assert first is not None
    first.title = "About"
    for line in (("", told.title), *told.facts, *(("Note", note) for note in told.notes)):
        _row(first, line)
    first.column_dimensions["A"].width, first.column_dimensions["B"].width = 22, 110
    for sheet in told.sheets:
        page = book.create_sheet(sheet.name)
        _row(page, sheet.heads, bold=True)
        for row in sheet.rows:
            _row(page, row)
        page.freeze_panes = "A2"
        page.auto_filter.ref = page.dimensions
        for at, head in enumerate(sheet.heads, 1):
            letter = page.cell(1, at).column_letter
            page.column_dimensions[letter].width = min(max(len(head) + 2, 12), 40)
    into = io.BytesIO()
    book.save(into)
    return into.getvalue()


def _row(page: Any, values: tuple[Cell, ...] | tuple[str, str], *, bold: bool = False) -> None:
    from openpyxl.styles import Font

    number = page.max_row + 1 if page.max_row > 1 or page.cell(1, 1).value is not None else 1
    for at, value in enumerate(values, 1):
        cell = page.cell(number, at)
        if isinstance(value, str):
            _text(cell, value)
        elif value is not None:
            cell.value = value
        if bold:
            cell.font = Font(bold=True)


def _text(cell: Any, value: str) -> None:
    """A text that stays one: no formula, whatever it begins with."""
    cell.value = _ILLEGAL.sub("", value)[:MOST_TEXT]
    cell.data_type = "s"
    if value.startswith(_RUNS):
        cell.quotePrefix = True
