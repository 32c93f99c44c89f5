"""A report of dose as one HTML file: no network, no script; light, dark and on paper."""

from __future__ import annotations

from html import escape

from dicomlake.jobs.dose.reporting.content import Cell, Sheet, Told, words

MOST_ROWS = 300
"""Rows of a table of a page; a workbook has them all."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #55626f; --line: #d6dce2; --paper: #fff;
  --above: #b3261e; --fine: #1d6b34; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #a3afba; --line: #3a4550;
  --paper: #14191e; --above: #ff8a80; --fine: #7fd197; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 84rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0;
  font-size: .88rem; }
th, td { text-align: left; padding: .22rem .55rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; } td.n, th.n { text-align: right; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: .8rem 0; }
dt { color: var(--soft); } dd { margin: 0; }
.above { color: var(--above); font-weight: 600; } .fine { color: var(--fine); }
@media print { body { margin: 0; max-width: none; font-size: 9pt; } h2 { break-after: avoid; }
  tr { break-inside: avoid; } .scroll { overflow: visible; } }
"""
_MARKED = {"above": "above", "not above": "fine"}
"""Words of verdicts that have a colour beside their text."""


def written(told: Told) -> bytes:
    """The page of a report."""
    facts = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in told.facts)
    notes = "".join(f'<p class="soft">{escape(note)}</p>' for note in told.notes)
    sheets = "".join(map(_sheet, told.sheets))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(told.title)}</title><style>{_STYLE}</style></head><body><main>\n"
        f"<h1>{escape(told.title)}</h1><dl>{facts}</dl>{notes}{sheets}\n</main></body></html>\n"
    ).encode()


def _sheet(sheet: Sheet) -> str:
    head = f'<h2>{escape(sheet.title)}</h2><p class="soft">{escape(sheet.about)}</p>'
    if not sheet.rows:
        return f"<section>{head}<p>None.</p></section>\n"
    right = numeric(sheet)
    heads = "".join(
        f'<th scope="col"{_right(at in right)}>{escape(name)}</th>'
        for at, name in enumerate(sheet.heads)
    )
    rows = "".join(
        "<tr>" + "".join(_cell(value, at in right) for at, value in enumerate(row)) + "</tr>\n"
        for row in sheet.rows[:MOST_ROWS]
    )
    more = len(sheet.rows) - MOST_ROWS
    rest = f"<p>And {more:,} more, which the workbook has.</p>" if more > 0 else ""
    return (
        f'<section>{head}<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(sheet.title)}"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>\n{rows}</tbody></table></div>{rest}</section>\n"
    )


def numeric(sheet: Sheet) -> frozenset[int]:
    """Columns that hold numbers."""
    return frozenset(
        at
        for at in range(len(sheet.heads))
        if any(isinstance(row[at], int | float) for row in sheet.rows)
    )


def _right(right: bool) -> str:
    return ' class="n"' if right else ""


def _cell(value: Cell, right: bool) -> str:
    text = escape(words(value))
    if mark := _MARKED.get(str(value)):
        text = f'<span class="{mark}">{text}</span>'
    return f"<td{_right(right)}>{text}</td>"
