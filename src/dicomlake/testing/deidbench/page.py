"""The report of a judgement as a page without scripts and without anything from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.2rem .6rem}
th{text-align:left;background:#f3f3f3}td.n{text-align:right}.no{color:#a11}.yes{color:#161}"""
_MOST = 500


def page(title: str, told: dict[str, Any]) -> str:
    """HTML of one summary, or of the summaries of several tools."""
    body = [f"<h1>{escape(title)}</h1>"]
    if "tools" in told:
        body.append(side_by_side(told["tools"]))
        for name, one in told["tools"].items():
            body.append(f"<h2>{escape(name)}</h2>")
            body.append(_one(one))
    else:
        body.append(_one(told))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def columns(told: dict[str, Any]) -> list[tuple[str, str]]:
    """What is compared between tools: (name, value as text)."""
    if "stopped" in told:
        return [("stopped", told["stopped"])]
    found = [
        ("score", f"{told['score']:.2%}"),
        ("family-weighted", f"{told['family_weighted']:.2%}"),
        ("series-worst", f"{told['series_worst']:.2%}"),
        ("direct leaks", f"{next(g['measured'] for g in told['gates']):,.0f}"),
        ("missing files", f"{told['missing']:,}"),
    ]
    found += [(name, f"{row['score']:.1%}") for name, row in told["categories"].items()]
    if "files_per_second" in told:
        found.append(("files/s", f"{told['files_per_second']:,.0f}"))
    return found


def side_by_side(tools: dict[str, Any]) -> str:
    """A table with a row for each measure and a column for each tool."""
    values = {name: dict(columns(told)) for name, told in tools.items()}
    rows = list(dict.fromkeys(row for held in values.values() for row in held))
    lines = [[row, *(held.get(row, "") for held in values.values())] for row in rows]
    return _table(["", *values], lines)


def _one(told: dict[str, Any]) -> str:
    if "stopped" in told:
        return f"<p>{escape(told['stopped'])}</p>"
    low, high = told["interval"]
    parts = [
        f"<p>{told['passed']:,} of {told['checks']:,} checks pass on {told['objects']:,} files; "
        f"{told['missing']:,} are missing. Score {told['score']:.2%}, 95 % interval over patients "
        f"{low:.2%} to {high:.2%}. Options: {escape(', '.join(told['options']))}.</p>",
        _table(
            ["gate", "measured", "needed", ""],
            [
                [g["name"], f"{g['measured']:,.4g}", g["needed"], "yes" if g["passed"] else "no"]
                for g in told["gates"]
            ],
        ),
    ]
    for name in ("categories", "actions", "families", "severities"):
        rows = [
            [key, f"{row['checks']:,}", f"{row['passed']:,}", f"{row['score']:.2%}"]
            for key, row in told[name].items()
        ]
        parts.append(_table([name, "checks", "passed", "score"], rows))
    failed = told["failed"]
    if failed:
        parts.append(f"<p>{len(failed):,} checks failed; the first {min(len(failed), _MOST)}:</p>")
        names = ["check_id", "severity", "action", "file", "path", "why"]
        parts.append(_table(names, [[str(f[n]) for n in names] for f in failed[:_MOST]]))
    return "".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = [f"<tr>{cells}</tr>"]
    for row in rows:
        drawn = [f"<td{_class(cell)}>{escape(cell)}</td>" for cell in row]
        lines.append(f"<tr>{''.join(drawn)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _class(cell: str) -> str:
    if cell in ("yes", "no"):
        return f' class="{cell}"'
    return ' class="n"' if cell[:1].isdigit() else ""
