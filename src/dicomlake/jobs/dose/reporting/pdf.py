"""A report of dose as PDF: A4, across, with page numbers."""

from __future__ import annotations

import io
from html import escape
from typing import Any

from dicomlake.errors import UsageError
from dicomlake.jobs.dose.reporting.content import Sheet, Told, words
from dicomlake.jobs.dose.reporting.html import numeric

MOST_ROWS = 200
"""Rows of a table of a page; a workbook has them all."""
_LINE, _SOFT, _HEAD = "#d6dce2", "#55626f", "#eef2f4"


def written(told: Told) -> bytes:
    """The pages of a report."""
    try:
        from reportlab.lib.pagesizes import A4, landscape
        from reportlab.lib.styles import getSampleStyleSheet
        from reportlab.lib.units import mm
        from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer
    except ImportError as error:
        raise UsageError(
            "A PDF needs reportlab. Install it with: pip install 'dicomlake[dose]'"
        ) from error
    styles = getSampleStyleSheet()
    into = io.BytesIO()
    document = SimpleDocTemplate(
        into, pagesize=landscape(A4), title=told.title, author="dicomlake", leftMargin=12 * mm,
        rightMargin=12 * mm, topMargin=12 * mm, bottomMargin=14 * mm,
    )  # fmt: skip
    parts: list[Any] = [Paragraph(_said(told.title), styles["Title"]), _facts(told, document.width)]
    parts += [Spacer(1, 6)]
    parts += [Paragraph(_said(note), styles["BodyText"]) for note in told.notes]
    for sheet in told.sheets:
        if not sheet.whole:
            parts += _sheet(sheet, document.width, styles)
    document.build(parts, onFirstPage=_numbered, onLaterPages=_numbered)
    return into.getvalue()


def _said(text: str) -> str:
    """A text that the fonts of every reader have, safe for markup."""
    return escape(text.encode("cp1252", "replace").decode("cp1252"))


def _facts(told: Told, width: float) -> Any:
    from reportlab.platypus import Table

    rows = [[_small(name, grey=True), _small(text)] for name, text in told.facts]
    return Table(rows, colWidths=[width * 0.16, width * 0.84], hAlign="LEFT")


def _sheet(sheet: Sheet, width: float, styles: Any) -> list[Any]:
    from reportlab.lib import colors
    from reportlab.platypus import CondPageBreak, LongTable, Paragraph, TableStyle

    head = [
        CondPageBreak(120),
        Paragraph(_said(sheet.title), styles["Heading2"]),
        Paragraph(_said(sheet.about), styles["BodyText"]),
    ]
    if not sheet.rows:
        return [*head, Paragraph("None.", styles["BodyText"])]
    right = numeric(sheet)
    shown = sheet.rows[:MOST_ROWS]
    rows = [[_small(name, bold=True) for name in sheet.heads]]
    rows += [
        [_small(words(value), right=at in right) for at, value in enumerate(row)] for row in shown
    ]
    table = LongTable(rows, colWidths=_widths(sheet, width), repeatRows=1, hAlign="LEFT")
    line = colors.HexColor(_LINE)
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, line),
                ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor(_HEAD)),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 2),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3),
                ("TOPPADDING", (0, 0), (-1, -1), 1),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
            ]
        )
    )
    more = len(sheet.rows) - len(shown)
    rest = f"And {more:,} more, which the workbook has."
    return [*head, table, *([Paragraph(rest, styles["BodyText"])] if more else [])]


def _widths(sheet: Sheet, width: float) -> list[float]:
    """Widths of columns by the length of what is in them."""
    long = [
        min(max(len(head) * 0.8, *(len(words(row[at])) for row in sheet.rows[:MOST_ROWS]), 5), 28)
        for at, head in enumerate(sheet.heads)
    ]
    each = min(width / sum(long), 8.0)
    return [n * each for n in long]


def _small(text: str, *, bold: bool = False, right: bool = False, grey: bool = False) -> Any:
    from reportlab.lib.enums import TA_LEFT, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    style = ParagraphStyle(
        "small",
        fontName="Helvetica-Bold" if bold else "Helvetica",
        fontSize=7,
        leading=8.4,
        alignment=TA_RIGHT if right else TA_LEFT,
        textColor=_SOFT if grey else "#000000",
    )
    return Paragraph(_said(text), style)


def _numbered(page: Any, document: Any) -> None:
    page.saveState()
    page.setFont("Helvetica", 7)
    page.drawRightString(
        document.pagesize[0] - 34, 22, f"{document.title} - {page.getPageNumber()}"
    )
    page.restoreState()
