"""The review of reports as one HTML file: no network, no script. It stays inside."""

from __future__ import annotations

from html import escape

from dicomlake.deid.text import UNSURE
from dicomlake.jobs.deid.reports import Review, Reviewed

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .6rem;
  border-bottom: 1px solid #8885; } td.n { text-align: right; }
pre { white-space: pre-wrap; border: 1px solid #8885; padding: .7rem; }
mark { background: #ffd54d; color: #000; } .look { color: #8a5a00; } .refused { color: #b3261e; }
"""
_ORDER = {"refused": 0, "look": 1, "read": 2}


def page(review: Review) -> str:
    """The whole page: reports with doubts first, each text with its doubts marked."""
    ordered = sorted(
        review.reports, key=lambda one: (_ORDER[one.state], -len(one.doubts), one.source)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Review of reports</title><style>{_STYLE}</style></head><body>"
        "<h1>Review of reports</h1>"
        f"<p>{escape(str(review))}.</p>"
        "<p>This page stays inside: it shows the reports as they would leave, with all that was "
        "missed. Read each of them before it goes out; what is marked comes first.</p>"
        f"<p>Languages with rules: {', '.join(review.languages)}. Known of the patient: "
        f"{review.known} values.</p>{''.join(map(_section, ordered))}</body></html>\n"
    )


def _section(one: Reviewed) -> str:
    head = f'<h2 class="{one.state}">{escape(one.out or "not written")}: {one.state}</h2>'
    head += f"<p>From {escape(one.source)}</p>"
    if one.problem:
        return f"{head}<p>{escape(one.problem)}</p>"
    rows = "".join(
        f'<tr><td>{kind}</td><td>{escape(by)}</td><td class="n">{count}</td>'
        f"<td>{'may be wrong' if by in UNSURE else ''}</td></tr>"
        for (kind, by), count in sorted(one.replaced.items())
    )
    table = f"<table><tr><th>kind</th><th>found by</th><th>places</th><th></th></tr>{rows}</table>"
    notes = [*one.notes, *([f"{one.scanned} pages read by OCR"] if one.scanned else [])]
    whole = [d.why for d in one.doubts if d.start == d.end]
    said = "".join(f"<p>{escape(note)}</p>" for note in [*whole, *notes])
    texts = "".join(_marked(one, number) for number in range(len(one.pages)))
    return f"{head}{said}{table if rows else ''}{texts}"


def _marked(one: Reviewed, number: int) -> str:
    """A page with its doubts marked; places of a translated page are those of the cleaned one."""
    text, parts, at = one.pages[number], [], 0
    moved = any("translated" in note for note in one.notes)
    for doubt in sorted((d.start, d.end, d.why) for d in one.doubts if d.page == number):
        start, end, why = doubt
        if moved or start < at or end <= start:
            continue
        parts += [
            escape(text[at:start]),
            f'<mark title="{escape(why)}">{escape(text[start:end])}</mark>',
        ]
        at = end
    return f"<pre>{''.join(parts)}{escape(text[at:])}</pre>"
