"""Compile the Types of attributes per SOP class: `python -m profiles.types`.

They come from the tables of PS3.3 that highdicom ships. Only those stay that decide what is done
with an attribute: rows of PS3.15 Table E.1-1 with a choice, dates, times and names outside it,
and what objects need although the table removes it.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

SHIPPED = Path(__file__).parent.parent / "src" / "dicomlake" / "deid" / "data"
MOVING = frozenset(["DA", "DT", "PN", "TM"])


def wanted() -> tuple[set[str], set[str]]:
    """Keywords whose Type decides, and those that go unless the object always needs them."""
    with (SHIPPED / "ps315_e1_1.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["tag"][1:5].isalnum()]
    table = {row["tag"][1:10].replace(",", ""): row["basic_profile"] for row in rows}
    found, gone = set(), set()
    for keyword in {
        one["keyword"] for module in read("module_attribute_map").values() for one in module
    }:
        tag = tag_for_keyword(keyword)
        if tag is None:
            continue
        action = table.get(f"{tag:08X}")
        if (action and "/" in action) or (action is None and dictionary_VR(tag) in MOVING):
            found.add(keyword)
        elif action == "X":
            gone.add(keyword)
    return found, gone


def read(name: str) -> Any:
    """One of the tables of highdicom."""
    return json.loads(files("highdicom").joinpath(f"_standard/{name}.json").read_text("utf-8"))


def compiled() -> dict[str, Any]:
    """SOP classes by number of their IOD; IODs by Type and path, "" for every other one."""
    (keywords, gone), modules, iods = wanted(), read("module_attribute_map"), read("iod_module_map")
    classes = read("sop_class_iod_map")
    numbers = {name: number for number, name in enumerate(sorted(set(classes.values())))}
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for name, number in numbers.items():
        for module in iods[name]:
            for one in modules.get(module["key"], ()):
                always = one["keyword"] in gone and one["type"] in ("1", "2")
                if one["keyword"] in keywords or always:
                    path = ".".join([*one["path"], one["keyword"]])
                    # The strictest of all modules that have it counts; conditions count as met.
                    found[path][number] = min(one["type"][0], found[path].get(number, "3"))
    return {
        "source": f"PS3.3 as packaged in highdicom {version('highdicom')} (MIT licence)",
        "classes": {uid: numbers[name] for uid, name in sorted(classes.items())},
        "types": {path: _by_type(of) for path, of in sorted(found.items())},
    }


def _by_type(of: dict[int, str]) -> dict[str, list[int]]:
    made: dict[str, list[int]] = defaultdict(list)
    for number, type_ in sorted(of.items()):
        made[type_].append(number)
    return dict(sorted(made.items()))


def main() -> None:
    """Write the table."""
    text = json.dumps(compiled(), separators=(",", ":")).replace('},"', '},\n"')
    (SHIPPED / "types.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
