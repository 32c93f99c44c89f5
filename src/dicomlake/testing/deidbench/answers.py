"""The answer key: one row per check, kept as Parquet and as SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake.errors import UsageError

VERSION = 1
"""Of the corpus: the same version and seed give the same bytes."""

Scope = Literal["instance", "series", "study", "patient", "corpus", "report"]

OPTIONS = {
    "safe_private": "retain_safe_private",
    "uids": "retain_uids",
    "device": "retain_device_identity",
    "institution": "retain_institution_identity",
    "patient": "retain_patient_characteristics",
    "full_dates": "retain_long_full_dates",
    "modified_dates": "retain_long_modified_dates",
    "descriptors": "clean_descriptors",
    "structured": "clean_structured_content",
    "graphics": "clean_graphics",
}
"""Options of PS3.15 E.3 as checks name them -> their column of the table."""
RESEARCH = frozenset(
    ["modified_dates", "device", "patient", "descriptors", "structured", "pixels", "graphics"]
)
"""What checks expect of a profile for research."""
RUNS = frozenset(["reports", "map", "again", "workers", "other"])
"""What checks need besides: cleaned reports, a map of UIDs, the corpus cleaned once more."""
KNOWN = frozenset(OPTIONS) | RUNS | {"pixels"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must have happened, or must not.

    `path` is `(gggg,eeee)[i](gggg,eeee)` or `(gggg,"CREATOR",ee)[i]`, items counted from 1. `box`
    is x0, y0, x1, y1 in pixels, `frame` counts from 0. `severity`: 1 a direct leak, 2 an indirect
    one, 3 lost use. `applies_if`: options joined by "and", "or" and "not".
    """

    check_id: str
    scope: Scope
    action: str
    category: str
    family: str
    severity: int
    patient_id_old: str = ""
    study_uid_old: str = ""
    series_uid_old: str = ""
    sop_uid_old: str = ""
    file: str = ""
    path: str = ""
    frame: int = 0
    box: tuple[int, ...] = ()
    value_old: str = ""
    action_text: str = ""
    hipaa_letter: str = ""
    applies_if: str = ""
    weight: float = 1.0


_SCHEMA = pa.schema(
    [
        pa.field(f.name, {"int": pa.int32(), "float": pa.float64()}.get(str(f.type), pa.string()))
        if f.name != "box"
        else pa.field("box", pa.list_(pa.int32()))
        for f in fields(Check)
    ]
)


def applies(check: Check, options: Iterable[str]) -> bool:
    """Whether a check applies where these options are active.

    >>> check = Check("H1-1", "instance", "tag_removed", "H1", "hipaa", 1,
    ...               applies_if="pixels and not device or uids")
    >>> applies(check, ["pixels"]), applies(check, ["pixels", "device"]), applies(check, ["uids"])
    (True, False, True)
    """
    if not check.applies_if:
        return True
    active = frozenset(options)
    return any(
        all(
            (word.removeprefix("not ") in active) != word.startswith("not ")
            for word in clause.split(" and ")
        )
        for clause in check.applies_if.split(" or ")
    )


def checked_options(names: Iterable[str]) -> frozenset[str]:
    """The options by their names; UsageError for one that is none."""
    found = frozenset(names)
    if wrong := sorted(found - KNOWN):
        raise UsageError(f"{wrong[0]!r} is no option. Use some of: {', '.join(sorted(KNOWN))}.")
    return found


def write_key(folder: Path, checks: Sequence[Check]) -> None:
    """Write checks.parquet and checks.sqlite into a folder."""
    columns = {f.name: [getattr(check, f.name) for check in checks] for f in fields(Check)}
    table = pa.table({**columns, "box": [list(box) for box in columns["box"]]}, schema=_SCHEMA)
    pq.write_table(table, folder / "checks.parquet", compression="zstd")
    place = folder / "checks.sqlite"
    place.unlink(missing_ok=True)
    names = [f.name for f in fields(Check)]
    with sqlite3.connect(place) as db:
        db.execute(f"create table checks ({', '.join(names)}, primary key (check_id))")
        row = f"insert into checks values ({', '.join('?' * len(names))})"
        db.executemany(row, [_flat(check) for check in checks])
    db.close()


def _flat(check: Check) -> list[Any]:
    return [",".join(map(str, v)) if k == "box" else v for k, v in asdict(check).items()]


def read_key(key: Path) -> list[Check]:
    """The checks of a key: its folder, or its checks.parquet."""
    place = key / "checks.parquet" if key.is_dir() else key
    if not place.is_file():
        raise UsageError(
            f"There is no key at {key.name!r}. Make one: dicomlake bench-deid make OUT"
        )
    rows = pq.read_table(place).to_pylist()
    return [Check(**{**row, "box": tuple(row["box"] or ())}) for row in rows]
