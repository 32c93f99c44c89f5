"""Tables of labels beside masks: what the numbers in a mask mean, as other programs write it.

*_dseg.tsv     BIDS: columns index and name        *.label, *.txt   ITK-SNAP, FreeSurfer, Slicer
*.json         number -> name, or name -> number, also under "labels" (nnU-Net, MONAI)
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dicomlake.errors import DataError

SUFFIXES = (".tsv", ".label", ".txt", ".json")
LARGEST = 4 * 1024**2
_SNAP = re.compile(r'\s*(\d+)\s+\d+\s+\d+\s+\d+\s+[\d.]+\s+[01]\s+[01]\s+"([^"]*)"\s*')
_COLOURS = re.compile(r"\s*(\d+)\s+(\S.*?)(?:\s+\d+){3,4}\s*")
_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)
_PARENTS = 3


def table_of(path: Path) -> dict[int, Any]:
    """Names by number, as a file says them; what is called background is left out.

    DataError says what is wrong with the file.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path.name} is too large for a table of labels")
        said = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}, the table of labels, cannot be read") from error
    if path.suffix.lower() == ".json":
        pairs = _of_json(path.name, said)
    elif path.suffix.lower() == ".tsv":
        pairs = _of_bids(path.name, said)
    else:
        pairs = _of_lines(path.name, said)
    found: dict[int, Any] = {}
    for number, meaning in pairs:
        if number in found:
            raise DataError(f"{path.name} says twice what {number} is")
        found[number] = meaning
    named = {n: m for n, m in found.items() if str(m).casefold() not in _NOTHING}
    if not named:
        raise DataError(f"{path.name} names no label")
    return named


_NOTHING = ("background", "clear label", "unknown", "")


def _of_json(name: str, said: str) -> Iterator[tuple[int, Any]]:
    try:
        found = json.loads(said)
    except ValueError as error:
        raise DataError(f"{name} is no JSON") from error
    table = found.get("labels", found) if isinstance(found, dict) else None
    if not isinstance(table, dict):
        raise DataError(f"{name} has no table of labels")
    for key, value in table.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield value, key
        elif _NUMBER.fullmatch(key) and isinstance(value, str | dict):
            yield int(key), value
        else:
            raise DataError(f"{name} has labels that are neither a number nor a name")


def _of_bids(name: str, said: str) -> Iterator[tuple[int, str]]:
    reader = csv.DictReader(io.StringIO(said), delimiter="\t")
    if not {"index", "name"} <= set(reader.fieldnames or ()):
        raise DataError(f"{name} has no columns index and name")
    for row in reader:
        number = (row["index"] or "").strip()
        if not _NUMBER.fullmatch(number):
            raise DataError(f"{name} has an index that is no whole number")
        yield int(number), (row["name"] or "").strip()


def _of_lines(name: str, said: str) -> Iterator[tuple[int, str]]:
    for at, line in enumerate(said.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _SNAP.fullmatch(line) or _COLOURS.fullmatch(line)
        if found is None:
            raise DataError(f"line {at} of {name} is no label with its number, name and colour")
        yield int(found[1]), found[2].strip()


def beside(mask: Path, stem: str) -> Path:
    """The table of labels of a mask that is called `stem`; DataError when there is none.

    It has the name of the mask; or it is the *dseg.tsv of BIDS whose parts the name of the mask
    has, or the dataset.json of nnU-Net, in the folder of the mask or above it.
    """
    folder = mask.parent
    for place in (folder, folder / "done", folder / "refused"):
        for suffix in SUFFIXES:
            if (place / f"{stem}{suffix}").is_file():
                return place / f"{stem}{suffix}"
    parts = set(stem.split("_"))
    for place in (folder, folder / "done", folder / "refused", *folder.parents[:_PARENTS]):
        shared = [
            path
            for path in place.glob("*dseg.tsv")
            if set(path.name.removesuffix(".tsv").split("_")) <= parts
        ]
        if shared:
            return max(shared, key=lambda path: (path.name.count("_"), path.name))
        if (place / "dataset.json").is_file():
            return place / "dataset.json"
    raise DataError(
        f"there is no table of labels beside it: {stem}.tsv, .label, .txt or .json, a dseg.tsv or "
        "a dataset.json"
    )
