"""Questions about what is inside of objects, answered by looking at every row of every object.

Shares nothing with the engines but the rows of the tables, and units of measure.
"""

import datetime as dt
import re
from collections import defaultdict

from dicomlake import tables
from dicomlake.query import (
    And,
    Between,
    Compare,
    Contains,
    Exists,
    Like,
    Missing,
    Not,
    OneOf,
    Or,
    Quantity,
    Same,
    Within,
)
from dicomlake.terms import units

from .brute import Brute, like, same_codes

TABLES = {
    "item": "items",
    "segment": "segments",
    "channel": "waveforms",
    "event": "dose_events",
    "total": "dose_totals",
    "annotation": "annotations",
    "finding": "findings",
}
PLACES = ["segment.type", "segment.region", "item.site", "event.region", "annotation.structure"]
STEP = re.compile(r'\[("(?:[^"]|"")*":"(?:[^"]|"")*"|[^\]]*)\]|\*\*|\*')
ONES = {"NUM", "CODE", "TEXT", "PNAME", "DATE", "TIME", "DATETIME", "UIDREF"}


def content(path):
    """Whether a path asks what is inside."""
    return "[" in path or path.split(".")[0] in TABLES


def asked(node):
    """The paths in a condition."""
    found = [node.path] if hasattr(node, "path") else []
    return found + [path for part in node.children for path in asked(part)]


class BruteContents(Brute):
    """Answers by looking at everything, contents too."""

    def __init__(self, store):
        super().__init__(store)
        self.rows = {name: store.read(name).to_pylist() for name in TABLES.values()}
        inside = defaultdict(lambda: {name: [] for name in TABLES.values()})
        stated = defaultdict(lambda: {name: [] for name in tables.STATED})
        for name, rows in self.rows.items():
            for row in rows:
                if name in tables.STATED:  # of every instance of the series
                    stated[row["series_id"]][name].append(row)
                else:
                    inside[row["series_id"], row["SOPInstanceUID"]][name].append(row)
        for instance in self.instances:
            own = inside[instance["series"], instance["instance"]]
            instance["rows"] = {**own, **stated[instance["series"]]}
            items = {row["item"]: row for row in instance["rows"]["items"]}
            for row in items.values():
                row["steps"] = steps_of(row, items)
                row["seen"] = [
                    other
                    for other in items.values()
                    if other is row
                    or other["parent"] == row["item"]
                    or other["item"] in (row["modifiers"] or ())
                ]
        self._tested = {}

    def answer(self, node, level):
        """Names of what meets a condition, sorted."""
        self._tested.clear()
        return super().answer(node, level)

    def _holds(self, node, level, group):
        path = getattr(node, "path", "")
        if path == "anatomy":
            exact = Exists if isinstance(node, Missing) else type(node)
            rest = (node.code,) if isinstance(node, Within) else ()
            some = Or(tuple(exact(p, *rest) for p in [*PLACES, "*.AnatomicRegionSequence"]))
            return self.holds(some, level, group) != isinstance(node, Missing)
        if path and content(path):
            if isinstance(node, Missing):
                return not any(self._inside(Exists(path), one) for one in group)
            return any(self._inside(node, one) for one in group)
        if isinstance(node, Same) and node.level in TABLES and any(map(content, asked(node))):
            return any(self._inside(node, one) for one in group)
        return super()._holds(node, level, group)

    def _inside(self, node, instance):
        key = (node, instance["instance"])
        if key not in self._tested:
            self._tested[key] = self._found(node, instance)
        return self._tested[key]

    def _found(self, node, instance):
        if isinstance(node, Same):
            rows = instance["rows"][TABLES[node.level]]
            return any(one_row(node.part, row) for row in rows)
        root = node.path.split(".")[0]
        return any(meets(node, row) for row in instance["rows"][TABLES.get(root, "items")])


def steps_of(row, items):
    """Concepts from the root to an item."""
    found = []
    while row is not None:
        found.insert(0, row["concept"])
        row = items.get(row["parent"])
    return found


def one_row(node, row):
    """Whether one row meets a whole condition; an item sees others."""
    if isinstance(node, And):
        return all(one_row(part, row) for part in node.parts)
    if isinstance(node, Or):
        return any(one_row(part, row) for part in node.parts)
    if isinstance(node, Not):
        return not one_row(node.part, row)
    if isinstance(node, Missing):
        return not one_row(Exists(node.path), row)
    if "[" in node.path:
        return any(meets(node, other) for other in row["seen"])
    return meets(node, row)


