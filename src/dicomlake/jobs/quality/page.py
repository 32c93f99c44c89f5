"""A report of quality as one HTML file: no network, no script; light, dark and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Told = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5a6774; --line: #d6dce2; --paper: #fff;
  --bar: #1a7f86; --rest: #e4e9ed; --error: #b3261e; --warning: #8a5a00; --note: #5a6774; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #a3afba; --line: #3a4550;
  --paper: #14191e; --bar: #4fb3ba; --rest: #2a333b; --error: #ff8a80; --warning: #f2c063;
  --note: #a3afba; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; } td.n, th.n { text-align: right; white-space: nowrap; }
code { font-size: .85em; overflow-wrap: anywhere; } td:first-child code { white-space: nowrap; }
dl { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: .8rem 0; }
dt { color: var(--soft); } dd { margin: 0; font-size: 1.3rem; font-weight: 600; }
.error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); }
.heat td { min-width: 2.6rem; text-align: right; } .heat th { font-weight: 500; }
.heat thead th { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 16rem; }
.heat thead th:first-child { writing-mode: horizontal-tb; transform: none; }
svg { display: block; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } h2 { break-after: avoid; }
  tr { break-inside: avoid; } .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
_BY = {
    "device": "device", "site": "institution", "year": "year", "month": "month",
    "modality": "modality",
}  # fmt: skip


def page(told: Told, changes: Sequence[Told] | None = None) -> str:
    """The whole page of a report; `changes`: since an older one, when there is one."""
    parts = [
        _head(told),
        _changes(changes) if changes is not None else "",
        _modality(told["modality"]),
        _region(told["body_region"]),
        _laterality(told["laterality"]),
        _sizes(told["sizes"], told["declared"]),
        _attributes(told),
        _findings(told),
        _anatomy(told["anatomy"]),
        _clocks(told["clocks"]),
        _trend(told["trend"]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Data quality</title><style>{_STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


# Small pieces


def _number(n: float | None) -> str:
    if n is None:
        return "-"
    return f"{n:,.0f}" if float(n).is_integer() else f"{n:,.1f}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _bar(part: float, whole: float, width: int = 160) -> str:
    """A bar: so much of a whole; the number beside it says the same."""
    long = round(width * part / whole, 1) if whole else 0
    return (
        f'<svg width="{width}" height="12" aria-hidden="true"><rect width="{width}" height="12" '
        f'fill="var(--rest)"/><rect width="{long}" height="12" fill="var(--bar)"/></svg>'
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table of cells that are HTML already; columns in `numbers` are set to the right."""
    right = frozenset(numbers)

    def cell(tag: str, at: int, text: str) -> str:
        kind = ' class="n"' if at in right else ""
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{kind}{scope}>{text}</{tag}>"

    head = "".join(cell("th", at, escape(text)) for at, text in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(cell("td", at, text) for at, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _shares(rows: Iterable[tuple[str, int]], whole: int, heads: tuple[str, str]) -> str:
    """A table of names with numbers, shares of a whole, and bars."""
    return _table(
        (*heads, "share", ""),
        ((escape(name), _number(n), _share(n, whole), _bar(n, whole)) for name, n in rows),
        (1, 2),
    )


def _key(key: str | None) -> str:
    return escape(key) if key else '<span class="soft">not said</span>'


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _para(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>'


# Sections


def _head(told: Told) -> str:
    counts = "".join(
        f"<div><dt>{name}</dt><dd>{_number(told['counts'][name])}</dd></div>"
        for name in ("patients", "studies", "series", "instances")
    )
    where = f"<p>Of: <code>{escape(told['where'])}</code></p>" if told["where"] else ""
    return (
        f"<h1>Data quality by {_BY[told['by']]}</h1>"
        f'<p class="soft">Version {told["version"]} of the lake; made {_minute(told["made"])} by '
        f"{escape(told['product'])}</p>{where}<dl>{counts}</dl>"
    )


def _changes(rows: Sequence[Told]) -> str:
    if not rows:
        return _section("Since the older report", _para("Nothing changed by half a percent."))
    return _section(
        "Since the older report",
        _table(
            ("", "what", "before", "now"),
            (
                ("better" if row["better"] else '<strong class="error">worse</strong>',
                 escape(row["what"]), _share(row["before"], 1), _share(row["after"], 1))
                for row in rows
            ),
            (2, 3),
        ),
    )  # fmt: skip


def _modality(told: Told) -> str:
    whole = told["given"] + told["missing"]
    rows = [
        ("listed by the Standard (PS3.16 CID 29, 33)", told["listed"]),
        ("another value", told["given"] - told["listed"]),
        ("missing", told["missing"]),
    ]
    odd = [(row["value"], row["series"]) for row in told["not_listed"]]
    more = "<h3>Other values</h3>" + _shares(odd, whole, ("value", "series")) if odd else ""
    return _section("Modality", _shares(rows, whole, ("of all series", "series")), more)


def _minute(moment: str) -> str:
    """A moment of the report as people read it.

    >>> _minute("2026-11-21T13:10:27+00:00")
    '2026-11-21 13:10 UTC'
    """
    return f"{escape(moment[:16].replace('T', ' '))} UTC"


def _region(told: Told) -> str:
    whole = told["images"]
    rows = [
        ("a term of the Standard (PS3.16 Annex L)", told["standard"]),
        ("another word, mapped here", told["mapped"]),
        ("a word that is not known", told["unknown"]),
        ("missing", told["missing"]),
    ]
    parts = [_shares(rows, whole, ("Body Part Examined of series of images", "series"))]
    if told["free"]:
        parts += ["<h3>Words that are mapped</h3>", _table(
            ("word", "means", "code", "series"),
            ((escape(row["value"]), escape(row["meaning"] or ""), escape(", ".join(row["codes"])),
              _number(row["series"])) for row in told["free"][:20]), (3,))]  # fmt: skip
    if told["not_known"]:
        odd = [(row["value"], row["series"]) for row in told["not_known"][:20]]
        parts += ["<h3>Words that are not known</h3>", _shares(odd, whole, ("word", "series"))]
    if told["stated"]:
        sure = [(f"{row['low']:.1f} and above", row["series"]) for row in told["stated"]]
        parts += ["<h3>Body part by all that headers say</h3>",
                  _shares(sure, whole, ("confidence", "series"))]  # fmt: skip
    return _section("Body region", *parts)


def _laterality(told: Told) -> str:
    whole = told["paired"]
    if not whole:
        return _section("Laterality", _para("No series shows an organ with two sides."))
    rows = [("the side is given", told["given"]), ("the side is missing", told["missing"]),
            ("two attributes contradict", told["contradicting"])]  # fmt: skip
    return _section("Laterality", _shares(rows, whole, ("of organs with two sides", "series")))


def _sizes(told: Told, declared: Told) -> str:
    spread = [
        ("series of a study" if row is told["series_per_study"] else f"instances of {row['of']}",
         *(_number(row[n]) for n in ("many", "min", "low", "median", "high", "max", "outliers")))
        for row in [told["series_per_study"], *told["instances_per_series"]] if row
    ]  # fmt: skip
    heads = ("", "how many", "least", "quarter", "half", "three quarters", "most", "outliers")
    parts = [_table(heads, ((escape(row[0]), *row[1:]) for row in spread), range(1, 8))]
    for what, steps in (("Studies by their series", told["studies"]),
                        ("Series by their instances", told["series"])):  # fmt: skip
        whole = sum(row["many"] for row in steps)
        names = [f"from {row['low']}" for row in steps]
        counted = [(name, row["many"]) for name, row in zip(names, steps, strict=True)]
        parts += [f"<h3>{what}</h3>", _shares(counted, whole, ("", "how many"))]
    for what in ("series", "studies"):
        row = declared[what]
        if row["compared"]:
            counted = [("as many as listed", row["equal"]), ("fewer", row["fewer"]),
                       ("more", row["more"])]  # fmt: skip
            parts += [f"<h3>What archives list of {what}, and what is here</h3>",
                      _shares(counted, row["compared"], ("", what))]  # fmt: skip
    return _section("Series of studies, instances of series", *parts)


def _attributes(told: Told) -> str:
    whole = _table(
        ("attribute", "of series", "filled in", "share", "", "those that lack it"),
        (
            (f"<code>{escape(row['path'])}</code>", _number(row["of"]), _number(row["filled"]),
             _share(row["filled"], row["of"]), _bar(row["filled"], row["of"]),
             f"<code>{escape(row['question'])}</code>")
            for row in told["attributes"]
        ),
        (1, 2, 3),
    )  # fmt: skip
    groups = told["groups"][:24]
    head = "".join(f'<th scope="col">{_key(row["key"])}</th>' for row in groups)
    body = "".join(
        f'<tr><th scope="row">{escape(row["path"])}</th>'
        + "".join(_heat(cell["filled"], cell["of"]) for cell in row["groups"][: len(groups)])
        + "</tr>"
        for row in told["attributes"]
    )
    first = f'<th scope="col">percent by {_BY[told["by"]]}</th>'
    heat = (
        '<div class="scroll" tabindex="0"><table class="heat"><thead><tr>'
        f"{first}{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    return _section(
        "Attributes",
        _para("A value counts when it can be used: text that is no date is no date. Attributes "
              "that only some modalities have are counted of their series."),
        whole, f"<h3>By {_BY[told['by']]}, the largest {len(groups)}</h3>", heat,
    )  # fmt: skip


def _heat(part: int, whole: int) -> str:
    """A cell that is the paler the more is missing."""
    if not whole:
        return "<td></td>"
    share = part / whole
    shade = f"color-mix(in srgb, var(--bar) {round(45 * share)}%, transparent)"
    return f'<td style="background: {shade}">{100 * share:.0f}</td>'


def _findings(told: Told) -> str:
    looked = {row["enricher"]: row["series"] for row in told["checked"]}
    if not looked.get("conformance"):
        hint = "No series was checked by rules yet: dicomlake enrich conformance"
        if not told["findings"]:
            return _section("Findings", _para(hint))
    else:
        hint = f"{_number(looked['conformance'])} series were checked by the rules of conformance."
    rows = _table(
        ("severity", "rule", "series", "share", "", "ask for them"),
        (
            (f'<span class="{escape(row["severity"])}">{escape(row["severity"])}</span>',
             f"{escape(row['rule'])}<br><span class=\"soft\">{escape(row['text'] or '')} "
             f"{escape(', '.join(path for path in row['paths'] if path))}</span>",
             _number(row["series"]), _share(row["series"], looked.get(row["enricher"], 0)),
             _bar(row["series"], looked.get(row["enricher"], 0), 100),
             f"<code>{escape(row['question'])}</code>")
            for row in told["findings"]
        ),
        (2, 3),
    )  # fmt: skip
    return _section("Findings", _para(hint), rows, _findings_by(told))


def _findings_by(told: Told) -> str:
    """Rules by group: percent of the series of the group."""
    rules = [row["rule"] for row in told["findings"] if row["severity"] != "note"][:16]
    found = {(row["group"], row["rule"]): row["series"] for row in told["findings_by"]}
    if not rules:
        return ""
    head = "".join(f'<th scope="col">{escape(rule)}</th>' for rule in rules)
    body = ""
    for at, group in enumerate(told["groups"][:24]):
        cells = ""
        for rule in rules:
            part = found.get((at, rule), 0)
            share = round(60 * part / group["series"])
            shade = f"color-mix(in srgb, var(--error) {share}%, transparent)"
            cells += f'<td style="background: {shade}">{part or ""}</td>'
        body += f'<tr><th scope="row">{_key(group["key"])}</th>{cells}</tr>'
    return (
        f"<h3>Errors and warnings by {_BY[told['by']]}, series</h3>"
        '<div class="scroll" tabindex="0"><table class="heat"><thead><tr>'
        f'<th scope="col">{_BY[told["by"]]}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _anatomy(told: Told) -> str:
    if not told["rows"]:
        return _section(
            "Header and segmented anatomy",
            _para("No segmenter has looked at these series yet: dicomlake enrich hounsfield"),
        )
    found = {(row["header"], row["seen"]): row["series"] for row in told["rows"]}
    headers = list(dict.fromkeys(row["header"] for row in told["rows"]))
    seen = [place for place in told["places"] if any(place == one for _, one in found)]
    table = _table(
        ("header says", *(f"{place} is seen" for place in seen)),
        ((_key(header), *(_number(found.get((header, place), 0)) for place in seen))
         for header in headers),
        range(1, len(seen) + 1),
    )  # fmt: skip
    share = _share(told["agreeing"], told["compared"])
    said = f"{share} of {_number(told['compared'])} series agree; one may show several places."
    return _section("Header and segmented anatomy", _para(said), table)


_AGAINST = {
    "study": "time of the study", "schedule": "the schedule", "devices": "other devices",
}  # fmt: skip


def _clocks(rows: Sequence[Told]) -> str:
    if not rows:
        return _section("Clocks of devices", _para("No device has enough series with times."))
    table = _table(
        ("device", "modality", "against", "samples", "ahead by", "spread", "by month"),
        (
            (_key(row["device"]), escape(row["modality"] or ""), _AGAINST[row["against"]],
             _number(row["samples"]), _minutes(row["offset_s"]), f"{row['spread_s'] / 60:.1f} min",
             _line([month["offset_s"] for month in row["months"]]))
            for row in rows[:40]
        ),
        (3, 4, 5),
    )  # fmt: skip
    text = (
        "The median of what the device's times are ahead of others, less what is usual for its "
        "modality. Half of the single differences are within the spread."
    )
    return _section("Clocks of devices", _para(text), table)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:+.1f} min".replace("+0.0", "0.0").replace("-0.0", "0.0")


def _line(values: Sequence[float], width: int = 140, height: int = 28) -> str:
    """A small line; the middle is no difference."""
    if len(values) < 2:
        return ""
    most = max(60.0, *(abs(value) for value in values))
    step = width / (len(values) - 1)
    points = " ".join(
        f"{at * step:.1f},{height / 2 - value / most * (height / 2 - 2):.1f}"
        for at, value in enumerate(values)
    )
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="from '
        f'{_minutes(values[0])} to {_minutes(values[-1])}"><line x2="{width}" y1="{height / 2}" '
        f'y2="{height / 2}" stroke="var(--line)"/><polyline points="{points}" fill="none" '
        'stroke="var(--bar)" stroke-width="1.5"/></svg>'
    )


def _trend(rows: Sequence[Told]) -> str:
    return _section(
        "Over the years",
        _table(
            ("year of the study", "series", "filled in", "", "checked", "with errors", ""),
            (
                (_key(row["period"]), _number(row["series"]), _share(row["filled"], row["of"]),
                 _bar(row["filled"], row["of"], 120), _number(row["checked"]),
                 _share(row["with_errors"], row["checked"]),
                 _bar(row["with_errors"], row["checked"], 120))
                for row in rows
            ),
            (1, 2, 4, 5),
        ),
    )  # fmt: skip
