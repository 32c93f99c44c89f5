"""What is inside of one object, and what is stated of a series, on the screen."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from dicomlake import tables
from dicomlake.api import Lake
from dicomlake.cli.output import drawn, shown, with_meanings
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
            console.print(Text(name.replace("_", " "), style="bold"))
            print_rows(rows, tables.ALL[name], console)
    if not found:
        raise UsageError(
            f"Nothing is inside of {uid} but its header. Show that with: dicomlake header {uid}"
        )


def print_statements(lake: Lake, uid: str, console: Console) -> None:
    """Print what enrichers state of a series, as sent and as meant side by side, and its faults."""
    stated, wrong = lake.annotations(uid).to_pylist(), lake.findings(uid).to_pylist()
    if stated:
        console.print(drawn(pa.Table.from_pylist([_statement(row) for row in stated])))
    for row in wrong:
        console.print(Text(_fault(row)), soft_wrap=True)
    if not (stated or wrong):
        console.print("Nothing is stated of this series. See who can: dicomlake enrichers")


def _statement(row: dict[str, Any]) -> dict[str, str]:
    """A statement as a row for people."""
    sent = [_sent(one) for one in row["evidence"] or ()]
    if row["kind"] == "code":
        sent = [f"{row['code_scheme']}:{row['code_value']} {row['code_meaning'] or ''}"]
    said = [row["name"] or row["label"] or "", row["structure"] or row["code"] or ""]
    if row["volume"] is not None:
        cut = ", cut off" if row["complete"] is False else ""
        said.append(f"{row['volume']:.4g} mL{cut}")
    confidence = "" if row["confidence"] is None else f"{row['confidence']:.2f}"
    return {
        "kind": row["kind"] or "",
        "as sent": _plain("; ".join(dict.fromkeys(sent))),
        "means": _plain(" ".join(filter(None, said))),
        "fits": row["equivalence"] or "",
        "sure": confidence,
        "by": f"{row['enricher']} {row['version']}",
    }


def _sent(evidence: dict[str, Any]) -> str:
    return f"{evidence['path']}: {evidence['text']}"


def _fault(row: dict[str, Any]) -> str:
    value = f" It says {row['value']!r}." if row["value"] else ""
    expected = f" Expected: {row['expected']}." if row["expected"] else ""
    where = f" {row['path']}:" if row["path"] else ""
    return _plain(
        f"{row['severity']}: {row['rule']}.{where} {row['text']}{value}{expected} "
        f"({row['enricher']} {row['version']})"
    )


def print_rows(rows: pa.Table, kinds: pa.Schema, console: Console) -> None:
    """Print rows: what all of them say once, the rest as a table, or as lines where that is wide.

    Codes as sent are left out; `dicomlake sql` has them.
    """
    rows = with_meanings(rows)
    names = rows.column_names
    units = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in kinds}
    rows = rows.rename_columns([f"{n}, {units[n]}" if units.get(n) else n for n in names])
    names = rows.column_names
    hidden = {"series_id", "SOPInstanceUID", "StudyInstanceUID", "reader", "sent"}
    hidden |= {f"{name}_{part}" for name in names for part in ("value", "scheme")}
    told = [n for n in names if n not in hidden and rows.column(n).null_count < rows.num_rows]
    values = {n: [shown(value) for value in rows.column(n).to_pylist()] for n in told}
    common = [n for n in told if rows.num_rows == 1 or len(set(values[n])) == 1]
    for name in common:
        console.print(Text(f"  {name}: {values[name][0]}"), soft_wrap=True)
    apart = [n for n in told if n not in common]
    if not apart:
        return
    if _width(values, apart) <= console.width:
        console.print(drawn(rows.select(apart)))
        return
    for at in range(rows.num_rows):
        console.print()
        for name in apart:
            if values[name][at]:
                console.print(Text(f"  {name}: {values[name][at]}"), soft_wrap=True)


def _width(values: dict[str, list[str]], names: list[str]) -> int:
    return sum(max(map(len, [name, *values[name]])) + 3 for name in names)


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