def meets(node, row):
    """Whether a single row meets a condition on one path."""
    if "[" in node.path:
        steps = [m[0] for m in STEP.finditer(node.path)]
        anywhere = steps[0] == "*"
        steps = ["**", *steps[1:]] if anywhere else steps
        return fits(steps, row["steps"]) and item_says(node, row)
    root, _, name = node.path.partition(".")
    if not name:
        return isinstance(node, Exists)
    about = tables.ALL[TABLES[root]].field(name)
    said = row[name]
    if isinstance(said, bool):
        said = "yes" if said else "no"
    values = [v for v in (said if isinstance(said, list) else [said]) if v is not None]
    if isinstance(node, Exists):
        return bool(values)
    if isinstance(node, Within):
        codes = [c for v in values for c in (v.values() if isinstance(v, dict) else [v])]
        if node.path in ("annotation.structure", "annotation.code"):
            codes += row["also"] or []
        return any(f"{scheme}:{value}" in codes for value, scheme in same_codes(node.code))
    unit = (about.metadata or {}).get(b"unit", b"").decode()
    return any(compare(node, value, unit, name in ("creator", "observer")) for value in values)


def fits(steps, concepts):
    """Whether concepts are those of a path; ** is any number of them, * is one."""
    if not steps:
        return not concepts
    if steps[0] == "**":
        return fits(steps[1:], concepts) or bool(concepts and fits(steps, concepts[1:]))
    if not concepts:
        return False
    return (steps[0] == "*" or steps[0] == bracketed(concepts[0])) and fits(steps[1:], concepts[1:])


def bracketed(concept):
    """A concept as a path writes it."""
    if concept is None:
        return "[]"
    scheme, value = concept.split(":", 1)
    if re.search(r'[\[\]"|]', scheme + value):
        scheme, value = scheme.replace('"', '""'), value.replace('"', '""')
        return f'["{scheme}":"{value}"]'
    return f"[{scheme}:{value}]"


def item_says(node, row):
    """Whether the value of a content item meets a condition."""
    if isinstance(node, Exists):
        says = any(row[name] is not None for name in ("text", "number", "code", "moment"))
        return says or (row["value_type"] is not None and row["value_type"] not in ONES)
    if isinstance(node, Within):
        return row["code"] in {f"{scheme}:{value}" for value, scheme in same_codes(node.code)}
    if isinstance(node, OneOf):
        return any(item_says(Compare(node.path, "=", value), row) for value in node.values)
    wanted = getattr(node, "low", getattr(node, "value", ""))
    if isinstance(wanted, str):
        said = row["text"] if row["text"] is not None else row["code"]
        return said is not None and compare(node, said, "", row["value_type"] == "PNAME")
    if isinstance(wanted, dt.date):
        return row["moment"] is not None and compare(node, row["moment"], "", False)
    if row["number"] is None:
        return False
    if isinstance(wanted, Quantity) and row["quantity_unit"] != wanted.common[1]:
        return False
    factor = row["quantity"] / row["number"] if row["quantity"] and row["number"] else 1
    numbers = [n * factor for n in row["numbers"] or ()]
    numbers = numbers or [row["number"] if row["quantity"] is None else row["quantity"]]
    return any(compare(node, number, row["quantity_unit"] or "", False) for number in numbers)


def compare(node, said, unit, person):
    """Whether one value, measured in a unit, meets a condition."""
    if isinstance(node, OneOf):
        return any(compare(Compare(node.path, "=", v), said, unit, person) for v in node.values)
    if isinstance(node, Between):
        low, high = (Compare(node.path, op, v) for op, v in ((">=", node.low), ("<=", node.high)))
        return compare(low, said, unit, person) and compare(high, said, unit, person)
    if isinstance(node, Contains | Like):
        if not isinstance(said, str):
            return False
        if isinstance(node, Contains):
            return node.text.lower() in said.lower()
        return any(like(node.pattern, form, person) for form in forms(said, person))
    wanted = node.value
    if isinstance(wanted, str):
        if not isinstance(said, str):
            return False
        if node.op in ("=", "!="):
            return (wanted in forms(said, person)) == (node.op == "=")
    elif isinstance(said, str):
        return False
    elif isinstance(wanted, dt.datetime):
        wanted = wanted if wanted.tzinfo else wanted.replace(tzinfo=dt.UTC)
    elif isinstance(wanted, dt.date):
        said = said.date()
    elif isinstance(wanted, Quantity):
        wanted = wanted.common[0]
        said = units.common(said, unit)[0]
    return {
        "=": said == wanted, "!=": said != wanted, "<": said < wanted, "<=": said <= wanted,
        ">": said > wanted, ">=": said >= wanted,
    }[node.op]  # fmt: skip


def forms(said, person):
    """What a text may be called."""
    return [said, *(g.strip() for g in said.split("=") if g.strip())] if person else [said]
