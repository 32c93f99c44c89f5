"""What is inside of one object, on the screen."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from dicomlake.api import Lake
from dicomlake.cli.output import drawn
from dicomlake.errors import UsageError


def print_inside(lake: Lake, uid: str, console: Console) -> None:
    """Print the items, segments, channels and doses of an object; UsageError when there are none.

    Doses of an image may stand for others of its series: then they are found at one of these.
    """
    lake.header(uid)  # an unknown object says so
    found = lake.inside(uid)
    for name, rows in found.items():
        if name == "items":
            for tree in trees(rows.to_pylist()):
                console.print(tree)
        else:
            console.print(Text(name, style="bold"))
            told = [
                c for c in rows.column_names if c not in ("series_id", "SOPInstanceUID", "sent")
            ]
            filled = [c for c in told if rows.column(c).null_count < rows.num_rows]
            console.print(drawn(rows.select(filled)))
    if not found:
        raise UsageError(
            f"Nothing is inside of {uid} but its header. Show that with: dicomlake header {uid}"
        )


def trees(items: list[dict[str, Any]]) -> list[Tree]:
    """The items of an object as trees, in order."""
    roots: list[Tree] = []
    by_item: dict[int, Tree] = {}
    for row in sorted(items, key=lambda row: row["item"]):
        label = Text(_name(row), style="bold" if row["value_type"] == "CONTAINER" else "")
        if value := said(row):
            label.append(f"{': ' if label.plain else ''}{value}", style="not bold")
        above = by_item.get(row["parent"])
        if above is None:
            tree = Tree(label)
            roots.append(tree)
        else:
            tree = above.add(label)
        by_item[row["item"]] = tree
    return roots


def _name(row: dict[str, Any]) -> str:
    meaning, concept = row["concept_meaning"] or "", row["concept"]
    return _plain(f"{meaning} [{concept}]" if concept else f"[] {row['value_type'] or ''}").strip()


def said(row: dict[str, Any]) -> str:
    """The value of an item as people read it.

    >>> from dicomlake import tables
    >>> empty = dict.fromkeys(tables.ITEMS.names)
    >>> said({**empty, "number": 0.4, "unit_value": "s"})
    '0.4 s'
    """
    if row["code"]:
        return _plain(f"{row['code_meaning'] or ''} ({row['code']})".strip())
    if row["number"] is not None:
        numbers = row["numbers"] or [row["number"]]
        unit = row["unit_value"] or ""
        return f"{', '.join(f'{n:.10g}' for n in numbers)} {_plain(unit)}".strip()
    if row["qualifier"]:
        return f"no value ({row['qualifier']})"
    if row["ReferencedSOPInstanceUID"]:
        parts = [f"of {row['ReferencedSOPInstanceUID']}"]
        for name in ("ReferencedFrameNumber", "ReferencedSegmentNumber"):
            if row[name]:
                parts.append(f"{name[10:-6].lower()}s {', '.join(map(str, row[name]))}")
        return ", ".join(parts)
    if row["target"]:
        return f"see {row['target']}"
    if row["GraphicType"]:
        return f"{row['GraphicType']}, {len(row['GraphicData'] or ())} numbers"
    return _plain(row["text"] or "")


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
