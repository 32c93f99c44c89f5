"""The report of quality: how complete and how right the headers of a lake are.

`report` makes it as a dict that JSON can hold, in the layout of docs/quality.md; `page` turns it
into one HTML file. No value that points at a person is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicomlake import plugins
from dicomlake.engines.assessment import ATTRIBUTES, Asked
from dicomlake.errors import UsageError
from dicomlake.jobs.quality.page import page
from dicomlake.lake import Store
from dicomlake.query import And, Compare, Missing, Node, OneOf, parse, render
from dicomlake.version import __version__

__all__ = ["ATTRIBUTES", "LAYOUT", "Asked", "changes", "of_lake", "page", "read", "report"]

LAYOUT = 1
"""Of the JSON; it changes when a reader of older reports would be wrong."""

Report = dict[str, Any]


def report(
    engine: Any,
    *,
    version: int,
    where: str | Node | None = None,
    level: str = "series",
    by: str = "device",
    attributes: Iterable[str] = (),
    ticket: object = None,
) -> Report:
    """The report of what a question finds, by device, site, year, month or modality.

    UsageError for what it cannot be by, and for what is no attribute of headers.
    """
    node = parse(where) if isinstance(where, str) else where
    asked = Asked(by, tuple(attributes))
    found: dict[str, Any] = engine.quality(asked, node, level, ticket)
    for row in found["attributes"]:
        row["question"] = _text(node, _lacking(row))
    for row in found["findings"]:
        row["question"] = _text(node, Compare("finding.rule", "=", row["rule"]))
    return {
        "layout": LAYOUT,
        "product": f"dicomlake {__version__}",
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": version,
        "where": render(node) if node is not None else "",
        "level": level,
        "by": by,
        **found,
    }


def of_lake(lake: str | Path | Store, **asked: Any) -> Report:
    """The report of a lake on disk; arguments as of `report`."""
    store = lake if isinstance(lake, Store) else Store(lake)
    return report(plugins.load("engines", "duckdb")(store), version=store.version, **asked)


def _lacking(row: Mapping[str, Any]) -> Node:
    """The question for series that should have an attribute and do not."""
    missing: Node = Missing(row["path"])
    if len(row["modalities"]) == 1:
        missing = And((Compare("Modality", "=", row["modalities"][0]), missing))
    elif row["modalities"]:
        missing = And((OneOf("Modality", tuple(row["modalities"])), missing))
    return missing


def _text(where: Node | None, what: Node) -> str:
    return render(what if where is None else And((where, what)))


def read(path: Path) -> Report:
    """A report that was written as JSON; UsageError when it is none, or of another layout."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as a report. Write one with: "
            "dicomlake quality --output report.json"
        ) from error
    if not isinstance(told, dict) or told.get("layout") != LAYOUT:
        raise UsageError(f"{path} is no report of layout {LAYOUT}. Make it again, of that version.")
    return told


# What became better or worse

LEAST = 0.005
"""Shares that differ by less have not changed."""


def changes(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[Report]:
    """What got better or worse since an older report: what, before, after, better; worst first."""
    found = [
        {"what": what, "before": old, "after": new, "better": (new > old) is good}
        for what, old, new, good in _pairs(now, before)
        if old is not None and new is not None and abs(new - old) >= LEAST
    ]
    return sorted(found, key=lambda row: (row["better"], -abs(row["after"] - row["before"])))


def _pairs(
    now: Mapping[str, Any], before: Mapping[str, Any]
) -> Iterator[tuple[str, float | None, float | None, bool]]:
    """What is compared: its name, the shares before and now, and whether more is better."""
    for what, share, good in _SHARES:
        yield what, share(before), share(now), good
    old = {row["path"]: share_of(row["filled"], row["of"]) for row in before["attributes"]}
    for row in now["attributes"]:
        if row["path"] in old:
            new = share_of(row["filled"], row["of"])
            yield f"{row['path']} filled in", old[row["path"]], new, True
    was, is_ = _broken(before), _broken(now)
    for rule in sorted(was.keys() | is_.keys()):
        yield f"series with: {rule}", was.get(rule, 0.0), is_.get(rule, 0.0), False


def share_of(part: int, whole: int) -> float | None:
    """A share, none of nothing.

    >>> share_of(1, 4), share_of(0, 0)
    (0.25, None)
    """
    return part / whole if whole else None


def _broken(told: Mapping[str, Any]) -> dict[str, float]:
    """The share of series that break each rule, of those that its enricher has looked at."""
    looked = {row["enricher"]: row["series"] for row in told["checked"]}
    return {
        row["rule"]: row["series"] / looked[row["enricher"]]
        for row in told["findings"]
        if looked.get(row["enricher"])
    }


def _part(section: str, name: str, whole: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda told: share_of(told[section][name], told[section][whole])


_SHARES: Sequence[tuple[str, Callable[[Mapping[str, Any]], float | None], bool]] = (
    ("Modality is listed by the Standard", _part("modality", "listed", "given"), True),
    ("body region given as a term of the Standard",
     _part("body_region", "standard", "images"), True),
    ("body region missing", _part("body_region", "missing", "images"), False),
    ("laterality given of paired organs", _part("laterality", "given", "paired"), True),
    ("laterality contradicts itself", _part("laterality", "contradicting", "paired"), False),
    ("header and segmented anatomy agree", _part("anatomy", "agreeing", "compared"), True),
)  # fmt: skip
