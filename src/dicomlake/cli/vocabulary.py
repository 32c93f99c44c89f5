"""The vocabulary on the screen: a tree, and what a search finds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomlake.lake.vocabulary import Bin, Term, Vocabulary, summary

_BARS = "▁▂▃▄▅▆▇█"


def print_tree(
    vocabulary: Vocabulary, path: str, console: Console, *, depth: int = 1, limit: int = 60
) -> None:
    """Print what is inside a path, or the whole lake: so many levels, so many lines.

    UsageError when nothing in the lake has the path. One without anything inside is told in full.
    """
    if path:
        term = vocabulary[path]
        print_term(term, console)
        if not term.children:
            return
        path = term.path
    lines = list(_below(vocabulary, path, depth))
    if not path:
        inside = [line for line in lines if line[1].inside]
        lines = [line for line in lines if not line[1].inside]
        if inside:
            console.print(table(inside, "inside of objects: reports, segments, channels, doses"))
            console.print()
    title = (
        f"{len(vocabulary):,} attributes of {vocabulary.patients:,} patients, "
        f"{vocabulary.series:,} series"
    )
    console.print(table(((level, term) for level, term in lines[:limit]), "" if path else title))
    if len(lines) > limit:
        more = f"... and {len(lines) - limit:,} more: --limit N, a path, or: search TEXT"
        console.print(Text(more))


def print_found(vocabulary: Vocabulary, text: str, console: Console, *, limit: int = 60) -> None:
    """Print the terms that fit a text, best first, with their whole paths."""
    found = vocabulary.search(text, limit)
    if not found:
        console.print(Text(f"Nothing in this lake fits {text!r}."))
        return
    console.print(table(((0, term) for term in found), whole=True))


def print_term(term: Term, console: Console) -> None:
    """Print all that is known of one term: definition, counts, histogram, values."""
    console.print(Text(term.path, style="bold"))
    console.print(Text(_plain(term.definition)))
    counts = f"{term.patients:,} patients, {term.studies:,} studies, {term.series:,} series"
    empty = f", {term.empty:,} more without a value" if term.empty else ""
    documents = f", {term.documents:,} objects" if term.documents else ""
    console.print(Text(f"{counts} ({fill(term)}){empty}{documents}"))
    if len(term.names) > 1:
        called = ", ".join(f"{_plain(name)} in {n:,}" for name, n in term.names[:5])
        console.print(Text(f"called {called} series"))
    if len(term.units) > 1:
        measured = ", ".join(f"{_plain(unit)} in {n:,}" for unit, n in term.units)
        console.print(Text(f"measured in {measured} series"))
    if len(term.vrs) > 1:
        sent = ", ".join(f"{vr} in {number:,} series" for vr, number in term.vrs)
        console.print(Text(f"sent as {sent}"))
    if term.range:
        console.print(Text(f"{_plain(term.range)}  {bars(term.histogram)}"))
    if not term.values:
        return
    values = Table(header_style="bold", show_edge=False, pad_edge=False)
    values.add_column("value", overflow="fold")
    values.add_column("series", justify="right")
    values.add_column("patients", justify="right")
    for value in term.values:
        values.add_row(Text(_plain(value.label)), f"{value.series:,}", f"{value.patients:,}")
    console.print(values)
    if term.distinct is not None and term.distinct > len(term.values):
        console.print(Text(f"... of {term.distinct:,} different values"))


def table(terms: Iterable[tuple[int, Term]], title: str = "", *, whole: bool = False) -> Table:
    """Terms as a table for the screen, each with its level; `whole`: with their whole paths."""
    terms = list(terms)
    all_inside = bool(terms) and all(term.inside for _, term in terms)
    drawn = Table(
        title=Text(title) if title else None,
        title_justify="left",
        header_style="bold",
        show_edge=False,
        pad_edge=False,
        expand=True,
    )
    drawn.add_column("attribute", overflow="fold", ratio=4)
    drawn.add_column("VR")
    drawn.add_column("patients", justify="right")
    drawn.add_column("series", justify="right")
    drawn.add_column("objects" if all_inside else "fill", justify="right")
    drawn.add_column("values", overflow="ellipsis", no_wrap=True, ratio=5)
    for level, term in terms:
        name = term.path if whole else term.segment
        if term.path.startswith("["):
            name = f"{name} {term.name}"
        inside = f"  ▸{term.children}" if term.children else ""
        drawn.add_row(
            Text("  " * level + _plain(name) + inside),
            Text(term.vr),
            f"{term.patients:,}",
            f"{term.series:,}",
            f"{term.documents:,}" if all_inside else fill(term),
            Text(said(term)),
        )
    return drawn


def fill(term: Term) -> str:
    """Share of the series that have a value, so that only none is 0 and only all is 100 %.

    >>> from types import SimpleNamespace as Some
    >>> fill(Some(fill=0.999)), fill(Some(fill=0.001)), fill(Some(fill=0.25))
    ('>99 %', '<1 %', '25 %')
    """
    share = term.fill * 100
    if 0 < share < 1:
        return "<1 %"
    return ">99 %" if 99 < share < 100 else f"{share:.0f} %"


def said(term: Term) -> str:
    """What a term says, in a line, with the histogram where it shows a range."""
    if term.inside and term.vr == "SQ" and not any(value.meaning for value in term.values):
        return ""  # a container or a reference; that there is one item says nothing
    text = _plain(summary(term))
    ranged = term.range and summary(term) == term.range and len(term.histogram) > 1
    return f"{bars(term.histogram)}  {text}" if ranged else text


def bars(histogram: Iterable[Bin]) -> str:
    """A histogram in a line: one character per bin, blank where nothing is.

    >>> bars(Bin(i, i + 1, "", n) for i, n in enumerate([0, 1, 50, 100]))
    ' ▁▄█'
    """
    counts = [part.series for part in histogram]
    most = max(counts, default=0)
    return "".join(_BARS[math.ceil(n / most * len(_BARS)) - 1] if n else " " for n in counts)


def _below(
    vocabulary: Vocabulary, path: str, depth: int, level: int = 0
) -> Iterator[tuple[int, Term]]:
    for term in vocabulary.children(path):
        yield level, term
        if term.children and level + 1 < depth:
            yield from _below(vocabulary, term.path, depth, level + 1)


def _plain(text: str) -> str:
    """Text on one line and without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
