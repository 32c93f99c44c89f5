"""Rules of devices: where machines of a model write into pictures of a size.

A file of rules is YAML: a list, each with `rectangles` ([x0, y0, x1, y1], the last ones not in it)
and with what the object must say: `Manufacturer`, `ManufacturerModelName` and other keywords, of
which a part of the value is enough, and `Rows` and `Columns`, which must be equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from dicomlake.deid.pixels.boxes import Box
from dicomlake.dicom import dictionary
from dicomlake.errors import UsageError
from dicomlake.readers.attributes import Item, texts, whole

_NUMBERS = ("Rows", "Columns")


@dataclass(frozen=True, slots=True)
class Rule:
    """What an object says that a rule is for, and what is blanked then."""

    says: tuple[tuple[str, str], ...]
    sizes: tuple[tuple[str, int], ...]
    rectangles: tuple[tuple[int, int, int, int], ...]

    def fits(self, header: Item) -> bool:
        """Whether the rule is for such an object."""
        return all(whole(header, name) == size for name, size in self.sizes) and all(
            part.casefold() in "\\".join(texts(header, name)).casefold() for name, part in self.says
        )

    def boxes(self, rows: int, columns: int) -> list[Box]:
        """What is blanked of a picture of a size."""
        found = (Box(*each, "rule of the device") for each in self.rectangles)
        cut = [box.grown(0, rows, columns) for box in found]
        return [box for box in cut if box.x0 < box.x1 and box.y0 < box.y1]


def boxes_of(header: Item, rules: Sequence[Rule], rows: int, columns: int) -> tuple[Box, ...]:
    """What the rules blank of an object."""
    fitting = (rule for rule in rules if rule.fits(header))
    return tuple(dict.fromkeys(box for rule in fitting for box in rule.boxes(rows, columns)))


def rules_of(files: Sequence[str] = ()) -> tuple[Rule, ...]:
    """Our rules and those of a site; UsageError for a file that is none."""
    return (*_ours(), *(rule for file in files for rule in read(Path(file))))


@cache
def _ours() -> tuple[Rule, ...]:
    with resources.as_file(resources.files(__package__) / "data" / "devices.yaml") as file:
        return read(file)


def read(file: Path) -> tuple[Rule, ...]:
    """The rules of a file."""
    import yaml

    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UsageError(f"{file.name} cannot be read as rules of devices: {error}") from error
    if not isinstance(said, list):
        raise UsageError(f"{file.name} is a list of rules, each with rectangles.")
    return tuple(_rule(each, f"rule {n} of {file.name}") for n, each in enumerate(said, 1))


def _rule(said: Any, where: str) -> Rule:
    if not isinstance(said, Mapping) or not (said.keys() - {"rectangles"}):
        raise UsageError(f"The {where} says nothing of the device: give ManufacturerModelName.")
    rectangles = said.get("rectangles")
    if not isinstance(rectangles, list) or not rectangles:
        raise UsageError(f"The {where} has no rectangles: write [[x0, y0, x1, y1]].")
    for each in rectangles:
        right = isinstance(each, list) and len(each) == 4 and all(type(n) is int for n in each)
        if not right or each[0] >= each[2] or each[1] >= each[3] or min(each) < 0:
            raise UsageError(f"The {where} has a rectangle that is none: write [x0, y0, x1, y1].")
    says, sizes = [], []
    for name, value in said.items():
        if name == "rectangles":
            continue
        dictionary.tag_of(name)
        if name in _NUMBERS:
            if type(value) is not int:
                raise UsageError(f"The {where} has {name} that is no number.")
            sizes.append((name, value))
        else:
            says.append((name, str(value)))
    return Rule(tuple(says), tuple(sizes), tuple(tuple(each) for each in rectangles))
