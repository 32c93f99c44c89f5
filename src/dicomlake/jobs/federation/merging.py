"""The table of a study: what each site has, and what all of them have, as ranges."""

from __future__ import annotations

import csv
import html
import io
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a question to a site: its answer, or why there is none."""

    site: str
    answer: dict[str, Any] | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a section, perhaps a group of it; a text by site, and the total."""

    section: str
    by: str
    group: str
    cells: tuple[str, ...]
    total: str


@dataclass(frozen=True, slots=True)
class Table:
    """What sites have of a study; `away`: sites without an answer, and why."""

    study: str
    digest: str
    sites: tuple[str, ...]
    rows: tuple[Row, ...]
    away: dict[str, str] = field(default_factory=dict)

    def as_csv(self) -> str:
        """The table for spreadsheets."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["section", "by", "group", *self.sites, "all"])
        for row in self.rows:
            cells = (row.section, row.by, row.group, *row.cells, row.total)
            writer.writerow([_harmless(cell) for cell in cells])
        return out.getvalue()

    def as_json(self) -> str:
        """The table for programs."""
        said = {
            "study": self.study, "digest": self.digest, "sites": list(self.sites),
            "away": self.away, "rows": [
                {"section": r.section, "by": r.by, "group": r.group,
                 "sites": dict(zip(self.sites, r.cells, strict=True)), "all": r.total}
                for r in self.rows
            ],
        }  # fmt: skip
        return json.dumps(said, ensure_ascii=False, indent=1) + "\n"

    def as_html(self) -> str:
        """The table as a page without anything from elsewhere."""
        esc = html.escape
        head = "".join(f"<th>{esc(name)}</th>" for name in ("Patients", *self.sites, "All"))
        lines = [
            f"<tr><td>{esc(' / '.join(t for t in (r.section, r.group) if t))}</td>"
            + "".join(f"<td>{esc(cell)}</td>" for cell in (*r.cells, r.total))
            + "</tr>"
            for r in self.rows
        ]
        away = "".join(f"<p>{esc(n)}: {esc(why)}</p>" for n, why in self.away.items())
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            f"<title>{esc(self.study)}</title><style>body{{font:15px sans-serif}}"
            "td,th{padding:.3em .8em;text-align:right;border-bottom:1px solid #ccc}"
            "td:first-child{text-align:left}</style>"
            f"<h1>{esc(self.study)}</h1><table><tr>{head}</tr>{''.join(lines)}</table>{away}"
            f"<p>Question {esc(self.digest[:16])}</p></html>\n"
        )


def merged(study: str, digest: str, told: list[Told]) -> Table:
    """The table of what sites told: first each section as a whole, then its groups."""
    answers = [one.answer for one in told]
    titles = list(dict.fromkeys(s["name"] for a in answers if a for s in a["sections"]))
    rows = []
    for title in titles:
        sections = [_section(answer, title) for answer in answers]
        rows.append(_row(title, "", "", [_whole(one) for one in sections]))
        bys = list(dict.fromkeys(by for s in sections if s for by in s["by"]))
        for by in bys:
            groups = sorted({g for s in sections if s for g, _ in s["by"].get(by, [])})
            for group in groups:
                rows.append(_row(title, by, group, [_grouped(s, by, group) for s in sections]))
    away = {one.site: one.why for one in told if one.answer is None}
    return Table(study, digest, tuple(one.site for one in told), tuple(rows), away)


_Cell = tuple[int, int | None] | str
"""A range, or why there is none."""


def _section(answer: dict[str, Any] | None, title: str) -> dict[str, Any] | None:
    sections = answer["sections"] if answer else []
    found: dict[str, Any] | None = next((s for s in sections if s["name"] == title), None)
    return None if found is None else {**found, "least": answer["least"] if answer else 0}


def _whole(section: dict[str, Any] | None) -> _Cell:
    if section is None:
        return "away"
    if section["refused"]:
        return "refused"
    low, high = section["counts"]["patients"]
    return int(low), high


def _grouped(section: dict[str, Any] | None, by: str, group: str) -> _Cell:
    """The range of a group; one that a site does not name has fewer patients than it may tell."""
    if section is None or section["refused"]:
        return _whole(section)
    ranges = dict(section["by"].get(by, []))
    low, high = ranges.get(group, (0, section["least"] - 1))
    return int(low), high


def _row(section: str, by: str, group: str, cells: list[_Cell]) -> Row:
    known = [cell for cell in cells if not isinstance(cell, str)]
    highs = [high for _, high in known]
    most = None if None in highs or len(known) < len(cells) else sum(h for h in highs if h)
    total = (sum(low for low, _ in known), most)
    return Row(section, by, group, tuple(map(shown, cells)), shown(total))


def shown(cell: _Cell) -> str:
    """A range as people read it.

    >>> shown((10, 14)), shown((0, 4)), shown((25, None)), shown("away")
    ('10 to 14', 'under 5', 'at least 25', 'away')
    """
    if isinstance(cell, str):
        return cell
    low, high = cell
    if high is None:
        return f"at least {low:,}"
    if low == 0:
        return f"under {high + 1:,}"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _harmless(cell: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t")) else cell
